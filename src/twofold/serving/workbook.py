"""The examples of a project as a person reads, mends and adds them, line by line in the project's own files.

A change replaces or empties one line of a JSON Lines file and leaves every other byte as it was; the whole file is on
the disk or the old one is. Before it the line, as it was and as it becomes, is appended to `EDITS` with who and when,
so that nothing that a person wrote is ever lost.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twofold.answering import access
from twofold.errors import BadRequest, Conflict, DataError, NotServed, TwofoldError, refused
from twofold.examples import loading, preparing
from twofold.examples.leaks import bare
from twofold.examples.spelling import REFERENCES, named_as_ours
from twofold.files import locking, writing
from twofold.files.paths import expand
from twofold.files.reading import parsed
from twofold.hashing import digest
from twofold.indexing import feeds
from twofold.project import Project
from twofold.types import Document, Example, Filter, Json, Message, Origin, Problem

EDITS = "serving/edits.jsonl"
"""File of the changes in a project: ``{"at", "by", "file", "line", "before", "after"}``; without `before` a new record,
without `after` one that was taken out."""
SPLITS = ("train", "dev", "test", "reserve")
_FREE = "Edit the line in the file itself."


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleFields:
    """What the form of an example holds."""

    question: str
    """The last message."""
    answers: tuple[str, ...]
    """Right answers, any of them."""
    answerable: bool = True
    """False: the right behaviour is to say that the documents do not tell."""
    sources: tuple[str, ...] = ()
    """Ids of documents that hold the answer."""
    group: str = ""
    """Unit of splitting; empty for none."""
    split: str = ""
    """Split that its author wishes; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkbookRow:
    """A record of a file of examples."""

    file: str
    """The file."""
    line: int
    """1-based; 0 for a problem of the whole file."""
    mark: str
    """Digest of the record: a change is refused where it is another one by then."""
    example: Example | None
    """None for a record that could not be used."""
    problem: Problem | None
    """Why it could not be used."""
    split: str
    """Where the project puts it; empty where it is left out, or nobody knows."""

    @property
    def place(self) -> str:
        """``FILE:LINE``."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamplePage:
    """A page of examples."""

    rows: tuple[WorkbookRow, ...]
    """In the order of the files."""
    total: int
    """Number of those that fit, all pages together."""
    page: int
    """From 1."""
    pages: int
    """Number of pages, at least 1."""
    counts: Json
    """Split → number of examples in it, of all that the caller may see; ``remarks`` → records that cannot be used."""
    fault: str
    """Why the examples cannot be divided into splits; empty where they can."""


class ExampleBook:
    """The examples of a project, read again whenever a file of them changes.

    Args:
        project: Open for as long as this is used.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._root = project.directory
        self._read: tuple[object, list[WorkbookRow], str] = (None, [], "")

    def page(self, seen: Filter | None, *, chosen: Json, page: int = 1, size: int = 50) -> ExamplePage:
        """A page of the examples that the caller may see.

        Args:
            seen: What the caller may see; None where access control is off.
            chosen: ``words``, ``split``, ``origin`` and ``remarks`` that an example must have; empty for any.
            page: From 1; beyond the last one, the last.
            size: Rows of a page.
        """
        rows, fault = self._all()
        rows = self._permitted(rows, seen)
        counts: Json = dict.fromkeys((*SPLITS, "left out", "remarks"), 0)
        for row in rows:
            counts["remarks" if row.example is None else row.split or "left out"] += 1
        fitting = [row for row in rows if _fits(row, chosen)]
        pages = max(1, -(-len(fitting) // size))
        page = min(max(1, page), pages)
        shown = tuple(fitting[(page - 1) * size : page * size])
        return ExamplePage(rows=shown, total=len(fitting), page=page, pages=pages, counts=counts, fault=fault)

    def row(self, file: str, line: int, seen: Filter | None) -> WorkbookRow:
        """One record by its place.

        Raises:
            NotServed: there is none, or the caller may not see it.
        """
        rows = [row for row in self._all()[0] if (row.file, row.line) == (file, line)]
        row = next(iter(self._permitted(rows, seen)), None)
        if row is None or not line:
            raise NotServed("there is no such example", cure="The page Examples lists those that you may read.")
        return row

    def fix(self, row: WorkbookRow, fields: ExampleFields, *, mark: str, by: str) -> None:
        """Change a record in its file.

        Args:
            row: The record.
            fields: What it is to say.
            mark: `WorkbookRow.mark` of the record that the person saw.
            by: Who changes it.

        Raises:
            BadRequest: it has no question, or no answer though it has one.
        Conflict: the record was changed meanwhile.
            DataError: the file or the record is of a form that is not changed here.
            StoreError: the disk refuses; the file is as it was.
        """
        _complete(fields)
        self._exchange(row, lambda before: _changed(before, row, fields), mark=mark, by=by)

    def remove(self, row: WorkbookRow, *, mark: str, by: str) -> None:
        """Take a record out of its file; its line stays, empty, so that no other example changes its id.

        Args:
            row: The record.
            mark: `WorkbookRow.mark` of the record that the person saw.
            by: Who takes it out; the record is in the log of changes.

        Raises:
            Conflict: the record was changed meanwhile.
            DataError: the file is of a form that is not changed here.
            StoreError: the disk refuses; the file is as it was.
        """
        self._exchange(row, lambda _: None, mark=mark, by=by)

    def add(self, fields: ExampleFields, *, by: str, turns: Sequence[Message] = (), origin: Origin = "human") -> str:
        """Append an example to a file of the project; returns its id once it is on the disk.

        Args:
            fields: What it says.
            by: Who adds it.
            turns: The conversation before its question.
            origin: Where it comes from.

        Raises:
            BadRequest: it has no question, or no answer though it has one.
            DataError: no path of [examples] is a JSON Lines file.
            StoreError: the disk refuses; nothing of it is left.
        """
        _complete(fields)
        record: Json = {"id": f"page-{secrets.token_hex(6)}"}
        if turns:
            earlier = [{"role": turn.role, "content": turn.content} for turn in turns]
            record["messages"] = [*earlier, {"role": "user", "content": fields.question}]
        else:
            record["question"] = fields.question
        record |= {"answers": list(fields.answers), "doc_ids": list(fields.sources), "origin": origin}
        record |= {"group": fields.group, "split": fields.split, "answerable": fields.answerable}
        record = {key: value for key, value in record.items() if value not in ("", [], True)}
        record["at"] = datetime.now(UTC).date().isoformat()
        # Read back before it is written: a line that cannot be read would be a remark of every study.
        _example(record, "the example", 1)
        path = self._growing(fields.split)
        self._log(path.relative_to(self._root).as_posix(), 0, before=None, after=record, by=by)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writing.append(path, json.dumps(record, ensure_ascii=False).encode(), mode=0o644)
        except OSError as error:
            raise refused(f"it cannot be written: {error.strerror or error}", error, file=path) from error
        return str(record["id"])

    def questions(self, seen: Filter | None) -> dict[str, str]:
        """Question, without case and punctuation → the place of an example that has it."""
        rows = self._permitted(self._all()[0], seen)
        return {bare(row.example.question): row.place for row in rows if row.example}

    def require_documents(self, names: Sequence[str], seen: Filter | None) -> None:
        """Refuse ids of documents that the project does not have: no study runs with an example that names one.

        Args:
            names: The ids.
            seen: What the caller may see: a document that they may not read is refused as one that is not there.

        Raises:
            BadRequest: naming the first of them.
        """
        documents = self._project.catalogue.documents
        # Before the first sync nobody knows what there is.
        if not documents.counts():
            return
        known = self._visible(documents.readers_of(sorted(names)), seen)
        missing = next((name for name in names if name not in known), None)
        if missing is not None:
            raise BadRequest(
                f"no document that you may read has the id {missing[:200]!r}",
                cure="Write the ids as the page Documents shows them, one a line, or leave the field empty.",
            )

    def editable(self, file: str) -> bool:
        """Is a record of this file changed here?"""
        return file.endswith(".jsonl")

    # ------------------------------------------------------------ reading

    def _all(self) -> tuple[list[WorkbookRow], str]:
        paths = self._project.config.examples.paths
        files, _ = expand(paths, self._root)
        state = [(file.name, *_stamp(file.path)) for file in files]
        # The documents too: examples are divided by which documents are the same.
        content = feeds.contents(self._project.catalogue)
        if self._read[0] != (state, content):
            read = list(loading.read_rows(paths, self._root))
            splits, fault = self._splits(read)
            rows = [_row(row, splits) for row in read]
            self._read = ((state, content), rows, fault)
        return self._read[1], self._read[2]

    def _splits(self, rows: Sequence[loading.ExampleRow]) -> tuple[dict[str, str], str]:
        examples = [row.outcome for row in rows if isinstance(row.outcome, Example)]
        try:
            same, holders = feeds.same_documents(self._project.catalogue, lambda: [])
            splits, _ = preparing.prepared(examples, self._project.config.examples, documents=same, holders=holders)
        # A fault of the division is shown above the list, which is where it is mended.
        except TwofoldError as error:
            return {}, f"{error.message}. {error.cure}"
        places: dict[str, str] = {}
        for name, part in zip(SPLITS, (splits.train, splits.dev, splits.test, splits.reserve), strict=True):
            places.update(dict.fromkeys((example.id for example in part), name))
        return places, ""

    def _permitted(self, rows: Sequence[WorkbookRow], seen: Filter | None) -> list[WorkbookRow]:
        """The records that the caller may see: an example quotes its documents, and a broken one may quote any."""
        if seen is None or seen.principal is None:
            return list(rows)
        names = sorted({name for row in rows if row.example for name in row.example.sources})
        open_ones = self._visible(self._project.catalogue.documents.readers_of(names), seen)
        # One without sources may quote anything: it is not shown.
        return [row for row in rows if row.example and row.example.sources and open_ones >= set(row.example.sources)]

    def _visible(self, documents: dict[str, tuple[str, tuple[str, ...] | None]], seen: Filter | None) -> set[str]:
        """Those of some documents (id → source and readers) that the caller may see."""
        if seen is None or seen.principal is None:
            return set(documents)
        rules = self._project.config.access.rules
        visible = set()
        for name, (source, readers) in documents.items():
            if access.visible(Document(id=name, text="", source=source, readers=readers), rules, seen):
                visible.add(name)
        return visible

    # ------------------------------------------------------------ writing

    def _exchange(self, row: WorkbookRow, changed: Callable[[Json], Json | None], *, mark: str, by: str) -> None:
        """Put what `changed` makes of a record in its place; None leaves the line empty."""
        path = self._editable(row.file)
        with locking.locked(path.with_name(f".{path.name}.lock")):
            # Bytes: they break at line ends alone, where text also breaks at U+2028, which JSON may hold.
            lines = path.read_bytes().splitlines(keepends=True)
            # Under the lock, and by what the record says: its line may have moved since the page was opened.
            number = _line_of(lines, row.line, mark)
            before = _parsed(lines[number])
            after = changed(before)
            # Logged first: a killed process leaves a line too many in the log, never a change without one.
            self._log(row.file, number + 1, before=before, after=after, by=by)
            ending = b"\r\n" if lines[number].endswith(b"\r\n") else b"\n" if lines[number].endswith(b"\n") else b""
            lines[number] = (b"" if after is None else json.dumps(after, ensure_ascii=False).encode()) + ending
            try:
                writing.write(path, b"".join(lines))
            except OSError as error:
                raise refused(f"it cannot be written: {error.strerror or error}", error, file=row.file) from error

    def _editable(self, name: str) -> Path:
        files, _ = expand(self._project.config.examples.paths, self._root)
        path = next((file.path for file in files if file.name == name and not file.refused), None)
        if path is None or not self.editable(name):
            cure = "Bring it into a .jsonl file with `twofold examples import`, or edit it with its own program."
            raise DataError("only lines of .jsonl files are changed here", file=name, cure=cure)
        return path

    def _growing(self, split: str) -> Path:
        files, _ = expand(self._project.config.examples.paths, self._root)
        growing = [file for file in files if self.editable(file.name) and not file.refused]
        # A file whose name is that of a split is for its examples.
        growing.sort(key=lambda file: loading.named_split(file.name) not in (None, split or None))
        path = growing[0].path if growing else self._project.curation.file("data/examples.jsonl")
        configured = any(name.endswith(".jsonl") for name in self._project.config.examples.paths)
        if not growing and not configured and not self._project.curation.reads(path):
            raise DataError(
                "no path of [examples].paths is a .jsonl file", cure="Add one there, such as data/mine.jsonl."
            )
        return path

    def _log(self, file: str, line: int, *, before: Json | None, after: Json | None, by: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"at": at, "by": by, "file": file, "line": line, "before": before, "after": after}
        path = self._root / EDITS
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.append(path, json.dumps(record, ensure_ascii=False).encode(), mode=0o600)
        except OSError as error:
            raise refused(f"the change cannot be logged: {error.strerror or error}", error) from error


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        seen = path.stat()
    except OSError:
        return ()
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def _row(row: loading.ExampleRow, splits: dict[str, str]) -> WorkbookRow:
    outcome = row.outcome
    if outcome is None:
        outcome = Problem(
            severity="warning",
            code="data.empty-answer",
            message="no answer, left out",
            cure="Give it an answer, or say that the documents do not tell.",
        )
    example = outcome if isinstance(outcome, Example) else None
    return WorkbookRow(
        file=row.file,
        line=row.line,
        mark=_mark(row.value),
        example=example,
        problem=None if isinstance(outcome, Example) else outcome,
        split=splits.get(example.id, "") if example else "",
    )


def _mark(value: Any) -> str:
    # Of the value, not the bytes: blanks that an editor changed are no change.
    return digest("example", json.dumps(value, sort_keys=True))


def _parsed(line: bytes) -> Any:
    # With -sig: the first line of a file from Windows begins with a mark.
    return parsed(line.decode("utf-8-sig"))


def _fits(row: WorkbookRow, chosen: Json) -> bool:
    if bool(chosen.get("remarks")) != (row.example is None) and (chosen.get("remarks") or row.example is None):
        return False
    if row.example is None:
        return True
    example = row.example
    split = "" if chosen.get("split") == "left out" else chosen.get("split")
    text = "\n".join((example.question, *example.references, example.id)).casefold()
    return (
        (not chosen.get("split") or row.split == split)
        and chosen.get("origin") in ("", None, example.origin)
        and all(word in text for word in str(chosen.get("words") or "").casefold().split())
    )


def _line_of(lines: Sequence[bytes], line: int, mark: str) -> int:
    """Index of the record that was seen: at its line, or where another one was put in or taken out above it."""
    order = [line - 1, *(number for number in range(len(lines)) if number != line - 1)]
    for number in order:
        if number < len(lines):
            try:
                value = _parsed(lines[number])
            except ValueError:
                continue
            if isinstance(value, dict) and _mark(value) == mark:
                return number
    raise Conflict(
        "somebody changed this example while you did: nothing of yours is written",
        cure="Open the example again, look at what it says now, and make your change once more.",
    )


def _changed(before: Json, row: WorkbookRow, fields: ExampleFields) -> Json:
    """The record that says what the fields do; what they leave as it was keeps its form."""
    example, after = row.example, dict(before)
    ours = {next(iter(named_as_ours({key: 0}))): key for key in before}
    if example is None or fields.question != example.question:
        _ask(after, ours, fields.question)
    if example is None or fields.answers != example.references:
        _answer(after, ours, fields.answers)
    if (example is None or fields.answerable != example.answerable) or not fields.answerable:
        after[ours.get("answerable", "answerable")] = fields.answerable
    if example is not None and fields.sources != example.sources:
        for key in ("doc_ids", "sources", "spans"):
            after.pop(ours.get(key, key), None)
        after["doc_ids"] = list(fields.sources)
    for key, value, was in (
        ("group", fields.group, example.group if example else ""),
        ("split", fields.split, (example.split or "") if example else ""),
    ):
        if value != was:
            after[ours.get(key, key)] = value
    read = _example(after, row.file, row.line)
    # A field under another name may still hold the old answers.
    if read.references != fields.answers:
        _answer(after, ours, fields.answers)
        read = _example(after, row.file, row.line)
    if (read.question, read.references) != (fields.question, fields.answers):
        raise DataError("the record is of a form that is not changed here", file=row.file, line=row.line, cure=_FREE)
    return after


def _ask(record: Json, ours: Json, question: str) -> None:
    messages = record.get(ours.get("messages", "messages"))
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        record[ours["messages"]] = [*messages[:-1], {**messages[-1], "content": question}]
        return
    key = "question" if "question" in ours or "input" not in ours else "input"
    record[ours.get(key, key)] = question


def _answer(record: Json, ours: Json, answers: Sequence[str]) -> None:
    for key in REFERENCES:
        record.pop(ours.get(key, key), None)
    record["answers"] = list(answers)


def _complete(fields: ExampleFields) -> None:
    if not fields.question.strip():
        raise BadRequest("the example has no question", cure="Write what is asked.")
    if fields.answerable and not fields.answers:
        cure = "Write one, or tick that the documents do not say."
        raise BadRequest("the example has no right answer", cure=cure)


def _example(record: Json, file: str, line: int) -> Example:
    # As it will be read: a number that is written anew may be spelled otherwise.
    outcome = loading.row_of(parsed(json.dumps(record)), file, line).outcome
    if isinstance(outcome, Example):
        return outcome
    raise DataError(outcome.message if outcome else "the record is no example", file=file, line=line, cure=_FREE)
