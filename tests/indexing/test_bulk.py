"""An index that workers write in pieces, put in by one commit, is the one that a sync of this process leaves."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sync_project import found, held, sync

from other_workers import OtherWorkers
from twofold.indexing import bulk, committing, reading
from twofold.indexing import sync as syncing
from twofold.plugins.pieces import Workers
from twofold.project import Project
from twofold.retrieval.indexes.lancedb import parts
from twofold.retrieval.indexes.lancedb.fragments import Fragments

RAY = {"scale": {"on": "ray"}}
WORDS = ["well", "water", "soil", "iron", "copper", "deep", "shallow", "bridge", "river", "stone"]


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to run on Ray is done by the stand-in; a dozen chunks are a batch, and fill an index."""
    pytest.importorskip("lance")
    monkeypatch.setattr("twofold.execution.on_demand.executor", OtherWorkers)
    monkeypatch.setattr(reading, "_GROUP", 4)
    monkeypatch.setattr(committing, "FILLING", 5)
    monkeypatch.setattr(committing, "LEAST", 2)
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


@pytest.mark.parametrize(("address", "spread"), [("", False), ("10.0.0.1:6379", True)])
def test_graph_and_words_are_built_by_a_cluster_and_not_by_workers_of_this_machine(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, address: str, spread: bool
) -> None:
    there = write(make(name="there"))
    with (there / "twofold.toml").open("a") as stream:
        stream.write("[retrieval.index]\noptions = {flat_limit = 20}\n")
    built = []
    monkeypatch.setattr(parts, "build", lambda work, workers: built.append((work, workers)))
    monkeypatch.setattr(committing.Committer, "_is_filling", filled)
    with Project.open(there, {"scale": {"on": "ray", "address": address}}) as project:
        project.sync()
    assert bool(built) is spread


def filled(committer: committing.Committer, _chunks: int) -> bool:
    """As `_is_filling`, of an index that the workers would reach."""
    if committer._filling is None and (pieces := committer._journal.begin()):
        committer._filling = bulk.WritingWork(embedding=committer._work, pieces=pieces)
    return True


def test_what_workers_bring_back_is_told(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading 300 files took 12 s, and embedding them 110 s in which nothing was to be seen."""
    monkeypatch.setattr(committing, "_LOOK", 0.01)
    monkeypatch.setattr(syncing, "BATCH_CHUNKS", 10_000)
    stages: list[tuple[str, int, int]] = []
    write_piece = Fragments.write

    def slowly(self: Fragments, *args: Any) -> str:
        time.sleep(0.03)
        return write_piece(self, *args)

    monkeypatch.setattr(Fragments, "write", slowly)
    with Project.open(write(make()), RAY) as project:
        project.sync(progress=lambda *stage: stages.append(stage))
    told = [(done, total) for stage, done, total in stages if stage == "embed"]
    assert told == sorted(told)
    assert told[-1] == (39, 39)
    assert len(set(told)) > 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_filling_that_is_killed_is_finished_by_the_next_sync(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    here, there = write(make(name="here")), write(make(name="there"))
    sync(here)
    finish = bulk.Journal.finish

    def killed(journal: bulk.Journal, workers: Workers | None) -> None:
        lines = journal._path.read_text()
        if when == "after":
            finish(journal, workers)
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

    def killed(_: bulk.Journal, _workers: Workers | None) -> None:
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

    def killed(_: bulk.Journal, _workers: Workers | None) -> None:
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
