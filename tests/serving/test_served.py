"""What is served is exchanged when a study decides otherwise, and no request is dropped for it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import ConfigError, DatabaseUnreachable
from twofold.project import Project
from twofold.serving.dispatch import Dispatcher
from twofold.serving.served import Served, mark
from twofold.testing import projects
from twofold.types import Answer


class Opened:
    """The verdict's system with its dispatcher."""

    def __init__(self, project: Project) -> None:
        self.system = project.open_system()
        self.dispatcher = Dispatcher(self.system)
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self.dispatcher.close()
        self.system.close()


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A project whose study chose `rag`."""
    directory = tmp_path_factory.mktemp("served") / "project"
    echo = {"name": "echo", "options": {"word_seconds": 0.01}}
    with projects.make_project(directory, questions=24, settings={"generation": {"generator": echo}}) as project:
        project.sync()
        assert project.study()["verdict"]["arm"] == "rag"
    return directory


@pytest.fixture
def project(studied: Path, tmp_path: Path) -> Any:
    shutil.copytree(studied, tmp_path / "project")
    settings = {"generation": {"generator": {"name": "echo", "options": {"word_seconds": 0.01}}}}
    with Project.open(tmp_path / "project", {**projects.FAST, **settings}) as opened:
        yield opened


def decide(project: Project, arm: str) -> None:
    """Add a study that decided for this arm: the first one's record with another verdict."""
    first = next(project.records.glob("[0-9]*"))
    second = first.with_name(first.name.replace("0001", "0002"))
    shutil.copytree(first, second)
    record = json.loads((second / "study.json").read_text())
    record["verdict"]["arm"] = arm
    (second / "study.json").write_text(json.dumps(record))


def waited(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_requests_under_way_end_on_the_former_and_new_ones_go_to_the_new(project: Project) -> None:
    served = Served(project, lambda: Opened(project), seconds=0.05)
    answers: list[Answer] = []
    with served.using() as former:
        assert former.system.arm.name == "rag"
        tickets = [former.dispatcher.submit(one) for one in project.examples[:6]]
        decide(project, "base")
        waited(lambda: served.exchanged == 1)
        with served.using() as fresh:
            assert fresh.system.arm.name == "base"
        assert not former.closed
        for ticket in tickets:
            answers += [piece for piece in ticket.pieces() if isinstance(piece, Answer)]
    waited(lambda: former.closed)
    assert [one.failure for one in answers] == [None] * 6
    assert served.exchanged == 1
    served.close()
    assert not served._watcher.is_alive()


def test_no_request_is_dropped_while_verdicts_change(project: Project) -> None:
    served = Served(project, lambda: Opened(project), seconds=0.02)
    failures: list[BaseException] = []
    answered, stop = [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                with served.using() as current:
                    *_, answer = current.dispatcher.submit(project.examples[0]).pieces()
                answered.append(answer)
            except BaseException as error:
                failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    decide(project, "base")
    waited(lambda: served.exchanged == 1)
    second = next(project.records.glob("0002*"))
    shutil.rmtree(second)  # a study taken back
    waited(lambda: served.exchanged == 2)
    stop.set()
    for asker in askers:
        asker.join()
    served.close()
    assert not failures
    assert len(answered) >= 4


def test_what_cannot_be_opened_leaves_the_former(project: Project) -> None:
    refuse = threading.Event()

    def opened() -> Opened:
        if refuse.is_set():
            raise ConfigError("not measured")
        return Opened(project)

    served = Served(project, opened, seconds=60)
    before = mark(project)
    refuse.set()
    decide(project, "base")
    assert mark(project) != before
    with pytest.raises(ConfigError):
        served.refresh()
    with served.using() as current:
        *_, answer = current.dispatcher.submit(project.examples[0]).pieces()
    assert isinstance(answer, Answer)
    served.close()


def test_no_fault_ends_the_watch_over_what_is_served(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails for a moment, as the system says it and as no error of ours."""
    served = Served(project, lambda: Opened(project), seconds=0.05)
    with monkeypatch.context() as patch:

        def failing(_project: Project) -> str:
            raise OSError("too many open files")

        patch.setattr("twofold.serving.served.mark", failing)
        waited(lambda: served.failure == "OSError: too many open files")
    decide(project, "base")
    monkeypatch.setattr("twofold.serving.served._RETRY", 0.0)
    waited(lambda: served.exchanged > 0)
    assert served._watcher.is_alive()
    waited(lambda: not served.failure)
    served.close()


def test_an_object_store_that_does_not_answer_stops_no_server(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(project, lambda: Opened(project), seconds=3600)

    def look(*, every: float) -> None:
        raise DatabaseUnreachable("s3://bucket does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(project.sharing, "look", look)
        assert not served.refresh()
        assert served.unseen == "s3://bucket does not answer"
        with served.using() as current:
            assert current.system.arm.name == "rag"
    served.refresh()
    assert served.unseen == ""
    served.close()
