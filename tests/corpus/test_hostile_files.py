"""Files made to harm: each is a named problem within its limits, and the next file is read."""

from __future__ import annotations

import functools
import io
import os
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_sets import folder, whole_sets
from lazily import Lazily
from twofold.corpus.files import FileReader
from twofold.corpus.loading import load_documents
from twofold.corpus.sandbox import Worker
from twofold.errors import ReaderCrashed
from twofold.settings.sections import DocumentsSection
from twofold.types import Document, Loaded, Problem

pytest.importorskip("kreuzberg")
pytest.importorskip("pypdfium2")
pptx, xlsxwriter = Lazily("pptx"), Lazily("xlsxwriter")

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
RELS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"'
    ' Target="word/document.xml"/></Relationships>'
)


def docx(body: str, *, prolog: str = "", more: dict[str, bytes] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", TYPES)
        archive.writestr("_rels/.rels", RELS)
        archive.writestr(
            "word/document.xml",
            f'<?xml version="1.0"?>{prolog}<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>',
        )
        for name, data in (more or {}).items():
            archive.writestr(name, data)
    return out.getvalue()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


@pytest.fixture(scope="module")
def reader() -> Iterator[FileReader]:
    with FileReader(DocumentsSection(max_seconds=60)) as made:
        yield made


def read(reader: FileReader, name: str, data: bytes) -> tuple[list[Document], list[Problem]]:
    found = reader.read(Loaded(name=name, data=data))
    documents, problems = reader.read(Loaded(name="next.docx", data=docx(paragraph("still alive"))))
    assert ([d.text for d in documents], problems) == (["still alive"], []), "the next file is read"
    return found


def zeros(size: int) -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("word/document.xml", "w", force_zip64=True) as part,
    ):
        for _ in range(size >> 20):
            part.write(bytes(1 << 20))
    return out.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(reader: FileReader) -> None:
    bomb = zeros(600 << 20)
    assert len(bomb) < 4 << 20
    started = time.monotonic()
    documents, (problem,) = read(reader, "bomb.docx", bomb)
    assert (documents, problem.code) == ([], "data.too-large")
    assert "unpacks to 600 MiB" in problem.message
    assert time.monotonic() - started < 30


def test_a_bomb_that_lies_about_its_size_meets_a_limit() -> None:
    body = docx(paragraph("x" * (160 << 20)))
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        size = archive.getinfo("word/document.xml").file_size
    lying = body.replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert lying != body
    with FileReader(DocumentsSection(max_memory_mib=160)) as reader:
        documents, (problem,) = read(reader, "liar.docx", lying)
        assert documents == []
        assert problem.code in {"data.too-large", "data.damaged"}
        documents, (problem,) = read(reader, "honest.docx", body)
        assert documents == []
        assert problem.code == "data.too-large"


LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(97 + i)} '{f'&{chr(96 + i)};' * 10}'>" for i in range(1, 12)
)


@pytest.mark.parametrize("name", ["laughs.docx", "laughs.xml", "laughs.odt", "laughs.epub", "laughs.html"])
def test_a_billion_laughs(reader: FileReader, name: str) -> None:
    prolog = LAUGHS + "]>"
    data = docx(paragraph("&l;"), prolog=prolog)
    if not name.endswith(".docx"):
        data = f'<?xml version="1.0"?>{prolog}<x>&l;</x>'.encode()
    if name.endswith((".odt", ".epub")):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
            archive.writestr("content.xml", data)
        data = out.getvalue()
    documents, problems = read(reader, name, data)
    assert sum(len(d.text) for d in documents) < 10_000
    if name.endswith(".docx"):
        assert [p.code for p in problems] == ["data.damaged"]
        assert "entities" in problems[0].message


def deep_mail(depth: int) -> bytes:
    return b"Subject: x\r\nContent-Type: message/rfc822\r\n\r\n" * depth + b"Subject: end\r\n\r\nend"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("deep.docx", docx("<w:tbl><w:tr><w:tc>" * 20_000 + paragraph("x") + "</w:tc></w:tr></w:tbl>" * 20_000)),
        ("deep.xml", b"<a>" * 200_000 + b"x" + b"</a>" * 200_000),
        ("deep.html", b"<div>" * 50_000 + b"x"),
        ("deep.eml", deep_mail(2000)),
        ("deep.rtf", b"{\\rtf1 " + b"{" * 200_000 + b"x" + b"}" * 200_001),
        ("deep.pdf", b"%PDF-1.4\n1 0 obj\n" + b"[" * 200_000 + b"]" * 200_000 + b"\nendobj\ntrailer<</Root 1 0 R>>"),
        ("deep.json", b"[" * 200_000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_deep_nesting(reader: FileReader, name: str, data: bytes) -> None:
    documents, problems = read(reader, name, data)
    assert documents or problems
    assert all(p.file == name and p.cure for p in problems)


def test_names_that_lead_elsewhere_write_nothing(reader: FileReader, tmp_path: Path) -> None:
    target = tmp_path / "owned"
    names = {f"../../../../../..{target}": b"x", str(target): b"x", "word/../../../owned": b"x"}
    documents, _ = read(reader, "../../etc/slip.docx", docx(paragraph("fine"), more=names))
    assert [d.text for d in documents] == ["fine"]
    assert not target.exists()


def test_links_out_of_the_project_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    project = tmp_path / "project"
    (project / "docs").mkdir(parents=True)
    (project / "docs" / "a.txt").write_text("fine")
    (project / "docs" / "link.txt").symlink_to(secret)
    (project / "docs" / "inside.txt").symlink_to(project / "docs" / "a.txt")
    (project / "docs" / "loop").symlink_to(project / "docs")
    documents, problems = load_documents(DocumentsSection(paths=("docs",)), project)
    assert sorted(d.id for d in documents) == ["docs/a.txt", "docs/inside.txt"]
    assert {(p.file, p.severity) for p in problems} == {("docs/link.txt", "warning"), ("docs/loop", "warning")}
    named, _ = load_documents(DocumentsSection(paths=("docs/link.txt",)), project)
    assert [d.text for d in named] == ["secret"]


def test_50_mb_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "big.pdf").write_bytes(b"%PDF-1.7\n" + bytes(50 << 20))
    with FileReader(DocumentsSection()) as reader:
        _, (problem,) = reader.read(Loaded(name="big.pdf", path=str(tmp_path / "big.pdf")))
        assert (problem.code, reader.worker.started) == ("data.too-large", 0)


def test_too_much_text_is_refused() -> None:
    with FileReader(DocumentsSection(max_mib=0.5)) as reader:
        _, (problem,) = reader.read(Loaded(name="a.docx", data=docx(paragraph("word " * 200_000))))
        assert problem.code == "data.too-large"
        assert "characters" in problem.message


def test_what_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "long.docx"
    path.write_bytes(docx(paragraph("A flight control law generates commands. ") * 20_000))
    with FileReader(DocumentsSection(max_seconds=60)) as reader:
        assert reader.read(Loaded(name="a.docx", data=docx(paragraph("x"))))[1] == []
        reader.worker.seconds = 0.001
        _, (problem,) = reader.read(Loaded(name=path.name, path=str(path)))
        assert problem.code == "data.timeout"
        assert "max_seconds" in problem.cure
        reader.worker.seconds = 60
        assert reader.read(Loaded(name=path.name, path=str(path)))[1] == []
        assert reader.worker.started == 2


def killed_while_reading(worker: Worker, name: str) -> Any:
    """Read a file in a stopped process that is killed a moment later."""
    assert worker._process is not None
    pid = worker._process.pid
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    timer.start()
    try:
        return worker.read("office", {}, name=name, data=docx(paragraph("read")))
    finally:
        timer.join()


def test_a_process_that_dies_is_replaced() -> None:
    worker = Worker(seconds=60, memory_mib=1024, limit=1 << 20)
    worker.read("office", {}, name="a.docx", data=docx(paragraph("x")))
    ((_, document),) = killed_while_reading(worker, "b.docx")
    assert isinstance(document, Document)
    assert (document.text, worker.started) == ("read", 2), "what died may have been worn by others: once more"
    worker._served = 0
    with pytest.raises(ReaderCrashed, match=r"b.docx: .*signal 9"):
        killed_while_reading(worker, "b.docx")
    worker.close()
    worker.close()


def test_the_process_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    worker = Worker(seconds=60, memory_mib=1024, limit=1 << 20)
    worker.read("office", {}, name="a.docx", data=docx(paragraph("x")))
    assert worker._process is not None
    pid = worker._process.pid
    assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    worker.close()
    assert not Path(f"/proc/{pid}").exists()


REAL = ("multi_page.pdf", "test.docx", "test.pptx", "test.xlsx", "test.epub", "fake.doc", "tests-example.xls")
MORE = ("attachment_pdf.eml", "test_outlook_msg.msg", "fake.odt", "test.rtf", "linn.pdf")


@functools.cache
def real_files() -> dict[str, bytes]:
    """Files that people made with many programs."""
    return {name: (folder("messy_documents") / "files" / name).read_bytes() for name in REAL + MORE}


@functools.cache
def made_files() -> dict[str, bytes]:
    """A sound file of each kind that can be written here."""
    slides, sheets = io.BytesIO(), io.BytesIO()
    deck = pptx.Presentation()
    for number in range(3):
        deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = f"Slide {number} about pumps"
    deck.save(slides)
    with xlsxwriter.Workbook(sheets) as book:
        page = book.add_worksheet("Pumps")
        for number in range(20):
            page.write_row(number, 0, [f"pump {number}", number * 7])
    mail = EmailMessage()
    mail["Subject"] = "Pumps"
    mail.set_content("The pump in the yard is broken.\n" * 5)
    mail.add_attachment("valve, 4\nhose, 5\n", filename="list.csv", subtype="csv")
    stream = b"BT /F1 12 Tf 72 720 Td (The pump in the yard is broken.) Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    pdf = b"%PDF-1.4\n" + b"".join(b"%d 0 obj%s endobj\n" % pair for pair in enumerate(objects, 1))
    return {
        "made.docx": docx("".join(paragraph(f"The pump number {n} is broken.") for n in range(30))),
        "made.eml": bytes(mail),
        "made.pdf": pdf + b"trailer<</Root 1 0 R/Size 6>>\n%%EOF",
        "made.pptx": slides.getvalue(),
        "made.rtf": b"{\\rtf1\\ansi The pump in the yard is {\\b broken}.\\par}",
        "made.xlsx": sheets.getvalue(),
    }


@pytest.mark.parametrize(
    ("name", "phrase", "place"),
    [
        ("made.docx", "pump number 29", ""),
        ("made.eml", "hose", "attachment list.csv, row 1"),
        ("made.pdf", "in the yard", "page 1"),
        ("made.pptx", "Slide 2 about pumps", "slide 3"),
        ("made.rtf", "in the yard", ""),
        ("made.xlsx", "pump 19", "sheet Pumps"),
    ],
)
def test_a_sound_file_of_each_kind_is_read_with_its_places(
    reader: FileReader, name: str, phrase: str, place: str
) -> None:
    (document,), problems = reader.read(Loaded(name=name, data=made_files()[name]))
    assert problems == []
    at = document.text.index(phrase)
    assert ["", *(one.label for one in document.places if one.start <= at)][-1] == place


@pytest.mark.parametrize("files", [made_files, *whole_sets(real_files)])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    number=st.integers(0, len(REAL + MORE) - 1),
    cut=st.floats(0.01, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=20),
)
def test_cut_and_flipped_files_stop_nothing(
    reader: FileReader, files: Callable[[], dict[str, bytes]], number: int, cut: float, flips: list[tuple[float, int]]
) -> None:
    found = files()
    name = list(found)[number % len(found)]
    data = bytearray(found[name])
    del data[max(1, int(cut * len(data))) :]
    for where, mask in flips:
        data[int(where * (len(data) - 1))] ^= mask
    documents, problems = reader.read(Loaded(name=name, data=bytes(data)))
    assert documents or problems
    assert all(problem.file == name and problem.cure for problem in problems)


def test_a_module_planted_in_the_temporary_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with FileReader(DocumentsSection()) as reader:
        assert read(reader, "a.docx", docx(paragraph("x")))[1] == []
    assert not (tmp_path / "ran").exists()
