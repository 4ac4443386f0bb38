"""Completions that are there already: the same generator writes the same to the same prompt, and need not be asked.

After documents were edited every question is searched for and rendered again, and only prompts that nobody has
completed yet are generated. An answer is read anew of the old completion, so its citations, places and trace are those
that a generated one would have. Nothing else is carried over: what a planner, a live tool or an endpoint of the search
returns now is in the prompt, or has no part in the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from twofold.answering.completing import completed, laid
from twofold.answering.system import Prepared, System
from twofold.hashing import digest
from twofold.host.meter import Meter
from twofold.plugins.live import KnowsRounding
from twofold.plugins.protocols import Generator
from twofold.plugins.results import WrittenBatch
from twofold.store.answers import Answers
from twofold.types import Answer, Completion, Example, Prompt

DEPENDS = "what it writes may depend on what is answered beside a prompt"
CHANCE = "it draws its words by chance"
"""Why completions are not used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredBatch:
    """Answers that are to be committed together."""

    answers: tuple[tuple[str, Answer], ...]
    """Name of each question, and its answer."""
    written: Mapping[str, tuple[str, Completion]] = field(default_factory=dict)
    """Name of a question → name of its prompt, and the completion of it; without those that may not be used again."""
    reused: frozenset[str] = frozenset()
    """Names of the questions whose completion was there before."""
    seconds: float = 0.0
    """Seconds that making them takes: of a completion that was there before, those that it took then."""
    peak_mib: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """A question with its prompt, on its way to the generator."""

    name: str
    prepared: Prepared
    spent: float
    """Seconds of searching and rendering: a share of the batch."""
    prompt: str = ""
    """Name of the prompt; empty where there is none, or its completion may not be used again."""


def why_not(generator: Generator, *, batch: int) -> str:
    """Why a generator's completions are not used again, as a clause; empty where they are.

    Args:
        generator: Completes the prompts.
        batch: Prompts at a time. What depends on nothing but who is beside a prompt depends on nothing for a prompt
            alone, whatever the arithmetic.
    """
    if not isinstance(generator, KnowsRounding) or not (generator.byte_equal or batch == 1):
        return DEPENDS
    # A promise of equal bytes is one of greedy completions (`KnowsRounding`).
    return CHANCE if generator.description.get("temperature", 0) else ""


def answered(
    system: System,
    todo: Sequence[tuple[str, Example]],
    store: Answers,
    *,
    batch: int,
    opening: Callable[[], None] | None = None,
) -> Iterator[AnsweredBatch]:
    """Answer as `System.answer` does, generating only what the store has no completion of.

    Args:
        system: Answers.
        todo: Name of each question (an example's digest), and the question.
        store: Has the completions of before; nothing is written to it here.
        batch: Prompts generated at a time.
        opening: Called once before the first of them.

    Raises:
        GenerationError, AccessDenied: as `System.answer`.
    """
    kind = _Anew if why_not(system.generator, batch=batch) else _Unknown
    groups = kind(system, todo, store, batch=batch)
    opened = opening is None

    def prompts() -> Iterator[list[Prompt]]:
        nonlocal opened
        for group in groups.sent():
            if group and not opened and opening is not None:
                opening()
                opened = True
            yield group

    for place, written in completed(system.generator, prompts()):
        yield from groups.read(place, written)


@dataclass(kw_only=True)
class _Group:
    """Questions whose prompts are completed together, and what is settled before."""

    items: list[_Waiting]
    settled: AnsweredBatch | None = None
    peak_mib: float = 0.0


class _Anew:
    """Each batch as it is: every prompt is completed, whatever is stored."""

    def __init__(self, system: System, todo: Sequence[tuple[str, Example]], store: Answers, *, batch: int) -> None:
        self._system, self._store = system, store
        self._parts = [todo[start : start + batch] for start in range(0, len(todo), batch)]
        self._batch = batch
        self._groups: dict[int, _Group] = {}

    def sent(self) -> Iterator[list[Prompt]]:
        """The prompts of each group."""
        for place, group in enumerate(self._grouped()):
            self._groups[place] = group
            yield [item.prepared.prompt for item in group.items if item.prepared.prompt is not None]

    def _grouped(self) -> Iterator[_Group]:
        for part in self._parts:
            with Meter() as preparing:
                items = _prepared(self._system, part)
            yield _Group(items=items, peak_mib=preparing.peak_mib)

    def read(self, place: int, written: WrittenBatch) -> Iterator[AnsweredBatch]:
        """What is settled with the group at a place of `sent`, and the group's answers."""
        group = self._groups.pop(place)
        if group.settled:
            yield group.settled
        if group.items:
            completions = list(laid((item.prepared for item in group.items), written))
            peak = max(written.peak_mib, group.peak_mib)
            yield _read(self._system, group.items, completions, reused=False, spent=written.seconds, peak_mib=peak)


class _Unknown(_Anew):
    """The prompts that nobody has completed yet, in whole batches: a few take the generator nearly as long as many."""

    def _grouped(self) -> Iterator[_Group]:
        waiting: list[_Waiting] = []
        for number, part in enumerate(self._parts, 1):
            with Meter() as preparing:
                ready = _prepared(self._system, part)
                _name(self._system, ready, alone=self._batch == 1)
                known = self._store.completions([one.prompt for one in ready if one.prompt])
            peak = preparing.peak_mib
            # Without a prompt the answer is an abstention, which takes no model.
            there = [one for one in ready if not one.prompt or one.prompt in known]
            if there:
                completions = [known.get(one.prompt) for one in there]
                then = sum(completion.seconds for completion in completions if completion)
                settled = _read(self._system, there, completions, reused=True, spent=then, peak_mib=peak)
                # At once, beside a group without questions: what is settled must not wait for a whole batch.
                yield _Group(items=[], settled=settled)
            waiting += [one for one in ready if one.prompt and one.prompt not in known]
            while len(waiting) >= self._batch or (number == len(self._parts) and waiting):
                yield _Group(items=waiting[: self._batch], peak_mib=peak)
                del waiting[: self._batch]


def named(generator: str, prompt: Prompt, *, alone: bool) -> str:
    """Digest of a prompt, with its limits and schema, and of the key of the generator that completes it.

    Args:
        generator: The key.
        prompt: The prompt.
        alone: It is completed by itself. A completion of a batch never stands for one of these: bf16 rounds otherwise
            in a batch, and f32 did so for one of 51 prompts.
    """
    return digest("prompt", [generator, prompt, "alone"] if alone else [generator, prompt])


def _prepared(system: System, part: Sequence[tuple[str, Example]]) -> list[_Waiting]:
    with Meter() as meter:
        prepared = system.prepare([example for _, example in part])
    spent = meter.seconds / len(part)
    return [_Waiting(name=name, prepared=one, spent=spent) for (name, _), one in zip(part, prepared, strict=True)]


def _name(system: System, waiting: Sequence[_Waiting], *, alone: bool) -> None:
    key = system.generator.key
    for question in waiting:
        if question.prepared.prompt is not None:
            question.prompt = named(key, question.prepared.prompt, alone=alone)


def _read(
    system: System,
    items: Sequence[_Waiting],
    completions: Sequence[Completion | None],
    *,
    reused: bool,
    spent: float,
    peak_mib: float,
) -> AnsweredBatch:
    answers, written, before = [], dict[str, tuple[str, Completion]](), set[str]()
    for item, completion in zip(items, completions, strict=True):
        answers.append((item.name, system.read(item.prepared, completion)))
        if item.prompt and completion is not None and completion.failure is None:
            written[item.name] = (item.prompt, completion)
            if reused:
                before.add(item.name)
    return AnsweredBatch(
        answers=tuple(answers),
        written=written,
        reused=frozenset(before),
        seconds=spent + sum(item.spent for item in items),
        peak_mib=peak_mib,
    )
