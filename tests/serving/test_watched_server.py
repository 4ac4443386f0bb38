"""A server looks at its project in a process of its own."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from twofold.project import Project
from twofold.serving.looks import Looks


@pytest.fixture
def project(project_copy: Path) -> Iterator[Project]:
    chunker = {"name": "tokens", "options": {"max_tokens": 50}}
    overrides = {"watch": {"every": "1d"}, "documents": {"chunker": chunker}}
    with Project.open(project_copy, overrides) as project:
        yield project


def test_a_server_looks_with_its_own_settings_and_says_alarms(project: Project) -> None:
    looks = Looks(project, first=0)
    looks.start()
    # Of the lowest priority, it waits for whatever else this machine does.
    deadline = time.monotonic() + 120
    while not looks.remarks() and time.monotonic() < deadline:
        time.sleep(0.05)
    looks.close()
    # By the chunker that this server was started with, not by that of the file.
    assert "chunking changed" in looks.remarks()[0]
    # The next look of a server that is started anew is due a day after the last one.
    assert 86_000 < Looks(project)._left(86_400) <= 86_400
    assert not any(thread.name == "twofold-looks" for thread in threading.enumerate())


def test_what_a_look_says(project: Project) -> None:
    looks = Looks(project)
    looks._take(b"", 70)
    assert looks.remarks() == ["the project cannot be looked at: the look ended with code 70"]
    looks._take(json.dumps({"error": {"code": "store.full", "message": "no space"}}).encode(), 3)
    assert looks.failure == "no space"
    looks._take(json.dumps({"error": {"code": "store.locked", "message": "busy"}}).encode(), 3)
    assert looks.failure == "no space", "somebody else looks: that is no news"
    looks._take(json.dumps({"state": "failed", "remarks": ["a: the index is down"], "causes": []}).encode(), 3)
    assert looks.failure == "a: the index is down"
    looks._take(json.dumps({"state": "ok", "remarks": ["3 looks missed"], "causes": []}).encode(), 0)
    assert looks.remarks() == []


def test_without_the_setting_nobody_looks(project_copy: Path) -> None:
    with Project.open(project_copy) as project:
        looks = Looks(project, first=0)
        looks.start()
        looks.close()
        assert looks._thread is None
        assert not project.watching.looked
        assert os.listdir(project.directory)
