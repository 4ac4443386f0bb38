"""The verdict: from paired scores to one of *choose*, *undecided*, *none acceptable*. Pure.

The rule, in order:

1. **Constraints.** An arm that is shown to break one is not acceptable, however good; no arm left: *none acceptable*.
   An arm that is neither shown to break a measured one (citations, least score, latency) nor shown to meet it is in
   question: the verdict stands only if it is the same with and without that arm, else *undecided*. Where no
   acceptable arm answered a single question right (`evidence.RIGHT`), or the arm that the rule would choose did not,
   *none acceptable*.
2. **One interval a pair.** Every pair of arms has its own interval with coverage 1 − alpha (`intervals.contrasts`, not
   joint). A gain is *shown* when its interval lies above 0, and *small* when it lies at or below `margin`.
3. **Choose** an arm that is shown better than every simpler acceptable arm (and by more than a small gain), while the
   gain of every more complex acceptable arm over it is small. No evidence chooses nothing, the simplest arm included.
4. **Else undecided**: it names the arm to keep meanwhile, what may be lost by keeping it, and how many examples would
   show more. *At least rag* is no choice of rag.
5. **Effort.** Nothing is decided over an arm that was not given its chance (a limit stopped its training before 90 %
   of the planned steps, or its loss did not move): where the rule would choose another arm, or none, the verdict is
   *undecided* and names the unfinished arm. Only what no training can change (it cannot cite, cannot keep permissions,
   is too slow) puts such an arm out of the race. It may be chosen itself: being cut short can only have hurt it.
   Likewise nothing is chosen over an arm of which every answer failed: it was not measured.

Why unadjusted intervals are enough: an arm is chosen falsely only where some simpler arm is as good, and then the one
interval of that pair has erred. A conjunction of tests at level alpha is a test at level alpha (intersection-union,
Berger 1982), and the arms that could be chosen falsely exclude one another (Gutmann & Maymin 1987; Hung & Fithian
2019). So at most alpha of all studies choose an arm that is no better than a simpler one (`bench/calibration.py`).
Simultaneous intervals, the main effects and the interaction are shown beside the verdict and decide nothing.

6. **Repeats.** Of several training runs the mean decides, and every interval includes how much they differ
   (`stats.repeats`): what is chosen is the way of training, not a lucky adapter.
7. **A race** (`RaceEvidence`) decides by the same rule, with its confidence sequences as intervals; after its last
   shard the arm that it crowned need only not lie behind a more complex one. Without a crown one test decides, of all
   questions, at half of what the study may spend: the race spent the other half.

A failed answer counts 0 in every difference, in every count of right answers and in `min_score` (a user gets no answer
either), and is in no arm's mean. Where leaving failures out would decide otherwise, the sentence says so.

A pooled metric, a statistic of all answers together such as `style`, decides by the same rule: each pair's interval is
then that of the difference of two statistics, by the cluster jackknife (`stats.pooling`), and a statistic counts times
the share of questions that have an answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from twofold.errors import StudyError
from twofold.hashing import plain
from twofold.settings.sections import StudySection
from twofold.stats import intervals as stats
from twofold.stats import pooling
from twofold.stats.repeats import widened
from twofold.text.arm_names import of_model
from twofold.types import Arm, Effect, Estimate, Outcome
from twofold.verdict import brevity, constrained, repeats, wording
from twofold.verdict.constrained import constraint_objections, constraint_questions
from twofold.verdict.constrained import lasting as _lasting
from twofold.verdict.effort import unfinished
from twofold.verdict.evidence import (
    Choice,
    Evidence,
    RaceEvidence,
    Right,
    VerdictFacts,
    from_simple,
    is_small,
    matters,
    rights,
)
from twofold.verdict.flips import flips
from twofold.verdict.outcome import Verdict
from twofold.verdict.power import further

__all__ = [
    "Choice",
    "Evidence",
    "VerdictFacts",
    "constraint_objections",
    "constraint_questions",
    "decide",
    "settle",
]


NOT_POOLED: Mapping[str, pooling.PooledScores] = {}
"""The deciding metric is a mean of scores."""


def decide(
    *,
    arms: Sequence[Arm],
    scores: Mapping[str, Any],
    groups: Any,
    metric: str,
    section: StudySection,
    objections: Mapping[str, Sequence[str]],
    facts: VerdictFacts,
    alpha: float | None = None,
) -> tuple[Verdict, list[Effect], list[Effect], dict[str, Estimate]]:
    """Weigh the arms.

    Args:
        arms: The candidates (no diagnostic arms), in the order of the study.
        scores: Arm name → scores in [0, 1], shape (questions,), NaN where the answer failed, or was not asked for
            (`RaceEvidence.covers`); of several training runs shape (runs, questions), whose mean decides. Questions
            that the metric does not score are left out (`applies`). Of a pooled metric, `PooledScores.scores`, with the
            record itself in `facts.pooled`: an answer that is missing is
            counted there already. An arm without any answer has NaN.
        groups: Integer group of each question, shape (questions,); of a pooled metric its fold (`pooling.folds_of`).
        metric: Name of the metric that decides.
        section: Margins, level, resamples, seed and constraints.
        objections: Arm name → constraints it breaks, found elsewhere. Those of `constraint_objections` may be among
            them and are worked out here in any case.
        facts: Everything else.
        alpha: Probability of a false choice that this study may spend, in (0, 1); None: 1 − `section.level`. A later
            look at the same questions passes less. All intervals have the coverage 1 − alpha.

    Returns:
        The verdict; the effects (``retrieval``, ``tuning``, ``interaction``) of each model whose four cells have
        scores; the comparisons ``A - B`` of all pairs, the simpler arm as B; and the estimate of each arm with scores.

    Raises:
        StudyError: there is no arm, two arms have no question in common, or `alpha` is not in (0, 1).
    """
    if not arms:
        raise StudyError("no arm to decide about", cure="Name arms in [study].arms.")
    spent = 1 - section.level if alpha is None else alpha
    if not 0 < spent < 1:
        raise StudyError(f"alpha {spent:g} is not between 0 and 1", cure="Pass a probability such as 0.05.")
    # A later look at the same questions has less to spend: every interval below has the coverage that is left.
    section = section.model_copy(update={"level": 1 - spent})
    ordered = from_simple(arms, facts)
    columns = repeats.columns_of({arm.name: scores[arm.name] for arm in ordered})
    # An arm without a single score has no interval; it is named, not compared.
    alive = tuple(arm for arm in ordered if np.isfinite(columns[arm.name]).any())
    places = np.asarray(groups)
    # counted: arm → (questions,), a failed answer 0; columns keep NaN there for the means
    counted = failures_as_wrong({arm.name: columns[arm.name] for arm in alive}, race=facts.race)
    evidence = _weigh(alive, columns, places, section, facts, counted=counted, scores=scores)
    # Decided twice where answers failed: counted as wrong, and left out; the sentence says where these differ.
    answered = _if_answered(evidence, columns, places, section, facts, counted=counted, scores=scores)
    effects, comparisons = _effects(evidence, counted, places, section, facts, scores=scores)
    unmeasured = [arm.name for arm in ordered if arm not in alive]
    late = [arm.name for arm in ordered if arm.tuning and unfinished(facts.effort.get(arm.name))]

    def acceptable(section: StudySection) -> dict[str, list[str]]:
        mine = constraint_objections(ordered, section, facts=facts, whole=evidence.whole)
        return {arm.name: [*standing[arm.name], *mine[arm.name]] for arm in ordered}

    def settled(section: StudySection, without: frozenset[str] = frozenset(), evidence: Evidence = evidence) -> Choice:
        reasons = acceptable(section)
        lasting = _lasting(ordered, section, facts=facts)
        waiting = [name for name in late if not lasting[name] and not stated[name] and name not in without]
        free = [arm.name for arm in alive if not reasons[arm.name] and arm.name not in without]
        doubtful = constraint_questions(ordered, section, facts=facts, whole=evidence.whole)
        open_ = [name for name in free if doubtful[name]]
        # An arm in question may turn out to be acceptable or not: only what every case agrees on is chosen.
        choices = [settle(evidence, left, section, waiting=waiting) for left in _without_any(free, open_)]
        silent = tuple(name for name in unmeasured if not lasting[name] and not stated[name] and name not in without)
        leader = choices[0].arm or choices[0].leader
        if silent and choices[0].outcome == "choose":  # nothing is chosen over an arm that never answered
            return Choice(outcome="undecided", leader=leader, open=choices[0].open, unshown=silent)
        if len({(choice.outcome, choice.arm) for choice in choices}) == 1:
            return choices[0]
        return Choice(outcome="undecided", leader=leader, open=choices[0].open, unshown=tuple(open_))

    # What the caller objects beside the usual holds under any section; the usual is found anew for each flip.
    stated = _besides(objections, constraint_objections(ordered, section, facts=facts, whole=evidence.whole))
    unscored = {arm.name: [] if arm in alive else ["it has no scored answer"] for arm in ordered}
    standing = {name: stated[name] + unscored[name] for name in stated}
    against = acceptable(section)

    def outcome_if(section: StudySection, without: frozenset[str]) -> tuple[Outcome, str]:
        choice = settled(section, without)
        return choice.outcome, choice.arm

    choice = settled(section)
    other = settled(section, evidence=answered) if answered else choice
    unmet = constraint_questions(ordered, section, facts=facts, whole=evidence.whole)
    for name in set(unmeasured) & set(choice.unshown):
        unmet[name] = ["every answer of it failed, so it was not measured: mend what failed and run the study again"]
        against = {**against, name: []}  # in question, not unacceptable
    free = [arm for arm in ordered if not against[arm.name]]
    running = [arm.name for arm in free if arm.name in counted]
    work, least = constrained.work_left(evidence, choice, free, trials=facts.dev_trials, margin=section.margin)
    # A gain below the margin would not matter: it is then a doubt, not a reason.
    slight = bool(work) and least <= section.margin
    # Where an arm waits or is in question, further examples are not what the verdict lacks.
    more = None if choice.waiting or choice.unshown else further(evidence, choice, section=section, facts=facts)
    terms = wording.Criteria(metric=metric, section=section)
    policy = f"{facts.policy.strip().rstrip('.')}. " if facts.policy.strip() else ""
    verdict = Verdict(
        outcome=choice.outcome,
        arm=choice.arm,
        headline=wording.headline(evidence, choice, terms=terms, against=against),
        sentence=policy
        + (
            constrained.unshown(choice, unmet)
            or wording.sentence(evidence, choice, terms=terms, against=against, facts=facts, more=more)
        )
        + constrained.otherwise(choice, other),
        because=(
            *constrained.questions(choice, unmet, against=against),
            *wording.because(evidence, choice, section=section, against=against, facts=facts),
            *(facts.race.reasons if facts.race else ()),
            *repeats.reasons(facts.runs, scores, level=section.level),
            *([work] if work and not slight else []),
        ),
        provisional=(
            *(facts.race.doubts if facts.race else ()),
            *wording.doubts(evidence, facts, choice=choice, arms=ordered, terms=terms),
            *brevity.doubts(
                counted,
                places,
                # Of a pooled metric no answer has a score that its length could change.
                arm="" if facts.pooled else choice.arm,
                simpler=running[: running.index(choice.arm)] if choice.arm else [],
                metric=metric,
                section=section,
                facts=facts,
            ),
            *([work] if slight else []),
        ),
        more_examples=(more.to_see.likely or None) if more and more.to_see and not more.to_see.vague else None,
        further=plain(more) if more else {},
        flips=tuple(flips(outcome_if, evidence, arms=ordered, section=section, facts=facts)),
        looks=facts.looks,
    )
    return verdict, effects, comparisons, dict(evidence.estimates)


# ---------------------------------------------------------------- the evidence


def applies(scores: Mapping[str, Sequence[float | None]], failed: Mapping[str, Sequence[bool]]) -> Any:
    """Mark the questions that the metric scores, shape (questions,).

    Not those that some arm answered without getting a score. A question that every arm failed counts: as wrong. In
    `failed` are questions that an arm was not asked, too: they say nothing of whether the metric scores them.
    """
    left_out = []
    for arm, column in scores.items():
        left_out.append([score is None and not lost for score, lost in zip(column, failed[arm], strict=True)])
    return ~np.any(left_out, axis=0)


def failures_as_wrong(columns: Mapping[str, Any], *, race: RaceEvidence | None = None) -> dict[str, Any]:
    """The scores with 0 where there is none, because the answer failed; NaN stays where a race did not ask the arm."""
    return {name: np.where(np.isnan(column) & _covers(race, name), 0.0, column) for name, column in columns.items()}


def whole(
    columns: Mapping[str, Any],
    groups: Any,
    *,
    level: float,
    pooled: Mapping[str, pooling.PooledScores] = NOT_POOLED,
    race: RaceEvidence | None = None,
) -> dict[str, Estimate]:
    """Arm → its mean score with failed answers as 0, for arms that have a score at all; see `Evidence.whole`.

    The interval is that of all questions: how many fail is as much a matter of chance as what the others score. That of
    several training runs, whose scores have the shape (runs, questions), includes how much these differ.
    """
    if pooled:
        return {name: pooled[name].whole for name in columns if name in pooled}
    scores, columns = columns, repeats.columns_of(columns)
    counted = failures_as_wrong(columns, race=race)
    estimates: dict[str, Estimate] = {}
    for name, column in columns.items():
        if np.isfinite(column).any():
            failed = int((np.isnan(column) & _covers(race, name)).sum())
            value = stats.estimate(counted[name], groups, level=_level_of_one(level, race), failed=failed)
            value = repeats.widened(value, scores[name], level=level, failed_as_wrong=True)
            estimates[name] = _at_stopping(value, name, race)
    return estimates


def _level_of_one(level: float, race: RaceEvidence | None) -> float:
    """Level of an interval of all questions: a race that is to err no more than `level` allows spent half before."""
    return level if race is None else 1 - (1 - level) / 2


def _covers(race: RaceEvidence | None, arm: str) -> Any:
    """Marks of the questions that the arm was asked; True where that is all of them."""
    return True if race is None else race.covers[arm]


def _at_stopping(value: Estimate, arm: str, race: RaceEvidence | None, *, share: float = 1.0) -> Estimate:
    """A mean with the ends of a race's confidence sequence, which allow for stopping when it looked best.

    Args:
        value: With the interval of a number of questions that was fixed before.
        arm: Whose mean it is.
        race: Where there was one.
        share: Share of the questions that the mean is of, those that did not fail.
    """
    # With the last shard the number is the planned one, whoever looked before.
    if race is None or (race.test and race.whole(arm)):
        return value
    low, high = race.means[arm]
    # The sequence weighs groups otherwise than the mean does, which counts questions: it may end beside it.
    return replace(value, low=min(low / share, value.mean), high=max(min(1.0, high / share), value.mean))


def _differ(counted: Mapping[str, Any], columns: Mapping[str, Any], facts: VerdictFacts) -> bool:
    # The intervals of a race are those of one way of counting.
    return facts.race is None and any(
        not np.array_equal(column, columns[name], equal_nan=True) for name, column in counted.items()
    )


def _if_answered(
    evidence: Evidence,
    columns: Mapping[str, Any],
    groups: Any,
    section: StudySection,
    facts: VerdictFacts,
    *,
    counted: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> Evidence | None:
    """The evidence of the questions that both arms of a pair answered; None where two arms have no such question."""
    if not _differ(counted, columns, facts):
        return evidence
    try:
        return _weigh(evidence.arms, columns, groups, section, facts, counted=columns, scores=scores)
    except StudyError:
        return None


def _besides(objections: Mapping[str, Sequence[str]], usual: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The objections to each arm of `usual` that are not among its usual ones."""
    stated = {}
    for name, constraints in usual.items():
        stated[name] = [objection for objection in objections.get(name, ()) if objection not in constraints]
    return stated


def _without_any(free: Sequence[str], open_: Sequence[str]) -> list[list[str]]:
    """The free arms, and what is left of them without each set of arms whose constraints are in question."""
    remaining = []
    for size in range(len(open_) + 1):  # 2^n, of a handful of arms
        for excluded in combinations(open_, size):
            remaining.append([name for name in free if name not in excluded])
    return remaining


def _weigh(
    arms: tuple[Arm, ...],
    columns: Mapping[str, Any],
    groups: Any,
    section: StudySection,
    facts: VerdictFacts,
    *,
    counted: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> Evidence:
    """Means of the scores there are (`columns`), differences of those that count (`counted`), runs in `scores`."""
    names, race = [arm.name for arm in arms], facts.race
    level, estimates = _level_of_one(section.level, race), {}
    for name in names:
        failed = int((np.isnan(columns[name]) & _covers(race, name)).sum())
        if facts.pooled:
            estimates[name] = facts.pooled[name].estimate
        else:
            value = stats.estimate(columns[name], groups, level=level, failed=failed)
            value = repeats.widened(value, scores[name], level=level)
            estimates[name] = _at_stopping(value, name, race, share=value.n / (value.n + failed))
    joint: dict[str, stats.Interval] = {}
    alone: dict[str, stats.Interval] = {}
    if len(names) > 1:
        matrix = np.stack([counted[name] for name in names], axis=1)  # (questions, arms)
        settings: Any = {"level": level, "resamples": section.resamples, "seed": section.seed}
        contrasts = pooling.contrasts if facts.pooled else stats.contrasts
        # Intervals alone decide (intersection-union); simultaneous ones are for the table of all pairs.
        alone = contrasts(matrix, groups, stats.pairs(names), joint=False, **settings)
        if race is None:
            joint = contrasts(matrix, groups, stats.pairs(names), **settings)
        else:
            joint = alone = _raced(alone, names, race)
        runs = repeats.by_run(scores, {name: counted[name] for name in names})
        if runs is not None:
            alone = widened(alone, stats.pairs(names), runs, level=level)
            joint = widened(joint, stats.pairs(names), runs, level=level, joint=True)
    # Of several training runs each has its own right answers.
    put = scores if race is None else {name: columns[name][race.covers[name]] for name in names}
    right = _rights(names, put, facts)
    largest = float(np.unique(groups, return_counts=True)[1].max() / len(groups)) if len(groups) else 0.0
    return Evidence(
        arms=arms,
        estimates=estimates,
        whole=whole(scores, groups, level=section.level, pooled=facts.pooled, race=race),
        joint=joint,
        alone=alone,
        level=section.level,
        right=right,
        largest=largest,
        crowned=race.crowned if race else "",
        deferred=frozenset(name for name in names if race and not race.whole(name)),
    )


def _rights(names: Sequence[str], columns: Mapping[str, Any], facts: VerdictFacts) -> dict[str, Right]:
    """Count of right answers; of a pooled metric only whether its value is above 0, for no answer is right alone."""
    if not facts.pooled:
        return rights({name: columns[name] for name in names}, facts.right)
    counts = {}
    for name in names:
        value = facts.pooled[name].whole
        counts[name] = Right(count=value.n if value.mean > 0 else 0, of=value.n, graded=True, least=None)
    return counts


def _raced(tested: Mapping[str, stats.Interval], names: Sequence[str], race: RaceEvidence) -> dict[str, stats.Interval]:
    """The interval of each pair in a race: of the test of all questions where it is due, else the confidence sequence.

    Args:
        tested: ``A - B`` → interval of the test, at half of what the study may spend.
        names: Of the arms, from simple to complex.
        race: What it has shown.
    """
    out = {}
    for place, a in enumerate(names):
        for b in names[:place]:
            pair = f"{a} - {b}"
            value = tested[pair]
            if not race.test or not race.whole(a) or not race.whole(b) or race.shows(pair):
                low, high = race.differences[pair]
                # As the means: groups weigh otherwise. What the race has shown stays shown.
                low, high = low if low > 0 else min(low, value.mean), high if high < 0 else max(high, value.mean)
                value = replace(value, low=low, high=high, p=race.p[pair], critical=math.inf)
            else:
                value = replace(value, p=min(1.0, 2 * value.p))  # of the whole study, as those of the bets
            out[pair] = value
    return out


def _cells(arms: Sequence[Arm], model: str) -> dict[str, str]:
    """Names of a model's arms in the four cells, as `intervals.factorial` calls them; empty when one is missing."""
    # Another model's arms are no cells: what tuning does is told beside the same model untuned.
    mine = [arm for arm in arms if arm.cell and arm.model == model]
    table = {(arm.retrieval, bool(arm.tuning)): arm.name for arm in mine}
    cells = {"base": (False, False), "rag": (True, False), "ft": (False, True), "both": (True, True)}
    if any(cell not in table for cell in cells.values()):
        return {}
    return {name: table[cell] for name, cell in cells.items()}


def _effects(
    evidence: Evidence,
    columns: Mapping[str, Any],
    groups: Any,
    section: StudySection,
    facts: VerdictFacts,
    *,
    scores: Mapping[str, Any],
) -> tuple[list[Effect], list[Effect]]:
    """The effects over the 2 × 2 table, each with an interval of its own, and the pairs with simultaneous ones."""

    def listed(intervals: Mapping[str, stats.Interval], test: str) -> list[Effect]:
        return [Effect(name=name, estimate=one.estimate(), p=one.p, test=test) for name, one in intervals.items()]

    if facts.race is not None:
        # The 2 × 2 effects need four arms on the same questions, at a time that none of them has chosen.
        return [], [
            replace(effect, decides=effect.estimate)
            for effect in listed(evidence.joint, "bets on groups (confidence sequence), or a bootstrap-t at their end")
        ]
    comparisons = [
        replace(effect, decides=evidence.alone[effect.name].estimate())
        for effect in listed(evidence.joint, "wild cluster bootstrap-t, adjusted for all pairs")
    ]
    names = [arm.name for arm in evidence.arms]
    effects: list[Effect] = []
    contrasts = pooling.contrasts if facts.pooled else stats.contrasts
    runs = repeats.by_run(scores, {name: columns[name] for name in names})
    for model in sorted({arm.model for arm in evidence.arms}):  # the project's own first, whose name is empty
        cells = _cells(evidence.arms, model)
        if not cells:
            continue
        weights = stats.factorial(names, **cells)
        intervals = contrasts(
            np.stack([columns[name] for name in names], axis=1),
            groups,
            weights,
            level=section.level,
            resamples=section.resamples,
            seed=section.seed,
            joint=False,
        )
        if runs is not None:
            intervals = widened(intervals, weights, runs, level=section.level)
        named = {of_model(name, model): interval for name, interval in intervals.items()}
        effects += listed(named, "wild cluster bootstrap-t")
    return effects, comparisons


# ---------------------------------------------------------------- the rule


def settle(
    evidence: Evidence, acceptable: Sequence[str], section: StudySection, *, waiting: Sequence[str] = ()
) -> Choice:
    """Apply the rule of this module.

    Args:
        evidence: What was measured.
        acceptable: Names of the arms that may be chosen.
        section: Margins.
        waiting: Names of the arms that were not given their chance and could still be acceptable once they are.
    """
    choice = _settled(evidence, acceptable, section)
    # An arm without one right answer is never chosen, however small its distance to the others.
    if choice.arm and evidence.right[choice.arm].none:
        choice = Choice(outcome="none acceptable", route="nobody right", leader=choice.arm)
    # An unfinished arm may be chosen itself: being cut short can only have hurt it.
    late = tuple(name for name in waiting if name != choice.arm)
    if not late:
        return choice
    return Choice(outcome="undecided", leader=choice.arm or choice.leader, open=choice.open, waiting=late)


def _settled(evidence: Evidence, acceptable: Sequence[str], section: StudySection) -> Choice:
    """The rule without its last part, effort."""
    if not acceptable:
        return Choice(outcome="none acceptable")
    if all(evidence.right[name].none for name in acceptable):
        return Choice(outcome="none acceptable", route="nobody right")
    if len(acceptable) == 1:
        return Choice(outcome="choose", arm=acceptable[0], route="only")
    order = [arm.name for arm in evidence.arms if arm.name in acceptable]
    margin = section.margin
    # Shown better than every simpler arm; of the simplest there is nothing to show.
    proven = []
    for place, name in enumerate(order):
        if all(matters(evidence.difference(name, other), margin) for other in order[:place]):
            proven.append(name)
    # From the simplest: the gain of every more complex arm over the one that is chosen is small.
    for name in proven:
        if all(is_small(evidence.difference(other, name), margin) for other in order[order.index(name) + 1 :]):
            return Choice(outcome="choose", arm=name, route="pairwise")
        if name == evidence.crowned:
            return Choice(outcome="choose", arm=name, route="race")
    leader = evidence.leader(order)
    # From the most complex: an undecided study may still show that simpler arms can be left aside.
    for name in reversed(proven):
        later = [(other, name) for other in order[order.index(name) + 1 :]]
        if not any(matters(evidence.difference(*pair), margin) for pair in later):
            unclear = tuple(pair for pair in later if not is_small(evidence.difference(*pair), margin))
            return Choice(outcome="undecided", keep=name, leader=leader, open=unclear)
    between: list[tuple[str, str]] = []
    for place, other in enumerate(order):
        simpler = place < order.index(leader)
        if other != leader and not _settles(evidence, leader, other, simpler=simpler, margin=margin):
            between.append((leader, other))
    return Choice(outcome="undecided", leader=leader, open=tuple(between))


def _settles(evidence: Evidence, name: str, other: str, *, simpler: bool, margin: float) -> bool:
    """Does the comparison with `other` no longer stand between the arm and a choice?"""
    if simpler:
        return matters(evidence.difference(name, other), margin)
    return is_small(evidence.difference(other, name), margin)
