"""A foreign query run on a SQLite file, within its time: here where it can be interrupted, else in a child process.

SQLite looks at the time between two instructions of its machine only, and one call of ``instr``, ``replace`` or
``printf`` on values of megabytes is a single instruction of minutes. A query that calls a function beyond `_QUICK` runs
in a child (this module as a program), which is ended when its time is over.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold.errors import ScorerBroken
from twofold.files import writing
from twofold.host import children

_LONGEST_VALUE = 10_000_000
"""Bytes of one value: ``zeroblob`` would else fill the memory."""
_LONGEST_PATTERN = 1000
"""Characters of a pattern of LIKE or GLOB, which is one instruction: its time grows with pattern times text."""
_LARGEST_RESULT = 200_000_000
"""Bytes of all values of a result, texts by characters: rows of the longest values would fill the memory as well."""
_READS = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE))
"""What SQLite's authorizer lets a statement do."""
_REFUSED = frozenset(("load_extension", "readfile", "writefile", "random", "randomblob"))
"""Functions that are never called: they touch files, or give other rows each time."""
_QUICK_NAMES = (
    "abs avg ceil ceiling char coalesce count cume_dist date datetime dense_rank exp first_value floor glob "
    "group_concat ifnull iif julianday lag last_value lead length like likely ln log log10 log2 lower max min mod "
    "nth_value ntile nullif percent_rank pi pow power rank round row_number sign sqrt strftime string_agg substr "
    "substring sum time timediff total typeof unicode unixepoch unlikely upper"
)
_QUICK = frozenset(_QUICK_NAMES.split(" "))
"""Functions that no value of `_LONGEST_VALUE` makes slow: one pass over it at most."""
_START = 20.0
"""Seconds that a child may take to start on a busy machine, beside those of its query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """What a query gave."""

    rows: tuple[tuple[Any, ...], ...] = ()
    """Its rows in order, as SQLite gives them."""
    reason: str = ""
    """Why there are none: an error of the database, or a limit."""


def run(query: str, database: Path, *, seconds: float, max_rows: int) -> QueryResult:
    """Run one query, which can only read.

    Args:
        query: One statement.
        database: A SQLite file.
        seconds: Most time.
        max_rows: Most rows.

    Raises:
        ScorerBroken: a child process cannot be started, so nothing was run.
    """
    result = _here(query, database, seconds=seconds, max_rows=max_rows, quick=True)
    return result or _apart(query, database, seconds=seconds, max_rows=max_rows)


def _here(query: str, database: Path, *, seconds: float, max_rows: int, quick: bool) -> QueryResult | None:
    """Run it in this process; None where only quick functions may be called, and it calls another."""
    slow: list[str] = []

    def authorized(action: int, _first: str | None, second: str | None, *_rest: str | None) -> int:
        name = (second or "").lower()
        if action not in _READS or (action == sqlite3.SQLITE_FUNCTION and name in _REFUSED):
            return sqlite3.SQLITE_DENY
        if quick and action == sqlite3.SQLITE_FUNCTION and name not in _QUICK:
            slow.append(name)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    deadline = time.monotonic() + seconds
    # Immutable: a file beside which another program writes would else be locked, or written to for its journal.
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _LONGEST_PATTERN)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(authorized)
        # SQLite has no timeout for statements: the handler runs every 10,000 instructions and ends the query.
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
        rows, size = [], 0
        for row in connection.execute(query):
            rows.append(row)
            size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
            if size > _LARGEST_RESULT:
                return QueryResult(reason=f"it gives more than {_LARGEST_RESULT // 10**6} MB")
            if len(rows) > max_rows:
                return QueryResult(reason=f"it gives more than {max_rows} rows")
    except sqlite3.Error as error:
        if slow:
            return None
        if "interrupted" in str(error):
            return QueryResult(reason=f"it takes more than {seconds:g} s")
        return QueryResult(reason=f"{type(error).__name__}: {str(error)[:200]}")
    except (MemoryError, OverflowError) as error:
        return QueryResult(reason=type(error).__name__)
    finally:
        connection.close()
    return QueryResult(rows=tuple(rows))


def _apart(query: str, database: Path, *, seconds: float, max_rows: int) -> QueryResult:
    """Run it in a child process, which can be ended at any time."""
    with tempfile.TemporaryDirectory() as folder:
        request, reply = Path(folder) / "request.json", Path(folder) / "reply.json"
        task = {"query": query, "database": str(database.resolve()), "seconds": seconds, "max_rows": max_rows}
        request.write_text(json.dumps(task), encoding="utf-8")
        begun = Path(folder) / "begun"
        # -m of this module: the child ends with this process, whatever ends it.
        with children.running(
            __name__, [str(request), str(reply), str(begun)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            start = time.monotonic()
            while child.poll() is None and not begun.exists() and time.monotonic() < start + _START:
                time.sleep(0.005)
            if begun.exists():
                # From here on the query's own seconds count, and one for writing what it gave.
                with suppress(subprocess.TimeoutExpired):
                    child.wait(seconds + 1)
            code = child.poll()
        if begun.exists() and not reply.exists():
            crashed = f"its process ended with code {code}"
            return QueryResult(reason=crashed if code else f"it takes more than {seconds:g} s")
        if not reply.exists():
            raise ScorerBroken(
                "a query of an answer cannot be run: its process did not start",
                cure="Check free memory, then run the same command again.",
            )
        result = json.loads(reply.read_text(encoding="utf-8"))
    return QueryResult(rows=tuple(tuple(map(_decoded, row)) for row in result["rows"]), reason=result["reason"])


def _encoded(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def main(arguments: list[str]) -> None:
    """The child: read a request, run its query, write the reply."""
    request, reply, begun = map(Path, arguments)
    task = json.loads(request.read_text(encoding="utf-8"))
    begun.touch()
    limits = {"seconds": task["seconds"], "max_rows": task["max_rows"]}
    result = _here(task["query"], Path(task["database"]), quick=False, **limits) or QueryResult()
    rows = [list(map(_encoded, row)) for row in result.rows]
    # Whole or not at all: the parent may end this process at any moment.
    writing.write(reply, json.dumps({"rows": rows, "reason": result.reason}))


if __name__ == "__main__":
    main(sys.argv[1:])
