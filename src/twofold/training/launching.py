"""How the processes of one training are started: here, by torchrun, or by torchrun on several machines.

The number of processes changes no result, only rounding (see `worker.distributed`), so whoever runs the command decides
it anew each time, by the environment and not by settings, from which keys are made: a run that was begun on two
processes resumes on one, or on eight.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twofold.errors import ConfigError
from twofold.host import children

TORCHRUN = "TWOFOLD_TORCHRUN"
"""Environment variable: arguments of torchrun, in place of the trainer's option `processes`."""
LAUNCHER = "TWOFOLD_LAUNCHER"
"""Environment variable: a command that runs the command line behind it once on each machine, as ``srun`` does."""
SETTINGS = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
"""Environment of torchrun: a new store for every start. In a shared one the processes that it starts anew find the
addresses of those that died (torch 2.13: "Gloo connectFullMesh failed", or they wait for ever)."""
_RUNNER = "torch.distributed.run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A module to run as a child, and its arguments."""

    module: str
    arguments: Sequence[str]


def launch(
    module: str, arguments: Sequence[str], *, python: str, processes: int, environment: Mapping[str, str]
) -> Launch:
    """How `module` is started with so many processes.

    Args:
        module: Dotted name of the module that trains.
        arguments: Its arguments.
        python: The interpreter, as other machines find it, too.
        processes: The trainer's option.
        environment: Where `TORCHRUN` and `LAUNCHER` are looked up.

    Raises:
        ConfigError: a variable cannot be read, or there is a launcher and nothing says what it launches.
    """
    torchrun, launcher = _words(TORCHRUN, environment), _words(LAUNCHER, environment)
    if launcher and not torchrun:
        raise ConfigError(
            f"{LAUNCHER} is set and {TORCHRUN} is not",
            cure=f"Set {TORCHRUN} to torchrun's arguments: "
            "--nnodes=2 --nproc-per-node=1 --rdzv-backend=c10d --rdzv-endpoint=HOST:29500",
        )
    if launcher:
        # Standard input does not reach other machines, so that processes there cannot watch it: the launcher ends them.
        command = [*launcher, python, "-P", "-m", _RUNNER, *torchrun, "-m", module, *arguments]
        return Launch(module=children.PROGRAM, arguments=command)
    if not torchrun and processes > 1:
        torchrun = ["--standalone", f"--nproc-per-node={processes}"]
    if not torchrun:
        return Launch(module=module, arguments=arguments)
    # Through `children`, so that each process ends with the command.
    return Launch(module=_RUNNER, arguments=[*torchrun, "-m", children.__name__, module, *arguments])


def elsewhere(environment: Mapping[str, str]) -> bool:
    """Does the environment say where training runs, in place of the options?"""
    return bool(environment.get(TORCHRUN) or environment.get(LAUNCHER))


def _words(name: str, environment: Mapping[str, str]) -> list[str]:
    try:
        return shlex.split(environment.get(name, ""))
    except ValueError as error:
        raise ConfigError(
            f"the environment variable {name} cannot be read: {error}: {environment[name]!r}",
            cure=f"Write {name} as words of a command line, with quotation marks in pairs.",
        ) from error
