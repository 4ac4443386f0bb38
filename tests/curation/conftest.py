"""A small project on real documents, opened anew with any generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twofold.project import Project
from twofold.testing.projects import write_questions


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The demo's first 120 questions and their documents."""
    return write_questions(tmp_path / "source", 120)


@pytest.fixture
def opened(tmp_path: Path, source: Path) -> Any:
    """Opens the project anew, with the hashing embedder and a given generator."""
    Project.create(tmp_path / "project", source).close()

    def again(generator: Any = None) -> Project:
        project = Project.open(
            tmp_path / "project",
            {
                "generation": {"generator": {"name": "echo", "options": {}}, "batch": 8},
                "retrieval": {"embedder": {"name": "hashing", "options": {}}},
            },
        )
        if generator is not None:
            project.workspace.models.generator = lambda adapter=None: generator  # type: ignore[method-assign]
        return project

    return again
