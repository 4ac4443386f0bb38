"""The usual path where nothing of POSIX can be imported or called: a Windows of the imagination."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from twofold.files import locking

WITHOUT = """
import asyncio, multiprocessing, os, signal, subprocess, sys, tempfile, types
import fcntl as real
import twofold.host.children  # how a child watches its parent is chosen by the system's name

def locking(file, mode, size):
    assert os.lseek(file, 0, os.SEEK_CUR) > 1 << 20 and size == 1
    try:
        real.flock(file, real.LOCK_UN if mode == 0 else real.LOCK_EX | real.LOCK_NB)
    except BlockingIOError as error:
        raise PermissionError(13, "Permission denied") from error

def refused(*_, **__):
    raise OSError("a required privilege is not held by the client")

sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.modules["msvcrt"].__dict__.update(locking=locking, LK_UNLCK=0, LK_NBLCK=2)
for name in ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp"):
    sys.modules[name] = None
for name in ("O_DIRECTORY", "O_CLOEXEC", "sysconf", "sched_getaffinity", "pwrite", "pread", "setsid", "killpg"):
    delattr(os, name)
del signal.alarm
os.symlink = refused
"""
USUAL = """
import sys
from pathlib import Path
from twofold.cli.main import main

place = Path(sys.argv[1])
project = str(place / "project")
settings = ['generation.generator={name="echo", options={mode="quote"}}']
settings += ['retrieval.embedder={name="hashing", options={}}', "study.arms=['base', 'rag']"]
settings += ["study.resamples=200", "study.latency_sample=2"]
given = ["-C", project, *[word for one in settings for word in ("--set", one)]]
assert main(["init", project, "--from", str(place / "source")]) == 0
assert main(["check", *given]) == 0
assert main(["sync", *given]) == 0
assert main(["ask", *given, "--arm", "rag", "what saves irrigation?"]) == 0
assert main(["study", *given, "--yes"]) == 0
assert main(["show", *given, "--json"]) == 0
"""


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_the_usual_path_needs_nothing_of_posix(tmp_path: Path, demo_questions: Callable[[int], Path]) -> None:
    source = demo_questions(40)
    (source / "more.pdf").write_bytes(b"not a PDF: read by the process that reads files, and refused")
    done = run(USUAL, str(tmp_path), PYTHONIOENCODING="cp1252:strict")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout[done.stdout.rindex("\n{") :])
    assert record["verdict"]
    names = [path.name for path in (tmp_path / "project").rglob("*")]
    assert len(names) > 20
    assert not [name for name in names if set(name) & set('<>:"|?*\\') or name.endswith((".", " "))]


def test_a_byte_lock_keeps_the_second_writer_out_and_says_who_writes(tmp_path: Path) -> None:
    code = """
from pathlib import Path
from twofold.errors import ProjectLocked
from twofold.store.lock import ProjectLock
import sys, threading, time
from twofold.files.locking import locked

path = Path(sys.argv[1])
with ProjectLock(path):
    try:
        ProjectLock(path).__enter__()
    except ProjectLocked as error:
        print(error)
with ProjectLock(path):
    pass
order = []
def second():
    with locked(path):
        order.append("second")
with locked(path):
    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(0.3)
    order.append("first")
thread.join()
print(order)
"""
    done = run(code, str(tmp_path / "lock"))
    assert done.returncode == 0, done.stderr
    assert "process " in done.stdout
    assert done.stdout.endswith("['first', 'second']\n")


def test_output_is_utf8_whatever_the_pipe_says() -> None:
    code = "import sys\nfrom twofold.cli.main import main\nsys.exit(main())"
    done = run(code, "examples", "select", "--by", "βήτα", "--budget", "1", PYTHONIOENCODING="cp1252:strict")
    assert done.returncode == 2, done.stderr
    assert "--by 'βήτα' is unknown" in done.stderr


def test_memory_is_told_here() -> None:
    """In a process of its own: the peak of this one may lie above what a test takes."""
    code = "from twofold.host.memory import peak_mib\nbefore = peak_mib()\nblock = bytearray(b'x') * (64 << 20)\n"
    done = run(code + "print(before, peak_mib(), len(block))")
    before, after, _ = map(float, done.stdout.split())
    assert 5 < before < after - 30


def test_a_lock_is_dropped_with_its_process(tmp_path: Path) -> None:
    code = "import os, sys\nfrom twofold.files.locking import take\n"
    code += "take(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), wait=False)"
    code += "\nprint('taken', flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        file = os.open(tmp_path / "lock", os.O_RDWR)
        try:
            locking.take(file, wait=False)
        except BlockingIOError:
            pass
        else:
            raise AssertionError("it was free")
        holder.kill()
        holder.wait()
        locking.take(file, wait=False)
        os.close(file)
