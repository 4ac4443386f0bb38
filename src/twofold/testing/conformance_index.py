"""Conformance suite of the `Index` protocol, for plugin authors and for our own indexes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from twofold.errors import IndexMismatch
from twofold.hashing import digest
from twofold.plugins.protocols import Index
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Chunk, Filter, Hit, Span, sealed

DIMENSION = 64
FINGERPRINT = "embedder:conformance"
HOSTILE = (
    "", " ", "???", "\"", "'", "a' OR 1=1 --", "(((", "+-&&||!{}^~*?:\\/", "\u0000", "title:x AND (", "日本", "😀",
    "the of and", "x" * 5000, "water " * 2000, "%_", "\ud7ff",
)  # fmt: skip
"""Queries that are no syntax anywhere."""

Make = Callable[[Path, str], Index]
"""``make(directory, fingerprint)``: opens an index of `DIMENSION`; a second call on a directory opens it again."""

_EMBEDDER = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))


def chunk(document: str, text: str, ordinal: int = 0, *, title: str = "") -> Chunk:
    """A chunk for tests, with a proper id."""
    span = Span(document=document, start=ordinal * 1000, end=ordinal * 1000 + len(text))
    name = digest("chunk", {"span": span, "text": text})
    return Chunk(id=name, span=span, text=text, title=title, headings=("Part", document), ordinal=ordinal)


def put(index: Index, chunks: Sequence[Chunk]) -> None:
    """Upsert with hashed vectors."""
    index.upsert(chunks, _EMBEDDER.embed([c.text for c in chunks]))


def find(index: Index, query: str, k: int = 5, *, leg: str = "hybrid", version: int | None = None) -> list[Hit]:
    """Search one query with its hashed vector."""
    return index.search([query], _EMBEDDER.embed([query]), k, leg=leg, version=version)[0]


def check_index(make: Make, directory: Path, *, exact: bool = True, seed: int = 0) -> None:
    """Assert everything the protocol promises.

    Args:
        make: Opens an index.
        directory: An empty directory; several indexes are made below it.
        exact: Does the index promise that equal content gives equal hits, whatever its history? Approximate ones
            need only find every chunk that the exact legs find.
        seed: Of the random edits.

    Raises:
        AssertionError: naming the promise that was broken.
    """
    _check_empty(make(directory / "empty", FINGERPRINT))
    _check_edits(make(directory / "edits", FINGERPRINT))
    _check_hits(make(directory / "hits", FINGERPRINT))
    _check_hostile(make(directory / "hostile", FINGERPRINT))
    _check_versions(make(directory / "versions", FINGERPRINT))
    _check_contents(make(directory / "contents", FINGERPRINT))
    _check_log(make(directory / "log", FINGERPRINT))
    _check_erase(make(directory / "erase", FINGERPRINT))
    _check_filters(make(directory / "filters", FINGERPRINT), seed=seed)
    _check_mismatch(make, directory / "mismatch")
    for number in range(3):
        check_random_edits(make, directory / f"random{number}", exact=exact, seed=seed + number)


def _check_empty(index: Index) -> None:
    state = index.state()
    assert (state.chunks, state.documents, state.fingerprint) == (0, 0, FINGERPRINT), f"an empty index says {state}"
    for leg in ("dense", "lexical", "hybrid"):
        assert index.search(["water", "wind"], _EMBEDDER.embed(["water", "wind"]), 3, leg=leg) == [[], []], leg
    assert index.documents() == {}, "an empty index has no documents"
    assert index.chunks_of(["a"]) == [], "an empty index has no chunks"
    assert index.delete(["a"]) == 0, "nothing to delete is no error"
    index.upsert([], np.zeros((0, DIMENSION), dtype=np.float32))
    assert index.state().content == state.content, "an upsert of nothing changes nothing"


def _check_edits(index: Index) -> None:
    put(
        index,
        [
            chunk("a", "sprinkler irrigation", 0, title="Öl & Wasser"),
            chunk("a", "wind and drift", 1),
            chunk("b", "maize"),
        ],
    )
    before = index.state()
    assert (before.chunks, before.documents) == (3, 2), f"after an upsert: {before}"
    assert index.documents() == {"a": 2, "b": 1}, "documents() counts chunks"
    assert [c.text for c in index.chunks_of(["b", "a"])] == ["maize", "sprinkler irrigation", "wind and drift"], (
        "chunks_of() goes by the documents asked for, then by place"
    )
    assert index.chunks_of(["a"])[0] == chunk("a", "sprinkler irrigation", 0, title="Öl & Wasser"), (
        "a chunk comes back changed"
    )
    put(index, [chunk("a", "tillage of heavy soil")])
    after = index.state()
    assert index.documents() == {"a": 1, "b": 1}, "an upsert replaces ALL chunks of a document"
    assert after.version > before.version, "a change must raise the version"
    assert after.content != before.content, "another content must have another digest"
    assert not find(index, "sprinkler", leg="lexical"), "a replaced chunk is still found"
    assert find(index, "tillage", leg="lexical")[0].chunk.text == "tillage of heavy soil", (
        "new text must be found at once"
    )
    assert index.delete(["b", "never"]) == 1, "delete() counts chunks removed"
    assert not find(index, "maize", leg="lexical"), "a deleted chunk is still found"
    assert all(hit.chunk.span.document == "a" for hit in find(index, "maize", leg="dense")), "… by its vector"
    put(
        index,
        [
            chunk("a", "sprinkler irrigation", 0, title="Öl & Wasser"),
            chunk("a", "wind and drift", 1),
            chunk("b", "maize"),
        ],
    )
    assert index.state().content == before.content, "the same content again must have the same digest"


def _check_hits(index: Index) -> None:
    texts = [
        "drip irrigation saves water",
        "sprinkler irrigation in wind",
        "wheat prices rose",
        "irrigated farming of maize",
    ]
    put(index, [chunk(f"d{number}", text) for number, text in enumerate(texts)])
    for leg in ("dense", "lexical", "hybrid"):
        hits = find(index, "drip irrigation", 3, leg=leg)
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1)), f"{leg}: ranks must run from 1"
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True), f"{leg}: scores must fall"
        assert hits[0].chunk.text == texts[0], f"{leg}: the best match must come first"
        assert len(find(index, "drip irrigation", 1, leg=leg)) == 1, f"{leg}: at most k hits"
        for hit in hits:
            assert hit.legs, f"{leg}: the ranks in the legs are missing"
            assert leg == "hybrid" or hit.legs == {leg: hit.rank}, f"{leg}: legs {hit.legs}"
    assert find(index, "drip irrigation")[0].legs == {"dense": 1, "lexical": 1}, "hybrid must tell both ranks"
    assert len(find(index, "drip irrigation", 9, leg="dense")) == len(texts), "the dense leg ranks every chunk"
    vector = _EMBEDDER.embed(["drip irrigation"])[0]
    for hit in find(index, "drip irrigation", 9, leg="dense"):
        cosine = float(vector @ _EMBEDDER.embed([hit.chunk.text])[0])
        assert abs(hit.score - cosine) < 0.02, f"a dense score must be the cosine {cosine:.3f}, not {hit.score:.3f}"
    assert len(find(index, "drip irrigation", 9, leg="lexical")) == 3, (
        "the lexical leg finds only chunks that share a word"
    )
    queries = ["wind", "maize", "prices", "drip"] * 5
    many = index.search(queries, _EMBEDDER.embed(queries), 2)
    for query, hits in zip(queries, many, strict=True):
        alone = [hit.chunk.id for hit in find(index, query, 2)]
        assert [hit.chunk.id for hit in hits] == alone, f"{query!r} finds other chunks in a batch than alone"


def _check_hostile(index: Index) -> None:
    names = ["a'b", 'q"uote', "back\\slash", "new\nline", "日本", "); DROP TABLE chunks; --", "%", "😀", "x" * 300]
    put(index, [chunk(name, f"text of {number} water", title=name) for number, name in enumerate(names)])
    assert set(index.documents()) == set(names), "a document id was changed"
    for leg in ("dense", "lexical", "hybrid"):
        for query, hits in zip(HOSTILE, index.search(HOSTILE, _EMBEDDER.embed(HOSTILE), 3, leg=leg), strict=True):
            assert len(hits) <= 3, f"{leg}: {query!r}"
    for query in ("", "???", " "):
        assert find(index, query, leg="lexical") == [], f"{query!r} has no word and must find nothing"
    assert [c.span.document for c in index.chunks_of(["a'b"])] == ["a'b"], "a quote in a document id"
    put(index, [chunk(names[5], "replaced")])
    assert index.delete(names[:5]) == 5, "delete by odd names"
    assert set(index.documents()) == set(names[5:]), "the wrong documents were deleted"


def _check_versions(index: Index) -> None:
    put(index, [chunk("a", "old text about water"), chunk("b", "steady")])
    old = index.state().version
    was = find(index, "water")
    index.tag("pinned")
    put(index, [chunk("a", "new text about wind")])
    index.delete(["b"])
    assert find(index, "water", version=old) == was, "a search at an older version must give what it gave then"
    assert find(index, "steady", leg="lexical", version=old), "… deleted documents included"
    assert not find(index, "steady", leg="lexical"), "the newest version is searched by default"
    for wrong in (10**6, 10**9):
        try:
            find(index, "water", version=wrong)
        except IndexMismatch:
            continue
        raise AssertionError(f"version {wrong} does not exist and must raise IndexMismatch")


def _check_contents(index: Index) -> None:
    assert index.contents() == {}, "an empty index holds nothing"
    stored = [chunk("a", "sprinkler irrigation"), chunk("a", "wind", 1), replace(chunk("b", "maize"), readers=("ann",))]
    put(index, stored)
    expected = {"a": sealed(c.seal for c in stored[:2]), "b": sealed([stored[2].seal])}
    assert index.contents() == expected, "contents() must be `sealed` of each document's chunks"
    assert index.state().content == sealed(c.seal for c in stored), "state().content must be `sealed` of all chunks"
    put(index, [replace(stored[2], readers=("bob",))])
    assert index.contents()["b"] != expected["b"], "other readers are another content"
    stored_chunks, vectors = index.vectors_of(["b", "a", "never"])
    assert {c.id for c in stored_chunks} == {c.id for c in stored}, (
        "vectors_of() gives every chunk of the documents asked for"
    )
    for stored_chunk, vector in zip(stored_chunks, vectors, strict=True):
        assert float(vector @ _EMBEDDER.embed([stored_chunk.text])[0]) > 0.999, (
            "a chunk's vector is not the one that was put"
        )
    nothing, empty = index.vectors_of(["never"])
    assert not nothing, "an unknown document has no chunks"
    assert len(empty) == 0, "… and no vectors"


def _check_log(index: Index) -> None:
    put(index, [chunk("a", "old text about water"), chunk("b", "steady")])
    old, before = index.state(), index.contents()
    index.tag("kept")
    put(index, [chunk("a", "new text about wind")])
    index.delete(["b"])
    entries = index.log()
    assert entries[-1].version == index.state().version, "the newest version comes last in the log"
    assert [e.version for e in entries] == sorted({e.version for e in entries}), "the log runs from old to new"
    if len(entries) == 1:
        _raises_mismatch(lambda: index.restore(old.version), "an index without versions cannot restore")
        assert index.prune(keep_days=0) == 0, "an index without versions has none to drop"
        return
    pinned = {e.version: e for e in entries}[old.version]
    assert (pinned.chunks, pinned.tags) == (2, ("kept",)), f"the log says {pinned}"
    assert index.contents(old.version) == before, "contents() of an older version"
    newest = index.state().version
    index.restore(old.version)
    after = index.state()
    assert (after.content, after.version > newest) == (old.content, True), "restoring makes a new version of the old"
    assert find(index, "steady", leg="lexical"), "what was restored is found"
    assert index.contents(newest) != before, "restoring must not lose what was in between"
    put(index, [chunk("c", "later text about soil")])
    last, pinned_hits = index.state(), find(index, "water", version=old.version)
    assert index.prune(keep_days=0) >= 0, "prune() counts versions"
    assert index.state().content == last.content, "pruning changes no content"
    assert find(index, "water", version=old.version) == pinned_hits, "a tagged version must stay"
    _raises_mismatch(lambda: index.contents(10**6), "a version that never was")
    _raises_mismatch(lambda: index.restore(10**6), "restoring a version that never was")


def _check_erase(index: Index) -> None:
    put(index, [chunk("a", "water"), chunk("secret", "password wind")])
    first = index.state().version
    index.tag("study")
    put(index, [chunk("b", "maize")])
    lost = index.erase(["secret", "never"])
    assert lost["chunks"] == 1, f"erase() counts the chunks removed: {lost}"
    assert index.contents().keys() == {"a", "b"}, "erase() removes exactly the documents named"
    assert not find(index, "password", leg="lexical"), "an erased document is still found"
    _raises_mismatch(lambda: find(index, "password", version=first), "an older version that held it must be gone")
    put(index, [chunk("a", "tillage")])
    assert find(index, "tillage", leg="lexical"), "the index lives on"


def _raises_mismatch(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except IndexMismatch:
        return
    raise AssertionError(f"{what}: IndexMismatch expected")


def _check_mismatch(make: Make, directory: Path) -> None:
    put(make(directory, FINGERPRINT), [chunk("a", "water")])
    assert make(directory, FINGERPRINT).state().chunks == 1, "opened again, the index must hold what it held"
    cure = None
    try:
        make(directory, "embedder:other")
    except IndexMismatch as error:
        cure = error.cure
    assert cure is not None, "opening with another embedder must raise IndexMismatch"
    assert cure, "IndexMismatch must say what to do"


_CONDITIONS = (
    "size >= 2", "size < 2", "size <= -4.5", "size > -10", "size != 2", "size in 2, 30", "size = '2.0'", "kind > 3",
    'tags = "it\'s"', 'tags contains red, "it\'s"', "tags exists", "lang != de", "lang not in de, 'x=y'",
    "missing = a", "missing != a", "missing missing", "day exists", "day missing", "day = 2031-04-02",
    "day <= 2031-04-02", "day < 2031-04-03", "day >= 2031-04-02T09:00Z", "day > 2031-04-03T04:29:59+00:00",
)  # fmt: skip


def _check_filters(index: Index, *, seed: int) -> None:
    """The top k under a filter are the top k of the chunks it allows, on every leg, hostile values included."""
    chance = random.Random(seed)
    values = ["de", "it's", 'a"b', "x=y", "ä%_"]
    chunks = [
        replace(
            chunk(f"d{number}", f"water wind {'soil' if number % 3 else 'drip'} {number}"),
            collection=chance.choice(["", "law", "o'neil"]),
            readers=chance.choice([None, (), ("ann",), ("ann", "staff"), ("o'neil",)]),
            metadata={
                "lang": chance.choice(values),
                "kind": chance.choice(["a", "b"]),
                "tags": chance.choice(['["red","it\'s"]', "[]", '["red"]']),
                "size": chance.choice(["2", "2.0", "30", "-4.5", "0", "x"]),
                "day": chance.choice(
                    ["2031-04-02", "2031-04-02T09:00:00", "2031-04-02T23:30:00-05:00", "2031-04-03", ""]
                ),
            },
        )
        for number in range(40)
    ]
    put(index, chunks)
    assert {c.id: c for c in index.chunks_of([c.span.document for c in chunks])} == {c.id: c for c in chunks}, (
        "collection, readers or metadata come back changed"
    )
    filters = [
        Filter(),
        Filter(principal=()),
        Filter(principal=("nobody",)),
        *(Filter(principal=(name,)) for name in ("ann", "staff", "o'neil")),
        Filter(collections=("law",), where=["kind = a"]),
        Filter(collections=("o'neil", "none")),
        *(Filter(where={"lang": (value,)}, principal=("ann", "staff")) for value in values),
        Filter(where={"lang": ()}),
        *(Filter(where=[text]) for text in _CONDITIONS),
        Filter(where=_CONDITIONS[:2], principal=("ann",)),
        Filter(where=["size > 2", "size < 30", "tags missing"], collections=("law",)),
        Filter(without=frozenset(f"d{number}" for number in range(0, 40, 3))),
        Filter(without=frozenset({"d1", "nothing", "o'neil"}), collections=("law",)),
        Filter(without=frozenset(c.span.document for c in chunks)),
    ]
    vectors = _EMBEDDER.embed(["water drip"])
    for which in filters:
        allowed = {c.id for c in chunks if which.allows(c)}
        for leg in ("dense", "lexical", "hybrid"):
            hits = index.search(["water drip"], vectors, 50, leg=leg, filter=which)[0]
            assert {hit.chunk.id for hit in hits} == allowed, f"{leg} under {which}: not exactly the allowed chunks"
            few = index.search(["water drip"], vectors, 3, leg=leg, filter=which)[0]
            assert len(few) == min(3, len(allowed)), f"{leg} under {which}: filtered after the search, not in it"


def check_random_edits(make: Make, directory: Path, *, exact: bool, seed: int, edits: int = 12) -> None:
    """After random edits the index holds, and finds, what an index made at one go does.

    Raises:
        AssertionError: it does not.
    """
    chance = random.Random(seed)
    words = "water wind soil maize wheat drip sprinkler pump canal field rain root seed tillage yield".split()  # noqa: SIM905
    index, truth = make(directory / "edited", FINGERPRINT), dict[str, list[Chunk]]()
    for _ in range(edits):
        if truth and chance.random() < 0.3:
            deleted = chance.sample(sorted(truth), min(len(truth), chance.randint(1, 2)))
            assert index.delete(deleted) == sum(len(truth.pop(name)) for name in deleted), "delete() miscounts"
            continue
        batch = {
            f"d{number}": [
                chunk(f"d{number}", " ".join(chance.choices(words, k=chance.randint(1, 6))), ordinal)
                for ordinal in range(chance.randint(1, 3))
            ]
            for number in chance.sample(range(8), chance.randint(1, 3))
        }
        put(index, [c for own in batch.values() for c in own])
        truth.update(batch)
    rebuilt = make(directory / "rebuilt", FINGERPRINT)
    everything = [c for own in truth.values() for c in own]
    chance.shuffle(everything)
    put(rebuilt, everything)
    assert index.documents() == {name: len(truth[name]) for name in sorted(truth)}, "documents() differ from the truth"
    assert index.state().content == rebuilt.state().content, "the content digest depends on the history"
    assert index.chunks_of(sorted(truth)) == rebuilt.chunks_of(sorted(truth)), "chunks differ from the rebuilt index"
    for leg in ("dense", "lexical", "hybrid"):
        for query in (*words, "drip water on soil", "wind canal pump rain"):
            edited_hits, rebuilt_hits = (find(each, query, 40, leg=leg) for each in (index, rebuilt))
            if exact:
                assert [h.chunk.id for h in edited_hits] == [h.chunk.id for h in rebuilt_hits], (
                    f"{leg}: {query!r} depends on the history"
                )
            else:
                assert {h.chunk.id for h in edited_hits} == {h.chunk.id for h in rebuilt_hits}, (
                    f"{leg}: {query!r} misses a chunk"
                )
