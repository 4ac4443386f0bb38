"""The forecast of retrieval from p, R, U and D: the formula, graded metrics, and samples that lack a part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.advice.probes.gain import ProbedQuestion, forecast_gain, measurable
from twofold.errors import StudyError
from twofold.types import Estimate


def asked(
    closed: float | None, *, read: float | None = None, gold: float | None = None, hit: bool | None = None, group: int
) -> ProbedQuestion:
    return ProbedQuestion(group=group, closed=closed, read=read, gold=gold, hit=hit)


def world(count: int, *, p: float, recall: float, use: float, spoilt: float, seed: int) -> list[ProbedQuestion]:
    """Questions in which all four happen by chance, and the arm with passages answers as the formula says."""
    chance, rows = np.random.default_rng(seed), []
    for group in range(count):
        right, hit = bool(chance.random() < p), bool(chance.random() < recall)
        if right:
            rows.append(asked(1.0, read=float(chance.random() >= spoilt), hit=hit, group=group))
        else:
            gold = float(chance.random() < use)
            rows.append(asked(0.0, read=gold if hit else 0.0, gold=gold, hit=hit, group=group))
    return rows


def test_the_four_shares_and_the_formula() -> None:
    rows = [
        asked(1.0, read=1.0, hit=True, group=0),
        asked(1.0, read=0.0, hit=True, group=1),
        asked(0.0, read=1.0, gold=1.0, hit=True, group=2),
        asked(0.0, read=0.0, gold=1.0, hit=False, group=3),
        asked(0.0, read=0.0, gold=0.0, hit=True, group=4),
    ]
    seen = forecast_gain(rows, right=0.5)
    assert seen.recall is not None
    assert seen.use is not None
    assert seen.destruction is not None
    assert seen.gain is not None
    assert (seen.p.mean, seen.recall.mean) == (0.4, 0.8)
    assert (seen.use.mean, seen.destruction.mean) == (pytest.approx(2 / 3), 0.5)
    assert seen.gain.mean == pytest.approx(0.6 * 0.8 * 2 / 3 - 0.4 * 0.5)
    assert seen.counted is not None
    assert seen.counted.mean == pytest.approx(0.0), "one mended, one spoilt"


def test_a_graded_metric_gets_the_mean_scores_of_right_and_wrong_answers() -> None:
    rows = [
        asked(0.2, read=0.8, gold=0.9, hit=True, group=0),
        asked(0.1, read=0.6, gold=0.7, hit=True, group=1),
        asked(0.0, read=0.3, gold=0.2, hit=True, group=2),
        asked(0.3, read=0.1, gold=0.9, hit=True, group=3),
    ]
    seen = forecast_gain(rows, right=0.5)
    assert seen.rag is not None
    assert seen.gain is not None
    assert seen.base.mean == pytest.approx(0.15), "the base arm's score is measured, not turned"
    assert seen.gain.mean == pytest.approx(0.75)
    assert seen.rag.mean == pytest.approx(0.75 * 0.7 + 0.25 * 0.2)
    assert seen.difference is not None
    assert seen.difference.mean == pytest.approx(seen.rag.mean - seen.base.mean)


def test_questions_that_no_document_answers_count_as_measured() -> None:
    """Declining is right there; neither recall nor the use of a passage says anything of it."""
    rows = [asked(0.0, read=1.0, gold=1.0, hit=True, group=0), asked(0.0, read=1.0, group=1)]
    rows += [asked(1.0, read=0.0, group=2), asked(0.0, read=1.0, group=3)]
    seen = forecast_gain(rows, right=0.5)
    assert seen.gain is not None
    assert seen.gain.mean == pytest.approx(0.25 * 1.0 + 0.75 * (1 - 1 + 1) / 3)


def test_without_sources_the_gain_is_counted_and_not_explained() -> None:
    seen = forecast_gain([asked(float(n % 2), read=1.0, group=n) for n in range(10)], right=0.5)
    assert (seen.recall, seen.use, seen.gain) == (None, None, None)
    assert seen.counted is not None
    assert seen.rag is not None
    assert (seen.counted.mean, seen.rag.mean) == (0.5, 1.0)


def test_without_documents_there_is_the_closed_book_score_alone() -> None:
    seen = forecast_gain([asked(float(n % 2), group=n) for n in range(10)], right=0.5)
    assert (seen.gain, seen.counted, seen.rag, seen.destruction) == (None, None, None, None)
    assert seen.p.mean == seen.base.mean == 0.5


def test_a_failed_answer_is_left_out_and_is_no_wrong_answer() -> None:
    rows = world(30, p=0.3, recall=0.9, use=0.7, spoilt=0.1, seed=1)
    failed = [*rows, asked(None, group=90), asked(0.0, read=None, gold=None, hit=None, group=91)]
    with_failures, without = forecast_gain(failed, right=0.5), forecast_gain(rows, right=0.5)
    assert with_failures.gain is not None
    assert without.gain is not None
    assert with_failures.gain.mean == pytest.approx(without.gain.mean)
    assert with_failures.p.n == 31


def test_no_answer_at_all_is_an_error() -> None:
    with pytest.raises(StudyError):
        forecast_gain([asked(None, group=0)], right=0.5)


@pytest.mark.parametrize(
    ("p", "recall", "use", "spoilt"), [(0.1, 0.9, 0.7, 0.1), (0.6, 0.5, 0.5, 0.4), (0.02, 0.98, 0.05, 0.2)]
)
def test_the_interval_of_the_gain_has_the_truth_in_it(p: float, recall: float, use: float, spoilt: float) -> None:
    truth, hits = (1 - p) * recall * use - p * spoilt, 0
    for seed in range(25):
        seen = forecast_gain(world(40, p=p, recall=recall, use=use, spoilt=spoilt, seed=seed), right=0.5)
        assert seen.gain is not None
        hits += seen.gain.low <= truth <= seen.gain.high
    assert hits >= 22, "two standard errors below 95 % of 25"


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 1000))
def test_gain_and_scores_stay_within_reach(p: float, recall: float, use: float, spoilt: float, seed: int) -> None:
    seen = forecast_gain(world(12, p=p, recall=recall, use=use, spoilt=spoilt, seed=seed), right=0.5)
    assert seen.rag is not None
    assert seen.gain is not None
    assert -1 <= seen.gain.low <= seen.gain.mean <= seen.gain.high <= 1
    assert 0 <= seen.rag.low <= seen.rag.mean <= seen.rag.high <= 1


def test_a_study_of_few_questions_may_lie_further_off() -> None:
    truth = Estimate(mean=0.5, low=0.4, high=0.6, n=40)
    small, large = (measurable(truth, worth=20, study=study) for study in (20, 2000))
    assert small.low == pytest.approx(0.5 - 0.1 * 2**0.5)
    assert large.low == pytest.approx(0.4, abs=0.001)
    assert measurable(truth, worth=20, study=0).high == 1.0
