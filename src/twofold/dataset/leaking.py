"""Training examples that give the test away. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twofold.errors import LeakFound
from twofold.reading import (
    excerpt,
)
from twofold.types import Example

NEAR = 0.8
"""Jaccard similarity of character 5-grams from which two questions count as near copies."""


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Training examples that (nearly) stand in the test: ``(train id, test id)``, once per train id in each list."""

    exact: tuple[tuple[str, str], ...] = ()
    """The same question and conversation, case, punctuation and spacing aside."""
    near: tuple[tuple[str, str], ...] = ()
    """Character 5-grams with a Jaccard similarity of at least .8, and not the same."""
    span: tuple[tuple[str, str], ...] = ()
    """The same marked place, or the same answer from the same document."""


def leaks(train: Sequence[Example], test: Sequence[Example]) -> Leaks:
    """Find training examples that give a test example away.

    The same question asked of different documents with different answers (``Summarise the meeting``) gives nothing
    away and is not reported. Near copies are found exactly, by prefix and position filtering (Bayardo et al. 2007;
    Xiao et al. 2008), not by hashing. Short utterances with one intent are often near copies of each other by nature.
    """
    tested = {e.id: e for e in test}
    by_text: defaultdict[str, list[Example]] = defaultdict(list)
    for e in test:
        by_text[conversation(e)].append(e)
    exact = {}
    for e in train:
        match = next((t for t in by_text.get(conversation(e), ()) if _gives_away(e, t)), None)
        if match:
            exact[e.id] = match.id
    rest = [e for e in train if e.id not in exact]
    near = _near(rest, test)
    spans: dict[Any, str] = {}
    for e in tested.values():
        for mark in _marks(e):
            spans.setdefault(mark, e.id)
    span = {}
    for e in train:
        found = next((spans[mark] for mark in _marks(e) if mark in spans), None)
        if found:
            span[e.id] = found
    return Leaks(exact=tuple(exact.items()), near=tuple(near.items()), span=tuple(span.items()))


def drop_leaks(train: Sequence[Example], leaks: Leaks) -> tuple[Example, ...]:
    """`train` without the examples that leak."""
    bad = {name for pairs in (leaks.exact, leaks.near, leaks.span) for name, _ in pairs}
    return tuple(e for e in train if e.id not in bad)


def leak_error(first: tuple[str, str], leaks: Leaks, examples: Sequence[Example]) -> LeakFound:
    """The error for leaks that may not be: counts, and one pair as an instance."""
    by_id = {e.id: e for e in examples}
    train, test = by_id.get(first[0]), by_id.get(first[1])
    counts = f"{len(leaks.exact)} the same, {len(leaks.near)} nearly the same, {len(leaks.span)} from the same place"
    shown = f": {excerpt(train.question)!r}" if train else ""
    return LeakFound(
        f"training examples stand in the test ({counts}), for example {first[0]!r} and {first[1]!r}{shown}",
        file=train.file or None if train else None,
        line=train.line or None if train else (test.line or None if test else None),
    )


def bare(text: str) -> str:
    """`text` without case, punctuation and spacing, for comparing."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w\s]+|_", " ", folded).split()) or " ".join(folded.split())


def conversation(example: Example) -> str:
    """All turns but the system's, as `bare` text."""
    return "\n".join(bare(m.content) for m in example.messages if m.role != "system")


def _gives_away(train: Example, test: Example) -> bool:
    """False where the two ask different documents and want different answers."""
    if not train.sources or not test.sources or set(train.sources) & set(test.sources):
        return True
    return bool({bare(r) for r in train.references} & {bare(r) for r in test.references})


def _marks(example: Example) -> list[Any]:
    marks: list[Any] = [(s.document, s.start, s.end) for s in example.spans]
    if not example.choices and example.answerable:
        marks += [(source, bare(r)) for source in example.sources for r in example.references]
    return marks


def _near(train: Sequence[Example], test: Sequence[Example]) -> dict[str, str]:
    """Train id → the first test id at similarity `NEAR` or more."""
    left, right = [_grams(conversation(e)) for e in train], [_grams(conversation(e)) for e in test]
    frequency: Counter[str] = Counter()
    for grams in (*left, *right):
        frequency.update(grams)
    rank = {gram: number for number, (gram, _) in enumerate(sorted(frequency.items(), key=lambda kv: (kv[1], kv[0])))}
    sets = [frozenset(rank[g] for g in grams) for grams in right]
    index: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for number, own in enumerate(sets):
        for place, gram in enumerate(sorted(own)[: _prefix(len(own))]):
            index[gram].append((number, len(own), place))
    found: dict[str, str] = {}
    for example, grams in zip(train, left, strict=True):
        mine = frozenset(rank[g] for g in grams)
        size = len(mine)
        low, high = NEAR * size - 1e-9, size / NEAR + 1e-9
        seen: set[int] = set()
        for at, gram in enumerate(sorted(mine)[: _prefix(size)]):
            for number, other, place in index.get(gram, ()):
                if not low <= other <= high or number in seen:
                    continue
                seen.add(number)
                needed = NEAR / (1 + NEAR) * (size + other) - 1e-9
                if min(size - at, other - place) < needed:
                    continue
                if len(mine & sets[number]) >= needed and _gives_away(example, test[number]):
                    found[example.id] = test[number].id
                    break
            if example.id in found:
                break
    return found


def _grams(text: str) -> set[str]:
    return {text[i : i + 5] for i in range(max(1, len(text) - 4))}


def _prefix(size: int) -> int:
    """So many of a set's rarest members must hold one of any set at similarity `NEAR`."""
    return size - -(-int(NEAR * size * 1000) // 1000) + 1
