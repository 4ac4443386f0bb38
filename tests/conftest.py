"""Shared fixtures: the real data, and a throw-away project directory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "src" / "twofold" / "demo"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets; CI must have it."""
    root = Path(os.environ.get("TWOFOLD_DATA", ROOT.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no data at {root}: set TWOFOLD_DATA")
    return root


@pytest.fixture
def demo_questions(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder of the first so many demo questions and the documents that they are about."""

    def make(count: int) -> Path:
        source = tmp_path / "source"
        source.mkdir()
        lines = (DEMO / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:count]
        (source / "examples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        wanted = {document for line in lines for document in json.loads(line)["doc_ids"]}
        documents = (DEMO / "documents.jsonl").read_text(encoding="utf-8").splitlines()
        kept = [line for line in documents if json.loads(line)["id"] in wanted]
        (source / "documents.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
        return source

    return make
