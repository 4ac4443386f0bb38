"""`twofold forget`: a document and everything derived from it removed, with a receipt."""

from __future__ import annotations

from typing import Annotated

import typer

from twofold.cli.session import Run


def forget(
    run: Run,
    *,
    document: Annotated[str, typer.Argument(metavar="DOC", help="Id of the document, as citations name it.")],
    lift: Annotated[bool, typer.Option("--lift", help="Take it in again from the next sync on.")] = False,
) -> None:
    """Remove a document from every index version, the catalogue, caches and recorded answers, and write a receipt.

    Later syncs leave it out. Your own files are never touched: the receipt says which one still holds it, and which
    adapters were trained with it.
    """
    with run.project() as project, project.writing():
        if lift:
            lifted = project.catalogue.lift_forgotten(document)
            text = "is taken in again by the next sync" if lifted else "was not left out"
            run.result({"document": document, "lifted": lifted}, f"{document} {text}")
            return
        done = project.versions.forget(document)
    index, catalogue = done["index"], done["catalogue"]
    lines = [
        f"forgotten: {document}",
        f"index: {index['chunks']} chunks, {index['versions']} older versions dropped"
        + (f", with them those of {', '.join(index['tags'])}" if index["tags"] else ""),
        f"catalogue: {catalogue['documents']} documents, {catalogue['answers']} answers, {catalogue['scores']} scores",
        f"caches: {sum(done['caches']['tools'].values())} answers of live tools, {done['caches']['bench']} indexes",
        *(f"study {name}: {count} answers" for name, count in done["studies"].items()),
        *(
            f"artifact {made['key']}: trained with it ({made['used']}); remove it with care"
            for made in done["artifacts"]
        ),
        f"receipt: {done['receipt']}",
    ]
    if done["source"]:
        lines.insert(1, f"still in your own data: {done['source']['file']}; later syncs leave it out")
    run.result(done, "\n".join(lines))
    if done["left"]:
        raise typer.Exit(1)
