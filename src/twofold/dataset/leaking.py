"""Training examples that give the test away. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twofold.dataset.near import NearTexts
from twofold.errors import LeakFound
from twofold.reading import (
    excerpt,
)
from twofold.types import Example


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
    away and is not reported. Near copies are those of `NearTexts`. Short utterances with one intent are often near
    copies of each other by nature.
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
    texts = NearTexts([conversation(e) for e in (*test, *train)])
    for number in range(len(test)):
        texts.add(number)
    found: dict[str, str] = {}
    for number, example in enumerate(train, len(test)):
        match = next((test[o].id for o in texts.near(number) if _gives_away(example, test[o])), None)
        if match is not None:
            found[example.id] = match
    return found
