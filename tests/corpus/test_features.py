# ruff: noqa: E501 - one case a line
"""What is read of each format, against the page that says so; and how tables, sentences and code are cut."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from features import FEATURES, PAGE, Feature, outcome

from twofold.config import DocumentsSection
from twofold.corpus.chunking import HeadingChunker, headings_of
from twofold.corpus.files import FileReader
from twofold.corpus.html import HtmlReader
from twofold.corpus.number_formats import shown
from twofold.corpus.sentences import ends
from twofold.corpus.sources_web import _bare, _told
from twofold.corpus.text import title_of
from twofold.types import Chunk, Document

pytest.importorskip("kreuzberg")
pytest.importorskip("pypdfium2")

NOT_READ = {
    ("docx", "hidden text"): "said",
    ("docx", "another file put in"): "said",
    ("html", "navigation"): "lost",
    ("md", "picture inside the text (base64)"): "said",
    ("eml", "attachment without a reader"): "said",
    ("pdf", "struck out by a drawn line"): "lost",
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
    from pathlib import Path

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
    (page,) = HtmlReader(HtmlReader.Options()).read(__import__("pathlib").Path("a.html"), _told(answer))  # type: ignore[arg-type]
    assert (page.title, page.text) == ("Größe", "Größe 5 µm")
    wrong = SimpleNamespace(headers={"content-type": "text/html; charset=klingon"}, body=body)
    assert _told(wrong) == body  # type: ignore[arg-type]


def test_a_site_and_its_www_are_one() -> None:
    assert _bare("https://www.Example.org:443/a") == _bare("http://example.org/b")
    assert _bare("https://docs.example.org/") != _bare("https://example.org/")
