"""The verdict in words: its sentence, its reasons, its doubts. Every number with its interval. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twofold.config import StudySection
from twofold.stats import Interval, least_for_upper_end
from twofold.study.effort import cure, shortfall, unfinished
from twofold.study.evidence import FEW_GROUPS, RIGHT, Choice, Evidence, Right, VerdictFacts, is_small, is_tie
from twofold.study.record import counted, estimate_text, number_text, plain_number
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a study decides by."""

    metric: str
    """Name of the deciding metric."""
    section: StudySection
    """Margins, level and constraints."""

    @property
    def title(self) -> str:
        """The metric's name in sentences."""
        return metric_title(self.metric)

    @property
    def kind(self) -> str:
        """What kind of interval a difference has."""
        return f"simultaneous {100 * self.section.level:g} %"


def metric_title(metric: str) -> str:
    """A metric's name in sentences."""
    return TITLES.get(metric, metric.replace("_", " "))


def text(value: Estimate | Interval) -> str:
    """``.412 [.351, .470]``."""
    record: Any = {key: getattr(value, key) for key in ("mean", "low", "high")}
    return estimate_text(record)


# ---------------------------------------------------------------- the first line: counts of right answers


def headline(evidence: Evidence, choice: Choice, *, asked: Asked, against: Mapping[str, Sequence[str]]) -> str:
    """The verdict in plain words, with counts of right answers instead of scores.

    "Right" means `evidence.RIGHT` or more in the deciding metric: exactly right where the metric is 0 or 1, at least
    half right where it is graded, and the line says which.
    """
    if not evidence.arms:
        return "No arm has a scored answer."
    right = evidence.right
    best = sorted(right, key=lambda name: (-right[name].count, -evidence.estimates[name].mean))
    if all(one.none for one in right.values()):
        so_far = "so far " if choice.waiting else ""
        most = counted(max(one.of for one in right.values()), "question")
        return f"No arm {so_far}answered a single question right ({most})."
    if choice.outcome == "none acceptable":
        why = "None of the arms is acceptable."
        if choice.route == "nobody right":
            why = "No acceptable arm answered a single question right."
        return f"{why} {_counts(best[0], right, asked)}{_runner_up(best, right)}."
    free = [name for name in best if not against[name]]
    if choice.outcome == "choose":
        others = [name for name in free if name != choice.arm]
        mine = _counts(choice.arm, right, asked)
        if not others:
            return f"{mine}; no other arm is acceptable." if len(evidence.arms) > 1 else f"{mine}."
        rival = others[0]
        rest = f"the best of the others ({rival})" if len(others) > 1 else rival
        theirs = _of(right[rival], right[choice.arm])
        unshown = not_shown_better(evidence, choice, margin=asked.section.margin, against=against)
        if unshown:
            return (
                f"{choice.arm}, because {_listed(unshown)} {_was(unshown)} not shown better. {mine}; {rest} {theirs}."
            )
        return f"{mine}; {rest} {theirs}."
    if choice.waiting:
        start = (
            f"{_listed(choice.waiting)} {'has' if len(choice.waiting) == 1 else 'have'} not been given a fair chance."
        )
        return f"{start} So far {_counts(best[0], right, asked)}{_runner_up(best, right)}."
    if not any(one.count for one in right.values()):
        most = counted(max(one.of for one in right.values()), "question")
        return f"No arm answered a single question at least half right ({most}), and which is least wrong is open."
    return f"Too close to call: {_counts(best[0], right, asked)}{_runner_up(best, right)}."


def _runner_up(best: Sequence[str], right: Mapping[str, Right]) -> str:
    return f"; {best[1]} {_of(right[best[1]], right[best[0]])}" if len(best) > 1 else ""


def _counts(name: str, right: Mapping[str, Right], asked: Asked) -> str:
    mine = right[name]
    done = f"{mine.count} of {counted(mine.of, 'question')}"
    if not mine.graded:
        return f"{name} answers {done} right"
    return f"{name} answers {done} at least half right ({asked.title} {number_text(RIGHT, 1)} or more)"


def _of(right: Right, beside: Right) -> str:
    """A count, with its total where that is another than the total beside it."""
    return str(right.count) if right.of == beside.of else f"{right.count} of {right.of}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _was(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def not_shown_better(
    evidence: Evidence, choice: Choice, *, margin: float, against: Mapping[str, Sequence[str]]
) -> list[str]:
    """More complex acceptable arms that the chosen arm is neither shown better than nor shown to equal."""
    if choice.route != "pairwise":
        return []
    names = [arm.name for arm in evidence.arms]
    later = [name for name in names[names.index(choice.arm) + 1 :] if not against[name]]
    return [
        name
        for name in later
        if evidence.difference(choice.arm, name).low <= 0
        and not is_small(evidence.difference(name, choice.arm), margin)
    ]


# ---------------------------------------------------------------- the sentence: scores and intervals


def sentence(
    evidence: Evidence,
    choice: Choice,
    *,
    asked: Asked,
    against: Mapping[str, Sequence[str]],
    facts: VerdictFacts,
    more: int | None,
) -> str:
    """The verdict in one sentence, scores with their intervals inside."""
    means = evidence.estimates
    if choice.waiting:
        why = "; ".join(shortfall(name, facts.effort[name]) for name in choice.waiting)
        return f"Undecided: {why}."
    if choice.outcome == "none acceptable":
        reasons = [f"{name}: {', '.join(found)}" for name, found in against.items() if found]
        if choice.leader:
            open_ = f"{choice.leader} answered no question right, and no other arm is shown to gain enough to matter"
            reasons = [open_, *reasons]
        elif choice.route == "nobody right":
            zero = [name for name in means if evidence.right[name].none and not against[name]]
            reasons = [f"{asked.title} is {text(means[zero[0]])} for {_listed(zero)}", *reasons]
        return f"No arm is acceptable ({'; '.join(reasons)})."
    acceptable = [arm.name for arm in evidence.arms if not against[arm.name]]
    if choice.outcome == "choose":
        unshown = not_shown_better(evidence, choice, margin=asked.section.margin, against=against)
        why = f", because {_listed(unshown)} {_was(unshown)} not shown better" if unshown else ""
        start = f"Choose {choice.arm}{why}: {asked.title} {text(means[choice.arm])}"
        others = [name for name in acceptable if name != choice.arm]
        if not others:
            return f"{start}; it is the only acceptable arm."
        rival = max(others, key=lambda name: means[name].mean)
        gap = text(evidence.difference(choice.arm, rival))
        best = ", the best of the others" if len(others) > 1 else ""
        return f"{start} against {text(means[rival])} for {rival}{best} (difference {gap}, {asked.kind})."
    gaps = [f"{a} - {b} {text(evidence.difference(a, b))}" for a, b in choice.open[:3]]
    rest = f" and {len(choice.open) - 3} more" if len(choice.open) > 3 else ""
    settle = (
        f"About {counted(more, 'more test question is', 'more test questions are')} expected to settle it."
        if more is not None
        else "How many more test questions would settle it cannot be estimated."
    )
    return (
        f"Undecided: {choice.leader} has {asked.title} {text(means[choice.leader])}, but the "
        f"{'differences' if len(choice.open) > 1 else 'difference'} {' and '.join(gaps)}{rest} "
        f"({asked.kind}) may be chance. {settle}"
    )


# ---------------------------------------------------------------- the reasons


def because(
    evidence: Evidence,
    choice: Choice,
    *,
    section: StudySection,
    against: Mapping[str, Sequence[str]],
    facts: VerdictFacts,
) -> list[str]:
    """The reasons, built from the numbers; for an arm that was not given its chance, what to do."""
    out = [f"{shortfall(name, facts.effort[name])}. {cure(name, facts.effort[name])}" for name in choice.waiting]
    out += [f"{name} is not acceptable: {'; '.join(found)}." for name, found in against.items() if found]
    if choice.outcome == "none acceptable":
        return out
    if evidence.cells:
        out += _because_effects(evidence, choice, section)
    arm = choice.arm or choice.leader
    for other in evidence.arms:
        name = other.name
        if not arm or name == arm or against[name]:
            continue
        if {arm, name} & set(choice.waiting):
            late = name if name in choice.waiting else arm
            gap = text(evidence.difference(arm, name))
            out.append(f"{arm} - {name} {gap} so far; this says nothing about {late} fully trained.")
            continue
        out.append(_because_pair(evidence, arm, name, section, choice))
    safe = _safe_meanwhile(evidence, choice, [one.name for one in evidence.arms if not against[one.name]])
    if safe:
        out.append(f"Meanwhile {safe} is safe: it is shown better than every simpler arm, and worse than none.")
    if choice.route == "only":
        out.append(f"{arm} is the only acceptable arm.")
    return out


def _safe_meanwhile(evidence: Evidence, choice: Choice, order: Sequence[str]) -> str:
    """When undecided: the most complex arm shown better than every simpler one and worse than none, if any."""
    if choice.outcome != "undecided" or choice.waiting:
        return ""
    for place in range(len(order) - 1, 0, -1):
        gaps = [evidence.difference(order[place], other) for other in order if other != order[place]]
        if all(gap.low > 0 for gap in gaps[:place]) and all(gap.high >= 0 for gap in gaps):
            return order[place]
    return ""


def _because_effects(evidence: Evidence, choice: Choice, section: StudySection) -> list[str]:
    interaction = text(evidence.intervals["interaction"])
    limit = f"±{plain_number(section.interaction_margin)}"
    late = f" (with {_listed(choice.waiting)} as trained so far)" if choice.waiting else ""
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
            what = f"gains no more than the margin of {plain_number(section.margin)}"
        else:
            what = "is not shown to help"
        out.append(f"{name.capitalize()} {what}: {text(effect)} on average over the table{late}.")
    return out


def _because_pair(evidence: Evidence, arm: str, other: str, section: StudySection, choice: Choice) -> str:
    mine = evidence.difference(arm, other)
    gap = f"{arm} - {other} {text(mine)}"
    if is_tie(mine):
        return f"{gap}: they score alike on all {counted(mine.n, 'question')}; the simpler arm is preferred."
    if mine.low > 0:
        return f"{gap}: {arm} is shown better."
    if mine.high < 0:
        return f"{gap}: {arm} is shown worse."
    if (arm, other) in choice.open:
        return f"{gap}: not settled."
    theirs = evidence.difference(other, arm)
    if theirs.high <= section.margin:
        least = plain_number(section.margin)
        return f"{gap}: {other} is shown to gain at most {least}, which does not matter here."
    if choice.route == "main effects":
        return f"{gap}: no difference is shown in this pair alone; the effects over the whole table decide."
    gain = (
        f"no difference is shown, and a gain of {other} of up to {number_text(max(0.0, theirs.high))} is not excluded"
    )
    if choice.route != "pairwise":
        return f"{gap}: {gain}."
    return (
        f"{gap}: {gain}. {arm} is chosen all the same, because it is simpler and not behind, and a more complex arm "
        "has to be shown better; where such a gain would matter to you, add test questions."
    )


# ---------------------------------------------------------------- the doubts

CEILING = 0.95
"""An arm with this mean score or more leaves no room to see differences between good arms."""


def doubts(evidence: Evidence, facts: VerdictFacts, *, choice: Choice, arms: Sequence[Arm], asked: Asked) -> list[str]:
    """Every reason to hold the verdict provisional."""
    return [
        *_doubts_questions(evidence, facts, asked),
        *_doubts_answers(evidence, facts, arms, asked),
        *_doubts_training(facts, arms, choice),
        *_doubts_reserve(facts),
    ]


def _doubts_questions(evidence: Evidence, facts: VerdictFacts, asked: Asked) -> list[str]:
    out = []
    groups = min((interval.groups for interval in evidence.intervals.values()), default=0)
    n = min((value.n for value in evidence.estimates.values()), default=0)
    if evidence.intervals and groups < FEW_GROUPS:
        out.append(f"few independent groups: {groups} ({FEW_GROUPS} or more are wanted)")
    if n < 50:
        out.append(f"few questions: {n} were scored in the arm with the fewest (50 or more are wanted)")
    if facts.synthetic_share > 0.5:
        out.append(f"{100 * facts.synthetic_share:.0f} % of the test questions are synthetic, which favours retrieval")
    if facts.unanswerable == 0:
        out.append(
            "no unanswerable question is in the test set: whether an arm declines what nobody can know was not measured"
        )
    right = evidence.right.values()
    if right and not any(one.count for one in right) and not all(one.none for one in right):
        out.append(f"no arm got a single question half right ({asked.title} {number_text(RIGHT, 1)} or more)")
    if facts.looks > 1:
        out.append(
            f"these questions were looked at {facts.looks} times, now included: look {facts.looks} decides at "
            f"{100 * facts.level:g} %, which pays for the earlier ones; settings chosen after reading the answers need "
            "fresh questions"
        )
    return out


def _doubts_answers(evidence: Evidence, facts: VerdictFacts, arms: Sequence[Arm], asked: Asked) -> list[str]:
    out = [
        f"{name} scores {text(value)}: near the ceiling differences between good arms cannot be seen"
        for name, value in evidence.estimates.items()
        if value.mean >= CEILING
    ]
    shares = {arm.name: facts.failed_share.get(arm.name, 0.0) for arm in arms}
    out += [
        f"{100 * share:.0f} % of {name}'s answers failed and are in no mean"
        for name, share in shares.items()
        if share > 0.05
    ]
    if max(shares.values()) - min(shares.values()) > 0.05:
        out.append("arms failed unequally often: the questions compared are those that all arms of a pair answered")
    cut = {arm.name: facts.cut_share.get(arm.name, 0.0) for arm in arms}
    out += [
        f"{100 * share:.0f} % of {name}'s answers were cut at the token limit: raise [generation].max_tokens"
        for name, share in cut.items()
        if share > 0.05
    ]
    if asked.section.max_latency_p95:
        unknown = [arm.name for arm in arms if arm.name not in facts.latency_p95]
        if unknown:
            out.append(f"latency is a constraint but was not measured for {', '.join(unknown)}")
        least = least_for_upper_end(0.95, level=asked.section.level)
        few = min(facts.latency_answers.values(), default=least)
        if few < least:
            out.append(
                f"latency is a constraint, but p95 stands on {counted(few, 'answer')} of an arm: with fewer than "
                f"{least} it has no upper bound (raise [study].latency_sample)"
            )
    return out


def _doubts_training(facts: VerdictFacts, arms: Sequence[Arm], choice: Choice) -> list[str]:
    tuned = [arm.name for arm in arms if arm.tuning]
    out = [f"the forgetting gate of {name} is open: {why}" for name, why in facts.forgetting_open.items()]
    for name in tuned:
        effort = facts.effort.get(name)
        if effort is None:
            out.append(f"how far {name} was trained is unknown")
        elif unfinished(effort) and name not in choice.waiting:
            out.append(f"{shortfall(name, effort)}: trained further it may score otherwise")
        elif effort.get("rising") and not unfinished(effort):
            out.append(f"{name}'s dev score still rose at the end of training: more epochs may help")
    if tuned:
        these = "this adapter" if len(tuned) == 1 else "these adapters"
        out.append(
            f"one training run of {_listed(tuned)}: the scores are of {these}, and another seed may give other weights"
        )
    if tuned and not facts.confirms and not any(arm.shots for arm in arms):
        out.append("no few-shot prompt arm was measured: tuning's gain may be overstated")
    trials = [facts.dev_trials.get(arm.name, 0) for arm in arms]
    if max(trials) > min(trials):
        numbers = ", ".join(f"{arm.name} {number}" for arm, number in zip(arms, trials, strict=True))
        out.append(f"unequal effort: the numbers of variants tried on the dev set were {numbers}")
    if tuned and facts.dev_examples < 30:
        examples = counted(facts.dev_examples, "example")
        out.append(f"few dev examples: checkpoints were chosen on {examples} (30 or more are wanted)")
    return out


def _doubts_reserve(facts: VerdictFacts) -> list[str]:
    if facts.reserve_opened:
        return [f"not confirmed: study {facts.reserve_opened} opened the reserve, and it confirms once"]
    if facts.reserve_seen:
        share = f"{facts.reserve_seen} of {counted(facts.reserve, 'reserve question')}"
        return [f"the reserve is not sealed: {share} were test questions of an earlier study"]
    if facts.final:
        return []
    if facts.reserve:
        return ["not yet confirmed on the sealed reserve split (twofold study --final)"]
    return ["no reserve split was set aside, so the verdict cannot be confirmed on unseen questions"]
