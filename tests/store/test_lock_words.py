"""What the writer's lock says of its holder, and what becomes of it where nothing can be written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from twofold.errors import ProjectLocked
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
