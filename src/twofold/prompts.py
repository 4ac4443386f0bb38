"""Render and read: how a question becomes a prompt, and a completion an answer. Pure.

The same `render` makes training pairs, study prompts and live requests, so that what was trained and measured is what
is served. `Template.digest` names the wording; it is saved beside every adapter, and another digest refuses to load.

Passages are numbered from 1 in the order shown. A system that cites puts the number in square brackets at the place
`Template.cite` says; `read` takes the markers out of the text and turns them into `Citation` records, refusing
numbers that were never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from twofold.errors import ConfigError
from twofold.identity import digest
from twofold.types import Answer, Citation, Completion, Example, Hit, Message, Pair, Prompt, Span

if TYPE_CHECKING:
    import jinja2

RENDERER_VERSION = 1
"""Raised when the same template would render to other text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The wording of prompts. Saved with every adapter; part of every system's key."""

    closed: str = "Answer the question in as few words as possible."
    """System message without passages."""
    open: str = (
        "Answer the question in as few words as possible, from the passages. "
        "Begin with the number of the passage used, such as [1]. If no passage tells, say: {abstention}"
    )
    """System message with passages; ``{abstention}`` is replaced."""
    passage: str = "[{number}] {text}"
    """One passage; ``{number}``, ``{title}`` and ``{text}`` are replaced."""
    question: str = "Question: {question}"
    """Last user message when passages precede it."""
    abstention: str = "The documents do not say."
    """What a system says when the documents do not tell."""
    cite: Literal["first", "last", "none"] = "first"
    """Where the marker of the passage used stands in the answer."""

    @property
    def digest(self) -> str:
        """Name of this wording (with the renderer's version)."""
        return digest("template", {"template": self, "renderer": RENDERER_VERSION})


def render(
    messages: Sequence[Message],
    *,
    template: Template,
    hits: Sequence[Hit] | None = None,
    shots: Sequence[Example] = (),
    choices: Sequence[str] = (),
    max_tokens: int = 64,
    schema: str = "",
) -> Prompt:
    """Make the prompt for a conversation.

    Args:
        messages: The conversation; the last message is the user's. A leading system message is kept after ours.
        template: The wording.
        hits: Passages to show, in this order; None for an arm without retrieval (an empty list means: nothing found).
        shots: Examples with their references, shown as earlier turns.
        choices: Allowed answers, listed in the system message.
        max_tokens: Upper limit of the completion.
        schema: JSON schema the completion must satisfy.
    """
    if not messages or messages[-1].role != "user":
        raise ConfigError("a conversation must end with a user message", cure="Check the example's messages.")
    system = template.closed if hits is None else template.open.replace("{abstention}", template.abstention)
    if choices:
        system += " Choose one of: " + "; ".join(choices) + "."
    if messages[0].role == "system":
        system = f"{system}\n{messages[0].content}".strip()
        messages = messages[1:]
    turns = [Message(role="system", content=system)] if system else []
    for shot in shots:
        turns += [m for m in shot.messages if m.role != "system"]
        turns.append(Message(role="assistant", content=shot.references[0] if shot.references else template.abstention))
    turns += messages[:-1]
    last = messages[-1].content
    if hits is not None:
        passages = "\n".join(
            template.passage.replace("{number}", str(number))
            .replace("{title}", hit.chunk.title)
            .replace("{text}", " ".join(hit.chunk.text.split()))
            for number, hit in enumerate(hits, 1)
        )
        last = f"{passages}\n\n{template.question.replace('{question}', last)}".strip()
    turns.append(Message(role="user", content=last))
    return Prompt(messages=tuple(turns), max_tokens=max_tokens, schema=schema)


def completion_text(reference: str, *, template: Template, number: int | None) -> str:
    """The completion to train on: the reference with the marker of passage `number` where the template wants it."""
    if number is None or template.cite == "none":
        return reference
    return f"[{number}] {reference}" if template.cite == "first" else f"{reference} [{number}]"


def pair(prompt: Prompt, completion: str, example: Example) -> Pair:
    """A training row from a rendered prompt."""
    return Pair(messages=prompt.messages, completion=completion, example=example.id)


_MARKER = re.compile(r"\s*\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")


def read(completion: Completion, *, template: Template, hits: Sequence[Hit] | None) -> Answer:
    """Read a completion back: citations out of the text, abstention recognised, quotes found in their passages.

    A number that was not shown is dropped and counted in `invalid_citations`. Without passages, brackets stay text.
    """
    shown = tuple(hits or ())
    common = {"raw": completion.text, "hits": shown, "usage": completion.usage}
    if completion.failure is not None:
        return Answer(text="", failure=completion.failure, **common)  # type: ignore[arg-type]
    text = completion.text.strip()
    numbers: list[int] = []
    if hits is not None:
        for match in _MARKER.finditer(text):
            numbers += [int(part) for part in match.group(1).split(",")]
        text = _MARKER.sub("", text).strip()
    abstained = _same(text, template.abstention)
    valid = [n for n in dict.fromkeys(numbers) if 1 <= n <= len(shown)]
    citations = () if abstained else tuple(_citation(n, shown[n - 1], text) for n in valid)
    return Answer(
        text=template.abstention if abstained else text,
        citations=citations,
        abstained=abstained,
        invalid_citations=sum(1 for n in dict.fromkeys(numbers) if not 1 <= n <= len(shown)),
        **common,  # type: ignore[arg-type]
    )


def _same(text: str, abstention: str) -> bool:
    def bare(value: str) -> str:
        return re.sub(r"[\W_]+", " ", value).strip().casefold()

    return bool(bare(abstention)) and bare(text).startswith(bare(abstention))


def _citation(number: int, hit: Hit, text: str) -> Citation:
    span, quote = hit.chunk.span, None
    words = text.strip(" .\"'").split()
    if words:
        found = re.search(r"\s+".join(re.escape(word) for word in words), hit.chunk.text, re.IGNORECASE)
        if found:
            quote = Span(document=span.document, start=span.start + found.start(), end=span.start + found.end())
    return Citation(number=number, span=span, quote=quote)


def chat_text(chat_template: str, messages: Sequence[Message], specials: Mapping[str, str]) -> str:
    """A model's own chat template applied, ready for the completion (`add_generation_prompt`).

    Both training and serving tokenise this text, so the two see the same tokens. Special tokens are in the text: the
    tokenizer must not add its own.

    Args:
        chat_template: The Jinja template the model's authors ship.
        messages: Rendered prompt messages.
        specials: ``bos_token`` and ``eos_token``, where the template wants them.

    Raises:
        ConfigError: when the template refuses these messages (for example a system turn it does not know).
    """
    import jinja2

    try:
        return _compiled(chat_template).render(
            messages=[{"role": m.role, "content": m.content} for m in messages], add_generation_prompt=True, **specials
        )
    except jinja2.TemplateError as error:
        raise ConfigError(f"the model's chat template refuses this conversation: {error}") from error


@lru_cache(maxsize=8)
def _compiled(chat_template: str) -> jinja2.Template:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    return environment.from_string(chat_template)
