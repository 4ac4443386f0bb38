"""The verdict: from paired scores to one of *choose*, *undecided*, *none acceptable*. Pure.

The rule, in order:

1. **Constraints.** An arm that breaks one is not acceptable, however good; no arm left: *none acceptable*. An arm
   whose every score is 0 is never chosen: where the rule would do so, *none acceptable*.
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

So under no effect a more complex arm is crowned in at most 1 − level of all studies (`bench/calibration.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twofold import stats
from twofold.config import StudySection
from twofold.errors import StudyError
from twofold.study import wording
from twofold.study.effort import unfinished
from twofold.study.evidence import FEW_GROUPS, Choice, Evidence, VerdictFacts, is_small, rights
from twofold.study.flips import flips
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
    effects, comparisons = _effects(evidence, columns, np.asarray(groups), section)
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
    more = None if choice.waiting else _more_examples(evidence, choice, section)
    asked = wording.Asked(metric=metric, section=section)
    policy = f"{facts.policy.strip().rstrip('.')}. " if facts.policy.strip() else ""
    verdict = Verdict(
        outcome=choice.outcome,
        arm=choice.arm,
        headline=wording.headline(evidence, choice, asked=asked, against=against),
        sentence=policy + wording.sentence(evidence, choice, asked=asked, against=against, facts=facts, more=more),
        because=tuple(wording.because(evidence, choice, section=section, against=against, facts=facts)),
        provisional=tuple(wording.doubts(evidence, facts, choice=choice, arms=ordered, asked=asked)),
        more_examples=more,
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
        estimates[name] = stats.estimate(columns[name], groups, level=section.level, failed=failed)
    cells = _cells(arms)
    family = stats.pairs(names)
    if cells:
        family.update(stats.factorial(names, **cells))
    intervals = {}
    if family:
        matrix = np.stack([columns[name] for name in names], axis=1)
        intervals = stats.contrasts(matrix, groups, family, level=level, resamples=section.resamples, seed=section.seed)
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
