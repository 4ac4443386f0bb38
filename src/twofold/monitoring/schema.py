"""The tables of `watch.sqlite` as numbered steps. A step is never edited once released; a change is a new step."""

from __future__ import annotations

from twofold.store.migrations import Schema

_STEPS: tuple[str, ...] = (
    """
    CREATE TABLE looks (
        number INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT;

    CREATE TABLE readings (
        look INTEGER NOT NULL,
        signal TEXT NOT NULL,
        at TEXT NOT NULL,
        state TEXT NOT NULL,
        value REAL,
        low REAL,
        high REAL,
        baseline REAL,
        n INTEGER NOT NULL,
        statistic REAL,
        threshold REAL,
        why TEXT NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (look, signal)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX readings_by_signal ON readings (signal, look);

    CREATE TABLE states (
        name TEXT PRIMARY KEY,
        at TEXT NOT NULL,
        state TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE alarms (
        signal TEXT PRIMARY KEY,
        since TEXT NOT NULL,
        look INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE proposals (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        since TEXT NOT NULL,
        cause TEXT NOT NULL,
        command TEXT NOT NULL,
        record TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'dismissed', 'over')),
        why TEXT NOT NULL DEFAULT ''
    ) STRICT;

    CREATE TABLE outbox (
        id TEXT NOT NULL UNIQUE,
        channel TEXT NOT NULL,
        body TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        first TEXT NOT NULL,
        after TEXT NOT NULL,
        failure TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'given up'))
    ) STRICT;
    """,
)

WATCH = Schema(
    thing="record of looks",
    steps=_STEPS,
    missing="Run `twofold watch` first: it looks once, and stores what it saw.",
    update="Run `twofold watch` once to update the file.",
    broken="Check permissions. If the file is damaged, move it away: watching starts anew, with a file of its own.",
)
"""The record of looks."""
