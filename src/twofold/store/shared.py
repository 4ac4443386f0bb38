"""Where a project's records lie that several machines share: a schema in a PostgreSQL database."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from twofold.errors import DatabaseRefused
from twofold.hashing import digest
from twofold.settings.scale import ScaleSection
from twofold.store.database import Database
from twofold.store.migrations import CATALOGUE, Schema
from twofold.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPlace:
    """A schema in a PostgreSQL database, which is one project's."""

    url: str
    """Address, user and database as libpq reads them, without the password."""
    name: str = "twofold"
    """The schema."""
    password_env: str = ""
    """Environment variable with the password; empty: as PGPASSWORD or ~/.pgpass says."""
    identity: Path | None = field(default=None, compare=False)
    """File that says which project this folder is; None: nobody asks."""
    reads: str = field(default="", compare=False)
    """Digest of the places that the project reads from. A folder without an identity is taken for the project that
    the schema belongs to where both read the same places."""

    def __str__(self) -> str:
        return f"{self.url} (schema {self.name})"

    def password(self) -> str | None:
        """The password; None where libpq looks for one itself.

        Raises:
            DatabaseRefused: the variable that should have it is not set.
        """
        if not self.password_env:
            return None
        password = os.environ.get(self.password_env, "")
        if not password:
            raise DatabaseRefused(
                f"the environment variable {self.password_env} with the database's password is not set",
                file=self.url,
                cure=f"Set {self.password_env}, or mend database_password_env in [scale].",
            )
        return password


def shared_place(scale: ScaleSection, directory: Path, *, reads: Json) -> SharedPlace | None:
    """The schema that the section `[scale]` names; None where it names none.

    Args:
        scale: The section.
        directory: Of the project.
        reads: The places that the project reads from.
    """
    if not scale.database:
        return None
    # Who gives the schema a name has said which project it is; under the name that all begin with, the folder says it.
    telling = {**reads, "folder": "" if scale.name else directory.resolve().name}
    return SharedPlace(
        url=scale.database,
        name=scale.name or "twofold",
        password_env=scale.database_password_env,
        identity=directory / ".twofold" / IDENTITY,
        reads=digest("reads", telling),
    )


IDENTITY = "database-id"
"""File in ``.twofold`` with the id of the project in its database."""
Place = Path | SharedPlace | None
"""Where a database lies: a SQLite file, a schema in PostgreSQL, or in memory (None)."""


def present(place: Place, schema: Schema) -> bool:
    """Is there such a database yet? Looking makes none.

    Raises:
        DatabaseUnreachable, DatabaseRefused: as `open_database`.
    """
    if isinstance(place, SharedPlace):
        from twofold.store.postgres import steps_of

        return steps_of(place, schema) > 0
    return place is not None and place.is_file()


def open_database(place: Place, *, readonly: bool = False, schema: Schema = CATALOGUE) -> Database:
    """Open a database where it lies, and bring it up to date.

    Args:
        place: A SQLite file or a schema, created if missing; None for a database in memory.
        readonly: Open an existing one for reading only; writing then raises `StoreError`.
        schema: What it contains.

    Raises:
        StoreError: it is damaged, missing (when `readonly`), or written by a newer Twofold.
        DatabaseUnreachable: the server does not answer.
        DatabaseRefused: it refuses the user or the password, or the schema is another project's.
    """
    if isinstance(place, SharedPlace):
        from twofold.store.postgres import PostgresDatabase

        return PostgresDatabase(place, readonly=readonly, schema=schema)
    from twofold.store.sqlite import SqliteDatabase

    return SqliteDatabase(place, readonly=readonly, schema=schema)
