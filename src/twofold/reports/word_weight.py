"""The weight of the word leg as a sentence: what was chosen, on what, and with which gain. Pure."""

from __future__ import annotations

from twofold.files.reading import counted
from twofold.types import Json


def sentence(choice: Json | None) -> str:
    """The weight chosen and the questions it was chosen on, for people; empty where there was nothing to choose."""
    if choice is None:
        return ""
    if choice["weight"] is None:
        return f"the words keep their default weight: {choice['why']}"
    row = next(row for row in choice["weights"] if row["weight"] == choice["weight"])
    questions = f"{counted(choice['questions'], 'train and dev question')} in {counted(choice['groups'], 'group')}"
    if choice["weight"] == choice["default"]:
        return f"the words keep their default weight {choice['default']:g}: none is better on {questions}"
    gain = f"{choice['metric']} {row['gain']:+.3f}, standard error {row['error']:.3f}".replace("-", "\u2212")
    return f"the words weigh {choice['weight']:g}, chosen on {questions} ({gain}; default {choice['default']:g})"
