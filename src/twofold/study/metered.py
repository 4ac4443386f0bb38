"""The amounts that a study meters of its arms, for costs: tokens, seconds, wrong answers, training, index."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from twofold import prompts
from twofold.answering.system import shots_of
from twofold.assembly import index_places
from twofold.assembly.searching import Search
from twofold.costs.metering import (
    QUANTITIES,
    AnswerAmounts,
    Metered,
    MeteredIndex,
    MeteredTraining,
    TimedAlone,
    divided,
    of_answers,
    reused,
)
from twofold.examples.questions import Questions
from twofold.host import capabilities, pace
from twofold.plugins import traits
from twofold.store import embedding_time
from twofold.store.catalogue import Catalogue
from twofold.study import latency
from twofold.study.measure import MeasuredArm
from twofold.tuning.prompt_candidates import instructed
from twofold.tuning.training_data import few_shots
from twofold.types import Example
from twofold.verdict.evidence import is_wrong


def metered(
    search: Search,
    measured: Mapping[str, MeasuredArm],
    test: Sequence[Example],
    *,
    train: Sequence[Example],
    right: float | None,
    level: float,
) -> Metered:
    """The metered quantities of a study's arms, diagnostic ones apart: nobody could run those.

    Args:
        search: What the arms with retrieval search.
        measured: Arm → what was measured of it.
        test: The questions of the study; a race may not have asked all of them of every arm.
        train: Examples, of which few-shot arms show some.
        right: Score from which an answer counts as right; None where the metric does not say.
        level: Of the intervals.
    """
    arms = {name: item for name, item in measured.items() if not item.diagnostic}
    amounts = {name: _amounts(search, item, test, train=train, right=right) for name, item in arms.items()}
    means, covariance, worth, shares = of_answers(amounts, Questions.of(test).groups, level=level)
    cpu = capabilities.processor()
    retrieves = [name for name, item in arms.items() if item.arm.retrieval and not item.arm.whole]
    return {
        "arms": list(arms),
        "quantities": list(QUANTITIES),
        "means": means,
        "covariance": covariance,
        "worth": worth,
        "questions": len(test),
        "level": level,
        "right": shares,
        "failed": {name: count for name, item in arms.items() if (count := _failures(item))},
        "retrieves": retrieves,
        "tuned": {name: item.arm.tuning for name, item in arms.items() if item.arm.tuning},
        "training": {name: _training(item) for name, item in arms.items() if item.training},
        "alone": {name: timed for name, item in arms.items() if (timed := _alone(search.catalogue, item))},
        "index": _index(search) if retrieves else None,
        "documents": has_documents(search),
        "hosted": [name for name, item in arms.items() if traits.hosted(item.description["generator"])],
        "hardware": f"{cpu.model or 'unknown processor'}, {capabilities.cores()} cores",
    }


def _amounts(
    search: Search, item: MeasuredArm, test: Sequence[Example], *, train: Sequence[Example], right: float | None
) -> AnswerAmounts:
    config, part = search.config, item.part_of(test)
    few = few_shots(train, item.arm.shots, seed=config.study.seed)
    template = config.template
    if item.arm.optimised:
        # As the arm was asked, which need not be by the usual draw.
        report = item.description["optimised"]
        by_id = {example.id: example for example in train}
        few = tuple(by_id[shot] for shot in report["shots"])
        template = instructed(template, report["instruction"])
    shots = shots_of(few, search.gold(few) if few and item.arm.retrieval else None)
    texts: list[str] = []
    for example, answer in zip(part, item.answers, strict=True):
        prompt = prompts.render(
            example.messages,
            template=template,
            hits=answer.hits if item.arm.retrieval else None,
            shots=shots,
            choices=example.choices,
        )
        texts.append("\n".join(f"{message.role}: {message.content}" for message in prompt.messages))
    # What a failed answer read and took is unknown: the mean of the others, and no 0, is the best guess of it.
    there = [1.0 if answer.failure is None else math.nan for answer in item.answers]
    read = [mark * answer.usage.prompt_tokens for mark, answer in zip(there, item.answers, strict=True)]
    wrong: list[float] = []
    for answer, score in zip(item.answers, item.scores[config.study.metric.name], strict=True):
        # A failed answer is wrong to whoever asked; one that the metric does not score is neither.
        unknown = right is None or (score is None and answer.failure is None)
        wrong.append(math.nan if unknown else float(score is None or is_wrong(score, right)))
    spent = [answer.timing.generation for answer in item.answers]
    searched = [answer.timing.retrieval for answer in item.answers]
    questions = [float(len(example.question)) for example in part]
    written = [mark * answer.usage.completion_tokens for mark, answer in zip(there, item.answers, strict=True)]
    beside = _beside(item.measures, mean=(sum(spent) + sum(searched)) / max(1, len(spent)))

    def laid(values: Sequence[float]) -> list[float]:
        # What a race did not ask for is unknown, as what failed is.
        return [math.nan if value is None else value for value in item.over_all(values)]

    return AnswerAmounts(
        prompt_tokens=laid(read),
        # By characters, which tokens follow closely within one text.
        cached_prompt_tokens=laid([share * count for share, count in zip(reused(texts), read, strict=True)]),
        completion_tokens=laid(written),
        # Searched for in batches, too: whatever a question's own search takes, it grows at most with its length.
        retrieval_seconds=laid(
            divided([mark * seconds for mark, seconds in zip(there, searched, strict=True)], questions)
        ),
        generation_seconds=laid(
            divided([mark * (seconds + beside) for mark, seconds in zip(there, spent, strict=True)], read, written)
        ),
        wrong=laid(wrong),
    )


def _beside(measures: Mapping[str, Any], *, mean: float) -> float:
    """Seconds that an answer took besides searching and generating: rendering, waiting for the batch, reading.

    Args:
        measures: What answering took the system in all, which may be more answers than the study's.
        mean: Seconds of searching and generating of the study's answers, where the measures do not know those of all.
    """
    number = float(measures.get("n", 0))
    if not number:
        return 0.0
    inner = float(measures["inner"]) / number if "inner" in measures else mean
    return max(0.0, float(measures["seconds"]) / number - inner)


def _failures(item: MeasuredArm) -> int:
    return sum(1 for answer in item.answers if answer.failure is not None)


def _alone(catalogue: Catalogue, item: MeasuredArm) -> TimedAlone | None:
    """Seconds for one question at a time; None where the arm was timed on fewer than two, or some failed."""
    timed = latency.timings(catalogue, item.system)
    seconds = list((timed or {}).get("seconds", {}).values())
    # A failed answer counts at its limit there: no time that answering takes.
    if len(seconds) < 2 or timed is None or timed["failed"]:
        return None
    error = statistics.stdev(seconds) / math.sqrt(len(seconds))
    return {"mean": statistics.fmean(seconds), "error": error, "n": len(seconds)}


def _training(item: MeasuredArm) -> MeteredTraining:
    report: Any = item.training
    # Where methods or runs were compared, all of them were trained.
    rows = report.get("runs") or report.get("methods", ())
    compared = [row["seconds"] for row in rows if row["seconds"] is not None]
    paid = report.get("cost") or {}
    return {"seconds": float(sum(compared) if compared else report["seconds"]), "tokens": paid.get("tokens")}


def has_documents(search: Search) -> bool:
    """Are there documents, or places where some may come to be? An arm without retrieval syncs none."""
    config = search.config
    return bool(config.documents.paths or config.sources or search.catalogue.documents.digests())


def _index(search: Search) -> MeteredIndex:
    state = search.index.state()
    size = index_places.size(search.place)
    return {
        "chunks": state.chunks,
        # As this project's own passages took; else as others took on this machine.
        "seconds_per_chunk": embedding_time.seconds_per_chunk(search.catalogue.notes)
        or pace.paces(pace.embedding(search.embedder.fingerprint)).get("chunk"),
        "gib": size / 2**30 or None,
    }
