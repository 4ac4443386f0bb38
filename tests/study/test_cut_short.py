"""What an answer looks like that ended at the token limit."""

from __future__ import annotations

import pytest

from twofold.study.cut_short import cut_kind
from twofold.types import Answer, Example, Message

PASSAGE = "Drip irrigation saves up to 60 percent of water. Sprinklers are cheaper to install than drip lines."


@pytest.mark.parametrize(
    ("kind", "reference", "text"),
    [
        ("cut", "up to 60 percent", "It saves up"),
        ("cut", PASSAGE, f"{PASSAGE} It also keeps leaves dry, and"),
        ("repetition", "up to 60 percent", "It saves water. " * 12 + "It"),
        ("repetition", "节水", "滴灌节约用水。" * 12),
        ("rambling", "billing", "Sure! To sort that out, I would first"),
    ],
)
def test_a_cut_answer_repeats_itself_rambles_or_was_only_cut(kind: str, reference: str, text: str) -> None:
    example = Example(id="e", messages=(Message(role="user", content="How much?"),), references=(reference,))
    assert cut_kind(example, Answer(text=text, cut=True)) == kind
