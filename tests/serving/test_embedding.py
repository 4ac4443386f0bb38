"""Many texts of one caller hold up nobody else's vectors or searches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from twofold.errors import DeadlinePassed, QueueFull
from twofold.serving.embedding import Embedding, pieces
from twofold.testing.hashing_embedder import HashingEmbedder


class Slow(HashingEmbedder):
    """Works for one caller at a time, as real embedders do."""

    def __init__(self) -> None:
        super().__init__(HashingEmbedder.Options())
        self.lock = threading.Lock()
        self.calls: list[int] = []
        self.callers = self.most_callers = 0

    def embed(self, texts: Sequence[str], **more: Any) -> Any:
        self.callers += 1
        self.most_callers = max(self.callers, self.most_callers)
        with self.lock:
            self.calls.append(len(texts))
            time.sleep(0.002 * len(texts))
            self.callers -= 1
            return super().embed(texts, **more)


async def stays() -> bool:
    return False


def test_vectors_are_those_of_one_call_and_their_tokens_are_charged() -> None:
    texts = [f"parking {number}" for number in range(40)]
    embedder, charged = Slow(), list[int]()
    embedding = Embedding(lambda: embedder, queue=1, seconds=60)
    vectors, tokens = asyncio.run(embedding.vectors(texts, left=stays, spent=charged.append))
    assert vectors.tolist() == HashingEmbedder(HashingEmbedder.Options()).embed(texts).tolist()
    assert (tokens, charged) == (80, [32, 32, 16])


def test_a_request_of_one_text_waits_for_a_piece_of_others_and_not_for_all() -> None:
    embedder = Slow()
    embedding = Embedding(lambda: embedder, queue=2, seconds=60)

    async def both() -> tuple[bool, int]:
        many = asyncio.create_task(embedding.vectors(["a"] * 800, left=stays, spent=lambda _: None))
        await asyncio.sleep(0.05)
        await embedding.vectors(["b"], left=stays, spent=lambda _: None)
        earlier = (many.done(), sum(embedder.calls))
        await many
        return earlier

    done, texts = asyncio.run(both())
    assert not done
    assert texts < 800


def test_too_many_are_refused_and_who_is_late_or_has_left_has_no_more_made() -> None:
    embedder, charged = Slow(), list[int]()
    embedding = Embedding(lambda: embedder, queue=1, seconds=0.2)

    async def refusals() -> None:
        late = asyncio.create_task(embedding.vectors(["a"] * 2000, left=stays, spent=charged.append))
        await asyncio.sleep(0.02)
        with pytest.raises(QueueFull):
            await embedding.vectors(["b"], left=stays, spent=charged.append)
        with pytest.raises(DeadlinePassed, match="did not become vectors within"):
            await late

        async def leaves() -> bool:
            return sum(embedder.calls) > 0

        embedder.calls.clear()
        with pytest.raises(DeadlinePassed, match="has left"):
            await embedding.vectors(["a"] * 100, left=leaves, spent=charged.append)
        # Its place is free again.
        await embedding.vectors(["b"], left=stays, spent=charged.append)

    asyncio.run(refusals())
    assert embedder.calls == [16, 1]
    assert 0 < sum(charged) < 2000


def test_a_late_request_leaves_no_thread_behind_that_the_next_would_wait_for() -> None:
    embedder, charged = Slow(), list[int]()
    embedding = Embedding(lambda: embedder, queue=4, seconds=0.015)

    async def late(after: float) -> None:
        await asyncio.sleep(after)
        with pytest.raises(DeadlinePassed):
            await embedding.vectors(["a"] * 16, left=stays, spent=charged.append)

    async def in_turn() -> None:
        await asyncio.gather(*(late(0.01 * number) for number in range(4)))

    asyncio.run(in_turn())
    assert embedder.most_callers == 1
    assert charged == [16] * len(embedder.calls)


def test_long_texts_are_pieces_of_their_own() -> None:
    texts = ["a" * 70_000, "b", "c" * 70_000, "d"]
    assert [[text[0] for text in piece] for piece in pieces(texts)] == [["a"], ["b", "c"], ["d"]]
