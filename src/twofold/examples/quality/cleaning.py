"""Examples cleaned: repaired, masked, merged, dropped, and a record of each. Pure.

Nothing goes without a record, and cleaning what was cleaned changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from twofold.examples.loading import ExampleRow, row_of
from twofold.examples.quality import labels, text
from twofold.examples.quality.inspect import copies
from twofold.examples.quality.text import repaired
from twofold.text.privacy import masked
from twofold.types import Example, Json, Problem

_TEXTS = ("question", "input", "messages", "answers", "output", "outputs", "answer", "reference", "choices")
_REFERENCES = ("outputs", "output", "answer", "reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """The result of cleaning: remaining examples and changes."""

    rows: tuple[ExampleRow, ...]
    """Records that stay, in order, each with its id."""
    done: tuple[Json, ...]
    """One entry for each thing done: the finding's fields, and the ``record`` as it was (not where it was masked)."""


def clean(
    rows: Sequence[ExampleRow], problems: Sequence[Problem], *, mask: bool = False, drop: Sequence[str] = ()
) -> Cleaned:
    """Do what the findings' actions say: repair, merge and drop; what is to be looked at stays.

    Args:
        rows: Records as read, none about a whole file.
        problems: What `inspect` says of their examples.
        mask: Mask personal data and secrets too.
        drop: Codes of findings whose examples go as well, for example ``data.label-noise``.
    """
    done: list[Json] = []
    remaining: dict[str, ExampleRow] = {}

    def record(problem: Problem, value: Json | None, action: str) -> None:
        done.append({**asdict(problem), "action": action, **({} if value is None else {"record": value})})

    def safe(value: Json) -> Json:
        return _mapped(value, masked) if mask else value

    for row in rows:
        if not isinstance(row.outcome, Example):
            record(row.outcome or _empty(row), safe(row.value), "drop")
            continue
        # An id that is the line's number would change when lines above it go.
        remaining[row.outcome.id] = replace(row, value={"id": row.outcome.id, **row.value})
    by_example: dict[str, list[Problem]] = {}
    for problem in problems:
        by_example.setdefault(problem.example, []).append(problem)
    for name, row in list(remaining.items()):
        mine = by_example.get(name, [])
        dropped = next((p for p in mine if p.code in drop), None)
        if dropped is not None:
            record(dropped, safe(row.value), "drop")
            del remaining[name]
            continue
        value = row.value
        if any(p.action == "repair" for p in mine):
            value = _mapped(value, repaired)
            record(next(p for p in mine if p.action == "repair"), safe(row.value), "repair")
        if mask:
            hidden = _mapped(value, masked)
            if hidden != value:
                value = hidden
                for problem in (p for p in mine if p.action == "mask"):
                    record(problem, None, "mask")
        if value is not row.value:
            remaining[name] = row_of(value, row.file, row.line)
    # Copies are looked for after repairing and masking, which may have made two examples the same.
    examples = [row.outcome for row in remaining.values() if isinstance(row.outcome, Example)]
    # Findings name the other example by file and line, or by its id where it has no line.
    places = {**{e.id: e.id for e in examples}, **{f"{e.file}:{e.line}": e.id for e in examples if e.line}}
    for problem in copies(examples):
        if problem.action == "merge":
            target = remaining[places[problem.other]]
            remaining[places[problem.other]] = _merged(target, remaining[problem.example])
        if problem.action in ("drop", "merge"):
            record(problem, safe(remaining.pop(problem.example).value), problem.action)
    return Cleaned(rows=tuple(remaining.values()), done=tuple(done))


def _empty(row: ExampleRow) -> Problem:
    return Problem(
        severity="warning",
        code="data.empty-answer",
        message="the answer is empty",
        cure='Give it an answer, or say "answerable": false where the right behaviour is to decline.',
        file=row.file,
        line=row.line,
    )


def _mapped(value: Json, change: Callable[[str], str]) -> Json:
    def inside(item: Any) -> Any:
        if isinstance(item, str):
            return change(item)
        if isinstance(item, list):
            return [inside(part) for part in item]
        return {key: inside(part) for key, part in item.items()} if isinstance(item, dict) else item

    return {key: inside(item) if key in _TEXTS else item for key, item in value.items()}


def _merged(target: ExampleRow, other: ExampleRow) -> ExampleRow:
    assert isinstance(target.outcome, Example)
    assert isinstance(other.outcome, Example)
    answers = list(dict.fromkeys((*target.outcome.references, *other.outcome.references)))
    value = {key: item for key, item in target.value.items() if key not in _REFERENCES}
    return row_of({**value, "answers": answers}, target.file, target.line)


# ---------------------------------------------------------------- the set at a glance


def portrait(examples: Sequence[Example], problems: Sequence[Problem]) -> Json:
    """The content of a data card: sizes, lengths, classes, languages, findings."""
    given_labels = labels.labels(examples)
    return {
        "examples": len(examples),
        "splits": _counted([e.split or "none" for e in examples]),
        "origins": _counted([e.origin for e in examples]),
        "answerable": sum(e.answerable for e in examples),
        "question_lengths": _bins([text.tokens(e.question) for e in examples]),
        "answer_lengths": _bins([text.tokens(e.references[0]) for e in examples if e.references]),
        "classes": _counted(given_labels),
        "scripts": _counted([text.script(e.question) or "none" for e in examples]),
        "findings": _counted([p.code for p in problems]),
        "errors": sum(p.severity == "error" for p in problems),
    }


def _counted(values: Sequence[str]) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True) if values else ((), ())
    pairs = sorted(zip(map(str, names), map(int, counts), strict=True), key=lambda p: (-p[1], p[0]))
    return dict(pairs)


def _bins(sizes: Sequence[int]) -> list[list[int]]:
    """[from, up to, how many], each bin twice as wide as the one before."""
    out: dict[int, int] = {}
    for size in sizes:
        out[max(1, size).bit_length()] = out.get(max(1, size).bit_length(), 0) + 1
    return [[2 ** (b - 1) if b > 1 else 0, 2**b - 1, out.get(b, 0)] for b in range(1, max(out, default=0) + 1)]
