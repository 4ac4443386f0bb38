"""What two studies are compared by where that is no mean of scores with an interval of a fixed number of questions.

A pooled metric is worked out again from the stored answers to the questions that both asked, with the cluster
jackknife of `stats.pooling`, as it decides a study. A race that stopped early is compared by bets on the differences of
groups, in the order of the race, which hold whenever it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from twofold.errors import StudyError
from twofold.plugins.protocols import Metric, Pools
from twofold.plugins.traits import MetricTraits
from twofold.reports.comparison import Stored, stopped_early
from twofold.reports.side_by_side import ComparedAnswer, Estimates, Statistic, groups_of, level_of
from twofold.stats import betting, pooling
from twofold.stats.pooling import PooledScores
from twofold.study.pooled import item_of
from twofold.study.replaying import answer_of, example_of
from twofold.study.scorer_check import gold_answer
from twofold.study.shards import order_of
from twofold.study.verifying import read_certificate, replayed_metric
from twofold.types import Answer, Estimate, Example
from twofold.verdict.certificate import FILE
from twofold.verdict.record import AnswerRow, StudyRecord

_DIFFERENCE = {"second - first": np.array([-1.0, 1.0])}


def statistics(first: Stored, second: Stored, *, directory: Path) -> Callable[[tuple[str, str], str], Statistic | None]:
    """What `reports.comparison.compare` compares of two arms in a metric.

    Args:
        first: The earlier study.
        second: The other.
        directory: Of the other, with its certificate, which has the options of its metrics.
    """
    records = first[0], second[0]

    def of(arms: tuple[str, str], metric: str) -> Statistic | None:
        scorer = _pooled_metric(directory, metric)
        if scorer is not None:
            estimates = partial(_pooled, scorer, arms, level=level_of(*records), seed=_seed(records[1]))
            return Statistic(estimates=estimates, kind="pooled", score=partial(_score, scorer))
        seed = _order_seed(records, arms)
        if seed is None:
            return None
        return Statistic(
            estimates=partial(_anytime, races=_races(records, arms), seed=seed, level=level_of(*records)),
            kind="anytime",
        )

    return of


# ---------------------------------------------------------------- pooled metrics


def _pooled_metric(directory: Path, name: str) -> Metric | None:
    """The metric as it scored the study, where it is pooled; None where it scores questions, or is not to be had."""
    try:
        row = read_certificate(directory / FILE)["metrics"].get(name)
    except StudyError:
        return None  # a study of before, without a certificate
    if row is None or row["replay"]:
        return None
    metric = replayed_metric(name, row)
    return None if isinstance(metric, str) or not MetricTraits.of(metric).pooled else metric


def _score(metric: Metric, row: AnswerRow, arm: str) -> float | None:
    answer = answer_of(row, arm)
    return None if answer.failure is not None else metric.score(example_of(row), answer)


def _pooled(
    metric: Metric, arms: tuple[str, str], answers: Sequence[ComparedAnswer], *, level: float, seed: int
) -> Estimates:
    sides: list[list[tuple[Example, Answer]]] = []
    for place, arm in enumerate(arms):
        rows = [pair.after if place else pair.before for pair in answers]
        sides.append([(example_of(row), answer_of(row, arm)) for row in rows])
    # As in a study: a question counts where a right answer of it has a score.
    right: list[list[float | None]] = []
    for side in sides:
        right.append([metric.score(example, gold_answer(example)) for example, _ in side])
    counted = [at for at, scores in enumerate(zip(*right, strict=True)) if None not in scores]
    answered: list[bool] = []
    for side in sides:
        answered.append(any(side[at][1].failure is None for at in counted))
    if not any(answered):
        return (None, None), None
    groups = np.array(groups_of([answers[at] for at in counted]))
    folds = pooling.folds_of(groups, seed=seed)
    columns: list[PooledScores] = []
    for side in sides:
        lost = sum(side[at][1].failure is not None for at in counted)
        items = [item_of(metric, *side[at]) for at in counted]
        columns.append(pooling.pooled_scores(cast(Pools, metric).pool, items, folds, level=level, failed=lost))
    values = np.stack([column.scores for column in columns], axis=1)  # (questions, studies)
    contrast = pooling.contrasts(values, folds, _DIFFERENCE, level=level, seed=seed)
    failed = 0
    for at in counted:
        failed += any(side[at][1].failure is not None for side in sides)
    means = [column.estimate if known else None for column, known in zip(columns, answered, strict=True)]
    return (means[0], means[1]), contrast["second - first"].estimate(failed=failed)


# ---------------------------------------------------------------- races


def _seed(record: StudyRecord) -> int:
    return int(record["config"]["study"]["seed"])


def _races(records: tuple[StudyRecord, StudyRecord], arms: tuple[str, str]) -> tuple[bool, bool]:
    """Which of the studies is a race that left out questions of its arm."""
    early = stopped_early(records, arms)
    return records[0]["study"] in early, records[1]["study"] in early


def _order_seed(records: tuple[StudyRecord, StudyRecord], arms: tuple[str, str]) -> int | None:
    """The seed of the order of the questions; None where no race stopped early, or two did in different orders."""
    seeds = {_seed(record) for record, raced in zip(records, _races(records, arms), strict=True) if raced}
    return seeds.pop() if len(seeds) == 1 else None


def _anytime(answers: Sequence[ComparedAnswer], *, races: tuple[bool, bool], seed: int, level: float) -> Estimates:
    """Means and their difference with confidence sequences over the groups in the order of the race.

    The order is a hash of the group, and when a race stops follows from the groups before: bets that hold after every
    group hold where it stopped. Where a race's groups are not those of the other study, two of its groups may be one
    here, which is taken in at the place of its last.
    """
    pairs = [answer for answer in answers if None not in answer.counted]
    if all(score is None for answer in pairs for score in answer.scores):
        return (None, None), None
    names = [(pair.before if races[0] else pair.after)["group"] for pair in pairs]
    places = {name: place for place, name in enumerate(order_of(set(names), seed=seed))}
    merged = groups_of(pairs)
    last: dict[int, int] = {}
    for group, name in zip(merged, names, strict=True):
        last[group] = max(last.get(group, 0), places[name])
    order = sorted(last, key=lambda group: last[group])
    values = np.array([pair.counted for pair in pairs], dtype=float)  # (questions, studies)
    rows = {group: np.flatnonzero(np.array(merged) == group) for group in order}
    sizes = np.array([len(rows[group]) for group in order])
    table = np.stack([values[rows[group]].mean(axis=0) for group in order])  # (groups, studies)
    # Each end is ruled out by a bet of its own, which has half of the error.
    bets = betting.Race(sizes, arms=2, alpha=(1 - level) / 2)
    shown = np.full(table.shape, np.nan)
    for group, means in enumerate(table):
        shown[group] = means
        bets.look(shown)
    ends = [bets.mean(side, level=level) for side in range(2)]
    means = []
    for side in range(2):
        means.append(_mean([pair.scores[side] for pair in pairs], ends[side]))
    low, high = bets.difference(1, 0)
    mean = float((values[:, 1] - values[:, 0]).mean())
    failed = sum(None in pair.scores for pair in pairs)
    difference = Estimate(mean=mean, low=min(low, mean), high=max(high, mean), n=len(pairs), failed=failed)
    return (means[0], means[1]), difference


def _mean(scores: Sequence[float | None], ends: tuple[float, float]) -> Estimate | None:
    """The mean of what was scored, with the ends of its confidence sequence; None where every answer failed."""
    known = [score for score in scores if score is not None]
    if not known:
        return None
    mean, failed = float(np.mean(known)), len(scores) - len(known)
    # A failed answer counts 0 in the sequence and is in no mean, which may so lie outside.
    return Estimate(mean=mean, low=min(ends[0], mean), high=max(ends[1], mean), n=len(known), failed=failed)
