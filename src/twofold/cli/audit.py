"""`twofold audit`: the log of who was served what, and who changed what."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli.session import Run, command, require_known
from twofold.cli.terminal import one_line
from twofold.errors import ConfigError
from twofold.files.reading import counted

if TYPE_CHECKING:
    from twofold.audit.reading import LineFilter
    from twofold.audit.record import VerifyReport

app = typer.Typer(
    help="The audit log: who was served what, and who changed what; verify, show and export it.", no_args_is_help=True
)
_FORMATS = ("jsonl", "csv")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
Since = Annotated[
    str,
    typer.Option("--since", metavar="TIME", help="Lines of this time or later: 2026-12-01, 2026-12-01T08:30, or 24h."),
]
Who = Annotated[
    str, typer.Option("--who", metavar="WHO", help="Lines of this caller, or of all whose name begins so: key:1a2b.")
]
What = Annotated[
    str, typer.Option("--what", metavar="EVENT", help="Lines of this event, or of all that begin so: command.")
]


def _log(run: Run) -> tuple[Path, bytes]:
    """Folder and key of the project's log."""
    from twofold.audit.keys import key_of
    from twofold.project.auditing import audit_folder

    with run.project() as project:
        return audit_folder(project.directory, project.places.shared), key_of(project.config.audit, project.directory)


def verify(
    run: Run,
    *,
    head: Annotated[
        str, typer.Option("--head", metavar="HEAD", help="A line noted elsewhere, NUMBER:HASH: it must be in the log.")
    ] = "",
) -> None:
    """Check that every line is as it was written: none altered, missing, out of order, or cut away at the end.

    Exit code 1: something is not; file, line and cure are named.
    """
    from twofold.audit.verifying import verify as verified

    if head and not _is_head(head):
        raise ConfigError(
            f"--head {head[:90]!r} is neither NUMBER:HASH nor HASH", cure="Give what `twofold audit head` printed."
        )
    folder, key = _log(run)
    report = verified(folder, key=key, anchor=head)
    run.result(report, "\n".join(_lines(report)))
    if not report["ok"]:
        raise typer.Exit(1)


def _is_head(text: str) -> bool:
    number, mark, digest = text.lower().rpartition(":")
    whole = len(digest) == 64 and all(letter in "0123456789abcdef" for letter in digest)
    return whole and (number.isdigit() if mark else True)


def _lines(report: VerifyReport) -> list[str]:
    lines = []
    for fault in report["faults"]:
        place = f"{fault['file']}:{fault['line']}" if fault["line"] else fault["file"]
        lines += [f"{fault['kind']}: {place}: {fault['message']}", f"  {fault['cure']}"]
    if report["more"]:
        lines.append(f"and {report['more']} more")
    lines += [f"note: {remark}" for remark in report["remarks"]]
    if report["texts"] or report["erased"]:
        lines.append(f"texts: {report['texts']} stored, {report['erased']} erased")
    state = "as they were written" if report["ok"] else counted(len(report["faults"]) + report["more"], "fault")
    lines.append(f"{counted(report['lines'], 'line')} in {counted(report['files'], 'file')}: {state}")
    if report["head"]:
        lines.append(f"head: {report['head']}")
    if not report["keyed"]:
        lines.append("without a key, whoever can write the folder can write a whole new log: note the head elsewhere")
    return lines


def head(run: Run) -> None:
    """Print number and hash of the last line, to be noted where the log's machine cannot change it."""
    from twofold.audit.log import head_of
    from twofold.errors import UnreadableFile

    folder, key = _log(run)
    last = head_of(folder, key)
    if last is None:
        raise UnreadableFile(
            "the head of the audit log is missing or damaged",
            file=folder,
            cure="Run `twofold audit verify`, which says what is there.",
        )
    place = f"{last['number']}:{last['hash']}"
    run.result({"head": place, "number": last["number"], "hash": last["hash"]}, place)


def show(
    run: Run,
    *,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, help="So many lines, the newest.")] = 20,
    since: Since = "",
    who: Who = "",
    what: What = "",
) -> None:
    """Show the newest lines. They are not verified: `audit verify` does that."""
    from twofold.audit.reading import lines
    from twofold.project.auditing import audit_folder

    with run.project() as project:
        folder = audit_folder(project.directory, project.places.shared)
    rows = list(lines(folder, _choice(since, who, what, last=last)))
    run.result({"lines": rows}, "\n".join(map(_line, rows)))


def export(
    run: Run,
    *,
    format: Annotated[str, typer.Option("--format", metavar="FORMAT", help="jsonl or csv.")] = "jsonl",
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write it there, not to stdout.")] = None,
    since: Since = "",
    who: Who = "",
    what: What = "",
) -> None:
    """Write lines for other programs. Only the files of the folder audit themselves can be verified."""
    from twofold.audit.reading import as_table, lines
    from twofold.errors import refused
    from twofold.files import writing
    from twofold.hashing import canonical_json
    from twofold.project.auditing import audit_folder

    require_known("--format", format, _FORMATS)
    with run.project() as project:
        folder = audit_folder(project.directory, project.places.shared)
    rows = lines(folder, _choice(since, who, what, last=0))
    pieces: Iterable[str] = as_table(rows) if format == "csv" else (f"{canonical_json(row)}\n" for row in rows)
    if to is None:
        # Line by line: a log does not fit into memory.
        for piece in pieces:
            sys.stdout.write(piece)
        return
    try:
        with writing.replacing(to, mode=0o600) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(pieces)
    except OSError as error:
        raise refused(f"it cannot be written: {error.strerror or error}", error, file=to) from error
    run.result({"file": str(to)}, f"written: {to}")


def _choice(since: str, who: str, what: str, *, last: int) -> LineFilter:
    from twofold.audit.reading import LineFilter

    return LineFilter(since=_time(since, datetime.now(UTC)) if since else None, who=who, what=what, last=last)


def _time(text: str, now: datetime) -> datetime:
    """The moment that ``--since`` names; one without a zone is of this machine's.

    Raises:
        ConfigError: it names none.
    """
    try:
        if text[-1:] in _UNITS and text[:-1].isdigit():
            return now - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"--since {text[:60]!r} is no time", cure="Write a date, a date and a time, or 30m, 24h or 7d."
        ) from error


def _line(row: dict[str, Any]) -> str:
    values: dict[str, Any] = row.get("values") or {}
    details = " ".join(f"{name}={_short(value)}" for name, value in values.items() if value not in ("", None, [], {}))
    return one_line(f"{row.get('number')} {row.get('time')} {row.get('who') or '?'} {row.get('what')} {details}")


def _short(value: Any) -> str:
    if isinstance(value, list):
        names = [str(item.get("id", item.get("name", ""))) if isinstance(item, dict) else str(item) for item in value]
        return ",".join(names[:5]) + (f",… ({len(names)})" if len(names) > 5 else "")
    return str(value)[:100]


command(app, "verify", without=("settings",))(verify)
command(app, "show", without=("settings",))(show)
command(app, "export", without=("settings",))(export)
command(app, "head", without=("settings",))(head)
