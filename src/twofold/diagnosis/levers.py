"""The next best fix: what perfect retrieval, perfect form or no limit would gain, measured by re-runs. Pure.

A ceiling that is measured on wrong answers alone is too high: a change can spoil right answers as well. So every answer
of the arm to which a change applies is asked again, and the gain is the paired difference over all answers, with its
interval over groups. An answer to which a change does not apply keeps its score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twofold.diagnosis.case import Case
from twofold.diagnosis.changes import Change, Trial
from twofold.diagnosis.record import LeverRow
from twofold.stats import intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """Prices of a million tokens."""

    read: float
    written: float
    currency: str = ""
    """Empty where they are options of the generator, which name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """Something that could be mended."""

    name: str
    action: str
    """What to do, an imperative."""
    effort: str
    """What it takes: a setting, work on data, training."""


LEVERS = (
    Lever(
        name="perfect retrieval",
        action="Improve the search: [retrieval] k, retriever, rerankers, [documents.chunker]; `twofold bench "
        "retrieval` compares them.",
        effort="settings and an index rebuilt, or a tuned embedder",
    ),
    Lever(
        name="perfect form",
        action="Constrain the form: [generation].schema, choices, [prompt], few-shot examples.",
        effort="a setting",
    ),
    Lever(name="no limit", action="Raise [generation].max_tokens.", effort="a setting"),
    Lever(
        name="no abstention",
        action="Soften the abstention sentence in [prompt], or lower [retrieval].risk and [tuning].unanswerable.",
        effort="a setting; with [tuning].unanswerable, training",
    ),
    Lever(name="no adapter", action="Answer with the base weights, or train again.", effort="none, or training"),
    Lever(
        name="complete documents",
        action="Add the documents that hold the answers named not-in-documents.",
        effort="work on the documents",
    ),
)
"""In the order of the path from documents to answer; the ranked list is ordered by gain."""


def changes_for(lever: str, case: Case) -> Change | None:
    """The change that shows what a lever would give for one answer, right or wrong; None where it changes nothing."""
    facts, arm = case.passages, case.arm
    if case.answer.failure is not None:
        return None
    if lever == "perfect retrieval":
        applies = arm.retrieval and bool(facts.gold) and case.gold_alone.passages != case.context
        # Found, and declined all the same: that is the threshold's doing, not the search's.
        return case.gold_alone if applies and not (case.gated and facts.shown) else None
    if case.gated and lever in ("perfect form", "no adapter"):
        return None
    if lever == "perfect form":
        return next(iter(case.forms), None) if case.example.answerable else None
    if lever == "no limit":
        return case.longer if case.answer.cut else None
    if lever == "no abstention":
        return case.obliged if case.answer.abstained and arm.retrieval else None
    if lever == "no adapter":
        return case.untuned if arm.tuned else None
    # What readers or conditions hide is in the documents: adding it would change nothing.
    missing = facts.sourced and not facts.gold and not facts.hidden
    return case.stated if arm.retrieval and missing else None


def levers(
    cases: Sequence[Case],
    trials: Mapping[str, Mapping[int, Trial]],
    *,
    level: float,
    seed: int = 0,
    price: TokenPrices | None = None,
) -> list[LeverRow]:
    """The levers by their gain, best first; those that change no answer are left out.

    Args:
        cases: All answers of the arm that have a score.
        trials: Lever → place of a case → its re-run.
        level: Of the intervals.
        seed: Of the resampling.
        price: Prices of tokens; None: unknown.
    """
    # A failed answer has no score, and no lever mends it: its pair is left out.
    before = np.array([math.nan if case.score is None else case.score for case in cases])  # shape (cases,)
    places: dict[str, int] = {}
    groups = [places.setdefault(case.example.group, len(places)) for case in cases]
    scored = {group for group, score in zip(groups, before, strict=True) if math.isfinite(score)}
    rows: list[LeverRow] = []
    for lever in LEVERS:
        again = trials.get(lever.name, {})
        changed = {place: trial for place, trial in again.items() if trial.score is not None}
        if not changed or len(scored) < 2:
            continue
        after = before.copy()
        for place, trial in again.items():
            # A failed re-run is no score, neither 0 nor the old one: its pair is left out.
            after[place] = math.nan if trial.score is None else trial.score
        scores = np.stack([before, after], axis=1)  # (cases, 2)
        weights = {"gain": [-1.0, 1.0]}
        gain = intervals.contrasts(scores, groups, weights, level=level, resamples=2000, seed=seed)["gain"]
        read = written = 0
        for place, trial in changed.items():
            usage = cases[place].answer.usage
            read += trial.usage.prompt_tokens - usage.prompt_tokens
            written += trial.usage.completion_tokens - usage.completion_tokens
        cost = None
        if price is not None:
            # A price is of a million tokens, and what is wanted is that of a thousand answers.
            cost = (read * price.read + written * price.written) / len(cases) / 1000
        harmed = sum(1 for place, trial in changed.items() if cases[place].right and not trial.right)
        rows.append(
            {
                "lever": lever.name,
                "action": lever.action,
                "gain": {"mean": gain.mean, "low": gain.low, "high": gain.high},
                "answers": len(changed),
                "harmed": harmed,
                "tokens": (read + written) / len(cases),
                "price": cost,
                "currency": price.currency if price else "",
                "effort": lever.effort,
            }
        )
    return sorted(rows, key=lambda row: -float(row["gain"]["mean"]))


def fixes_and_harms(rows: Sequence[LeverRow]) -> tuple[list[LeverRow], list[LeverRow]]:
    """The levers that may gain, best first, and those whose interval rules a gain out: nobody is told to pull them."""
    harms = [row for row in rows if row["gain"]["high"] <= 0]
    return [row for row in rows if row not in harms], harms
