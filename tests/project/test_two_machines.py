"""Two machines of one project, which are two directories, and an object store between them."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from object_store import ObjectStore
from postgres_server import PASSWORD
from store_project import NAME as STORED
from store_project import QUESTION, SAMPLES
from twofold.deployment import bundle
from twofold.deployment.snapshot import Snapshot
from twofold.errors import DatabaseUnreachable, StoreError
from twofold.improvement import settings
from twofold.metrics import overlap
from twofold.project import Project
from twofold.reports import archive
from twofold.retrieval.analysis import ANALYSIS
from twofold.settings import loading as config_loading
from twofold.store import artifacts
from twofold.store.shared import SharedPlace
from twofold.types import Json

pytestmark = pytest.mark.usefixtures("trainer")


@pytest.fixture
def scale(object_store: ObjectStore) -> Json:
    """Settings of both machines."""
    return {"scale": {"store": f"s3://{object_store.bucket()}/p", "endpoint": object_store.endpoint}}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A project with a study, a tuned model and an alias, stored by an earlier version that shared nothing."""
    with tarfile.open(SAMPLES / f"{STORED}.tar.xz") as files:
        files.extractall(tmp_path, filter="data")
    described = tmp_path / STORED / ".twofold" / "index" / "index.json"
    settings = json.loads(described.read_text(encoding="utf-8"))
    described.write_text(json.dumps({**settings, "analysis": ANALYSIS}), encoding="utf-8")
    return tmp_path / STORED


def other_machine(source: Path, directory: Path) -> Path:
    """The same project where nothing was studied or tuned: settings, documents, examples, and an index of its own."""
    shutil.copytree(source, directory)
    for folder in (".twofold/artifacts", ".twofold/store", "studies", "receipts", "advice"):
        shutil.rmtree(directory / folder, ignore_errors=True)
    for table in (directory / ".twofold").glob("catalogue.sqlite*"):
        table.unlink()
    return directory


def test_a_machine_serves_the_model_that_another_has_tuned(stored: Path, scale: Json, tmp_path: Path) -> None:
    there = other_machine(stored, tmp_path / "there")
    with Project.open(stored, scale) as here, here.writing():
        pass
    with Project.open(stored) as alone:
        expected, measured = alone.ask(QUESTION, arm="ft+rag")
    with Project.open(there, scale) as project:
        project.sync()
        assert not (there / ".twofold" / "artifacts").exists(), "nothing is fetched before it is used"
        answer, provenance = project.ask(QUESTION, arm="ft+rag")
        assert (answer.text, provenance["model"], provenance["key"]) == (
            expected.text, measured["model"], measured["key"]
        )  # fmt: skip
        assert provenance["measured"], "the study of the other machine has measured it"
        assert [model["id"] for model in project.models.listing() if model["here"]] == [measured["model"]]
        # Cleared here, it is in the store for when it is needed again.
        with project.writing():
            project.tuning.gc()
        shutil.rmtree(there / ".twofold" / "artifacts")
        assert project.ask(QUESTION, arm="ft+rag")[1]["model"] == measured["model"]


def clutter(project: Project, key: str, *, days: int) -> None:
    """An artifact that nothing needs, made some days ago and published."""
    work = project.workspace.artifacts.working(key)
    (work / "weights.bin").write_bytes(b"w" * 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "datetime", DaysAgo(days))
        project.workspace.artifacts.finish(key, {"kind": "embedder"})


class DaysAgo:
    """A clock that is late."""

    def __init__(self, days: int) -> None:
        self._days = days

    def now(self, zone: tzinfo) -> datetime:
        return datetime.now(zone) - timedelta(days=self._days)


def test_gc_clears_the_store_of_what_no_machine_needs_where_all_share_their_aliases(
    stored: Path, scale: Json, schema: SharedPlace, tmp_path: Path
) -> None:
    database = {"database": schema.url, "name": schema.name, "database_password_env": PASSWORD}
    both = {"scale": {**scale["scale"], **database}}
    there = other_machine(stored, tmp_path / "there")
    old, new = "adapter:" + "0" * 32, "adapter:" + "1" * 32
    with Project.open(stored, both) as here:
        with here.writing():
            clutter(here, old, days=30)
            clutter(here, new, days=1)
        with Project.open(there, both) as project, project.writing():
            assert project.workspace.artifacts.find(old), "a copy is here, too"
            everything = {manifest["key"] for manifest in project.workspace.artifacts.list()}
            promised = project.tuning.gc(alone=True, dry_run=True)
            assert old in {manifest["key"] for manifest in project.workspace.artifacts.list()}
            assert project.tuning.gc(alone=False)["published"] == [], "a trial may be making one"
            done = project.tuning.gc(alone=True)
        assert promised["published"] == done["published"] == [old], "neither the new one nor what a study needs"
        assert done["published_bytes"] == 1000
        store = project.sharing.store
        assert store is not None
        names = {name.partition("/")[2].partition("/")[0] for name in store.folder.names("artifacts")}
        assert names == {key.replace(":", "-") for key in everything - {old}}
        # The copy of the first machine does not bring it back, also once the listing has lacked it for long.
        for path in (stored / ".twofold" / "store" / "manifests").iterdir():
            os.utime(path, (0, 0))
        with here.writing():
            pass
        assert not store.folder.names(f"artifacts/{old.replace(':', '-')}")
        with here.writing():
            assert old in here.tuning.gc(alone=True)["removed"]
            clutter(here, old, days=0)
        with Project.open(there, both) as again:
            assert again.workspace.artifacts.find(old), "made again, it is shared again"


def test_gc_removes_nothing_from_the_store_where_each_machine_has_aliases_of_its_own(stored: Path, scale: Json) -> None:
    key = "adapter:" + "0" * 32
    with Project.open(stored, scale) as project, project.writing():
        clutter(project, key, days=30)
        done = project.tuning.gc(alone=True)
        assert key in done["removed"]
        assert done["published"] == []
        assert project.workspace.artifacts.find(key)


def test_another_bucket_gets_all_that_the_first_one_had(
    stored: Path, scale: Json, object_store: ObjectStore, tmp_path: Path
) -> None:
    """What the first bucket had, and the second has not, was removed by nobody."""
    there = other_machine(stored, tmp_path / "there")
    with Project.open(stored, scale) as here, here.writing():
        pass
    for path in (stored / ".twofold" / "store" / "manifests").iterdir():
        os.utime(path, (0, 0))
    moved = {"scale": {**scale["scale"], "store": f"s3://{object_store.bucket()}/p"}}
    with Project.open(stored, moved) as here, here.writing():
        pass
    with Project.open(stored, scale) as here:
        expected = here.ask(QUESTION, arm="ft+rag")[1]
    with Project.open(there, moved) as project:
        project.sync()
        assert archive.names(project.records) == archive.names(stored / "studies")
        provenance = project.ask(QUESTION, arm="ft+rag")[1]
        assert (provenance["model"], provenance["key"]) == (expected["model"], expected["key"])


def test_a_study_is_read_and_gone_on_with_elsewhere(
    stored: Path, scale: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = other_machine(stored, tmp_path / "there")
    with Project.open(stored, scale) as here:
        with here.writing():
            pass
        name = archive.names(here.records)[-1]
    with Project.open(there, scale) as project:
        assert archive.names(project.records) == archive.names(stored / "studies")
        for file in (stored / "studies" / name).iterdir():
            assert (project.records / name / file.name).read_bytes() == file.read_bytes()
        # Trained already, nothing is trained again: another look at the same questions, by the next name.
        monkeypatch.setattr(overlap.AnswerF1, "version", 1000)
        record = project.study()
        assert record["study"] > name
    assert not (tmp_path / "trained").exists()
    with Project.open(stored, scale) as here:
        assert archive.names(here.records)[-1] == record["study"]
        assert archive.read_record(here.records / record["study"])["verdict"] == record["verdict"]


def test_what_is_forgotten_here_is_gone_there(stored: Path, scale: Json, tmp_path: Path) -> None:
    there = other_machine(stored, tmp_path / "there")
    with Project.open(stored, scale) as here:
        with here.writing():
            pass
        name = archive.names(here.records)[-1]
        document = next(iter(shown(here.records / name)))
        with Project.open(there, scale) as project:
            project.sync()
            assert document in shown(project.records / name)
        with here.writing():
            here.versions.forget(document)
    with Project.open(there, scale) as project:
        assert document not in shown(project.records / name)
        # What this machine has indexed by itself leaves with its next sync.
        project.sync()
        assert document not in project.workspace.search.index.contents()
        assert [path.name for path in sorted((there / "receipts").glob("forget-*"))] == [
            path.name for path in sorted((stored / "receipts").glob("forget-*"))
        ]


def shown(study: Path) -> list[str]:
    """The documents that the answers of a study's record show."""
    rows = archive.read_answers(study)
    return sorted({hit["document"] for row in rows for answer in row["arms"].values() for hit in answer["hits"]})


def test_a_folder_belongs_to_one_project(stored: Path, scale: Json) -> None:
    with Project.open(stored, scale) as here:
        summary = here.sharing.summary()
    assert summary is not None
    assert summary["pending"], "only looked at, nothing was written there"
    with pytest.raises(StoreError, match=r"belongs to the project '.*', and this is 'other'"):
        Project.open(stored, {**scale, "project": {"name": "other"}})


def test_a_bundle_answers_without_the_store(stored: Path, scale: Json, tmp_path: Path) -> None:
    settings.write(stored, scale)
    shot = Snapshot()
    with Project.open(stored) as project:
        files = bundle._alone(project, tmp_path, shot)
    alone = config_loading.load(files["project/twofold.toml"].parent)
    assert alone.scale.store == ""
    assert alone.generation == project.config.generation
    assert [entry["what"] for entry in shot.left_out] == [f"the object store ({scale['scale']['store']})"]


def test_without_its_store_a_project_says_so_before_it_works(stored: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match="s3://bucket") as error:
        Project.open(stored, {"scale": {"store": "s3://bucket/p", "endpoint": "http://127.0.0.1:9"}})
    assert "scale.store=" in error.value.cure, "what is here can be used without"
    with Project.open(stored) as project:
        assert project.ask(QUESTION)[0].text
