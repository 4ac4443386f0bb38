"""`twofold plugins`: what is installed behind each protocol, and what is missing."""

from __future__ import annotations

from typing import Any

from twofold.cli.session import Run
from twofold.hashing import plain


def plugins(run: Run) -> None:
    """List plugins by kind: name, version, options with defaults, or the extra that is missing."""
    from twofold.plugins.loading import names
    from twofold.plugins.protocols import KINDS

    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    for kind in KINDS:
        lines.append(kind)
        for name in names(kind):
            row = describe(kind, name)
            rows.append(row)
            state = f"version {row['version']}" if row["available"] else f"not available: {row['missing']}"
            options = ", ".join(f"{key}={value!r}" for key, value in row["options"].items())
            lines.append(f"  {row['name']:<20} {state}{'; ' + options if options else ''}")
    run.result(rows, "\n".join(lines))


def describe(kind: Any, name: str) -> dict[str, Any]:
    """One plugin as JSON values; required options have the value None."""
    from pydantic_core import PydanticUndefined

    from twofold.errors import MissingExtra
    from twofold.plugins.loading import find

    row: dict[str, Any] = {"kind": kind, "name": name, "version": None, "options": {}, "summary": ""}
    try:
        plugin = find(kind, name)
    # A plugin whose package is not installed is listed with the command that installs it.
    except MissingExtra as error:
        return {**row, "available": False, "missing": error.cure}
    fields = plugin.Options.model_fields
    # A required option has no default; JSON has no word for that but null.
    defaults = {key: field.get_default(call_default_factory=True) for key, field in fields.items()}
    return {
        **row,
        "version": plugin.version,
        "options": {key: None if value is PydanticUndefined else plain(value) for key, value in defaults.items()},
        "summary": (plugin.__doc__ or "").strip().split("\n", 1)[0],
        "available": True,
        "missing": "",
    }
