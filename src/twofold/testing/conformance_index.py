"""Conformance suite of the `Index` protocol, for plugin authors and for our own indexes.

Each of `PROMISES` checks one behavior, so that a broken one hides none of the others::

    @pytest.fixture(scope="module")
    def subject(tmp_path_factory):
        return conformance_index.Subject(make=opened, directory=tmp_path_factory.mktemp("index"))

    @pytest.mark.parametrize("promise", conformance_index.PROMISES)
    def test_promise(promise, subject):
        promise(subject)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from twofold.errors import IndexMismatch
from twofold.hashing import digest
from twofold.plugins.protocols import Index
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Chunk, Filter, Hit, Json, Span, sealed

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


@dataclass(kw_only=True)
class Subject:
    """The index that is examined. What is only read is put once, for all promises that share the subject."""

    make: Make
    """Opens an index."""
    directory: Path
    """An empty directory; indexes are made below it."""
    exact: bool = True
    """Does the index promise that equal content gives equal hits, whatever its history? Approximate ones need only find
    every chunk that the exact legs find."""
    seed: int = 0
    """Of the random edits."""
    _count: int = 0

    def place(self) -> Path:
        """A directory for a new index."""
        self._count += 1
        return self.directory / f"index{self._count}"

    def fresh(self, *chunks: Chunk) -> Index:
        """A new index of these chunks, for a promise that changes it."""
        index = self.make(self.place(), FINGERPRINT)
        if chunks:
            put(index, chunks)
        return index

    @cached_property
    def empty(self) -> Index:
        """An index of nothing; not to be changed."""
        return self.fresh()

    @cached_property
    def three(self) -> Index:
        """An index of `_three_chunks`; not to be changed."""
        return self.fresh(*_three_chunks())

    @cached_property
    def farm(self) -> Index:
        """An index of four documents on farming; not to be changed."""
        return self.fresh(*(chunk(f"d{number}", text) for number, text in enumerate(_FARM)))

    @cached_property
    def odd(self) -> Index:
        """An index of documents with odd names; not to be changed."""
        return self.fresh(*_oddly_named())

    @cached_property
    def readable(self) -> Index:
        """An index of chunks with readers; not to be changed."""
        return self.fresh(*_readable())

    @cached_property
    def tagged(self) -> tuple[Index, int, list[Hit]]:
        """See `_tagged`; not to be changed."""
        return _tagged(self)

    @cached_property
    def erased(self) -> tuple[Index, int, Json]:
        """See `_erased`; not to be changed."""
        return _erased(self)

    @cached_property
    def varied(self) -> tuple[Index, list[Chunk]]:
        """An index of `_varied` chunks, and these; not to be changed."""
        chunks = _varied(self.seed)
        return self.fresh(*chunks), chunks

    @cached_property
    def edited(self) -> list[tuple[Index, Index, dict[str, list[Chunk]]]]:
        """See `_edited`; not to be changed."""
        return [_edited(self, number) for number in range(ROUNDS)]


LEGS = ("dense", "lexical", "hybrid")


# ---------------------------------------------------------------- an empty index


def an_empty_index_counts_nothing(subject: Subject) -> None:
    """Its state is zero chunks and documents, and the embedder's fingerprint."""
    state = subject.empty.state()
    assert (state.chunks, state.documents, state.fingerprint) == (0, 0, FINGERPRINT), f"an empty index says {state}"


def an_empty_index_finds_nothing(subject: Subject) -> None:
    """A list for every query, on every leg."""
    index = subject.empty
    for leg in LEGS:
        assert index.search(["water", "wind"], _EMBEDDER.embed(["water", "wind"]), 3, leg=leg) == [[], []], leg


def an_empty_index_holds_nothing(subject: Subject) -> None:
    """No documents, no chunks, no contents."""
    index = subject.empty
    assert index.documents() == {}, "an empty index has no documents"
    assert index.chunks_of(["a"]) == [], "an empty index has no chunks"
    assert index.contents() == {}, "an empty index holds nothing"


def deleting_nothing_is_no_error(subject: Subject) -> None:
    """An unknown document is not counted."""
    assert subject.fresh().delete(["a"]) == 0, "nothing to delete is no error"


def putting_nothing_changes_nothing(subject: Subject) -> None:
    """An upsert of no chunks."""
    index = subject.fresh()
    before = index.state().content
    index.upsert([], np.zeros((0, DIMENSION), dtype=np.float32))
    assert index.state().content == before, "an upsert of nothing changes nothing"


# ---------------------------------------------------------------- edits


def _three_chunks() -> list[Chunk]:
    return [
        chunk("a", "sprinkler irrigation", 0, title="Öl & Wasser"),
        chunk("a", "wind and drift", 1),
        chunk("b", "maize"),
    ]


def an_upsert_is_counted(subject: Subject) -> None:
    """`state` and `documents` count chunks and documents."""
    index = subject.three
    state = index.state()
    assert (state.chunks, state.documents) == (3, 2), f"after an upsert: {state}"
    assert index.documents() == {"a": 2, "b": 1}, "documents() counts chunks"


def chunks_come_by_document_and_place(subject: Subject) -> None:
    """`chunks_of` goes by the documents asked for, then by place."""
    index = subject.three
    texts = [c.text for c in index.chunks_of(["b", "a"])]
    assert texts == ["maize", "sprinkler irrigation", "wind and drift"], (
        "chunks_of() goes by the documents asked for, then by place"
    )


def a_chunk_comes_back_unchanged(subject: Subject) -> None:
    """Every field, such as the title, is kept."""
    index = subject.three
    assert index.chunks_of(["a"])[0] == _three_chunks()[0], "a chunk comes back changed"


def an_upsert_replaces_the_document(subject: Subject) -> None:
    """ALL chunks of a document are replaced, those of others stay."""
    index = subject.fresh(*_three_chunks())
    put(index, [chunk("a", "tillage of heavy soil")])
    assert index.documents() == {"a": 1, "b": 1}, "an upsert replaces ALL chunks of a document"
    assert not find(index, "sprinkler", leg="lexical"), "a replaced chunk is still found"


def new_text_is_found_at_once(subject: Subject) -> None:
    """No step is needed between putting and finding."""
    index = subject.fresh(*_three_chunks())
    put(index, [chunk("a", "tillage of heavy soil")])
    hits = find(index, "tillage", leg="lexical")
    assert [hit.chunk.text for hit in hits[:1]] == ["tillage of heavy soil"], "new text must be found at once"


def a_change_raises_version_and_digest(subject: Subject) -> None:
    """Whoever keeps either sees that something changed."""
    index = subject.fresh(*_three_chunks())
    before = index.state()
    put(index, [chunk("a", "tillage of heavy soil")])
    after = index.state()
    assert after.version > before.version, "a change must raise the version"
    assert after.content != before.content, "another content must have another digest"


def deleted_chunks_are_counted_and_gone(subject: Subject) -> None:
    """From both legs; unknown documents are not counted."""
    index = subject.fresh(chunk("a", "tillage of heavy soil"), chunk("b", "maize"))
    assert index.delete(["b", "never"]) == 1, "delete() counts chunks removed"
    assert not find(index, "maize", leg="lexical"), "a deleted chunk is still found"
    assert all(hit.chunk.span.document == "a" for hit in find(index, "maize", leg="dense")), "… by its vector"


def equal_content_has_one_digest(subject: Subject) -> None:
    """The digest is of what the index holds, not of how it came there."""
    index = subject.fresh(*_three_chunks())
    before = index.state().content
    put(index, [chunk("a", "tillage of heavy soil")])
    index.delete(["b"])
    put(index, _three_chunks())
    assert index.state().content == before, "the same content again must have the same digest"


# ---------------------------------------------------------------- hits

_FARM = (
    "drip irrigation saves water",
    "sprinkler irrigation in wind",
    "wheat prices rose",
    "irrigated farming of maize",
)


def hits_are_ranked_from_one(subject: Subject) -> None:
    """Ranks rise by one while scores fall, on every leg."""
    index = subject.farm
    for leg in LEGS:
        hits = find(index, "drip irrigation", 3, leg=leg)
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1)), f"{leg}: ranks must run from 1"
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True), f"{leg}: scores must fall"


def the_best_match_comes_first(subject: Subject) -> None:
    """On every leg."""
    index = subject.farm
    for leg in LEGS:
        hits = find(index, "drip irrigation", 3, leg=leg)
        assert [hit.chunk.text for hit in hits[:1]] == [_FARM[0]], f"{leg}: the best match must come first"


def no_more_than_k_are_found(subject: Subject) -> None:
    """On every leg."""
    index = subject.farm
    for leg in LEGS:
        assert len(find(index, "drip irrigation", 1, leg=leg)) == 1, f"{leg}: at most k hits"


def a_hit_tells_its_ranks_in_the_legs(subject: Subject) -> None:
    """One leg's own rank; both where both are blended."""
    index = subject.farm
    for leg in LEGS:
        for hit in find(index, "drip irrigation", 3, leg=leg):
            assert hit.legs, f"{leg}: the ranks in the legs are missing"
            assert leg == "hybrid" or hit.legs == {leg: hit.rank}, f"{leg}: legs {hit.legs}"
    assert find(index, "drip irrigation")[0].legs == {"dense": 1, "lexical": 1}, "hybrid must tell both ranks"


def the_dense_leg_ranks_every_chunk(subject: Subject) -> None:
    """However far it is from the query."""
    assert len(find(subject.farm, "drip irrigation", 9, leg="dense")) == len(_FARM), "the dense leg ranks every chunk"


def a_dense_score_is_the_cosine(subject: Subject) -> None:
    """Of the query's and the chunk's vector."""
    vector = _EMBEDDER.embed(["drip irrigation"])[0]
    for hit in find(subject.farm, "drip irrigation", 9, leg="dense"):
        cosine = float(vector @ _EMBEDDER.embed([hit.chunk.text])[0])
        assert abs(hit.score - cosine) < 0.02, f"a dense score must be the cosine {cosine:.3f}, not {hit.score:.3f}"


def the_lexical_leg_finds_shared_words(subject: Subject) -> None:
    """And nothing else."""
    assert len(find(subject.farm, "drip irrigation", 9, leg="lexical")) == 3, (
        "the lexical leg finds only chunks that share a word"
    )


def a_batch_finds_what_each_query_finds_alone(subject: Subject) -> None:
    """Other queries in the batch change nothing."""
    index, queries = subject.farm, ["wind", "maize", "prices", "drip"] * 5
    many = index.search(queries, _EMBEDDER.embed(queries), 2)
    for query, hits in zip(queries, many, strict=True):
        alone = [hit.chunk.id for hit in find(index, query, 2)]
        assert [hit.chunk.id for hit in hits] == alone, f"{query!r} finds other chunks in a batch than alone"


# ---------------------------------------------------------------- hostile text

_NAMES = ("a'b", 'q"uote', "back\\slash", "new\nline", "日本", "); DROP TABLE chunks; --", "%", "😀", "x" * 300)


def _oddly_named() -> list[Chunk]:
    return [chunk(name, f"text of {n} water", title=name) for n, name in enumerate(_NAMES)]


def document_ids_are_kept_as_they_are(subject: Subject) -> None:
    """Quotes, line breaks and what looks like SQL included."""
    index = subject.odd
    assert set(index.documents()) == set(_NAMES), "a document id was changed"
    assert [c.span.document for c in index.chunks_of(["a'b"])] == ["a'b"], "a quote in a document id"


def queries_are_no_syntax(subject: Subject) -> None:
    """Whatever is asked is searched for, on every leg."""
    index = subject.odd
    for leg in LEGS:
        for query, hits in zip(HOSTILE, index.search(HOSTILE, _EMBEDDER.embed(HOSTILE), 3, leg=leg), strict=True):
            assert len(hits) <= 3, f"{leg}: {query!r}"


def a_query_without_a_word_finds_nothing(subject: Subject) -> None:
    """On the lexical leg."""
    index = subject.odd
    for query in ("", "???", " "):
        assert find(index, query, leg="lexical") == [], f"{query!r} has no word and must find nothing"


def oddly_named_documents_are_edited(subject: Subject) -> None:
    """Replaced and deleted by their ids, and no others with them."""
    index = subject.fresh(*_oddly_named())
    put(index, [chunk(_NAMES[5], "replaced")])
    assert index.delete(_NAMES[:5]) == 5, "delete by odd names"
    assert set(index.documents()) == set(_NAMES[5:]), "the wrong documents were deleted"


# ---------------------------------------------------------------- versions


def _tagged(subject: Subject) -> tuple[Index, int, list[Hit]]:
    """An index with later edits, a version tagged before them, and what "water" found then."""
    index = subject.fresh(chunk("a", "old text about water"), chunk("b", "steady"))
    old, hits = index.state().version, find(index, "water")
    index.tag("pinned")
    put(index, [chunk("a", "new text about wind")])
    index.delete(["b"])
    return index, old, hits


def a_tagged_version_is_found_as_it_was(subject: Subject) -> None:
    """What was changed and what was deleted since included."""
    index, old, hits = subject.tagged
    assert find(index, "water", version=old) == hits, "a search at an older version must give what it gave then"
    assert find(index, "steady", leg="lexical", version=old), "… deleted documents included"


def the_newest_version_is_searched_by_default(subject: Subject) -> None:
    """Older ones only when asked for."""
    index, _, _ = subject.tagged
    assert not find(index, "steady", leg="lexical"), "the newest version is searched by default"


def a_version_that_never_was_is_refused(subject: Subject) -> None:
    """As a mismatch, not as an empty answer."""
    index, _, _ = subject.tagged
    _raises_mismatch(lambda: find(index, "water", version=10**6), "a version that does not exist")
    _raises_mismatch(lambda: find(index, "water", version=10**9), "a version that does not exist")


# ---------------------------------------------------------------- contents


def _readable() -> list[Chunk]:
    return [chunk("a", "sprinkler irrigation"), chunk("a", "wind", 1), replace(chunk("b", "maize"), readers=("ann",))]


def contents_are_sealed_chunks(subject: Subject) -> None:
    """By document, and all together in `state`."""
    stored, index = _readable(), subject.readable
    expected = {"a": sealed(c.seal for c in stored[:2]), "b": sealed([stored[2].seal])}
    assert index.contents() == expected, "contents() must be `sealed` of each document's chunks"
    assert index.state().content == sealed(c.seal for c in stored), "state().content must be `sealed` of all chunks"


def other_readers_are_another_content(subject: Subject) -> None:
    """Who may read a chunk is part of it."""
    index = subject.fresh(*_readable())
    before = index.contents()["b"]
    put(index, [replace(chunk("b", "maize"), readers=("bob",))])
    assert index.contents()["b"] != before, "other readers are another content"


def vectors_are_those_that_were_put(subject: Subject) -> None:
    """Of every chunk of the documents asked for; none of unknown ones."""
    index = subject.readable
    chunks, vectors = index.vectors_of(["b", "a", "never"])
    assert {c.id for c in chunks} == {c.id for c in _readable()}, (
        "vectors_of() gives every chunk of the documents asked for"
    )
    for stored, vector in zip(chunks, vectors, strict=True):
        assert float(vector @ _EMBEDDER.embed([stored.text])[0]) > 0.999, "a chunk's vector is not the one that was put"


def an_unknown_document_has_no_vectors(subject: Subject) -> None:
    """Nor chunks."""
    chunks, vectors = subject.readable.vectors_of(["never"])
    assert not chunks, "an unknown document has no chunks"
    assert len(vectors) == 0, "… and no vectors"


# ---------------------------------------------------------------- the log


def the_log_runs_from_old_to_new(subject: Subject) -> None:
    """The present version comes last."""
    index, _, _ = subject.tagged
    entries = index.log()
    assert entries[-1].version == index.state().version, "the newest version comes last in the log"
    assert [e.version for e in entries] == sorted({e.version for e in entries}), "the log runs from old to new"


def without_versions_nothing_is_restored_or_pruned(subject: Subject) -> None:
    """An index whose log has the present version only says so."""
    index, old, _ = subject.tagged
    if len(index.log()) == 1:
        _raises_mismatch(lambda: index.restore(old), "an index without versions cannot restore")
        assert index.prune(keep_days=0) == 0, "an index without versions has none to drop"


def the_log_names_tags_and_sizes(subject: Subject) -> None:
    """Where versions are kept."""
    index, old, _ = subject.tagged
    entries = {e.version: e for e in index.log()}
    if len(entries) > 1:
        assert (entries[old].chunks, entries[old].tags) == (2, ("pinned",)), f"the log says {entries[old]}"


def contents_of_an_older_version_can_be_read(subject: Subject) -> None:
    """Where versions are kept; a version that never was is refused."""
    index = subject.fresh(chunk("a", "old text about water"), chunk("b", "steady"))
    old, before = index.state().version, index.contents()
    index.tag("kept")
    put(index, [chunk("a", "new text about wind")])
    if len(index.log()) > 1:
        assert index.contents(old) == before, "contents() of an older version"
        _raises_mismatch(lambda: index.contents(10**6), "a version that never was")


def restoring_makes_a_new_version_of_the_old(subject: Subject) -> None:
    """Where versions are kept; what was in between can still be read."""
    index = subject.fresh(chunk("a", "old text about water"), chunk("b", "steady"))
    old, before = index.state(), index.contents()
    index.tag("kept")
    put(index, [chunk("a", "new text about wind")])
    index.delete(["b"])
    if len(index.log()) == 1:
        return
    newest = index.state().version
    index.restore(old.version)
    after = index.state()
    assert (after.content, after.version > newest) == (old.content, True), "restoring makes a new version of the old"
    assert find(index, "steady", leg="lexical"), "what was restored is found"
    assert index.contents(newest) != before, "restoring must not lose what was in between"
    _raises_mismatch(lambda: index.restore(10**6), "restoring a version that never was")


def pruning_keeps_the_newest_and_the_tagged(subject: Subject) -> None:
    """Where versions are kept; after a restore, too."""
    index, old, _ = _tagged(subject)
    if len(index.log()) == 1:
        return
    index.restore(old)
    put(index, [chunk("c", "later text about soil")])
    newest, hits = index.state(), find(index, "water", version=old)
    assert index.prune(keep_days=0) >= 0, "prune() counts versions"
    assert index.state().content == newest.content, "pruning changes no content"
    assert find(index, "water", version=old) == hits, "a tagged version must stay"


# ---------------------------------------------------------------- erasure


def _erased(subject: Subject) -> tuple[Index, int, Json]:
    """An index, a version from before a document was erased, and what `erase` reported."""
    index = subject.fresh(chunk("a", "water"), chunk("secret", "password wind"))
    first = index.state().version
    index.tag("study")
    put(index, [chunk("b", "maize")])
    return index, first, index.erase(["secret", "never"])


def erasing_removes_what_is_named(subject: Subject) -> None:
    """Exactly these documents, and counts their chunks."""
    index, _, report = subject.erased
    assert report["chunks"] == 1, f"erase() counts the chunks removed: {report}"
    assert index.contents().keys() == {"a", "b"}, "erase() removes exactly the documents named"
    assert not find(index, "password", leg="lexical"), "an erased document is still found"


def erasing_drops_older_versions(subject: Subject) -> None:
    """Tagged ones too, for they held the document."""
    index, first, _ = subject.erased
    _raises_mismatch(lambda: find(index, "password", version=first), "an older version that held it must be gone")


def after_erasing_it_lives_on(subject: Subject) -> None:
    """What is put afterwards is found."""
    index, _, _ = _erased(subject)
    put(index, [chunk("a", "tillage")])
    assert find(index, "tillage", leg="lexical"), "the index lives on"


def _raises_mismatch(call: Callable[[], object], what: str) -> IndexMismatch:
    try:
        call()
    except IndexMismatch as error:
        return error
    raise AssertionError(f"{what}: IndexMismatch expected")


# ---------------------------------------------------------------- opening


def opened_again_it_holds_what_it_held(subject: Subject) -> None:
    """By the same embedder."""
    place = subject.place()
    put(subject.make(place, FINGERPRINT), [chunk("a", "water")])
    assert subject.make(place, FINGERPRINT).state().chunks == 1, "opened again, the index must hold what it held"


def another_embedder_is_refused(subject: Subject) -> None:
    """With a cure, for its vectors do not compare."""
    place = subject.place()
    put(subject.make(place, FINGERPRINT), [chunk("a", "water")])
    other = _raises_mismatch(lambda: subject.make(place, "embedder:other"), "another embedder")
    assert other.cure, "IndexMismatch must say what to do"


# ---------------------------------------------------------------- filters

_LANGUAGES = ("de", "it's", 'a"b', "x=y", "ä%_")
_CONDITIONS = (
    "size >= 2", "size < 2", "size <= -4.5", "size > -10", "size != 2", "size in 2, 30", "size = '2.0'", "kind > 3",
    'tags = "it\'s"', 'tags contains red, "it\'s"', "tags exists", "lang != de", "lang not in de, 'x=y'",
    "missing = a", "missing != a", "missing missing", "day exists", "day missing", "day = 2031-04-02",
    "day <= 2031-04-02", "day < 2031-04-03", "day >= 2031-04-02T09:00Z", "day > 2031-04-03T04:29:59+00:00",
)  # fmt: skip


def _varied(seed: int) -> list[Chunk]:
    """Forty chunks of all collections, readers and metadata, hostile values included."""
    chance = random.Random(seed)
    return [
        replace(
            chunk(f"d{number}", f"water wind {'soil' if number % 3 else 'drip'} {number}"),
            collection=chance.choice(["", "law", "o'neil"]),
            readers=chance.choice([None, (), ("ann",), ("ann", "staff"), ("o'neil",)]),
            metadata={
                "lang": chance.choice(_LANGUAGES),
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


def what_filters_read_comes_back_unchanged(subject: Subject) -> None:
    """Collection, readers and metadata, hostile values included."""
    index, chunks = subject.varied
    assert {c.id: c for c in index.chunks_of([c.span.document for c in chunks])} == {c.id: c for c in chunks}, (
        "collection, readers or metadata come back changed"
    )


def _filters(chunks: Sequence[Chunk]) -> list[Filter]:
    return [
        Filter(),
        Filter(principal=()),
        Filter(principal=("nobody",)),
        *(Filter(principal=(name,)) for name in ("ann", "staff", "o'neil")),
        Filter(collections=("law",), where=["kind = a"]),
        Filter(collections=("o'neil", "none")),
        *(Filter(where={"lang": (value,)}, principal=("ann", "staff")) for value in _LANGUAGES),
        Filter(where={"lang": ()}),
        *(Filter(where=[text]) for text in _CONDITIONS),
        Filter(where=_CONDITIONS[:2], principal=("ann",)),
        Filter(where=["size > 2", "size < 30", "tags missing"], collections=("law",)),
        Filter(without=frozenset(f"d{number}" for number in range(0, 40, 3))),
        Filter(without=frozenset({"d1", "nothing", "o'neil"}), collections=("law",)),
        Filter(without=frozenset(c.span.document for c in chunks)),
    ]


def a_filter_finds_exactly_what_it_allows(subject: Subject) -> None:
    """On every leg, whatever the conditions."""
    index, chunks = subject.varied
    vectors = _EMBEDDER.embed(["water drip"])
    for which in _filters(chunks):
        allowed = {c.id for c in chunks if which.allows(c)}
        for leg in LEGS:
            hits = index.search(["water drip"], vectors, 50, leg=leg, filter=which)[0]
            assert {hit.chunk.id for hit in hits} == allowed, f"{leg} under {which}: not exactly the allowed chunks"


def a_filter_is_part_of_the_search(subject: Subject) -> None:
    """The top k are the top k of the chunks it allows, on every leg."""
    index, chunks = subject.varied
    vectors = _EMBEDDER.embed(["water drip"])
    for which in _filters(chunks):
        allowed = sum(which.allows(c) for c in chunks)
        for leg in LEGS:
            few = index.search(["water drip"], vectors, 3, leg=leg, filter=which)[0]
            assert len(few) == min(3, allowed), f"{leg} under {which}: filtered after the search, not in it"


# ---------------------------------------------------------------- random edits

_FIELD = "water wind soil maize wheat drip sprinkler pump canal field rain root seed tillage yield".split()  # noqa: SIM905
ROUNDS = 3
"""Times that random edits are made, each time others."""


def _edited(subject: Subject, number: int, edits: int = 12) -> tuple[Index, Index, dict[str, list[Chunk]]]:
    """An index after random edits, one made at one go of what it should hold, and what that is."""
    chance = random.Random(subject.seed + number)
    index, truth = subject.fresh(), dict[str, list[Chunk]]()
    for _ in range(edits):
        if truth and chance.random() < 0.3:
            deleted = chance.sample(sorted(truth), min(len(truth), chance.randint(1, 2)))
            assert index.delete(deleted) == sum(len(truth.pop(name)) for name in deleted), "delete() miscounts"
            continue
        batch = {
            f"d{number}": [
                chunk(f"d{number}", " ".join(chance.choices(_FIELD, k=chance.randint(1, 6))), ordinal)
                for ordinal in range(chance.randint(1, 3))
            ]
            for number in chance.sample(range(8), chance.randint(1, 3))
        }
        put(index, [c for own in batch.values() for c in own])
        truth.update(batch)
    rebuilt = subject.fresh()
    everything = [c for own in truth.values() for c in own]
    chance.shuffle(everything)
    put(rebuilt, everything)
    return index, rebuilt, truth


def random_edits_leave_what_was_put(subject: Subject) -> None:
    """Documents, chunks and digest are those of an index made at one go."""
    for index, rebuilt, truth in subject.edited:
        assert index.documents() == {name: len(truth[name]) for name in sorted(truth)}, "documents() differ"
        assert index.state().content == rebuilt.state().content, "the content digest depends on the history"
        assert index.chunks_of(sorted(truth)) == rebuilt.chunks_of(sorted(truth)), "chunks differ from the rebuilt"


def random_edits_leave_what_is_found(subject: Subject) -> None:
    """Every leg finds what it finds in an index made at one go: in the same order where it is exact."""
    for index, rebuilt, _ in subject.edited:
        for leg in LEGS:
            for query in (*_FIELD, "drip water on soil", "wind canal pump rain"):
                edited, fresh = ([hit.chunk.id for hit in find(each, query, 40, leg=leg)] for each in (index, rebuilt))
                if subject.exact:
                    assert edited == fresh, f"{leg}: {query!r} depends on the history"
                else:
                    assert set(edited) == set(fresh), f"{leg}: {query!r} misses a chunk"


PROMISES: Sequence[Callable[[Subject], None]] = (
    an_empty_index_counts_nothing,
    an_empty_index_finds_nothing,
    an_empty_index_holds_nothing,
    deleting_nothing_is_no_error,
    putting_nothing_changes_nothing,
    an_upsert_is_counted,
    chunks_come_by_document_and_place,
    a_chunk_comes_back_unchanged,
    an_upsert_replaces_the_document,
    new_text_is_found_at_once,
    a_change_raises_version_and_digest,
    deleted_chunks_are_counted_and_gone,
    equal_content_has_one_digest,
    hits_are_ranked_from_one,
    the_best_match_comes_first,
    no_more_than_k_are_found,
    a_hit_tells_its_ranks_in_the_legs,
    the_dense_leg_ranks_every_chunk,
    a_dense_score_is_the_cosine,
    the_lexical_leg_finds_shared_words,
    a_batch_finds_what_each_query_finds_alone,
    document_ids_are_kept_as_they_are,
    queries_are_no_syntax,
    a_query_without_a_word_finds_nothing,
    oddly_named_documents_are_edited,
    a_tagged_version_is_found_as_it_was,
    the_newest_version_is_searched_by_default,
    a_version_that_never_was_is_refused,
    contents_are_sealed_chunks,
    other_readers_are_another_content,
    vectors_are_those_that_were_put,
    an_unknown_document_has_no_vectors,
    the_log_runs_from_old_to_new,
    without_versions_nothing_is_restored_or_pruned,
    the_log_names_tags_and_sizes,
    contents_of_an_older_version_can_be_read,
    restoring_makes_a_new_version_of_the_old,
    pruning_keeps_the_newest_and_the_tagged,
    erasing_removes_what_is_named,
    erasing_drops_older_versions,
    after_erasing_it_lives_on,
    opened_again_it_holds_what_it_held,
    another_embedder_is_refused,
    what_filters_read_comes_back_unchanged,
    a_filter_finds_exactly_what_it_allows,
    a_filter_is_part_of_the_search,
    random_edits_leave_what_was_put,
    random_edits_leave_what_is_found,
)
"""Everything the protocol promises, one behavior each."""
