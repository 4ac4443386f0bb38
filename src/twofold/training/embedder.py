"""Tuning of a sentence encoder on question-passage pairs: the parent's side. Training runs in a child process.

Contrastive learning with in-batch negatives (van den Oord et al. 2018; Henderson et al. 2017) and mined hard ones
(Karpukhin et al. 2020); nested dimensions on request (Kusupati et al. 2022).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from twofold.host.capabilities import CpuArithmetic
from twofold.plugins.jobs import EmbedderJob
from twofold.plugins.protocols import Options, Progress
from twofold.training.spawn import spawn
from twofold.types import Json

_CHILD = "twofold.training.worker.embedder_main"
MODEL = "model"
"""Folder of the tuned model within the artifact: a drop-in for the stock one."""
MEMORY = "Lower memory_gib or max_tokens in [tuning.embedder.options], then rerun: it resumes."


class EmbedderOptions(Options):
    """How to tune the embedder; see docs/notebook.md for what was measured."""

    learning_rate: float = Field(default=5e-5, gt=0)
    epochs: float = Field(default=3.0, gt=0)
    batch: int = Field(default=32, ge=2)
    """Pairs a step; each passage is a negative of the other questions."""
    negatives: int = Field(default=1, ge=0)
    """Mined hard negatives a question and step, drawn from `mined`."""
    mined: int = Field(default=8, ge=0)
    """Hard negatives mined a question."""
    scale: float = Field(default=20.0, gt=0)
    """Cosines are multiplied by this before the softmax."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of steps until the full learning rate; a cosine to zero after."""
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""
    max_tokens: int = Field(default=160, ge=16)
    """Longer passages are cut, in training only."""
    query_tokens: int = Field(default=64, ge=8)
    """Longer questions lose their beginning, where a conversation is oldest."""
    matryoshka: tuple[int, ...] = ()
    """Further vector lengths that must work when vectors are cut to them, such as ``[192, 96]``."""
    freeze_words: bool = True
    """Leave the word vectors alone: half of a small encoder, and the part that few pairs spoil."""
    blends: tuple[float, ...] = (1.0, 0.5)
    """Shares of the tuned weights tried at the end, the rest being stock weights (Wortsman et al. 2022)."""
    evaluations: int = Field(default=4, ge=1)
    """Number of times that the dev split is scored."""
    patience: int = Field(default=2, ge=1)
    """Evaluations without a better dev score before stopping."""
    pool: int = Field(default=600, ge=10)
    """Passages in which the dev questions are searched, at most."""
    minutes: float = Field(default=0.0, ge=0)
    """A cap on training, evaluations included: it stops there cleanly with the best so far; 0 for no limit."""
    memory_gib: float = Field(default=3.0, gt=0.5)
    """Peak memory of the child: a larger step is made in parts (Gao et al. 2021)."""
    dtype: CpuArithmetic = "auto"
    """Arithmetic: ``auto`` (what this CPU computes fastest), ``bf16`` or ``f32``; weights are float32."""
    threads: int = Field(default=0, ge=0)
    """0: all cores."""


class EmbedderTrainer:
    """Tunes a sentence encoder in a child process."""

    version: ClassVar[int] = 1
    Options = EmbedderOptions

    def __init__(self, options: EmbedderOptions) -> None:
        self.options = options

    def train(self, job: EmbedderJob, directory: Path, *, progress: Progress | None = None) -> Json:
        """Train, or go on from the checkpoint in `directory`; leaves the model in its folder ``model``.

        Returns:
            ``pairs``, ``steps``, ``epochs``, ``best_step``, ``blend``, ``stock`` and ``tuned`` (dev nDCG@10), ``dev``
            and ``loss`` curves, ``seconds``, ``peak_mib``, ``stopped``. ``best_step`` 0 means that no checkpoint beat
            the stock model on dev: the artifact then holds the stock weights.

        Raises:
            NothingToLearn: there are no pairs.
            TrainingError: the loss is not a number, or the child died.
        """
        handed = {"options": self.options.model_dump(mode="json"), "job": job.model_dump(mode="json")}
        return spawn(_CHILD, directory, handed, memory=MEMORY, progress=progress)
