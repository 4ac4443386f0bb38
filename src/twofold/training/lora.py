"""LoRA (Hu et al. 2021, arXiv:2106.09685): the parent's side. Training itself runs in a child process.

The child gives its memory back when it ends, a crash in it is an error here and not the end of the parent, and torch
never enters the parent. The job is handed over as a file, progress comes back as JSON lines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from twofold import errors
from twofold.errors import TrainingError
from twofold.plugins import Options, Progress, TrainerJob
from twofold.types import Json

_CHILD = "twofold.training.child"


class LoraOptions(Options):
    """How to train; the defaults are those that won on the demo's dev split (see docs/notebook.md)."""

    model: str = ""
    """Base model; empty: the generator's own."""
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Linear layers that get an adapter."""
    layers: int = Field(default=0, ge=0)
    """Adapt only this many of the uppermost layers; 0 for all."""
    learning_rate: float = Field(default=1e-3, gt=0)
    epochs: float = Field(default=5.0, gt=0)
    batch: int = Field(default=24, ge=1)
    """Rows per optimiser step."""
    warmup: float = Field(default=0.06, ge=0, lt=1)
    """Share of steps until the full learning rate; linear decay to zero after."""
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""
    max_length: int = Field(default=2048, ge=16)
    """Longer rows lose the beginning of their prompt's last message; tokens."""
    memory_gib: float = Field(default=8.0, gt=1)
    """Peak memory of the child; bounds the micro-batch."""
    evaluations: int = Field(default=3, ge=1)
    """How often the dev split is scored, the first time after a third of the steps."""
    dev_items: int = Field(default=40, ge=1)
    """Dev items scored each time."""
    patience: int = Field(default=3, ge=1)
    """Evaluations without a better dev score before stopping."""
    minutes: float = Field(default=0.0, ge=0)
    """Stop cleanly after so many minutes with the best so far; 0 for no limit."""
    dtype: Literal["bf16", "f32"] = "bf16"
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    share_prefixes: bool = True
    """Read passages that several rows share once; exact, but for models with sliding windows switch it off."""
    threads: int = Field(default=0, ge=0)
    """0: all cores."""


class LoraTrainer:
    """Trains a LoRA adapter in a child process; see `plugins.Trainer`."""

    version: ClassVar[int] = 1
    Options = LoraOptions

    def __init__(self, options: LoraOptions) -> None:
        self.options = options

    def train(self, job: TrainerJob, directory: Path, *, progress: Progress | None = None) -> Json:
        """Train, or go on from the checkpoint in `directory`.

        Raises:
            NothingToLearn: a row is fully masked.
            LossStuck: the loss did not move.
            TrainingError: anything else that ended the child; the message holds the end of its log.
        """
        directory.mkdir(parents=True, exist_ok=True)
        handed = directory / "job.json"
        partial = handed.with_suffix(".partial")
        partial.write_text(
            json.dumps({"options": self.options.model_dump(mode="json"), "job": job.model_dump(mode="json")}),
            encoding="utf-8",
        )
        partial.replace(handed)
        (directory / "error.json").unlink(missing_ok=True)
        log = directory / "train.log"
        command = [sys.executable, "-P", "-m", _CHILD, str(directory)]
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
        with log.open("ab") as errors_to:
            child = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors_to, stdin=subprocess.DEVNULL, env=environment
            )
            try:
                assert child.stdout is not None
                for line in child.stdout:
                    event = json.loads(line)
                    if progress is not None:
                        progress(event["stage"], event["done"], event["total"])
                status = child.wait()
            finally:
                if child.poll() is None:
                    child.terminate()
                    child.wait()
        if status != 0:
            raise self._error(directory, log, status)
        report: Json = json.loads((directory / "training.json").read_text(encoding="utf-8"))
        for name in ("job.json", "checkpoint.pt", "best.pt"):
            (directory / name).unlink(missing_ok=True)
        return report

    def _error(self, directory: Path, log: Path, status: int) -> TrainingError:
        told = directory / "error.json"
        if told.is_file():
            said = json.loads(told.read_text(encoding="utf-8"))
            kinds = {c.code: c for c in (errors.NothingToLearn, errors.LossStuck, TrainingError)}
            return kinds.get(said["code"], TrainingError)(said["message"], cure=said["cure"])
        tail = deque(log.read_text(encoding="utf-8", errors="replace").splitlines(), maxlen=6)
        if status in (-9, 137):
            return TrainingError(
                "the training process was killed, most likely for memory",
                cure="Lower [tuning.trainer.options].memory_gib or max_length, then rerun: it resumes.",
                file=log,
            )
        return TrainingError(f"the training process ended with status {status}: {' | '.join(tail)}", file=log)
