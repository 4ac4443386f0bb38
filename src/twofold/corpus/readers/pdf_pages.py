"""Features of a page that PDFium's text lacks: raised numbers, hyphenated words, forms and annotations."""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twofold.corpus.readers.marks import lowered, raised, settled

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

_DIVIDED = re.compile(r"\ufffe(?:\r?\n)?([^\W\d_]+)")
"""PDFium's sign for a hyphen at the end of a line, and the rest of the word. The pattern begins with the sign, which is
rare, so the search is fast; `_divided` then looks back for the first part of the word."""
_BROKEN = re.compile(r"\ufffe(?:(?:\r?\n)(?=\w))?")
_MOST_CHOICES = 1000
_PASSWORD = 1 << 13
"""A field's flag (ISO 32000-2, table 231)."""
_LONGEST = 80
"""Most letters before the hyphen; with a longer look back the time would be quadratic in a text without blanks."""
_NUMBER = re.compile(r"[+−-]?[0-9]+")
_DIGITS = re.compile(r"(?<=[0-9])-\r?\n(?=[0-9])")
_ADDRESS = frozenset("/@_=&?%~")
_DOT = re.compile(r"\w\.")
"""A letter and a dot before a word: the word is part of an address."""
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_FIRST_WORDS = """
    all anti arm audio back best better big bio blue book broad broken brown built by case child city class
    clean clear close co cold computer cost cross custom customer data day deep direct double down dry dual easy
    eco energy English even ever ex face family far fast few field fifty fine first five fixed flat follow four
    free front full fund future general German good government green ground half hand hard health heavy high
    home hot house ice ill in industry interest job joint key kind labour large last late law lead left less
    life light like line little living local long loose low main man many market mass medium mid middle mind
    money most mother much multi narrow near new nine non north off oil old on one open out over own paid paper
    part past pay pitch place plain plant post power price private pro problem proof public quarter quasi quick
    rate real record red rent right rule run safe second self semi set seven share sharp short side single six
    slow small so soft solid south space special stand start state step still stop store strong sub super tax
    team ten test third thirty three time to top toll trade traffic twenty twin two ultra up user value vice
    wall warm water weather web week weekly well west white whole wide wind wire word work world worst year
    yearly zero
"""
_FIRST = frozenset(_FIRST_WORDS.split())
"""Words that often begin a compound written with a hyphen."""
_LAST_WORDS = """
    able aged ahead area aware back backed based being board book born bound bred built by called capita case caught
    central changing class cost cut date day deep dependent down driven due eared earned effective efficient ended
    evident eyed faced fact far fed fifth fifths fold footed for free friendly front full going grade grown handed
    hand haul heavy held high hole hour house income in initiated intensive job keeping kind knit known law led
    legged length less level life like line lived living long looking lying made maker making man mandated market
    minded minute month needed negative neutral new off old on one only out over owned owner page pane part party
    pass past pay per phase piece place plan point positive powered price prone proof purpose range ranging ray
    reaching ready related resistant respect rich right round run running scale second sensitive served service set
    shaped share shot side sided size sized skilled solving source speaking specific spoken spread stage standing
    star state step stop story style sum sure surface tail tailed term test thinking third thirds tier time to tone
    tower trained turn two type up used user value volume wage walled way week weight well wheel wide winded window
    winning wise word work working worth wound written year
"""
_LAST = frozenset(_LAST_WORDS.split())
"""Words that often end such a compound."""


def divided(texts: Sequence[str]) -> list[str]:
    """Join words that are hyphenated at the ends of lines, in all pages of a document.

    The hyphen stays if the document elsewhere writes the word with it and never without, or if both parts are known to
    form such words ("well-known", "long-term"). Otherwise a hyphen between letters belongs to the line and goes.
    """
    texts = [_DIGITS.sub("-", text) if "-\r" in text or "-\n" in text else text for text in texts]
    if not any("\ufffe" in text for text in texts):
        return texts
    pieces = [list(_divided(text)) for text in texts]
    rest: list[str] = []
    written: set[str] = set()
    for before, _, _ in itertools.chain.from_iterable(pieces):
        rest.append(before.casefold())
        for piece in rest[-1].split():
            if "-" in piece:
                written.update(_WORD.findall(piece))
    words: set[str] = set()

    def known(word: str) -> bool:
        """Does the document contain the word? All words are gathered at the first call, which few documents need."""
        if not words:
            for text in rest:
                words.update(_WORD.findall(text))
        return word in words

    def joined(before: str, left: str, right: str) -> str:
        if len(left) == 1 or before[-1:].isdigit() or before[-1:] in _ADDRESS or _DOT.fullmatch(before[-2:]):
            return f"{left}-{right}"  # e-mail; part of an address or a number
        whole, hyphened = (left + right).casefold(), f"{left}-{right}".casefold()
        if right and (not right[0].islower() or not left[-1].islower()):
            capitals = left.isupper() and right.isupper() and hyphened not in written and known(whole)
            return left + right if capitals else f"{left}-{right}"
        hyphen_stays = hyphened in written or (left.casefold() in _FIRST and right.casefold() in _LAST)
        return f"{left}-{right}" if hyphen_stays and not known(whole) else left + right

    pages: list[str] = []
    for page in pieces:
        text = "".join(between + (joined(between, left, right) if left else "") for between, left, right in page)
        pages.append(_BROKEN.sub("-", text) if "\ufffe" in text else text)
    return pages


def _divided(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the text before each hyphenated word and the word's two parts; last the rest of the text, and no parts."""
    done = 0
    for match in _DIVIDED.finditer(text):
        end = start = match.start()
        while start > max(done, end - _LONGEST) and text[start - 1].isalpha():
            start -= 1
        if start < end and not (start and text[start - 1].isalpha()):
            yield text[done:start], text[start:end], match.group(1)
            done = match.end()
    yield text[done:], "", ""


def scripts(page: PdfTextPage, text: str, span: tuple[int, int]) -> str:
    """Write a range of the text, with small digits above or below the preceding character raised or lowered."""
    begin, close = span
    from pypdfium2.raw import FS_RECTF, FPDFText_GetFontSize, FPDFText_GetLooseCharBox

    if len(text) != page.count_chars():
        return text[begin:close]  # signs beyond 16 bits: places and letters do not fit
    box, raw = FS_RECTF(), page.raw

    def at(place: int) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of a character, in points."""
        FPDFText_GetLooseCharBox(raw, place, box)
        return box.left, box.right, box.bottom, box.top

    out: list[str] = []
    done = begin
    for start, end in _raised_runs(text, begin, close, partial(FPDFText_GetFontSize, raw)):
        base_at = _before(text, start)
        if base_at < done:
            continue
        base, first = at(base_at), at(start)
        height = base[3] - base[2]
        # shares of the height of the character that the digits follow
        small = first[3] - first[2] <= 0.85 * height
        beside = -0.2 * height < first[0] - base[1] < 0.6 * height
        up = first[2] > base[2] + 0.08 * height and first[2] < base[3]
        down = first[3] < base[3] - 0.08 * height and first[3] > base[2]
        if not (small and beside and (up or down)):
            continue
        last = start + 1
        while last < end and abs((box_ := at(last))[2] - first[2]) < 0.02 * height and box_[3] - box_[2] < 0.9 * height:
            last += 1
        before = text[max(done, base_at - 23) : base_at + 1]
        out += [text[done : base_at + 1], (raised if up else lowered)(text[start:last], before)]
        done = last
        after = last
        while after < close and text[after] in "\r\n":
            after += 1
        if last < after < close and abs(at(after)[2] - base[2]) < 0.05 * height:
            done = after  # PDFium ends the line at a raised sign; the page goes on beside it
    return settled("".join(out) + text[done:close]) if out else text[begin:close]


def _before(text: str, place: int) -> int:
    """The place of the last character before `place` that is no white space; -1 if there is none."""
    place -= 1
    while place >= 0 and text[place].isspace():
        place -= 1
    return place


def _raised_runs(text: str, begin: int, close: int, size: Callable[[int], float]) -> Iterator[tuple[int, int]]:
    """Yield ``(start, end)`` of digits that are smaller than the character before them or the number's first digits."""
    # sizes are asked of PDFium, which takes most of the time here: those of the previous number are remembered
    known, height, even = -1, 0.0, False
    for match in _NUMBER.finditer(text, begin, close):
        start, end = match.span()
        base = start - 1
        if base >= 0 and text[base].isspace():
            base = _before(text, base)
        before = height if base == known else size(base) if base >= 0 else 0.0  # numbers in a row: asked already
        last = size(end - 1)
        follows = even if base == known else base >= 0 and not text[base].isdigit()
        even = follows and 0.95 * before <= last <= 1.05 * before
        known, height = end - 1, last
        if even:
            continue  # as large as what stands before it, which is no raised number: no sign in it is raised
        if base >= 0 and last < 0.95 * before:
            while start < end and size(start) > 1.05 * last:
                start += 1
            yield start, end
        elif end - start > 1 and last < 0.95 * size(start):
            while size(start) > 1.05 * last:
                start += 1
            yield start, end


def filled(pdf: PdfDocument, page: PdfPage, shown: str) -> list[str]:
    """The fields of a form with their values, and annotations, a line each; `crossed` handles struck-out text.

    Args:
        pdf: The file.
        page: One of its pages.
        shown: The page's text.
    """
    from pypdfium2 import raw

    lines: dict[str, None] = {}
    form = pdf.formenv
    for annotation in _annotations(page):
        kind = raw.FPDFAnnot_GetSubtype(annotation)
        if kind == raw.FPDF_ANNOT_WIDGET:
            lines[_field(raw, form, annotation) if form is not None else _string(raw, annotation, b"V")] = None
        elif kind not in (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP, raw.FPDF_ANNOT_WIDGET):
            text = _string(raw, annotation, b"Contents")
            marks = kind in (raw.FPDF_ANNOT_HIGHLIGHT, raw.FPDF_ANNOT_UNDERLINE, raw.FPDF_ANNOT_STRIKEOUT)
            if marks and text in " ".join(shown.split()):
                continue  # a copy of the words that it marks
            lines[text if kind == raw.FPDF_ANNOT_FREETEXT or not text else f"Note: {text}"] = None
    return [line for line in lines if line]


def _string(raw: Any, annotation: Any, key: bytes) -> str:
    return _wide(lambda *rest: raw.FPDFAnnot_GetStringValue(annotation, key, *rest))


def _chosen(raw: Any, form: Any, annotation: Any) -> str:
    """The choices of a list as it shows them, which may not be what it keeps."""
    count = min(_MOST_CHOICES, raw.FPDFAnnot_GetOptionCount(form, annotation))
    places = [at for at in range(count) if raw.FPDFAnnot_IsOptionSelected(form, annotation, at)]
    labels = (partial(raw.FPDFAnnot_GetOptionLabel, form, annotation, at) for at in places)
    return ", ".join(filter(None, map(_wide, labels)))


def _field(raw: Any, form: Any, annotation: Any) -> str:
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    name = _wide(lambda *rest: raw.FPDFAnnot_GetFormFieldAlternateName(form, annotation, *rest))
    name = name or _wide(lambda *rest: raw.FPDFAnnot_GetFormFieldName(form, annotation, *rest))
    value = _wide(lambda *rest: raw.FPDFAnnot_GetFormFieldValue(form, annotation, *rest))
    if kind == raw.FPDF_FORMFIELD_CHECKBOX:
        return f"{name}: {'☒' if raw.FPDFAnnot_IsChecked(form, annotation) else '☐'}" if name else ""
    if kind == raw.FPDF_FORMFIELD_RADIOBUTTON and not raw.FPDFAnnot_IsChecked(form, annotation):
        return ""
    if kind in (raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX):
        value = _chosen(raw, form, annotation) or value
    if kind == raw.FPDF_FORMFIELD_TEXTFIELD and raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        return ""  # no viewer shows it
    if kind in (raw.FPDF_FORMFIELD_PUSHBUTTON, raw.FPDF_FORMFIELD_SIGNATURE) or not value.strip():
        return ""
    return f"{name}: {value}" if name else value


def crossed(page: PdfPage, text_page: PdfTextPage, text: str) -> str:
    """Mark text that an annotation strikes out."""
    from pypdfium2 import raw

    for annotation in _annotations(page):
        if raw.FPDFAnnot_GetSubtype(annotation) != raw.FPDF_ANNOT_STRIKEOUT:
            continue
        for number in range(min(100, raw.FPDFAnnot_CountAttachmentPoints(annotation))):  # a hostile file may have any
            quad = raw.FS_QUADPOINTSF()
            if raw.FPDFAnnot_GetAttachmentPoints(annotation, number, quad):
                xs, ys = (quad.x1, quad.x2, quad.x3, quad.x4), (quad.y1, quad.y2, quad.y3, quad.y4)
                piece = text_page.get_text_bounded(min(xs), min(ys), max(xs), max(ys)).strip()
                at = text.find(piece) if piece else -1
                if at >= 0:
                    end = at + len(piece)
                    while at and text[at - 1].isalnum() and text[at].isalnum():
                        at -= 1
                    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
                        end += 1
                    text = f"{text[:at]}~~{text[at:end]}~~{text[end:]}"
    return text


def _annotations(page: PdfPage) -> Iterator[Any]:
    from pypdfium2 import raw

    for number in range(min(5_000, raw.FPDFPage_GetAnnotCount(page))):
        annotation = raw.FPDFPage_GetAnnot(page, number)
        try:
            yield annotation
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _wide(ask: Callable[..., int]) -> str:
    """A string of PDFium, in UTF-16: the first call returns its size in bytes, the second fills a buffer."""
    from pypdfium2.raw import FPDF_WCHAR

    size = ask(None, 0)
    # an empty string has two bytes, its end
    if not 2 < size < 200_000:
        return ""
    buffer = ctypes.create_string_buffer(size)
    ask(ctypes.cast(buffer, ctypes.POINTER(FPDF_WCHAR)), size)
    return " ".join(buffer.raw.decode("utf-16-le", "replace").rstrip("\0").split())
