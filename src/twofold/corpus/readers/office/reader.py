"""Word processing, spreadsheets, books and the like: the common formats here, the rest through kreuzberg.

Headings are marked as in Markdown so that the chunker sees them; rows of tables are lines of cells with bars between;
sheets are places. Formats without fixed pages (Word, EPUB) have none: their headings say where a passage stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

from twofold.corpus.outline import headings_of
from twofold.corpus.plain_text import joined, title_of
from twofold.corpus.readers.office.archives import BROKEN, no_entities, prepared, repacked
from twofold.corpus.readers.office.books import Book
from twofold.corpus.readers.office.open_text import OpenText
from twofold.corpus.readers.office.packages import Package
from twofold.corpus.readers.office.rich_text import joined_again, settled_rtf
from twofold.corpus.readers.office.sheets import Sheet, Workbook
from twofold.corpus.readers.office.word import Word
from twofold.corpus.readers.office.xml_text import xml_text
from twofold.corpus.readers.outlook import attachments
from twofold.errors import DamagedFile, EncryptedFile, MissingExtra, UnreadableFile, install
from twofold.files.reading import excerpt, suffix_of
from twofold.plugins import protocols
from twofold.types import Document, Json, Place

_WORDS = (".docx", ".docm", ".dotx")
_BOOKS = (".xlsx", ".xlsm")
_OPENED: dict[str, type[Book] | type[OpenText]] = {".epub": Book, ".odt": OpenText, ".ods": OpenText}
_SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_LETTERS = "raised, struck-out and hidden letters"
_PLAIN = {
    ".doc": f"{_LETTERS}, tracked changes",
    ".fb2": _LETTERS,
    ".msg": _LETTERS,
    ".ppt": _LETTERS,
    ".xls": f"{_LETTERS}, formats of numbers",
    ".xlsb": f"{_LETTERS}, formats of numbers",
}
"""Formats that are read as plain words → the features that are lost."""
_OPEN = "application/vnd.openxmlformats-officedocument."
_MIME = {
    ".doc": "application/msword",
    ".docm": "application/vnd.ms-word.document.macroEnabled.12",
    ".docx": f"{_OPEN}wordprocessingml.document",
    ".dotx": f"{_OPEN}wordprocessingml.template",
    ".epub": "application/epub+zip",
    ".fb2": "application/x-fictionbook+xml",
    ".msg": "application/vnd.ms-outlook",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ppt": "application/vnd.ms-powerpoint",
    ".rtf": "application/rtf",
    ".xls": "application/vnd.ms-excel",
    ".xlsb": "application/vnd.ms-excel.sheet.binary.macroEnabled.12",
    ".xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    ".xlsx": f"{_OPEN}spreadsheetml.sheet",
    ".xml": "application/xml",
}


class OfficeReader:
    """A file of an office program or an e-book; its title is that of its properties, else its first heading."""

    version: ClassVar[int] = 6
    suffixes: ClassVar[tuple[str, ...]] = tuple(_MIME)

    class Options(protocols.Options):
        """Passwords."""

        passwords: tuple[str, ...] = ()
        """Tried one after another on an encrypted file."""

    def __init__(self, options: OfficeReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            DamagedFile: the file is broken, or not of the kind that its ending says.
            EncryptedFile: none of the passwords opens the file.
            FileTooLarge: the file is an archive that unpacks to too much.
            MissingExtra: the extra ``documents`` is not installed.
        """
        name = path.as_posix()
        suffix = _real_suffix(data, suffix_of(name))
        data = prepared(data, name=name, passwords=self.options.passwords)
        unread: list[str] = []
        plain: list[str] = []
        content = _common_format(data, suffix, name, unread)
        if content is None:
            content = _foreign(data, suffix, name, unread, plain)
        text, places, title = content
        if suffix == ".msg":
            text, places = _with_attachments(text, data, self.options.passwords, unread)
        # the heading of a sheet is its name, which says little of the file
        headings = (one[3] for one in headings_of(text) if suffix not in _SHEETS)
        yield Document(
            id=name,
            text=text,
            title=title or next(headings, "")[:200] or title_of(path),
            source=name,
            metadata={key: "; ".join(texts) for key, texts in (("unread", unread), ("plain", plain)) if texts},
            places=places,
        )


def _common_format(data: bytes, suffix: str, name: str, unread: list[str]) -> tuple[str, tuple[Place, ...], str] | None:
    """Text, places and title of a format that this package reads; None for others and for a damaged main part."""
    if suffix == ".xml":
        try:
            text, places = joined([("", xml_text(data))])
        except (ElementTree.ParseError, LookupError, ValueError):
            return None
        return text, places, ""
    if suffix not in (*_WORDS, *_BOOKS, *_OPENED) or not data.startswith(b"PK"):
        return None
    if suffix in _OPENED:
        return _opened(data, suffix, unread)
    try:
        package = Package(data, name=name)
        reader = Word(package) if suffix in _WORDS else Workbook(package)
        sheets = list(reader.sheets()) if isinstance(reader, Workbook) else []
        parts = [("", reader.text())] if isinstance(reader, Word) else [(one.label, one.text) for one in sheets]
    except (*BROKEN, KeyError, IndexError):
        unread.append("what a damaged main part holds beyond the words that could be saved")
        return None
    text, places = joined(parts)
    if sheets:
        places = _with_rows(places, sheets)
    unread += [*reader.unread, *([f"damaged parts {', '.join(package.lost)}"] if package.lost else [])]
    return (text, places, package.title()) if text or not package.lost else None


def _opened(data: bytes, suffix: str, unread: list[str]) -> tuple[str, tuple[Place, ...], str] | None:
    """As `_common_format`, for the formats whose main part has a fixed name."""
    try:
        package = Package(data)
        reader = _OPENED[suffix](package)
        sheets = list(reader.sheets()) if isinstance(reader, OpenText) and suffix in _SHEETS else []
        text, places = joined([(one.label, one.text) for one in sheets] if sheets else [("", reader.text())])
        places = _with_rows(places, sheets) if sheets else places
    except (*BROKEN, KeyError, IndexError, UnreadableFile):
        return None
    unread += [*reader.unread, *([f"damaged parts {', '.join(package.lost)}"] if package.lost else [])]
    return (text, places, reader.title()) if text or not package.lost else None


def _with_rows(places: tuple[Place, ...], sheets: list[Sheet]) -> tuple[Place, ...]:
    """The places of sheets, and within each sheet a place wherever rows are counted anew."""
    rows: list[Place] = []
    for place, sheet in zip(places, sheets, strict=True):
        rows.append(place)
        for at, number in sheet.rows:
            rows.append(Place(start=place.start + at, label=place.label, lines="row", first=number))
    return tuple(rows)


def _foreign(
    data: bytes, suffix: str, name: str, unread: list[str], plain: list[str]
) -> tuple[str, tuple[Place, ...], str]:
    """Text, places and title as kreuzberg finds them; `plain` gets a remark on formatting that is not read."""
    if suffix == ".rtf":
        data, remarks = settled_rtf(data)
        unread += remarks
    no_entities(data, name=name, suffix=suffix)
    if suffix in _PLAIN:
        plain.append(f"a {suffix} file is read as plain words: {_PLAIN[suffix]} are not told apart")
    result, lost = _extracted(data, suffix, name)
    if lost:
        unread.append(f"damaged parts {', '.join(lost)}")
    text, places = joined(_parts(result.document or {}, sheets=suffix in _SHEETS))
    if not text:
        text, places = joined([("", result.content)])
    if suffix == ".rtf":
        text = joined_again(text)
    metadata: Json = dict(result.metadata or {})
    return text, places, " ".join(str(metadata.get("title") or metadata.get("subject") or "").split())


def _with_attachments(
    text: str, data: bytes, passwords: tuple[str, ...], unread: list[str]
) -> tuple[str, tuple[Place, ...]]:
    """A message of Outlook with its attachments, each read by its own reader as in any mail."""
    from twofold.corpus.readers.mail import MailReader

    mail = MailReader(MailReader.Options(passwords=passwords))
    parts = [("message", text)]
    for name, attachment in attachments(data):
        if attachment is None:
            unread.append(f"attachment {name} (a message or object)")
        else:
            mail.attach(name, attachment, parts, unread=unread)
    return joined(parts)


def _real_suffix(data: bytes, suffix: str) -> str:
    """The ending that fits the content of a file: Word opens RTF and DOCX under each other's endings, so they occur."""
    if suffix == ".doc" and data.startswith(b"PK"):
        return ".docx"
    if suffix == ".xls" and data.startswith(b"PK"):
        return ".xlsx"
    return ".rtf" if suffix in {".doc", ".docx"} and data.startswith(b"{\\rtf") else suffix


def _extracted(data: bytes, suffix: str, name: str) -> tuple[Any, list[str]]:
    """The result of kreuzberg, and the damaged parts that had to be left out first."""
    try:
        import kreuzberg
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "office files need the package kreuzberg, which is not installed", cure=install("documents")
        ) from error
    # one thread, no cache, no pictures: the limits of memory and time are set for this process alone
    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        include_document_structure=True,
        disable_ocr=True,
        enable_quality_processing=False,
        images=kreuzberg.ImageExtractionConfig(extract_images=False),
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
    )
    mime = _MIME[suffix]
    try:
        return kreuzberg.extract_bytes_sync(data, mime, config=config), []
    except kreuzberg.KreuzbergError as error:
        # kreuzberg has no error of its own for this
        if "password" in str(error).lower():
            raise EncryptedFile("the file is encrypted", file=name) from error
        first = error
    if data.startswith(b"PK"):
        try:
            whole, lost = repacked(data, name=name)
            return kreuzberg.extract_bytes_sync(whole, mime, config=config), lost
        except kreuzberg.KreuzbergError as error:
            first = error
    message = str(first).removeprefix("ParsingError: ")
    raise DamagedFile(f"it cannot be read as {suffix[1:].upper()}: {excerpt(message, 160)}", file=name) from first


def _parts(tree: Json, *, sheets: bool) -> Iterator[tuple[str, str]]:
    """The text of the tree as ``(place, text)``: a part for each sheet, else a single part."""
    label, out = "", [""]
    before = ""
    for node in tree.get("nodes", ()):
        content = node["content"]
        kind = content.get("node_type", "")
        text = _text_of(kind, content)
        if not text.strip():
            continue
        if sheets and kind == "heading":
            yield label, "".join(out)
            label, out = f"sheet {text.lstrip('# ')}", []
        out += ["\n" if kind == before == "list_item" else "\n\n", text]
        before = kind
    yield label, "".join(out)


def _text_of(kind: str, content: Json) -> str:
    if kind == "heading":
        level = min(6, max(1, int(content.get("level") or 1)))
        return f"{'#' * level} {' '.join(str(content.get('text', '')).split())}"
    if kind == "list_item":
        return f"- {content.get('text', '')}"
    if kind == "table":
        return _table(content.get("grid") or {})
    if kind == "metadata_block":
        return "\n".join(f"{key}: {value}" for key, value in content.get("entries", ()) if value)
    if kind == "image":
        description = str(content.get("description") or content.get("alt_text") or "")
        return "" if description == "image" else description  # kreuzberg's word for one that nobody described
    return "" if kind in {"group", "list"} else str(content.get("text") or "")


def _table(grid: Json) -> str:
    """Rows as lines; a cell that spans columns stands once."""
    rows: dict[int, list[tuple[int, str]]] = {}
    for cell in grid.get("cells", ()):
        rows.setdefault(int(cell["row"]), []).append((int(cell["col"]), " ".join(str(cell["content"]).split())))
    lines = []
    for _, cells in sorted(rows.items()):
        line = " | ".join(text for _, text in sorted(cells)).strip()
        if line.strip(" |"):
            lines.append(line.removesuffix("|").rstrip())
    return "\n".join(lines)
