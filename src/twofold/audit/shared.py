"""The audit log in a database that several servers share: the same lines in one chain, appended one server at a time.

Whoever appends holds the head's row: the next one joins its lines to those. Servers write what came within some
hundredths of a second at once, so that they wait for each other briefly.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from twofold.audit.chain import FIRST, check_of, line_of
from twofold.audit.log import FILE_BYTES, HEAD, checked, file_name, files, key_check, refuse_key, remark, set_back
from twofold.audit.record import AuditEntry, Head
from twofold.errors import StoreError, refused
from twofold.files import writing
from twofold.hashing import canonical_json
from twofold.types import Json

log = logging.getLogger(__name__)
Transaction = Callable[[], AbstractContextManager[Any]]
"""Opens a transaction of which there is one at a time; its connection has `execute` and `executemany`."""


class SharedAuditLog:
    """The log of one project, for appending.

    Args:
        transaction: Of the database.
        place: Its name, for messages.
        key: The log's key; empty for a log without one.
        read: Reads JSON.
    """

    def __init__(self, transaction: Transaction, *, place: str, key: bytes, read: Callable[[str], Any]) -> None:
        self._transaction, self._place, self._key, self._read = transaction, place, key, read

    def require_key(self) -> None:
        """Refuse a key that is not the log's.

        Raises:
            ConfigError: the log was begun with another key, with none, or needs one.
        """
        with self._transaction() as connection:
            head, _ = self._head(connection)
        if head is not None:
            refuse_key(head.get("key", ""), key_check(self._key), self._place)

    def append(self, entries: Sequence[AuditEntry], *, config: str = "") -> str:
        """Append lines; see `AuditLog.append`."""
        first = entries[0]
        with self._transaction() as connection:
            head, time = self._head(connection)
            remarks: list[AuditEntry] = []
            if head is None:
                head = {"number": 0, "hash": FIRST.hex(), "config": "", "check": "", "key": key_check(self._key)}
                beginning: Json = {"log": secrets.token_hex(8), "key": key_check(self._key)}
                remarks.append(remark(first["time"], "log.begun", beginning))
            elif head["check"] != check_of(checked(head), self._key):
                raise StoreError(
                    "the head of the audit log is not as it was written",
                    file=self._place,
                    cure="Run `twofold audit verify`, and name the log's key in [audit].",
                )
            if config and head["config"] and config != head["config"]:
                values = {"before": head["config"], "after": config}
                remarks.append({**remark(first["time"], "config.changed", values), "who": first["who"]})
            if back := set_back(time, first["time"]):
                remarks.append(remark(first["time"], "log.clock", {"seconds": back}))
            number, digest, rows = head["number"], bytes.fromhex(head["hash"]), []
            for entry in (*remarks, *entries):
                number += 1
                line, digest = line_of(number, entry, before=digest, key=self._key)
                rows.append((number, line))
            connection.executemany("INSERT INTO audit_lines (number, line) VALUES (?, ?)", rows)
            end: Any = {**head, "number": number, "hash": digest.hex(), "config": config or head["config"]}
            end["check"] = check_of(checked(end), self._key)
            connection.execute(
                "INSERT INTO audit_head (head, time) VALUES (?, ?) "
                "ON CONFLICT (only_row) DO UPDATE SET head = excluded.head, time = excluded.time",
                (canonical_json(end), entries[-1]["time"]),
            )
        return f"{number}:{digest.hex()}"

    def _head(self, connection: Any) -> tuple[Any, str]:
        row = connection.execute("SELECT head, time FROM audit_head").fetchone()
        return (None, "") if row is None else (self._read(row[0]), row[1])


def copy_log(batches: Iterable[list[Any]], head: Head | None, folder: Path) -> None:
    """Write the files of a log anew from a database's lines, so that they can be read and verified as any log.

    Args:
        batches: Lines in their order, each with its number before it.
        head: The head; None where there is none.
        folder: Where to. An earlier copy that is there is replaced; another log, such as that of the time before the
            database, is moved aside.

    Raises:
        StoreError: the disk refuses.
    """
    try:
        draft = folder.with_name(f".{folder.name}.copy")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        number, size = 1, 0
        for rows in batches:
            lines = b"".join(bytes(line) + b"\n" for _, line in rows)
            if size >= FILE_BYTES:
                number, size = number + 1, 0
            writing.extend(draft / file_name(number), lines, at=size, mode=0o600)
            size += len(lines)
        _spare(folder, draft)
        folder.mkdir(mode=0o700, exist_ok=True)
        for former in [*files(folder), folder / HEAD]:
            former.unlink(missing_ok=True)
        for path in files(draft):
            writing.put(path, folder / path.name)
        if head is not None:
            fields = {name: head[name] for name in ("number", "hash", "config", "check")}
            writing.write(folder / HEAD, canonical_json(fields), mode=0o600)
        shutil.rmtree(draft)
    except OSError as error:
        raise refused(f"the audit log cannot be copied: {error.strerror or error}", error, file=folder) from error


def _spare(folder: Path, draft: Path) -> None:
    """Move a log aside that does not begin as the one in `draft`: it is no copy of it, and nobody else may have it."""
    there, copies = files(folder) if folder.is_dir() else [], files(draft)
    if not there or (copies and _first_line(there[0]) == _first_line(copies[0])):
        return
    number = 1
    while (aside := folder.with_name(f"{folder.name}-former-{number}")).exists():
        number += 1
    writing.put(folder, aside)
    log.warning("%s is another log than the database's, and lies in %s now", folder, aside)


def _first_line(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.readline()
