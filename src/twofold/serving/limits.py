"""What each caller has used of their requests and tokens, in a small database that several servers share.

A window begins with the first use and ends by a clock that only goes forward, so that a wrong or corrected time of day
neither locks anybody out nor gives anybody a fresh budget. The time of day counts only across a restart of the machine,
and then never more than has gone by since the last use, and never less than nothing.

Each use is in the database when it is counted: a killed server loses what runs at that moment. Where the disk refuses,
counting goes on in memory and is written down later.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from twofold.errors import OverLimit, StoreError
from twofold.serving.keys import KINDS, KeyLimits, Kind
from twofold.store.kept_texts import server_database
from twofold.store.shared import SharedPlace

log = logging.getLogger(__name__)

PERIODS: dict[Kind, float] = {"requests": 60.0, "tokens": 86400.0}
"""Seconds of a window."""
_NAMES: dict[Kind, str] = {"requests": "a minute", "tokens": "a day"}
HEADERS = tuple(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in KINDS)
"""Names of the headers that tell what is left."""
USE = "serving/use.sqlite"
"""File of what was used, in a project."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS windows (
    caller TEXT NOT NULL, kind TEXT NOT NULL, spent INTEGER NOT NULL, total INTEGER NOT NULL,
    rest REAL NOT NULL, clock REAL NOT NULL, boot TEXT NOT NULL, wall REAL NOT NULL, PRIMARY KEY (caller, kind)
) WITHOUT ROWID
"""
_WAIT = 2.0
"""Seconds to wait for another server that writes."""


@dataclass(frozen=True, kw_only=True)
class Instant:
    """A moment by all clocks."""

    clock: float
    """Seconds, by a clock that only goes forward while the machine runs; all processes read the same."""
    boot: str
    """The machine's start that the clock counts from."""
    wall: float
    """The time of day."""

    def follows(self, other: Instant) -> bool:
        """Has the machine run ever since the other moment?"""
        return self.boot == other.boot and self.clock >= other.clock


@dataclass(frozen=True, kw_only=True)
class Window:
    """A caller's use of one kind."""

    spent: int = 0
    """In this window."""
    total: int = 0
    """Ever."""
    rest: float = 0.0
    """Seconds until the window ends, as of `at`."""
    at: Instant

    def now(self, at: Instant, period: float) -> Window:
        """The window at a later moment: another one where this one has ended."""
        before = self.at
        passed = at.clock - before.clock if at.follows(before) else max(0.0, at.wall - before.wall)
        # No longer than a period, whatever a damaged or older file says.
        rest = min(self.rest, period) - passed
        if rest > 0:
            return replace(self, rest=rest, at=at)
        return Window(total=self.total, rest=period, at=at)


def instant() -> Instant:
    """Now."""
    return Instant(clock=time.monotonic(), boot=_boot(), wall=time.time())


@cache
def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:  # no Linux: a clock that is behind what was stored shows the restart
        return ""


class UseLedger:
    """Counts what callers use, and refuses those who have used up what they may.

    Args:
        path: The database; made with the first use.
        now: The moment.
    """

    def __init__(self, path: Path, *, now: Callable[[], Instant] = instant) -> None:
        self.failure = ""
        """Why the last use could not be written down; empty where it was."""
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._known: dict[tuple[str, Kind], Window] = {}
        self._unwritten: dict[tuple[str, Kind], int] = {}

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._disconnect()

    def admit(self, caller: str, limits: KeyLimits) -> dict[str, str]:
        """Count a request, or refuse it.

        A refused request is counted as well: who goes on asking without a pause waits until the window ends.

        Args:
            caller: Whose.
            limits: What they may use.

        Returns:
            Headers that tell what is left, as the OpenAI API has them.

        Raises:
            OverLimit: a limit is reached; its `headers` tell the same.
        """
        windows = {"requests": self.add(caller, "requests", 1), "tokens": self.add(caller, "tokens", 0)}
        headers: dict[str, str] = {}
        refusal: OverLimit | None = None
        for kind in KINDS:
            limit, window = limits.of(kind), windows[kind]
            if not limit:
                continue
            headers[f"x-ratelimit-limit-{kind}"] = str(limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, limit - window.spent))
            headers[f"x-ratelimit-reset-{kind}"] = f"{window.rest:.3f}s"
            # The request itself is counted already, its tokens are not.
            if window.spent > limit or (kind == "tokens" and window.spent == limit):
                refusal = OverLimit(f"{limit} {kind} {_NAMES[kind]} are used up")
                refusal.retry_after = window.rest
        if refusal is not None:
            refusal.headers = headers
            raise refusal
        return headers

    def add(self, caller: str, kind: Kind, amount: int) -> Window:
        """Count a use; returns the window with it.

        Args:
            caller: Whose.
            kind: Of what.
            amount: How much; 0 only looks.
        """
        place, at = (caller, kind), self._now()
        with self._lock:
            try:
                window = self._stored(place, at, amount + self._unwritten.get(place, 0))
                # Only after it is written: a fault between would lose it.
                self._unwritten.pop(place, None)
                if amount:
                    self.failure = ""
            except (sqlite3.Error, OSError, StoreError) as error:
                self._disconnect()
                if not self.failure:
                    log.warning("the use of keys cannot be written down: %s", error)
                self.failure = f"the use of keys cannot be written down and is counted in memory: {error}"
                window = _used(self._known.get(place, Window(at=at)).now(at, PERIODS[kind]), amount)
                self._unwritten[place] = self._unwritten.get(place, 0) + amount
            self._known[place] = window
        return window

    def used(self) -> dict[str, dict[Kind, Window]]:
        """Caller → kind → window of everybody who ever used something.

        Raises:
            StoreError: the database cannot be read.
        """
        if not self._path.is_file():
            return {}
        at, uses = self._now(), dict[str, dict[Kind, Window]]()
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=_WAIT)) as connection:
                for caller, kind, *row in connection.execute(f"SELECT caller, kind, {_COLUMNS} FROM windows"):
                    uses.setdefault(caller, {})[kind] = _read(row).now(at, PERIODS[kind])
        except sqlite3.Error as error:
            raise StoreError(
                f"the use of keys cannot be read: {error}",
                file=self._path,
                cure="Remove the file while no server runs: all budgets then begin anew.",
            ) from error
        return uses

    def _stored(self, place: tuple[str, Kind], at: Instant, amount: int) -> Window:
        connection, (caller, kind) = self._connected(), place
        query = f"SELECT {_COLUMNS} FROM windows WHERE caller = ? AND kind = ?"
        row = connection.execute(query, place).fetchone()
        if not amount and (row is None or at.follows(_read(row).at)):
            return (_read(row) if row else Window(at=at)).now(at, PERIODS[kind])
        # Also a window from before the machine's restart is written anew: from now on its time goes by the clock.
        connection.execute("BEGIN IMMEDIATE")  # nobody else writes between what is read and what is written
        try:
            row = connection.execute(query, place).fetchone()
            window = _used((_read(row) if row else Window(at=at)).now(at, PERIODS[kind]), amount)
            values = (window.spent, window.total, window.rest, at.clock, at.boot, at.wall)
            connection.execute(
                "INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (caller, kind, *values)
            )
            connection.execute("COMMIT")
        except BaseException:  # an interruption must not leave the transaction open
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return window

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One connection for all threads, under the lock; transactions are begun by hand (`isolation_level`).
            connection = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            # After `connect`, which makes the file by the process's umask.
            self._path.chmod(0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            # A kill of the process loses nothing; a loss of power the last moments.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_SCHEMA)
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


class SharedLedger(UseLedger):
    """A `UseLedger` that all servers of a schema share; a window ends by the database's clock.

    Args:
        place: The schema.
    """

    def __init__(self, place: SharedPlace) -> None:
        super().__init__(Path(USE))
        self._place = place

    def used(self) -> dict[str, dict[Kind, Window]]:
        """See `UseLedger.used`."""
        at, uses = instant(), dict[str, dict[Kind, Window]]()
        sql = f"SELECT caller, kind, {_LEFT} FROM windows"
        for caller, kind, *row in server_database(self._place).read(sql):
            uses.setdefault(caller, {})[kind] = _left(row, at, PERIODS[kind])
        return uses

    def _stored(self, place: tuple[str, Kind], at: Instant, amount: int) -> Window:
        kind = place[1]
        if not amount:
            sql = f"SELECT {_LEFT} FROM windows WHERE caller = ? AND kind = ?"
            rows = server_database(self._place).read(sql, place)
            return _left(rows[0], at, PERIODS[kind]) if rows else Window(at=at).now(at, PERIODS[kind])
        # One statement: whoever else counts at this moment counts before or after it.
        with server_database(self._place).session() as connection:
            row = connection.execute(_COUNT, (*place, amount, amount, PERIODS[kind])).fetchone()
        return _left(row, at, PERIODS[kind])


_LEFT = "spent, total, extract(epoch FROM ends - clock_timestamp())::float8"
_COUNT = f"""
INSERT INTO windows (caller, kind, spent, total, ends)
VALUES (?, ?, ?, ?, clock_timestamp() + make_interval(secs => ?))
ON CONFLICT (caller, kind) DO UPDATE SET
    total = windows.total + excluded.total,
    spent = CASE WHEN windows.ends > clock_timestamp() THEN windows.spent ELSE 0 END + excluded.spent,
    ends = CASE WHEN windows.ends > clock_timestamp() THEN least(windows.ends, excluded.ends) ELSE excluded.ends END
RETURNING {_LEFT}
"""


def _left(row: Sequence[Any], at: Instant, period: float) -> Window:
    """A window by what the database says is left of it; it may have ended."""
    spent, total, rest = row
    if rest <= 0:
        return Window(total=total, rest=period, at=at)
    return Window(spent=spent, total=total, rest=min(rest, period), at=at)


def ledger_of(root: Path, place: SharedPlace | None) -> UseLedger:
    """What callers of a project's servers used.

    Args:
        root: Folder of the project.
        place: The schema that it has instead of files; None for a file.
    """
    return UseLedger(root / USE) if place is None else SharedLedger(place)


_COLUMNS = "spent, total, rest, clock, boot, wall"


def _read(row: Sequence[Any]) -> Window:
    spent, total, rest, clock, boot, wall = row
    return Window(spent=spent, total=total, rest=rest, at=Instant(clock=clock, boot=boot, wall=wall))


def _used(window: Window, amount: int) -> Window:
    return replace(window, spent=window.spent + amount, total=window.total + amount)
