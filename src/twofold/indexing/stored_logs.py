"""Take a document out of what a server stored: traffic, feedback, labels of chats, and edits of examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twofold.examples.feedback_logs import FEEDBACK
from twofold.indexing.report import ErasedLogs
from twofold.labelling.labels import LABELS
from twofold.store.erasure import shows
from twofold.store.kept_texts import FileLines, Lines, lines_of
from twofold.store.shared import SharedPlace
from twofold.traffic.log import FILE, TrafficLog

_LINES = {"feedback": FEEDBACK, "labels": LABELS, "edits": "serving/edits.jsonl"}
"""Logs of lines; a line that shows or quotes the document is removed whole."""


def erase(root: Path, document: str, quotes: Callable[[str], bool], *, shared: SharedPlace | None = None) -> ErasedLogs:
    """Take a document out of the logs of a project; safe to repeat.

    Args:
        root: Folder of the project.
        document: Its id.
        quotes: Does a text quote it?
        shared: The schema that the project has instead of files.

    Raises:
        StoreError: a file cannot be read or written, or the traffic log is damaged.
    """
    changed = 0
    if (root / FILE).is_file():
        with TrafficLog(root / FILE) as log:
            changed = log.forget(document, quotes)
    removed = {name: _without(FileLines(root / path), document, quotes) for name, path in _LINES.items()}
    if shared is not None:
        # The files are copies of these, made when somebody mined them.
        for name in ("feedback", "labels"):
            removed[name] = _without(lines_of(root, _LINES[name], shared), document, quotes)
    return {"traffic": changed, "feedback": removed["feedback"], "labels": removed["labels"], "edits": removed["edits"]}


def _without(lines: Lines, document: str, quotes: Callable[[str], bool]) -> int:
    if lines.state() is None:
        return 0
    return lines.remove(lambda line: _shows(line, document, quotes))


def _shows(line: bytes, document: str, quotes: Callable[[str], bool]) -> bool:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        # Half a line of a killed writer: it counts for nothing, and may show anything.
        return True
    return shows(value, document, quotes=quotes)
