"""Sessions, logins under way and failed logins that all servers of a schema share; times are the database's.

A token is known to its holder alone: the schema has its digest. What is stored behind it is no secret that opens
anything: digests of keys, names, and the one-time values of a login under way.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict
from typing import Generic, TypeVar

from twofold.errors import OverLimit
from twofold.serving.keys import Identity, Key, KeyLimits
from twofold.serving.sessions import ATTEMPT_SECONDS, ATTEMPTS, EACH, MOST, Attempts, Expiring, digest_of, network
from twofold.store.kept_texts import server_database
from twofold.store.shared import SharedPlace
from twofold.types import Json

T = TypeVar("T")


class SharedExpiring(Expiring[T], Generic[T]):
    """An `Expiring` in a schema.

    Args:
        place: The schema.
        kind: What the values are; each kind has its own tokens.
        seconds: How long a value is stored.
        written: A value as JSON.
        read: The value of such JSON.
        each: Most values of one owner; their oldest is dropped for another one.
    """

    def __init__(
        self,
        place: SharedPlace,
        kind: str,
        *,
        seconds: float,
        written: Callable[[T], Json],
        read: Callable[[Json], T],
        each: int = EACH,
    ) -> None:
        super().__init__(seconds, each=each)
        self._place, self._kind = place, kind
        self._written, self._value = written, read

    def add(self, value: T, *, owner: str = "") -> str:
        """See `Expiring.add`."""
        token = secrets.token_urlsafe(32)
        with server_database(self._place).transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE ends <= clock_timestamp()")
            if owner:
                self._drop_but(connection.execute, "owner = ?", (owner,), most=self._each - 1)
            self._drop_but(connection.execute, "true", (), most=MOST - 1)
            connection.execute(
                "INSERT INTO sessions (kind, digest, owner, value, ends) "
                "VALUES (?, ?, ?, ?, clock_timestamp() + make_interval(secs => ?))",
                (self._kind, digest_of(token), owner, json.dumps(self._written(value)), self.seconds),
            )
        return token

    def _drop_but(
        self, execute: Callable[[str, tuple[object, ...]], object], which: str, values: tuple[object, ...], *, most: int
    ) -> None:
        """Drop the oldest values of this kind beyond so many."""
        oldest = f"SELECT digest FROM sessions WHERE kind = ? AND {which} ORDER BY began DESC OFFSET ?"
        execute(
            f"DELETE FROM sessions WHERE kind = ? AND digest IN ({oldest})", (self._kind, self._kind, *values, most)
        )

    def get(self, token: str) -> T | None:
        """See `Expiring.get`."""
        sql = "SELECT value FROM sessions WHERE kind = ? AND digest = ? AND ends > clock_timestamp()"
        rows = server_database(self._place).read(sql, (self._kind, digest_of(token)))
        return self._value(json.loads(rows[0][0])) if rows else None

    def pop(self, token: str) -> T | None:
        """See `Expiring.pop`."""
        # One statement: of two servers that ask for one login's state, one gets it.
        sql = "DELETE FROM sessions WHERE kind = ? AND digest = ? RETURNING value, ends > clock_timestamp()"
        with server_database(self._place).session() as connection:
            row = connection.execute(sql, (self._kind, digest_of(token))).fetchone()
        return self._value(json.loads(row[0])) if row and row[1] else None


class SharedAttempts(Attempts):
    """`Attempts` in a schema.

    Args:
        place: The schema.
    """

    def __init__(self, place: SharedPlace) -> None:
        super().__init__()
        self._place = place

    def require(self, address: str) -> None:
        """See `Attempts.require`."""
        sql = "SELECT failed, extract(epoch FROM ends - clock_timestamp())::float8 FROM attempts WHERE network = ?"
        rows = server_database(self._place).read(sql, (network(address),))
        if rows and rows[0][1] > 0 and rows[0][0] >= ATTEMPTS:
            count, left = rows[0]
            error = OverLimit(f"{count} logins of this address failed within a minute", cure="Wait, then log in again.")
            error.retry_after = left
            raise error

    def failed(self, address: str) -> None:
        """See `Attempts.failed`."""
        database = server_database(self._place)
        database.write("DELETE FROM attempts WHERE ends <= clock_timestamp()", [()])
        database.write(
            "INSERT INTO attempts (network, failed, ends) VALUES (?, 1, clock_timestamp() + make_interval(secs => ?)) "
            "ON CONFLICT (network) DO UPDATE SET failed = attempts.failed + 1",
            [(network(address), ATTEMPT_SECONDS)],
        )


def holder_json(holder: Key | Identity) -> Json:
    """Who has a session, as JSON."""
    return {"key": isinstance(holder, Key), **asdict(holder)}


def holder_of(record: Json) -> Key | Identity:
    """Who `holder_json` was given."""
    fields = {**record, "groups": tuple(record["groups"])}
    if fields.pop("key"):
        return Key(**fields)
    return Identity(**{**fields, "limits": KeyLimits(**fields["limits"])})
