# ruff: noqa: E501 - one case a line
"""What is read of each format, against the page that says so; and how tables, sentences and code are cut."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from feature_files import Feature, cell, formats, sheet
from features import FEATURES, PAGE, outcome

from twofold.answering.citing import place_at
from twofold.config import DocumentsSection
from twofold.corpus.chunkers.headings import HeadingChunker
from twofold.corpus.files import FileReader
from twofold.corpus.outline import headings_of
from twofold.corpus.plain_text import title_of
from twofold.corpus.readers.html import HtmlReader
from twofold.corpus.readers.office.number_formats import shown
from twofold.corpus.sentences import ends
from twofold.corpus.sources.web import _bare, _marked_utf8
from twofold.types import Chunk, Document, Loaded

pytest.importorskip("kreuzberg")
pytest.importorskip("pypdfium2")

NOT_READ = {
    ("docx", "hidden text"): "said",
    ("docx", "another file put in"): "said",
    ("html", "navigation"): "lost",
    ("md", "picture inside the text (base64)"): "said",
    ("eml", "attachment without a reader"): "said",
    ("pdf", "struck out by a drawn line"): "lost",
    ("docx", "picture without a description"): "lost",
    ("csv", "cp1252"): "said",
    ("eml", "winmail.dat"): "said",
    ("eml", "uuencode in the text"): "said",
    ("eml", "zip attachment"): "said",
    ("pptx", "embedded workbook"): "said",
    ("odt", "hidden text"): "said",
    ("rtf", "hidden text"): "said",
    ("rtf", "text box"): "said",
    ("rtf", "comment"): "said",
    ("docx", "document put in (altChunk)"): "said",
    ("docx", "formula as a field (EQ)"): "said",
    ("docx", "hidden by its style"): "said",
    ("eml", "sealed (S/MIME)"): "said",
    ("eml", "sealed (PGP)"): "said",
    ("eml", "part kept elsewhere"): "said",
    ("eml", "base64 that is damaged"): "said",
    ("mbox", "attachment"): "said",
    ("odt", "object without a formula or chart"): "said",
    ("epub", "page that the order leaves out"): "said",
    ("jsonl", "one bad line among good"): "said",
    ("fb2", "raised digits"): "said",
    ("pdf", "page whose letters are drawings"): "said",
    ("pdf", "page with a stamp on a picture"): "said",
    ("pdf", "address behind a link"): "lost",
    ("docx", "film of a page elsewhere"): "said",
    ("pptx", "film"): "said",
    ("xlsx", "form control"): "said",
    ("epub", "page that is a picture; page of another kind"): "said",
    ("eml", "attachment without text"): "said",
    ("html", "text that a style writes (content)"): "lost",
    ("html", "frame of another address"): "lost",
    ("csv", "second table below an empty line"): "said",
    ("ipynb", "output that only a program shows"): "said",
}


@pytest.fixture(scope="module")
def reader() -> Any:
    with FileReader(DocumentsSection()) as made:
        yield made


@pytest.mark.parametrize("feature", FEATURES, ids=lambda one: f"{one.format}: {one.what}")
def test_each_feature_is_what_the_page_says(reader: FileReader, feature: Feature) -> None:
    found = outcome(reader, feature)
    assert found == NOT_READ.get((feature.format, feature.what), "read")
    assert f"| {feature.format} | {feature.what} | {found} |" in PAGE.read_text(encoding="utf-8").splitlines()


def cut(text: str, tokens: int = 60, source: str = "a.md", title: str = "") -> list[Chunk]:
    chunker = HeadingChunker(
        HeadingChunker.Options(max_tokens=tokens, min_tokens=0),
        offsets=lambda text: [found.span() for found in re.finditer(r"\w+|[^\w\s]", text)],
    )
    return chunker.split(Document(id=source, text=text, source=source, title=title))


@pytest.mark.parametrize("bar", ["| ", ""])
def test_rows_stay_whole_and_every_piece_has_the_head(bar: str) -> None:
    rule = "| --- | --- |\n" if bar else ""
    rows = [f"{bar}P-{n} | Turn. Wait {n} s. Push. | {n} EUR{' |' if bar else ''}" for n in range(40)]
    text = f"# Parts\n\n{bar}part | how | price{' |' if bar else ''}\n{rule}" + "\n".join(rows) + "\n\nEnd."
    chunks = cut(text)
    assert len(chunks) > 4
    lines = [line for chunk in chunks for line in chunk.text.splitlines()]
    assert [line for line in lines if "P-" in line] == rows
    held = [chunk for chunk in chunks if "P-" in chunk.text]
    assert all("part | how | price" in (chunk.headings[-1] if chunk.headings else chunk.text) for chunk in held[1:])


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Ask Dr. Smith in No. 5 first. Then go.", ["Then go."]),
        ("Held in the U.S. office, e.g. by Mr. Jones. Done.", ["Done."]),
        ("See Fig. 3 and Sec. 4. It ends.", ["It ends."]),
        ("Am 3. April kommt Hr. Maier. Gut.", ["Gut."]),
        ("1. Open the tap. Close it.", ["Close it."]),
        ("He came at 5 p.m. The door was shut.", ["The door was shut."]),
        ("J. S. Bach wrote it. Yes! No.", ["Yes! No.", "No."]),
    ],
)
def test_sentences_do_not_end_at_abbreviations(text: str, after: list[str]) -> None:
    assert [text[at:] for at in ends(text)] == after


def test_comments_in_code_are_no_headings() -> None:
    code = "import os\n\n# Old, remove\n" + "x = 1\n" * 80
    assert all(chunk.headings == () for chunk in cut(code, source="src/a.py", title="a.py"))
    text = "```npm test``` runs it.\n\n## B\n```sh\n# no\n```\n<pre>\n# no\n</pre>\n# C\n"
    assert [title for *_, title in headings_of(text)] == ["B", "C"]
    text = "# A\n\n- ```sh\n  # no\n  ```\n1. ~~~\n   # no\n\n## B\n\n* ```\n# C\n"
    assert [title for *_, title in headings_of(text)] == ["A", "B", "C"]
    text = "Guide\n=====\n\nFees\n~~~~\n\nNine.\n\nPlans\n-----\n\nLonger than that\n~~~~\n# no\n~~~~\n\nEnd\n~~~~\n"
    assert [title for *_, title in headings_of(text)] == ["Guide", "Fees", "Plans", "End"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("v1.2.3 notes.txt", "v1.2.3 notes"),
        ("St. John's site.html", "St. John's site"),
        ("a.md.gz", "a"),
        ("README", "README"),
    ],
)
def test_titles_keep_the_dots_of_a_name(name: str, title: str) -> None:
    assert title_of(Path(name)) == title


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.256, "0.0%", "25.6%"), (-5.0, "#,##0.00;(#,##0.00)", "(5.00)"), (47911.5, "yyyy-mm-dd hh:mm", "2031-03-04 12:00"),
        (1234567.0, "#,##0", "1,234,567"), (3.5, "$#,##0.00", "$3.50"), (7.0, "00000", "00007"), (1.5, "[h]:mm", "36:00"),
        (0.5, "# ?/?", "1/2"), (47911.0, "d mmm yyyy", "4 Mar 2031"), (12.0, "0 \"kg\"", "12 kg"), (0.0, "0;-0;-", "-"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_a_sheet_shows_them(value: float, code: str, text: str) -> None:
    assert shown(value, code) == text


def test_a_page_in_the_encoding_of_its_header() -> None:
    body = "<title>Größe</title><p>Größe 5 µm".encode("cp1252")
    answer = SimpleNamespace(headers={"content-type": "text/html; charset=ISO-8859-1"}, body=body)
    (page,) = HtmlReader(HtmlReader.Options()).read(Path("a.html"), _marked_utf8(answer))  # type: ignore[arg-type]
    assert (page.title, page.text) == ("Größe", "Größe 5 µm")
    wrong = SimpleNamespace(headers={"content-type": "text/html; charset=klingon"}, body=body)
    assert _marked_utf8(wrong) == body  # type: ignore[arg-type]


def test_a_site_and_its_www_are_one() -> None:
    assert _bare("https://www.Example.org:443/a") == _bare("http://example.org/b")
    assert _bare("https://docs.example.org/") != _bare("https://example.org/")


def test_a_quote_in_a_sheet_names_its_row_and_one_in_a_text_its_line(reader: FileReader) -> None:
    rows = "".join(f"<row r='{n}'>{cell(f'A{n}', f'part {n}')}{cell(f'B{n}', 'x')}</row>" for n in (1, 2, 3, 7, 8, 9))
    files = {
        "prices.xlsx": sheet(rows, styles=formats()),
        "tool.py": b"import os\n\n# Old\nprice = 9\n",
        "guide.md": b"---\ntitle: Leave\nsummary: Everyone gets 27 days of leave.\n---\n\n# Fees\n\nStudents pay 3.\n",
    }
    found = {
        (name, words): place_of(reader, name, data, words)
        for name, data in files.items()
        for words in ("part 2", "part 8", "price = 9", "Students pay")
        if words.encode() in data or (name == "prices.xlsx" and words.startswith("part"))
    }
    assert found == {
        ("prices.xlsx", "part 2"): "sheet Plan, row 2",
        ("prices.xlsx", "part 8"): "sheet Plan, row 8",
        ("tool.py", "price = 9"): "line 4",
        ("guide.md", "Students pay"): "section Fees, line 8",
    }


def place_of(reader: FileReader, name: str, data: bytes, words: str) -> str:
    (document,), _ = reader.read(Loaded(name=name, data=data))
    return place_at(document, document.text.index(words))


def test_rows_of_parquet_are_documents_and_keep_their_readers(reader: FileReader) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def written(**columns: object) -> bytes:
        made = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), made)
        return made.getvalue()

    table = written(id=["A-1", "A-2"], price=[12.5, None], tags=[["red", "new"], []], near=[[0.5] * 30] * 2)
    documents, problems = reader.read(Loaded(name="parts.parquet", data=table))
    assert not problems
    assert [one.id for one in documents] == ["parts.parquet#A-1", "parts.parquet#A-2"]
    assert documents[0].text == 'id: A-1\nprice: 12.5\ntags: ["red", "new"]'
    assert [one.places[0].label for one in documents] == ["row 1", "row 2"]

    texts = written(text=["Only Ada.", "All."], readers=[["ada"], None], lang=["en", "en"])
    documents, _ = reader.read(Loaded(name="texts.parquet", data=texts))
    assert [one.readers for one in documents] == [("ada",), None]
    assert documents[0].text == "Only Ada.\n\nlang: en"

    _, problems = reader.read(Loaded(name="bad.parquet", data=b"PAR1 nothing"))
    assert [one.severity for one in problems] == ["error"]


def test_words_of_a_page_are_kept_that_look_like_a_mark() -> None:
    page = b"<p>5.</p><p>the fee;</p><ol type=A><li>Yes.<li>No.</ol>"
    (document,) = HtmlReader(HtmlReader.Options()).read(Path("a.html"), page)
    assert document.text == "5.\n\nthe fee;\n\nA. Yes.\nB. No."


def test_a_mailbox_names_the_message_that_is_damaged(reader: FileReader) -> None:
    box = b"From a@x Mon Jan  1 00:00:00 2031\nSubject: One\n\nFirst.\n\nFrom b@x Mon Jan  1 00:00:00 2031\n\n\n"
    documents, problems = reader.read(Loaded(name="a.mbox", data=box))
    assert [(one.id, one.title) for one in documents] == [("a.mbox#1", "One")]
    assert [(one.line, one.message) for one in problems] == [(6, "message 2: the message has no mail header")]


def test_words_of_rich_text_are_not_parted_by_groups(reader: FileReader) -> None:
    text = rb"{\rtf1\ansi \pard {\b P}ump H{\sub 2}O a{\i b}c {\b 4} y\par}"
    (document,), _ = reader.read(Loaded(name="a.rtf", data=text))
    assert document.text == "Pump H2O abc 4 y"
