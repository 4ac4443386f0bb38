"""The option by which a command says where its work runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

import typer

from twofold.cli.session import Run, place, require_known

_PLACES = ("local", "ray")

On = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="PLACE",
        help="Where the work runs: `local` in this process, `ray` on the cluster of [scale].address, or on a Ray of "
        "this machine. In place of [scale].on.",
    ),
]
"""Annotation of a command's parameter ``on``, by default empty."""


def placed(run: Run, on: str) -> Run:
    """The invocation with ``--on`` laid over the configuration.

    Raises:
        ConfigError: there is no such place.
    """
    if not on:
        return run
    require_known("--on", on, _PLACES)
    overrides = json.loads(json.dumps(run.overrides))  # a copy: those of ``--set`` stay as they are
    place(overrides, ["scale", "on"], on)
    return replace(run, overrides=overrides)
