"""A trainer that trains nothing and takes no time: it leaves files such as PEFT's, and a line for each run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twofold.models.tensors import write_safetensors
from twofold.plugins import loading, protocols
from twofold.plugins.jobs import TrainerJob
from twofold.training import schedule


def write_adapter(directory: Path, value: float, *, kind: str = "LORA") -> None:
    """Leave the files of an adapter whose weights are all `value`, as PEFT does."""
    recipe = {"peft_type": kind, "r": 1, "lora_alpha": 1.0}
    (directory / "adapter_config.json").write_text(json.dumps(recipe))
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    values = np.full((1, 4), value, dtype=np.float32)
    tensors = [(f"{name}.lora_A.weight", "", values), (f"{name}.lora_B.weight", "", values.T.copy())]
    write_safetensors(directory / "adapter_model.safetensors", tensors)


def report(job: TrainerJob, steps: int, **more: Any) -> dict[str, Any]:
    """What a trainer tells after so many steps."""
    return {
        **{"rows": len(job.rows[0]), "epochs": 1.0, "steps": steps, "best_step": steps, "seconds": 1.0, "tokens": 9},
        **{"tokens_per_second": 9.0, "peak_mib": 1.0, "stopped": "plan", "loss": [(steps, 1.0)], "trainable": 1},
        **{"dev": [(steps, 0.5)], **more},
    }


def effort_without_a_step() -> dict[str, Any]:
    """The effort of a training whose time limit left no step."""
    limits: Any = {"limit": 0.05, "needed": 90.0, "seconds": 3.0}
    return schedule.effort(planned=6, losses=[], epochs=0.0, stopped="minutes", dev=[], **limits)


class StandIn:
    """Writes the option `mark` as its weights; `idle`, it tells that a limit left it no step."""

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        mark: str = "a"
        scalable: bool = True
        minutes: float = 0.0
        max_length: int = 0
        epochs: float = 1.0
        idle: bool = False

    def __init__(self, options: Any) -> None:
        self.options = options

    def provenance(self, model: str) -> dict[str, str]:
        return {"weights": "none"}

    def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
        with Path(os.environ["TRAINED"]).open("a", encoding="utf-8") as log:
            log.write(self.options.mark + "\n")
        write_adapter(directory, float(ord(self.options.mark)), kind="LORA" if self.options.scalable else "IA3")
        if self.options.idle:
            return report(job, 0, effort=effort_without_a_step())
        return report(job, 3, followed=len(job.general) + len(job.facts))


@contextmanager
def known() -> Iterator[None]:
    """It is known as the trainers ``one`` and ``two`` within a ``with`` block."""
    with loading.registered("trainers", "one", StandIn), loading.registered("trainers", "two", StandIn):
        yield
