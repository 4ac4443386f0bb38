"""The verdict: from paired scores to one of *choose*, *undecided*, *none acceptable*. Pure.

The rule, in order:

1. **Constraints.** An arm that breaks one is not acceptable, however good; no arm left: *none acceptable*. Where no
   acceptable arm answered a single question right (`evidence.RIGHT`), or the arm that the rule would choose did not,
   likewise.
2. **One interval a pair.** Every pair of arms has one interval of its own with coverage 1 − alpha (`stats.contrasts`,
   not joint). A gain is *shown* when its interval lies above 0, and *small* when it lies at or below `margin`.
3. **Choose** an arm that is shown better than every simpler acceptable arm (and by more than a small gain), while the
   gain of every more complex acceptable arm over it is small. No evidence chooses nothing, the simplest arm included.
4. **Else undecided**: it names the arm to keep meanwhile, what may be lost by keeping it, and how many examples would
   show more. *At least rag* is no choice of rag.
5. **Effort.** Nothing is decided over an arm that was not given its chance (a limit stopped its training before 90 %
   of the planned steps, or its loss did not move): where the rule would choose another arm, or none, the verdict is
   *undecided* and names the unfinished arm. Only what no training can change (it cannot cite, cannot keep permissions,
   is too slow) puts such an arm out of the race. It may be chosen itself: being cut short can only have hurt it.

Why unadjusted intervals are enough: an arm is chosen falsely only where some simpler arm is as good, and then the one
interval of that pair has erred. A conjunction of tests at level alpha is a test at level alpha (intersection-union,
Berger 1982), and the arms that could be chosen falsely exclude one another (Gutmann & Maymin 1987; Hung & Fithian
2019). So at most alpha of all studies choose an arm that is no better than a simpler one (`bench/calibration.py`).
Simultaneous intervals, the main effects and the interaction are shown beside the verdict and decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twofold import stats
from twofold.config import StudySection
from twofold.errors import StudyError
from twofold.study import wording
from twofold.study.effort import unfinished
from twofold.study.evidence import Choice, Evidence, VerdictFacts, is_small, matters, rights
from twofold.study.flips import flips
from twofold.study.power import further
from twofold.study.record import number_text, plain_number
from twofold.types import Arm, Effect, Estimate, Outcome, Verdict

__all__ = ["Choice", "Evidence", "VerdictFacts", "constraint_objections", "decide", "settle"]


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
        scores: Arm name → scores in [0, 1], shape (questions,), NaN where there is none.
        groups: Integer group of each question, shape (questions,).
        metric: Name of the metric that decides.
        section: Margins, level, resamples, seed and constraints.
        objections: Arm name → constraints it breaks, found elsewhere. Those of `constraint_objections` may be among
            them and are worked out here in any case.
        facts: Everything else.
        alpha: Probability of a false choice that this study may spend, in (0, 1); None: 1 − `section.level`. A later
            look at the same questions passes less.

    Returns:
        The verdict; the effects (``retrieval``, ``tuning``, ``interaction``; empty unless all four cells have
        scores); the comparisons ``A - B`` of all pairs, the simpler arm as B; and the estimate of each arm with scores.

    Raises:
        StudyError: there is no arm, two arms have no question in common, or `alpha` is not in (0, 1).
    """
    if not arms:
        raise StudyError("there is no arm to decide about", cure="Name arms in [study].arms.")
    spent = 1 - section.level if alpha is None else alpha
    if not 0 < spent < 1:
        raise StudyError(f"alpha {spent:g} does not lie between 0 and 1", cure="Pass a probability such as 0.05.")
    ordered = tuple(sorted(arms, key=lambda arm: arm.complexity))
    columns = {arm.name: np.asarray(scores[arm.name], dtype=float) for arm in ordered}
    alive = tuple(arm for arm in ordered if np.isfinite(columns[arm.name]).any())
    evidence = _weigh(alive, columns, np.asarray(groups), section, facts, level=1 - spent)
    effects, comparisons = _effects(evidence, columns, np.asarray(groups), section, facts)
    late = [arm.name for arm in ordered if arm.tuning and unfinished(facts.effort.get(arm.name))]

    def acceptable(section: StudySection) -> dict[str, list[str]]:
        mine = constraint_objections(ordered, section, facts=facts, estimates=evidence.estimates)
        return {arm.name: [*standing[arm.name], *mine[arm.name]] for arm in ordered}

    def settled(section: StudySection, without: frozenset[str] = frozenset()) -> Choice:
        found = acceptable(section)
        lasting = _lasting(ordered, section, facts=facts)
        waiting = [name for name in late if not lasting[name] and not given[name] and name not in without]
        free = [arm.name for arm in alive if not found[arm.name] and arm.name not in without]
        return settle(evidence, free, section, waiting=waiting)

    usual = constraint_objections(ordered, section, facts=facts, estimates=evidence.estimates)
    given = {arm.name: [one for one in objections.get(arm.name, ()) if one not in usual[arm.name]] for arm in ordered}
    standing = {arm.name: [*given[arm.name], *([] if arm in alive else ["it has no scored answer"])] for arm in ordered}
    against = acceptable(section)

    def outcome_if(section: StudySection, without: frozenset[str]) -> tuple[Outcome, str]:
        choice = settled(section, without)
        return choice.outcome, choice.arm

    choice = settled(section)
    more = None if choice.waiting else further(evidence, choice, section=section, facts=facts)
    asked = wording.Asked(metric=metric, section=section)
    policy = f"{facts.policy.strip().rstrip('.')}. " if facts.policy.strip() else ""
    verdict = Verdict(
        outcome=choice.outcome,
        arm=choice.arm,
        headline=wording.headline(evidence, choice, asked=asked, against=against),
        sentence=policy + wording.sentence(evidence, choice, asked=asked, against=against, facts=facts, more=more),
        because=tuple(wording.because(evidence, choice, section=section, against=against, facts=facts)),
        provisional=tuple(wording.doubts(evidence, facts, choice=choice, arms=ordered, asked=asked)),
        more_examples=more.to_see.likely if more and more.to_see else None,
        flips=tuple(flips(outcome_if, evidence, arms=ordered, section=section, facts=facts)),
        looks=facts.looks,
    )
    return verdict, effects, comparisons, dict(evidence.estimates)


def constraint_objections(
    arms: Sequence[Arm], section: StudySection, *, facts: VerdictFacts, estimates: Mapping[str, Estimate]
) -> dict[str, list[str]]:
    """Arm name → the constraints of `section` that it breaks: some by its structure, some by measurement."""
    found = _lasting(arms, section, facts=facts)
    for arm in arms:
        if arm.name in facts.forgetting:
            found[arm.name].append(f"its weights forget too much ({facts.forgetting[arm.name]})")
        value = estimates.get(arm.name)
        if section.min_score and value is not None and value.high < section.min_score:
            least = plain_number(section.min_score)
            found[arm.name].append(f"its score {wording.text(value)} lies below the least score allowed, {least}")
    return found


def _lasting(arms: Sequence[Arm], section: StudySection, *, facts: VerdictFacts) -> dict[str, list[str]]:
    """Arm name → the constraints that it breaks and that no further training would mend."""
    found: dict[str, list[str]] = {}
    for arm in arms:
        reasons = []
        if section.must_cite and not arm.retrieval:
            reasons.append("answers must name their source, and this arm sees no passages")
        if section.permissions and arm.tuning:
            reasons.append("per-document permissions must hold, and tuned weights cannot enforce them")
        p95 = facts.latency_p95.get(arm.name)
        if section.max_latency_p95 and p95 is not None and p95 > section.max_latency_p95:
            limit = number_text(section.max_latency_p95, 2)
            reasons.append(f"p95 latency {number_text(p95, 2)} s is above the limit of {limit} s")
        found[arm.name] = reasons
    return found


# ---------------------------------------------------------------- the evidence


def _weigh(
    arms: tuple[Arm, ...],
    columns: Mapping[str, Any],
    groups: Any,
    section: StudySection,
    facts: VerdictFacts,
    *,
    level: float,
) -> Evidence:
    names = [arm.name for arm in arms]
    estimates = {}
    for name in names:
        failed = round(facts.failed_share.get(name, 0.0) * len(columns[name]))
        estimates[name] = stats.estimate(
            columns[name], groups, level=section.level, failed=failed, bounded=facts.bounded
        )
    joint: dict[str, stats.Interval] = {}
    alone: dict[str, stats.Interval] = {}
    if len(names) > 1:
        matrix = np.stack([columns[name] for name in names], axis=1)
        settings: Any = {"resamples": section.resamples, "seed": section.seed, "bounded": facts.bounded}
        joint = stats.contrasts(matrix, groups, stats.pairs(names), level=section.level, **settings)
        alone = stats.contrasts(matrix, groups, stats.pairs(names), level=level, joint=False, **settings)
    right = rights({name: columns[name] for name in names})
    return Evidence(arms=arms, estimates=estimates, joint=joint, alone=alone, level=level, right=right)


def _cells(arms: Sequence[Arm]) -> dict[str, str]:
    """Names of the arms in the four cells, as `stats.factorial` calls them; empty when one is missing."""
    table = {(arm.retrieval, bool(arm.tuning)): arm.name for arm in arms if not arm.shots and not arm.oracle}
    wanted = {"base": (False, False), "rag": (True, False), "ft": (False, True), "both": (True, True)}
    if any(cell not in table for cell in wanted.values()):
        return {}
    return {name: table[cell] for name, cell in wanted.items()}


def _effects(
    evidence: Evidence, columns: Mapping[str, Any], groups: Any, section: StudySection, facts: VerdictFacts
) -> tuple[list[Effect], list[Effect]]:
    """The effects over the 2 × 2 table, each with an interval of its own, and the pairs with simultaneous ones."""

    def listed(intervals: Mapping[str, stats.Interval], test: str) -> list[Effect]:
        return [Effect(name=name, estimate=one.estimate(), p=one.p, test=test) for name, one in intervals.items()]

    comparisons = listed(evidence.joint, "wild cluster bootstrap-t, adjusted for all pairs")
    cells, names = _cells(evidence.arms), [arm.name for arm in evidence.arms]
    if not cells:
        return [], comparisons
    intervals = stats.contrasts(
        np.stack([columns[name] for name in names], axis=1),
        groups,
        stats.factorial(names, **cells),
        level=section.level,
        resamples=section.resamples,
        seed=section.seed,
        joint=False,
        bounded=facts.bounded,
    )
    return listed(intervals, "wild cluster bootstrap-t"), comparisons


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
    if choice.arm and evidence.right[choice.arm].none:
        choice = Choice(outcome="none acceptable", route="nobody right", leader=choice.arm)
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
    order, margin = [arm.name for arm in evidence.arms if arm.name in acceptable], section.margin
    proven = [
        name
        for place, name in enumerate(order)
        if all(matters(evidence.difference(name, other), margin) for other in order[:place])
    ]  # shown better than every simpler arm; of the simplest there is nothing to show
    for name in proven:
        if all(is_small(evidence.difference(other, name), margin) for other in order[order.index(name) + 1 :]):
            return Choice(outcome="choose", arm=name, route="pairwise")
    leader = max(order, key=lambda name: evidence.estimates[name].mean)
    for name in reversed(proven):
        later = [(other, name) for other in order[order.index(name) + 1 :]]
        if not any(matters(evidence.difference(*pair), margin) for pair in later):
            unclear = tuple(pair for pair in later if not is_small(evidence.difference(*pair), margin))
            return Choice(outcome="undecided", keep=name, leader=leader, open=unclear)
    unclear = tuple(
        (leader, other)
        for place, other in enumerate(order)
        if other != leader and not _settles(evidence, leader, other, simpler=place < order.index(leader), margin=margin)
    )
    return Choice(outcome="undecided", leader=leader, open=unclear)


def _settles(evidence: Evidence, name: str, other: str, *, simpler: bool, margin: float) -> bool:
    """Does the comparison with `other` no longer stand between the arm and a choice?"""
    if simpler:
        return matters(evidence.difference(name, other), margin)
    return is_small(evidence.difference(other, name), margin)
