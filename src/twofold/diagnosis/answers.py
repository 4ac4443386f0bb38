"""Why an answer is wrong: one cause of a short fixed list, each with its cure. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from twofold.hashing import plain
from twofold.metrics.formal import found_json, parse
from twofold.stats import intervals
from twofold.types import Answer, Example
from twofold.verdict.evidence import RIGHT, is_wrong
from twofold.verdict.record import AnswerRow, CauseRow, ContrastRow

CAUSES: dict[str, tuple[str, str]] = {
    "failure": (
        "no answer: something failed",
        "Read the failures listed with the arm, remove their cause, and run the study again: only they are redone.",
    ),
    "cut": (
        "the answer was cut at the token limit before it was right",
        "Raise [generation].max_tokens.",
    ),
    "repetition": (
        "the answer repeats itself until the token limit",
        "Use a larger or an instruction-tuned model, or tune: no limit is long enough for it.",
    ),
    "rambling": (
        "cut at the token limit and far longer than the reference: not in the wanted form",
        "Say the form in [prompt], add few-shot examples (the arm prompt) or tune; a higher limit mends nothing.",
    ),
    "retrieval-miss": (
        "the right document was not among the passages",
        "Raise [retrieval].k, cut smaller chunks, or try another retriever; check that the document was synced.",
    ),
    "false-abstention": (
        "the arm declined a question that has an answer",
        "Lower [tuning].unanswerable, or soften the abstention sentence in [prompt].",
    ),
    "missed-abstention": (
        "the arm answered a question that has no answer",
        "Add unanswerable examples to train, or raise [tuning].unanswerable.",
    ),
    "not-in-passage": (
        "none of the passages shown contains the answer's words",
        "Tune with passages (ft+rag), ask for quotation in [prompt].open, or use a larger model.",
    ),
    "wrong-span": (
        "the answer quotes a passage, but the wrong words of it",
        "Tune with passages (ft+rag), or show fewer and better passages.",
    ),
    "partial": (
        "partly right: the answer shares words with the reference",
        "Look at the examples: references may be stricter than needed; add train examples of the length wanted.",
    ),
    "format": (
        "right content in the wrong form (too long, or not valid JSON)",
        "Add few-shot examples (the arm prompt) or tune: form is what tuning teaches best.",
    ),
    "no-knowledge": (
        "without passages the model does not know the answer",
        "Give it passages (rag, ft+rag), or more train examples about the same documents.",
    ),
}
"""Cause → (what it means, what to do)."""


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


def summary(rows: Sequence[AnswerRow], *, level: float = 0.95) -> list[CauseRow]:
    """Causes per arm, most frequent first; the intervals of their shares are over groups, at `level`."""
    groups: dict[str, list[str]] = {}
    ids_by_cause: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        for arm, answer in row["arms"].items():
            if answer["cause"]:
                ids_by_cause.setdefault((arm, answer["cause"]), {})[len(groups.get(arm, ()))] = row["id"]
            groups.setdefault(arm, []).append(row["group"])
    # Arms in the study's order, and within an arm the most frequent cause first.
    place = {arm: number for number, arm in enumerate(groups)}
    out: list[CauseRow] = []
    for (arm, cause), ids in sorted(
        ids_by_cause.items(), key=lambda item: (place[item[0][0]], -len(item[1]), item[0][1])
    ):
        # Shape (answers of the arm,): 1 where this is the cause; `groups` aligns with it.
        share = intervals.estimate([float(n in ids) for n in range(len(groups[arm]))], groups[arm], level=level)
        out.append(
            {
                "arm": arm,
                "cause": cause,
                "label": CAUSES[cause][0],
                "count": len(ids),
                "share": share.mean,
                "low": share.low,
                "high": share.high,
                "examples": list(ids.values())[:5],
                "cure": CAUSES[cause][1],
            }
        )
    return out


ORACLES = (("oracle", "rag"), ("ft+oracle", "ft+rag"))
"""Arms that are shown the passages known to be right, and the arms that have to find them."""


def contrasts(
    rows: Sequence[AnswerRow], metric: str, *, level: float = 0.95, right: float | None = RIGHT
) -> list[ContrastRow]:
    """Causes of wrong answers, by comparison with another arm's answer to the same question.

    No guess from the text of an answer: wrong with the passages found and right with the right ones given is
    retrieval's share; wrong with both is reading's, the model's or the reference's; wrong untuned and right tuned,
    both with the right passages, is what tuning changes of it. Right is a score of at least `right`; questions
    without a score in either arm are left out.

    Returns:
        A row for each pair of arms that was measured; nothing where `right` is None.
    """
    if right is None:
        return []
    comparisons = []
    for oracle, usual in ORACLES:
        comparisons.append(
            (
                usual,
                oracle,
                False,
                "retrieval",
                f"wrong in {usual} and right in {oracle}, which is given the right passages",
            )
        )
    for oracle, usual in ORACLES:
        comparisons.append(
            (usual, oracle, True, "reading", f"wrong in {usual} and in {oracle}: reading, the model or the reference")
        )
    comparisons.append(
        ("oracle", "ft+oracle", False, "tuning", "wrong in oracle and right in ft+oracle: reading that tuning mends")
    )
    out: list[ContrastRow] = []
    for arm, beside, both, share, label in comparisons:
        values: list[float] = []
        groups = []
        for row in rows:
            # Pairs only: a question that one of the two did not answer says nothing of their difference.
            score, other = _score(row, arm, metric), _score(row, beside, metric)
            if score is None or other is None:
                continue
            values.append(float(is_wrong(score, right) and is_wrong(other, right) == both))
            groups.append(row["group"])
        if not values:
            continue
        estimate = intervals.estimate(values, groups, level=level)
        out.append({"arm": arm, "beside": beside, "share": share, "label": label, "estimate": plain(estimate)})
    return out


def _score(row: AnswerRow, arm: str, metric: str) -> float | None:
    return row["arms"][arm]["scores"].get(metric) if arm in row["arms"] else None


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
