"""Files of records: JSON Lines, JSON, CSV, Parquet. One document a record.

The fields ``id``, ``title``, ``text`` and ``source`` become those of the document, and so does ``readers``: the users
and groups that may read it, as a list or as text with commas; an empty list means nobody, a missing field "unknown".
All other fields become metadata, as strings, and stand below the text, so that a search finds them.

A table (CSV or Parquet without a column ``text``) has no text of its own: the text of a row is its cells, including the
id. An ``id`` is a key within its table, and another table may use the same key: the document's id begins with the
file's name. A row without an id is named by its place in citations: ``fees.csv#row2`` is row 2 of ``fees.csv``.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from twofold.corpus.bounds import ALL, VALUE
from twofold.corpus.plain_text import decoded
from twofold.corpus.readers.fields import is_vector, lines, value_text, with_fields
from twofold.errors import BadRecord
from twofold.files.delimited import TableRow, table_of
from twofold.files.reading import (
    CSV,
    JSON,
    JSONL,
    PARQUET,
    ROW,
    ROWS,
    Record,
    excerpt,
    json_records,
    jsonl_records,
    kind,
    records_of,
    spelled,
    suffix_of,
)
from twofold.hashing import canonical_json
from twofold.plugins import protocols
from twofold.types import Document, Json, Place, Problem

_RECORD_FIELDS = ("id", "title", "text", "source", "readers")
_FORM = 'Give each record a "text" (and best an "id" and a "title").'


class _RecordReader(ABC):
    """The common part of all readers of records."""

    version: ClassVar[int] = 6
    suffixes: ClassVar[tuple[str, ...]] = ()

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield a document for each record.

        Raises:
            BadRecord: the first malformed record, naming file and line.
            UnreadableFile: the bytes are not UTF-8 (or UTF-16 with a mark), or no Parquet.
        """
        for _, record in self.places(path, data):
            if isinstance(record, BadRecord):
                raise record
            if isinstance(record, Document):
                yield record

    @abstractmethod
    def places(self, path: Path, data: bytes) -> Iterator[tuple[int, Document | BadRecord | Problem]]:
        """Yield ``(line, document or problem)`` for each record, so that one bad record does not hide others."""


class _TextReader(_RecordReader):
    """The common part of the readers of records written as text."""

    trusted: ClassVar[bool] = True

    class Options(protocols.Options):
        """Options for decoding the bytes."""

        encoding: str = ""
        """Encoding of a file that is not UTF-8 and has no byte-order mark."""

    def __init__(self, options: _TextReader.Options) -> None:
        self.options = options

    def places(self, path: Path, data: bytes) -> Iterator[tuple[int, Document | BadRecord | Problem]]:
        """Yield ``(line, document or problem)`` for each record, so that one bad record does not hide others."""
        name = path.as_posix()
        yield from self._records(decoded(data, name, self.options.encoding), name)

    @abstractmethod
    def _records(self, text: str, name: str) -> Iterator[tuple[int, Document | BadRecord | Problem]]: ...


class JsonlReader(_TextReader):
    """JSON Lines: one object a line."""

    suffixes: ClassVar[tuple[str, ...]] = JSONL

    def _records(self, text: str, name: str) -> Iterator[tuple[int, Document | BadRecord]]:
        for record in jsonl_records(text, name=name):
            yield record.line, _document(record, name, label=f"line {record.line}")


class JsonReader(_TextReader):
    """A JSON list of objects, an object with such a list under ``documents``, or one object."""

    suffixes: ClassVar[tuple[str, ...]] = JSON

    def _records(self, text: str, name: str) -> Iterator[tuple[int, Document | BadRecord]]:
        for record in json_records(text, name=name):
            if record.value != {}:  # an object without anything is like an empty file: nothing to mend
                yield record.line, _document(record, name, label=f"record {record.number}")


class CsvReader(_TextReader):
    """A table with a header row; the text of a row is its ``column: value`` lines, below its ``text`` if it has one.

    A row's place is its number below the header. Cells beyond the header's last column are kept, and named.
    """

    suffixes: ClassVar[tuple[str, ...]] = CSV

    def _records(self, text: str, name: str) -> Iterator[tuple[int, Document | BadRecord | Problem]]:
        table = table_of(text, tab=suffix_of(name) == ".tsv")
        ids = set[str]()
        if not table.headed:
            yield 1, _headless(name)
        for row in table.rows:
            if row.fault:
                yield row.line, BadRecord(row.fault, file=name, line=row.line, cure=ROW)
                continue
            cells: Json = dict(row.values)
            for number, cell in enumerate(row.extra, len(table.columns) + 1):
                cells[f"column {number}"] = cell
            document = _row(cells, row, name, title=table.title)
            if isinstance(document, Document) and document.id.startswith(name):
                document = replace(document, id=_unused(document.id, ids))
                ids.add(document.id)
            yield row.line, document
            if row.extra:
                yield row.line, _too_many(row, len(table.columns), name)
            if row.begins:
                yield row.line, _another(row, name)


class ParquetReader(_RecordReader):
    """The rows of a Parquet file, as those of a CSV file; numbers, dates, lists and maps as text. Vectors are left out.

    The worker process with its limits reads these files: they are compressed and no plain text.
    """

    version: ClassVar[int] = 2
    suffixes: ClassVar[tuple[str, ...]] = PARQUET
    trusted: ClassVar[bool] = False

    class Options(protocols.Options):
        """None."""

    def __init__(self, options: ParquetReader.Options) -> None:
        self.options = options

    def places(self, path: Path, data: bytes) -> Iterator[tuple[int, Document | BadRecord | Problem]]:
        """Yield ``(row, document or problem)``.

        Raises:
            MissingExtra: pyarrow is not installed.
            UnreadableFile: the file is not Parquet.
        """
        name = path.as_posix()
        ids = set[str]()
        for record in records_of(data, name=name):
            value = record.value
            if isinstance(value, BadRecord) or "text" in value:
                yield record.line, _document(record, name, label=f"{ROWS}{record.number}")
                continue
            cells = {key: value_text(item) for key, item in value.items() if not is_vector(item)}
            document = _row(cells, TableRow(line=record.line, number=record.number, values=cells), name, title="")
            if isinstance(document, Document) and document.id.startswith(name):
                document = replace(document, id=_unused(document.id, ids))
                ids.add(document.id)
            yield record.line, document


def _row(cells: Json, row: TableRow, name: str, *, title: str) -> Document | BadRecord:
    """The document of a table's row, or of a CSV file's record with a text."""
    label = f"{ROWS}{row.number}"
    cells = {"title": title, **cells} if title and not cells.get("title") else cells
    record = Record(line=row.line, number=row.number, value=cells)
    if "text" in cells:
        more = {key: cell for key, cell in cells.items() if key not in ("title", "text", "source", "readers")}
        return _document(record, name, label=label, below=more)
    # the title of the whole table stands above, it is no cell of the row
    rest = {key: cell for key, cell in cells.items() if key != "readers" and (key != "title" or key in row.values)}
    # Fields are stored with every passage: long cells stand in the text alone.
    small = {key: cell for key, cell in rest.items() if cell.strip() and len(cell) <= VALUE}
    # with the file's name: a column called id is mostly the table's own number
    key = f"{name}#{cells['id'].strip()}" if cells.get("id", "").strip() else ""
    fields = {"id": key, "title": cells.get("title", ""), "text": lines(rest, all_of_them=True)}
    fields |= {"readers": cells["readers"]} if "readers" in cells else {}
    document = _document(Record(line=row.line, number=row.number, value=fields), name, label=label, below={})
    if isinstance(document, BadRecord):
        return document
    # with longer names `bounded` would refuse the document
    return replace(document, metadata=small if sum(map(len, small)) <= ALL else {})


def _unused(name: str, ids: set[str]) -> str:
    """The id itself, or the id with a number behind it where an earlier row uses it."""
    number, candidate = 1, name
    while candidate in ids:
        number += 1
        candidate = f"{name} ({number})"
    return candidate


def _headless(name: str) -> Problem:
    return Problem(
        severity="warning",
        code="data.partly-read",
        message="the first row looks like the rows below and is read as data: the columns have no names",
        cure="Put a row with the names of the columns above it.",
        file=name,
        line=1,
    )


def _another(row: TableRow, name: str) -> Problem:
    return Problem(
        severity="warning",
        code="data.partly-read",
        message="a second table seems to begin below an empty line; its rows are read under the first table's columns",
        cure="Put each table into its own file.",
        file=name,
        line=row.line,
    )


def _too_many(row: TableRow, columns: int, name: str) -> Problem:
    named = f"column {columns + 1}" + (f" to column {columns + len(row.extra)}" if len(row.extra) > 1 else "")
    return Problem(
        severity="warning",
        code="data.partly-read",
        message=f"{columns + len(row.extra)} cells under a header of {columns}; the rest is kept as {named}",
        cure=ROW,
        file=name,
        line=row.line,
    )


def _document(record: Record, name: str, *, label: str, below: Json | None = None) -> Document | BadRecord:
    """The document of a record.

    Args:
        record: The record.
        name: The file.
        label: The record's place in the file.
        below: Fields to write below the text; by default all but those in `_RECORD_FIELDS`.
    """
    value = record.value
    if isinstance(value, BadRecord):
        return value

    def bad(message: str) -> BadRecord:
        where = message if record.line else f"record {record.number}: {message}"
        return BadRecord(where, file=name, line=record.line or None, cure=_FORM)

    text = value.get("text")
    if text is None:
        return bad(f'no "text"; its fields are {excerpt(", ".join(value)) or "none"}')
    if not isinstance(text, str):
        return bad(f'"text" must be a string, not {kind(text)}')
    fields: dict[str, str] = {}
    try:
        readers = _readers(value.get("readers"))
    except ValueError as error:
        return bad(str(error))
    for key in ("id", "title", "source"):
        item = value.get(key)
        if item is not None and (isinstance(item, bool) or not isinstance(item, (str, int, float))):
            return bad(f'"{key}" must be a string, not {kind(item)}')
        fields[key] = "" if item is None else str(item)
    rest: dict[str, str] = {}
    more = {key: item for key, item in value.items() if key not in _RECORD_FIELDS and item not in (None, "")}
    for key, item in more.items():
        try:
            rest[key] = _string(item)
        except RecursionError:
            return bad(f"{excerpt(key)} is nested too deeply")
    first = record.line or record.number
    row = label.startswith(ROWS)
    place = Place(start=0, label=label, first=first if row else 1)
    placed = () if fields["source"] or (fields["id"] and below is None) else (place,)
    called = label.replace(" ", "") if placed and row else f"{first}"
    return Document(
        id=fields["id"].strip() or f"{name}#{called}",
        text=with_fields(text, more if below is None else below),
        title=fields["title"],
        source=fields["source"] or name,
        metadata=rest,
        readers=readers,
        places=placed,
    )


def _readers(value: Any) -> tuple[str, ...] | None:
    # a cell of a table may hold the list as JSON
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f'"readers" is no JSON list: {error}') from error
    if isinstance(value, str):
        value = value.split(",") if value.strip() else None
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise ValueError(f'"readers" must be a list of names, not {excerpt(canonical_json(value))}')
    return tuple(one.strip() for one in value)


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    return canonical_json(value) if isinstance(value, (dict, list)) else spelled(value)
