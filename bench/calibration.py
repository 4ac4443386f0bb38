"""Does the verdict keep its word? Simulated studies: false crowns, coverage, power. Prints a Markdown table.

    python bench/calibration.py --simulations 1000 --resamples 1000

Five arms on the same clustered questions; scores are 0/1 or zero-inflated with a mass at 1 (as token F1). Columns:

- false crown: no arm differs, and the verdict chooses one that is not the simplest (at most 5 % promised);
- wrong step: rag = ft+rag, both far above the others, and the verdict chooses ft+rag (at most 5 %);
- all cover: all 13 simultaneous intervals hold the true differences, arms unequal (at least 95 %);
- one covers: a single paired difference, arms unequal; mean covers: the interval of one arm's mean (95 %);
- power .1, .2: ft+rag is better than every other arm by this much, and is chosen.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass

import numpy as np

from twofold import stats
from twofold.config import StudySection
from twofold.study.verdict import VerdictFacts, decide
from twofold.types import Arm, Verdict

ARMS = (
    Arm(name="base"),
    Arm(name="prompt", shots=4),
    Arm(name="rag", retrieval=True),
    Arm(name="ft", tuning="closed-book"),
    Arm(name="ft+rag", retrieval=True, tuning="open-book"),
)
UNEQUAL = (0.1, 0.15, 0.35, 0.25, 0.5)


@dataclass(frozen=True)
class World:
    """How simulated scores come about."""

    groups: int = 50
    """Independent groups."""
    per_group: float = 3.0
    """Mean number of questions a group (at least 1; sizes vary)."""
    means: tuple[float, ...] = (0.3,) * 5
    """True mean score of each arm."""
    kind: str = "binary"
    """`binary` (0/1) or `f1` (zero-inflated, with a mass at 1, as token F1)."""
    alike: float = 0.5
    """Correlation of the latent scores of two arms on one question."""
    icc: float = 0.15
    """Correlation of the latent scores of two questions in one group (half of it shared by the arms)."""


def simulate(world: World, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores (questions, arms) and groups, by a Gaussian copula with the true means held exactly."""
    sizes = 1 + rng.poisson(world.per_group - 1, world.groups)
    groups = np.repeat(np.arange(world.groups), sizes)
    n, k = len(groups), len(world.means)

    def shared(weight: float, common: np.ndarray, own: np.ndarray) -> np.ndarray:
        return np.sqrt(weight) * common + np.sqrt(1 - weight) * own

    by_group = shared(0.5, rng.normal(size=(world.groups, 1)), rng.normal(size=(world.groups, k)))[groups]
    by_question = shared(world.alike, rng.normal(size=(n, 1)), rng.normal(size=(n, k)))
    uniform = normal_below(shared(world.icc, by_group, by_question))
    means = np.array(world.means)
    if world.kind == "binary":
        return (uniform < means).astype(float), groups
    # Of the answers with any overlap 60 % are right (1), the rest uniform in (0, 1): mean = share * (.6 + .4 / 2).
    share = means / 0.8
    depth = np.clip(1 - uniform / share, 0, 1)
    return np.where(uniform >= share, 0.0, np.minimum(1.0, depth / 0.4)), groups


def normal_below(x: np.ndarray) -> np.ndarray:
    """Distribution function of the normal (Abramowitz & Stegun 7.1.26, error below 2e-7)."""
    z = np.abs(x) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - poly * np.exp(-z * z))
    return (1 + erf) / 2


def verdict_on(scores: np.ndarray, groups: np.ndarray, *, resamples: int, seed: int = 0) -> Verdict:
    """The verdict of a simulated study."""
    return decide(
        arms=ARMS,
        scores={arm.name: scores[:, column] for column, arm in enumerate(ARMS)},
        groups=groups,
        metric="token_f1",
        section=StudySection(resamples=resamples, seed=seed),
        objections={},
        facts=VerdictFacts(),
    )[0]


def crowned(world: World, *, simulations: int, resamples: int, seed: int = 0) -> dict[str, float]:
    """Share of simulated studies that choose each arm (``""``: undecided)."""
    rng = np.random.default_rng(seed)
    found: dict[str, float] = {}
    for number in range(simulations):
        verdict = verdict_on(*simulate(world, rng), resamples=resamples, seed=number)
        found[verdict.arm] = found.get(verdict.arm, 0.0) + 1 / simulations
    return found


def coverage(world: World, *, simulations: int, resamples: int, seed: int = 0) -> tuple[float, float, float]:
    """Shares of: all simultaneous intervals, one paired difference, one arm's mean holding the truth."""
    rng = np.random.default_rng(seed)
    names = [arm.name for arm in ARMS]
    family = {**stats.pairs(names), **stats.factorial(names, base="base", rag="rag", ft="ft", both="ft+rag")}
    means = np.array(world.means)
    every = one = mean = 0
    for number in range(simulations):
        scores, groups = simulate(world, rng)
        joint = stats.contrasts(scores, groups, family, resamples=resamples, seed=number)
        every += all(joint[name].low <= weight @ means <= joint[name].high for name, weight in family.items())
        name = "rag - base"
        alone = stats.contrasts(scores, groups, {name: family[name]}, resamples=resamples, seed=number)[name]
        one += alone.low <= family[name] @ means <= alone.high
        for column, truth in enumerate(means):
            estimate = stats.estimate(scores[:, column], groups)
            mean += estimate.low <= truth <= estimate.high
    return every / simulations, one / simulations, mean / simulations / len(means)


def main() -> None:
    """Write the table to standard output, progress to standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--groups", type=int, nargs="+", default=[8, 20, 50, 200])
    given = parser.parse_args()
    size = {"simulations": given.simulations, "resamples": given.resamples}
    error = 1.96 * math.sqrt(0.05 * 0.95 / given.simulations)
    print(f"{given.simulations} simulations a cell, {given.resamples} resamples; .05 is ±{error:.3f} here\n")
    print("| scores | groups | false crown | wrong step | all cover | one covers | mean covers | power .1 | power .2 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in ("binary", "f1"):
        for groups in given.groups:
            start = time.perf_counter()

            def world(*means: float, kind: str = kind, groups: int = groups) -> World:
                return World(groups=groups, means=means, kind=kind)

            null = crowned(world(*(0.3,) * 5), **size)
            low = crowned(world(*(0.05,) * 5), **size)
            step = crowned(world(0.1, 0.1, 0.5, 0.2, 0.5), **size)
            covers = coverage(world(*UNEQUAL), **size)
            powers = [crowned(world(0.3, 0.3, 0.3, 0.3, 0.3 + gain), **size).get("ft+rag", 0.0) for gain in (0.1, 0.2)]
            false = [sum(share for arm, share in found.items() if arm not in ("", "base")) for found in (null, low)]
            cells = [f"{max(false):.3f}", f"{step.get('ft+rag', 0.0):.3f}", *(f"{x:.3f}" for x in (*covers, *powers))]
            print(f"| {kind} | {groups} | {' | '.join(cells)} |", flush=True)
            print(f"{kind} {groups}: {time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
