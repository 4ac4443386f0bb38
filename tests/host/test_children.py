"""Children end with their parent, whatever ends it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import PARENT, PROMISED, Start, alive, until

from twofold.host import children as processes

Children = Callable[[int], list[int]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP], ids=lambda n: n.name)
def test_a_training_child_ends_when_its_parent_is_killed(
    number: signal.Signals, place: Path, start: Start, children: Children
) -> None:
    parent = start(PARENT, str(place), "sleep", "1")
    (child,) = children(1)
    os.kill(parent.pid, number)
    assert until(lambda: not alive(child)) < PROMISED
    unrelated = int((place / "unrelated").read_text(encoding="utf-8"))
    assert alive(unrelated), "what holds none of our pipes goes on, and does not keep the child alive"


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_a_child_that_is_deep_in_native_code_ends_too(place: Path, start: Start, children: Children) -> None:
    parent = start(PARENT, str(place), "native", "1")
    (child,) = children(1)
    parent.kill()
    assert until(lambda: not alive(child)) < PROMISED


@pytest.mark.skipif(sys.platform != "linux", reason="it switches Linux's death signal off")
def test_the_pipe_alone_ends_a_child(place: Path, start: Start, children: Children) -> None:
    silent = PARENT.replace("import subprocess", "import twofold.host.children as c, subprocess", 1)
    silent = silent.replace("unrelated =", "c.__name__ = 'piped'\nunrelated =", 1)
    (place / "piped.py").write_text(
        "import sys\nimport twofold.host.children as c\nc._DEATH_SIGNAL = 0\nc.main(sys.argv[1:])\n", encoding="utf-8"
    )
    parent = start(silent, str(place), "sleep", "1")
    (child,) = children(1)
    parent.kill()
    assert until(lambda: not alive(child)) < PROMISED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_processes_that_train_together_end_with_their_parent(
    number: signal.Signals, place: Path, start: Start, children: Children
) -> None:
    parent = start(PARENT, str(place), "deaf", "2")
    both = children(2)
    os.kill(parent.pid, number)
    assert until(lambda: not any(alive(child) for child in both)) < PROMISED


def test_processes_that_train_together_end_with_whoever_started_them(
    place: Path, start: Start, children: Children
) -> None:
    parent = start(PARENT, str(place), "deaf", "2")
    both = children(2)
    between = {int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1]) for child in both}
    assert parent.pid not in between
    for pid in between:
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: not any(alive(child) for child in both)) < PROMISED
    _, err = parent.communicate(timeout=60)
    assert "the training process was killed" in err


def test_a_child_whose_parent_lives_finishes(place: Path, start: Start, children: Children) -> None:
    parent = start(PARENT, str(place), "sleep", "1")
    children(1)
    (place / "end").touch()
    out, err = parent.communicate(timeout=60)
    assert (parent.returncode, out) == (0, "{'steps': 1}\n"), err


READING = """
import sys
from twofold.corpus.sandbox import Worker

worker = Worker(seconds=60, memory_mib=1024, limit=1 << 20)
print([one.text for _, one in worker.read("stuck", {"seconds": 0}, name="a", data=b"first")], flush=True)
print(worker._process.pid, flush=True)
worker.read("stuck", {"seconds": 60 if sys.argv[1] == "busy" else 0}, name="b", data=b"second")
print("read", flush=True)
sys.stdin.read() if sys.argv[1] == "busy" else __import__("time").sleep(60)
"""
STUCK = """
import time
from pathlib import Path
from twofold.plugins.protocols import Options
from twofold.types import Document


class Stuck:
    version = 1

    class Options(Options):
        seconds: float = 0

    def __init__(self, options):
        self.options = options

    def read(self, path, data):
        if self.options.seconds:
            Path(__file__).with_name("reading").touch()
        time.sleep(self.options.seconds)
        yield Document(id=path.name, text=data.decode())
"""


@pytest.mark.parametrize("how", ["idle", "busy"])
def test_the_process_that_reads_files_ends_with_its_parent(how: str, place: Path, start: Start) -> None:
    (place / "stuck.py").write_text(STUCK, encoding="utf-8")
    known = place / "stuck-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: stuck\nVersion: 1.0\n", encoding="utf-8")
    (known / "entry_points.txt").write_text("[twofold.readers]\nstuck = stuck:Stuck\n", encoding="utf-8")
    parent = start(READING, how)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "['first']\n"
    worker = int(parent.stdout.readline())
    if how == "busy":
        until((place / "reading").exists)
    else:
        assert parent.stdout.readline() == "read\n"
    parent.kill()
    assert until(lambda: not alive(worker)) < PROMISED


FETCHING = """
import sys
from pathlib import Path
from twofold.plugins import protocols as plugins
from twofold.plugins import loading as plugin_loading
from twofold.cli.stopping import stoppable

options = plugin_loading.options("sources", "git", {"repository": sys.argv[1], "timeout": float(sys.argv[2])})
source = plugin_loading.find("sources", "git")(options, root=Path(), scratch=Path(sys.argv[3]), limit=1 << 20)
with stoppable(as_json=False, ends_process=True):
    list(source.items({}))
"""


def named(words: str) -> list[int]:
    """The live processes of git and its helpers with these words in their command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
        except OSError:
            continue
        if words in line and "git" in line.split()[0] and alive(int(place.name)):
            found.append(int(place.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="it looks processes up in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, None], ids=["SIGTERM", "SIGKILL", "its limit"])
def test_git_that_waits_for_a_server_ends_with_its_parent_and_with_its_limit(
    number: signal.Signals | None, place: Path, start: Start
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/handbook.git"
        parent = start(FETCHING, address, "60" if number else "2", str(place / "mirror"))
        until(lambda: len(named(address)) > 1 or parent.poll() is not None)
        if number:
            parent.send_signal(number)
        assert until(lambda: not named(address)) < PROMISED + (0 if number else 2)
        _, err = parent.communicate(timeout=60)
    if not number:
        assert "git clone took more than 2 s" in err


AT_ONCE = """
import os, signal, subprocess, sys
from pathlib import Path
from twofold.host import children

real = subprocess.Popen


def popen(command, **more):
    program = real(command, **more)
    Path(sys.argv[1]).write_text(str(program.pid))
    os.kill(os.getpid(), signal.SIGTERM)
    return program


subprocess.Popen = popen
children._program(["sleep", "60"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to act on")
def test_a_program_is_ended_by_a_signal_that_comes_the_moment_it_has_started(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    between = subprocess.run(
        [sys.executable, "-c", AT_ONCE, str(noted)], stdin=subprocess.PIPE, timeout=60, check=False
    )
    program = int(noted.read_text())
    try:
        assert between.returncode == -signal.SIGKILL
        assert until(lambda: not alive(program), seconds=PROMISED) < PROMISED
    finally:
        if alive(program):
            os.kill(program, signal.SIGKILL)


@pytest.mark.parametrize("environment", [None, {"PATH": "/nowhere"}])
def test_a_program_that_is_not_installed_is_named_before_anything_starts(environment: dict[str, str] | None) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        processes.run_program(["no-such-program", "--version"], timeout=20, environment=environment)
