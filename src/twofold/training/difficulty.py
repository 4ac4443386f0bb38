"""Measure the difficulty of an example for a model before tuning; also the child process that measures it.

Instruction-following difficulty (Li et al. 2023, arXiv:2308.12032): the loss of the answer after its question, divided
by the loss of the answer after an empty question. Near 0: the question gives the answer away to this model, there is
little to learn. At 1 or more the question does not help at all: the pair is likely wrong, or beyond the model.

Run as ``python -m twofold.training.difficulty DIRECTORY`` it is the child.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from twofold.files import writing
from twofold.host.capabilities import Arithmetic
from twofold.plugins.jobs import DifficultyJob
from twofold.plugins.protocols import Options, Progress
from twofold.training.spawn import spawn
from twofold.training.worker.main import run
from twofold.types import Json, Pair

_CHILD = "twofold.training.difficulty"
MEMORY = "Lower batch_tokens or max_length, then rerun: it goes on where it was."
SCORES = "scores.jsonl"
"""File of the scores, a line a row, in the order of the rows."""
_PIECE = 64
"""Rows whose scores are written at a time."""


class DifficultyOptions(Options):
    """Options of the difficulty measurement."""

    max_length: int = Field(default=2048, ge=16)
    """Longer rows lose the beginning of their prompt's last message; tokens."""
    batch_tokens: int = Field(default=4096, ge=64)
    """Tokens worked on at a time."""
    dtype: Arithmetic = "auto"
    """Arithmetic: ``auto`` (what this machine computes fastest), ``bf16`` or ``f32``."""
    threads: int = Field(default=0, ge=0)
    """0: all cores."""


class Difficulty:
    """Measures instruction-following difficulty in a child process; trains nothing."""

    version: ClassVar[int] = 1
    Options = DifficultyOptions

    def __init__(self, options: DifficultyOptions) -> None:
        self.options = options

    def train(self, job: DifficultyJob, directory: Path, *, progress: Progress | None = None) -> Json:
        """Score every row, or go on where a killed run was; leaves ``scores.jsonl`` in `directory`.

        A line has ``example``, ``asked`` and ``alone``, the mean loss of an answer token (nats) with and without the
        question.

        Raises:
            NothingToLearn: a row has no answer.
            TrainingError: the child died; the message holds the end of its log.
        """
        handed = {"options": self.options.model_dump(mode="json"), "job": job.model_dump(mode="json")}
        return spawn(_CHILD, directory, handed, memory=MEMORY, progress=progress)


def score(job: DifficultyJob, options: DifficultyOptions, directory: Path, *, progress: Progress) -> None:
    """Score the job's rows that ``scores.jsonl`` does not have yet."""
    import torch
    from transformers import AutoModelForCausalLM

    from twofold.models import hub
    from twofold.training.encoding import Encoder
    from twofold.training.worker import methods

    begun = time.monotonic()
    if options.threads:
        torch.set_num_threads(options.threads)
    done = _finished(directory / SCORES)
    source = hub.locate(job.model)
    encoder = Encoder(source)
    dtype = torch.bfloat16 if options.dtype == "bf16" else torch.float32
    network = AutoModelForCausalLM.from_pretrained(
        source, dtype=dtype, attn_implementation="sdpa", trust_remote_code=False
    ).eval()
    network.to(methods.device())
    with (directory / SCORES).open("a", encoding="utf-8") as out:
        for at in range(done, len(job.rows), _PIECE):
            part = job.rows[at : at + _PIECE]
            open_losses = _losses(network, encoder, part, options)
            alone_losses = _losses(network, encoder, [_unasked(row) for row in part], options)
            for row, open_loss, alone_loss in zip(part, open_losses, alone_losses, strict=True):
                out.write(json.dumps({"example": row.example, "asked": open_loss, "alone": alone_loss}) + "\n")
            writing.flush(out)  # what is on the disk is not measured again after a kill
            progress("difficulty", min(at + _PIECE, len(job.rows)), len(job.rows))
    report = {"rows": len(job.rows), "resumed": done, "seconds": time.monotonic() - begun}
    (directory / "training.json").write_text(json.dumps(report), encoding="utf-8")


def _finished(path: Path) -> int:
    """Whole lines of a scores file; what a kill left of another is cut off."""
    if not path.is_file():
        return 0
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    return whole.count(b"\n")


def _unasked(row: Pair) -> Pair:
    """The same answer after an empty question, so that the model's own frame of a chat stays."""
    return replace(row, messages=tuple(replace(m, content="") for m in row.messages[-1:]))


def _losses(network: Any, encoder: Any, rows: Sequence[Pair], options: DifficultyOptions) -> list[float]:
    """Mean loss of each row's answer tokens, the end-of-turn token apart."""
    import torch

    from twofold.training.packing import micro_batches, pack
    from twofold.training.worker.network import token_losses

    packs = []
    for number, row in enumerate(rows):
        packed = pack([encoder.row(row, options.max_length)])
        packs.append(replace(packed, reference=float(number)))  # micro-batches are sorted: found again by its number
    out = [0.0] * len(rows)
    with torch.inference_mode():
        for part in micro_batches(packs, options.batch_tokens):
            losses = token_losses(network, part).tolist()
            at = 0
            for packed in part:
                row_losses = losses[at : at + len(packed.targets)]
                at += len(packed.targets)
                # Every answer ends alike: the end-of-turn token would make short answers look easy.
                answer_losses = row_losses[:-1] if len(row_losses) > 1 else row_losses
                out[int(packed.reference)] = sum(answer_losses) / len(answer_losses)
    return out


def main(directory: Path) -> int:
    """Score the rows of the job in `directory`; returns the exit status."""

    def work(handed: Json, progress: Progress) -> None:
        job, options = DifficultyJob.model_validate(handed["job"]), DifficultyOptions.model_validate(handed["options"])
        score(job, options, directory, progress=progress)

    return run(directory, work, memory=MEMORY)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
