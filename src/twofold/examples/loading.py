"""Files → examples, and everything that is wrong with them at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from twofold.errors import BadRecord, DataError, TooFewExamples, UnreadableFile
from twofold.examples.spelling import REFERENCES, answers_of, cell, is_declined, named_as_ours
from twofold.examples.turns import is_conversation, turns_of
from twofold.files.paths import MISSING, expand
from twofold.files.reading import (
    CSV,
    JSON,
    JSONL,
    MIB,
    PARQUET,
    Findings,
    Record,
    as_problem,
    counted,
    excerpt,
    kind,
    raise_first,
    read_bytes,
    records_of,
    spelled,
    suffix_of,
)
from twofold.hashing import canonical_json, digest
from twofold.types import Example, Json, Message, Origin, Problem, Span, SplitName

MAX_MIB = 512
"""Largest file of examples, after decompression."""

_SPLITS: Mapping[str, SplitName] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "reserve": "reserve",
}
_KINDS = (*JSONL, *JSON, *CSV, *PARQUET)
_IMPORT = "Run `twofold examples import FILE --into data/examples.jsonl`."
"""Cure of records in a shape that others use."""
_FORM = "Each record needs a question (or messages, or input) and answers (or output)."
"""Cure of records without question or answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRow:
    """One record of a file of examples: its text there, and the example read from it."""

    file: str
    """The file."""
    line: int
    """1-based; a JSON file's records have their position instead of a line."""
    value: Json
    """The record; empty where it could not be read."""
    outcome: Example | Problem | None
    """The example, or why there is none; None where it has no answer and does not say that it needs none."""


def read_rows(paths: Sequence[str], root: Path) -> Iterator[ExampleRow]:
    """The records of all files, in order; problems of a whole file come as a row with line 0.

    Args:
        paths: Files, folders or patterns relative to `root`; kinds as in `load_examples`.
        root: The project.
    """
    files, missing = expand(paths, root, skip=lambda name: suffix_of(name) not in _KINDS)
    for error in missing:
        yield ExampleRow(file=error.file or "", line=0, value={}, outcome=as_problem(error))
    first_places: dict[str, str] = {}
    for file in files:
        try:
            if file.refused:
                raise file.refused
            try:
                require_kind(file.name)
            except UnreadableFile as fault:
                # Somebody who names a file wants it read; in a folder other kinds may lie beside the examples.
                if file.named:
                    raise
                problem = replace(as_problem(fault), severity="warning", code="data.no-reader")
                yield ExampleRow(file=file.name, line=0, value={}, outcome=problem)
                continue
            data = read_bytes(file.path, limit=MAX_MIB * MIB, name=file.name)
            for record in records_of(data, name=file.name):
                yield _row(record, file.name, first_places)
        except DataError as error:
            yield ExampleRow(file=file.name, line=0, value={}, outcome=as_problem(error))


def require_kind(name: str) -> None:
    """Refuse a file whose name is of no kind that examples are read from.

    Raises:
        UnreadableFile: it is none.
    """
    if suffix_of(name) not in _KINDS:
        raise UnreadableFile(
            f"examples are read from {', '.join(_KINDS[:-1])} and {_KINDS[-1]} files (.gz too), not from "
            f"{suffix_of(name) or 'a file without a suffix'}",
            file=name,
            cure="Write the records to a file of one of these kinds.",
        )


def row_of(value: Json, file: str, line: int) -> ExampleRow:
    """A record that was changed, read again as if it stood at that place."""
    return _row(Record(line=line, number=line, value=value), file, {})


def _row(record: Record, file: str, first_places: dict[str, str]) -> ExampleRow:
    value = {} if isinstance(record.value, BadRecord) else dict(record.value)
    line = record.line or record.number
    try:
        example = _example(record, file)
        if isinstance(example, Example):
            first = first_places.setdefault(example.id, f"{file}:{line}")
            if first != f"{file}:{line}":
                raise _bad(record, f"the id {example.id!r} is used twice, first at {first}", file)
        return ExampleRow(file=file, line=line, value=value, outcome=example)
    except BadRecord as error:
        return ExampleRow(file=file, line=line, value=value, outcome=as_problem(error))


def load_examples(paths: Sequence[str], root: Path, *, strict: bool = True) -> tuple[list[Example], list[Problem]]:
    """Read all examples from ``.jsonl``, ``.json``, ``.csv`` (``.gz`` too) and ``.parquet`` files.

    A record has ``question``, ``messages`` or ``input``; ``answers``, ``output``, ``outputs``, ``answer`` or
    ``reference``; and optionally ``id``, ``doc_ids`` (or ``sources``), ``spans``, ``grades``, ``answerable``,
    ``choices``, ``group``, ``origin``, ``maker``, ``parent``, ``at`` (or ``date``) and ``split``. Other fields are
    ignored. A record that neither has an answer nor says that it is answerable is left out with a warning.

    Args:
        paths: Files, folders or patterns relative to `root`.
        root: The project.
        strict: Raise the first error instead of returning it.

    Returns:
        The usable examples in order of files, and all problems.

    Raises:
        BadRecord: a malformed record, or an id used twice (only when `strict`).
        UnreadableFile: a file that is missing, too large or not text (only when `strict`).
        TooFewExamples: there is no usable example (only when `strict`).
    """
    findings = Findings()
    examples: dict[str, Example] = {}
    silent: dict[str, list[int]] = {}
    for row in read_rows(paths, root):
        if isinstance(row.outcome, Problem):
            findings.add(row.outcome)
        elif row.outcome is not None:
            examples[row.outcome.id] = row.outcome
        else:
            silent.setdefault(row.file, []).append(row.line)
    for file, lines in silent.items():
        findings.add(_silent(file, lines))
    problems = findings.all()
    # A project whose questions are still to be made lacks files, and is told how to make them, not what is missing.
    if not examples and (problems or not paths) and all(p.message in MISSING for p in problems):
        problems = [as_problem(no_questions(paths))]
    elif not examples:
        findings.error(
            TooFewExamples(
                f"[examples].paths contains no usable example: {', '.join(paths) or 'no path is named'}", cure=_FORM
            )
        )
        problems = findings.all()
    if strict:
        raise_first(problems)
    return list(examples.values()), problems


def no_questions(paths: Sequence[str]) -> TooFewExamples:
    """The error of a project whose files of examples are still to be made."""
    return TooFewExamples(
        f"no examples yet: no file at {', '.join(paths) or 'any path of [examples].paths'}",
        cure="Make examples from the documents (`twofold examples make`), or write your own there.",
    )


def _silent(file: str, lines: Sequence[int]) -> Problem:
    where = ", ".join(map(str, lines[:5])) + (", …" if len(lines) > 5 else "")
    return Problem(
        severity="warning",
        code="data.empty-answer",
        message=f"no answer, left out: {counted(len(lines), 'example')} (line{'' if len(lines) == 1 else 's'} {where})",
        cure='Give them answers, or say "answerable": false where the right behaviour is to decline.',
        file=file,
        line=lines[0],
    )


def _bad(record: Record, message: str, file: str = "", *, cure: str | None = None) -> BadRecord:
    where = message if record.line else f"record {record.number}: {message}"
    return BadRecord(where, file=file or None, line=record.line or None, cure=cure)


def _example(record: Record, file: str) -> Example | Problem | None:
    """The example in a record, or why it has no answer; None where it does not say whether it is answerable."""
    if isinstance(record.value, BadRecord):
        raise record.value
    # A column that is null here is a column that this record does not have.
    value = {key: item for key, item in named_as_ours(record.value).items() if item is not None}

    def bad(message: str, cure: str | None = None) -> BadRecord:
        return _bad(record, message, file, cure=cure)

    def text_of(key: str) -> str:
        item = value.get(key, "")
        if isinstance(item, bool) or not isinstance(item, (str, int, float)):
            raise bad(f'"{key}" must be a string, not {kind(item)}')
        return spelled(item)

    def texts_of(key: str) -> list[str]:
        item = cell(value.get(key, []))
        if isinstance(item, (str, int, float)):
            item = [item]
        if not isinstance(item, list) or not all(isinstance(part, (str, int, float)) for part in item):
            raise bad(f'"{key}" must be a string or a list of strings, not {kind(item)}')
        return [spelled(part) for part in item if spelled(part)]

    messages = _messages(value, bad)
    flagged = str(value.get("answerable", "")).strip().lower()
    if flagged not in ("", "true", "false"):
        raise bad(f'"answerable" must be true or false, not {excerpt(flagged, 20)!r}')
    texts = chain.from_iterable(answers_of(value[key], key) for key in REFERENCES if key in value)
    references = tuple(dict.fromkeys(texts))
    # SQuAD 2 says "unanswerable" by an empty list of texts, without any flag.
    if not references and not flagged and any(is_declined(value.get(key)) for key in REFERENCES):
        flagged = "false"
    if not references and flagged != "false":
        if flagged == "true" or not any(key in value for key in REFERENCES):
            return Problem(
                severity="error",
                code="data.empty-answer",
                message="no answer" if flagged else f"no answer: {_without(record.value)}",
                cure='Give it answers, or say "answerable": false where the right behaviour is to decline.',
                file=file,
                line=record.line,
            )
        return None
    spans = _spans(cell(value.get("spans", [])), bad)
    grades = _grades(cell(value.get("grades", {})), bad)
    sources = texts_of("doc_ids") if "doc_ids" in value else texts_of("sources")
    choices = _choices(value, bad)
    if isinstance(choices, str):
        # The model must see what the letters stand for; the answer is then one of the letters.
        messages = (*messages[:-1], replace(messages[-1], content=f"{messages[-1].content}\n{choices}"))
        letters = tuple(str(key) for key in value["choices"])
        # Where the answers are the choices' texts, the letters decide nothing.
        choices = letters if all(reference in letters for reference in references) else ()
    origin = text_of("origin") or "human"
    if origin not in get_args(Origin):
        raise bad(f'"origin" must be one of {", ".join(get_args(Origin))}, not {excerpt(origin, 20)!r}')
    at = text_of("at") or text_of("date")
    if at and moment_of(at) is None:
        raise bad(
            f'"{"at" if "at" in value else "date"}" is no ISO date: {excerpt(at, 20)!r}',
            "Write the date as 2025-01-31.",
        )
    split = text_of("split").lower()
    if split and split not in _SPLITS:
        raise bad(f'"split" must be train, dev, test or reserve, not {excerpt(split, 20)!r}')
    # An example without an id is known by its place: another one after an edit above it.
    name = text_of("id") or f"{file}#{record.line or record.number}"
    return Example(
        id=name,
        messages=messages,
        references=references,
        sources=tuple(dict.fromkeys([*sources, *(span.document for span in spans)])),
        spans=spans,
        grades=grades,
        answerable=flagged != "false",
        choices=choices,
        group=_group(value.get("group"), text_of, bad),
        origin=origin,  # type: ignore[arg-type]
        maker=text_of("maker"),
        parent=text_of("parent"),
        at=at,
        tests=text_of("tests"),
        split=_SPLITS.get(split) or named_split(file),
        file=file,
        line=record.line,
    )


def named_split(file: str) -> SplitName | None:
    """The split that a file's name says, as in ``train.jsonl`` or ``test-00000-of-00001.parquet``; None for any other.

    Records that name a split themselves are where they say.
    """
    # Up to the first point, as in ``train.jsonl.gz``.
    stem = Path(file).name.lower().partition(".")[0]
    return _SPLITS.get(re.sub(r"-[0-9]+-of-[0-9]+$", "", stem))


_NO_GROUP = frozenset({"nan", "none", "null", "n/a", "#n/a", "<na>", "-"})
"""Values that programs write into a column where there is no group."""


def _group(value: Any, text_of: Callable[[str], str], bad: Any) -> str:
    """A group's name: 7 and 7.0, which a missing value elsewhere in the column makes of it, are one group."""
    if isinstance(cell(value), (list, dict)):
        raise bad(
            f'"group" must be one name, not {kind(cell(value))}',
            "Give the one that ties most examples together (a customer, a conversation).",
        )
    text = text_of("group")
    if text.casefold() in _NO_GROUP:
        return ""
    # A missing value makes floats of a column's integers: 7.0 is the group 7.
    return text[:-2] if re.fullmatch(r"[0-9]+\.0", text) else text


def _without(value: Json) -> str:
    null = next((key for key in REFERENCES if key in value), "")
    return f'"{null}" is null' if null else f"none of {', '.join(REFERENCES)}"


def _messages(value: Json, bad: Any) -> tuple[Message, ...]:
    if "messages" not in value or value["messages"] in ("", []):
        filled = [key for key in ("question", "input") if str(value.get(key, "")).strip()]
        if not filled:
            empty = next((key for key in ("question", "messages", "input") if key in value), "")
            if empty:
                raise bad(f'"{empty}" is empty', "Write the question there, or remove the line.")
            fields = excerpt(", ".join(value)) or "none"
            raise bad(f"no question: none of question, messages, input (its fields are {fields})", _FORM)
        if "instruction" in value and "question" not in value:
            raise bad('"instruction" beside "input" is Alpaca\'s shape, which is not read as it stands', _IMPORT)
        if filled[0] == "input" and is_conversation(value["input"]):
            return _asking(turns_of(value["input"], bad, field="input"), bad)
        if filled[0] == "input" and isinstance(value["input"], (dict, list)):
            # Structured input is shown to the model as JSON, with sorted keys: the same input is one question.
            return (Message(role="user", content=canonical_json(value["input"])),)
        if not isinstance(value[filled[0]], str):
            raise bad(f'"{filled[0]}" must be a string, not {kind(value[filled[0]])}')
        return (Message(role="user", content=value[filled[0]].strip()),)
    return _asking(turns_of(value["messages"], bad), bad)


def _asking(messages: tuple[Message, ...], bad: Any) -> tuple[Message, ...]:
    if not messages or messages[-1].role != "user":
        raise bad("the last message must be the user's: the model answers this message", _IMPORT)
    return messages


def _spans(value: Any, bad: Any) -> tuple[Span, ...]:
    if value in ("", None):
        return ()
    if not isinstance(value, list):
        raise bad(f'"spans" must be a list, not {kind(value)}')
    spans = []
    for number, item in enumerate(value, 1):
        parts = [item.get(key) for key in ("document", "start", "end")] if isinstance(item, dict) else item
        if (
            not isinstance(parts, list)
            or len(parts) != 3
            or not isinstance(parts[0], str)
            or not all(isinstance(p, int) and not isinstance(p, bool) for p in parts[1:])
        ):
            raise bad(f"span {number} must be [document id, start, end]")
        if not 0 <= parts[1] < parts[2]:
            raise bad(f"span {number} is empty or runs backwards: {parts[1]} to {parts[2]}")
        spans.append(Span(document=parts[0], start=parts[1], end=parts[2]))
    return tuple(spans)


def _grades(value: Any, bad: Any) -> dict[str, float]:
    if value in ("", None):
        return {}
    if not isinstance(value, dict) or not all(
        isinstance(grade, (int, float)) and not isinstance(grade, bool) and math.isfinite(grade)
        for grade in value.values()
    ):
        raise bad('"grades" must be an object of document id and relevance, for example {"doc-1": 2}')
    # Grade 0 says that the document is of no use.
    return {name: float(grade) for name, grade in value.items() if grade > 0}


def _choices(value: Json, bad: Any) -> tuple[str, ...] | str:
    """Allowed answers; for choices with letters, the lines to put under the question."""
    choices = cell(value.get("choices", []))
    if isinstance(choices, dict):
        # The caller reads the letters from here; a table's cell had them as text.
        value["choices"] = choices
        return "\n".join(f"{letter}: {text}" for letter, text in choices.items())
    if choices == "":
        return ()
    if not isinstance(choices, list) or not all(isinstance(part, (str, int, float)) for part in choices):
        raise bad(f'"choices" must be a list of strings or an object of letters, not {kind(choices)}')
    return tuple(dict.fromkeys(spelled(part) for part in choices))


def moment_of(at: str) -> datetime | None:
    """An ISO date or time (year and month alone will do), in UTC."""
    # `fromisoformat` wants a day.
    text = at + "-01-01" if re.fullmatch(r"\d{4}", at) else at + "-01" if re.fullmatch(r"\d{4}-\d\d", at) else at
    try:
        moment = datetime.fromisoformat(text)
        # A time without a zone must be the same on every machine.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def example_digest(example: Example) -> str:
    """Name of what decides an answer and its score; where the example stands and how it is split do not."""
    made_of = {
        "messages": example.messages,
        "references": example.references,
        "sources": example.sources,
        "spans": example.spans,
        "answerable": example.answerable,
        "choices": example.choices,
    }
    # Only where there are any: examples without them keep the digests that answers are stored under.
    further = {"grades": example.grades, "tests": example.tests}
    return digest("example", made_of | {name: value for name, value in further.items() if value})
