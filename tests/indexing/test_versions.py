"""Versions: logged, compared, restored, brought forward; a document forgotten leaves no byte."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sync_project import by_file, found, held, sync

from forked import Nursery
from twofold.cli.main import main
from twofold.errors import DataError, IndexMismatch, StoreError, UnknownDocument
from twofold.project import Project
from twofold.settings.loading import laid_over
from twofold.study.retrieval.benchmark import opened


def test_restore_holds_until_the_next_sync_brings_it_forward(make: Callable[..., Path]) -> None:
    directory = make()
    data = directory / "data" / "documents"
    (data / "a.txt").write_text("old water")
    before = sync(directory)["index"]["version"]
    with Project.open(directory) as project, pytest.raises(IndexMismatch, match="no older version"):
        project.versions.diff()
    (data / "a.txt").write_text("new wind")
    (data / "b.txt").write_text("soil")
    sync(directory)
    now = held(directory)
    with Project.open(directory) as project:
        changes = project.versions.diff()
        assert changes == project.versions.diff(str(before)), "without a study, with the version before"
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
    with Project.open(directory) as project, pytest.raises(DataError, match="unknown document"):
        project.versions.forget("data/documents/secrets.txt")


def test_examples_that_name_a_forgotten_document_are_errors_of_check_and_stop_a_plan(make: Callable[..., Path]) -> None:
    directory = make()
    data = directory / "data"
    rows = []
    for number in range(12):
        (data / "documents" / f"{number}.txt").write_text(f"Pump {number} moves {number * 7} litres a day.")
        asked = {"question": f"What does pump {number} move?", "answers": [f"{number * 7} litres"]}
        rows.append(asked | {"id": f"q{number}", "doc_ids": [f"data/documents/{number}.txt"]})
    (data / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sync(directory)
    arms = {"study": {"arms": ["base", "rag"]}, "examples": {"paths": ["data/examples.jsonl"]}}
    with Project.open(directory, arms) as project:
        assert "data.unknown-document" not in {problem.code for problem in project.check()}
        project.plan()
        with project.writing():
            project.versions.forget("data/documents/3.txt")
    with Project.open(directory, arms) as project:
        (problem,) = [one for one in project.check() if one.code == "data.unknown-document"]
        assert problem.severity == "error"
        assert "1 example names a document that is not there: 'data/documents/3.txt'" in problem.message
        with pytest.raises(UnknownDocument, match=r"3\.txt"):
            project.plan()


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
        project.sync()
        answer, _ = project.ask("What is in stock?", arm="rag")
        assert any("xyzzyplugh" in hit.chunk.text for hit in answer.hits)
        other = laid_over(project.config, {"documents": {"chunker": {"name": "whole"}}})
        opened(project.workspace.search, {"whole": other})
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


def _secret(make: Callable[..., Path]) -> tuple[Path, str]:
    directory = make()
    data = directory / "data" / "documents"
    (data / "secret.txt").write_text("The password is xyzzyplugh.")
    (data / "a.txt").write_text("Water.")
    sync(directory)
    return directory, "data/documents/secret.txt"


@pytest.mark.parametrize(
    "step",
    [
        "twofold.retrieval.indexes.lancedb.index:LanceIndex.erase",
        "twofold.store.erasure:Erasure.erase",
        "twofold.reports.archive:redact",
        "twofold.indexing.erasure:Eraser._empty_caches",
        "twofold.store.forgotten:Forgotten.finish",
        "twofold.indexing.versions:Versions._write",
    ],
)
def test_a_forget_that_is_killed_at_any_step_answers_nothing_until_a_sync_has_finished_it(
    make: Callable[..., Path], nursery: Nursery, step: str
) -> None:
    directory, name = _secret(make)
    with Project.open(directory) as project, project.writing():
        records = project.records / "0001-project"
        records.mkdir(parents=True)
        (records / "study.json").write_text("{}")
    module, _, place = step.partition(":")
    killed = (
        f"import os, {module}\n"
        f"owner = {module}\n"
        f"*path, last = {place!r}.split('.')\n"
        "for part in path: owner = getattr(owner, part)\n"
        "setattr(owner, last, lambda *a, **k: os._exit(9))\n"
        "from twofold.cli.main import main\n"
        f"main(['forget', {name!r}, '--yes', '-C', {str(directory)!r}])"
    )
    assert nursery.run(killed).returncode == 9
    with Project.open(directory) as project:
        only_its_receipt_is_missing = step.endswith("_write")
        if not only_its_receipt_is_missing:
            with pytest.raises(StoreError, match="not completely forgotten yet"):
                project.ask("What is the password?")
        assert "xyzzyplugh" not in project.ask("What is the password?", arm="base")[0].text, "it reads no index"
        project.sync()
        assert "xyzzyplugh" not in project.ask("What is the password?")[0].text
    left = [p for p in (directory / ".twofold").rglob("*") if p.is_file() and b"xyzzyplugh" in p.read_bytes()]
    assert not left
    assert held(directory).keys() == {"data/documents/a.txt"}


def test_what_was_forgotten_stays_away_when_the_derived_data_is_deleted(make: Callable[..., Path]) -> None:
    directory, name = _secret(make)
    with Project.open(directory) as project, project.writing():
        project.versions.forget(name)
    shutil.rmtree(directory / ".twofold")
    assert by_file(sync(directory))[name] == "forgotten"
    assert held(directory).keys() == {"data/documents/a.txt"}
    with Project.open(directory) as project, project.writing():
        assert project.versions.lift(name)
    assert held(directory).keys() | {name} == {"data/documents/a.txt", name}
    sync(directory)
    assert name in held(directory)


@pytest.mark.parametrize("part", ["", "index", "catalogue.sqlite"])
def test_a_copy_of_the_derived_data_that_is_put_back_brings_nothing_back(make: Callable[..., Path], part: str) -> None:
    directory, name = _secret(make)
    derived, copy = directory / ".twofold", directory.parent / "copy"
    shutil.copytree(derived, copy)
    with Project.open(directory) as project, project.writing():
        project.versions.forget(name)
    old, now = copy / part, derived / part
    if old.is_dir():
        shutil.rmtree(now)
        shutil.copytree(old, now)
    else:
        for path in derived.glob(f"{part}*"):
            path.unlink()
        shutil.copy(old, now)
    with Project.open(directory) as project:
        with pytest.raises(StoreError, match="not completely forgotten yet"):
            project.ask("What is the password?")
        project.sync()
        assert "xyzzyplugh" not in project.ask("What is the password?")[0].text
    left = [p for p in derived.rglob("*") if p.is_file() and b"xyzzyplugh" in p.read_bytes()]
    assert not left
    assert held(directory).keys() == {"data/documents/a.txt"}


def test_a_list_of_an_older_project_is_moved_and_its_documents_are_erased_again(make: Callable[..., Path]) -> None:
    directory, name = _secret(make)
    with sqlite3.connect(directory / ".twofold" / "catalogue.sqlite") as database:
        database.execute("INSERT INTO forgotten VALUES (?, '2026-01-01T00:00:00+00:00')", (name,))
    sync(directory)
    assert held(directory).keys() == {"data/documents/a.txt"}
    assert json.loads((directory / "receipts" / "forgotten.json").read_text())[name]["finished"]
    with sqlite3.connect(directory / ".twofold" / "catalogue.sqlite") as database:
        assert not database.execute("SELECT * FROM forgotten").fetchall()


def test_rows_that_were_forgotten_by_the_names_they_had_before_stay_away(make: Callable[..., Path]) -> None:
    """Rows were once called by their lines, and those with an id by that alone."""
    directory = make()
    (directory / "data" / "documents" / "fees.csv").write_text("plan,fee\nFlat,9\nFarm,12\nFolk,15\n")
    (directory / "data" / "documents" / "staff.csv").write_text("id,name\n7,Ida\n8,Ulf\n")
    entry = {"at": "2026-01-01T00:00:00+00:00", "finished": True, "chunks": []}
    (directory / "receipts").mkdir()
    (directory / "receipts" / "forgotten.json").write_text(
        json.dumps({"data/documents/fees.csv#3": entry, "8": entry}), encoding="utf-8"
    )
    sync(directory)
    assert {name.rpartition("/")[2] for name in held(directory)} == {"fees.csv#row1", "fees.csv#row3", "staff.csv#7"}


def test_a_damaged_list_of_forgotten_documents_stops_a_sync(make: Callable[..., Path]) -> None:
    directory, name = _secret(make)
    with Project.open(directory) as project, project.writing():
        project.versions.forget(name)
    (directory / "receipts" / "forgotten.json").write_text('{"data/docu')
    with pytest.raises(StoreError, match="list of forgotten documents"):
        sync(directory)


def test_a_damaged_record_of_a_study_is_named_and_the_rest_is_forgotten(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    directory, name = _secret(make)
    for number, study in ((1, "{}"), (2, '{"format": 1}')):
        record = directory / "studies" / f"{number:04d}-project"
        record.mkdir(parents=True)
        (record / "study.json").write_text(study)
        packed = gzip.compress(json.dumps({"text": "xyzzyplugh", "citations": [{"document": name}]}).encode())
        (record / "answers.jsonl.gz").write_bytes(packed[: -20 * (number == 1) or None])
    assert main(["forget", name, "--yes", "-C", str(directory)]) == 1
    out = capsys.readouterr().out
    assert "the record is damaged: 0001-project, 0002-project" in out
    assert held(directory).keys() == {"data/documents/a.txt"}
