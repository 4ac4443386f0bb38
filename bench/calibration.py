"""Does the verdict keep its word? Simulated studies with a known truth. Prints a Markdown table.

    python bench/calibration.py --simulations 400 --resamples 400

Five arms on the same questions. Shapes: 0/1 scores, and scores that are zero-inflated with a mass at 1 (`f1`, as token
F1); about three questions a group, or every question alone; `sparse`, mean scores near .05; `giant`, one group with
30 % of the questions; `jackpot`, every arm but the first scores a little more on nearly all questions, and
nothing on one or two of them. Columns:

- false crown: the verdict chooses an arm that is no better than a simpler one: the largest share of three truths (all
  arms equal; two tied on top; three tied on top). At most 5 %;
- false tie: ft+rag is right wherever the others are, and on a further 3 or 5 % of the questions, but a simpler arm is
  chosen;
- worse crown: a ladder up to ft+rag; an arm is chosen that is worse than ft+rag by more than the margin;
- plan says: the gain that a first study's plan calls visible in at least 8 of 10 studies; holds: share of such studies
  that choose ft+rag; after one: the same where the plan of each study knows the spreads of one earlier study of its
  size; collect: a first study in which all arms are equal says how many examples show a gain of .1 (margin .05) in 8 of
  10 studies; share of studies of that size, with that gain, that choose ft+rag. What is collected stands in new groups;
- pairs, joint, mean: share of intervals that hold the truth, arms unequal: the difference of one pair, all ten
  simultaneous ones, and one arm's mean (95 %);
- power .1, .2: ft+rag is better than every other arm by this much, and is chosen.

Half as many studies are simulated for each column but false crown.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.types import Arm
from twofold.verdict.outcome import Verdict
from twofold.verdict.power import prospect, spreads_of
from twofold.verdict.rule import VerdictFacts, decide

ARMS = (
    Arm(name="base"),
    Arm(name="prompt", shots=4),
    Arm(name="rag", retrieval=True),
    Arm(name="ft", tuning="closed-book"),
    Arm(name="ft+rag", retrieval=True, tuning="open-book"),
)
UNEQUAL = (0.1, 0.15, 0.35, 0.25, 0.5)
MARGIN = StudySection().margin
_MOST_GROUPS = 3000
"""Larger studies are not simulated."""


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
    """`binary` (0/1), `f1` (zero-inflated, with a mass at 1, as token F1) or `jackpot` (see `steady`)."""
    alike: float = 0.5
    """Correlation of the latent scores of two arms on one question."""
    icc: float = 0.15
    """Correlation of the latent scores of two questions in one group (half of it shared by the arms)."""
    giant: float = 0.0
    """Share of the questions that the first group holds besides its own."""
    lost: float = 1.5
    """Of `jackpot`: questions of a study on which an arm scores 0, on average."""


def simulate(world: World, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores (questions, arms) and groups, by a Gaussian copula with the true means held exactly."""
    sizes = 1 + rng.poisson(world.per_group - 1, world.groups)
    sizes[0] += round(world.giant / (1 - world.giant) * sizes.sum())
    groups = np.repeat(np.arange(world.groups), sizes)
    n, k = len(groups), len(world.means)
    if world.kind == "jackpot":
        return steady(world, n, rng), groups

    def shared(weight: float, common: np.ndarray, own: np.ndarray) -> np.ndarray:
        return np.sqrt(weight) * common + np.sqrt(1 - weight) * own

    by_group = shared(0.5, rng.normal(size=(world.groups, 1)), rng.normal(size=(world.groups, k)))[groups]
    by_question = shared(world.alike, rng.normal(size=(n, 1)), rng.normal(size=(n, k)))
    return scored(world.kind, shared(world.icc, by_group, by_question), np.array(world.means)), groups


def scored(kind: str, latent: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Scores of these means (at most .8 where `f1`) from normal latent ones, of which low ones are good answers."""
    uniform = normal_below(latent)
    if kind == "binary":
        return (uniform < means).astype(float)
    # Of the answers with any overlap 60 % are right (1), the rest uniform in (0, 1): mean = share * (.6 + .4 / 2).
    share = means / 0.8
    depth: np.ndarray = np.clip(1 - uniform / share, 0, 1)
    return np.where(uniform >= share, 0.0, np.minimum(1.0, depth / 0.4))


def steady(world: World, n: int, rng: np.random.Generator) -> np.ndarray:
    """Scores near the true mean with little noise, but 0 on `lost` questions of a study for every arm except the first.

    A study that happens to meet none of these questions shows gains everywhere, and none of them is true.
    """
    lost = np.array([0.0, *[world.lost / n] * (len(world.means) - 1)])
    level = np.array(world.means) / (1 - lost)
    scores = level + rng.uniform(-0.02, 0.02, (n, len(lost)))
    return np.clip(np.where(rng.uniform(size=scores.shape) < lost, 0.0, scores), 0, 1)


def normal_below(x: np.ndarray) -> np.ndarray:
    """Distribution function of the normal (Abramowitz & Stegun 7.1.26, error below 2e-7)."""
    z = np.abs(x) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - poly * np.exp(-z * z))
    return (1 + erf) / 2


def verdict_on(
    scores: np.ndarray, groups: np.ndarray, *, resamples: int, seed: int = 0, margin: float = MARGIN
) -> Verdict:
    """The verdict of a simulated study."""
    return decide(
        arms=ARMS,
        scores={arm.name: scores[:, column] for column, arm in enumerate(ARMS)},
        groups=groups,
        metric="token_f1",
        section=StudySection(resamples=resamples, seed=seed, margin=margin),
        objections={},
        facts=VerdictFacts(),
    )[0]


def crowned(world: World, *, simulations: int, resamples: int, seed: int = 0) -> dict[str, float]:
    """Share of simulated studies that choose each arm (``""``: none)."""
    rng = np.random.default_rng(seed)
    found: dict[str, float] = {}
    for number in range(simulations):
        verdict = verdict_on(*simulate(world, rng), resamples=resamples, seed=number)
        found[verdict.arm] = found.get(verdict.arm, 0.0) + 1 / simulations
    return found


def no_better(found: Mapping[str, float], means: Sequence[float]) -> float:
    """Share of studies that choose an arm which is no better than some simpler one."""
    return sum(share for name, share in found.items() if name in false_of(means))


def false_of(means: Sequence[float]) -> set[str]:
    """Names of the arms that are no better than some simpler one."""
    names = [arm.name for arm in ARMS]
    return {name for place, name in enumerate(names) if any(other >= means[place] for other in means[:place])}


def worse(found: Mapping[str, float], means: Sequence[float]) -> float:
    """Share of studies that choose an arm which is worse than another by more than the margin."""
    truth = dict(zip((arm.name for arm in ARMS), means, strict=True))
    return sum(share for name, share in found.items() if name and max(means) - truth[name] > MARGIN)


def coverage(world: World, *, simulations: int, resamples: int, seed: int = 0) -> tuple[float, float, float]:
    """Shares of pairs whose own interval, of studies whose ten joint ones, of arms whose mean's hold the truth."""
    rng = np.random.default_rng(seed)
    family = intervals.pairs([arm.name for arm in ARMS])
    means = np.array(world.means)
    pair = every = 0
    for number in range(simulations):
        scores, groups = simulate(world, rng)
        joint = intervals.contrasts(scores, groups, family, resamples=resamples, seed=number)
        every += all(joint[name].low <= weight @ means <= joint[name].high for name, weight in family.items())
        # Each for itself: the same interval as in a family of one, for the draws are those of the seed.
        alone = intervals.contrasts(scores, groups, family, resamples=resamples, seed=number, joint=False)
        pair += sum(alone[name].low <= weight @ means <= alone[name].high for name, weight in family.items())
    mean = means_covered(world, simulations=simulations, seed=seed)
    return pair / simulations / len(family), every / simulations, mean


def means_covered(world: World, *, simulations: int, seed: int = 0) -> float:
    """Share of arms whose mean's interval holds the truth."""
    rng, covered = np.random.default_rng(seed), 0
    for _ in range(simulations):
        scores, groups = simulate(world, rng)
        for column, truth in enumerate(world.means):
            estimate = intervals.estimate(scores[:, column], groups)
            covered += estimate.low <= truth <= estimate.high
    return covered / simulations / len(world.means)


def promised(world: World) -> float:
    """The gain that a plan for such questions calls visible in 8 of 10 studies; infinite where there is none."""
    groups = simulate(world, np.random.default_rng(0))[1]
    least = prospect(np.bincount(groups).tolist(), arms=len(ARMS), section=StudySection()).least
    return math.inf if least is None else least


def after_one(world: World, low: float, *, simulations: int, resamples: int) -> float:
    """Share of studies that choose ft+rag where it gains what the plan said after one earlier study (gain .1)."""
    rng, names, chosen, plans = np.random.default_rng(7), [arm.name for arm in ARMS], 0, 0
    for number in range(simulations):
        scores, groups = simulate(replace(world, means=(*[low] * 4, low + 0.1)), rng)
        found = intervals.contrasts(scores, groups, intervals.pairs(names), joint=False, resamples=200)
        sizes = np.bincount(groups).tolist()
        least = prospect(sizes, arms=len(ARMS), section=StudySection(), earlier=spreads_of(found, names)).least
        if least is None or low + least > (0.97 if world.kind == "jackpot" else 0.78):
            continue
        plans += 1
        scores, groups = simulate(replace(world, means=(*[low] * 4, low + least)), rng)
        chosen += verdict_on(scores, groups, resamples=resamples, seed=number).arm == "ft+rag"
    return chosen / plans if plans else math.nan


def collected(world: World, low: float, *, simulations: int, resamples: int) -> float:
    """Share of studies that choose ft+rag, which gains .1, of the size that a first study without gains asks for."""
    rng, chosen, told, margin = np.random.default_rng(11), 0, 0, 0.05
    for number in range(simulations):
        scores, groups = simulate(replace(world, means=(low,) * 5), rng)
        needed = verdict_on(scores, groups, resamples=resamples, seed=number, margin=margin).further.get("to_see")
        if not needed or needed["vague"]:
            continue
        # New groups, as the verdict says: the giant one keeps its size.
        n, giant = len(scores) + needed["likely"], round(world.giant * len(scores))
        enough = math.ceil((n - giant) / world.per_group)
        if enough > _MOST_GROUPS:
            continue
        told += 1
        larger = replace(world, groups=enough, giant=giant / n, means=(*[low] * 4, low + 2 * margin))
        found = verdict_on(*simulate(larger, rng), resamples=resamples, seed=number, margin=margin)
        chosen += found.arm == "ft+rag"
    return chosen / told if told else math.nan


SHAPES = {
    "binary, 8 groups": World(groups=8),
    "binary, 20 groups": World(groups=20),
    "binary, 50 groups": World(groups=50),
    "binary, 200 groups": World(groups=200),
    "f1, 20 groups": World(groups=20, kind="f1"),
    "f1, 50 groups": World(groups=50, kind="f1"),
    "f1, 50 groups, giant": World(groups=50, kind="f1", giant=0.3, icc=0.3),
    "binary, 30 questions": World(groups=30, per_group=1, icc=0),
    "f1, 30 questions": World(groups=30, per_group=1, icc=0, kind="f1"),
    "binary sparse, 60 questions": World(groups=60, per_group=1, icc=0),
    "f1 sparse, 60 questions": World(groups=60, per_group=1, icc=0, kind="f1"),
    "jackpot, 30 questions": World(groups=30, per_group=1, icc=0, kind="jackpot"),
    "jackpot, 60 questions": World(groups=60, per_group=1, icc=0, kind="jackpot"),
}


def lowest(shape: str) -> float:
    """Mean score of the arms without a gain."""
    return 0.05 if "sparse" in shape else 0.6 if SHAPES[shape].kind == "jackpot" else 0.3


def cells(shape: str, *, simulations: int, resamples: int) -> list[str]:
    """One line of the table."""
    world, sparse = SHAPES[shape], "sparse" in shape
    half = {"simulations": simulations // 2, "resamples": resamples}
    nulls: list[tuple[float, ...]] = [(0.3,) * 5, (0.1, 0.1, 0.5, 0.2, 0.5), (0.2, 0.2, 0.5, 0.5, 0.5)]
    if sparse:
        nulls = [(0.05,) * 5, (0.01, 0.01, 0.05, 0.01, 0.05), (0.01, 0.01, 0.05, 0.05, 0.05)]
    if world.kind == "jackpot":  # scores hardly vary: below .5 no answer of an arm would be right, and none be chosen
        nulls = [tuple(mean + 0.3 for mean in means) for means in nulls]

    def shares(means: Sequence[float], **changes: float) -> dict[str, float]:
        return crowned(replace(world, means=tuple(means), **changes), **half)

    low = lowest(shape)
    false = [
        no_better(crowned(replace(world, means=means), simulations=simulations, resamples=resamples), means)
        for means in nulls
    ]
    ties = [
        worse(shares([*[low] * 4, low + gain], alike=1.0, icc=0.0), [*[low] * 4, low + gain]) for gain in (0.03, 0.05)
    ]
    ladder = (0.02, 0.03, 0.1, 0.05, 0.2) if sparse else tuple(mean + low - 0.3 for mean in UNEQUAL)
    gain = promised(world)
    holds = f"{shares([*[low] * 4, low + gain]).get('ft+rag', 0.0):.2f}" if gain <= 0.45 else "–"
    covers = coverage(replace(world, means=(0.01, 0.02, 0.05, 0.03, 0.1) if sparse else UNEQUAL), **half)
    powers = [shares([*[low] * 4, low + more]).get("ft+rag", 0.0) for more in (0.1, 0.2)]
    numbers = [max(false), max(ties), worse(shares(ladder), ladder)]
    plan = ["none" if math.isinf(gain) else f"{gain:.2f}", holds]
    plan += [f"{share(world, low, **half):.2f}" for share in (after_one, collected)]
    return [*(f"{x:.3f}" for x in numbers), *plan, *(f"{x:.3f}" for x in covers), *(f"{x:.2f}" for x in powers)]


def main() -> None:
    """Write the table to standard output, progress to standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    given = parser.parse_args()
    error = 1.96 * math.sqrt(0.05 * 0.95 / given.simulations)
    print(f"{given.simulations} studies a truth, {given.resamples} resamples; .05 is ±{error:.3f} here\n")
    heads = ["shape", "false crown", "false tie", "worse crown", "plan says", "holds", "after one", "collect"]
    heads += ["pairs", "joint", "mean", "power .1", "power .2"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for shape in given.shapes:
        start = time.perf_counter()
        print(f"| {shape} | {' | '.join(cells(shape, simulations=given.simulations, resamples=given.resamples))} |")
        print(f"{shape}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
