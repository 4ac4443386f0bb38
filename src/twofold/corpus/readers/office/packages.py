"""Office Open XML packages: parts and the relations between them."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from xml.etree import ElementTree

from twofold.corpus.readers.office.archives import BROKEN, refuse_entities

Node = ElementTree.Element


@lru_cache(maxsize=4096)
def bare(tag: str) -> str:
    """A name without its namespace."""
    return tag.rsplit("}", 1)[-1]


def attribute(node: Node, name: str, default: str = "") -> str:
    """The value of an attribute, found by its name without regard to namespaces."""
    for key, value in node.attrib.items():
        if bare(key) == name:
            return value
    return default


def child(node: Node | None, name: str) -> Node | None:
    """The first element of that name directly inside; None where there is none."""
    if node is not None:  # no generator: this is asked some ten times for each paragraph
        for element in node:
            if bare(element.tag) == name:
                return element
    return None


def children(node: Node | None) -> dict[str, Node]:
    """The first element of each name directly inside, found in one pass."""
    elements: dict[str, Node] = {}
    for element in node if node is not None else ():
        elements.setdefault(bare(element.tag), element)
    return elements


def inside(node: Node, *names: str) -> Iterator[Node]:
    """All elements of these names at any depth, in order."""
    return (one for one in node.iter() if isinstance(one.tag, str) and bare(one.tag) in names)


class Package:
    """The parts of a file, each read on demand.

    Args:
        data: A zip archive.
        name: The file's name in errors, for a format that forbids XML entities: reading a part that declares some
            raises. Empty: the format allows them.

    Attributes:
        lost: Parts that other parts refer to and that are missing or damaged.

    Raises:
        OSError: `data` is no archive (and the other errors of `archives.BROKEN`).
    """

    def __init__(self, data: bytes, *, name: str = "") -> None:
        self._name = name
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        # names of parts are compared without case (ECMA-376 part 2)
        self._names = {name.lower(): name for name in self._archive.namelist()}
        self._relations: dict[str, dict[str, tuple[str, str]]] = {}
        self.lost: list[str] = []

    def names(self) -> list[str]:
        """All parts."""
        return list(self._names.values())

    def data(self, name: str) -> bytes | None:
        """The bytes of a part; None where it is missing or damaged, and then `lost` lists it.

        Raises:
            DamagedFile: the part declares XML entities, and the format forbids them.
        """
        known = self._names.get(name.lower().lstrip("/"))
        if known is None:
            return None
        try:
            data = self._archive.read(known)
        except BROKEN:
            self._lose(known)
            return None
        if self._name:
            refuse_entities(data, known, name=self._name)
        return data

    def root(self, name: str) -> Node | None:
        """A part as XML; None where it is missing or damaged, and then `lost` lists it."""
        data = self.data(name)
        if data is None:
            return None
        try:
            return ElementTree.fromstring(data)
        except ElementTree.ParseError:
            self._lose(name)
            return None

    def _lose(self, name: str) -> None:
        if name not in self.lost:
            self.lost.append(name)

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Id → ``(last word of the type, target part)`` of the references of a part inside the package."""
        if part not in self._relations:
            folder, name = posixpath.split(part)
            root = self.root(f"{folder}/_rels/{name}.rels" if folder else f"_rels/{name}.rels")
            relations: dict[str, tuple[str, str]] = {}
            for element in root if root is not None else ():
                target = attribute(element, "Target")
                if attribute(element, "TargetMode") != "External" and target:
                    whole = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
                    kind = attribute(element, "Type").rsplit("/", 1)[-1]
                    relations[attribute(element, "Id")] = (kind, posixpath.normpath(whole))
            self._relations[part] = relations
        return self._relations[part]

    def targets(self, part: str, kind: str) -> list[str]:
        """The parts of one kind that a part refers to."""
        return [target for found, target in self.relations(part).values() if found == kind]

    def title(self) -> str:
        """The title in the file's properties, else the subject; empty when there is neither."""
        root = self.root("docProps/core.xml")
        properties = {bare(one.tag): " ".join((one.text or "").split()) for one in root} if root is not None else {}
        return properties.get("title") or properties.get("subject") or ""
