"""The shipped fake of the `Generator` protocol, and a real implementation: deterministic, no weights, no network.

It answers from the prompt alone. As an extractive reader it is good enough to drive a whole study in seconds: with
passages it quotes the sentence that shares most words with the question, without it has nothing to say.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from twofold.errors import GenerationError
from twofold.generation.live.threads import Threads
from twofold.hashing import digest
from twofold.plugins.live import LiveBatch
from twofold.plugins.protocols import Options, Progress
from twofold.types import Adapter, Completion, Failure, Json, Prompt, Usage

_PASSAGE = re.compile(r"^\[(\d+)\] (.*?)(?=\n\[\d+\] |\n</passages|\n\n|\Z)", re.MULTILINE | re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w+")
_STOP = frozenset(_WORD.findall("a an and are at be by do does for from how in is it of on the to was what when which"))
_SHORT = 8
"""Words kept by a tuned fake."""


class EchoOptions(Options):
    """Options of the fake generator."""

    mode: Literal["quote", "echo", "abstain", "fixed"] = "quote"
    """``quote`` a passage, ``echo`` the question, ``abstain``, or say the ``fixed`` text."""
    fixed: str = "yes"
    """Text of the mode ``fixed``."""
    abstention: str = "The documents do not say."
    """Text of an abstention, also where there is no passage to quote."""
    cite_unknown: bool = False
    """Cite a passage that was never shown."""
    fail_every: int = Field(default=0, ge=0)
    """About one prompt in so many fails, always the same ones; 0 for none."""
    stall_seconds: float = Field(default=0.0, ge=0)
    """Wait so long before every call."""
    word_seconds: float = Field(default=0.0, ge=0)
    """Wait so long before every word of a stream."""
    schemas: bool = True
    """Put what it says into JSON by the prompt's schema; false: it cannot, as runtimes exist that cannot."""


class EchoGenerator:
    """Answers from the prompt's own words; see `protocols.Generator`.

    Args:
        options: See `EchoOptions`.
        adapter: Any adapter makes the answers short, so that arms differ.
    """

    version: ClassVar[int] = 1
    Options = EchoOptions

    def __init__(self, options: EchoOptions, *, adapter: Adapter | None = None) -> None:
        self.options = options
        self._adapter = adapter
        self._closed = False

    @property
    def key(self) -> str:
        """Digest of options and adapter."""
        adapter = self._adapter.weights if self._adapter else ""
        return digest("generator", {"name": "echo", "options": self.options, "adapter": adapter, "v": self.version})

    @property
    def description(self) -> Json:
        """Mode and adapter."""
        adapter = self._adapter.key if self._adapter else ""
        return {"name": "echo", "model": "echo", "runtime": "echo", "mode": self.options.mode, "adapter": adapter}

    @property
    def follows_schema(self) -> bool:
        """As the option `schemas` says."""
        return self.options.schemas

    @property
    def byte_equal(self) -> bool:
        """True: nothing is computed."""
        return True

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in order."""
        if self._closed:
            raise GenerationError("this generator is closed", cure="Create a new generator.")
        if prompts and self.options.stall_seconds:
            time.sleep(self.options.stall_seconds)
        completions = []
        for done, prompt in enumerate(prompts, 1):
            completions.append(self._complete(prompt))
            if progress is not None:
                progress("generate", done, len(prompts))
        return completions

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        """The completion word by word, then whole."""
        completion = self.generate([prompt])[0]
        for word in re.findall(r"\s*\S+|\s+$", completion.text):
            time.sleep(self.options.word_seconds)
            yield word
        yield completion

    def live(self) -> LiveBatch:
        """Streams in threads; temperature and seed change nothing, for nothing here is left to chance."""
        return Threads(lambda prompt, *_sampling: self.stream(prompt), workers=16)

    def close(self) -> None:
        """Nothing to give back."""
        self._closed = True

    def _complete(self, prompt: Prompt) -> Completion:
        begun = time.monotonic()
        every = self.options.fail_every
        # By the prompt and not by a count: one that failed fails again.
        if every and int(digest("echo", prompt.messages).partition(":")[2], 16) % every == 0:
            return Completion(text="", failure=Failure(code="generation.echo", message="failed on purpose"))
        reply = self._text(prompt)
        if prompt.schema and self.options.schemas:
            reply = json.dumps(_instance(json.loads(prompt.schema), reply), ensure_ascii=False)
        words = reply.split(" ")
        length = len(words) > prompt.max_tokens
        text = " ".join(words[: prompt.max_tokens])
        for mark in prompt.stop:
            if mark and mark in text:
                text = text[: text.index(mark)]
                length = False
        usage = Usage(
            prompt_tokens=sum(len(m.content.split()) for m in prompt.messages),
            completion_tokens=max(1, len(text.split())),
        )
        finish: Literal["stop", "length"] = "length" if length else "stop"
        return Completion(text=text, usage=usage, seconds=time.monotonic() - begun, finish=finish)

    def _text(self, prompt: Prompt) -> str:
        options = self.options
        last = prompt.messages[-1].content
        passages = [(int(number), " ".join(text.split())) for number, text in _PASSAGE.findall(last)]
        question = _PASSAGE.sub("", last).strip().removeprefix("Question: ")
        if options.mode == "fixed":
            return options.fixed
        if options.mode == "echo":
            return self._shortened(question)
        if options.mode == "abstain" or not passages:
            return options.abstention
        question_words = _words(question)
        number, text = max(passages, key=lambda passage: (len(question_words & _words(passage[1])), -passage[0]))
        sentence = max(_SENTENCE.split(text), key=lambda part: len(question_words & _words(part)))
        if not question_words & _words(sentence):
            return options.abstention
        # A number that no passage has.
        marker = len(passages) + 7 if options.cite_unknown else number
        return f"[{marker}] {self._shortened(sentence)}"

    def _shortened(self, text: str) -> str:
        return " ".join(text.split()[:_SHORT]) if self._adapter else text


def _instance(schema: Json, text: str) -> Any:
    """A value by the schema's types, enums and properties, every free string of which is what was said."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: _instance(inner, text) for name, inner in schema.get("properties", {}).items()}
    return {"array": [], "integer": 0, "number": 0, "boolean": True, "null": None}.get(kind, text)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold())) - _STOP
