"""A project made from a folder: what lies there is found, read once, copied (or left where it is) and written down.

All or nothing: everything is gathered beside the project under a hidden name and takes its place at the end, so that
what fails half way leaves nothing behind.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from twofold import config, dataset
from twofold.advice.start import Paths, starting_config
from twofold.build import quiet
from twofold.config import DocumentsSection
from twofold.corpus.files import FileReader
from twofold.corpus.loading import ERRORS, load_documents
from twofold.corpus.sources_folder import NOT_DOCUMENTS, skipped
from twofold.errors import ConfigError, DataError, ScannedFile, TooFewExamples
from twofold.paths import expand
from twofold.plugins import Progress
from twofold.types import Document, Example, Problem

_RECORDS = ("documents.jsonl", "documents.jsonl.gz")
"""Documents as records: where such a file lies, the folder's other files are not read as documents."""
_BESIDE = ("license", "license.*", "licence", "licence.*", "source", "source.*")
"""Files that tell where records come from: copied with them, not read."""
_LEFT = "data.left-out"
_TABLES = re.compile(r"\.(?:(?:jsonl|json|csv)(?:\.gz)?|parquet)$")
"""Endings of files that may hold examples."""
_PLACE = "data/documents"
"""Where plain files are copied to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A project that was made, and what was found for it."""

    directory: Path
    """The project."""
    files: int
    """Files that documents or questions are read from."""
    documents: int
    """Documents in them."""
    questions: int
    """Examples in them."""
    first: str
    """A question of theirs; empty without examples."""
    problems: tuple[Problem, ...]
    """Files and records that are not usable, each with its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """What lies in a folder, by what becomes of it. Names are relative to the folder."""

    documents: tuple[str, ...]
    """Files of documents."""
    records: bool
    """Are these files of records (or else plain files, whose ids are their paths)?"""
    examples: tuple[str, ...]
    """Files of examples."""
    beside: tuple[str, ...]
    """Files copied along."""
    left: tuple[Problem, ...]
    """Files left out, and why."""


def create(
    directory: Path,
    source: Path,
    *,
    quick: bool = False,
    forgetting: bool = True,
    link: bool = False,
    progress: Progress = quiet,
) -> Created:
    """Make a project from a folder of documents, of examples, or of both.

    Documents are the records of ``documents.jsonl`` where there is one, else all files below the folder that a reader
    knows; examples are the files ``examples*.jsonl`` (``.json``, ``.csv``, ``.parquet``) in the folder itself.

    Args:
        directory: The project to make; must not hold a `twofold.toml` yet.
        source: The folder.
        quick: Settings for a first look in minutes.
        forgetting: Measure what tuning forgets (see `starting_config`).
        link: Copy nothing: the project reads the files where they are.
        progress: Told of every file read.

    Raises:
        ConfigError: `directory` is a project already, holds a ``data`` folder of its own, or lies in a linked folder.
        DataError: `source` has nothing usable; the message names file and line.
    """
    _check(directory, source, link=link)
    found = _look(source, directory)
    documents, examples, problems = _read(source, found, progress)
    name = directory.resolve().name
    with _place(directory) as place:
        paths = _linked(directory, source, found) if link else _copied(place, source, found)
        text = starting_config(name, documents, examples, quick=quick, forgetting=forgetting, paths=paths)
        (place / config.FILE).write_text(text, encoding="utf-8")
    return Created(
        directory=directory,
        files=len(found.documents) + len(found.examples),
        documents=len(documents),
        questions=len(examples),
        first=examples[0].question if examples else "",
        problems=(*found.left, *problems),
    )


def _check(directory: Path, source: Path, *, link: bool) -> None:
    if (directory / config.FILE).exists():
        raise ConfigError(
            f"{directory} is a project already", cure="Choose another directory, or edit its twofold.toml."
        )
    place = next(one for one in (directory, *directory.resolve().parents) if one.exists())
    if not place.is_dir():
        raise ConfigError(
            f"the project {directory} cannot be made: {place} is a file"
            if place != directory
            else f"{place} is a file",
            cure="Name a directory for the project, one that does not exist yet.",
        )
    if source.is_file():
        raise DataError(
            "--from names a file, and a project is made from a folder",
            file=source,
            cure=f"Name the folder that holds it, such as --from {shlex.quote(str(source.parent))}; questions are read "
            "from its examples.jsonl (.json, .csv, .parquet), documents from all other files.",
        )
    if not source.is_dir():
        raise DataError("there is no such folder", file=source, cure="Name a folder with documents, examples or both.")
    if link and directory.resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"the project {directory} would lie in the folder that it reads, {source}",
            cure="Make the project outside of that folder, or leave --link out.",
        )
    data = directory / "data"
    if not link and data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise ConfigError(
            f"{data} is there already, and the files would be copied to it",
            cure="Choose another directory, move that folder away, or read files where they are with --link.",
        )


def _look(source: Path, directory: Path) -> _Folder:
    """What lies in `source`. Hidden files and a project that is being made inside it are passed over."""
    here = [p.name for p in sorted(source.iterdir()) if p.is_file() and not p.name.startswith(".")]
    examples = tuple(name for name in here if skipped(name, NOT_DOCUMENTS))
    records = tuple(name for name in here if name.lower() in _RECORDS)
    beside = tuple(name for name in here if records and skipped(name, _BESIDE))
    outside, project = [], directory.resolve()
    documents, left = list(records), []
    with FileReader(DocumentsSection()) as reader:
        for file in expand(["."], source)[0]:
            if file.name in {*examples, *records, *beside} or Path(os.path.realpath(file.path)).is_relative_to(project):
                continue
            if skipped(file.path.name, NOT_DOCUMENTS):
                left.append(_left(file.name, "examples are read from the folder itself only", "Move the file there."))
            elif records:
                outside.append(file.name)
            elif file.refused:
                why = file.refused.message.replace("the project", "the folder")
                left.append(_left(file.name, why, "Copy what it leads to."))
            elif not file.path.is_file():
                left.append(
                    _left(file.name, "it is no regular file (a pipe or a device)", "Take it out of the folder.")
                )
            elif reader.knows(file.name) or isinstance(reader.unknown(file.name), ScannedFile):
                documents.append(file.name)
            else:
                unknown = reader.unknown(file.name)
                left.append(_left(file.name, unknown.message, unknown.cure))
    if outside:
        shown = ", ".join(outside[:3]) + (", …" if len(outside) > 3 else "")
        what = f"{len(outside)} other {'file is' if len(outside) == 1 else 'files are'} not read: {shown}"
        cure = f"Name them in [documents].paths, or take {records[0]} out of the folder to read plain files instead."
        left.append(_left(records[0], what, cure))
    return _Folder(
        documents=tuple(documents), records=bool(records), examples=examples, beside=beside, left=tuple(left)
    )


def _left(file: str, message: str, cure: str) -> Problem:
    return Problem(severity="warning", code=_LEFT, message=message, cure=cure, file=file)


def _read(source: Path, found: _Folder, progress: Progress) -> tuple[list[Document], list[Example], list[Problem]]:
    """Documents and examples, and what is wrong with them.

    Raises:
        TooFewExamples: there is neither a document nor an example, or no record of the files of examples is usable.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    if found.documents:
        section = DocumentsSection(paths=found.documents)
        documents, met = load_documents(section, source, strict=False, progress=progress)
        problems = [p if found.records or p.code in ERRORS else replace(p, severity="warning") for p in met]
    examples: list[Example] = []
    if not found.examples and not found.records:
        problems = [*_asking(source, found.documents), *problems]
    if found.examples:
        examples, more = dataset.load_examples(found.examples, source, strict=False)
        problems += more
        if not examples:
            first = next((p for p in more if p.severity == "error"), None)
            where = f" (first problem: {first.file}:{first.line}: {first.message})" if first else ""
            raise TooFewExamples(
                f"no usable example{where}",
                file=source / found.examples[0],
                cure="Put question and answers (or input and output) on each line, or take the file out of the folder.",
            )
    if not documents and not examples:
        first = next(iter((*problems, *found.left)), None)
        where = f" (first problem: {first.file}: {first.message})" if first else ""
        rename = f"{first.cure} Or put" if first and first.code == _LEFT else "Put"
        raise TooFewExamples(
            f"there is neither a document nor an example in the folder{where}",
            file=source,
            cure=f"{rename} documents (Markdown, text, HTML, PDF, …) into it, or an examples.jsonl, or both.",
        )
    problems += [p for p in dataset.check(documents, examples) if p.code == "data.unknown-document"]
    return documents, examples, [p for p in problems if p.code != TooFewExamples.code]


def _asking(source: Path, names: Sequence[str]) -> list[Problem]:
    """A warning for every file in the folder itself that holds questions under another name, or without answers."""
    made = []
    for name in names:
        kind = _TABLES.search(name.lower())
        if kind is None or "/" in name:
            continue
        asked, problems = dataset.load_examples((name,), source, strict=False)
        if not asked and {p.code for p in problems} == {"data.empty-answer", TooFewExamples.code}:
            cure = f"Give each record answers, name the file examples{kind[0]} and run init again, to study on them."
            made.append(_left(name, "its records look like examples: they ask questions, and have no answers", cure))
        if not asked:
            continue
        made.append(
            _left(
                name,
                "its records are questions with answers, but only files whose names begin with examples are read so",
                f"Rename it examples{kind[0]} and run init again, to study on these questions.",
            )
        )
    return made


def _copied(place: Path, source: Path, found: _Folder) -> Paths:
    """Copy the files below `place`; returns the paths to configure."""
    to = "data" if found.records else _PLACE
    pairs = [(name, f"{to}/{name}") for name in found.documents]
    pairs += [(name, f"data/{name}") for name in (*found.examples, *found.beside)]
    for name, copy in pairs:
        (place / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, place / copy)
    documents = tuple(f"data/{name}" for name in found.documents) if found.records else (_PLACE,)
    return Paths(
        documents=documents if found.documents else (),
        ids_from="" if found.records or not found.documents else _PLACE,
        examples=tuple(f"data/{name}" for name in found.examples),
    )


def _linked(directory: Path, source: Path, found: _Folder) -> Paths:
    """The paths to configure for files that stay where they are, relative to the project."""
    folder = Path(os.path.relpath(source.resolve(), directory.resolve())).as_posix()
    documents = tuple(f"{folder}/{name}" for name in found.documents) if found.records else (folder,)
    return Paths(
        documents=documents if found.documents else (),
        ids_from="" if found.records or not found.documents else folder,
        examples=tuple(f"{folder}/{name}" for name in found.examples),
    )


@contextmanager
def _place(directory: Path) -> Iterator[Path]:
    """A hidden folder beside the project, whose content takes its place when nothing went wrong."""
    existed = directory.exists()
    place = directory.resolve().parent / f".{directory.resolve().name}.partial"
    shutil.rmtree(place, ignore_errors=True)
    try:
        place.mkdir(parents=True)
        yield place
        if not existed:
            place.rename(directory)
            return
        if (place / "data").exists():
            if (directory / "data").exists():
                (directory / "data").rmdir()
            (place / "data").rename(directory / "data")
        (place / config.FILE).rename(directory / config.FILE)
    except OSError as error:
        raise ConfigError(
            f"the project cannot be written: {error.strerror or error}",
            file=error.filename or directory,
            cure="Choose a directory that can be written to, on a disk with room.",
        ) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
