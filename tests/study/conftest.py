"""A small real project: demo documents and questions, real index, deterministic generator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.project import Project


@pytest.fixture
def folder(demo_questions: Callable[[int], Path]) -> Path:
    """A hundred and twenty demo questions and their documents."""
    return demo_questions(120)


@pytest.fixture
def fast() -> Callable[..., dict[str, Any]]:
    """Overrides: echo generator, hashing embedder, no tuning."""

    def overrides(**echo: Any) -> dict[str, Any]:
        return {
            "study": {"arms": ["base", "prompt", "rag"], "resamples": 400, "latency_sample": 2},
            "generation": {"generator": {"name": "echo", "options": {"mode": "quote", **echo}}, "batch": 8},
            "retrieval": {"embedder": {"name": "hashing", "options": {}}},
        }

    return overrides


@pytest.fixture
def project(tmp_path: Path, folder: Path, fast: Callable[..., dict[str, Any]]) -> Project:
    """The project, opened with the fast overrides."""
    Project.create(tmp_path / "project", folder).close()
    return Project.open(tmp_path / "project", fast())
