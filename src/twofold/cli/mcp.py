"""`twofold mcp`: the project's documents and answers as tools of an agent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import one_line, say


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
    from twofold.serving.arms import ServedArms
    from twofold.serving.batches import RunningBatches
    from twofold.serving.mcp import Tools, built, principal
    from twofold.serving.served import Served

    with run.project() as project, RunningBatches(project.config.serving.loaded) as batches:
        # Once, from the command line: an agent must not choose whom it works for.
        seen = principal(project, user, group or [])
        named = {"arms": [arm] if arm else [], "models": [model] if model else []}
        opened = partial(ServedArms, project, batches, **named, unmeasured=unmeasured)
        arms: Served[ServedArms] = Served(project, opened, complete=lambda arms: arms.complete)
        if sys.stdin.isatty():
            run.note(
                "note: this waits for an agent's program, which starts `twofold mcp` itself and writes to its input; "
                "docs/how-to/serve.md shows what to enter there. Ctrl-D ends it"
            )
        try:
            built(Tools(project, arms, lambda: seen), name=f"twofold {project.config.project.name}").run()
        except BaseExceptionGroup as raised:
            # A signal may arrive within a task of the protocol's server, which gathers what its tasks raise.
            errors = [*_errors(raised)]
            ending = next((each for each in errors if isinstance(each, KeyboardInterrupt)), errors[0])
            # One ends the command, with its own exit code: the others are said here, or nobody would see them.
            for other in errors:
                if other is not ending and not isinstance(other, KeyboardInterrupt):
                    say(f"error: {one_line(str(other)) or type(other).__name__}", err=True)
            raise ending from raised
        finally:
            arms.close()


def _errors(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _errors(error)
        else:
            yield error
