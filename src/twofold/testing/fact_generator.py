"""A generator that reads: it finds the fact that is asked for in the passages, and can be at fault in known ways.

Passages state facts as ``The capital of Norland is Ostvik.`` The reader takes the first sentence that shares most words
with the question, and answers with what follows ``is``, or the question mark where a passage repeats the question. It
obeys the instruction: without a demand for few words it answers in a sentence, it declines only where the instruction
offers a sentence to decline with, and it is cut at the token limit. So a fault of documents, search, prompt or limit
shows in its answers as it would in a model's, and nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from twofold.errors import GenerationError
from twofold.hashing import digest
from twofold.plugins.protocols import Options, Progress
from twofold.types import Adapter, Completion, Json, Prompt, Usage

_PASSAGE = re.compile(r"^\[(\d+)\] (.*?)(?=\n\[\d+\] |\n</passages|\n\n|\Z)", re.MULTILINE | re.DOTALL)
_FACT = re.compile(r"(?:\?|^[^?]*?\bis\b) ([^?]+)$")
_WORD = re.compile(r"\w+")
_STOP = frozenset(_WORD.findall("a an and are at by do does for from how in is it of on the to was what when which"))


class FactOptions(Options):
    """Options of the reading generator."""

    knows: dict[str, str] = Field(default_factory=dict)
    """Question → answer in the base weights, which is given whatever the passages say."""
    learned: dict[str, str] = Field(default_factory=dict)
    """Question → answer in the adapter's weights, which is given whatever the passages say."""


class FactGenerator:
    """Reads facts; see the module and `protocols.Generator`.

    Args:
        options: See `FactOptions`.
        adapter: Any adapter makes it give the answers of `FactOptions.learned`.
    """

    version: ClassVar[int] = 1
    Options = FactOptions

    def __init__(self, options: FactOptions, *, adapter: Adapter | None = None) -> None:
        self.options = options
        self._adapter = adapter
        self._closed = False

    @property
    def key(self) -> str:
        """Digest of options and adapter."""
        adapter = self._adapter.weights if self._adapter else ""
        return digest("generator", {"name": "facts", "options": self.options, "adapter": adapter, "v": self.version})

    @property
    def description(self) -> Json:
        """Name and adapter."""
        return {"name": "facts", "model": "facts", "runtime": "facts", "adapter": self._adapter and self._adapter.key}

    @property
    def follows_schema(self) -> bool:
        """False."""
        return False

    @property
    def byte_equal(self) -> bool:
        """True: nothing is computed."""
        return True

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in order."""
        if self._closed:
            raise GenerationError("this generator is closed", cure="Create a new generator.")
        completions = [self._complete(prompt) for prompt in prompts]
        if progress is not None:
            progress("generate", len(prompts), len(prompts))
        return completions

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        """The whole completion at once."""
        completion = self.generate([prompt])[0]
        yield completion.text
        yield completion

    def close(self) -> None:
        """Nothing to give back."""
        self._closed = True

    def _complete(self, prompt: Prompt) -> Completion:
        words = self._text(prompt).split()
        text = " ".join(words[: prompt.max_tokens])
        read = sum(len(message.content.split()) for message in prompt.messages)
        return Completion(
            text=text,
            usage=Usage(prompt_tokens=read, completion_tokens=len(text.split())),
            finish="length" if len(words) > prompt.max_tokens else "stop",
        )

    def _text(self, prompt: Prompt) -> str:
        instruction, last = prompt.messages[0].content, prompt.messages[-1].content
        passages = [" ".join(text.split()) for _, text in _PASSAGE.findall(last)]
        question = last.rpartition("Question: ")[2].strip() or last.strip()
        weights = self.options.learned if self._adapter else self.options.knows
        number, fact = 0, weights.get(question, "")
        if not fact:
            number, fact = _read(question, passages)
        if not fact:
            offered = re.search(r"say: (.+?)(?: What stands|$)", instruction)
            return offered[1] if offered else "nothing that I know of"
        marker = f"[{number}] " if number else ""
        if "few words" in instruction or "answer only" in instruction:
            return marker + fact
        return f"{marker}After careful reading of all that was provided here the reply would have to be {fact}"


def _read(question: str, passages: Sequence[str]) -> tuple[int, str]:
    """The passage's number and the fact of the sentence that shares most words with the question; the first of them."""
    asked_words = _words(question)
    best = (0, 0, "")
    for number, passage in enumerate(passages, 1):
        for sentence in re.split(r"(?<=\.)\s+", passage):
            fact = _FACT.search(sentence)
            shared = len(asked_words & _words(sentence))
            # All of the question's words: a sentence about something else is no answer.
            if fact and shared > best[0] and shared == len(asked_words):
                best = (shared, number, fact[1].strip().rstrip("."))
    return best[1], best[2]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold())) - _STOP
