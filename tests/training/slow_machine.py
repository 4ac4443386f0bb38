"""A machine whose arithmetic is slow, on a clock that the test moves: caps tested to the second, without waiting."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twofold.plugins.jobs import TrainerJob
from twofold.training.options import LoraOptions
from twofold.training.schedule import TRAINED
from twofold.training.worker import evaluation, limits, loop, network, scoring, state

SAVING = 0.01
"""Seconds that each look at the clock takes here, so that it never stands still."""


class SlowMachine:
    """Counts seconds instead of waiting for them: each token read takes its time, learning from it three times that.

    Args:
        seconds: of one token read.
        slower_after: seconds from the start until each token takes ten times as long.
        written: seconds of each pass that writes a token of an answer to the dev split.
        first: seconds that the first step takes besides, as where the model is compiled.
    """

    def __init__(self, seconds: float, *, slower_after: float = 1e9, written: float = 0.0, first: float = 0.0) -> None:
        self.seconds, self.slower_after, self.now = seconds, slower_after, 0.0
        self.written, self.first = written, first
        self._losses, self._generate, self._step = network.token_losses, scoring.generate, loop.take_step

    def perf_counter(self) -> float:
        """Stands for ``time.perf_counter`` in the training loop."""
        self.now += SAVING
        return self.now

    def token_losses(self, model: Any, packs: Any) -> Any:
        """Stands for ``network.token_losses``."""
        import torch

        passes = TRAINED if torch.is_grad_enabled() else 1.0
        slower = 10 if self.now > self.slower_after else 1
        self.now += self.seconds * passes * slower * sum(len(one.ids) for one in packs)
        return self._losses(model, packs)

    def generate(self, model: Any, *arguments: Any, **more: Any) -> Any:
        """Stands for ``scoring.generate``."""

        def write(*_: object) -> None:
            self.now += self.written

        hook = network.plain_of(model).get_input_embeddings().register_forward_pre_hook(write)
        try:
            return self._generate(model, *arguments, **more)
        finally:
            hook.remove()

    def take_step(self, *arguments: Any, **more: Any) -> float:
        """Stands for ``loop.take_step``."""
        self.now += self.first
        self.first = 0.0
        return self._step(*arguments, **more)

    def install(self, put: Any) -> None:
        """Replace clock and arithmetic of the loop by ``put(owner, name, value)``."""
        clock = SimpleNamespace(perf_counter=self.perf_counter, process_time=time.process_time)
        for module in (evaluation, loop, limits, state):
            put(module, "time", clock)
        put(scoring, "generate", self.generate)
        put(loop, "take_step", self.take_step)
        for module in (loop, network, scoring):
            put(module, "token_losses", self.token_losses)


def train(job: TrainerJob, options: LoraOptions, folder: Path, machine: SlowMachine, put: Any) -> float:
    """Train on `machine`; returns the seconds until the loop ended, saving apart."""
    machine.install(put)
    finish, ends = loop._finish, []

    def finishing(*arguments: Any, **more: Any) -> Any:
        ends.append(machine.now)
        return finish(*arguments, **more)

    put(loop, "_finish", finishing)
    loop.fit(job, options, folder, progress=lambda *_: None)
    return ends[0] if ends else machine.now


def train_folder(place: Path) -> None:
    """Train the job of a folder as one of ``WORLD_SIZE`` processes, each with its own such clock."""
    import pytest

    given = json.loads((place / "given.json").read_text())
    os.environ["MASTER_PORT"] = str(given["port"])
    job = TrainerJob.model_validate_json((place / "rows.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        machine = SlowMachine(given["seconds"])
        took = train(job, LoraOptions.model_validate(given["options"]), place, machine, patch.setattr)
    if os.environ["RANK"] == "0":
        (place / "took.json").write_text(json.dumps(took))
