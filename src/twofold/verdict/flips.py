"""Conditions that would change the verdict: the same numbers, decided again under other constraints. Pure.

Nothing here guesses: each flip is a run of the rule, and is listed only when its outcome differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

from twofold.settings.sections import StudySection
from twofold.stats.intervals import Interval
from twofold.types import Arm, Estimate, Outcome
from twofold.verdict.evidence import Evidence, VerdictFacts
from twofold.verdict.outcome import Flip
from twofold.verdict.record import counted, number_text, plain_number

OutcomeIf = Callable[[StudySection, frozenset[str]], tuple[Outcome, str]]
"""The rule's outcome and arm under another section, without some arms."""
NONE: frozenset[str] = frozenset()
COSTS = "if a thousand answers may cost at most"
"""The beginning of every condition that names a cost: whoever must not see prices must not see these."""
SECONDS = "if p95 latency may be at most"
"""The beginning of every condition that names measured seconds."""
TRAINING = "changed more often than every"
"""Stands in every condition that names the time of a training."""


def flips(
    outcome_if: OutcomeIf,
    evidence: Evidence,
    *,
    arms: Sequence[Arm],
    section: StudySection,
    facts: VerdictFacts,
) -> list[Flip]:
    """All conditions that change outcome or arm, each with what the verdict would be.

    Along a scale (latency, margin, least score, cost) a flip is listed at every value where the outcome changes once
    more, in the order in which the condition tightens.
    """
    now = outcome_if(section, NONE)
    changes: list[Flip] = []
    scales = (
        _latency(section, facts),
        _margin(section, evidence.alone),
        _least_score(section, evidence.whole),
        _cost(section, facts),
    )
    # Along a scale each value is compared with the one before: the same new outcome is listed where it begins only.
    for scale in scales:
        before = now
        for condition, changed, without in scale:
            then = outcome_if(changed, without)
            if then != before:
                if then != now:
                    changes.append(Flip(condition=condition, outcome=then[0], arm=then[1]))
                before = then
    for condition, changed, without in _switches(arms, section, facts):
        then = outcome_if(changed, without)
        if then != now:
            changes.append(Flip(condition=condition, outcome=then[0], arm=then[1]))
    return changes


Case = tuple[str, StudySection, frozenset[str]]


def _with(section: StudySection, **changes: object) -> StudySection:
    return section.model_copy(update=changes)


def _latency(section: StudySection, facts: VerdictFacts) -> Iterator[Case]:
    known = [facts.seconds(arm) for arm in facts.latency_p95]
    # An upper end that too few answers left open is no limit that anyone can set.
    ends = {end for end in chain.from_iterable(filter(None, known)) if math.isfinite(end)}
    # Only at an arm's own ends can the outcome change.
    limits = {_just_under(end) for end in ends if end > 0}
    for limit in sorted(limits, reverse=True):
        # A looser limit than the one in force is tried by `_switches`, once and wholly.
        if not section.max_latency_p95 or limit < section.max_latency_p95:
            yield f"{SECONDS} {plain_number(limit)} s", _with(section, max_latency_p95=limit), NONE


def _just_under(end: float) -> float:
    """The largest number of three significant digits below `end`: the limit that is told is the limit that was run."""
    unit = 10.0 ** (math.floor(math.log10(end)) - 2)
    return float(f"{(math.ceil(end / unit - 1e-9) - 1) * unit:.3g}")


def _margin(section: StudySection, intervals: Mapping[str, Interval]) -> Iterator[Case]:
    # A gain is small from its upper end on: rounded up to the digits that are told, so that it is small there too.
    ends = {math.ceil(max(abs(one.low), abs(one.high)) * 1000) / 1000 for one in intervals.values()}
    ends |= {math.ceil(one.high * 1000) / 1000 for one in intervals.values()}
    for margin in sorted(end for end in ends if section.margin < end <= 0.3):
        yield f"if differences up to {number_text(margin)} did not matter", _with(section, margin=margin), NONE


def _least_score(section: StudySection, whole: Mapping[str, Estimate]) -> Iterator[Case]:
    ends = {value.low for value in whole.values()} | {value.high for value in whole.values()}
    for end in sorted(ends):
        # The next thousandth above the end: from there on the arm is no longer shown to reach it.
        least = math.floor(end * 1000 + 1) / 1000
        if section.min_score < least <= 1:
            yield f"if a score of at least {number_text(least)} were required", _with(section, min_score=least), NONE


def _cost(section: StudySection, facts: VerdictFacts) -> Iterator[Case]:
    # An arm is out from just under its lower end on: there it is shown to cost more than the limit.
    limits = {_just_under(low) for low, _ in facts.cost_per_1000.values() if low > 0}
    for limit in sorted(limits, reverse=True):
        dear = frozenset(arm for arm, (low, _) in facts.cost_per_1000.items() if low > limit)
        yield f"{COSTS} {limit:,.10g} {facts.cost_terms}", section, dear


def _switches(arms: Sequence[Arm], section: StudySection, facts: VerdictFacts) -> Iterator[Case]:
    if section.max_latency_p95:
        yield "if latency did not matter", _with(section, max_latency_p95=0.0), NONE
    if section.margin:
        yield "if every difference mattered (margin 0)", _with(section, margin=0.0), NONE
    if section.min_score:
        yield "if no minimum score were required", _with(section, min_score=0.0), NONE
    cite = "need not name their source" if section.must_cite else "had to name their source"
    # Without documents no answer could ever name one: a demand that nobody would make.
    if facts.documents or section.must_cite:
        yield f"if answers {cite}", _with(section, must_cite=not section.must_cite), NONE
    allowed = "did not have to hold" if section.permissions else "had to hold"
    yield f"if per-document permissions {allowed}", _with(section, permissions=not section.permissions), NONE
    if facts.remote:
        yield "if the system had to run offline", section, facts.remote
    # Weights that read passages follow the index; only what was learned by heart goes stale.
    stale = {arm.name: facts.training_minutes.get(arm.name, 0.0) for arm in arms if arm.tuning == "closed-book"}
    minutes = max(stale.values(), default=0.0)
    if minutes > 0:
        often = counted(round(minutes), "minute") if minutes >= 1 else counted(round(60 * minutes), "second")
        # Without documents there are still categories, forms and facts that examples taught.
        what = "documents" if any(arm.retrieval for arm in arms) else "what examples teach"
        condition = f"if {what} {TRAINING} {often} (one training of a closed-book adapter)"
        yield condition, section, frozenset(stale)
