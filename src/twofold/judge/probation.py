"""The probation of a judge: three figures, each with an interval whose lower end has to reach a bar. Pure.

- It repeats itself: asked the same again, it gives the same mark.
- Order does not sway it: asked the other way round (see `judge.prompts`), it gives the same mark.
- It agrees with people: Cohen's κ of its marks and theirs; of marks on a scale with quadratic weights (Cohen 1968).

The bars are constants, not settings: one that could be lowered after the figures are seen would be none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twofold.hashing import plain
from twofold.judge.items import VALUES, Mode
from twofold.judge.record import BarRow
from twofold.stats import agreement, intervals
from twofold.types import Estimate
from twofold.verdict.record import counted, estimate_text, plain_number

REPEATS = 0.8
"""Share of marks that have to be given again. Greedy decoding repeats nearly all; 20 of 20 answers reach the bar."""
ORDER = 0.7
"""Share of marks that have to stay when the order is turned; a judge that reads the order alone keeps none."""
AGREEMENT = 0.4
"""κ that agreement with people has to reach: above it agreement is called moderate (Landis & Koch 1977)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedTrial:
    """A marked item, and what the judge said of it; an unreadable reply is an empty word."""

    group: str
    """Of its question."""
    first: str
    """Asked once."""
    turned: str
    """Asked the other way round, as if it had been asked as before."""
    again: str
    """Asked the same again."""
    people: tuple[str, ...]
    """What each person said."""


def settled(mode: Mode, first: str, turned: str) -> str:
    """The judge's mark of an item; empty without one. Of a pair that order decided, neither answer is better."""
    if mode == "rubric":
        return first
    if not first or not turned:
        return ""
    return first if first == turned else "same"


def bars(mode: Mode, trials: Sequence[MarkedTrial], *, level: float) -> list[BarRow]:
    """The figures of the probation beside their bars.

    Args:
        mode: Of the judge.
        trials: The marked items, at least one.
        level: Of the intervals, over groups of questions.
    """
    groups = _numbers([trial.group for trial in trials])
    # An unreadable reply is no mark, and repeats none.
    repeats = [float(bool(trial.first) and trial.first == trial.again) for trial in trials]
    stays = [float(bool(trial.first) and trial.first == trial.turned) for trial in trials]
    scale = "its marks" if mode == "rubric" else "its choices"
    statistic = "weighted κ" if mode == "rubric" else "Cohen's κ"
    turned = "the marks are listed the other way round" if mode == "rubric" else "the two answers change places"
    return [
        _row(
            "repeats",
            f"share of {scale} that stay when it is asked again",
            intervals.estimate(repeats, groups, level=level),
            bar=REPEATS,
            marked=len(trials),
        ),
        _row(
            "order",
            f"share of {scale} that stay when {turned}",
            intervals.estimate(stays, groups, level=level),
            bar=ORDER,
            marked=len(trials),
        ),
        _agreement(f"agreement with people ({statistic})", mode, trials, level=level),
    ]


def quadratic_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's κ with quadratic weights of marks on a scale (Cohen 1968); None where it does not exist.

    Args:
        pairs: For each item the marks of judge and person.
    """
    if not pairs:
        return None
    first, second = [VALUES[a] for a, _ in pairs], [VALUES[b] for _, b in pairs]
    count = len(pairs)
    means = sum(first) / count, sum(second) / count
    seen = sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) / count
    spread = sum((a - means[0]) ** 2 for a in first) + sum((b - means[1]) ** 2 for b in second)
    # Squared distance of two marks that know nothing of each other.
    chance = spread / count + (means[0] - means[1]) ** 2
    return None if chance <= 1e-12 else 1 - seen / chance


def sentence(judge: str, rows: Sequence[BarRow], *, marks: str) -> str:
    """Whether the judge passed, and by which figures; of one that did not, why, and what would help.

    Args:
        judge: Its name.
        rows: The figures.
        marks: On what they stand, in words.
    """
    failing = [row for row in rows if not row["passed"]]
    if not failing:
        figures = "; ".join(f"{_figure(row)}, bar {plain_number(row['bar'])}" for row in rows)
        return f"the judge {judge} passed its probation on {marks}: {figures}"
    faults = "; ".join(_fault(row) for row in failing)
    return f"the judge {judge} is refused, and no score of it is shown; on {marks}: {faults}"


def _figure(row: BarRow) -> str:
    return f"{row['title']} {estimate_text(row['estimate'])}" if row["estimate"] else f"{row['title']}: {row['detail']}"


def _fault(row: BarRow) -> str:
    text, estimate = _figure(row), row["estimate"]
    if estimate is None:
        return text
    text += f", whose lower end has to reach {plain_number(row['bar'])}"
    # A figure below the bar on few marks may be chance: only an interval below the bar says that more are no help.
    if row["needed"] is None and estimate["high"] >= row["bar"]:
        return f"{text} (the figure lies below the bar; so few marks leave open where it would settle)"
    if row["needed"] is None:
        return f"{text} (more marks alone would not help)"
    return f"{text} (about {counted(row['needed'], 'marked answer')} would show it, were the figure to stay)"


def _agreement(title: str, mode: Mode, trials: Sequence[MarkedTrial], *, level: float) -> BarRow:
    pairs: list[tuple[str, str]] = []
    groups: list[str] = []
    for trial in trials:
        word = settled(mode, trial.first, trial.turned)
        for mark in trial.people if word else ():
            pairs.append((word, mark))
            groups.append(trial.group)
    kappa: Callable[[Sequence[tuple[str, str]]], float | None]
    kappa = quadratic_kappa if mode == "rubric" else agreement.cohen_kappa
    estimate = agreement.with_interval(kappa, pairs, groups, level=level)
    if estimate is None:
        why = "people and judge give one and the same mark throughout, which chance would give too"
        detail = why if pairs else "no reply of the judge could be read"
        return _row("agreement", title, None, bar=AGREEMENT, detail=detail)
    return _row("agreement", title, estimate, bar=AGREEMENT, marked=len(trials))


def _row(name: str, title: str, estimate: Estimate | None, *, bar: float, marked: int = 0, detail: str = "") -> BarRow:
    passed = estimate is not None and estimate.low >= bar
    needed = None
    if estimate is not None and not passed and estimate.mean > bar:
        # Half a width shrinks with the root of the number.
        needed = math.ceil(marked * ((estimate.mean - estimate.low) / (estimate.mean - bar)) ** 2)
    return {
        "name": name,
        "title": title,
        "estimate": plain(estimate),
        "bar": bar,
        "passed": passed,
        "needed": needed,
        "detail": detail,
    }


def _numbers(groups: Sequence[str]) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(group, len(numbers)) for group in groups]
