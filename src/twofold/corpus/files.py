"""One file → its documents and all problems with it; no content of a file stops the reading of others.

Readers whose format is plain text run in this process. All others run in a worker process under limits of time, memory
and text (`sandbox.Worker`): a corrupt, hostile or endless file becomes a named problem.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from twofold.corpus.bounds import bounded
from twofold.corpus.sandbox import Worker
from twofold.errors import BadRecord, ConfigError, DataError, MissingExtra, ScannedFile, UnreadableFile
from twofold.files.reading import MIB, PLAIN_WORDS, Findings, read_bytes, suffix_of, unpacked
from twofold.hashing import digest
from twofold.plugins import loading
from twofold.plugins.protocols import ReadsPlaces
from twofold.plugins.traits import ReaderTraits
from twofold.settings.sections import DocumentsSection
from twofold.types import Document, Json, Loaded, Problem

log = logging.getLogger(__name__)

OCR_SECONDS = 600.0
"""Seconds for one file where character recognition is on: a page takes up to a minute on a busy core."""
OCR_MEMORY_MIB = 6144
"""Character recognition gets at least these limits: its models alone map 4 GiB."""


class FileReader:
    """Reads files one at a time; owns one warm worker process. For one thread; a context manager.

    Args:
        section: The limits, passwords and encodings.
    """

    def __init__(self, section: DocumentsSection) -> None:
        self.section = section
        self.limit = int(section.max_mib * MIB)
        self._classes: dict[str, tuple[str, Any]] = {}
        self._pictures: tuple[str, ...] = ()
        for name in loading.names("readers"):
            try:
                cls = loading.find("readers", name)
            except MissingExtra as error:
                log.warning("the reader %s is not available: %s", name, error)
                continue
            if ReaderTraits.of(cls).pictures and not section.ocr:
                self._pictures += cls.suffixes
                continue
            for suffix in cls.suffixes:
                self._classes.setdefault(suffix, (name, cls))
        self.worker = Worker(
            seconds=max(section.max_seconds, OCR_SECONDS) if section.ocr else section.max_seconds,
            memory_mib=max(section.max_memory_mib, OCR_MEMORY_MIB) if section.ocr else section.max_memory_mib,
            limit=self.limit,
        )

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process."""
        self.worker.close()

    @property
    def fingerprint(self) -> str:
        """Digest of the readers' versions and of the settings that change a text; another digest: read files again."""
        readers = {suffix: [name, cls.version] for suffix, (name, cls) in sorted(self._classes.items())}
        return digest("readers", {"readers": readers, "encodings": self.section.encodings, "ocr": self.section.ocr})

    def knows(self, name: str) -> bool:
        """Is there a reader for the ending of this name?"""
        return suffix_of(name) in self._classes

    def unknown(self, name: str) -> DataError:
        """The error of a file whose ending has no reader."""
        if suffix_of(name) in self._pictures:
            return ScannedFile("this is a picture", file=name)
        return UnreadableFile(
            # The same words for every ending: files that are left out for one reason share a line.
            "of a kind that no reader knows",
            file=name,
            cure="Text, Markdown, HTML, PDF, office, mail, CSV, JSON and source files are read (all endings: "
            "docs/how-to/documents.md). Convert the file, or take it out.",
        )

    def read(self, loaded: Loaded) -> tuple[list[Document], list[Problem]]:
        """Read one file into documents, none empty, ids unique, and problems; an error means that text was lost.

        Args:
            loaded: The file's `name`, and its `path` or its `data`; or ready `documents`, which come back checked.

        Returns:
            Documents whose `id` is the file's name, or the record's own id in files of records; and the problems, with
            `file` set to that name. No content of a file raises an error.

        Raises:
            ConfigError: a password's environment variable is not set.
        """
        findings = Findings()
        documents: dict[str, Document] = {}
        lines: dict[str, int] = {}
        try:
            for line, item in self.items(loaded):
                if isinstance(item, Problem):
                    findings.add(item)
                elif isinstance(item, BadRecord):
                    findings.error(item)
                elif not item.text.strip():
                    findings.add(_empty(f"the document {item.id!r} has no text", loaded.name, line))
                elif item.id in documents:
                    first = f"{loaded.name}:{lines[item.id]}" if line else loaded.name
                    findings.error(
                        BadRecord(
                            f"the document id {item.id!r} is used twice, first at {first}",
                            file=loaded.name,
                            line=line or None,
                            cure="Give every document its own id.",
                        )
                    )
                else:
                    try:
                        fitted, cut = bounded(item)
                    except BadRecord as error:
                        findings.error(BadRecord(error.message, file=loaded.name, line=line or None, cure=error.cure))
                        continue
                    if cut:
                        findings.add(_cut(cut, loaded.name, line))
                    documents[item.id] = fitted
                    lines[item.id] = line
                    for problem in _partly(item, loaded.name):
                        findings.add(problem)
        except DataError as error:
            findings.error(error)
        problems = findings.all()
        if not documents and not problems and loaded.name:
            problems = [_empty("the file holds no record", loaded.name, 0)]
        return list(documents.values()), problems

    def items(self, loaded: Loaded) -> Iterator[tuple[int, Document | BadRecord | Problem]]:
        """Read the documents and problems of one file, with their lines (0: the whole file).

        Raises:
            DataError: the whole file cannot be read.
        """
        if loaded.documents:
            yield from ((0, document) for document in loaded.documents)
            return
        suffix = suffix_of(loaded.name)
        if suffix not in self._classes:
            raise self.unknown(loaded.name)
        name, cls = self._classes[suffix]
        if loaded.path:
            data = read_bytes(Path(loaded.path), limit=self.limit, name=loaded.name)
        else:
            data = unpacked(loaded.data, limit=self.limit, name=loaded.name)
        if not data:  # no kind of file is damaged for having nothing in it
            yield 0, _empty(f"the document {loaded.name!r} has no text", loaded.name, 0)
            return
        options = self._options(cls, loaded.name)
        # What unpacks or is parsed by foreign code runs in a process with limits of time and memory.
        if not ReaderTraits.of(cls).trusted:
            yield from self.worker.read(name, options, name=loaded.name, data=data)
            return
        reader = cls(cls.Options.model_validate(options))
        path = Path(loaded.name)
        if isinstance(reader, ReadsPlaces):
            yield from reader.places(path, data)
        else:
            yield from ((0, document) for document in reader.read(path, data))

    def _options(self, cls: Any, name: str) -> Json:
        """The settings of the configuration for which this reader has an option."""
        known = cls.Options.model_fields
        values: Json = {}
        if "encoding" in known:
            for pattern, encoding in self.section.encodings.items():
                if _matches(name, pattern):
                    values["encoding"] = encoding
                    break  # the first pattern wins, in the order of the configuration
        if "passwords" in known:
            secrets = (value for pattern, value in self.section.passwords.items() if _matches(name, pattern))
            values["passwords"] = [_secret(value) for value in secrets]
        if "ocr" in known:
            values["ocr"] = self.section.ocr
        return values


def _matches(name: str, pattern: str) -> bool:
    return fnmatch(name, pattern) or fnmatch(name.rsplit("/", 1)[-1], pattern)


def _secret(value: str) -> str:
    if not value.startswith("env:"):
        return value
    secret = os.environ.get(value[4:])
    if secret is None:
        raise ConfigError(
            f"[documents.passwords] names the environment variable {value[4:]}, which is not set",
            cure=f"Set it (export {value[4:]}=...), or correct [documents.passwords] in twofold.toml.",
        )
    return secret


def _partly(document: Document, file: str) -> Iterator[Problem]:
    """Problems for the parts of a document that its reader reports in the metadata as not read."""
    if pages := document.metadata.get("scanned"):
        yield Problem(
            severity="warning",
            code=ScannedFile.code,
            message=f"page {pages} is a picture without text and is not read"
            if str(pages).isdigit()
            else f"pages {pages} are pictures without text and are not read",
            cure=ScannedFile.cure,
            file=file,
        )
    if parts := document.metadata.get("unread"):
        yield Problem(
            severity="warning",
            code="data.partly-read",
            message=f"not read: {parts}",
            cure="Take these parts out and put them beside the file, readable.",
            file=file,
        )
    if kinds := document.metadata.get("plain"):
        yield Problem(
            severity="warning",
            code=PLAIN_WORDS,
            message=kinds,
            cure="Save such files as their newer kind (.docx, .pptx, .xlsx, .epub, .eml) where that matters.",
            file=file,
        )


def _cut(what: str, file: str, line: int) -> Problem:
    return Problem(
        severity="warning",
        code="data.shortened",
        message=what,
        cure="Put long text into the document itself: metadata are stored with every passage.",
        file=file,
        line=line,
    )


def _empty(what: str, file: str, line: int) -> Problem:
    return Problem(
        severity="warning",
        code="data.empty-document",
        message=f"{what} and is left out",
        cure="Fill it or remove it.",
        file=file,
        line=line,
    )
