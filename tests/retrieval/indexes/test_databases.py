"""Every database keeps the index's promises, tells its faults, and survives a writer's death."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from running import Database

from any_conditions import any_rows, check_filters
from twofold.errors import ConfigError, DatabaseRefused, DatabaseUnreachable, IndexMismatch, StoreError
from twofold.plugins import loading
from twofold.testing.conformance_index import DIMENSION, PROMISES, Subject, chunk, find, put
from twofold.types import Filter


@pytest.fixture(scope="module")
def subject(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A database for the conformance suite."""
    return Subject(make=database.make(), directory=tmp_path_factory.mktemp("conformance"), exact=database.exact)


@pytest.fixture(scope="module")
def graph(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The same with a graph from the first row on."""
    make = database.make(flat_limit=0)
    return Subject(make=make, directory=tmp_path_factory.mktemp("conformance"), exact=False)


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise: Callable[[Subject], None], subject: Subject) -> None:
    promise(subject)


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("database", ["pgvector"], indirect=True)
def test_conformance_of_the_graph_of_pgvector(promise: Callable[[Subject], None], graph: Subject) -> None:
    promise(graph)


def test_any_condition_on_metadata_finds_what_is_worked_out_plainly(database: Database, called: str) -> None:
    check_filters(database.index(called), any_rows(), examples=60)


def test_names_share_a_database(database: Database, called: str) -> None:
    one, two = database.index(called), database.index(called + "b")
    put(one, [chunk("a", "water")])
    put(two, [chunk("b", "wind")])
    assert (one.documents(), two.documents()) == ({"a": 1}, {"b": 1})
    one.discard(type(one).Options(**database.options, name=called), dimension=DIMENSION)
    assert database.index(called).documents() == {}, "discard() empties one index"
    assert two.documents() == {"b": 1}, "… and leaves the other"


def test_other_embedder_is_refused_until_discarded(database: Database, called: str) -> None:
    put(database.index(called), [chunk("a", "water")])
    with pytest.raises(IndexMismatch, match="fingerprint") as caught:
        database.index(called, fingerprint="embedder:other")
    assert "--rebuild" in caught.value.cure
    with pytest.raises(IndexMismatch, match="dimension"):
        database.index(called, dimension=DIMENSION + 1)
    with pytest.raises(IndexMismatch, match="language"):
        database.index(called, language="none")
    cls = loading.find("indexes", database.name)
    cls.discard(cls.Options(**database.options, name=called), dimension=DIMENSION)
    state = database.index(called, fingerprint="embedder:other").state()
    assert (state.chunks, state.version) == (0, 2), "emptied, and versions go on counting"


def test_an_upsert_that_fails_midway_changes_nothing(
    database: Database, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is stopped at each of its writes in turn; what it leaves is the old version, and is repaired."""
    index = database.index(called)
    old = [chunk(f"d{n}", f"old water {n}") for n in range(5)]
    new = [chunk(f"d{n}", f"new wind {n}") for n in range(3)] + [chunk("e", "new wind")]
    put(index, old)
    before, hits = index.state(), find(index, "water wind", 20)
    stops = 0
    for stop in range(1, 12):
        with monkeypatch.context() as patch:
            if not _stopped(patch, database, called, stop, new):
                break
        stops += 1
        after = database.index(called)
        assert (after.state(), find(after, "water wind", 20)) == (before, hits), f"stopped at write {stop}"
    assert stops >= 4, "the writer has at least four writes to be stopped at"
    assert database.index(called).state().version == before.version + 1
    rebuilt = database.index(called + "b")
    put(rebuilt, [*old[3:], *new])
    assert database.index(called).contents() == rebuilt.contents()
    last = database.index(called)
    assert {h.chunk.id for h in find(last, "water wind", 20)} == {h.chunk.id for h in find(rebuilt, "water wind", 20)}


class _Stopped(BaseException):
    """The writer's death."""


def _stopped(patch: pytest.MonkeyPatch, database: Database, called: str, stop: int, new: list[Any]) -> bool:
    """Upsert with a fresh index whose write number `stop` never happens; False when it had fewer."""
    index = database.index(called)
    seen = []
    with index._rows.writing() as rows:
        cls = type(rows)

    def counted(name: str) -> Any:
        real = getattr(cls, name)

        def write(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            if len(seen) == stop:
                raise _Stopped
            return real(self, *args, **kwargs)

        return write

    for name in ("put_note", "put", "end", "drop", "revive"):
        patch.setattr(cls, name, counted(name))
    try:
        put(index, new)
    except _Stopped:
        return True
    return False


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("database", ["pgvector", "chroma"], indirect=True)
def test_kill_during_an_upsert(database: Database, called: str, stop: int) -> None:
    """A real process is killed within its upsert. Only servers live on; stand-ins die with the test, see above."""
    index = database.index(called)
    put(index, [chunk(f"d{n}", f"old water {n}") for n in range(40)])
    before = index.state()
    child = os.fork()
    if child == 0:  # pragma: no cover: in the child
        cls = type(database.index(called)._rows)
        rows = cls if database.name == "chroma" else __import__(cls.__module__, fromlist=["x"])._PostgresRows
        name = ("put", "end", "put_note")[stop - 1]
        real = getattr(rows, name)

        def then_die(self: Any, *args: Any, **kwargs: Any) -> None:
            real(self, *args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(rows, name, then_die)
        put(database.index(called), [chunk(f"d{n}", f"new wind {n}") for n in range(40)])
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child was to be killed"
    after = database.index(called)
    assert after.state() == before, "half an upsert is seen"
    put(after, [chunk(f"d{n}", f"new wind {n}") for n in range(40)])
    assert not find(database.index(called), "water", leg="lexical")
    assert len(find(database.index(called), "wind", 50, leg="lexical")) == 40


def test_two_writers_queue(database: Database, called: str) -> None:
    """Threads of one process, and with PostgreSQL several indexes on one name: no change is lost."""
    shared = database.index(called)
    indexes = [database.index(called) if database.name == "pgvector" else shared for _ in range(4)]
    threads = [
        threading.Thread(target=put, args=(index, [chunk(f"d{n}", f"water {n}")])) for n, index in enumerate(indexes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared.documents() == {f"d{n}": 1 for n in range(4)}
    assert shared.state().version == 4


def test_versions_are_dropped_by_age_and_tag(database: Database, called: str) -> None:
    index = database.index(called)
    for number in range(4):
        put(index, [chunk("a", f"water {number}")])
        if number == 1:
            index.tag("study")
    assert index.prune(keep_days=1) == 0
    assert index.prune(keep_days=0) == 3
    assert [entry.version for entry in index.log()] == [2, 4]
    assert [hit.chunk.text for hit in find(index, "water", version=2)] == ["water 1"]
    index.tag("study")
    assert (index.prune(keep_days=0), index.tags()) == (1, {"study": 4}), "a name in use moves"
    with pytest.raises(IndexMismatch, match="version 2"):
        find(index, "water", version=2)


def test_nobody_listens(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if database.name == "qdrant":
        options: dict[str, Any] = {"url": "http://127.0.0.1:9"}
    elif database.name == "pgvector":
        options = {"url": "postgresql://postgres@127.0.0.1:9/postgres"}
    else:
        options = {"url": "http://127.0.0.1:9", "grpc": "127.0.0.1:10"}
        options = options if database.name == "weaviate" else {"url": options["url"]}
    if database.name == "pinecone":  # its client tries again, and waits seconds before it does
        import pinecone

        monkeypatch.setattr(pinecone, "RetryConfig", partial(pinecone.RetryConfig, backoff_factor=0.01, max_wait=0.02))
    with pytest.raises(DatabaseUnreachable) as caught:
        database.index("nobody", **options, timeout=2)
    assert "127.0.0.1:9" in str(caught.value)
    assert "url" in caught.value.cure


@pytest.mark.parametrize("database", ["pgvector", "weaviate", "pinecone"], indirect=True)
def test_wrong_key(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own Qdrant, and a Chroma server without a proxy, know no keys: see the next test."""
    monkeypatch.setenv("WRONG", "not it")
    with pytest.raises(DatabaseRefused) as caught:
        database.index("refused", api_key_env="WRONG")
    assert "api_key_env" in caught.value.cure
    assert "not it" not in str(caught.value), "a secret must not be shown"


@pytest.mark.parametrize("name", ["qdrant", "chroma"])
def test_wrong_key_over_http(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Closed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b"no")

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    pytest.importorskip({"qdrant": "qdrant_client"}.get(name, "httpx"))
    monkeypatch.setenv("WRONG", "not it")
    server = HTTPServer(("127.0.0.1", 0), Closed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        options = {"url": f"http://127.0.0.1:{server.server_port}", "api_key_env": "WRONG", "timeout": 5}
        with pytest.raises(DatabaseRefused):
            Database(name=name, options=options).index("refused")
    finally:
        server.shutdown()


def test_key_comes_from_the_environment_only(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET", raising=False)
    if not str(database.options["url"]).startswith("local:"):
        with pytest.raises(ConfigError, match="UNSET"):
            database.index("unset", api_key_env="UNSET")
    with pytest.raises(ConfigError, match="password out of the file"):
        database.index("inside", url="http://user:secret@localhost:1")
    with pytest.raises(ConfigError, match="password out of the file"):
        database.index("inside", url="host=localhost password=secret")
    with pytest.raises(ConfigError, match="name"):
        database.index("No Name; DROP TABLE")


def test_wrong_vectors_change_nothing(database: Database, called: str) -> None:
    index = database.index(called)
    with pytest.raises(ValueError, match="contain infinity or NaN"):
        index.upsert([chunk("a", "water")], np.full((1, DIMENSION), np.nan))
    assert index.state().chunks == 0


@pytest.mark.parametrize("database", ["weaviate", "pinecone"], indirect=True)
def test_the_server_refuses_midway(database: Database, called: str) -> None:
    """An error of the server, which a stand-in shows at will, is a `StoreError`; the next writer repairs the rest."""
    index = database.index(called)
    put(index, [chunk("a", "old water")])
    before = index.state()
    database.stand_in.fail_after = 2
    try:
        with pytest.raises(StoreError):
            put(index, [chunk("a", "new wind")])
    finally:
        database.stand_in.fail_after = -1
    assert index.state() == before
    put(index, [chunk("a", "new wind")])
    assert [hit.chunk.text for hit in find(index, "wind water", leg="lexical")] == ["new wind"]


@pytest.mark.parametrize("database", ["pinecone"], indirect=True)
def test_pinecone_shows_writes_late(database: Database, called: str) -> None:
    database.stand_in.lag = 0.1
    try:
        index = database.index(called)
        put(index, [chunk("a", "old water")])
        put(index, [chunk("a", "new wind")])
        assert [hit.chunk.text for hit in find(index, "wind", leg="dense")] == ["new wind"]
        assert not find(index, "water", leg="lexical")
    finally:
        database.stand_in.lag = 0.0


@pytest.mark.parametrize("database", ["pgvector"], indirect=True)
def test_graph_of_pgvector_loses_nothing_under_filters(database: Database, called: str) -> None:
    """Above `flat_limit` the iterative scan finds all that a narrow filter allows."""
    index = database.index(called, flat_limit=100)
    rng = np.random.default_rng(0)
    chunks = [
        chunk(f"d{n}", f"water {n}") if n % 100 else _in_collection(chunk(f"d{n}", f"water {n}")) for n in range(1500)
    ]
    vectors = rng.normal(size=(1500, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index.upsert(chunks, vectors)
    assert index._rows.graph
    rare = [n for n in range(1500) if n % 100 == 0]
    found = index.search(["x"] * 20, vectors[:20], 10, leg="dense", filter=Filter(collections=("rare",)))
    for number, hits in enumerate(found):
        truth = sorted(rare, key=lambda n: -float(vectors[n] @ vectors[number]))[:10]
        assert [hit.chunk.span.document for hit in hits] == [f"d{n}" for n in truth]


def _in_collection(one: Any) -> Any:
    from dataclasses import replace

    return replace(one, collection="rare")


def test_a_load_ends_as_batches_do(database: Database, called: str) -> None:
    """The same rows and hits, whatever was put off meanwhile; afterwards edits go on as ever."""
    plain, loaded = database.index(called), database.index(called + "l")
    with loaded.loading():
        for n in range(3):
            for index in (plain, loaded):
                put(index, [chunk(f"d{n}", f"water wind {n}")])
    put(loaded, [chunk("e", "maize")])
    put(plain, [chunk("e", "maize")])
    assert loaded.state().content == plain.state().content
    for query in ("water 1", "maize"):
        for leg in ("dense", "lexical"):
            first, second = find(loaded, query, leg=leg), find(plain, query, leg=leg)
            assert [hit.chunk.id for hit in first] == [hit.chunk.id for hit in second]


@pytest.mark.parametrize("database", ["pgvector"], indirect=True)
def test_a_killed_load_of_pgvector_leaves_what_was_committed_and_is_ended_by_the_next_opening(
    database: Database, called: str
) -> None:
    child = os.fork()
    if child == 0:  # pragma: no cover: in the child
        index = database.index(called, flat_limit=1)
        with index.loading():
            put(index, [chunk("a", "water"), chunk("b", "wind")])
            # Whoever opens the index meanwhile makes nothing that the load has put off.
            missing = _indexes(database.index(called), called)
            os.kill(
                os.getpid(), signal.SIGKILL if missing == {"document", "notes_pkey", "chunks_pkey"} else signal.SIGTERM
            )
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    # The server notices within a moment that the connection is gone, and frees the lock of the load.
    for _ in range(100):
        index = database.index(called, flat_limit=1)
        if "term" in _indexes(index, called):
            break
    assert _indexes(index, called) >= {"term", "facets", "readers", "died", "collection", "document"}
    assert find(index, "water", leg="lexical")[0].chunk.text == "water"
    put(index, [chunk("c", "maize")])
    assert index._rows.graph, "the next change builds the graph"


def _indexes(index: Any, called: str) -> set[str]:
    with index._rows.reading() as rows:
        found = rows._do("SELECT indexname FROM pg_indexes WHERE indexname LIKE %s", [f"twofold_{called}\\_%"])
        return {name.removeprefix(f"twofold_{called}_") for (name,) in found.fetchall()}


@pytest.mark.parametrize("database", ["qdrant"], indirect=True)
def test_a_load_of_qdrant_switches_its_graph_off_and_on_again_after_a_kill_too(
    database: Database, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = database.index(called)
    client, seen = type(index._rows._client), list[int]()
    real = client.update_collection

    def noted(self: Any, name: str, **settings: Any) -> Any:
        seen.append(settings["optimizers_config"].indexing_threshold)
        return real(self, name, **settings)

    monkeypatch.setattr(client, "update_collection", noted)
    before = index._rows._threshold()
    with index.loading():
        put(index, [chunk("a", "water")])
        assert seen == [0]
    assert seen == [0, before]
    # A load that was killed: what was switched off stands in the note.
    index._rows.put_note("loading", {"threshold": before})
    after = database.index(called)
    put(after, [chunk("b", "wind")])
    assert seen == [0, before, before]
    put(after, [chunk("c", "maize")])
    assert seen == [0, before, before]
