"""What the writer's lock says of its holder, and what becomes of it where nothing can be written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from twofold.errors import ProjectLocked
from twofold.plugins.protocols import quiet
from twofold.store import lock
from twofold.store.lock import ProjectLock


def test_the_holder_is_named_without_its_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["/usr/bin/twofold", "ask", "Am I ill?", "--user", "ann", "--set", "a.key=SECRET"]
    monkeypatch.setattr(sys, "argv", asked)
    with ProjectLock(tmp_path / "lock"), pytest.raises(ProjectLocked) as refused, ProjectLock(tmp_path / "lock"):
        pass
    told = f"{refused.value} {(tmp_path / 'lock').read_text()}"
    assert "twofold ask" in str(refused.value)
    assert not [word for word in ("ill", "ann", "SECRET") if word in told]


def test_a_full_disk_is_no_reason_not_to_hold_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with (
            ProjectLock(tmp_path / "lock"),
            pytest.raises(ProjectLocked, match="another process is writing"),
            ProjectLock(tmp_path / "lock"),
        ):
            pass
    with ProjectLock(tmp_path / "lock"):
        pass


def test_what_the_writer_does_is_seen_by_whoever_looks(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with ProjectLock(path) as writing:
        counts: list[tuple[str, int, int]] = []
        tell = writing.telling(lambda *count: counts.append(count))
        assert (work := lock.at_work(path)) is not None
        assert (work.stage, work.done, work.total) == ("", 0, 0)
        for done in range(3):
            tell("answer rag", done, 129)
        tell("answer base", 1, 129)
        assert len(counts) == 4
        assert (work := lock.at_work(path)) is not None
        # A new stage is noted at once, further items of one stage at most every second.
        assert (work.stage, work.done, work.total) == ("answer base", 1, 129)
        with pytest.raises(ProjectLocked) as refused, ProjectLock(path):
            pass
        assert "answer" not in str(refused.value)
    assert lock.at_work(path) is None


def test_a_note_that_is_read_half_written_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for half in ("answer", "answer\t", "answer\t3", "answer\t3\tx", "\t\t"):
        path.write_text(f"{os.getpid()} twofold study\n{half}\n", encoding="utf-8")
        assert (work := lock.at_work(path)) is not None
        assert (work.command, work.stage, work.total) == ("twofold study", "", 0)


def test_telling_after_the_end_writes_nothing(tmp_path: Path) -> None:
    with ProjectLock(tmp_path / "lock") as writing:
        tell = writing.telling(quiet)
    tell("answer rag", 1, 2)
    assert (tmp_path / "lock").read_bytes() == b""
