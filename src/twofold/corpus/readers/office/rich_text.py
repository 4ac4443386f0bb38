"""Rewrite Rich Text Format before kreuzberg reads it, so that formatting survives as text.

Raised digits become Unicode's (10⁶), struck-out text stands between ``~~``, deleted text goes, labels of lists and
non-breaking hyphens become text. Parts that stay unread (hidden text, text boxes, comments) are named. Control words:
RTF Specification 1.9.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from twofold.corpus.readers.marks import raised

_TOKEN = re.compile(r"\\([a-z]{1,32})(-?[0-9]{1,10})? ?|\\'[0-9a-fA-F]{2}|\\[^a-z]|[{}]|[\r\n]+|[^\\{}\r\n]+")
_ASIDE = frozenset(
    ["fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "listtable", "listoverridetable", "themedata"]
)
"""Groups without text of the document."""
_ENDS = frozenset(["par", "cell", "row", "nestcell", "nestrow", "sect", "page"])
_LABELS = ("listtext", "pntext")
_PARTINGS = frozenset(["page", "column", "sect"])
_UNREAD = {"shptxt": "a text box", "annotation": "a comment", "objdata": "another file put in"}


JOINT = "\ue002"
"""Behind a group that a letter follows directly: kreuzberg puts a blank there, within a word (``{\\b P}ump``)."""


@dataclass(frozen=True, slots=True)
class _Look:
    super: bool = False
    struck: bool = False
    deleted: bool = False
    hidden: bool = False
    aside: bool = False
    label: bool = False


def settled_rtf(data: bytes) -> tuple[bytes, list[str]]:
    """Return the rewritten file, and remarks on unread parts; a file with raw bytes stays unchanged."""
    text = data.decode("latin-1")  # each byte a character, so that encoding gives the same bytes back
    # raw bytes may look like any token
    if "\\bin" in text or not text.startswith("{\\rtf"):
        return data, []
    out: list[str] = []
    unread: dict[str, None] = {}
    stack = [_Look()]
    before, open_ = "", False
    for match in _TOKEN.finditer(text):
        token, word, number = match.group(), match.group(1), match.group(2)
        look = stack[-1]
        if token == "{":
            stack.append(look)
        elif token == "}":
            if len(stack) > 1:
                stack.pop()
            if look.label and not stack[-1].label:
                token = "} "  # a blank between the label and the item's text
            if open_ and not stack[-1].struck:
                out.append("~~")
                open_ = False
        elif word:
            if word in _UNREAD:
                unread[_UNREAD[word]] = None
            stack[-1] = _after(look, word, number != "0")
            if word in _PARTINGS and not look.aside:
                token = "\\par "  # its reader welds what stands on two pages
            if word in (*_LABELS, "super", "sub", "nosupersub"):
                continue  # a label is text, and a piece that is set otherwise no word of its own
            if open_ and word in _ENDS:
                out.append("~~")
                open_ = False
        elif token == "\\*":
            stack[-1] = replace(look, aside=True)
        elif not look.aside and token not in ("\r", "\n", "\r\n"):
            if look.deleted:
                continue
            if look.hidden and token.strip():
                unread["hidden text"] = None
            if open_ != look.struck and (token.strip() or not look.struck):
                out.append("~~")
                open_ = look.struck
            shown = "-" if token == "\\_" else " " if token == "\\~" else token
            if look.super and token[0] != "\\":
                shown = "".join(one if one.isascii() else f"\\u{ord(one)}?" for one in raised(token, before))
            before = (before + shown)[-24:]
            if out[-1] == "}" and token[0].isalnum():
                # the format writes a sign by its number as 16 bits with a sign
                out.append(f"\\u{ord(JOINT) - 65536}?")
            out.append(shown)
            continue
        out.append(token)
    return "".join(out).encode("latin-1"), list(unread)


def joined_again(text: str) -> str:
    """Remove the blanks that kreuzberg put into words, from the text that it read of a rewritten file."""
    return text.replace(f" {JOINT}", "").replace(JOINT, "")


def _after(look: _Look, word: str, on: bool) -> _Look:
    if word == "plain":
        return replace(look, super=False, struck=False, hidden=False, deleted=False)
    if word in ("super", "sub", "nosupersub"):
        return replace(look, super=word == "super" and on)
    if word in ("strike", "striked"):
        return replace(look, struck=on)
    if word == "deleted":
        return replace(look, deleted=on)
    if word == "v":
        return replace(look, hidden=on)
    if word in _LABELS:
        return replace(look, label=True)
    return replace(look, aside=True) if word in _ASIDE else look
