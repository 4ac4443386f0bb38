"""Plain text out of whatever a file holds, for all readers: decoded, cleaned, titled, its parts put together."""

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
_NOT_TEXT = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_ODD = re.compile("[\0-\x08\x0b-\x1f\x7f\ud800-\udfff\ufb00-\ufb06\ufffe\uffff]")
"""What a clean text has none of: one search is less than a pass for each kind, and most texts have none."""
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_BLANKS = re.compile(r"(?<![ \t\u00a0])[ \t\u00a0]++(?=\n)|\n{3,}")
_LOOSE = (" \n", "\n\n\n", "\t\n", "\u00a0\n")


def even_lines(text: str) -> str:
    """Line ends of Windows and old Macintosh as line feeds."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def title_of(path: Path) -> str:
    """The title of a file that names none: its name without its ending (``v1.2.3 notes`` of ``v1.2.3 notes.txt``)."""
    name = path.name.removesuffix(".gz") if path.name.endswith(".gz") else path.name
    stem, dot, ending = name.rpartition(".")
    return stem if dot and stem and len(ending) <= _ENDING and ending.isalnum() else name


def decoded(data: bytes, name: str, encoding: str) -> str:
    """Bytes as text: UTF-8 or what a byte-order mark says, else the `encoding` given in the configuration, if any.

    Raises:
        UnreadableFile: naming the first bad byte.
    """
    try:
        return decode(data, name=name)
    except UnreadableFile:
        if not encoding:
            raise
        return decode(data, name=name, declared=encoding)


def clean(text: str) -> str:
    """What a file format's text may bring that is none: control characters, half characters, ligatures, blank lines."""
    if _ODD.search(text):
        text = _NOT_TEXT.sub("", even_lines(text).replace("\f", "\n")).translate(_LIGATURES)
    if any(one in text for one in _LOOSE):
        text = _BLANKS.sub(lambda match: "\n\n" if match.group().startswith("\n") else "", text)
    return text.strip()


def joined(parts: Iterable[tuple[str, str]]) -> tuple[str, tuple[Place, ...]]:
    """Parts as ``(label, text)`` → one text with a blank line between them, and where each labelled part starts.

    A part without text is left out, and so is its place.
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
    """A text without the bytes of pictures in it (base64), a word in the place of each, and what to say of them."""
    if ";base64," not in text:
        return text, ""
    shortened, count = _PICTURE.subn("(picture)", text)
    return shortened, f"{count} picture{'' if count == 1 else 's'} inside the text" if count else ""
