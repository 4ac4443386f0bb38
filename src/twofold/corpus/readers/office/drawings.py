"""Drawings of Office Open XML as text: charts with their values, diagrams (SmartArt), and paragraphs of shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from twofold.corpus.readers.marks import literal, lowered, raised, row, settled, struck
from twofold.corpus.readers.office.formulas import office
from twofold.corpus.readers.office.number_formats import shown
from twofold.corpus.readers.office.numbering import written
from twofold.corpus.readers.office.packages import Node, Package, attribute, bare, child, inside

_MOST_POINTS = 20_000
"""Values of one chart's series that are written out."""
_FILE = re.compile(r"\S+\.(?:png|jpe?g|gif|bmp|tiff?|emf|wmf|svg|webp)", re.IGNORECASE)
_FORMS = {
    "arabic": "decimal",
    "alphaLc": "lowerLetter",
    "alphaUc": "upperLetter",
    "romanLc": "lowerRoman",
    "romanUc": "upperRoman",
}


def drawn(package: Package, node: Node, part: str) -> Iterator[str]:
    """Charts and diagrams inside the drawing `node` of a part as text, in order."""
    relations = package.relations(part)
    for element in inside(node, "chart", "relIds"):
        name = bare(element.tag)
        target = relations.get(attribute(element, "id" if name == "chart" else "dm"), ("", ""))[1]
        root = package.root(target) if target else None
        if root is not None and (text := chart(root) if name == "chart" else diagram(root)):
            yield text


def description(node: Node | None) -> str:
    """The alternative text of a picture; empty where a program put the file's name there."""
    texts = (attribute(node, name).split() for name in ("descr", "alt", "title")) if node is not None else ()
    text = " ".join(next((words for words in texts if words), ()))
    return "" if _FILE.fullmatch(text) else literal(text)


def chart(root: Node) -> str:
    """A chart as a table: its title, then a row for each category with the values of all series."""
    top = next(inside(root, "chart"), root)
    titles = [paragraphs(title) for title in inside(top, "title")]
    head = " — ".join(dict.fromkeys(" ".join(title.split()) for title in titles if title.strip()))
    names: list[str] = []
    columns: list[dict[str, str]] = []
    labels: dict[str, str] = {}
    plot = next(inside(top, "plotArea"), top)
    for number, series in enumerate(inside(plot, "ser"), 1):
        names.append(" ".join(_points(child(series, "tx")).values()) or f"series {number}")
        categories = _points(child(series, "cat")) or _points(child(series, "xVal"))
        for at, text in categories.items():
            labels.setdefault(at, text)
        columns.append(_points(child(series, "val")) or _points(child(series, "yVal")))
        if sizes := _points(child(series, "bubbleSize")):
            names.append("size")
            columns.append(sizes)
    if not columns:  # the newer kinds (chartex): strings and numbers by dimension
        texts = [" ".join((one.text or "").split()) for one in inside(root, "pt") if (one.text or "").strip()]
        return "\n".join(line for line in (head, " | ".join(texts[:_MOST_POINTS])) if line)
    # shorter numbers first: "9" before "10"
    order = sorted(set(labels).union(*columns), key=lambda at: (len(at), at))
    lines = [row(["category", *names])]
    for at in order[:_MOST_POINTS]:
        lines.append(row([labels.get(at, ""), *(column.get(at, "") for column in columns)]))
    remarks = (" ".join(paragraphs(label).split()) for label in inside(plot, "dLbl"))
    return "\n".join(line for line in (head, *lines, *remarks) if line)


def _points(node: Node | None) -> dict[str, str]:
    """Number → text of the points that a chart stores of a range; levels of categories are joined."""
    points: dict[str, str] = {}
    if node is None:
        return points
    code = next((one.text or "" for one in inside(node, "formatCode")), "")
    for level in list(inside(node, "lvl")) or [node]:
        for point in inside(level, "pt"):
            value = child(point, "v")
            text = " ".join((value.text or "").split()) if value is not None else ""
            if text:
                at = attribute(point, "idx")
                points[at] = f"{text} {points[at]}" if at in points else displayed(text, code)
    if not points:
        points = {str(at): one.text or "" for at, one in enumerate(inside(node, "v"))}
    return points


def displayed(text: str, code: str) -> str:
    """A stored number as its format shows it; text as it is."""
    try:
        return shown(float(text), code) if code and code != "General" else text
    except ValueError:
        return text


def diagram(root: Node) -> str:
    """The texts of a diagram's (SmartArt's) nodes, one a line."""
    texts = (" ".join(paragraphs(point).split()) for point in inside(root, "pt") if attribute(point, "type") != "pres")
    return "\n".join(f"- {text}" for text in texts if text)


def paragraphs(node: Node) -> str:
    """DrawingML text: paragraphs as lines, numbered where they are; raised, lowered and struck-out text marked."""
    lines: list[str] = []
    counts: dict[int, int] = {}
    for paragraph in inside(node, "p"):
        out: list[str] = []
        for run in paragraph:
            kind = bare(run.tag)
            if kind == "br":
                out.append("\n")
            elif kind in ("r", "fld"):
                text = "".join(one.text or "" for one in inside(run, "t"))
                out.append(_looked(text.replace("\t", " ").replace("\v", "\n"), child(run, "rPr"), "".join(out[-2:])))
            elif kind in ("m", "AlternateContent", "oMath", "oMathPara"):
                out += [office(one) for one in list(inside(run, "oMath"))[:1]]
        text = settled("".join(out))
        label = _label(child(paragraph, "pPr"), counts) if text.strip() else ""
        lines.append(f"{label} {text}" if label else text)
    # a chart's title may be a value without any paragraph
    return "\n".join(lines) if lines else "".join(one.text or "" for one in inside(node, "v"))


def _label(format_: Node | None, counts: dict[int, int]) -> str:
    """The number of a paragraph in a numbered list; `counts` has the last number of each level."""
    level = int(attribute(format_, "lvl", "0") or 0) if format_ is not None else 0
    for deeper in [one for one in counts if one > level]:
        del counts[deeper]
    number = child(format_, "buAutoNum")
    if number is None:
        counts.pop(level, None)
        return ""
    start = attribute(number, "startAt", "1")
    counts[level] = counts.get(level, (int(start) if start.isdigit() else 1) - 1) + 1
    kind = attribute(number, "type", "arabicPeriod")
    form = next((form for name, form in _FORMS.items() if kind.startswith(name)), "decimal")
    text = written(counts[level], form)
    return f"({text})" if kind.endswith("ParenBoth") else f"{text})" if kind.endswith("ParenR") else f"{text}."


def _looked(text: str, look: Node | None, before: str) -> str:
    """A DrawingML run as its properties make it look."""
    if look is None:
        return text
    base = attribute(look, "baseline")
    if base and base not in ("0", "0%"):
        text = lowered(text, before) if base.startswith("-") else raised(text, before)
    return struck(text) if attribute(look, "strike", "noStrike") != "noStrike" else text
