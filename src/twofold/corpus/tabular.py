"""Record-wise files: JSON Lines, JSON, CSV. One document a record.

Fields ``id``, ``title``, ``text`` and ``source`` are the document's own, and so is ``readers``: users and groups that
may read it, as a list or as text with commas between; an empty list means nobody, no such field that it is not known.
The others become metadata, as strings.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from twofold import plugins
from twofold.corpus.text import decoded
from twofold.errors import BadRecord
from twofold.identity import canonical_json
from twofold.reading import CSV, JSON, JSONL, Record, csv_records, excerpt, json_records, jsonl_records, kind
from twofold.types import Document, Json

_OWN = ("id", "title", "text", "source", "readers")
_FORM = 'Give each record a "text" (and best an "id" and a "title").'


class _RecordReader(ABC):
    """What the three readers share."""

    version: ClassVar[int] = 2
    suffixes: ClassVar[tuple[str, ...]] = ()
    trusted: ClassVar[bool] = True

    class Options(plugins.Options):
        """How the bytes are decoded."""

        encoding: str = ""
        """Of a file that is neither UTF-8 nor has a byte-order mark."""

    def __init__(self, options: _RecordReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield a document for each record.

        Raises:
            BadRecord: the first malformed record, naming file and line.
            UnreadableFile: the bytes are not UTF-8 (or UTF-16 with a mark).
        """
        for _, found in self.places(path, data):
            if isinstance(found, BadRecord):
                raise found
            yield found

    def places(self, path: Path, data: bytes) -> Iterator[tuple[int, Document | BadRecord]]:
        """Yield ``(line, document or what is wrong)`` for each record, so that one bad record does not hide others."""
        name = path.as_posix()
        for record in self._split(decoded(data, name, self.options.encoding), name):
            value = record.value
            yield record.line, value if isinstance(value, BadRecord) else self._document(value, record, name)

    @abstractmethod
    def _split(self, text: str, name: str) -> Iterator[Record]: ...

    def _document(self, value: Json, record: Record, name: str) -> Document | BadRecord:
        return _document(value, record, name)


class JsonlReader(_RecordReader):
    """JSON Lines: one object a line."""

    suffixes: ClassVar[tuple[str, ...]] = JSONL

    def _split(self, text: str, name: str) -> Iterator[Record]:
        return jsonl_records(text, name=name)


class JsonReader(_RecordReader):
    """A JSON list of objects, an object with such a list under ``documents``, or one object."""

    suffixes: ClassVar[tuple[str, ...]] = JSON

    def _split(self, text: str, name: str) -> Iterator[Record]:
        return json_records(text, name=name)


class CsvReader(_RecordReader):
    """A table with a header row. Without a ``text`` column the text of a row is its ``column: value`` lines."""

    suffixes: ClassVar[tuple[str, ...]] = CSV

    def _split(self, text: str, name: str) -> Iterator[Record]:
        return csv_records(text, name=name)

    def _document(self, value: Json, record: Record, name: str) -> Document | BadRecord:
        if "text" not in value:
            lines = "\n".join(f"{key}: {cell}" for key, cell in value.items() if cell.strip() and key not in _OWN)
            value = {"text": lines, **value}
        return _document(value, record, name)


def _document(value: Json, record: Record, name: str) -> Document | BadRecord:
    def bad(message: str) -> BadRecord:
        where = message if record.line else f"record {record.number}: {message}"
        return BadRecord(where, file=name, line=record.line or None, cure=_FORM)

    text = value.get("text")
    if text is None:
        return bad(f'no "text"; its fields are {excerpt(", ".join(value)) or "none"}')
    if not isinstance(text, str):
        return bad(f'"text" must be a string, not {kind(text)}')
    own: dict[str, str] = {}
    try:
        readers = _readers(value.get("readers"))
    except ValueError as error:
        return bad(str(error))
    for key in ("id", "title", "source"):
        item = value.get(key)
        if item is not None and (isinstance(item, bool) or not isinstance(item, (str, int, float))):
            return bad(f'"{key}" must be a string, not {kind(item)}')
        own[key] = "" if item is None else str(item)
    rest: dict[str, str] = {}
    for key, item in value.items():
        if key not in _OWN and item not in (None, ""):
            try:
                rest[key] = _string(item)
            except RecursionError:
                return bad(f"{excerpt(key)} is nested too deeply")
    return Document(
        id=own["id"].strip() or f"{name}#{record.line or record.number}",
        text=text,
        title=own["title"],
        source=own["source"] or name,
        metadata=rest,
        readers=readers,
    )


def _readers(value: Any) -> tuple[str, ...] | None:
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
    make: Callable[[Any], str] = canonical_json if isinstance(value, (dict, list, bool)) else str
    return make(value)
