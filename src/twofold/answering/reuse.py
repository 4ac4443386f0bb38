"""Completions that are there already: the same generator writes the same to the same prompt, and need not be asked.

After documents were edited every question is searched for and rendered again, and only prompts that nobody has
completed yet are generated. An answer is read anew of the old completion, so its citations, places and trace are those
that a generated one would have. Nothing else is carried over: what a planner, a live tool or an endpoint of the search
returns now is in the prompt, or has no part in the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from twofold.answering.system import Prepared, System
from twofold.hashing import digest
from twofold.host.meter import Meter
from twofold.plugins.live import KnowsRounding
from twofold.plugins.protocols import Generator
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A question with its prompt, on its way to the generator."""

    name: str
    prepared: Prepared
    prompt: str
    """Name of the prompt; empty where there is none."""
    spent: float
    """Seconds of searching and rendering: a share of the batch."""


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
    if why_not(system.generator, batch=batch):
        for start in range(0, len(todo), batch):
            part = todo[start : start + batch]
            with Meter() as meter:
                answers = system.answer([example for _, example in part])
            pairs = tuple((name, answer) for (name, _), answer in zip(part, answers, strict=True))
            yield AnsweredBatch(answers=pairs, seconds=meter.seconds, peak_mib=meter.peak_mib)
        return
    waiting: list[_Waiting] = []
    opened = False
    for start in range(0, len(todo), batch):
        with Meter() as preparing:
            ready = _prepared(system, todo[start : start + batch], alone=batch == 1)
            known = store.completions([one.prompt for one in ready if one.prompt])
        # Without a prompt the answer is an abstention, which takes no model.
        settled = [one for one in ready if not one.prompt or one.prompt in known]
        if settled:
            completions = [known.get(one.prompt) for one in settled]
            then = sum(completion.seconds for completion in completions if completion)
            yield _read(system, settled, completions, reused=True, spent=then, peak_mib=preparing.peak_mib)
        waiting += [one for one in ready if one.prompt and one.prompt not in known]
        # In whole batches: a few prompts at a time would take the generator nearly as long as many.
        last = start + batch >= len(todo)
        while len(waiting) >= batch or (last and waiting):
            if opening is not None and not opened:
                opening()
                opened = True
            yield _generated(system, waiting[:batch], preparing.peak_mib)
            del waiting[:batch]


def named(generator: str, prompt: Prompt, *, alone: bool) -> str:
    """Digest of a prompt, with its limits and schema, and of the key of the generator that completes it.

    Args:
        generator: The key.
        prompt: The prompt.
        alone: It is completed by itself. A completion of a batch never stands for one of these: bf16 rounds otherwise
            in a batch, and f32 did so for one of 51 prompts.
    """
    return digest("prompt", [generator, prompt, "alone"] if alone else [generator, prompt])


def _prepared(system: System, part: Sequence[tuple[str, Example]], *, alone: bool) -> list[_Waiting]:
    with Meter() as meter:
        prepared = system.prepare([example for _, example in part])
    key, waiting = system.generator.key, []
    for (name, _), ready in zip(part, prepared, strict=True):
        prompt = "" if ready.prompt is None else named(key, ready.prompt, alone=alone)
        waiting.append(_Waiting(name=name, prepared=ready, prompt=prompt, spent=meter.seconds / len(part)))
    return waiting


def _generated(system: System, items: Sequence[_Waiting], peak_mib: float) -> AnsweredBatch:
    with Meter() as meter:
        prompts = [item.prepared.prompt for item in items if item.prepared.prompt is not None]
        completions = system.generator.generate(prompts)
    peak = max(meter.peak_mib, peak_mib)
    return _read(system, items, completions, reused=False, spent=meter.seconds, peak_mib=peak)


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
        if completion is not None and completion.failure is None:
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
