"""Does a passage support an answer? By words and numbers, without a model. Pure.

The check is deliberately plain: a passage supports an answer when it contains most of the answer's content words and
all of its numbers, exactly. That is sound for answers taken from the documents; an answer in quite other words ("yes",
a summary in another language) cannot be judged so, and is left alone (`checkable`) or not checked at all
(``[prompt].support = 0``). A citation is precise, after Gao et al. 2023 (ALCE), if the passages that it names support
the answer. Words in a passage about something else support nothing, so a passage may have to share words with the
question as well (`about`). Scripts without blanks are compared by pairs of characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

_WORD = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
"""Thai, Lao, Burmese, Khmer, Chinese and Japanese: scripts without blanks between words."""
_STEM = 6
"""First letters by which words are compared: ``irrigate`` and ``irrigation`` count as the same word."""
_SMALL = frozenset(
    _WORD.findall(
        "a an and are as at be been but by can could did do does for from had has have how if in into is it its may "
        "more most no not of on one or should so some such than that the their them then there these they this those "
        "to was were what when where which who whom whose why will with would you your yes answer question"
    )
)
CLEARER = 0.1
"""Another passage is cited instead when it contains this much more of the question's words (chosen on the demo's dev
split)."""


@dataclass(frozen=True, slots=True)
class Term:
    """A content word or a number of a text, as passages are compared by it."""

    key: str
    """Its first letters without case; a number without thousands marks. Equal keys count as the same word."""
    number: bool = False
    """True for a number."""
    capital: bool = False
    """True where it begins with a capital letter."""


def checkable(answer: str, choices: Sequence[str] = ()) -> bool:
    """Does the answer contain anything that a passage can contain (no label of `choices`, no yes or no)?"""
    return answer.strip() not in choices and bool(_content(answer) or _numbers(answer))


def share(answer: str, passages: Sequence[str]) -> float:
    """Share of the answer's content words that the passages contain; 0 when a number of the answer is missing."""
    words, numbers = _content(answer), _numbers(answer)
    if not numbers <= frozenset().union(*(_numbers(p) for p in passages)):
        return 0.0
    # all passages together: an answer may take its words from several
    passage_words = frozenset().union(*(_content(p) for p in passages))
    return len(words & passage_words) / len(words) if words else 1.0


def about(question: str, passage: str, *, answer: str = "") -> float:
    """Share of the question's content words, without the answer's, that the passage contains; 1 if there are none.

    The share is 0 when a number of the question (a year, a size) is missing. An answer in a sentence repeats the
    question ("who leads the test?", "The test is led by …"): where it shares more than half of the words all of them
    count, as the few others say nothing about the passage.
    """
    if not _numbers(question) - _numbers(answer) <= _numbers(passage):
        return 0.0
    question_words = _content(question)
    words = question_words - _content(answer)
    # an answer that repeats most of the question would leave too little to tell the topic by
    if 2 * len(words) < len(question_words):
        words = question_words
    return len(words & _content(passage)) / len(words) if words else 1.0


def verify(
    numbers: Sequence[int],
    passages: Sequence[str],
    *,
    answer: str,
    question: str,
    least: float,
    topic: float = 0.0,
    heads: Sequence[str] = (),
) -> tuple[list[int], int, int]:
    """Check an answer's citations against the passages shown.

    A citation stays when its passage alone supports the answer, or when all cited passages together support it and
    this one is needed. Where no citation stays, a passage that supports the answer is cited instead. A passage that
    supports the answer and shares many more words with the question replaces the cited one, as the answer was likely
    taken from there. A passage without enough of the question's words supports no answer to it.

    Args:
        numbers: Cited passages, from 1, all of them shown.
        passages: Texts of all shown passages.
        answer: The answer without its markers.
        question: The question.
        least: Share of the answer's words that a passage must contain.
        topic: Share of the question's words that a passage, with its heading, must exceed (`about`); 0: no check.
        heads: Headings of the passages, such as titles; may be omitted.

    Returns:
        The remaining citations, the number of removed ones, and the number that were changed to another passage.
    """
    fit = _fitting(passages, answer=answer, question=question, topic=topic, heads=heads)
    cited, numbers = len(numbers), [n for n in numbers if n in fit]
    alone = [n for n in fit if share(answer, [passages[n - 1]]) >= least]
    supported = [n for n in numbers if n in alone]
    if not supported and numbers and share(answer, [passages[n - 1] for n in numbers]) >= least:
        supported = list(numbers)
        # the last one named is dropped first where it is not needed
        for n in reversed(numbers):
            rest = [m for m in supported if m != n]
            supported = rest if rest and share(answer, [passages[m - 1] for m in rest]) >= least else supported
    if not cited or not (supported or alone):
        return [], cited, 0
    # a single citation may give way to a clearer passage; several hold the answer together only
    if not supported or (len(supported) == 1 and supported[0] in alone):
        overlaps = {n: len(_content(question) & _content(passages[n - 1])) for n in alone}
        best = _nearest(alone, overlaps)
        # by a whole word at least: of a short question the share is less than one
        if not supported or overlaps[best] >= overlaps[supported[0]] + max(1.0, CLEARER * len(_content(question))):
            return [best], cited - 1, 1
    return supported, cited - len(supported), 0


def holder(
    passages: Sequence[str],
    *,
    answer: str,
    question: str,
    least: float,
    topic: float = 0.0,
    heads: Sequence[str] = (),
) -> int:
    """Number of the passage that supports the answer, of several the one with most words of the question; 0: none.

    The rule is that of `verify` for a citation that stands alone, with the same arguments.
    """
    fit = _fitting(passages, answer=answer, question=question, topic=topic, heads=heads)
    alone = [n for n in fit if share(answer, [passages[n - 1]]) >= least]
    return _nearest(alone, {n: len(_content(question) & _content(passages[n - 1])) for n in alone}) if alone else 0


def _fitting(passages: Sequence[str], *, answer: str, question: str, topic: float, heads: Sequence[str]) -> list[int]:
    """Numbers of the passages that share enough words with the question."""
    whole = [f"{head}\n{text}" for head, text in zip(heads, passages, strict=True)] if heads else passages
    return [n for n, text in enumerate(whole, 1) if not topic or about(question, text, answer=answer) > topic]


def _nearest(numbers: Sequence[int], shared: Mapping[int, int]) -> int:
    """The passage that shares most words with the question, the first of equals."""
    return max(numbers, key=lambda n: (shared[n], -n))


@lru_cache(maxsize=4096)
def terms(text: str) -> tuple[Term, ...]:
    """The content words and numbers of a text in their order: what `share` compares, with repetitions."""
    out = []
    for match in _WORD.finditer(_UNSPACED.sub(_pairs, text)):
        word = match.group()
        key = word.casefold()
        if key[0].isdigit():
            out.append(Term(_number(key), number=True))
        elif _counts(key):
            out.append(Term(key[:_STEM], capital=word[0].isupper()))
    return tuple(out)


@lru_cache(maxsize=4096)
def _content(text: str) -> frozenset[str]:
    words = {w for w in _WORD.findall(_UNSPACED.sub(_pairs, text.casefold())) if not w[0].isdigit()}
    return frozenset(w[:_STEM] for w in words if _counts(w))


def _counts(word: str) -> bool:
    # a single letter is an initial or the mark of an item; in a script without blanks it is a word
    return word not in _SMALL and (len(word) > 1 or _UNSPACED.match(word) is not None)


def _pairs(run: re.Match[str]) -> str:
    text = run.group()
    return f" {' '.join(a + b for a, b in pairwise(text)) or text} "


@lru_cache(maxsize=4096)
def _numbers(text: str) -> frozenset[str]:
    return frozenset(_number(w) for w in _WORD.findall(text) if w[0].isdigit())


def _number(digits: str) -> str:
    return digits.replace(",", "")  # 1,200 and 1200 are one number
