"""The history of improvement on the disk: ``improvement.json`` beside the studies, written whole after every change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twofold.errors import StudyError
from twofold.files import writing
from twofold.improvement.record import FORMAT, History, RoundRecord

FILE = "improvement.json"
"""File beside the studies."""
_STEP = ("name", "why", "values", "arm", "share", "minutes", "cost")
_ROUND = (
    *("number", "at", "step", "ledger", "diagnosed", "before", "before_arm", "study", "dev", "difference", "level"),
    *("score", "outcome", "because", "seconds"),
)
"""Keys of a step and of a round in every version; later ones are optional."""


def read(records: Path) -> History:
    """The history; an empty one where there is none yet.

    Raises:
        StudyError: it cannot be read, or a newer version wrote it.
    """
    path = records / FILE
    try:
        history: History = json.loads(path.read_text(encoding="utf-8"))
        newer = history["format"] > FORMAT
        if not newer:
            _require_whole(history)
    except FileNotFoundError:
        return {"format": FORMAT, "start": None, "metric": "", "rounds": []}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StudyError(
            f"the history of improvement cannot be read: {_reason(error)}",
            file=path,
            cure="Restore it from a copy, or move it away: the loop then begins anew.",
        ) from error
    if newer:
        raise StudyError("a newer Twofold wrote this history", file=path, cure="Upgrade Twofold.")
    return history


def _require_whole(history: History) -> None:
    """Refuse a history that lacks something which every version wrote.

    Raises:
        KeyError, TypeError: it does.
    """
    _ = (history["start"], history["metric"])
    if not isinstance(history["rounds"], list):
        raise TypeError("its rounds are no list")
    for record in history["rounds"]:
        parts: tuple[tuple[Mapping[str, Any], Sequence[str]], ...] = ((record, _ROUND), (record["step"], _STEP))
        for part, keys in parts:
            _ = [part[key] for key in keys]


def _reason(error: Exception) -> str:
    return f"it lacks the key {error}" if isinstance(error, KeyError) else str(error)


def put(records: Path, history: History, record: RoundRecord) -> None:
    """Store a round: as the next one, or in place of the last where that is the same round.

    Raises:
        OSError: the disk refuses; the file is then unchanged.
    """
    rounds = history["rounds"]
    if rounds and rounds[-1]["number"] == record["number"]:
        rounds[-1] = record
    else:
        rounds.append(record)
    records.mkdir(mode=0o700, parents=True, exist_ok=True)
    writing.write(records / FILE, json.dumps(history, indent=1, ensure_ascii=False), mode=0o600)


def last_number(history: History) -> int:
    """Number of the last round; 0 before the first."""
    rounds = history["rounds"]
    return rounds[-1]["number"] if rounds else 0


def interrupted(history: History) -> RoundRecord | None:
    """The round that a stopped run left unfinished."""
    rounds = history["rounds"]
    return rounds[-1] if rounds and rounds[-1]["outcome"] == "begun" else None


def tried(history: History) -> set[str]:
    """Names of the steps that were taken since the last one that was kept, and of all that were kept.

    What failed before another step was kept may work now; a kept step has nothing more to give. What was abandoned was
    never measured.
    """
    names: set[str] = set()
    for record in history["rounds"]:
        if record["outcome"] == "kept":
            names = {other["step"]["name"] for other in history["rounds"] if other["outcome"] == "kept"}
        if record["outcome"] != "abandoned":
            names.add(record["step"]["name"])
    return names
