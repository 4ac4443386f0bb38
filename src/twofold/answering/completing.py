"""Batches of prompts → their completions: one after the other here, several at a time where a generator spreads.

Whoever answers asks for completions of batches here, so that the same batches are completed in either case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from twofold.answering.system import Prepared, System
from twofold.host.meter import Meter
from twofold.plugins.live import SpreadsBatches
from twofold.plugins.protocols import Generator
from twofold.plugins.results import WrittenBatch
from twofold.types import Answer, Completion, Example, Prompt


def completed(generator: Generator, batches: Iterable[Sequence[Prompt]]) -> Iterator[tuple[int, WrittenBatch]]:
    """The place of each batch with its completions, as they are done; a batch without prompts has none.

    Args:
        generator: Completes the prompts.
        batches: Taken one by one, not far ahead of the results.

    Raises:
        GenerationError: the generator as a whole cannot work.
    """
    if isinstance(generator, SpreadsBatches):
        yield from generator.completed(batches)
        return
    for place, prompts in enumerate(batches):
        with Meter() as meter:
            completions = generator.generate(prompts) if prompts else []
        yield place, WrittenBatch(completions=tuple(completions), seconds=meter.seconds, peak_mib=meter.peak_mib)


def answered(system: System, batches: Iterable[tuple[System, Sequence[Example]]]) -> Iterator[tuple[int, list[Answer]]]:
    """The place of each batch with its answers, as they are done; see `System.answer`.

    Args:
        system: Whose generator completes all prompts.
        batches: Questions, each batch with the system that searches, renders and reads for it.

    Raises:
        GenerationError, AccessDenied: as `System.answer`.
    """
    ready: dict[int, tuple[System, list[Prepared]]] = {}

    def prompts() -> Iterator[list[Prompt]]:
        for place, (reader, examples) in enumerate(batches):
            prepared = reader.prepare(examples)
            ready[place] = reader, prepared
            yield [one.prompt for one in prepared if one.prompt is not None]

    for place, written in completed(system.generator, prompts()):
        reader, prepared = ready.pop(place)
        yield (
            place,
            [reader.read(one, completion) for one, completion in zip(prepared, laid(prepared, written), strict=True)],
        )


def laid(prepared: Iterable[Prepared], written: WrittenBatch) -> Iterator[Completion | None]:
    """The completions laid beside the questions; None beside one that has no prompt."""
    completions = iter(written.completions)
    for question in prepared:
        yield None if question.prompt is None else next(completions)
