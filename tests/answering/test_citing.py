"""Where the quoted words stand is named for every format: page, row, sheet, slide, part of a mail, section, line."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from small_project import write_project
from twofold.cli.ask import record, text
from twofold.project import Project
from twofold.reports import archive

BOOK = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def pdf(*pages: str) -> bytes:
    """A PDF with one line of text on each page."""
    kids = " ".join(f"{4 + 2 * n + 1} 0 R" for n in range(len(pages)))
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, words in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 700 Td ({words}) Tj ET"
        bodies.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
        bodies.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {4 + 2 * number} 0 R >>"
        )
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    tail = f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}trailer << /Size {len(bodies) + 1} /Root 1 0 R >>\n"
    return out + f"{tail}startxref\n{len(out)}\n%%EOF".encode()


def package(parts: dict[str, str]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name, body in parts.items():
            file.writestr(name, body)
    return held.getvalue()


def relations(**targets: str) -> str:
    rows = "".join(
        f'<Relationship Id="{name}" Type="{RELATED}/{name.rstrip("0123456789")}" Target="{target}"/>'
        for name, target in targets.items()
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{rows}</Relationships>'


def workbook(**sheets: list[list[str]]) -> bytes:
    listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="worksheet{n}"/>' for n, name in enumerate(sheets, 1))
    parts = {
        "_rels/.rels": relations(officeDocument="xl/workbook.xml"),
        "xl/workbook.xml": f"<workbook {BOOK} {R}><sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": relations(**{f"worksheet{n}": f"s{n}.xml" for n in range(1, len(sheets) + 1)}),
    }
    for number, rows in enumerate(sheets.values(), 1):
        body = "".join(
            f'<row r="{at}">'
            + "".join(f'<c r="{"ABCD"[c]}{at}" t="inlineStr"><is><t>{v}</t></is></c>' for c, v in enumerate(row))
            + "</row>"
            for at, row in enumerate(rows, 1)
        )
        parts[f"xl/s{number}.xml"] = f"<worksheet {BOOK}><sheetData>{body}</sheetData></worksheet>"
    return package(parts)


def show(*slides: str) -> bytes:
    pptx = pytest.importorskip("pptx")
    made = pptx.Presentation()
    for words in slides:
        page = made.slides.add_slide(made.slide_layouts[1])
        page.shapes.title.text, page.placeholders[1].text = words.split("|")
    held = io.BytesIO()
    made.save(held)
    return held.getvalue()


def mail() -> bytes:
    made = EmailMessage()
    made["Subject"] = "Costs of 2031"
    made.set_content("The alpha mail says 11 EUR.")
    made.add_attachment(
        pdf("Nothing here.", "The beta mail says 22 EUR."), maintype="application", subtype="pdf", filename="b.pdf"
    )
    made.add_attachment("item,cost\npen,1\ngamma mail,33 EUR\n", subtype="csv", filename="c.csv")
    return made.as_bytes()


def files(root: Path) -> None:
    (root / "prices.pdf").write_bytes(
        pdf("Alpha pages cost 11 EUR.", "Beta pages cost 22 EUR.", "Gamma pages cost 33 EUR.")
    )
    (root / "rows.csv").write_text("id,name,city\n7,Ada Lund,Oslo\n8,Ben Rossi,Rome\n", encoding="utf-8")
    (root / "plain.csv").write_text("name;town\nIda;Bern\nUlf;Kiel am See\n", encoding="utf-8")
    (root / "wide.tsv").write_text("text\tby\nIt broke in Lyon.\tMia\nIt broke in Turin.\tTom\n", encoding="utf-8")
    (root / "book.xlsx").write_bytes(
        workbook(Rates=[["zone", "rate"], ["north", "12 kr"], ["south", "19 kr"]], Staff=[["who"], ["Zoe Quist"]])
    )
    (root / "deck.pptx").write_bytes(show("Welcome|We begin.", "Targets|The third target is 480 units."))
    (root / "costs.eml").write_bytes(mail())
    (root / "recs.jsonl").write_text(
        json.dumps({"id": "a", "text": "The first lamp is amber."}) + "\n"
        + json.dumps({"text": "The second lamp is violet."}) + "\n", encoding="utf-8",
    )  # fmt: skip
    (root / "guide.md").write_text("# Guide\n\nHello.\n\n## Fees\n\nThe fee of the quay is 5 kr.\n", encoding="utf-8")
    (root / "page.html").write_text(
        "<title>Page</title><h1>Rules</h1><p>Hi.</p><h2>Pets</h2><p>Otters stay outside the fence.</p>",
        encoding="utf-8",
    )
    (root / "log.txt").write_text("one\ntwo\nThe valve opened at noon.\n", encoding="utf-8")
    with sqlite3.connect(root.parent / "shop.db") as shop:
        shop.execute("CREATE TABLE stock (id INTEGER, item TEXT, amount TEXT)")
        shop.executemany("INSERT INTO stock VALUES (?, ?, ?)", [(1, "bolt", "3 boxes"), (2, "washer", "47 boxes")])
    shop.close()


CASES = {
    "Gamma pages cost 33 EUR": ("What do gamma pages cost?", "docs/prices.pdf", "page 3"),
    "Rome": ("In which city is Ben Rossi?", "docs/rows.csv", "row 2"),
    "Kiel am See": ("In which town is Ulf?", "docs/plain.csv", "row 2"),
    "broke in Turin": ("What broke in Turin, says Tom?", "docs/wide.tsv", "row 2"),
    "19 kr": ("What is the rate of the zone south?", "docs/book.xlsx", "sheet Rates, row 3"),
    "Zoe Quist": ("Who is the staff Quist?", "docs/book.xlsx", "sheet Staff, row 2"),
    "480 units": ("What is the third target?", "docs/deck.pptx", "slide 2"),
    "alpha mail says 11 EUR": ("What does the alpha mail say?", "docs/costs.eml", "message"),
    "beta mail says 22 EUR": ("What does the beta mail say?", "docs/costs.eml", "attachment b.pdf, page 2"),
    "33 EUR": ("What is the cost of the gamma mail item?", "docs/costs.eml", "attachment c.csv, row 2"),
    "second lamp is violet": ("Which colour is the second lamp?", "docs/recs.jsonl", "line 2"),
    "fee of the quay is 5 kr": ("What is the fee of the quay?", "docs/guide.md", "section Fees, line 7"),
    "Otters stay outside": ("Where do otters stay?", "docs/page.html", "section Pets"),
    "valve opened at noon": ("When did the valve open?", "docs/log.txt", "line 3"),
    "47 boxes": ("What amount of the washer item?", "[1] shop:2, ", "row with id 2"),
}
"""Words of an answer → the question, where the document is named, and the place."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    settings = '[sources.shop]\nkind = "sql"\nurl = "sqlite:///shop.db"\nquery = "SELECT id, item, amount FROM stock"\n'
    root = write_project(
        tmp_path_factory.mktemp("places") / "p", [], [("x", "What?", "x")], copies=15, settings=settings
    )
    (root / "docs").mkdir()
    files(root / "docs")
    place = root / "twofold.toml"
    place.write_text(place.read_text(encoding="utf-8").replace("data/documents.jsonl", "docs"), encoding="utf-8")
    with Project.open(root) as opened:
        opened.sync()
        yield opened


@pytest.mark.parametrize("words", CASES)
def test_the_place_of_the_quote_is_shown_and_recorded(project: Project, words: str) -> None:
    question, name, place = CASES[words]
    options = {"mode": "fixed", "fixed": f"[1] {words}"}
    with Project.open(project.directory, {"generation": {"generator": {"options": options}}}) as opened:
        answer, made_by = opened.ask(question, arm="rag")
    shown = text(answer, made_by)
    line = next(row for row in shown.splitlines() if row.startswith("[1] "))
    assert name in line, shown
    assert line.endswith(f", {place}"), shown
    assert f"quote: “{words}”" in shown
    (citation,) = record(answer, made_by)["citations"]
    assert citation["place"] == place
    assert (citation["text"], citation["exact"]) == (words, True)


def test_a_study_s_record_and_report_name_it_too(tmp_path: Path) -> None:
    settings = '[study]\narms = ["base", "rag"]\ndiagnostics = []\nlatency_sample = 0\nresamples = 400\n'
    asked = [
        ("docs/prices.pdf", "What do gamma pages cost?", "33 EUR"),
        ("docs/rows.csv#8", "Where is Ben Rossi?", "Rome"),
    ]
    root = write_project(tmp_path / "p", [], asked, copies=20, settings=settings)
    (root / "docs").mkdir()
    files(root / "docs")
    place = root / "twofold.toml"
    place.write_text(place.read_text(encoding="utf-8").replace("data/documents.jsonl", "docs"), encoding="utf-8")
    said = {"mode": "fixed", "fixed": "[1] Gamma pages cost 33 EUR"}
    with Project.open(root, {"generation": {"generator": {"options": said}}}) as opened:
        opened.study()
        (study,) = archive.names(opened.records)
        rows = archive.read_answers(opened.records / study)
    places = {
        (citation["document"], citation["place"])
        for row in rows for answer in row["arms"].values() for citation in answer["citations"]
    }  # fmt: skip
    assert ("docs/prices.pdf", "page 3") in places
    page = (root / "studies" / study / "report.html").read_text(encoding="utf-8")
    assert "docs/prices.pdf" in page
    assert "page 3" in page
    assert "docs/rows.csv#8" in page
    assert "row 2" in page
