"""What retraining returns, and the JSON that cron reads of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twofold.lifecycle.record import Comparison, Retrained, Retraining, Trigger, TunedArm

DUE: Trigger = {"reason": "new examples", "value": 60, "limit": 50, "due": True}
WAITING: Trigger = {"reason": "days old", "value": 3.0, "limit": 90.0, "due": False}
RETRAINED = Retrained(
    candidate="model:b",
    champion="model:a",
    arm="ft",
    data={"new": 60},
    cached=False,
    gate=None,
    effort=None,
    notes=["not gated"],
    outcome="nothing new",
    because="the data make the champion itself",
)
COMPARED = replace(
    RETRAINED,
    outcome="promoted",
    because="better",
    comparison=Comparison(
        metric="token_f1",
        difference={"mean": 0.1},
        answered={"mean": 0.1},
        scores={"candidate": {"mean": 0.5}, "champion": {"mean": 0.4}},
        against="the champion a",
        test={"n": 40},
        level=0.97,
    ),
)


@pytest.mark.parametrize(("triggers", "outcome"), [((DUE, WAITING), "due"), ((WAITING,), "not due"), ((), "not due")])
def test_without_a_candidate_the_outcome_is_that_of_the_triggers(triggers: tuple[Trigger, ...], outcome: str) -> None:
    report = Retraining(triggers=triggers)
    assert report.to_json() == {"due": outcome == "due", "triggers": list(triggers), "outcome": outcome}


def test_a_candidate_decides_the_outcome_whatever_the_triggers_say() -> None:
    report = Retraining(triggers=(WAITING,), retrained=COMPARED)
    assert (report.due, report.outcome) == (False, "promoted")
    assert report.to_json()["outcome"] == "promoted"


def test_only_a_compared_candidate_has_scores_in_its_json() -> None:
    assert "scores" not in RETRAINED.to_json()
    printed = COMPARED.to_json()
    assert printed["scores"]["champion"] == {"mean": 0.4}
    assert list(printed)[-5:] == ["against", "outcome", "test", "level", "because"], "the order in which it was printed"


def test_a_tuned_arm_prints_its_training_report_with_the_place_of_its_files() -> None:
    tuned = TunedArm(id="model:b", arm="ft", path="here", report={"key": "adapter:1", "cached": True, "steps": 3})
    assert (tuned.key, tuned.cached) == ("adapter:1", True)
    assert tuned.to_json() == {
        "key": "adapter:1",
        "cached": True,
        "steps": 3,
        "arm": "ft",
        "id": "model:b",
        "path": "here",
    }
