"""Conformance suite of the `Metric` protocol, for plugin authors and for our own metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

from twofold.plugins import protocols
from twofold.types import Answer, Chunk, Citation, Example, Hit, Span


def check_metric(metric: protocols.Metric, examples: Sequence[Example]) -> None:
    """Assert everything the protocol promises, on these examples.

    Scores lie in [0, 1] or are None; the same input gives the same score; a gold answer scores 1 (an abstention on an
    unanswerable example); empty, odd and long answers are scored, not crashed on; whether an example is scored depends
    on the answer only where the metric says that it is `conditional`; a pooled metric's `pool` lies in
    [0, 1] and is 1 for gold. At least one of the examples must be one the metric applies to.

    Raises:
        AssertionError: naming the promise that was broken and the example.
    """
    kind = type(metric)
    assert isinstance(metric, protocols.Metric), "a metric needs `version` and `score`"
    assert isinstance(kind.version, int), "`version` must be an integer"
    options = kind.Options  # type: ignore[attr-defined]
    assert options.model_config.get("extra") == "forbid", "`Options` must refuse unknown keys"
    applies = 0
    free = getattr(metric, "pooled", False) or getattr(metric, "conditional", False)
    for example in examples:
        gold = _gold(example)
        score = _checked(metric, example, gold)
        if score is not None:
            applies += 1
            assert score > 0.999, f"gold scores {score} on {example.id!r}"
        for text in ("", " \n", "\u0000", "0", '{"', "[1]", "é中文", "word " * 2000, "the"):
            other = _checked(metric, example, Answer(text=text, raw=text))
            assert free or (other is None) == (score is None), f"whether {example.id!r} is scored depends on the answer"
        silent = _checked(metric, example, Answer(text="The documents do not say.", abstained=True))
        assert free or (silent is None) == (score is None), (
            f"whether {example.id!r} is scored depends on whether the answer abstains: set `conditional`"
        )
        stray = Citation(number=1, span=Span(document="\u0000none", start=0, end=1))
        _checked(metric, example, Answer(text="x", citations=(stray,), invalid_citations=1))
    assert applies, "the metric applies to none of these examples: nothing was tested"
    if getattr(metric, "pooled", False):
        pool = metric.pool  # type: ignore[attr-defined]
        items = [(example, _gold(example)) for example in examples]
        assert pool(items) > 0.999, f"pooled gold scores {pool(items)}"
        wrong = pool([(example, Answer(text="\u0000", abstained=example.answerable)) for example in examples])
        assert 0 <= wrong <= 1, f"pooled score {wrong} out of range"
        assert pool(items) == pool(list(reversed(items))), "the pooled score depends on order"


def _gold(example: Example) -> Answer:
    if not example.answerable:
        return Answer(text="The documents do not say.", abstained=True)
    text = example.references[0] if example.references else ""
    cited = [Citation(number=n, span=Span(document=d, start=0, end=0)) for n, d in enumerate(example.sources, 1)]
    hits = [Hit(chunk=Chunk(id=c.span.document, span=c.span, text=text), score=1.0, rank=c.number) for c in cited]
    return Answer(text=text, citations=tuple(cited), hits=tuple(hits))


def _checked(metric: protocols.Metric, example: Example, answer: Answer) -> float | None:
    score = metric.score(example, answer)
    assert score is None or (isinstance(score, float) and math.isfinite(score) and 0 <= score <= 1), (
        f"score {score!r} on {example.id!r} is neither None nor a float in [0, 1]"
    )
    assert metric.score(example, answer) == score, f"two scores for one answer on {example.id!r}"
    return score
