"""False promotions by training again all year: the rule of `twofold retrain`, simulated. Prints a Markdown table.

    python bench/promotions.py --years 400

Every two weeks a candidate is compared with the champion on the same questions; a promoted candidate is the next
champion. Training is noise: the true mean of every model is .4 give or take `NOISE` (standard deviation), so no
candidate is better but by luck. Two models agree on a question as far as it is easy or hard (correlation `ALIKE` of the
latent scores).

Columns, a year of so many candidates:

- promoted: promotions a year; years: share of years with one or more;
- no better: promotions a year of a candidate whose true mean is not above the champion's;
- flatters: how much the champion's score on these questions is above its true mean at the end of a year;
- shown at 1, 4, 26: share of promotions where a candidate is truly better by .1, as the first, fourth and last one of
  a year.

Rules: `now` is that of the product (the level of the look, a gain of at least the margin); `unpaid` is one interval at
95 % each time, without a margin.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import calibration
import numpy as np

from twofold.hashing import plain
from twofold.lifecycle.retraining import improves
from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.study import looks

NOISE = 0.02
ALIKE = 0.7
MEAN, GAIN = 0.4, 0.1
LOOKS = (1, 4, 26)
TRIES = max(LOOKS)
LEVEL, MARGIN = StudySection().level, StudySection().margin

RULES: dict[str, tuple[Callable[[int], float], float]] = {
    "unpaid": (lambda _: LEVEL, 0.0),
    "now": (lambda look: looks.level_of(look, LEVEL), MARGIN),
}
"""Name → level at the n-th look, and the least gain that promotes."""


class Questions:
    """Test questions, and what models of a true mean score on them.

    Args:
        kind: Of the scores, as in `calibration.World`.
        groups: Independent groups.
        per_group: Questions of each.
        rng: Of everything.
    """

    def __init__(self, kind: str, *, groups: int, per_group: int, rng: np.random.Generator) -> None:
        self.groups = np.repeat(np.arange(groups), per_group)
        self._kind, self._rng = kind, rng
        by_question, by_group = rng.normal(size=len(self.groups)), rng.normal(size=groups)[self.groups]
        self._hard = np.sqrt(0.85) * by_question + np.sqrt(0.15) * by_group

    def scores(self, mean: float) -> np.ndarray:
        """Of a newly trained model."""
        own = self._rng.normal(size=len(self.groups))
        latent = np.sqrt(ALIKE) * self._hard + np.sqrt(1 - ALIKE) * own
        return calibration.scored(self._kind, latent, np.array(mean))

    def promotes(self, rule: str, candidate: np.ndarray, champion: np.ndarray, *, look: int) -> bool:
        """Does the rule replace the champion?"""
        level_of, margin = RULES[rule]
        both, weights = np.column_stack([candidate, champion]), {"d": np.array([1.0, -1.0])}
        found = intervals.contrasts(both, self.groups, weights, level=level_of(look), resamples=400, seed=look)["d"]
        return improves(plain(found.estimate()), margin)


def year(rule: str, questions: Questions, rng: np.random.Generator) -> tuple[int, int, float]:
    """Promotions of a year, those of a candidate that is no better, and how much the champion's score flatters."""
    true = MEAN + NOISE * rng.normal()
    champion, promoted, false = questions.scores(true), 0, 0
    for look in range(1, TRIES + 1):
        mine = MEAN + NOISE * rng.normal()
        candidate = questions.scores(mine)
        if questions.promotes(rule, candidate, champion, look=look):
            promoted, false = promoted + 1, false + (mine <= true)
            champion, true = candidate, mine
    return promoted, false, float(champion.mean()) - true


def row(rule: str, kind: str, *, groups: int, per_group: int, years: int) -> list[str]:
    """One line of the table."""
    rng = np.random.default_rng(0)

    def questions() -> Questions:
        return Questions(kind, groups=groups, per_group=per_group, rng=rng)

    found = np.array([year(rule, questions(), rng) for _ in range(years)])
    shown = [
        np.mean(
            [
                asked.promotes(rule, asked.scores(MEAN + GAIN), asked.scores(MEAN), look=look)
                for asked in (questions() for _ in range(years))
            ]
        )
        for look in LOOKS
    ]
    numbers = [found[:, 0].mean(), (found[:, 0] > 0).mean(), found[:, 1].mean(), found[:, 2].mean()]
    return [rule, f"{kind}, {groups} × {per_group}", *(f"{x:.3f}" for x in numbers), *(f"{x:.2f}" for x in shown)]


def main() -> None:
    """Write the table to standard output, progress to standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=400)
    years = parser.parse_args().years
    heads = ["rule", "scores", "promoted", "years", "no better", "flatters", *(f"shown at {look}" for look in LOOKS)]
    print(f"{years} years of {TRIES} candidates\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for kind, groups, per_group in (("binary", 129, 1), ("f1", 129, 1), ("f1", 43, 3)):
        for rule in RULES:
            start = time.perf_counter()
            print(f"| {' | '.join(row(rule, kind, groups=groups, per_group=per_group, years=years))} |", flush=True)
            print(f"{rule}, {kind}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
