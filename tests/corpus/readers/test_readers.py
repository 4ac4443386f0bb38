from __future__ import annotations

from pathlib import Path

import pytest

from twofold.corpus.readers.html import HtmlReader
from twofold.corpus.readers.tabular import CsvReader, JsonlReader, JsonReader
from twofold.corpus.readers.text import MarkdownReader, TextReader
from twofold.errors import BadRecord, UnreadableFile
from twofold.plugins import loading
from twofold.types import Document, Place


def one(name: str, kind: str, data: str | bytes) -> Document:
    reader = loading.make("readers", kind, {})
    (document,) = reader.read(Path(name), data.encode() if isinstance(data, str) else data)
    return document


def test_all_readers_come_through_the_entry_points() -> None:
    found = {loading.find("readers", name) for name in loading.names("readers")}
    assert {CsvReader, HtmlReader, JsonlReader, JsonReader, MarkdownReader, TextReader} <= found


def test_markdown() -> None:
    document = one("a/b.md", "markdown", "---\ntitle: 'Water'\nlang: de\n- x\n---\n# Head\r\n\nText.\r\n")
    assert document == Document(
        id="a/b.md",
        text="lang: de\n\n# Head\n\nText.\n",
        title="Water",
        source="a/b.md",
        metadata={"lang": "de"},
        places=(Place(start=10, label="", lines="line", first=6),),
    )
    assert one("b.md", "markdown", "text\n\n## The *first* #\n").title == "The *first*"
    assert one("b.md", "markdown", "no heading --- at all").title == "b"


@pytest.mark.parametrize(
    "data",
    [
        "Grüße 水".encode(),
        "\ufeffGrüße 水".encode(),
        "Grüße 水".encode("utf-16"),
        "Grüße 水".encode("utf-32"),
        b"\xfe\xff" + "Grüße 水".encode("utf-16-be"),
    ],
)
def test_encodings(data: bytes) -> None:
    assert one("a.txt", "text", data).text == "Grüße 水"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"one\ntwo \xff three", "byte 8 (0xff)"),
        ("Grüße".encode("latin-1"), "byte 2 (0xfc)"),
        (b"\xef\xbb\xbfok \xe4", "byte 6 (0xe4)"),
        (b"%PDF\0\1", "NUL"),
        (b"\xff\xfea", "UTF-16"),
    ],
)
def test_what_is_not_text_is_refused_with_the_place(data: bytes, told: str) -> None:
    with pytest.raises(UnreadableFile, match=r".") as caught:
        one("a.txt", "text", data)
    assert told in caught.value.message
    assert caught.value.file == "a.txt"


HTML = """<!doctype html><html><head><title> Irrigation
 guide</title><style>p{}</style><script>var x = "<p>no</p>";</script></head><body>
<nav><a href=/>Home</a></nav><h1>Water <em>early</em></h1><p>First&nbsp;para
graph,<br>second line.</p><!-- hidden --><ul><li>one</li><li>two <b>bold</b></li></ul>
<h3>Table</h3><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>
<pre>  keep
    this</pre><div>end<div>of <span>it</span></div></div></body></html>"""


def test_html() -> None:
    document = one("page.html", "html", HTML)
    assert document.title == "Irrigation guide"
    assert document.text == (
        "# Water early\n\nFirst para graph,\nsecond line.\n\n- one\n- two bold\n\n### Table\n\na | b\n1 | 2\n\n"
        "  keep\n    this\n\nend\n\nof it"
    )


def test_html_in_the_encoding_it_declares() -> None:
    page = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=windows-1252"></head><body>„Grüße“'
    assert one("p.html", "html", page.encode("cp1252")).text == "„Grüße“"
    with pytest.raises(UnreadableFile, match="unknown encoding"):
        one("p.html", "html", b'<meta charset="klingon">x')
    assert one("p.html", "html", b'<meta charset="latin1">\x84x').text == "„x"
    assumed = one("p.html", "html", "Grüße".encode("cp1252"))
    assert (assumed.text, assumed.metadata) == ("Grüße", {"encoding": "windows-1252"})
    with pytest.raises(UnreadableFile, match="byte 0"):
        one("p.html", "html", b"\x81\x8d")


def test_html_nested_without_end() -> None:
    assert "deep" in one("p.html", "html", "<div>" * 20_000 + "deep").text


def test_real_pages(data_root: Path) -> None:
    folder = data_root / "messy_documents" / "files"
    pages = sorted(folder.glob("*.html"))
    assert len(pages) >= 4
    for page in pages:
        (document,) = HtmlReader(HtmlReader.Options()).read(page, page.read_bytes())
        assert len(document.text) > 50
        assert "<div" not in document.text
        assert "function(" not in document.text


def test_jsonl_one_document_a_record() -> None:
    data = (
        '{"id": 7, "title": "T", "text": "a\u2028b", "source": "s", "year": 1999, "tags": ["x"], "none": null}\n\n'
        '{"text": "two"}\n'
    )
    reader = JsonlReader(JsonlReader.Options())
    assert list(reader.read(Path("d.jsonl"), data.encode())) == [
        Document(
            id="7",
            text="a\u2028b\n\nyear: 1999\ntags: x",
            title="T",
            source="s",
            metadata={"year": "1999", "tags": '["x"]'},
        ),
        Document(id="d.jsonl#3", text="two", source="d.jsonl", places=(Place(start=0, label="line 3"),)),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"text": "x"', "not valid JSON"),
        ("[1, 2]", "expected an object, found a list"),
        ('{"title": "x"}', 'no "text"; its fields are title'),
        ('{"text": 5}', '"text" must be a string, not a number'),
        ('{"text": "x", "id": ["a"]}', '"id" must be a string, not a list'),
        ('{"text": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "JSON"),
        ('{"text": ' + "9" * 5000 + "}", "not usable JSON"),
        ('{"text": "' + "x" * 5000, "not valid JSON"),
    ],
)
def test_a_malformed_line_is_named(line: str, told: str) -> None:
    reader = JsonlReader(JsonlReader.Options())
    data = ('{"text": "fine"}\n' + line + '\n{"text": "fine again"}\n').encode()
    with pytest.raises(BadRecord) as caught:
        list(reader.read(Path("d.jsonl"), data))
    assert (caught.value.file, caught.value.line) == ("d.jsonl", 2)
    assert told in caught.value.message
    assert len(caught.value.message) < 300
    places = list(reader.places(Path("d.jsonl"), data))
    assert [line for line, _ in places] == [1, 2, 3]
    assert isinstance(places[2][1], Document), "the rest of the file is still read"


def test_json_shapes() -> None:
    reader = JsonReader(JsonReader.Options())

    def read(text: str) -> list[str]:
        return [d.text for d in reader.read(Path("d.json"), text.encode())]

    assert read('[{"text": "a"}, {"text": "b"}]') == ["a", "b"]
    assert read('{"documents": [{"text": "a"}], "version": 1}') == ["a"]
    assert read('{"text": "alone"}') == ["alone"]
    with pytest.raises(BadRecord, match="record 2"):
        read('[{"text": "a"}, 5]')
    with pytest.raises(BadRecord, match=r"d.json:2"):
        read('[{"text": "a"},\n {"text" "b"}]')
    with pytest.raises(BadRecord, match="list of objects"):
        read("5")


def test_an_encoding_is_named_never_guessed() -> None:
    for kind, name in (("text", "a.txt"), ("markdown", "a.md"), ("code", "a.c")):
        for data in ("Grüße".encode(), "Grüße".encode("latin-1")):
            reader = loading.make("readers", kind, {"encoding": "latin-1"})
            assert [d.text for d in reader.read(Path(name), data)] == ["Grüße"]
        with pytest.raises(UnreadableFile, match="UTF-8") as caught:
            one(name, kind, "Grüße".encode("latin-1"))
        assert "encodings" in caught.value.cure


def test_code_keeps_its_lines_and_its_name() -> None:
    source = "# a comment\r\ndef f():\n    return 1\n"
    document = one("src/f.py", "code", source)
    assert (document.text, document.title) == (source.replace("\r", ""), "f.py")


def test_csv() -> None:
    reader = CsvReader(CsvReader.Options())

    def read(text: str, name: str = "d.csv") -> list[Document]:
        return list(reader.read(Path(name), text.encode()))

    rows = read('\ufeffid;text;crop\r\na;"two\nlines; really";maize\r\n\r\nb;short;\r\n')
    first = (Place(start=0, label="row 1", first=2),)
    wanted = "two\nlines; really\n\nid: a\ncrop: maize"
    assert rows[0] == Document(id="a", text=wanted, source="d.csv", metadata={"crop": "maize"}, places=first)
    assert (rows[1].id, rows[1].text, dict(rows[1].metadata)) == ("b", "short\n\nid: b", {})
    table = read("name\tprice\npump\t10\nhose\t2\n", "t.tsv")
    assert [d.text for d in table] == ["name: pump\nprice: 10", "name: hose\nprice: 2"]
    assert table[1].id == "t.tsv#row2"
    assert len(read("text\n" + "x" * 200_000)[0].text) == 200_000
