"""Decide which arms meet the constraints of `[study]`: shown to break one, shown to meet all, or in question. Pure.

The burden lies on the arm: a measured constraint (citations, least score, latency) is met when the whole interval meets
it and broken when the whole interval breaks it. In between the arm is in question. Failed answers count 0 in the score
that `min_score` reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from twofold.settings.sections import StudySection
from twofold.types import Arm, Estimate
from twofold.verdict.evidence import Choice, Evidence, VerdictFacts
from twofold.verdict.record import counted, estimate_text, number_text, plain_number, share_text


def constraint_objections(
    arms: Sequence[Arm], section: StudySection, *, facts: VerdictFacts, whole: Mapping[str, Estimate]
) -> dict[str, list[str]]:
    """Arm name → the constraints of `section` that it breaks: some by its structure, some by measurement.

    `whole` has the scores as the verdict counts them (`Evidence.whole`).
    """
    objections = lasting(arms, section, facts=facts)
    for arm in arms:
        reasons = objections[arm.name]
        if arm.name in facts.forgetting:
            reasons.append(f"its weights forget too much ({facts.forgetting[arm.name]})")
        value, cited = whole.get(arm.name), facts.citing.get(arm.name)
        # An arm that cannot cite at all has its reason from `lasting` already.
        if section.must_cite and not reasons and cited is not None and cited.high < section.min_cited:
            reasons.append(_cites(cited, f"fewer than the {plain_number(section.min_cited)} required"))
        if section.min_score and value is not None and value.high < section.min_score:
            least = plain_number(section.min_score)
            reasons.append(f"its score {_whole(value)} lies below the least score allowed, {least}")
        share = facts.failed_share.get(arm.name, 0.0)
        # An arm without any score was not measured, which `decide` says; it is not out for its failures.
        if value is not None and share > section.max_failed:
            share_failed = share_text(value.failed, value.n)
            most = f"{100 * section.max_failed:g} %"
            reasons.append(f"{share_failed} of its answers failed, and [study].max_failed allows {most}")
    return objections


def constraint_questions(
    arms: Sequence[Arm], section: StudySection, *, facts: VerdictFacts, whole: Mapping[str, Estimate]
) -> dict[str, list[str]]:
    """Arm name → the measured constraints of `section` that it is neither shown to meet nor shown to break."""
    questions: dict[str, list[str]] = {}
    for arm in arms:
        reasons = questions[arm.name] = []
        value, cited = whole.get(arm.name), facts.citing.get(arm.name)
        # Where no answer can cite, `lasting` has objected already: nothing is open.
        if section.must_cite and arm.retrieval and not facts.uncited:
            if cited is None:
                reasons.append("whether its answers name their source was not measured")
            elif cited.low < section.min_cited <= cited.high:
                reasons.append(_cites(cited, f"not shown to be {plain_number(section.min_cited)} or more"))
        if section.min_score and value is not None and value.low < section.min_score <= value.high:
            least = plain_number(section.min_score)
            reasons.append(f"its score {_whole(value)} is not shown to reach the least score allowed, {least}")
        ends = facts.seconds(arm.name)
        limit = section.max_latency_p95
        if limit and ends is None:
            reasons.append("its latency was not measured")
        elif limit and ends is not None and ends[0] <= limit < ends[1]:
            open_question = f"is not shown to keep to the limit of {number_text(limit, 2)} s"
            reasons.append(f"p95 latency {_p95(arm.name, facts)} {open_question}")
    return questions


def lasting(arms: Sequence[Arm], section: StudySection, *, facts: VerdictFacts) -> dict[str, list[str]]:
    """Arm name → the constraints that it breaks and that no further training would mend."""
    objections: dict[str, list[str]] = {}
    for arm in arms:
        reasons = []
        if section.must_cite and not arm.retrieval:
            reasons.append("answers must name their source, and this arm sees no passages")
        elif section.must_cite and facts.uncited:
            reasons.append(f"answers must name their source, and {facts.uncited}")
        if section.permissions and arm.linear:
            reasons.append("per-document permissions must hold, and a model of the examples cannot enforce them")
        if section.permissions and arm.tuning:
            reasons.append("per-document permissions must hold, and tuned weights cannot enforce them")
        ends = facts.seconds(arm.name)
        limit = section.max_latency_p95
        if limit and ends is not None and ends[0] > limit:
            reasons.append(f"p95 latency {_p95(arm.name, facts)} is above the limit of {number_text(limit, 2)} s")
        objections[arm.name] = reasons
    return objections


def unshown(choice: Choice, questions: Mapping[str, Sequence[str]]) -> str:
    """A sentence on the constraints that keep a choice undecided; empty when none does."""
    if not choice.unshown:
        return ""
    reasons = "; ".join(f"{name}: {', '.join(questions[name])}" for name in choice.unshown)
    return f"Undecided: which arm is acceptable is not shown ({reasons})."


def questions(choice: Choice, unmet: Mapping[str, Sequence[str]], *, against: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each arm in question, where that is not told already."""
    lines: list[str] = []
    for name, reasons in unmet.items():
        # An arm that is out needs no open question, and `unshown` tells those that keep the verdict open.
        if reasons and not against[name] and name not in choice.unshown:
            lines.append(f"{name} is in question: {'; '.join(reasons)}.")
    return lines


def otherwise(choice: Choice, other: Choice) -> str:
    """A sentence where leaving failed answers out would decide otherwise than counting them as wrong; else empty."""
    if (choice.outcome, choice.arm) == (other.outcome, other.arm):
        return ""
    return f" Counting failed answers as wrong, the verdict is {_outcome(choice)}; leaving them out, {_outcome(other)}."


def work_left(
    evidence: Evidence, choice: Choice, arms: Sequence[Arm], *, trials: Mapping[str, int], margin: float
) -> tuple[str, float]:
    """The gain that more work on an arm with fewer trials must bring to undo a choice, in words and as a number.

    An arm that is shown worse has the lower end of its gap to make up. A more complex arm that is not has what is left
    of the margin.

    Args:
        evidence: The intervals.
        choice: What was chosen.
        arms: The acceptable arms, from simple to complex.
        trials: Arm → variants tried on the dev set; an arm left out had none.
        margin: Differences up to this do not matter.

    Returns:
        A sentence on the less-tried arm that comes nearest, and that gain; an empty sentence where nothing was chosen,
        or no arm had fewer trials.
    """
    mine = trials.get(choice.arm, 0)
    if not choice.arm:
        return "", 0.0
    # The lower end: so much at least the choice is ahead.
    lows = {arm: evidence.difference(choice.arm, arm.name).low for arm in arms if trials.get(arm.name, 0) < mine}
    if not lows:
        return "", 0.0
    # Shown worse: it must make up the lower end. Not shown: it has what is left of the margin to gain.
    gaps = {arm: low if low > 0 else max(0.0, margin + low) for arm, low in lows.items()}
    arm = min(gaps, key=lambda name: gaps[name])
    what = "training" if arm.tuning else "prompt"
    needed = number_text(gaps[arm])
    end = (
        "the lower end of the gap"
        if lows[arm] > 0
        else f"what is left of the {plain_number(margin)} that do not matter"
    )
    statement = (
        f"{choice.arm} had {counted(mine, 'variant')} tried on the dev set, {arm.name} {trials.get(arm.name, 0)}: the "
        f"verdict stands unless more work on {arm.name}'s {what} gains more than {needed}, {end}"
    )
    return statement, gaps[arm]


def _outcome(choice: Choice) -> str:
    return f"choose {choice.arm}" if choice.arm else choice.outcome


def _cites(value: Estimate, verdict: str) -> str:
    return f"the share of its answers that cite a right document is {_text(value)}, {verdict}"


def _p95(arm: str, facts: VerdictFacts) -> str:
    """Seconds with their interval, where they have one."""
    value = number_text(facts.latency_p95[arm], 2)
    ends = facts.latency_ends.get(arm)
    if ends is None:
        return f"{value} s"
    # Too few answers give no upper end.
    low, high = ("–" if math.isinf(end) else number_text(end, 2) for end in ends)
    return f"{value} [{low}, {high}] s"


def _whole(value: Estimate) -> str:
    return _text(value) + (f" with {counted(value.failed, 'failed answer')} as wrong" if value.failed else "")


def _text(value: Estimate) -> str:
    return estimate_text({"mean": value.mean, "low": value.low, "high": value.high})
