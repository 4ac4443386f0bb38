"""Answers kept in the catalogue: what a system has answered, in whatever process, it does not answer again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from twofold.answering.system import System
from twofold.examples.questions import Questions
from twofold.plugins.protocols import Progress
from twofold.store.answers import Answers
from twofold.types import Answer, Example

_BATCH = 64
"""Number of answers generated and committed at a time."""
Item = TypeVar("Item")


def committed(
    store: Answers,
    key: Callable[[], str],
    todo: Sequence[tuple[str, Item]],
    *,
    answer: Callable[[Sequence[Item]], Sequence[Answer]],
    batch: int = _BATCH,
    done: Callable[[Sequence[Answer]], None] = lambda _: None,
) -> list[Answer]:
    """Answer in batches, each committed before the next is begun: what a kill takes is one batch at most.

    Args:
        store: Keeps the answers.
        key: Names who answers, and what else decides it; asked after each batch, for an endpoint's refusal changes it.
        todo: Under which name an answer is kept (an example's digest), and what is asked.
        answer: Answers a batch, in order; a failed answer carries its `Failure`.
        batch: Answers made and committed at a time.
        done: Gets the answers of each batch once they are committed.

    Returns:
        The answers, in order.
    """
    all_answers: list[Answer] = []
    for start in range(0, len(todo), batch):
        part = todo[start : start + batch]
        answers = answer([item for _, item in part])
        store.put(key(), [(name, reply) for (name, _), reply in zip(part, answers, strict=True)])
        all_answers += answers
        done(answers)
    return all_answers


def missing(store: Answers, key: str, examples: Sequence[Example]) -> list[Example]:
    """The examples without an answer under this key; failed ones are tried again."""
    existing, known = store.get(key), Questions.of(examples)
    return [example for example, name in zip(known, known.digests, strict=True) if name not in existing]


def answered(
    store: Answers, key: str, examples: Sequence[Example], *, system: System, progress: Progress, stage: str
) -> list[Answer]:
    """The system's answers, in order, those missing made now; a failed one carries its `Failure`.

    Args:
        store: Keeps them.
        key: Names the system, and what else decides its answers.
        examples: The questions to answer.
        system: Answers.
        progress: Told of `stage` after each batch.
        stage: What it is for.
    """
    known, existing = Questions.of(examples), store.get(key)
    todo = [(name, example) for name, example in zip(known.digests, known, strict=True) if name not in existing]
    count = len(examples) - len(todo)

    def count_done(answers: Sequence[Answer]) -> None:
        nonlocal count
        count += len(answers)
        progress(stage, count, len(examples))

    if todo:
        progress(stage, count, len(examples))
    committed(store, lambda: key, todo, answer=system.answer, done=count_done)
    existing = store.get(key, include_failures=True)
    return [existing[name] for name in known.digests]
