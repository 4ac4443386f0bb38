"""Seconds for one question at a time: this module measures and summarises every latency of a record, plan or bench.

Each system first answers a question that does not count, as it loads parts at the first use. Several systems are timed
in turns, in a new random order for each question, so that a busy minute affects all of them. A failed answer counts as
long as the limit, or as the slowest answer: giving up is not being fast.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypedDict, TypeVar

import numpy as np

from twofold.host.load import Load

Item = TypeVar("Item")


class TimingSummary(TypedDict):
    """Quantiles of the seconds of answers."""

    p50: float | None
    """None where every answer failed."""
    p95: float | None
    n: int
    """Number of answers timed."""


class Clock(Generic[Item]):
    """The times of one system.

    Args:
        ask: Answers a question; returns False for a failure.
        name: Returns the name of a question, by which the seconds of several systems are compared.
        most: Total seconds after which no further question is asked, once `least` were asked.
        least: Questions that are asked however long they take.
        limit: Least seconds that a failed answer counts.
    """

    def __init__(
        self,
        ask: Callable[[Item], bool],
        *,
        name: Callable[[Item], str],
        most: float = math.inf,
        least: int = 0,
        limit: float = 0.0,
    ) -> None:
        self._ask, self._most, self._least, self.limit = ask, most, least, limit
        self.name = name
        """Returns the name of a question."""
        self.opening = 0.0
        """Seconds that `open` took."""
        self.spent: dict[str, float] = {}
        """Question → seconds, in the order of the questions."""
        self.failed: set[str] = set()
        """Questions whose answers failed."""
        self.load = Load()
        """Use of the processor by other programs meanwhile."""

    def open(self, item: Item, load: Callable[[], None] = lambda: None) -> None:
        """Load the system, and have it answer a question that does not count."""
        began = time.perf_counter()
        load()
        self._ask(item)
        self.opening = time.perf_counter() - began

    def ask(self, item: Item) -> None:
        """Ask a question and record its seconds, unless the time is used up."""
        if len(self.spent) >= self._least and sum(self.spent.values()) >= self._most:
            return
        with self.load:
            began = time.perf_counter()
            answered = self._ask(item)
            spent = time.perf_counter() - began
        name = self.name(item)
        self.spent[name] = spent
        if not answered:
            self.failed.add(name)

    def seconds(self) -> dict[str, float]:
        """Question → seconds; a failed answer at the limit, or as long as the slowest."""
        slowest = max(self.limit, *self.spent.values()) if self.spent else self.limit
        return {name: slowest if name in self.failed else spent for name, spent in self.spent.items()}

    def summary(self) -> TimingSummary:
        """The answers' seconds in short."""
        # failures alone have no latency
        seconds = list(self.seconds().values()) if len(self.failed) < len(self.spent) else []
        p50, p95 = (quantile(seconds, q) if seconds else None for q in (0.5, 0.95))
        return {"p50": p50, "p95": p95, "n": len(seconds)}


def in_turns(
    clocks: Sequence[Clock[Item]],
    sample: Sequence[Item],
    *,
    chance: random.Random,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Ask all systems a question before the next one; `progress` gets the number of finished questions."""
    for number, item in enumerate(sample):
        progress(number, len(sample))
        for clock in chance.sample(clocks, len(clocks)):
            clock.ask(item)
    progress(len(sample), len(sample))


def quantile(seconds: Sequence[float], q: float) -> float:
    """A quantile of seconds, interpolated between two values."""
    return float(np.quantile(list(seconds), q))
