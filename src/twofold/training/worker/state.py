"""A training run and its progress (heavy leaf): the state that the loop, its limits and its evaluations share."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import Progress
from twofold.training.encoding import Encoder
from twofold.training.options import FitOptions
from twofold.training.packing import Pack, TrainingRow, pack
from twofold.training.schedule import TRAINED, WRITTEN
from twofold.training.worker.distributed import Crew
from twofold.training.worker.network import Masters
from twofold.types import DevItem

Group = tuple[TrainingRow, ...]
"""Rows that are packed together: those on one passage, or the completions of one prompt."""


@dataclass
class State:
    """The progress that a resumed run needs beside weights and optimiser."""

    step: int = 0
    planned: int = 0
    """Steps in all: those of the epochs, or fewer when the limit allows no more; settled after `_SETTLING` steps."""
    seconds: float = 0.0
    """From the start of the process, over all its resumptions."""
    setup_seconds: float = 0.0
    """Of them before the first step."""
    training_seconds: float = 0.0
    first_seconds: float = 0.0
    """Of them the first step's, which may compile, or wait for memory: no pace where there are others."""
    first_tokens: int = 0
    """Tokens that the first step read."""
    fastest: float = 0.0
    """Seconds a token read of the fastest step."""
    evaluation_seconds: float = 0.0
    evaluations: int = 0
    """How often the dev split is scored; fewer than configured where there is no room for more."""
    items: int = 0
    """Dev items scored each time."""
    tokens: int = 0
    """Tokens read."""
    row_tokens: int = 0
    """Tokens the same rows hold when each repeats its prefix."""
    budget: int = 0
    """Padded tokens of a micro-batch; halved once when memory runs out."""
    halved: bool = False
    """Memory has run out, and `budget` is half of what it was."""
    losses: list[float] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    dev_loss: list[tuple[int, float]] = field(default_factory=list)
    general_loss: list[tuple[int, float]] = field(default_factory=list)
    known_facts: list[tuple[int, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Departures from the plan, for people."""
    best_step: int = 0
    best_scores: list[float] = field(default_factory=list)
    """The best evaluation's score of each dev item."""
    highest: tuple[float, float] = (-1.0, -math.inf)
    """The highest dev score, and minus the loss with it."""
    since_best: int = 0
    """Evaluations since the highest."""

    def note(self, text: str) -> None:
        """Add a note, unless an earlier part of this run has it already."""
        if text not in self.notes:
            self.notes.append(text)

    def count(self, loss: float, *, read: int, learned: int, seconds: float) -> None:
        """Count a step: its loss, the tokens that it read and those of its rows, and what it took."""
        self.step += 1
        self.losses.append(loss)
        self.tokens += read
        self.row_tokens += learned
        self.training_seconds += seconds
        if self.step == 1:
            self.first_seconds, self.first_tokens = seconds, read
        self.fastest = min(self.fastest or math.inf, seconds / read)

    def step_seconds(self) -> float:
        """Mean seconds of a step."""
        if self.step > 1:
            return (self.training_seconds - self.first_seconds) / (self.step - 1)
        return self.training_seconds / max(1, self.step)

    def token_seconds(self) -> float:
        """Mean seconds to learn from a token that is read; 0 before the first step."""
        if self.tokens > self.first_tokens:
            return (self.training_seconds - self.first_seconds) / (self.tokens - self.first_tokens)
        return self.training_seconds / max(1, self.tokens)


class OutOfTime(Exception):
    """The limit is reached within a step."""


@dataclass
class TrainingRun:
    """One training run: what is trained, on what, and how far it is."""

    job: TrainerJob
    options: FitOptions
    directory: Path
    encoder: Encoder
    network: Any
    masters: Masters
    crew: Crew
    variants: list[list[Group]]
    plan: list[tuple[int, list[int]]]
    """(epoch, group numbers) of every step."""
    shared: bool
    """Are the rows of a group one pack?"""
    dev: list[tuple[DevItem, TrainingRow]]
    general: list[TrainingRow]
    facts: list[tuple[TrainingRow, TrainingRow]]
    """Right and wrong answer to known facts."""
    progress: Progress
    began: float
    """When this process began, on the clock of ``time.perf_counter``."""
    forward: float = 0.0
    """Seconds to read a token, measured where there is a limit; 0 before."""
    trained: float = 0.0
    """Seconds to learn from a token in the last micro-batch: the machine may have become slower since `forward`."""
    references: list[list[float]] = field(default_factory=list)
    state: State = field(default_factory=State)
    setup_cpu: float = 0.0
    """Processor seconds from the start of this process to the first step."""
    cpu_share: float = 1.0
    """Of the time of this process's threads since, the part in which they computed: less where others use the cores."""
    earlier: float = 0.0
    """Seconds of the runs that this one goes on from."""

    def spent(self) -> float:
        """Seconds since the start, those of earlier runs among them."""
        return self.earlier + time.perf_counter() - self.began

    def remaining(self) -> float:
        """Seconds until the limit; infinite without one."""
        return self.options.limit * 60 - self.spent() if self.options.limit else math.inf

    def left(self) -> float:
        """Seconds until the limit that are not needed for a last evaluation; infinite without a limit."""
        # The slower of the paces seen: the limit is to hold.
        return self.remaining() - self.state.items * self.item_tokens() * max(self.forward, self.trained / TRAINED)

    def planned_tokens(self) -> int:
        """Tokens that all steps of the plan read."""
        packs = chain.from_iterable(packs_of(self, epoch, members) for epoch, members in self.plan)
        return sum(len(pack.ids) for pack in packs)

    def followed_tokens(self) -> int:
        """Tokens of what is followed besides the dev split."""
        facts = chain.from_iterable(self.facts)
        return sum(len(row.ids) for row in (*self.general, *facts))

    def item_tokens(self) -> float:
        """Work of scoring a dev item, in tokens read: its prompt twice (loss and answer), and the answer."""
        return sum(2 * len(row.ids) + WRITTEN for _, row in self.dev) / max(1, len(self.dev))


def bundles_of(run: TrainingRun, variant: int, members: Sequence[int]) -> list[list[Pack]]:
    """The packs of each group of a step."""
    bundles = []
    for member in members:
        rows = run.variants[variant][member]
        packs = [pack(rows)] if run.shared else [pack([row]) for row in rows]
        if run.references:
            packs = [replace(one, reference=run.references[variant][member]) for one in packs]
        bundles.append(packs)
    return bundles


def packs_of(run: TrainingRun, epoch: int, members: Sequence[int]) -> list[Pack]:
    """The packs of a step, of all its groups."""
    return list(chain.from_iterable(bundles_of(run, epoch % len(run.variants), members)))
