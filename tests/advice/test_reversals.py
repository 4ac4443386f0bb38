"""What is said to turn the ranking round turns it round, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.advice.questionnaire import QUESTIONNAIRE, UserAnswers
from twofold.advice.ranking import rank, situation
from twofold.advice.reversals import WeightFlip, close, level_flips, open_flips, weight_flips, with_level
from twofold.advice.weights import MEASURED, WeightTable, levels_of, shipped

ANY = st.fixed_dictionaries(
    {}, optional={inquiry.name: st.sampled_from(inquiry.values) for inquiry in QUESTIONNAIRE}
).map(lambda levels: situation(UserAnswers(levels=levels)))
SUPPORT = situation(
    UserAnswers(levels={"task": "several", "change": "weekly", "labels": "thousands", "documents": "many"})
)


def weighted(table: WeightTable, name: str, weight: float) -> WeightTable:
    """The table with another weight for one criterion."""
    return WeightTable(criteria={**table.criteria, name: replace(table.criteria[name], weight=weight)})


@settings(max_examples=25, deadline=None)
@given(ANY)
def test_every_level_that_is_said_to_turn_it_does_and_no_other(known) -> None:  # type: ignore[no-untyped-def]
    table = shipped()
    first = rank(known, table).first
    said = {
        (flip.criterion, flip.after): flip.first for flip in [*level_flips(known, table), *open_flips(known, table)]
    }
    for name in (*(inquiry.name for inquiry in QUESTIONNAIRE), *MEASURED):
        for level in levels_of(name):
            other = rank(with_level(known, name, level), table).first
            assert said.get((name, level), first) == other


@settings(max_examples=25, deadline=None)
@given(ANY)
def test_every_weight_that_is_said_to_turn_it_does_just_past_its_bound(known) -> None:  # type: ignore[no-untyped-def]
    table = shipped()
    first = rank(known, table).first
    for flip in weight_flips(known, table):
        step = 1e-6 if flip.direction == "above" else -1e-6
        assert rank(known, weighted(table, flip.criterion, flip.bound + step)).first == flip.first
        between = (flip.weight + flip.bound) / 2
        if abs(between - flip.bound) > 1e-6:
            assert rank(known, weighted(table, flip.criterion, between)).first == first


@settings(max_examples=30, deadline=None)
@given(ANY, st.sampled_from([0.0, 0.3, 0.7, 1.5, 3.0, 8.0, 40.0]))
def test_no_weight_turns_it_that_is_not_said_to(known, weight: float) -> None:  # type: ignore[no-untyped-def]
    table = shipped()
    ranking = rank(known, table)
    bounds = {(flip.criterion, flip.direction): flip.bound for flip in weight_flips(known, table)}
    for name in known.grounds if ranking.second else ():
        other = rank(known, weighted(table, name, weight)).first
        if other not in (ranking.first, ""):
            direction = "above" if weight > table.criteria[name].weight else "below"
            bound = bounds.get((name, direction), 0.0)  # at a weight of 0 exactly, equal scores fall to the simpler way
            assert weight >= bound - 1e-9 if direction == "above" else weight <= bound + 1e-9


def test_the_closed_form_on_a_situation_worked_out_by_hand() -> None:
    # ft+rag 5 + 3 + 2.5 + 1 = 11.5, rag 2 + 4 + 0 + 1 = 7; the weight of task turns it at 2 − 4.5 / 1.5 < 0: never.
    table = shipped()
    ranking = rank(SUPPORT, table)
    assert [(p.way, p.score) for p in ranking.eligible[:2]] == [("ft+rag", 11.5), ("rag", 7.0)]
    bounds = {(flip.criterion, flip.direction): flip for flip in weight_flips(SUPPORT, table)}
    assert ("task", "below") not in bounds
    # change: points 1.5 against 2, so rag is ahead from 2 + 4.5 / 0.5 = 11 on
    assert bounds["change", "above"].bound == pytest.approx(11.0)
    assert bounds["change", "above"].first == "rag"


def test_close_means_that_less_than_half_more_of_a_weight_turns_it() -> None:
    flip = WeightFlip(criterion="task", weight=2.0, bound=2.9, direction="above", first="ft")
    assert close([flip])
    assert not close([WeightFlip(criterion="task", weight=2.0, bound=3.1, direction="above", first="ft")])
    assert not close([])
