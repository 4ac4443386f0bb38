"""A project directory opened: what asking leaves behind, and what its narrowed copies and groups share."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.project import Project
from twofold.testing.projects import write_questions


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The demo's first 40 questions, never synced."""
    source = write_questions(tmp_path / "source", 40)
    Project.create(tmp_path / "project", source).close()
    overrides = {
        "generation": {"generator": {"name": "echo", "options": {}}},
        "retrieval": {"embedder": {"name": "hashing", "options": {}}},
    }
    return Project.open(tmp_path / "project", overrides)


def test_a_forecast_writes_nothing_into_a_project_that_was_never_synced(project: Project) -> None:
    with project:
        steps = project.tuning.plan(all_documents=True).steps
        assert any(step["step"] == "tune ft+rag" for step in steps)
        assert project.plan().steps
        assert not project.derived.exists()


def test_a_narrowed_project_shares_the_parts(project: Project) -> None:
    with project:
        project.sync()
        narrowed = project.where("title != nothing")
        assert narrowed is not project
        assert narrowed.workspace is project.workspace
        assert project.where() is project


def test_documents_are_read_anew_after_a_sync_that_a_flow_makes(project: Project) -> None:
    with project:
        before = len(project.documents)
        path = project.directory / "data" / "documents.jsonl"
        path.write_text(path.read_text() + '{"id": "new", "text": "A valve that nobody has seen opens at noon."}\n')
        assert len(project.documents) == before, "read once"
        project.curation.select(5, by="diversity")
        assert len(project.documents) == before, "this flow does not sync"
        project.bench({}, synthetic=5)
        assert len(project.documents) == before + 1
