"""A disk that takes no more: reading and `gc` go on, what is refused says the cure, and nothing forgotten is shown.

A limit on the size of files stands in for the full disk: every process can set it for itself, and the system refuses
each write as it does on one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sync_project import held, sync

from twofold.project import Project

pytest.importorskip("resource")
SECRET = "data/documents/secret.txt"


def _full(directory: Path, *words: str, room: int = 0) -> subprocess.CompletedProcess[str]:
    """A command where no file may be larger than `room` bytes."""
    script = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        "from twofold.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *words, "-C", str(directory), "-q"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def project(make: Callable[..., Path]) -> Path:
    directory = make()
    documents = directory / "data" / "documents"
    (documents / "secret.txt").write_text("The password is xyzzyplugh.")
    for number in range(20):
        (documents / f"{number}.txt").write_text(f"Water number {number} is wet. " * 20)
    sync(directory)
    return directory


@pytest.mark.parametrize(
    "command", [["index", "log"], ["index", "documents"], ["models", "list"], ["config"], ["gc", "--dry-run"]]
)
def test_what_only_reads_goes_on(project: Path, command: list[str]) -> None:
    done = _full(project, *command)
    assert done.returncode == 0, done.stderr


def test_a_question_is_answered_from_the_index_that_is_there(project: Path) -> None:
    done = _full(project, "ask", "What is the password?", "--arm", "rag")
    assert done.returncode == 0, done.stderr
    assert "xyzzyplugh" in done.stdout


def test_gc_frees_space(project: Path) -> None:
    half = project / ".twofold" / "artifacts" / "adapter-0123.partial"
    half.mkdir(parents=True)
    (half / "weights").write_bytes(bytes(1 << 20))
    done = _full(project, "gc")
    assert (done.returncode, half.exists()) == (0, False), done.stderr


@pytest.mark.parametrize("command", [["sync"], ["forget", SECRET, "--yes"]])
def test_what_must_write_says_the_cure(project: Path, command: list[str]) -> None:
    (project / "data" / "documents" / "more.txt").write_text("Soil is dry.")
    done = _full(project, *command)
    assert done.returncode == 3
    assert "twofold gc" in done.stderr
    assert "internal error" not in done.stderr
    assert len(held(project)) == 21, "nothing was lost"


slow = pytest.mark.slow


@pytest.mark.parametrize("room", [400, pytest.param(2000, marks=slow), 20_000, pytest.param(60_000, marks=slow)])
def test_what_is_half_forgotten_is_not_answered_until_there_is_room(project: Path, room: int) -> None:
    done = _full(project, "forget", SECRET, "--yes", room=room)
    assert done.returncode in (0, 3), done.stderr
    began = (project / "receipts" / "forgotten.json").is_file()
    assert began or room < 2000
    for limit in (0, room):
        asked = _full(project, "ask", "What is the password?", "--arm", "rag", room=limit)
        assert asked.returncode in (0, 3), asked.stderr
        assert not began or "xyzzyplugh" not in asked.stdout + asked.stderr
        if asked.returncode:
            assert "not completely forgotten yet" in asked.stderr
            assert "twofold gc" in asked.stderr
    if began:
        with Project.open(project) as opened:
            opened.sync()
            assert "xyzzyplugh" not in opened.ask("What is the password?", arm="rag")[0].text
        left = [p for p in (project / ".twofold").rglob("*") if p.is_file() and b"xyzzyplugh" in p.read_bytes()]
        assert not left
