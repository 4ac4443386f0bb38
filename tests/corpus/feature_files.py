# ruff: noqa: E501 - one small file a line
"""Small files of each format, made from what stands in them."""

from __future__ import annotations

import base64
import datetime
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

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
    name: str
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

STYLED = f'<w:styles {W}><w:style w:type="character" w:styleId="Up"><w:rPr><w:vertAlign w:val="superscript"/></w:rPr></w:style><w:style w:type="character" w:styleId="Gone"><w:rPr><w:strike/></w:rPr></w:style><w:style w:type="character" w:styleId="Hid"><w:rPr><w:vanish/></w:rPr></w:style></w:styles>'
ROMAN = f'<w:numbering {W}><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="Art. %1"/></w:lvl></w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num></w:numbering>'
SCATTER = f"<c:chartSpace {C} {A}><c:chart><c:plotArea><c:scatterChart><c:ser><c:tx><c:v>Flow</c:v></c:tx><c:xVal><c:numRef><c:numCache><c:pt idx='0'><c:v>1.5</c:v></c:pt></c:numCache></c:numRef></c:xVal><c:yVal><c:numRef><c:numCache><c:pt idx='0'><c:v>77</c:v></c:pt></c:numCache></c:numRef></c:yVal></c:ser></c:scatterChart></c:plotArea></c:chart></c:chartSpace>"
LEVELS = f"<c:chartSpace {C} {A}><c:chart><c:plotArea><c:barChart><c:ser><c:tx><c:v>Q1</c:v></c:tx><c:cat><c:multiLvlStrRef><c:multiLvlStrCache><c:lvl><c:pt idx='0'><c:v>Oslo</c:v></c:pt></c:lvl><c:lvl><c:pt idx='0'><c:v>Norway</c:v></c:pt></c:lvl></c:multiLvlStrCache></c:multiLvlStrRef></c:cat><c:val><c:numRef><c:numCache><c:pt idx='0'><c:v>88</c:v></c:pt></c:numCache></c:numRef></c:val></c:ser></c:barChart><c:valAx><c:title><c:tx><c:rich>{ap('Tonnes')}</c:rich></c:tx></c:title></c:valAx></c:plotArea></c:chart></c:chartSpace>"
CHART_EX = f'<cx:chartSpace xmlns:cx="http://schemas.microsoft.com/office/drawing/2014/chartex" {A}><cx:chartData><cx:data id="0"><cx:strDim type="cat"><cx:lvl><cx:pt idx="0">Start</cx:pt></cx:lvl></cx:strDim><cx:numDim type="val"><cx:lvl><cx:pt idx="0">4471</cx:pt></cx:lvl></cx:numDim></cx:data></cx:chartData></cx:chartSpace>'


def strict() -> bytes:
    return package(
        {
            "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument" Target="/word/document.xml"/></Relationships>',
            "word/document.xml": '<w:document xmlns:w="http://purl.oclc.org/ooxml/wordprocessingml/main"><w:body><w:p><w:r><w:t>Strict words</w:t></w:r></w:p></w:body></w:document>',
        }
    )


def chunked() -> bytes:
    return package(
        {
            "_rels/.rels": relations(officeDocument="word/document.xml"),
            "word/document.xml": f'<w:document {W} {R}><w:body>{p(r("Seen."))}<w:altChunk r:id="aFChunk"/></w:body></w:document>',
            "word/_rels/document.xml.rels": relations(aFChunk="chunk.html"),
            "word/chunk.html": "<p>Chunk words</p>",
        }
    )


def mr(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


def formula(inner: str) -> str:
    return p(f"<m:oMath>{inner}</m:oMath>")


def annot(*objects: str, root: str = "") -> bytes:
    places = " ".join(f"{4 + n} 0 R" for n in range(len(objects)))
    return pdf(shown("(Seen words) Tj"), objects=objects, page=f"/Annots [{places}]", root=root)


def notebook(cells: list[object]) -> bytes:
    return json.dumps({"cells": cells}).encode()


def q64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def parquet(**columns: object) -> bytes:
    import pyarrow
    from pyarrow.parquet import write_table

    made = io.BytesIO()
    write_table(pyarrow.table(columns), made)
    return made.getvalue()


def parquet_of_kinds() -> bytes:
    return parquet(
        day=[datetime.date(2031, 3, 4)],
        fee=[Decimal("12.50")],
        note=[b"plain bytes"],
        place=[{"city": "Oslo"}],
    )


def deck(on_slide: str, *, layout: str, master: str) -> bytes:
    """A presentation of one slide with its layout and its master."""
    space = f'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" {R} {A}'

    def tree(name: str, shapes: str) -> str:
        return f"<p:{name} {space}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:{name}>"

    return package(
        {
            "_rels/.rels": relations(officeDocument="ppt/presentation.xml"),
            "ppt/presentation.xml": f'<p:presentation {space}><p:sldIdLst><p:sldId id="256" r:id="slide"/></p:sldIdLst></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relations(slide="slide1.xml"),
            "ppt/slide1.xml": tree("sld", on_slide),
            "ppt/_rels/slide1.xml.rels": relations(slideLayout="l1.xml"),
            "ppt/l1.xml": tree("sldLayout", layout),
            "ppt/_rels/l1.xml.rels": relations(slideMaster="m1.xml"),
            "ppt/m1.xml": tree("sldMaster", master),
        }
    )


def book(*pages: tuple[str, str, str]) -> bytes:
    """An e-book of pages, each with its name, kind and content."""
    items = "".join(f'<item id="p{n}" href="{name}" media-type="{kind}"/>' for n, (name, kind, _) in enumerate(pages))
    order = "".join(f'<itemref idref="p{n}"/>' for n, _ in enumerate(pages))
    root = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="OPS/b.opf"/></rootfiles></container>'
    whole = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{order}</spine></package>'
    )
    held = {f"OPS/{name}": text for name, _, text in pages}
    return package({"mimetype": "application/epub+zip", "META-INF/container.xml": root, "OPS/b.opf": whole, **held})


LETTERS_AS_LINES = " ".join(f"{x} 700 m {x + 5} 710 l {x + 8} 700 l h f" for x in range(72, 500, 10)) * 2


def pages(*streams: str, picture: bool = False) -> bytes:
    """A PDF of several pages; `picture`: they may show one as ``/I Do``."""
    image = "<< /Type /XObject /Subtype /Image /Width 2 /Height 2 /BitsPerComponent 8 /ColorSpace /DeviceGray /Length 4 >>\nstream\nabcd\nendstream"
    held = "/XObject << /I 4 0 R >>" if picture else ""
    kids = " ".join(f"{6 + 2 * n} 0 R" for n, _ in enumerate(streams))
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        image,
    ]
    for number, stream in enumerate(streams):
        bodies.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        resources = f"/Resources << /Font << /F1 3 0 R >> {held} >>"
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources} /Contents {5 + 2 * number} 0 R >>"
        )
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}trailer << /Size {len(bodies) + 1} /Root 1 0 R >>\n"
    return out + f"{end}startxref\n{len(out)}\n%%EOF".encode()


def arabic(lines: str) -> bytes:
    """A PDF whose font ``/F2`` has Arabic letters at a to e, and at w a glyph for a whole word."""
    signs = {**dict(zip("abcde", "\u0645\u0631\u062d\u0628\u0627", strict=True)), "w": "\u0633\u0644\u0627\u0645"}
    rows = " ".join(f"<{ord(key):02x}> <{text.encode('utf-16-be').hex()}>" for key, text in signs.items())
    ranges = f"1 begincodespacerange <00> <ff> endcodespacerange {len(signs)} beginbfchar {rows} endbfchar"
    table = f"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def {ranges} endcmap end end"
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding /ToUnicode 5 0 R >>"
    stream = f"<< /Length {len(table)} >>\nstream\n{table}\nendstream"
    return pdf(lines, objects=(font, stream), page="/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >>")
