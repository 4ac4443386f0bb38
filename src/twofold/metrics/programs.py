"""Answers that are Python: run with the tests of their example, in a process that can do nothing but compute."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar

from pydantic import Field

from twofold.host import confined
from twofold.plugins import protocols
from twofold.types import Answer, Example

_FENCE = re.compile(r"```[ \t]*(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)(?:```|\Z)", re.DOTALL)
_PYTHON = frozenset(("", "python", "python3", "py"))


def program_of(text: str) -> str:
    """The Python of an answer: its code fences, one after the other, or all of it where it has none."""
    blocks = [match["code"] for match in _FENCE.finditer(text) if match["language"].lower() in _PYTHON]
    return "\n".join(blocks) if blocks else text


class PythonTests:
    """1 when an answer's Python passes the tests of its example (``tests``: Python that raises where it is wrong).

    Answer and tests run in one namespace, in a process of their own without files, network and further processes
    (`host.confined`), with a limit of time and memory; of the standard library the usual modules can be imported. A
    program that fails, takes too long or is no Python scores 0, and `reason` says why. Where the process cannot be
    confined no score is given: the study ends with an error.
    """

    version: ClassVar[int] = 1
    executes: ClassVar[bool] = True
    replayed: ClassVar[bool] = False

    class Options(protocols.Options):
        """Options of `python_tests`."""

        seconds: int = Field(default=5, ge=1, le=600)
        """Most processor time of one answer and its tests."""
        memory_mib: int = Field(default=256, ge=16, le=16_384)
        """Most memory of one answer, in MiB."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """1, 0, or None for an example without tests. An unanswerable example scores 1 for an abstention.

        Raises:
            ScorerBroken: the process cannot be confined on this machine.
        """
        if not example.tests:
            return None
        if not example.answerable:
            return float(answer.abstained)
        return float(not answer.abstained and self._outcome(example, answer).passed)

    def reason(self, example: Example, answer: Answer) -> str:
        """Why an answer scores 0: the error, or the limit."""
        if answer.abstained or not example.answerable or not example.tests:
            return ""
        return self._outcome(example, answer).reason

    def wants(self, example: Example) -> str:
        """The tests."""
        return example.tests if example.answerable else "\0abstain"

    def _outcome(self, example: Example, answer: Answer) -> confined.ProgramEnd:
        return _run(program_of(answer.text), example.tests, self.options.seconds, self.options.memory_mib)


@lru_cache(maxsize=4096)
def _run(program: str, tests: str, seconds: int, memory_mib: int) -> confined.ProgramEnd:
    # Once for an answer: what stands at the edge of its time must not pass here and fail there.
    return confined.run(program, tests, seconds=seconds, memory_mib=memory_mib)
