"""Seconds for one question at a time: every latency of a record, a plan or a bench is measured and summed up here.

Whoever is timed answers a question before that, which is not counted: it loads what is loaded at the first use. Several
are timed in turns, in an order drawn anew for each question, so that a busy minute meets all of them. A failed answer
counts as long as one was ready to wait for it, or as the slowest: giving up is not being fast.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from twofold.types import Json

Item = TypeVar("Item")


class Clock(Generic[Item]):
    """What one of those that are timed took so far.

    Args:
        ask: Answers one question; False where it failed.
        name: Names a question, by which the seconds of several are compared.
        most: Seconds after which no further question is asked, once `least` are.
        least: Questions that are asked however long they take.
        limit: Seconds that a failed answer counts at least.
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
        self._ask, self._name, self._most, self._least, self.limit = ask, name, most, least, limit
        self.opening = 0.0
        """Seconds of `open`."""
        self.spent: dict[str, float] = {}
        """Question → seconds, in the order in which they were asked."""
        self.failed: set[str] = set()
        """Questions without an answer."""

    def open(self, item: Item, load: Callable[[], None] = lambda: None) -> None:
        """Load, and answer a question that does not count."""
        began = time.perf_counter()
        load()
        self._ask(item)
        self.opening = time.perf_counter() - began

    def ask(self, item: Item) -> None:
        """Ask one question and note its seconds, unless all the time is spent."""
        if len(self.spent) >= self._least and sum(self.spent.values()) >= self._most:
            return
        began = time.perf_counter()
        answered = self._ask(item)
        name = self._name(item)
        self.spent[name] = time.perf_counter() - began
        if not answered:
            self.failed.add(name)

    def seconds(self) -> dict[str, float]:
        """Question → seconds; a failed answer at the limit, or as long as the slowest."""
        slowest = max(self.limit, *self.spent.values()) if self.spent else self.limit
        return {name: slowest if name in self.failed else spent for name, spent in self.spent.items()}

    def summary(self) -> Json:
        """Seconds ``p50`` and ``p95``, and of how many answers, ``n``; None where every answer failed."""
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
    """Ask every question of all clocks before the next one; `progress` gets how many of them are asked."""
    for number, item in enumerate(sample):
        progress(number, len(sample))
        for clock in chance.sample(clocks, len(clocks)):
            clock.ask(item)
    progress(len(sample), len(sample))


def quantile(seconds: Sequence[float], q: float) -> float:
    """A quantile of seconds, between two of them where it falls there."""
    return float(np.quantile(list(seconds), q))
