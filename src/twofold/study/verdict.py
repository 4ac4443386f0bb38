"""The verdict: from paired scores to one of *choose*, *undecided*, *none acceptable*. Pure.

The rule, in order:

1. **Constraints.** An arm that is shown to break one is not acceptable, however good; no arm left: *none acceptable*.
   An arm that is neither shown to break a measured one (citations, least score, latency) nor shown to meet it is in
   question: the verdict stands only if it is the same with and without that arm, else *undecided*. An arm whose every
   score is 0 is never chosen: where the rule would do so, *none acceptable*.
2. **One family of intervals.** All pairs of arms, both main effects and the interaction get simultaneous intervals
   (`stats.contrasts`): whichever of them the rule goes on to use, at most 1 − level of all studies err in any.
3. **Interaction first.** Where its interval lies within ± `interaction_margin` and all four cells are acceptable, the
   main effects decide each factor: on when shown above 0 (and not shown to be within `margin`), off when shown to be
   at most `margin`. An arm outside the 2 × 2 table (a few-shot prompt) is then compared with the cell chosen.
4. **Else pairwise.** An arm is chosen when it is shown better than every simpler acceptable arm (by more than a
   difference shown not to matter), and no more complex arm may still claim to be needed: each is shown worse, or shown
   to gain at most `margin`, or is not even ahead. The last does not count for the simplest arm: choosing it on no
   evidence would be no verdict.
5. **Else undecided**, with the open comparisons and the number of further examples expected to settle them.
6. **Effort.** Nothing is decided over an arm that was not given its chance (a limit stopped its training before 90 %
   of the planned steps, or its loss did not move): where the rule would choose another arm, or none, the verdict is
   *undecided* and names the unfinished arm. Only what no training can change (it cannot cite, cannot keep permissions,
   is too slow) puts such an arm out of the race. It may be chosen itself: being cut short can only have hurt it.

A failed answer counts 0 in every difference (a user gets no answer either), and is in no arm's mean. Where leaving
failures out would decide otherwise, the sentence says so.

So under no effect a more complex arm is crowned in at most 1 − level of all studies (`bench/calibration.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from twofold import stats
from twofold.config import StudySection
from twofold.errors import StudyError
from twofold.study import constrained, wording
from twofold.study.constrained import constraint_objections, constraint_questions
from twofold.study.constrained import lasting as _lasting
from twofold.study.effort import unfinished
from twofold.study.evidence import FEW_GROUPS, Choice, Evidence, VerdictFacts, is_small, rights
from twofold.study.flips import flips
from twofold.types import Arm, Effect, Estimate, Outcome, Verdict

__all__ = [
    "Choice",
    "Evidence",
    "VerdictFacts",
    "constraint_objections",
    "constraint_questions",
    "decide",
    "settle",
]


def decide(
    *,
    arms: Sequence[Arm],
    scores: Mapping[str, Any],
    groups: Any,
    metric: str,
    section: StudySection,
    objections: Mapping[str, Sequence[str]],
    facts: VerdictFacts,
) -> tuple[Verdict, list[Effect], list[Effect], dict[str, Estimate]]:
    """Weigh the arms.

    Args:
        arms: The candidates (no diagnostic arms), in the order of the study.
        scores: Arm name → scores in [0, 1], shape (questions,), NaN where there is none. A question with a score of
            another arm is one that this arm failed.
        groups: Integer group of each question, shape (questions,).
        metric: Name of the metric that decides.
        section: Margins, level, resamples, seed and constraints.
        objections: Arm name → constraints it breaks, found elsewhere. Those of `constraint_objections` may be among
            them and are worked out here in any case.
        facts: Everything else.

    Returns:
        The verdict; the effects (``retrieval``, ``tuning``, ``interaction``; empty unless all four cells have
        scores); the comparisons ``A - B`` of all pairs, the simpler arm as B; and the estimate of each arm with scores.

    Raises:
        StudyError: there is no arm, or two arms have no question in common.
    """
    if not arms:
        raise StudyError("there is no arm to decide about", cure="Name arms in [study].arms.")
    ordered = tuple(sorted(arms, key=lambda arm: arm.complexity))
    columns = {arm.name: np.asarray(scores[arm.name], dtype=float) for arm in ordered}
    alive = tuple(arm for arm in ordered if np.isfinite(columns[arm.name]).any())
    places = np.asarray(groups)
    counted = failures_as_wrong({arm.name: columns[arm.name] for arm in alive})
    evidence = _weigh(alive, columns, places, section, facts, counted=counted)
    answered = (
        _weigh(alive, columns, places, section, facts, counted=columns) if _differ(counted, columns) else evidence
    )
    effects, comparisons = _effects(evidence, counted, places, section)
    late = [arm.name for arm in ordered if arm.tuning and unfinished(facts.effort.get(arm.name))]

    def acceptable(section: StudySection) -> dict[str, list[str]]:
        mine = constraint_objections(ordered, section, facts=facts, estimates=evidence.estimates)
        return {arm.name: [*standing[arm.name], *mine[arm.name]] for arm in ordered}

    def settled(section: StudySection, without: frozenset[str] = frozenset(), evidence: Evidence = evidence) -> Choice:
        found = acceptable(section)
        lasting = _lasting(ordered, section, facts=facts)
        waiting = [name for name in late if not lasting[name] and not given[name] and name not in without]
        free = [arm.name for arm in alive if not found[arm.name] and arm.name not in without]
        doubtful = constraint_questions(ordered, section, facts=facts, estimates=evidence.estimates)
        open_ = [name for name in free if doubtful[name]]
        choices = [settle(evidence, left, section, waiting=waiting) for left in _without_any(free, open_)]
        if len({(choice.outcome, choice.arm) for choice in choices}) == 1:
            return choices[0]
        leader = choices[0].arm or choices[0].leader
        return Choice(outcome="undecided", leader=leader, open=choices[0].open, unshown=tuple(open_))

    usual = constraint_objections(ordered, section, facts=facts, estimates=evidence.estimates)
    given = {arm.name: [one for one in objections.get(arm.name, ()) if one not in usual[arm.name]] for arm in ordered}
    standing = {arm.name: [*given[arm.name], *([] if arm in alive else ["it has no scored answer"])] for arm in ordered}
    against = acceptable(section)

    def outcome_if(section: StudySection, without: frozenset[str]) -> tuple[Outcome, str]:
        choice = settled(section, without)
        return choice.outcome, choice.arm

    choice = settled(section)
    other = settled(section, evidence=answered)
    unmet = constraint_questions(ordered, section, facts=facts, estimates=evidence.estimates)
    free = [arm for arm in ordered if not against[arm.name]]
    work, least = constrained.work_left(evidence, choice, free, trials=facts.dev_trials)
    slight = bool(work) and least <= section.margin
    more = None if choice.waiting or choice.unshown else _more_examples(evidence, choice, section)
    asked = wording.Asked(metric=metric, section=section)
    policy = f"{facts.policy.strip().rstrip('.')}. " if facts.policy.strip() else ""
    verdict = Verdict(
        outcome=choice.outcome,
        arm=choice.arm,
        headline=wording.headline(evidence, choice, asked=asked, against=against),
        sentence=policy
        + (
            constrained.unshown(choice, unmet)
            or wording.sentence(evidence, choice, asked=asked, against=against, facts=facts, more=more)
        )
        + constrained.otherwise(choice, other),
        because=(
            *constrained.questions(choice, unmet, against=against),
            *wording.because(evidence, choice, section=section, against=against, facts=facts),
            *([work] if work and not slight else []),
        ),
        provisional=(
            *wording.doubts(evidence, facts, choice=choice, arms=ordered, asked=asked),
            *([work] if slight else []),
        ),
        more_examples=more,
        flips=tuple(flips(outcome_if, evidence, arms=ordered, section=section, facts=facts)),
        looks=facts.looks,
    )
    return verdict, effects, comparisons, dict(evidence.estimates)


# ---------------------------------------------------------------- the evidence


def failures_as_wrong(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The scores with 0 where an arm has none and another arm has one: there this arm failed."""
    asked = np.any([np.isfinite(column) for column in columns.values()], axis=0) if columns else None
    return {name: np.where(np.isnan(column) & asked, 0.0, column) for name, column in columns.items()}


def _differ(counted: Mapping[str, Any], columns: Mapping[str, Any]) -> bool:
    return any(not np.array_equal(column, columns[name], equal_nan=True) for name, column in counted.items())


def _without_any(free: Sequence[str], open_: Sequence[str]) -> list[list[str]]:
    """The free arms, and what is left of them without each set of arms whose constraints are in question."""
    sets = [gone for size in range(len(open_) + 1) for gone in combinations(open_, size)]
    return [[name for name in free if name not in gone] for gone in sets]


def _weigh(
    arms: tuple[Arm, ...],
    columns: Mapping[str, Any],
    groups: Any,
    section: StudySection,
    facts: VerdictFacts,
    *,
    counted: Mapping[str, Any],
) -> Evidence:
    """Means of the scores there are (`columns`), differences of those that count (`counted`)."""
    names = [arm.name for arm in arms]
    estimates = {}
    for name in names:
        failed = round(facts.failed_share.get(name, 0.0) * len(columns[name]))
        estimates[name] = stats.estimate(columns[name], groups, level=section.level, failed=failed)
    cells = _cells(arms)
    family = stats.pairs(names)
    if cells:
        family.update(stats.factorial(names, **cells))
    intervals = {}
    if family:
        matrix = np.stack([counted[name] for name in names], axis=1)
        intervals = stats.contrasts(
            matrix, groups, family, level=section.level, resamples=section.resamples, seed=section.seed
        )
    right = rights({name: columns[name] for name in names})
    return Evidence(arms=arms, estimates=estimates, intervals=intervals, cells=cells, right=right)


def _cells(arms: Sequence[Arm]) -> dict[str, str]:
    """Names of the arms in the four cells, as `stats.factorial` calls them; empty when one is missing."""
    table = {(arm.retrieval, bool(arm.tuning)): arm.name for arm in arms if not arm.shots and not arm.oracle}
    wanted = {"base": (False, False), "rag": (True, False), "ft": (False, True), "both": (True, True)}
    if any(cell not in table for cell in wanted.values()):
        return {}
    return {name: table[cell] for name, cell in wanted.items()}


def _effects(
    evidence: Evidence, columns: Mapping[str, Any], groups: Any, section: StudySection
) -> tuple[list[Effect], list[Effect]]:
    names = [arm.name for arm in evidence.arms]
    family = stats.pairs(names)
    if evidence.cells:
        family.update(stats.factorial(names, **evidence.cells))
    effects: list[Effect] = []
    comparisons: list[Effect] = []
    for name, weight in family.items():
        interval = evidence.intervals[name]
        used = [columns[arm] for arm, share in zip(names, weight, strict=True) if share]
        shares = [share for share in weight if share]
        if len(used) == 2 and _independent_binary(used, groups):
            p, test = stats.mcnemar_exact(*used), "exact McNemar"
        else:
            difference = sum(share * column for share, column in zip(shares, used, strict=True))
            p = stats.sign_flip(difference, groups, seed=section.seed, draws=section.resamples)
            test = "cluster sign-flip permutation"
        effect = Effect(name=name, estimate=interval.estimate(), p=p, test=test)
        (comparisons if len(used) == 2 else effects).append(effect)
    return effects, comparisons


def _independent_binary(columns: Sequence[Any], groups: Any) -> bool:
    values = np.concatenate(columns)
    values = values[np.isfinite(values)]
    return bool(np.isin(values, (0.0, 1.0)).all() and len(np.unique(groups)) == len(groups))


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
    order = [arm.name for arm in evidence.arms if arm.name in acceptable]
    cell = _by_main_effects(evidence, order, section)
    if cell:
        return Choice(outcome="choose", arm=cell, route="main effects")
    blocked = {name: _blockers(evidence, name, order, section.margin) for name in order}
    for name, (lost, still_open) in blocked.items():
        if not lost and not still_open:
            return Choice(outcome="choose", arm=name, route="pairwise")
    leader = max(order, key=lambda name: evidence.estimates[name].mean)
    for name in order:
        if name == leader:
            break
        if is_small(evidence.difference(leader, name), section.margin):
            leader = name
            break
    still_open = blocked[leader][1] or [pair for _, found in blocked.values() for pair in found]
    return Choice(outcome="undecided", leader=leader, open=tuple(dict.fromkeys(still_open)))


def _by_main_effects(evidence: Evidence, order: Sequence[str], section: StudySection) -> str:
    """The cell that the main effects choose, or nothing."""
    if not evidence.cells or any(cell not in order for cell in evidence.cells.values()):
        return ""
    if not evidence.interaction_within(section.interaction_margin):
        return ""
    states = []
    for name in ("retrieval", "tuning"):
        effect = evidence.intervals[name]
        if is_small(effect, section.margin):
            states.append(False)
        elif effect.low > 0:
            states.append(True)
        else:
            return ""
    names = {(False, False): "base", (True, False): "rag", (False, True): "ft", (True, True): "both"}
    cell = evidence.cells[names[states[0], states[1]]]
    outside = [name for name in order if name == cell or name not in evidence.cells.values()]
    lost, still_open = _blockers(evidence, cell, outside, section.margin)
    return "" if lost or still_open else cell


def _blockers(evidence: Evidence, name: str, order: Sequence[str], margin: float) -> tuple[bool, list[tuple[str, str]]]:
    """Is the arm out of the race, and which comparisons stand between it and the crown?"""
    lost, still_open = False, []
    place = order.index(name)
    for position, other in enumerate(order):
        if position == place:
            continue
        mine = evidence.difference(name, other)
        if position < place:
            if is_small(mine, margin):
                lost = True
            elif mine.low <= 0:
                still_open.append((name, other))
        else:
            theirs = evidence.difference(other, name)
            if mine.low > 0 or is_small(theirs, margin) or (place > 0 and mine.mean >= 0):
                continue
            lost = lost or theirs.low > 0
            still_open.append((name, other))
    return lost, still_open


def _more_examples(evidence: Evidence, choice: Choice, section: StudySection) -> int | None:
    """Examples until the hardest of the open comparisons is expected to be settled; None when that cannot be told."""
    needed = []
    for name, other in choice.open:
        one = evidence.difference(name, other)
        number = (
            math.ceil(one.n * FEW_GROUPS / one.groups) - one.n
            if one.degenerate
            else stats.examples_needed(one.se, one.n, one.mean, critical=one.critical, margin=section.margin)
        )
        if number is None:
            return None
        needed.append(number)
    return max(needed) if needed and max(needed) > 0 else None
