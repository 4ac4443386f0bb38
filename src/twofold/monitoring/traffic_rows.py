"""The rows of the traffic log that a monitor reads at a look. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from twofold.traffic.record import TrafficRow
from twofold.types import Json

Rows = Callable[[str], Iterable[TrafficRow]]
"""Rows whose answers ended after a time (UTC, ISO 8601; empty: all), oldest first."""
MOST = 10_000
"""Rows that a look reads into its tests: those of a busy day are thinned evenly, so that the false-alarm rate, which is
stated for so many observations a day, holds for any traffic."""


@dataclass(frozen=True, kw_only=True)
class NewRows:
    """What was answered since the look before."""

    rows: tuple[TrafficRow, ...]
    """At most `MOST`, oldest first."""
    seen: int
    """How many there were."""
    since: str
    """End of the last of them: where the next look goes on."""


def new_rows(read: Rows, before: Json | None, *, moment: datetime) -> NewRows:
    """The rows since the look before.

    Args:
        read: Reads the log.
        before: A monitor's state with ``since``.
        moment: Time of the look. Of a clock that was set back rows may end after it: they are read by a later look.
    """
    since = str((before or {}).get("since", ""))
    now = stamp(moment)
    # The clock was set back: the hours that come twice are read twice, rather than lost.
    since = min(since, now)
    seen, stride, last = 0, 1, since
    rows: list[TrafficRow] = []
    for row in read(since):
        if not since < row["at"] <= now:
            continue
        last = max(last, row["at"])
        if seen % stride == 0:
            rows.append(row)
        seen += 1
        if len(rows) > 2 * MOST:
            # Half of them, evenly: a first look at a log of years holds no more than this in memory.
            rows, stride = rows[::2], 2 * stride
    return NewRows(rows=tuple(thinned(rows, MOST)), seen=seen, since=last)


def stamp(moment: datetime) -> str:
    """A time as rows have it, which sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def thinned(rows: Sequence[TrafficRow], most: int) -> list[TrafficRow]:
    """At most so many of the rows, spread evenly over them."""
    if len(rows) <= most:
        return list(rows)
    return [rows[number * len(rows) // most] for number in range(most)]
