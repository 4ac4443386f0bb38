"""The verdict in words: its sentence, its reasons, its doubts. Every number with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twofold.settings.sections import StudySection
from twofold.stats.intervals import Interval
from twofold.types import Arm, Estimate
from twofold.verdict import doubting, repeats
from twofold.verdict.effort import cure, shortfall, unfinished
from twofold.verdict.evidence import GIANT, Choice, Evidence, VerdictFacts, is_small
from twofold.verdict.power import Further, Needed
from twofold.verdict.record import counted, estimate_text, number_text, plain_number

TITLES = {
    "answer_f1": "answer F1",
    "token_f1": "token F1",
    "exact_match": "exact match",
    "squad_exact": "SQuAD exact match",
    "squad_f1": "SQuAD F1",
    "rouge_l": "ROUGE-L",
    "macro_f1": "macro-F1",
    "field_f1": "field F1",
    "json_valid": "valid JSON",
    "section_f1": "section F1",
    "abstention_f1": "abstention F1",
    "list_f1": "list F1",
    "sql_execution": "SQL execution",
    "python_tests": "Python tests",
    "hallucination": "hallucination (0 is best)",
}
"""Names of metrics in sentences; other metrics go by their name with spaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """The criteria by which a study decides."""

    metric: str
    """Name of the deciding metric."""
    section: StudySection
    """Margins, level and constraints."""

    @property
    def title(self) -> str:
        """The metric's name in sentences."""
        return metric_title(self.metric)


def metric_title(metric: str) -> str:
    """A metric's name in sentences."""
    return TITLES.get(metric, metric.replace("_", " "))


def coverage(evidence: Evidence) -> str:
    """Coverage of the intervals that decide: ``95 %``."""
    return percent(evidence.level)


def percent(level: float) -> str:
    """A level as it is told everywhere: ``97 %``, ``99.938 %``."""
    return f"{100 * level:g} %"


def text(value: Estimate | Interval) -> str:
    """``.412 [.351, .470]``."""
    record: Any = {key: getattr(value, key) for key in ("mean", "low", "high")}
    return estimate_text(record)


def scored(value: Estimate) -> str:
    """An arm's score; where answers failed, also the score that counts these as wrong, from which the rule decides."""
    if not value.failed:
        return text(value)
    done = f"of the {counted(value.n, 'question')} it answered"
    counted_in = number_text(value.mean * value.n / (value.n + value.failed))
    return f"{text(value)} {done} ({counted_in} with {value.failed} failed as wrong)"


# ---------------------------------------------------------------- the first line: counts of right answers


def headline(evidence: Evidence, choice: Choice, *, terms: Criteria, against: Mapping[str, Sequence[str]]) -> str:
    """The verdict in plain words, with counts of right answers instead of scores.

    "Right" means `Right.least` or more in the deciding metric: exactly right where the metric is 0 or 1, at least
    half right where it is graded, and the line says which. Of a metric by which no score is right the line has the
    scores, and says that nothing tells whether they are good enough, unless [study].min_score does.
    """
    if not evidence.arms:
        return "No arm has a scored answer."
    first = _headline(evidence, choice, terms, against)
    if all(one.least is not None for one in evidence.right.values()) or terms.section.min_score:
        return first
    return (
        f"{first} {terms.title} does not tell whether answers are good enough: set [study].min_score, or decide by "
        "a metric that does, such as an LLM judge, which would be a metric plugin of your own."
    )


def _headline(evidence: Evidence, choice: Choice, terms: Criteria, against: Mapping[str, Sequence[str]]) -> str:
    right = evidence.right
    scores = {name: value.mean for name, value in evidence.whole.items()}
    # Where no score counts as right, all counts are the same for this purpose, and scores order the arms.
    best = sorted(right, key=lambda name: (-right[name].count if right[name].least is not None else 0, -scores[name]))
    if all(one.none for one in right.values()):
        so_far = "so far " if choice.waiting else ""
        most = counted(max(one.of for one in right.values()), "question")
        if right[best[0]].least is None:
            return f"Every arm {so_far}scores 0 on every question ({most})."
        return f"No arm {so_far}answered a single question right ({most})."
    if choice.outcome == "none acceptable":
        why = "None of the arms is acceptable."
        if choice.leader:
            why = f"No arm is acceptable: the rule would choose {choice.leader}, which {right[choice.leader].nothing}."
        elif choice.route == "nobody right":
            why = "No acceptable arm answered a single question right."
            if right[best[0]].least is None:
                why = "Every acceptable arm scores 0 on every question."
        return f"{why} {_counts(best[0], evidence, terms)}{_runner_up(best, evidence)}."
    free = [name for name in best if not against[name]]
    # An arm that waits and never answered has no count: then those of the arms that are out are told.
    running = [name for name in best if not against[name] or name in choice.waiting] or best
    if choice.outcome == "choose":
        others = [name for name in free if name != choice.arm]
        mine = _counts(choice.arm, evidence, terms)
        if not others:
            if len(best) == 1:
                other = "no other arm was measured" if len(against) == 1 else "no other arm has a scored answer"
                return f"{mine}; {other}."
            rival = next(name for name in best if name != choice.arm)
            return f"{mine}; no other arm is acceptable ({rival}: {_of(rival, choice.arm, evidence)})."
        rival = others[0]
        rest = f"the best of the others ({rival})" if len(others) > 1 else rival
        by_score = _best_score(evidence, others, beside=choice.arm)
        more = f", the best by its score ({by_score}) {right[by_score].count}" if by_score != rival else ""
        return f"{mine}; {rest} {_of(rival, choice.arm, evidence)}{more}."
    if choice.unshown:
        start = (
            f"Whether {_listed(choice.unshown)} {'is' if len(choice.unshown) == 1 else 'are'} acceptable is not shown."
        )
        return f"{start} {_counts(running[0], evidence, terms)}{_runner_up(running, evidence)}."
    if choice.waiting:
        start = (
            f"{_listed(choice.waiting)} {'has' if len(choice.waiting) == 1 else 'have'} not been given a fair chance."
        )
        return f"{start} So far {_counts(running[0], evidence, terms)}{_runner_up(running, evidence)}."
    if choice.keep:
        rivals = [name for name in best if name in dict(choice.open)]
        gain = max(evidence.difference(name, choice.keep).high for name in rivals)
        mine = f"{_counts(choice.keep, evidence, terms)}; {rivals[0]} {_of(rivals[0], choice.keep, evidence)}"
        simpler = _simpler(evidence, choice.keep, against)
        if simpler:
            return f"At least {choice.keep}: {mine}. Whether {_gain(rivals, choice.keep, gain)} is open."
        if _blank(evidence, choice):
            return f"No arm can be recommended. {mine}; no arm was shown better than {choice.keep}."
        return f"No arm was shown better; keep {choice.keep}. {mine}."
    return f"Too close to call: {_counts(running[0], evidence, terms)}{_runner_up(running, evidence)}."


VAGUE = 0.5
"""Where keeping an arm may lose this much or more, nothing is shown, and the arm is not advised."""


def _blank(evidence: Evidence, choice: Choice) -> bool:
    """Is the arm to stay with no advice? None of its answers is right, or the intervals exclude next to nothing."""
    most = max((evidence.difference(name, choice.keep).high for name, _ in choice.open), default=0.0)
    return evidence.right[choice.keep].none or most >= VAGUE


def _best_score(evidence: Evidence, names: Sequence[str], *, beside: str) -> str:
    """The first of the arms that come nearest to `beside` in score, on the questions that both were asked."""
    # By differences, not by means: a race asks arms different questions. Rounded, so that equal arms stay equal.
    return min(names, key=lambda name: round(evidence.difference(beside, name).mean, 12))


def _runner_up(best: Sequence[str], evidence: Evidence) -> str:
    return f"; {best[1]} {_of(best[1], best[0], evidence)}" if len(best) > 1 else ""


def _counts(name: str, evidence: Evidence, terms: Criteria) -> str:
    mine = evidence.right[name]
    if mine.least is None:
        return f"{name} scores {terms.title} {scored(evidence.estimates[name])}"
    done = f"{'on average ' if mine.runs > 1 else ''}{mine.count:,} of {counted(mine.of, 'question')}"
    if not mine.graded:
        return f"{name} answers {done} right"
    return f"{name} answers {done} at least half right ({terms.title} {plain_number(mine.least)} or more)"


def _of(name: str, beside: str, evidence: Evidence) -> str:
    """A count, with its total where that is another than the total beside it; the score where no score is right."""
    mine = evidence.right[name]
    if mine.least is None:
        return scored(evidence.estimates[name])
    count = f"{'on average ' if mine.runs > 1 else ''}{mine.count:,}"
    return count if mine.of == evidence.right[beside].of else f"{count} of {mine.of:,}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _simpler(evidence: Evidence, name: str, against: Mapping[str, Sequence[str]]) -> list[str]:
    """Acceptable arms that are simpler than this one."""
    names = [arm.name for arm in evidence.arms]
    return [other for other in names[: names.index(name)] if not against[other]]


def _gain(rivals: Sequence[str], arm: str, most: float) -> str:
    verb = "is" if len(rivals) == 1 else "are"
    return f"{_listed(rivals)} {verb} better than {arm} by up to {number_text(max(0.0, most))}"


# ---------------------------------------------------------------- the sentence: scores and intervals


def sentence(
    evidence: Evidence,
    choice: Choice,
    *,
    terms: Criteria,
    against: Mapping[str, Sequence[str]],
    facts: VerdictFacts,
    more: Further | None,
) -> str:
    """The verdict in one sentence, scores with their intervals inside."""
    means = evidence.estimates
    if choice.waiting:
        why = "; ".join(shortfall(name, facts.effort[name]) for name in choice.waiting)
        return f"Undecided: {why}."
    if choice.outcome == "none acceptable":
        reasons = [f"{name}: {', '.join(found)}" for name, found in against.items() if found]
        if choice.leader:
            score = f"{terms.title} {scored(means[choice.leader])}"
            reasons = [
                f"{choice.leader} would be chosen by its {score}, but it {evidence.right[choice.leader].nothing}",
                *reasons,
            ]
        elif choice.route == "nobody right":
            zero = [name for name in means if evidence.right[name].none and not against[name]]
            alike: dict[str, list[str]] = {}
            for name in zero:
                alike.setdefault(scored(means[name]), []).append(name)
            scores = [f"{terms.title} is {score} for {_listed(names)}" for score, names in alike.items()]
            reasons = [*scores, *reasons]
        return f"No arm is acceptable ({'; '.join(reasons)})."
    acceptable = [arm.name for arm in evidence.arms if not against[arm.name]]
    if choice.outcome == "choose":
        start = f"Choose {choice.arm}: {terms.title} {scored(means[choice.arm])}"
        others = [name for name in acceptable if name != choice.arm]
        if not others and len(against) == 1:
            return f"{start} ({coverage(evidence)}); no other arm was measured, so nothing is compared."
        if not others:
            return f"{start}; it is the only acceptable arm{_price(evidence, choice.arm)} ({coverage(evidence)} each)."
        rival = _best_score(evidence, others, beside=choice.arm)
        best = ", the best of the others" if len(others) > 1 else ""
        start = f"{start} against {scored(means[rival])} for {rival}{best}"
        shown = _shown(evidence, choice.arm, acceptable, terms.section.margin)
        return f"{start}; {shown} ({coverage(evidence)}, for this choice)."
    ahead = _open_words(evidence, choice, against)
    return f"Undecided: {ahead} {_further(more, terms.section.margin)}{_elsewhere(more, evidence)}".strip()


def _shown(evidence: Evidence, arm: str, acceptable: Sequence[str], margin: float) -> str:
    """The differences that are shown of the chosen arm, for this choice."""
    place = acceptable.index(arm)
    parts = []
    if place:
        simpler = acceptable[:place]
        nearest, gain, low = evidence.least_gain(arm, simpler)
        if len(simpler) > 1:
            least = f"the least gain {text(gain)} over {nearest}, each gain at least {number_text(low)}"
            parts.append(f"better than every simpler arm, {least}")
        else:
            parts.append(f"better than {nearest} by {text(gain)}")
    later = acceptable[place + 1 :]
    if later:
        most = max(evidence.difference(other, arm).high for other in later)
        whom = "a more complex arm" if len(later) > 1 else later[0]
        if evidence.crowned == arm and most > margin:
            parts.append(f"not behind {whom}, which may still gain up to {number_text(most)}")
        elif most < 0:
            parts.append(f"{'every more complex arm' if len(later) > 1 else later[0]} is shown worse")
        else:
            parts.append(f"{whom} gains at most {number_text(most)}")
            parts += [f"differences up to {plain_number(margin)} do not matter"] if margin else []
    return "; ".join(parts)


def _open_words(evidence: Evidence, choice: Choice, against: Mapping[str, Sequence[str]]) -> str:
    rivals = list(dict(choice.open))
    cover = coverage(evidence)
    if choice.keep:
        most = max(evidence.difference(name, choice.keep).high for name in rivals)
        simpler = _simpler(evidence, choice.keep, against)
        if simpler:
            shown = f"at least {choice.keep} (shown better than {_listed(simpler)})"
            return f"{shown}; whether {_gain(rivals, choice.keep, most)} is open ({cover})."
        if _blank(evidence, choice):
            mine = evidence.right[choice.keep]
            useless = f", which {mine.nothing}" if mine.none else ""
            may = f"{_listed(rivals)} may be better by up to {number_text(most)}"
            return f"no arm was shown better than {choice.keep}{useless}; {may} ({cover})."
        lost = f"costs at most {number_text(max(0.0, most))} ({cover})"
        return f"no arm was shown better; keep {choice.keep}, which {lost}."
    means = evidence.estimates
    gaps = [f"{a} - {b} {text(evidence.difference(a, b))}" for a, b in choice.open[:3]]
    rest = f" and {len(choice.open) - 3} more" if len(choice.open) > 3 else ""
    return (
        f"{choice.leader} scores {scored(means[choice.leader])}, but the "
        f"{'differences' if len(choice.open) > 1 else 'difference'} {' and '.join(gaps)}{rest} "
        f"({cover} each) may be chance."
    )


def _further(more: Further | None, margin: float) -> str:
    """The numbers of examples to collect, and what each would show."""
    if more is None:
        return ""
    gain, least = plain_number(more.gain), plain_number(margin)
    # No more are needed: the study was large enough to see such a gain, and saw none.
    if more.to_see is not None and not more.to_see.likely:
        see = f"A gain of {gain} would have been shown in 8 of 10 such studies"
    elif more.to_see is not None:
        see = f"To show a gain of {gain} in 8 of 10 studies, collect {_needed(more.to_see)}"
    else:
        see = f"No practical number of examples would show a gain of {gain}"
    if more.to_bound is None or not more.to_bound.likely:
        return f"{see}."
    # The other number would stand on the same few groups.
    if more.to_see is not None and more.to_see.vague:
        return f"{see}."
    return f"{see}; to show that no arm gains more than {least}, {_needed(more.to_bound)}."


def _elsewhere(more: Further | None, evidence: Evidence) -> str:
    """Where further examples have to come from, where one group holds much of the questions."""
    if more is None or evidence.largest < GIANT:
        return ""
    share = f"{100 * evidence.largest:.0f} % of the questions"
    return f" Only new groups help: one group contains {share}, and more questions of that group show hardly more."


def _needed(number: Needed) -> str:
    if number.vague:
        return "many more examples than can be told from so few"
    high = "no upper end" if number.high is None else f"{number.high:,}"
    return f"about {counted(number.likely, 'more example')} [{number.low:,}, {high}]"


def _price(evidence: Evidence, arm: str) -> str:
    """The loss or gain of the only acceptable arm against the best arm that may not be chosen."""
    others = [name for name in evidence.estimates if name != arm]
    if not others:
        return ""
    rival = _best_score(evidence, others, beside=arm)
    gap = evidence.difference(arm, rival)
    shown = "shown worse than" if gap.high < 0 else "shown better than" if gap.low > 0 else "not shown to differ from"
    return (
        f", {shown} {rival}, which may not be chosen and has {scored(evidence.estimates[rival])} "
        f"(difference {text(gap)})"
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
    arm = choice.arm or choice.keep or choice.leader
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
    if choice.route == "only":
        out.append(f"{arm} is the only acceptable arm.")
    if any(other.linear and other.name == choice.arm for other in evidence.arms):
        out.append(f"A classifier will do: {arm} needs no language model, reads and writes no tokens.")
    return out


def _because_pair(evidence: Evidence, arm: str, other: str, section: StudySection, choice: Choice) -> str:
    mine = evidence.difference(arm, other)
    gap = f"{arm} - {other} {text(mine)}"
    if mine.low > 0:
        return f"{gap}: {arm} is shown better."
    if mine.high < 0 and is_small(mine.turned(), section.margin):
        least = plain_number(section.margin)
        return f"{gap}: {arm} is shown worse, by at most the {least} that do not matter here."
    if mine.high < 0:
        return f"{gap}: {arm} is shown worse."
    alike = f"; they score alike on all {counted(mine.n, 'question')}" if mine.degenerate else ""
    unclear = (arm, other) in choice.open or (other, arm) in choice.open
    if not unclear and is_small(evidence.difference(other, arm), section.margin):
        least = plain_number(section.margin)
        return f"{gap}: {other} is shown to gain at most {least}, which does not matter here{alike}."
    return f"{gap}: not settled{alike}."


# ---------------------------------------------------------------- the doubts

CEILING = 0.95
"""An arm with this mean score or more leaves no room to see differences between good arms."""


def doubts(
    evidence: Evidence, facts: VerdictFacts, *, choice: Choice, arms: Sequence[Arm], terms: Criteria
) -> list[str]:
    """Every reason to hold the verdict provisional."""
    return [
        *_doubts_questions(evidence, facts),
        *_doubts_answers(evidence, facts, arms, terms, choice=choice),
        *_doubts_training(facts, arms, choice),
        *_doubts_reserve(facts),
    ]


def _doubts_questions(evidence: Evidence, facts: VerdictFacts) -> list[str]:
    out = []
    # What a race has shown by bets holds for any number of groups: there is no critical value.
    tested = [interval for interval in evidence.alone.values() if math.isfinite(interval.critical)]
    fewest = min(tested, key=lambda interval: interval.worth, default=None)
    # An arm that a race has left behind was asked few questions on purpose.
    numbers = [value.n for name, value in evidence.estimates.items() if facts.race is None or facts.race.whole(name)]
    n = min(numbers, default=0)
    if fewest is not None:
        out += doubting.few_groups(fewest.groups, fewest.worth, evidence.largest)
    if n < 50:
        out.append(f"few questions: {n} were scored in the arm with the fewest (50 or more are wanted)")
    out += doubting.synthetic(facts.synthetic, facts.questions)
    out += doubting.nothing_unanswerable(facts.unanswerable)
    if facts.looks > 1:
        out.append(
            f"these questions were looked at {facts.looks} times, this study included: look {facts.looks} decides at "
            f"{percent(facts.level)}, which pays for the earlier ones; settings chosen after reading the answers need "
            "fresh questions"
        )
    return out


NOTABLE = 0.05
"""Share of failed or cut answers above which they are a doubt."""
CROWDED = 0.2
"""Share of the processor taken by other programs from which seconds are a doubt where they have a limit: a model that
uses every core is then slowed down by about a quarter."""
USEFUL = 0.05
"""An arm that answers a smaller share of the questions right is of little use, however it compares."""


def _of_little_use(evidence: Evidence, choice: Choice) -> list[str]:
    mine = evidence.right.get(choice.arm or choice.keep)
    if mine is None or mine.least is None or mine.none or mine.count >= USEFUL * mine.of:
        return []
    name = choice.arm or choice.keep
    done = f"{mine.count} of {counted(mine.of, 'question')}"
    return [f"{name} answers {done} right: of little use, however it compares with the other arms"]


_CUT = {
    "cut": ": raise [generation].max_tokens",
    "repetition": ", most of them in repetition of themselves, which no limit mends: use a larger model, or tune",
    "rambling": ", most of them far longer than the references and not in the wanted form: say the form in [prompt], "
    "show examples, or tune",
}
"""`cut_short.cut_kind` → what is said of an arm most of whose cut answers are of it."""


def _doubts_answers(
    evidence: Evidence, facts: VerdictFacts, arms: Sequence[Arm], terms: Criteria, *, choice: Choice
) -> list[str]:
    out = []
    for name, value in evidence.estimates.items():
        if value.mean >= CEILING:
            ceiling = "near the ceiling differences between good arms cannot be seen"
            out.append(f"{name} scores {scored(value)}: {ceiling}")
    if facts.recall is not None and facts.recall.mean >= CEILING:
        out.append(
            f"a passage of a right document is shown for nearly every question (recall {scored(facts.recall)}): what "
            "better retrieval gains cannot be seen"
        )
    out += _of_little_use(evidence, choice)
    for arm in arms:
        share = facts.failed_share.get(arm.name, 0.0)
        if share > NOTABLE:
            counts = "they count 0 in every difference and are in no mean"
            out.append(f"{100 * share:.0f} % of {arm.name}'s answers failed: {counts}")
    for arm in arms:
        share = facts.cut_share.get(arm.name, 0.0)
        if share > NOTABLE:
            kind = _CUT[facts.cut_kinds.get(arm.name, "cut")]
            out.append(f"{100 * share:.0f} % of {arm.name}'s answers were cut at the token limit{kind}")
    if terms.section.max_latency_p95:
        least = facts.latency_wanted
        few = min(facts.latency_answers.values(), default=least)
        if few < least:
            out.append(
                f"latency is a constraint, and p95 rests on {counted(few, 'answer')} of an arm: below {least} answers "
                "its upper end assumes log-normal seconds; add test questions"
            )
        busiest = max(facts.latency_others, key=lambda arm: facts.latency_others[arm], default="")
        if busiest and facts.latency_others[busiest] >= CROWDED:
            out.append(
                f"latency is a constraint, and other programs took {100 * facts.latency_others[busiest]:.0f} % of the "
                f"processor while {busiest} was timed: alone it would be faster; end them, and raise "
                "[study].latency_sample to time all arms again"
            )
    return out


def _doubts_training(facts: VerdictFacts, arms: Sequence[Arm], choice: Choice) -> list[str]:
    tuned = [arm.name for arm in arms if arm.tuning]
    out = []
    # What is said of an adapter is said once, by its first arm.
    first = {name: facts.same_weights.get(name, name) for name in (*facts.forgetting_reported, *facts.forgetting_open)}
    for arm, why in facts.forgetting_reported.items():
        if first[arm] == arm:
            out.append(f"{arm} failed the forgetting gate, which is only reported ([tuning].gate): {why}")
    out += [f"the forgetting gate of {n} is open: {why}" for n, why in facts.forgetting_open.items() if first[n] == n]
    for name in tuned:
        if name in facts.same_weights:
            continue
        beside = [arm for arm, other in facts.same_weights.items() if other == name]
        effort = facts.effort.get(name)
        if effort is None:
            out.append(f"the training effort of {name} is unknown")
        elif unfinished(effort) and name not in choice.waiting:
            out.append(f"{shortfall(name, effort)}: with more training its score may differ")
        elif effort.get("rising") and not unfinished(effort):
            whose = f"{name}'s dev score" + (f" ({', '.join(beside)}: the same adapter)" if beside else "")
            out.append(f"{whose} still rose at the end of training: more epochs may help")
    out += repeats.doubts(tuned, facts.runs)
    # A study that confirms measures two arms only, whatever the first study compared.
    if not facts.confirms:
        out += doubting.no_prompt_arm(arms)
        out += doubting.no_schema_arm(facts.unheld, arms)
        out += doubting.unseen_labels(facts.labels, arms)
    if tuned and facts.dev_examples < 30:
        examples = counted(facts.dev_examples, "example")
        out.append(f"few dev examples: checkpoints were chosen on {examples} (30 or more are wanted)")
    return out


def _doubts_reserve(facts: VerdictFacts) -> list[str]:
    if facts.reserve_opened:
        return [f"not confirmed: study {facts.reserve_opened} opened the reserve, and a reserve confirms once"]
    if facts.reserve_seen:
        share = f"{facts.reserve_seen} of {counted(facts.reserve, 'reserve question')}"
        return [f"the reserve is not sealed: earlier studies used {share}"]
    if facts.final:
        return []
    if facts.reserve:
        return ["not yet confirmed on the sealed reserve split (twofold study --final)"]
    return ["no reserve split was set aside, so the verdict cannot be confirmed on unseen questions"]
