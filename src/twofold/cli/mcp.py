"""`twofold mcp`: the project's documents and answers as tools of an agent."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from twofold.cli.session import Run


def mcp(
    run: Run,
    *,
    arm: Annotated[
        str, typer.Option("--arm", metavar="ARM", help="Arm that answers; by default the one that the verdict chose.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Answer with this tuned model (id or alias), in its arm.")
    ] = "",
    unmeasured: Annotated[
        bool, typer.Option("--unmeasured", help="Answer also with what no study has measured with these settings.")
    ] = False,
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Who the agent works for; required if [access] is enabled.")
    ] = "",
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME", help="A group of that user. Repeatable.")
    ] = None,
) -> None:
    """Speak the Model Context Protocol over standard input and output: search, fetch, ask, sources.

    An agent's program starts this command itself; it ends when its input does.
    """
    from twofold.errors import MissingExtra, install

    try:
        import mcp.server  # noqa: F401 - whether it is there
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"the protocol needs the package {error.name!r}, which is not installed", cure=install("serve")
        ) from error
    from twofold.serving.arm import ServedArm
    from twofold.serving.mcp import Tools, built, principal
    from twofold.serving.served import Served

    with run.project() as project:
        seen = principal(project, user, group or [])
        arms: Served[ServedArm] = Served(
            project, partial(ServedArm, project, arm=arm, model=model, unmeasured=unmeasured)
        )
        try:
            built(Tools(project, arms, seen), name=f"twofold {project.directory.name}").run()
        finally:
            arms.close()
