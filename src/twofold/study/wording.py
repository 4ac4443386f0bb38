"""The verdict in words: its sentence, its reasons, its doubts. Every number with its interval. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.config import StudySection
from twofold.stats import Interval
from twofold.study.evidence import FEW_GROUPS, Choice, Evidence, VerdictFacts, is_tie
from twofold.study.record import estimate_text
from twofold.types import Arm, Estimate

TITLES = {
    "token_f1": "token F1",
    "exact_match": "exact match",
    "rouge_l": "ROUGE-L",
    "macro_f1": "macro-F1",
    "field_f1": "field F1",
    "json_valid": "valid JSON",
    "section_f1": "section F1",
    "abstention_f1": "abstention F1",
}
"""How a metric is called in sentences; others by their name with spaces."""


def text(value: Estimate | Interval) -> str:
    """``.412 [.351, .470]``, rounded, without a negative zero."""
    record: Any = {key: round(getattr(value, key), 3) + 0.0 for key in ("mean", "low", "high")}
    return estimate_text(record)


def sentence(
    evidence: Evidence,
    choice: Choice,
    *,
    metric: str,
    level: float,
    against: Mapping[str, Sequence[str]],
    more: int | None,
) -> str:
    """The verdict in one sentence for a manager, numbers inside."""
    title = TITLES.get(metric, metric.replace("_", " "))
    if choice.outcome == "none acceptable":
        reasons = "; ".join(f"{name}: {', '.join(found)}" for name, found in against.items() if found)
        return f"No arm is acceptable ({reasons})."
    acceptable = [arm.name for arm in evidence.arms if not against[arm.name]]
    means = evidence.estimates
    kind = f"simultaneous {100 * level:g} %"
    if choice.outcome == "choose":
        start = f"Choose {choice.arm}: {title} {text(means[choice.arm])}"
        others = [name for name in acceptable if name != choice.arm]
        if not others:
            return f"{start}; it is the only acceptable arm."
        rival = max(others, key=lambda name: means[name].mean)
        gap = text(evidence.difference(choice.arm, rival))
        return f"{start} against {text(means[rival])} for {rival}, the best of the others (difference {gap}, {kind})."
    gaps = " and ".join(f"{a} - {b} {text(evidence.difference(a, b))}" for a, b in choice.open[:3])
    rest = f" and {len(choice.open) - 3} more" if len(choice.open) > 3 else ""
    help_ = (
        f"about {more} further test examples are expected to settle it"
        if more is not None
        else "how many further examples would settle it cannot be told from these"
    )
    return (
        f"Undecided: {choice.leader} stands at {title} {text(means[choice.leader])}, "
        f"but it is open whether {gaps}{rest} is a real difference ({kind}); {help_}."
    )


def because(
    evidence: Evidence, choice: Choice, *, section: StudySection, against: Mapping[str, Sequence[str]]
) -> list[str]:
    """The reasons, built from the numbers."""
    out = [f"{name} is not acceptable: {'; '.join(found)}." for name, found in against.items() if found]
    if choice.outcome == "none acceptable":
        return out
    if evidence.cells:
        out += _because_effects(evidence, choice, section)
    arm = choice.arm or choice.leader
    for other in evidence.arms:
        name = other.name
        if name == arm or against[name]:
            continue
        out.append(_because_pair(evidence, arm, name, section, open_=((arm, name) in choice.open)))
    safe = _safe_meanwhile(evidence, choice, [one.name for one in evidence.arms if not against[one.name]])
    if safe:
        out.append(f"Meanwhile {safe} is safe: it is shown better than every simpler arm, and worse than none.")
    if choice.route == "only":
        out.append(f"{arm} is the only acceptable arm.")
    return out


def _safe_meanwhile(evidence: Evidence, choice: Choice, order: Sequence[str]) -> str:
    """When undecided: the most complex arm shown better than every simpler one and worse than none, if any."""
    if choice.outcome != "undecided":
        return ""
    for place in range(len(order) - 1, 0, -1):
        gaps = [evidence.difference(order[place], other) for other in order if other != order[place]]
        if all(gap.low > 0 for gap in gaps[:place]) and all(gap.high >= 0 for gap in gaps):
            return order[place]
    return ""


def _because_effects(evidence: Evidence, choice: Choice, section: StudySection) -> list[str]:
    interaction = text(evidence.intervals["interaction"])
    limit = f"±{section.interaction_margin:g}"
    if not evidence.interaction_within(section.interaction_margin):
        out = [f"The interaction is {interaction}, not shown to lie within {limit}: arms are compared pairwise."]
    elif choice.route == "main effects":
        out = [f"The interaction is {interaction}, within {limit}: the main effects decide."]
    else:
        out = [f"The interaction is {interaction}, within {limit}, but the main effects do not settle the choice."]
    for name in ("retrieval", "tuning"):
        effect = evidence.intervals[name]
        if effect.low > 0:
            what = "helps"
        elif effect.high < 0:
            what = "hurts"
        elif effect.high <= section.margin:
            what = f"gains no more than the margin of {section.margin:g}"
        else:
            what = "is not shown to help"
        out.append(f"{name.capitalize()} {what}: {text(effect)} on average over the table.")
    return out


def _because_pair(evidence: Evidence, arm: str, other: str, section: StudySection, *, open_: bool) -> str:
    mine = evidence.difference(arm, other)
    gap = f"{arm} - {other}: {text(mine)}"
    if is_tie(mine):
        return f"{gap}: they score alike on all {mine.n} questions; the simpler one is preferred."
    if mine.low > 0:
        return f"{gap}: shown better."
    if mine.high < 0:
        return f"{gap}: shown worse."
    if open_:
        return f"{gap}: open."
    theirs = evidence.difference(other, arm)
    if theirs.high <= section.margin:
        return f"{gap}: {other} is shown to gain at most {section.margin:g}, which does not matter here."
    return f"{gap}: not shown different; a gain of {other} up to {max(0.0, theirs.high):.3f} is not excluded."


def doubts(evidence: Evidence, facts: VerdictFacts, *, arms: Sequence[Arm], section: StudySection) -> list[str]:
    """Every reason to hold the verdict provisional."""
    out = []
    groups = min((interval.groups for interval in evidence.intervals.values()), default=0)
    n = min((value.n for value in evidence.estimates.values()), default=0)
    if evidence.intervals and groups < FEW_GROUPS:
        out.append(f"few independent groups: {groups} ({FEW_GROUPS} or more are wanted)")
    if n < 50:
        out.append(f"few questions: {n} with a score in the arm with fewest (50 or more are wanted)")
    if facts.synthetic_share > 0.5:
        out.append(f"{facts.synthetic_share:.0%} of the test questions are synthetic, which favours retrieval")
    shares = {arm.name: facts.failed_share.get(arm.name, 0.0) for arm in arms}
    out += [
        f"{share:.0%} of {name}'s answers failed and are in no mean" for name, share in shares.items() if share > 0.05
    ]
    if max(shares.values()) - min(shares.values()) > 0.05:
        out.append("arms failed unequally often: the questions compared are those that all arms of a pair answered")
    if facts.looks > 1:
        out.append(f"this test split has been looked at {facts.looks} times: it wears out")
    tuned = [arm.name for arm in arms if arm.tuning]
    if tuned and not any(arm.shots for arm in arms):
        out.append("no few-shot prompt arm was measured: tuning's gain may be overstated")
    trials = [facts.dev_trials.get(arm.name, 0) for arm in arms]
    if max(trials) > min(trials):
        told = ", ".join(f"{arm.name} {number}" for arm, number in zip(arms, trials, strict=True))
        out.append(f"unequal effort: variants tried on the dev set were {told}")
    if tuned and facts.dev_examples < 30:
        out.append(f"few dev examples: checkpoints were chosen on {facts.dev_examples} (30 or more are wanted)")
    if section.max_latency_p95:
        unknown = [arm.name for arm in arms if arm.name not in facts.latency_p95]
        if unknown:
            out.append(f"latency is a constraint but was not measured for {', '.join(unknown)}")
    if not facts.final:
        out.append("not confirmed on a sealed reserve split (`twofold study --final`)")
    return out
