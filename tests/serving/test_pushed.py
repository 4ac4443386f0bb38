"""Documents that are sent in numbers: indexed together, each with its own fate, and none lost that was acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from serving_process import served

from small_project import write_project
from twofold.errors import Conflict, DataError, NotServed, ProjectLocked, StoreError
from twofold.files import writing
from twofold.project import Project
from twofold.serving.bodies import DocumentBody
from twofold.serving.pushed import Pushed


@pytest.fixture
def project(tmp_path: Path, own_cache: Path) -> Iterator[Project]:
    canteen = [{"id": "canteen", "title": "On the canteen", "text": "The canteen opens at seven."}]
    asked = [("canteen", "When does the canteen open?", "seven")]
    with Project.open(write_project(tmp_path / "p", canteen, asked, copies=3, settings="")) as opened:
        opened.sync()
        yield opened


@pytest.fixture
def pushed(project: Project) -> Iterator[Pushed]:
    documents = Pushed(project)
    yield documents
    documents.close()


def body(name: str, text: str = "", **more: object) -> DocumentBody:
    return DocumentBody(id=name, text=text or f"The {name} costs {len(name)} euros.", **more)  # type: ignore[arg-type]


def test_what_waits_is_indexed_together_and_each_has_its_own_fate(project: Project, pushed: Pushed) -> None:
    with project.writing():  # another command; what is sent meanwhile is refused
        locked = pushed.put(body("early"), None, replace=True)
        with pytest.raises(ProjectLocked):
            locked.result(60)
    before = project.workspace.search.index.state().version
    begun = threading.Event()
    pushed._worker.submit(begun.wait)  # the worker is busy, as it is while it syncs
    sent = {f"thing-{number}": pushed.put(body(f"thing-{number}"), None, replace=False) for number in range(20)}
    twice = pushed.put(body("thing-3", "The thing costs 9 euros."), None, replace=False)
    stale = pushed.put(body("thing-4", version="000000000000"), None, replace=True)
    endless = pushed.put(body("endless", metadata={f"{number:0400}": "x" for number in range(60)}), None, replace=True)
    nobody = pushed.delete("nobody", None)
    left = pushed.put(body("left"), None, replace=True)
    assert left.cancel(), "its caller has left before it was begun"
    begun.set()
    rows = {name: future.result(60) for name, future in sent.items()}
    assert {row["version"] for row in rows.values()} == {rows[name]["version"] for name in sent}
    assert [row["id"] for row in rows.values()] == list(sent)
    for future, fault in ((twice, Conflict), (stale, Conflict), (endless, DataError), (nobody, NotServed)):
        with pytest.raises(fault):
            future.result(60)
    assert project.workspace.search.index.state().version - before < 10, "one sync for many"
    assert "thing-7" in project.ask("What does the thing-7 cost?", arm="rag")[0].hits[0].chunk.span.document
    listed, more = pushed.listed(None, limit=1000)
    assert sorted(row["id"] for row in listed) == sorted(sent)
    assert not more
    assert len(list((project.directory / "serving" / "documents").glob("*.json"))) == len(sent)


def test_changes_of_one_document_are_made_in_their_order(project: Project, pushed: Pushed) -> None:
    begun = threading.Event()
    pushed._worker.submit(begun.wait)
    first = pushed.put(body("a", "One."), None, replace=True)
    second = pushed.put(body("a", "Two."), None, replace=True)
    gone = pushed.delete("a", None)
    third = pushed.put(body("a", "Three.", metadata={"lang": "en"}), None, replace=False)
    begun.set()
    assert first.result(60)["version"] != second.result(60)["version"]
    gone.result(60)
    third.result(60)
    assert (pushed.get("a", None)["text"], pushed.get("a", None)["metadata"]) == ("Three.", {"lang": "en"})


def test_pages_of_the_list_go_by_id(pushed: Pushed) -> None:
    names = [f"d-{number:02}" for number in range(7)]
    for future in [pushed.put(body(name), None, replace=True) for name in reversed(names)]:
        future.result(60)
    seen: list[str] = []
    more, after = True, ""
    while more:
        rows, more = pushed.listed(None, after=after, limit=3)
        seen += [row["id"] for row in rows]
        after = seen[-1]
    assert seen == names


def test_a_sent_document_has_no_record_number(project: Project, pushed: Pushed) -> None:
    pushed.put(body("sauna", "The sauna is heated to 85 degrees.", title="On the sauna"), None, replace=True).result(60)
    answer, report = project.ask("How many degrees is the sauna heated to?", arm="rag")
    place = dict(zip((hit.chunk.span.document for hit in answer.hits), report["places"], strict=True))
    name = dict(zip((hit.chunk.span.document for hit in answer.hits), report["names"], strict=True))
    assert (place["pushed:sauna"], name["pushed:sauna"]) == ("", "pushed:sauna")


def test_where_the_index_refuses_nothing_is_left(
    project: Project, pushed: Pushed, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed.put(body("a", "One."), None, replace=True).result(60)

    def refuse() -> dict[str, str]:
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(pushed, "_synced", refuse)
        for future in (pushed.put(body("a", "Two."), None, replace=True), pushed.put(body("b"), None, replace=True)):
            with pytest.raises(StoreError, match="no room"):
                future.result(60)
    assert "no room" in pushed.failure
    project.sync()
    assert [row["id"] for row in pushed.listed(None)[0]] == ["a"]
    assert pushed.get("a", None)["text"] == "One."


class NativePanic(BaseException):
    """As a library in Rust raises it: no `Exception`."""


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), NativePanic("called `unwrap`")], ids=str)
def test_an_undo_needs_no_room_on_the_disk(
    project: Project, pushed: Pushed, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    """The index refuses because the disk is full: no file may be written to bring the former ones back."""
    for name in ("a", "b"):
        pushed.put(body(name, f"The first {name}."), None, replace=True).result(60)
    written = writing.write

    def refuse() -> dict[str, str]:
        # From now on the disk takes nothing.
        monkeypatch.setattr(writing, "write", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(pushed, "_synced", refuse)
        begun = threading.Event()
        pushed._worker.submit(begun.wait)
        changes = [pushed.put(body("a", "The second a."), None, replace=True), pushed.delete("b", None)]
        begun.set()
        for change in changes:
            with pytest.raises(StoreError):
                change.result(60)
    monkeypatch.setattr(writing, "write", written)
    assert [pushed.get(name, None)["text"] for name in ("a", "b")] == ["The first a.", "The first b."]
    assert pushed.failure.startswith("documents cannot be stored")
    pushed.put(body("c"), None, replace=True).result(60)
    assert pushed.failure == ""
    assert sorted(row["id"] for row in pushed.listed(None)[0]) == ["a", "b", "c"]


def test_what_the_index_took_and_the_disk_then_refused_is_soon_found_no_more(
    project: Project, pushed: Pushed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twofold.serving.pushed._AGAIN", 0.05)
    synced = pushed._synced
    refusals = iter([OSError(28, "No space left on device"), NativePanic("called `unwrap`")])

    def refuse() -> dict[str, str]:
        done = synced()
        for fault in refusals:
            raise fault
        return done

    monkeypatch.setattr(pushed, "_synced", refuse)
    with pytest.raises(StoreError, match="No space"):
        pushed.put(body("a"), None, replace=False).result(60)
    end = time.monotonic() + 60
    while (pushed.failure or project.catalogue.documents.versions(["pushed:a"])) and time.monotonic() < end:
        time.sleep(0.02)
    assert not project.catalogue.documents.versions(["pushed:a"])
    assert project.workspace.search.index.contents().keys() == {"canteen"}
    assert pushed.failure == ""


def test_what_could_not_be_replaced_can_be_removed(
    project: Project, pushed: Pushed, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed.put(body("a"), None, replace=True).result(60)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "write", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(StoreError):
            pushed.put(body("a", "Other words."), None, replace=True).result(60)
    assert pushed.get("a", None)["text"] == "The a costs 1 euros."
    pushed.delete("a", None).result(60)
    project.sync()
    assert pushed.listed(None) == ([], False)


@pytest.mark.parametrize(
    "changed", [{"text": "Other words."}, {"title": "Other"}, {"metadata": {"lang": "en"}}], ids=lambda c: next(iter(c))
)
def test_of_those_who_replace_one_version_one_wins_whatever_they_change(
    pushed: Pushed, changed: dict[str, object]
) -> None:
    first = pushed.put(body("a", "One."), None, replace=False).result(60)
    begun = threading.Event()
    pushed._worker.submit(begun.wait)
    sent: dict[str, object] = {"text": "One.", "version": first["version"], **changed}
    tries = [
        pushed.put(body("a", **{**sent, "title": sent.get("title") or f"by {n}"}), None, replace=True)  # type: ignore[arg-type]
        for n in range(8)
    ]
    begun.set()
    wins = [attempt.result(60) for attempt in tries if attempt.exception(60) is None]
    assert len(wins) == 1
    assert all(isinstance(attempt.exception(), Conflict) for attempt in tries if attempt.exception())
    assert pushed.get("a", None)["version"] == wins[0]["version"] != first["version"]


def test_what_a_killed_server_had_not_indexed_is_completed_at_the_next_start(project: Project, pushed: Pushed) -> None:
    pushed.put(body("a", "One."), None, replace=False).result(60)
    pushed.put(body("b", "Old."), None, replace=False).result(60)
    files = pushed._files
    files.write("b", '{"id":"b","text":"New.","title":"b"}')
    files.write("c", '{"id":"c","text":"Sent and not indexed.","title":"c"}')
    files.remove("a")
    # Nobody was told that c was taken: it can be sent again.
    again = Pushed(project)
    again.put(body("d"), None, replace=False).result(60)  # after the completion, in the same thread
    assert [row["id"] for row in again.listed(None)[0]] == ["b", "c", "d"]
    assert again.get("b", None)["text"] == "New."
    assert not list((project.directory / "serving" / "documents").glob(".*"))
    again.close()


def test_what_was_never_taken_conflicts_with_nothing(project: Project, pushed: Pushed) -> None:
    pushed.put(body("a"), None, replace=False).result(60)
    with project.writing():  # so that the next start cannot complete it
        pushed._files.write("left", '{"id":"left","text":"Of a killed server.","title":"left"}')
        again = Pushed(project)
        again._worker.submit(bool).result(60)
    with pytest.raises(NotServed):
        again.get("left", None)
    assert again.put(body("left", "Sent again."), None, replace=False).result(60)["id"] == "left"
    assert again.get("left", None)["text"] == "Sent again."
    again.close()


def test_a_kill_in_a_burst_loses_nothing_that_was_acknowledged(project_copy: Path) -> None:
    acknowledged: list[str] = []
    enough = threading.Event()

    def send(name: str) -> None:
        with server.client() as client, suppress(httpx.TransportError):
            if client.post("/v1/documents", json=body(name).model_dump()).status_code == 201:
                acknowledged.append(name)
                if len(acknowledged) >= 5:
                    enough.set()

    names = [f"thing-{number:03}" for number in range(200)]
    with served(project_copy) as server, ThreadPoolExecutor(8) as senders:
        for name in names:
            senders.submit(send, name)
        assert enough.wait(60)
        server.process.kill()
        senders.shutdown(cancel_futures=True)
    assert 5 <= len(acknowledged) < len(names)
    with served(project_copy) as server, server.client() as client:
        rows = client.get("/v1/documents", params={"limit": 1000}).json()["data"]
        assert {row["id"] for row in rows} >= set(acknowledged)
        found = client.post("/v1/retrieve", json={"query": f"What does the {acknowledged[-1]} cost?"}).json()["data"]
        assert f"pushed:{acknowledged[-1]}" in [row["document"] for row in found]
        # The next document that is sent completes what the kill left behind.
        assert client.post("/v1/documents", json=body("last").model_dump()).status_code == 201
        assert client.get("/readyz").json()["ready"] is True
