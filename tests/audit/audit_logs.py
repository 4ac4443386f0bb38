"""Audit logs for tests."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twofold.audit.log import AuditLog
from twofold.audit.record import AuditEntry, VerifyReport
from twofold.audit.verifying import verify

KEY = b"a key of thirty-two bytes or more"


def entry(number: int, *, what: str = "answer", **values: Any) -> AuditEntry:
    time = f"2026-12-01T00:00:{number % 60:02d}.000+00:00"
    return {"time": time, "what": what, "who": "key:ab12cd34", "values": {"of": number, **values}}


def written(folder: Path, count: int, *, key: bytes = b"") -> Path:
    """A log of so many lines behind its first one."""
    AuditLog(folder, key=key).append([entry(number) for number in range(count)])
    return folder


def with_content(log: Path, place: Path, content: bytes, *, head: bytes | None = None) -> Path:
    """A copy of a log of one file whose lines are these bytes."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "000001.jsonl").write_bytes(content)
    (place / "head.json").write_bytes((log / "head.json").read_bytes() if head is None else head)
    return place


def kinds(report: VerifyReport) -> Sequence[str]:
    return [fault["kind"] for fault in report["faults"]]


def verified(folder: Path, *, key: bytes = b"") -> Sequence[str]:
    return kinds(verify(folder, key=key))
