"""`twofold index`: the documents by their ids; versions of the index, how they differ, going back to one."""

from __future__ import annotations

from typing import Annotated

import typer

from twofold.cli.session import Run, command
from twofold.cli.terminal import one_line
from twofold.files.reading import counted

app = typer.Typer(
    no_args_is_help=True, help="List documents and their ids; list, compare and restore versions of the index."
)
_LISTED = 40
"""Documents that `diff` names of each kind of change; ``--json`` lists all."""


def documents(
    run: Run,
    *,
    part: Annotated[
        str,
        typer.Argument(metavar="[TEXT]", help="Only documents whose id or title contains this text, ignoring case."),
    ] = "",
) -> None:
    """List the documents of the last sync by id (as used in `doc_ids` and `forget`) and title.

    Before the first sync, the files of [documents].paths are read instead.
    """
    from twofold.indexing import feeds

    with run.project() as project, run.progress() as progress:
        # Listing writes nothing: a project that was never synced gets no catalogue by it.
        catalogue = project.catalogue if project.places.has_catalogue else None
        rows, synced = feeds.listed(catalogue, project.config.documents, project.directory, progress=progress)
    rows = [row for row in rows if part.casefold() in f"{row['id']}\n{row['title']}".casefold()]
    width = min(60, max((len(row["id"]) for row in rows), default=0))
    lines = [f"{one_line(row['id']):<{width}}  {one_line(row['title'])}".rstrip() for row in rows]
    run.result({"documents": rows}, "\n".join([*lines, counted(len(rows), "document")]))
    if not synced:
        run.note("note: nothing is synced yet; these are the documents in [documents].paths")


def log(
    run: Run,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list versions within a sync and from compaction.")
    ] = False,
) -> None:
    """List the readable versions, oldest first: time, number of chunks, cause, tags (studies tag their versions)."""
    with run.project() as project:
        rows = project.versions.log(everything=everything)
    lines = []
    for row in rows:
        change = ", ".join(f"{count} {what}" for what, count in row["change"].items() if count)
        tags = f" [{', '.join(row['tags'])}]" if row["tags"] else ""
        mark = " (newest)" if row["newest"] else ""
        lines.append(f"{row['version']:>6}  {row['at']}  {counted(row['chunks'], 'chunk')}  {change}{tags}{mark}")
    run.result({"versions": rows}, "\n".join(lines))


def diff(
    run: Run,
    *,
    before: Annotated[
        str,
        typer.Argument(
            metavar="[BEFORE]",
            help="A version number or tag; by default what a study measured last, else the version before the newest.",
        ),
    ] = "",
    after: Annotated[
        str, typer.Argument(metavar="[AFTER]", help="A version number or tag; the newest by default.")
    ] = "",
) -> None:
    """Show which documents were added (+), changed (~) and deleted (-) between two versions."""
    with run.project() as project:
        done = project.versions.diff(before, after)
    lines = [f"version {done['before']} → {done['after']}"]
    for mark, what, names in (
        ("+", "added", done["added"]),
        ("~", "changed", done["changed"]),
        ("-", "deleted", done["deleted"]),
    ):
        lines += [f"{mark} {one_line(name)}" for name in names[:_LISTED]]
        if len(names) > _LISTED:
            lines.append(f"{mark} and {len(names) - _LISTED} more {what}")
    run.result(done, "\n".join(lines))


def restore(
    run: Run, *, version: Annotated[str, typer.Argument(metavar="VERSION", help="A version number or tag.")]
) -> None:
    """Restore an older version as the newest; the next `twofold sync` brings it up to date with the sources."""
    with run.project() as project, project.writing():
        done = project.versions.restore(version)
    text = (
        f"version {done['restored']} is now version {done['version']}: {counted(done['documents'], 'document')}, "
        f"{counted(done['chunks'], 'chunk')}\n"
        "ask, study and tune use it as it is; `twofold sync` brings it forward again"
    )
    run.result(done, text)


def prune(
    run: Run,
    *,
    keep_days: Annotated[
        float | None, typer.Option("--keep-days", help="Days to keep, instead of the index's option keep_days.", min=0)
    ] = None,
) -> None:
    """Delete old versions except tagged ones; a sync does this automatically once a day."""
    with run.project() as project, project.writing():
        done = project.versions.prune(keep_days=keep_days)
    run.result(done.to_json(), f"{counted(done.dropped, 'version')} dropped, {len(done.remaining)} left")


command(app, "documents")(documents)
command(app, "log")(log)
command(app, "diff")(diff)
command(app, "restore")(restore)
command(app, "prune")(prune)
