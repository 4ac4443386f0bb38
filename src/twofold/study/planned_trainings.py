"""Trainings of a plan: their work as the loop of `fit` would do it, and as an endpoint would. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from twofold.plugins.jobs import TrainerJob
from twofold.plugins.traits import TrainerSettings
from twofold.settings.sections import Part
from twofold.study import plan as planning
from twofold.training import reckoning
from twofold.training.options import FitOptions


def of_loop(
    method: Part, options: FitOptions, job: TrainerJob, *, paces: Mapping[str, float], cached: bool
) -> planning.Training:
    """A training by the loop of `fit`."""
    counted = reckoning.reckon(job, options)
    return planning.Training(
        method=method.name,
        paces=paces,
        steps=counted.steps,
        tokens=counted.tokens,
        evaluations=options.evaluations,
        items=counted.items,
        item=counted.item,
        followed=counted.followed,
        limit=options.limit,
        euros_an_hour=options.euros_an_hour,
        cached=cached,
        counted=counted,
    )


def other(method: Part, options: Any, job: TrainerJob, *, cached: bool, elsewhere: bool) -> planning.Training:
    """A trainer that is not the loop of `fit`: its epochs and limit as far as it has them."""
    settings = TrainerSettings.of(options)
    epochs = float(settings.epochs)
    messages = chain.from_iterable(pair.messages for pair in job.rows[0])
    read = sum(len(message.content) for message in messages) / reckoning.CHARACTERS
    return planning.Training(
        method=method.name,
        paces={},
        steps=max(1, round(epochs * len(job.rows[0]) / 24)),
        tokens=epochs * read,
        evaluations=0,
        items=0,
        item=0.0,
        limit=float(settings.minutes),
        price_per_million=float(settings.price_per_million),
        cached=cached,
        elsewhere=elsewhere,
    )
