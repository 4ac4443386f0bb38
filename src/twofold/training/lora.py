"""LoRA (Hu et al. 2021, arXiv:2106.09685): the parent's side. Training itself runs in a child process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from twofold.jobs import TrainerJob
from twofold.plugins import Options, Progress
from twofold.training.spawn import spawn
from twofold.types import Json

_CHILD = "twofold.training.child"
MEMORY = "Lower [tuning.trainer.options].memory_gib or max_length, then rerun: it resumes."


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
        handed = {"options": self.options.model_dump(mode="json"), "job": job.model_dump(mode="json")}
        return spawn(_CHILD, directory, handed, memory=MEMORY, progress=progress)
