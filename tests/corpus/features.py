# ruff: noqa: E501 - one small file a line
"""What is read of each format and what is not: small files with one feature each, and the table of what becomes of them.

python tests/corpus/features.py writes the table into docs/what-is-read.md.
"""

from __future__ import annotations

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
