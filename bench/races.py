"""Do races keep their word? Simulated races with a known truth. Prints two Markdown tables.

    python bench/races.py --simulations 200 --looking 600

Worlds as in `calibration`; every study has about so many questions. `TABLE` are the settings of the review that races
were built on: `clustered` (f1, groups of 1 to 15 questions, mean about 3, likeness .3) and `steady` (two arms score
within .1 of their mean, the others all or nothing: differences are skew although means are equal) beside the first two.
Columns of the first table, of truths in which the best arm is no better than a simpler one:

- every group: bets with all of α, looked at after every group; share of studies that crown an arm falsely;
- race: as `study --race` runs them, in ten shards with half of α, and one test at the end with the other half;
- naive: the fixed test (one-sided t on groups at α/2), looked at after every shard.

Of the second table, of truths with a best arm:

- race, plain: share of studies that choose it, raced and not;
- questions, answers: median share that the race asked, of the questions and of all arms' answers.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from calibration import ARMS, World, false_of, normal_below, scored, simulate, verdict_on

from twofold.settings.sections import StudySection
from twofold.stats import betting
from twofold.stats.distributions import t_quantile
from twofold.verdict.racing import evidence_of
from twofold.verdict.rule import VerdictFacts, decide

NAMES = [arm.name for arm in ARMS]
SHARDS = 10


@dataclass(frozen=True)
class Uneven(World):
    """A world of so many questions exactly, whose groups are of very unequal size, or single questions."""

    questions: int = 129
    clustered: bool = False


STEADY = (False, True, False, True, True)
"""Of the kind `steady`, the arms that score all or nothing; the others score within .1 of their mean."""
SHAPES = {
    "binary, 129": World(groups=129, per_group=1, icc=0, alike=0.809),
    "binary, 300": World(groups=300, per_group=1, icc=0, alike=0.809),
    "f1, 129": World(groups=129, per_group=1, icc=0, kind="f1"),
    "f1, 300": World(groups=300, per_group=1, icc=0, kind="f1"),
    "f1, 43 groups of 3": World(groups=43, per_group=3, icc=0.3, kind="f1"),
    "f1, 100 groups of 3": World(groups=100, per_group=3, icc=0.3, kind="f1"),
    "clustered, 129": Uneven(questions=129, clustered=True, icc=0.3, kind="f1"),
    "clustered, 300": Uneven(questions=300, clustered=True, icc=0.3, kind="f1"),
    "steady, 129": Uneven(questions=129, kind="steady"),
    "steady, 300": Uneven(questions=300, kind="steady"),
}
TABLE = [f"{shape}, {number}" for shape in ("binary", "f1", "clustered", "steady") for number in (129, 300)]
"""The settings of the review."""
NULLS = {"all equal": (0.4,) * 5, "low": (0.08,) * 5, "rag = ft+rag": (0.1, 0.1, 0.5, 0.2, 0.5)}
GAINS = {
    "+.1": (0.3, 0.3, 0.3, 0.3, 0.4),
    "+.2": (0.3, 0.3, 0.3, 0.3, 0.5),
    "ladder": (0.1, 0.15, 0.35, 0.25, 0.5),
    "demo-like": (0.05, 0.05, 0.12, 0.10, 0.48),
}


@dataclass(frozen=True)
class Raced:
    """The end of a simulated race."""

    arm: str
    """Chosen; empty for none."""
    questions: float
    """Share of the questions that were asked."""
    answers: float
    """Share of all arms' answers that were made."""


def drawn(world: World, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores (questions, arms) and groups of one study."""
    if not isinstance(world, Uneven):
        return simulate(world, rng)
    sizes = [1] * world.questions
    if world.clustered:
        sizes, left = [], world.questions
        while left:
            # mostly small groups, and now and then a large one
            size = int(rng.geometric(1 / 3)) if rng.random() < 0.9 else int(rng.integers(6, 16))
            sizes.append(min(15, size, left))
            left -= sizes[-1]
    groups, k, means = np.repeat(np.arange(len(sizes)), sizes), len(world.means), np.array(world.means)

    def shared(weight: float, common: np.ndarray, own: np.ndarray) -> np.ndarray:
        return np.sqrt(weight) * common + np.sqrt(1 - weight) * own

    latent = shared(world.alike, rng.normal(size=(len(groups), 1)), rng.normal(size=(len(groups), k)))
    if world.clustered:
        by_group = shared(0.5, rng.normal(size=(len(sizes), 1)), rng.normal(size=(len(sizes), k)))[groups]
        latent = shared(world.icc, by_group, latent)
    if world.kind != "steady":
        return scored(world.kind, latent, means), groups
    uniform = normal_below(latent)
    # Narrower beside 0 and 1, so that the mean is exact.
    near = means + np.minimum(0.1, np.minimum(means, 1 - means)) * (1 - 2 * uniform)
    return np.where(np.array(STEADY[:k]), (uniform < means).astype(float), near), groups


def tables(scores: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each group and arm, shape (groups, arms), and sizes; the groups of a simulation come in no order."""
    sizes = np.bincount(groups)
    sums = np.stack([np.bincount(groups, column) for column in scores.T], axis=1)
    return sums / sizes[:, None], sizes


def ends(groups: int, shards: int = SHARDS) -> list[int]:
    """Groups asked up to the end of each shard."""
    return sorted({int(np.ceil(groups * (number + 1) / shards)) for number in range(shards)})


def raced(scores: np.ndarray, groups: np.ndarray, *, resamples: int, level: float = 0.95) -> Raced:
    """A race as the study runs it: bets with half of α in shards, then the rule with the other half."""
    table, sizes = tables(scores, groups)
    run = betting.simulated(table, sizes, ends(len(sizes)), alpha=(1 - level) / 2)
    shares = {"questions": run.questions / len(scores), "answers": sum(run.answers) / scores.size}
    if run.crowned is not None:
        return Raced(arm=NAMES[run.crowned], **shares)
    # The simulation numbers questions group by group, so the first so many of an arm are those that it was asked.
    covers = {name: np.arange(len(scores)) < number for name, number in zip(NAMES, run.answers, strict=True)}
    shown = evidence_of(run.race, NAMES, covers=covers, level=level, test=True, crowned="")
    verdict = decide(
        arms=ARMS,
        scores={name: np.where(covers[name], scores[:, column], np.nan) for column, name in enumerate(NAMES)},
        groups=groups,
        metric="token_f1",
        section=StudySection(resamples=resamples, level=level),
        objections={},
        facts=VerdictFacts(race=shown),
    )[0]
    return Raced(arm=verdict.arm, **shares)


def wealths(table: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Logarithm of the wealth of every pair after every group, the largest so far.

    Args:
        table: Means, shape (studies, groups, arms).
        sizes: Questions, shape (studies, groups); 0 fills up a study with fewer groups.

    Returns:
        Shape (studies, groups, arms, arms), row better than column.
    """
    gaps = table[..., :, None] - table[..., None, :]
    steps = np.log1p(betting.stakes(sizes)[:, :, None, None, :] * gaps[..., None])
    return np.maximum.accumulate(betting.mixed(np.cumsum(steps, axis=1)), axis=1)


def looking(world: World, *, simulations: int, alpha: float = 0.05, seed: int = 0) -> float:
    """Share of studies that, looked at after every group, crown an arm that is no better than a simpler one."""
    rng, false = np.random.default_rng(seed), 0
    arms = len(world.means)
    for start in range(0, simulations, 50):  # in batches: 50 studies of 300 groups take 300 MB
        studies = [tables(*drawn(world, rng)) for _ in range(min(50, simulations - start))]
        groups = max(len(sizes) for _, sizes in studies)
        table, counts = np.zeros((len(studies), groups, arms)), np.zeros((len(studies), groups))
        for study, (means_of, sizes) in enumerate(studies):
            table[study, : len(sizes)], counts[study, : len(sizes)] = means_of, sizes
        shown = wealths(table, counts) >= betting.bar(arms, alpha)
        weights = counts[:, :, None]
        means = (table * weights).sum(axis=1)  # (studies, arms)
        shown |= np.eye(arms, dtype=bool)  # an arm need not beat itself
        early = shown.all(axis=3)  # (studies, groups, arms): shown better than every other arm
        for study in range(len(studies)):
            hits = np.flatnonzero(early[study].any(axis=1))
            if len(hits):
                crowned = int(np.argmax(early[study, hits[0]]))
            else:
                ahead = means[study][:, None] >= means[study][None, :]
                last = shown[study, -1] | np.triu(ahead, 1)  # not behind a more complex one
                winners = [arm for arm in range(1, arms) if last[arm].all()]
                crowned = winners[0] if winners else 0
            false += any(world.means[other] >= world.means[crowned] for other in range(crowned))
    return false / simulations


def naive(world: World, *, simulations: int, alpha: float = 0.05, seed: int = 0) -> float:
    """The same share of a fixed test that is looked at after every shard."""
    rng, false = np.random.default_rng(seed), 0
    for _ in range(simulations):
        scores, groups = drawn(world, rng)
        table, sizes = tables(scores, groups)
        crowned = 0
        for end in ends(len(sizes)):
            n = sizes[:end, None, None].astype(float)
            sums = n * (table[:end, :, None] - table[:end, None, :])
            mean = sums.sum(axis=0) / n.sum()
            se = np.sqrt(end / (end - 1) * ((sums - mean * n) ** 2).sum(axis=0)) / n.sum()
            shown = (mean > t_quantile(1 - alpha / 2, end - 1) * se) | np.eye(len(mean), dtype=bool)
            last = shown | (np.triu(mean >= 0, 1) if end == len(sizes) else False)
            winners = [arm for arm in range(1, len(mean)) if last[arm].all()]
            if winners:
                crowned = winners[0]
                break
        false += any(world.means[other] >= world.means[crowned] for other in range(crowned))
    return false / simulations


def main() -> None:
    """Write the tables to standard output, progress to standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=200, help="Studies of each truth that are decided.")
    parser.add_argument("--looking", type=int, default=600, help="Studies of each truth that are looked at.")
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--shapes", nargs="+", default=TABLE, choices=list(SHAPES))
    given = parser.parse_args()
    print("| world | truth | every group | race | naive |\n|---|---|---|---|---|")
    for shape in given.shapes:
        for truth, means in NULLS.items():
            world, start = replace(SHAPES[shape], means=means), time.perf_counter()
            seen = looking(world, simulations=given.looking), naive(world, simulations=given.looking)
            rng, wrong = np.random.default_rng(1), 0
            for _ in range(given.simulations):
                wrong += raced(*drawn(world, rng), resamples=given.resamples).arm in false_of(means)
            print(
                f"| {shape} | {truth} | {seen[0]:.3f} | {wrong / given.simulations:.3f} | {seen[1]:.3f} |", flush=True
            )
            print(f"{shape}, {truth}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print("\n| world | truth | race | plain | questions | answers |\n|---|---|---|---|---|---|")
    for shape in given.shapes:
        for truth, means in GAINS.items():
            world, start = replace(SHAPES[shape], means=means), time.perf_counter()
            rng, plain, ran = np.random.default_rng(2), 0, []
            for number in range(given.simulations):
                scores, groups = drawn(world, rng)
                ran.append(raced(scores, groups, resamples=given.resamples))
                plain += verdict_on(scores, groups, resamples=given.resamples, seed=number).arm == NAMES[-1]
            right = sum(one.arm == NAMES[-1] for one in ran) / given.simulations
            shares = np.median([(one.questions, one.answers) for one in ran], axis=0)
            row = f"{right:.2f} | {plain / given.simulations:.2f} | {shares[0]:.2f} | {shares[1]:.2f}"
            print(f"| {shape} | {truth} | {row} |", flush=True)
            print(f"{shape}, {truth}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
