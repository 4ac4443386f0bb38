"""Request fields that an endpoint refused, stored in a small file of the project so that the next process omits them.

Without the file every command would be refused once more before its first answer, and would know the key of its answers
only then. The file is advisory: a missing, damaged or unwritable file costs a refused request, nothing else.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from twofold.files import writing
from twofold.files.locking import locked
from twofold.types import Json

FILE = "refused_fields.json"
"""Name of the file in the project's derived data."""
CAN_DO_WITHOUT = ("temperature", "stop", "stream_options")
"""Fields that a request may omit."""
OTHER_LIMIT = "max_completion_tokens"
_FORMAT = 1
"""Raised when the file changes its form: a file of another form is not read."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The request fields that an endpoint's model refuses."""

    fields: frozenset[str] = frozenset()
    """Refused fields among `CAN_DO_WITHOUT`."""
    limit: str = ""
    """`OTHER_LIMIT`, where ``max_tokens`` was refused."""


def known(path: Path, url: str, model: str) -> Refused:
    """The fields that this model at this address refused in earlier processes.

    Args:
        path: The file.
        url: The endpoint's address.
        model: Name of the model at the endpoint.
    """
    entry = next((one for one in _read(path) if _of(one, url, model)), None)
    if entry is None:
        return Refused()
    fields = frozenset(name for name in entry["not_sent"] if name in CAN_DO_WITHOUT)
    return Refused(fields=fields, limit=OTHER_LIMIT if entry["limit"] == OTHER_LIMIT else "")


def keep(path: Path, url: str, model: str, *, refused: Refused) -> None:
    """Add newly refused fields; safe while other processes do the same.

    Args:
        path: The file; created if missing.
        url: The endpoint's address.
        model: Name of the model at the endpoint.
        refused: Fields to add to those stored for this model.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(path.with_suffix(".lock")):
            before = known(path, url, model)
            entry: Json = {
                "url": url.rstrip("/"),
                "model": model,
                "not_sent": sorted(before.fields | refused.fields),
                "limit": refused.limit or before.limit,
            }
            others = [one for one in _read(path) if not _of(one, url, model)]
            text = json.dumps({"format": _FORMAT, "endpoints": [*others, entry]}, indent=1) + "\n"
            writing.write(path, text, shared=True)
    except OSError as error:
        _log.info("what %s refuses cannot be kept, so the next command asks again: %s", url, error)


def _of(entry: Json, url: str, model: str) -> bool:
    return bool(entry["url"] == url.rstrip("/") and entry["model"] == model)


def _entry(endpoint: Json) -> Json:
    return {
        "url": str(endpoint["url"]),
        "model": str(endpoint["model"]),
        "not_sent": [str(name) for name in endpoint["not_sent"]],
        "limit": str(endpoint["limit"]),
    }


def _read(path: Path) -> list[Json]:
    """The entries of the file; none where it is missing, damaged or of another format."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            return []
        return [_entry(endpoint) for endpoint in content["endpoints"]]
    except OSError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError):
        _log.warning("%s cannot be read: fields that an endpoint refused are sent once more", path)
        return []
