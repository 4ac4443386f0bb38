"""The weight of the word leg as a sentence: what was chosen, on what, and with which gain. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.files.reading import counted


def sentence(choice: Mapping[str, Any] | None) -> str:
    """The weight chosen (`store.weighing.WordChoice`) and the questions it was chosen on; empty for no choice."""
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
