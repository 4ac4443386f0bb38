"""PowerPoint (Office Open XML) as text, slide by slide: titles, text, tables, charts, diagrams, notes and comments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from twofold.corpus.plain_text import joined, title_of
from twofold.corpus.readers.marks import Grid, literal
from twofold.corpus.readers.office.archives import BROKEN, prepared
from twofold.corpus.readers.office.drawings import description, drawn, paragraphs
from twofold.corpus.readers.office.packages import Node, Package, attribute, bare, child, inside
from twofold.errors import DamagedFile
from twofold.files.reading import excerpt
from twofold.plugins import protocols
from twofold.types import Document

_DEEPEST = 20
"""Groups within groups of shapes that are read."""
_FILMS = ("videoFile", "audioFile", "wavAudioFile", "quickTimeFile", "audioCd")
_TITLES = ("title", "ctrTitle")


class SlideReader:
    """A presentation; each slide is a place, hidden slides are marked.

    The title is that of the file's properties, else that of the first slide.
    """

    version: ClassVar[int] = 4
    suffixes: ClassVar[tuple[str, ...]] = (".pptx", ".pptm", ".ppsx")

    class Options(protocols.Options):
        """Passwords."""

        passwords: tuple[str, ...] = ()
        """Tried one after another on an encrypted file."""

    def __init__(self, options: SlideReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document. Unread parts are listed in the metadata field ``unread``.

        Raises:
            DamagedFile: the file is broken, or not of the kind that its ending says.
            EncryptedFile: none of the passwords opens the file.
            FileTooLarge: the file is an archive that unpacks to too much.
        """
        name = path.as_posix()
        data = prepared(data, name=name, passwords=self.options.passwords)
        try:
            package = Package(data, name=name)
        except BROKEN as error:
            raise DamagedFile(
                f"it cannot be read as PPTX: {type(error).__name__}: {excerpt(str(error), 120)}", file=name
            ) from error
        main = (package.targets("", "officeDocument") or ["ppt/presentation.xml"])[0]
        show = package.root(main)
        if show is None or bare(show.tag) != "presentation":
            raise DamagedFile("it cannot be read as PPTX: it has no presentation in it", file=name)
        relations = package.relations(main)
        parts: list[tuple[str, str]] = []
        broken: list[str] = []
        unread: dict[str, None] = {}
        # texts of masters and layouts, each once: a slogan on a hundred slides would drown the rest
        behind: dict[str, None] = {}
        layouts: dict[str, list[str]] = {}
        for number, slide in enumerate(inside(show, "sldId"), 1):
            part = relations.get(next((v for k, v in slide.attrib.items() if k.endswith("}id")), ""), ("", ""))[1]
            root = package.root(part) if part else None
            if root is None:
                broken.append(str(number))
                continue
            hidden = attribute(root, "show", "1") in ("0", "false")
            text = "\n\n".join(_slide(package, root, part, unread))
            parts.append((f"slide {number}{' (hidden)' if hidden else ''}", text))
            behind |= dict.fromkeys(_behind(package, root, part, layouts))
        if broken and not parts:
            raise DamagedFile("none of its slides can be read", file=name)
        if behind:
            parts.append(("background of slides", "On the background of slides: " + "\n".join(behind)))
        text, places = joined(parts)
        first = text.split("\n", 1)[0]
        remarks = [*([f"slides {', '.join(broken)}"] if broken else []), *unread]
        remarks += [f"damaged parts {', '.join(package.lost)}"] if package.lost and not broken else []
        yield Document(
            id=name,
            text=text,
            title=package.title() or (first[2:] if first.startswith("# ") else "") or title_of(path),
            source=name,
            metadata={"unread": "; ".join(remarks)} if remarks else {},
            places=places,
        )


def _slide(package: Package, root: Node, part: str, unread: dict[str, None]) -> Iterator[str]:
    tree = next(inside(root, "spTree"), None)
    if attribute(root, "show", "1") in ("0", "false"):
        yield "(hidden slide)"
    if tree is not None:
        shapes = list(_shapes(tree, 0))
        titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
        # A slide has one title: further placeholders of that kind are read as shapes.
        for shape in titles[:1]:
            if text := " ".join(_words(shape).split()):
                yield f"# {text}"
        for shape in shapes:
            if shape is not (titles[0] if titles else None) and not _is_number(shape):
                yield from _shape(package, shape, part, unread)
    for notes in package.targets(part, "notesSlide"):
        page = package.root(notes)
        for shape in inside(page, "sp") if page is not None else ():
            if _placeholder(shape) == "body" and (text := _words(shape).strip()):
                yield f"Notes: {text}"
    for comments in package.targets(part, "comments"):
        page = package.root(comments)
        for comment in inside(page, "cm") if page is not None else ():
            text = " ".join(t.text or "" for t in inside(comment, "text", "t"))
            if text.strip():
                yield f"Comment: {' '.join(text.split())}"


def _behind(package: Package, slide: Node, part: str, known: dict[str, list[str]]) -> Iterator[str]:
    """Texts of the shapes on a slide's layout and master, without their placeholders.

    Args:
        package: The file.
        slide: The slide.
        part: The slide's part.
        known: The texts of each layout and master, filled as they are met.
    """
    above: Node | None = slide
    for kind in ("slideLayout", "slideMaster"):
        part = next(iter(package.targets(part, kind)), "")
        if above is None or not part or attribute(above, "showMasterSp", "1") in ("0", "false"):
            return
        above = package.root(part)
        if part not in known:
            tree = next(inside(above, "spTree"), None) if above is not None else None
            shapes = _shapes(tree, 0) if tree is not None else ()
            words = (_words(one).strip() for one in shapes if next(inside(one, "ph"), None) is None)
            known[part] = [literal(text) for text in words if text]
        yield from known[part]


def _shapes(tree: Node, depth: int) -> Iterator[Node]:
    """Shapes in the order in which they are drawn, those of groups too."""
    for element in tree:
        name = bare(element.tag)
        if name in ("sp", "pic", "graphicFrame", "cxnSp", "contentPart"):
            yield element
        elif name == "AlternateContent":
            ways = [way for way in element if bare(way.tag) in ("Choice", "Fallback")]
            readable = [way for way in ways if next(inside(way, "t", "chart", "relIds", "descr"), None) is not None]
            chosen = next(iter(readable or ways), None)
            if chosen is not None:
                yield from _shapes(chosen, depth)
        elif name == "nvGrpSpPr":
            yield element  # of a group: what its author wrote for those who cannot see it
        elif name == "grpSp" and depth < _DEEPEST:
            yield from _shapes(element, depth + 1)


def _placeholder(shape: Node) -> str:
    """The kind of placeholder that a shape is: ``title``, ``body`` and so on; empty for any other shape."""
    placeholder = next(inside(shape, "ph"), None)
    return attribute(placeholder, "type", "obj") if placeholder is not None else ""


def _is_number(shape: Node) -> bool:
    """Is the shape the slide's number, or the current date?"""
    kind = _placeholder(shape)
    return kind == "sldNum" or (kind == "dt" and next(inside(shape, "fld"), None) is not None)


def _words(shape: Node) -> str:
    body = child(shape, "txBody")
    return paragraphs(body) if body is not None else ""


def _shape(package: Package, shape: Node, part: str, unread: dict[str, None]) -> Iterator[str]:
    if text := _words(shape).strip():
        yield literal(text)
    table = next(inside(shape, "tbl"), None) if bare(shape.tag) == "graphicFrame" else None
    if table is not None:
        yield _table(table)
    yield from drawn(package, shape, part)
    described = description(next(inside(shape, "cNvPr"), None))
    if described:
        yield described
    if next(inside(shape, *_FILMS), None) is not None:
        unread["a film or sound"] = None
    for embedded in inside(shape, "oleObj"):
        unread[f"an object put in ({attribute(embedded, 'progId') or 'unknown'})"] = None


def _table(table: Node) -> str:
    grid = Grid()
    for line in inside(table, "tr"):
        cells = []
        for cell in line:
            if (
                bare(cell.tag) != "tc"
                or attribute(cell, "hMerge") in ("1", "true")
                or attribute(cell, "vMerge") in ("1", "true")
            ):
                continue
            spans = [attribute(cell, key, "1") for key in ("gridSpan", "rowSpan")]
            columns, rows = (int(span) if span.isdigit() else 1 for span in spans)
            cells.append((_words(cell), columns, rows))
        grid.add(cells)
    return grid.text()
