"""Answers of one pattern repeated: twice the text takes about twice the time in all that reads an answer.

A model that repeats itself up to its token limit writes such answers. Compared is one run with another of the same
process, as processor time; a quadratic pattern takes four times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from twofold.examples.leaks import bare
from twofold.metrics.agreement import headings
from twofold.metrics.formal import found_json, language, pieces
from twofold.metrics.labels import predicted
from twofold.metrics.overlap import AnswerF1
from twofold.plugins import protocols
from twofold.text import grounding
from twofold.text.declining import declines
from twofold.text.wrapping import answer_text, without_datamarks, without_markers
from twofold.types import Answer, Example, Message

ANSWER = AnswerF1(protocols.Options())
ASKED = Example(
    id="e",
    messages=(Message(role="user", content="Which?"),),
    references=("positive",),
    choices=("positive", "negative", "no", "B"),
)
WORK: dict[str, Callable[[str], object]] = {
    "answer_f1": lambda text: ANSWER.compare(text, "5 km of the A road"),
    "answer_text": answer_text,
    "bare": bare,
    "datamarks": lambda text: without_datamarks(text, "^", ["some words"]),
    "declines": lambda text: declines(text, "The passages do not say."),
    "found_json": found_json,
    "headings": headings,
    "label": lambda text: predicted(ASKED, Answer(text=text)),
    "language": language,
    "markers": lambda text: without_markers(text, cite="last", shown=5),
    "sql": lambda text: pieces(text, "sql"),
    "support": grounding.checkable,
}
TEXTS = {
    "words": ("", "word ", ""),
    "blanks": ("a", " ", "b"),
    "lines": ("a", "\n", "b"),
    "dots": ("", "a.", "b"),
    "digits": ("", "7", "x"),
    "numbers": ("", "7 ", ""),
    "thousands": ("", "1,234,", ""),
    "brackets": ("", "[1] ", "x"),
    "open brackets": ("", "[", ""),
    "objects": ("", '{"a": 1} ', ""),
    "open objects": ("", '{"a": ', ""),
    "tags": ("a", "<think>", ""),
    "closing tags": ("a", "</think>", ""),
    "answers": ("a", "<answer>", ""),
    "quotes": ("", '"a ', ""),
    "back ticks": ("", "`", "x"),
    "hyphens": ("", "a-", ""),
    "slashes": ("/", "a/", ""),
    "commas": ("", "a, ", ""),
    "denials": ("", "not ", "positive"),
    "counts": ("", "one hundred ", ""),
    "passages": ("", "the passages ", ""),
    "dollars": ("", "$", "x"),
    "stars": ("", "*", "x"),
    "underscores": ("", "_a", ""),
    "headings": ("", "# a\n", ""),
}


def _seconds(work: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    work(text)
    return time.process_time() - began


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("work", WORK)
def test_time_grows_with_the_text(work: str, text: str) -> None:
    before, unit, after = TEXTS[text]

    def of(size: int, turn: int = 0) -> str:
        # What was read before is kept, and takes no time: each turn reads another text. The number of units is odd: a
        # quotation mark without its partner is looked for in more ways, which takes longer and is no growth.
        return before + unit * (size // len(unit) | 1) + after + "!" * turn

    size = 2_000
    while (first := _seconds(WORK[work], of(size))) < 0.03 and size < 64_000:
        # In one step where the time is linear; what is quadratic takes more than the second that it may.
        size = min(128_000, int(size * min(64, max(1.5, 0.035 / first))))
    assert first < 1
    # A quarter of the text is cheaper to measure than twice the text: without what the shortest text takes, it takes a
    # quarter of the time if the time is linear, a sixteenth if it is quadratic. What is in doubt is measured below.
    least = _seconds(WORK[work], of(0, 6))
    quarter = min(_seconds(WORK[work], of(size // 4, turn)) for turn in (4, 5))
    if first >= 0.03 and first - least < 5 * (quarter - least):
        return
    ratios = []
    for turn in range(1, 4):
        ratios.append(_seconds(WORK[work], of(2 * size, turn)) / max(first, 0.01))
        if ratios[-1] < 3:
            return
        first = _seconds(WORK[work], of(size, turn))
    pytest.fail(f"{size} and {2 * size} characters: {', '.join(f'{ratio:.1f}' for ratio in ratios)} times as long")
