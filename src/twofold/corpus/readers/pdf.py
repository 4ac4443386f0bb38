"""PDF: the text of each page as PDFium orders it, pages as places, bookmarks as headings.

A page that is a picture is reported, or read by character recognition where that is enabled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twofold.corpus.plain_text import joined, title_of
from twofold.corpus.readers.marks import literal
from twofold.corpus.readers.pdf_order import reading_order
from twofold.corpus.readers.pdf_pages import crossed, divided, filled, scripts
from twofold.corpus.readers.right_to_left import formless, righted
from twofold.errors import DamagedFile, EncryptedFile, MissingExtra, ScannedFile, install
from twofold.plugins import protocols
from twofold.types import Document

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

_WHITE = re.compile(r"\s+")
_PROGRAM = re.compile(r"^Microsoft (?:Word|PowerPoint|Excel) - ")
_NO_TITLE = re.compile(r"(?i)^(?:untitled.*|document\d*|slide \d+|.*\.(?:docx?|pptx?|xlsx?|tex|dvi|indd|qxd|pdf|fm))$")
_LITTLE, _STAMP = 12, 80
"""Most characters of a page that counts as empty (a page number), and of one that a picture fills (a stamp)."""
_DRAWN = 40
"""Lines and areas from which a page without text may be one whose letters are drawn as shapes."""
_DPI = 150
"""Resolution at which a page is rendered for character recognition."""


class PdfReader:
    """A PDF file; its title is that of its properties, else the file's stem."""

    version: ClassVar[int] = 5
    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)

    class Options(protocols.Options):
        """Passwords and character recognition."""

        passwords: tuple[str, ...] = ()
        """Tried one after another on an encrypted file."""
        ocr: bool = False
        """Read pages that are pictures by character recognition."""

    def __init__(self, options: PdfReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document. Pages that are pictures are listed in the metadata field ``scanned``.

        Raises:
            DamagedFile: the file cannot be opened as a PDF.
            EncryptedFile: none of the passwords opens the file.
            ScannedFile: no page has text, and pages are pictures.
            MissingExtra: the extra ``documents`` (or ``ocr``) is not installed.
        """
        name = path.as_posix()
        pdf = self._opened(name, data)
        from pypdfium2.raw import FORMTYPE_XFA_FOREGROUND, FORMTYPE_XFA_FULL

        if pdf.get_formtype():
            pdf.init_forms()
        texts: list[str] = []
        pictures: list[int] = []
        more: list[list[str]] = []
        bookmarks = _bookmarks(pdf)
        for number in range(1, len(pdf) + 1):
            page = _page(pdf, number, name)
            text = ""
            if page:
                letters = page.get_textpage()
                # raised digits and turned words are found by the place of each character: before the text changes
                text = righted(letters, letters.get_text_range())
                text = "\r\n".join(scripts(letters, text, span) for span in reading_order(letters, text))
                text = formless(crossed(page, letters, text))
                if _is_picture(page, len(text.strip())):
                    if self.options.ocr:
                        from twofold.corpus.readers.pictures import recognised

                        text = recognised(page.render(scale=_DPI / 72).to_numpy())
                    else:
                        pictures.append(number)
            texts.append(text)
            more.append(filled(pdf, page, text) if page else [])
            if page:
                page.close()
        parts = []
        for page_number, (page_text, remarks) in enumerate(zip(divided(texts), more, strict=True), 1):
            body = _headed(literal(page_text), bookmarks.get(page_number, ()))
            parts.append((f"page {page_number}", "\n\n".join([body, *remarks])))
        text, places = joined(parts)
        unread = [f"attachment {pdf.get_attachment(n).get_name()}" for n in range(pdf.count_attachments())]
        if pdf.get_formtype() in (FORMTYPE_XFA_FULL, FORMTYPE_XFA_FOREGROUND):
            unread.append("a form of the kind XFA")
        # printed from Office, a title begins with the program's name
        title = _PROGRAM.sub("", pdf.get_metadata_value("Title")).strip()
        pdf.close()
        if pictures and not text:
            raise ScannedFile(f"its pages ({ranges(pictures)}) are pictures without text", file=name)
        yield Document(
            id=name,
            text=text,
            title=title_of(path) if not title or _NO_TITLE.match(title) else title,
            source=name,
            metadata={
                **({"scanned": ranges(pictures)} if pictures else {}),
                **({"unread": "; ".join(unread)} if unread else {}),
            },
            places=places,
        )

    def _opened(self, name: str, data: bytes) -> PdfDocument:
        try:
            import pypdfium2
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "PDF files need the package pypdfium2, which is not installed", cure=install("documents")
            ) from error
        # None first: most files need none, and some are encrypted with an empty one
        for password in (None, *self.options.passwords):
            try:
                return pypdfium2.PdfDocument(data, password=password)
            except pypdfium2.PdfiumError as error:
                if "password" not in str(error).lower():
                    raise DamagedFile(f"it cannot be opened as PDF: {error}", file=name) from error
        hint = " and none of the passwords given opens it" if self.options.passwords else ""
        raise EncryptedFile(f"the file is encrypted{hint}", file=name)


def _page(pdf: PdfDocument, number: int, name: str) -> PdfPage | None:
    """One page; None where it is damaged and the file has others. The page of a single-page file must be readable."""
    import pypdfium2

    try:
        return pdf[number - 1]
    except pypdfium2.PdfiumError as error:
        if len(pdf) == 1:
            raise DamagedFile(f"its page cannot be read: {error}", file=name) from error
        return None


def _is_picture(page: PdfPage, letters: int) -> bool:
    """Is a page with this many letters a picture, or a drawing of letters?"""
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE, FPDF_PAGEOBJ_PATH

    if letters > _STAMP:
        return False
    width, height = page.get_size()
    covered, drawn = 0.0, 0
    for page_object in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE, FPDF_PAGEOBJ_PATH], max_depth=5):
        if page_object.type == FPDF_PAGEOBJ_PATH:
            drawn += 1
            continue
        left, bottom, right, top = page_object.get_bounds()
        covered += max(0.0, right - left) * max(0.0, top - bottom)
    # some words beside a picture: only where it fills half of the page
    if letters > _LITTLE:
        return bool(covered >= 0.5 * width * height)
    return covered > 0 or drawn >= _DRAWN


def _bookmarks(pdf: PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """Page → ``(level, title)`` of the bookmarks that point to it; empty where the outline is damaged."""
    import pypdfium2

    bookmarks: dict[int, list[tuple[int, str]]] = {}
    try:
        for mark in pdf.get_toc(max_depth=6):
            target: Any = mark.get_dest()
            index = target.get_index() if target else None
            title = _WHITE.sub(" ", mark.get_title()).strip()
            if index is not None and title:
                bookmarks.setdefault(index + 1, []).append((min(6, mark.level + 1), title))
    except (pypdfium2.PdfiumError, RecursionError, ValueError):
        return {}
    return bookmarks


def _headed(text: str, marks: Sequence[tuple[int, str]]) -> str:
    """Mark lines that equal the title of a bookmark as headings, as in Markdown."""
    # a title leads to one line: taken out below, a repeated line is no second heading
    levels = {_key(title): level for level, title in marks}
    if not levels:
        return text
    lines = []
    for line in text.splitlines():
        level = levels.pop(_key(line), 0)
        lines.append(f"\n{'#' * level} {line.strip()}\n" if level else line)
    return "\n".join(lines)


def _key(line: str) -> str:
    """A heading without its number, case and white space."""
    return re.sub(r"^[\d.]+\s*|\s+", "", line.casefold().strip())


def ranges(numbers: Sequence[int]) -> str:
    """``[1, 2, 3, 5]`` as ``1-3, 5``."""
    out: list[list[int]] = []
    for number in numbers:
        if out and number == out[-1][-1] + 1:
            out[-1] = [out[-1][0], number]
        else:
            out.append([number])
    return ", ".join("-".join(map(str, dict.fromkeys(pair))) for pair in out)
