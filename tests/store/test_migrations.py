"""A catalogue of every earlier version opens with all its rows, whenever the process that brings it up to date dies."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest

from twofold.errors import StoreError
from twofold.store import sqlite as database
from twofold.store.catalogue import Catalogue
from twofold.store.database import saved_before
from twofold.store.migrations import MIGRATIONS

ROWS: tuple[tuple[str, ...], ...] = (
    (
        """INSERT INTO documents (id, digest, record) VALUES ('a', 'd1', '{"id":"a","text":"Soil."}')""",
        """INSERT INTO documents (id, digest, record) VALUES ('b', 'd2', '{"id":"b","text":"Bees."}')""",
        "INSERT INTO systems VALUES ('system:1', '{}')",
        """INSERT INTO answers (system, example, failed, record) VALUES ('system:1', 'e1', 0, '{"text":"x"}')""",
        "INSERT INTO scores VALUES ('system:1', 'e1', 'f1', 0.5), ('system:1', 'e2', 'f1', NULL)",
        "INSERT INTO measures VALUES ('system:1', 'latency', '[1]')",
        "INSERT INTO studies VALUES (1, '0001-p', 'digest', '{}')",
    ),
    (
        "INSERT INTO items VALUES ('documents', 'a.txt', 's', 'r', 'c', 1, 1, '')",
        "INSERT INTO notes VALUES ('n', 'v')",
        "INSERT INTO changes VALUES (2, '2026-11-22', '{}')",
        "INSERT INTO forgotten VALUES ('c', '2026-11-22')",
    ),
    (
        "INSERT INTO models VALUES ('m1', 'adapter:1', '2026-11-23', '{}')",
        "INSERT INTO comparisons VALUES ('m1', 's', '2026-11-23', '{}')",
        "INSERT INTO aliases VALUES ('champion', 'm1')",
        "INSERT INTO alias_moves VALUES (1, '2026-11-23', 'champion', 'promote', '', 'm1', 'ann', 'it won')",
    ),
    (),
    ("UPDATE answers SET prompt = 'p', completion = 'x'",),
    ("INSERT INTO self_questions VALUES ('q1', 'a', 'title', 'What is soil?', 0, 5)",),
)
"""Rows that only a catalogue of that version, or a later one, can have."""
FIRST_TO_LAST = range(1, len(MIGRATIONS))


def catalogue_of(version: int, path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Write the catalogue of a version, as that version wrote it, and return its rows."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(
            "CREATE TABLE migrations "
            "(version INTEGER PRIMARY KEY, applied TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT"
        )
        for number, script in enumerate(MIGRATIONS[:version], 1):
            db.executescript(script)
            db.execute("INSERT INTO migrations (version) VALUES (?)", (number,))
        for statements in ROWS[:version]:
            for statement in statements:
                db.execute(statement)
    return rows_of(path)


def rows_of(path: Path, like: dict[str, list[tuple[object, ...]]] | None = None) -> dict[str, list[tuple[object, ...]]]:
    """Table → its rows; of the tables of `like`, as many columns as those have."""
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        rows = {name: db.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in names}
    rows.pop("migrations", None)
    if like is None:
        return rows
    width = {name: len(like[name][0]) if like[name] else 0 for name in like}
    return {name: [row[: width[name]] for row in rows[name]] for name in like}


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT max(version) FROM migrations").fetchone()[0])


def test_the_rows_fit_the_versions() -> None:
    assert len(ROWS) == len(MIGRATIONS), "add rows for the new version: what it alone can hold"


@pytest.mark.parametrize("version", FIRST_TO_LAST)
def test_every_earlier_version_opens_with_all_its_rows(version: int, tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    before = catalogue_of(version, path)
    with Catalogue(path) as catalogue:
        assert catalogue.database.version() == len(MIGRATIONS)
        assert {document.id: document.text for document in catalogue.documents.get()} == {"a": "Soil.", "b": "Bees."}
        assert catalogue.answers.get("system:1")["e1"].text == "x"
        assert catalogue.scores.get("system:1", "f1")["e1"] == 0.5
        assert catalogue.models.aliases() == ({"champion": "m1"} if version >= 3 else {})
    assert rows_of(path, before) == before
    copy = saved_before(path)
    assert (version_of(copy), rows_of(copy)) == (version, before)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    Catalogue(path).close()
    assert version_of(copy) == version, "a catalogue that is up to date is not copied"


def test_the_copy_of_an_earlier_upgrade_is_replaced_and_leaves_with_what_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    for version in (1, 3):
        path.unlink(missing_ok=True)
        catalogue_of(version, path)
        Catalogue(path).close()
        assert version_of(saved_before(path)) == version
    with Catalogue(path) as catalogue:
        catalogue.erasure.erase("a")
    assert not saved_before(path).exists()


def test_a_new_catalogue_leaves_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    Catalogue(path).close()
    assert not saved_before(path).exists()


def test_where_it_cannot_be_copied_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    before = catalogue_of(1, path)
    saved_before(path).mkdir()
    (saved_before(path) / "full").touch()
    with pytest.raises(StoreError, match="not brought up to date"):
        Catalogue(path)
    assert (version_of(path), rows_of(path)) == (1, before)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked and killed")
@pytest.mark.parametrize("statements", [0, 1, 3, 5, 8, 12, 15])
def test_a_kill_leaves_the_old_form_or_the_new(statements: int, tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    before = catalogue_of(1, path)
    child = os.fork()
    if child == 0:
        _killed_after(statements, path)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    left = version_of(path)
    assert 1 <= left < len(MIGRATIONS)
    assert rows_of(path, before) == before
    with Catalogue(path) as catalogue:
        assert catalogue.database.version() == len(MIGRATIONS)
    assert rows_of(path, before) == before
    assert rows_of(saved_before(path), before) == before


def _killed_after(statements: int, path: Path) -> None:
    """In a child process: bring the catalogue up to date, and die before the statement of this number."""
    whole, number = database._statements, 0

    def dying(script: str) -> list[str]:
        nonlocal number
        alive = []
        for statement in whole(script):
            if number == statements:
                alive.append("SELECT kill()")
            number += 1
            alive.append(statement)
        return alive

    opened = database.SqliteDatabase._connected

    def connected(self: database.SqliteDatabase) -> sqlite3.Connection:
        connection = opened(self)
        connection.create_function("kill", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
        return connection

    database._statements = dying  # type: ignore[assignment]
    database.SqliteDatabase._connected = connected  # type: ignore[method-assign]
    try:
        Catalogue(path)
    finally:
        os._exit(1)
