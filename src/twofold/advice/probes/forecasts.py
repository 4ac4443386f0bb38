"""The forecasts of a project: one file each, written once, never changed."""

from __future__ import annotations

import json
from pathlib import Path

from twofold.advice.probes.record import FORMAT, ForecastRecord, moment
from twofold.errors import StoreError, refused
from twofold.files import writing
from twofold.hashing import digest, plain

FOLDER = "advice/forecasts"
"""Folder of the forecasts in a project: beside its advices and, as these and its studies, a record and no cache."""


def key_of(record: ForecastRecord, *, questions: tuple[str, ...]) -> str:
    """The forecast's name: a digest of what made it, whenever it was made.

    Args:
        record: The forecast.
        questions: Digests of the questions asked.
    """
    tuning = record["tuning"]
    made_of = {
        "format": FORMAT,
        "systems": {name: arm["system"] for name, arm in record["arms"].items()},
        "metric": record["metric_key"],
        "level": record["level"],
        "questions": sorted(questions),
        # Trained twice, the same subsets give other weights: what was measured is part of what made it.
        "tuning": tuning and {"trainer": tuning["trainer"], "points": tuning["points"], "rows": tuning["rows"]},
        # Also why tuning was not probed: with more time there is another forecast.
        "warnings": record["warnings"],
        "test": record["test"],
    }
    return digest("forecast", made_of)


def store(folder: Path, record: ForecastRecord, *, questions: tuple[str, ...], at: str) -> ForecastRecord:
    """Give the forecast its name and time and write it, unless it is there; returns what is stored.

    Args:
        folder: `FOLDER` of the project; made if missing.
        record: The forecast.
        questions: Digests of the questions asked.
        at: ISO time, UTC.

    Raises:
        StoreError: the disk refuses.
    """
    key = key_of(record, questions=questions)
    path = folder / f"{key.partition(':')[2]}.json"
    if path.is_file():
        return read(path)
    named: ForecastRecord = {**record, "key": key, "created": at}
    try:
        # Only its owner, as the studies' records.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writing.write(path, json.dumps(plain(named), indent=1, ensure_ascii=False), mode=0o600)
    except OSError as error:
        raise refused(f"the forecast cannot be written: {error.strerror or error}", error, file=path) from error
    return read(path)


def read(path: Path) -> ForecastRecord:
    """Read a forecast back.

    Raises:
        StoreError: it is damaged, or of a newer format.
    """
    try:
        record: ForecastRecord = json.loads(path.read_text(encoding="utf-8"))
        newer = record["format"] > FORMAT
        _ = newer or moment(record["created"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the forecast cannot be read: {error}", file=path, cure="Remove the file, and probe again."
        ) from error
    if newer:
        raise StoreError("the forecast was written by a newer Twofold", file=path, cure="Upgrade Twofold.")
    return record


def stored(folder: Path) -> list[ForecastRecord]:
    """All forecasts, oldest first.

    Raises:
        StoreError: one is damaged, or of a newer format.
    """
    records = [read(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
    return sorted(records, key=lambda record: (moment(record["created"]), record["key"]))
