"""A comparison of pipelines on a real Ray cluster of two nodes: the same measurements as in one process."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_cluster import MEMORY, cluster, on  # noqa: F401 - a fixture
from twofold.answering.system import query
from twofold.assembly import spread_search
from twofold.assembly.spread_search import Searching, SpreadRetriever, spread
from twofold.execution.cluster import RayCluster
from twofold.execution.local import Local
from twofold.project import Project
from twofold.testing.projects import FAST, make_project
from twofold.types import Json, Query

STAGED: Json = {**FAST, "retrieval": {**FAST["retrieval"], "rerankers": [{"name": "late_interaction"}]}}
VARIANTS: Json = {
    "smaller": {"documents": {"chunker": {"name": "tokens", "options": {"max_tokens": 60}}}},
    "search alone": {"retrieval": {"rerankers": []}},
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with make_project(tmp_path / "p", questions=60) as project:
        project.sync()
        return project.directory


def measured(report: Any) -> list[Any]:
    """What a measurement found, without what it took."""
    return [report["differences"], {name: row["metrics"] for name, row in report["pipelines"].items()}]


def test_two_nodes_measure_what_one_process_measures(
    directory: Path,
    tmp_path: Path,
    cluster: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twin = shutil.copytree(directory, tmp_path / "twin")
    with Project.open(twin, STAGED) as project:
        here = project.bench(VARIANTS)
    second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    work: list[str] = []
    run = RayCluster.run

    def noted(self: RayCluster, what: Any, batches: Any, **more: Any) -> Iterator[Any]:
        for done in run(self, what, batches, **more):
            work.append(what.label)
            if len(work) == 2:
                cluster.remove_node(second, allow_graceful=False)
            yield done

    monkeypatch.setattr(RayCluster, "run", noted)
    with Project.open(directory, {**STAGED, **on(cluster)}) as project:
        assert isinstance(project.workspace.search.retriever, SpreadRetriever)
        there = project.bench(VARIANTS)
    assert set(work) == {"embed", "search"}
    assert measured(there) == measured(here)


def queries(project: Project) -> list[Query]:
    return [query(example, project.workspace.search.filter) for example in project.examples[:12]]


def test_what_a_worker_does_not_see_is_searched_for_here(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Project.open(directory, STAGED) as project:
        search = project.workspace.search
        expected = search.retriever.retrieve(queries(project), 4)
        monkeypatch.setattr(SpreadRetriever, "executor", Local())
        retriever = SpreadRetriever(search.retriever, search)
        seen = retriever.retrieve(queries(project), 4)
        assert [one.hits for one in seen] == [one.hits for one in expected]
        assert not caplog.records
        monkeypatch.setattr(spread_search, "decided_by", lambda _: "another content")
        work = Searching(
            directory=search.directory,
            config=search.config,
            catalogue=search.directory / "catalogue.sqlite",
            artifacts=search.artifacts.directory,
            decided_by="this content",
        )
        assert work.open()((None, 4, queries(project))) is None
        monkeypatch.setattr(Searching, "open", lambda _: lambda _: None)
        with caplog.at_level(logging.WARNING):
            found = retriever.retrieve(queries(project), 4)
        assert [one.hits for one in found] == [one.hits for one in expected]
        assert "does not see" in caplog.text


def test_only_stages_that_read_are_worth_sending(directory: Path) -> None:
    ray: Json = {"scale": {"on": "ray"}}
    with Project.open(directory, {**FAST, **ray}) as project:
        search = project.workspace.search
        assert spread(search, search.retriever) is search.retriever
    with Project.open(directory, {**STAGED, **ray}) as project:
        search = project.workspace.search
        assert isinstance(search.retriever, SpreadRetriever)
        search.dress(lambda parts: parts)
        assert not isinstance(search.retriever, SpreadRetriever), "a server searches by itself"
