"""The bounds of a verdict's validity: no change within them turns the rule, and one at the edge can."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from twofold.verdict import validity
from twofold.verdict.validity import Question, Rival

SCORES = st.sampled_from([0.0, 0.25, 0.5, 1.0])
PAIRS = st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=30)


def rival(differences: Any, *, low: float, high: float, simpler: bool = True, margin: float = 0.05) -> Rival:
    column = np.array(differences, dtype=float)
    return Rival(
        name="b",
        simpler=simpler,
        low=low,
        high=high,
        beaten=low > 0 and high > margin,
        margin=margin,
        free=False,
        differences=column,
        groups=np.arange(len(column)) // 2,
        places=np.arange(len(column)),
    )


@for_all(PAIRS, st.data())
def test_no_change_of_these_questions_puts_the_mean_below_the_worst_interval(
    pairs: list[tuple[float, float]], data: st.DataObject
) -> None:
    numbers = list(range(len(pairs)))
    removed = data.draw(st.sets(st.sampled_from(numbers)))
    changed = data.draw(st.sets(st.sampled_from(numbers)))
    added = data.draw(st.integers(0, 5))
    differences = [a - b for a, b in pairs]
    half = 0.125
    against = rival(differences, low=float(np.mean(differences)) - half, high=float(np.mean(differences)) + half)
    low, high = validity.worst_interval(against, removed=removed, changed=changed, added=added)
    # Any world: other answers to the changed ones, any answers to those that come.
    anew = {n: data.draw(st.tuples(SCORES, SCORES)) for n in changed}
    world = [a - b for n, pair in enumerate(pairs) if n not in removed for a, b in [anew.get(n, pair)]]
    world += [a - b for a, b in data.draw(st.lists(st.tuples(SCORES, SCORES), min_size=added, max_size=added))]
    if not world:
        assert (low, high) == (-math.inf, math.inf)
        return
    # The lower end lies at least half the old interval below the mean of the world, and the interval is no narrower.
    assert low <= np.mean(world) - half + 1e-9
    assert high - low >= 2 * half - 1e-9


def test_nothing_changed_leaves_the_interval_as_it_is() -> None:
    against = rival([0.5, 0.0, 1.0], low=0.2, high=0.8)
    assert validity.worst_interval(against) == (pytest.approx(0.2), pytest.approx(0.8))


@for_all(st.lists(SCORES, min_size=2, max_size=40).filter(any), st.floats(0.1, 0.9), st.booleans())
def test_the_verdict_turns_between_the_bound_and_one_answer_before_it(
    column: list[float], share: float, simpler: bool
) -> None:
    mean = float(np.mean(column))
    against = rival(column, low=mean * share, high=mean * (2 - share) + 0.06, simpler=simpler)
    number = validity.fewest_changed(against)
    weights, sums = 1 + against.differences, np.bincount(against.groups, weights=1 + against.differences)
    orders = np.argsort(-weights, kind="stable"), np.lexsort((-weights, against.groups, -sums[against.groups]))

    def stands(order: Any, count: int) -> bool:
        return against.decides(*validity.worst_interval(against, changed=order[:count].tolist()))

    # All answers lost turn every verdict.
    assert number is not None
    assert not all(stands(order, number) for order in orders)
    assert any(stands(order, number - 1) for order in orders)


@for_all(st.lists(SCORES, min_size=2, max_size=30).filter(any), st.floats(0.1, 0.9), st.data())
def test_the_verdict_turns_between_the_bound_on_documents_and_one_document_before_it(
    column: list[float], share: float, data: st.DataObject
) -> None:
    documents = st.frozensets(st.sampled_from("abcdef"), max_size=3)
    questions = [Question(id=str(n), scores={}, documents=data.draw(documents)) for n in range(len(column))]
    mean = float(np.mean(column))
    against = rival(column, low=mean * share, high=mean * (2 - share) + 0.06)
    number = validity.fewest_documents(against, questions)
    weights = {
        name: sum(1 + column[n] for n, question in enumerate(questions) if name in question.documents)
        for name in "abcdef"
    }
    order = sorted((name for name in weights if weights[name]), key=lambda name: (-weights[name], name))

    def stands(count: int) -> bool:
        touched = [n for n, question in enumerate(questions) if question.documents & set(order[:count])]
        return against.decides(*validity.worst_interval(against, changed=touched))

    if number is None:
        assert stands(len(order))
    else:
        assert (stands(number - 1), stands(number)) == (True, False)


@for_all(st.floats(-0.5, 0.9), st.floats(0.0, 0.5), st.floats(0.0, 0.2), st.booleans(), st.floats(0, 1))
def test_a_mixture_within_the_share_decides_as_before_and_beyond_it_not(
    low: float, width: float, margin: float, simpler: bool, share: float
) -> None:
    high = min(1.0, low + width)
    against = rival([0.0], low=low, high=high, simpler=simpler, margin=margin)
    limit = validity.unlike_share(against)
    ends = (1 - share) * low - share, (1 - share) * high - share
    decides = ends[0] > 0 and ends[1] > margin if simpler else -ends[0] <= margin
    if against.bears and abs(share - limit) > 1e-9:
        assert decides == (share < limit)


@pytest.mark.parametrize(("questions", "share"), [(90, 0.1), (129, 0.0914), (23, 0.0999), (10, 0.0)])
def test_so_many_new_questions_are_within_the_share_and_one_more_is_not(questions: int, share: float) -> None:
    number = validity.most_new(questions, share)
    assert number == 0 or number / (questions + number) < share
    assert (number + 1) / (questions + number + 1) >= share - 1e-12


def test_a_mixture_of_strata_is_reweighted_at_its_edge() -> None:
    marks = [True] * 6 + [False] * 2
    questions = [Question(id=str(n), scores={}, shown=mark) for n, mark in enumerate(marks)]
    against = rival([0.5] * 6 + [-0.5] * 2, low=0.1, high=0.4)
    pair = validity.least_shown(against, questions)
    assert pair == (0.75, pytest.approx(0.65))
    # At the edge the mean has fallen by the slack.
    assert pytest.approx(against.differences.mean() - 0.1) == 0.65 * 0.5 + 0.35 * -0.5


def test_one_stratum_alone_says_nothing_of_the_mixture() -> None:
    questions = [Question(id=str(n), scores={}, shown=True) for n in range(3)]
    assert validity.least_shown(rival([0.5, 0.5, 0.5], low=0.1, high=0.4), questions) is None


def comparison(name: str, low: float, high: float) -> dict[str, Any]:
    ends = {"mean": (low + high) / 2, "low": low, "high": high, "n": 10, "failed": 0}
    return {"name": name, "estimate": ends, "p": None, "test": "", "decides": ends}


def study(chosen: str) -> Any:
    arm = {"acceptable": True, "diagnostic": False}
    return {
        "arms": {"rag": arm, "base": arm, "ft+rag": arm, "oracle": {"acceptable": True, "diagnostic": True}},
        "verdict": {"arm": chosen},
        "margin": 0.05,
        "comparisons": [
            comparison("rag - base", 0.2, 0.4),
            comparison("ft+rag - base", 0.1, 0.5),
            comparison("ft+rag - rag", -0.1, 0.02),
        ],
    }


def test_a_simpler_and_a_more_complex_rival_bound_as_the_rule_does() -> None:
    questions = [Question(id="q", scores={"rag": 1.0, "base": 0.0, "ft+rag": 1.0})]
    against = {one.name: one for one in validity.rivals(study("rag"), questions)}
    assert list(against) == ["base", "ft+rag"]
    assert (against["base"].low, against["ft+rag"].low) == (0.2, -0.02)
    # Shown better and not shown to be small; the more complex arm's gain stays within the margin.
    assert [against["base"].decides(*ends) for ends in ((0.01, 0.4), (0.0, 0.4), (0.01, 0.05))] == [True, False, False]
    assert [against["ft+rag"].decides(low, 1.0) for low in (-0.05, -0.06)] == [True, False]
    assert (against["base"].beaten, against["ft+rag"].beaten) == (True, False)


def test_an_undecided_study_has_no_rivals() -> None:
    assert validity.rivals(study(""), []) == []


def test_a_verdict_that_holds_is_not_mentioned_and_one_that_does_not_says_why() -> None:
    reason: validity.EndReason = {"dimension": "age", "then": "", "now": "", "why": "it is 9 days old"}
    other: validity.EndReason = {"dimension": "model", "then": "", "now": "", "why": "the model is another"}
    empty: Any = {"notes": [], "region": []}
    holds = validity.settled("0001-a", "", reasons=[], unknown=[], **empty)
    assert (holds["state"], validity.lines(holds)) == ("holds", [])
    expired = validity.settled("0001-a", "", reasons=[reason, other], unknown=[], **empty)
    assert validity.lines(expired) == [
        "The verdict of 0001-a no longer holds because it is 9 days old; and because",
        "- the model is another",
    ]
    unknown = validity.settled("0001-a", "", reasons=[], unknown=[other], **empty)
    assert validity.lines(unknown) == ["Whether the verdict of 0001-a still holds is not known: the model is another"]


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (None, 6.0, "questions", "up to 6 questions"),
        (0.65, None, "share", "from .650"),
        (None, None, "documents", "any"),
        (1.5, 2000.0, "EUR per hour", "from 1.5 to 2,000 EUR per hour"),
    ],
)
def test_a_range_in_words(low: float | None, high: float | None, unit: str, text: str) -> None:
    bound: validity.Bound = {
        "dimension": "questions",
        "what": "",
        "unit": unit,
        "then": 0.0,
        "low": low,
        "high": high,
        "why": "",
    }
    assert validity.bound_text(bound) == text
