"""Bounded reading: paths → files → bytes → text → records, every fault with its place.

Documents and examples are both read by this module, so that a file means the same to both. Nothing is read past a size
limit, compressed or not: an archive that expands without end is refused in bounded memory.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from twofold.errors import (
    BadRecord,
    DataError,
    FileTooLarge,
    MissingExtra,
    TwofoldError,
    UnreadableFile,
    install,
)
from twofold.files.delimited import table_of
from twofold.files.parquet import rows_of
from twofold.types import Document, Json, Problem

MIB = 1 << 20
PER_FILE = 50
"""Problems of one file and code that are listed one by one; further ones are counted."""
_PIECE = 1 << 16
"""Bytes of the compressed file read at a time."""
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One object of a JSON, JSON Lines or CSV file, or the error in its place."""

    line: int
    """1-based first line; 0 when it is unknown."""
    number: int
    """1-based position among the file's records."""
    value: Json | BadRecord
    """The object, or the error."""


def renamed(document: Document, name: str, stem: str) -> Document:
    """Replace `name` by `stem` at the beginning of a document's id and source; an id from a record stays."""
    document_id = stem + document.id.removeprefix(name) if document.id.startswith(name) else document.id
    return replace(document, id=document_id, source=stem if document.source in ("", name) else document.source)


ROWS = "row "
RECORDS = (ROWS, "line ", "record ")
"""Beginnings of the labels of places that are records of a file (other places are pages, sheets and the like)."""


def below(file: str, name: str) -> str:
    """The id of a record of `file` whose id another document already uses."""
    return f"{file}#{name}"


def suffix_of(name: str) -> str:
    """The lower-case ending that identifies the kind of a file, without ``.gz``: ``.jsonl`` for ``a.JSONL.gz``."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def read_bytes(path: Path, *, limit: int, name: str = "") -> bytes:
    """The bytes of a file, decompressed if it is gzip.

    Args:
        path: The file.
        limit: Most bytes, after decompression.
        name: The file's name in errors.

    Raises:
        UnreadableFile: the file is missing, not a plain file, forbidden, or damaged.
        FileTooLarge: the file is larger than `limit`.
    """
    name = name or path.as_posix()
    try:
        if not path.is_file():
            reason = "this is not a plain file" if path.exists() else "there is no such file"
            raise UnreadableFile(reason, file=name, cure="Name a plain file that is there.")
        # before it is opened: a file that is too large is not read at all
        size = path.stat().st_size
        packed = path.suffix.lower() == ".gz"
        if size > limit:
            raise FileTooLarge(f"the file has {size / MIB:.1f} MiB; the limit is {limit / MIB:g} MiB", file=name)
        with path.open("rb") as stream:
            # one byte more than allowed: the size may have been another a moment ago
            data = _inflate(stream, limit) if packed else stream.read(limit + 1)
    except OSError as error:
        raise UnreadableFile(f"it cannot be read: {error.strerror or error}", file=name) from error
    except zlib.error as error:
        raise UnreadableFile(
            f"the file is damaged or not gzip: {error}",
            file=name,
            cure="Compress the file again, or rename it without .gz.",
        ) from error
    if len(data) > limit:
        raise FileTooLarge(
            f"the file has more than {limit / MIB:g} MiB{' when decompressed' if packed else ''}", file=name
        )
    return data


def unpacked(data: bytes, *, limit: int, name: str) -> bytes:
    """Decompress bytes without a file if `name` ends in ``.gz``, within the same limits as for a file.

    Raises:
        UnreadableFile: the bytes are damaged.
        FileTooLarge: the content is larger than `limit`.
    """
    try:
        out = _inflate(io.BytesIO(data), limit) if name.lower().endswith(".gz") else data
    except zlib.error as error:
        raise UnreadableFile(f"the file is damaged or not gzip: {error}", file=name) from error
    if len(out) > limit:
        raise FileTooLarge(f"the file has more than {limit / MIB:g} MiB", file=name)
    return out


def _inflate(stream: Any, limit: int) -> bytes:
    """Decompress gzip members one after another, stopping one byte past `limit`."""
    out = bytearray()
    state = zlib.decompressobj(31)  # 31: a gzip header, and the largest window
    pending = stream.read(_PIECE)
    while len(out) <= limit:
        if state.eof:
            # the next member; zeros between members are padding (gzip(1))
            pending = (state.unused_data or stream.read(_PIECE)).lstrip(b"\0")
            if not pending:
                return bytes(out)
            state = zlib.decompressobj(31)
        elif not pending:
            raise zlib.error("it ends too early")
        out += state.decompress(pending, limit + 1 - len(out))
        if not state.eof:
            pending = state.unconsumed_tail or stream.read(_PIECE)
    return bytes(out)


# UTF-32 first: its mark begins with that of UTF-16
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


_NO_WRITING = frozenset(
    ["idna", "mbcs", "oem", "palmos", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"]
)


def writes(encoding: str) -> bool:
    """Is an encoding one in which texts are written?

    Python's codecs include others, for host names and for its own sources. A page, mail or server that declares one of
    those is hostile: some take quadratic time to decode, others hide text. No browser reads them (WHATWG Encoding,
    4.2).
    """
    try:
        codec = codecs.lookup(encoding) if encoding else None
    except (LookupError, ValueError):  # unknown, or no name at all
        return False
    # ``hex`` and ``rot13`` are codecs too, and write no text
    return codec is not None and codec._is_text_encoding and codec.name.replace("_", "-") not in _NO_WRITING


def decode(data: bytes, *, name: str, declared: str = "") -> str:
    """Decode bytes as UTF-8, as UTF-16 or UTF-32 with a byte-order mark, or in the `declared` encoding.

    Raises:
        UnreadableFile: the bytes are in none of these; the message names the first bad byte.
    """
    # recognised first: decoded as text, gzip would fail with a message that does not help
    if data.startswith(b"\x1f\x8b"):
        raise UnreadableFile("the file is gzip but is not named .gz", file=name, cure="Rename the file to end in .gz.")
    mark, encoding = next(((m, e) for m, e in _MARKS if data.startswith(m)), (b"", declared or "utf-8"))
    body = memoryview(data)[len(mark) :]  # a view: nothing is copied
    if not writes(encoding):
        raise UnreadableFile(f"it declares an unknown encoding, {encoding!r}", file=name)
    try:
        text = str(body, encoding)
    except UnicodeDecodeError as error:
        at = error.start + len(mark)
        line = data.count(b"\n", 0, at) + 1
        raise UnreadableFile(
            f"byte {at} (0x{data[at]:02x}) is not {encoding.upper()}: {error.reason}",
            file=name,
            line=line,
            cure="Save the file as UTF-8, or name a document's encoding in [documents.encodings].",
        ) from error
    # UTF-16 without a mark reads as UTF-8 with a NUL at every other place
    if "\0" in text:
        at = text.index("\0")
        raise UnreadableFile(
            f"the file has a NUL at character {at}: this is not a text file",
            file=name,
            cure="Save it as text in UTF-8, or take the file out.",
        )
    return text


def counted(number: int, what: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def excerpt(text: str, length: int = 60) -> str:
    """The beginning of `text` on one line, for messages."""
    # blanks may be a part of it; a long text is not split as a whole
    flat = " ".join(text[: 4 * length].split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def records(text: str, *, name: str) -> Iterator[Record]:
    """The records of a ``.jsonl``, ``.json`` or ``.csv`` file by its name; faults come as `BadRecord` values."""
    suffix = suffix_of(name)
    if suffix in CSV:
        return csv_records(text, name=name)
    return json_records(text, name=name) if suffix in JSON else jsonl_records(text, name=name)


def records_of(data: bytes, *, name: str) -> Iterator[Record]:
    """As `records`, from a file's bytes; ``.parquet`` too.

    Raises:
        UnreadableFile: the file is not text, or not Parquet.
        MissingExtra: the file is Parquet, and pyarrow is not installed.
    """
    if suffix_of(name) in PARQUET:
        return _parquet_records(data, name=name)
    return records(decode(data, name=name), name=name)


def _parquet_records(data: bytes, *, name: str) -> Iterator[Record]:
    """Rows of a Parquet file; a row's number stands for its line."""
    try:
        for number, row in enumerate(rows_of(data), 1):
            yield Record(line=number, number=number, value=checked(row, name, number))
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "reading Parquet needs the package pyarrow, which is not installed", cure=install("data"), file=name
        ) from error
    except (OSError, ValueError) as error:
        why = excerpt(str(error))
        raise UnreadableFile(f"unusable Parquet file: {why}", file=name, cure="Write the file again.") from error


PLAIN_WORDS = "data.plain-words"
"""Code of the warning about a format that is read as plain words, which all files of the format share."""
PARQUET = (".parquet",)
JSONL = (".jsonl", ".ndjson")
JSON = (".json",)
CSV = (".csv", ".tsv")


def jsonl_records(text: str, *, name: str) -> Iterator[Record]:
    """JSON Lines: one object a line, blank lines left out; a whole JSON file under that name is one error."""
    number = start = line = 0
    # at \n only: `splitlines` cuts at characters, too, that JSON allows within a string
    while start < len(text):
        line += 1
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        row, start = text[start:stop], stop + 1
        if row.strip():
            number += 1
            value = _object(row, name, line)
            if number == 1 and isinstance(value, BadRecord) and (whole := _whole_json(text, row)):
                message = f"this is {whole[0]}, not JSON Lines (one object a line)"
                value = BadRecord(message, file=name, line=line, cure=whole[1])
                start = len(text)
            yield Record(line=line, number=number, value=value)


_LINES = "Write each object on one line in a .jsonl file, or a list of all objects in a .json file."


def _whole_json(text: str, row: str) -> tuple[str, str] | None:
    """Recognise a JSON text whose first line is no record: a list of objects, or an object over several lines.

    Returns:
        A description of the text, and the cure; None for any other text.
    """
    whole = text.strip()
    try:
        value, end = json.JSONDecoder().raw_decode(whole)
    except (ValueError, RecursionError):
        return None
    cure = "Name the file .json." if end == len(whole) else _LINES
    if isinstance(value, list):
        return ("a JSON list", cure) if value and all(isinstance(item, dict) for item in value) else None
    long = isinstance(value, dict) and end > len(row.strip())
    return ("one JSON object over several lines", cure) if long else None


def _object(row: str, name: str, line: int) -> Json | BadRecord:
    try:
        value = parsed(row)
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg} at column {error.colno} of: {excerpt(row)}"
        return BadRecord(message, file=name, line=line, cure=_json_cure(error))
    except (ValueError, RecursionError) as error:
        return BadRecord(f"not usable JSON: {excerpt(str(error))}", file=name, line=line)
    return checked(value, name, line)


def _json_cure(error: json.JSONDecodeError) -> str | None:
    """The cure for a common mistake in handwritten JSON; None for any other mistake."""
    rest = error.doc[error.pos :].lstrip()
    if rest[:1] == "'" or rest[:4] == "None" or rest[:5] in ("True,", "True}", "False"):
        return "This is Python, not JSON: write the file by json.dumps."
    if error.msg == "Extra data" and rest[:1] == "{":
        return "Write each object on a line of its own."
    after = error.msg.startswith(("Expecting", "Illegal")) and rest[:1] in ("", "]", "}")
    if rest[:1] == "," if error.msg == "Extra data" else after and error.doc[: error.pos].rstrip()[-1:] == ",":
        return "Take out the comma that nothing follows."
    return "Take the comment out: JSON has none." if rest[:2] in ("//", "/*") else None


class _Written(float):
    """A number that remembers how the file spells it: 29.00, 0.00001."""

    spelling: str

    def __new__(cls, spelling: str) -> _Written:
        number = super().__new__(cls, spelling)
        number.spelling = spelling
        return number


def parsed(text: str) -> Any:
    """The value of a JSON text; ``NaN``, which many programs write for a missing value, is null.

    Raises:
        ValueError: the text is not JSON, contains Infinity, or an object has a key twice.
    """
    return json.loads(text, parse_constant=_constant, parse_float=_Written, object_pairs_hook=_pairs)


def spelled(value: bool | int | float | str) -> str:
    """A JSON scalar as text, spelled as in the file: ``true``, ``3``, ``29.00``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.spelling if isinstance(value, _Written) else str(value).strip()


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is no JSON value")


def _pairs(pairs: list[tuple[str, Any]]) -> Json:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the key {excerpt(twice, 40)!r} stands twice in one object")
    return members


def checked(value: Any, name: str, line: int) -> Json | BadRecord:
    """`value` if it is an object of well-formed text, else the error."""
    if not isinstance(value, dict):
        return BadRecord(f"expected an object, found {kind(value)}: {excerpt(str(value))}", file=name, line=line)
    unfit = _unfit(value)
    return value if unfit is None else BadRecord(unfit, file=name, line=line)


def _unfit(value: Any) -> str | None:
    """The problem with a record that contains no proper text or number; None for a proper record."""
    # a stack instead of recursion: a record may be nested deeper than Python calls
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            # the cheap test first: most texts of a record are ASCII
            if not item.isascii() and (surrogate := _SURROGATE.search(item)):
                return f"half of a surrogate pair stands alone (\\u{ord(surrogate.group()):04x}): this is not text"
        elif isinstance(item, float):
            # 1e999 is valid JSON
            if math.isinf(item):
                return "an infinite number is no value"
        elif isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            stack += item
    return None


def json_records(text: str, *, name: str) -> Iterator[Record]:
    """A JSON file: a list of objects, an object with one list of objects in it, or one object."""
    try:
        value = parsed(text)
    except json.JSONDecodeError as error:
        shown = excerpt(text[max(0, error.pos - 20) : error.pos + 20])
        message, cure = f"not valid JSON: {error.msg} at column {error.colno}, near: {shown}", _json_cure(error)
        if error.msg == "Extra data" and text[error.pos] == "{":
            message = "a second object begins here: this is JSON Lines (one object a line), not JSON"
            cure = "Name the file .jsonl."
            if "\n" in text[: error.pos].strip():
                message, cure = "a second object begins here; a JSON file holds one value", _LINES
        bad = BadRecord(message, file=name, line=error.lineno, cure=cure)
        yield Record(line=error.lineno, number=1, value=bad)
        return
    except (ValueError, RecursionError) as error:
        bad = BadRecord(f"not usable JSON: {excerpt(str(error))}", file=name)
        yield Record(line=0, number=1, value=bad)
        return
    if isinstance(value, dict):
        lists = [v for k, v in value.items() if k in {"documents", "examples", "records", "data"}]
        value = lists[0] if len(lists) == 1 and isinstance(lists[0], list) else [value]
    if not isinstance(value, list):
        bad = BadRecord(f"expected a list of objects, found {kind(value)}", file=name)
        yield Record(line=0, number=1, value=bad)
        return
    for number, item in enumerate(value, 1):
        record = checked(item, name, 0)
        if isinstance(record, BadRecord):
            record = BadRecord(f"record {number}: {record.message}", file=name)
        yield Record(line=0, number=number, value=record)


def csv_records(text: str, *, name: str) -> Iterator[Record]:
    """The rows of a CSV or TSV file (see `delimited.table_of`); a row with more cells than the header is a fault.

    Cells that programs write for a missing value (`MISSING_CELLS`) count as empty.
    """
    table = table_of(text, tab=suffix_of(name) == ".tsv")
    for row in table.rows:
        fault = row.fault
        if row.extra:
            count, expected = len(table.columns) + len(row.extra), len(table.columns)
            fault = (
                f"{count} cells under a header of {expected}: {excerpt(', '.join((*row.values.values(), *row.extra)))}"
            )
        cells = {column: "" if text in MISSING_CELLS else text for column, text in row.values.items()}
        value: Json | BadRecord = BadRecord(fault, file=name, line=row.line, cure=ROW) if fault else cells
        yield Record(line=row.line, number=row.number, value=value)


MISSING_CELLS = frozenset({"NaN", "nan", "<NA>", "NaT", "#N/A", "#N/A N/A"})
"""Missing values as pandas, NumPy and spreadsheets write them; ``NA``, ``None`` and ``null`` may be words, and stay."""
ROW = "Put cells that hold a separator or a quotation mark in quotation marks, the latter doubled."


def kind(value: Any) -> str:
    """The JSON name of a value's type, with its article."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


class Findings:
    """Problems in the order of their discovery; beyond `PER_FILE` of one file and code they are only counted."""

    def __init__(self) -> None:
        self._listed: list[Problem] = []
        self._more: dict[tuple[str, str], list[Problem]] = {}
        self._seen: dict[tuple[str, str], int] = {}

    def add(self, problem: Problem) -> None:
        """Add a problem."""
        where = (problem.file, problem.code)
        self._seen[where] = self._seen.get(where, 0) + 1
        if self._seen[where] <= PER_FILE:
            self._listed.append(problem)
        else:
            self._more.setdefault(where, []).append(problem)

    def take(self, problems: Sequence[Problem]) -> None:
        """Add problems that another `Findings` has already counted."""
        self._listed += problems

    def error(self, error: DataError) -> None:
        """Add an exception as an error."""
        self.add(as_problem(error))

    def all(self) -> list[Problem]:
        """All listed problems, with a line for each kind that was only counted."""
        rest = []
        for (file, code), more in self._more.items():
            rest.append(
                Problem(
                    severity=more[0].severity,
                    code=code,
                    message=f"and {len(more)} more like this",
                    cure=more[0].cure,
                    file=file,
                    line=more[0].line,
                )
            )
        return self._listed + rest


def times(problem: Problem) -> int:
    """The number of problems behind a line: 1, or the number that `Findings` only counted."""
    rest = re.fullmatch(r"and (\d+) more like this", problem.message)
    return int(rest[1]) if rest else 1


def grouped(problems: Sequence[Problem]) -> list[tuple[Problem, int]]:
    """The first problem of every file and code with their number; the first of every code come first."""
    first: dict[tuple[str, str], Problem] = {}
    count: dict[tuple[str, str], int] = {}
    for problem in problems:
        where = (problem.file, problem.code)
        count[where] = count.get(where, 0) + times(problem)
        first.setdefault(where, problem)
    rank: dict[str, int] = {}
    ranked = []
    for (_, code), problem in first.items():
        ranked.append((rank.get(code, 0), problem))
        rank[code] = rank.get(code, 0) + 1
    ranked.sort(key=lambda entry: entry[0])
    return [(problem, count[problem.file, problem.code]) for _, problem in ranked]


def once_a_kind(problems: Sequence[Problem]) -> list[Problem]:
    """The problems, with those of a whole format (`PLAIN_WORDS`) merged into one that counts the files."""
    files = Counter(problem.message for problem in problems if problem.code == PLAIN_WORDS)
    merged = []
    for problem in problems:
        count = files.pop(problem.message, 0) if problem.code == PLAIN_WORDS else 1
        more = f" (and {counted(count - 1, 'file')} more of this kind)" if count > 1 else ""
        merged += [replace(problem, message=problem.message + more)] if count else []
    return merged


def as_problem(error: TwofoldError, severity: Literal["error", "warning"] = "error") -> Problem:
    """An exception as an error in a list."""
    return Problem(
        severity=severity,
        code=error.code,
        message=error.message,
        cure=error.cure,
        file=error.file or "",
        line=error.line or 0,
    )


def raise_first(problems: Sequence[Problem]) -> None:
    """Raise the first error among `problems` as an exception of its class; the message counts further errors.

    Raises:
        BadRecord: a record is malformed.
        TooFewExamples: no example is left.
        DataError: a file cannot be read, or any other error.
    """
    errors = [p for p in problems if p.severity == "error"]
    if not errors:
        return
    first = errors[0]
    classes: dict[str, type[DataError]] = {cls.code: cls for cls in DataError.__subclasses__()}
    more = f" (and {len(errors) - 1} more: `twofold check` lists all)" if len(errors) > 1 else ""
    raise classes.get(first.code, BadRecord if first.line else DataError)(
        first.message + more, cure=first.cure, file=first.file or None, line=first.line or None
    )
