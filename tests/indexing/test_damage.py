"""What becomes of an index that is damaged, rebuilt while it is read, or fed by a source that is suddenly empty."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sync_project import found, held, sync

from twofold.answering import system as answering
from twofold.cli.main import main
from twofold.errors import IndexDamaged, LeftOut
from twofold.examples.splitting import Splits
from twofold.indexing import feeds
from twofold.project import Project


def written(project: Path, count: int = 3) -> Path:
    for number in range(count):
        text = f"# Well {number}\n\nThe well number {number} is {number}0 metres deep.\n"
        (project / f"data/documents/{number}.md").write_text(text, encoding="utf-8")
    return project


def truncated(index: Path) -> None:
    for path in (index / "chunks.lance/data").glob("*.lance"):
        os.truncate(path, 60)


def emptied(index: Path) -> None:
    for path in (index / "chunks.lance/data").glob("*.lance"):
        path.write_bytes(b"")


def without_data(index: Path) -> None:
    for path in (index / "chunks.lance/data").glob("*.lance"):
        path.unlink()


def garbled_manifests(index: Path) -> None:
    for path in (index / "chunks.lance/_versions").glob("*"):
        path.write_bytes(os.urandom(80))


def no_object(index: Path) -> None:
    (index / "index.json").write_text("[]", encoding="utf-8")


def no_json(index: Path) -> None:
    (index / "index.json").write_bytes(b"\xff\x00{")


def deep(index: Path) -> None:
    (index / "index.json").write_text("[" * 100_000, encoding="utf-8")


@pytest.mark.parametrize(
    "damage", [truncated, emptied, without_data, garbled_manifests, no_object, no_json, deep], ids=lambda d: d.__name__
)
def test_a_damaged_index_is_told_with_the_cure_that_works(
    make: Callable[..., Path], damage: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    project = written(make())
    sync(project)
    before = held(project)
    damage(project / ".twofold/index")
    at = ["-C", str(project), "-q"]
    for command in (["ask", "How deep is a well?", "--arm", "rag"], ["sync"], ["index", "log"]):
        code = main([*command, *at])
        told = capfd.readouterr().err
        assert code != 70, told
        assert ".rs:" not in told
        assert ".cargo" not in told
        if code:
            assert "--rebuild" in told
    assert main(["sync", "--rebuild", *at]) == 0
    assert held(project) == before


def test_an_index_answers_while_it_is_rebuilt(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    project = written(make(), 20)
    sync(project)
    (project / "data/documents/0.md").unlink()
    with Project.open(project) as reader, Project.open(project) as writer:
        splits = Splits(train=(), dev=(), test=(), reserve=(), policy="", groups=0, digest="")
        system, _ = reader.workspace.arms.system(reader.config.arm("rag"), splits)
        asked = [answering.question("How deep is the well number 7?")]
        seen: list[list[str]] = []
        upsert = type(writer.workspace.search.index).upsert

        def slow(self: object, *given: object) -> None:
            seen.append([hit.chunk.span.document for hit in system.answer(asked)[0].hits])
            upsert(self, *given)  # type: ignore[arg-type]
            seen.append([hit.chunk.span.document for hit in system.answer(asked)[0].hits])

        monkeypatch.setattr(type(writer.workspace.search.index), "upsert", slow)
        monkeypatch.setattr("twofold.indexing.sync.BATCH_CHUNKS", 4)
        report = writer.sync(rebuild=True)
        assert len(seen) >= 6
        assert all("data/documents/7.md" in names for names in seen)
        assert report["added"] == 19
        assert report["embedded"] == report["chunks"]
        system.close()
    assert "data/documents/0.md" not in held(project)
    with Project.open(project) as after:
        assert "data/documents/0.md" not in [document.id for document in after.catalogue.documents.get()]


def test_a_rebuild_that_is_stopped_is_finished_by_the_next_sync(make: Callable[..., Path]) -> None:
    project = written(make())
    sync(project)
    before = held(project)
    (project / "data/documents/0.md").unlink()
    with Project.open(project) as opened:
        opened.catalogue.sync.renew()  # as a rebuild begins
    assert found(project, "well") != []
    assert sync(project)["added"] == 2
    assert held(project) == {name: seal for name, seal in before.items() if name != "data/documents/0.md"}
    with Project.open(project) as opened:
        assert len(opened.catalogue.documents.get()) == 2


def test_an_index_that_goes_away_under_a_reader_is_told(make: Callable[..., Path]) -> None:
    project = written(make())
    sync(project)
    with Project.open(project) as opened:
        index = opened.workspace.search.index
        index.state()
        without_data(project / ".twofold/index")
        garbled_manifests(project / ".twofold/index")
        with pytest.raises(IndexDamaged):
            opened.workspace.search.index.vectors_of(["data/documents/0.md"])


WAYS: dict[str, Callable[[Path], object]] = {
    "emptied": Path.unlink,
    "renamed to a hidden name": lambda path: path.rename(path.with_name(f".{path.name}")),
    "renamed to an ending without a reader": lambda path: path.rename(path.with_suffix(".zzz")),
    "cut to nothing": lambda path: path.write_bytes(b""),
    "made links that lead nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere.txt")),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_is_suddenly_empty_is_taken_for_one_that_is_down(make: Callable[..., Path], way: str) -> None:
    project = written(make())
    sync(project)
    before = held(project)
    kept = {path: path.read_bytes() for path in (project / "data/documents").iterdir()}
    for path in kept:
        WAYS[way](path)
    assert sync(project)["deleted"] == 0
    report = sync(project)
    assert report["deleted"] == 0
    assert report["failed"] == 1
    assert "nothing was deleted" in report["sources"][0]["failure"]["cure"].lower()
    assert held(project) == before
    for path, content in kept.items():
        path.unlink(missing_ok=True)  # a link would be written through
        path.write_bytes(content)
    assert sync(project)["failed"] == 0
    assert held(project) == before


ROWS = '{"id": "a", "text": "water"}\n{"id": "b", "text": "wind"}\n'
LONE = {
    "notes.md": ("# Wells\n\nA well is deep.\n", b""),
    "notes.txt": ("A well is deep.\n", b"\0\0\0\0"),
    "page.html": ("<p>A well is deep.</p>", b"<html></html>"),
    "one.jsonl": ('{"id": "a", "text": "water"}\n', b""),
    "many.jsonl": (ROWS, b"\n"),
    "list.json": ('[{"id": "a", "text": "water"}, {"id": "b", "text": "wind"}]', b"[]"),
    "rows.csv": ("id,text\na,water\nb,wind\n", b"id,text\n"),
    "lost.jsonl": (ROWS, b'{"id": "a", "text": ""}\n{"id": "b", "text": " "}\n'),
}


@pytest.mark.parametrize("paths", ["data/documents", "data/documents/*", "data/documents/{}"])
@pytest.mark.parametrize("name", LONE)
def test_a_source_of_one_file_that_is_cut_to_nothing_loses_no_document(
    make: Callable[..., Path], name: str, paths: str
) -> None:
    project = make(documents=f'"{paths.format(name)}"')
    file = project / "data" / "documents" / name
    full, cut = LONE[name]
    file.write_text(full)
    assert sync(project)["failed"] == 0
    before = held(project)
    assert before
    file.write_bytes(cut)
    for _ in range(2):
        report = sync(project)
        assert (report["deleted"], report["failed"] > 0, held(project)) == (0, True, before)
        assert "--rebuild" in report["sources"][0]["failure"]["cure"]
    file.write_text(full)
    assert sync(project)["failed"] == 0
    assert held(project) == before
    file.write_bytes(cut)
    sync(project, rebuild=True)
    assert held(project) == {}


def test_a_file_of_many_documents_that_goes_takes_none_along_and_one_of_a_single_document_does(
    make: Callable[..., Path],
) -> None:
    project = make()
    file = project / "data" / "documents" / "rows.jsonl"
    for rows, deleted in ((ROWS, 0), (ROWS.splitlines()[0], 1)):
        file.write_text(rows)
        sync(project)
        file.unlink()
        assert sync(project)["deleted"] == deleted


def test_one_file_among_others_that_is_cut_to_nothing_is_a_failure_once(make: Callable[..., Path]) -> None:
    project = make()
    data = project / "data" / "documents"
    (data / "rows.jsonl").write_text(ROWS)
    (data / "other.md").write_text("A pump lifts water.")
    sync(project)
    (data / "rows.jsonl").write_bytes(b"")
    report = sync(project)
    assert (report["deleted"], report["failed"]) == (2, 1)
    assert {entry["file"]: entry["failure"] for entry in report["files"] if entry["status"] == "failed"}.keys() == {
        "data/documents/rows.jsonl"
    }
    assert sync(project)["failed"] == 0


def test_what_is_left_out_by_the_settings_leaves_though_it_is_the_only_one(make: Callable[..., Path]) -> None:
    project = make()
    (project / "data" / "documents" / "draft.md").write_text("A well is deep.")
    sync(project)
    settings = project / "twofold.toml"
    settings.write_text(settings.read_text().replace("[documents]\n", '[documents]\nexclude = ["draft*"]\n'))
    report = sync(project)
    assert (report["deleted"], report["failed"], held(project)) == (1, 0, {})


def test_a_source_is_emptied_by_a_rebuild(make: Callable[..., Path]) -> None:
    project = written(make())
    sync(project)
    for path in (project / "data/documents").iterdir():
        path.unlink()
    sync(project, rebuild=True)
    assert held(project) == {}


def test_what_a_project_derives_is_its_owners_only(make: Callable[..., Path]) -> None:
    project = written(make())
    sync(project)
    main(["forget", "data/documents/0.md", "--yes", "-C", str(project), "-q"])
    for folder in (".twofold", "receipts"):
        assert stat.S_IMODE((project / folder).stat().st_mode) == 0o700
    files = [project / ".twofold/catalogue.sqlite", project / ".twofold/lock", *(project / "receipts").iterdir()]
    assert len(files) >= 4
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def bomb() -> bytes:
    return gzip.compress(gzip.compress(bytes(64 << 20), 1))


def zipped(name: str, size: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as pack:
        pack.writestr(name, bytes(size))
    return made.getvalue()


HOSTILE = {
    "deep.json": b"[" * 200_000,
    "deep.jsonl": b'{"id": "x", "text": "y", "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep.html": b"<div>" * 50_000 + b"words",
    "deep.xml": b"<a>" * 100_000,
    "line.txt": b"word " * 60_000,
    "run.md": b"a" * 500_000,
    "nan.json": b'{"id": "n", "text": "t", "score": NaN}',
    "a\nb.md": b"A name in two lines.",
    "--help.md": b"A name like an option.",
    "$(touch x).md": b"A name like a command.",
    "'; DROP TABLE documents; --.md": b"A name like SQL.",
    "%s%n{0}.md": b"A name like a format.",
    "\u202etxt.exe.md": b"A name that runs backwards.",
}


def test_hostile_files_stop_nothing_and_the_good_one_is_indexed(make: Callable[..., Path]) -> None:
    project = make()
    settings = project / "twofold.toml"
    settings.write_text(settings.read_text().replace("[documents]\n", "[documents]\nmax_memory_mib = 300\n"))
    bombs = {  # made here: as constants every run of any test would wait for them; over 100 MiB, a reader's own limit
        "gz.jsonl.gz": bomb(),
        "bomb.docx": zipped("word/document.xml", 110 << 20),
        "bomb.epub": zipped("a.xhtml", 110 << 20),
    }
    hostile = {**HOSTILE, **bombs}
    for name, content in hostile.items():
        (project / "data/documents" / name).write_bytes(content)
    (project / "data/documents/good.md").write_text("The good well is deep.", encoding="utf-8")
    report = sync(project)
    assert "data/documents/good.md" in found(project, "good well")
    names = [entry["file"] for entry in report["files"]]
    assert len(names) == len(hostile) + 1
    for name in ("deep.json", "gz.jsonl.gz", "bomb.docx"):
        entry = next(e for e in report["files"] if e["file"].endswith(name))
        assert entry["failure"], name
    for name in ("$(touch x).md", "'; DROP TABLE documents; --.md", "%s%n{0}.md", "--help.md", "a\nb.md"):
        assert f"data/documents/{name}" in held(project)
    assert main(["check", "-C", str(project), "-q"]) != 70


def test_a_link_that_is_swapped_while_it_is_synced_leads_nowhere(make: Callable[..., Path], tmp_path: Path) -> None:
    """It is looked at again when it is read: what a folder's file was when the folder was walked does not count."""
    project = written(make())
    secret = tmp_path / "secret.txt"
    secret.write_text("The hidden word is zqsecretqz.", encoding="utf-8")
    with Project.open(project) as opened:
        feed = feeds.feeds(opened.workspace.search, project)[0]
        items = list(feed.source.items({}))
        victim = project / "data/documents/1.md"
        victim.unlink()
        victim.symlink_to(secret)
        item = next(one for one in items if one.id.endswith("1.md"))
        with pytest.raises(LeftOut, match="leads out"):
            item.load()
    sync(project)
    assert "zqsecretqz" not in str(found(project, "zqsecretqz"))
