"""Limits on the cost of one question, and its cost so far: no step begins that could exceed a cap."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from twofold.types import Json, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Limits of one question."""

    calls: int
    """Searches, tool calls and model calls together."""
    tokens: int
    """Tokens of models, read and written."""
    seconds: float
    """Wall time."""
    cost: float
    """Money."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The spending under `caps`."""

    caps: Caps
    """The limits."""
    price_per_call: Mapping[str, float]
    """Tool, collection, ``search`` or ``model`` → price of a call."""
    price_prompt: float = 0.0
    """Price of a token that the model reads."""
    price_completion: float = 0.0
    """Price of a token that the model writes."""
    clock: Callable[[], float] = time.monotonic
    """Returns seconds."""
    calls: int = 0
    """Calls made."""
    usage: Usage = field(default_factory=Usage)
    """Tokens of models."""
    cost: float = 0.0
    """Money."""
    earlier: float = 0.0
    """Seconds spent before the clock was last started: the question's share of what was done for a whole batch."""
    begun: float = 0.0
    """Time of `clock` at which it was last started."""

    def __post_init__(self) -> None:
        self.begun = self.clock()

    def restart(self) -> None:
        """Start the clock: the time since it was started before went to other questions of the batch."""
        self.begun = self.clock()

    @property
    def seconds(self) -> float:
        """Wall time spent."""
        return self.clock() - self.begun + self.earlier

    @property
    def left(self) -> float:
        """Seconds left."""
        return max(0.0, self.caps.seconds - self.seconds)

    @property
    def tokens(self) -> int:
        """Tokens spent."""
        return self.usage.prompt_tokens + self.usage.completion_tokens

    def closed(self, name: str, *, prompt: int = 0, completion: int = 0) -> str:
        """The cap that a further call could exceed; empty when the call may be made.

        Args:
            name: Tool, collection, ``search`` or ``model``.
            prompt: Most tokens that the call reads.
            completion: Most tokens that the call writes.
        """
        if self.calls >= self.caps.calls:
            return "calls"
        if self.left <= 0:
            return "seconds"
        # by the most that the call could take: a cap is never exceeded and then reported
        if prompt + completion and self.tokens + prompt + completion > self.caps.tokens:
            return "tokens"
        price = self._price(name, prompt, completion)
        if price and self.cost + price > self.caps.cost + 1e-12:  # a sum of prices may exceed its cap by rounding
            return "cost"
        return ""

    def spend(self, name: str, usage: Usage | None = None) -> float:
        """Book one call; returns its price."""
        spent = usage or Usage()
        price = self._price(name, spent.prompt_tokens, spent.completion_tokens)
        self.calls += 1
        self.cost += price
        self.usage = Usage(
            prompt_tokens=self.usage.prompt_tokens + spent.prompt_tokens,
            completion_tokens=self.usage.completion_tokens + spent.completion_tokens,
        )
        return price

    def report(self) -> Json:
        """Spent and allowed, for the trace."""
        caps = self.caps
        return {
            "calls": self.calls,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 4),
            "cost": round(self.cost, 6),
            "caps": {"calls": caps.calls, "tokens": caps.tokens, "seconds": caps.seconds, "cost": caps.cost},
        }

    def _price(self, name: str, prompt: int, completion: int) -> float:
        return self.price_per_call.get(name, 0.0) + prompt * self.price_prompt + completion * self.price_completion
