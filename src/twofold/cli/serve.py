"""`twofold serve`: the measured arm behind the OpenAI API."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from twofold.cli.session import Run
from twofold.cli.terminal import say

if TYPE_CHECKING:
    import socket

    from twofold.config import Config
    from twofold.project import Project
    from twofold.serving.exchange import Watcher
    from twofold.serving.telemetry import Telemetry
    from twofold.settings.telemetry import TelemetrySection


def serve(
    run: Run,
    *,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen to; another machine's need an API key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 chooses a free one.")] = 8321,
    arm: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="ARM", help="Arm to serve; by default the verdict's. Repeatable."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="MODEL", help="Serve this tuned model (id or alias), in its arm. Repeatable."),
    ] = None,
    log: Annotated[
        Literal["plain", "json"] | None,
        typer.Option("--log", help="Form of the log on stderr; by default as [serving].log says."),
    ] = None,
    unmeasured: Annotated[
        bool, typer.Option("--unmeasured", help="Serve also what no study has measured with these settings.")
    ] = False,
    processes: Annotated[
        int,
        typer.Option(
            "--processes", metavar="N", min=1, help="Processes behind the address; they share [scale].database."
        ),
    ] = 1,
    listening_at: Annotated[int, typer.Option("--listening", hidden=True)] = -1,
) -> None:
    """Serve the latest study's arm to people, OpenAI clients and agents, with citations, until SIGTERM or Ctrl-C.

    People open the address in a browser, programs call it below /v1, agents at /mcp.

    Every alias of a tuned model is served beside it, unless --arm or --model say what is to be served.

    With --json one line with the address is printed when requests are taken. Exit codes: 0 stopped by a signal; 2 wrong
    use, such as an arm that was not measured; 3 the address cannot be used, or the model, index or store failed.
    """
    from twofold.errors import MissingExtra, install

    try:
        from twofold.serving import app, running
    except ModuleNotFoundError as error:
        # A module of our own that is missing is a fault of the installation, and no missing extra.
        if (error.name or "").startswith("twofold"):
            raise
        raise MissingExtra(
            f"serving needs the package {error.name!r}, which is not installed", cure=install("serve")
        ) from error
    from twofold.serving.arms import ServedArms
    from twofold.serving.batches import RunningBatches
    from twofold.serving.presence import Presence, settings
    from twofold.serving.service import Service

    # Opened twice: what is written must not share open files with what answers.
    with (
        run.project() as project,
        run.project() as curated,
        _watchers(project.config, log) as watchers,
        RunningBatches(project.config.serving.loaded) as batches,
    ):
        local = running.local(host)
        if not local:
            _require_callers(project, host)
        # Before the weights are loaded: a port that is taken is told at once.
        listening = running.inherited(listening_at) if listening_at >= 0 else running.bound(host, port)
        if processes > 1:
            _several(run, project, listening, processes)
            return
        opened = partial(ServedArms, project, batches, arms=arm or (), models=model or (), unmeasured=unmeasured)
        service = Service(project, curated, opened)
        try:
            with service.arms.using() as served:
                model_record = served.default.description()
                others = [arm.name for arm in served if arm is not served.default]
            url = running.address(listening)
            present = Presence(
                directory=str(project.directory.resolve()),
                url=running.local_address(listening),
                settings=settings(project.config),
            )
            service.presence = present
            ready: dict[str, Any] = {"url": url, "pid": os.getpid(), "model": model_record}

            def say_ready() -> None:
                if listening_at >= 0:
                    # Of several processes none is found by the file: another one might take what a command sends.
                    say(json.dumps(ready))
                    service.looks.start()
                    return
                # Only now: a command that finds the file may ask at once.
                present.publish()
                say(json.dumps(ready) if run.json else _served_line(url, model_record, others))
                if expired := service.verdicts.remark():
                    run.note(f"warning: {expired}; `twofold show` says more")
                # Where people look; the line above is for programs, and so is a log of JSON.
                if (log or project.config.serving.log) == "plain":
                    run.note(f"pages for people: {present.url}/ask; Ctrl-C ends the server")
                service.looks.start()

            grace = project.config.serving.grace
            try:
                guard = app.built(service, local=local, watchers=watchers)
                running.Server(guard, grace=grace, ready=say_ready).run(sockets=[listening])
            finally:
                # Before the arms are closed: while they end, commands answer by themselves.
                present.withdraw()
        finally:
            service.close()


def _require_callers(project: Project, host: str) -> None:
    """Refuse to listen to other machines where nobody there could prove who they are.

    Raises:
        ConfigError: there is neither a usable key nor a provider.
    """
    from twofold.errors import ConfigError
    from twofold.serving.keys import keys_of

    # Usable ones: with expired keys alone nobody could ask.
    if not keys_of(project.directory, project.places.shared).usable() and project.config.serving.oidc is None:
        raise ConfigError(
            f"{host} can be reached from other machines, and there is no API key",
            cure="Make a key with `twofold keys add NAME`, or listen to 127.0.0.1.",
        )


def _served_line(url: str, model: dict[str, Any], others: Sequence[str]) -> str:
    # Null: that is not known while the index is down.
    unknown = "refuses until its index is back" if model["measured"] is None else "not measured"
    measured = "measured" if model["measured"] else unknown
    beside = f", and {', '.join(others)}" if others else ""
    return f"{url}/v1 serves {model['id']} ({measured}){beside}"


def _several(run: Run, project: Project, listening: socket.socket, count: int) -> None:
    """Serve by several processes, each of which runs this command.

    Raises:
        ConfigError: they would share nothing, or the system lets no process inherit a socket.
    """
    from twofold.errors import ConfigError
    from twofold.serving import processes, running

    if project.places.shared is None:
        raise ConfigError(
            f"{count} processes would share neither sessions nor limits: the project has no database",
            cure="Set `database` in [scale] (docs/how-to/scale-database.md), or leave --processes out.",
        )
    if sys.platform == "win32":
        raise ConfigError("--processes needs a system of POSIX", cure="Start several servers behind a balancer.")

    def say_ready(records: list[Any]) -> None:
        first = records[0]
        ready = {**first, "pid": os.getpid(), "processes": [record["pid"] for record in records]}
        url, model = running.address(listening), first["model"]["id"]
        say(json.dumps(ready) if run.json else f"{url}/v1 serves {model} with {count} processes")

    grace = project.config.serving.grace
    processes.run(_words(sys.argv[1:]), listening, count=count, grace=grace, ready=say_ready)


def _words(words: Sequence[str]) -> list[str]:
    """The command of one process: this one's, without the option that asks for several."""
    rest, skipped = [], False
    for word in words:
        if not skipped and not word.startswith("--processes"):
            rest.append(word)
        # Its value is the next word, unless it stands behind a sign of equality.
        skipped = word == "--processes"
    return rest


@contextmanager
def _watchers(config: Config, log: Literal["plain", "json"] | None) -> Iterator[list[Watcher]]:
    """What sees requests: traces and the log, each where it is wanted.

    Raises:
        MissingExtra: there is no package for traces.
    """
    watchers: list[Watcher] = []
    with ExitStack() as watching:
        if (log or config.serving.log) == "json":
            from twofold.cli.json_log import JsonLog
            from twofold.serving.request_log import RequestLog

            # Closed last: a collector that is down is warned of until the end.
            watchers.append(RequestLog(watching.enter_context(JsonLog()).write))
        if config.telemetry.enabled:
            # Before the log, whose lines name the trace.
            watchers.insert(0, watching.enter_context(_telemetry(config.telemetry)))
        yield watchers


def _telemetry(section: TelemetrySection) -> Telemetry:
    from twofold.errors import MissingExtra, install

    try:
        from twofold.serving import telemetry
        from twofold.serving.exporting import exporters

        # In the block: which package the exporters need, the section says.
        exporting = exporters(section)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("twofold"):
            raise
        raise MissingExtra(
            f"[telemetry] needs the package {error.name!r}, which is not installed", cure=install("telemetry")
        ) from error
    return telemetry.Telemetry(section, exporting)
