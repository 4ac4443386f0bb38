"""Check conditions on metadata against the documents: unknown fields, values that cannot be compared. Pure.

A condition that no document can meet is refused, and the message lists the existing fields; a condition that skips some
values gets a remark. Only documents that the person asking may read are looked at, so that neither names nor values
leak from others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches

from twofold.errors import BadFilter
from twofold.files.reading import excerpt
from twofold.metadata.conditions import ORDERED, Condition, Value
from twofold.metadata.facets import Parsed, holds, parsed
from twofold.types import Problem

_SHOWN = 8
"""Names or values listed in a message."""
_SEEN = 2000
"""Most values of a field that are remembered for the message of a condition without a match."""


@dataclass(slots=True)
class _Seen:
    """Counts of the documents that one condition was compared with."""

    have: int = 0
    """Documents that have the field."""
    comparable: int = 0
    """Of these, documents with a value of the condition's kind (number, date, text)."""
    lists: int = 0
    """Of these, documents with a list."""
    matches: int = 0
    """Documents that meet the condition."""
    other: str = ""
    """A value that is not of the condition's kind."""
    values: dict[str, None] = field(default_factory=dict)
    """Values of the field, while no document meets the condition."""


def remarks_on(where: Sequence[Condition], documents: Iterable[Mapping[str, str]]) -> list[str]:
    """Remarks on values that the conditions skip in these documents.

    Args:
        where: The conditions.
        documents: Metadata of the documents that may be seen.

    Raises:
        BadFilter: no document has the field, or none has a value that the condition can be compared with.
    """
    names: dict[str, None] = {}
    seen = [_Seen() for _ in where]
    for metadata in documents:
        names.update(dict.fromkeys(metadata))
        for which, tally in zip(where, seen, strict=True):
            _look(which, tally, metadata.get(which.field, ""))
    remarks = [_remark(which, tally, list(names)) for which, tally in zip(where, seen, strict=True)]
    return list(filter(None, remarks))


def problems(where: Sequence[Condition], documents: Iterable[Mapping[str, str]]) -> list[Problem]:
    """`remarks_on` as findings of `twofold check`."""
    try:
        remarks = remarks_on(where, documents)
    except BadFilter as error:
        return [Problem(severity="error", code=error.code, message=error.message, cure=error.cure)]
    cure = "Correct [retrieval].where, or the values."
    return [Problem(severity="warning", code="config.filter", message=one, cure=cure) for one in remarks]


def _look(which: Condition, tally: _Seen, value: str) -> None:
    have = parsed(value)
    tally.matches += holds(which, have)
    if not have.texts:
        return
    tally.have += 1
    tally.lists += have.members
    if not which.values or _comparable(which, have):
        tally.comparable += 1
    elif not tally.other:
        tally.other = value
    # Shown only where no document matches: after the first match none is remembered.
    if not tally.matches and len(tally.values) < _SEEN:
        tally.values.update(dict.fromkeys(sorted(have.texts)))


def _comparable(which: Condition, have: Parsed) -> bool:
    """Has a value a kind that the condition compares with? Every value is also a text."""
    for value in which.values:
        # In this order: a truth value is a number to Python as well.
        if isinstance(value, bool):
            comparable = bool(have.truths)
        elif isinstance(value, date):
            comparable = bool(have.times)
        else:
            comparable = isinstance(value, str) or bool(have.numbers)
        if comparable:
            return True
    return False


def _remark(which: Condition, tally: _Seen, names: list[str]) -> str:
    if not tally.have:
        if which.field in names:
            return f"{which}: no document has a value of {which.field!r}; it is empty in all"
        raise _unknown(which, names)
    if not tally.comparable:
        kind = _kind(which.values[0])
        raise BadFilter(
            f"{which}: no value of {which.field!r} is a {kind}, for example {excerpt(tally.other)!r}",
            cure=_cure(which, tally.other),
        )
    lacking = tally.have - tally.comparable
    if lacking and which.relation in ORDERED:
        kind = _kind(which.values[0])
        return (
            f"{which}: {lacking} of {tally.have} values of {which.field!r} {'is' if lacking == 1 else 'are'} no {kind} "
            f"and cannot be found by it, for example {excerpt(tally.other)!r}"
        )
    if tally.matches or which.relation in ("missing", "!=", "not in"):
        return ""
    texts = [str(value) for value in which.values if isinstance(value, str)]
    near: list[str] = []
    for text in texts:
        near += _near(text, list(tally.values))
    some = near or list(tally.values)[:_SHOWN]
    hint = "did you mean" if near else "values are, among others," if len(tally.values) > _SHOWN else "values are"
    return f"{which}: no document has that; {hint} {', '.join(repr(excerpt(one)) for one in dict.fromkeys(some))}"


def _unknown(which: Condition, names: list[str]) -> BadFilter:
    near = _near(which.field, names)
    known = f"Fields: {', '.join(sorted(names)[:30])}{', …' if len(names) > 30 else ''}." if names else (
        "No document has any: the columns of tables and records, front matter and [sources.NAME.metadata] are fields."
    )  # fmt: skip
    meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    quoted = " A name that holds a relation's sign or word stands in quotes." if " " in which.field and not near else ""
    return BadFilter(f"{which}: no document has a field {which.field!r}", cure=f"{meant}{known}{quoted}")


def _near(name: str, names: list[str]) -> list[str]:
    folded: dict[str, list[str]] = {}
    for candidate in names:
        folded.setdefault(candidate.casefold(), []).append(candidate)
    near: list[str] = []
    for key in get_close_matches(name.casefold(), list(folded), n=3):
        near += folded[key]
    return near[:3]


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "date" if isinstance(value, date) else "number"


def _cure(which: Condition, example: str) -> str:
    have = parsed(example)
    if have.times:
        return f"They are dates: write one without quotes, as in '{which.field} {which.relation} 2031-04-02'."
    if have.numbers:
        return f"They are numbers: write one without quotes, as in '{which.field} {which.relation} 30'."
    if which.relation in ORDERED:
        return (
            "Numbers are compared as 29.5, 1,234.50 or 12,5 without a unit, dates as 2031-04-02 and times as "
            "2031-04-02T09:30Z; write the values so, or compare them as a text: = and in, with the value in quotes."
        )
    return f"Compare it as a text, with the value in quotes, as in '{which.field} = \"{excerpt(example)}\"'."
