"""The bill before the meal: what a study would do, what is cached, how long it takes, what it could see. Pure.

Times are estimates from the rates this machine showed before (or from defaults measured on two cores, said so).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twofold import stats
from twofold.config import Config
from twofold.dataset import Splits
from twofold.study.record import BillItem, PolicyRecord, counted, number_text
from twofold.types import Arm, Json

CHARACTERS_PER_TOKEN = 4.0
_GENERAL_READ, _GENERAL_WRITTEN = 55, 14
"""Tokens of a question of the forgetting gate and of its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What this machine does per second."""

    read: float = 1800.0
    """Prompt tokens read, batched."""
    write: float = 600.0
    """Completion tokens written, batched."""
    train: float = 450.0
    """Training tokens."""
    embed: float = 120.0
    """Chunks embedded."""
    single: float = 60.0
    """Completion tokens of one stream."""
    measured: bool = False
    """False: defaults for two cores and the embedded model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is known about the work before doing it."""

    stale_documents: int
    """Documents to be embedded."""
    chunks: float
    """Chunks they make, estimated."""
    prompt_tokens: Mapping[str, float]
    """Mean prompt tokens of a question, by arm."""
    completion_tokens: float
    """Mean completion tokens, from the references."""
    cached_answers: Mapping[str, int]
    """Answers already in the store, by arm."""
    cached_adapters: frozenset[str]
    """Arms whose adapter is in the store."""
    training_tokens: Mapping[str, float]
    """Tokens of one training epoch, by tuned arm."""
    epochs: Sequence[float]
    """Epochs configured, by method of tuning."""
    general: float
    """Answers that the forgetting gate asks of one candidate; 0 where it is off."""
    shares: int
    """Shares of the tuned change that are measured at most, all of it among them."""
    minutes: float
    """Cap on one training run, minutes; 0 for none."""


def policy(splits: Splits, config: Config, *, final: bool) -> PolicyRecord:
    """How the examples were split, for the record."""
    return {
        "split_by": config.examples.split_by,
        "sentence": splits.sentence,
        "seed": config.examples.seed,
        "train": len(splits.train),
        "dev": len(splits.dev),
        "test": len(splits.test),
        "reserve": len(splits.reserve),
        "groups": splits.groups,
        "final": final,
    }


def bill(arms: Sequence[Arm], questions: int, *, work: Work, rates: Rates, latency_sample: int) -> list[BillItem]:
    """Steps with items, cached items and estimated seconds."""
    steps: list[BillItem] = []

    def add(step: str, items: int, cached: int, seconds: float, detail: str) -> None:
        steps.append({"step": step, "items": items, "cached": cached, "seconds": seconds, "detail": detail})

    if work.stale_documents:
        add("embed documents", work.stale_documents, 0, work.chunks / rates.embed, f"about {work.chunks:.0f} chunks")
    for arm in arms:
        if arm.name in work.training_tokens:
            methods = len(work.epochs)
            cached = methods * int(arm.name in work.cached_adapters)
            tokens = [work.training_tokens[arm.name] * epochs for epochs in work.epochs]
            spent = [one / rates.train * 1.25 for one in tokens]
            spent = [min(one, work.minutes * 66) if work.minutes else one for one in spent]
            told = f"{', '.join(f'{e:g}' for e in work.epochs)} epochs, {sum(tokens):.0f} tokens at most"
            add(f"tune {arm.name}", methods, cached, 0.0 if cached else sum(spent), told)
            if work.general:
                each = work.general * (_GENERAL_READ / rates.read + _GENERAL_WRITTEN / rates.write)
                candidates = methods * work.shares
                told = f"{work.general:.0f} short questions each; fewer candidates where little is forgotten"
                add(
                    f"forgetting of {arm.name}",
                    candidates,
                    candidates if cached else 0,
                    0.0 if cached else each * candidates,
                    told,
                )
    for arm in arms:
        cached = min(questions, work.cached_answers.get(arm.name, 0))
        todo = questions - cached
        per = work.prompt_tokens[arm.name] / rates.read + work.completion_tokens / rates.write
        alone = work.prompt_tokens[arm.name] / rates.read + work.completion_tokens / rates.single
        seconds = todo * per + (latency_sample * alone if todo else 0.0) + (4.0 if todo else 0.0)
        detail = f"{work.prompt_tokens[arm.name]:.0f} + {work.completion_tokens:.0f} tokens a question"
        add(f"answer {arm.name}", questions, cached, seconds, detail)
    add("score and decide", questions * len(arms), 0, 3.0 + 0.01 * questions, "metrics, intervals, verdict, report")
    return steps


def warnings(splits: Splits, arms: Sequence[Arm], *, detectable: float, looks: int) -> list[str]:
    """Doubts that can be told before anything is spent."""
    found = list(splits.warnings)
    test = splits.test
    if splits.groups < 20:
        found.append(f"only {counted(splits.groups, 'independent group')} in the test split: intervals will be wide")
    if math.isinf(detectable):
        found.append("no difference can be seen with fewer than 2 independent groups of test questions: add questions")
    elif detectable > 0.15:
        found.append(
            f"with {counted(len(test), 'test question')} only differences of about {number_text(detectable, 2)} or "
            "more can be seen; add questions for less"
        )
    synthetic = sum(1 for e in test if e.origin == "synthetic")
    if synthetic * 2 > len(test):
        found.append(f"{synthetic} of {len(test)} test questions are synthetic, which favours retrieval")
    if any(arm.tuning for arm in arms) and len(splits.train) < 100:
        found.append(f"few training examples ({len(splits.train)}): tuning may look worse than it could be")
    if any(arm.tuning for arm in arms) and not any(arm.shots for arm in arms):
        found.append("no prompt arm: without it tuning's gain may be overstated")
    if looks:
        found.append(f"this test split has been looked at {counted(looks, 'time')} before")
    if any(arm.retrieval for arm in arms) and not any(e.sources for e in test):
        found.append("no test example names its sources: retrieval cannot be diagnosed")
    return found


def detectable(splits: Splits, config: Config, *, arms: int) -> float:
    """Smallest true difference in the deciding metric that would probably (80 %) be seen."""
    groups = max(1, splits.groups)
    per_group = len(splits.test) / groups
    return stats.detectable_difference(groups, per_group, 0.45, arms=arms, level=config.study.level)


def tokens(characters: float) -> float:
    """Tokens in so many characters of ordinary text, roughly."""
    return characters / CHARACTERS_PER_TOKEN


def rates_from(measures: Sequence[Json], training: Sequence[Json]) -> Rates:
    """Rates from what earlier studies on this machine measured; defaults where there is nothing."""
    reading = [m["prompt_tokens"] * m["n"] / m["seconds"] for m in measures if m.get("seconds", 0) > 1]
    trained = [r["tokens_per_second"] for r in training if r.get("tokens_per_second", 0) > 0]
    start = Rates()
    if not reading and not trained:
        return start
    return Rates(
        read=max(reading) * 1.1 if reading else start.read,
        train=sorted(trained)[len(trained) // 2] if trained else start.train,
        measured=True,
    )
