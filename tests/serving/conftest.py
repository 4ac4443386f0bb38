"""A measured project and a server of it, shared by the tests that change neither."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_process import Running, served

from small_project import write_project
from twofold.project import Project

PARKING, CANTEEN = "Parking costs 4 euros a day. It is free on Sunday.", "The canteen opens at seven."
STUDY = """
[study]
arms = ["base", "rag"]
diagnostics = []
latency_sample = 0
resamples = 400
"""


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A small project whose study chose `rag`; not to be changed."""
    documents = [
        {"id": "parking", "title": "On parking", "text": PARKING},
        {"id": "canteen", "title": "On the canteen", "text": CANTEEN},
    ]
    questions = [
        ("parking", "What does parking cost?", "4 euros"),
        ("canteen", "When does the canteen open?", "seven"),
    ]
    directory = tmp_path_factory.mktemp("measured") / "p"
    write_project(directory, documents, questions, copies=15, settings=STUDY)
    with Project.open(directory) as project:
        assert project.study()["verdict"]["arm"] == "rag"
    return directory


@pytest.fixture
def project_copy(measured: Path, tmp_path: Path) -> Path:
    """The measured project, to be changed."""
    return Path(shutil.copytree(measured, tmp_path / "p"))


@pytest.fixture(scope="session")
def server(measured: Path) -> Iterator[Running]:
    """A server of the measured project."""
    with served(measured) as running:
        yield running
