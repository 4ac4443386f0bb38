"""The former diagnosis by thresholds and words, which nothing was run for: the baseline that a test prints.

It guesses a cause from the answer's text. `twofold diagnose` replaced it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from twofold.metrics.formal import found_json, parse
from twofold.types import Answer, Example
from twofold.verdict.evidence import RIGHT, is_wrong


def diagnose(
    example: Example,
    answer: Answer,
    score: float | None,
    *,
    retrieval: bool | None = None,
    gold_in_hits: bool | None = None,
    right: float | None = RIGHT,
) -> str:
    """The cause of a wrong answer, or an empty string when it is not (`is_wrong`) or has no score.

    Causes are tried from the outside in: failed, cut short (`cut_cause`), should have abstained, right words in a
    wrong form, the passage was not found, abstained all the same, partly right, quoted elsewhere, in no passage.

    Args:
        example: What was asked.
        answer: What came.
        score: Score of the study's metric; None when it does not apply.
        retrieval: Does the arm see passages? None: judged by the answer's hits.
        gold_in_hits: Is a document that holds the answer among the hits? None: unknown.
        right: Score from which an answer is right; None: no score says so, and only 0 is wrong.
    """
    if answer.failure is not None:
        return "failure"
    # Only wrong answers have a cause.
    if score is None or not is_wrong(score, right):
        return ""
    # Before all that reads the text: a text that was cut says little about what was meant.
    if answer.cut:
        return cut_cause(example, answer)
    if not example.answerable:
        return "missed-abstention"
    open_book = bool(answer.hits) if retrieval is None else retrieval
    mine = _words(answer.text)
    if not answer.abstained and _wrong_form(example, answer, mine):
        return "format"
    # False, not falsy: where no gold document is known, retrieval is not blamed.
    if open_book and gold_in_hits is False:
        return "retrieval-miss"
    if answer.abstained:
        return "false-abstention"
    # Shared articles and prepositions are no partial answer.
    reference_words = set(chain.from_iterable(map(_words, example.references))) - _EMPTY
    if score > 0 or (set(mine) - _EMPTY) & reference_words:
        return "partial"
    if not open_book:
        return "no-knowledge"
    # Word by word in a passage: it quoted, but from the wrong place.
    shown = any(_within(mine, _words(hit.chunk.text)) for hit in answer.hits)
    return "wrong-span" if shown else "not-in-passage"


def cut_cause(example: Example, answer: Answer) -> str:
    """Why an answer ended at the token limit: ``repetition``, ``rambling`` (far longer than asked), or just ``cut``."""
    if _repeats(answer.text):
        return "repetition"
    # Four times the longest reference: longer than any answer that is merely wordy.
    longest = max((len(_words(reference)) for reference in example.references), default=0)
    return "rambling" if longest and len(_words(answer.text)) > 4 * longest else "cut"


def _repeats(text: str) -> bool:
    """Do the same four words, or characters where there are no spaces, stand in it again and again?"""
    pieces: Sequence[str] = text.split()
    # Fewer than one blank in ten characters: a script without spaces, so characters are compared.
    if 10 * len(pieces) < len(text):
        pieces = text
    runs = Counter(tuple(pieces[place : place + 4]) for place in range(len(pieces) - 3))
    # More than three fifths of all runs of four come four times or more.
    return 5 * sum(count for count in runs.values() if count >= 4) > 3 * runs.total()


_STOP = "a an the of in on at to and or is are was were be by for with it its this that as from"
"""English words without content; other languages are compared with all their words."""
_EMPTY = frozenset(_STOP.split(" "))


def _words(text: str) -> list[str]:
    spaced = "".join(c if c.isalnum() else " " for c in text.casefold())
    return spaced.split()


def _within(needle: list[str], hay: list[str]) -> bool:
    """Do the words stand in the text, one after the other? No words stand nowhere."""
    size = len(needle)
    return bool(needle) and any(hay[start : start + size] == needle for start in range(len(hay) - size + 1))


def _wrong_form(example: Example, answer: Answer, mine: list[str]) -> bool:
    for reference in example.references:
        if parse(reference) is not None and found_json(answer.text) is None:
            return True
        theirs = _words(reference)
        # The reference whole, with more around it: the content is right, and the form is not.
        if _within(theirs, mine) and len(mine) > len(theirs):
            return True
    return False
