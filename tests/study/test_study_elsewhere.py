"""A study, its diagnosis and its training on workers: the same as in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from other_workers import OtherWorkers
from ray_cluster import MEMORY, cluster, on  # noqa: F401 - a fixture
from twofold.execution.contract import Executor
from twofold.execution.local import Local
from twofold.project import Project
from twofold.settings.scale import ScaleSection
from twofold.study.diagnosing import Scope
from twofold.testing.projects import make_project
from twofold.verdict.record import StudyRecord

ARMS: dict[str, Any] = {"study": {"arms": ["base", "rag"], "diagnostics": ["oracle"]}}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> OtherWorkers:
    """Workers in place of a cluster."""
    workers = OtherWorkers()

    def chosen(scale: ScaleSection) -> Executor:
        return workers if scale.on == "ray" else Local()

    for name in ("assembly.models", "assembly.workspace", "assembly.adapters", "execution.on_demand"):
        monkeypatch.setattr(f"twofold.{name}.executor", chosen)
    return workers


def results(project: Project, record: StudyRecord) -> Any:
    """What a study found, without the seconds that it took."""
    found: dict[str, Any] = {}
    for name, arm in record["arms"].items():
        answers = project.catalogue.answers.get(arm["key"])
        content = {d: [a.text, a.raw, a.citations, [h.chunk.id for h in a.hits]] for d, a in sorted(answers.items())}
        found[name] = [arm["key"], arm["metrics"], content]
    return [record["verdict"][key] for key in ("outcome", "arm", "headline", "because")], found


def test_workers_find_what_one_process_finds(tmp_path: Path, elsewhere: OtherWorkers) -> None:
    with make_project(tmp_path / "here", questions=60, settings=ARMS) as project:
        mine = results(project, project.study())
    assert not elsewhere.batches
    there = tmp_path / "there"
    with make_project(there, questions=60, settings={**ARMS, "scale": {"on": "ray"}}) as project:
        record = project.study()
        assert elsewhere.batches
        assert results(project, record) == mine
        before = elsewhere.batches
        # All is there already: the same study is returned, and no worker is asked.
        assert project.study()["study"] == record["study"]
        assert elsewhere.batches == before
        settings = {**project.overrides, "scale": {"on": "local"}}
    # Where the work ran is no part of what was measured: without workers it is the same study still.
    with Project.open(there, settings) as project:
        assert project.study()["study"] == record["study"]


def test_a_diagnosis_on_workers_names_the_same_causes(tmp_path: Path, elsewhere: OtherWorkers) -> None:
    causes = []
    for name, scale in (("here", {}), ("there", {"scale": {"on": "ray"}})):
        with make_project(tmp_path / name, questions=60, settings={**ARMS, **scale}) as project:
            project.study()
            before = elsewhere.batches
            record = project.diagnosis.run(Scope(arms=("rag",)))
            assert (elsewhere.batches > before) == bool(scale)
            causes.append([arm["rows"] for arm in record["arms"].values()])
    assert causes[0] == causes[1]


@pytest.mark.slow
def test_a_node_that_goes_in_the_middle_of_a_study_costs_no_answer(tmp_path: Path, cluster: Any) -> None:  # noqa: F811
    with make_project(tmp_path / "here", settings=ARMS) as project:
        mine = results(project, project.study())
    second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    removed = []

    def progress(stage: str, done: int, _: int) -> None:
        if stage.startswith("answer rag") and done and not removed:
            removed.append(done)
            cluster.remove_node(second, allow_graceful=False)

    with make_project(tmp_path / "there", settings={**ARMS, **on(cluster)}) as project:
        record = project.study(progress=progress)
        assert removed
        assert results(project, record) == mine
