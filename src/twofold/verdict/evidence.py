"""The inputs of the verdict: the measured differences, the facts beside them, and the rule's bare choice. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

import numpy as np

from twofold.plugins import traits
from twofold.stats.intervals import Interval
from twofold.stats.pooling import PooledScores
from twofold.types import Arm, Estimate, Outcome
from twofold.verdict.repeats import Runs

WANTED_GROUPS = 20
"""Groups that are worth fewer of equal size than this are a reason for doubt."""
GIANT = 0.2
"""A group with this share of the questions or more limits what a study can show, for it counts as one."""
RIGHT = traits.RIGHT
"""A score from here on counts as right, unless the metric has none (`traits.MetricTraits.right`). Of a metric that is
0 or 1 that is 1; of a graded metric it is half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceEvidence:
    """What a race has shown when it stopped (`stats.betting`), where a study was one."""

    covers: Mapping[str, Any]
    """Arm → marks of the questions that it was asked, of those that count; shape (questions,)."""
    differences: Mapping[str, tuple[float, float]]
    """``A - B`` for all pairs, the simpler arm as B → ends of the confidence sequence."""
    p: Mapping[str, float]
    """The same pairs → smallest 1 − level at which the sequence leaves 0 out."""
    means: Mapping[str, tuple[float, float]]
    """Arm → ends of the confidence sequence of its mean score, a failed answer 0."""
    test: bool
    """Were all shards asked without a crown? Then one test of fixed size is due, at half of what the study may spend,
    between arms that were asked every question."""
    crowned: str = ""
    """Arm that won the race."""
    reasons: tuple[str, ...] = ()
    """Sentences on how the race went, for the verdict."""
    doubts: tuple[str, ...] = ()
    """What stopping early does to the figures, in sentences."""

    def shows(self, pair: str) -> bool:
        """Does the confidence sequence of a pair leave 0 out?"""
        low, high = self.differences[pair]
        return low > 0 or high < 0

    def whole(self, arm: str) -> bool:
        """Was the arm asked every question?"""
        return bool(self.covers[arm].all())


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictFacts:
    """The facts that the verdict needs besides the scores. Arms without a value are left out of a mapping."""

    policy: str = ""
    """The split policy as one sentence: the claim about the future that the verdict stands on."""
    looks: int = 1
    """The how-manieth look this is at its most looked-at question (`study.looks`)."""
    level: float = 0.95
    """Level of the intervals at this look."""
    next_level: float = 0.0
    """Level of the look after this one, which a study with more examples would be; 0: as this one."""
    labels: int = 0
    """Labels of the data, where the prompt names hardly any of them and no question its choices; 0: else."""
    unheld: str = ""
    """``JSON`` or ``labels``, where the answers are such and not every arm is held to a schema (`doubting.unheld`)."""
    synthetic: int = 0
    """Questions written by a model."""
    questions: int = 0
    """All questions asked."""
    failed_share: Mapping[str, float] = field(default_factory=dict)
    """Arm → share of its answers that failed."""
    latency_p95: Mapping[str, float] = field(default_factory=dict)
    """Arm → seconds, one question at a time."""
    latency_ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Arm → ends of the interval of `latency_p95`; an arm left out is known exactly."""
    latency_wanted: int = 72
    """Answers that an upper end of the interval of `latency_p95` needs."""
    latency_answers: Mapping[str, int] = field(default_factory=dict)
    """Arm → answers that `latency_p95` stands on."""
    latency_others: Mapping[str, float] = field(default_factory=dict)
    """Arm whose model runs in this process → share of the processor that other programs took while it was timed."""
    cost_per_1000: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Arm → ends of the interval of what a thousand answers cost, everything included; empty unless known of all."""
    cost_terms: str = ""
    """What these costs hold for, in words: the currency, and the volume."""
    citing: Mapping[str, Estimate] = field(default_factory=dict)
    """Arm → share of its answers that cite a right document (any document, where no example names its sources)."""
    uncited: str = ""
    """Why no answer can cite, whatever the arm; empty where the prompt asks for citations."""
    letters: Mapping[str, float] = field(default_factory=dict)
    """Arm → characters of its median answer, failed ones and abstentions apart."""
    cut_share: Mapping[str, float] = field(default_factory=dict)
    """Arm → share of its answers that ended at the token limit."""
    cut_kinds: Mapping[str, str] = field(default_factory=dict)
    """Arm → what most of these look like (`cut_short.cut_kind`)."""
    effort: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tuned arm → how far it was trained (`verdict.effort`); one that is left out has an unknown effort."""
    unanswerable: int | None = None
    """Test questions that nobody can answer; None where no arm can abstain."""
    recall: Estimate | None = None
    """Share of the questions with known sources of which a passage is shown; None where none is known."""
    reserve: int = 0
    """Questions set aside in the reserve split."""
    reserve_seen: int = 0
    """Reserve questions that earlier studies asked, or chose settings on."""
    reserve_opened: str = ""
    """Study that opened the reserve before; empty when it is sealed."""
    training_minutes: Mapping[str, float] = field(default_factory=dict)
    """Arm → minutes one training of its adapter takes."""
    dev_trials: Mapping[str, int] = field(default_factory=dict)
    """Arm → variants tried on the dev set (checkpoints, prompts, values of k)."""
    dev_examples: int = 0
    """Examples in the dev split."""
    forgetting: Mapping[str, str] = field(default_factory=dict)
    """Tuned arm → why its weights failed the forgetting gate; other arms are left out."""
    forgetting_reported: Mapping[str, str] = field(default_factory=dict)
    """Tuned arm → why its weights failed the forgetting gate, where that is only reported and rules no arm out."""
    forgetting_open: Mapping[str, str] = field(default_factory=dict)
    """Tuned arm → why the forgetting gate is open: neither shown to pass nor to fail."""
    remote: frozenset[str] = frozenset()
    """Arms that need an endpoint on the network."""
    final: bool = False
    """Was the sealed reserve split opened for this study?"""
    confirms: str = ""
    """Study whose choice is confirmed or not; only two of its arms are measured then."""
    race: RaceEvidence | None = None
    """What the race has shown, where the study was one."""
    right: float | None = RIGHT
    """Score from which an answer counts as right; None: the deciding metric has none."""
    pooled: Mapping[str, PooledScores] = field(default_factory=dict)
    """Arm → its value, where the deciding metric is a statistic of all answers together; empty for a mean of scores."""
    runs: Mapping[str, Runs] = field(default_factory=dict)
    """Arm → its training runs, where several were measured: its scores are then of shape (runs, questions)."""
    documents: bool = True
    """Has the project documents, which an answer could name as its source?"""
    same_weights: Mapping[str, str] = field(default_factory=dict)
    """Tuned arm → the arm before it whose adapter it shares: held to a schema or not, it was one training."""
    test_share: float = 1.0
    """Test questions as a share of all examples: what is collected is divided over all splits."""

    def seconds(self, arm: str) -> tuple[float, float] | None:
        """Ends of the interval of an arm's 95th percentile of seconds; None where it was not measured."""
        value = self.latency_p95.get(arm)
        return None if value is None else self.latency_ends.get(arm, (value, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The rule's choice before it is put into words."""

    outcome: Outcome
    arm: str = ""
    route: Literal["", "only", "pairwise", "race", "nobody right"] = ""
    """The step of the rule that decided."""
    keep: str = ""
    """When undecided: the arm to stay with. It is shown better than every simpler one, and no more complex one is shown
    better than it; empty where there is no such arm."""
    leader: str = ""
    """When undecided: the arm the open comparisons are about."""
    open: tuple[tuple[str, str], ...] = ()
    """When undecided: comparisons (arm, other) still to settle; with `keep`, (more complex arm, `keep`)."""
    waiting: tuple[str, ...] = ()
    """When undecided: arms that were not given their chance, over which no other arm may be chosen."""
    unshown: tuple[str, ...] = ()
    """When undecided for their sake: arms that are neither shown to meet a constraint nor shown to break it."""


def is_wrong(score: float, least: float | None) -> bool:
    """Is a score below the least that counts as right? Where the metric has none, only 0 is surely wrong."""
    return score <= 0 if least is None else score < least


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """How many of the questions that count an arm answered right: no answer `is_wrong`."""

    count: int
    of: int
    """Questions that count; one that the arm failed is not right."""
    graded: bool
    """Has any arm a score strictly between 0 and 1? Then "right" means at least half right."""
    least: float | None = RIGHT
    """Score from which an answer is right; None: no score tells, and `count` is of those that score above 0."""
    runs: int = 1
    """Training runs that `count` is the mean of, rounded."""

    @property
    def nothing(self) -> str:
        """A clause about an arm none of whose answers is right."""
        return "scores 0 on every question" if self.least is None else "answers no question right"

    @property
    def none(self) -> bool:
        """Is no answer right?"""
        return self.count == 0


def rights(scores: Mapping[str, Any], least: float | None = RIGHT) -> dict[str, Right]:
    """Count the right answers of arms from their scores, NaN where the answer failed.

    Args:
        scores: Arm → scores, shape (questions,), or (runs, questions).
        least: Score from which an answer is right; None: no score tells.
    """
    shapes = {name: np.atleast_2d(np.asarray(column, dtype=float)).shape for name, column in scores.items()}
    known = {name: list(filter(math.isfinite, np.ravel(column))) for name, column in scores.items()}
    graded = any(value not in (0.0, 1.0) for value in chain.from_iterable(known.values()))
    counts: dict[str, Right] = {}
    for name, column in known.items():
        runs, questions = shapes[name]
        right = sum(1 for value in column if not is_wrong(value, least))
        # One right answer in any run is enough not to be none.
        count = max(round(right / runs), int(right > 0))
        counts[name] = Right(count=count, of=questions, graded=graded, least=least, runs=runs)
    return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The measurements that the rule looks at."""

    arms: tuple[Arm, ...]
    """From simple to complex."""
    estimates: Mapping[str, Estimate]
    """Of every arm, without its failed answers."""
    whole: Mapping[str, Estimate]
    """Of every arm, with its failed answers as 0: `n` counts all questions, `failed` those that failed."""
    joint: Mapping[str, Interval]
    """``A - B`` for all pairs, the simpler arm as B, with simultaneous intervals: for display."""
    alone: Mapping[str, Interval]
    """The same pairs, each with an interval of its own at `level`: these decide."""
    level: float
    """Coverage of every interval here: 1 − the probability of a false choice that the study may spend."""
    right: Mapping[str, Right] = field(default_factory=dict)
    """Count of right answers of every arm."""
    largest: float = 0.0
    """Share of the questions that the largest group holds."""
    crowned: str = ""
    """Arm that won a race: shown better than every simpler arm, and not behind a more complex one."""
    deferred: frozenset[str] = frozenset()
    """Arms that a race asked fewer questions than others: their means are of other questions."""

    def leader(self, names: Sequence[str]) -> str:
        """The arm of these with the highest mean, one that was asked every question where there is one."""
        return max(names, key=lambda name: (name not in self.deferred, self.estimates[name].mean))

    def difference(self, a: str, b: str) -> Interval:
        """A − b with the interval that decides, whichever way round it was computed."""
        # Stored one way round only, the simpler arm second.
        interval = self.alone.get(f"{a} - {b}")
        return interval if interval is not None else self.alone[f"{b} - {a}"].turned()

    def least_gain(self, arm: str, others: Sequence[str]) -> tuple[str, Interval, float]:
        """The other arm over which `arm` gains least, that gain, and the lower end of the least gain.

        The lower end is the smallest of all lower ends. It holds with probability `level` for the arm that was chosen:
        an arm is chosen wrongly only where the one interval of its least gain errs (intersection-union, Berger 1982).
        """
        gaps = {other: self.difference(arm, other) for other in others}
        nearest = min(gaps, key=lambda other: gaps[other].mean)
        return nearest, gaps[nearest], min(gap.low for gap in gaps.values())


def from_simple(arms: Sequence[Arm], facts: VerdictFacts) -> tuple[Arm, ...]:
    """Arms from simple to complex, the order in which a tie goes to the earlier one.

    By their parts first (`Arm.complexity`): what is to be kept up besides the model. Of arms with as many parts, such
    as two models' ``rag``, the one whose answers cost less comes first, where the costs of all are known: whoever must
    choose between two that answer alike takes the cheaper one. Else the order of the study decides, in which the user
    named first what is to be kept in doubt. That measured costs take part in the order makes no false choice likelier:
    the interval of a pair has both ends, so its error counts whichever of the two comes first.
    """
    # A race has put its arms in order before their costs were known, and its bets are on pairs in that order.
    known = {} if facts.race is not None else facts.cost_per_1000
    costs = {arm: low + high for arm, (low, high) in known.items()}
    return tuple(sorted(arms, key=lambda arm: (arm.complexity, costs.get(arm.name, 0.0))))


def is_small(gain: Interval, margin: float) -> bool:
    """Is the gain shown to be at most `margin`?"""
    return gain.high <= margin


def matters(gain: Interval, margin: float) -> bool:
    """Is the gain shown to be above 0, and not shown to be at most `margin`?"""
    return gain.low > 0 and not is_small(gain, margin)
