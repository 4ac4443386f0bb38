"""An index that workers write in pieces, put in by one commit, is the one that a sync of this process leaves."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sync_project import found, held, sync

from other_workers import OtherWorkers
from twofold.indexing import bulk, committing, reading
from twofold.indexing import sync as syncing
from twofold.project import Project

RAY = {"scale": {"on": "ray"}}
WORDS = ["well", "water", "soil", "iron", "copper", "deep", "shallow", "bridge", "river", "stone"]


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to run on Ray is done by the stand-in; a dozen chunks are a batch, and fill an index."""
    pytest.importorskip("lance")
    monkeypatch.setattr("twofold.execution.on_demand.executor", OtherWorkers)
    monkeypatch.setattr(reading, "_GROUP", 4)
    monkeypatch.setattr(committing, "FILLING", 5)
    monkeypatch.setattr(committing, "_LEAST", 2)
    monkeypatch.setattr(syncing, "BATCH_CHUNKS", 6)


def write(directory: Path, count: int = 40) -> Path:
    chance = random.Random(3)
    for number in range(count):
        text = " ".join(chance.choices(WORDS, k=60))
        # Every fifth is a copy of the one before, and one has no text.
        path = directory / "data/documents" / f"d{number:03}.txt"
        path.write_text(f"number{number} {text}" if number % 5 else (f"{text}" if number else ""))
    return directory


def fill(directory: Path) -> dict[str, Any]:
    with Project.open(directory, RAY) as project:
        return project.sync()


def content(directory: Path) -> str:
    with Project.open(directory) as project:
        return project.workspace.search.index.state().content


def test_a_filled_index_is_that_of_a_sync_here_in_one_version(make: Callable[..., Path]) -> None:
    here, there = write(make(name="here")), write(make(name="there"))
    mine, theirs = sync(here), fill(there)
    assert theirs["work"]["filled"]
    assert {n: theirs[n] for n in ("added", "chunks", "failed")} == {n: mine[n] for n in ("added", "chunks", "failed")}
    assert (content(there), held(there)) == (content(here), held(here))
    assert theirs["index"]["version"] < mine["index"]["version"]
    assert found(there, "number7") == found(here, "number7") == ["data/documents/d007.txt"]
    (there / "data/documents/d007.txt").write_text("number7 changed")
    again = fill(there)
    assert (again["changed"], again["unchanged"], again["repaired"], "work" in again) == (1, 38, 0, False)
    assert not bulk.journal_of(there / ".twofold").exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_filling_that_is_killed_is_finished_by_the_next_sync(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    here, there = write(make(name="here")), write(make(name="there"))
    sync(here)
    finish = bulk.Journal.finish

    def killed(journal: bulk.Journal) -> None:
        lines = journal._path.read_text()
        if when == "after":
            finish(journal)
            journal._path.write_text(lines)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bulk.Journal, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            fill(there)
    journal = bulk.journal_of(there / ".twofold")
    assert journal.exists()
    with journal.open("a") as stream:
        stream.write('"half a li')
    report = sync(there)
    assert (report["embedded"], report["repaired"], report["unchanged"]) == (0, 0, 39)
    assert (content(there), held(there)) == (content(here), held(here))
    assert not journal.exists()


def test_pieces_that_are_gone_are_made_again(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = write(make(name="here")), write(make(name="there"))
    sync(here)

    def killed(_: bulk.Journal) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bulk.Journal, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            fill(there)
    data = there / ".twofold/index/chunks.lance/data"
    next(iter(data.iterdir())).unlink()
    assert sync(there)["repaired"] == 39
    assert (content(there), held(there)) == (content(here), held(here))


def test_what_is_forgotten_is_in_no_piece_of_a_filling_that_was_stopped(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = write(make(name="there"))

    def killed(_: bulk.Journal) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bulk.Journal, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            fill(there)
    with Project.open(there) as project, project.writing():
        project.versions.forget("data/documents/d007.txt")
    pieces = b"".join(path.read_bytes() for path in (there / ".twofold/index").rglob("*") if path.is_file())
    assert b"number7 " not in pieces
    sync(there)
    assert "data/documents/d007.txt" not in held(there)
    assert len(held(there)) == 38
    shutil.rmtree(there)
