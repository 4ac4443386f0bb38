"""The ledger: how often each cause is at fault, with intervals over groups; it adds up to all wrong answers. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from twofold.diagnosis.case import Case
from twofold.diagnosis.causes import CAUSES
from twofold.diagnosis.changes import Trial
from twofold.diagnosis.procedure import Diagnosed
from twofold.diagnosis.record import DiagnosedRow, LedgerRow, TrialRow
from twofold.stats import intervals

_SHOWN = 2000
"""Characters of a new answer in the record: one that repeats itself up to the limit needs no more to be seen."""


def ledger(rows: Sequence[DiagnosedRow], *, level: float) -> list[LedgerRow]:
    """Causes of diagnosed answers, in the order of `CAUSES`; shares are of these answers, and add up to 1."""
    places: dict[str, int] = {}
    # Shape (rows,): the group of each answer; answers of one group are not independent.
    groups = [places.setdefault(row["group"], len(places)) for row in rows]
    out: list[LedgerRow] = []
    for cause, (label, cure) in CAUSES.items():
        mine = [row["cause"] == cause for row in rows]
        if not any(mine):
            continue
        share = intervals.estimate([float(one) for one in mine], groups, level=level)
        ids = [row["id"] for row, one in zip(rows, mine, strict=True) if one]
        out.append(
            {
                "cause": cause,
                "label": label,
                "count": len(ids),
                "share": share.mean,
                "low": share.low,
                "high": share.high,
                "cure": cure,
                "examples": ids[:5],
            }
        )
    return out


def diagnosed_row(case: Case, diagnosed: Diagnosed, trials: Sequence[Trial]) -> DiagnosedRow:
    """The row of one wrong answer."""
    return {
        "id": case.example.id,
        "group": case.example.group,
        "cause": diagnosed.cause,
        "parts": list(diagnosed.parts),
        "by": diagnosed.by,
        "detail": diagnosed.detail,
        "trials": [_trial_row(trial) for trial in trials],
    }


def _trial_row(trial: Trial) -> TrialRow:
    passages = []
    for chunk in trial.change.passages:
        passages.append({"document": chunk.span.document, "start": chunk.span.start, "end": chunk.span.end})
    return {
        "change": trial.change.name,
        "right": trial.right,
        "score": trial.score,
        "text": trial.text[:_SHOWN],
        "failure": trial.failure,
        "passages": passages,  # type: ignore[typeddict-item]
        "tokens": trial.usage.prompt_tokens + trial.usage.completion_tokens,
    }


def sampled(groups: Mapping[str, str], limit: int, *, seed: int) -> list[str]:
    """Names of at most `limit` cases, whole groups in random order; all of them where there are no more.

    Args:
        groups: Name of a case → its group.
        limit: Most cases; 0 for no limit.
        seed: Of the order.
    """
    if not limit or len(groups) <= limit:
        return list(groups)
    order = sorted(set(groups.values()))
    random.Random(seed).shuffle(order)
    chosen: list[str] = []
    for group in order:
        chosen += [name for name, other in groups.items() if other == group]
    # The last group is cut: a limit is a limit, because every answer costs re-runs.
    chosen = chosen[:limit]
    return [name for name in groups if name in set(chosen)]
