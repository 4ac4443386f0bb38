"""Versions: logged, compared, restored, brought forward; a document forgotten leaves no byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sync_project import by_file, found, held, sync

from twofold.cli.main import main
from twofold.errors import DataError, IndexMismatch
from twofold.project import Project


def test_restore_holds_until_the_next_sync_brings_it_forward(make: Callable[..., Path]) -> None:
    directory = make()
    data = directory / "data" / "documents"
    (data / "a.txt").write_text("old water")
    before = sync(directory)["index"]["version"]
    (data / "a.txt").write_text("new wind")
    (data / "b.txt").write_text("soil")
    sync(directory)
    now = held(directory)
    with Project.open(directory) as project:
        changes = project.versions.diff(str(before))
        assert (changes["added"], changes["changed"]) == (["data/documents/b.txt"], ["data/documents/a.txt"])
        with project.writing():
            project.versions.restore(str(before))
        with pytest.raises(IndexMismatch):
            project.versions.diff("nothing")
        project.ask("water?")
    assert found(directory, "water") == ["data/documents/a.txt"], "ask leaves a restored version as it is"
    assert sync(directory)["repaired"] == 2
    assert held(directory) == now


def test_a_forgotten_document_leaves_no_byte(make: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    directory = make()
    data = directory / "data" / "documents"
    (data / "secret.txt").write_text("The password is xyzzyplugh.")
    (data / "a.txt").write_text("Water.")
    sync(directory)
    (data / "a.txt").write_text("Wind.")
    sync(directory)
    name = "data/documents/secret.txt"
    assert main(["forget", name, "-C", str(directory), "--json"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert (receipt["index"]["chunks"], receipt["catalogue"]["documents"], receipt["left"]) == (1, 1, [])
    assert Path(receipt["receipt"]).is_file()
    left = [p for p in (directory / ".twofold").rglob("*") if p.is_file() and b"xyzzyplugh" in p.read_bytes()]
    assert not left
    assert by_file(sync(directory))[name] in ("forgotten", "unchanged")
    assert held(directory).keys() == {"data/documents/a.txt"}
    with Project.open(directory) as project, pytest.raises(DataError, match="no document"):
        project.versions.forget("data/documents/secrets.txt")
