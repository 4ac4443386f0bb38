"""The plan of `twofold improve` for people: steps, and why the plan ends where it does."""

from __future__ import annotations

import pytest

from twofold.cli.improve import lines
from twofold.improvement.record import FORMAT, History, Improvement, Step

HISTORY: History = {"format": FORMAT, "start": None, "metric": "", "rounds": []}
STEP = Step(
    name="show 6 passages", why="9 of 24 by causes", values={"retrieval": {"k": 6}}, arm="rag", share=0.4, questions=(),
    minutes=3.0,
)  # fmt: skip


@pytest.mark.parametrize(
    "reason",
    [
        "round 2 was interrupted, and comes before any other: only planned: no step was taken",
        "the budget was spent while answers were diagnosed; the next run goes on there",
        "no wrong answer has a cause to mend",
    ],
)
def test_a_plan_says_why_it_ends(reason: str) -> None:
    plan = lines(Improvement(history=HISTORY, rounds=(), stopped=reason, open_steps=(STEP,)), "page", plan=True)
    assert plan[-1] == reason
    assert plan[0].startswith("show 6 passages: ")
    # A budget that was spent, say, leaves steps that nobody has looked for: none is said to be missing.
    assert lines(Improvement(history=HISTORY, rounds=(), stopped=reason), "page", plan=True) == [reason]
