"""A generator that judges as it is asked by `judge.prompts`, with a known share of errors, or with a known fault.

It knows what is right: an answer is, if it contains a reference that the prompt shows. So what a probation finds of it
can be told beforehand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from twofold.errors import GenerationError
from twofold.hashing import digest
from twofold.plugins.protocols import Options, Progress
from twofold.types import Adapter, Completion, Failure, Json, Prompt, Usage

_TAGGED = re.compile(r"<(answer|first|second|reference|question)>\n(.*?)\n</\1>", re.DOTALL)
_LONG = 40
"""Characters from which an answer is right to a judge that goes by length."""


class JudgeOptions(Options):
    """Options of the stand-in judge."""

    errors: float = Field(default=0.0, ge=0, le=1)
    """Share of the items, always the same ones, about which it says another word than is right."""
    fault: Literal["", "first", "length", "constant", "moody", "nonsense", "fails"] = ""
    """``first``: it takes what is listed first; ``length``: it goes by length; ``constant``: one word for all;
    ``moody``: another word each time; ``nonsense``: no word; ``fails``: no reply."""
    too_long: str = ""
    """A prompt with these words is beyond its context, and fails."""


class StandInJudge:
    """Judges; see the module and `protocols.Generator`.

    Args:
        options: See `JudgeOptions`.
        adapter: None: a judge is not tuned.
    """

    version: ClassVar[int] = 1
    Options = JudgeOptions

    def __init__(self, options: JudgeOptions, *, adapter: Adapter | None = None) -> None:
        self.options = options
        self._adapter = adapter
        self._calls = 0
        self._closed = False

    @property
    def key(self) -> str:
        """Digest of the options."""
        return digest("generator", {"name": "stand-in judge", "options": self.options, "v": self.version})

    @property
    def description(self) -> Json:
        """Name and options."""
        return {"name": "judge", "model": "stand-in", "runtime": "judge", "options": self.options.model_dump()}

    @property
    def follows_schema(self) -> bool:
        """True, unless it talks nonsense."""
        return self.options.fault != "nonsense"

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
        """The completion in one piece, then whole."""
        completion = self.generate([prompt])[0]
        if completion.text:
            yield completion.text
        yield completion

    def close(self) -> None:
        """Nothing to give back."""
        self._closed = True

    def _complete(self, prompt: Prompt) -> Completion:
        if self.options.fault == "fails":
            return Completion(text="", failure=Failure(code="generation.judge", message="failed on purpose"))
        if self.options.too_long and self.options.too_long in prompt.messages[-1].content:
            return Completion(text="", failure=Failure(code="generation.context", message="the prompt is too long"))
        self._calls += 1
        text = "I would rather not say." if self.options.fault == "nonsense" else self._mark(prompt)
        usage = Usage(
            prompt_tokens=sum(len(message.content.split()) for message in prompt.messages), completion_tokens=1
        )
        return Completion(text=text, usage=usage)

    def _mark(self, prompt: Prompt) -> str:
        words: list[str] = json.loads(prompt.schema)["properties"]["mark"]["enum"]
        parts: dict[str, list[str]] = {}
        for tag, text in _TAGGED.findall(prompt.messages[-1].content):
            parts.setdefault(tag, []).append(text)
        references = [text.casefold() for text in parts.get("reference", ())]
        answers = [*parts.get("answer", ()), *parts.get("first", ()), *parts.get("second", ())]
        word = self._faulty(words, answers)
        if not word:
            # By what is judged, not by how it is asked: an error stays when the order is turned.
            in_order = sorted(answers)
            word = _word([_worth(text, references) for text in in_order])
            lot = int(digest("lot", [parts.get("question"), in_order])[-8:], 16)
            if lot / 16**8 < self.options.errors:
                others = [other for other in sorted(words) if other != word]
                word = others[lot % len(others)]
            if answers != in_order:
                word = {"first": "second", "second": "first"}.get(word, word)
        return json.dumps({"mark": word})

    def _faulty(self, words: Sequence[str], answers: Sequence[str]) -> str:
        """What the fault makes it say; empty without one."""
        if self.options.fault == "first":
            return words[0]
        if self.options.fault == "constant":
            return "same" if len(answers) == 2 else "right"
        if self.options.fault == "moody":
            return words[int(digest("mood", self._calls)[-1], 16) % len(words)]
        if self.options.fault == "length":
            return _word(
                [len(answer) for answer in answers] if len(answers) == 2 else [float(len(answers[0]) >= _LONG)]
            )
        return ""


def _worth(text: str, references: Sequence[str]) -> float:
    return float(any(reference in text.casefold() for reference in references))


def _word(worth: Sequence[float]) -> str:
    """The word for what one answer, or each of two, is worth."""
    if len(worth) == 1:
        return "right" if worth[0] else "wrong"
    return "same" if worth[0] == worth[1] else "first" if worth[0] > worth[1] else "second"
