"""Two texts that share their words and mean another: contrary words, and things that have changed places. Pure."""

from __future__ import annotations

from twofold.metrics.text import find
from twofold.metrics.values import ARTICLES, MONTHS, scanned

_PAIRS = (
    "before/after earlier/later early/late start/end begin/end beginning/end first/last least/most more/less "
    "more/fewer minimum/maximum min/max minimal/maximal lowest/highest smallest/largest greater/less "
    "greater/smaller higher/lower larger/smaller bigger/smaller longer/shorter older/younger faster/slower "
    "above/below over/under up/down upper/lower increase/decrease increases/decreases increased/decreased "
    "increasing/decreasing rise/fall rises/falls rose/fell gain/loss win/lose won/lost add/remove opens/closes "
    "opened/closed open/closed on/off enable/disable enabled/disabled north/south northern/southern east/west "
    "eastern/western left/right inside/outside inner/outer internal/external input/output import/export "
    "imports/exports buy/sell credit/debit positive/negative odd/even always/never all/none with/without "
    "allowed/forbidden allowed/prohibited permitted/prohibited required/optional mandatory/optional true/false "
    "true/untrue public/private vertical/horizontal clockwise/counterclockwise clockwise/anticlockwise "
    "singular/plural male/female hot/cold day/night morning/evening same/different am/pm and/or "
    "ascending/descending inclusive/exclusive including/excluding multiply/divide ad/bc"
)
_CONTRARY: dict[str, frozenset[str]] = {}
for _one, _two in (pair.split("/") for pair in _PAIRS.split(" ")):
    for _word, _other in ((_one, _two), (_two, _one)):
        _CONTRARY[_word] = _CONTRARY.get(_word, frozenset()) | {_other}
_JOINS = frozenset(
    ("and", "or", "und", "oder", "et", "ou", "y", "o", "e", "with", "plus", "versus", "vs", "+", "*", "&", "=", "|")
)  # fmt: skip
"""What stands between things whose order says nothing."""
_FEW = 3
"""Tokens up to which one other name makes another answer."""
_LONGEST = 12
"""Tokens of a reference from which a word or the order of two things no longer decides."""


def contrary(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Does the answer say the contrary of a word of a short reference: ``after 1990`` for ``before 1990``?"""
    if len(theirs) > _LONGEST:
        return False
    lacking, added = set(theirs) - set(mine), set(mine) - set(theirs)
    return any(_CONTRARY.get(word, frozenset()) & added for word in lacking)


def other_name(text: str, reference: str) -> bool:
    """Is the answer a short reference with one name in the place of another: ``Bank of Japan`` for ``Bank of England``?

    Names are words with a capital, and months. A word in another spelling (``Organization``) is none.
    """
    mine, theirs = ([token for token in scanned(one) if token.lower() not in ARTICLES] for one in (text, reference))
    if not 2 <= len(theirs) <= _FEW or len(mine) != len(theirs):
        return False
    places = [(one, two) for one, two in zip(mine, theirs, strict=True) if one.casefold() != two.casefold()]
    if len(places) != 1:
        return False
    return all(map(_is_name, places[0])) and places[0][0][:4].casefold() != places[0][1][:4].casefold()


def _is_name(token: str) -> bool:
    return token[:1].isupper() or token in MONTHS


def exchanged(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Have two things of a short reference changed places: ``Mary loves John`` for ``John loves Mary``?

    What stands between them says that their order counts; a mere "and" does not.
    """
    if len(mine) == len(theirs):
        mine, theirs = _unlike_middles(mine, theirs)
    size = len(theirs)
    if not 3 <= size <= _LONGEST or not set(theirs) <= set(mine):
        return False
    return any(
        theirs[:first] != theirs[last:]
        and not _JOINS.issuperset(theirs[first:last])
        and find((*theirs[last:], *theirs[first:last], *theirs[:first]), mine)
        for first in range(1, size - 1)
        for last in range(first + 1, size)
    )


def _unlike_middles(one: tuple[str, ...], two: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two texts of as many tokens without those at the beginning and end that they share."""
    first, last = 0, len(one)
    while first < last and one[first] == two[first]:
        first += 1
    while last > first and one[last - 1] == two[last - 1]:
        last -= 1
    return one[first:last], two[first:last]
