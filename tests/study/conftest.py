"""A small real project: demo documents and questions, real index, deterministic generator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.project import Project

DEMO = Path(__file__).resolve().parents[2] / "src" / "twofold" / "demo"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty demo questions and all their documents."""
    source = tmp_path / "source"
    source.mkdir()
    lines = (DEMO / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:120]
    (source / "examples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    wanted = {d for line in lines for d in json.loads(line)["doc_ids"]}
    documents = (DEMO / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [line for line in documents if json.loads(line)["id"] in wanted]
    (source / "documents.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return source


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
