"""The embedded index in an object store keeps the protocol's promises, whoever else reads and writes it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import bucket_traffic
from faulty_store import FaultyStore, before
from object_store import ObjectStore
from twofold.errors import DatabaseRefused, DatabaseUnreachable, IndexDamaged, IndexMismatch, ProjectLocked, StoreError
from twofold.files.remote import RemoteFolder
from twofold.retrieval.indexes.lancedb.index import LanceIndex
from twofold.retrieval.indexes.lancedb.places import RemotePlace
from twofold.store import lease as leases
from twofold.store.lease import Lease, ObjectRegister
from twofold.testing.conformance_index import DIMENSION, FINGERPRINT, PROMISES, Subject, chunk, find, put


def opened(folder: RemoteFolder, fingerprint: str = FINGERPRINT, **options: object) -> LanceIndex:
    made = LanceIndex.Options.model_validate(options)
    return LanceIndex(made, directory=folder, fingerprint=fingerprint, dimension=DIMENSION)


@pytest.fixture(scope="module")
def subject(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """An index in a bucket, a folder for each directory that the suite asks for."""
    bucket = object_store.bucket()

    def make(directory: Path, fingerprint: str) -> LanceIndex:
        return opened(RemoteFolder(f"s3://{bucket}/{directory.name}", object_store.endpoint), fingerprint)

    return Subject(make=make, directory=tmp_path_factory.mktemp("bucket"), seed=30)


@pytest.mark.slow
@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise: Callable[[Subject], None], subject: Subject) -> None:
    promise(subject)


@pytest.fixture(scope="module")
def proxy(object_store: ObjectStore) -> Iterator[FaultyStore]:
    """The store, behind a proxy."""
    with before(object_store.endpoint) as store:
        yield store


@pytest.fixture
def folder(object_store: ObjectStore, proxy: FaultyStore) -> Iterator[RemoteFolder]:
    """An empty folder in a new bucket, behind the proxy; whatever a test had it do ends with the test."""
    yield RemoteFolder(f"s3://{object_store.bucket()}/kb", proxy.endpoint)
    proxy.fault, proxy.lose_answers, proxy.late = (lambda *_: None), False, False
    proxy.listings.clear()


def texts(index: LanceIndex) -> dict[str, str]:
    return {one.span.document: one.text for one in index.chunks_of(sorted(index.documents()))}


# ---------------------------------------------------------------- two writers


def test_a_writer_that_was_paused_past_its_lease_changes_nothing(
    folder: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause is the worst one: after the lease was looked at, and before the commit."""
    index = opened(folder)
    put(index, [chunk("a", "water")])
    slow = Lease(ObjectRegister(folder), fence=partial(LanceIndex.fence, folder)).__enter__()
    look = slow.check

    def look_and_sleep(*, left: float = 0.0) -> None:
        look(left=left)
        monkeypatch.setattr(slow, "check", look)
        monkeypatch.setattr(leases, "_LEASES", {})
        with monkeypatch.context() as patch:
            patch.setattr(ObjectRegister, "age", lambda self: 1e6)
            with Lease(ObjectRegister(folder), fence=partial(LanceIndex.fence, folder)):
                put(opened(folder), [chunk("b", "wind")])
        monkeypatch.setattr(leases, "_LEASES", {folder.url: slow})

    monkeypatch.setattr(slow, "check", look_and_sleep)
    with pytest.raises(ProjectLocked, match="took the writer's lease"):
        put(index, [chunk("c", "maize")])
    with pytest.raises(ProjectLocked, match="took the writer's lease"):
        index.delete(["a"])
    slow.__exit__(None, None, None)
    assert texts(opened(folder)) == {"a": "water", "b": "wind"}


def test_a_fence_undoes_no_commit_that_came_before_it(folder: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    index, other = opened(folder), opened(folder)
    put(index, [chunk("a", "water")])
    place = RemotePlace(folder)
    connected = place.connected

    def late(*, follows: bool) -> object:
        connection = connected(follows=follows)
        name = next(iter(connection.table_names()))
        table = connection.open_table(name)
        monkeypatch.setattr(connection, "open_table", lambda _: table)
        _ = table.version
        put(other, [chunk("b", "wind")])  # after the fence has looked, and before it commits
        return connection

    monkeypatch.setattr(place, "connected", late)
    place.fence()
    assert texts(opened(folder)) == {"a": "water", "b": "wind"}


@pytest.mark.slow
def test_writers_without_a_project_take_turns(folder: RemoteFolder) -> None:
    first, second = opened(folder), opened(folder)
    for number in range(3):
        put(first, [chunk(f"a{number}", "water")])
        put(second, [chunk(f"b{number}", "wind")])
    assert first.state().content == second.state().content == opened(folder).state().content
    assert first.state().documents == 6


# ---------------------------------------------------------------- readers


def test_another_reader_sees_a_commit_within_the_stated_second(folder: RemoteFolder) -> None:
    writer, reader = opened(folder), opened(folder)
    assert find(reader, "water") == []
    put(writer, [chunk("a", "water")])
    assert find(writer, "water")[0].chunk.text == "water", "a writer sees its own commit at once"
    time.sleep(1.05)
    assert find(reader, "water")[0].chunk.text == "water"


@pytest.mark.slow
def test_a_reader_of_an_index_that_was_made_anew_finds_nothing_of_before(folder: RemoteFolder) -> None:
    reader = opened(folder)
    put(reader, [chunk("a", "water old")])
    assert find(reader, "water")[0].chunk.text == "water old"
    folder.clear()
    time.sleep(1.05)
    with pytest.raises(IndexDamaged):
        find(reader, "water")
    assert folder.sizes() == {}, "a reader writes no description"
    put(opened(folder), [chunk("a", "water new")])
    assert find(reader, "water")[0].chunk.text == "water new"
    folder.clear()
    opened(folder, "another embedder")
    time.sleep(1.05)
    with pytest.raises(IndexMismatch, match="another embedder"):
        find(reader, "water")


@pytest.mark.slow
def test_listings_that_come_late_show_an_older_version_and_lose_no_row(
    folder: RemoteFolder, proxy: FaultyStore, object_store: ObjectStore
) -> None:
    at_once = RemoteFolder(folder.url, object_store.endpoint)
    index = opened(at_once)
    put(index, [chunk("a", "water")])
    reader = opened(folder)
    assert texts(reader) == {"a": "water"}
    proxy.late = True
    put(index, [chunk("b", "wind")])
    time.sleep(1.05)
    assert texts(reader) == {"a": "water"}
    # A writer that does not see the newest version cannot write over it.
    with pytest.raises(StoreError, match="come late"):
        put(opened(folder), [chunk("c", "maize")])
    assert texts(opened(at_once)) == {"a": "water", "b": "wind"}
    proxy.late = False
    put(opened(folder), [chunk("c", "maize")])
    assert texts(opened(at_once)) == {"a": "water", "b": "wind", "c": "maize"}


# ---------------------------------------------------------------- a store that refuses


@pytest.mark.parametrize(
    "refusal",
    [
        (403, "AccessDenied", DatabaseRefused, "refuses these credentials", "AWS_ACCESS_KEY_ID"),
        (403, "InvalidAccessKeyId", DatabaseRefused, "refuses these credentials", "AWS_ACCESS_KEY_ID"),
        (400, "ExpiredToken", DatabaseRefused, "have expired", "AWS_SESSION_TOKEN"),
        (403, "RequestTimeTooSkewed", DatabaseRefused, "clock is wrong", "clock"),
        (404, "NoSuchBucket", DatabaseRefused, "there is no bucket", "Create the bucket"),
        (503, "SlowDown", DatabaseUnreachable, "does not answer", "endpoint"),
    ],
)
def test_a_refusal_names_bucket_and_cure_and_nothing_is_lost(
    folder: RemoteFolder, proxy: FaultyStore, refusal: tuple[int, str, type[StoreError], str, str]
) -> None:
    status, code, error, says, cure = refusal
    index = opened(folder)
    put(index, [chunk("a", "water")])
    for methods in (("PUT",), ("GET", "HEAD", "PUT")):
        proxy.fault = lambda method, path, methods=methods: (status, code) if method in methods else None
        with pytest.raises(error, match=says) as caught:
            put(index, [chunk("b", "wind")])
        assert folder.bucket in caught.value.message
        assert cure in caught.value.cure
    with pytest.raises(error, match=says):
        opened(folder)
    proxy.fault = lambda *_: None
    assert texts(opened(folder)) == {"a": "water"}
    put(index, [chunk("b", "wind")])
    assert texts(opened(folder)) == {"a": "water", "b": "wind"}


def test_nobody_at_the_address_is_said_within_seconds() -> None:
    began = time.monotonic()
    with pytest.raises(DatabaseUnreachable, match="'bucket' does not answer at http") as caught:
        opened(RemoteFolder("s3://bucket/kb", "http://127.0.0.1:9"))
    assert "[scale].endpoint" in caught.value.cure
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_answers_that_are_lost_leave_the_index_whole(folder: RemoteFolder, proxy: FaultyStore) -> None:
    index = opened(folder)
    put(index, [chunk("a", "water")])
    proxy.lose_answers = True
    with pytest.raises(StoreError):
        put(index, [chunk("b", "wind")])
    proxy.lose_answers = False
    assert texts(opened(folder)) in ({"a": "water"}, {"a": "water", "b": "wind"})
    put(opened(folder), [chunk("b", "wind")])
    assert texts(opened(folder)) == {"a": "water", "b": "wind"}


@pytest.mark.slow
def test_two_readers_beside_a_writer_see_whole_versions_at_most_a_second_old(object_store: ObjectStore) -> None:
    """For a minute: every search finds exactly what one version held that was the newest within the last second."""
    url, until = f"s3://{object_store.bucket()}/kb", time.time() + 60
    processes, out = multiprocessing.get_context("spawn"), multiprocessing.get_context("spawn").SimpleQueue()
    roles = (bucket_traffic.write, bucket_traffic.read, bucket_traffic.read)
    children = [processes.Process(target=role, args=(url, object_store.endpoint, until, out)) for role in roles]
    for child in children:
        child.start()
    reports = [out.get() for _ in children]
    for child in children:
        child.join()
    commits = next(log for role, log in reports if role == "writer")
    searches = [search for role, log in reports if role == "reader" for search in log]
    # The machine may be busy, and a look at the store itself takes time.
    slack = 1.5
    for start, after, seen, count in searches:
        assert count == 2 * len(seen), "half a document"
        # A version is the newest from somewhere within its commit to somewhere within the next one.
        ends = [*(end for _, end, _ in commits[1:]), float("inf")]
        newest = [
            content
            for (begin, _, content), end in zip(commits, ends, strict=True)
            if begin <= after and end >= start - 1.0 - slack
        ]
        assert seen in newest, f"{sorted(seen)} was not the content in the second before"
    print(f"{len(commits) - 1} commits, {len(searches)} searches")
    assert len(commits) > 20
    assert len(searches) > 100
