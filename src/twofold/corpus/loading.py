"""Files, folders and patterns → documents, and all problems with them at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from twofold.corpus.files import FileReader
from twofold.errors import BadRecord, LeftOut, TooFewExamples, UnreadableFile
from twofold.files.paths import NOT_DOCUMENTS, check_named, expand, stem_of
from twofold.files.reading import JSON, JSONL, Findings, as_problem, below, counted, raise_first, renamed, suffix_of
from twofold.hashing import digest, digest_bytes, digest_file
from twofold.plugins.protocols import Progress
from twofold.settings.sections import DocumentsSection
from twofold.types import Document, Loaded, Problem

log = logging.getLogger(__name__)

NO_DOCUMENT = "data.no-document"
"""Code of the warning about a JSON file without a document that lies in a folder of documents."""
ERRORS = (BadRecord.code, UnreadableFile.code)
"""Faults of texts and records. They stay errors even in a folder, where other faults are warnings: an editor mends
them."""


def load_documents(
    section: DocumentsSection,
    root: Path,
    *,
    strict: bool = True,
    question_paths: Sequence[str] = (),
    progress: Progress | None = None,
) -> tuple[list[Document], list[Problem]]:
    """Read all documents; see `read_documents`.

    Args:
        section: The paths and the limits.
        root: The project.
        strict: Raise the first error instead of returning it.
        question_paths: Paths of the example files; where such a file lies among the documents it is left out silently.
        progress: Called for every file.

    Returns:
        The documents in order of files, ids unique, none empty; and all problems.

    Raises:
        BadRecord: a malformed record, or an id used twice (only when `strict`).
        DataError: a file that is missing, too large, not text, or a named one that cannot be read (only when `strict`).
        TooFewExamples: there is no document (only when `strict`).
    """
    findings = Findings()
    documents = list(read_documents(section, root, findings=findings, question_paths=question_paths, progress=progress))
    if not documents:
        findings.error(
            TooFewExamples(
                f"[documents].paths contains no document: {', '.join(section.paths) or 'no path is named'}",
                cure="Put documents there, or correct [documents].paths in twofold.toml.",
            )
        )
    problems = findings.all()
    if strict:
        raise_first(problems)
    lost = sum(1 for problem in problems if problem.severity == "warning")
    if lost and strict:  # else the caller shows the problems
        log.warning("%s in reading the documents; `twofold check` lists all", counted(lost, "problem"))
    return documents, problems


def id_of_another_source(name: str, sources: Collection[str]) -> BadRecord | None:
    """The error of a document of ``[documents].paths`` whose id is one of a source (``source:…``); None for any other.

    It would displace that source's document, and be cited under its name.
    """
    source, colon, _ = name.partition(":")
    if not (colon and source in sources):
        return None
    return BadRecord(
        f"the document id {name!r} is one of the source {source!r}",
        cure=f"Give it an id that does not begin with {source}: or put it into that source.",
    )


def read_documents(
    section: DocumentsSection,
    root: Path,
    *,
    findings: Findings,
    question_paths: Sequence[str] = (),
    progress: Progress | None = None,
) -> Iterator[Document]:
    """Read documents one file at a time, in bounded memory; each file goes to the reader of its ending.

    Files of examples (``examples*.jsonl`` and the like) are left out unless a path names them. A file in a folder or
    matched by a pattern whose kind is unknown, or that is broken, encrypted, scanned or hostile, gives a warning: one
    file of a thousand stops nothing. So does a file that is left out, and a link that leads out of the project. A file
    that a path names itself must be readable.

    Args:
        section: The paths and the limits.
        root: The project.
        findings: Collects the problems.
        question_paths: See `load_documents`.
        progress: Called for every file.
    """
    files, missing = expand(section.paths, root)
    for error in missing:
        findings.error(error)
    questions = {os.path.abspath(file.path) for file in expand(question_paths, root)[0]}
    seen: dict[str, str] = {}
    with FileReader(section) as reader:
        for number, file in enumerate(files):
            if progress:
                progress("reading", number, len(files))
            try:
                check_named(file, (*NOT_DOCUMENTS, *section.exclude))
            except LeftOut as error:
                # the project says itself that these are questions: nothing is left out unasked
                if os.path.abspath(file.path) in questions:
                    continue
                findings.add(replace(as_problem(error), severity="warning"))
                continue
            # met, not named: one of a thousand of an unknown kind stops nothing
            if not file.named and not reader.knows(file.name):
                unknown = reader.unknown(file.name)
                findings.add(
                    Problem(
                        severity="warning",
                        code="data.no-reader",
                        message=f"skipped: {unknown.message}",
                        cure=unknown.cure,
                        file=file.name,
                    )
                )
                continue
            documents, problems = reader.read(Loaded(name=file.name, path=str(file.path)))
            if not file.named and holds_none(file.name, documents, problems):
                findings.add(no_documents(problems))
                continue
            for problem in problems:
                # faults of texts stay errors: to mend them is a matter of an editor
                keep = file.named or problem.code in ERRORS
                findings.take([problem if keep else replace(problem, severity="warning")])
            stem = stem_of(file, root, section.ids_from)
            for original in documents:
                document = renamed(original, file.name, stem)
                # an id of its own that another file has, too, gets its file's name before it
                if document.id in seen and not original.id.startswith(file.name):
                    findings.add(_shared(document.id, seen[document.id], file.name, named=below(stem, document.id)))
                    document = replace(document, id=below(stem, document.id))
                if document.id in seen:
                    findings.error(
                        BadRecord(
                            f"the document id {document.id!r} is used twice, first at {seen[document.id]}",
                            file=file.name,
                            cure="Give every document its own id.",
                        )
                    )
                else:
                    seen[document.id] = file.name
                    yield document
    if progress:
        progress("reading", len(files), len(files))


def _shared(name: str, first: str, file: str, *, named: str) -> Problem:
    return Problem(
        severity="warning",
        code="data.shared-id",
        message=f"the id {name!r} is used by a document in {first}; this document is called {named!r}",
        cure=f"Give every document its own id, or refer to this document as {named!r}.",
        file=file,
    )


def holds_none(name: str, documents: Sequence[Document], problems: Sequence[Problem]) -> bool:
    """Is this a JSON file without a single readable document?

    Args:
        name: Name of the file.
        documents: The documents read from the file.
        problems: The problems with the file.
    """
    return not documents and bool(problems) and suffix_of(name) in (*JSON, *JSONL)


def no_documents(problems: Sequence[Problem]) -> Problem:
    """The warning about a JSON file in a folder that contains no document, such as a program's settings.

    Args:
        problems: The reader's problems, of which the warning quotes the first.
    """
    first = problems[0]
    return replace(
        first,
        severity="warning",
        code=NO_DOCUMENT,
        message=f"left out, the file contains no document: {first.message}",
        cure=f"{first.cure} Or take the file out, or name it in [documents].exclude.",
    )


def content_of(loaded: Loaded) -> str:
    """Digest of the loaded content."""
    if loaded.path:
        try:
            return digest_file("file", loaded.path)
        except OSError as error:
            raise UnreadableFile(f"it cannot be read: {error.strerror or error}", file=loaded.name) from error
    return digest_bytes("file", loaded.data) if loaded.name else digest("records", loaded.documents)
