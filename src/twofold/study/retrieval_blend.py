"""What the word leg should weigh in a project's hybrid search: chosen on its questions, or left as it is.

Weights of a grid are compared with the default on the same questions. Another one is advised only where its gain, less
1.64 cluster-robust standard errors, is above 0: on few questions the default stays, which is the shrinkage. Questions
made of the documents' own words flatter the word leg (agvaluate: they prefer a weight that loses 3.9 points of nDCG@10
on people's questions), so that they may only ever lower its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold import plugins, stats
from twofold.build import Builder, quiet
from twofold.config import laid_over
from twofold.errors import ConfigError
from twofold.plugins import Progress
from twofold.study.compose import groups_of, numbers
from twofold.study.retrieval_bench import METRICS, Rules, held_measure, opened, titled
from twofold.types import Example, Json

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
"""Tried beside the one in force; 0 is the dense leg alone."""
SURE = 1.64
"""Standard errors that a gain must exceed: one side of 95 %."""


def blend(base: Builder, examples: Sequence[Example], rules: Rules, *, progress: Progress = quiet) -> Json:
    """Measure the hybrid search with each of `WEIGHTS` and say which to take.

    Returns:
        ``metric``, ``questions``, ``now`` (the weight in force), ``advised``, ``synthetic`` (were all questions made of
        the documents?) and ``weights``: of each ``weight`` its ``mean``, its ``gain`` on the one in force and the
        ``error`` (standard, by group) of that gain.

    Raises:
        ConfigError: the retriever is not ``hybrid`` by scores.
    """
    part = base.config.retrieval.retriever
    options: Any = plugins.options("retrievers", part.name, part.options)
    if part.name != "hybrid" or options.fusion != "scores":
        raise ConfigError(
            "there is no weight to choose: the search is not a blend of two legs",
            cure='Set [retrieval.retriever] name = "hybrid" with fusion = "scores".',
        )
    now = float(options.lexical)
    weights = sorted({*WEIGHTS, now})
    changes = {
        f"words {weight:g}": {"retrieval": {"retriever": {"options": {"lexical": weight}}}} for weight in weights
    }
    configs = {name: laid_over(base.config, change) for name, change in changes.items()}
    measured = [
        held_measure(builder, examples, rules, progress=progress)
        for builder in opened(base, configs, progress=progress).values()
    ]
    matrix = np.column_stack([numbers(one.scores[METRICS[0]]) for one in measured])
    synthetic = all(example.origin == "synthetic" for example in examples)
    gains, errors = compared(matrix, groups_of(examples), weights.index(now))
    return {
        "metric": titled(METRICS[0]),
        "questions": len(examples),
        "now": now,
        "advised": chosen(weights, gains, errors, now=now, only_less=synthetic),
        "synthetic": synthetic,
        "weights": [
            {"weight": weight, "mean": float(mean), "gain": float(gain), "error": float(error)}
            for weight, mean, gain, error in zip(weights, np.nanmean(matrix, axis=0), gains, errors, strict=True)
        ],
    }


def compared(
    matrix: NDArray[Any], groups: Sequence[Any], first: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean paired difference of every column to column `first`, and its cluster-robust standard error.

    Args:
        matrix: Scores, shape (questions, weights); rows with a NaN are left out.
        groups: Group of each question.
        first: The column of the weight in force.
    """
    kept = ~np.isnan(matrix).any(axis=1)
    scores = matrix[kept]
    names, numbered = np.unique(np.asarray([str(group) for group in groups])[kept], return_inverse=True)
    differences = scores - scores[:, [first]]
    gains = differences.mean(axis=0) if len(scores) else np.zeros(matrix.shape[1])
    if len(names) < 2:
        return gains, np.full(matrix.shape[1], np.inf)
    sums = np.zeros((len(names), matrix.shape[1]))
    np.add.at(sums, numbered, differences - gains)
    return gains, np.array([stats.standard_error(column, len(scores)) for column in sums.T])


def chosen(
    weights: Sequence[float], gains: Sequence[float] | NDArray[Any], errors: Sequence[float] | NDArray[Any],
    *, now: float, only_less: bool = False,
) -> float:  # fmt: skip
    """The weight whose gain is surest, if it is sure; else `now`. Ties go to the weight nearest to `now`."""
    sure = {
        weight: float(gain) - SURE * float(error)
        for weight, gain, error in zip(weights, gains, errors, strict=True)
        if weight != now and np.isfinite(error) and (weight < now or not only_less)
    }
    best = max(sure, key=lambda weight: (round(sure[weight], 9), -abs(weight - now)), default=now)
    return best if sure.get(best, 0.0) > 0 else now
