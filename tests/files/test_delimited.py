"""Delimited files as programs write them: each row is a document, or named with its reason; no two share an id."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.corpus.files import FileReader
from twofold.corpus.loading import load_documents
from twofold.files.delimited import table_of
from twofold.settings.sections import DocumentsSection
from twofold.types import Document, Loaded, Problem


def read(text: str | bytes, name: str = "t.csv") -> tuple[list[Document], list[Problem]]:
    data = text.encode() if isinstance(text, str) else text
    with FileReader(DocumentsSection(paths=("x",))) as reader:
        return reader.read(Loaded(name=name, data=data))


FORMS = {
    "a line that names the separator": (
        "sep=;\r\npart;bin;weight\r\nR-9;4;2,75\r\n",
        {"part": "R-9", "weight": "2,75"},
    ),
    "the same in quotation marks": ('"sep=|"\npart|bin\nR-9|4\n', {"part": "R-9", "bin": "4"}),
    "a title and an empty line": ("Bin cards, week 7\n\npart,bin\nR-9,4\nR-8,5\n", {"part": "R-9", "bin": "4"}),
    "a title in a row of cells": ("Bin cards,,\n,,\npart,bin,weight\nR-9,4,2\n", {"part": "R-9", "weight": "2"}),
    "pairs above the table": ("Site:,Bergen\nDay:,2031-05-06\n\npart,bin,kg,by,at\nR-9,4,2,Bo,x\n", {"by": "Bo"}),
    "a comment with commas": ("# made by, say, a tool\n# twice\npart,bin\nR-9,4\n", {"part": "R-9", "bin": "4"}),
    "a header with a hash": ("#chrom\tstart\tend\nc1\t5\t9\nc2\t6\t8\n", {"#chrom": "c1", "end": "9"}),
    "a separator within a quoted header": ('"Name, given";Age\n"Moe, Kari";31\n', {"Name, given": "Moe, Kari"}),
    "a header cell of two lines": ('"Net\nweight";part\n2;R-9\n', {"Net weight": "2", "part": "R-9"}),
    "a header of two rows": (
        "part,Weight,,Bin,\n,net,gross,old,new\nR-9,1,2,3,4\n",
        {"Weight gross": "2", "Bin new": "4"},
    ),
    "one name twice": ("part,kg,kg\nR-9,3,4\n", {"kg": "3", "kg (2)": "4"}),
    "a name that a number would give": ("kg,kg (2),kg\n1,2,3\n", {"kg": "1", "kg (2)": "2", "kg (3)": "3"}),
    "a column without a name": ("part,,bin\nR-9,ask Kari,4\n", {"column 2": "ask Kari", "bin": "4"}),
    "the first column without a name": (",bin\nR-9,4\nR-8,5\n", {"column 1": "R-9", "bin": "4"}),
    "one name less than cells": ("bin,kg\nR-9,4,2\nR-8,5,3\n", {"column 1": "R-9", "bin": "4", "kg": "2"}),
    "a short row": ("part,bin,kg\nR-9,4\nR-8,5,1\n", {"part": "R-9", "bin": "4"}),
    "separators at the ends": ("part,bin,\nR-9,4,\nR-8,5,,,\n", {"part": "R-9", "bin": "4"}),
    "bars and a mark": ("\ufeffpart|bin\nR-9|4\n", {"part": "R-9", "bin": "4"}),
    "tabs": ("part\tbin\nR-9\t4,5\n", {"part": "R-9", "bin": "4,5"}),
    "decimal commas": ("part;kg;cm\nR-9;1,5;2,5\nR-8;3,5;4,5\n", {"kg": "1,5", "cm": "2,5"}),
    "blanks after the commas": ('part, note, bin\nR-9, "long, thin", 4\n', {"note": "long, thin", "bin": "4"}),
    "a quoted line end": ('part,note\nR-9,"one\ntwo"\nR-8,x\n', {"note": "one\ntwo"}),
    "line ends of an old Macintosh": ("part,bin\rR-9,4\rR-8,5\r", {"part": "R-9", "bin": "4"}),
    "a mark within a quoted cell": ('part,note\nR-9,"a 3" bolt"\nR-8,x\n', {"note": 'a 3" bolt'}),
    "a mark that nothing closes": (
        'part,note,bin\nR-9,"a 3 in bolt,4\nR-8,x,5\n',
        {"note": '"a 3 in bolt', "bin": "4"},
    ),
    "one column of names": ("name\nMoe, Kari\nLie, Bo\n", {"name": "Moe, Kari"}),
}


@pytest.mark.parametrize(("text", "wanted"), FORMS.values(), ids=FORMS)
def test_a_table_s_first_row_has_the_cells_that_a_spreadsheet_shows(text: str, wanted: dict[str, str]) -> None:
    documents, problems = read(text)
    assert not problems
    assert dict(documents[0].metadata) | wanted == dict(documents[0].metadata)
    assert all(f"{name}: {cell}" in documents[0].text for name, cell in wanted.items())
    assert [d.places[0].label for d in documents] == [f"row {n}" for n in range(1, len(documents) + 1)]


def test_what_stands_above_a_table_is_the_title_of_its_rows() -> None:
    documents, _ = read("Bin cards, week 7\n# by a tool\n\npart,bin\nR-9,4\nR-8,5\n")
    assert {d.title for d in documents} == {"Bin cards, week 7"}


def test_rows_around_a_bad_one_stay_and_it_is_named() -> None:
    documents, problems = read('part,note,bin\nR-1,x,1\nR-2,"open, 5,2,9\nR-3,y,3\nR-4,z,4,more,5\n')
    assert [d.metadata["part"] for d in documents] == ["R-1", "R-3", "R-4"]
    assert [(p.severity, p.line) for p in problems] == [("error", 3), ("warning", 5)]
    assert "4 cells under 3 columns" in problems[0].message or "5 cells under 3 columns" in problems[0].message
    assert dict(documents[2].metadata) | {"column 4": "more", "column 5": "5"} == dict(documents[2].metadata)


def test_an_id_is_searched_and_is_a_key_of_its_own_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,Kettle\n2,Lamp\n2,Lantern\n,Rope\n")
    (tmp_path / "b.csv").write_text("id,name\n1,Ada\n4,Ben\n")
    documents, problems = load_documents(DocumentsSection(paths=("a.csv", "b.csv")), tmp_path)
    assert not problems
    assert [d.id for d in documents] == ["a.csv#1", "a.csv#2", "a.csv#2 (2)", "a.csv#row4", "b.csv#1", "b.csv#4"]
    assert documents[0].text == "id: 1\nname: Kettle"
    assert documents[0].metadata["id"] == "1"


def test_fields_beside_a_text_are_below_it_and_a_row_without_text_is_kept() -> None:
    (full, bare), problems = read("product,text,stars\nLyra desk,It broke.,4\nDeneb rug,,5\n")
    assert (full.text, bare.text, problems) == (
        "It broke.\n\nproduct: Lyra desk\nstars: 4",
        "product: Deneb rug\nstars: 5",
        [],
    )
    line = (
        '{"text": "It broke.", "tags": ["red", "blue"], "size": {"w": 2.50}, "url": "https://x.example/1", "_score": 3}'
    )
    ((record,), _) = read(line, "r.jsonl")
    assert record.text == "It broke.\n\ntags: red, blue\nsize.w: 2.50"
    assert record.metadata["url"] == "https://x.example/1"


def test_readers_are_no_cell_of_a_row() -> None:
    ((row,), _) = read('name,readers\nPlan,"ann, staff"\n')
    assert (row.text, row.readers, "readers" in row.metadata) == ("name: Plan", ("ann", "staff"), False)


def test_documents_of_one_id_in_two_files_are_both_read_and_the_second_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"id": "1", "text": "text of {name}"}}\n')
    documents, problems = load_documents(DocumentsSection(paths=("a.jsonl", "b.jsonl")), tmp_path)
    assert [(d.id, d.text) for d in documents] == [("1", "text of a"), ("b.jsonl#1", "text of b")]
    assert [(p.severity, p.code, p.file) for p in problems] == [("warning", "data.shared-id", "b.jsonl")]


CELLS = st.text(st.sampled_from('ab1 ;,|\t"\n#é'), max_size=6)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=6)),
    st.sampled_from(",;\t|"),
)
def test_what_a_writer_of_csv_wrote_is_read_back(rows: list[list[str]], delimiter: str) -> None:
    """Rows of any cells under plain names, written by Python's own writer with everything quoted."""
    made = io.StringIO()
    names = [f"name{n}" for n in range(len(rows[0]))]
    csv.writer(made, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    table = table_of(made.getvalue())
    wanted = [row for row in rows if any(cell.strip() for cell in row)]
    assert table.columns == tuple(names)
    assert [list(row.values.values()) for row in table.rows] == wanted


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from('ab1;,"\n'), max_size=80), st.sampled_from(["id,text\n", "id,name\n", ""]))
def test_no_two_rows_share_an_id_and_reading_again_gives_the_same(text: str, header: str) -> None:
    documents, problems = read(header + text)
    ids = [document.id for document in documents]
    assert len(set(ids)) == len(ids)
    assert (documents, problems) == read(header + text)
    rows = list(table_of(header + text).rows)
    lost = {problem.line for problem in problems if problem.code != "data.partly-read"}
    kept = {document.places[0].label for document in documents}
    assert all(f"row {row.number}" in kept or row.line in lost for row in rows)


@pytest.mark.parametrize(
    ("table", "headed"),
    [
        ("1,Kettle,30\n2,Lamp,12\n3,Chair,5\n", False),
        ("7;Oslo\n8;Rome\n9;Bern\n", False),
        ("Kettle,29.50\nLamp,7.25\nRug,3.10\n", False),
        ("1,5.5\n2,6.1\n3,7.9\n", False),
        ("2031-05-04,Kettle,29.50\n2031-05-05,Lamp,7.25\n2031-05-07,Rug,3.10\n", False),
        ("04.05.2031 09:30;Kettle\n05.05.2031 10:00;Lamp\n07.05.2031 10:00;Rug\n", False),
        ("Ada,ada@ab.org\nBen,ben@ab.org\nCy,cy@cd.org\n", False),
        ("PX-7,Kettle\nPX-8,Lamp\nPX-11,Rug\n", False),
        ("Kettle,5 kg\nLamp,2 kg\nRug,11 kg\n", False),
        ("Q1,Q2\n5,6\n7,9\n", True),
        ("room 1,room 2\nAda,Ben\nCy,Di\n", True),
        ("task,2031-05-04,2031-06-04\na,2031-05-06,2031-06-07\nb,2031-05-05,2031-06-09\n", True),
        ("2031-05-04,stock\n2031-05-01,5\n2031-05-02,7\n", True),
        ("region,2030,2031\nnorth,5,6\nsouth,7,9\n", True),
        ("item,1,2,3\na,5,6,7\nb,8,9,1\n", True),
        ("gene,0.5,0.9\na,1.5,2.5\nb,0.1,0.2\n", True),
        ("id,name\n1,Kettle\n2,Lamp\n", True),
        ("name,city\nAda,Oslo\nBen,Rome\n", True),
        ("1,Kettle\n2,Lamp\n", True),
        ("no,1\n3,x\n4,y\n", True),
    ],
)
def test_a_first_row_that_is_data_is_no_header_and_that_is_said(table: str, headed: bool) -> None:
    documents, problems = read(table)
    assert len(documents) == table.count("\n") - headed
    assert [one.severity for one in problems] == ([] if headed else ["warning"])
    if not headed:
        assert documents[0].metadata["column 1"] in table.split("\n", maxsplit=1)[0]
        assert documents[0].places[0].label == "row 1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.pdf", ""),
        ("a.docx", ""),
        ("a.py", ""),
        ("a.csv", ""),
        ("a.csv", "a,b\n"),
        ("a.json", "[]"),
        ("a.jsonl", "\n"),
    ],
)
def test_a_file_with_nothing_in_it_is_left_out_by_name_and_is_no_failure(name: str, text: str) -> None:
    documents, problems = read(text, name)
    assert not documents
    assert [(one.severity, one.code, one.file) for one in problems] == [("warning", "data.empty-document", name)]


def test_what_office_keeps_beside_an_open_file_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_text("Open.", encoding="utf-8")
    (tmp_path / "d" / "~$a.docx").write_bytes(b"\x05ann" + b"\0" * 150)
    documents, problems = load_documents(DocumentsSection(paths=("d",)), tmp_path, strict=False)
    assert ([one.id for one in documents], problems) == (["d/a.txt"], [])


def test_a_header_with_names_for_a_part_of_the_columns_is_the_header() -> None:
    documents, problems = read("Stock list\nsku,name\nPX-7,Kettle,blue,12\nPX-8,Lamp,red,5\nPX-9,Rug,grey,7\n")
    assert [one.metadata["name"] for one in documents] == ["Kettle", "Lamp", "Rug"]
    assert documents[0].metadata["column 3"] == "blue"
    assert problems
