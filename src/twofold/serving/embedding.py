"""Vectors of callers' texts, a few texts at a time.

Every search needs the same embedder, which works for one at a time: thousands of texts in one call would hold up all
answers for minutes. In pieces the requests take turns, and whoever has left or is late has no further piece made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import numpy as np

from twofold.errors import DeadlinePassed, QueueFull
from twofold.plugins.protocols import Embedder

_TEXTS = 16
"""Most texts of a piece, which takes some tenths of a second where all are as long as the embedder reads."""
_LETTERS = 64_000
"""Letters from which a piece is not added to: long texts take their time to be cut into tokens."""


class Embedding:
    """Makes vectors for callers.

    Args:
        embedder: Returns the project's embedder.
        queue: Requests that may be under way; more are refused until one ends.
        seconds: Time limit of a request, waiting included.
    """

    def __init__(self, embedder: Callable[[], Embedder], *, queue: int, seconds: float) -> None:
        self._embedder = embedder
        self._queue, self._seconds = queue, seconds
        self._running = 0
        # First come, first served: a request of one text waits for a piece of others, not for all of their texts.
        self._turn = asyncio.Lock()

    async def vectors(
        self, texts: Sequence[str], *, left: Callable[[], Awaitable[bool]], spent: Callable[[int], object]
    ) -> tuple[Any, int]:
        """Vectors, float32 of shape (texts, dimension), and the number of tokens of all texts.

        Args:
            texts: At least one.
            left: Has the caller left?
            spent: Called with the tokens of each piece, also of a request that then ends early.

        Raises:
            QueueFull: too many requests are under way.
            DeadlinePassed: the texts take longer than a request may, or the caller has left.
        """
        if self._running >= self._queue:
            raise QueueFull("too many requests for vectors are under way")
        self._running += 1
        parts, tokens = [], 0
        try:
            async with asyncio.timeout(self._seconds):
                for piece in pieces(texts):
                    async with self._turn:
                        if await left():
                            raise DeadlinePassed("the caller has left")
                        vectors, count = await self._piece(piece, spent)
                    parts.append(vectors)
                    tokens += count
        except TimeoutError:
            raise DeadlinePassed(
                f"the texts did not become vectors within {self._seconds:g} s", cure="Send fewer texts at once."
            ) from None
        finally:
            self._running -= 1
        return np.concatenate(parts), tokens

    async def _piece(self, texts: Sequence[str], spent: Callable[[int], object]) -> tuple[Any, int]:
        work = asyncio.create_task(asyncio.to_thread(self._embedded, texts))
        try:
            return await asyncio.shield(work)
        finally:
            # Also where the time is over: the next piece would wait for this one in a thread, and use up the threads in
            # which everybody's routes run.
            await asyncio.wait([work])
            if work.exception() is None:
                spent(work.result()[1])

    def _embedded(self, texts: Sequence[str]) -> tuple[Any, int]:
        embedder = self._embedder()
        return embedder.embed(texts), sum(len(embedder.offsets(text)) for text in texts)


def pieces(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, a few at a time."""
    piece: list[str] = []
    letters = 0
    for text in texts:
        piece.append(text)
        letters += len(text)
        if len(piece) == _TEXTS or letters >= _LETTERS:
            yield piece
            piece, letters = [], 0
    if piece:
        yield piece
