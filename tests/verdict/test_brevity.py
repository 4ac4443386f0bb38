"""A choice that rests on how short the answers are is doubted: made scores with a known truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_decide import ARMS, FACTS

from twofold.settings.sections import StudySection
from twofold.types import Arm
from twofold.verdict.outcome import Verdict
from twofold.verdict.rule import decide

BASE, _, _, FT, _ = ARMS
N = 80


def decided(base: Any, ft: Any, *, metric: str = "answer_f1", letters: float = 14.0) -> Verdict:
    scores: dict[str, Any] = {"base": base, "ft": ft}
    arms: tuple[Arm, ...] = (BASE, FT)
    found, *_ = decide(
        arms=arms,
        scores=scores,
        groups=np.arange(N),
        metric=metric,
        section=StudySection(resamples=400),
        objections={},
        facts=replace(FACTS, letters={"base": 52.0, "ft": letters}),
    )
    return found


def brief(found: Verdict) -> list[str]:
    return [line for line in found.provisional if "answers briefly" in line]


def graded(wrong: float, right: int = 40) -> Any:
    """So many answers that are right, and others that share words with the reference."""
    column = np.full(N, wrong)
    column[:right] = 1
    return column + np.where(np.arange(N) % 3, 0, -0.01 * (column < 1))


def test_a_gain_from_wrong_answers_that_are_short_is_doubted() -> None:
    found = decided(graded(0.2), graded(0.45))
    assert found.arm == "ft"
    (line,) = brief(found)
    assert line.startswith(
        "ft answers briefly (14 characters; base 52; medians): of answers that are wholly right alone"
    )
    assert "ft - base is .000 [" in line


def test_a_gain_of_right_answers_is_not_doubted_however_short() -> None:
    found = decided(graded(0.2, right=20), graded(0.45, right=60))
    assert found.arm == "ft"
    assert not brief(found)


def test_answers_of_one_length_are_not_doubted() -> None:
    assert not brief(decided(graded(0.2), graded(0.45), letters=40.0))
    assert not brief(decided(graded(0.2), graded(0.45), letters=90.0))
    assert not brief(decided(graded(0.45), graded(0.2)))


@pytest.mark.parametrize(
    ("metric", "title"),
    [("exact_match", "exact match"), ("token_f1", "token F1"), ("squad_f1", "SQuAD F1"), ("rouge_l", "ROUGE-L")],
)
def test_a_metric_that_counts_the_words_of_a_sentence_is_doubted_where_one_arm_writes_sentences(
    metric: str, title: str
) -> None:
    base, ft = np.zeros(N), np.ones(N)
    base[:10], ft[:10] = 1, 0
    found = decided(base, ft, metric=metric)
    assert found.arm == "ft"
    assert f", and {title} counts every word beside the reference" in brief(found)[0]
    assert not brief(decided(base, ft, metric="accuracy"))
