"""The drill: a project is backed up while its server answers and documents come in, lost, and restored."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from quoting_project import SETTINGS

from twofold.deployment import backup
from twofold.project import Project
from twofold.study.verifying import verify
from twofold.testing.projects import make_project

QUESTION = "what can help guide early season irrigation decisions?"


def asked(url: str) -> dict[str, Any]:
    body = {"model": "default", "messages": [{"role": "user", "content": QUESTION}]}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer


def locally(directory: Path) -> tuple[str, str]:
    with Project.open(directory) as project:
        answer, made_by = project.ask(QUESTION, arm="rag")
    return answer.text, made_by["key"]


class Use:
    """A server that is asked, and documents that come in, until the block ends."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.answers = self.synced = 0
        self.faults: list[BaseException] = []
        self._stop = threading.Event()

    def __enter__(self) -> Use:
        command = [sys.executable, "-m", "twofold", "serve", "--port", "0", "--arm", "rag", "--unmeasured", "--json"]
        self._server = subprocess.Popen([*command, "-C", str(self.directory)], stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        self._url = json.loads(self._server.stdout.readline())["url"]
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in (self._ask, self._write)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._server.terminate()
        self._server.wait(60)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                work()
        except BaseException as error:  # a thread's failure must fail the test
            self.faults.append(error)

    def _ask(self) -> None:
        assert asked(self._url)["choices"]
        self.answers += 1

    def _write(self) -> None:
        documents = next((self.directory / "data").glob("documents*.jsonl"))
        line = json.dumps({"id": f"new-{self.synced}", "text": f"Note {self.synced} on tractors."})
        documents.write_text(f"{documents.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
        with Project.open(self.directory) as project:
            project.sync()
        self.synced += 1


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    make_project(place, questions=60).close()
    with (place / "twofold.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    with Project.open(place, {"study": {"arms": ["base", "rag"], "resamples": 400, "latency_sample": 2}}) as project:
        project.sync()
        project.study()
    return place


def saved(directory: Path, path: Path) -> float:
    with Project.open(directory) as project:
        return backup.back_up(directory, project.config, path, now=datetime.now(UTC)).pause


@pytest.mark.slow
def test_a_project_in_full_use_is_saved_lost_and_restored(directory: Path, tmp_path: Path) -> None:
    pauses: list[float] = []
    with Use(directory) as use:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            pauses.append(saved(directory, tmp_path / f"{len(pauses)}.tar"))
    assert not use.faults
    assert use.answers > 10
    assert use.synced > 3
    print(f"{len(pauses)} backups, {use.answers} answers, {use.synced} syncs, pause {max(pauses) * 1000:.1f} ms")
    for which in (0, len(pauses) // 2, len(pauses) - 1):
        restored = tmp_path / f"restored{which}"
        backup.restore(tmp_path / f"{which}.tar", restored)
        with Project.open(restored) as project:
            known = {document.id for document in project.catalogue.documents.get()}
            assert known <= set(project.workspace.search.index.documents())
            project.sync()
            assert not [problem for problem in project.check() if problem.severity == "error"]
            study = next(path for path in project.records.iterdir() if path.is_dir())
        assert verify(study).verified
    # At rest: what is restored is the project as it was, to the key.
    before = locally(directory)
    saved(directory, tmp_path / "last.tar")
    shutil.rmtree(directory)
    backup.restore(tmp_path / "last.tar", directory)
    assert locally(directory) == before
