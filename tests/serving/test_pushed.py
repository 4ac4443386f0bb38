"""Documents that are sent in numbers: indexed together, each with its own fate, and none lost that was acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from serving_process import served

from small_project import write_project
from twofold.errors import Conflict, DataError, NotServed, ProjectLocked
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
            with pytest.raises(OSError, match="no room"):
                future.result(60)
    project.sync()
    assert [row["id"] for row in pushed.listed(None)[0]] == ["a"]
    assert pushed.get("a", None)["text"] == "One."


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
