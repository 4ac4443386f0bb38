"""The steps that would settle an advice name commands that do what they say."""

from __future__ import annotations

import shlex

import pytest

from twofold.advice.opinion import advise
from twofold.advice.questionnaire import UserAnswers
from twofold.advice.ranking import ProjectFact
from twofold.config import Config

ANSWERS = UserAnswers(levels={"task": "questions", "change": "yearly", "volume": "low"})


@pytest.mark.parametrize(
    ("level", "arms"), [("prompt", ["whole", "rag"]), ("many", ["rag", "ft+rag"]), ("none", ["linear", "base"])]
)
def test_the_two_best_ways_are_measured_by_their_arms(level: str, arms: list[str]) -> None:
    stated = UserAnswers(levels={"task": "classification", "labels": "hundreds"}) if level == "none" else ANSWERS
    fact = ProjectFact(criterion="documents", level=level, text="some", source="documents")
    steps = advise(stated, (fact,), at="2026-01-01T00:00:00+00:00", project="p")["steps"]
    (step,) = [step for step in steps if "study --arms" in step["command"]]
    words = shlex.split(step["command"])
    named = words[words.index("--arms") + 1].split(",")
    # A command that is printed must be accepted, and begin with the simplest.
    complexities = [Config().arm(name).complexity for name in named]
    assert complexities == sorted(complexities)
    assert set(named) & set(arms)


@pytest.mark.parametrize(("documents", "gains"), [("none", "tuning"), ("many", "retrieval and tuning")])
def test_no_gain_of_retrieval_is_forecast_without_documents(documents: str, gains: str) -> None:
    stated = UserAnswers(levels={"task": "structured", "labels": "hundreds", "documents": documents})
    steps = advise(stated, at="2026-01-01T00:00:00+00:00", project="p")["steps"]
    (probe,) = [step for step in steps if "--probe" in step["command"]]
    assert probe["what"].startswith(f"forecast what {gains} will gain")
