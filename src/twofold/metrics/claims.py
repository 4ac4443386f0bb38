"""The sentences of an answer that claim something: without its list numbers, headings, lead-ins and fences. Pure.

An answer in Markdown has lines that no passage supports and none need support: ``## Steps``, ``Here are the steps:``,
a table's head. The number of a list's item is no number of the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_FENCE = re.compile(r"^[ \t]{0,9}(?:```|~~~)[^\n`]{0,40}$", re.MULTILINE)
_RULE = re.compile(r"^[ \t]{0,9}\|?[ \t]{0,9}:?--[-:| \t]*$")
_HEADING = re.compile(r"^(?:#{1,6}\s.*|\*\*[^*]+(?<![.!。！])\*\*:?|__[^_]+(?<![.!。！])__:?|.*[:：](?:\*\*|__)?)$")
"""A heading, a line in bold type alone that is no sentence, or a lead-in, which ends with a colon."""
_MARK = re.compile(r"^[ \t]{0,20}(?:[-*+•–]|\(?[A-Za-z][.)]|\(?[ivxIVX]{1,5}[.)])[ \t]+", re.MULTILINE)
"""The mark of an item: a dash, a letter, a Roman number."""
_NUMBER = re.compile(
    r"(?:^[ \t]{0,20}|(?<=[.:;!?。：])[ \t]+)\(?(?P<number>\d{1,2})(?:[.)、][ \t]+(?=\S)|、(?=[^\s\d]))", re.MULTILINE
)


def claims(answer: str, sentences: Callable[[str], list[str]]) -> list[str]:
    """The sentences that can be checked; all of them where every line is a heading or a lead-in.

    Args:
        answer: The answer, without citation markers.
        sentences: Cuts a text into sentences, lines apart.
    """
    lines = _unnumbered(_MARK.sub("", _FENCE.sub("", answer))).split("\n")
    claiming = []
    for place, line in enumerate(lines):
        below = lines[place + 1] if place + 1 < len(lines) else ""
        head = "|" in line and "|" in below and _RULE.match(below)
        if not (head or _RULE.match(line) or _HEADING.match(line.strip())):
            claiming.append(line)
    return sentences("\n".join(claiming)) or sentences(answer)


def _unnumbered(text: str) -> str:
    """The text with a line break in place of each item's number.

    Numbers of items count up from 1: at the beginning of lines, or two of them at least behind the ends of sentences.
    Any other number at such a place is what the answer says: ``It was built in 1987. 45 litres ...``.
    """
    runs: list[list[re.Match[str]]] = []
    # Not the last run alone: an item may have had items that count from 1 again.
    waiting: dict[int, list[list[re.Match[str]]]] = {}
    for match in _NUMBER.finditer(text):
        number = int(match["number"])
        if number == 1:
            run = [match]
            runs.append(run)
        elif waiting.get(number):
            run = waiting[number].pop()
            run.append(match)
        else:
            continue
        waiting.setdefault(number + 1, []).append(run)
    marks = set()
    for run in runs:
        by_line = {match.start() for match in run if match.start() == 0 or text[match.start() - 1] == "\n"}
        marks |= {match.start() for match in run} if len(run) > 1 else by_line
    return _NUMBER.sub(lambda match: "\n" if match.start() in marks else match[0], text)
