"""Canonical JSON and digests: same value, same name; other value, other name."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.errors import BadRecord
from twofold.hashing import canonical_json, digest, digest_bytes, digest_file
from twofold.types import Message, Span

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(values, values)
def test_digests_are_equal_exactly_when_canonical_texts_are(a: object, b: object) -> None:
    assert (digest("x", a) == digest("x", b)) == (canonical_json(a) == canonical_json(b))


@given(st.dictionaries(st.text(max_size=5), values, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    assert digest("x", value) == digest("x", dict(reversed(list(value.items()))))


def test_tags_separate_kinds_and_records_have_a_form() -> None:
    assert digest("a", 1) != digest("b", 1)
    assert digest("a", 1).startswith("a:")
    assert canonical_json(Message(role="user", content="é")) == '{"content":"é","role":"user"}'
    assert digest("s", Span(document="d", start=0, end=1)) != digest("s", Span(document="d", start=0, end=2))
    assert canonical_json(1.0) == canonical_json(1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object(), {1: 2}])
def test_what_has_no_canonical_form_is_refused(bad: object) -> None:
    with pytest.raises(TypeError):
        digest("x", bad)


def test_files_and_bytes_agree(tmp_path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 3_000_000)
    assert digest_file("f", path) == digest_bytes("f", b"x" * 3_000_000)


def test_errors_say_where_and_survive_a_process_border() -> None:
    error = BadRecord("no answer", file="e.jsonl", line=3)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == "e.jsonl:3: no answer"
    assert (again.cure, again.code, again.line) == (error.cure, "data.bad-record", 3)
