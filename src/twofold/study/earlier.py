"""The newest study of the same arms: how much its differences vary, for the plan of the next one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from twofold.errors import StudyError
from twofold.reports.archive import read_answers, read_record
from twofold.stats import intervals
from twofold.verdict.power import Spreads, spreads_of


def spreads(records: Path, arms: Sequence[str], metric: str) -> Spreads | None:
    """How much the pairs vary in the newest study with these arms and this metric."""
    for path in sorted(records.glob("*/study.json"), reverse=True):
        try:
            record = read_record(path.parent)
            if record["metric"] != metric or not set(arms) <= set(record["arms"]):
                continue
            rows = read_answers(path.parent)
            if not rows:
                continue  # all its answers were taken out, for a document was forgotten
            scores = []
            for row in rows:
                answers = [row["arms"][name] for name in arms]
                # A failed answer counts 0, as in the verdict.
                scores.append([0.0 if answer["failure"] else answer["scores"].get(metric) for answer in answers])
            differences = intervals.contrasts(
                np.array(scores, dtype=float),
                [row["group"] for row in rows],
                intervals.pairs(arms),
                joint=False,
                resamples=200,  # spreads and standard errors are read, not the ends
            )
        except (StudyError, KeyError):
            continue  # a damaged record, or arms that have no question in common, tell nothing
        if differences:
            return spreads_of(differences, arms)
    return None
