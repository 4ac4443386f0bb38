"""Prices of steps: the trial and made questions are in them, what is done already is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from twofold.errors import StudyError
from twofold.improvement import pricing
from twofold.improvement.record import Step
from twofold.project import Project
from twofold.types import Json

STEP = Step(name="tune", why="", values={"study": {"arms": ["ft"]}}, arm="ft", share=0.5, questions=("a",) * 30)
PROJECT = SimpleNamespace(
    config=SimpleNamespace(tuning=SimpleNamespace(seed=3)), splits=SimpleNamespace(train=range(20))
)


class Opened:
    """Plans a training of 100 s and 40 answers of 2 s, half of which are in the store."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.seen: list[Json] = []

    @contextmanager
    def __call__(self, values: Json) -> Iterator[Project]:
        self.seen.append(values)
        yield SimpleNamespace(plan=self.plan)  # type: ignore[misc]

    def plan(self) -> SimpleNamespace:
        if self.fails:
            raise StudyError("nothing can be trained")
        steps = [
            {"step": "tune ft", "items": 1, "cached": 0, "seconds": 100.0},
            {"step": "answer ft", "items": 40, "cached": 20, "seconds": 40.0},
        ]
        return SimpleNamespace(steps=steps, minutes=140 / 60, unpriced=[], cost=1.5)


def price(step: Step, opened: Opened, *, trial: int = 0) -> Step:
    return pricing.priced(step, PROJECT, opened, trial=trial)  # type: ignore[arg-type]


def test_the_answers_of_the_trial_are_in_the_price() -> None:
    assert price(STEP, Opened()).minutes == pytest.approx(140 / 60)
    assert price(STEP, Opened(), trial=30).minutes == pytest.approx(200 / 60)


def test_made_questions_lengthen_the_training() -> None:
    opened = Opened()
    # Sixty questions beside 20 examples: the training four times.
    assert price(replace(STEP, gaps=True), opened).minutes == pytest.approx(440 / 60)
    assert opened.seen == [{"study": {"arms": ["ft"]}, "tuning": {"seed": 4}}], "a training that is not in the store"


def test_a_step_that_cannot_be_planned_is_left_to_a_person() -> None:
    step = price(replace(STEP, gaps=True), Opened(fails=True))
    assert step.for_a_person
    assert "nothing can be trained" in step.why


def test_an_interrupted_round_costs_what_is_left_of_it(tmp_path: Path) -> None:
    begun = replace(STEP, minutes=90.0, cost=9.0)
    rest = pricing.remaining(begun, Opened(), {"a": 1})
    assert rest.minutes == pytest.approx(140 / 60)
    assert rest.cost == 1.5
    assert pricing.remaining(begun, Opened(fails=True), {}) == begun
