"""`twofold sync`: the index brought up to date with the sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import typer

from twofold.cli import where
from twofold.cli.progress import duration
from twofold.cli.session import Run
from twofold.cli.terminal import one_line
from twofold.files.reading import counted
from twofold.hashing import plain
from twofold.reports import word_weight

_LISTED = 20
"""Failures, and remarks on files read in part, that are printed; ``--json`` lists all."""


def sync(
    run: Run,
    *,
    source: Annotated[
        str, typer.Option("--source", metavar="NAME", help="Only this source; `documents` for [documents].paths.")
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running, and sync whenever a local file changes.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Embed every document again.")] = False,
    on: where.On = "",
) -> None:
    """Bring the index up to date with the sources: only changed files are read and embedded again.

    Exit code 1: a file or a source failed; all others are synced.
    """
    from twofold.indexing import feeds

    # Each change would rebuild everything, or be looked for in one source alone.
    if watch and (source or rebuild):
        raise typer.BadParameter("--watch follows all sources and rebuilds nothing")
    with where.placed(run, on).project() as project, run.progress() as progress:
        if watch:
            run.note("following; stop with Ctrl-C")
            again = partial(project.sync, progress=progress)
            for done in feeds.watch(project.workspace.search, project.directory, again):
                run.result(plain(done), _report_lines(done))
            return
        done = project.sync(source=source, rebuild=rebuild, progress=progress)
    run.result(plain(done), _report_lines(done))
    if done["failed"]:
        raise typer.Exit(1)


def _report_lines(done: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{done[name]} {name}" for name in ("added", "changed", "moved", "deleted", "unchanged"))
    more = f", {done['repaired']} put back" if done["repaired"] else ""
    lines = [
        f"{counts}{more}; {counted(done['chunks'], 'chunk')} ({done['embedded']} embedded) in "
        f"{duration(done['seconds'])}; index version {done['index']['version']}"
    ]
    lines += [word_weight.sentence(done["words"])] if done["words"] and done["words"]["new"] else []
    lines += [_workers(done["work"])] if "work" in done else []
    lines += [f"warning: {warning}" for warning in done["warnings"]]
    bad = [(e["source"], e["failure"]) for e in done["sources"]]
    bad += [(e["file"], e["failure"]) for e in done["files"] if e["status"] == "failed"]
    for name, failure in bad[:_LISTED]:
        # File names are written by others: a line break in one would look like a line of ours.
        failed_line = one_line(f"failed: {name}: {failure['message']} [{failure['code']}]")
        lines += [failed_line, f"  help: {one_line(failure['cure'])}"]
    if len(bad) > _LISTED:
        lines.append(f"and {len(bad) - _LISTED} more failed: `twofold sync --json` lists all")
    lines += _partly(done["files"])
    whys = Counter((e["status"], _why(e)) for e in done["files"] if e["status"] in ("skipped", "forgotten"))
    for (status, why), count in sorted(whys.items()):
        first = next(e["file"] for e in done["files"] if (e["status"], _why(e)) == (status, why))
        lines.append(one_line(f"{counted(count, 'file')} {status} ({first}{', …' if count > 1 else ''}): {why}"))
    return "\n".join(lines)


def _workers(work: Mapping[str, Any]) -> str:
    unseen = f"; {counted(work['sent'], 'file')} sent to them, which they do not see" if work["sent"] else ""
    filled = "; they wrote the index, put in by one commit" if work["filled"] else ""
    return f"read and embedded by {counted(work['workers'], 'worker')} on {work['on']}{filled}{unseen}"


def _partly(files: list[dict[str, Any]]) -> list[str]:
    """A line for each remark on files that are read and not whole; one for those that many files share."""
    remarks: dict[str, list[str]] = {}
    for entry in files:
        # A remark of one kind is printed once a file, with the number of others like it.
        counts = Counter(remark["code"] for remark in entry["remarks"])
        for remark in entry["remarks"]:
            more = counts.pop(remark["code"], 0) - 1
            if more >= 0:
                remark_text = remark["message"] + (f" (and {more} more like this)" if more else "")
                remarks.setdefault(remark_text, []).append(entry["file"])
    lines = []
    for remark_text, names in remarks.items():
        first = names[0] + (", …" if len(names) > 1 else "")
        lines.append(one_line(f"{counted(len(names), 'file')} read in part ({first}): {remark_text}"))
    rest = len(lines) - _LISTED
    return lines if rest <= 0 else [*lines[:_LISTED], f"and {rest} more remarks: `twofold sync --json` lists all"]


def _why(entry: dict[str, Any]) -> str:
    """Why a file was left out, alike for all that are left out for the same reason."""
    if entry["status"] == "forgotten":
        return "left out since `twofold forget`"
    failure = entry["failure"] or {}
    if failure.get("code") == "data.empty-document":
        return "without text"
    # Without the file's name, files left out for one reason share a line.
    message = str(failure.get("message", "")).removeprefix(f"{entry['file']}: ")
    return f"{message}. {failure['cure']}" if failure.get("code") == "data.no-reader" else message
