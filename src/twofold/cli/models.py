"""`twofold models`: the embedded models and where their weights are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from twofold.cli.session import Run, command

ELSEWHERE = ("project", "settings")
"""Common options that mean nothing here: models belong to the user, not to a project."""
app = typer.Typer(help="List, pull and locate models.", no_args_is_help=True, rich_markup_mode=None)


def list_models(run: Run) -> None:
    """List the models that Twofold knows, and whether they are here."""
    from twofold.identity import plain
    from twofold.store import models

    rows: list[dict[str, Any]] = plain(models.listing())
    lines: list[str] = []
    for row in rows:
        state = f"{row['bytes'] / 2**20:.0f} MiB at {row['path']}" if row["pulled"] else "not here: twofold models pull"
        lines += [f"{row['name']} ({row['kind']}, {row['licence']}): {state}", f"    {row['about']}"]
    run.result(rows, "\n".join(lines))


def pull(
    run: Run,
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Models to pull; all of them by default.")
    ] = None,
) -> None:
    """Download models into the user cache, checked against their pinned digests; present ones are kept."""
    from twofold.store import models

    places: dict[str, str] = {}
    with run.progress() as progress:
        for name in names or list(models.definitions()):
            places[name] = str(models.pull(name, progress=progress))
    run.result(places, "\n".join(f"{name}: {place}" for name, place in places.items()))


def path(run: Run, *, name: Annotated[str, typer.Argument(metavar="NAME", help="Name or source string.")]) -> None:
    """Print the directory of a pulled model."""
    from twofold.store import models

    place = str(models.locate(name))
    run.result({"name": name, "path": place}, place)


command(app, "list", without=ELSEWHERE)(list_models)
command(app, "pull", without=ELSEWHERE)(pull)
command(app, "path", without=ELSEWHERE)(path)
