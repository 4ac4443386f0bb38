"""Trainers by method: the parent's side. Training itself runs in a child process, by one loop for all (`fit`)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import ClassVar

from twofold.errors import TrainingError, TwofoldError
from twofold.models import hub
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Progress
from twofold.training import launching
from twofold.training.options import (
    MEMORY,
    AdapterOptions,
    FitOptions,
    FullOptions,
    Ia3Options,
    LoraOptions,
    PrefixOptions,
    PromptOptions,
    QloraOptions,
)
from twofold.training.reckoning import keep_pace
from twofold.training.spawn import spawn
from twofold.types import Json

_CHILD = "twofold.training.worker.main"


class _Trainer:
    version: ClassVar[int] = 3

    def __init__(self, options: FitOptions) -> None:
        self.options = options

    def train(self, job: TrainerJob, directory: Path, *, progress: Progress | None = None) -> Json:
        """Train, or go on from the checkpoint in `directory`.

        Raises:
            NothingToLearn: a row is fully masked.
            TrainingError: the base model is not here, or anything else that ended the child; the message holds the end
                of its log.
        """
        options = self.options
        try:
            hub.locate(job.model)
        except TwofoldError as error:
            # The child would say the same, after the seconds that it takes to start.
            raise TrainingError(error.message, cure=error.cure) from error
        handed = {
            "method": options.method,
            "options": options.model_dump(mode="json"),
            "job": job.model_dump(mode="json"),
        }
        began = time.monotonic()
        report = spawn(_CHILD, directory, handed, memory=MEMORY, processes=options.processes, progress=progress)
        # A pace on other machines, or of another number of processes, is not that of this machine with these options.
        if not launching.elsewhere(os.environ):
            keep_pace(job, options, report, seconds=time.monotonic() - began)
        return report


class LoraTrainer(_Trainer):
    """Trains LoRA, rsLoRA and DoRA adapters; see `protocols.Trainer`."""

    Options = LoraOptions


class QloraTrainer(_Trainer):
    """Trains LoRA adapters over a 4-bit base; see `protocols.Trainer`."""

    Options = QloraOptions


class FullTrainer(_Trainer):
    """Trains all weights; see `protocols.Trainer`."""

    Options = FullOptions


class AdapterTrainer(_Trainer):
    """Trains bottleneck adapter layers; see `protocols.Trainer`."""

    Options = AdapterOptions


class PromptTrainer(_Trainer):
    """Trains a soft prompt; see `protocols.Trainer`."""

    Options = PromptOptions


class PrefixTrainer(_Trainer):
    """Trains keys and values that stand before every layer's own; see `protocols.Trainer`."""

    Options = PrefixOptions


class Ia3Trainer(_Trainer):
    """Trains IA³ scales; see `protocols.Trainer`."""

    Options = Ia3Options
