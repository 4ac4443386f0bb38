"""A small project on real documents, opened anew with any generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from twofold.project import Project

DEMO = Path(__file__).resolve().parents[2] / "src" / "twofold" / "demo"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The demo's first 120 questions and their documents."""
    folder = tmp_path / "source"
    folder.mkdir()
    lines = (DEMO / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:120]
    (folder / "examples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    wanted = {d for line in lines for d in json.loads(line)["doc_ids"]}
    documents = (DEMO / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [line for line in documents if json.loads(line)["id"] in wanted]
    (folder / "documents.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return folder


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
            project.builder.generator = lambda adapter=None: generator  # type: ignore[method-assign]
        return project

    return again
