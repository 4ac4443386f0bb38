"""The styles of a Word file by their ids, each parsed when a paragraph first uses it.

A file describes hundreds of styles and uses a handful; parsing all of them took most of the reading time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from xml.etree import ElementTree

from twofold.corpus.readers.office.packages import Node, attribute, inside

_ROOT = re.compile(rb"<((?:[\w.-]+:)?)styles(?=[\s>])[^>]*>")
_ID = rb'(?=[\s>/])[^>]*?[\s:]styleId="([^"]*)"[^>]*>'


class StyleNodes(Mapping[str, Node]):
    """Style id → its element.

    Args:
        data: The part ``styles``; None where there is none.
        whole: Returns the tree of the part, None where it is damaged; called where the part cannot be cut by text.
    """

    def __init__(self, data: bytes | None, whole: Callable[[], Node | None]) -> None:
        self._nodes: dict[str, Node] = {}
        self._whole = whole
        self._data = data or b""
        cut = _cut(data) if data else None
        self._places: dict[str, tuple[int, int]] | None = cut[2] if cut else None
        self._first, self._last = cut[:2] if cut else (b"", b"")
        if self._places is None:
            root = whole() if data else None
            self._nodes = {attribute(one, "styleId"): one for one in inside(root, "style")} if root is not None else {}

    def __getitem__(self, name: str) -> Node:
        if name not in self._nodes:
            begin, end = (self._places or {})[name]
            try:
                self._nodes[name] = ElementTree.fromstring(self._first + self._data[begin:end] + self._last)[0]
            except ElementTree.ParseError:
                self._whole()  # parses the whole part and so records the damage
                self._nodes[name] = ElementTree.Element("style")
        return self._nodes[name]

    def __contains__(self, name: object) -> bool:
        return name in (self._nodes if self._places is None else self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes if self._places is None else self._places)

    def __len__(self) -> int:
        return len(self._nodes if self._places is None else self._places)


def _cut(data: bytes) -> tuple[bytes, bytes, dict[str, tuple[int, int]]] | None:
    """The tags around all styles, and the place of each style; None where the part is not plain enough to be cut."""
    root = _ROOT.search(data)
    if root is None or b"<!" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff") or not _utf8(data[: root.start()]):
        return None
    name = root[1] + b"style"
    start, end, last = re.compile(b"<" + name + _ID), b"</" + name + b">", b"</" + name + b"s>"
    # as many opening as closing tags, else "</style>" stands in a comment or text and the cut would be wrong
    begun = sum(data.count(b"<" + name + sign) for sign in (b" ", b">"))
    if not data.rstrip().endswith(last) or begun != data.count(end):
        return None
    places: dict[str, tuple[int, int]] = {}
    done, count = root.end(), 0
    for tag in start.finditer(data, done):
        begin, after = tag.span()
        if begin < done or data[after - 2 : after] == b"/>" or b"&" in tag[0]:
            return None  # a style within a style, or one that is empty
        done = data.find(end, after) + len(end)
        places[tag[1].decode("utf-8")] = (begin, done)
        count += 1
    return (root[0], last, places) if count == begun else None


def _utf8(prologue: bytes) -> bool:
    declared = re.search(rb"encoding\s*=\s*[\"']([\w.-]+)", prologue)
    return declared is None or declared[1].lower() in (b"utf-8", b"us-ascii")
