"""Which systems count as measured when a live question is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from small_project import write_project
from twofold.errors import ConfigError
from twofold.files import writing
from twofold.project import Project
from twofold.reports import archive
from twofold.reports.measured import measured_systems, was_measured
from twofold.serving.arm import ServedArm
from twofold.serving.batches import RunningBatches
from twofold.store.catalogue import Catalogue
from twofold.types import Json

QUESTION = "What does parking cost?"
STUDY = """
[study]
arms = ["base", "rag"]
diagnostics = []
latency_sample = 0
resamples = 400
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    documents = [
        {"id": "parking", "text": "Parking costs 4 euros a day."},
        {"id": "canteen", "text": "The canteen opens at seven."},
    ]
    questions = [("parking", QUESTION, "4 euros"), ("canteen", "When does the canteen open?", "seven")]
    return write_project(tmp_path / "p", documents, questions, copies=10, settings=STUDY)


def _stop(phase: str, done: int, total: int) -> None:
    if phase == "answer rag" and done:
        raise KeyboardInterrupt


def test_an_interrupted_study_measured_nothing(project: Path) -> None:
    with Project.open(project) as opened, pytest.raises(KeyboardInterrupt):
        opened.study(progress=_stop)
    with Project.open(project) as opened:
        _, report = opened.ask(QUESTION, arm="rag")
        assert (report["measured"], report["why"]) == (False, "it was named; no study has measured it")
        # Its answers are stored all the same, for the study that goes on.
        assert report["key"] in opened.workspace.catalogue.systems.descriptions()
        with RunningBatches(1) as batches, pytest.raises(ConfigError, match="rag is not measured"):
            ServedArm(opened, batches, arm="rag")


def test_the_finished_study_measured_what_its_record_names(project: Path) -> None:
    with Project.open(project) as opened:
        opened.study()
        assert opened.ask(QUESTION, arm="rag")[1]["measured"] is True
        assert opened.ask(QUESTION, arm="base")[1]["measured"] is True
    # An older record that nobody can read vouches for nothing, and stops no answer.
    older = project / "studies" / "0000-p"
    older.mkdir()
    (older / "study.json").write_text("{", encoding="utf-8")
    with Project.open(project) as opened:
        assert opened.ask(QUESTION, arm="rag")[1]["measured"] is True
    with Project.open(project, {"retrieval": {"k": 1}}) as opened:
        assert opened.ask(QUESTION, arm="rag")[1]["measured"] is False


@pytest.mark.parametrize(("comparison", "names"), [({"system": "compared"}, ["compared"]), ({}, ["compared", "other"])])
def test_a_comparison_after_a_retraining_measured_the_system_that_it_names(
    tmp_path: Path, comparison: Json, names: list[str]
) -> None:
    """Other settings with the same model may only have begun to answer; comparisons of before named no system."""
    facts: Any = {}
    with Catalogue(None) as catalogue:
        catalogue.models.put("model:a", "adapter:a", at="2031", record=facts)
        catalogue.models.put_comparison("model:a", "against rag", at="2031", record=comparison)
        for name in ("compared", "other"):
            catalogue.systems.put(name, {"k": name})
        assert sorted(measured_systems(catalogue, tmp_path, model="model:a")) == names
        assert measured_systems(catalogue, tmp_path) == {}
        for name in ("compared", "other", "third"):
            assert was_measured(catalogue, tmp_path, name, model="model:a") is (name in names)
            assert not was_measured(catalogue, tmp_path, name)


def test_a_record_is_read_once_until_it_changes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read = archive.read_record
    archive._systems.cache_clear()
    with Project.open(project) as opened:
        opened.study()
        monkeypatch.setattr(archive, "read_record", lambda path: reads.append(path.name) or read(path))
        catalogue, records = opened.workspace.catalogue, project / "studies"
        (path,) = records.glob("*/study.json")
        record = json.loads(path.read_text(encoding="utf-8"))
        key = record["arms"]["rag"]["key"]
        assert [was_measured(catalogue, records, key) for _ in range(3)] == [True] * 3
        assert len(reads) == 1
        # A study of the same name, made anew, with a system of another key.
        record["arms"]["rag"]["key"] = key[:-1] + "x"
        writing.write(path, json.dumps(record).encode())
        assert not was_measured(catalogue, records, key)
        assert was_measured(catalogue, records, key[:-1] + "x")
        path.unlink()
        assert not was_measured(catalogue, records, key[:-1] + "x")


def test_a_probe_on_train_and_dev_measured_nothing(tmp_path: Path) -> None:
    things = ["sauna", "kayak", "drill", "piano", "tandem", "loom", "kiln", "tent", "anvil", "sledge", "harp", "canoe"]
    documents = [{"id": name, "text": f"The {name} costs {n} euros a day."} for n, name in enumerate(things, 11)]
    questions = [(name, f"What is the {name} for a day?", f"{n} euros") for n, name in enumerate(things, 11)]
    write_project(tmp_path / "p", documents, questions, copies=1, settings=STUDY)
    with Project.open(tmp_path / "p") as opened:
        opened.sync()
        opened.probing.run(minutes=0.05, tuning_minutes=0)
        _, report = opened.ask("What is the sauna for a day?", arm="rag")
        assert report["key"] in opened.workspace.catalogue.systems.descriptions()
        assert report["measured"] is False
