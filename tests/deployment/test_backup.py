"""A project in use is copied as of one moment, and what is restored answers as it did."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
import tarfile
import threading
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.deployment import backup, installer
from twofold.errors import ConfigError, StoreError
from twofold.project import Project
from twofold.store.copying import STAGING
from twofold.study.verifying import verify
from twofold.testing.projects import FAST, make_project

NOW = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
QUESTION = "what can help guide early season irrigation decisions?"


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("studied") / "project"
    with make_project(directory, questions=40, settings={"study": {"arms": ["base", "rag"]}}) as project:
        project.sync()
        project.study()
    (directory / "serving").mkdir(mode=0o700, exist_ok=True)
    (directory / "serving" / "feedback.jsonl").write_text('{"id": 1}\n{"id": 2}\n{"half', encoding="utf-8")
    (directory / "serving" / "keys.json").write_text("{}", encoding="utf-8")
    (directory / "serving" / "server.json").write_text("{}", encoding="utf-8")
    return directory


def saved(directory: Path, path: Path, **more: object) -> backup.BackupReport:
    with Project.open(directory, FAST) as project:
        return backup.back_up(project.directory, project.config, path, now=NOW, **more)  # type: ignore[arg-type]


def asked(directory: Path) -> tuple[str, str, str]:
    with Project.open(directory, FAST) as project:
        answer, made_by = project.ask(QUESTION, arm="rag")
    return answer.text, made_by["key"], json.dumps([hit.chunk.id for hit in answer.hits])


def test_what_is_restored_answers_and_decides_as_before(studied: Path, tmp_path: Path) -> None:
    before = asked(studied)
    report = saved(studied, tmp_path / "b.tar")
    assert stat.S_IMODE((tmp_path / "b.tar").stat().st_mode) == 0o600
    assert not list(studied.glob(f"{STAGING}*"))
    backup.restore(tmp_path / "b.tar", tmp_path / "back")
    back = tmp_path / "back"
    assert asked(back) == before
    assert stat.S_IMODE((back / ".twofold").stat().st_mode) == 0o700
    assert not (back / "serving" / "server.json").exists(), "no server runs there"
    # a line that was being written is taken off, as after a kill
    assert (back / "serving" / "feedback.jsonl").read_text(encoding="utf-8") == '{"id": 1}\n{"id": 2}\n'
    with Project.open(back, FAST) as project:
        synced = project.sync()
        assert (synced["added"], synced["changed"], synced["deleted"]) == (0, 0, 0)
        assert not [problem for problem in project.check() if problem.severity == "error"]
        study = next(path for path in project.records.iterdir() if path.is_dir())
    assert verify(study).verified
    assert report.catalogue > 0
    assert report.pause < 1.0


def test_the_same_project_gives_the_same_bytes_and_parts_can_be_left_out(studied: Path, tmp_path: Path) -> None:
    saved(studied, tmp_path / "1.tar")
    report = saved(studied, tmp_path / "2.tar")
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    assert report.left_out == ()
    saved(studied, tmp_path / "3.tar", without=("keys", "feedback", "data"))
    names = set(installer.manifest_of(tmp_path / "3.tar")["files"])
    assert "project/.twofold/catalogue.sqlite" in names
    assert not [name for name in names if "keys" in name or "feedback" in name or "documents.jsonl" in name]


def test_a_project_is_saved_while_a_writer_syncs(studied: Path, tmp_path: Path) -> None:
    """The catalogue never knows a document of which the index has no chunk, and the next sync completes the rest."""
    backup.restore(_of(studied, tmp_path), tmp_path / "busy")
    busy, stop = tmp_path / "busy", threading.Event()
    documents = next((busy / "data").glob("documents*.jsonl"))
    original = documents.read_text(encoding="utf-8")

    def edit() -> None:
        nonlocal synced
        number, lines = 0, original.rstrip("\n")
        while not stop.is_set():
            number += 1
            added = [json.dumps({"id": f"new-{number}-{i}", "text": f"Note {number} {i} on soil."}) for i in range(5)]
            draft = documents.with_suffix(".draft")
            lines = "\n".join([lines, *added])
            draft.write_text(f"{lines}\n", encoding="utf-8")
            draft.replace(documents)
            with Project.open(busy, FAST) as project:
                project.sync()
            synced = number

    synced = 0
    writer = threading.Thread(target=edit)
    writer.start()
    reports = []
    try:
        while len(reports) < 3 or synced < 3:
            reports.append(saved(busy, tmp_path / f"busy{len(reports)}.tar"))
    finally:
        stop.set()
        writer.join()
    assert max(report.pause for report in reports) < 1.0
    for number in range(0, len(reports), 1 + len(reports) // 4):
        target = tmp_path / f"after{number}"
        backup.restore(tmp_path / f"busy{number}.tar", target)
        with Project.open(target, FAST) as project:
            known = {document.id for document in project.catalogue.documents.get()}
            assert known <= set(project.workspace.search.index.documents())
            project.sync()
            assert {d.id for d in project.documents} == set(project.workspace.search.index.documents())


def test_what_the_index_has_half_written_is_left_out(studied: Path, tmp_path: Path) -> None:
    """Such a file grows between the two readings of it, and the archive would be refused as damaged."""
    data = next((studied / ".twofold" / "index").rglob("data"))
    drafts = (data / ".tmpaJdHkU", data.parent / "_versions" / "17.manifest#1")
    for draft in drafts:
        draft.write_bytes(b"half")
    try:
        saved(studied, tmp_path / "drafts.tar")
    finally:
        for draft in drafts:
            draft.unlink()
    names = set(installer.manifest_of(tmp_path / "drafts.tar")["files"])
    assert {name for name in names if name.startswith("project/.twofold/index/")}
    assert not [name for name in names if Path(name).name in {draft.name for draft in drafts}]


def _of(directory: Path, tmp_path: Path) -> Path:
    path = tmp_path / "of.tar"
    saved(directory, path)
    return path


def test_nothing_is_overwritten(studied: Path, tmp_path: Path) -> None:
    path = _of(studied, tmp_path)
    with pytest.raises(ConfigError, match="already a file"):
        saved(studied, path)
    with pytest.raises(ConfigError, match="lie in the project"):
        saved(studied, studied / "b.tar")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="not empty"):
        backup.restore(path, tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text(encoding="utf-8") == "mine"


def rewritten(path: Path, target: Path, change: dict[str, bytes], extra: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(path) as old, tarfile.open(target, "w") as new:
        for entry in old:
            stream = old.extractfile(entry)
            content = change.get(entry.name, stream.read() if stream else b"")
            entry.size = len(content)
            new.addfile(entry, BytesIO(content))
        if extra is not None:
            new.addfile(extra)
    return target


def test_a_backup_of_a_later_version_is_refused(studied: Path, tmp_path: Path) -> None:
    path = _of(studied, tmp_path)
    manifest = installer.manifest_of(path)
    for field, value, words in (("format", 9, "format 9"), ("catalogue", 99, "version 99")):
        text = json.dumps({**manifest, field: value}).encode()
        newer = rewritten(path, tmp_path / f"{field}.tar", {"manifest.json": text})
        with pytest.raises(StoreError, match=words) as caught:
            backup.restore(newer, tmp_path / "back")
        assert "later version" in caught.value.cure
        assert not (tmp_path / "back").exists()


def test_what_was_damaged_is_found_and_nothing_is_put_in_place(studied: Path, tmp_path: Path) -> None:
    path = _of(studied, tmp_path)
    assert backup.verified(path).files > 10
    whole = path.read_bytes()
    cases: dict[str, Path] = {}
    for name, content in (("cut", whole[: len(whole) // 2]), ("no", b"not an archive" * 99)):
        cases[name] = tmp_path / f"{name}.tar"
        cases[name].write_bytes(content)
    toml = (studied / "twofold.toml").read_bytes()
    cases["changed"] = rewritten(path, tmp_path / "changed.tar", {"project/twofold.toml": toml[::-1]})
    link = tarfile.TarInfo("project/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    cases["link"] = rewritten(path, tmp_path / "link.tar", {}, link)
    cases["up"] = rewritten(path, tmp_path / "up.tar", {}, tarfile.TarInfo("project/../../up"))
    cases["more"] = rewritten(path, tmp_path / "more.tar", {}, tarfile.TarInfo("project/unlisted"))
    out = tmp_path / "out.txt"
    manifest = installer.manifest_of(path)
    for name, change in _hostile_manifests(manifest, str(out)).items():
        text = json.dumps({**manifest, **change}).encode()
        extra = tarfile.TarInfo(f"project/{out}") if name == "absolute" else None
        cases[name] = rewritten(path, tmp_path / f"{name}.tar", {"manifest.json": text}, extra)
    for name, case in cases.items():
        with pytest.raises(StoreError):
            backup.verified(case)
        with pytest.raises(StoreError):
            backup.restore(case, tmp_path / f"back-{name}")
    assert not [entry.name for entry in tmp_path.iterdir() if "back-" in entry.name or "restoring" in entry.name]
    assert not (tmp_path.parent / "up").exists()
    assert not out.exists()


def _hostile_manifests(manifest: dict[str, Any], out: str) -> dict[str, dict[str, Any]]:
    """Changes of a manifest that its reader must not follow, and must not stumble over."""
    files = manifest["files"]
    empty = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest(), "mode": 0o644}
    return {
        # After an empty part of the name, the rest is an absolute path.
        "absolute": {"files": {**files, f"project/{out}": empty}},
        "entry": {"files": {**files, "project/twofold.toml": "whole"}},
        "bytes": {"files": {**files, "project/twofold.toml": {**empty, "bytes": "many"}}},
        "mode": {"files": {name: {**entry, "mode": "rw"} for name, entry in files.items()}},
        "folders": {"folders": ["project"]},
        "folder": {"folders": {"project/data": "all"}},
        "catalogue": {"catalogue": "newest"},
        "infinite": {"format": float("inf")},
        "left_out": {"left_out": 7},
    }


def test_the_leftovers_of_a_killed_backup_go_with_the_next(studied: Path, tmp_path: Path) -> None:
    left = studied / f"{STAGING}killed"
    (left / "files").mkdir(parents=True)
    (left / "lock").write_text("1 twofold backup\n", encoding="utf-8")
    saved(studied, tmp_path / "b.tar")
    assert not left.exists()
    assert not [name for name in installer.manifest_of(tmp_path / "b.tar")["files"] if STAGING in name]


def test_a_catalogue_of_an_earlier_version_is_saved_as_it_is(tmp_path: Path) -> None:
    project = tmp_path / "old"
    (project / ".twofold").mkdir(parents=True)
    (project / "twofold.toml").write_text('[project]\nname = "old"\n', encoding="utf-8")
    with sqlite3.connect(project / ".twofold" / "catalogue.sqlite") as db:
        db.execute("CREATE TABLE migrations (version INTEGER PRIMARY KEY)")
        db.execute("INSERT INTO migrations VALUES (1)")
    saved(project, tmp_path / "b.tar")
    assert backup.verified(tmp_path / "b.tar").catalogue == 1


def test_the_commands(studied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ran(*words: str) -> tuple[int, dict[str, Any]]:
        code = main([*words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    file, back = str(tmp_path / "b.tar"), tmp_path / "back"
    assert ran("backup", file, "-C", str(studied), "--without", "keys")[0] == 0
    assert ran("backup", file, "--verify")[1]["left_out"][0]["what"] == "keys"
    code, result = ran("restore", file, str(back))
    assert (code, result["folder"]) == (0, str(back))
    assert (back / "twofold.toml").read_bytes() == (studied / "twofold.toml").read_bytes()
    code, result = ran("backup", str(tmp_path / "c.tar"), "-C", str(studied), "--without", "key")
    assert (code, result["error"]["code"]) == (2, "config")
    assert "Did you mean keys?" in result["error"]["cure"]
