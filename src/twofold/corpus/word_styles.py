"""The styles of a Word file by their ids, each parsed when a paragraph asks for it.

A file describes hundreds of styles and uses a handful; making a tree of all took most of the time of reading one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from xml.etree import ElementTree

from twofold.corpus.packages import Node, attribute, inside

_ROOT = re.compile(rb"<((?:[\w.-]+:)?)styles(?=[\s>])[^>]*>")
_ID = re.compile(rb'\sstyleId="([^"]*)"|:styleId="([^"]*)"')


class StyleNodes(Mapping[str, Node]):
    """Style id → its element.

    Args:
        data: The part ``styles``; None where there is none.
        whole: Its tree, asked for where the part is written in a way that cannot be cut; None where it is damaged.
    """

    def __init__(self, data: bytes | None, whole: Callable[[], Node | None]) -> None:
        self._nodes: dict[str, Node] = {}
        self._whole = whole
        self._pieces = _cut(data) if data else None
        if self._pieces is None:
            root = whole() if data else None
            self._nodes = {attribute(one, "styleId"): one for one in inside(root, "style")} if root is not None else {}

    def __getitem__(self, name: str) -> Node:
        if name not in self._nodes:
            piece = (self._pieces or {})[name]
            try:
                self._nodes[name] = ElementTree.fromstring(piece())[0]
            except ElementTree.ParseError:
                self._whole()  # which notes that the part is damaged
                self._nodes[name] = ElementTree.Element("style")
        return self._nodes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes if self._pieces is None else self._pieces)

    def __len__(self) -> int:
        return len(self._nodes if self._pieces is None else self._pieces)


def _cut(data: bytes) -> dict[str, Callable[[], bytes]] | None:
    """Style id → a document of that style; None where the part is not plain enough to be cut, or is broken off."""
    root = _ROOT.search(data)
    if root is None or b"<!" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff") or not _utf8(data[: root.start()]):
        return None
    prefix = root[1]
    start, end = re.compile(rb"<" + prefix + rb"style(?=[\s>/])[^>]*>"), b"</" + prefix + b"style>"
    last = b"</" + prefix + b"styles>"
    if not data.rstrip().endswith(last):
        return None
    pieces: dict[str, Callable[[], bytes]] = {}
    done = root.end()
    for tag in start.finditer(data, done):
        if tag.start() < done:
            return None  # a style within a style
        named = _ID.search(tag[0])
        done = data.find(end, tag.end()) + len(end)
        if named is None or b"&" in tag[0] or tag[0].endswith(b"/>") or done < tag.end():
            return None
        name = (named[1] if named[1] is not None else named[2]).decode("utf-8")
        pieces[name] = partial(_piece, data, slice(tag.start(), done), root[0], last)
    return pieces


def _piece(data: bytes, place: slice, first: bytes, last: bytes) -> bytes:
    return first + data[place] + last


def _utf8(prologue: bytes) -> bool:
    said = re.search(rb"encoding\s*=\s*[\"']([\w.-]+)", prologue)
    return said is None or said[1].lower() in (b"utf-8", b"us-ascii")
