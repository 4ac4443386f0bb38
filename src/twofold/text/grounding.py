"""Does a passage support an answer? By words and numbers, without a model. Pure.

The check is deliberately plain: an answer stands in a passage when most of its content words do and all of its numbers
do, exactly. That is sound for answers taken from the documents; an answer in quite other words ("yes", a summary in
another language) cannot be judged so, and is left alone (`checkable`) or not checked at all (``[prompt].support = 0``).
What a citation's precision means follows Gao et al. 2023 (ALCE): supported by what it names. Words that stand in a
passage about something else support nothing, so a passage can be asked to speak of the question too (`about`). Scripts
without blanks are compared by pairs of characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

_WORD = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
"""Thai, Lao, Burmese, Khmer, Chinese and Japanese: words are not parted by blanks."""
_STEM = 6
"""Letters by which words are compared: ``irrigate`` and ``irrigation`` are one."""
_SMALL = frozenset(
    _WORD.findall(
        "a an and are as at be been but by can could did do does for from had has have how if in into is it its may "
        "more most no not of on one or should so some such than that the their them then there these they this those "
        "to was were what when where which who whom whose why will with would you your yes answer question"
    )
)
CLEARER = 0.1
"""Another passage is named instead when it holds this much more of the question's words (chosen on the demo's dev)."""


def checkable(answer: str, choices: Sequence[str] = ()) -> bool:
    """Is there something in the answer that can stand in a passage (not a choice among given ones, not yes or no)?"""
    return answer.strip() not in choices and bool(_content(answer) or _numbers(answer))


def share(answer: str, passages: Sequence[str]) -> float:
    """Share of the answer's content words that stand in the passages, 0 when one of its numbers does not."""
    words, numbers = _content(answer), _numbers(answer)
    if not numbers <= frozenset().union(*(_numbers(p) for p in passages)):
        return 0.0
    # together: an answer may have its words of several passages
    passage_words = frozenset().union(*(_content(p) for p in passages))
    return len(words & passage_words) / len(words) if words else 1.0


def about(question: str, passage: str, *, answer: str = "") -> float:
    """Share of the question's content words, those of the answer apart, that stand in the passage; 1 without any.

    0 when one of the question's numbers (a year, a size) does not stand there. An answer in a sentence repeats the
    question ("who leads the test?", "The test is led by …"): where it shares more than half of the words all count,
    for the few that it puts otherwise say nothing of the passage.
    """
    if not _numbers(question) - _numbers(answer) <= _numbers(passage):
        return 0.0
    question_words = _content(question)
    words = question_words - _content(answer)
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

    A citation stands when its passage alone holds the answer, or when all those cited hold it together and it is
    needed for that. Where none stands, the passage that does hold the answer is named instead. Where a passage holds
    the answer and much more of the question than the one cited, the answer was taken from there. A passage that does
    not speak of the question supports no answer to it.

    Args:
        numbers: Passages cited, from 1, each shown.
        passages: Texts of all passages shown.
        answer: The answer without its markers.
        question: What was asked.
        least: Share of the answer's words that must stand in a passage.
        topic: A passage, with what stands above it, must hold more than this share of the question's words (`about`);
            0: no check.
        heads: What stands above each passage, its title for one; may be left out.

    Returns:
        The citations that stand, how many were taken out, and how many name another passage than the model did.
    """
    fit = _fitting(passages, answer=answer, question=question, topic=topic, heads=heads)
    cited, numbers = len(numbers), [n for n in numbers if n in fit]
    alone = [n for n in fit if share(answer, [passages[n - 1]]) >= least]
    supported = [n for n in numbers if n in alone]
    if not supported and numbers and share(answer, [passages[n - 1] for n in numbers]) >= least:
        supported = list(numbers)
        # the last one named goes first where it is not needed
        for n in reversed(numbers):
            rest = [m for m in supported if m != n]
            supported = rest if rest and share(answer, [passages[m - 1] for m in rest]) >= least else supported
    if not cited or not (supported or alone):
        return [], cited, 0
    if not supported or (len(supported) == 1 and supported[0] in alone):
        overlaps = {n: len(_content(question) & _content(passages[n - 1])) for n in alone}
        best = _nearest(alone, overlaps)
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
    """Number of the passage that holds the answer, of several the one that holds most of the question; 0: none does.

    By the rule of `verify` for a citation that stands alone; arguments as there.
    """
    fit = _fitting(passages, answer=answer, question=question, topic=topic, heads=heads)
    alone = [n for n in fit if share(answer, [passages[n - 1]]) >= least]
    return _nearest(alone, {n: len(_content(question) & _content(passages[n - 1])) for n in alone}) if alone else 0


def _fitting(passages: Sequence[str], *, answer: str, question: str, topic: float, heads: Sequence[str]) -> list[int]:
    """Numbers of the passages that speak of the question."""
    whole = [f"{head}\n{text}" for head, text in zip(heads, passages, strict=True)] if heads else passages
    return [n for n, text in enumerate(whole, 1) if not topic or about(question, text, answer=answer) > topic]


def _nearest(numbers: Sequence[int], shared: Mapping[int, int]) -> int:
    """The passage that shares most words with the question, the first of equals."""
    return max(numbers, key=lambda n: (shared[n], -n))


@lru_cache(maxsize=4096)
def _content(text: str) -> frozenset[str]:
    words = {w for w in _WORD.findall(_UNSPACED.sub(_pairs, text.casefold())) if not w[0].isdigit()}
    return frozenset(w[:_STEM] for w in words - _SMALL if len(w) > 1 or _UNSPACED.match(w))


def _pairs(run: re.Match[str]) -> str:
    text = run.group()
    return f" {' '.join(a + b for a, b in pairwise(text)) or text} "


@lru_cache(maxsize=4096)
def _numbers(text: str) -> frozenset[str]:
    return frozenset(w.replace(",", "") for w in _WORD.findall(text) if w[0].isdigit())
