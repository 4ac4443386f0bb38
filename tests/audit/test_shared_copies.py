"""Copies of a log that a database has."""

from __future__ import annotations

from pathlib import Path

from twofold.audit.log import files
from twofold.audit.shared import copy_log


def rows(*lines: str) -> list[list[tuple[int, bytes]]]:
    return [[(number, line.encode()) for number, line in enumerate(lines, 1)]]


def text(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in files(folder))


def test_a_copy_is_replaced_and_another_log_is_moved_aside(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    copy_log(rows("first", "second"), None, folder)
    copy_log(rows("first", "second", "third"), None, folder)
    assert text(folder) == "first\nsecond\nthird\n"
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]
    # The log of the time before the database: nobody else has it.
    copy_log(rows("another beginning"), None, folder)
    assert text(folder) == "another beginning\n"
    assert text(tmp_path / "audit-former-1") == "first\nsecond\nthird\n"
    copy_log([], None, folder)
    assert files(folder) == []
    assert text(tmp_path / "audit-former-2") == "another beginning\n"
