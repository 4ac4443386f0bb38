"""`twofold forget`: a document and everything derived from it removed, with a receipt."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import say
from twofold.errors import DataError, TooFewExamples
from twofold.files.reading import counted
from twofold.types import Example

if TYPE_CHECKING:
    from twofold.indexing.report import ArtifactUse
    from twofold.project import Project
    from twofold.text.quoting import Quoted


def forget(
    run: Run,
    *,
    document: Annotated[str, typer.Argument(metavar="DOC", help="Id of the document, as `index documents` lists it.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove the document without asking.")] = False,
    lift: Annotated[bool, typer.Option("--lift", help="Index the document again from the next sync on.")] = False,
) -> None:
    """Remove a document from every index version, the catalogue, caches, recorded answers and logs; write a receipt.

    Removal cannot be undone: the command asks first; without a terminal it needs --yes. Later syncs skip the document.
    Your own files are never changed: named are the file that still contains the document, the lines that quote it, and
    the tuned models trained with it, with the command that trains again.
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
        # Before it is gone: nothing tells afterwards what quotes it.
        quoted = project.versions.eraser.quoted(document)
        done = project.versions.forget(document)
        naming, quoting, unknown = _examples(project, document, quoted)
        models = _models(project, done["artifacts"], [*naming, *quoting])
        files = _lines(project, quoted)
    index, catalogue = done["index"], done["catalogue"]
    stored = done["logs"]
    lines = [
        f"forgotten: {document}",
        f"index: {counted(index['chunks'], 'chunk')}, {counted(index['versions'], 'older version')} dropped"
        + (f", with them those of {', '.join(index['tags'])}" if index["tags"] else ""),
        f"catalogue: {counted(catalogue['documents'], 'document')}, {counted(catalogue['answers'], 'answer')}, "
        f"{counted(catalogue['scores'], 'score')}",
        f"caches: {sum(done['caches']['tools'].values())} answers of live tools, {done['caches']['bench']} indexes",
        *(f"study {name}: {counted(count, 'answer')}" for name, count in done["studies"].items()),
        *([f"labels: {done['labels'] + stored['labels']}"] if done["labels"] + stored["labels"] else []),
        *([f"traffic: texts of {counted(stored['traffic'], 'row')}"] if stored["traffic"] else []),
        *([f"feedback: {counted(stored['feedback'], 'line')}"] if stored["feedback"] else []),
        *([f"edits of examples: {counted(stored['edits'], 'line')}"] if stored["edits"] else []),
        *([f"texts beside the audit log: {done['audit_texts']}"] if done["audit_texts"] else []),
        *(f"made questions, improvement/{name}: {count}" for name, count in done["questions"].items()),
        *models,
        f"receipt: {done['receipt']}",
    ]
    if done["source"]:
        lines.insert(1, f"still in your own data: {done['source']['file']}; later syncs leave it out")
    if naming:
        about = counted(len(naming), "example")
        lines.insert(-1, f"to take out of your files, as a study refuses them: {about} about it ({_some(naming)})")
    if quoting or files:
        about = counted(len(quoting) + len(files), "place")
        lines.insert(-1, f"your own files quote it in {about}: {_some([*map(_place, quoting), *files])}")
    if unknown:
        lines.append(f"whether examples name it is not known: {unknown}")
    if done["unreadable"]:
        names = ", ".join(done["unreadable"])
        lines.append(f"not looked into, the record is damaged: {names}; delete it, it may still show the document")
    report = {
        **done,
        "examples": [example.id for example in naming],
        "examples_unread": unknown,
        "quoted_in": [*map(_place, [*naming, *quoting]), *files],
    }
    run.result(report, "\n".join(lines))
    # Something may still show the document: a script must not take this for done.
    if done["left"] or done["unreadable"]:
        raise typer.Exit(1)


def _examples(project: Project, document: str, quoted: Quoted) -> tuple[list[Example], list[Example], str]:
    """Examples that name the document as a source, those that only quote it; and why they are not known, else empty."""
    try:
        examples = project.examples
    except TooFewExamples:
        return [], [], ""  # a project without examples
    except DataError as error:
        return [], [], str(error)
    naming = [example for example in examples if document in example.sources]
    rest = [example for example in examples if document not in example.sources]
    return naming, [example for example in rest if _quotes(example, quoted)], ""


def _quotes(example: Example, quoted: Quoted) -> bool:
    texts = [*(turn.content for turn in example.messages), *example.references]
    return any(map(quoted.within, texts))


def _models(project: Project, artifacts: Sequence[ArtifactUse], examples: Sequence[Example]) -> list[str]:
    """Which tuned weights saw the document, or an example about it, and how to make such as did not."""
    from twofold.examples.questions import Questions
    from twofold.store.model_registry import short

    used = {use["key"]: "perhaps, it does not say" if use["used"] == "unknown" else "yes" for use in artifacts}
    digests = set(Questions(examples).digests)
    registry = project.models.registry
    lines = []
    for record in registry.records():
        learned = (registry.learned(record) if record["here"] else None) or {}
        if not digests.isdisjoint(chain.from_iterable(learned.values())):
            used.setdefault(record["key"], "yes, by examples about it")
        if saw := used.pop(record["key"], ""):
            names = f" ({', '.join(record['aliases'])})" if record["aliases"] else ""
            lines.append(
                f"tuned model {short(record['id'])}{names}: trained with it: {saw}. For weights that never saw it, "
                f"take the examples named here out of your files, then run `twofold tune --arm {record['arm']}`"
            )
    # Artifacts that are no registered model: parts of one, a tuned embedder, of an older project.
    lines += [f"artifact {key}: trained with it: {saw}; remove it with care" for key, saw in used.items()]
    return lines


def _lines(project: Project, quoted: Quoted) -> list[str]:
    """``FILE:LINE`` of mined examples and preferences at the project's root that quote the document."""
    read = {Path(example.file).name for example in _loaded(project)}
    places = []
    for path in sorted(project.directory.glob("*.jsonl")):
        if path.name in read:
            continue
        # In pieces at the ends of lines alone: JSON allows other ends within a string.
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            if quoted.within(line.replace("\\n", " ")):
                places.append(f"{path.name}:{number}")
    return places


def _loaded(project: Project) -> Sequence[Example]:
    try:
        return project.examples
    except DataError:
        return []


def _place(example: Example) -> str:
    return f"{example.file}:{example.line}" if example.line else example.file


def _some(places: Sequence[object]) -> str:
    names = [place.id if isinstance(place, Example) else str(place) for place in places]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


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
