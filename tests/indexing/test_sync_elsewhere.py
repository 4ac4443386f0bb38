"""A sync whose items are read and embedded by other workers leaves what a sync of this process leaves."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sync_project import by_file, held, sync

from other_workers import OtherWorkers
from twofold.indexing import reading, work
from twofold.project import Project
from twofold.types import Loaded

WORDS = ["well", "water", "soil", "iron", "copper", "deep", "shallow", "bridge", "river", "stone"]
RAY = {"scale": {"on": "ray"}}


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to run on Ray is done by the stand-in, two items a task."""
    monkeypatch.setattr("twofold.execution.on_demand.executor", OtherWorkers)
    monkeypatch.setattr(reading, "_GROUP", 2)


def sync_elsewhere(directory: Path) -> dict[str, Any]:
    with Project.open(directory, RAY) as project:
        return project.sync()


def stored(directory: Path) -> dict[str, Any]:
    """All that a sync leaves but times and versions."""
    with Project.open(directory) as project:
        search = project.workspace.search
        known = search.catalogue.documents.known()
        items = {name: search.catalogue.sync.items(name) for name in search.catalogue.sync.sources()}
        chunks, vectors = search.index.vectors_of(sorted(known))
        return {
            "documents": known,
            "texts": search.catalogue.documents.get(),
            # A file's state has its times, which differ between two copies of a project.
            "items": [replace(row, state="") for rows in items.values() for row in rows.values()],
            "chunks": chunks,
            "vectors": np.asarray(vectors).tobytes(),
            "content": search.index.state().content,
        }  # fmt: skip


def edit(directory: Path, chance: random.Random) -> None:
    documents = directory / "data/documents"
    files = sorted(documents.iterdir())
    name = documents / f"f{chance.randrange(12)}.jsonl"
    kind = chance.choice(["text", "records", "records", "delete", "copy", "empty", "broken"])
    if kind == "text" or not files:
        (documents / f"t{chance.randrange(12)}.txt").write_text(" ".join(chance.choices(WORDS, k=30)))
    elif kind == "records":
        # Ids from a few, so that files share some.
        ids = chance.sample(range(6), 2)
        lines = [json.dumps({"id": f"r{n}", "text": " ".join(chance.choices(WORDS, k=9))}) for n in ids]
        name.write_text("\n".join(lines))
    elif kind == "copy":
        shutil.copy(chance.choice(files), documents / f"c{chance.randrange(12)}{chance.choice(files).suffix}")
    elif kind == "delete":
        chance.choice(files).unlink()
    else:
        chance.choice(files).write_bytes(b" \n" if kind == "empty" else b"\xff\xfe\x00{")


@pytest.mark.usefixtures("workers")
def test_after_any_edits_index_and_catalogue_are_those_of_a_sync_here(make: Callable[..., Path]) -> None:
    here, elsewhere, chance, ids = make(name="here"), make(name="elsewhere"), random.Random(7), 0
    for step in range(8):
        seed = chance.random()
        for directory in (here, elsewhere):
            edits = random.Random(seed)
            for _ in range(14 if step == 0 else 5):
                edit(directory, edits)
        mine, theirs = sync(here), sync_elsewhere(elsewhere)
        counts = ("added", "changed", "moved", "deleted", "unchanged", "repaired", "failed", "chunks", "pages")
        assert {name: theirs[name] for name in counts} == {name: mine[name] for name in counts}
        assert by_file(theirs) == by_file(mine)
        assert stored(elsewhere) == stored(here)
        ids += sum("#r" in name for name in held(here))
    assert ids, "files shared ids, and the order of the files decided whose they are"


@pytest.mark.usefixtures("workers")
def test_files_that_workers_do_not_see_are_sent_to_them(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make()
    for number in range(9):
        (directory / "data/documents" / f"{number}.txt").write_text(f"The well number {number} is deep.")
    here = make(name="here")
    shutil.copytree(directory / "data/documents", here / "data/documents", dirs_exist_ok=True)
    sync(here)

    def sees_nothing(loaded: Loaded) -> None:
        assert loaded.path

    # As a worker sees it; who lists the files looks by `reading.stamp_of`.
    monkeypatch.setattr(work, "stamp_of", sees_nothing)
    report = sync_elsewhere(directory)
    assert report["added"] == 9
    assert report["work"] == {"on": "ray", "workers": 2, "sent": 9, "filled": False}
    assert stored(directory)["vectors"] == stored(here)["vectors"]
    assert held(directory) == held(here)


@pytest.mark.usefixtures("workers")
def test_who_finds_little_to_do_starts_no_cluster(make: Callable[..., Path]) -> None:
    directory = make()
    (directory / "data/documents/a.txt").write_text("Water is wet.")
    assert "work" not in sync_elsewhere(directory)
    assert "work" not in sync_elsewhere(directory)


@pytest.mark.usefixtures("workers")
def test_a_source_that_fails_midway_loses_nothing_that_was_on_its_way(make: Callable[..., Path]) -> None:
    directory = make(documents='"data/documents", "data/missing"')
    for number in range(7):
        (directory / "data/documents" / f"{number}.txt").write_text(f"The well number {number} is deep.")
    report = sync_elsewhere(directory)
    assert (report["added"], report["failed"]) == (7, 1)
    assert len(held(directory)) == 7
