"""What to do about the cause of an alarm, with the command to type. Nothing is done before a person says so. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from twofold.monitoring import validity_watch
from twofold.monitoring.record import AlarmCause, CauseName, Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    action: Literal["sync", "re-index", "re-study", "re-tune", "look"]
    command: str
    why: str
    tuned: bool = False
    """Only where a tuned model answers."""


_REBUILD = "Vectors of two kinds do not compare: embed every document again with the embedder that is configured."
_MEASURE = "Measure the arms again: the verdict was reached under other circumstances."
_STEPS: dict[CauseName, tuple[_Step, ...]] = {
    "embedder changed": (
        _Step(action="re-index", command="twofold sync --rebuild", why=_REBUILD),
        _Step(action="re-study", command="twofold study", why=_MEASURE),
    ),
    "chunking changed": (
        _Step(
            action="re-index",
            command="twofold sync --rebuild",
            why="Cut and embed every document in the same way again.",
        ),
        _Step(action="re-study", command="twofold study", why=_MEASURE),
    ),
    "near duplicates": (
        _Step(
            action="look",
            command="twofold index diff",
            why="See which documents came in, and take the copies out of their source.",
        ),
        _Step(action="sync", command="twofold sync", why="Take over the source without the copies."),
    ),
    "stale documents": (
        _Step(action="sync", command="twofold sync", why="Take over what changed in the sources since the last sync."),
    ),
    "documents removed": (
        _Step(
            action="look",
            command="twofold index diff",
            why="See which documents are no longer there; `twofold index restore` brings a version back.",
        ),
        _Step(action="re-study", command="twofold study", why=_MEASURE),
    ),
    "source missing": (
        _Step(
            action="sync",
            command="twofold sync",
            why="Bring the source back, or take it out of twofold.toml; then take over what is there.",
        ),
    ),
    "questions moved": (
        _Step(
            action="re-study",
            command="twofold study",
            why="Add examples like the questions that people ask now, and measure the arms on them.",
        ),
        _Step(
            action="re-tune",
            command="twofold tune --from champion",
            why="Train again with the new examples; the model in use stays unless the new one is better.",
            tuned=True,
        ),
    ),
    "slow part": (
        _Step(
            action="look",
            command="twofold doctor",
            why="See what the machine and its parts lack, and whether a service of the slow part is down.",
        ),
    ),
    "model changed": (
        _Step(
            action="look",
            command="twofold models list",
            why="See which model answers, and since when; `twofold models rollback` points back to the one before. "
            "Where settings changed, set them back in twofold.toml.",
        ),
        _Step(action="re-study", command="twofold study", why=_MEASURE),
    ),
    "answers degraded": (
        _Step(action="re-study", command="twofold study", why=_MEASURE),
        _Step(
            action="re-tune",
            command="twofold tune --from champion",
            why="Train again on today's examples; the model in use stays unless the new one is better.",
            tuned=True,
        ),
    ),
    "cost moved": (
        _Step(action="look", command="twofold cost", why="See what an answer costs by arm with today's prices."),
    ),
    "unknown": (
        _Step(
            action="look",
            command="twofold watch --list",
            why="See since when the signals alarm, and what changed in the project then.",
        ),
    ),
}


def proposals(causes: Sequence[AlarmCause], *, tuned: bool) -> list[Proposal]:
    """What to do about causes, in the order of the causes, each command once.

    Args:
        causes: Of one look.
        tuned: A tuned model answers.
    """
    by_command: dict[str, Proposal] = {}
    for proposal in chain.from_iterable(_of(cause, tuned=tuned) for cause in causes):
        first = by_command.get(proposal["command"])
        # A command is typed once, whatever it is good for.
        evidence = [*first["evidence"], *proposal["evidence"]] if first else proposal["evidence"]
        by_command[proposal["command"]] = {**(first or proposal), "evidence": list(dict.fromkeys(evidence))}
    return list(by_command.values())


def _of(cause: AlarmCause, *, tuned: bool) -> list[Proposal]:
    if cause["cause"] == validity_watch.CAUSE:
        return [validity_watch.proposal(cause)]
    return [
        {
            "action": step.action,
            "command": step.command,
            "why": step.why,
            "cause": cause["cause"],
            "evidence": cause["evidence"],
        }
        for step in _STEPS[cause["cause"]]
        if tuned or not step.tuned
    ]
