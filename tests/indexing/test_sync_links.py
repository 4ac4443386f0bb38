"""Links, and names that are no text: everything a source has is read, or named with its reason; nothing leads out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sync_project import held, sync

from twofold.cli.main import main
from twofold.files import paths
from twofold.project import Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


def _skipped(report: dict[str, object]) -> dict[str, str]:
    files: list[dict[str, object]] = report["files"]  # type: ignore[assignment]
    return {str(e["file"]): e["failure"]["message"] for e in files if e["status"] == "skipped"}  # type: ignore[index]


@pytest.fixture
def directory(make: Callable[..., Path]) -> Path:
    made = make(documents='"data/documents*"')
    (made / "data" / "documents" / "a.md").write_text("Water.")
    return made


@pytest.mark.parametrize("place", ["data/documents/l.md", "data/documents/sub", "data/documents-more"])
def test_a_link_that_leads_out_is_named_and_not_read(directory: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "pay.md").write_text("The pay of the boss.")
    (directory / place).symlink_to(tmp_path / "out" / ("pay.md" if place.endswith(".md") else ""))
    report = sync(directory)
    assert held(directory).keys() == {"data/documents/a.md"}
    assert (report["failed"], list(_skipped(report))) == (0, [place])
    assert "leads out of the project" in _skipped(report)[place]
    with Project.open(directory) as project:
        assert [(p.file, p.severity) for p in project.check() if p.code == "data.left-out"] == [(place, "warning")]


def test_a_link_that_is_named_is_read(make: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.md").write_text("Wind.")
    directory = make(documents='"more"')
    (directory / "more").symlink_to(tmp_path / "out")
    (tmp_path / "out" / "inside.md").symlink_to(tmp_path / "out" / "b.md")
    sync(directory)
    assert held(directory).keys() == {"more/b.md", "more/inside.md"}


@pytest.mark.parametrize(
    ("path", "wanted", "near"), [("data/dokuments", "dokuments", "documents"), ("nowhere/*.md", "nowhere", "")]
)
def test_a_path_that_stands_for_nothing_says_where_it_was_looked_for(
    directory: Path, path: str, wanted: str, near: str
) -> None:
    _, (missing,) = paths.expand([path], directory)
    place = directory / "data" if near else directory
    assert f"Looked for {wanted!r} in {place}" in missing.cure
    assert (f"did you mean {near!r}?" in missing.cure) == bool(near)


def test_linked_folders_within_the_project_are_read_once(directory: Path) -> None:
    shared = directory / "shared"
    (shared / "deep").mkdir(parents=True)
    (shared / "deep" / "t.md").write_text("Torque.")
    (shared / "s.md").write_text("Soil.")
    data = directory / "data" / "documents"
    (data / "manuals").symlink_to(shared)
    (data / "again").symlink_to(shared / "deep")
    (data / "up").symlink_to(data)
    (shared / "deep" / "round").symlink_to(shared)
    report = sync(directory)
    assert held(directory).keys() == {
        "data/documents/a.md",
        "data/documents/again/t.md",
        "data/documents/manuals/s.md",
    }, "of two links to a folder the first reads it"
    assert "a folder that contains the link" in _skipped(report)["data/documents/up"]
    assert report["failed"] == 0


@pytest.mark.parametrize("own", ["twofold.toml", ".twofold", "studies"])
def test_a_link_to_settings_and_records_is_not_followed(directory: Path, own: str) -> None:
    sync(directory)
    (directory / "studies").mkdir()
    (directory / "studies" / "secret.md").write_text("Who asked what.")
    (directory / "data" / "documents" / "l.toml").symlink_to(directory / own)
    assert "the project's own files" in _skipped(sync(directory))["data/documents/l.toml"]
    assert held(directory).keys() == {"data/documents/a.md"}


@pytest.mark.parametrize("aim", ["l.md", "none"])
def test_a_link_that_leads_nowhere_is_a_warning(directory: Path, aim: str) -> None:
    (directory / "data" / "documents" / "l.md").symlink_to(aim)
    assert "points to nothing" in _skipped(sync(directory))["data/documents/l.md"]
    with Project.open(directory) as project:
        (left,) = [p for p in project.check() if p.code == "data.left-out"]
    assert (left.file, left.severity) == ("data/documents/l.md", "warning")


def test_a_link_among_the_examples_that_leads_out_is_an_error(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"question": "q?", "answer": "a"}')
    (directory / "data" / "examples-more.jsonl").symlink_to(tmp_path / "x.jsonl")
    with Project.open(directory) as project:
        assert ("data/examples-more.jsonl", "error") in [(p.file, p.severity) for p in project.check()]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_file_name_that_is_not_utf8_is_indexed_under_a_legible_one(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = os.fsencode(directory / "data" / "documents")
    for name in (b"caf\xe9.md", b"caf\xe8.md"):
        with open(place + b"/" + name, "w") as stream:
            stream.write("Coffee costs 3 euros.")
    assert main(["sync", "-C", str(directory), "--json"]) == 1, "two files have one legible name"
    report = json.loads(capsys.readouterr().out)
    assert (report["added"], report["failed"]) == (2, 1)
    assert held(directory).keys() == {"data/documents/a.md", "data/documents/caf\N{REPLACEMENT CHARACTER}.md"}
    assert main(["check", "-C", str(directory)]) in (0, 1)


def test_metadata_that_is_nested_too_deeply_costs_its_record_only(directory: Path) -> None:
    deep = '{"id": "a", "text": "x", "m": ' + "[" * 600 + "1" + "]" * 600 + "}"
    (directory / "data" / "documents.jsonl").write_text(f'{deep}\n{{"id": "b", "text": "Soil."}}\n')
    report = sync(directory)
    assert held(directory).keys() == {"data/documents/a.md", "b"}
    assert report["failed"] == 1
    with Project.open(directory) as project:
        assert any("nested too deeply" in p.message for p in project.check())


def test_a_source_cannot_take_the_place_of_the_documents(directory: Path) -> None:
    (directory / "twofold.toml").write_text(
        (directory / "twofold.toml").read_text() + '\n[sources.documents]\nkind = "folder"\npaths = ["x"]\n'
    )
    assert main(["sync", "-C", str(directory)]) == 2
