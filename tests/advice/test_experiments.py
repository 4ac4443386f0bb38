"""The steps that would settle an advice name commands that do what they say."""

from __future__ import annotations

import re
import shlex

import pytest

from twofold.advice.opinion import advise
from twofold.advice.questionnaire import UserAnswers
from twofold.advice.ranking import ProjectFact
from twofold.cli.session import parse_settings
from twofold.config import Config

ANSWERS = UserAnswers(levels={"task": "questions", "change": "yearly", "volume": "low"})


def whole_step(count: int) -> tuple[str, int]:
    """What the step says that puts whole documents into the prompt, and how many passages its command shows."""
    fact = ProjectFact(criterion="documents", level="prompt", text="some", source="documents", count=count)
    steps = advise(ANSWERS, (fact,), at="2026-01-01T00:00:00+00:00", project="p")["steps"]
    (step,) = [step for step in steps if "chunker.name=whole" in step["command"]]
    words = shlex.split(step["command"])
    settings = parse_settings([words[n + 1] for n, word in enumerate(words) if word == "--set"])
    # A command that is printed must be accepted.
    return step["what"], Config.model_validate({"project": {"name": "p"}, **settings}).retrieval.k


@pytest.mark.parametrize(
    ("count", "shown", "says"),
    [
        (40, 40, r"as many as there are$"),
        (1200, 100, r"or, of your 1,200, the 100 nearest to the question$"),
        (0, 5, r"raise retrieval\.k to their number"),
    ],
)
def test_whole_documents_are_all_shown(count: int, shown: int, says: str) -> None:
    what, passages = whole_step(count)
    assert passages == shown
    assert re.search(says, what)


@pytest.mark.parametrize(("documents", "gains"), [("none", "tuning"), ("many", "retrieval and tuning")])
def test_no_gain_of_retrieval_is_forecast_without_documents(documents: str, gains: str) -> None:
    stated = UserAnswers(levels={"task": "structured", "labels": "hundreds", "documents": documents})
    steps = advise(stated, at="2026-01-01T00:00:00+00:00", project="p")["steps"]
    (probe,) = [step for step in steps if "--probe" in step["command"]]
    assert probe["what"].startswith(f"forecast what {gains} will gain")
