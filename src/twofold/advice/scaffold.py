"""A project made from a folder: what lies there is found, read once, copied (or left where it is) and written down.

All or nothing: everything is gathered beside the project under a hidden name and takes its place at the end, so that
what fails half way leaves nothing behind.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from twofold import config
from twofold.advice.start import Paths, starting_config
from twofold.answering import access
from twofold.corpus.files import FileReader
from twofold.corpus.loading import ERRORS, load_documents
from twofold.errors import BadRecord, ConfigError, DataError, ScannedFile, TooFewExamples
from twofold.examples import checking, loading
from twofold.examples.cloze import english
from twofold.examples.importing import converted, shape_of
from twofold.examples.loading import MAX_MIB, named_split, row_of
from twofold.files import writing
from twofold.files.paths import NOT_DOCUMENTS, expand, skipped
from twofold.files.reading import CSV, MIB, Record, counted, excerpt, read_bytes, records_of, suffix_of
from twofold.plugins.protocols import Progress, quiet
from twofold.settings.sections import DocumentsSection
from twofold.types import Document, Example, Problem

_RECORDS = ("documents.jsonl", "documents.jsonl.gz")
"""Documents as records: where such a file lies, the folder's other files are not read as documents."""
_BESIDE = ("license", "license.*", "licence", "licence.*", "source", "source.*")
"""Files that tell where records come from: copied with them, not read."""
_LEFT = "data.left-out"
_TABLES = re.compile(r"\.(?:(?:jsonl|ndjson|json|csv|tsv)(?:\.gz)?|parquet)$")
"""Endings of files that may hold examples."""
_SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
"""Endings of spreadsheets."""
_PEEKED = 100
"""Records whose fields are named."""
_PLACE = "data/documents"
"""Folder that plain files are copied to."""


_READ = 4000
"""Characters of a document that tell its language."""
_RUNNING = 50
"""Shorter documents tell nothing of it."""
_BEYOND = 0.005
"""Least share of letters beyond ASCII that shows another language; 229 of XQuAD's 240 English documents have less."""


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
    example_files: tuple[str, ...]
    """Files that the examples are read from, relative to the folder."""
    problems: tuple[Problem, ...]
    """Files and records that are not usable, each with its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """The files of a folder, by what becomes of them. Names are relative to the folder."""

    documents: tuple[str, ...]
    """Files of documents."""
    records: bool
    """Are these files of records (or else plain files, whose ids are their paths)?"""
    examples: tuple[str, ...]
    """Files of examples."""
    apart: tuple[str, ...]
    """Files of questions that are not taken, or whose records the examples hold already."""
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
    knows; examples are the files ``examples*.jsonl`` (``.json``, ``.csv``, ``.parquet``) in the folder itself, else
    one file below it whose records are questions with answers (or several whose names say how they divide a set).
    Other files of questions, and records that are neither, are left out and named.

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
    listing = _look(source, directory)
    documents, examples, problems = _read(source, listing, progress)
    name = directory.resolve().name
    with _place(directory) as place:
        paths = _linked(directory, source, listing) if link else _copied(place, source, listing)
        text = starting_config(name, documents, examples, quick=quick, forgetting=forgetting, paths=paths)
        (place / config.FILE).write_text(text, encoding="utf-8")
    return Created(
        directory=directory,
        files=len(listing.documents) + len(listing.examples),
        documents=len(documents),
        questions=len(examples),
        first=examples[0].question if examples else "",
        example_files=listing.examples,
        problems=(*listing.left, *problems, *_language(documents)),
    )


def _check(directory: Path, source: Path, *, link: bool) -> None:
    if (directory / config.FILE).exists():
        raise ConfigError(
            f"{directory} is already a project",
            cure="Choose another directory, or edit its twofold.toml. To recreate it, remove the directory first; its "
            "studies are deleted with it.",
        )
    # The nearest place that exists: a file there can never become a directory.
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
            "--from names a file; a project is made from a folder",
            file=source,
            cure=f"Name the file's folder, such as --from {shlex.quote(str(source.parent))}; questions are read "
            "from its examples.jsonl (.json, .csv, .parquet) or another file of questions with answers, documents from "
            "all other files.",
        )
    if not source.is_dir():
        raise DataError(
            "the folder does not exist", file=source, cure="Name a folder with documents, examples or both."
        )
    # Linked, the project would read its own settings and records as documents.
    if link and directory.resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"the project directory {directory} would be inside its own source folder {source}",
            cure="Choose a directory outside that folder, or omit --link.",
        )
    data = directory / "data"
    if not link and data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise ConfigError(
            f"the target of the copy, {data}, already exists",
            cure="Choose another directory, move that folder away, or read files where they are with --link.",
        )


def _look(source: Path, directory: Path) -> _Folder:
    """List the files of `source`. Hidden files, and a project that is being made inside it, are passed over."""
    here = [p.name for p in sorted(source.iterdir()) if p.is_file() and not p.name.startswith(".")]
    examples = tuple(name for name in here if skipped(name, NOT_DOCUMENTS))
    records = tuple(name for name in here if name.lower() in _RECORDS)
    beside = tuple(name for name in here if records and skipped(name, _BESIDE))
    outside: list[str] = []
    project = directory.resolve()
    inside = source.resolve() in project.parents
    repeated: list[str] = []
    documents = list(records)
    left = []
    asking: dict[str, int] = {}
    with FileReader(DocumentsSection()) as reader:
        for file in expand(["."], source)[0]:
            if file.name in {*examples, *records, *beside}:
                continue
            # A link may lead into the project under another name.
            if inside and Path(os.path.realpath(file.path)).is_relative_to(project):
                continue
            if file.refused:
                why = file.refused.message.replace("the project", "the folder")
                left.append(_left(file.name, why, "Copy what it leads to."))
                continue
            if not file.path.is_file():
                left.append(
                    _left(
                        file.name, "the file is not a regular file (a pipe or a device)", "Take it out of the folder."
                    )
                )
                continue
            table = _table(source, file.name, reader, examples) if _TABLES.search(file.name.lower()) else _Table()
            # In this order: what asks questions is never a document, else every answer would stand in a passage.
            if table.questions:
                asking[file.name] = table.questions
            elif records:
                outside.append(file.name)
            elif table.problem is not None:
                left.append(table.problem)
                repeated += [file.name] if table.repeats else []
            elif skipped(file.path.name, NOT_DOCUMENTS):
                left.append(_left(file.name, "no question with an answer is in it", "Correct it, or take it out."))
            elif reader.knows(file.name) or isinstance(reader.unknown(file.name), ScannedFile):
                documents.append(file.name)
                left += [table.remark] if table.remark else []
            else:
                unknown = reader.unknown(file.name)
                left.append(_left(file.name, unknown.message, unknown.cure))
    if outside:
        shown = ", ".join(outside[:3]) + (", …" if len(outside) > 3 else "")
        what = f"{len(outside)} other {'file is' if len(outside) == 1 else 'files are'} not read: {shown}"
        cure = f"Name them in [documents].paths, or take {records[0]} out of the folder to read plain files instead."
        left.append(_left(records[0], what, cure))
    taken = examples or _chosen(asking)
    return _Folder(
        documents=tuple(documents),
        records=bool(records),
        examples=taken,
        apart=(*(name for name in asking if name not in taken), *repeated),
        beside=beside,
        left=(*(_not_taken(name, asking[name], taken) for name in asking if name not in taken), *left),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The kind of records that a file holds."""

    questions: int = 0
    """Questions with answers; 0 where the file is not one of those."""
    problem: Problem | None = None
    """Why the records are neither questions nor documents."""
    remark: Problem | None = None
    """A remark on documents that might be something else."""
    repeats: bool = False
    """The folder's examples hold these records already."""


def _table(source: Path, name: str, reader: FileReader, examples: Sequence[str]) -> _Table:
    """Decide by what is inside: text makes documents, a question with an answer an example.

    Records that the folder's files of `examples` hold already are no documents: every answer would stand in a passage.
    """
    try:
        data = read_bytes(source / name, limit=MAX_MIB * MIB, name=name)
        records = list(records_of(data, name=name))
        values = [record.value for record in records]
    except DataError as error:
        # Of a file that is read as a document all the same, the reading tells the fault.
        return _Table(problem=None if reader.knows(name) else _left(name, error.message, error.cure))
    usable = [value for value in values if not isinstance(value, BadRecord)]
    fields = dict.fromkeys(chain.from_iterable(usable[:_PEEKED]))
    questions, problems = loading.load_examples((name,), source, strict=False)
    texts = any(isinstance(value.get("text"), str) for value in usable) and reader.knows(name)
    rows = texts or (bool(usable) and suffix_of(name) in CSV)
    # By most of its records: a file of questions may have broken lines, a file of texts a stray question.
    if questions and not texts and len(questions) * 2 >= len(values):
        return _Table(questions=len(questions))
    ending = name[-len(_TABLES.search(name.lower())[0]) :]  # type: ignore[index]
    again = f"name the file examples{ending} and run init again, to study on them."
    silent = bool(problems) and {p.code for p in problems} == {"data.empty-answer", TooFewExamples.code}
    shape = shape_of(fields)
    if questions:
        note = _left(name, "its records hold text, and questions with answers too; they are read as documents", again)
        return _Table(remark=replace(note, cure=again[0].upper() + again[1:]))
    if silent:
        what = "its records look like examples: they ask questions, and have no answers"
        note = _left(name, what, f"Give each record answers, {again}")
        return _Table(remark=note) if rows else _Table(problem=note)
    if usable and examples and _repeats(records, name, source, examples):
        these = ", ".join(examples[:3]) + (", …" if len(examples) > 3 else "")
        note = _left(
            name,
            f"the file is not read as documents: its records are the questions and answers of {these}",
            "Nothing need be done. Read as documents they would show every answer to the arms that retrieve.",
        )
        return _Table(problem=note, repeats=True)
    if shape is not None and usable:
        path = shlex.quote(str(source / name))
        into = shlex.quote(str(source / "examples.jsonl"))
        note = _left(
            name,
            f"its records look like examples in another shape ({shape}: {excerpt(', '.join(fields))})"
            + (", and are read as documents" if rows else ""),
            f"To study on them run `twofold examples import {path} --into {into}`, and init again (choose another "
            "directory, or remove the project first).",
        )
        return _Table(remark=note) if rows else _Table(problem=note)
    if rows or not reader.knows(name):
        return _Table()
    why = next((value for value in values if isinstance(value, BadRecord)), None)
    return _Table(
        problem=_left(
            name,
            f"the record is not a document: {why.message}"
            if why
            else f'no record has a "text"; their fields are {excerpt(", ".join(fields)) or "none"}'
            if usable
            else "the file contains no record",
            'Give each record a "text" to have it read, or copy the file under a name that ends in .txt.',
        )
    )


def _repeats(records: Sequence[Record], name: str, source: Path, examples: Sequence[str]) -> bool:
    """Does at least every second record ask what an example asks, with an answer of it, in whatever fields?"""
    answers: dict[str, set[str]] = {}
    for example in loading.load_examples(examples, source, strict=False)[0]:
        answers.setdefault(example.question.strip(), set()).update(example.references)
    same = 0
    for number, value in enumerate(converted(records, name, source="")[0], 1):
        row = row_of(value, name, number).outcome
        same += isinstance(row, Example) and not answers.get(row.question.strip(), set()).isdisjoint(row.references)
    # Imported under --map, the fields have names that no shape knows.
    plain = 0
    for record in records:
        values = () if isinstance(record.value, BadRecord) else record.value.values()
        texts = {value.strip() for value in values if isinstance(value, str)}
        plain += any(not texts.isdisjoint(answers[text]) for text in texts & answers.keys())
    same = max(same, plain)
    return bool(same) and 2 * same >= len(records)


def _chosen(asking: Mapping[str, int]) -> tuple[str, ...]:
    """The file with most questions, or those that divide one set by their names, such as train.jsonl and test.jsonl."""
    parts: dict[tuple[str, str], list[str]] = {}
    for name in asking:
        whole = (str(Path(name).parent), suffix_of(name)) if named_split(name) else (name, "")
        parts.setdefault(whole, []).append(name)
    return tuple(max(parts.values(), key=lambda names: sum(asking[name] for name in names), default=()))


def _not_taken(name: str, count: int, taken: Sequence[str]) -> Problem:
    ending = name[-len(_TABLES.search(name.lower())[0]) :]  # type: ignore[index]
    stem = Path(name[: -len(ending)]).name
    these = ", ".join(taken[:3]) + (", …" if len(taken) > 3 else "")
    return _left(
        name,
        f"its {counted(count, 'record')} with question and answer are not read: the questions are those of {these}",
        f"To study on both, name {_both(taken, stem, ending)} in the folder itself; to study on this one alone, "
        f"name it examples{ending} and take the other out. Then run init again.",
    )


def _both(taken: Sequence[str], stem: str, ending: str) -> str:
    renamed = f"examples-{stem}{ending}"
    return (
        f"it {renamed}"
        if skipped(Path(taken[0]).name, NOT_DOCUMENTS)
        else f"them examples-{Path(taken[0]).name} and {renamed}"
    )


def _left(file: str, message: str, cure: str) -> Problem:
    return Problem(severity="warning", code=_LEFT, message=message, cure=cure, file=file)


def _read(source: Path, listing: _Folder, progress: Progress) -> tuple[list[Document], list[Example], list[Problem]]:
    """Documents and examples, and what is wrong with them.

    Raises:
        TooFewExamples: there is neither a document nor an example, or no record of the files of examples is usable.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    if listing.documents:
        section = DocumentsSection(paths=listing.documents)
        documents, met = load_documents(section, source, strict=False, progress=progress)
        # A folder holds all sorts of files: one that cannot be read does not stop a project from being made.
        problems = [p if listing.records or p.code in ERRORS else replace(p, severity="warning") for p in met]
        problems += filter(None, map(_sheet_of_questions, documents))
    examples: list[Example] = []
    if listing.examples:
        examples, more = loading.load_examples(listing.examples, source, strict=False)
        problems += more
        if not examples:
            first = next((p for p in sorted(more, key=lambda p: p.severity) if p.file), None)
            place = f"{first.file}:{first.line}" if first and first.line else first.file if first else ""
            where = f" (first problem: {place}: {first.message})" if first else ""
            file = source / listing.examples[0]
            cure = "Put question and answers (or input and output) on each line, or take the file out of the folder."
            raise TooFewExamples(f"no usable example{where}", file=file, cure=_importing(file) or cure)
    if not documents and not examples:
        first = next(iter((*problems, *listing.left)), None)
        where = f" (first problem: {first.file}: {first.message})" if first else ""
        mend = f"{first.cure} Or put" if first else "Put"
        raise TooFewExamples(
            f"the folder contains neither a document nor an example{where}",
            file=source,
            cure=f"{mend} documents (Markdown, text, HTML, PDF, …) into it, or an examples.jsonl, or both.",
        )
    problems += [p for p in checking.check(documents, examples) if p.code == "data.unknown-document"]
    # Said at once, not at the first check: the next commands answer from these documents, to everybody.
    problems += access.problems(documents, (), enabled=False)
    return documents, examples, [p for p in problems if p.code != TooFewExamples.code]


def _sheet_of_questions(document: Document) -> Problem | None:
    """The warning that a spreadsheet, which can only be read as a document, has columns of questions and answers."""
    name = document.id.partition("#")[0]
    head = next((line for line in document.text.splitlines() if " | " in line), "")
    shape = shape_of(cell.strip().lower() for cell in head.split(" | "))
    if shape is None or suffix_of(name) not in _SHEETS:
        return None
    return _left(
        name,
        f"its rows look like examples ({shape}: {excerpt(head)}), and are read as documents: every answer in it stands "
        "in a passage",
        "Save the sheet as examples.csv and run init again, to study on them, and take the spreadsheet out.",
    )


def _language(documents: Sequence[Document]) -> list[Problem]:
    """The warning that most documents are in a language that the embedded models were not made for.

    Tables and code hold few of English's commonest words either: some letters beyond ASCII must show another language.
    """
    texts = [document.text[:_READ] for document in documents if len(document.text) >= _RUNNING]
    others = [text for text in texts if not english(text) and _foreign(text)]
    if 2 * len(others) <= len(texts):
        return []
    cure = (
        'Set [retrieval.embedder] name = "multilingual" (sixteen languages: docs/how-to/retrieval.md) and '
        "[generation.generator] to a model that writes their language (docs/how-to/other-models.md)."
    )
    message = f"{len(others)} of {len(texts)} documents are not in English, which the default models are made for"
    return [Problem(severity="warning", code="data.language", message=message, cure=cure)]


def _foreign(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return sum(not letter.isascii() for letter in letters) >= _BEYOND * len(letters)


def _importing(file: Path) -> str:
    """How to make examples of a file whose records are examples in another shape; empty where they are none."""
    try:
        data = read_bytes(file, limit=MAX_MIB * MIB, name=file.name)
        # The first records tell the shape of a file, which may be large.
        records = list(islice(records_of(data, name=file.name), _PEEKED))
    except DataError:
        return ""
    values = [record.value for record in records if not isinstance(record.value, BadRecord)]
    fields = dict.fromkeys(chain.from_iterable(values))
    shape = shape_of(fields)
    rows = converted(records, file.name, source="")[0] if shape else []
    ending = file.name[-len(_TABLES.search(file.name.lower())[0]) :]  # type: ignore[index]
    renamed = file.with_name(f"raw{ending}")
    into = f"--into {shlex.quote(str(file.with_name('examples.jsonl')))}"
    rename = f"Rename it to {renamed.name}, run `twofold examples import {shlex.quote(str(renamed))} {into}"
    if any(isinstance(row_of(value, file.name, n).outcome, Example) for n, value in enumerate(rows, 1)):
        look = f"Its records look like examples in another shape ({shape}: {excerpt(', '.join(fields))})."
        return f"{look} {rename}`, and init again."
    if len(fields) > 1 and not shape:
        named = f"with the names of its fields ({excerpt(', '.join(fields))}) for Q and A"
        return f"{rename} --map question=Q --map answers=A` {named}, and init again; or take it out of the folder."
    return ""


def _copied(place: Path, source: Path, listing: _Folder) -> Paths:
    """Copy the files below `place`; returns the paths to configure."""
    to = "data" if listing.records else _PLACE
    pairs = [(name, f"{to}/{name}") for name in listing.documents]
    pairs += [(name, f"data/{Path(name).name}") for name in (*listing.examples, *listing.beside)]
    for name, copy in pairs:
        (place / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, place / copy)
    documents = tuple(f"data/{name}" for name in listing.documents) if listing.records else (_PLACE,)
    return Paths(
        documents=documents if listing.documents else (),
        ids_from="" if listing.records or not listing.documents else _PLACE,
        examples=tuple(f"data/{Path(name).name}" for name in listing.examples),
    )


def _linked(directory: Path, source: Path, listing: _Folder) -> Paths:
    """The paths to configure for files that stay where they are, relative to the project."""
    folder = Path(os.path.relpath(source.resolve(), directory.resolve())).as_posix()
    documents = tuple(f"{folder}/{name}" for name in listing.documents) if listing.records else (folder,)
    return Paths(
        documents=documents if listing.documents else (),
        ids_from="" if listing.records or not listing.documents else folder,
        exclude=()
        if listing.records
        else tuple(
            # A file's name may hold a wildcard.
            glob.escape(Path(name).name)
            for name in (*listing.examples, *listing.apart)
            if not skipped(Path(name).name, NOT_DOCUMENTS)
        ),
        examples=tuple(f"{folder}/{name}" for name in listing.examples),
    )


@contextmanager
def _place(directory: Path) -> Iterator[Path]:
    """A hidden folder beside the project, whose content takes its place when nothing went wrong."""
    existed = directory.exists()
    # Beside the project, on the same disk: only there a rename is all or nothing.
    place = directory.resolve().parent / f".{directory.resolve().name}.partial"
    # An interrupted run may have left one.
    shutil.rmtree(place, ignore_errors=True)
    try:
        place.mkdir(parents=True)
        yield place
        if not existed:
            writing.put(place, directory)
            return
        if (place / "data").exists():
            if (directory / "data").exists():
                # It is empty: `_check` refuses any other.
                (directory / "data").rmdir()
            writing.put(place / "data", directory / "data")
        # Last: a directory with a twofold.toml is a project, and this one is whole now.
        writing.put(place / config.FILE, directory / config.FILE)
    except OSError as error:
        raise ConfigError(
            f"the project cannot be written: {error.strerror or error}",
            file=error.filename or directory,
            cure="Choose a directory that can be written to, on a disk with room.",
        ) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
