"""A statistic of all answers together decides by the rule: what is shown is chosen, and what is not seldom is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from twofold.settings.sections import StudySection
from twofold.stats import pooling
from twofold.types import Arm
from twofold.verdict.outcome import Verdict
from twofold.verdict.rule import VerdictFacts, decide

ARMS = (Arm(name="base"), Arm(name="prompt", shots=4), Arm(name="rag", retrieval=True))
Values = npt.NDArray[np.float64]


def likeness(values: Sequence[float]) -> float:
    """1 − |2 · AUC − 1| of values against a fixed sample: as `style`, a statistic of pairs with a ceiling at 1."""
    brand = np.linspace(-2, 2, 41)
    apart = np.asarray(values)[:, None] - brand[None, :]
    return 1 - abs(2 * float((apart > 0).mean()) - 1)


def run(columns: Sequence[Sequence[float | None]], groups: Sequence[int], *, failed: int = 0) -> Verdict:
    folds = pooling.folds_of(groups)
    pooled = {}
    for arm, values in zip(ARMS, columns, strict=False):
        if any(value is not None for value in values):
            pooled[arm.name] = pooling.pooled_scores(likeness, list(values), folds, failed=failed)
    arms = ARMS[: len(columns)]
    nothing = np.full(len(groups), np.nan)
    verdict, _, comparisons, estimates = decide(
        arms=arms,
        scores={arm.name: pooled[arm.name].scores if arm.name in pooled else nothing for arm in arms},
        groups=folds,
        metric="style",
        section=StudySection(resamples=200, margin=0.03),
        objections={},
        facts=VerdictFacts(pooled=pooled, right=None),
    )
    for name, estimate in estimates.items():
        assert estimate == pooled[name].estimate
    for comparison in comparisons:
        first, second = comparison.name.split(" - ")
        gain = pooled[first].whole.mean - pooled[second].whole.mean
        assert comparison.estimate.mean == pytest.approx(gain)
        assert comparison.decides is not None
        assert -1 <= comparison.decides.low <= gain <= comparison.decides.high <= 1
    return verdict


def drawn(chance: np.random.Generator, shift: float, n: int) -> list[float]:
    return (chance.normal(size=n) + shift).tolist()


def test_a_statistic_that_is_shown_better_is_chosen():
    chance = np.random.default_rng(3)
    groups = list(range(120))
    verdict = run([drawn(chance, shift, 120) for shift in (2.0, 1.9, 0.2)], groups)
    assert (verdict.outcome, verdict.arm) == ("choose", "rag")
    assert "style" in verdict.sentence


def test_what_is_missing_counts_as_nothing():
    chance = np.random.default_rng(4)
    near, far = drawn(chance, 0.0, 100), drawn(chance, 1.0, 100)
    assert run([far, near], list(range(100))).arm == "prompt"
    # The same answers, nine of ten of them declined: the others' likeness is no merit.
    silent = [value if place % 10 == 0 else None for place, value in enumerate(near)]
    assert run([far, silent], list(range(100))).arm != "prompt"


def test_an_arm_without_an_answer_is_named_and_not_chosen():
    chance = np.random.default_rng(5)
    verdict = run([drawn(chance, 0.0, 60), [None] * 60], list(range(60)), failed=60)
    assert verdict.arm != "prompt"
    assert "prompt" in verdict.sentence


def test_statistics_at_their_ceiling_leave_the_interval_that_their_number_allows():
    flat = np.linspace(-2, 2, 40).tolist()
    verdict = run([flat, flat], list(range(40)))
    assert verdict.outcome == "undecided"


def test_false_crowns_are_as_rare_as_the_level_says():
    """Three arms of one truth, 60 questions in 20 groups: of 40 studies 6 false crowns or fewer are within chance."""
    chance = np.random.default_rng(7)
    groups = np.repeat(np.arange(20), 3).tolist()
    crowns = 0
    for _ in range(40):
        shift = chance.uniform(0.2, 1.5)
        together = np.repeat(chance.normal(scale=0.5, size=20), 3)
        columns = [(chance.normal(size=60) + together + shift).tolist() for _ in ARMS]
        crowns += run(columns, groups).arm in ("prompt", "rag")
    assert crowns <= 6
