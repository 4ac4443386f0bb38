"""Take a document out of what a server stored: traffic, feedback, labels of chats, and edits of examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twofold.errors import refused
from twofold.examples.feedback_logs import FEEDBACK
from twofold.files import locking, writing
from twofold.indexing.report import ErasedLogs
from twofold.labelling.labels import LABELS
from twofold.store.erasure import shows
from twofold.traffic.log import FILE, TrafficLog

_LINES = {"feedback": FEEDBACK, "labels": LABELS, "edits": "serving/edits.jsonl"}
"""Logs of lines; a line that shows or quotes the document is removed whole."""


def erase(root: Path, document: str, quotes: Callable[[str], bool]) -> ErasedLogs:
    """Take a document out of the logs of a project; safe to repeat.

    Args:
        root: Folder of the project.
        document: Its id.
        quotes: Does a text quote it?

    Raises:
        StoreError: a file cannot be read or written, or the traffic log is damaged.
    """
    changed = 0
    if (root / FILE).is_file():
        with TrafficLog(root / FILE) as log:
            changed = log.forget(document, quotes)
    removed = {name: _without(root / path, document, quotes) for name, path in _LINES.items()}
    return {"traffic": changed, "feedback": removed["feedback"], "labels": removed["labels"], "edits": removed["edits"]}


def _without(path: Path, document: str, quotes: Callable[[str], bool]) -> int:
    if not path.is_file():
        return 0
    try:
        # The lock of `writing.append`: what somebody says meanwhile is written before or after, and stays.
        with locking.locked(path.with_name(f".{path.name}.lock")):
            lines = path.read_bytes().splitlines()
            remaining = [line for line in lines if not _shows(line, document, quotes)]
            if len(remaining) < len(lines):
                writing.write(path, b"".join(line + b"\n" for line in remaining), mode=0o600)
    except OSError as error:
        message = f"lines that may show the document cannot be removed: {error.strerror or error}"
        raise refused(message, error, file=path) from error
    return len(lines) - len(remaining)


def _shows(line: bytes, document: str, quotes: Callable[[str], bool]) -> bool:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        # Half a line of a killed writer: it counts for nothing, and may show anything.
        return True
    return shows(value, document, quotes=quotes)
