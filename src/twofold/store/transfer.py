"""Rows from one catalogue into another: copies, what a copy has learned, and projects that move to PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twofold.store.database import Connection, Database

_BATCH = 1000
"""Rows that are read at once: documents are long, and a catalogue may be larger than memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedTable:
    """A table, and what is copied of it."""

    name: str
    columns: str
    """Without those that the database fills in."""
    order: str = ""
    """Column that the rows are read by, where their order means something; the target counts anew."""


TABLES = (
    CopiedTable(name="documents", columns="id, digest, record, source, item, content, sealed"),
    CopiedTable(name="items", columns="source, item, state, recipe, content, chunks, pages, failure"),
    CopiedTable(name="notes", columns="name, value"),
    CopiedTable(name="changes", columns="version, at, record"),
    CopiedTable(name="forgotten", columns="document, at"),
    CopiedTable(name="self_questions", columns="id, document, kind, question, start, stop"),
    CopiedTable(name="systems", columns="key, description"),
    CopiedTable(name="answers", columns="system, example, failed, record, prompt, completion", order="rowid"),
    CopiedTable(name="scores", columns="system, example, metric, value"),
    CopiedTable(name="measures", columns="system, name, value"),
    # before what refers to them
    CopiedTable(name="models", columns="id, key, at, record"),
    CopiedTable(name="comparisons", columns="model, source, at, record"),
    CopiedTable(name="aliases", columns="alias, model"),
    CopiedTable(name="alias_moves", columns="at, alias, action, before, after, who, why", order="number"),
    CopiedTable(name="studies", columns="name, test_digest, record", order="number"),
)
"""All tables of a catalogue."""
LEARNED = ("systems", "answers", "scores", "measures", "models", "comparisons", "studies")
"""Tables of what a copy has learned: documents, items and notes are those of an index, and aliases are decisions."""
_FAILED_GO = (
    # As `Answers.put`: only failed answers are replaced.
    "ON CONFLICT (system, example) DO UPDATE SET failed = excluded.failed, record = excluded.record, "
    "prompt = excluded.prompt, completion = excluded.completion WHERE answers.failed = 1"
)


def copy_rows(source: Database, target: Database, *, names: Sequence[str] | None = None) -> dict[str, int]:
    """Put rows of one catalogue into another, in one transaction; rows that are there stay, but for failed answers.

    Args:
        source: Where the rows are; nothing is changed.
        target: Where they go.
        names: Tables; None for all.

    Returns:
        Table → number of rows that are new.

    Raises:
        StoreError: one of the two refuses; then the target is as it was.
    """
    counts: dict[str, int] = {}
    with target.transaction() as connection:
        for table in TABLES:
            if names is None or table.name in names:
                counts[table.name] = _copy(source, connection, table)
    return counts


def _copy(source: Database, target: Connection, table: CopiedTable) -> int:
    columns, order = table.columns, f" ORDER BY {table.order}" if table.order else ""
    marks = ", ".join("?" * len(columns.split(",")))
    conflict = _FAILED_GO if table.name == "answers" else "ON CONFLICT DO NOTHING"
    sql = f"INSERT INTO {table.name} ({columns}) VALUES ({marks}) {conflict}"
    count = 0
    for rows in source.batches(f"SELECT {columns} FROM {table.name}{order}", _BATCH):
        count += target.executemany(sql, rows).rowcount
    return count
