"""Passages for metrics that judge answers by passages, and the threshold that a project's own answers give them.

An arm that retrieves is judged by the passages that it showed. An arm that does not is judged by the best passages of
the corpus: those that the project's retriever finds for the question, and for question and answer together, since an
answer may be right about what the question does not name.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from twofold.assembly.searching import Search
from twofold.examples.questions import Questions
from twofold.hashing import digest
from twofold.metrics.detector import FEWEST, area
from twofold.metrics.planting import Texts, errors
from twofold.plugins.protocols import Doubts, Metric
from twofold.settings.sections import MetricPart
from twofold.stats import intervals
from twofold.types import Answer, Estimate, Example, Filter, Hit, Query

MOST = 200
"""Right answers of the project that are judged: enough for a tenth of them, and a few seconds."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The best passages of a project for answers of arms that saw none."""

    search: Search
    """Of the project."""

    @property
    def key(self) -> str:
        """Digest of everything that decides which passages are found."""
        return digest("evidence", {"search": self.search.spec(), "where": repr(self.search.filter)})

    @property
    def description(self) -> str:
        """The passages in words, for the record."""
        k, version = self.search.config.retrieval.k, self.search.index.state().version
        retriever = self.search.config.retrieval.retriever.name
        return (
            f"the best {k} passages of the corpus for the question and {k} for question and answer "
            f"({retriever}, index version {version})"
        )

    def with_passages(self, examples: Sequence[Example], answers: Sequence[Answer]) -> list[Answer]:
        """The answers, those without passages that say something with the best of the corpus as their hits."""
        places = []
        queries: list[Query] = []
        for place, (example, answer) in enumerate(zip(examples, answers, strict=True)):
            if answer.hits or answer.abstained or answer.failure is not None:
                continue
            places.append(place)
            queries += _queries(example, answer, self.search.filter)
        k = self.search.config.retrieval.k
        found_hits = self.search.retriever.retrieve(queries, k) if queries else []
        judged = list(answers)
        for number, place in enumerate(places):
            # two queries an answer, in their order
            hits = [*found_hits[2 * number].hits, *found_hits[2 * number + 1].hits]
            judged[place] = replace(answers[place], hits=_once(hits))
        return judged


def _queries(example: Example, answer: Answer, filter: Filter) -> tuple[Query, Query]:
    question = example.question
    return Query(text=question, filter=filter), Query(text=f"{question}\n{answer.text}", filter=filter)


def _once(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    return tuple({hit.chunk.id: hit for hit in hits}.values())


@dataclass(frozen=True, kw_only=True)
class RightAnswers:
    """Right answers of a project, with the passages that hold them as their hits."""

    examples: Sequence[Example]
    """The questions: none of the test split."""
    answers: Sequence[Answer]
    """Their first references."""

    def calibrated(self, part: MetricPart, metric: Metric) -> MetricPart:
        """The metric with the threshold that these answers give it; as it is where it has none or states its own.

        The threshold is an option like others, and part of the metric's key.
        """
        if not isinstance(metric, Doubts):
            return part
        pairs = zip(self.examples, self.answers, strict=True)
        doubts = [metric.doubt(example, answer) for example, answer in pairs]
        options = metric.calibrated([value for value in doubts if value is not None])
        return part.model_copy(update={"options": options.model_dump(mode="json")})

    def planted(self, metric: Metric, *, level: float) -> Estimate | None:
        """How well the metric tells errors planted in these answers from the answers: the area under its ROC curve.

        None where there are too few answers, no error can be planted in them, or the metric has no probability.

        Args:
            metric: Judges.
            level: Of the interval, over groups.
        """
        if not isinstance(metric, Doubts) or len(self.answers) < FEWEST:
            return None
        chance = random.Random(0)
        items: list[tuple[float, bool]] = []
        groups: list[int] = []
        group_of = Questions.of(self.examples).groups
        for place, (example, answer) in enumerate(zip(self.examples, self.answers, strict=True)):
            other = self.answers[(place + 1 + chance.randrange(len(self.answers) - 1)) % len(self.answers)]
            texts = Texts(right=_texts(answer), others=_texts(other))
            wrong = errors(answer.text, texts, chance=chance).values()
            for text in (answer.text, *wrong):
                doubt = metric.doubt(example, replace(answer, text=text))
                if doubt is not None:
                    items.append((doubt, text is not answer.text))
                    groups.append(int(group_of[place]))
        if len({bad for _, bad in items}) < 2:
            return None
        return intervals.pooled(area, items, groups, level=level)


def right_answers(search: Search, examples: Sequence[Example]) -> RightAnswers:
    """References of examples with the best of the passages that are known to hold them, at most `MOST`.

    Args:
        search: Of the project.
        examples: Examples that no test question is among.
    """
    usable = [e for e in examples if e.answerable and e.sources and e.references]
    # by digest: whichever file they stand in
    usable = sorted(usable, key=lambda example: digest("right answer", example.id))[:MOST]
    kept_examples, answers = [], []
    for example, gold in zip(usable, search.gold(usable), strict=True):
        chunks = [chunk for chunk in gold if search.filter.allows(chunk)][: search.config.retrieval.k]
        if chunks:
            hits = tuple(Hit(chunk=chunk, score=1.0, rank=rank) for rank, chunk in enumerate(chunks, 1))
            kept_examples.append(example)
            answers.append(Answer(text=example.references[0], raw=example.references[0], hits=hits))
    return RightAnswers(examples=kept_examples, answers=answers)


def _texts(answer: Answer) -> list[str]:
    return [hit.chunk.text for hit in answer.hits]
