"""Every chunker: exact spans, the token limit, nothing but white space left out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import ConfigError
from twofold.plugins import loading
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Chunk, Document

EMBEDDER = HashingEmbedder(HashingEmbedder.Options(dimension=32))
TEXT = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(["# A\n", "## B b\n", "\n\n", "One two three. ", "Four! ", "。", "water " * 30, "field. " * 9]),
    ),
    max_size=14,
).map("".join)
NAMES = loading.names("chunkers")


def wide(text: str) -> list[tuple[int, int]]:
    """Several tokens for a wide character, blanks inside tokens."""
    found: list[tuple[int, int]] = []
    for match in re.finditer(r"\s?\w{1,4}|[^\w\s]", text):
        found += [match.span()] * (3 if ord(match.group()[0]) > 0x2000 else 1)
    return found


def chunks(name: str, text: str, offsets: Any = EMBEDDER.offsets, **options: Any) -> list[Chunk]:
    made = loading.make("chunkers", name, options, offsets=offsets, embed=EMBEDDER.embed)
    found: list[Chunk] = made.split(Document(id="d", text=text, title="t", readers=("user:ann",), metadata={"a": "b"}))
    return found


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(NAMES), TEXT, st.integers(8, 30), st.sampled_from([EMBEDDER.offsets, wide]))
def test_every_chunker(name: str, text: str, limit: int, offsets: Any) -> None:
    found = chunks(name, text, offsets, max_tokens=limit)
    tokens = offsets(text)
    covered = bytearray(len(text))
    for ordinal, chunk in enumerate(found):
        a, b = chunk.span.start, chunk.span.end
        assert chunk.text == text[a:b] == text[a:b].strip() != ""
        assert sum(end > a and start < b for start, end in tokens) <= limit
        assert (chunk.ordinal, chunk.readers, chunk.metadata["a"]) == (ordinal, ("user:ann",), "b")
        covered[a:b] = b"\1" * (b - a)
    assert not "".join(char for char, done in zip(text, covered, strict=True) if not done).strip()
    assert len({chunk.id for chunk in found}) == len(found)


def test_windows_are_full_and_overlap() -> None:
    text = " ".join(f"w{n}" for n in range(50))
    found = chunks("tokens", text, max_tokens=20, overlap=5)
    assert [len(chunk.text.split()) for chunk in found] == [20, 20, 20]
    assert found[1].text.startswith("w15 ")
    with pytest.raises(ConfigError):
        chunks("tokens", text, max_tokens=20, overlap=9)


def test_sentences_stay_whole() -> None:
    text = "# Head\nOne two three. Four five six! Seven eight nine? Ten."
    assert [c.text for c in chunks("sentences", text, sentences=2)] == [
        "# Head\nOne two three. Four five six!",
        "Seven eight nine? Ten.",
    ]


def test_subjects_are_parted() -> None:
    water, law = "Drip water pumps irrigate dry fields. ", "The court ruled on the contract law. "
    found = chunks("semantic", water * 3 + law * 3, breaks=0.2, around=0)
    assert [c.text for c in found] == [(water * 3).strip(), (law * 3).strip()]
    with pytest.raises(ConfigError):
        loading.make("chunkers", "semantic", {}, offsets=EMBEDDER.offsets, embed=None)


def test_children_know_their_parents() -> None:
    text = "# A\n\n" + "One two three four. " * 8 + "\n\n# B\n\n" + "Five six seven eight. " * 8
    found = chunks("parents", text, max_tokens=12, parent_tokens=60)
    spans = {chunk.metadata["parent_span"] for chunk in found}
    assert len(spans) == 2
    for chunk in found:
        start, end = map(int, chunk.metadata["parent_span"].split("-"))
        assert start <= chunk.span.start < chunk.span.end <= end
        assert chunk.headings == (("A",) if start == 0 else ("B",)) or chunk.text.startswith("#")
    with pytest.raises(ConfigError):
        chunks("parents", text, max_tokens=50, parent_tokens=20)
