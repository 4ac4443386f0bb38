"""Files, folders and patterns → documents, and everything that is wrong with them at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from twofold import plugins
from twofold.errors import BadRecord, DataError, MissingExtra, TooFewExamples, UnreadableFile
from twofold.plugins import Reader
from twofold.reading import MIB, Findings, Found, expand, raise_first, read_bytes, suffix_of
from twofold.types import Document, Problem

log = logging.getLogger(__name__)

_NO_DOCUMENTS = ("examples", "license", "licence", "readme")


def load_documents(
    paths: Sequence[str], root: Path, *, max_mib: float, strict: bool = True
) -> tuple[list[Document], list[Problem]]:
    """Read all documents; each file goes to the reader of its ending.

    Args:
        paths: Files, folders or patterns relative to `root`. In folders, files named ``examples*``, ``LICENSE*`` and
            ``README*`` are left out; name them to have them.
        root: The project.
        max_mib: Largest file, after decompression.
        strict: Raise the first error instead of returning it.

    Returns:
        The documents in order of files, ids unique, none empty; and all problems.

    Raises:
        BadRecord: a malformed record, or an id used twice (only when `strict`).
        UnreadableFile: a file that is missing, too large, not text, or of an unknown kind (only when `strict`).
        TooFewExamples: there is no document (only when `strict`).
    """
    findings = Findings()
    files, missing = expand(paths, root, skip=_skipped)
    for error in missing:
        findings.error(error)
    readers = _readers()
    documents: dict[str, Document] = {}
    places: dict[str, str] = {}
    for found in files:
        try:
            for line, item in _read(found, readers, limit=int(max_mib * MIB), findings=findings):
                if isinstance(item, BadRecord):
                    findings.error(item)
                    continue
                place = f"{found.name}:{line}" if line else found.name
                if not item.text.strip():
                    findings.add(_empty(item, found.name, line))
                elif item.id in documents:
                    findings.error(
                        BadRecord(
                            f"the document id {item.id!r} is used twice, first at {places[item.id]}",
                            file=found.name,
                            line=line or None,
                            cure="Give every document its own id.",
                        )
                    )
                else:
                    documents[item.id] = item
                    places[item.id] = place
        except DataError as error:
            findings.error(error)
    if not documents:
        findings.error(
            TooFewExamples(
                f"there is no document in {', '.join(paths) or 'no path at all'}",
                cure="Put documents there, or correct [documents].paths in twofold.toml.",
            )
        )
    problems = findings.all()
    if strict:
        raise_first(problems)
    return list(documents.values()), problems


def _skipped(name: str) -> bool:
    return name.lower().startswith(_NO_DOCUMENTS)


def _readers() -> dict[str, Reader | MissingExtra]:
    """Ending → reader, or what must be installed for it."""
    made: dict[str, Reader | MissingExtra] = {}
    for name in plugins.names("readers"):
        try:
            reader: Reader = plugins.make("readers", name, {})
        except MissingExtra as error:
            log.warning("the reader %s is not available: %s", name, error)
            continue
        for suffix in reader.suffixes:
            made.setdefault(suffix, reader)
    return made


def _read(
    found: Found, readers: dict[str, Any], *, limit: int, findings: Findings
) -> Iterator[tuple[int, Document | BadRecord]]:
    """The documents of one file with their lines (0: the whole file)."""
    suffix = suffix_of(found.name)
    reader = readers.get(suffix)
    if reader is None:
        kinds = ", ".join(sorted(readers))
        error = UnreadableFile(
            f"no reader for {suffix or 'a name without an ending'}",
            file=found.name,
            cure=f"Known endings: {kinds}. Convert the file or take it out of [documents].paths.",
        )
        if found.named:
            raise error
        findings.add(
            Problem(
                severity="warning",
                code="data.no-reader",
                message=f"skipped: {error.message}",
                cure=error.cure,
                file=found.name,
            )
        )
        return
    data = read_bytes(found.path, limit=limit, name=found.name)
    if hasattr(reader, "places"):
        yield from reader.places(Path(found.name), data)
    else:
        for document in reader.read(Path(found.name), data):
            yield 0, document


def _empty(document: Document, file: str, line: int) -> Problem:
    return Problem(
        severity="warning",
        code="data.empty-document",
        message=f"the document {document.id!r} has no text and is left out",
        cure="Fill it or remove it.",
        file=file,
        line=line,
    )
