"""Conformance suite of the `Index` protocol, for plugin authors and for our own indexes.

Each of `PROMISES` checks one behaviour, so that a broken one hides none of the others::

    @pytest.fixture(scope="module")
    def subject(tmp_path_factory):
        return conformance_index.Subject(make=opened, directory=tmp_path_factory.mktemp("index"))

    @pytest.mark.parametrize("promise", conformance_index.PROMISES)
    def test_promise(promise, subject):
        promise(subject)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from twofold.errors import IndexMismatch
from twofold.testing.index_subject import (
    DIMENSION,
    EMBEDDER,
    FARM,
    FIELD_WORDS,
    FINGERPRINT,
    HOSTILE,
    LANGUAGES,
    LEGS,
    NAMES,
    Make,
    Subject,
    after_erasure,
    chunk,
    find,
    odd_chunks,
    put,
    readable_chunks,
    three_chunks,
    with_a_tag,
)
from twofold.types import Chunk, Filter, sealed

__all__ = ["DIMENSION", "EMBEDDER", "FINGERPRINT", "PROMISES", "Make", "Subject", "chunk", "find", "put"]

# ---------------------------------------------------------------- an empty index


def an_empty_index_counts_nothing(subject: Subject) -> None:
    """Its state is zero chunks and documents, and the embedder's fingerprint."""
    state = subject.empty.state()
    assert (state.chunks, state.documents, state.fingerprint) == (0, 0, FINGERPRINT), f"an empty index says {state}"


def an_empty_index_finds_nothing(subject: Subject) -> None:
    """A list for every query, on every leg."""
    index = subject.empty
    for leg in LEGS:
        assert index.search(["water", "wind"], EMBEDDER.embed(["water", "wind"]), 3, leg=leg) == [[], []], leg


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
    assert index.chunks_of(["a"])[0] == three_chunks()[0], "a chunk comes back changed"


def an_upsert_replaces_the_document(subject: Subject) -> None:
    """ALL chunks of a document are replaced, those of others stay."""
    index = subject.fresh(*three_chunks())
    put(index, [chunk("a", "tillage of heavy soil")])
    assert index.documents() == {"a": 1, "b": 1}, "an upsert replaces ALL chunks of a document"
    assert not find(index, "sprinkler", leg="lexical"), "a replaced chunk is still found"


def new_text_is_found_at_once(subject: Subject) -> None:
    """No step is needed between putting and finding."""
    index = subject.fresh(*three_chunks())
    put(index, [chunk("a", "tillage of heavy soil")])
    hits = find(index, "tillage", leg="lexical")
    assert [hit.chunk.text for hit in hits[:1]] == ["tillage of heavy soil"], "new text must be found at once"


def a_change_raises_version_and_digest(subject: Subject) -> None:
    """Whoever keeps either sees that something changed."""
    index = subject.fresh(*three_chunks())
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
    index = subject.fresh(*three_chunks())
    before = index.state().content
    put(index, [chunk("a", "tillage of heavy soil")])
    index.delete(["b"])
    put(index, three_chunks())
    assert index.state().content == before, "the same content again must have the same digest"


# ---------------------------------------------------------------- hits


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
        assert [hit.chunk.text for hit in hits[:1]] == [FARM[0]], f"{leg}: the best match must come first"


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
    assert len(find(subject.farm, "drip irrigation", 9, leg="dense")) == len(FARM), "the dense leg ranks every chunk"


def a_dense_score_is_the_cosine(subject: Subject) -> None:
    """Of the query's and the chunk's vector."""
    vector = EMBEDDER.embed(["drip irrigation"])[0]
    for hit in find(subject.farm, "drip irrigation", 9, leg="dense"):
        cosine = float(vector @ EMBEDDER.embed([hit.chunk.text])[0])
        assert abs(hit.score - cosine) < 0.02, f"a dense score must be the cosine {cosine:.3f}, not {hit.score:.3f}"


def the_lexical_leg_finds_shared_words(subject: Subject) -> None:
    """And nothing else."""
    assert len(find(subject.farm, "drip irrigation", 9, leg="lexical")) == 3, (
        "the lexical leg finds only chunks that share a word"
    )


def a_batch_finds_what_each_query_finds_alone(subject: Subject) -> None:
    """Other queries in the batch change nothing."""
    index = subject.farm
    queries = ["wind", "maize", "prices", "drip"] * 5
    many = index.search(queries, EMBEDDER.embed(queries), 2)
    for query, hits in zip(queries, many, strict=True):
        alone = [hit.chunk.id for hit in find(index, query, 2)]
        assert [hit.chunk.id for hit in hits] == alone, f"{query!r} finds other chunks in a batch than alone"


# ---------------------------------------------------------------- hostile text


def document_ids_are_kept_as_they_are(subject: Subject) -> None:
    """Quotes, line breaks and what looks like SQL included."""
    index = subject.odd
    assert set(index.documents()) == set(NAMES), "a document id was changed"
    assert [c.span.document for c in index.chunks_of(["a'b"])] == ["a'b"], "a quote in a document id"


def queries_are_no_syntax(subject: Subject) -> None:
    """Whatever is asked is searched for, on every leg."""
    index = subject.odd
    for leg in LEGS:
        for query, hits in zip(HOSTILE, index.search(HOSTILE, EMBEDDER.embed(HOSTILE), 3, leg=leg), strict=True):
            assert len(hits) <= 3, f"{leg}: {query!r}"


def a_query_without_a_word_finds_nothing(subject: Subject) -> None:
    """On the lexical leg."""
    index = subject.odd
    for query in ("", "???", " "):
        assert find(index, query, leg="lexical") == [], f"{query!r} has no word and must find nothing"


def oddly_named_documents_are_edited(subject: Subject) -> None:
    """Replaced and deleted by their ids, and no others with them."""
    index = subject.fresh(*odd_chunks())
    put(index, [chunk(NAMES[5], "replaced")])
    assert index.delete(NAMES[:5]) == 5, "delete by odd names"
    assert set(index.documents()) == set(NAMES[5:]), "the wrong documents were deleted"


# ---------------------------------------------------------------- versions


def a_tagged_version_is_found_as_it_was(subject: Subject) -> None:
    """Changes and deletions since then included."""
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


def contents_are_sealed_chunks(subject: Subject) -> None:
    """By document, and all together in `state`."""
    stored = readable_chunks()
    index = subject.readable
    expected = {"a": sealed(c.seal for c in stored[:2]), "b": sealed([stored[2].seal])}
    assert index.contents() == expected, "contents() must be `sealed` of each document's chunks"
    assert index.state().content == sealed(c.seal for c in stored), "state().content must be `sealed` of all chunks"


def other_readers_are_another_content(subject: Subject) -> None:
    """Who may read a chunk is part of it."""
    index = subject.fresh(*readable_chunks())
    before = index.contents()["b"]
    put(index, [replace(chunk("b", "maize"), readers=("bob",))])
    assert index.contents()["b"] != before, "other readers are another content"


def vectors_are_those_that_were_put(subject: Subject) -> None:
    """Of every chunk of the documents asked for; none of unknown ones."""
    index = subject.readable
    chunks, vectors = index.vectors_of(["b", "a", "never"])
    assert {c.id for c in chunks} == {c.id for c in readable_chunks()}, (
        "vectors_of() gives every chunk of the documents asked for"
    )
    for stored, vector in zip(chunks, vectors, strict=True):
        assert float(vector @ EMBEDDER.embed([stored.text])[0]) > 0.999, "a chunk's vector is not the one that was put"


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
    old = index.state().version
    before = index.contents()
    index.tag("kept")
    put(index, [chunk("a", "new text about wind")])
    if len(index.log()) > 1:
        assert index.contents(old) == before, "contents() of an older version"
        _raises_mismatch(lambda: index.contents(10**6), "a version that never was")


def restoring_makes_a_new_version_of_the_old(subject: Subject) -> None:
    """Where versions are kept; what was in between can still be read."""
    index = subject.fresh(chunk("a", "old text about water"), chunk("b", "steady"))
    old = index.state()
    before = index.contents()
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
    index, old, _ = with_a_tag(subject)
    if len(index.log()) == 1:
        return
    index.restore(old)
    put(index, [chunk("c", "later text about soil")])
    newest = index.state()
    hits = find(index, "water", version=old)
    assert index.prune(keep_days=0) >= 0, "prune() counts versions"
    assert index.state().content == newest.content, "pruning changes no content"
    assert find(index, "water", version=old) == hits, "a tagged version must stay"


# ---------------------------------------------------------------- erasure


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
    """Chunks put afterwards are found."""
    index, _, _ = after_erasure(subject)
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

_CONDITIONS = (
    "size >= 2", "size < 2", "size <= -4.5", "size > -10", "size != 2", "size in 2, 30", "size = '2.0'", "kind > 3",
    'tags = "it\'s"', 'tags contains red, "it\'s"', "tags exists", "lang != de", "lang not in de, 'x=y'",
    "missing = a", "missing != a", "missing missing", "day exists", "day missing", "day = 2031-04-02",
    "day <= 2031-04-02", "day < 2031-04-03", "day >= 2031-04-02T09:00Z", "day > 2031-04-03T04:29:59+00:00",
)  # fmt: skip


def what_filters_read_comes_back_unchanged(subject: Subject) -> None:
    """Collection, readers and metadata, hostile values included."""
    index, chunks = subject.varied
    stored = index.chunks_of([chunk.span.document for chunk in chunks])
    assert {c.id: c for c in stored} == {c.id: c for c in chunks}, "collection, readers or metadata come back changed"


def _filters(chunks: Sequence[Chunk]) -> list[Filter]:
    return [
        Filter(),
        Filter(principal=()),
        Filter(principal=("nobody",)),
        *(Filter(principal=(name,)) for name in ("ann", "staff", "o'neil")),
        Filter(collections=("law",), where=["kind = a"]),
        Filter(collections=("o'neil", "none")),
        *(Filter(where={"lang": (value,)}, principal=("ann", "staff")) for value in LANGUAGES),
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
    vectors = EMBEDDER.embed(["water drip"])
    for which in _filters(chunks):
        allowed = {c.id for c in chunks if which.allows(c)}
        for leg in LEGS:
            hits = index.search(["water drip"], vectors, 50, leg=leg, filter=which)[0]
            assert {hit.chunk.id for hit in hits} == allowed, f"{leg} under {which}: not exactly the allowed chunks"


def a_filter_is_part_of_the_search(subject: Subject) -> None:
    """The top k are the top k of the chunks it allows, on every leg."""
    index, chunks = subject.varied
    vectors = EMBEDDER.embed(["water drip"])
    for which in _filters(chunks):
        allowed = sum(which.allows(c) for c in chunks)
        for leg in LEGS:
            few = index.search(["water drip"], vectors, 3, leg=leg, filter=which)[0]
            assert len(few) == min(3, allowed), f"{leg} under {which}: filtered after the search, not in it"


# ---------------------------------------------------------------- random edits


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
            for query in (*FIELD_WORDS, "drip water on soil", "wind canal pump rain"):
                edited = [hit.chunk.id for hit in find(index, query, 40, leg=leg)]
                fresh = [hit.chunk.id for hit in find(rebuilt, query, 40, leg=leg)]
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
"""Everything the protocol promises, one behaviour each."""
