"""Real processes, started in sessions of their own and ended with the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import CHILD, Start, alive, until


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the stand-in's module."""
    (tmp_path / "stand_in.py").write_text(CHILD, encoding="utf-8")
    return tmp_path


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Start Python code in a session of its own, as from a terminal, with the folder's modules at hand."""
    begun: list[subprocess.Popen[str]] = []
    # `nohup` has SIGHUP ignored, a job in the background SIGINT: programs inherit that
    inherited = {
        number: signal.signal(number, handler)
        for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler))
    }
    path = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])

    def run(code: str, *arguments: str) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        begun.append(program)
        return program

    yield run
    for number, handler in inherited.items():
        signal.signal(number, handler)
    for program in begun:
        program.kill()
        program.communicate()
    for file in place.glob("unrelated"):
        pid = int(file.read_text(encoding="utf-8"))
        if alive(pid):
            os.kill(pid, 9)


@pytest.fixture
def children(place: Path) -> Callable[[int], list[int]]:
    """Waits for so many stand-ins; returns their process ids."""

    def found(count: int) -> list[int]:
        files = [place / f"pid-{rank}" for rank in range(count)]
        until(lambda: all(file.is_file() for file in files))
        return [int(file.read_text(encoding="utf-8")) for file in files]

    return found
