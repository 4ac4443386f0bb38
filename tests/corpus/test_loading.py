from __future__ import annotations

import gzip
import json
import os
import resource
from pathlib import Path

import pytest

from data_sets import folder, whole_sets
from twofold.corpus.loading import load_documents
from twofold.errors import BadRecord, FileTooLarge, TooFewExamples, UnreadableFile
from twofold.files.reading import PER_FILE, read_bytes
from twofold.settings.sections import DocumentsSection
from twofold.types import Document, Problem


def load(paths: list[str], root: Path, *, max_mib: float, strict: bool = True) -> tuple[list[Document], list[Problem]]:
    return load_documents(DocumentsSection(paths=tuple(paths), max_mib=max_mib), root, strict=strict)


def rows(*items: dict[str, object]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    folder = tmp_path / "docs" / "sub"
    folder.mkdir(parents=True)
    (folder / "a.md").write_text("# A\n\nx")
    (folder / ".hidden.md").write_text("no")
    (tmp_path / "docs" / "Licence fees.md").write_text("fees")
    (tmp_path / "docs" / "examples.csv").write_text("no")
    (tmp_path / "docs" / "examples.jsonl").write_text("no")
    (tmp_path / "docs" / "b.txt").write_text("y")
    (tmp_path / "docs" / "picture.png").write_bytes(b"\x89PNG")
    with gzip.open(tmp_path / "more.jsonl.gz", "wt") as stream:
        stream.write(rows({"id": "c", "text": "z"}))
    documents, problems = load(["docs", "more*", "docs/b.txt"], tmp_path, max_mib=1)
    assert [d.id for d in documents] == ["docs/Licence fees.md", "docs/b.txt", "docs/sub/a.md", "c"]
    assert {(p.severity, p.code, p.file) for p in problems} == {
        ("warning", "data.no-reader", "docs/picture.png"),
        ("warning", "data.left-out", "docs/examples.csv"),
        ("warning", "data.left-out", "docs/examples.jsonl"),
    }
    named, _ = load(["docs/examples.csv", "docs/b.txt"], tmp_path, max_mib=1)
    assert [d.text for d in named] == ["y"]


def test_ids_begin_below_the_folder_that_is_named(tmp_path: Path) -> None:
    """They are the same wherever that folder lies; files elsewhere, and records with an id, keep theirs."""
    inside, outside = tmp_path / "p" / "data" / "documents", tmp_path / "handbook"
    for place in (inside, outside):
        (place / "hr").mkdir(parents=True)
        (place / "hr" / "leave.md").write_text("# Leave\n\nThirty days.")
        (place / "rows.csv").write_text("name,price\nBolt,3\n")
        (place / "own.jsonl").write_text(rows({"id": "o1", "text": "x"}))
    (tmp_path / "p" / "other.md").write_text("y")
    for given in ("data/documents", "../handbook"):
        section = DocumentsSection(paths=(given, "other.md"), ids_from=given)
        documents, _ = load_documents(section, tmp_path / "p")
        assert [d.id for d in documents] == ["o1", "rows.csv#row1", "hr/leave.md", "other.md"]
        assert documents[2].source == "hr/leave.md"
    documents, _ = load_documents(DocumentsSection(paths=("../handbook/hr",)), tmp_path / "p")
    assert [d.id for d in documents] == ["../handbook/hr/leave.md"], "not where the project happens to lie"


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        rows({"id": "1", "text": "x"}) + "{broken\n" + rows({"id": "1", "text": "y"}, {"id": "2", "text": "  "})
    )
    (tmp_path / "b.txt").write_bytes("Grüße".encode("latin-1"))
    (tmp_path / "c.xyz").write_text("what is this")
    (tmp_path / "big.txt").write_bytes(b"x" * (2 << 20))
    paths = ["a.jsonl", "b.txt", "c.xyz", "big.txt", "missing.md", "nothing*"]
    documents, problems = load(paths, tmp_path, max_mib=1, strict=False)
    assert [d.id for d in documents] == ["1"]
    found = {(p.severity, p.code, p.file, p.line) for p in problems}
    assert found == {
        ("error", "data.bad-record", "a.jsonl", 2),
        ("error", "data.bad-record", "a.jsonl", 3),
        ("warning", "data.empty-document", "a.jsonl", 4),
        ("error", "data.unreadable", "b.txt", 1),
        ("error", "data.unreadable", "c.xyz", 0),
        ("error", "data.too-large", "big.txt", 0),
        ("error", "data.unreadable", "missing.md", 0),
        ("error", "data.unreadable", "nothing*", 0),
    }
    twice = next(p for p in problems if p.line == 3)
    assert "a.jsonl:1" in twice.message
    assert all(p.cure for p in problems)
    assert "2.0 MiB; the limit is 1 MiB" in next(p.message for p in problems if p.file == "big.txt")
    with pytest.raises(UnreadableFile, match=r"missing.md: .*6 more"):
        load(paths, tmp_path, max_mib=1)
    with pytest.raises(BadRecord, match=r"a.jsonl:2"):
        load(["a.jsonl"], tmp_path, max_mib=1)


def test_no_document_at_all(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for paths in (["docs"], []):
        with pytest.raises(TooFewExamples, match="no document"):
            load(paths, tmp_path, max_mib=1)


def test_a_flood_of_problems_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{\n" * 1000)
    _, problems = load(["a.jsonl"], tmp_path, max_mib=1, strict=False)
    assert len([p for p in problems if p.code == "data.bad-record"]) == PER_FILE + 1
    assert any("950 more" in p.message for p in problems)


def test_a_bomb_does_not_fill_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.txt.gz"
    with gzip.open(path, "wb", compresslevel=9) as stream:
        for _ in range(400):
            stream.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileTooLarge, match="more than 1 MiB when decompressed"):
        load(["bomb.txt.gz"], tmp_path, max_mib=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_document_of_50_mb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.md").write_bytes(b"words " * (50 * 1024 * 1024 // 6))
    with pytest.raises(FileTooLarge, match=r"50.0 MiB; the limit is 32 MiB") as caught:
        load(["big.md"], tmp_path, max_mib=32)
    assert "max_mib" in caught.value.cure


@pytest.mark.parametrize("harm", ["cut", "not gzip", "two members", "empty"])
def test_gzip(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "a.txt.gz"
    whole = gzip.compress(b"hello " * 1000)
    path.write_bytes({"cut": whole[:-20], "not gzip": b"plain", "two members": whole + whole, "empty": b""}[harm])
    if harm == "two members":
        assert read_bytes(path, limit=1 << 20) == b"hello " * 2000
    else:
        with pytest.raises(UnreadableFile, match="damaged"):
            read_bytes(path, limit=1 << 20)


def test_what_is_not_a_plain_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nowhere")
    for name in ("pipe.txt", "dangling.txt"):
        with pytest.raises(UnreadableFile):
            load([name], tmp_path, max_mib=1)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("agxqa", 155),
        ("samples/pubmedqa", 30),
        *whole_sets(("covidqa", 98), ("dstc11", 4299), ("seedbench", 517)),
    ],
)
def test_real_collections(name: str, count: int) -> None:
    documents, problems = load(["documents*"], folder(name), max_mib=32)
    assert len(documents) == count
    assert problems == []
