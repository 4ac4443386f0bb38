"""A generator whose batches are completed by workers (`[scale]`), each with the model opened for itself.

What is searched for, rendered and stored stays with the command: workers get prompts and give completions back, so they
need the model's weights and the adapter, but no index, no catalogue and no document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from twofold.errors import WorkerUnlike
from twofold.execution.contract import Executor
from twofold.host.meter import Meter
from twofold.plugins import loading
from twofold.plugins.live import KnowsRounding
from twofold.plugins.protocols import Generator, Progress
from twofold.plugins.results import WrittenBatch
from twofold.plugins.traits import place_of
from twofold.types import Adapter, Completion, Json, Message, Prompt

_FIRST = Prompt(messages=(Message(role="user", content="Hello"),), max_tokens=1)
"""Loads a model."""


@dataclass(frozen=True, kw_only=True)
class Generating:
    """The work of completing batches of prompts; see `execution.contract.BatchWork`."""

    name: str
    """Of the generator."""
    options: Json
    """Its options."""
    adapter: Adapter | None
    """To answer with; its files lie under the same path everywhere."""
    key: str
    """That of the generator as the command has it: a worker with other weights or another runtime is refused."""
    label: str = "generate"
    """For logs and errors."""

    def open(self) -> Callable[[Sequence[Prompt]], WrittenBatch]:
        """Open the generator.

        Raises:
            WorkerUnlike: this machine would give answers under another key.
            ModelNotPulled, MissingExtra: it lacks the weights or a runtime.
        """
        generator: Generator = loading.make("generators", self.name, self.options, adapter=self.adapter)
        if generator.key != self.key:
            raise WorkerUnlike(
                f"a worker's generator is {generator.description}, with the key {generator.key}; the command's has the "
                f"key {self.key}",
                cure="Give every node the same packages and processor type, or set dtype and runtime in "
                "[generation.generator.options].",
            )

        # The model is loaded now: its seconds are none of the first batch's.
        generator.generate([_FIRST])

        def complete(prompts: Sequence[Prompt]) -> WrittenBatch:
            with Meter() as meter:
                completions = generator.generate(prompts)
            return WrittenBatch(
                completions=tuple(completions),
                seconds=meter.seconds,
                peak_mib=meter.peak_mib,
                description=generator.description,
            )

        return complete


@dataclass(kw_only=True)
class SpreadGenerator:
    """See the module and `protocols.Generator`. Streams are written in this process, by the model opened here."""

    inner: Generator
    """The generator as it is here; its model is loaded for streams only."""
    work: Generating
    """What the workers do."""
    executor: Callable[[], Executor]
    """Returns who does it."""
    batch: int
    """Prompts that `generate` gives a worker at a time."""
    version: ClassVar[int] = 1
    follows_schema: bool = field(init=False)
    """See `protocols.Generator`."""
    byte_equal: bool = field(init=False)
    """See `live.KnowsRounding`."""
    _described: Json = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.follows_schema = self.inner.follows_schema
        self.byte_equal = isinstance(self.inner, KnowsRounding) and self.inner.byte_equal

    @property
    def key(self) -> str:
        """The inner generator's: who completes a prompt decides no answer."""
        return self.inner.key

    @property
    def description(self) -> Json:
        """The inner generator's; once workers have opened it, theirs, which tells how well merging kept its answers."""
        return self._described or self.inner.description

    def completed(self, batches: Iterable[Sequence[Prompt]]) -> Iterator[tuple[int, WrittenBatch]]:
        """The place of each batch with its completions, as they are done."""
        places: list[int] = []
        empty: list[int] = []

        def full() -> Iterator[Sequence[Prompt]]:
            for place, batch in enumerate(batches):
                if batch:
                    places.append(place)
                    yield batch
                else:
                    empty.append(place)

        nothing = WrittenBatch(completions=(), seconds=0.0, peak_mib=0.0)
        for number, written in self.executor().run(self.work, full()):
            while empty:
                yield empty.pop(0), nothing
            self._described = written.description
            yield places[number], written
        for place in empty:
            yield place, nothing

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in order; `batch` prompts a worker at a time."""
        parts = [prompts[start : start + self.batch] for start in range(0, len(prompts), self.batch)]
        completions: dict[int, Sequence[Completion]] = {}
        for place, written in self.completed(parts):
            completions[place] = written.completions
            if progress is not None:
                progress("generate", sum(map(len, completions.values())), len(prompts))
        return [completion for place in range(len(parts)) for completion in completions[place]]

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        """Pieces of the completion, then the whole, written here."""
        return self.inner.stream(prompt)

    def close(self) -> None:
        """Free the memory of the model here; workers keep theirs until they do other work."""
        self.inner.close()


def spreads(generator: Generator) -> bool:
    """Can workers take over a generator's batches? Those of an endpoint are spread by the endpoint itself."""
    return place_of(generator.description) == "in this process"
