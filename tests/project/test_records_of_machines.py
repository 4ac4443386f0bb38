"""A project whose records lie in PostgreSQL does what one with files does, for all machines that share it."""

from __future__ import annotations

import os
import platform
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from postgres_server import PASSWORD
from twofold.errors import DatabaseRefused, DatabaseUnreachable, ProjectLocked
from twofold.hashing import canonical_json
from twofold.indexing.feeds import PUSHED_FOLDER
from twofold.plugins.protocols import quiet
from twofold.project import Project
from twofold.serving.keys import keys_of
from twofold.serving.sent_files import sent_files
from twofold.store.kept_texts import lines_of, mirrored
from twofold.store.postgres import connected
from twofold.store.sent import copy_sent
from twofold.store.shared import SharedPlace
from twofold.testing.projects import FAST, make_project
from twofold.types import Answer


def scale(schema: SharedPlace) -> dict[str, Any]:
    return {"scale": {"database": schema.url, "name": schema.name, "database_password_env": PASSWORD}}


def test_a_study_finds_what_it_finds_with_files(schema: SharedPlace, tmp_path: Path) -> None:
    with make_project(tmp_path / "a" / "p", questions=30) as files:
        files.study()
        theirs = [(key, files.catalogue.answers.get(key)) for key in files.catalogue.systems.descriptions()]
        documents, state = files.catalogue.documents.known(), files.workspace.search.index.state().chunks
    with make_project(tmp_path / "b" / "p", questions=30, settings=scale(schema)) as shared:
        shared.study()
        ours = [(key, shared.catalogue.answers.get(key)) for key in shared.catalogue.systems.descriptions()]
        assert shared.catalogue.documents.known() == documents
        assert shared.workspace.search.index.state().chunks == state
        assert not (shared.derived / "catalogue.sqlite").exists()
        again = shared.sync()
        assert again["changed"] == 0
        shared.watching.look(moment=datetime.now(UTC))
        assert shared.watching.looked
        assert not (shared.directory / "watch.sqlite").exists()
    strip = [{e: replace(a, timing=type(a.timing)()) for e, a in answers.items()} for _, answers in theirs]
    assert [key for key, _ in ours] == [key for key, _ in theirs]
    assert [{e: replace(a, timing=type(a.timing)()) for e, a in answers.items()} for _, answers in ours] == strip


def opened(directory: Path, schema: SharedPlace) -> Project:
    return Project.open(directory, {**FAST, **scale(schema)})


@pytest.fixture
def synced(schema: SharedPlace, tmp_path: Path) -> Path:
    """A project of a few questions, synced."""
    with make_project(tmp_path / "p", questions=5, settings=scale(schema)) as project:
        project.sync()
        return project.directory


def test_another_machine_finds_the_records_and_waits_for_the_writer(synced: Path, schema: SharedPlace) -> None:
    elsewhere = shutil.copytree(synced, synced.with_name("elsewhere") / "p")
    # the index is not shared here; what says which project it is does not come along
    (elsewhere / ".twofold" / "database-id").unlink()
    with opened(synced, schema) as here, opened(elsewhere, schema) as there:
        known = here.catalogue.documents.known()
        assert there.catalogue.documents.known() == known
        assert there.places.at_work() is None
        with here.writing() as lock:
            lock.telling(quiet)("embed", 3, 7)
            with pytest.raises(ProjectLocked, match=rf"process {os.getpid()} on {platform.node()} \(") as caught:
                there.sync()
            assert "is writing to this project" in caught.value.message
            (elsewhere / ".twofold" / "lock").write_text("")
            writer = there.places.at_work()
            assert writer is not None
            assert (writer.stage, writer.done, writer.total) == ("embed", 3, 7)
        assert there.places.at_work() is None
        assert there.sync()["changed"] == 0


def test_a_writer_whose_connection_ends_stops(synced: Path, schema: SharedPlace) -> None:
    with opened(synced, schema) as project, project.writing() as lock:
        tell = lock.telling(quiet)
        tell("embed", 1, 7)
        with connected(schema) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        with pytest.raises(ProjectLocked, match="is lost"):
            tell("store", 1, 7)


def test_two_projects_of_one_name_are_refused(synced: Path, schema: SharedPlace, tmp_path: Path) -> None:
    settings = {**scale(schema), "project": {"name": "p"}}
    with make_project(tmp_path / "q", questions=5, settings=settings) as other, other.writing():
        pass  # of one name, it reads the same places: on another machine it would be the same project
    other_id = tmp_path / "q" / ".twofold" / "database-id"
    assert other_id.read_text() == (synced / ".twofold" / "database-id").read_text()
    other_id.write_text("0123456789abcdef\n")
    with opened(tmp_path / "q", schema) as other, pytest.raises(DatabaseRefused, match="another project") as caught:
        other.sync()
    assert str(synced) in caught.value.message
    other_id.unlink()
    with opened(tmp_path / "q", schema) as other, pytest.raises(DatabaseRefused, match="another project"):
        other.sync()


def test_a_database_that_is_down_or_without_its_password_is_said(
    synced: Path, schema: SharedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = replace(schema, url="postgresql://postgres@127.0.0.1:1/postgres")
    with opened(synced, down) as project, pytest.raises(DatabaseUnreachable, match="does not answer"):
        project.sync()
    monkeypatch.delenv(PASSWORD)
    with opened(synced, schema) as project, pytest.raises(DatabaseRefused, match=f"{PASSWORD} .* is not set"):
        project.sync()


def test_a_sync_whose_database_dies_stores_nothing_wrong_and_a_rerun_completes(
    schema: SharedPlace, tmp_path: Path
) -> None:
    with make_project(tmp_path / "p", questions=40, settings=scale(schema)) as project:
        directory = project.directory

        def cut(stage: str, done: int, total: int) -> None:
            if done >= total // 2:
                with connected(schema) as other:
                    mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    other.execute(mine)

        # A sync that is between two statements each time goes on with other connections.
        with suppress(DatabaseUnreachable, ProjectLocked):
            project.sync(progress=cut)
    with opened(directory, schema) as project:
        project.sync()
        known = project.catalogue.documents.known()
        assert project.sync()["changed"] == 0
    with make_project(tmp_path / "q", questions=40) as files:
        files.sync()
        assert files.catalogue.documents.known() == known


def test_a_project_in_files_moves_with_its_answers_and_what_its_server_was_given(
    schema: SharedPlace, tmp_path: Path
) -> None:
    with make_project(tmp_path / "p", questions=5) as project:
        directory = project.directory
        project.sync()
        project.catalogue.systems.put("system:1", {"arm": "rag"})
        project.catalogue.answers.put("system:1", [(f"e{n}", Answer(text=f"{n}")) for n in range(30)])
        known, answers = project.catalogue.documents.known(), project.catalogue.answers.get("system:1")
        token = keys_of(directory, None).add("first")[1]
        sent = directory / PUSHED_FOLDER
        sent_files(sent, None).write("a", canonical_json({"id": "a", "text": "Soil holds water.", "title": "a"}))
        lines_of(directory, "serving/feedback.jsonl", None).append(b'{"id": "f1"}')
    with opened(directory, schema) as project:
        assert project.catalogue.documents.known() == known
        assert list(project.catalogue.answers.get("system:1")) == list(answers)
        assert (project.derived / "catalogue.moved.sqlite").is_file()
        assert project.sync()["added"] == 1, "what the server was sent"
    shared = project.places.shared
    elsewhere = tmp_path / "elsewhere"
    assert keys_of(directory, shared).required
    assert keys_of(elsewhere, shared).check(token).name == "first"
    log = lines_of(directory, "serving/feedback.jsonl", shared)
    log.append(b'{"id": "f2"}')
    assert mirrored(directory, "serving/feedback.jsonl", shared).read_bytes() == b'{"id": "f1"}\n{"id": "f2"}\n'
    assert log.read() == b'{"id": "f1"}\n{"id": "f2"}\n', "a copy is not taken over"
    files = sent_files(elsewhere / PUSHED_FOLDER, shared)
    files.write("b", canonical_json({"id": "b", "text": "t"}))
    copy_sent(sent, shared)
    assert len(list(sent.glob("*.json"))) == 2
    files.undo("b")
    files.remove("a")
    copy_sent(sent, shared)
    assert not list(sent.glob("*.json"))
    files.undo("a")
    assert b"Soil holds water." in (sent_files(sent, shared).content("a") or b"")
