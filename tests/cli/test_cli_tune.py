"""What `tune` says before it trains and after: minutes, and whether the model was given its chance."""

from __future__ import annotations

from dataclasses import replace

from twofold.cli.tune import ahead, short_of
from twofold.study.plan_record import TuningPlan
from twofold.verdict.record import BillItem

EFFORT = {
    "planned": 20,
    "steps": 1,
    "epochs": 0.1,
    "stopped": "minutes",
    "limit_minutes": 1.0,
    "moved": False,
    "rising": None,
    "chance": False,
    "minutes": 1.0,
    "minutes_needed": 20.0,
}
STEPS: list[BillItem] = [
    {"step": "tune ft", "items": 1, "cached": 0, "seconds": 70.0, "detail": "lora: 20 steps"},
    {"step": "dev scores of ft", "items": 40, "cached": 0, "seconds": 30.0, "detail": ""},
    {"step": "forgetting of ft", "items": 1, "cached": 0, "seconds": 120.0, "detail": ""},
]
PLAN = TuningPlan(steps=STEPS, warnings=["ft will not be given its chance"], rates="measured here")


def test_what_training_takes_and_what_follows_it_is_said_before() -> None:
    assert ahead(PLAN) == [
        "training: about 1 min 10 s (lora: 20 steps)",
        "beside it: dev scores of ft 30 s, forgetting of ft 2 min 0 s; in all about 3 min 40 s (measured here)",
        "warning: ft will not be given its chance",
    ]


def test_nothing_is_said_of_a_model_that_is_there() -> None:
    assert ahead(replace(PLAN, steps=[{**step, "cached": step["items"]} for step in STEPS])) == []
    assert ahead(replace(PLAN, steps=[])) == [], "[tuning].use names a model: there is nothing to train"


def test_a_model_that_a_limit_cut_short_is_warned_about_with_the_minutes_it_needs() -> None:
    said = short_of("ft", EFFORT)
    assert said.startswith("warning: ft was stopped by its time limit after 1 of 20 steps")
    assert "this model was not given its chance" in said
    assert said.endswith(
        "chance. Run again with --minutes 24, or without a cap: ft is then trained anew, from its first step."
    ), "one thing to do, and not a study"


def test_nothing_is_said_of_a_model_that_had_its_chance_or_whose_effort_is_unknown() -> None:
    assert short_of("ft", {**EFFORT, "chance": True}) == ""
    assert short_of("ft", None) == ""
