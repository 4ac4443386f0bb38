"""Where a Lance table lies: a directory of this machine, or a folder in an object store with one writer by lease."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from twofold.errors import ProjectLocked, StoreError
from twofold.files import writing
from twofold.files.remote import RemoteFolder
from twofold.store.lease import Lease, ObjectRegister, lease_of

TABLE = "chunks"
META = "index.json"
_SEEN = timedelta(seconds=1)
"""A reader of an object store sees a commit after at most that long. A look costs a request, which is paid for: at each
search it would be the larger part of the store's bill."""
_ERASING = 30.0
"""Seconds of its lease that a writer needs to have left for what cannot be fenced (`RemotePlace.writing`)."""


class IndexPlace(Protocol):
    """What `LanceIndex` needs of the place of its table."""

    @property
    def file(self) -> object:
        """For errors."""

    @property
    def description(self) -> object:
        """IndexPlace of the description, for errors."""

    def table(self, name: str) -> tuple[str, dict[str, str]]:
        """Address of a table, and the options with which it is opened."""

    def has_files(self, name: str, files: Sequence[str]) -> bool:
        """Are all these files in a table's folder of data?"""

    def connected(self, *, follows: bool) -> Any:
        """A connection of LanceDB, whose tables look for newer versions by themselves if they are to follow."""

    def read(self) -> bytes | None:
        """The index's description; None without one."""

    def write(self, text: str) -> None:
        """Write the description, unless another process has written it."""

    @property
    def shared(self) -> bool:
        """Do other machines read, and perhaps write, here?"""

    def new_table(self) -> str:
        """Name for a table that is to be made."""

    def has_table(self) -> bool:
        """Is there anything of a table?"""

    def writing(self, refresh: Callable[[], None], *, final: bool = False) -> AbstractContextManager[None]:
        """A block that changes the table.

        Args:
            refresh: Takes the newest version for the one that the changes start from.
            final: Something in the block is not refused by a newer commit.
        """

    def forget_transactions(self) -> None:
        """Delete the records of transactions, whose conditions name documents."""

    def explained(self, error: Exception) -> StoreError | None:
        """The error as one of the place rather than of the index, where it is one."""

    def without_place(self, text: str) -> str:
        """A message without the place on this machine, for callers of a server."""


class LocalPlace:
    """See `IndexPlace`: a directory, created when missing; the project's lock keeps other writers away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.file = directory
        """See `IndexPlace.file`."""
        self.description = directory / META
        """See `IndexPlace.description`."""
        self.shared = False
        """See `IndexPlace.shared`."""

    def table(self, name: str) -> tuple[str, dict[str, str]]:
        """See `Place.table`."""
        return str(self._directory.absolute() / f"{name}.lance"), {}

    def has_files(self, name: str, files: Sequence[str]) -> bool:
        """See `Place.has_files`."""
        folder = self._directory / f"{name}.lance" / "data"
        return all((folder / file).is_file() for file in files)

    def connected(self, *, follows: bool) -> Any:  # noqa: ARG002 - one table reads and writes
        """See `IndexPlace.connected`."""
        import lancedb

        # at each read the newest version is looked for: another process may have written it
        return lancedb.connect(str(self._directory), read_consistency_interval=timedelta(0))

    def read(self) -> bytes | None:
        """See `IndexPlace.read`."""
        return self.description.read_bytes() if self.description.is_file() else None

    def write(self, text: str) -> None:
        """See `IndexPlace.write`."""
        self._directory.mkdir(parents=True, exist_ok=True)
        writing.write(self.description, text, shared=True)

    def new_table(self) -> str:
        """See `IndexPlace.new_table`."""
        return TABLE

    def has_table(self) -> bool:
        """See `IndexPlace.has_table`."""
        return (self._directory / f"{TABLE}.lance").exists()

    def writing(self, refresh: Callable[[], None], *, final: bool = False) -> AbstractContextManager[None]:  # noqa: ARG002
        """See `IndexPlace.writing`."""
        return nullcontext()

    def forget_transactions(self) -> None:
        """See `IndexPlace.forget_transactions`."""
        for path in (self._directory / f"{TABLE}.lance" / "_transactions").glob("*.txn"):
            path.unlink(missing_ok=True)

    def explained(self, error: Exception) -> StoreError | None:  # noqa: ARG002
        """See `IndexPlace.explained`."""
        return None

    def without_place(self, text: str) -> str:
        """See `IndexPlace.without_place`."""
        for place in (str(self._directory.resolve()), str(self._directory.absolute())):
            # The library writes it without the first slash as well, and in places quoted as in an address.
            for form in (place, quote(place), place.lstrip("/"), quote(place.lstrip("/"))):
                text = text.replace(form, self._directory.name)
        return text


class RemotePlace:
    """See `IndexPlace`: a folder of an object store, read from many machines and written by the holder of its lease.

    Lance commits a version by writing an object that must not be there yet, so that of two commits of one version one
    fails. It then tries again after the other where the two do not touch the same rows, which is right for two writers
    that know of each other, and wrong for one that was paused while another took its lease. Therefore a changed block
    starts from the version that was newest *before* the lease was checked, and whoever takes over a lease commits a
    `fence` first: the present content as a new version in place of whatever was there, by which Lance refuses every
    change that started from an older version.
    """

    def __init__(self, folder: RemoteFolder) -> None:
        self._folder = folder
        self.file = folder.url
        """See `IndexPlace.file`."""
        self.description = f"{folder.url}/{META}"
        """See `IndexPlace.description`."""
        self.shared = True
        """See `IndexPlace.shared`."""

    def table(self, name: str) -> tuple[str, dict[str, str]]:
        """See `Place.table`."""
        return f"{self._folder.url.rstrip('/')}/{name}.lance", self._folder.settings

    def has_files(self, name: str, files: Sequence[str]) -> bool:
        """See `Place.has_files`."""
        return {f"{name}.lance/data/{file}" for file in files} <= self._folder.sizes().keys()

    def connected(self, *, follows: bool) -> Any:
        """See `IndexPlace.connected`."""
        import lancedb

        return lancedb.connect(
            self._folder.url,
            storage_options=self._folder.settings,
            read_consistency_interval=_SEEN if follows else None,
        )

    def read(self) -> bytes | None:
        """See `IndexPlace.read`."""
        stored = self._folder.read(META)
        return None if stored is None else stored[0]

    def write(self, text: str) -> None:
        """See `IndexPlace.write`."""
        self._folder.write(META, text.encode("utf-8"))

    def has_table(self) -> bool:
        """See `IndexPlace.has_table`."""
        return any(f"{name}/".startswith(TABLE) for name in self._folder.sizes())

    def new_table(self) -> str:
        """See `IndexPlace.new_table`."""
        # Never a name of before: who still reads a table that was deleted must fail, and not take another's versions,
        # which count from 1 again, for those that are in memory.
        return f"{TABLE}-{secrets.token_hex(4)}"

    @contextmanager
    def writing(self, refresh: Callable[[], None], *, final: bool = False) -> Iterator[None]:
        """See `IndexPlace.writing`: under the lease of this process, or one for this block."""
        lease = lease_of(self._folder.top.url)
        with nullcontext(lease) if lease else self.lease() as present:
            refresh()
            present.check(left=_ERASING if final else 0.0)
            yield

    def _table_name(self) -> str:
        try:
            stored: Any = json.loads(self.read() or b"{}")
        except ValueError:
            return ""
        return str(stored.get("table", "")) if isinstance(stored, dict) else ""

    def lease(self) -> Lease:
        """The lease of this folder's writer."""
        return Lease(ObjectRegister(self._folder.top), fence=self.fence)

    def fence(self) -> None:
        """Make every change fail that started from a version of before; without a table there is none."""
        name = self._table_name()
        if not name:
            return
        database = self.connected(follows=False)
        if name not in database.table_names():
            return
        table = database.open_table(name)
        newest = int(table.version)
        table.restore(newest)
        table.checkout_latest()
        if int(table.version) > newest + 1:
            # A commit of the former writer came in between, the last that could: it is whole, and not to be lost.
            table.restore(int(table.version) - 1)

    def forget_transactions(self) -> None:
        """See `IndexPlace.forget_transactions`."""
        self._folder.delete([name for name in self._folder.sizes() if name.endswith(".txn")])

    def explained(self, error: Exception) -> StoreError | None:
        """See `IndexPlace.explained`."""
        if isinstance(error, StoreError):
            return error
        if "ncompatible transaction" in str(error) or "ommit conflict" in str(error):
            lease = lease_of(self._folder.top.url)
            try:
                if lease is not None:
                    # However much of it is left by this clock: the store is asked whose it is.
                    lease.check(left=math.inf)
            except StoreError as lost:
                return lost
            return ProjectLocked(
                "another process changed the index meanwhile: nothing was written",
                file=self.file,
                cure="Run the command again: what was committed is kept.",
            )
        if "Too many concurrent writers" in str(error):
            return StoreError(
                f"the newest version of the index was not to be seen for long: listings of the bucket "
                f"{self._folder.bucket!r} come late, or somebody writes to it without the lease; nothing was written",
                file=self.file,
                cure="Run the command again in a minute: what was committed is kept.",
            )
        return self._folder.explained(error)

    def without_place(self, text: str) -> str:
        """See `IndexPlace.without_place`."""
        return text.replace(self._folder.url, self._folder.url.rpartition("/")[2])


def place_of(directory: Path | RemoteFolder) -> IndexPlace:
    """The place that an index's directory is."""
    return RemotePlace(directory) if isinstance(directory, RemoteFolder) else LocalPlace(directory)
