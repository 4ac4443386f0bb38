"""A project of a few documents and questions written by hand, with a deterministic generator and embedder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SETTINGS = """
[documents]
paths = ["data/documents.jsonl"]
[examples]
paths = ["data/examples.jsonl"]
split_by = "question"
[retrieval.embedder]
name = "hashing"
[generation.generator]
name = "echo"
"""


def write_documents(directory: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    """Put records in the place of the project's documents."""
    place = directory / "data" / "documents.jsonl"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(map(json.dumps, documents)), encoding="utf-8")


def write_project(
    directory: Path,
    documents: Sequence[Mapping[str, Any]],
    asked: Sequence[tuple[str, str, str]],
    *,
    copies: int,
    settings: str,
) -> Path:
    """Write a project and return its directory.

    Args:
        directory: Where; made if missing.
        documents: Records.
        asked: Document id, question and answer.
        copies: Examples made of each question, told apart by a number.
        settings: TOML that follows `SETTINGS`.
    """
    write_documents(directory, documents)
    examples = [
        {"id": f"{document}-{n}", "question": f"{question} ({n})", "answers": [answer], "doc_ids": [document]}
        for n in range(copies)
        for document, question, answer in asked
    ]
    (directory / "data" / "examples.jsonl").write_text("\n".join(map(json.dumps, examples)), encoding="utf-8")
    (directory / "twofold.toml").write_text(SETTINGS + settings, encoding="utf-8")
    return directory


def write_measurable(directory: Path) -> Path:
    """Write a project of thirty questions whose study takes a second, and return its directory."""
    documents = [
        {"id": "parking", "title": "On parking", "text": "Parking costs 4 euros a day. It is free on Sunday."},
        {"id": "canteen", "title": "On the canteen", "text": "The canteen opens at seven."},
    ]
    questions = [
        ("parking", "What does parking cost?", "4 euros"),
        ("canteen", "When does the canteen open?", "seven"),
    ]
    return write_project(directory, documents, questions, copies=15, settings=_STUDY)


_STUDY = """
[study]
arms = ["base", "rag"]
diagnostics = []
latency_sample = 0
resamples = 400
"""
