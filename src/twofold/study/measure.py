"""Make an arm answer and score its answers; every batch is committed, nothing is done twice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twofold.answering import System
from twofold.build import Builder
from twofold.dataset import Splits, example_digest
from twofold.plugins import Metric, Progress
from twofold.study.effort import STOPPED
from twofold.study.meter import Meter
from twofold.study.record import BillItem, counted
from twofold.types import Answer, Arm, Example, Json


@dataclass(kw_only=True)
class Measured:
    """What is known of one arm once it has answered."""

    arm: Arm
    system: str
    description: Json
    answers: list[Answer]
    training: Json | None
    diagnostic: bool
    measures: Json
    scores: dict[str, list[float | None]]


def measure(
    builder: Builder,
    arm: Arm,
    splits: Splits,
    *,
    test: Sequence[Example],
    bill: list[BillItem],
    diagnostic: bool,
    progress: Progress,
) -> Measured:
    """Make the arm ready (training its adapter if need be), answer what is missing, measure latency."""
    with Meter() as making:
        system, training = builder.system(arm, splits, progress=_named(progress, f"tune {arm.name}"))
    if training is not None:
        detail = f"{counted(training['steps'], 'step')}, best at step {training['best_step']}, {_ended(training)}"
        several = training.get("methods", ())
        detail += f"; {training['method']} is the best of {len(several)} methods on dev" if several else ""
        spent = 0.0 if training["cached"] else making.seconds
        bill.append(
            {
                "step": f"tune {arm.name}",
                "items": max(1, len(several)),
                "cached": max(1, len(several)) * int(training["cached"]),
                "seconds": spent,
                "detail": detail,
            }
        )
    catalogue = builder.catalogue
    try:
        catalogue.put_system(system.key, system.description)
        digests = [example_digest(example) for example in test]
        held = catalogue.answers(system.key)
        missing = [(d, e) for d, e in dict(zip(digests, test, strict=True)).items() if d not in held]
        with Meter() as answering:
            _latency(builder, system, splits, test)
            answer_missing(
                builder, system, missing, total=len(digests), progress=_named(progress, f"answer {arm.name}")
            )
        bill.append(
            {
                "step": f"answer {arm.name}",
                "items": len(digests),
                "cached": len(digests) - len(missing),
                "seconds": answering.seconds,
                "detail": f"peak {answering.peak_mib:.0f} MiB",
            }
        )
        description = {**system.description, "generator": system.generator.description}
    finally:
        system.close()
    made = catalogue.answers(system.key, include_failures=True)
    return Measured(
        arm=arm,
        system=system.key,
        description=description,
        answers=[made[d] for d in digests],
        training=training,
        diagnostic=diagnostic,
        measures=catalogue.measure(system.key, "answering") or {},
        scores={},
    )


def answer_missing(
    builder: Builder, system: System, missing: Sequence[tuple[str, Example]], *, total: int, progress: Progress
) -> None:
    """Answer ``(digest, example)`` pairs in batches, each committed with what it cost; `total` is for the progress."""
    size, done = builder.config.generation.batch, total - len(missing)
    progress("", done, total)
    for start in range(0, len(missing), size):
        batch = missing[start : start + size]
        with Meter() as meter:
            answers = system.answer([example for _, example in batch])
        builder.catalogue.put_answers(system.key, [(d, a) for (d, _), a in zip(batch, answers, strict=True)])
        held = builder.catalogue.measure(system.key, "answering") or {
            "n": 0,
            "seconds": 0.0,
            "prompt_tokens": 0.0,
            "completion_tokens": 0.0,
            "peak_mib": 0.0,
        }
        n = held["n"] + len(batch)
        read = sum(a.usage.prompt_tokens for a in answers)
        written = sum(a.usage.completion_tokens for a in answers)
        builder.catalogue.put_measure(
            system.key,
            "answering",
            {
                "n": n,
                "seconds": held["seconds"] + meter.seconds,
                "prompt_tokens": (held["prompt_tokens"] * held["n"] + read) / n,
                "completion_tokens": (held["completion_tokens"] * held["n"] + written) / n,
                "peak_mib": max(held["peak_mib"], meter.peak_mib),
            },
        )
        done += len(batch)
        progress("", done, total)


def _ended(training: Json) -> str:
    effort = training.get("effort")
    return STOPPED.get(effort["stopped"], effort["stopped"]) if effort else f"stopped by {training['stopped']}"


def _latency(builder: Builder, system: System, splits: Splits, test: Sequence[Example]) -> None:
    """Answer a sample one at a time, before the batched run so that no cache has seen its prompts."""
    size = min(builder.config.study.latency_sample, len(test))
    if not size or builder.catalogue.measure(system.key, "latency"):
        return
    sample = random.Random(builder.config.study.seed).sample(list(test), size)
    warm = next(iter((*splits.dev, *splits.train)), sample[0])
    system.answer([warm])
    seconds = []
    for example in sample:
        with Meter() as meter:
            answer = system.answer([example])[0]
        if answer.failure is None:
            seconds.append(meter.seconds)
    if seconds:
        p50, p95 = (float(np.quantile(seconds, q)) for q in (0.5, 0.95))
        builder.catalogue.put_measure(
            system.key, "latency", {"p50": p50, "p95": p95, "n": len(seconds), "seconds": seconds}
        )


def _named(progress: Progress, stage: str) -> Progress:
    return lambda inner, done, total: progress(f"{stage} {inner}".strip(), done, total)


def score(builder: Builder, item: Measured, *, test: Sequence[Example], metrics: dict[str, tuple[Metric, str]]) -> None:
    """Fill `item.scores`, computing only what is not in the store. A failed answer has no score."""
    digests = [example_digest(example) for example in test]
    for name, (metric, key) in metrics.items():
        held = builder.catalogue.scores(item.system, key)
        fresh = [
            (d, metric.score(example, answer))
            for d, example, answer in zip(digests, test, item.answers, strict=True)
            if d not in held and answer.failure is None
        ]
        if fresh:
            builder.catalogue.put_scores(item.system, key, fresh)
        scored = {**held, **dict(fresh)}
        item.scores[name] = [
            None if answer.failure is not None else scored.get(d)
            for d, answer in zip(digests, item.answers, strict=True)
        ]
