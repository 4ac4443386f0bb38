"""A trainer and a generator without weights, of which every training run answers some questions otherwise."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from stand_in_trainer import report, write_adapter
from twofold.hashing import digest
from twofold.plugins import loading, protocols
from twofold.plugins.jobs import TrainerJob
from twofold.testing.echo_generator import EchoGenerator, EchoOptions
from twofold.types import Completion, Prompt


class SeededTrainer:
    """Writes its seed as weights, or the same weights whatever the seed; appends each seed to the file `log`."""

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        log: str = ""
        steady: bool = False
        epochs: float = 1.0
        max_length: int = 0
        replay: float = 0.0

    def __init__(self, options: Any) -> None:
        self.options = options

    def provenance(self, model: str) -> dict[str, str]:
        return {"weights": "none"}

    def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
        with Path(self.options.log).open("a", encoding="utf-8") as log:
            log.write(f"{job.seed}\n")
        write_adapter(directory, 1.0 if self.options.steady else float(job.seed + 1))
        return report(job, 3)


class SeededGenerator(EchoGenerator):
    """Without weights it quotes; with some it is right, but for questions that chance draws anew in each run."""

    class Options(EchoOptions):
        answers: dict[str, str] = Field(default_factory=dict)
        """Question → the right answer."""
        wrong: float = 0.3
        """Share of the questions that a run answers wrongly."""

    def generate(self, prompts: Sequence[Prompt], *, progress: Any = None) -> list[Completion]:
        completions = super().generate(prompts, progress=progress)
        if self._adapter is None:
            return completions
        out = []
        for prompt, completion in zip(prompts, completions, strict=True):
            asked = prompt.messages[-1].content
            question = next((known for known in self.options.answers if known in asked), "")
            chance = random.Random(digest("drawn", [self._adapter.weights, question])).random()
            text = "I do not know" if chance < self.options.wrong else self.options.answers.get(question, "")
            out.append(Completion(text=text, usage=completion.usage))
        return out


@contextmanager
def registered() -> Iterator[None]:
    """They are known as the trainer ``seeded`` and the generator ``seeded`` within a ``with`` block."""
    with (
        loading.registered("trainers", "seeded", SeededTrainer),
        loading.registered("generators", "seeded", SeededGenerator),
    ):
        yield
