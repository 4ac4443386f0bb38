"""The ranking metrics agree with trec_eval, score a gold ranking 1, and see spans."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.plugins import loading
from twofold.study.retrieval.benchmark import METRICS, scorers
from twofold.study.scorer_check import self_test
from twofold.types import Answer, Chunk, Example, Hit, Message, Span

DOCUMENTS = [f"d{n}" for n in range(30)]


def hits(*places: str | tuple[str, int, int]) -> tuple[Hit, ...]:
    spans = [
        Span(document=p, start=0, end=9) if isinstance(p, str) else Span(document=p[0], start=p[1], end=p[2])
        for p in places
    ]
    return tuple(Hit(chunk=Chunk(id=str(n), span=s, text=""), score=-n, rank=n) for n, s in enumerate(spans, 1))


def asked(grades: dict[str, float], spans: tuple[Span, ...] = ()) -> Example:
    return Example(
        id="q",
        messages=(Message(role="user", content="?"),),
        references=("a",),
        sources=tuple(grades),
        grades={name: grade for name, grade in grades.items() if grade != 1},
        spans=spans,
    )


def score(name: str, example: Example, found: tuple[Hit, ...], **options: object) -> float | None:
    return loading.make("metrics", name, dict(options)).score(example, Answer(text="", hits=found))


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(DOCUMENTS), st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=14),
    st.permutations(DOCUMENTS),
    st.integers(0, 30),
)
def test_they_are_those_of_trec_eval(grades: dict[str, float], order: list[str], length: int) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    found = order[:length]
    run = {"q": {name: float(100 - place) for place, name in enumerate(found)}}
    judged = {"q": {name: int(grade) for name, grade in grades.items()}}
    told = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.10", "recall.10", "recip_rank"}).evaluate(run).get("q", {})
    example = asked(grades)
    assert score("ndcg", example, hits(*found)) == pytest.approx(told.get("ndcg_cut_10", 0.0))
    first = told.get("recip_rank", 0.0)
    assert score("mrr", example, hits(*found)) == pytest.approx(first if first >= 0.1 else 0.0)
    capped = told.get("recall_10", 0.0) * len(grades) / min(10, len(grades))
    assert score("recall", example, hits(*found)) == pytest.approx(capped)


@pytest.mark.parametrize("unit", ["document", "passage"])
def test_gold_scores_one_and_shuffled_gold_about_chance(unit: str) -> None:
    chance = random.Random(1)
    examples = []
    for _ in range(60):
        grades = {name: chance.choice([1.0, 2.0]) for name in chance.sample(DOCUMENTS, chance.randint(1, 4))}
        spans = tuple(Span(document=name, start=10, end=20) for name in grades if chance.random() < 0.5)
        examples.append(asked(grades, spans))
    for metric in scorers(unit).values():  # type: ignore[arg-type]
        told = self_test(metric, examples)
        assert told["gold"] == 1
        assert told["shuffled"] < 0.4


def test_a_document_counts_once_at_its_best_hit() -> None:
    example = asked({"a": 1, "b": 1})
    assert score("mrr", example, hits("x", "x", "x", "a")) == 1 / 2
    assert score("mrr", example, hits("x", "x", "x", "a"), unit="passage") == 1 / 4
    assert score("recall", example, hits("a", "a", "a"), unit="passage") == 1 / 2


def test_a_passage_beside_the_span_does_not_find_it() -> None:
    example = asked({"a": 1}, (Span(document="a", start=100, end=120),))
    beside, over = ("a", 0, 100), ("a", 119, 300)
    assert score("mrr", example, hits(beside, over), unit="passage") == 1 / 2
    assert score("mrr", example, hits(beside), unit="passage") == 0
    assert score("mrr", example, hits(beside)) == 1


def test_they_do_not_apply_without_sources() -> None:
    nothing = Example(id="q", messages=(Message(role="user", content="?"),), references=("a",))
    for name in METRICS:
        assert score(name, nothing, hits("a")) is None
