"""Answers kept in the catalogue: a system answers a question once, whichever process asked it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from twofold.answering import completing
from twofold.answering.reuse import AnsweredBatch
from twofold.answering.system import System
from twofold.examples.questions import Questions
from twofold.plugins.protocols import Progress
from twofold.store.answers import Answers
from twofold.types import Answer, Example

_BATCH = 64
"""Answers generated and committed at a time: a killed process loses at most so many."""
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
    """Answer in batches and commit each batch before the next begins: a killed process loses one batch at most.

    Args:
        store: Where the answers are kept.
        key: Returns the key of the system and of everything else that decides its answers. It is called after each
            batch, because the key changes when an endpoint refuses a parameter.
        todo: Name under which each answer is kept (an example's digest), and the item to answer.
        answer: Answers a batch, in order; a failed answer carries its `Failure`.
        batch: Answers generated and committed at a time.
        done: Called with the answers of each batch once they are committed.

    Returns:
        The answers, in order.
    """
    return committed_as_done(
        store,
        key,
        todo,
        answers=lambda batches: ((place, answer(items)) for place, items in enumerate(batches)),
        batch=batch,
        done=done,
    )


def committed_as_done(
    store: Answers,
    key: Callable[[], str],
    todo: Sequence[tuple[str, Item]],
    *,
    answers: Callable[[Iterable[Sequence[Item]]], Iterable[tuple[int, Sequence[Answer]]]],
    batch: int = _BATCH,
    done: Callable[[Sequence[Answer]], None] = lambda _: None,
) -> list[Answer]:
    """As `committed`, where several batches may be at work at a time.

    Args:
        store: Where the answers are kept.
        key: See `committed`.
        todo: See `committed`.
        answers: Answers batches: the place of each with its answers, as they are done.
        batch: Answers generated and committed at a time.
        done: Called with the answers of each batch once they are committed.

    Returns:
        The answers, in order.
    """
    parts = [todo[start : start + batch] for start in range(0, len(todo), batch)]
    by_place: dict[int, Sequence[Answer]] = {}

    def batches() -> Iterator[AnsweredBatch]:
        for place, replies in answers(map(_items, parts)):
            by_place[place] = replies
            yield AnsweredBatch(answers=tuple(zip((name for name, _ in parts[place]), replies, strict=True)))

    for part in stored(store, key, batches()):
        done([reply for _, reply in part.answers])
    return [reply for place in range(len(parts)) for reply in by_place[place]]


def _items(part: Sequence[tuple[str, Item]]) -> list[Item]:
    return [item for _, item in part]


def stored(store: Answers, key: Callable[[], str], batches: Iterable[AnsweredBatch]) -> Iterator[AnsweredBatch]:
    """The batches as they are made, each committed before the next begins.

    Args:
        store: Where the answers are kept.
        key: See `committed`.
        batches: Made one by one, as they are asked for.
    """
    for part in batches:
        store.put(key(), part.answers, part.written)
        yield part


def missing(store: Answers, key: str, examples: Sequence[Example]) -> list[Example]:
    """The examples without an answer under this key; an example whose answer failed counts as one of them."""
    existing, known = store.get(key), Questions.of(examples)
    return [example for example, name in zip(known, known.digests, strict=True) if name not in existing]


def answered(
    store: Answers,
    key: str,
    examples: Sequence[Example],
    *,
    system: System,
    progress: Progress,
    stage: str,
    batch: int = _BATCH,
) -> list[Answer]:
    """The system's answers, in order; missing answers are generated now, and a failed one carries its `Failure`.

    Args:
        store: Where the answers are kept.
        key: Key of the system and of everything else that decides its answers.
        examples: The questions to answer.
        system: The system that answers.
        progress: Called after each batch.
        stage: Name of the stage that `progress` shows.
        batch: Answers generated and committed at a time.
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
    committed_as_done(
        store,
        lambda: key,
        todo,
        answers=lambda batches: completing.answered(system, ((system, examples) for examples in batches)),
        batch=batch,
        done=count_done,
    )
    # read back, not collected: two examples with one digest share an answer, and only one of them was in `todo`
    existing = store.get(key, include_failures=True)
    return [existing[name] for name in known.digests]
