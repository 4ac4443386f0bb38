"""`twofold examples`: training and test examples imported, checked, cleaned, made, mined and selected."""

from __future__ import annotations

import typer

from twofold.cli.examples_making import make
from twofold.cli.examples_mining import mine
from twofold.cli.examples_selecting import select
from twofold.cli.session import command

app = typer.Typer(
    help="Import, check and clean examples.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)


@app.callback()
def root() -> None:
    """Import, check and clean examples."""


command(app, "make")(make)
command(app, "mine")(mine)
command(app, "select")(select)
