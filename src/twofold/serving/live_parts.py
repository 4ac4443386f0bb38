"""The parts of a search as a server uses them: no model outside the running batch, no waiting for what is down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twofold.assembly.searching import Search
from twofold.plugins.protocols import Batches, Converses, Generator, Parts
from twofold.serving.batches import JoinedGenerator, RunningBatches
from twofold.serving.degradation import Breaker, GuardedTool
from twofold.types import Json


class LiveParts:
    """Changes the parts of a project's search; one for as long as the server runs.

    Args:
        batches: Where weights are loaded.
    """

    def __init__(self, batches: RunningBatches) -> None:
        self.index = Breaker("the index")
        """Is the index down?"""
        self.tools: dict[str, Breaker] = {}
        """Which live tools are down?"""
        self._batches = batches
        self._joined: Generator | None = None

    @classmethod
    def of(cls, search: Search, batches: RunningBatches) -> LiveParts:
        """The parts of a search, changed the first time."""
        if isinstance(search.dressed, LiveParts):
            return search.dressed
        parts = cls(batches)
        search.dress(parts)
        return parts

    def __call__(self, parts: Parts) -> Parts:
        """The parts with a generator in the running batch, and with tools that are not asked in vain."""
        self.tools = {name: Breaker(f"the tool {name}") for name in parts.tools}
        tools = {name: GuardedTool(tool, self.tools[name]) for name, tool in parts.tools.items()}
        plain = parts.generator
        return replace(parts, tools=tools, generator=plain and (lambda: self._writing(plain())))

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
