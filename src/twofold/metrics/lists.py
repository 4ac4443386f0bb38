"""Answers that are lists: their items, whatever stands between these and in whatever order. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from twofold.metrics.agreement import form_of
from twofold.metrics.formal import found_json
from twofold.metrics.markup import plain
from twofold.metrics.values import all_tokens, tokens
from twofold.plugins import protocols
from twofold.types import Answer, Example

_MARK = re.compile(r"^[ \t]*(?:[-*•·▪◦–—]|\(?\d{1,3}[.):]|[(]?(?P<letter>[a-zA-Z])[.)])[ \t]+", re.MULTILINE)
"""The mark of a list's item at the beginning of its line."""
_AND = r"(?:and|or|und|oder|et|ou|y|e|o|en|of|och|i|oraz|и|或|和|及|以及|ve)"
_STRONG = re.compile(r"(?<!\s)\s*[;；]\s*|(?<!\s)\s+[|·•]\s+")
_COMMA = re.compile(
    # from the first of several blanks on: else each of them is looked at to the last
    rf"(?<!\s)\s*(?:,(?!\d)|(?<!\d),|[、，])\s*(?:{_AND}\s+)?"  # no comma of a number: 1,000
    rf"|(?<!\s)\s+(?:{_AND}|&)\s+|(?<=[^\x00-\x7f])(?:和|及|以及|或)(?=[^\x00-\x7f])"
)
_LEAD = re.compile(r"\A[^\n:：]{1,200}[:：]\s+(?=\S)")
"""Words before the list, up to a colon."""
_AND_FIRST = re.compile(rf"\A{_AND}\s+", re.IGNORECASE)
_LONGEST = 20_000
"""Characters of an answer that are read."""


@lru_cache(maxsize=16384)
def items_of(text: str) -> tuple[str, ...]:
    """The items of a list in a text: of a JSON array, of marked lines, of lines, or between separators.

    The strongest separator that stands in the text parts it alone: in lines or at semicolons an item may have commas
    (``Paris, France; Rome, Italy``). A text without a separator is one item.
    """
    value = found_json(text[:_LONGEST])
    if isinstance(value, list):
        return tuple(_spelled(item) for item in value)
    body = text[:_LONGEST].strip()
    marks = _marks(body)
    if marks and (len(marks) > 1 or marks[0].start() == 0):
        # Before the first mark stands what introduces the list, after a blank line behind the last item what closes it;
        # a line without a mark goes on with its item.
        ends = [mark.start() for mark in marks[1:]] + [len(body)]
        texts = [body[mark.end() : end] for mark, end in zip(marks, ends, strict=True)]
        texts[-1] = re.split(r"\n\s*\n", texts[-1])[0]
        return _bare([re.sub(r"\s*\n\s*", " ", text) for text in texts])
    body = _LEAD.sub("", body)
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1:
        return _bare(lines)
    strong = _STRONG.split(body)
    return _bare(strong if len(strong) > 1 else _COMMA.split(body))


def _marks(body: str) -> list[re.Match[str]]:
    """The marks of items. Letters are some only in their order, two at least: ``J. Smith`` begins with an initial."""
    marks = list(_MARK.finditer(body))
    letters = "".join(mark["letter"].lower() for mark in marks if mark["letter"])
    counting = len(letters) > 1 and "abcdefghijklmnopqrstuvwxyz".startswith(letters)
    return [mark for mark in marks if counting or not mark["letter"]]


def _spelled(item: Any) -> str:
    return item if isinstance(item, str) else repr(form_of(item)) if isinstance(item, (dict, list)) else str(item)


def _bare(parts: Sequence[str]) -> tuple[str, ...]:
    stripped = (_AND_FIRST.sub("", plain(part).strip().strip("\"'“”„«»")).strip() for part in parts)
    return tuple(item.rstrip(".。").strip() for item in stripped if item.strip(" .。,;"))


class ListF1:
    """F1 of the items of an answer's list and a reference's, in any order.

    A list is a JSON array, bullets or numbers at the beginning of lines, lines, or items between semicolons, commas and
    "and" (also in German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Polish, Russian and Chinese). Items are
    compared as `exact_match` compares words: without case, articles and punctuation, numbers as values. One that stands
    twice counts once. The first item of a sentence may follow words that lead to it ("The crops are maize, rice"), and
    the last may be followed by some.
    """

    version: ClassVar[int] = 1
    Options: ClassVar[type[protocols.Options]] = protocols.Options

    def __init__(self, options: protocols.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """Best F1 over the references, in [0, 1]; None without one. An unanswerable example wants an abstention."""
        if not example.answerable:
            return float(answer.abstained)
        gold = [forms for forms in map(_forms, example.references) if forms]
        if not gold:
            return None
        if answer.abstained:
            return 0.0
        mine = _forms(answer.text)
        return max(_f1(mine, forms) for forms in gold)

    def wants(self, example: Example) -> str:
        """The items of the first reference, sorted."""
        if not example.answerable or not example.references:
            return "\0abstain"
        return repr(sorted(_forms(example.references[0])))


def _forms(text: str) -> tuple[tuple[str, ...], ...]:
    """The items as tokens, each once, in their order."""
    return tuple(dict.fromkeys(form for item in items_of(text) if (form := tokens(item) or all_tokens(item))))


def _f1(mine: tuple[tuple[str, ...], ...], theirs: tuple[tuple[str, ...], ...]) -> float:
    if not mine:
        return 0.0
    shared = set(mine) & set(theirs)
    missing = [form for form in theirs if form not in shared]
    hits = len(shared)
    # A sentence around the list: words that lead to its first item, and words after its last.
    for place, around in ((0, "before"), (-1, "after")):
        item = mine[place]
        if item in shared:
            continue
        rest = [
            f
            for f in missing
            if len(f) < len(item) and (item[-len(f) :] if around == "before" else item[: len(f)]) == f
        ]
        if rest:
            missing.remove(max(rest, key=len))
            hits += 1
            if len(mine) == 1:
                break  # one item is matched once
    return 2 * hits / (len(mine) + len(theirs))
