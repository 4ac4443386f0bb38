"""`twofold keys`: the API keys of a project's server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli.session import Run, command, require_known

if TYPE_CHECKING:
    from twofold.serving.keys import Key, Keys, Kind
    from twofold.serving.limits import Window

app = typer.Typer(help="API keys of the server: make, list, revoke and rotate them.", no_args_is_help=True)


def _keys(run: Run) -> Keys:
    from twofold.serving.keys import keys_of

    with run.project() as project:
        return keys_of(project.directory, project.places.shared)


def _row(key: Key) -> dict[str, Any]:
    row = asdict(key)
    # Of no use to people, and not to be copied into logs.
    del row["digest"]
    return row


def _use(windows: Mapping[Kind, Window]) -> dict[str, int]:
    requests, tokens = windows.get("requests"), windows.get("tokens")
    return {
        "requests": requests.total if requests else 0,
        "requests_this_minute": requests.spent if requests else 0,
        "tokens": tokens.total if tokens else 0,
        "tokens_today": tokens.spent if tokens else 0,
    }


_LIMITS = {"requests_per_minute": "requests a minute", "tokens_per_day": "tokens a day"}


def _limit(limit: int, words: str) -> str:
    # 0 lifts the setting's limit.
    return f"at most {limit} {words}" if limit else f"no limit of {words}"


def add(
    run: Run,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key, for people.")],
    scope: Annotated[
        str,
        typer.Option(
            "--scope",
            metavar="SCOPE",
            help="ask; curate, which also changes documents; or admin, which also sees settings, models and numbers.",
        ),
    ] = "ask",
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="User who asks with it; needed if [access] is enabled.")
    ] = "",
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME", help="A group of that user. Repeatable.")
    ] = None,
    days: Annotated[float, typer.Option("--days", help="Days until it expires; 0 for never.")] = 0,
    requests: Annotated[
        int | None,
        typer.Option("--requests-per-minute", metavar="N", min=0, help="Limit; 0 for none. Default: the setting."),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens-per-day", metavar="N", min=0, help="Limit; 0 for none. Default: the setting."),
    ] = None,
) -> None:
    """Make a key and print it, once: only its digest is stored."""
    from twofold.serving.keys import SCOPES, KeyLimits

    require_known("--scope", scope, SCOPES)
    limits = KeyLimits(requests=requests, tokens=tokens)
    with run.project() as project:
        guarded = project.config.access.enabled
    key, token = _keys(run).add(
        name, scope=SCOPES[SCOPES.index(scope)], user=user, groups=group or [], days=days, limits=limits
    )
    run.note("note: this is the only time that the key is shown")
    if guarded and not user and not group:
        run.note(
            "note: access control is enabled and the key names nobody, whatever its scope: it neither searches nor "
            "answers. Make another with --user or --group for that"
        )
    # The token alone on stdout, the note on stderr: a script takes the output as it is.
    run.result({**_row(key), "key": token}, token)


def list_keys(run: Run) -> None:
    """List the keys, their own limits and what was used with each; a key itself cannot be shown again."""
    from twofold.serving.limits import ledger_of

    with run.project() as project:
        used = ledger_of(project.directory, project.places.shared).used()
    rows = [{**_row(key), "used": _use(used.get(f"key:{key.id}", {}))} for key in _keys(run).all()]
    lines = []
    for row in rows:
        who = ", ".join(filter(None, [row["user"], *row["groups"]]))
        end = f"revoked {row['revoked']}" if row["revoked"] else f"expires {row['expires'] or 'never'}"
        use = "{requests} requests, {tokens} tokens ({tokens_today} today)".format(**row["used"])
        most = "; ".join(_limit(row[name], words) for name, words in _LIMITS.items() if row[name] is not None)
        lines.append("  ".join(filter(None, [row["id"], row["name"], row["scope"], who, end, most, use])))
    if not rows:
        run.note("there is no key: whoever is on this machine may ask. Make one with `twofold keys add NAME`")
    run.result({"keys": rows}, "\n".join(lines))


def revoke(run: Run, *, key: Annotated[str, typer.Argument(metavar="ID", help="Id of the key.")]) -> None:
    """Make a key unusable, at once and for good; running servers follow."""
    row = _row(_keys(run).revoke(key))
    run.result(row, f"{row['id']} is revoked")


def rotate(run: Run, *, key: Annotated[str, typer.Argument(metavar="ID", help="Id of the key.")]) -> None:
    """Give a key another secret and print it; the old one is refused at once."""
    changed, token = _keys(run).rotate(key)
    run.note("note: this is the only time that the key is shown")
    run.result({**_row(changed), "key": token}, token)


command(app, "add")(add)
command(app, "list")(list_keys)
command(app, "revoke")(revoke)
command(app, "rotate")(rotate)
