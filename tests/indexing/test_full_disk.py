"""A disk that takes no more: reading and `gc` go on, what is refused says the cure, and nothing forgotten is shown.

A limit on the size of files stands in for the full disk: every process can set it for itself, and the system refuses
each write as it does on one.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sync_project import held, sync, write_project

from forked import Nursery
from twofold.project import Project

pytest.importorskip("resource")
SECRET = "data/documents/secret.txt"


Full = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def full(nursery: Nursery, project: Path) -> Full:
    """Runs a command where no file may be larger than `room` bytes."""

    def run(*words: str, room: int = 0) -> subprocess.CompletedProcess[str]:
        script = (
            f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
            "from twofold.cli.main import main; sys.exit(main(sys.argv[1:]))"
        )
        return nursery.run(script, *words, "-C", str(project), "-q")

    return run


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that all tests begin with a copy of."""
    directory = write_project(tmp_path_factory.mktemp("synced") / "project")
    documents = directory / "data" / "documents"
    (documents / "secret.txt").write_text("The password is xyzzyplugh.")
    for number in range(20):
        (documents / f"{number}.txt").write_text(f"Water number {number} is wet. " * 20)
    sync(directory)
    return directory


@pytest.fixture
def project(synced: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(synced, tmp_path / "project", symlinks=True))


@pytest.mark.parametrize(
    "command", [["index", "log"], ["index", "documents"], ["models", "list"], ["config"], ["gc", "--dry-run"]]
)
def test_what_only_reads_goes_on(full: Full, command: list[str]) -> None:
    done = full(*command)
    assert done.returncode == 0, done.stderr


def test_a_question_is_answered_from_the_index_that_is_there(full: Full) -> None:
    done = full("ask", "What is the password?", "--arm", "rag")
    assert done.returncode == 0, done.stderr
    assert "xyzzyplugh" in done.stdout


def test_gc_frees_space(project: Path, full: Full) -> None:
    half = project / ".twofold" / "artifacts" / "adapter-0123.partial"
    half.mkdir(parents=True)
    (half / "weights").write_bytes(bytes(1 << 20))
    done = full("gc")
    assert (done.returncode, half.exists()) == (0, False), done.stderr


@pytest.mark.parametrize("command", [["sync"], ["forget", SECRET, "--yes"]])
def test_what_must_write_says_the_cure(project: Path, full: Full, command: list[str]) -> None:
    (project / "data" / "documents" / "more.txt").write_text("Soil is dry.")
    done = full(*command)
    assert done.returncode == 3
    assert "twofold gc" in done.stderr
    assert "internal error" not in done.stderr
    assert len(held(project)) == 21, "nothing was lost"


slow = pytest.mark.slow


@pytest.mark.parametrize("room", [400, pytest.param(2000, marks=slow), 20_000, pytest.param(60_000, marks=slow)])
def test_what_is_half_forgotten_is_not_answered_until_there_is_room(project: Path, full: Full, room: int) -> None:
    done = full("forget", SECRET, "--yes", room=room)
    assert done.returncode in (0, 3), done.stderr
    began = (project / "receipts" / "forgotten.json").is_file()
    assert began or room < 2000
    for limit in (0, room):
        asked = full("ask", "What is the password?", "--arm", "rag", room=limit)
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
