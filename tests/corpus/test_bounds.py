"""What is copied into every chunk is bounded, whatever a record brings, and what was shortened is named."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from twofold.corpus.bounds import ALL, IDENTITY, TITLE, VALUE, bounded
from twofold.corpus.files import FileReader
from twofold.errors import BadRecord
from twofold.settings.sections import DocumentsSection
from twofold.types import Document, Loaded


def test_long_titles_ids_and_metadata_are_bounded_and_named() -> None:
    rows = [
        {"id": "a", "title": "T" * 400_000, "text": "water soil plant. " * 1000},
        {"id": "i" * 5_000, "text": "x"},
        {"id": "m", "text": "y", "note": "n" * 1_000_000},
        {"id": "c", "text": "z", **{f"column {n}": "" + "v" for n in range(20_000)}},
        {"id": "b", "title": "fine", "text": "soil", "lang": "en"},
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    with FileReader(DocumentsSection()) as reader:
        documents, problems = reader.read(Loaded(name="a.jsonl", data=data))
    assert [d.id for d in documents] == ["a", "m", "b"]
    assert len(documents[0].title) == TITLE
    assert len(documents[1].metadata["note"]) == VALUE
    assert documents[2].metadata == {"lang": "en"}
    assert [(p.line, p.severity, p.code) for p in problems] == [
        (1, "warning", "data.shortened"),
        (2, "error", "data.bad-record"),
        (3, "warning", "data.shortened"),
        (4, "error", "data.bad-record"),
    ]


@given(st.text(max_size=2_000), st.dictionaries(st.text(max_size=30), st.text(max_size=3_000), max_size=15))
def test_a_bounded_document_is_within_the_limits_and_stays_as_it_is(title: str, metadata: dict[str, str]) -> None:
    try:
        made, told = bounded(Document(id="d", text="t", title=title, metadata=metadata))
    except BadRecord:
        assert sum(map(len, metadata)) > ALL
        return
    assert len(made.title) <= TITLE
    assert len(made.id) <= IDENTITY
    assert sum(len(key) + len(value) for key, value in made.metadata.items()) <= ALL
    assert bounded(made) == (made, "")
    assert bool(told) == ((made.title, dict(made.metadata)) != (title, metadata))
