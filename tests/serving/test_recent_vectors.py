"""Vectors of questions that were asked before."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest

from twofold.plugins.protocols import CountsUnknown, Embedder, Index, Parts, TokenEmbedder
from twofold.serving.batches import RunningBatches
from twofold.serving.live_parts import LiveParts, RecentVectors
from twofold.testing.conformance_embedder import PROMISES, Subject
from twofold.testing.hashing_embedder import HashingEmbedder


class Counting(HashingEmbedder):
    """Counts the texts that it embeds."""

    count = 0

    def embed(self, texts: Sequence[str], *, progress: Any = None) -> Any:
        self.count += len(texts)
        return super().embed(texts, progress=progress)


class Offering(HashingEmbedder):
    """Offers all that an embedder may offer."""

    def unknown(self, text: str) -> int:
        return len(text)

    def tokens(self, texts: Sequence[str]) -> list[Any]:
        return list(texts)


def counting() -> tuple[Counting, Embedder]:
    embedder = Counting(HashingEmbedder.Options())
    return embedder, cast("Embedder", RecentVectors(embedder))


OF_THE_CLASS = {"has_every_member", "refuses_unknown_options"}
"""Promises about the plugin's class: version and options are the wrapped embedder's, nobody configures this one."""


@pytest.mark.parametrize("promise", [promise for promise in PROMISES if promise.__name__ not in OF_THE_CLASS])
def test_conformance(promise: Callable[[Subject], None]) -> None:
    promise(Subject(make=lambda: counting()[1]))


def test_a_question_is_embedded_once() -> None:
    embedder, recent = counting()
    first = recent.embed(["how deep is the well?"])
    first[:] = 0  # a caller's own copy
    again = recent.embed(["how deep is the well?"])
    assert embedder.count == 1
    assert np.array_equal(again, HashingEmbedder(HashingEmbedder.Options()).embed(["how deep is the well?"]))


@pytest.mark.parametrize(("apart", "count"), [(False, 1), (True, 2)])
def test_who_is_kept_apart_by_access_control_learns_nothing_of_what_others_asked(apart: bool, count: int) -> None:
    embedder, _ = counting()
    parts = LiveParts(RunningBatches(1), apart=apart)(Parts(embedder=embedder, index=cast("Index", None)))
    for _ in range(2):
        parts.embedder.embed(["how deep is the well?"])
    assert embedder.count == count


def test_several_together_and_long_texts_are_not_kept() -> None:
    embedder, recent = counting()
    for _ in range(2):
        recent.embed(["a", "b"])
        recent.embed(["word " * 1000])
    assert embedder.count == 6


def test_what_the_embedder_offers_beyond_the_protocol_is_offered() -> None:
    embedder, recent = counting()
    assert isinstance(recent, CountsUnknown) == isinstance(embedder, CountsUnknown)
    assert isinstance(recent, TokenEmbedder) == isinstance(embedder, TokenEmbedder)
    more = RecentVectors(Offering(HashingEmbedder.Options()))
    assert isinstance(more, CountsUnknown)
    assert isinstance(more, TokenEmbedder)
    # As `isinstance` looks from Python 3.12 on, whichever runs here.
    for name in ("version", "fingerprint", "dimension", "offsets", "embed", "tokens", "unknown"):
        inspect.getattr_static(more, name)
    assert (more.unknown("xyz"), more.tokens(["a"])) == (3, ["a"])
    assert (recent.fingerprint, recent.dimension) == (embedder.fingerprint, embedder.dimension)
