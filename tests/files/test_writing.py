"""A file appears whole or not at all, whatever stops the writing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from twofold.errors import DiskFull, StoreError
from twofold.files import writing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_as_utf_8_with_its_own_line_ends_and_its_mode(tmp_path: Path) -> None:
    writing.write(tmp_path / "a", "grün\r\nrot\n", mode=0o600)
    assert (tmp_path / "a").read_bytes() == "grün\r\nrot\n".encode()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600 or os.name == "nt"
    writing.write(tmp_path / "a", b"\0other")
    assert (tmp_path / "a").read_bytes() == b"\0other"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600 or os.name == "nt", "what was for its owner alone stays so"
    assert names(tmp_path) == ["a"]


def test_the_file_stays_as_it_was_where_the_writing_fails(tmp_path: Path) -> None:
    writing.write(tmp_path / "a", "before")

    def half() -> None:
        with writing.replacing(tmp_path / "a") as draft:
            draft.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        half()
    assert (tmp_path / "a").read_text() == "before"
    assert names(tmp_path) == ["a"], "no draft is left"


def test_the_content_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("sync"), real_sync(file))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), real_replace(a, b))[1])
    writing.write(tmp_path / "a", "text")
    assert done[:2] == ["sync", "replace"]


def test_a_kill_while_writing_leaves_the_file_as_it_was_and_the_next_writing_clears_up(tmp_path: Path) -> None:
    writing.write(tmp_path / "a", "before")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom twofold.files import writing\n"
        "with writing.replacing(Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a").read_text() == "before"
    assert len(names(tmp_path)) == 2
    writing.write(tmp_path / "a", "after")
    assert ((tmp_path / "a").read_text(), names(tmp_path)) == ("after", ["a"])


def test_many_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    texts = [str(n) * 50_000 for n in range(8)]
    threads = [
        threading.Thread(target=writing.write, args=(tmp_path / "a", text), kwargs={"shared": True}) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_text() in texts
    assert names(tmp_path) == ["a"]


def test_what_cannot_be_saved_is_a_failed_write_and_not_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").write_text("a file, no folder")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        writing.save(tmp_path / "plain" / "card.html", "text")
    assert "UTF-8" not in caught.value.cure
    assert "can be written to" in caught.value.cure
    writing.save(tmp_path / "new" / "card.html", "text")
    assert (tmp_path / "new" / "card.html").read_text() == "text"

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull):
        writing.save(tmp_path / "card.html", "text")
    assert not (tmp_path / "card.html").exists()
