"""How a project is used: answers a month by its traffic log, and whether its questions moved by its looks."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from twofold.monitoring import drift, store
from twofold.monitoring.schema import WATCH
from twofold.monitoring.traffic_rows import stamp
from twofold.store.shared import Place, present
from twofold.study.standing import VOLUME_DAYS, monthly_volume
from twofold.traffic import log


def volume_of(directory: Path, moment: datetime) -> float | None:
    """Answers a month; None where there is no traffic log, or one of less than a week.

    Args:
        directory: The project.
        moment: The time now, UTC.

    Raises:
        StoreError: the log cannot be read.
    """
    path = directory / log.FILE
    if not path.is_file():
        return None
    with log.TrafficLog(path, readonly=True) as rows:
        count, first = rows.count(stamp(moment - VOLUME_DAYS), until=stamp(moment))
    return monthly_volume(count, first, moment)


def drift_of(looks: Place, study: str) -> list[str]:
    """The standing alarm on questions that moved away from those of a study, in words; empty where there is none.

    Args:
        looks: Where the looks at the project lie.
        study: Name of the study. An alarm beside another study's questions says nothing of it.

    Raises:
        StoreError: the record of looks cannot be read.
    """
    if not present(looks, WATCH):
        return []
    with store.opened(looks, readonly=True) as records:
        if drift.SIGNAL not in records.standing():
            return []
        # Not only the last: an alarm stands while its signal cannot be seen.
        history = records.history(drift.SIGNAL, store.DETAILED)
    alarms = [reading for reading in history if reading["state"] == "alarm"]
    return [reading["why"] for reading in alarms[-1:] if reading["detail"].get("study") == study]


def changing(directory: Path) -> list[Path]:
    """Files that change with a look. The traffic log does with every answer: who asks often counts it by the hour."""
    return [directory / store.FILE, directory / f"{store.FILE}-wal"]
