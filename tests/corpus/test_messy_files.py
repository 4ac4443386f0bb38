"""The 99 real files of `messy_documents`, each against what its author says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_sets import whole_sets
from twofold.corpus.chunkers.headings import HeadingChunker
from twofold.corpus.files import FileReader
from twofold.corpus.loading import load_documents
from twofold.settings.sections import DocumentsSection
from twofold.types import Document, Loaded, Problem

pytest.importorskip("kreuzberg")
pytest.importorskip("pypdfium2")

MISSES: dict[str, str] = {}
ENCODINGS = {"test_mskanji.csv": "cp932", "umlauts-*.md": "latin-1"}
Read = tuple[list[Document], list[Problem]]


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).casefold()


@pytest.fixture(scope="module")
def rows(data_root: Path) -> list[dict[str, Any]]:
    lines = (data_root / "messy_documents" / "files.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def reader(rows: list[dict[str, Any]]) -> Iterator[FileReader]:
    with FileReader(DocumentsSection(encodings=ENCODINGS)) as made:
        yield made


@pytest.fixture(scope="module")
def found(reader: FileReader, rows: list[dict[str, Any]], data_root: Path) -> dict[str, Read]:
    folder = data_root / "messy_documents"
    return {row["file"]: reader.read(Loaded(name=row["file"], path=str(folder / row["file"]))) for row in rows}


def as_expected(row: dict[str, Any], documents: list[Document], problems: list[Problem]) -> bool:
    text = flat(" ".join(document.text for document in documents))
    codes = {problem.code for problem in problems}
    failed = any(problem.severity == "error" for problem in problems)
    if row["expect"] == "text":
        return not failed and all(flat(phrase) in text for phrase in row["must_contain"])
    if row["expect"] == "ocr":
        return "data.scanned" in codes and not documents
    if row["expect"] == "encrypted":
        return codes == {"data.encrypted"} and not documents
    if row["expect"] in {"broken", "bomb"}:
        return bool(codes & {"data.damaged", "data.too-large"}) and not documents
    if row["expect"] == "no_text":
        return codes <= {"data.empty-document", "data.scanned"}
    return not failed


def test_all_files_are_read_as_expected(reader: FileReader, rows: list[dict[str, Any]], found: dict[str, Read]) -> None:
    assert len(rows) == 99
    wrong = {Path(row["file"]).name for row in rows if not as_expected(row, *found[row["file"]])}
    assert wrong == set(MISSES), "misses are listed with their reasons; a mended one leaves the list"
    assert reader.worker.started == 1, "one process read them all"
    for documents, problems in found.values():
        assert all(problem.cure and problem.file for problem in problems)
        for document in documents:
            starts = [place.start for place in document.places]
            assert starts == sorted(set(starts))
            assert all(start < len(document.text) for start in starts)
            assert not re.search("[\0\ufffe\ud800-\udfff]", document.text)


def test_passwords_open_what_they_fit(rows: list[dict[str, Any]], data_root: Path, monkeypatch: Any) -> None:
    locked = {row["file"]: row["password"] for row in rows if row.get("password")}
    assert len(locked) == 2
    monkeypatch.setenv("ONE_OF_THEM", "asdfzxcv")
    passwords = {Path(name).name: "env:ONE_OF_THEM" if word == "asdfzxcv" else word for name, word in locked.items()}
    with FileReader(DocumentsSection(passwords=passwords)) as reader:
        for name in locked:
            documents, problems = reader.read(Loaded(name=name, path=str(data_root / "messy_documents" / name)))
            assert problems == []
            assert documents[0].text
    with FileReader(DocumentsSection(passwords={"*.pdf": "wrong"})) as reader:
        name = next(iter(locked))
        _, (problem,) = reader.read(Loaded(name=name, path=str(data_root / "messy_documents" / name)))
        assert problem.code == "data.encrypted"
        assert "none of the passwords" in problem.message


@pytest.mark.parametrize(
    ("file", "phrase", "place"),
    whole_sets(
        ("multi_page.pdf", "Specialized Word Processing Tools", "page 3"),
        ("multi_page.pdf", "remain at the heart of how we express", "page 5"),
        ("federal-register-2020-17221.pdf", "A flight control law generates commands to", "page 3"),
        ("test.pptx", "A table to test parsing", "slide 3"),
        ("test.pptx", "Sub comment 2", "slide 5"),
        ("powerpoint_sample.pptx", "A rectangle shape with this text inside.", "slide 2"),
        ("test.xlsx", "affc7dad-52dc-4b98-9b5d-51e65d8a8ad0", "sheet 09060124-b5e7-4717-9d07-3c046eb"),
        ("msg_with_attachment.msg", "It contains some dummy content", "attachment test.txt"),
        ("fake-email-attachment.eml", "this is a fake attachment", "attachment fake-attachment.txt"),
    ),
)
def test_a_passage_opens_where_it_stands(found: dict[str, Read], file: str, phrase: str, place: str) -> None:
    (document,) = found[f"files/{file}"][0]
    at = document.text.index(phrase)
    assert [one.label for one in document.places if one.start <= at][-1] == place
    whole = HeadingChunker(
        HeadingChunker.Options(max_tokens=40, min_tokens=0),
        offsets=lambda text: [found.span() for found in re.finditer(r"\S+", text)],
    ).split(document)
    holding = [chunk for chunk in whole if chunk.span.start <= at < chunk.span.end]
    assert holding
    first = [one.label for one in document.places if one.start <= holding[0].span.start]
    assert holding[0].place == first[-1]


def test_columns_are_read_one_after_the_other(found: dict[str, Read]) -> None:
    (two,) = found["files/multicolumn.pdf"][0]
    left, right = two.text.index("Nulla et lectus vestibulum"), two.text.index("Suspendisse vel felis")
    assert two.text.index("Abstract") < left < right
    assert "consectetuer adipiscing elit" in two.text, "a word divided at the line's end is whole again"
    (three,) = found["files/federal-register-2020-17221.pdf"][0]
    assert (
        "This section of the FEDERAL REGISTER\ncontains notices to the public of the proposed\nissuance of"
        in three.text
    )


def test_tables_keep_their_rows(found: dict[str, Read]) -> None:
    assert "Cell 1.0 | Cell 1.1 | Cell 1.2\nCell 2.0 |" in found["files/word_tables.docx"][0][0].text
    assert "\n89 | 82 | 100 | 12\n76 | 89 | 33 | 42\n" in found["files/test.xlsx"][0][0].text
    assert "\nAlaska 209 3,062 3,209 191 184" in found["files/nics-background-checks-2015-11.pdf"][0][0].text
    assert "ColA | ColB | ColC | ColD | ColE | ColF\n1 | 2 | 3 | 4 | 5 | 6" in found["files/test.pptx"][0][0].text


def test_a_folder_with_broken_files_makes_a_study_all_the_same(data_root: Path) -> None:
    section = DocumentsSection(paths=("files/*.pdf", "files/*.docx", "files/*.pptx", "files/*.xlsx"))
    told: list[tuple[str, int, int]] = []
    documents, problems = load_documents(
        section, data_root / "messy_documents", progress=lambda *said: told.append(said)
    )
    assert len(documents) >= 40
    assert {problem.severity for problem in problems} == {"warning"}
    assert {"data.damaged", "data.encrypted", "data.scanned", "data.empty-document"} <= {p.code for p in problems}
    assert told[-1][1] == told[-1][2] == len({name for name, *_ in told}) * told[-1][2]


@pytest.mark.slow
def test_scans_are_read_where_recognition_is_on(rows: list[dict[str, Any]], data_root: Path) -> None:
    pytest.importorskip("rapidocr")
    row = next(row for row in rows if row["file"].endswith("francais.pdf"))
    with FileReader(DocumentsSection(ocr=True)) as reader:
        (document,), problems = reader.read(
            Loaded(name=row["file"], path=str(data_root / "messy_documents" / row["file"]))
        )
    assert problems == []
    assert all(flat(phrase) in flat(document.text) for phrase in row["must_contain"])
