"""Documents in a bucket, the index in another: workers of a real Ray cluster read, write and build both."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sync_project import write_project

from object_store import ObjectStore
from ray_cluster import MEMORY, cluster, on  # noqa: F401 - a fixture
from twofold.indexing import committing
from twofold.project import Project
from twofold.retrieval.indexes.lancedb import parts

WORDS = [f"word{number}" for number in range(400)]
TOML = """
[sources.papers]
kind = "folder"
paths = ["s3://{documents}/docs"]
ids_from = "s3://{documents}"
[retrieval.index]
options = {{flat_limit = 150}}
[scale]
endpoint = "{endpoint}"
index = "{index}"
"""


@dataclass(frozen=True, kw_only=True)
class KilledOnce(parts.PartWork):
    """The first worker that is to build a graph dies of it."""

    mark: str

    def open(self) -> Callable[[parts.Part], Any]:
        build, mark = super().open(), Path(self.mark)

        def built(part: parts.Part) -> Any:
            with mark.open("a") as stream:
                stream.write(f"{part[0]} {part[1][0]}\n")
            if len(mark.read_text().splitlines()) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return build(part)

        return built


@pytest.fixture
def by_value(cluster: Any) -> Iterator[None]:  # noqa: F811
    """Workers get the class of this module by value: they do not find it as a module."""
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def fill(bucket: str, endpoint: str, count: int = 120) -> None:
    import fsspec

    files, chance = fsspec.filesystem("s3", endpoint_url=endpoint, skip_instance_cache=True), random.Random(3)
    for number in range(count):
        paragraphs = [f"number{number} " + " ".join(chance.choices(WORDS, k=90)) for _ in range(3)]
        files.pipe_file(f"{bucket}/docs/d{number:03}.txt", "\n\n".join(paragraphs).encode())


def refused(*_: Any, **_more: Any) -> Any:
    raise AssertionError("an object was loaded by the command")


def answers(project: Project) -> tuple[str, list[list[str]], list[str]]:
    search = project.workspace.search
    queries = [f"number{number}" for number in range(0, 120, 11)]
    vectors = search.embedder.embed(queries)
    near = search.index.search(queries, vectors, 1, leg="lexical")
    whole = search.index.search(queries, vectors, 5, leg="dense")
    return (
        search.index.state().content,
        [[hit.chunk.span.document for hit in row] for row in near],
        # Both graphs are approximate: of the nearest neighbours the first is sure.
        [f"{row[0].score:.4f}" for row in whole],
    )


@pytest.mark.slow
def test_workers_read_a_bucket_and_build_the_index_in_another_and_a_killed_worker_costs_its_part(
    object_store: ObjectStore,
    cluster: Any,  # noqa: F811
    by_value: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents, index = object_store.bucket(), object_store.bucket()
    fill(documents, object_store.endpoint)
    toml = {"documents": documents, "endpoint": object_store.endpoint}
    here = write_project(tmp_path / "here", TOML.format(**toml, index=""), documents="")
    there = write_project(tmp_path / "there", TOML.format(**toml, index=f"s3://{index}/index"), documents="")
    with Project.open(here) as project:
        project.sync()
        mine = answers(project)
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    mark = tmp_path / "mark"
    monkeypatch.setattr(parts, "LEAST", 50)
    monkeypatch.setattr(parts, "PartWork", lambda **given: KilledOnce(mark=str(mark), **given))
    monkeypatch.setattr(committing, "FILLING", 50)
    with monkeypatch.context() as patch, Project.open(there, on(cluster)) as project:
        patch.setattr("twofold.indexing.work.fetched", refused)
        report = project.sync()
        assert (report["added"], report["failed"], report["work"]["filled"]) == (120, 0, True)
        assert report["work"]["workers"] == 2
        assert answers(project) == mine
        table = project.workspace.search.index._written
        assert table.index_stats("vector_idx").num_indices == 2
        assert table.index_stats("vector_idx").num_unindexed_rows == 0
    # Two graphs and two word indices; the part of the worker that was killed was begun twice, and no other.
    begun = mark.read_text().splitlines()
    assert (len(begun), len(set(begun))) == (5, 4)
    with Project.open(there) as project:
        again = project.sync()
        assert (again["unchanged"], again["embedded"], again["repaired"]) == (120, 0, 0)
