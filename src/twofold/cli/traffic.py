"""`twofold traffic`: what the traffic log has, exported, and rid of what is too old."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.session import Run
from twofold.files.reading import counted

if TYPE_CHECKING:
    from twofold.settings.traffic import TrafficSection
    from twofold.traffic.log import TrafficLog, TrafficSummary

_KEPT = {
    "off": "a server stores nothing of what it is asked",
    "metadata": "a server stores times, sizes, ids and counts of each answer, and no text",
    "full": "a server stores questions and answers, redacted",
}


def traffic(
    run: Run,
    *,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write all rows to this JSON Lines file.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete now what is too old or too much; a server does so every hour.")
    ] = False,
) -> None:
    """Summarise the traffic log: rows, days, size, redacted places, and what [traffic] stores.

    It may be read while a server writes. No text is shown; --export writes them.
    """
    from twofold.traffic.log import FILE, TrafficLog

    with run.project() as project:
        settings, path = project.config.traffic, project.directory / FILE
        if not path.is_file() and not export:
            text = f"[traffic].log is {settings.log}: {_KEPT[settings.log]}; there is no traffic log yet"
            run.result({"log": settings.log, "file": None}, text)
            return
        with TrafficLog(path, readonly=not prune) as log:
            deleted = _pruned(log, settings, datetime.now(UTC)) if prune else 0
            exported = _exported(log, export) if export else 0
            summary = log.summary()
    lines = _lines(settings, path, summary)
    if prune:
        lines.append(f"deleted: {counted(deleted, 'row')}")
    if export:
        lines.append(f"exported: {counted(exported, 'row')} to {export}, for your eyes alone")
    report = {"log": settings.log, "file": str(path), **summary, "deleted": deleted, "exported": exported}
    run.result(report, "\n".join(lines))


def _lines(settings: TrafficSection, path: Path, summary: TrafficSummary) -> list[str]:
    span = f" from {summary['first'][:16]} to {summary['last'][:16]} (UTC)" if summary["rows"] else ""
    redacted = ", ".join(f"{number} {kind}" for kind, number in summary["redacted"].items())
    return [
        f"[traffic].log is {settings.log}: {_KEPT[settings.log]}",
        f"{path}: {counted(summary['rows'], 'row')}{span}, {summary['texts']} with a question, "
        f"{summary['bytes'] / 2**20:.1f} MiB",
        f"redacted: {redacted or 'nothing'}",
        f"rows are deleted after {settings.days:g} days, the oldest also above {settings.max_mib:g} MiB",
    ]


def _pruned(log: TrafficLog, settings: TrafficSection, now: datetime) -> int:
    before = (now - timedelta(days=settings.days)).isoformat(timespec="milliseconds")
    return log.prune(before=before, most_bytes=int(settings.max_mib * 2**20))


def _exported(log: TrafficLog, path: Path) -> int:
    from twofold.errors import refused
    from twofold.files import writing

    number = 0
    try:
        with writing.replacing(path, mode=0o600) as draft:
            # From its first letter on: other people's questions are in it.
            draft.touch(mode=0o600)
            with draft.open("w", encoding="utf-8") as out:
                for row in log.rows():
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                    number += 1
    except OSError as error:
        failure = refused(f"it cannot be written: {error.strerror or error}", error, file=path)
        failure.cure = "Name a file in a folder that can be written to, on a disk with room."
        raise failure from error
    return number
