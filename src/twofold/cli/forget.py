"""`twofold forget`: a document and everything derived from it removed, with a receipt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import say
from twofold.errors import DataError, TooFewExamples
from twofold.files.reading import counted

if TYPE_CHECKING:
    from twofold.project import Project


def forget(
    run: Run,
    *,
    document: Annotated[str, typer.Argument(metavar="DOC", help="Id of the document, as `index documents` lists it.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove the document without asking.")] = False,
    lift: Annotated[bool, typer.Option("--lift", help="Index the document again from the next sync on.")] = False,
) -> None:
    """Remove a document from every index version, the catalogue, caches and recorded answers, and write a receipt.

    Removal cannot be undone: the command asks first; without a terminal it needs --yes. Later syncs skip the document.
    Your own files are never changed: the receipt names the file that still contains the document, and the adapters
    trained with it.
    """
    with run.project() as project, project.writing():
        if lift:
            lifted = project.versions.lift(document)
            text = "is taken in again by the next sync" if lifted else "was not left out"
            run.result({"document": document, "lifted": lifted}, f"{document} {text}")
            return
        # Before the question is put: nobody is asked to agree to the removal of what is not there.
        project.versions.check_known(document)
        if not yes:
            _agreed(document)
        done = project.versions.forget(document)
        naming, unknown = _naming(project, document)
    index, catalogue = done["index"], done["catalogue"]
    lines = [
        f"forgotten: {document}",
        f"index: {counted(index['chunks'], 'chunk')}, {counted(index['versions'], 'older version')} dropped"
        + (f", with them those of {', '.join(index['tags'])}" if index["tags"] else ""),
        f"catalogue: {counted(catalogue['documents'], 'document')}, {counted(catalogue['answers'], 'answer')}, "
        f"{counted(catalogue['scores'], 'score')}",
        f"caches: {sum(done['caches']['tools'].values())} answers of live tools, {done['caches']['bench']} indexes",
        *(f"study {name}: {counted(count, 'answer')}" for name, count in done["studies"].items()),
        *([f"labels: {done['labels']}"] if done["labels"] else []),
        *(f"made questions, improvement/{name}: {count}" for name, count in done["questions"].items()),
        *(f"artifact {use['key']}: trained with it ({use['used']}); remove it with care" for use in done["artifacts"]),
        f"receipt: {done['receipt']}",
    ]
    if done["source"]:
        lines.insert(1, f"still in your own data: {done['source']['file']}; later syncs leave it out")
    if naming:
        shown = ", ".join(naming[:3]) + (", …" if len(naming) > 3 else "")
        about = counted(len(naming), "example")
        lines.insert(-1, f"to take out of your files, as a study refuses them: {about} about it ({shown})")
    if unknown:
        lines.append(f"whether examples name it is not known: {unknown}")
    if done["unreadable"]:
        names = ", ".join(done["unreadable"])
        lines.append(f"not looked into, the record is damaged: {names}; delete it, it may still show the document")
    run.result({**done, "examples": naming, "examples_unread": unknown}, "\n".join(lines))
    # Something may still show the document: a script must not take this for done.
    if done["left"] or done["unreadable"]:
        raise typer.Exit(1)


def _naming(project: Project, document: str) -> tuple[list[str], str]:
    """Ids of the examples that name the document as a source; and why they are not known, else empty."""
    try:
        return [example.id for example in project.examples if document in example.sources], ""
    except TooFewExamples:
        return [], ""  # a project without examples
    except DataError as error:
        return [], str(error)


def _agreed(document: str) -> None:
    """Ask on a terminal; without one, refuse."""
    if not sys.stdin.isatty():
        typer.echo("error: nothing was removed: this is not a terminal, so nobody can agree to it", err=True)
        typer.echo("help: Add --yes to remove the document for good.", err=True)
        raise typer.Exit(2)
    say(
        f"Remove {document!r}, every answer that shows or cites it, and all older versions of the index, for good? "
        "[y/N] ",
        err=True,
        nl=False,
    )
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        typer.echo("nothing was removed", err=True)
        raise typer.Exit(0)
