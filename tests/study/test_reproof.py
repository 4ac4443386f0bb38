"""A study after edits of documents: the same byte for byte as a first one of the same documents, and what it tells."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import stand_in_trainer
from forked import Nursery
from small_project import write_project
from twofold.hashing import digest
from twofold.models import hub
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.loading import registered
from twofold.project import Project
from twofold.reports.archive import read_answers
from twofold.reports.study_page import render, render_summary
from twofold.study import looks, verifying
from twofold.testing.fact_generator import FactGenerator
from twofold.types import Json
from twofold.verdict import sameness
from twofold.verdict.record import StudyRecord

LANDS = ("Norland", "Sudland", "Ostmark", "Westeria", "Midvale", "Karst", "Pelagia", "Tundra", "Highmoor", "Lowfen")
SETTINGS = """
[retrieval.retriever]
name = "hybrid"
[retrieval.retriever.options]
lexical = 0.5
[generation]
batch = 8
[study]
arms = ["base", "rag"]
diagnostics = []
resamples = 200
latency_sample = 0
metrics = ["exact_match"]
"""
Documents = list[dict[str, Any]]


def first_documents() -> Documents:
    documents = []
    for number, land in enumerate(LANDS):
        head = land[:3]
        text = f"{land} lies by the sea.\n\nThe capital of {land} is {head}vik.\n\nThe river of {land} is {head}bach. "
        documents.append({"id": f"d{number}", "title": land, "text": f"{text}The dish of {land} is {head}soup."})
    return documents


def questions() -> Iterator[Json]:
    kinds = (("capital", "vik", "test"), ("river", "bach", "test"), ("dish", "soup", "train"))
    for number, land in enumerate(LANDS):
        for kind, ending, split in kinds:
            example: Json = {
                "id": f"{kind}-{number}",
                "question": f"What is the {kind} of {land}?",
                "answers": [f"{land[:3]}{ending}"],
                "split": split,
            }
            # A project refuses examples of documents that are not there: the others' may be deleted and renamed.
            yield example | ({"doc_ids": [f"d{number}"]} if named(f"d{number}") else {})


def named(document: str) -> bool:
    """Do examples name it?"""
    return document[0] == "d" and int(document[1:]) % 2 == 1


def write(directory: Path, documents: Documents) -> None:
    (directory / "data" / "documents.jsonl").write_text("\n".join(map(json.dumps, documents)), encoding="utf-8")


def edited(documents: Documents, chance: random.Random, number: int) -> None:
    """One random edit."""
    place, land = chance.randrange(len(documents)), chance.choice(LANDS)
    document = documents[place] = dict(documents[place])
    text, free = document["text"], not named(document["id"])
    kind = chance.choice(
        ("before", "after", "replace", "blanks", "metadata", "title", "rename", "delete", "move", "add")
    )
    if kind == "before":
        document["text"] = f"New: {land} is cold.\n\n{text}"
    elif kind == "after":
        document["text"] = f"{text}\n\nThe river of {land} is Neu{number}."
    elif kind == "replace":
        document["text"] = text.replace("vik", f"burg{number}")
    elif kind == "blanks":
        document["text"] = text.replace(" lies", "  lies").replace("\n\n", "\n\n\n")
    elif kind == "metadata":
        document["_revision"] = str(number)  # hidden: other fields stand in the text
    elif kind == "title":
        document["title"] += " (new)"
    elif kind == "rename" and free:
        document["id"] = f"renamed-{number}"
    elif kind == "delete" and free:
        del documents[place]
    elif kind == "move":
        passages = text.split("\n\n")
        moved = passages.pop(chance.randrange(len(passages)))
        document["text"] = "\n\n".join(passages) or "Nothing."
        other = documents[place - 1] = dict(documents[place - 1])
        other["text"] += f"\n\n{moved}"
    elif kind == "add":
        outranks = f"What is the capital of {land}? The capital of {land} is Wrong{number}."
        documents.insert(place, {"id": f"extra-{number}", "title": land, "text": outranks})


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with its first study."""
    with registered("generators", "facts", FactGenerator):
        directory = tmp_path_factory.mktemp("reproof") / "project"
        write_project(directory, first_documents(), [], copies=1, settings=SETTINGS)
        path = directory / "twofold.toml"
        path.write_text(path.read_text(encoding="utf-8").replace('"echo"', '"facts"'), encoding="utf-8")
        lines = "\n".join(map(json.dumps, questions()))
        (directory / "data" / "examples.jsonl").write_text(lines, encoding="utf-8")
        study(directory)
        yield directory


def study(directory: Path, **overrides: Any) -> StudyRecord:
    with Project.open(directory, overrides) as project:
        project.sync()
        return project.study()


def repeated(directory: Path, record: StudyRecord) -> Json:
    return sameness.repeated(record, read_answers(directory / "studies" / record["study"]))


def anew(directory: Path, record: StudyRecord, target: Path, **overrides: Any) -> StudyRecord:
    """The study of a new project with these documents, at the same look, for looks are of questions."""
    target.parent.mkdir()
    shutil.copytree(directory, target, ignore=shutil.ignore_patterns(".twofold", record["study"]))
    ledger = target / "studies" / looks.FILE
    lines = ledger.read_text(encoding="utf-8").splitlines(keepends=True)
    ledger.write_text("".join(line for line in lines if json.loads(line)["name"] != record["study"]), encoding="utf-8")
    return study(target, **overrides)


def holds(studied: Path, root: Path, seed: int) -> None:
    """After a random script of edits, studied after each step, the last study is that of a new project."""
    chance, directory = random.Random(seed), root / "edited" / "project"
    shutil.copytree(studied, directory)
    documents, number = first_documents(), 0
    for _step in range(chance.randint(1, 2)):
        for _edit in range(chance.randint(1, 3)):
            number += 1
            edited(documents, chance, number)
        write(directory, documents)
        record = study(directory)
    if record["study"] == "0001-project":  # nothing but an edit that changes nothing was drawn
        return
    other = anew(directory, record, root / "anew" / "project")
    target = root / "anew" / "project"
    assert sameness.differing(repeated(directory, record), repeated(target, other)) == [], seed


@pytest.mark.parametrize("seed", [0, 24])
def test_after_any_edits_the_study_is_that_of_a_new_project(studied: Path, tmp_path: Path, seed: int) -> None:
    holds(studied, tmp_path, seed)


class Learner(stand_in_trainer.StandIn):
    """Its weights follow from the rows that it is given."""

    def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
        report = super().train(job, directory, progress=progress)
        stand_in_trainer.write_adapter(directory, float(int(digest("rows", job.rows)[-6:], 16)))
        return report


def test_a_tuned_arm_is_trained_again_where_its_rows_changed_as_in_a_new_project(
    studied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained"))
    directory = tmp_path / "edited" / "project"
    shutil.copytree(studied, directory)
    settings: Any = {
        "study": {"arms": ["rag", "ft+rag"]},
        "tuning": {"trainer": {"name": "learner"}, "gate": "off", "merge_back": []},
    }
    with registered("trainers", "learner", Learner):
        study(directory, **settings)
        documents = first_documents()
        for document in documents[::3]:
            document["text"] = f"Revised. {document['text']}"
        write(directory, documents)
        record = study(directory, **settings)
        arms = record["reproof"]["arms"]
        assert arms["ft+rag"]["retrained"]
        assert arms["ft+rag"]["generated"] == arms["ft+rag"]["questions"]
        assert "retrained" not in arms["rag"]
        target = tmp_path / "anew" / "project"
        other = anew(directory, record, target, **settings)
    assert sameness.differing(repeated(directory, record), repeated(target, other)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 17, 31])
def test_the_embedded_model_repeats_its_bytes_one_prompt_at_a_time(studied: Path, tmp_path: Path, seed: int) -> None:
    if not all(row["pulled"] or row["optional"] for row in hub.listing()):
        pytest.skip("the embedded models are not in the cache: twofold models pull")
    settings: Any = {"generation": {"generator": {"name": "local"}, "batch": 1, "max_tokens": 16}}
    directory, target, chance = tmp_path / "edited" / "project", tmp_path / "anew" / "project", random.Random(seed)
    shutil.copytree(studied, directory)
    study(directory, **settings)
    documents = first_documents()
    for number in range(2):
        edited(documents, chance, number)
    write(directory, documents)
    record = study(directory, **settings)
    other = anew(directory, record, target, **settings)
    assert sameness.differing(repeated(directory, record), repeated(target, other)) == []
    print(seed, record["reproof"]["arms"]["rag"] if "reproof" in record else "no edit")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_after_sixty_scripts_of_edits_the_study_is_that_of_a_new_project(
    studied: Path, tmp_path: Path, seed: int
) -> None:
    holds(studied, tmp_path, seed)


def test_an_edit_tells_which_answers_changed_and_by_which_document(studied: Path, tmp_path: Path) -> None:
    directory = tmp_path / "project"
    shutil.copytree(studied, directory)
    asked = [row["id"] for row in read_answers(directory / "studies" / "0001-project")]
    number = int(next(name for name in asked if name.startswith("capital")).partition("-")[2])
    documents, land = first_documents(), LANDS[number]
    text = documents[number]["text"].replace(f"The capital of {land} is {land[:3]}vik.", "Its capital moved.")
    documents[number]["text"] = text
    write(directory, documents)
    with Project.open(directory) as project:
        project.sync()
        assert any(line.startswith("answer rag: the time for answering everything") for line in project.plan().warnings)
    record = study(directory)
    radius = record["reproof"]
    assert radius["study"] == "0001-project"
    assert list(radius["arms"]) == ["rag"]
    arm = radius["arms"]["rag"]
    assert arm["changes"]["worse"] == 1
    worse = next(row for row in arm["rows"] if row["change"] == "worse")
    assert worse == {"id": f"capital-{number}", "change": "worse", "documents": [f"d{number}"]}
    assert 0 < arm["shown"] < arm["questions"]
    assert arm["generated"] == arm["shown"]
    assert all(row["documents"] == [f"d{number}"] for row in arm["rows"])
    bill = {item["step"]: item for item in record["bill"]}
    assert bill["answer rag"]["cached"] == arm["questions"] - arm["generated"]
    summary = render_summary(record)
    assert "documents edited since 0001-project:" in summary
    assert f"worse: capital-{number}" in summary
    page = render(record, read_answers(directory / "studies" / record["study"]))
    assert "Documents edited since 0001-project" in page
    assert f'href="#q=capital-{number}"' in page
    assert verifying.verify(directory / "studies" / record["study"]).faults == ()
    # Mended, and not the same documents as those of the first study, whose record would be returned.
    write(directory, [{**document, "_revision": "2"} for document in first_documents()])
    mended = study(directory)["reproof"]["arms"]["rag"]
    assert (mended["generated"], mended["changes"]["better"]) == (0, 1)


def test_other_settings_are_no_edit(studied: Path, tmp_path: Path) -> None:
    directory = tmp_path / "project"
    shutil.copytree(studied, directory)
    assert "reproof" not in study(directory, study={"margin": 0.04})
    assert "reproof" not in study(directory, retrieval={"k": 1})


CHILD = """
import json, sys
from pathlib import Path
from twofold.project import Project
with Project.open(Path(sys.argv[1]), json.loads(sys.argv[2])) as project:
    project.sync()
    print(json.dumps(project.study()))
"""


def test_a_killed_study_after_an_edit_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path,
    demo_questions: Callable[[int], Path],
    fast: Callable[..., dict[str, Any]],
    nursery: Nursery,
) -> None:
    settings = fast(stall_seconds=0.04)
    settings["generation"]["batch"] = 2
    settings["study"] = {"arms": ["base", "rag"], "diagnostics": [], "resamples": 200, "latency_sample": 0}
    directory = tmp_path / "whole" / "p"
    Project.create(directory, demo_questions(45)).close()
    with Project.open(directory, settings) as project:
        project.study()
    path = directory / "data" / "documents.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows[::2]:
        row["text"] = f"Revised. {row['text']}"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    killed = tmp_path / "killed" / "p"
    shutil.copytree(directory, killed)
    before = stored(killed)
    child = nursery.start(CHILD, str(killed), json.dumps(settings))
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline and stored(killed) < before + 5:
        time.sleep(0.02)
    assert child.poll() is None
    child.kill()
    child.communicate()
    child.wait()
    last = nursery.run(CHILD, str(killed), json.dumps(settings))
    assert last.returncode == 0, last.stderr
    whole = study(directory, **settings)
    record: Any = json.loads(last.stdout)
    assert sameness.differing(repeated(killed, record), repeated(directory, whole)) == []
    assert record["reproof"] == json.loads(json.dumps(whole["reproof"]))


def stored(directory: Path) -> int:
    with closing(sqlite3.connect(directory / ".twofold" / "catalogue.sqlite")) as connection:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
