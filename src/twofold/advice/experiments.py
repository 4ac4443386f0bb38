"""What would settle an advice, the cheapest first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twofold.advice.questionnaire import INQUIRIES
from twofold.advice.ranking import Ranking, Situation
from twofold.advice.reversals import LevelFlip
from twofold.advice.weights import ARMS

PROBED = frozenset({"closedbook", "retrieval", "tuning"})
"""Criteria that only probes tell."""
QUESTIONS = 200
"""Examples of a first comparison: enough to see large differences, few enough for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A step that would tell more."""

    what: str
    """What is done, and what it would tell."""
    command: str
    """The command, to be run in the project."""
    cost: str
    """What it costs, in words."""


def experiments(known: Situation, ranking: Ranking, flips: Sequence[LevelFlip]) -> tuple[Experiment, ...]:
    """Steps from the cheapest on.

    Args:
        known: Answers and facts.
        ranking: Their ranking.
        flips: What is open and would put another way first (`reversals.open_flips`).
    """
    return (*_questions(known, flips), *_data(known), *_measuring(known, ranking))


def _questions(known: Situation, flips: Sequence[LevelFlip]) -> list[Experiment]:
    """Open questions that matter, or all where nothing is known."""
    names = list(dict.fromkeys(flip.criterion for flip in flips if flip.criterion in INQUIRIES))
    if not known.grounds:
        names = ["task", "change", "labels"]
    if not names:
        return []
    ends = f"answer what is open and could turn the ranking round: {', '.join(names)}"
    return [Experiment(what=ends, command="twofold advise", cost="nothing")]


def _data(known: Situation) -> list[Experiment]:
    """Without examples nothing can be measured."""
    levels = known.levels
    if levels.get("labels", "none") != "none":
        return []
    if levels.get("documents") == "none":
        what = "write down some fifty questions with right answers: without them nothing can be measured"
        return [Experiment(what=what, command="twofold check", cost="an afternoon of someone who knows the field")]
    what = "make questions from the documents, and read them: without examples nothing can be measured"
    return [Experiment(what=what, command="twofold examples make --count 100", cost="minutes")]


def _measuring(known: Situation, ranking: Ranking) -> list[Experiment]:
    if not ranking.first:
        return []
    first, second = ranking.first, ranking.second
    steps = []
    if not PROBED & set(known.levels):
        # Without documents the probes answer without passages, and train for an arm that reads none.
        gains = "tuning" if known.levels.get("documents") == "none" else "retrieval and tuning"
        what = f"forecast what {gains} will gain, from short probes of your own questions"
        steps.append(Experiment(what=what, command="twofold advise --probe", cost="about 7 minutes"))
    if "rag" in (first, second) or "ft+rag" in (first, second):
        what = "see whether the search finds the passages that answer: no reading helps where it does not"
        steps.append(Experiment(what=what, command="twofold bench retrieval", cost="minutes, and no answer is written"))
    arms = _arms(ranking)
    if len(arms) > 1:
        trains = any(arm.startswith("ft") for arm in arms)
        cost = "a training; --plan says how long" if trains else "minutes of answering; --plan says how many"
        what = f"measure {' against '.join(arms)} on your own questions"
        steps.append(
            Experiment(what=what, command=f"twofold study --arms {','.join(arms)} --limit {QUESTIONS}", cost=cost)
        )
    return steps


def _arms(ranking: Ranking) -> list[str]:
    """The two best ways that a study measures, the simpler first; ``base`` beside a single one."""
    best = [ARMS[placement.way] for placement in ranking.eligible][:2]
    if len(best) == 1 and best[0] != "base":
        best.append("base")
    return sorted(best, key=list(ARMS.values()).index)
