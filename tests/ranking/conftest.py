"""A small real project: demo documents and questions, real index, hashed vectors; and a tiny sentence encoder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from twofold.project import Project
from twofold.store import models

DEMO = Path(__file__).resolve().parents[2] / "src" / "twofold" / "demo"
ENCODER = "all-minilm-l6-v2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A hundred demo questions and their documents."""
    source = tmp_path / "source"
    source.mkdir()
    lines = (DEMO / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:100]
    (source / "examples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    wanted = {d for line in lines for d in json.loads(line)["doc_ids"]}
    documents = (DEMO / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [line for line in documents if json.loads(line)["id"] in wanted]
    (source / "documents.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return source


SETTINGS = {
    "study": {"arms": ["rag"], "diagnostics": [], "resamples": 300, "latency_sample": 0},
    "generation": {"generator": {"name": "echo", "options": {"mode": "quote"}}, "batch": 64},
    "retrieval": {"embedder": {"name": "hashing", "options": {}}},
}


@pytest.fixture
def project(tmp_path: Path, folder: Path) -> Project:
    """The project, opened with fast settings."""
    Project.create(tmp_path / "project", folder).close()
    return Project.open(tmp_path / "project", SETTINGS)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a random two-layer BERT with the embedded encoder's tokenizer."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    source = models.pull(ENCODER)
    target = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    settings = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, initializer_range=0.2
    )
    transformers.BertModel(settings, add_pooling_layer=False).save_pretrained(target)
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    return target
