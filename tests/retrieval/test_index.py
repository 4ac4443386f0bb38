"""Both indexes keep the protocol's promises; the living one also survives kills, other processes and growth."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forked import Nursery
from twofold.errors import IndexDamaged, IndexMismatch
from twofold.retrieval.indexes.lancedb.index import LanceIndex
from twofold.testing.conformance_index import DIMENSION, FINGERPRINT, PROMISES, Subject, chunk, find, put
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.testing.memory_index import MemoryIndex
from twofold.types import Chunk, Filter

EMBEDDER = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))
WORDS = [f"w{number:03d}" for number in range(400)]


def memory(directory: Path, fingerprint: str = FINGERPRINT) -> MemoryIndex:
    return MemoryIndex(MemoryIndex.Options(), directory=directory, fingerprint=fingerprint, dimension=DIMENSION)


def lance(directory: Path, fingerprint: str = FINGERPRINT, **options: object) -> LanceIndex:
    made = LanceIndex.Options.model_validate(options)
    return LanceIndex(made, directory=directory, fingerprint=fingerprint, dimension=DIMENSION)


def corpus(count: int, seed: int = 0) -> list[Chunk]:
    chance = random.Random(seed)
    return [chunk(f"d{number}", " ".join(chance.choices(WORDS, k=12))) for number in range(count)]


@pytest.fixture(scope="module", params=["memory", "lance", "lance on its disk indices"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """An index for the conformance suite."""
    directory = tmp_path_factory.mktemp("conformance")
    if request.param == "memory":
        return Subject(make=memory, directory=directory)
    if request.param == "lance":
        return Subject(make=lance, directory=directory, seed=10)
    return Subject(make=lambda d, f: lance(d, f, flat_limit=0), directory=directory, exact=False, seed=20)


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise: Callable[[Subject], None], subject: Subject) -> None:
    promise(subject)


def test_in_memory_search_equals_the_reference(tmp_path: Path) -> None:
    chunks = corpus(120)
    one, two = memory(tmp_path / "m"), lance(tmp_path / "l")
    for index in (one, two):
        put(index, chunks)
    assert one.state().content == two.state().content
    for query in ("w001 w002 w003", chunks[7].text, "w399", "nothing"):
        for leg in ("dense", "lexical"):
            a, b = find(one, query, 20, leg=leg), find(two, query, 20, leg=leg)
            assert len(a) == len(b), (query, leg)
            assert [h.score for h in a] == pytest.approx([h.score for h in b], abs=2e-4), (query, leg)
            assert {h.chunk.id for h in a[:5]} == {h.chunk.id for h in b[:5]} or a[4].score == pytest.approx(
                a[5].score, abs=2e-4
            )


def test_disk_indices_find_what_exact_search_finds(tmp_path: Path) -> None:
    chunks = corpus(1500)
    exact, grown = lance(tmp_path / "e"), lance(tmp_path / "g", flat_limit=500)
    put(exact, chunks)
    put(grown, chunks[:400])
    put(grown, chunks[400:1200])  # crosses the limit: indices are built
    put(grown, chunks[1200:])  # not folded into the indices yet, and found all the same
    same = total = 0
    for number in range(0, 1500, 50):
        for leg in ("dense", "lexical"):
            a = {h.chunk.id for h in find(exact, chunks[number].text, 10, leg=leg)}
            b = {h.chunk.id for h in find(grown, chunks[number].text, 10, leg=leg)}
            same, total = same + len(a & b), total + len(a)
        assert find(grown, chunks[number].text, 1)[0].chunk.id == chunks[number].id
    assert same / total > 0.9
    grown.delete(["d3", "d1400"])
    left = {h.chunk.span.document for n in (3, 1400) for h in find(grown, chunks[n].text, 10)}
    assert not left & {"d3", "d1400"}


def test_a_narrow_filter_loses_nothing_on_the_disk_indices(tmp_path: Path) -> None:
    chunks = [replace(c, collection="rare" if n % 100 == 0 else "") for n, c in enumerate(corpus(2000))]
    exact, grown = lance(tmp_path / "e"), lance(tmp_path / "g", flat_limit=0)
    for index in (exact, grown):
        put(index, chunks)
    which, queries = Filter(collections=("rare",)), [c.text for c in chunks[::100]]
    vectors = EMBEDDER.embed(queries)
    for leg in ("dense", "lexical"):
        same = total = 0
        pairs = [index.search(queries, vectors, 10, leg=leg, filter=which) for index in (exact, grown)]
        for a, b in zip(*pairs, strict=True):
            assert all(hit.chunk.collection == "rare" for hit in b)
            same, total = same + len({h.chunk.id for h in a} & {h.chunk.id for h in b}), total + len(a)
        assert same >= 0.99 * total, leg


def test_many_small_edits_are_compacted(tmp_path: Path) -> None:
    index = lance(tmp_path, max_fragments=8)
    for item in corpus(30):
        put(index, [item])
    assert index.state().chunks == 30
    assert index._table.stats()["fragment_stats"]["num_fragments"] <= 9
    assert find(index, corpus(30)[0].text, 1)[0].chunk.span.document == "d0"


def test_another_process_sees_a_write_at_once(tmp_path: Path, nursery: Nursery) -> None:
    reader = lance(tmp_path)
    assert reader.state().chunks == 0
    code = (
        "import sys; from pathlib import Path\n"
        "from twofold.retrieval.indexes.lancedb.index import LanceIndex\n"
        "from twofold.testing.conformance_index import *\n"
        "index = LanceIndex(LanceIndex.Options(), directory=Path(sys.argv[1]), fingerprint=FINGERPRINT,"
        " dimension=DIMENSION)\n"
        "put(index, [chunk('new', 'freshly pushed document')])\n"
    )
    assert nursery.run(code, str(tmp_path)).returncode == 0
    assert find(reader, "freshly pushed", leg="lexical")[0].chunk.span.document == "new"
    assert reader.documents() == {"new": 1}


def test_a_killed_writer_leaves_whole_documents(tmp_path: Path, nursery: Nursery) -> None:
    """Each generation of a document is three chunks; after kill -9 a document is of one generation, never of two."""
    lance(tmp_path)
    code = (
        "import sys, itertools; from pathlib import Path\n"
        "from twofold.retrieval.indexes.lancedb.index import LanceIndex\n"
        "from twofold.testing.conformance_index import *\n"
        "index = LanceIndex(LanceIndex.Options(), directory=Path(sys.argv[1]), fingerprint=FINGERPRINT,"
        " dimension=DIMENSION)\n"
        "print('ready', flush=True)\n"
        "for generation in itertools.count():\n"
        "    put(index, [chunk(f'd{d}', f'generation {generation} part {p}', p) for d in range(4) for p in range(3)])\n"
    )
    chance = random.Random(1)
    for _ in range(4):
        writer = nursery.start(code, str(tmp_path))
        writer.stdout.readline()
        time.sleep(chance.uniform(0.1, 0.4))
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
        index = lance(tmp_path)
        held = index.chunks_of([f"d{d}" for d in range(4)])
        if held:
            assert index.documents() == {f"d{d}": 3 for d in range(4)}
            assert len({c.text.split()[1] for c in held}) == 1
    assert held, "no writer got far enough: the test proves nothing"
    put(index, [chunk("d0", "written after the kill")])
    assert index.documents()["d0"] == 1


def test_tags_keep_their_version_readable(tmp_path: Path) -> None:
    index = lance(tmp_path)
    put(index, [chunk("a", "first words")])
    first = index.state().version
    index.tag("study-0001")
    put(index, [chunk("a", "second words")])
    assert index.tags() == {"study-0001": first}
    index.prune(keep_days=0)
    assert find(index, "first", leg="lexical", version=first)
    index.tag("study-0001")
    assert index.tags()["study-0001"] == index.state().version, "a name in use moves"


def test_a_version_that_was_dropped_is_refused(tmp_path: Path) -> None:
    index = lance(tmp_path)
    put(index, [chunk("a", "first words")])
    first = index.state().version
    put(index, [chunk("a", "third words")])
    newest = index.state()
    index.prune(keep_days=0)
    assert find(lance(tmp_path), "third", leg="lexical")
    assert lance(tmp_path).state().content == newest.content
    with pytest.raises(IndexMismatch, match="gone"):
        find(lance(tmp_path), "first", version=first)


def test_a_damaged_or_missing_description_is_refused(tmp_path: Path) -> None:
    put(lance(tmp_path), [chunk("a", "water")])
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(IndexDamaged, match="damaged"):
        lance(tmp_path)
    (tmp_path / "index.json").unlink()
    with pytest.raises(IndexMismatch, match="does not say"):
        lance(tmp_path)


def test_the_words_of_a_damaged_index_do_not_say_where_it_lies(tmp_path: Path) -> None:
    """They reach whoever may ask a server; the place is in the error's `file`, for its owner."""
    directory = tmp_path / "in a folder" / "index"
    directory.parent.mkdir()
    index = lance(directory)
    put(index, [chunk("a", "water")])
    for path in directory.rglob("data/*.lance"):
        path.unlink()
    with pytest.raises(IndexDamaged) as caught:
        lance(directory).chunks_of(["a"])
    assert "Not found: index/chunks.lance/data/" in caught.value.message
    assert tmp_path.name not in caught.value.message
    assert caught.value.file == str(directory)


def test_wrong_vectors_are_refused_and_change_nothing(tmp_path: Path) -> None:
    index = lance(tmp_path)
    bad = np.full((1, DIMENSION), np.nan, dtype=np.float32)
    for vectors in (np.zeros((1, 3)), bad, np.zeros((2, DIMENSION))):
        with pytest.raises(ValueError, match=r"the vectors (have the shape|contain infinity or NaN)"):
            index.upsert([chunk("a", "water")], vectors)
    assert index.state().chunks == 0


def test_the_same_chunk_twice_in_one_call_is_one_chunk(tmp_path: Path) -> None:
    index = lance(tmp_path)
    put(index, [chunk("a", "water"), chunk("a", "water")])
    assert index.documents() == {"a": 1}


def test_a_changed_title_changes_the_content(tmp_path: Path) -> None:
    index = lance(tmp_path)
    put(index, [chunk("a", "water", title="One")])
    before = index.state().content
    put(index, [chunk("a", "water", title="Two")])
    assert index.state().content != before
    assert find(index, "two", leg="lexical")
    assert not find(index, "one", leg="lexical")


def test_from_an_empty_index_a_document_is_erased_as_well(tmp_path: Path) -> None:
    """After a removal that was interrupted somebody deletes the derived data: the next sync finishes it."""
    index = lance(tmp_path / "index")
    assert index.erase(["a"])["chunks"] == 0
    put(index, [chunk("b", "water")])
    assert index.contents().keys() == {"b"}
