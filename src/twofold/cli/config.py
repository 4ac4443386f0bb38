"""`twofold config`: every value in force, with its origin."""

from __future__ import annotations

import json
import sys

from twofold.cli.session import Run, console
from twofold.identity import plain


def config(run: Run) -> None:
    """Print every value with its origin: default, twofold.toml, or override."""
    from twofold.config import origins

    rows = [(key, plain(value), origin) for key, value, origin in origins(run.directory, run.overrides)]
    if run.json:
        run.result({key: {"value": value, "origin": origin} for key, value, origin in rows})
        return
    if not sys.stdout.isatty():
        run.result(None, "\n".join(f"{key} = {json.dumps(value, ensure_ascii=False)}  # {o}" for key, value, o in rows))
        return
    from rich.table import Table

    table = Table("key", "value", "origin", box=None, pad_edge=False, header_style="bold")
    for key, value, origin in rows:
        table.add_row(key, json.dumps(value, ensure_ascii=False), origin, style=None if origin == "default" else "bold")
    console().print(table)
