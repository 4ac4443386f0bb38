"""XML of any kind as text: an element with children is a heading, one with text a line; attributes follow the name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from xml.etree import ElementTree

from twofold.corpus.readers.marks import literal
from twofold.corpus.readers.office.packages import Node, bare, child

_TITLES = ("title", "name", "head", "label", "caption")
_UNSAID = frozenset(["p", "para", "li", "td", "th", "entry", "text", "span", "s", "line", "v", "value"])
"""Names of elements that say nothing about their text; they are not written."""
_HIDDEN = ("schemaLocation", "noNamespaceSchemaLocation", "space")


def xml_text(data: bytes) -> str:
    """The text of an XML file.

    Raises:
        ParseError: `data` is no XML, or in an unknown encoding.
    """
    out: list[str] = []
    for kind, text in _blocks(ElementTree.fromstring(data)):
        out.append(f"\n\n{text}\n\n" if kind else f"{text}\n")
    return "".join(out)


def _blocks(root: Node) -> Iterator[tuple[int, str]]:
    """``(level of a heading or 0, text)`` in order, without recursion."""
    stack: list[tuple[Node, int]] = [(root, 1)]
    while stack:
        node, level = stack.pop()
        if callable(node.tag):  # a comment or an instruction
            continue
        text_before = " ".join((node.text or "").split())
        parts = [element for element in node if isinstance(element.tag, str)]
        mixed = bool(text_before) or any((element.tail or "").strip() for element in node)
        name, attributes = bare(node.tag), _attributes(node)
        if parts and not mixed:
            title = _title(node)
            named = " ".join((title.text or "").split()) if title is not None else ""
            head = f"{name}{f' ({attributes})' if attributes else ''}{f': {named}' if named else ''}"
            yield min(level, 6), f"{'#' * min(level, 6)} {head}"
            rest = [element for element in parts if element is not title or not named or element.attrib]
            stack += [(element, level + 1) for element in reversed(rest)]
            continue
        text = " ".join("".join(node.itertext()).split()) if parts else text_before
        inner = "; ".join(filter(None, map(_attributes, chain.from_iterable(part.iter() for part in parts))))
        label = "" if name in _UNSAID and not attributes else f"{name}{f' ({attributes})' if attributes else ''}"
        line = ": ".join(filter(None, (label if text or attributes else "", text)))
        if line:
            yield 0, literal(f"{line} ({inner})" if inner else line)


def _title(node: Node) -> Node | None:
    """The first child that is named like a title and has no children itself."""
    for name in _TITLES:
        element = child(node, name)
        if element is not None and not len(element):
            return element
    return None


def _attributes(node: Node) -> str:
    pairs = ((bare(key), " ".join(value.split())) for key, value in node.attrib.items())
    return ", ".join(f"{key}: {value}" for key, value in pairs if value and key not in _HIDDEN)
