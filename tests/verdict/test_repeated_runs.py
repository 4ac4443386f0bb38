"""The verdict where tuned arms were trained several times: the mean decides, and a lucky run does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twofold.arm_names import arm_of
from twofold.config import Config
from twofold.settings.sections import StudySection
from twofold.types import Arm, Effect, Estimate
from twofold.verdict import repeats
from twofold.verdict.evidence import VerdictFacts, rights
from twofold.verdict.outcome import Verdict
from twofold.verdict.repeats import Runs
from twofold.verdict.rule import decide

ARMS = tuple(arm_of(name, shots=4) for name in ("rag", "ft"))
SECTION = StudySection(resamples=400)
QUESTIONS = 120


def scores(*shares: float) -> dict[str, Any]:
    """rag right on 40 % of the questions, each run of ft on its share of them, on the first ones."""
    right = np.arange(QUESTIONS) / QUESTIONS
    rows = [(right < share).astype(float) for share in shares]
    return {"rag": (right < 0.4).astype(float), "ft": np.stack(rows) if len(rows) > 1 else rows[0]}


def runs(count: int, *, different: int = 0) -> dict[str, Runs]:
    return {"ft": Runs(count=count, different=different or count, served=1, first_seed=0)} if count > 1 else {}


def decided(
    values: dict[str, Any], known: dict[str, Runs]
) -> tuple[Verdict, list[Effect], list[Effect], dict[str, Estimate]]:
    order = np.random.default_rng(0).permutation(QUESTIONS)  # groups of four, of all kinds
    return decide(
        arms=ARMS,
        scores=values,
        groups=order // 4,
        metric="accuracy",
        section=SECTION,
        objections={},
        facts=VerdictFacts(runs=known, dev_examples=40, questions=QUESTIONS),
    )


def test_one_lucky_run_is_chosen_alone_and_not_beside_an_unlucky_one() -> None:
    alone, *_ = decided(scores(0.7), {})
    assert (alone.outcome, alone.arm) == ("choose", "ft")
    repeated, *_ = decided(scores(0.7, 0.4, 0.45), runs(3))
    assert repeated.outcome == "undecided"


def test_runs_that_agree_are_chosen_with_an_interval_that_includes_their_spread() -> None:
    values = scores(0.68, 0.7, 0.72)
    verdict, _, comparisons, estimates = decided(values, runs(3))
    assert (verdict.outcome, verdict.arm) == ("choose", "ft")
    mean = {**values, "ft": values["ft"].mean(axis=0)}
    _, _, questions, only = decided(mean, {})
    wide, narrow = comparisons[0].decides, questions[0].decides
    assert wide is not None
    assert narrow is not None
    assert wide.mean == pytest.approx(narrow.mean) == pytest.approx(0.3, abs=0.004)
    assert wide.low < narrow.low
    assert wide.high > narrow.high
    assert estimates["ft"].low < only["ft"].low
    # rag has no seed: its own interval is of the questions alone.
    assert estimates["rag"] == only["rag"]


def test_the_verdict_says_what_each_run_scored_and_which_is_served() -> None:
    verdict, *_ = decided(scores(0.68, 0.7, 0.72), runs(3))
    told = next(line for line in verdict.because if line.startswith("ft: the score is the mean"))
    assert "(.683, .700, .725)" in told
    assert "run 1 answers" in told
    assert "on average 84 of 120" in verdict.headline


def test_with_one_run_the_doubt_stands_with_two_it_is_another_and_with_three_there_is_none() -> None:
    doubts = {
        count: [line for line in decided(scores(*shares), runs(count))[0].provisional if "training run" in line]
        for count, shares in {1: (0.7,), 2: (0.7, 0.69), 3: (0.7, 0.69, 0.71)}.items()
    }
    assert doubts[1] == [
        "one training run of ft: the scores are of this adapter, and another seed may give other weights"
    ]
    assert len(doubts[2]) == 1
    assert doubts[2][0].startswith("two training runs of ft tell little")
    assert doubts[3] == []


def test_runs_with_the_same_weights_repeat_nothing_and_say_so() -> None:
    verdict, _, comparisons, _ = decided(scores(0.7, 0.7, 0.7), runs(3, different=1))
    assert any("gave the same weights" in line for line in verdict.provisional)
    _, _, single, _ = decided(scores(0.7), {})
    assert comparisons == single


def test_runs_that_failed_the_forgetting_gate_are_a_doubt_though_the_run_that_is_served_passed() -> None:
    known = {"ft": Runs(count=3, different=3, served=2, first_seed=0, fallen=1)}
    verdict, *_ = decided(scores(0.68, 0.7, 0.72), known)
    assert "1 of 3 training runs of ft failed the forgetting gate: training anew may end so, too" in verdict.provisional


def test_a_question_that_one_run_failed_counts_as_failed() -> None:
    values = scores(0.7, 0.7, 0.7)
    values["ft"][1, :6] = np.nan
    _, _, _, estimates = decided(values, runs(3))
    assert (estimates["ft"].n, estimates["ft"].failed) == (QUESTIONS - 6, 6)
    whole = repeats.means_of(values["ft"], failed_as_wrong=True)
    assert whole == pytest.approx([0.65] * 3)


def test_two_runs_that_differ_tell_that_more_questions_would_not_help() -> None:
    verdict, *_ = decided(scores(0.7, 0.45), runs(2))
    assert verdict.outcome == "undecided"
    assert verdict.further == {}
    assert verdict.more_examples is None


def test_right_answers_of_runs_are_counted_on_average_and_never_rounded_to_none() -> None:
    column = np.zeros((3, 10))
    column[1, 0] = 1
    counted = rights({"ft": column})["ft"]
    assert (counted.count, counted.of, counted.runs, counted.graded) == (1, 10, 3, False)


def test_an_arm_of_a_run_is_named_by_its_number() -> None:
    arm = arm_of("ft+rag@2", shots=4)
    assert (arm.run, arm.retrieval, arm.learner.name) == (2, True, "ft+rag")
    assert arm_of("prompt+ft+schema@3", shots=4).learner == Arm(name="ft", tuning="closed-book")
    assert arm_of("ft", shots=4).of_run(2) == arm_of("ft@2", shots=4)
    further = Config.model_validate({"models": {"big": {"max_tokens": 9}}}).arm("big/ft@2")
    assert (further.run, further.model, further.learner.name) == (2, "big", "big/ft")
    assert further.learner.of_run(2) == further
