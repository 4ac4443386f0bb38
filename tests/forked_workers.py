"""The processes of a run of all tests (pytest-xdist) are forked from one that has imported what they all need.

Each would import for 12 s of a processor, beside the others: torch, the library and its tests' packages. A run of some
tests needs few of these, and is not kept waiting for all.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import forked

_STACK = pytest.StashKey[ExitStack]()
_COMMAND = Path(__file__).with_name("forked_command.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """Put a command that forks in the place of each process's interpreter."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    stack = config.stash[_STACK] = ExitStack()
    place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    stack.callback(forked.wait)
    nursery = stack.enter_context(forked.opened(forked.WORKER, place / "workers"))
    for spec in specs:
        spec.python = shlex.join([sys.executable, "-IS", str(_COMMAND), str(nursery.address)])


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process that was forked, once there is no other left."""
    if _STACK in config.stash:
        config.stash[_STACK].close()
