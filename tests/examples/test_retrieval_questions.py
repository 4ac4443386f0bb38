"""Questions made from documents: exact spans, no ambiguity, no dependence on order."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.examples.retrieval_questions import self_questions
from twofold.types import Document

WORDS = ["water", "field", "crop", "rain", "12.5", "mm/h", "north-east", "wheat", "über", "naïve", "雨", "the", "of"]
PIECE = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(lambda words: " ".join(words) + "."),
    st.sampled_from(["\n", "\n\n# Crops and rain\n", "\n## Pumps\n", "  ", "? ", "e.g. ", "\r\n", "\x00", "…"]),
    st.text(max_size=20),
)
DOCUMENTS = st.lists(
    st.tuples(st.sampled_from(["", "Field notes", "Pump manual", "Notes on rain"]), st.lists(PIECE, max_size=12)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.integers(1, 30), st.integers(0, 3))
def test_spans_are_exact_and_questions_unambiguous(made: list[tuple[str, list[str]]], count: int, seed: int) -> None:
    documents = [Document(id=f"d{n}", title=title, text="".join(parts)) for n, (title, parts) in enumerate(made)]
    by_id = {document.id: document for document in documents}
    questions = self_questions(documents, count, seed=seed)
    assert len(questions) <= count
    assert len({q.question.casefold() for q in questions}) == len(questions)
    assert len({q.id for q in questions}) == len(questions)
    for question in questions:
        (source,) = question.sources
        kind, text = question.id.split("/")[1], by_id[source].text
        assert question.origin == "synthetic"
        assert question.question.strip()
        for span in question.spans:
            held = text[span.start : span.end]
            assert span.document == source
            assert held == held.strip()
            assert held
            if kind == "sentence":
                (taken,) = question.references
                assert taken in held
                before, after = held.split(taken, 1) if held.count(taken) == 1 else (None, None)
                if before is not None:
                    assert question.question.split() == f"{before} {after}".split()
        if kind == "title":
            assert [d.title for d in documents].count(question.question) == 1
    mixed = documents[:]
    random.Random(seed).shuffle(mixed)
    assert self_questions(mixed, count, seed=seed) == questions


def test_every_kind_is_made() -> None:
    text = "# Drip lines\nDrip lines bring water slowly and steadily to the roots of every plant in the row.\n"
    questions = self_questions([Document(id="a", title="Saving water", text=text)], 10)
    assert {q.id.split("/")[1] for q in questions} == {"title", "heading", "sentence"}
    heading = next(q for q in questions if "/heading/" in q.id)
    assert heading.question == "Saving water: Drip lines"
    assert text[heading.spans[0].start :].startswith("Drip lines bring")
