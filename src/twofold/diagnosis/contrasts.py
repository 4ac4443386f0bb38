"""Shares of retrieval, reading and tuning in wrong answers, by comparing arms on the same questions. Pure.

These are measured by the study itself: an oracle arm is given the passages that the usual arm has to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from twofold.hashing import plain
from twofold.stats import intervals
from twofold.text.arm_names import models_of, of_model
from twofold.verdict.evidence import RIGHT, is_wrong
from twofold.verdict.record import AnswerRow, ContrastRow

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
    out: list[ContrastRow] = []
    for model in models_of(chain.from_iterable(row["arms"] for row in rows)):
        out += _of_model(rows, metric, model=model, level=level, right=right)
    return out


def oracles(model: str) -> list[tuple[str, str]]:
    """`ORACLES` of a model."""
    return [(of_model(oracle, model), of_model(usual, model)) for oracle, usual in ORACLES]


def _of_model(rows: Sequence[AnswerRow], metric: str, *, model: str, level: float, right: float) -> list[ContrastRow]:
    """The contrasts of one model's arms: another model's answers say nothing of this one's causes."""
    comparisons = []
    for oracle, usual in oracles(model):
        comparisons.append(
            (
                usual,
                oracle,
                False,
                "retrieval",
                f"wrong in {usual} and right in {oracle}, which is given the right passages",
            )
        )
    for oracle, usual in oracles(model):
        comparisons.append(
            (usual, oracle, True, "reading", f"wrong in {usual} and in {oracle}: reading, the model or the reference")
        )
    (untuned, _), (tuned, _) = oracles(model)
    mends = f"wrong in {untuned} and right in {tuned}: reading that tuning mends"
    comparisons.append((untuned, tuned, False, "tuning", mends))
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
