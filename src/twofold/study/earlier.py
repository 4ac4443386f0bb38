"""The gains that a study could show, by how much the newest one of the same arms varied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from twofold.config import Config
from twofold.errors import StudyError
from twofold.examples.splitting import Splits
from twofold.plugins import loading
from twofold.plugins.traits import MetricTraits
from twofold.reports.archive import read_answers, read_record
from twofold.stats import intervals
from twofold.study.plan import group_sizes
from twofold.verdict.power import Prospect, Spreads, prospect, spreads_of
from twofold.verdict.record import ArmAnswer


def score_of(answer: ArmAnswer | None, metric: str) -> float | None:
    """The score as the verdict counts it: a failed answer 0; None where there is none."""
    if answer is None:
        return None
    return 0.0 if answer["failure"] else answer["scores"].get(metric)


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
                # An arm that a race deferred was not asked every question: pairs are of those that both were asked.
                answers = [row["arms"].get(name) for name in arms]
                scores.append([score_of(answer, metric) for answer in answers])
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


def seen_by(
    splits: Splits,
    config: Config,
    *,
    arms: int,
    level: float,
    final: bool = False,
    earlier: Spreads | None = None,
) -> Prospect:
    """The gains that the study could show, decided at the level of its look; see `power.prospect`."""
    name = config.study.decides.name
    # How often two arms disagree on a question says nothing of a statistic of all answers together, and a stored study
    # has no score of its single questions.
    if MetricTraits.of(loading.find("metrics", name)).pooled:
        return Prospect(chances=(), best=(), least=None, statistic=name)
    sizes = group_sizes(splits.reserve if final else splits.test)
    return prospect(sizes, arms=arms, section=config.study, level=level, earlier=earlier)
