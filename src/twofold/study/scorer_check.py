"""The scorer self-test: gold answers must score 1 (of a fault 0), shuffled gold answers must not. Pure."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from twofold.errors import ScorerBroken
from twofold.metrics.changes import pairs
from twofold.plugins.protocols import Metric, Pools, Wants
from twofold.plugins.traits import MetricTraits
from twofold.types import Answer, Chunk, Citation, Example, Hit, Json, Span

GOLD = 0.999
"""Gold answers must average at least this."""
SHUFFLED = 0.9
"""Shuffled gold answers must stay below this (or near chance, where nearly all examples want the same)."""
NONSENSE, MOST_FOR_NONSENSE = "qxv zwj", 0.5
"""An answer that no example wants; where shuffled gold is above chance, it must stay below half of what gold scores: a
metric that gives .85 to anything stays below `SHUFFLED`, too."""


def gold_answer(example: Example, reference: int = 0, *, abstention: str = "The documents do not say.") -> Answer:
    """The answer a perfect system would give: a reference, its sources found and cited; or an abstention."""
    if not example.answerable:
        return Answer(text=abstention, raw=abstention, abstained=True)
    text = example.references[reference] if example.references else ""
    spans = {span.document: span for span in example.spans}
    # Best grade first: the ranking that nothing can beat.
    ranked = sorted({*example.sources, *example.grades}, key=lambda name: (-example.grades.get(name, 1.0), name))
    citations: list[Citation] = []
    for number, source in enumerate(example.sources, 1):
        citations.append(Citation(number=number, span=spans.get(source, Span(document=source, start=0, end=0))))
    hits: list[Hit] = []
    for rank, source in enumerate(ranked, 1):
        span = spans.get(source, Span(document=source, start=0, end=0))
        hits.append(Hit(chunk=Chunk(id=source, span=span, text=text), score=1, rank=rank))
    return Answer(text=text, raw=text, citations=tuple(citations), hits=tuple(hits))


def self_test(metric: Metric, examples: Sequence[Example], *, seed: int = 0, name: str = "") -> Json:
    """Score gold answers, and gold answers dealt to other examples.

    Every reference of an example is tried; the worst counts. Shuffled gold is compared with chance: the probability
    that two examples drawn at random want the same (`wants`, where the metric has it), as class frequencies tell.

    Args:
        metric: The metric.
        examples: The examples of the study (of all splits, or of the test split).
        seed: Of the shuffling.
        name: Name of the metric in error messages; its class name when empty.

    A metric that judges passages gets the example's own passages with the answer of another. Of a metric whose lower
    values are better, 1 minus the score is tested in place of the score.

    Returns:
        ``{"gold", "shuffled", "n"}``, as the metric scores them; gold and shuffled are None when the metric applies to
        no example.

    Raises:
        ScorerBroken: gold scores below 0.999, with file and line of examples whose gold fails; or two labels score
            alike; or, where chance does not explain it, shuffled gold scores 0.9 or more, or both it and nonsense score
            0.5 or more.
    """
    name = name or type(metric).__name__
    scores = [_worst_gold(metric, example) for example in examples]
    for example, score in zip(examples, scores, strict=True):
        if score is not None and not (math.isfinite(score) and 0 <= score <= 1):
            raise ScorerBroken(f"{name} gives {score} for example {example.id!r}", file=example.file, line=example.line)
    used = [index for index, score in enumerate(scores) if score is not None]
    if not used:
        return {"gold": None, "shuffled": None, "n": 0}
    subjects = [examples[index] for index in used]
    answers = [gold_answer(example) for example in subjects]
    gold = _overall(metric, subjects, answers, [scores[index] for index in used])
    traits = MetricTraits.of(metric)
    if gold is None or _goodness(traits, gold) < GOLD:
        bad = [examples[index] for index in used if _goodness(traits, scores[index] or 0) < GOLD][:5]
        places = "; ".join(f"{one.id} ({one.file}:{one.line})" if one.file else one.id for one in bad)
        raise ScorerBroken(
            f"{name} gives gold answers {gold or 0:.3f} instead of {_goodness(traits, 1):g}, for example {places}",
            file=bad[0].file or None if bad else None,
            line=bad[0].line if bad and bad[0].file else None,
        )
    _told_apart(metric, name, subjects)
    order = list(range(len(used)))
    random.Random(seed).shuffle(order)
    dealt = [answers[index] for index in order]
    if traits.judges_passages:
        # A dealt answer would bring the passages that it stands in.
        dealt = [replace(other, hits=answer.hits) for other, answer in zip(dealt, answers, strict=True)]
    shuffled = _overall(metric, subjects, dealt, [metric.score(e, a) for e, a in zip(subjects, dealt, strict=True)])
    if not traits.reference_free and shuffled is not None:
        likeness = _goodness(traits, shuffled)
        wants = metric.wants if isinstance(metric, Wants) else _first_reference
        counts = Counter(wants(example) for example in subjects)
        # Where nearly all examples want the same, shuffled gold is mostly right: that is chance, not a broken scorer.
        chance = sum(count**2 for count in counts.values()) / len(subjects) ** 2
        # Two standard errors of the share of pairs that want the same, and a twentieth.
        tolerance = 0.05 + 2 * math.sqrt(chance * (1 - chance) / len(subjects))
        if len(counts) > 1 and len(subjects) >= 10 and likeness > chance + tolerance:
            nonsense = _nonsense(metric, subjects)
            if likeness >= SHUFFLED or min(likeness, nonsense) >= MOST_FOR_NONSENSE:
                raise ScorerBroken(
                    f"{name} gives shuffled gold answers {shuffled:.3f} where chance is {chance:.3f}, and "
                    f"{NONSENSE!r} {nonsense:.3f}: the metric cannot tell right from wrong"
                )
    return {"gold": gold, "shuffled": shuffled, "n": len(used)}


def _goodness(traits: MetricTraits, score: float) -> float:
    """The score, turned round where a metric measures a fault."""
    return 1 - score if traits.lower_is_better else score


def _told_apart(metric: Metric, name: str, examples: Sequence[Example]) -> None:
    problem = next((p for p in pairs(metric, name, examples) if p.severity == "error"), None)
    if problem is not None:
        raise ScorerBroken(problem.message, cure=problem.cure, file=problem.file or None, line=problem.line or None)


def _nonsense(metric: Metric, examples: Sequence[Example]) -> float:
    """The score of an answer without sense, source and citation; 0 where the metric does not apply to it."""
    answers = [Answer(text=NONSENSE, raw=NONSENSE) for _ in examples]
    scores = [metric.score(example, answer) for example, answer in zip(examples, answers, strict=True)]
    return _overall(metric, examples, answers, scores) or 0.0


def _worst_gold(metric: Metric, example: Example) -> float | None:
    # Every reference must be right alone: the worst counts.
    tries = [metric.score(example, gold_answer(example, i)) for i in range(max(1, len(example.references)))]
    scores = [score for score in tries if score is not None]
    worst = max if MetricTraits.of(metric).lower_is_better else min
    return worst(scores) if scores else None


def _overall(
    metric: Metric, examples: Sequence[Example], answers: Sequence[Answer], scores: Sequence[float | None]
) -> float | None:
    if MetricTraits.of(metric).pooled:
        return float(cast(Pools, metric).pool(list(zip(examples, answers, strict=True))))
    known = [score for score in scores if score is not None]
    return math.fsum(known) / len(known) if known else None


def _first_reference(example: Example) -> str:
    # no reference holds a NUL: this equals none
    return example.references[0] if example.answerable and example.references else "\0abstain"
