"""A small real project for tests: bundled documents and questions, a real index, deterministic fakes for the models."""

from __future__ import annotations

import json
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

from twofold.project import Project
from twofold.types import Json

FAST: Json = {
    "study": {"arms": ["base", "prompt", "rag"], "resamples": 400, "latency_sample": 2},
    "generation": {"generator": {"name": "echo", "options": {"mode": "quote"}}, "batch": 8},
    "retrieval": {
        "embedder": {"name": "hashing", "options": {}},
        "retriever": {"name": "hybrid", "options": {"lexical": 0.5}},
    },
}
"""Settings without models: the echo generator quotes the first passage, the hashing embedder counts words. The weight
of the words is set, for choosing it takes longer than all the rest of a sync."""


def write_questions(folder: Path, count: int) -> Path:
    """Write the first `count` bundled questions, and the documents that they are about, to a new folder."""
    folder.mkdir(parents=True)
    demo = resources.files("twofold") / "demo"
    questions = (demo / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    cited = set(chain.from_iterable(json.loads(question)["doc_ids"] for question in questions))
    documents = (demo / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    needed = [document for document in documents if json.loads(document)["id"] in cited]
    (folder / "examples.jsonl").write_text("\n".join(questions) + "\n", encoding="utf-8")
    (folder / "documents.jsonl").write_text("\n".join(needed) + "\n", encoding="utf-8")
    return folder


def make_project(directory: Path, *, questions: int = 120, settings: Json | None = None) -> Project:
    """Create a project and open it; the caller closes it.

    Args:
        directory: A directory that does not exist yet; its neighbour ``<name>-source`` gets the data.
        questions: Number of bundled questions to use, of 339.
        settings: Nested values laid over `FAST`, section by section.

    Returns:
        The open project, not synced yet.
    """
    source = write_questions(directory.with_name(f"{directory.name}-source"), questions)
    Project.create(directory, source).close()
    return Project.open(directory, _over(FAST, settings or {}))


def _over(below: Json, above: Json) -> dict[str, Any]:
    """Nested values of `above` laid over those of `below`; a plugin's name and options are replaced together."""
    merged: dict[str, Any] = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        # Options of one plugin mean nothing to another.
        if isinstance(inner, dict) and isinstance(value, dict) and "name" not in value:
            merged[key] = _over(inner, value)
        else:
            merged[key] = value
    return merged
