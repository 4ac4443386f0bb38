"""Two machines with nothing in common but an index in a bucket, an artifact store and a database."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from object_store import ObjectStore
from postgres_server import PASSWORD
from store_project import NAME as STORED
from store_project import QUESTION, SAMPLES
from twofold.deployment import backup, bundle
from twofold.deployment.snapshot import Snapshot
from twofold.errors import ProjectLocked
from twofold.improvement import settings
from twofold.indexing.report import SyncedReport
from twofold.metrics import overlap
from twofold.project import Project
from twofold.reports import archive
from twofold.retrieval.analysis import ANALYSIS
from twofold.settings import loading as config_loading
from twofold.store.shared import SharedPlace
from twofold.study.verifying import verify
from twofold.types import Json

pytestmark = pytest.mark.usefixtures("trainer")


@pytest.fixture
def scale(object_store: ObjectStore, schema: SharedPlace) -> Json:
    """Settings of both machines: all three are shared."""
    bucket = object_store.bucket()
    return {
        "scale": {
            "index": f"s3://{bucket}/index",
            "store": f"s3://{bucket}/store",
            "endpoint": object_store.endpoint,
            "database": schema.url,
            "database_password_env": PASSWORD,
            "name": schema.name,
        }
    }


@pytest.fixture
def here(tmp_path: Path, scale: Json) -> Path:
    """A project with a study, a tuned model and an alias, stored by an earlier version in files; now it shares all."""
    with tarfile.open(SAMPLES / f"{STORED}.tar.xz") as files:
        files.extractall(tmp_path, filter="data")
    described = tmp_path / STORED / ".twofold" / "index" / "index.json"
    read = json.loads(described.read_text(encoding="utf-8"))
    described.write_text(json.dumps({**read, "analysis": ANALYSIS}), encoding="utf-8")
    settings.write(tmp_path / STORED, scale)
    return tmp_path / STORED


@pytest.fixture
def there(here: Path, tmp_path: Path) -> Path:
    """The other machine: settings, documents and examples, as an image would bring them, and nothing else."""
    directory = tmp_path / "there"
    directory.mkdir()
    shutil.copy(here / "twofold.toml", directory)
    shutil.copytree(here / "data", directory / "data")
    return directory


def synced(directory: Path) -> SyncedReport:
    with Project.open(directory) as project:
        return project.sync()


def shown(study: Path) -> set[str]:
    """The documents that the answers of a study's record show."""
    rows = archive.read_answers(study)
    return {hit["document"] for row in rows for answer in row["arms"].values() for hit in answer["hits"]}


def test_what_a_machine_does_the_other_has(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = json.loads((here / "expected.json").read_text(encoding="utf-8"))
    assert synced(here)["embedded"] > 0, "the index in the bucket was empty"
    second = synced(there)
    assert (second["added"], second["changed"], second["deleted"], second["embedded"]) == (0, 0, 0, 0)
    assert not (there / ".twofold" / "index" / "chunks.lance").exists()
    with Project.open(there) as project:
        for arm in ("rag", "ft+rag"):
            answer, provenance = project.ask(QUESTION, arm=arm)
            assert answer.text == expected[arm]["text"]
            assert provenance["model"] == expected[arm]["model"]
        # Another look at the same questions, without training: the record gets the next name.
        monkeypatch.setattr(overlap.AnswerF1, "version", 1000)
        record = project.study()
    assert not Path(os.environ["TRAINED"]).exists()
    with Project.open(here) as project:
        assert archive.names(project.records)[-1] == record["study"]
        assert verify(project.records / record["study"]).verified
        # What was answered there is stored for both.
        again = project.study()
        assert again["verdict"] == record["verdict"]
        document = sorted(shown(project.records / record["study"]))[0]
        with project.writing():
            project.versions.forget(document)
        assert document not in project.workspace.search.index.contents()
    with Project.open(there) as project:
        assert document not in shown(project.records / record["study"])
        assert document not in project.workspace.search.index.contents()
        assert document not in {entry.id for entry in project.catalogue.documents.get()}
        project.sync()
        assert document not in project.workspace.search.index.contents(), "its file still has it: it stays forgotten"
        errors = [problem for problem in project.check() if problem.severity == "error"]
        assert [problem.code for problem in errors] == ["data.unknown-document"], "an example still names it"
    for file in (*here.rglob("*"), *there.rglob("*")):
        assert not file.is_file() or os.environ[PASSWORD].encode() not in file.read_bytes(), file


def test_a_backup_has_the_catalogue_of_the_database(here: Path, tmp_path: Path) -> None:
    synced(here)
    with Project.open(here) as project:
        systems = set(project.catalogue.systems.descriptions())
        tokens = project.catalogue.answers.usage()
        documents = {entry.id for entry in project.catalogue.documents.get()}
        text, key = said(project)
        report = backup.back_up(here, project.config, tmp_path / "b.tar", now=datetime.now(UTC))
        bundled = bundle._alone(project, tmp_path, Snapshot())
    assert any("pg_dump" in entry["cure"] for entry in report.left_out)
    scale = config_loading.load(bundled["project/twofold.toml"].parent).scale
    assert (scale.store, scale.database) == ("", "")
    backup.restore(tmp_path / "b.tar", tmp_path / "back")
    # Into another schema, as on another server; and without any.
    for database in ({"name": "restored"}, {"database": ""}):
        more = {"scale": {**config_loading.load(here).scale.model_dump(), "index": "", "store": "", **database}}
        back = shutil.copytree(tmp_path / "back", tmp_path / f"back-{len(database)}-{'name' in database}")
        settings.write(back, more)
        with Project.open(back) as project:
            assert set(project.catalogue.systems.descriptions()) == systems
            assert project.catalogue.answers.usage() == tokens
            assert {entry.id for entry in project.catalogue.documents.get()} == documents
            project.sync()
            assert said(project) == (text, key)


def said(project: Project) -> tuple[str, str]:
    answer, provenance = project.ask(QUESTION, arm="rag")
    return answer.text, provenance["key"]


def test_one_writer_and_the_other_is_told_which(here: Path, there: Path) -> None:
    with Project.open(here) as first, first.writing(), Project.open(there) as second:
        with pytest.raises(ProjectLocked) as refused:
            second.sync()
        assert str(os.getpid()) in str(refused.value)
        assert second.ask(QUESTION, arm="base")[0].text, "reading goes on"
    assert synced(there)["added"] > 0


_SYNC = """
import os, signal, sys
from twofold.cli.main import main
from twofold.retrieval.indexes.lancedb.index import LanceIndex
from twofold.store.documents import SyncState

owner, name, before = {
    "before the index": (LanceIndex, "upsert", True),
    "between index and catalogue": (SyncState, "record", True),
    "after both": (SyncState, "record", False),
}[sys.argv[2]]
do = getattr(owner, name)


def killed(*args, **more):
    if not before:
        do(*args, **more)
    os.kill(os.getpid(), signal.SIGKILL)


setattr(owner, name, killed)
sys.exit(main(["sync", "-C", sys.argv[1]]))
"""


def test_a_sync_that_is_killed_is_ended_by_the_other_machine(here: Path, there: Path) -> None:
    documents = here / "data" / "documents.jsonl"
    lines = documents.read_text(encoding="utf-8").rstrip("\n")
    added = [json.dumps({"id": f"new-{i}", "text": f"Note {i} is about soil and seed {i * 7}."}) for i in range(300)]
    documents.write_text("\n".join([lines, *added, ""]), encoding="utf-8")
    shutil.copy(documents, there / "data" / "documents.jsonl")
    for moment in ("before the index", "between index and catalogue", "after both"):
        ended = subprocess.run([sys.executable, "-c", _SYNC, str(here), moment], capture_output=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    deadline = time.monotonic() + 90
    report: dict[str, Any] | None = None
    while report is None:
        try:
            report = synced(there)
        except ProjectLocked:  # the lock of the killed process has to run out
            assert time.monotonic() < deadline
            time.sleep(0.5)
    with Project.open(there) as project:
        listed = [entry.id for entry in project.catalogue.documents.get()]
        assert len(set(listed)) == len(listed)
        assert {f"new-{i}" for i in range(300)} <= set(listed)
        assert set(listed) == set(project.workspace.search.index.contents())
    again = synced(here)
    assert (again["added"], again["changed"], again["deleted"], again["embedded"]) == (0, 0, 0, 0)
