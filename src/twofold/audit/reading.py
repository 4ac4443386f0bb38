"""Lines of the audit log for people and other programs: chosen, and written as JSON Lines or CSV."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from twofold.audit.chain import entry_of
from twofold.audit.log import files
from twofold.errors import UnreadableFile
from twofold.hashing import canonical_json
from twofold.types import Json

COLUMNS = ("number", "time", "who", "what", "values", "hash")
"""Of a table; `values` is JSON."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run."""


@dataclass(frozen=True, kw_only=True)
class LineFilter:
    """Which lines are meant."""

    since: datetime | None = None
    """Those of this time or later."""
    who: str = ""
    """Those of this caller, by the whole name or its beginning."""
    what: str = ""
    """Those of this event, by the whole name or its beginning."""
    last: int = 0
    """So many at the end; 0: all."""

    def takes(self, line: Json) -> bool:
        """Is this line meant? One whose time cannot be read is, so that nothing is hidden by it."""
        if not str(line.get("who", "")).startswith(self.who) or not str(line.get("what", "")).startswith(self.what):
            return False
        if self.since is None:
            return True
        try:
            return datetime.fromisoformat(str(line.get("time"))) >= self.since
        except (ValueError, TypeError):
            return True


def lines(folder: Path, choice: LineFilter) -> Iterable[Json]:
    """The lines that are meant, in the order of the log, unverified; what is no line is left out.

    Raises:
        UnreadableFile: there is no log, or a file of it cannot be read.
    """
    if not files(folder):
        raise UnreadableFile(
            "there is no audit log", file=folder, cure="Set [audit].enabled = true; the log begins with the next event."
        )
    chosen = (line for line in _every(folder) if choice.takes(line))
    return deque(chosen, maxlen=choice.last) if choice.last else chosen


def _every(folder: Path) -> Iterator[Json]:
    for path in files(folder):
        try:
            with path.open("rb") as file:
                for raw in file:
                    # A line that a killed process left half written, or that somebody spoilt, is `verify`'s.
                    if (line := entry_of(raw)) is not None:
                        yield line
        except OSError as error:
            raise UnreadableFile(f"it cannot be read: {error.strerror}", file=path) from error


def as_table(rows: Iterable[Json]) -> Iterator[str]:
    """CSV by RFC 4180, row by row, the header first."""
    yield _row(COLUMNS)
    for row in rows:
        cells = [canonical_json(row.get(name, {})) if name == "values" else str(row.get(name, "")) for name in COLUMNS]
        # Names and ids come from outside: a spreadsheet must not take one for a formula.
        yield _row([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])


def _row(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()
