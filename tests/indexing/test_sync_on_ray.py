"""A sync on a real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sync_project import held, sync

from ray_cluster import MEMORY, cluster, on  # noqa: F401 - a fixture
from twofold.project import Project

WORDS = ["well", "water", "soil", "iron", "copper", "deep", "shallow", "bridge", "river", "stone"]


def write(directory: Path, count: int = 160) -> Path:
    chance = random.Random(3)
    for number in range(count):
        paragraphs = [" ".join(chance.choices(WORDS, k=80)) for _ in range(4)]
        (directory / "data/documents" / f"d{number:03}.txt").write_text(f"{number}\n\n" + "\n\n".join(paragraphs))
    return directory


def test_two_nodes_leave_what_one_process_leaves_and_a_node_that_dies_costs_no_row(
    make: Callable[..., Path],
    cluster: Any,  # noqa: F811
) -> None:
    here, there = write(make(name="here")), write(make(name="there"))
    mine = sync(here)
    second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    removed = []

    def progress(stage: str, done: int, total: int) -> None:
        if done == 100 and not removed:
            removed.append(done)
            cluster.remove_node(second, allow_graceful=False)

    with Project.open(there, on(cluster)) as project:
        theirs = project.sync(progress=progress)
    assert removed
    assert theirs["work"]["workers"] == 2
    assert [theirs[name] for name in ("added", "failed", "chunks")] == [mine["added"], 0, mine["chunks"]]
    assert held(there) == held(here)
    again = sync(there)
    assert (again["unchanged"], again["repaired"], again["embedded"]) == (160, 0, 0)
