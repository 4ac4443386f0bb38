# ruff: noqa: E501 - one small file a line
"""What is read of each format and what is not: small files with one feature each, and the table of what becomes of them.

python tests/corpus/features.py writes the table into docs/what-is-read.md.
"""

from __future__ import annotations

import base64
import io
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twofold.config import DocumentsSection
from twofold.corpus.files import FileReader
from twofold.types import Loaded

PAGE = Path(__file__).resolve().parents[2] / "docs" / "what-is-read.md"
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
C = 'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"'
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
MATH = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'


@dataclass(frozen=True)
class Feature:
    """A small file, what must stand in its text, and what must not."""

    format: str
    what: str
    data: bytes
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...] = ()


def package(parts: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return made.getvalue()


def relations(**targets: str) -> str:
    lines = (
        f'<Relationship Id="{key}" Type="{REL}/{key.rstrip("0123456789")}" Target="{to}"/>'
        for key, to in targets.items()
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{"".join(lines)}</Relationships>'


def word(body: str, **parts: str) -> bytes:
    head = f'<w:document {W} {R} {A} {C} {MC} {MATH} xmlns:dgm="d" xmlns:v="v" xmlns:o="o">'
    files = {
        "_rels/.rels": relations(officeDocument="word/document.xml"),
        "word/document.xml": f"{head}<w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": relations(**{name: f"{name}.xml" for name in parts}),
    }
    return package(files | {f"word/{name}.xml": text for name, text in parts.items()})


def p(inner: str, format_: str = "") -> str:
    return f"<w:p>{f'<w:pPr>{format_}</w:pPr>' if format_ else ''}{inner}</w:p>"


def r(text: str, look: str = "") -> str:
    return f'<w:r>{f"<w:rPr>{look}</w:rPr>" if look else ""}<w:t xml:space="preserve">{text}</w:t></w:r>'


def sheet(rows: str, *, after: str = "", styles: str = "", state: str = "", **parts: str) -> bytes:
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    files = {
        "_rels/.rels": relations(officeDocument="xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook {main} {R}><sheets><sheet name="Plan" sheetId="1" {state} r:id="worksheet"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(worksheet="sheet1.xml", styles="styles.xml"),
        "xl/sheet1.xml": f"<worksheet {main} {R}><sheetData>{rows}</sheetData>{after}</worksheet>",
        "xl/styles.xml": f"<styleSheet {main}>{styles}</styleSheet>",
        "xl/_rels/sheet1.xml.rels": relations(**{name: f"{name}.xml" for name in parts}),
    }
    return package(files | {f"xl/{name}.xml": text for name, text in parts.items()})


def cell(place: str, value: str, style: int = 0) -> str:
    if value.replace(".", "", 1).isdigit():
        return f'<c r="{place}" s="{style}"><v>{value}</v></c>'
    return f'<c r="{place}" s="{style}" t="inlineStr"><is><t>{value}</t></is></c>'


def formats(*codes: str) -> str:
    own = "".join(f'<numFmt numFmtId="{170 + n}" formatCode="{code}"/>' for n, code in enumerate(codes))
    used = "".join(f'<xf numFmtId="{170 + n}" fontId="0"/>' for n in range(len(codes)))
    return f'<numFmts>{own}</numFmts><fonts><font/><font><strike/></font></fonts><cellXfs><xf numFmtId="0" fontId="0"/>{used}<xf numFmtId="0" fontId="1"/></cellXfs>'


def slides(shapes: str, *, show: str = "", **parts: str) -> bytes:
    space = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
    files = {
        "_rels/.rels": relations(officeDocument="ppt/presentation.xml"),
        "ppt/presentation.xml": f'<p:presentation {space} {R}><p:sldIdLst><p:sldId id="256" r:id="slide"/></p:sldIdLst></p:presentation>',
        "ppt/_rels/presentation.xml.rels": relations(slide="slide1.xml"),
        "ppt/slide1.xml": f'<p:sld {space} {R} {A} {C} xmlns:dgm="d" {show}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>',
        "ppt/_rels/slide1.xml.rels": relations(**{name: f"{name}.xml" for name in parts}),
    }
    return package(files | {f"ppt/{name}.xml": text for name, text in parts.items()})


def shape(inner: str, kind: str = "") -> str:
    held = f'<p:ph type="{kind}"/>' if kind else ""
    place = f'<p:nvSpPr><p:cNvPr id="2" name="x"/><p:nvPr>{held}</p:nvPr></p:nvSpPr>'
    return f"<p:sp>{place}<p:txBody>{inner}</p:txBody></p:sp>"


def ap(text: str, look: str = "", format_: str = "") -> str:
    return f"<a:p>{format_}<a:r><a:rPr {look}/><a:t>{text}</a:t></a:r></a:p>"


CHART = (
    f"<c:chartSpace {C} {A}><c:chart><c:title><c:tx><c:rich><a:p><a:r><a:t>Sales</a:t></a:r></a:p></c:rich></c:tx></c:title>"
    "<c:plotArea><c:barChart><c:ser><c:tx><c:strRef><c:strCache><c:pt idx='0'><c:v>Q1</c:v></c:pt></c:strCache></c:strRef></c:tx>"
    "<c:cat><c:strRef><c:strCache><c:pt idx='0'><c:v>East</c:v></c:pt><c:pt idx='1'><c:v>West</c:v></c:pt></c:strCache></c:strRef></c:cat>"
    "<c:val><c:numRef><c:numCache><c:formatCode>0%</c:formatCode><c:pt idx='0'><c:v>0.31</c:v></c:pt><c:pt idx='1'><c:v>0.69</c:v></c:pt>"
    "</c:numCache></c:numRef></c:val></c:ser></c:barChart></c:plotArea></c:chart></c:chartSpace>"
)
DIAGRAM = (
    f'<d:dataModel xmlns:d="d" {A}><d:ptLst><d:pt><d:t>{ap("Rinse the tank")}</d:t></d:pt></d:ptLst></d:dataModel>'
)
NUMBERS = (
    f'<w:numbering {W}><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>'
    '<w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl></w:abstractNum>'
    '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num></w:numbering>'
)


def item(text: str, level: int = 0) -> str:
    return p(r(text), f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr>')


def box(text: str) -> str:
    return f"<w:txbxContent>{p(r(text))}</w:txbxContent>"


def tc(inner: str, format_: str = "") -> str:
    return f"<w:tc><w:tcPr>{format_}</w:tcPr>{inner}</w:tc>"


def notes(kind: str, text: str) -> str:
    return f'<w:{kind}s {W}><w:{kind} w:id="2" w:author="Ann">{p(r(text))}</w:{kind}></w:{kind}s>'


def html(body: str) -> bytes:
    return f"<!doctype html><html><head><meta charset=utf-8><title>T</title></head><body>{body}</body></html>".encode()


def mail(body: str, kind: str = "multipart/mixed; boundary=B") -> bytes:
    return f"Subject: S\nFrom: a@example.org\nMIME-Version: 1.0\nContent-Type: {kind}\n\n{body}".encode()


def mixed(*parts: str) -> bytes:
    return mail(part("text/plain", "x") + "".join(parts) + "--B--")


def part(kind: str, text: str, more: str = "") -> str:
    return f"--B\nContent-Type: {kind}\n{more}\n{text}\n"


def pdf(lines: str, *, objects: Sequence[str] = (), page: str = "", root: str = "") -> bytes:
    """A PDF of one page with the drawing commands `lines`; `objects` are numbered from 4."""
    first = 4 + len(objects)
    bodies = [
        f"<< /Type /Catalog /Pages 2 0 R {root} >>",
        f"<< /Type /Pages /Kids [{first + 1} 0 R] /Count 1 >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        *objects,
        f"<< /Length {len(lines)} >>\nstream\n{lines}\nendstream",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents {first} 0 R {page} >>",
    ]
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}trailer << /Size {len(bodies) + 1} /Root 1 0 R >>\n"
    return out + f"{end}startxref\n{len(out)}\n%%EOF".encode()


def shown(*lines: str) -> str:
    return "BT /F1 12 Tf 72 700 Td " + " 0 -14 Td ".join(lines) + " ET"


def fld(instruction: str, result: str) -> str:
    begin, mid, end = (f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>' for kind in ("begin", "separate", "end"))
    return f"{begin}<w:r><w:instrText>{instruction}</w:instrText></w:r>{mid}{result}{end}"


def sdt(inner: str, settings: str = "") -> str:
    return f"<w:sdt><w:sdtPr>{settings}</w:sdtPr><w:sdtContent>{inner}</w:sdtContent></w:sdt>"


def tbl(*rows: Sequence[str]) -> str:
    lines = (f"<w:tr>{''.join(row)}</w:tr>" for row in rows)
    return f"<w:tbl>{''.join(lines)}</w:tbl>"


def gs(*shapes: str) -> str:
    return f"<p:grpSp>{''.join(shapes)}</p:grpSp>"


def table_of(*rows: Sequence[str]) -> str:
    lines = ("".join(f"<a:tc><a:txBody>{ap(one)}</a:txBody></a:tc>" for one in row) for row in rows)
    return f"<p:graphicFrame><a:tbl>{''.join(f'<a:tr>{line}</a:tr>' for line in lines)}</a:tbl></p:graphicFrame>"


def b(text: str) -> bytes:
    return text.encode()


OPEN = "urn:oasis:names:tc:opendocument:xmlns:"
NS = " ".join(
    (
        *(f'xmlns:{name}="{OPEN}{name}:1.0"' for name in ("office", "text", "table", "style")),
        f'xmlns:draw="{OPEN}drawing:1.0" xmlns:svg="{OPEN}svg-compatible:1.0"',
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"',
    )
)


def look(name: str, settings: str) -> str:
    return f'<style:style style:name="{name}" style:family="text"><style:text-properties {settings}/></style:style>'


STYLES = "".join(
    (
        "<office:automatic-styles>",
        look("up", 'style:text-position="super 58%"'),
        look("low", 'style:text-position="sub 58%"'),
        look("gone", 'style:text-line-through-style="solid"'),
        look("hid", 'text:display="none"'),
        '<text:list-style style:name="L"><text:list-level-style-number text:level="1" style:num-format="1" ',
        'style:num-suffix="."/></text:list-style></office:automatic-styles>',
    )
)


def odt(body: str, kind: str = "text") -> bytes:
    media = f"application/vnd.oasis.opendocument.{kind}"
    content = f"<office:document-content {NS}>{STYLES}<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    entry = f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{media}"/>'
    listed = f'<manifest:manifest xmlns:manifest="{OPEN}manifest:1.0">{entry}</manifest:manifest>'
    return package({"mimetype": media, "content.xml": content, "META-INF/manifest.xml": listed})


def tp(inner: str) -> str:
    return f"<text:p>{inner}</text:p>"


def sp(style: str, text: str) -> str:
    return f'<text:span text:style-name="{style}">{text}</text:span>'


def epub(*pages: str) -> bytes:
    items = "".join(
        f'<item id="p{n}" href="p%20{n}.xhtml" media-type="application/xhtml+xml"/>' for n, _ in enumerate(pages)
    )
    order = "".join(f'<itemref idref="p{n}"/>' for n, _ in enumerate(pages))
    root = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="OPS/b.opf"/></rootfiles></container>'
    book = f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{order}</spine></package>'
    held = {f"OPS/p {n}.xhtml": f"<html><body>{page}</body></html>" for n, page in enumerate(pages)}
    return package({"mimetype": "application/epub+zip", "META-INF/container.xml": root, "OPS/b.opf": book, **held})


def rtf(text: str) -> bytes:
    return f"{{\\rtf1\\ansi\\deff0{{\\fonttbl{{\\f0 Arial;}}}}{text}}}".encode("cp1252")


SPAN, MERGE, STRUCK = '<w:gridSpan w:val="2"/>', '<w:vMerge w:val="restart"/>', 'strike="sngStrike"'
SUP = '<w:vertAlign w:val="superscript"/>'
FEATURES: tuple[Feature, ...] = (
    Feature("docx", "text box", word(p(r("The fee is 9 EUR.") + f"<w:r><w:pict><v:textbox>{box('Dial 4410.')}</v:textbox></w:pict></w:r>")), ("The fee is 9 EUR.", "Dial 4410.")),
    Feature("docx", "text box, two ways to draw it", word(p(r("Fee.") + f"<w:r><mc:AlternateContent><mc:Choice><w:drawing>{box('Dial 4410.')}</w:drawing></mc:Choice><mc:Fallback><w:pict>{box('Dial 4410.')}</w:pict></mc:Fallback></mc:AlternateContent></w:r>")), ("Fee.", "Dial 4410."), ("Dial 4410.\n\nDial 4410.",)),
    Feature("docx", "tab, page break, hyphen that does not break", word(p(r("Fee:") + "<w:r><w:tab/></w:r>" + r("9") + '<w:r><w:br w:type="page"/></w:r>' + r("EUR KX") + "<w:r><w:noBreakHyphen/></w:r>" + r("4471"))), ("Fee: 9 EUR KX-4471",)),
    Feature("docx", "numbers of lists", word(item("Open") + item("Valve", 1) + item("Tap", 1) + item("Close"), numbering=NUMBERS), ("1. Open\n1.a) Valve\n1.b) Tap\n2. Close",)),
    Feature("docx", "cell over columns", word(f"<w:tbl><w:tr>{tc(p(r('Fees')), SPAN)}{tc(p(r('Note')))}</w:tr><w:tr>{tc(p(r('a')))}{tc(p(r('b')))}{tc(p(r('c')))}</w:tr></w:tbl>"), ("Fees |  | Note\na | b | c",)),
    Feature("docx", "cell over rows", word(f"<w:tbl><w:tr>{tc(p(r('Hall')), MERGE)}{tc(p(r('Ada')))}</w:tr><w:tr>{tc(p(''), '<w:vMerge/>')}{tc(p(r('Cy')))}</w:tr></w:tbl>"), ("Hall | Ada\nHall | Cy",)),
    Feature("docx", "cell of several paragraphs", word(f"<w:tbl><w:tr>{tc(p(r('by mail')) + p(r('or phone')))}{tc(p(r('9')))}</w:tr></w:tbl>"), ("by mail or phone | 9",)),
    Feature("docx", "tracked changes", word(p(f"<w:moveFrom>{r('In 60 days.')}</w:moveFrom><w:del><w:r><w:delText>Never.</w:delText></w:r></w:del><w:ins>{r('In 30 days.')}</w:ins>")), ("In 30 days.",), ("60", "Never")),
    Feature("docx", "footnote and endnote", word(p(r("Fee") + '<w:r><w:footnoteReference w:id="2"/></w:r>' + r(" due") + '<w:r><w:endnoteReference w:id="2"/></w:r>'), footnotes=notes("footnote", "Students 3."), endnotes=notes("endnote", "Act 9.")), ("Fee[^1] due[^i]", "[^1]: Students 3.", "[^i]: Act 9.")),
    Feature("docx", "comment", word(p(r("Fee") + '<w:r><w:commentReference w:id="2"/></w:r>'), comments=notes("comment", "Ask Bo.")), ("Comment (Ann): Ask Bo.",)),
    Feature("docx", "raised and lowered", word(p(r("10") + r("6", SUP) + r(" H") + r("2", '<w:vertAlign w:val="subscript"/>') + r("O"))), ("10⁶ H2O",)),
    Feature("docx", "struck out", word(p(r("30 EUR", "<w:strike/>") + r(" 25 EUR"))), ("~~30 EUR~~ 25 EUR",)),
    Feature("docx", "formula", word(p("<m:oMath><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>b</m:t></m:r></m:den></m:f></m:oMath>")), ("a/b",)),
    Feature("docx", "chart", word(p('<w:r><w:drawing><c:chart r:id="chart"/></w:drawing></w:r>'), chart=CHART), ("Sales", "East | 31%", "West | 69%")),
    Feature("docx", "diagram (SmartArt)", word(p('<w:r><w:drawing><dgm:relIds r:dm="diagramData"/></w:drawing></w:r>'), diagramData=DIAGRAM), ("Rinse the tank",)),
    Feature("docx", "header", word(p(r("Text.")), header=f"<w:hdr {W}>{p(r('Plant B'))}</w:hdr>"), ("Plant B",)),
    Feature("docx", "picture's description", word(p('<w:r><w:drawing><wp:docPr xmlns:wp="w" descr="Red to pin 4"/></w:drawing></w:r>')), ("Red to pin 4",)),
    Feature("docx", "form: box and choice", word(p('<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData></w:fldChar></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>' + r(" agreed"))), ("☒ agreed",)),
    Feature("docx", "hidden text", word(p(r("Seen.") + r("Unseen.", "<w:vanish/>"))), ("Unseen.",)),
    Feature("docx", "another file put in", word(p(r("Seen.") + '<w:r><w:object><o:OLEObject ProgID="Excel.Sheet.12"/></w:object></w:r>')), ("Excel rows",)),
    Feature("xlsx", "percent, date, money", sheet(f"<row r='1'>{cell('A1', '0.25', 1)}{cell('B1', '47911', 2)}{cell('C1', '1234.5', 3)}</row>", styles=formats("0%", "dd.mm.yyyy", "#,##0.00 &quot;EUR&quot;")), ("25% | 04.03.2031 | 1,234.50 EUR",)),
    Feature("xlsx", "merged cells", sheet(f"<row r='1'>{cell('A1', 'Hall')}{cell('B1', 'Ada')}</row><row r='2'>{cell('B2', 'Cy')}</row>", after="<mergeCells><mergeCell ref='A1:A2'/></mergeCells>", styles=formats()), ("Hall | Ada\nHall | Cy",)),
    Feature("xlsx", "hidden sheet", sheet(f"<row r='1'>{cell('A1', 'Old')}</row>", state='state="hidden"', styles=formats()), ("Plan (hidden sheet)", "Old")),
    Feature("xlsx", "struck out", sheet(f"<row r='1'>{cell('A1', 'gone', 1)}{cell('B1', 'new')}</row>", styles=formats()), ("~~gone~~ | new",)),
    Feature("xlsx", "raised in a string", sheet("<row r='1'><c r='A1' t='inlineStr'><is><r><t>10</t></r><r><rPr><vertAlign val='superscript'/></rPr><t>6</t></r></is></c></row>", styles=formats()), ("10⁶",)),
    Feature("xlsx", "comment", sheet(f"<row r='1'>{cell('A1', 'x')}</row>", styles=formats(), comments="<comments><commentList><comment ref='A1'><text><t>Ask Bo</t></text></comment></commentList></comments>"), ("Comment at A1: Ask Bo",)),
    Feature("xlsx", "formula without result", sheet("<row r='1'><c r='A1'><f>SUM(B1:B2)</f></c></row>", styles=formats()), ("=SUM(B1:B2)",)),
    Feature("pptx", "chart", slides('<p:graphicFrame><c:chart r:id="chart"/></p:graphicFrame>', chart=CHART), ("East | 31%",)),
    Feature("pptx", "diagram (SmartArt)", slides('<p:graphicFrame><dgm:relIds r:dm="diagramData"/></p:graphicFrame>', diagramData=DIAGRAM), ("Rinse the tank",)),
    Feature("pptx", "hidden slide", slides(shape(ap("Plan B"), "title"), show='show="0"'), ("(hidden slide)", "# Plan B")),
    Feature("pptx", "raised, struck out", slides(shape(f'<a:p><a:r><a:t>10</a:t></a:r><a:r><a:rPr baseline="30000"/><a:t>6</a:t></a:r></a:p>{ap("30 EUR", STRUCK)}')), ("10⁶", "~~30 EUR~~")),
    Feature("pptx", "numbers of lists", slides(shape(ap("Open", format_='<a:pPr><a:buAutoNum type="arabicPeriod"/></a:pPr>') + ap("Close", format_='<a:pPr><a:buAutoNum type="arabicPeriod"/></a:pPr>'))), ("1. Open\n2. Close",)),
    Feature("pptx", "merged cells", slides(f'<p:graphicFrame><a:tbl><a:tr><a:tc rowSpan="2"><a:txBody>{ap("Hall")}</a:txBody></a:tc><a:tc><a:txBody>{ap("Ada")}</a:txBody></a:tc></a:tr><a:tr><a:tc vMerge="1"/><a:tc><a:txBody>{ap("Cy")}</a:txBody></a:tc></a:tr></a:tbl></p:graphicFrame>'), ("Hall | Ada\nHall | Cy",)),
    Feature("pptx", "speaker's notes", slides(shape(ap("A")), notesSlide=f'<p:notes xmlns:p="p" {A}>{shape(ap("Say hello"), "body")}</p:notes>'), ("Notes: Say hello",)),
    Feature("html", "text of buttons", html("<h3><button>May I return it?</button></h3><p>Yes.</p>"), ("### May I return it?",)),
    Feature("html", "hidden panel", html("<main><p>Seen.</p><div hidden>Windows: setup.exe</div></main>"), ("Windows: setup.exe",)),
    Feature("html", "outside the only article", html(f"<h1>Hours</h1><p>Open 7:40</p><article>{'Cat. ' * 80}</article>"), ("Open 7:40", "# Hours")),
    Feature("html", "alternative text, choices, text field", html("<img alt='Red to pin 4'><select><option>Malta<option>Gozo</select><textarea>config = on</textarea>"), ("Red to pin 4", "Malta", "Gozo", "config = on")),
    Feature("html", "formula (MathML)", html("<math><mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup></math>"), ("E = mc²",)),
    Feature("html", "raised, lowered, struck out", html("<p>10<sup>6</sup> H<sub>2</sub>O <del>30</del> 25</p>"), ("10⁶ H2O ~~30~~ 25",)),
    Feature("html", "cell of paragraphs or lists", html("<table><tr><td><p>by</p><p>mail</p><td>9</tr><tr><td><ul><li>a<li>b</ul><td>8</table>"), ("by mail | 9\na; b | 8",)),
    Feature("html", "cell over rows and columns", html("<table><tr><td rowspan=2>Mon<td>9<td>A</tr><tr><td>11<td>B</tr><tr><td colspan=2>all<td>E</table>"), ("Mon | 9 | A\nMon | 11 | B\nall |  | E",)),
    Feature("html", "numbers of lists", html("<ol start=3><li>Open<li>Close</ol>"), ("3. Open\n4. Close",)),
    Feature("html", "comments in code are no headings", html("<h1>Guide</h1><pre># as root\nmake</pre>"), ("~~~\n# as root\nmake\n~~~",)),
    Feature("html", "navigation", html("<nav>Home</nav><p>Text.</p>"), ("Home",)),
    Feature("md", "rule on line 1", b"---\n\nOpen till 17:45.\n\n---\n\nMore.\n", ("Open till 17:45.", "More.")),
    Feature("md", "folded front matter", b"---\ntitle: T\ndescription: >\n  Everyone gets 27\n  days of leave.\n---\nBody.\n", ("Everyone gets 27 days of leave.",)),
    Feature("md", "picture inside the text (base64)", b"# A\n![x](data:image/png;base64," + b"QUJD" * 40 + b")\nText.\n", ("QUJD",)),
    Feature("eml", "stub plain part", mail(part("text/plain", "See HTML.") + part("text/html", "<p>Pumps are 20 % off from 4 April in all shops.") + "--B--", "multipart/alternative; boundary=B"), ("20 % off",)),
    Feature("eml", "second text part", mail(part("text/plain", "One.") + part("text/plain", "Gate code 7781.") + "--B--"), ("One.", "Gate code 7781.")),
    Feature("eml", "calendar", mail("BEGIN:VEVENT\nSUMMARY:Review\nDTSTART:20310304T130000Z\nLOCATION:Room 5\nEND:VEVENT", "text/calendar"), ("Event: Review", "2031-03-04 13:00", "Room 5")),
    Feature("eml", "forwarded message", mail(part("text/plain", "Fwd.") + part("message/rfc822", "Subject: In\nFrom: b@example.org\n\npump,7 bar") + "--B--"), ("pump,7 bar",)),
    Feature("eml", "wrong charset", mail("Größe", "text/plain; charset=us-ascii\nContent-Transfer-Encoding: 8bit"), ("Größe",)),
    Feature("eml", "attachment", mail(part("text/plain", "x") + part("text/csv", "id,text\na,Price 9", "Content-Disposition: attachment; filename=a.csv\n") + "--B--"), ("Price 9",)),
    Feature("eml", "attachment without a reader", mail(part("text/plain", "x") + part("application/x-cad", "ABC", "Content-Disposition: attachment; filename=a.cad\n") + "--B--"), ("ABC",)),
    Feature("pdf", "compound at a line's end", pdf(shown("(This is a well-) Tj", "(known bit of infor-) Tj", "(mation in KX-) Tj", "(4471.) Tj")), ("well-known", "information", "KX-4471")),
    Feature("pdf", "raised digits", pdf(shown("(3 x 10) Tj 5 Ts /F1 7 Tf (6) Tj 0 Ts /F1 12 Tf")), ("10⁶",)),
    Feature("pdf", "values of a form", pdf(shown("(Name) Tj"), objects=["<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (Ada Lovelace) /Rect [72 500 200 520] /F 4 >>"], page="/Annots [4 0 R]", root="/AcroForm << /Fields [4 0 R] /DA (/F1 12 Tf) >>"), ("name: Ada Lovelace",)),
    Feature("pdf", "remark, struck out by a mark", pdf(shown("(30 EUR) Tj"), objects=["<< /Type /Annot /Subtype /StrikeOut /Rect [72 697 118 712] /QuadPoints [70 712 120 712 70 696 120 696] >>", "<< /Type /Annot /Subtype /FreeText /Contents (Call first) /Rect [72 400 200 420] /DA (/F1 12 Tf) >>"], page="/Annots [4 0 R 5 0 R]"), ("~~30 EUR~~", "Call first")),
    Feature("pdf", "struck out by a drawn line", pdf(shown("(30 EUR) Tj") + " 72 704 m 118 704 l S"), ("~~30 EUR~~",)),
    Feature("xml", "attributes", b'<doc><spec name="pressure" unit="bar">9</spec></doc>', ("spec (name: pressure, unit: bar): 9",)),
    Feature("docx", "tracked: paragraph moved (range)",  word('<w:p><w:moveFromRangeStart w:id="1" w:name="m"/><w:moveFrom>'+r("Pay in 60 days.")+'</w:moveFrom><w:moveFromRangeEnd w:id="1"/></w:p>'+p(r("Keep."))+'<w:p><w:moveTo>'+r("Pay in 60 days.")+'</w:moveTo></w:p>'), ("Keep.\n\nPay in 60 days.",),("60 days.\n\nKeep",)),
    Feature("docx", "tracked: deleted table row",  word(tbl([tc(p(r("a"))),tc(p(r("b")))])+'<w:tbl><w:tr><w:trPr><w:del w:id="3"/></w:trPr>'+tc(p('<w:del><w:r><w:delText>old</w:delText></w:r></w:del>'))+tc(p(''))+'</w:tr><w:tr>'+tc(p(r("x")))+tc(p(r("y")))+'</w:tr></w:tbl>'),("a | b","x | y"),("old",)),
    Feature("docx", "tracked: deleted paragraph mark joins",  word('<w:p><w:pPr><w:rPr><w:del w:id="1"/></w:rPr></w:pPr>'+r("The fee is ")+'</w:p>'+p(r("9 EUR."))),("The fee is 9 EUR.",)),
    Feature("docx", "field: reference, page, nested",  word(p(r("See ")+fld(" REF _Ref1 ",r("Table 4"))+r(" on page ")+fld(" PAGEREF ",r("7")))),("See Table 4 on page 7",)),
    Feature("docx", "field: simple",  word(p(r("Due ")+'<w:fldSimple w:instr="DATE">'+r("4 March")+'</w:fldSimple>')),("Due 4 March",),("DATE",)),
    Feature("docx", "field: hyperlink",  word(p('<w:hyperlink r:id="x">'+r("our page")+'</w:hyperlink>'+fld(' HYPERLINK "http://x" ',r(" and here")))),("our page and here",),("HYPERLINK",)),
    Feature("docx", "field: nested IF",  word(p('<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> IF </w:instrText></w:r>'+fld("MERGEFIELD x",r("INNER"))+'<w:r><w:instrText> = 1 </w:instrText></w:r><w:r><w:fldChar w:fldCharType="separate"/></w:r>'+r("Dear Ada")+'<w:r><w:fldChar w:fldCharType="end"/></w:r>')),("Dear Ada",),("INNER",)),
    Feature("docx", "content control: text, drop-down, date",  word(sdt(p(r("Block text")))+p(sdt(r("Oslo"),'<w:dropDownList><w:listItem w:value="Rome"/></w:dropDownList>')+r(" ")+sdt(r("4 March")))),("Block text","Oslo 4 March")),
    Feature("docx", "content control: check box w14",  word(p('<w:sdt><w:sdtPr><w14:checkbox xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml"><w14:checked w14:val="1"/></w14:checkbox></w:sdtPr><w:sdtContent>'+r("☒")+'</w:sdtContent></w:sdt>'+r(" agreed"))),("☒ agreed",)),
    Feature("docx", "content control around row and cell",  word('<w:tbl>'+sdt('<w:tr>'+tc(p(r("a")))+sdt(tc(p(r("b"))))+'</w:tr>')+'<w:tr>'+tc(p(r("c")))+tc(p(r("d")))+'</w:tr></w:tbl>'),("a | b\nc | d",)),
    Feature("docx", "content control: placeholder",  word(p(r("Name: ")+sdt(r("Click here to enter text."),'<w:showingPlcHdr/>'))),("Name:",)),
    Feature("docx", "footnote in a table",  word(tbl([tc(p(r("Fee")+'<w:r><w:footnoteReference w:id="2"/></w:r>')),tc(p(r("9")))],[tc(p(r("x"))),tc(p(r("y")))]),footnotes=notes("footnote","Students 3.")),("Fee[^1]","Students 3.")),
    Feature("docx", "comment in a table",  word(tbl([tc(p(r("Fee")+'<w:r><w:commentReference w:id="2"/></w:r>')),tc(p(r("9")))]),comments=notes("comment","Ask Bo.")),("Ask Bo.",)),
    Feature("docx", "equation: sum, root, sub, sup, matrix",  word(p("<m:oMath><m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup><m:r><m:t>+</m:t></m:r><m:rad><m:deg/><m:e><m:r><m:t>y</m:t></m:r></m:e></m:rad></m:oMath>")),("x²+","y")),
    Feature("docx", "nested table",  word(tbl([tc(p(r("Plan"))+tbl([tc(p(r("in1"))),tc(p(r("in2")))],[tc(p(r("in3"))),tc(p(r("in4")))])+p("")),tc(p(r("B")))],[tc(p(r("c"))),tc(p(r("d")))])),("in1","in4","c | d")),
    Feature("docx", "table with a title row and heading inside cell",  word(tbl([tc(p(r("Big"),'<w:pStyle w:val="Heading1"/>')),tc(p(r("x")))],[tc(p(r("a"))),tc(p(r("b")))])),("Big | x\na | b",)),
    Feature("docx", "smart tag, bidi, proof errors",  word(p('<w:smartTag>'+r("Os")+'</w:smartTag><w:proofErr w:type="spellStart"/>'+r("lo")+'<w:bdo w:val="rtl">'+r(" x")+'</w:bdo>')),("Oslo x",)),
    Feature("docx", "soft hyphen and optional break",  word(p(r("Kran")+"<w:r><w:softHyphen/></w:r>"+r("ken"))),("Kranken",)),
    Feature("docx", "positional tab, carriage return",  word(p(r("A")+'<w:r><w:ptab w:alignment="right"/></w:r>'+r("B")+"<w:r><w:cr/></w:r>"+r("C"))),("A B\nC",)),
    Feature("docx", "small and all caps",  word(p(r("nato","<w:caps/>"))),("nato",)),
    Feature("docx", "page number fields in body (PAGE)",  word(p("<w:r><w:t>p </w:t></w:r><w:r><w:pgNum/></w:r>")),("p",)),
    Feature("docx", "text watermark in header",  word(p(r("Text."))+'',header=f'<w:hdr {W} xmlns:v="v"><w:p><w:r><w:pict><v:shape><v:textpath string="DRAFT"/></v:shape></w:pict></w:r></w:p></w:hdr>'),("DRAFT",)),
    Feature("docx", "symbol font: arrow, check",  word(p('<w:r><w:sym w:font="Wingdings" w:char="F0FC"/></w:r>'+r(" done"))),("✓ done",)),
    Feature("docx", "list restart, second list",  word(item("A")+item("B")+p(r("Text"))+p(r("C"),'<w:numPr><w:ilvl w:val="0"/><w:numId w:val="2"/></w:numPr>'),numbering=NUMBERS.replace('</w:numbering>','<w:num w:numId="2"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num></w:numbering>')),("1. A\n2. B","1. C")),
    Feature("docx", "bullets",  word(p(r("A"),'<w:numPr><w:ilvl w:val="0"/><w:numId w:val="3"/></w:numPr>'),numbering=NUMBERS.replace('</w:numbering>','<w:abstractNum w:abstractNumId="9"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="&#xF0B7;"/></w:lvl></w:abstractNum><w:num w:numId="3"><w:abstractNumId w:val="9"/></w:num></w:numbering>')),("- A",)),
    Feature("docx", "bibliography, citation control",  word(p(r("As said ")+sdt(r("(Lund 2031)"),"<w:citation/>"))),("As said (Lund 2031)",)),
    Feature("docx", "group of shapes with text",  word(p('<w:r><mc:AlternateContent><mc:Choice Requires="wpg"><w:drawing><wpg:wgp xmlns:wpg="g" xmlns:wps="s"><wps:wsp><wps:txbx>'+box("Left")+'</wps:txbx></wps:wsp><wps:wsp><wps:txbx>'+box("Right")+'</wps:txbx></wps:wsp></wpg:wgp></w:drawing></mc:Choice></mc:AlternateContent></w:r>')),("Left","Right")),
    Feature("docx", "text of a drawing's shape without choice", word(p('<w:r><mc:AlternateContent><mc:Choice Requires="wps"/><mc:Fallback><w:pict>'+box("Only here")+'</w:pict></mc:Fallback></mc:AlternateContent></w:r>')),("Only here",)),
    Feature("docx", "picture without a description", word(p(r("Seen")+'<w:r><w:drawing><wp:docPr xmlns:wp="w" id="1" name="Picture 1"/><a:blip r:embed="rId5"/></w:drawing></w:r>')),("PICTURE TEXT",)),
    Feature("docx", "cell's own numbering", word(tbl([tc(item("Open")),tc(p(r("x")))],[tc(item("Close")),tc(p(r("y")))]),numbering=NUMBERS),("1. Open | x\n2. Close | y",)),
    Feature("docx", "heading with number from style", word(p(r("Scope"),'<w:pStyle w:val="H"/>'),styles=f'<w:styles {W}><w:style w:type="paragraph" w:styleId="H"><w:name w:val="heading 2"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style></w:styles>',numbering=NUMBERS),("## 1. Scope",)),
    Feature("html", "details and summary", html("<details><summary>Refunds</summary>Within 14 days.</details>"),("Refunds","Within 14 days.")),
    Feature("html", "dialog", html("<p>x</p><dialog>Cookie code 71.</dialog>"),("Cookie code 71.",)),
    Feature("html", "template (shadow root)", html("<my-card><template shadowrootmode=open><p>Price 9 EUR</p></template></my-card>"),("Price 9 EUR",)),
    Feature("html", "noscript", html("<p>x</p><noscript>Call 555.</noscript>"),("Call 555.",)),
    Feature("html", "figure with caption", html("<figure><img alt='Pump'><figcaption>Fig. 1: The pump</figcaption></figure>"),("Pump","Fig. 1: The pump")),
    Feature("html", "dl", html("<dl><dt>Fee<dd>9 EUR<dt>Term<dd>14 days</dl>"),("Fee\n9 EUR",)),
    Feature("html", "ruby", html("<p><ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字</p>"),("漢",)),
    Feature("html", "sup/sub in tables", html("<table><tr><td>10<sup>6</sup> m<sup>3</sup><td>CO<sub>2</sub></tr><tr><td>Fee<sup>1</sup><td>b</table>"),("10⁶ m³ | CO2",)),
    Feature("html", "ins, del, s in a table", html("<table><tr><td><del>30</del> <ins>25</ins><td>x</tr><tr><td><s>a</s><td>y</table>"),("~~30~~ 25 | x\n~~a~~ | y",)),
    Feature("html", "aria-label only", html("<p>Rating: <span role=img aria-label='4 of 5 stars'></span></p>"),("4 of 5 stars",)),
    Feature("html", "aria-label icon button", html("<button aria-label='Close window'><svg></svg></button>"),("Close window",)),
    Feature("html", "svg text and title", html("<svg><title>Plan</title><text>Hall A</text></svg>"),("Plan","Hall A")),
    Feature("html", "iframe srcdoc", html("<p>x</p><iframe srcdoc='<p>Inner price 9 EUR</p>'></iframe>"),("Inner price 9 EUR",)),
    Feature("html", "object fallback", html("<object data=x.pdf><p>Download the list</p></object>"),("Download the list",)),
    Feature("html", "input checkbox and radio", html("<label><input type=checkbox checked> Newsletter</label><label><input type=radio> No</label>"),("☒ Newsletter","☐ No")),
    Feature("html", "select chosen", html("<select><option>Malta<option selected>Gozo</select>"),("Gozo",)),
    Feature("html", "abbr, q, kbd, wbr, shy", html("<p>Press <kbd>Ctrl</kbd>+<kbd>S</kbd>, <q>yes</q>, Kran&shy;ken<wbr>haus</p>"),("Ctrl+S","Krankenhaus","yes")),
    Feature("html", "quotation marks of q", html("<p>He said <q>yes</q>.</p>"),("“yes”",)),
    Feature("html", "time, data, meter", html("<p><time datetime=2031-03-04>next Tuesday</time></p>"),("next Tuesday",)),
    Feature("html", "entities", html("<p>5&nbsp;&euro; &frac12; &le; 3 &amp;lt;</p>"),("5 € ½ ≤ 3 &lt;",)),
    Feature("html", "display none price", html("<p>x</p><p style='display:none'>Secret 9</p>"),("Secret 9",)),
    Feature("html", "nested list", html("<ol><li>Open<ol type=a><li>Valve<li>Tap</ol><li>Close</ol>"),("1. Open","2. Close")),
    Feature("html", "ol types and reversed", html("<ol type=a><li>One<li>Two</ol><ol reversed><li>x<li>y</ol>"),("a. One","2. x")),
    Feature("html", "nested table", html("<table><tr><td>A<td><table><tr><td>in1<td>in2</tr></table></tr></table>"),("in1 | in2","A")),
    Feature("html", "table head with thead/tfoot/th scope", html("<table><thead><tr><th>P<th>Q</thead><tfoot><tr><td>s<td>9</tfoot><tbody><tr><td>a<td>b</table>"),("P | Q","a | b","s | 9")),
    Feature("html", "table caption", html("<table><caption>Fees 2031</caption><tr><td>a<td>b</table>"),("Fees 2031\n\na | b",)),
    Feature("html", "div grid table (role=row)", html("<div role=table><div role=row><span role=cell>Basic</span><span role=cell>10 EUR</span></div></div>"),("Basic | 10 EUR",)),
    Feature("html", "footnote links", html("<p>Fee<sup><a href=#f1>1</a></sup> due.</p><p id=f1>1 Students 3.</p>"),("Fee",)),
    Feature("html", "pre with tabs", html("<pre>a\tb\n  c</pre>"),("a\tb\n  c",)),
    Feature("html", "video track, audio fallback", html("<video><p>Transcript: hello</p></video>"),("Transcript: hello",)),
    Feature("html", "link addresses", html("<p><a href='mailto:ada@example.org'>Mail us</a> <a href='tel:+47555'>Call</a></p>"),("ada@example.org",)),
    Feature("html", "katex markup twice", html('<span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>x</mi></mrow><annotation encoding="application/x-tex">x^{2}</annotation></semantics></math></span><span class="katex-html" aria-hidden="true">x</span></span>'),("x",),("x x","x^{2}")),
    Feature("html", "utf-16", ("<html><body><p>Größe</p></body></html>").encode("utf-16"),("Größe",)),
    Feature("html", "css strike class", b"<html><head><style>.old{text-decoration:line-through}</style></head><body><p><span class=old>30</span> 25</p></body></html>",("~~30~~ 25",)),
    Feature("html", "template not shown", html("<p>Text</p><template><p>Hello {{name}}</p></template>"),("Text",),("{{name}}",)),
    Feature("md", "setext headings", b("Fees\n====\n\nText\n\nSub\n---\n\nMore\n"),("Fees",)),
    Feature("md", "footnotes", b("Fee[^a] due.\n\n[^a]: Students 3.\n"),("Students 3.",)),
    Feature("md", "toml front matter", b('+++\ntitle = "T"\nsummary = "Everyone gets 27 days of leave."\n+++\nBody\n'),("27 days","Body")),
    Feature("md", "json front matter", b('{\n"title": "Leave",\n"summary": "Everyone gets 27 days of leave."\n}\n\nBody\n'),("27 days","Body")),
    Feature("md", "reference links", b("See [the rule][1].\n\n[1]: http://x.org \"Rule 9\"\n"),("Rule 9",)),
    Feature("md", "html table", b("# A\n<table><tr><td>Basic</td><td>10 EUR</td></tr></table>\n"),("Basic","10 EUR")),
    Feature("md", "nested fences", b("````md\n```sh\n# no\n```\n# no2\n````\n# Yes\n"),("# Yes",)),
    Feature("md", "pipes in code cells", b("| a | b |\n|---|---|\n| `x|y` | 2 |\n"),("`x|y`",)),
    Feature("md", "html comment", b("<!-- hidden: draft 7 -->\nText\n"),("draft 7",)),
    Feature("md", "bom and crlf", b"\xef\xbb\xbf# A\r\n\r\nText\r\n",("# A\n\nText",)),
    Feature("md", "utf16", ("# A\n\nGröße").encode("utf-16"),("# A\n\nGröße",)),
    Feature("md", "indented code comment", b("Text\n\n    # not heading\n\n# B\n"),("# B",)),
    Feature("md", "yaml with nested maps", b("---\ntitle: T\nauthor:\n  name: Ada\n  mail: a@x\nlist: [a, b]\n---\nBody\n"),("Body",),("title:",)),
    Feature("csv", "semicolon and decimal commas", b("sku;price\nA;12,50\nB;7,00\n"),("sku: A\nprice: 12,50",)),
    Feature("csv", "tab", b("sku\tprice\nA\t12,50\n"),("sku: A\nprice: 12,50",)),
    Feature("csv", "bar", b("sku|price\nA|12,50\n"),("sku: A\nprice: 12,50",)),
    Feature("csv", "bom", b"\xef\xbb\xbfsku,price\nA,9\n",("sku: A\nprice: 9",)),
    Feature("csv", "utf-16", ("sku,name\nA,Größe\n").encode("utf-16"),("name: Größe",)),
    Feature("csv", "utf-16 tab (Excel unicode)", ("sku\tname\r\nA\tGröße, rot\r\n").encode("utf-16"),("name: Größe, rot",)),
    Feature("csv", "multi-line cell", b('sku,note\nA,"Turn left.\nThen push."\nB,x\n'),("Turn left.\nThen push.","sku: B")),
    Feature("csv", "duplicated header", b("a,a,b\n1,2,3\n"),("a: 1\na (2): 2",)),
    Feature("csv", "header repeated as row (pages)", b("sku,name\nA,Kettle\nsku,name\nB,Lamp\n"),("sku: A","sku: B"),("sku: sku",)),
    Feature("csv", "semicolon with sep and quotes", b('sep=;\n"sku";"a;b"\n"A";"x;y"\n'),("a;b: x;y",)),
    Feature("csv", "only one column", b("name\nKettle, red\nLamp\n"),("Kettle, red",)),
    Feature("csv", "blank lines and totals", b("sku,qty\n\nA,3\n\n,3\n"),("sku: A",)),
    Feature("csv", "cr line ends", b"sku,qty\rA,3\rB,4\r",("sku: A","sku: B")),
    Feature("csv", "thousands in quotes", b('sku,price\nA,"1,234.50"\n'),("price: 1,234.50",)),
    Feature("tsv", "quotes are letters", b('sku\tname\nA\t5" pipe\nB\tx\n'),('5" pipe',"sku: B")),
    Feature("csv", "cp1252", ("sku,name\nA,Größe\n").encode("cp1252"),("Größe",)),
    Feature("eml", "quoted-printable latin1", mail("Gr=F6=DFe =\n5 m","text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable"),("Größe 5 m",)),
    Feature("eml", "base64 utf-8", mail(base64.b64encode("Größe".encode()).decode(),"text/plain; charset=utf-8\nContent-Transfer-Encoding: base64"),("Größe",)),
    Feature("eml", "nested mixed > related > alternative", mail('--B\nContent-Type: multipart/related; boundary=C\n\n--C\nContent-Type: multipart/alternative; boundary=D\n\n--D\nContent-Type: text/plain\n\nPlain fee 9.\n--D\nContent-Type: text/html\n\n<p>Plain fee 9.</p>\n--D--\n--C\nContent-Type: image/png\nContent-ID: <a>\nContent-Transfer-Encoding: base64\n\nQUJD\n--C--\n--B\nContent-Type: text/plain\n\nFooter text.\n--B--',"multipart/mixed; boundary=B"),("Plain fee 9.","Footer text.")),
    Feature("eml", "enriched / rtf body", mail(r"{\rtf1\ansi Fee is 9 EUR.\par}","application/rtf"),("Fee is 9 EUR.",)),
    Feature("eml", "text/enriched", mail("<bold>Fee</bold> is 9","text/enriched"),("is 9",)),
    Feature("eml", "ics attachment", mixed(part("text/calendar; name=a.ics","BEGIN:VEVENT\nSUMMARY:Review\nEND:VEVENT","Content-Disposition: attachment; filename=a.ics\n")),("Review",)),
    Feature("eml", "vcard", mixed(part("text/vcard","BEGIN:VCARD\nFN:Ada Lund\nTEL:555\nEND:VCARD","Content-Disposition: attachment; filename=a.vcf\n")),("Ada Lund",)),
    Feature("eml", "encoded subject, names", b("Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\nFrom: =?utf-8?b?"+base64.b64encode("Jörg".encode()).decode()+"?= <j@x.org>\n\nBody"),("Größe","Jörg")),
    Feature("eml", "rfc2231 attachment name", mixed(part("text/csv","id,text\na,Price 9","Content-Disposition: attachment; filename*=utf-8''pr%C3%A9is.csv\n")),("Price 9",)),
    Feature("eml", "reply-to, list headers", b("Subject: S\nFrom: a@x.org\nReply-To: desk@x.org\n\nBody"),("desk@x.org",)),
    Feature("eml", "format=flowed", mail("The fee is \n9 EUR.","text/plain; format=flowed"),("The fee is 9 EUR.",)),
    Feature("eml", "winmail.dat", mixed(part("application/ms-tnef",base64.b64encode(b"x\x9f>\"abc").decode(),"Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=winmail.dat\n")),("ZZ",)),
    Feature("eml", "uuencode in the text", mail("See below\n\nbegin 644 a.txt\n#0V%T\n`\nend\n","text/plain"),("Cat",)),
    Feature("eml", "cr-only / no body charset koi8-r", b("Subject: S\nContent-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: 8bit\n\n")+"Цена 9".encode("koi8-r"),("Цена 9",)),
    Feature("eml", "zip attachment", mixed(part("application/zip",base64.b64encode(package({"a.txt":"Price 9"})).decode(),"Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.zip\n")),("Price 9",)),
    Feature("eml", "html with cid picture alt", mail("<p>See <img src='cid:a' alt='Price 9 EUR'></p>","text/html"),("Price 9 EUR",)),
    Feature("mbox", "mailbox", b("From a@x Mon Jan  1 00:00:00 2031\nSubject: One\nFrom: a@x.org\n\nFirst 7781.\n\nFrom b@x Mon Jan  1 00:00:00 2031\nSubject: Two\nFrom: b@x.org\n\nSecond 7782.\n>From here\n"),("First 7781.","Second 7782.")),
    Feature("ics", "calendar file", b("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Review\nDTSTART:20310304T130000Z\nEND:VEVENT\nEND:VCALENDAR\n"),("Event: Review",)),
    Feature("vcf", "card file", b("BEGIN:VCARD\nFN:Ada Lund\nTEL:555\nEND:VCARD\n"),("Ada Lund","555")),
    Feature("mht", "web archive", mail("--B\nContent-Type: text/html\nContent-Location: http://x/\n\n<p>Price 9</p>\n--B--","multipart/related; boundary=B"),("Price 9",)),
    Feature("py", "latin-1 comment with coding line", "# -*- coding: latin-1 -*-\n# Größe\n".encode("latin-1"),("Größe",)),
    Feature("ipynb", "notebook", b('{"cells":[{"cell_type":"markdown","source":["# Leave\\n","27 days"]},{"cell_type":"code","source":["x = 1"],"outputs":[{"text":["42"]}]}]}'),("27 days","x = 1")),
    Feature("srt", "subtitles", b("1\n00:00:01,000 --> 00:00:02,000\nHello there\n"),("Hello there",)),
    Feature("yaml", "config", b("port: 8443\n"),("port: 8443",)),
    Feature("log", "ansi colours", b"\x1b[31mError 71\x1b[0m\n",("Error 71",),("\x1b",)),
    Feature("pptx", "grouped shapes", slides(gs(shape(ap("In group")),gs(shape(ap("Deep"))))),("In group","Deep")),
    Feature("pptx", "table", slides(table_of(["Plan","Fee"],["Basic","9 EUR"])),("Plan | Fee\nBasic | 9 EUR",)),
    Feature("pptx", "table in a group", slides(gs(table_of(["Plan","Fee"]))),("Plan | Fee",)),
    Feature("pptx", "picture description", slides('<p:pic><p:nvPicPr><p:cNvPr id="3" name="P" descr="Red to pin 4"/></p:nvPicPr></p:pic>'),("Red to pin 4",)),
    Feature("pptx", "equation", slides(shape('<a:p><a14:m xmlns:a14="a14" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"><m:oMath><m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath></a14:m></a:p>')),("x²",)),
    Feature("pptx", "slide number and date fields", slides(shape('<a:p><a:fld type="datetime1"><a:t>4 March</a:t></a:fld></a:p>')),("4 March",)),
    Feature("pptx", "footer placeholder", slides(shape(ap("Text"))+shape(ap("Confidential"),"ftr")),("Confidential",)),
    Feature("pptx", "two-level numbered list with bullets between", slides(shape(ap("A",format_='<a:pPr><a:buAutoNum type="alphaLcParenR"/></a:pPr>')+ap("sub",format_='<a:pPr lvl="1"/>')+ap("B",format_='<a:pPr><a:buAutoNum type="alphaLcParenR"/></a:pPr>'))),("a) A","b) B")),
    Feature("pptx", "alternate content", slides('<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><mc:Choice Requires="a14">'+shape(ap("New way"))+'</mc:Choice><mc:Fallback>'+shape(ap("Old way"))+'</mc:Fallback></mc:AlternateContent>'),("New way",),("Old way",)),
    Feature("pptx", "line break in title", slides(shape('<a:p><a:r><a:t>Sales</a:t></a:r><a:br/><a:r><a:t>2031</a:t></a:r></a:p>',"title")),("# Sales 2031",)),
    Feature("pptx", "embedded workbook", slides('<p:graphicFrame><p:oleObj progId="Excel.Sheet.12" r:id="x"/></p:graphicFrame>'+shape(ap("x"))),("ROWS",)),
    Feature("pptx", "table cell of two paragraphs", slides('<p:graphicFrame><a:tbl><a:tr><a:tc><a:txBody>'+ap("by mail")+ap("or phone")+'</a:txBody></a:tc><a:tc><a:txBody>'+ap("9")+'</a:txBody></a:tc></a:tr></a:tbl></p:graphicFrame>'),("by mail or phone | 9",)),
    Feature("xlsx", "hidden row and column", sheet("<row r='1' hidden='1'>"+cell("A1","Old price")+"</row><row r='2'>"+cell("A2","New price")+"</row>",styles=formats()),("(hidden",)),
    Feature("xlsx", "several tables on a sheet", sheet("".join(f"<row r='{n}'>{cell(f'A{n}','a')}{cell(f'B{n}','b')}</row>" for n in (1,2,3))+"".join(f"<row r='{n}'>{cell(f'D{n}','x')}{cell(f'E{n}','y')}</row>" for n in (7,8,9)),styles=formats()),("a | b\n\nx | y",)),
    Feature("xlsx", "error and boolean", sheet("<row r='1'><c r='A1' t='b'><v>1</v></c><c r='B1' t='e'><v>#REF!</v></c></row>",styles=formats()),("TRUE | #REF!",)),
    Feature("xlsx", "formula with cached string", sheet("<row r='1'><c r='A1' t='str'><f>A2</f><v>Oslo</v></c></row>",styles=formats()),("Oslo",)),
    Feature("xlsx", "scientific, fraction, phone, negative red", sheet(f"<row r='1'>{cell('A1','1234567',1)}<c r='B1' s='2'><v>-5</v></c>{cell('C1','0.000012',3)}</row>",styles=formats("000-0000","#,##0;[Red]-#,##0","0.00E+00")),("123-4567 | -5 | 1.20E-05",)),
    Feature("xlsx", "currency of a locale, condition", sheet(f"<row r='1'>{cell('A1','1234.5',1)}{cell('B1','47911',2)}{cell('C1','7',3)}</row>",styles=formats("#,##0.00\\ [$€-407]","[$-407]d. mmmm yyyy","[&gt;5]&quot;high&quot;;&quot;low&quot;")),("1,234.50 € |","high")),
    Feature("xlsx", "1904 dates, time, duration", sheet(f"<row r='1'>{cell('A1','0.75',1)}{cell('B1','1.5',2)}</row>",styles=formats("h:mm AM/PM","[h]:mm")),("6:00 PM | 36:00",)),
    Feature("xlsx", "hyperlink", sheet(f"<row r='1'>{cell('A1','Guide')}</row>",after="<hyperlinks><hyperlink ref='A1' location='x' display='G'/></hyperlinks>",styles=formats()),("Guide",)),
    Feature("xlsx", "header and footer of the print", sheet(f"<row r='1'>{cell('A1','x')}</row>",after="<headerFooter><oddHeader>&amp;CPrices in EUR</oddHeader></headerFooter>",styles=formats()),("Prices in EUR",)),
    Feature("xlsx", "long number, leading zeros as text", sheet("<row r='1'><c r='A1' t='inlineStr'><is><t>00421</t></is></c><c r='B1'><v>4111111111111111</v></c></row>",styles=formats()),("00421",)),
    Feature("xlsx", "rows out of a merged header across", sheet(f"<row r='1'>{cell('A1','Fees')}</row><row r='2'>{cell('A2','x')}{cell('B2','y')}</row>",after="<mergeCells><mergeCell ref='A1:B1'/></mergeCells>",styles=formats()),("Fees\nx | y",)),
    Feature("pdf", "two columns", pdf("BT /F1 12 Tf 72 700 Td (Left one.) Tj 0 -14 Td (Left two.) Tj ET BT /F1 12 Tf 320 700 Td (Right one.) Tj 0 -14 Td (Right two.) Tj ET"),("Left one.\nLeft two.","Right one.\nRight two.")),
    Feature("pdf", "rotated text", pdf("BT /F1 12 Tf 0 1 -1 0 300 300 Tm (Turned words) Tj ET"),("Turned words",)),
    Feature("pdf", "rotated page", pdf(shown("(Turned page) Tj"),page="/Rotate 90"),("Turned page",)),
    Feature("pdf", "hyphenation over lines", pdf(shown("(The insur-) Tj","(ance ends in a cost-) Tj","(effective way.) Tj")),("insurance","cost-effective")),
    Feature("pdf", "check box and choice of a form", pdf(shown("(Form) Tj"),objects=["<< /Type /Annot /Subtype /Widget /FT /Btn /T (agree) /V /Yes /AS /Yes /Rect [72 500 90 520] /F 4 >>","<< /Type /Annot /Subtype /Widget /FT /Ch /Ff 131072 /T (city) /V (Oslo) /Opt [(Oslo) (Rome)] /Rect [72 460 190 480] /F 4 >>"],page="/Annots [4 0 R 5 0 R]",root="/AcroForm << /Fields [4 0 R 5 0 R] /DA (/F1 12 Tf) >>"),("agree","city: Oslo")),
    Feature("pdf", "sticky note", pdf(shown("(Text) Tj"),objects=["<< /Type /Annot /Subtype /Text /Contents (Ask Bo) /Rect [72 400 90 420] >>"],page="/Annots [4 0 R]"),("Ask Bo",)),
    Feature("pdf", "table of cells", pdf("BT /F1 12 Tf 1 0 0 1 72 700 Tm (Basic) Tj 1 0 0 1 200 700 Tm (10 EUR) Tj 1 0 0 1 72 686 Tm (Team) Tj 1 0 0 1 200 686 Tm (25 EUR) Tj ET"),("Basic 10 EUR\nTeam 25 EUR",)),
    Feature("pdf", "invisible text (OCR layer)", pdf("BT 3 Tr /F1 12 Tf 72 700 Td (Recognised words) Tj ET"),("Recognised words",)),
    Feature("pdf", "lowered digit", pdf(shown("(H) Tj -2 Ts /F1 7 Tf (2) Tj 0 Ts /F1 12 Tf (O) Tj")),("H2O",)),
    Feature("pdf", "letter-spaced", pdf("BT /F1 12 Tf 8 Tc 72 700 Td (TITLE) Tj ET"),("TITLE",)),
    Feature("pdf", "word gap by movement", pdf("BT /F1 12 Tf 72 700 Td [(Price) -600 (list)] TJ ET"),("Price list",)),
    Feature("odt", "raised and lowered", odt(tp("10"+sp("up","6")+" H"+sp("low","2")+"O")),("10⁶ H2O",)),
    Feature("odt", "struck out", odt(tp(sp("gone","30 EUR")+" 25 EUR")),("~~30 EUR~~ 25 EUR",)),
    Feature("odt", "headings", odt('<text:h text:outline-level="2">Scope</text:h>'+tp("x")),("## Scope",)),
    Feature("odt", "numbers of lists", odt('<text:list text:style-name="L"><text:list-item>'+tp("Open")+'</text:list-item><text:list-item>'+tp("Close")+'</text:list-item></text:list>'),("1. Open\n2. Close",)),
    Feature("odt", "tracked changes", odt('<text:tracked-changes><text:changed-region><text:deletion>'+tp("In 60 days.")+'</text:deletion></text:changed-region></text:tracked-changes>'+tp("In 30 days.")),("In 30 days.",),("60",)),
    Feature("odt", "footnote", odt(tp('Fee<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body>'+tp("Students 3.")+'</text:note-body></text:note> due')),("Fee[^1] due","[^1]: Students 3.")),
    Feature("odt", "comment", odt(tp('Fee<office:annotation><dc:creator>Ann</dc:creator>'+tp("Ask Bo.")+'</office:annotation>')),("Comment (Ann): Ask Bo.",)),
    Feature("odt", "text box", odt(tp('The fee.<draw:frame><draw:text-box>'+tp("Dial 4410.")+'</draw:text-box></draw:frame>')),("The fee.","Dial 4410.")),
    Feature("odt", "cell over columns and rows", odt('<table:table><table:table-row><table:table-cell table:number-columns-spanned="2">'+tp("Fees")+'</table:table-cell><table:covered-table-cell/><table:table-cell>'+tp("Note")+'</table:table-cell></table:table-row><table:table-row><table:table-cell table:number-rows-spanned="2">'+tp("Hall")+'</table:table-cell><table:table-cell>'+tp("Ada")+'</table:table-cell><table:table-cell>'+tp("x")+'</table:table-cell></table:table-row><table:table-row><table:covered-table-cell/><table:table-cell>'+tp("Cy")+'</table:table-cell><table:table-cell>'+tp("y")+'</table:table-cell></table:table-row></table:table>'),("Fees |  | Note\nHall | Ada | x\nHall | Cy | y",)),
    Feature("odt", "picture's description", odt(tp('<draw:frame><draw:image xlink:href="a.png"/><svg:desc>Red to pin 4</svg:desc></draw:frame>')),("Red to pin 4",)),
    Feature("odt", "hidden text", odt(tp("Seen."+sp("hid","Unseen."))),("Unseen.",)),
    Feature("ods", "percent as shown", odt('<table:table table:name="Plan"><table:table-row><table:table-cell office:value-type="percentage" office:value="0.25">'+tp("25%")+'</table:table-cell><table:table-cell office:value-type="date" office:date-value="2031-03-04">'+tp("04.03.2031")+'</table:table-cell></table:table-row></table:table>',"spreadsheet"),("25% | 04.03.2031",)),
    Feature("epub", "chapters in the order of the spine", epub("<h1>One</h1><p>First.</p>","<h1>Two</h1><p>Second.</p>"),("# One\n\nFirst.\n\n# Two\n\nSecond.",)),
    Feature("epub", "raised, lowered, struck out", epub("<p>10<sup>6</sup> H<sub>2</sub>O <del>30</del> 25</p>"),("10⁶ H2O ~~30~~ 25",)),
    Feature("epub", "tables", epub("<table><tr><td rowspan='2'>Mon</td><td>9</td></tr><tr><td>11</td></tr></table>"),("Mon | 9\nMon | 11",)),
    Feature("epub", "notes, alternative text, numbers of lists", epub("<img alt='Red to pin 4'/><ol start='3'><li>Open</li></ol><aside>Note 7</aside>"),("Red to pin 4","3. Open","Note 7")),
    Feature("rtf", "raised and lowered", rtf(r"\pard 10{\super 6} H{\sub 2}O\par"),("10⁶ H2O",)),
    Feature("rtf", "raised without a group", rtf(r"\pard 10\super 6\nosupersub  m\par"),("10⁶",)),
    Feature("rtf", "struck out", rtf(r"\pard {\strike 30 EUR} 25 EUR\par"),("~~30 EUR~~ 25 EUR",)),
    Feature("rtf", "footnote", rtf(r"\pard Fee{\super\chftn{\footnote\pard\plain{\super\chftn} Students 3.}} due\par"),("Fee","Students 3.")),
    Feature("rtf", "table", rtf(r"\trowd\cellx1000\cellx2000\intbl Basic\cell 10 EUR\cell\row\trowd\cellx1000\cellx2000\intbl Team\cell 25 EUR\cell\row\pard x\par"),("Basic | 10 EUR\nTeam | 25 EUR",)),
    Feature("rtf", "deleted text (tracked)", rtf(r"\pard In {\deleted 60}{\revised 30} days.\par"),("In 30 days.",),("60",)),
    Feature("rtf", "hidden text", rtf(r"\pard Seen. {\v Unseen.}\par"),("Unseen.",)),
    Feature("rtf", "numbers of lists", rtf(r"\pard{\listtext\f0 1.\tab}Open\par\pard{\listtext\f0 2.\tab}Close\par"),("1. Open","2. Close")),
    Feature("rtf", "unicode and code page", rtf(r"\pard Gr\'f6\u223?e \u8364?\par"),("Größe €",)),
    Feature("rtf", "tab, line", rtf(r"\pard Fee:\tab 9\line EUR KX\_4471\par"),("Fee:","EUR KX-4471")),
    Feature("rtf", "text box", rtf(r"\pard The fee.{\shp{\*\shpinst{\shptxt \pard Dial 4410.\par}}}\par"),("The fee.","Dial 4410.")),
    Feature("rtf", "comment", rtf(r"\pard Fee{\*\annotation Ask Bo.}\par"),("Ask Bo.",)),
    Feature("rtf", "heading", rtf(r"{\stylesheet{\s1 heading 1;}}\pard\s1\outlinelevel0 Scope\par\pard\plain Text\par"),("# Scope",)),
)  # fmt: skip


def outcome(reader: FileReader, feature: Feature) -> str:
    """``read``, ``said`` (a warning names it) or ``lost``."""
    documents, problems = reader.read(Loaded(name=f"a.{feature.format}", data=feature.data))
    text = "\n\n".join(document.text for document in documents)
    if all(one in text for one in feature.wanted) and not any(one in text for one in feature.unwanted):
        return "read"
    return "said" if problems else "lost"


def table() -> str:
    """The rows of the page, one a feature."""
    with FileReader(DocumentsSection()) as reader:
        rows = (f"| {one.format} | {one.what} | {outcome(reader, one)} |" for one in FEATURES)
        return "\n".join(("| format | what | what becomes of it |", "| --- | --- | --- |", *rows))


def main() -> None:
    head = PAGE.read_text(encoding="utf-8").split("| format |", 1)[0]
    PAGE.write_text(f"{head}{table()}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
