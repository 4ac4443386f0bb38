"""Arms of which several training runs were measured: the scores of the runs side by side. Pure.

An arm's score is the mean over its runs. A question to which a run has no answer counts as failed, and an arm as having
so many runs as it has different weights: runs that draw nothing by their seed repeat nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from twofold.stats import intervals as stats
from twofold.stats import repeats
from twofold.types import Estimate
from twofold.verdict.record import counted, estimate_text, number_text

Item = TypeVar("Item")

FEW = 3
"""From so many runs on their spread is no reason for doubt. Runs that vary by half of the questions' standard error
make an interval 2.5 times as wide as that of the questions with two runs, 1.2 times with three, 1.05 times with five;
the upper end of their standard deviation is then 32, 6.3 and 2.9 times what was seen (χ²)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The training runs of an arm."""

    count: int
    """Runs that were measured, numbered from 1."""
    different: int
    """How many different weights they have."""
    served: int
    """Number of the run whose adapter answers, chosen on dev."""
    first_seed: int
    """Seed of the first run; the others have the next numbers."""
    fallen: int = 0
    """Runs that failed the forgetting gate."""

    @property
    def repeat(self) -> bool:
        """Does more than one run tell how much training varies?"""
        return self.different > 1


def names_of(arm: str, runs: Mapping[str, Runs]) -> list[str]:
    """Names of the arms whose answers make the score of an arm: itself, or each of its runs."""
    return [f"{arm}@{number}" for number in range(1, runs[arm].count + 1)] if arm in runs else [arm]


def columns_of(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Arm → scores of shape (questions,), of several runs their mean; NaN where one of them has no score."""
    columns = {}
    for name, values in scores.items():
        column = np.asarray(values, dtype=float)
        columns[name] = column.mean(axis=0) if column.ndim == 2 else column
    return columns


def by_run(scores: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
    """Scores run by run, shape (runs, questions, arms), in the order of `columns`; None where no arm has runs.

    Args:
        scores: Arm → scores, shape (questions,) or (runs, questions).
        columns: Arm → the scores that count, shape (questions,): NaN where a question is left out, 0 where it failed.
    """
    number = max((np.shape(scores[name])[0] for name in columns if np.ndim(scores[name]) == 2), default=0)
    if not number:
        return None
    out = []
    for name, column in columns.items():
        values = np.asarray(scores[name], dtype=float)
        if values.ndim == 2:
            there = np.isfinite(values).all(axis=0)
            out.append(np.where(there, values, column))
        else:
            out.append(np.tile(column, (number, 1)))
    return np.stack(out, axis=2)


def widened(value: Estimate, values: Any, *, level: float, failed_as_wrong: bool = False) -> Estimate:
    """The interval of an arm's mean with what its runs add; as it is where `values`, its scores, are of no runs.

    Args:
        value: Of the mean over runs.
        values: Shape (questions,) or (runs, questions).
        level: Coverage wanted.
        failed_as_wrong: Questions without a score count 0; else they are left out.
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 2:
        return value
    if not np.isfinite(x).all(axis=0).any():
        return value
    return repeats.widened_estimate(value, means_of(x, failed_as_wrong=failed_as_wrong), level=level)


def means_of(values: Any, *, failed_as_wrong: bool = False) -> Any:
    """The mean score of each run, shape (runs,), on the questions that all of them answered, or on all."""
    there = np.isfinite(values).all(axis=0)
    return np.where(there, values, 0.0).mean(axis=1) if failed_as_wrong else values[:, there].mean(axis=1)


def estimate(values: Any, groups: Any, *, level: float, failed: int) -> Estimate:
    """The mean score over runs with its interval; `values`: shape (runs, questions), NaN where there is no score."""
    value = stats.estimate(np.asarray(values).mean(axis=0), groups, level=level, failed=failed)
    return widened(value, values, level=level)


def pooled(
    function: Callable[[Sequence[Item]], float],
    runs: Sequence[Sequence[Item]],
    groups: Any,
    *,
    level: float,
    seed: int,
    failed: int,
) -> Estimate:
    """The mean over runs of a statistic of all items together; `runs` has the items of each run, by questions."""

    def mean(questions: Sequence[tuple[Item, ...]]) -> float:
        return float(np.mean([function(items) for items in zip(*questions, strict=True)]))

    value = stats.pooled(mean, list(zip(*runs, strict=True)), groups, level=level, seed=seed, failed=failed)
    return repeats.widened_estimate(value, [function(items) for items in runs], level=level)


# ---------------------------------------------------------------- in words


def reasons(runs: Mapping[str, Runs], scores: Mapping[str, Any], *, level: float) -> list[str]:
    """What the runs of each arm scored, how much they differ, and which of them is served.

    Args:
        runs: Of the facts.
        scores: Arm → scores of the runs, shape (runs, questions).
        level: Of the interval of the standard deviation.
    """
    out = []
    for name, known in runs.items():
        values = np.asarray(scores.get(name, ()), dtype=float)
        if values.ndim != 2 or not known.repeat or not np.isfinite(values).all(axis=0).any():
            continue
        means = means_of(values, failed_as_wrong=True)
        sd: Any = repeats.spread(means, level=level)
        shown = estimate_text({"mean": sd.mean, "low": sd.low, "high": sd.high})
        each = ", ".join(number_text(float(mean)) for mean in means)
        out.append(
            f"{name}: the score is the mean of {counted(known.count, 'training run')} ({each}), whose standard "
            f"deviation is {shown}; every interval includes it. The adapter of run {known.served} answers, chosen on "
            "dev: what is promised of it is the mean"
        )
    return out


def doubts(arms: Sequence[str], runs: Mapping[str, Runs]) -> list[str]:
    """Are there too few training runs to tell how much another seed would change?

    Args:
        arms: The tuned arms.
        runs: Those of which several runs were measured.
    """
    out = []
    single = [name for name in arms if name not in runs]
    if single:
        these = "this adapter" if len(single) == 1 else "these adapters"
        out.append(
            f"one training run of {_listed(single)}: the scores are of {these}, and another seed may give other weights"
        )
    for name in arms:
        if name in runs and runs[name].fallen:
            fallen = f"{runs[name].fallen} of {counted(runs[name].count, 'training run')} of {name}"
            out.append(f"{fallen} failed the forgetting gate: training anew may end so, too")
    alike = [name for name in arms if name in runs and not runs[name].repeat]
    if alike:
        out.append(
            f"all training runs of {_listed(alike)} gave the same weights: the trainer draws nothing by its seed, and "
            "what other chance there is in it is not measured"
        )
    few = [name for name in arms if name in runs and runs[name].repeat and runs[name].count < FEW]
    if few:
        out.append(
            f"two training runs of {_listed(few)} tell little of how much others would differ, and make the intervals "
            f"wide: {FEW} or more are wanted ([study].seeds)"
        )
    return out


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
