"""Judge how far a tuned arm was trained: whether it was given its chance, in words, and what to do about it. Pure.

`effort` is the mapping of that name in a training report (``training.json``): steps done of planned, why training
stopped, whether the loss fell; and ``method`` where several methods tuned an arm and this one is unfinished. The effort
of a model without one (a fine-tuning job elsewhere, an older artifact) is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.training.schedule import CHANCE
from twofold.verdict.record import counted, number_text

Effort = Mapping[str, Any]

STOPPED = {
    "plan": "all planned steps were done",
    "patience": "the dev score stopped rising",
    "minutes": "time limit",
    "euros": "money limit",
    "nan": "the loss was not a number",
}
"""Why training ended, in words."""


def unfinished(effort: Effort | None) -> bool:
    """Was the arm trained, but not given its chance? False where its effort is unknown."""
    return effort is not None and not effort["chance"]


def shortfall(arm: str, effort: Effort) -> str:
    """The reason why an unfinished arm had no chance, as a clause whose subject is the arm.

    Where several methods tuned it, `effort` names the one that was not given its chance.
    """
    if effort.get("method"):
        arm = f"{arm} (method {effort['method']})"
    done = f"{effort['steps']} of {counted(effort['planned'], 'step')}"
    if _cut(effort):
        needed = effort.get("minutes_needed")
        about = f" (about {_minutes(needed)} are needed here)" if needed else ""
        return f"{arm} was stopped by its {STOPPED[effort['stopped']]} after {done}{about}"
    if effort["stopped"] == "nan":
        return f"{arm}'s training broke down after {done}: the loss was not a number"
    if not effort["moved"]:
        return f"{arm}'s training loss did not move ({counted(effort['steps'], 'step')})"
    return f"{arm} was trained for {done} only"


def _cut(effort: Effort) -> bool:
    """Did a limit leave too few of the planned steps?"""
    # A cap that let nine tenths of the plan through is no reason to wait for the arm (decision 10).
    return effort["stopped"] in ("minutes", "euros") and effort["steps"] < CHANCE * effort["planned"]


def cure(arm: str, effort: Effort) -> str:
    """The cure of an unfinished arm, as a sentence."""
    stopped = effort["stopped"]
    if _cut(effort):
        flag = "--minutes or " if stopped == "minutes" else ""
        return (
            f"Raise or remove the cap ({flag}{stopped} in [tuning.trainer.options]) and run the study again: "
            f"{arm} is then trained anew, from its first step."
        )
    if stopped == "nan":
        return f"Lower the learning rate in the options of [tuning].trainer and train {arm} again."
    return (
        f"Raise or lower the learning rate in the options of [tuning].trainer, or raise epochs; then train {arm} again."
    )


def effort_row(arm: str, effort: Effort | None) -> dict[str, str]:
    """The effort of one tuned arm as the cells of a table, headings as keys."""
    if effort is None:
        return dict.fromkeys(
            ("steps", "epochs", "stopped by", "loss moved", "dev first → best", "rose at end"), "–"
        ) | {
            "arm": arm,
            "verdict": "unknown",
        }
    first, best = effort.get("dev_first"), effort.get("dev_best")
    return {
        "arm": arm,
        "steps": f"{effort['steps']} of {effort['planned']}",
        "epochs": number_text(effort["epochs"], 2),
        "stopped by": _stopped(effort),
        "loss moved": "yes" if effort["moved"] else "no",
        "dev first → best": "–" if first is None or best is None else f"{number_text(first)} → {number_text(best)}",
        "rose at end": {True: "yes", False: "no"}.get(effort.get("rising"), "–"),  # type: ignore[arg-type]
        "verdict": "given its chance" if effort["chance"] else "not given its chance",
    }


HEADS = ("arm", "steps", "epochs", "stopped by", "loss moved", "dev first → best", "rose at end", "verdict")
"""Columns of the table of efforts."""


def effort_table(arms: Mapping[str, Any]) -> list[list[str]]:
    """Heading and a row for every tuned arm of a record; empty without tuned arms."""
    tuned = {name: arm["training"] for name, arm in arms.items() if arm["training"]}
    if not tuned:
        return []
    rows: Sequence[dict[str, str]] = [effort_row(name, training.get("effort")) for name, training in tuned.items()]
    return [list(HEADS), *(list(map(row.__getitem__, HEADS)) for row in rows)]


def _stopped(effort: Effort) -> str:
    briefly = {"plan": "plan (done)", "patience": "patience", "nan": "nan"}
    limit = effort.get("limit_minutes")
    reason = briefly.get(effort["stopped"], STOPPED.get(effort["stopped"], str(effort["stopped"])))
    return f"{reason} of {_minutes(limit)}" if effort["stopped"] == "minutes" and limit else reason


def _minutes(value: float) -> str:
    if value < 1:
        return counted(max(1, round(60 * value)), "second")
    if value >= 10:
        return f"{round(value)} minutes"
    return counted(float(f"{value:.2g}"), "minute")
