"""The rule with a race's evidence: its sequences decide, one test at the end has the other half, nothing is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.types import Arm
from twofold.verdict.evidence import RaceEvidence
from twofold.verdict.rule import VerdictFacts, decide

ARMS = (Arm(name="base"), Arm(name="rag", retrieval=True), Arm(name="ft+rag", retrieval=True, tuning="open-book"))
N = 60
PLACES = np.arange(N)
SECTION = StudySection(resamples=300)


def scores(base: float, rag: float, both: float) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    luck = rng.uniform(size=N)
    return {
        name: (luck < mean).astype(float)
        for name, mean in zip(("base", "rag", "ft+rag"), (base, rag, both), strict=True)
    }


def evidence(**changes: Any) -> RaceEvidence:
    usual: Any = {
        "covers": {name: np.ones(N, dtype=bool) for name in ("base", "rag", "ft+rag")},
        "differences": {"rag - base": (0.1, 0.6), "ft+rag - base": (0.1, 0.6), "ft+rag - rag": (-0.3, 0.2)},
        "p": {"rag - base": 0.001, "ft+rag - base": 0.001, "ft+rag - rag": 1.0},
        "means": {"base": (0.0, 0.4), "rag": (0.2, 0.9), "ft+rag": (0.2, 0.9)},
        "test": False,
    }
    return RaceEvidence(**{**usual, **changes})


def decided(columns: dict[str, Any], race: RaceEvidence) -> Any:
    settings: Any = {"metric": "contains", "section": SECTION, "objections": {}, "groups": PLACES}
    return decide(
        arms=ARMS, scores=columns, facts=VerdictFacts(race=race, failed_share=_failed(columns, race)), **settings
    )


def _failed(columns: dict[str, Any], race: RaceEvidence) -> dict[str, float]:
    return {name: float(np.isnan(column[race.covers[name]]).mean()) for name, column in columns.items()}


def test_an_arm_that_won_at_the_last_shard_is_chosen_though_a_more_complex_one_may_be_better() -> None:
    columns = scores(0.2, 0.6, 0.55)
    assert decided(columns, evidence())[0].outcome == "undecided"
    verdict, effects, comparisons, _ = decided(columns, evidence(crowned="rag"))
    assert (verdict.outcome, verdict.arm, effects) == ("choose", "rag", [])
    assert "not behind ft+rag, which may still gain up to .200" in verdict.sentence
    assert {pair.name: (pair.estimate.low, pair.estimate.high) for pair in comparisons}["ft+rag - rag"] == (-0.3, 0.2)


def test_the_test_at_the_end_has_half_of_alpha_and_only_arms_that_were_asked_everything() -> None:
    columns = scores(0.2, 0.5, 0.6)
    covers = {**evidence().covers, "base": PLACES < 20}
    columns["base"][20:] = np.nan
    _, _, comparisons, estimates = decided(columns, evidence(test=True, covers=covers))
    pairs = {pair.name: pair.estimate for pair in comparisons}
    assert (pairs["rag - base"].low, pairs["rag - base"].high, pairs["rag - base"].n) == (0.1, 0.6, 20)
    matrix = np.stack([columns[name] for name in ("base", "rag", "ft+rag")], axis=1)
    half: Any = {"level": 1 - 0.05 / 2, "resamples": 300, "seed": 0, "joint": False}
    alone = intervals.contrasts(matrix, PLACES, intervals.pairs(["base", "rag", "ft+rag"]), **half)["ft+rag - rag"]
    assert (pairs["ft+rag - rag"].low, pairs["ft+rag - rag"].high) == pytest.approx((alone.low, alone.high))
    assert (estimates["base"].n, estimates["base"].failed) == (20, 0), "what was not asked has not failed"
    assert estimates["base"].high == 0.4
    assert estimates["rag"].high < 0.9, "asked every question: the number was fixed before"


def test_what_failed_counts_and_what_was_not_asked_does_not() -> None:
    columns = scores(0.2, 0.5, 0.6)
    covers = {**evidence().covers, "base": PLACES < 20}
    columns["base"][5:] = np.nan  # of twenty that it was asked fifteen failed
    verdict, _, _, estimates = decided(columns, evidence(covers=covers))
    assert (estimates["base"].n, estimates["base"].failed) == (5, 15)
    assert any("15 of 20 (75 %) of its answers failed" in line for line in verdict.because)


def test_an_arm_that_was_left_behind_leads_by_no_mean_of_other_questions() -> None:
    early = PLACES < 20
    columns = {name: np.where(early, 1.0, (PLACES % 5 < 2).astype(float)) for name in ("rag", "ft+rag")}
    columns["base"] = np.where(early, (PLACES % 5 < 4).astype(float), np.nan)
    differences = {"rag - base": (-0.1, 0.5), "ft+rag - base": (0.1, 0.6), "ft+rag - rag": (-0.3, 0.2)}
    covers = {**evidence().covers, "base": early}
    verdict = decided(columns, evidence(test=True, covers=covers, differences=differences))[0]
    assert verdict.outcome == "undecided"
    # Base scores .8 on the easy questions that it was asked, the others .6 on all of them.
    assert verdict.sentence.startswith("Undecided: rag scores .600")


def test_a_test_at_the_end_has_the_p_of_the_whole_study() -> None:
    columns = scores(0.2, 0.5, 0.6)
    _, _, comparisons, _ = decided(columns, evidence(test=True, differences={**evidence().differences}))
    matrix = np.stack([columns[name] for name in ("base", "rag", "ft+rag")], axis=1)
    half: Any = {"level": 1 - 0.05 / 2, "resamples": 300, "seed": 0, "joint": False}
    alone = intervals.contrasts(matrix, PLACES, intervals.pairs(["base", "rag", "ft+rag"]), **half)["ft+rag - rag"]
    assert {pair.name: pair.p for pair in comparisons}["ft+rag - rag"] == pytest.approx(min(1, 2 * alone.p))
