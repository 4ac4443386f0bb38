from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_sets import folder, whole_sets
from twofold.corpus.chunkers.cutting import PIECE
from twofold.corpus.chunkers.headings import HeadingChunker, WholeChunker
from twofold.corpus.loading import load_documents
from twofold.corpus.outline import headings_of
from twofold.plugins import loading
from twofold.settings.sections import DocumentsSection
from twofold.types import Document

WORDS = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[tuple[int, int]]:
    return [m.span() for m in WORDS.finditer(text)]


def byte_tokens(text: str) -> list[tuple[int, int]]:
    """Several tokens for one wide character, blanks inside tokens, control characters under none."""
    made: list[tuple[int, int]] = []
    for m in re.finditer(r"\s?\w{1,4}|[^\w\s]", text):
        wide = len(m.group()) == 1 and ord(m.group()) > 0x2000
        if m.group().isprintable():
            made += [m.span()] * (3 if wide else 1)
    return made


def overlapping(tokens: Sequence[tuple[int, int]], start: int, end: int) -> int:
    first = bisect_right(tokens, start, key=lambda t: t[1])
    return bisect_left(tokens, end, key=lambda t: t[0]) - first


def check(text: str, chunker: HeadingChunker | WholeChunker, tokens: Sequence[tuple[int, int]], limit: int) -> None:
    chunks = chunker.split(Document(id="d", text=text, title="t"))
    covered = bytearray(len(text))
    for ordinal, chunk in enumerate(chunks):
        assert chunk.text == text[chunk.span.start : chunk.span.end]
        assert chunk.text.strip() == chunk.text != ""
        assert chunk.ordinal == ordinal
        assert overlapping(tokens, chunk.span.start, chunk.span.end) <= limit
        covered[chunk.span.start : chunk.span.end] = b"\1" * (chunk.span.end - chunk.span.start)
    assert not "".join(char for char, done in zip(text, covered, strict=True) if not done).strip()
    starts = [c.span.start for c in chunks]
    assert starts == sorted(set(starts))
    assert len({c.id for c in chunks}) == len(chunks)


markdown = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(
            ["# A\n", "## B b\n", "### C\n\n", "Title\n=====\n", "```\n# no\n```\n", "\n\n", ". ", "! ", "。", " "]
        ),
        st.integers(1, 40).map(lambda n: "word " * n),
        st.integers(1, 40).map(lambda n: "水" * n),
    ),
    max_size=25,
).map("".join)


@given(text=markdown, limit=st.integers(8, 30), overlap=st.integers(0, 2), least=st.integers(0, 12))
@settings(max_examples=300, deadline=None)
@example(text="a" * 50 + "\n\n# x\n" + "b. " * 40, limit=8, overlap=2, least=0)
def test_spans_cover_and_limit_hold_for_any_text(text: str, limit: int, overlap: int, least: int) -> None:
    options = HeadingChunker.Options(max_tokens=limit, overlap=overlap, min_tokens=least)
    check(text, HeadingChunker(options, offsets=words), words(text), limit)
    check(text, HeadingChunker(options, offsets=byte_tokens), byte_tokens(text), limit)
    whole = WholeChunker.Options(max_tokens=limit, overlap=overlap, min_tokens=least)
    check(text, WholeChunker(whole, offsets=words), words(text), limit)


@given(text=markdown, limit=st.integers(8, 30))
@settings(max_examples=200, deadline=None)
def test_no_cut_goes_through_a_token_that_can_be_a_word(text: str, limit: int) -> None:
    tokens = [(a, b) for a, b in words(text) if b - a <= 32]
    for chunk in HeadingChunker(HeadingChunker.Options(max_tokens=limit), offsets=words).split(
        Document(id="d", text=text)
    ):
        for edge in (chunk.span.start, chunk.span.end):
            assert not any(a < edge < b for a, b in tokens)


def test_every_cut_stands_at_the_best_break_there_is() -> None:
    text = "One two three four. Five six seven eight. Nine ten eleven twelve.\n\n" * 4
    chunks = HeadingChunker(HeadingChunker.Options(max_tokens=20), offsets=words).split(Document(id="d", text=text))
    assert [c.text for c in chunks] == [text[:65]] * 4
    sentences = HeadingChunker(HeadingChunker.Options(max_tokens=12), offsets=words).split(Document(id="d", text=text))
    assert all(c.text.endswith(".") for c in sentences)


def test_headings_path_and_small_sections() -> None:
    body = "word " * 30
    text = f"# Farm\n\n{body}\n## Water\n\n### When\n{body}\n{body}\n### How\n{body}\n## Soil\n{body}"
    chunks = HeadingChunker(HeadingChunker.Options(max_tokens=48, min_tokens=5), offsets=words).split(
        Document(id="d", text=text, title="Book")
    )
    found = [(c.headings, c.text.split("\n")[0]) for c in chunks]
    assert found[0] == ((), "# Farm")
    assert found[1] == (("Farm",), "## Water")
    assert "### When" in chunks[1].text, "a lone heading stays with its section"
    assert found[2][0] == ("Farm", "Water", "When")
    assert found[3] == (("Farm", "Water"), "### How")
    assert found[4] == (("Farm",), "## Soil")
    assert all(c.title == "Book" for c in chunks)


def test_headings_are_not_seen_in_code_and_setext_is() -> None:
    code = "```sh\n# not one\n```\n\n~~~\n# nor this\n~~~"
    text = f"Title\n=====\n\nText.\n\n{code}\n\nPart\n---\n\n| a | b |\n|---|---|\n\n# End #\n"
    assert [(level, title) for _, _, level, title in headings_of(text)] == [(1, "Title"), (2, "Part"), (1, "End")]


def test_overlap_repeats_the_end_of_the_chunk_before() -> None:
    text = " ".join(f"w{i}" for i in range(100))
    chunks = HeadingChunker(HeadingChunker.Options(max_tokens=20, overlap=5), offsets=words).split(
        Document(id="d", text=text)
    )
    for left, right in pairwise(chunks):
        assert left.span.end > right.span.start
        assert overlapping(words(text), right.span.start, left.span.end) <= 5
    with pytest.raises(ValidationError, match="third"):
        HeadingChunker.Options(max_tokens=20, overlap=10)


def test_whole_keeps_small_documents_and_cuts_large_ones() -> None:
    chunker = WholeChunker(WholeChunker.Options(max_tokens=10), offsets=words)
    assert [c.text for c in chunker.split(Document(id="d", text="\n# A\nb\n# C\nd \n"))] == ["# A\nb\n# C\nd"]
    assert len(chunker.split(Document(id="d", text="word " * 25))) == 3
    assert chunker.split(Document(id="d", text=" \n ")) == []


def test_ids_name_place_and_text() -> None:
    cut = HeadingChunker(HeadingChunker.Options(), offsets=words).split
    one, two = cut(Document(id="a", text="same")), cut(Document(id="b", text="same"))
    assert one[0].id != two[0].id
    assert one[0].id == cut(Document(id="a", text="same", title="other"))[0].id
    assert one[0].id.startswith("chunk:")


def test_a_huge_document_is_tokenised_in_pieces_and_once() -> None:
    seen: list[int] = []

    def offsets(text: str) -> list[tuple[int, int]]:
        seen.append(len(text))
        return words(text)

    text = "some words in a row. " * (3 * PIECE // 20)
    chunker = HeadingChunker(HeadingChunker.Options(), offsets=offsets)
    check(text, chunker, words(text), 200)
    assert sum(seen) == len(text)
    assert max(seen) <= PIECE


@pytest.mark.parametrize("name", ["samples/pubmedqa", *whole_sets("covidqa", "chunking_eval")])
def test_real_documents(name: str) -> None:
    documents, _ = load_documents(DocumentsSection(paths=("documents*",)), folder(name))
    chunker = loading.make("chunkers", "headings", {"max_tokens": 150}, offsets=words)
    assert loading.find("chunkers", "whole") is WholeChunker
    for document in documents[:12]:
        check(document.text, chunker, words(document.text), 150)


@pytest.mark.parametrize(
    "text",
    ["0123456789abcdef" * 2000, "พนักงานลาพักร้อนได้ปีละสิบห้าวัน " * 200, "ပျော်ရွှင်ပါစေ" * 500, "word " * 900],
    ids=["hex", "Thai", "Burmese", "words"],
)
def test_a_run_that_the_embedder_takes_for_one_token_is_cut_by_its_characters(text: str) -> None:
    def unknown(part: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\S+", part)]

    chunks = HeadingChunker(HeadingChunker.Options(max_tokens=100), offsets=unknown).split(Document(id="d", text=text))
    assert "".join(chunk.text for chunk in chunks).replace(" ", "") == text.replace(" ", "")
    assert max(len(chunk.text) for chunk in chunks) <= 100 * 6
    assert not [c for c in chunks if unicodedata.category(c.text[0]) in ("Mn", "Mc")]
