"""The audit log of a project, wherever it lies: in the folder ``audit``, or in the schema that its servers share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from twofold.audit.log import FOLDER, AuditLog, require_key
from twofold.audit.record import AuditEntry
from twofold.audit.shared import SharedAuditLog, copy_log
from twofold.store.kept_texts import server_database
from twofold.store.shared import SharedPlace


class Appending(Protocol):
    """A log that grows."""

    def append(self, entries: Sequence[AuditEntry], *, config: str = "") -> str:
        """See `AuditLog.append`."""


def audit_log(directory: Path, shared: SharedPlace | None, key: bytes) -> Appending:
    """The audit log of a project, for appending.

    Args:
        directory: The project.
        shared: The schema that it has instead of files; None for files.
        key: The log's key; empty for a log without one.

    Raises:
        ConfigError: the key is not the log's.
        DatabaseUnreachable, DatabaseRefused: as `open_database`.
    """
    if shared is None:
        require_key(directory / FOLDER, key)
        return AuditLog(directory / FOLDER, key=key)
    database = server_database(shared)
    log = SharedAuditLog(database.transaction, place=database.place, key=key, read=database.json)
    log.require_key()
    return log


def audit_folder(directory: Path, shared: SharedPlace | None) -> Path:
    """The folder of a project's audit log, for what reads it; of a shared one a copy as it is now is written there.

    Raises:
        DatabaseUnreachable, DatabaseRefused: as `open_database`.
        StoreError: the disk refuses.
    """
    folder = directory / FOLDER
    if shared is not None:
        database = server_database(shared)
        rows = database.read("SELECT head FROM audit_head")
        head = database.json(rows[0][0]) if rows else None
        end = head["number"] if head else 0
        # No further than the head that was read: what is written meanwhile is of the next copy.
        sql = f"SELECT number, line FROM audit_lines WHERE number <= {int(end)} ORDER BY number"
        copy_log(database.batches(sql, 1000), head, folder)
    return folder
