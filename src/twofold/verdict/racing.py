"""A race for the verdict: what its bets have shown, and how it went, in sentences. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from twofold.stats.betting import Race
from twofold.verdict.evidence import RaceEvidence
from twofold.verdict.record import RaceRecord, counted, price_text

SPARED = "At the configured prices the answers that were not made would have cost about"
"""How the sentence begins that tells an amount, which not everybody may see."""


def evidence_of(
    race: Race, names: Sequence[str], *, covers: Mapping[str, Any], level: float, test: bool, crowned: str
) -> RaceEvidence:
    """What the bets of a race have shown.

    Args:
        race: The bets, made with half of α.
        names: Of the arms, from simple to complex.
        covers: Arm → marks of the questions that it was asked; shape (questions,).
        level: 1 − α, of the whole study.
        test: Were all shards asked without a crown?
        crowned: Name of the arm that won; empty: none.
    """
    differences, chances = {}, {}
    for place, a in enumerate(names):
        for other, b in enumerate(names[:place]):
            differences[f"{a} - {b}"] = race.difference(place, other)
            most = max(race.peaks[place, other], race.peaks[other, place])
            # Of the whole study: the race has half of its α, divided over the arms that may be crowned falsely.
            chances[f"{a} - {b}"] = min(1.0, 2 * (len(names) - 1) * math.exp(-most))
    return RaceEvidence(
        covers=covers,
        differences=differences,
        p=chances,
        # Half, too: where the race crowns nobody the mean of all questions has the other half.
        means={name: race.mean(place, level=1 - (1 - level) / 2) for place, name in enumerate(names)},
        test=test,
        crowned=crowned,
    )


def took_text(seconds: float) -> str:
    """``40 s``, ``12 min``: what a race saved of somebody's time."""
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _each(parts: Sequence[str]) -> str:
    """What each arm has of a sum, where several have."""
    return f" ({', '.join(parts)})" if len(parts) > 1 else ""


def sentences(record: RaceRecord) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How a race went, and what is to be doubted for its sake."""
    n, planned = record["questions"], record["planned"]
    early = n < planned
    if early:
        looks = counted(len(record["looks"]), "look")
        start = (
            f"The race stopped after {n:,} of {counted(planned, 'question')} ({looks}): {record['crowned']} is shown "
            "better than every other arm that may be chosen."
        )
    elif record["crowned"]:
        start = f"The race asked all {counted(planned, 'question')}, and {record['crowned']} won it with the last."
    else:
        start = (
            f"The race asked all {counted(planned, 'question')} and crowned no arm: one test of all of them, with half "
            "of the error probability, decides."
        )
    reasons = [start]
    fewer = [f"{name} {number:,}" for name, number in record["answers"].items() if number < n]
    if fewer:
        reasons.append(
            f"Asked fewer questions, because another arm was shown better: {', '.join(fewer)} of {n:,}. Differences "
            "are of the questions that both arms answered."
        )
    saved = record["saved"]
    if saved["answers"]:
        total = sum(record["answers"].values())
        rows = {name: row for name, row in saved.get("arms", {}).items() if row["answers"]}
        times = [f"{name} {took_text(row['seconds'])}" for name, row in rows.items()]
        reasons.append(
            f"{total:,} of {total + saved['answers']:,} planned answers were made; the others would have taken about "
            f"{took_text(saved['seconds'])}{_each(times)}."
        )
        if saved.get("amount"):
            paid = [f"{name} {price_text(row.get('amount', 0.0))}" for name, row in rows.items() if "amount" in row]
            currency = f" {saved['currency']}" if saved.get("currency") else ""
            lacking = f"; not known of {', '.join(saved['unpriced'])}" if saved.get("unpriced") else ""
            reasons.append(f"{SPARED} {price_text(saved['amount'])}{currency}{_each(paid)}{lacking}.")
        elif saved.get("unpriced"):
            reasons.append(
                f"What they would have cost is not known of {', '.join(saved['unpriced'])}: the table of prices lacks "
                "an item, or the endpoint counts no tokens."
            )
    doubts = []
    if early:
        doubts.append(
            "the race stopped when it looked best: the estimate at stopping flatters; expect less of fresh questions"
        )
    if early or fewer:
        doubts.append(
            "scores, costs and other metrics of arms that a race asked different questions stand on different "
            "questions; only intervals of the deciding metric allow for when the race stopped"
        )
    return tuple(reasons), tuple(doubts)
