"""Which study's verdict answers: the newest one's, unless it was rolled back to an earlier one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from twofold.errors import StudyError
from twofold.files import writing
from twofold.reports import archive

FILE = "rolled-back.json"
"""File beside the studies."""


class Rollback(TypedDict):
    """The verdict of a study before the newest answers, until a newer study decides."""

    study: str
    """Whose verdict answers."""
    newest: str
    """The newest study then."""
    at: str
    """When, in UTC."""
    who: str
    why: str


def rolled_back(records: Path) -> Rollback | None:
    """The rollback in force; None where the newest study's verdict answers.

    Args:
        records: Directory of the studies.

    Raises:
        StudyError: the file is damaged.
    """
    path = records / FILE
    try:
        rollback: Rollback = json.loads(path.read_text(encoding="utf-8"))
        study, newest, _why = rollback["study"], rollback["newest"], rollback["why"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StudyError(
            f"the rollback cannot be read: {error}",
            file=path,
            cure="Delete the file: then the newest study's verdict answers.",
        ) from error
    studies = archive.names(records)
    return rollback if studies and studies[-1] == newest and study in studies else None


def decisive(records: Path) -> str:
    """Name of the study whose verdict answers; empty when there is none.

    Raises:
        StudyError: as `rolled_back`.
    """
    rollback = rolled_back(records)
    studies = archive.names(records)
    return rollback["study"] if rollback else studies[-1] if studies else ""


def roll_back(records: Path, *, to: str = "", who: str, why: str = "") -> Rollback:
    """Let the verdict of the study before the one that answers now answer; a newer study ends that.

    Args:
        records: Directory of the studies.
        to: Name of the study instead of the one just before.
        who: The person who decided.
        why: The reason.

    Raises:
        StudyError: there is no study before it.
        OSError: the disk refuses.
    """
    studies = archive.names(records)
    before = studies[: studies.index(decisive(records))] if studies else []
    if to:
        before = [study for study in before if study == to]
    if not before:
        raise StudyError(
            f"there is no study before {studies[0]}" if studies else "there is no study yet",
            cure="Run `twofold study`, or name what answers: `twofold serve --arm ARM`.",
        )
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    rollback: Rollback = {"study": before[-1], "newest": studies[-1], "at": moment, "who": who, "why": why}
    writing.write(records / FILE, json.dumps(rollback, indent=1, ensure_ascii=False), mode=0o600)
    return rollback


def undo(records: Path) -> str:
    """Let the newest study's verdict answer again; returns that study's name.

    Raises:
        StudyError: there is no study.
    """
    (records / FILE).unlink(missing_ok=True)
    return archive.named(archive.names(records))
