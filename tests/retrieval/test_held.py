"""Rows held in memory: any history of edits gives what reading everything anew gives, and a change reads little."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.retrieval.bm25 import Bm25, Words
from twofold.retrieval.indexes.client_bm25 import ClientWords
from twofold.retrieval.indexes.database_rows import NEVER, Row
from twofold.retrieval.indexes.lancedb import in_memory
from twofold.retrieval.indexes.lancedb import vectors as held_vectors
from twofold.retrieval.indexes.lancedb.index import LanceIndex
from twofold.retrieval.indexes.lancedb.vectors import Vectors
from twofold.retrieval.indexes.lancedb.view import LanceView
from twofold.retrieval.indexes.pieces import best, settled
from twofold.testing.conformance_index import DIMENSION, FINGERPRINT, chunk, put
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Chunk, Filter

WORDS = [f"w{number:02d}" for number in range(60)]
EMBEDDER = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))
PASSAGES = st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), min_size=1, max_size=6)


def lance(directory: Path, **options: object) -> LanceIndex:
    made = LanceIndex.Options.model_validate(options)
    return LanceIndex(made, directory=directory, fingerprint=FINGERPRINT, dimension=DIMENSION)


def document(name: str, chance: random.Random) -> list[Chunk]:
    own = {"lang": chance.choice(["en", "de"])}
    readers = chance.choice([None, (), ("ann",), ("ann", "staff")])
    return [
        replace(
            chunk(name, " ".join(chance.choices(WORDS, k=8)), part),
            metadata=own,
            readers=readers,
            collection=chance.choice(["", "law"]),
        )
        for part in range(chance.randint(1, 4))
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(PASSAGES, st.integers(0, 63)), min_size=1, max_size=4), st.lists(st.sampled_from("abcg")))
def test_words_in_pieces_score_as_the_words_of_what_is_left(parts: list[Any], query: list[str]) -> None:
    masks = [np.array([bits >> row & 1 for row in range(len(own))], dtype=np.bool_) for own, bits in parts]
    pieces = [(Words.of(own), kept) for (own, _), kept in zip(parts, masks, strict=True)]
    left = [p for (own, _), kept in zip(parts, masks, strict=True) for p, keep in zip(own, kept, strict=True) if keep]
    kept = np.concatenate(masks)
    scores = Bm25(pieces).scores(query)
    assert not scores[~kept].any(), "a passage that does not count scores"
    assert scores[kept].tolist() == Bm25.of(left).scores(query).tolist()
    joined = Words.joined(pieces)
    assert Bm25([(joined, np.ones(len(left), dtype=np.bool_))]).scores(query).tolist() == scores[kept].tolist()


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_pieces_stay_few_and_none_is_copied_often(sizes: list[int]) -> None:
    pieces: list[np.ndarray] = []
    copied = 0
    for size in sizes:
        pieces.append(np.ones(size, dtype=np.bool_))
        stay = settled(pieces)
        if stay < len(pieces):
            copied += sum(map(len, pieces[stay:]))
            pieces[stay:] = [np.ones(sum(map(len, pieces[stay:])), dtype=np.bool_)]
    total = sum(sizes)
    assert sum(map(len, pieces)) == total
    assert len(pieces) <= 1 + np.log(total + 1) / np.log(8)
    assert copied <= 8 * total * (1 + np.log(total + 1) / np.log(8))
    assert settled([np.zeros(9, dtype=np.bool_), np.ones(1, dtype=np.bool_)]) == 0, "dead rows are not kept for ever"
    assert settled([np.ones(9, dtype=np.bool_), np.zeros(1, dtype=np.bool_)]) == 1, "nothing to copy for an empty piece"


def test_equal_scores_go_by_name_and_rounding_errors_are_equal() -> None:
    scores = np.array([0.5, 0.5 + 1e-8, 0.9, 0.1], dtype=np.float32)
    names = np.array(["c", "b", "a", "d"])
    assert [row for row, _ in best(np.arange(4), scores, 3, names=lambda rows: names[rows].tolist())] == [2, 1, 0]


def natural(count: int, dimension: int = 384) -> np.ndarray:
    """Vectors as language models make them: few strong directions, a common mean, many near neighbours."""
    chance = np.random.default_rng(0)
    scale = 1 / np.sqrt(1 + np.arange(dimension))
    centres = chance.normal(size=(count // 20, dimension)) * scale + 0.3 * scale
    made = centres[chance.integers(0, len(centres), count)] + 0.7 * chance.normal(size=(count, dimension)) * scale
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("share", [1.0, 0.7, 0.01])
def test_the_nearest_of_many_are_found_among_few(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(held_vectors, "_PLAIN", 1000)
    matrix = natural(6000)
    vectors = Vectors(matrix[:-50])
    allowed = None if share == 1 else np.random.default_rng(1).random(len(vectors.matrix)) < share
    touched, missed = [], 0
    for query in matrix[-50:]:
        rows, scores = vectors.nearest(query, 50, allowed)
        assert allowed is None or allowed[rows].all(), "a row that is not allowed"
        exact = vectors.matrix @ query if allowed is None else np.where(allowed, vectors.matrix @ query, -2)
        wanted = set(np.argsort(-exact)[:50].tolist())
        missed += len(wanted - set(rows.tolist()))
        assert scores == pytest.approx(exact[rows], abs=1e-6)
        touched.append(len(rows))
    assert missed <= 5, "of 2500"
    assert np.median(touched) < 500, "everything was compared: the bound is of no use"


def test_vectors_without_structure_are_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_vectors, "_PLAIN", 1000)
    matrix = np.random.default_rng(2).normal(size=(3000, 384)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    rows, scores = Vectors(matrix).nearest(matrix[5], 10)
    assert set(np.argsort(-(matrix @ matrix[5]))[:10].tolist()) <= set(rows.tolist())
    assert scores.max() == pytest.approx(1, abs=1e-5)


def test_a_new_filter_looks_at_each_value_of_its_field_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = lance(tmp_path)
    rows = [replace(chunk(f"d{n}", "water"), metadata={"price": str(n % 5), "row": str(n)}) for n in range(300)]
    put(index, rows)
    index.search(["water"], EMBEDDER.embed(["water"]), 3)
    looked: list[object] = []
    holds = in_memory.holds
    monkeypatch.setattr(in_memory, "holds", lambda one, have: looked.append(one) or holds(one, have))
    for where, wanted in (("price < 2", 120), ("price >= 2", 180), ("price missing", 0), ("colour missing", 300)):
        (hits,) = index.search(["water"], EMBEDDER.embed(["water"]), 300, leg="dense", filter=Filter(where=[where]))
        assert len(hits) == wanted
    assert len(looked) == 5 + 5 + 5 + 1


def found(index: LanceIndex, version: int | None = None) -> list[Any]:
    """What every leg finds, with and without filters."""
    filters = (None, Filter(principal=("staff",)), Filter(collections=("law",)), Filter(where={"lang": ("de",)}))
    queries = ["w01 w02", "w10 w11 w12 w13"]
    return [
        [(hit.chunk, hit.score, hit.rank, hit.legs) for hit in hits]
        for which in filters
        for leg in ("dense", "lexical", "hybrid")
        for hits in index.search(queries, EMBEDDER.embed(queries), 7, leg=leg, version=version, filter=which)
    ]


@pytest.mark.parametrize("few", [2000, 0])
@pytest.mark.parametrize("seed", [1, 2])
def test_an_open_reader_finds_after_any_edits_what_a_new_one_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, few: int
) -> None:
    """`few` 0: rows that compacting moves are recognised; pieces are joined on the way in both."""
    monkeypatch.setattr(in_memory, "_FEW", few)
    chance = random.Random(seed)
    writer, reader = lance(tmp_path, max_fragments=4), lance(tmp_path)
    put(writer, [c for number in range(40) for c in document(f"d{number}", chance)])
    first, before = writer.state().version, found(reader)
    writer.tag("kept")
    for _ in range(9):
        names = [f"d{chance.randrange(50)}" for _ in range(chance.choice([1, 1, 3, 20]))]
        if chance.random() < 0.3:
            writer.delete(names)
        elif chance.random() < 0.1:
            writer.restore(first)
        else:
            put(writer, [c for name in dict.fromkeys(names) for c in document(name, chance)])
        if chance.random() < 0.1:
            writer.prune(keep_days=0)
        if chance.random() < 0.7:
            fresh = lance(tmp_path)
            assert found(reader) == found(fresh)
            assert reader.state() == fresh.state()
            assert reader.contents() == fresh.contents()
    assert found(reader, first) == before, "an older version is still searched as it was"


def test_a_row_whose_vector_alone_changed_is_not_taken_for_a_moved_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_memory, "_FEW", 0)
    index, items = lance(tmp_path), [chunk(f"d{n}", f"text {n}") for n in range(5)]
    vectors = EMBEDDER.embed([c.text for c in items])
    index.upsert(items, vectors)
    assert index.search([""], vectors[:1], 1, leg="dense")[0][0].chunk == items[0]
    index.upsert(items, vectors[::-1])
    assert index.search([""], vectors[:1], 1, leg="dense")[0][0].chunk == items[4]


def test_after_one_change_one_document_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    rows = LanceView.rows

    def counted(self: LanceView, columns: Sequence[str], numbers: Any = None) -> Any:
        out = rows(self, columns, numbers)
        read.append((len(columns), len(out)))
        return out

    monkeypatch.setattr(LanceView, "rows", counted)
    chance = random.Random(0)
    index = lance(tmp_path)
    put(index, [c for number in range(100) for c in document(f"d{number}", chance)])
    found(index)
    read.clear()
    changed = document("d7", chance)
    put(index, changed)
    assert index.search([changed[0].text], None, 1, leg="lexical")[0][0].chunk == changed[0]
    assert sum(count for columns, count in read if columns) <= len(changed)
    index.delete(["d7"])
    read.clear()
    assert all(hit[0].span.document != "d7" for hits in found(index) for hit in hits)
    assert not sum(count for columns, count in read if columns), "nothing new is to be read after a deletion"


class Past:
    """Rows of a database with versions, in a list."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def live(self, version: int, documents: Sequence[str] | None = None) -> list[Row]:
        assert documents is None
        return [row for row in self.rows if row.born <= version < row.died]

    def changed(self, after: int) -> list[Row]:
        return [row for row in self.rows if row.born > after or after < row.died < NEVER]


def test_words_held_for_a_database_follow_its_versions() -> None:
    chance, past = random.Random(4), Past()
    held = ClientWords(past, "english")
    for version in range(1, 40):
        names = {f"d{chance.randrange(30)}" for _ in range(chance.choice([1, 2, 15]))}
        past.rows = [
            replace(row, died=version) if row.died == NEVER and row.chunk.span.document in names else row
            for row in past.rows
        ]
        for name in sorted(names) if chance.random() < 0.8 else ():
            past.rows += [Row(key=f"{c.id}/{version}", chunk=c, born=version) for c in document(name, chance)]
        for which in (None, Filter(where={"lang": ("de",)})):
            for at in (version, max(1, version - 1)):
                queries = [["w01", "w02"], ["w33"], ["none"]]
                fresh = ClientWords(past, "english").matching(queries, 5, at, which=which)
                assert held.matching(queries, 5, at, which=which) == fresh
