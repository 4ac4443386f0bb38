"""Answers that are SQL: run on a database, and compared with the reference by the rows that come back."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_serializer, field_validator, model_validator

from twofold.corpus.statements import reads_only
from twofold.errors import ScorerBroken, SourceQuery
from twofold.hashing import digest_file
from twofold.metrics import query_run
from twofold.metrics.formal import language
from twofold.metrics.query_run import QueryResult
from twofold.plugins import protocols
from twofold.types import Answer, Example

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
# From the first of several blanks on: else each of them is looked at to the last.
_AFTER_PROSE = re.compile(r"(?:\A|(?<=:)(?=\s)|(?<!\s)(?=[^\S\n]*\n))\s*+(?=(?:SELECT|WITH|VALUES)\b)", re.IGNORECASE)
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
"""What is no code of a query: a comment that nothing closes goes to the end, as in SQLite."""
_INNER = re.compile(r"\([^()]*\)")
_MAGIC = b"SQLite format 3\0"


def query_of(text: str) -> str:
    """The query of an answer: of its one code fence, or from its first SELECT, WITH or VALUES on."""
    blocks = _FENCE.findall(text)
    body = blocks[0] if len(blocks) == 1 else text
    begin = _AFTER_PROSE.search(body)
    body = body[begin.end() :] if begin else body
    # Prose after a query stands after its semicolon or a blank line.
    return re.split(r";\s*(?:\n|\Z)|\n\s*\n", body.strip())[0].strip()


def is_ordered(query: str) -> bool:
    """Does the outermost query say an order? One of a part changes nothing of what comes back."""
    bare = _QUOTED.sub("''", query)
    while _INNER.search(bare):
        bare = _INNER.sub("", bare)
    return _ORDER.search(bare) is not None


class SqlExecution:
    """1 when an answer's query gives the same rows as the reference's on the project's database (execution match).

    Both run on a connection to a SQLite file that can only read, within a limit of time and rows. Rows are compared as
    a bag, in their order only where the reference's outermost query has ORDER BY; columns by their place, whatever
    their names; numbers as values to nine digits. A query that fails, does more than read or exceeds a limit scores 0,
    and `reason` says why. A reference that fails ends the study with an error.
    """

    version: ClassVar[int] = 2
    executes: ClassVar[bool] = True
    replayed: ClassVar[bool] = False
    files: ClassVar[tuple[str, ...]] = ("database",)

    class Options(protocols.Options):
        """Options of `sql_execution`."""

        database: Path
        """The SQLite file, relative to the project."""
        seconds: float = Field(default=5.0, gt=0, le=600)
        """Most time of one query."""
        max_rows: int = Field(default=100_000, ge=1)
        """Most rows of one query."""
        content: str = ""
        """Digest of the file, found by itself: with other content the scores are others."""

        @field_validator("database")
        @classmethod
        def _is_database(cls, value: Path) -> Path:
            if not value.is_file():
                raise ValueError("there is no such file: name a SQLite file, relative to the project")
            with value.open("rb") as file:
                start = file.read(len(_MAGIC))
            if start != _MAGIC:
                raise ValueError("the file is no SQLite database: export the tables into one")
            journal = value.with_name(f"{value.name}-wal")
            # It is opened as it stands, and what is still in the journal would be silently missing.
            if journal.is_file() and journal.stat().st_size:
                raise ValueError(
                    f"{journal.name} has changes that are not in the file yet: close the program that writes it, or "
                    "run PRAGMA wal_checkpoint(TRUNCATE) in it"
                )
            return value

        @field_serializer("database", when_used="json")
        def _without_its_place(self, value: Path) -> str:
            # In keys and records: where the project lies decides no score, and `content` says which file it is.
            return value.name

        @model_validator(mode="after")
        def _has_content(self) -> SqlExecution.Options:
            object.__setattr__(self, "content", digest_file("database", self.database))
            return self

    def __init__(self, options: Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """1, 0, or None where no reference is SQL. An unanswerable example scores 1 for an abstention.

        Raises:
            ScorerBroken: the reference's own query fails on the database.
        """
        if not example.answerable:
            return float(answer.abstained)
        references = _queries(example)
        if not references:
            return None
        if answer.abstained:
            return 0.0
        mine = self._result(query_of(answer.text))
        return float(any(self._agrees(mine, self._gold(example, one), one) for one in references))

    def reason(self, example: Example, answer: Answer) -> str:
        """Why an answer scores 0: the database's error, the limit, or that its rows are others."""
        if answer.abstained or self.score(example, answer) != 0:
            return ""
        mine = self._result(query_of(answer.text))
        if mine.reason:
            return mine.reason
        theirs = self._gold(example, _queries(example)[0])
        if Counter(mine.rows) == Counter(theirs.rows):
            return "the rows are right and their order is not"
        return f"{len(mine.rows)} rows where the reference has {len(theirs.rows)}, or other values"

    def wants(self, example: Example) -> str:
        """The rows of the first reference."""
        queries = _queries(example)
        if not example.answerable or not queries:
            return "\0abstain"
        rows = self._gold(example, queries[0]).rows
        return repr(rows if is_ordered(queries[0]) else sorted(rows, key=repr))

    def _agrees(self, mine: QueryResult, theirs: QueryResult, reference: str) -> bool:
        if mine.reason:
            return False
        return mine.rows == theirs.rows if is_ordered(reference) else Counter(mine.rows) == Counter(theirs.rows)

    def _gold(self, example: Example, reference: str) -> QueryResult:
        result = self._result(query_of(reference))
        if result.reason:
            raise ScorerBroken(
                f"the reference of {example.id!r} fails on {self.options.database.name}: {result.reason}",
                cure="Correct the reference, name the database that it is about, or raise the option of the limit.",
                file=example.file or None,
                line=example.line or None,
            )
        return result

    def _result(self, query: str) -> QueryResult:
        options = self.options
        return _run(query, options.database, options.content, options.seconds, options.max_rows)


def _queries(example: Example) -> list[str]:
    return [reference for reference in example.references if language(reference) == "sql"]


@lru_cache(maxsize=4096)
def _run(query: str, database: Path, content: str, seconds: float, max_rows: int) -> QueryResult:  # noqa: ARG001
    """Run a query once for every content of the database: at the edge of its time it must not pass here, fail there."""
    try:
        reads_only(query)
    except SourceQuery as error:
        return QueryResult(reason=error.message.replace("`query`", "the answer"))
    result = query_run.run(query, database, seconds=seconds, max_rows=max_rows)
    return replace(result, rows=tuple(tuple(map(_value, row)) for row in result.rows))


def _value(value: Any) -> Any:
    # 1 and 1.0 are one number, and sums of floats differ in their last digits with the order of rows. Whole ones below
    # 2^53 are exact, and are compared with integers, which are not rounded.
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 2**53:
            return int(value)
        return float(f"{value:.9g}")
    return value
