"""A process of a running batch ends for whoever reads from it, however it ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from twofold.errors import GenerationError
from twofold.generation.live.child import Child


def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> Child:
    """One whose process writes these words, and ends."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nprintf '{words}'\n", encoding="utf-8")
    program.chmod(0o700)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(program))
        return Child({}, subprocess.DEVNULL)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the process")
def test_half_a_line_of_a_killed_process_is_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = child(tmp_path, monkeypatch, r'{"ready": true}\n{"steps": [[0, [5], [], null]]}\n{"steps": [[0, [')
    running.ready()
    assert running.steps() == [[0, [5], [], None]]
    assert running.steps() is None
    with pytest.raises(GenerationError):
        child(tmp_path, monkeypatch, '{"rea').ready()
