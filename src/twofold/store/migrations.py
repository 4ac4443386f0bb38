"""The catalogue's schema as numbered steps. A step is never edited once released; a change is a new step."""

from __future__ import annotations

from dataclasses import dataclass

from twofold.store.postgres_schema import CATALOGUE_STEPS

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE documents (
        id TEXT PRIMARY KEY,
        digest TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE systems (
        key TEXT PRIMARY KEY,
        description TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE answers (
        system TEXT NOT NULL,
        example TEXT NOT NULL,
        failed INTEGER NOT NULL CHECK (failed IN (0, 1)),
        record TEXT NOT NULL,
        PRIMARY KEY (system, example)
    ) STRICT;

    CREATE TABLE scores (
        system TEXT NOT NULL,
        example TEXT NOT NULL,
        metric TEXT NOT NULL,
        value REAL,
        PRIMARY KEY (system, metric, example)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE measures (
        system TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (system, name)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE studies (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        test_digest TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT;

    CREATE INDEX studies_by_test ON studies (test_digest);
    """,
    """
    ALTER TABLE documents ADD COLUMN source TEXT NOT NULL DEFAULT '';
    ALTER TABLE documents ADD COLUMN item TEXT NOT NULL DEFAULT '';
    ALTER TABLE documents ADD COLUMN content TEXT NOT NULL DEFAULT '';
    ALTER TABLE documents ADD COLUMN sealed TEXT NOT NULL DEFAULT '';

    CREATE INDEX documents_by_content ON documents (content);

    CREATE TABLE items (
        source TEXT NOT NULL,
        item TEXT NOT NULL,
        state TEXT NOT NULL,
        recipe TEXT NOT NULL,
        content TEXT NOT NULL,
        chunks INTEGER NOT NULL,
        pages INTEGER NOT NULL,
        failure TEXT NOT NULL,
        PRIMARY KEY (source, item)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE notes (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE changes (
        version INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT;

    CREATE TABLE forgotten (
        document TEXT PRIMARY KEY,
        at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE models (
        id TEXT PRIMARY KEY,
        key TEXT NOT NULL,
        at TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE comparisons (
        model TEXT NOT NULL REFERENCES models (id),
        source TEXT NOT NULL,
        at TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (model, source)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE aliases (
        alias TEXT PRIMARY KEY,
        model TEXT NOT NULL REFERENCES models (id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE alias_moves (
        number INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        alias TEXT NOT NULL,
        action TEXT NOT NULL CHECK (action IN ('promote', 'rollback')),
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        who TEXT NOT NULL,
        why TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE documents ADD COLUMN origin TEXT GENERATED ALWAYS AS (json_extract(record, '$.source')) VIRTUAL;
    ALTER TABLE documents ADD COLUMN readers TEXT GENERATED ALWAYS AS (json_extract(record, '$.readers')) VIRTUAL;

    CREATE INDEX documents_by_readers ON documents (id, origin, readers);
    """,
    """
    ALTER TABLE answers ADD COLUMN prompt TEXT NOT NULL DEFAULT '';
    ALTER TABLE answers ADD COLUMN completion TEXT NOT NULL DEFAULT '';

    CREATE INDEX answers_by_prompt ON answers (prompt) WHERE prompt <> '';
    """,
    """
    CREATE TABLE self_questions (
        id TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        kind TEXT NOT NULL,
        question TEXT NOT NULL,
        start INTEGER NOT NULL,
        stop INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX self_questions_by_document ON self_questions (document);

    CREATE TRIGGER self_questions_go_with_documents AFTER DELETE ON documents BEGIN
        DELETE FROM self_questions WHERE document = old.id;
    END;
    """,
)
"""SQL scripts; the n-th (from 1) takes a database from version n - 1 to n. A statement ends with its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a database of a project contains."""

    thing: str
    """The file's name in messages."""
    steps: tuple[str, ...]
    """As `MIGRATIONS`."""
    missing: str
    """What to do where there is no file yet."""
    update: str
    """What to do where the file is an earlier version's and is opened for reading only."""
    shared: tuple[str, ...] = ()
    """Its steps in PostgreSQL; none: it is always a file."""
    broken: str | None = None
    """What to do where it is damaged or cannot be opened; None: as of every store."""


CATALOGUE = Schema(
    thing="catalogue",
    steps=MIGRATIONS,
    shared=CATALOGUE_STEPS,
    missing="Run `twofold sync` or `twofold study` first.",
    update="Run any writing command once, such as `twofold sync`, to update the catalogue.",
)
