"""A small real project: demo documents and questions, real index, hashed vectors; and a tiny sentence encoder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from twofold.models import hub
from twofold.project import Project
from twofold.testing.projects import make_project

ENCODER = "all-minilm-l6-v2"


@pytest.fixture
def folder(demo_questions: Callable[[int], Path]) -> Path:
    """A hundred demo questions and their documents."""
    return demo_questions(100)


SETTINGS = {
    "study": {"arms": ["rag"], "diagnostics": [], "resamples": 300, "latency_sample": 0},
    "generation": {"generator": {"name": "echo", "options": {"mode": "quote"}}, "batch": 64},
    "retrieval": {
        "embedder": {"name": "hashing", "options": {}},
        "retriever": {"name": "hybrid", "options": {}},  # the weight of the words is chosen, as for a user
    },
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of a hundred demo questions, opened with fast settings."""
    return make_project(tmp_path / "project", questions=100, settings=SETTINGS)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a random two-layer BERT with the embedded encoder's tokenizer."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    source = hub.pull(ENCODER)
    target = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    settings = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, initializer_range=0.2
    )
    transformers.BertModel(settings, add_pooling_layer=False).save_pretrained(target)
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    return target
