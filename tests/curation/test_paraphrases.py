"""Rules change the frame of a question, and what must stay is checked whoever rewords it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.curation.paraphrases import lost, reworded


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ("What is the limit?", "Can you tell me what the limit is?"),
        ("How do I close my account?", "What is the right way to close my account?"),
        ("What is the limit?", "What's the limit?"),
        ("I want to close my account.", "Please help me to close my account."),
    ],
)
def test_frames(said: str, made: str) -> None:
    assert made in reworded(said, seed=0)


@pytest.mark.parametrize(
    ("original", "other", "why"),
    [
        ("Is 4.5 enough for Ada Lovelace?", "Would 4.5 do for Ada Lovelace?", ""),
        ("Is 4.5 enough?", "Would 45 do?", "a name or number is lost"),
        ("Who was Ada Lovelace to you?", "Who was Ada to you?", "a name or number is lost"),
        ("Can I not pay?", "Can I pay?", "a negation is lost or new"),
        ("Can I pay?", "Can't I pay?", "a negation is lost or new"),
        ("Can I pay?", "can i PAY", "the same words"),
    ],
)
def test_what_must_not_be_lost(original: str, other: str, why: str) -> None:
    assert lost(original, other) == why


@given(st.text(max_size=60), st.integers(0, 3))
def test_rules_take_any_text_and_depend_on_seed_alone(text: str, seed: int) -> None:
    made = reworded(text, seed=seed)
    assert made == reworded(text, seed=seed)
    assert len(set(made)) == len(made)
    assert text not in made
