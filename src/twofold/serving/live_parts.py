"""The parts of a search as a server uses them: no model outside the running batch, no waiting for what is down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from twofold.assembly.searching import Search
from twofold.plugins.protocols import (
    Batches,
    Converses,
    CountsUnknown,
    Embedder,
    Generator,
    Parts,
    Progress,
    TokenEmbedder,
)
from twofold.serving.batches import JoinedGenerator, RunningBatches
from twofold.serving.degradation import Breaker, GuardedTool
from twofold.types import Json

_RECENT, _LONGEST = 512, 2000
"""Questions whose vectors are kept, and the characters of the longest one: MiniLM's vectors take .75 MiB."""


class RecentVectors:
    """An embedder that keeps the vectors of the last questions: who asks again, or asks another arm, waits for none.

    MiniLM takes 5 ms for a question, more than the rest of its search; a study times its arms without this.

    Args:
        embedder: Makes the vectors; whatever else it offers is offered here.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.version = embedder.version
        # What only some embedders offer. From Python 3.12 on `isinstance` looks past `__getattr__`: the server would
        # search otherwise than the study.
        if isinstance(embedder, CountsUnknown):
            self.unknown = embedder.unknown
        if isinstance(embedder, TokenEmbedder):
            self.tokens = embedder.tokens
        self._of_question = lru_cache(maxsize=_RECENT)(lambda question: embedder.embed([question]))

    @property
    def fingerprint(self) -> str:
        """The embedder's."""
        return self._embedder.fingerprint

    @property
    def dimension(self) -> int:
        """The embedder's."""
        return self._embedder.dimension

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """The embedder's."""
        return self._embedder.offsets(text)

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Any:
        """float32 vectors of length 1, shape (len(texts), dimension)."""
        # Several together are padded to one length, which rounds otherwise: only a question alone is the same again.
        if len(texts) != 1 or len(texts[0]) > _LONGEST:
            return self._embedder.embed(texts, progress=progress)
        # A copy: who changes its vector changes nobody else's.
        return self._of_question(texts[0]).copy()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the embedder's."""
        return getattr(self._embedder, name)


class LiveParts:
    """Changes the parts of a project's search; one for as long as the server runs.

    Args:
        batches: Where weights are loaded.
        apart: Callers must learn nothing of each other: access control is on.
    """

    def __init__(self, batches: RunningBatches, *, apart: bool) -> None:
        self.index = Breaker("the index")
        """Is the index down?"""
        self.tools: dict[str, Breaker] = {}
        """Which live tools are down?"""
        self._batches = batches
        self._apart = apart
        self._joined: Generator | None = None

    @classmethod
    def of(cls, search: Search, batches: RunningBatches) -> LiveParts:
        """The parts of a search, changed the first time."""
        if isinstance(search.dressed, LiveParts):
            return search.dressed
        parts = cls(batches, apart=search.config.access.enabled)
        search.dress(parts)
        return parts

    def __call__(self, parts: Parts) -> Parts:
        """The parts with a generator in the running batch, and with tools that are not asked in vain."""
        self.tools = {name: Breaker(f"the tool {name}") for name in parts.tools}
        tools = {name: GuardedTool(tool, self.tools[name]) for name, tool in parts.tools.items()}
        plain = parts.generator
        embedder = parts.embedder
        # By the 5 ms that it saves a caller could tell that another has asked the very same words. An embedder does not
        # know who asks, so where people are kept apart nothing is shared; elsewhere all callers see the same.
        if not self._apart:
            embedder = cast("Embedder", RecentVectors(embedder))
        return replace(parts, embedder=embedder, tools=tools, generator=plain and (lambda: self._writing(plain())))

    def lacked(self, trace: Sequence[Json]) -> list[Json]:
        """The tools that an answer was written without, or with an old answer of theirs, and since when they are down.

        Args:
            trace: Steps of the answer's search.
        """
        names = dict.fromkeys(str(step["tool"]) for step in trace if step.get("down"))
        return [{"part": f"the tool {name}", "since": self.tools[name].since} for name in names if name in self.tools]

    def _writing(self, plain: Generator) -> Generator:
        # An endpoint takes requests beside each other by itself.
        if not isinstance(plain, Batches) or isinstance(plain, Converses):
            return plain
        if self._joined is None:
            self._joined = JoinedGenerator(self._batches.share(plain))
        return self._joined
