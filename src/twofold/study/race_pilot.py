"""What scores of a race's arms are known before it: how often they disagree, and how a race among them would go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twofold.assembly.workspace import Workspace
from twofold.errors import StudyError, TwofoldError
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.reports.archive import read_answers, read_record
from twofold.stats import intervals
from twofold.stats.betting import Array
from twofold.study.earlier import score_of
from twofold.types import Arm

FEWEST = 20
"""Questions that two arms must have answered, for their scores to foretell anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """Scores of arms that a race is planned for."""

    source: str
    """Where they come from, in words."""
    arms: tuple[str, ...]
    """Those with scores, from simple to complex."""
    values: Array
    """A failed answer 0; NaN where there is no score. Shape (questions, arms)."""
    groups: tuple[str, ...]
    """Of the questions."""

    @property
    def low(self) -> float:
        """Mean score of all arms but the best."""
        means = sorted(np.nanmean(self.values, axis=0))
        return float(np.mean(means[:-1]))

    def disagree(self, *, level: float = 0.95) -> tuple[float, float]:
        """Ends of the interval of the variance of a question's difference of two arms, in the mean over pairs.

        Of scores of 0 and 1 with equal means that is the share of the questions on which the arms disagree.
        """
        pairs = []
        for place in range(len(self.arms)):
            for other in range(place):
                pairs.append(self.values[:, place] - self.values[:, other])
        gaps = np.stack(pairs, axis=1)  # (questions, pairs)
        known = np.isfinite(gaps).any(axis=1)
        squares = np.nanmean(gaps[known] ** 2, axis=1)
        groups = np.unique(np.array(self.groups)[known], return_inverse=True)[1]
        whole = intervals.estimate(squares, groups, level=level)
        gained = float(np.nanmean(np.nanmean(gaps, axis=0) ** 2))
        # What the arms gain in the mean is no disagreement by chance.
        return max(0.0, whole.low - gained), max(0.0, whole.high - gained)

    def table(self) -> Array | None:
        """Mean score of every arm in each group whose questions all arms answered; None for fewer than `FEWEST`."""
        whole = np.isfinite(self.values).all(axis=1)
        if whole.sum() < FEWEST:
            return None
        labels = np.unique(np.array(self.groups)[whole], return_inverse=True)[1]
        sums = np.zeros((labels.max() + 1, len(self.arms)))
        np.add.at(sums, labels, self.values[whole])
        table: Array = sums / np.bincount(labels)[:, None]
        return table


def known(
    workspace: Workspace, splits: Splits, records: Path, *, arms: Sequence[Arm], metric: tuple[str, str]
) -> Pilot | None:
    """Scores of these arms: of stored answers before any test, else of the newest study with them; None for none.

    Args:
        workspace: Of the project; its catalogue has the answers of probes.
        splits: Its examples.
        records: Directory of finished studies.
        arms: Of the race, from simple to complex.
        metric: Name and key of the deciding metric.
    """
    return _usable(_before(workspace, splits, arms, metric[1])) or _usable(_earlier(records, arms, metric))


def _usable(pilot: Pilot | None) -> Pilot | None:
    """Those with at least two arms that have `FEWEST` questions in common."""
    if pilot is None or len(pilot.arms) < 2:
        return None
    return pilot if np.isfinite(pilot.values).all(axis=1).sum() >= FEWEST else None


def _before(workspace: Workspace, splits: Splits, arms: Sequence[Arm], metric: str) -> Pilot | None:
    """What `twofold advise --probe` and other work has asked of dev and train, by the systems of now."""
    examples = (*splits.dev, *splits.train)
    digests, dev = Questions.of(examples).digests, len(splits.dev)
    columns: dict[str, list[float | None]] = {}
    for arm in arms:
        try:
            key = workspace.of(arm).arms.known_key(arm, splits)
        except TwofoldError:
            continue  # an arm that cannot be opened yet has answered nothing
        scores = workspace.catalogue.scores.get(key, metric) if key else {}
        # Who learns from the training examples answers these better than others.
        usable = digests[:dev] if arm.learns else digests
        if any(digest in scores for digest in usable):
            columns[arm.name] = [scores.get(digest) for digest in usable] + [None] * (len(digests) - len(usable))
    if len(columns) < 2:
        return None
    return Pilot(
        source="stored answers of these arms to dev and train questions",
        arms=tuple(columns),
        values=np.array([*columns.values()], dtype=float).T,  # (questions, arms)
        groups=tuple(str(example.group or example.id) for example in examples),
    )


def _earlier(records: Path, arms: Sequence[Arm], metric: tuple[str, str]) -> Pilot | None:
    names = [arm.name for arm in arms]
    for path in sorted(records.glob("*/study.json"), reverse=True):
        try:
            record = read_record(path.parent)
            key = record.get("metric_keys", {}).get(metric[0], metric[1])
            if record["metric"] != metric[0] or key != metric[1] or not set(names) <= set(record["arms"]):
                continue
            rows = read_answers(path.parent)
        except (StudyError, KeyError):
            continue  # a damaged record tells nothing
        if rows:
            values = []
            for row in rows:
                values.append([score_of(row["arms"].get(name), metric[0]) for name in names])
            return Pilot(
                source=f"study {record['study']}",
                arms=tuple(names),
                values=np.array(values, dtype=float),
                groups=tuple(row["group"] for row in rows),
            )
    return None
