"""Checkpoints of a run: written beside and renamed, two generations, and the damaged ones recognised."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from twofold.errors import TrainingError
from twofold.files import writing

NAME, EARLIER = "checkpoint.pt", "checkpoint.earlier.pt"
# Where a file is cut or foreign decides which of these torch raises.
_DAMAGED = (RuntimeError, KeyError, ValueError, EOFError, OSError, AttributeError, pickle.UnpicklingError)


def write(path: Path, value: Any) -> None:
    """Save `value` under `path`, whole or not at all.

    Raises:
        TrainingError: the disk is full, or refuses.
    """
    import torch

    try:
        with writing.replacing(path) as draft:
            torch.save(value, draft)
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"the checkpoint cannot be written (is the disk full?): {str(error).splitlines()[0]}",
            file=path.parent,
            cure="Free disk space and run the command again: training resumes from the last checkpoint.",
        ) from error


def keep(directory: Path, value: Any) -> None:
    """Make `value` the newest checkpoint; the one before stays as a second chance."""
    newest = directory / NAME
    write(directory / "checkpoint.new.pt", value)
    # In this order: a kill between any two of the steps leaves one whole checkpoint under a known name.
    if newest.is_file():
        writing.put(newest, directory / EARLIER)
    writing.put(directory / "checkpoint.new.pt", newest)


def newest(directory: Path) -> tuple[Any, list[str]]:
    """The newest checkpoint that can be read (None: begin), and notes on those that cannot."""
    notes: list[str] = []
    for name in (NAME, EARLIER):
        path = directory / name
        if not path.is_file():
            continue
        checkpoint = read(path)
        if checkpoint is not None and {"state", "masters", "optimiser", "random"} <= set(checkpoint):
            return checkpoint, [*notes, *(["training went on from the checkpoint before it"] if notes else [])]
        notes.append(f"{name} is damaged ({path.stat().st_size} bytes)")
    return None, [*notes, *(["training began again"] if notes else [])]


def read(path: Path) -> Any:
    """Read a checkpoint that `write` saved; None where it is missing or damaged."""
    import torch

    try:
        # `weights_only`: a pickle may run anything, and a project's folder may come from somebody else.
        return torch.load(path, weights_only=True, map_location="cpu")
    except _DAMAGED:
        return None
