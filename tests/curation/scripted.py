"""A generator that writes by a script: good questions, bad ones, and answers it invents."""

from __future__ import annotations

import re
import zlib
from typing import Any

from twofold.hashing import digest
from twofold.types import Completion


class Scripted:
    """Asks which words follow a sentence's first three, answers from the passage, and errs in known ways."""

    version = 1

    def __init__(self, *, die_after: int = 0) -> None:
        self.asked: list[str] = []
        self.die_after = die_after
        self.key = "generator:scripted"
        self.description = {"name": "scripted", "model": "scripted-1"}

    def generate(self, prompts: Any, *, progress: Any = None) -> list[Completion]:
        if self.die_after and len(self.asked) >= self.die_after:
            raise KeyboardInterrupt
        self.asked += [digest("prompt", prompt) for prompt in prompts]
        return [Completion(text=self._text(prompt.messages)) for prompt in prompts]

    def close(self) -> None:
        return None

    def _text(self, messages: Any) -> str:
        system, last = messages[0].content, messages[-1].content
        passage = " ".join(last.split("</passages>")[0].split("<passages>")[-1].split())
        sentence = next((s for s in re.split(r"(?<=[.!?]) ", passage) if len(s.split()) > 8), passage)
        words = sentence.split()
        luck = zlib.crc32(" ".join(words[:3]).encode()) % 6
        if "in other words" in last:
            return "Tell me: " + last.rsplit("\n\n", 1)[-1]
        if "questions for an exam" in system:
            if luck == 0:
                return "What does the passage say?"
            return f"Question: Which words follow {' '.join(words[:3])}?"
        asked = re.search(r"Which words follow (.+)\?", last)
        begin = asked.group(1) if asked else ""
        luck = zlib.crc32(begin.encode()) % 6
        if "copied from the passage" in system:
            if luck == 1:
                return "The documents do not say."
            if not begin:
                return "nothing"
            after = passage.partition(begin)[2].split()[:2]
            return "something of its own invention" if luck == 2 else " ".join(after).strip(".,;:")
        return KNOWN.get(begin, "I do not know.")


KNOWN: dict[str, str] = {}
"""What the model knows without a passage: beginning of a sentence → what follows."""
