"""Versions: logged, compared, restored, brought forward; a document forgotten leaves no byte."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sync_project import by_file, found, held, sync

from twofold.cli.main import main
from twofold.config import laid_over
from twofold.errors import DataError, IndexMismatch
from twofold.project import Project
from twofold.study.retrieval_bench import opened


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
    assert main(["forget", name, "--yes", "-C", str(directory), "--json"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert (receipt["index"]["chunks"], receipt["catalogue"]["documents"], receipt["left"]) == (1, 1, [])
    assert Path(receipt["receipt"]).is_file()
    left = [p for p in (directory / ".twofold").rglob("*") if p.is_file() and b"xyzzyplugh" in p.read_bytes()]
    assert not left
    assert by_file(sync(directory))[name] in ("forgotten", "unchanged")
    assert held(directory).keys() == {"data/documents/a.txt"}
    with Project.open(directory) as project, pytest.raises(DataError, match="no document"):
        project.versions.forget("data/documents/secrets.txt")


TOOL = """
[tools.stock]
kind = "sql"
description = "What is in stock"
url = "sqlite:///data/shop.db"
statement = "SELECT note FROM stock"
when = "stock"

[retrieval]
preset = "agentic"
"""


def test_forgetting_empties_what_live_tools_kept_and_indexes_made_for_comparison(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sqlalchemy")
    directory = make(TOOL)
    data = directory / "data" / "documents"
    (data / "secret.txt").write_text("The password is xyzzyplugh.")
    (data / "a.txt").write_text("Water.")
    with sqlite3.connect(directory / "data" / "shop.db") as shop:
        shop.execute("CREATE TABLE stock (note TEXT)")
        shop.execute("INSERT INTO stock VALUES ('pears; the password is xyzzyplugh')")
    shop.close()
    with Project.open(directory) as project:
        answer, _ = project.ask("What is in stock?", arm="rag")
        assert any("xyzzyplugh" in hit.chunk.text for hit in answer.hits)
        other = laid_over(project.config, {"documents": {"chunker": {"name": "whole"}}})
        opened(project.builder, {"whole": other})
    kept = [p for p in (directory / ".twofold").rglob("*") if p.is_file() and b"xyzzyplugh" in p.read_bytes()]
    assert {p.relative_to(directory / ".twofold").parts[0] for p in kept} >= {"tools", "bench"}
    assert main(["forget", "data/documents/secret.txt", "--yes", "-C", str(directory), "--json"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert receipt["caches"] == {"tools": {"stock": 1}, "bench": 1}
    assert not [p for p in (directory / ".twofold").rglob("*") if p.is_file() and b"xyzzyplugh" in p.read_bytes()]


def test_a_forgotten_document_that_is_lifted_comes_back_with_the_next_sync(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = make()
    data = directory / "data" / "documents"
    (data / "a.txt").write_text("Water.")
    (data / "b.txt").write_text("Wind.")
    sync(directory)
    before, name, where = held(directory), "data/documents/a.txt", ["-C", str(directory)]
    assert main(["forget", name, "--yes", *where]) == 0
    sync(directory)
    assert held(directory).keys() == {"data/documents/b.txt"}
    capsys.readouterr()
    assert main(["forget", name, "--lift", *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"document": name, "lifted": True}
    assert sync(directory)["added"] == 1
    assert held(directory) == before
    assert found(directory, "water") == [name]
    assert main(["forget", name, "--lift", *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lifted"] is False
