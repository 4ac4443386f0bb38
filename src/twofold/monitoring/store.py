"""What looks at a project have seen: `watch.sqlite`, a file of its own beside the project's settings.

A look is stored in one transaction: states of the monitors, readings, standing alarms, proposals, and the alerts that
are to be sent. Whoever is killed at any moment leaves a look that is there whole, or not at all.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from twofold.errors import UnknownName
from twofold.monitoring.record import Observation, OpenProposal, Proposal, Reading, WatchReport
from twofold.monitoring.schema import WATCH
from twofold.store.database import Connection, upsert
from twofold.store.shared import Place, open_database, present
from twofold.types import Json

FILE = "watch.sqlite"
"""The file in a project."""
LOOKS = 9600
"""Looks that are stored, the newest: 400 days of hourly ones, 77 MB with twenty signals."""
DETAILED = 200
"""Of older looks than so many, readings without an alarm lose `why` and `detail`, which are most of the file."""
_COLUMNS = ("signal", "at", "state", "value", "low", "high", "baseline", "n", "statistic", "threshold", "why", "detail")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAlarm:
    """An alarm that is not over."""

    signal: str
    since: str
    """Time of the look that it began with."""
    look: int
    """Number of that look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A message to people, on its way to one of them."""

    id: str
    """Sent with every attempt, so that a receiver knows one that comes twice."""
    channel: str
    """``webhook`` or ``email``."""
    body: Json
    attempts: int
    """Attempts that failed."""
    first: str
    """Time at which it was made."""
    after: str
    """Time before which it is not tried again."""
    failure: str
    """Why the last attempt failed."""


class WatchStore:
    """The looks at one project.

    Args:
        place: The file, for its owner only, or a schema in PostgreSQL; created if missing.
        readonly: Open an existing file for reading only.

    Raises:
        StoreError: the file is damaged, missing (when `readonly`), or of a newer Twofold.
    """

    def __init__(self, place: Place, *, readonly: bool = False) -> None:
        self._database = open_database(place, readonly=readonly, schema=WATCH)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # ------------------------------------------------------------ looks

    def last(self) -> WatchReport | None:
        """The newest look; None before the first."""
        reports = self.reports(1)
        return reports[0] if reports else None

    def reports(self, count: int) -> list[WatchReport]:
        """The newest looks, the newest first."""
        rows = self._database.read("SELECT number, record FROM looks ORDER BY number DESC LIMIT ?", (count,))
        records = ({**self._database.json(record), "readings": self.readings(number)} for number, record in rows)
        return [cast(WatchReport, record) for record in records]

    def times(self, count: int) -> list[datetime]:
        """Times of the newest looks, in their order."""
        rows = self._database.read("SELECT at FROM looks ORDER BY number DESC LIMIT ?", (count,))
        return [datetime.fromisoformat(at) for (at,) in reversed(rows)]

    def readings(self, number: int) -> list[Reading]:
        """What one look saw, by signal."""
        rows = self._database.read(
            f"SELECT {', '.join(_COLUMNS)} FROM readings WHERE look = ? ORDER BY signal", (number,)
        )
        return [self._reading(row) for row in rows]

    def history(self, signal: str, count: int) -> list[Reading]:
        """The newest readings of one signal, in the order of the looks."""
        rows = self._database.read(
            f"SELECT {', '.join(_COLUMNS)} FROM readings WHERE signal = ? ORDER BY look DESC LIMIT ?", (signal, count)
        )
        return [self._reading(row) for row in reversed(rows)]

    def signals(self) -> list[str]:
        """Names of all signals that stored looks have seen."""
        return [name for (name,) in self._database.read("SELECT DISTINCT signal FROM readings ORDER BY signal")]

    def states(self) -> dict[str, Json]:
        """Monitor → what it remembers."""
        return {
            name: self._database.json(state) for name, state in self._database.read("SELECT name, state FROM states")
        }

    def standing(self) -> dict[str, StandingAlarm]:
        """Signal → its alarm that is not over."""
        rows = self._database.read("SELECT signal, since, look FROM alarms ORDER BY signal")
        return {signal: StandingAlarm(signal=signal, since=since, look=look) for signal, since, look in rows}

    def record(
        self,
        report: WatchReport,
        *,
        looks: Mapping[str, Observation],
        proposals: Sequence[Proposal],
        standing: Sequence[str],
        alerts: Mapping[str, Json],
    ) -> WatchReport:
        """Store a look, whole or not at all.

        Args:
            report: The look; its number must follow that of the last one.
            looks: Monitor → what it saw, of those that could look.
            proposals: What the causes of this look propose.
            standing: Signals whose alarm is not over.
            alerts: Channel → message to send.

        Returns:
            The report with all open proposals.
        """
        number, at = report["number"], report["at"]
        with self._database.transaction() as connection:
            states = [(name, at, _text(look.state)) for name, look in looks.items()]
            connection.executemany(upsert("states", "name, at, state", key="name"), states)
            marks = ", ".join("?" * (1 + len(_COLUMNS)))
            connection.executemany(
                f"INSERT INTO readings (look, {', '.join(_COLUMNS)}) VALUES ({marks})",
                [(number, *_row(reading)) for reading in report["readings"]],
            )
            self._keep_standing(connection, standing, at=at, number=number)
            _renew(connection, proposals, at=at)
            whole: WatchReport = {**report, "proposals": self._open(connection)}
            stored = {key: value for key, value in whole.items() if key != "readings"}
            connection.execute("INSERT INTO looks (number, at, record) VALUES (?, ?, ?)", (number, at, _text(stored)))
            connection.executemany(
                "INSERT INTO outbox (id, channel, body, first, after) VALUES (?, ?, ?, ?, ?)",
                # By the channel too: each is sent and tried for itself.
                [(f"msg_{secrets.token_hex(12)}", name, _text(body), at, at) for name, body in alerts.items()],
            )
            _thin(connection, number)
        return whole

    def remark(self, number: int, remarks: Sequence[str]) -> None:
        """Add remarks to a stored look: what was noticed after it, such as an alert that was not delivered."""
        if not remarks:
            return
        with self._database.transaction() as connection:
            row = connection.execute("SELECT record FROM looks WHERE number = ?", (number,)).fetchone()
            record = self._database.json(row[0])
            record["remarks"] += remarks
            connection.execute("UPDATE looks SET record = ? WHERE number = ?", (_text(record), number))

    @staticmethod
    def _keep_standing(connection: Connection, standing: Sequence[str], *, at: str, number: int) -> None:
        before = {signal for (signal,) in connection.execute("SELECT signal FROM alarms")}
        connection.executemany("DELETE FROM alarms WHERE signal = ?", [(name,) for name in before - set(standing)])
        connection.executemany(
            "INSERT INTO alarms (signal, since, look) VALUES (?, ?, ?)",
            [(name, at, number) for name in standing if name not in before],
        )

    def _reading(self, row: Sequence[object]) -> Reading:
        values = dict(zip(_COLUMNS, row, strict=True))
        return cast(Reading, {**values, "detail": self._database.json(str(values["detail"]))})

    # ------------------------------------------------------------ proposals

    def proposals(self) -> list[OpenProposal]:
        """The open proposals, by their numbers."""
        with self._database.session() as connection:
            return self._open(connection)

    def dismiss(self, number: int, *, why: str = "") -> OpenProposal:
        """Close a proposal; as long as its cause lasts it does not come back.

        Raises:
            UnknownName: no open proposal has that number.
        """
        with self._database.transaction() as connection:
            proposals = {proposal["number"]: proposal for proposal in self._open(connection)}
            if number not in proposals:
                known = ", ".join(map(str, proposals))
                raise UnknownName(
                    f"no open proposal has the number {number}",
                    cure=f"Name one of {known}." if known else "Leave it: no proposal is open.",
                )
            connection.execute("UPDATE proposals SET state = 'dismissed', why = ? WHERE number = ?", (why, number))
        return proposals[number]

    def _open(self, connection: Connection) -> list[OpenProposal]:
        rows = connection.execute(
            "SELECT number, since, record FROM proposals WHERE state = 'open' ORDER BY number"
        ).fetchall()
        records = ({**self._database.json(record), "number": number, "since": since} for number, since, record in rows)
        return [cast(OpenProposal, record) for record in records]

    # ------------------------------------------------------------ alerts

    def waiting(self) -> list[Alert]:
        """Alerts that are neither delivered nor given up, the oldest first."""
        rows = self._database.read(
            "SELECT id, channel, body, attempts, first, after, failure FROM outbox "
            "WHERE state = 'waiting' ORDER BY rowid"
        )
        return [
            Alert(
                id=name,
                channel=channel,
                body=self._database.json(body),
                attempts=attempts,
                first=first,
                after=after,
                failure=failure,
            )
            for name, channel, body, attempts, first, after, failure in rows
        ]

    def delivered(self, alert: Alert) -> None:
        """An alert has arrived: nothing more is stored of it."""
        self._database.write("DELETE FROM outbox WHERE id = ?", [(alert.id,)])

    def failed(self, alert: Alert, failure: str, *, after: str, give_up: bool) -> None:
        """Note that an alert could not be delivered.

        Args:
            alert: The alert.
            failure: Why.
            after: Time before which it is not tried again.
            give_up: It is not tried again at all.
        """
        self._database.write(
            "UPDATE outbox SET attempts = attempts + 1, failure = ?, after = ?, state = ? WHERE id = ?",
            [(failure, after, "given up" if give_up else "waiting", alert.id)],
        )


@contextmanager
def opened(place: Place, *, readonly: bool = False) -> Iterator[WatchStore]:
    """The looks at a project, closed after the block."""
    store = WatchStore(place, readonly=readonly)
    try:
        yield store
    finally:
        store.close()


def open_retunings(place: Place, *, trained: datetime | None = None) -> int:
    """Number of open proposals to tune again that were not followed yet; 0 where nobody has looked at the project yet.

    Args:
        place: Of the looks.
        trained: Time at which a model was trained last. A proposal of before was followed, though its cause may last
            until the next study: training every night on one alarm would use up the questions that models are
            compared on.
    """
    if not present(place, WATCH):
        return 0
    with opened(place, readonly=True) as store:
        retunings = [proposal for proposal in store.proposals() if proposal["action"] == "re-tune"]
    return sum(trained is None or datetime.fromisoformat(proposal["since"]) > trained for proposal in retunings)


def _renew(connection: Connection, proposals: Sequence[Proposal], *, at: str) -> None:
    """Open new proposals, renew the evidence of those that last, and close those whose cause is over."""
    rows = connection.execute("SELECT number, cause, command FROM proposals WHERE state <> 'over'").fetchall()
    lasting = {(cause, command): number for number, cause, command in rows}
    now = {(proposal["cause"], proposal["command"]): proposal for proposal in proposals}
    over = [(number,) for key, number in lasting.items() if key not in now]
    connection.executemany("UPDATE proposals SET state = 'over' WHERE number = ?", over)
    for (cause, command), proposal in now.items():
        number = lasting.get((cause, command))
        if number is None:
            connection.execute(
                "INSERT INTO proposals (since, cause, command, record) VALUES (?, ?, ?, ?)",
                (at, cause, command, _text(proposal)),
            )
        else:
            # A dismissed one too: it stays dismissed as long as its cause lasts.
            connection.execute("UPDATE proposals SET record = ? WHERE number = ?", (_text(proposal), number))


def _thin(connection: Connection, number: int) -> None:
    """Bound the file: looks beyond `LOOKS` go, and those beyond `DETAILED` lose their words."""
    connection.execute("DELETE FROM readings WHERE look <= ?", (number - LOOKS,))
    connection.execute("DELETE FROM looks WHERE number <= ?", (number - LOOKS,))
    # Exactly one look at a time: numbers follow each other, so that none is passed over.
    connection.execute(
        "UPDATE readings SET why = '', detail = '{}' WHERE look = ? AND state <> 'alarm'", (number - DETAILED,)
    )
    connection.execute(
        "DELETE FROM proposals WHERE state = 'over' AND number <= (SELECT max(number) FROM proposals) - 1000"
    )
    connection.execute("DELETE FROM outbox WHERE state = 'given up' AND rowid <= (SELECT max(rowid) FROM outbox) - 100")


def _row(reading: Reading) -> tuple[object, ...]:
    values = {**reading, "detail": _text(reading["detail"])}
    return tuple(values[name] for name in _COLUMNS)


def _text(value: object) -> str:
    # A lone surrogate in a name would be refused by SQLite: JSON spells it.
    return json.dumps(value, allow_nan=False)
