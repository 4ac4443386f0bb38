"""Documents as pages show them: sources with their failures, a list with pages, a document as it is cut."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from small_project import write_project
from twofold.errors import NotServed
from twofold.project import Project
from twofold.serving import holdings
from twofold.types import Filter

STAFF = Filter(principal=("everyone", "group:staff", "staff"))
LONG = " ".join(f"Sentence number {n} tells of parking." for n in range(60))
SETTINGS = """
[documents.chunker]
name = "tokens"
[documents.chunker.options]
max_tokens = 40
overlap = 10
[sources.notes]
kind = "folder"
paths = ["notes"]
description = "Notes of the caretaker"
"""
DOCUMENTS = [
    {"id": "parking", "title": "On parking", "text": LONG, "readers": ["group:staff"], "floor": "2"},
    {"id": "board", "title": "Minutes", "text": "Parking will cost 9 euros a day.", "readers": ["group:board"]},
]


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("holdings") / "p"
    write_project(
        directory, DOCUMENTS, [("parking", "What does parking cost?", "4 euros")], copies=3, settings=SETTINGS
    )
    notes = directory / "notes"
    notes.mkdir()
    (notes / "roof.md").write_text("# Roof\n\nThe roof leaks.", encoding="utf-8")
    (notes / "broken.docx").write_bytes(b"PK\x03\x04 nothing")
    (notes / "drawing.xyz").write_bytes(b"\x00\x01")
    with Project.open(directory) as project:
        project.sync()
    return directory


def test_sources_tell_what_was_read_what_failed_and_what_helps(synced: Path) -> None:
    with Project.open(synced) as project:
        state = holdings.state(project.workspace.search, synced)
    documents, notes = state.sources
    assert (documents.name, documents.documents, documents.failed) == ("documents", 2, 0)
    assert documents.chunks > 4
    assert (notes.name, notes.kind, notes.description) == ("notes", "folder", "Notes of the caretaker")
    assert (notes.documents, notes.failed) == (1, 1)
    assert [failure.file for failure in notes.failures] == ["notes/broken.docx"]
    assert notes.failures[0].failure["cure"]
    assert [failure.file for failure in notes.skipped] == ["notes/drawing.xyz"]
    assert state.changes[0].counts["added"] == 3
    assert state.remarks == ()


def test_what_changed_since_is_told(synced: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(synced, tmp_path / "p"))
    (directory / "notes" / "roof.md").write_text("# Roof\n\nThe roof is mended, at last.", encoding="utf-8")
    with Project.open(directory) as project:
        (remark,) = holdings.state(project.workspace.search, directory).remarks
    assert "changed since the last sync" in remark


def test_chunks_of_a_forgotten_document_are_no_longer_counted(synced: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(synced, tmp_path / "p"))
    with Project.open(directory) as project:
        with project.writing():
            project.versions.forget("parking")
        (documents, _) = holdings.state(project.workspace.search, directory).sources
        # Of the file's two documents the short one is left, in one chunk.
        assert (documents.documents, documents.chunks) == (1, 1)
        project.sync()
        assert holdings.state(project.workspace.search, directory).sources[0].chunks == 1


def test_the_list_finds_by_words_and_source_and_has_pages(synced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Project.open(synced) as project:
        search = project.workspace.search
        everything = holdings.listed(search, None)
        assert [row.id for row in everything.rows] == ["board", "notes:notes/roof.md", "parking"]
        assert everything.sources == ("documents", "notes")
        assert [row.id for row in holdings.listed(search, None, words="ON park").rows] == ["parking"]
        assert [row.title for row in holdings.listed(search, None, source="notes").rows] == ["Roof"]
        monkeypatch.setattr(holdings, "PAGE", 2)
        last = holdings.listed(search, None, page=9)
    assert (last.page, last.pages, last.total, len(last.rows)) == (2, 2, 3, 1)


def test_the_list_counts_nothing_of_closed_documents(synced: Path) -> None:
    with Project.open(synced) as project:
        listing = holdings.listed(project.workspace.search, STAFF)
        assert holdings.listed(project.workspace.search, STAFF, words="minutes").total == 0
    assert [row.id for row in listing.rows] == ["parking"]
    assert (listing.total, listing.sources) == (1, ("documents",))


def test_a_document_is_shown_as_it_is_cut_without_losing_a_character(
    synced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "CHUNKS", 3)
    text = ""
    with Project.open(synced) as project:
        search = project.workspace.search
        first = holdings.cut(search, STAFF, "parking")
        assert first.pages > 1
        for page in range(1, first.pages + 1):
            part = holdings.cut(search, STAFF, "parking", page=page)
            for chunk in part.chunks:
                assert chunk.overlap + chunk.rest == chunk.chunk.text
                text += chunk.gap + chunk.rest
            text += part.after
    assert text == first.document.text
    assert text.startswith(LONG)
    assert first.chunks[0].overlap == ""
    assert first.chunks[1].overlap != ""
    assert 0 < first.chunks[0].tokens <= 40
    assert first.document.metadata == {"floor": "2"}
    assert len(first.version) == 12


@pytest.mark.parametrize("name", ["board", "nothing", "../parking", ""])
def test_a_closed_document_and_one_that_is_not_there_are_told_alike(synced: Path, name: str) -> None:
    with Project.open(synced) as project, pytest.raises(NotServed) as caught:
        holdings.cut(project.workspace.search, STAFF, name)
    assert caught.value.message == "there is no such document"


def test_the_writer_is_named_while_there_is_one(synced: Path) -> None:
    from twofold.store import lock

    with Project.open(synced) as project:
        path = project.derived / "lock"
        assert lock.at_work(path) is None
        with project.writing():
            assert lock.at_work(path)
        assert lock.at_work(path) is None
    path.write_text("99999999 twofold study\n", encoding="utf-8")  # killed
    assert lock.at_work(path) is None
    assert lock.at_work(path.with_name("none")) is None
