"""Conformance suite of the `Metric` protocol, for plugin authors and for our own metrics.

Each of `PROMISES` checks one behaviour, so that a broken one hides none of the others::

    @pytest.mark.parametrize("promise", conformance_metric.PROMISES)
    def test_promise(promise):
        promise(conformance_metric.Subject(metric=MyMetric(MyMetric.Options()), examples=examples))

At least one of the examples must be one that the metric applies to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from twofold.plugins import protocols
from twofold.plugins.traits import MetricTraits
from twofold.types import Answer, Chunk, Citation, Example, Hit, Span

ODD = ("", " \n", "\u0000", "0", '{"', "[1]", "é中文", "word " * 2000, "the")
"""Answers' texts that no example wants."""
DECLINED = Answer(text="The documents do not say.", abstained=True)
"""An abstention."""


@dataclass(kw_only=True)
class Subject:
    """The metric that is examined, and what it is examined on."""

    metric: protocols.Metric
    """The metric."""
    examples: Sequence[Example]
    """Examples that the metric scores."""

    @cached_property
    def traits(self) -> MetricTraits:
        """The traits that the metric declares."""
        return MetricTraits.of(self.metric)

    @cached_property
    def gold(self) -> list[tuple[Example, float | None]]:
        """Every example with the score of its gold answer."""
        return [(example, self.metric.score(example, gold_answer(example))) for example in self.examples]

    def pooled(self, items: Sequence[tuple[Example, Answer]]) -> float:
        """The statistic of all items."""
        assert isinstance(self.metric, protocols.Pools), "a pooled metric needs `pool`"
        return self.metric.pool(items)


def gold_answer(example: Example) -> Answer:
    """The best answer: the first reference with its sources cited, or an abstention."""
    if not example.answerable:
        return DECLINED
    text = example.references[0] if example.references else ""
    cited = [Citation(number=n, span=Span(document=d, start=0, end=0)) for n, d in enumerate(example.sources, 1)]
    hits = [Hit(chunk=Chunk(id=c.span.document, span=c.span, text=text), score=1.0, rank=c.number) for c in cited]
    return Answer(text=text, citations=tuple(cited), hits=tuple(hits))


def _answers(example: Example) -> Iterator[Answer]:
    """Gold, odd, declining and strangely citing answers."""
    yield gold_answer(example)
    yield from (Answer(text=text, raw=text) for text in ODD)
    yield DECLINED
    stray = Citation(number=1, span=Span(document="\u0000none", start=0, end=1))
    yield Answer(text="x", citations=(stray,), invalid_citations=1)


def has_every_member(subject: Subject) -> None:
    """It has the members of the protocol; `version` is an integer."""
    assert isinstance(subject.metric, protocols.Metric), "a metric needs `version` and `score`"
    assert isinstance(type(subject.metric).version, int), "`version` must be an integer"


def refuses_unknown_options(subject: Subject) -> None:
    """A misspelled option is an error, not ignored."""
    options = type(subject.metric).Options  # type: ignore[attr-defined]
    assert options.model_config.get("extra") == "forbid", "`Options` must refuse unknown keys"


def applies_to_an_example(subject: Subject) -> None:
    """Otherwise the suite has shown nothing."""
    applies = [score for _, score in subject.gold if score is not None]
    assert applies, "the metric applies to none of these examples: nothing was tested"


def gold_scores_one(subject: Subject) -> None:
    """A gold answer scores 1, of a fault 0 (`lower_is_better`); so does an abstention on an unanswerable example."""
    for example, score in subject.gold:
        fault = score is not None and (score if subject.traits.lower_is_better else 1 - score) > 0.001
        assert not fault, f"gold scores {score} on {example.id!r}"


def scores_lie_between_zero_and_one(subject: Subject) -> None:
    """Or are None; empty, odd and long answers are scored, not crashed on."""
    for example in subject.examples:
        for answer in _answers(example):
            score = subject.metric.score(example, answer)
            assert score is None or (isinstance(score, float) and math.isfinite(score) and 0 <= score <= 1), (
                f"score {score!r} on {example.id!r} is neither None nor a float in [0, 1]"
            )


def one_answer_has_one_score(subject: Subject) -> None:
    """The same input gives the same score."""
    for example in subject.examples:
        for answer in _answers(example):
            first, second = subject.metric.score(example, answer), subject.metric.score(example, answer)
            assert first == second, f"two scores for one answer on {example.id!r}"


def the_words_do_not_decide_whether_it_scores(subject: Subject) -> None:
    """Whether an example is scored depends on the answer only where the metric says that it is `conditional`."""
    if subject.traits.pooled or subject.traits.conditional:
        return
    for example, gold in subject.gold:
        for text in ODD:
            score = subject.metric.score(example, Answer(text=text, raw=text))
            assert (score is None) == (gold is None), f"whether {example.id!r} is scored depends on the answer"


def abstaining_does_not_decide_whether_it_scores(subject: Subject) -> None:
    """A metric without a score for an answer that abstains must say that it is `conditional`."""
    if subject.traits.pooled or subject.traits.conditional:
        return
    for example, gold in subject.gold:
        silent = subject.metric.score(example, DECLINED)
        assert (silent is None) == (gold is None), (
            f"whether {example.id!r} is scored depends on whether the answer abstains: set `conditional`"
        )


def pooled_gold_is_one(subject: Subject) -> None:
    """A pooled metric's `pool` is 1 for gold answers."""
    if subject.traits.pooled:
        value = subject.pooled([(example, gold_answer(example)) for example in subject.examples])
        assert value > 0.999, f"pooled gold scores {value}"


def a_pool_of_wrong_answers_is_in_range(subject: Subject) -> None:
    """A pooled metric's `pool` lies in [0, 1]."""
    if subject.traits.pooled:
        value = subject.pooled([(e, Answer(text="\u0000", abstained=e.answerable)) for e in subject.examples])
        assert 0 <= value <= 1, f"pooled score {value} out of range"


def a_pool_has_no_order(subject: Subject) -> None:
    """A pooled metric's `pool` is the same for any order of the items."""
    if subject.traits.pooled:
        items = [(example, gold_answer(example)) for example in subject.examples]
        assert subject.pooled(items) == subject.pooled(items[::-1]), "the pooled score depends on order"


PROMISES: Sequence[Callable[[Subject], None]] = (
    has_every_member,
    refuses_unknown_options,
    applies_to_an_example,
    gold_scores_one,
    scores_lie_between_zero_and_one,
    one_answer_has_one_score,
    the_words_do_not_decide_whether_it_scores,
    abstaining_does_not_decide_whether_it_scores,
    pooled_gold_is_one,
    a_pool_of_wrong_answers_is_in_range,
    a_pool_has_no_order,
)
"""Everything the protocol promises, one behaviour each."""
