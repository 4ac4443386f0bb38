"""`twofold examples`: training and test examples imported, checked, cleaned, made, mined and selected."""

from __future__ import annotations

import typer

from twofold.cli.examples_checking import card, check, clean, import_
from twofold.cli.examples_making import make
from twofold.cli.examples_mining import mine
from twofold.cli.examples_selecting import select
from twofold.cli.session import command

app = typer.Typer(
    help="Import, check, clean, make, mine and select examples.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback()
def root() -> None:
    """Import, check, clean, make, mine and select examples."""


command(app, "import", without=("settings",))(import_)
command(app, "check")(check)
command(app, "clean")(clean)
command(app, "card")(card)
command(app, "make")(make)
command(app, "mine")(mine)
command(app, "select")(select)
