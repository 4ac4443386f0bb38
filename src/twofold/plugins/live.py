"""The protocol of a running batch, which live requests join and leave one by one, and what its generator may state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from twofold.plugins.results import EndpointState, WrittenBatch
from twofold.types import Completion, Prompt

Receive = Callable[[str | Completion | Exception], None]
"""Gets the pieces of one completion as they come, and last the whole `Completion`, or the error in its place. Called in
a thread of the batch, which must not wait: it only passes on what it gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChance:
    """How likely a token of a completion was."""

    token: str
    """Its text."""
    logprob: float
    """Natural logarithm of its probability."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens at its place, with their logarithms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailedCompletion(Completion):
    """A completion of a request that wanted to know how likely its tokens were."""

    chances: tuple[TokenChance, ...] = ()
    """Of each token of the text."""

    @classmethod
    def of(cls, completion: Completion, chances: Iterable[TokenChance]) -> DetailedCompletion:
        """A completion with its details."""
        return cls(
            text=completion.text,
            usage=completion.usage,
            seconds=completion.seconds,
            first=completion.first,
            finish=completion.finish,
            failure=completion.failure,
            chances=tuple(chances),
        )


class LiveBatch(Protocol):
    """Completions under way. All methods may be called from any thread."""

    def submit(
        self,
        prompt: Prompt,
        receive: Receive,
        *,
        temperature: float | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
    ) -> Callable[[], None]:
        """Let a prompt join the batch; what is wrong with one prompt reaches only its own `receive`.

        Args:
            prompt: What is to be completed.
            receive: Gets the pieces, then the completion (with a `Failure` where the prompt is at fault) or the error.
            temperature: Of this completion; None: as the generator was configured.
            seed: Of this completion; None: as the generator was configured.
            logprobs: Tell how likely its tokens were, with so many alternatives; see `TellsChances`.

        Returns:
            A function that cancels the request: its place is free soon, and `receive` is not called again.

        Raises:
            GenerationError: the batch is closed, or the engine does not start.
        """
        ...

    def close(self) -> None:
        """End the batch; whatever still runs gets a `GenerationError`."""
        ...


@runtime_checkable
class KnowsRounding(Protocol):
    """A generator that knows whether its arithmetic depends on what is answered beside a prompt."""

    @property
    def byte_equal(self) -> bool:
        """Has a greedy completion the same bytes alone, in any batch and live, but for words that are all but tied?"""
        ...


@runtime_checkable
class SpreadsBatches(Protocol):
    """A generator that completes several batches at a time, in processes or on machines of their own."""

    def completed(self, batches: Iterable[Sequence[Prompt]]) -> Iterator[tuple[int, WrittenBatch]]:
        """The place of each batch with its completions, as they are done."""
        ...


@runtime_checkable
class TellsChances(Protocol):
    """A generator whose running batch can tell how likely the tokens of a completion were."""

    @property
    def most_alternatives(self) -> int | None:
        """Most alternatives that it tells for each token; None where it tells nothing."""
        ...


@runtime_checkable
class KnowsEndpoints(Protocol):
    """A generator that answers over the network, and knows how its endpoints do."""

    def endpoints(self) -> list[EndpointState]:
        """The state of each, in the order of the options; costs no request."""
        ...
