"""XML of any kind as text: what has parts is a heading, what has text is a line, attributes stand behind the name."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from twofold.corpus.readers.marks import literal
from twofold.corpus.readers.office.packages import Node, bare, child

_TITLES = ("title", "name", "head", "label", "caption")
_UNSAID = frozenset(["p", "para", "li", "td", "th", "entry", "text", "span", "s", "line", "v", "value"])
"""Names that say no more than that there is text."""
_HIDDEN = ("schemaLocation", "noNamespaceSchemaLocation", "space")


def xml_text(data: bytes) -> str:
    """The text of an XML file.

    Raises:
        ParseError: it is no XML, or in an encoding that is not known.
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
        own = " ".join((node.text or "").split())
        parts = [one for one in node if isinstance(one.tag, str)]
        mixed = bool(own) or any((one.tail or "").strip() for one in node)
        name, said = bare(node.tag), _attributes(node)
        if parts and not mixed:
            title = next((one for key in _TITLES if (one := child(node, key)) is not None and not len(one)), None)
            named = " ".join((title.text or "").split()) if title is not None else ""
            head = f"{name}{f' ({said})' if said else ''}{f': {named}' if named else ''}"
            yield min(level, 6), f"{'#' * min(level, 6)} {head}"
            rest = [one for one in parts if one is not title or not named or one.attrib]
            stack += [(one, level + 1) for one in reversed(rest)]
            continue
        text = " ".join("".join(node.itertext()).split()) if parts else own
        inner = "; ".join(filter(None, (_attributes(one) for part in parts for one in part.iter())))
        label = "" if name in _UNSAID and not said else f"{name}{f' ({said})' if said else ''}"
        line = ": ".join(filter(None, (label if text or said else "", text)))
        if line:
            yield 0, literal(f"{line} ({inner})" if inner else line)


def _attributes(node: Node) -> str:
    pairs = ((bare(key), " ".join(value.split())) for key, value in node.attrib.items())
    return ", ".join(f"{key}: {value}" for key, value in pairs if value and key not in _HIDDEN)
