"""Graph and word index built by workers: the hits of an index built here, one commit, a part at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from other_workers import OtherWorkers
from twofold.errors import ClusterError, StoreError
from twofold.retrieval.indexes.lancedb import parts
from twofold.retrieval.indexes.lancedb.index import LanceIndex
from twofold.types import Chunk, Hit, Span

DIMENSION, COUNT, FRAGMENTS = 32, 6000, 12
WORDS = [f"word{number}" for number in range(3000)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lance")
    monkeypatch.setattr(parts, "LEAST", 1000)


@pytest.fixture(scope="module")
def corpus() -> tuple[list[Chunk], NDArray[np.float32]]:
    chance = np.random.default_rng(1)
    drawn = chance.zipf(1.3, size=(COUNT, 40)) % len(WORDS)
    chunks = []
    for number, row in enumerate(drawn.tolist()):
        text = " ".join(WORDS[word] for word in row)
        span = Span(document=f"d{number // 3:05}", start=number, end=number + len(text))
        chunks.append(Chunk(id=f"c{number:05}", span=span, text=text, title="", ordinal=number % 3))
    vectors = chance.normal(size=(COUNT, DIMENSION)).astype(np.float32)
    return chunks, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def opened(directory: Path) -> LanceIndex:
    options = LanceIndex.Options(flat_limit=2000, language="none")
    return LanceIndex(options, directory=directory, fingerprint="test", dimension=DIMENSION)


def written(index: LanceIndex, chunks: list[Chunk], vectors: NDArray[np.float32]) -> list[str]:
    edges = range(0, len(chunks) + 1, len(chunks) // FRAGMENTS)
    return [index.pieces().write(chunks[first:last], vectors[first:last]) for first, last in pairwise(edges)]


def segments(index: LanceIndex, name: str) -> int:
    return int(index._written.index_stats(name).num_indices)


def ids(hits: list[list[Hit]]) -> list[list[str]]:
    return [[hit.chunk.id for hit in row] for row in hits]


def test_an_index_built_in_parts_finds_what_one_built_here_finds(
    tmp_path: Path, corpus: tuple[list[Chunk], NDArray[np.float32]]
) -> None:
    chunks, vectors = corpus
    here, there = opened(tmp_path / "here"), opened(tmp_path / "there")
    here.assemble(written(here, chunks, vectors))
    workers = OtherWorkers()
    there.assemble(written(there, chunks, vectors), workers)
    assert workers.batches == 4
    assert [segments(index, name) for index in (here, there) for name in ("terms_idx", "vector_idx")] == [1, 1, 1, 2]
    # One commit for the rows, and one for both indices.
    assert len(there.log()) == len(here.log()) - 1
    assert there.state().content == here.state().content
    chance = np.random.default_rng(2)
    queries = vectors[:40] + chance.normal(size=(40, DIMENSION)).astype(np.float32) / 10
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :20]
    recalls = []
    for index in (here, there):
        near = ids(index.search([""] * 40, queries, 20, leg="dense"))
        recalls.append(
            np.mean([len({f"c{row:05}" for row in e} & set(n)) / 20 for e, n in zip(exact, near, strict=True)])
        )
    assert recalls[1] >= recalls[0] - 0.005
    texts = [" ".join(chunk.text.split()[:5]) for chunk in chunks[::200]]
    mine, theirs = (index.search(texts, None, 50, leg="lexical") for index in (here, there))
    for one_row, other_row in zip(mine, theirs, strict=True):
        assert [hit.score for hit in one_row] == pytest.approx([hit.score for hit in other_row], rel=1e-5)
        # Of chunks that tie at the last place any may be among the hits.
        last = one_row[-1].score + 1e-4
        assert {h.chunk.id for h in one_row if h.score > last} == {h.chunk.id for h in other_row if h.score > last}


def test_what_changes_afterwards_is_found_and_folded_in(
    tmp_path: Path, corpus: tuple[list[Chunk], NDArray[np.float32]]
) -> None:
    chunks, vectors = corpus
    index = opened(tmp_path)
    first = chunks[:3000], vectors[:3000]
    index.assemble(written(index, *first), OtherWorkers())
    assert segments(index, "vector_idx") == 2
    for start in range(3000, COUNT, 1000):
        index.upsert(chunks[start : start + 1000], vectors[start : start + 1000])
    index.delete([chunks[0].span.document])
    assert ids(index.search(["", ""], vectors[[2999, 5999]], 1, leg="dense")) == [["c02999"], ["c05999"]]
    assert ids(index.search([chunks[5998].text], None, 1, leg="lexical")) == [["c05998"]]
    assert ids(index.search([""], vectors[:1], 1, leg="dense")) != [["c00000"]]
    assert index._unindexed("vector_idx") < 2000
    index.prune(keep_days=0)
    assert ids(index.search(["", ""], vectors[[2999, 5999]], 1, leg="dense")) == [["c02999"], ["c05999"]]


def test_a_build_that_fails_leaves_the_rows_and_is_made_up_for(
    tmp_path: Path, corpus: tuple[list[Chunk], NDArray[np.float32]]
) -> None:
    class Lost(OtherWorkers):
        def run(self, work: Any, batches: Iterable[Any], **more: Any) -> Iterator[tuple[int, Any]]:
            yield next(super().run(work, batches, **more))
            raise ClusterError("a batch ended 4 workers")

    chunks, vectors = corpus
    index = opened(tmp_path)
    with pytest.raises(ClusterError):
        index.assemble(written(index, chunks, vectors), Lost())
    again = opened(tmp_path)
    assert again.state().chunks == COUNT
    assert [i.name for i in again._written.list_indices()] == []
    again.assemble([], OtherWorkers())
    assert segments(again, "vector_idx") == 2
    # What the lost build had written belongs to no version.
    folders = len(list(tmp_path.glob("*.lance/_indices/*")))
    again._written.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
    assert len(list(tmp_path.glob("*.lance/_indices/*"))) < folders


def test_a_writer_that_lost_its_lease_meanwhile_commits_no_index(
    tmp_path: Path, corpus: tuple[list[Chunk], NDArray[np.float32]]
) -> None:
    class Fenced(OtherWorkers):
        def run(self, work: Any, batches: Iterable[Any], **more: Any) -> Iterator[tuple[int, Any]]:
            yield from super().run(work, batches, **more)
            # As the next writer does before its first change (`RemotePlace.fence`).
            opened(tmp_path)._written.restore(work.version)

    chunks, vectors = corpus
    index = opened(tmp_path)
    with pytest.raises(StoreError, match="index was not changed"):
        index.assemble(written(index, chunks, vectors), Fenced())
    assert opened(tmp_path)._written.list_indices() == []


@pytest.mark.parametrize(
    ("rows", "workers", "sizes"),
    [
        ([500] * 10, 8, [1000] * 5),
        ([500] * 3, 8, [1500]),
        ([500] * 40, 2, [10_000, 10_000]),
        ([9000, 10, 10], 4, [9000, 20]),
        ([1000] * 100, 100, None),
    ],
)
def test_parts_are_even_runs_of_fragments(rows: list[int], workers: int, sizes: list[int] | None) -> None:
    groups = parts.grouped(dict(enumerate(rows)), workers)
    assert [fragment for group in groups for fragment in group] == list(range(len(rows)))
    measured = [sum(rows[fragment] for fragment in group) for group in groups]
    if sizes is None:
        assert len(measured) == parts.MOST
        return
    assert sorted(measured) == sorted(sizes) or max(measured) - min(measured) <= max(rows)
