from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import StoreError
from twofold.hashing import canonical_json
from twofold.store.codec import (
    answer_from_json,
    document_from_json,
    from_json,
    to_json,
)
from twofold.types import Answer, Arm, Chunk, Document, Effect, Estimate, Example, Hit, Pair, Problem, Prompt
from twofold.verdict.outcome import Flip, Verdict

floats = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, floats)
st.register_type_strategy(Verdict, st.builds(Verdict, further=st.dictionaries(st.text(), floats, max_size=2)))
chunks = st.builds(Chunk, title=st.text(), headings=st.lists(st.text(), max_size=3).map(tuple))
hits = st.builds(
    Hit, chunk=chunks, score=floats, rank=st.integers(1), legs=st.dictionaries(st.text(), st.integers(), max_size=2)
)


def through(record: Any) -> Any:
    return json.loads(canonical_json(to_json(record)))


traces = st.lists(st.dictionaries(st.text(), st.integers() | st.text(), max_size=2), max_size=2).map(tuple)


@given(record=st.builds(Answer, trace=traces) | st.builds(Answer, hits=st.lists(hits, max_size=3).map(tuple)))
@settings(max_examples=60, deadline=None)
def test_answers_come_back_exactly(record: Answer) -> None:
    back = answer_from_json(through(record))
    assert back == record
    assert type(back.timing.retrieval) is float


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_record_comes_back_exactly(data: st.DataObject) -> None:
    for cls in (Document, Chunk, Hit, Example, Estimate, Effect, Flip, Verdict, Arm, Pair, Prompt, Problem):
        record = data.draw(st.from_type(cls))
        assert from_json(cls, through(record)) == record


def test_named_readers() -> None:
    chunk = Chunk(id="c", span=None, text="x")  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        from_json(Chunk, to_json(chunk))
    document = Document(id="d", text="t", metadata={"a": "b"})
    assert document_from_json(to_json(document)) == document
    with pytest.raises(StoreError, match="Hit"):
        from_json(Hit, {"chunk": 1, "score": 1.0, "rank": 1})
    with pytest.raises(StoreError, match="Example"):
        from_json(Example, {"id": "x"})


@pytest.mark.parametrize(
    "value", [[], "x", None, {"text": 3}, {"text": "x", "hits": [{}]}, {"text": "x", "abstained": 1}]
)
def test_what_is_no_answer_is_a_store_error(value: Any) -> None:
    with pytest.raises(StoreError):
        answer_from_json(value)


def test_unknown_fields_of_a_later_version_are_left_out() -> None:
    assert answer_from_json({"text": "x", "colour": "red"}) == Answer(text="x")


def test_what_is_no_record_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        to_json({"a": 1})
    with pytest.raises(TypeError, match="NaN"):
        to_json(Estimate(mean=float("nan"), low=0.0, high=1.0, n=1))
