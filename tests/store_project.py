"""Stores a small project of this version for the tests of later ones: a study, a tuned model, its alias.

Run `PYTHONPATH=src python tests/store_project.py` when the form of anything stored has changed, and name the new
archive in `test_stored_project.py`. The older archives stay: they are what users have.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import stand_in_trainer
from twofold.metrics.overlap import AnswerF1, ExactMatch
from twofold.plugins import loading
from twofold.project import Project
from twofold.reports.study_page import render_summary
from twofold.retrieval.analysis import ANALYSIS

SAMPLES = Path(__file__).parent / "samples"
FIRST = SAMPLES / "stored_project.tar.xz"
NAME = "stored_project_2"
QUESTION = "what can help guide early season irrigation decisions?"
SECRET = {"id": "secret", "title": "Secret", "text": "The launch code is 424242."}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / NAME
        os.environ["TRAINED"] = str(Path(folder) / "trained")
        with loading.registered("trainers", "one", stand_in_trainer.StandIn):
            write(directory)
        with tarfile.open(SAMPLES / f"{NAME}.tar.xz", "w:xz") as archive:
            archive.add(directory, NAME, filter=anonymous)


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """The entry without whoever made it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def write(directory: Path) -> None:
    """The first stored project's documents, examples and settings; everything derived by this version."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(FIRST) as archive:
        archive.extractall(folder, filter="data")
        first = Path(folder) / "stored_project"
        shutil.copytree(first / "data", directory / "data")
        shutil.copy(first / "twofold.toml", directory)
    documents = directory / "data" / "documents.jsonl"
    texts = documents.read_text(encoding="utf-8")
    documents.write_text(f"{texts.rstrip()}\n{json.dumps(SECRET)}\n", encoding="utf-8")
    with Project.open(directory) as project:
        project.sync()
        with project.writing():
            project.versions.forget(SECRET["id"])
        record = project.study()
        tuned = project.ask(QUESTION, arm="ft+rag")[1]["model"]
        project.models.registry.promote(tuned, who="ann", why="it won")
    expected: dict[str, Any] = {"question": QUESTION, "verdict": record["verdict"]["sentence"]}
    expected["summary"] = render_summary(record)
    expected["versions"] = {"overlap": ExactMatch.version, "answer_f1": AnswerF1.version, "analysis": ANALYSIS}
    with Project.open(directory) as project:
        for arm in ("rag", "ft+rag"):
            answer, provenance = project.ask(QUESTION, arm=arm)
            expected[arm] = {"text": answer.text, "citations": len(answer.citations)}
            expected[arm] |= {name: provenance[name] for name in ("key", "measured", "model")}
    (directory / "expected.json").write_text(json.dumps(expected, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
