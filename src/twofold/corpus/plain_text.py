"""Plain text for all readers: decode bytes, clean a text, find its title, join its parts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from twofold.errors import UnreadableFile
from twofold.files.reading import decode
from twofold.types import Place

_PICTURE = re.compile(r"data:[\w/.+-]{1,60}(?:;[\w=-]{1,40}){0,3};base64,[A-Za-z0-9+/=_%\s-]{64,}+")
_ENDING = 8
"""Characters of the longest ending of a file's name that is read."""
_NOT_TEXT = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f\xad\ud800-\udfff\ufffe\uffff]")
_ODD = re.compile("[\0-\x08\x0b-\x1f\x7f\xad\ud800-\udfff\ufb00-\ufb06\ufffe\uffff]")
"""Signs that a clean text lacks. Most texts have none of them, and one search costs less than a pass for each kind."""
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
# the look-behind and the possessive ++ keep the time linear in a line of many blanks
_BLANKS = re.compile(r"(?<![ \t\u00a0])[ \t\u00a0]++(?=\n)|\n{3,}")
_LOOSE = (" \n", "\n\n\n", "\t\n", "\u00a0\n")


def even_lines(text: str) -> str:
    """Line ends of Windows and old Macintosh as line feeds."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def title_of(path: Path) -> str:
    """The title of a file without one: its name without the ending (``v1.2.3 notes`` for ``v1.2.3 notes.txt``)."""
    name = path.name.removesuffix(".gz") if path.name.endswith(".gz") else path.name
    stem, dot, ending = name.rpartition(".")
    return stem if dot and stem and len(ending) <= _ENDING and ending.isalnum() else name


def decoded(data: bytes, name: str, encoding: str) -> str:
    """Bytes as text: in UTF-8 or the encoding of a byte-order mark, else in `encoding` (of the configuration), if any.

    Raises:
        UnreadableFile: the bytes are in none of these; the message names the first bad byte.
    """
    try:
        return decode(data, name=name)
    except UnreadableFile:
        if not encoding:
            raise
        return decode(data, name=name, declared=encoding)


def clean(text: str) -> str:
    """Remove control characters, half surrogates, superfluous blanks and blank lines, and spell ligatures out."""
    if _ODD.search(text):
        text = _NOT_TEXT.sub("", even_lines(text).replace("\f", "\n")).translate(_LIGATURES)
    if any(one in text for one in _LOOSE):
        text = _BLANKS.sub(lambda match: "\n\n" if match.group().startswith("\n") else "", text)
    return text.strip()


def joined(parts: Iterable[tuple[str, str]]) -> tuple[str, tuple[Place, ...]]:
    """Join parts ``(label, text)`` into one text with blank lines between, and a place for each labelled part.

    A part without text is left out together with its place.
    """
    out: list[str] = []
    places: list[Place] = []
    length = 0
    for label, raw in parts:
        text = clean(raw)
        if not text:
            continue
        start = length + 2 if out else 0
        if label:
            places.append(Place(start=start, label=label))
        out.append(text)
        length = start + len(text)
    return "\n\n".join(out), tuple(places)


def without_pictures(text: str) -> tuple[str, str]:
    """Replace pictures inside a text (base64) by a word; return the text, and a remark that counts the pictures."""
    if ";base64," not in text:
        return text, ""
    shortened, count = _PICTURE.subn("(picture)", text)
    return shortened, f"{count} picture{'' if count == 1 else 's'} inside the text" if count else ""
