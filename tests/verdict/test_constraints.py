"""Constraints carry their burden, failures count, and a choice says what it costs: made scores with a known truth."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from test_decide import ARMS, CITES, FACTS, run, scores, verdict

from twofold.settings.sections import StudySection
from twofold.types import Estimate
from twofold.verdict.rule import VerdictFacts, constraint_objections, constraint_questions, whole

BASE, _, RAG, _, BOTH = ARMS
MEANS = [0.1, 0.15, 0.3, 0.25, 0.7]


def cites(low: float, high: float) -> Estimate:
    return Estimate(mean=(low + high) / 2, low=low, high=high, n=30)


# ---------------------------------------------------------------- failures


def test_an_arm_that_fails_on_what_it_cannot_do_gains_nothing_by_it():
    """Questions of two kinds: base gets some of both, rag is better on the easy ones and silent on the hard ones."""
    rng = np.random.default_rng(4)
    hard = np.arange(240) % 2 == 0
    base = (rng.random(240) < np.where(hard, 0.35, 0.45)).astype(float)
    rag = np.where(hard, np.nan, (rng.random(240) < 0.75).astype(float))
    facts = VerdictFacts(failed_share={"rag": 0.5}, final=True)
    values = np.stack([base, rag], axis=1)
    found = verdict(values=values, arms=(BASE, RAG), facts=facts)
    assert (found.outcome, found.arm) == ("choose", "base")
    because = "rag is not acceptable: 120 of 240 (50 %) of its answers failed, and [study].max_failed allows 5 %."
    assert because in found.because
    allowed = verdict(values=values, arms=(BASE, RAG), facts=facts, max_failed=1)
    assert allowed.arm != "rag"
    assert allowed.sentence.endswith(
        "Counting failed answers as wrong, the verdict is undecided; leaving them out, choose rag."
    ), allowed.sentence


def test_a_choice_that_failures_do_not_touch_says_nothing_of_them():
    values = scores(MEANS)
    values[:6, 4] = np.nan
    found = verdict(values=values, facts=replace(FACTS, failed_share={"ft+rag": 0.02}))
    assert found.arm == "ft+rag"
    assert "Counting failed" not in found.sentence


@pytest.mark.parametrize(("failed", "arm"), [(15, "ft+rag"), (18, "rag")])
def test_the_share_of_failures_allowed_is_five_in_a_hundred_unless_set(failed, arm):
    values = scores(MEANS)
    values[:failed, 4] = np.nan
    facts = replace(FACTS, failed_share={"ft+rag": failed / 300})
    assert verdict(values=values, facts=facts).arm == arm
    assert verdict(values=values, facts=facts, max_failed=0.1).arm == "ft+rag"


# ---------------------------------------------------------------- citations


def test_an_arm_that_is_not_shown_to_cite_keeps_the_verdict_open():
    facts = replace(FACTS, citing={"rag": CITES, "ft+rag": cites(0.28, 1.0)})
    found = verdict(MEANS, facts=facts, must_cite=True)
    assert (found.outcome, found.arm, found.more_examples) == ("undecided", "", None)
    assert "ft+rag: the share of its answers that cite a right document is .640 [.280, 1.000], not" in found.sentence
    assert found.headline.startswith("Whether ft+rag is acceptable is not shown.")


def test_an_arm_in_question_that_changes_nothing_does_not_hold_the_verdict_up():
    facts = replace(FACTS, citing={"rag": cites(0.2, 0.8), "ft+rag": CITES})
    found = verdict(MEANS, facts=facts, must_cite=True)
    assert (found.outcome, found.arm) == ("choose", "ft+rag")
    assert any(reason.startswith("rag is in question: the share of its answers") for reason in found.because)


def test_an_arm_shown_not_to_cite_is_not_acceptable_and_the_share_can_be_set():
    facts = replace(FACTS, citing={"rag": CITES, "ft+rag": cites(0.1, 0.4)})
    found = verdict(MEANS, facts=facts, must_cite=True)
    assert found.arm == "rag"
    assert "fewer than the .5 required" in " ".join(found.because)
    assert verdict(MEANS, facts=replace(facts, citing={"rag": CITES, "ft+rag": CITES}), must_cite=True).arm == "ft+rag"
    strict = replace(FACTS, citing=dict.fromkeys(("rag", "ft+rag"), CITES))
    assert verdict(MEANS, facts=strict, must_cite=True, min_cited=0.9).outcome == "undecided"


def test_a_prompt_that_asks_for_no_citation_meets_no_demand_for_one():
    facts = replace(FACTS, uncited="the prompt asks for no citation", citing={})
    found = verdict(MEANS, facts=facts, must_cite=True)
    assert found.outcome == "none acceptable"
    assert "rag: answers must name their source, and the prompt asks for no citation" in found.sentence


# ---------------------------------------------------------------- the least score


def test_the_least_score_must_be_shown_and_not_only_not_excluded():
    rng = np.random.default_rng(7)
    values = np.clip(rng.normal([0.1, 0.5], 0.35, (30, 2)), 0, 1)
    found, _, _, estimates = run(values=values, arms=(BASE, BOTH), facts=FACTS, min_score=0.55)
    assert estimates["ft+rag"].low < 0.55 < estimates["ft+rag"].high
    assert (found.outcome, found.arm) == ("undecided", "")
    assert "is not shown to reach the least score allowed, .55" in found.sentence
    shown = estimates["ft+rag"].low - 0.01
    assert verdict(values=values, arms=(BASE, BOTH), facts=FACTS, min_score=shown).arm == "ft+rag"
    beyond = estimates["ft+rag"].high + 0.01
    assert verdict(values=values, arms=(BASE, BOTH), facts=FACTS, min_score=beyond).outcome == "none acceptable"


def test_the_least_score_flips_at_both_ends_of_an_interval():
    values = scores(MEANS, n=120)
    _, _, _, estimates = run(values=values)
    flips = [flip for flip in verdict(values=values).flips if flip.condition.startswith("if a score of at least")]
    required = [float(flip.condition.split()[6]) for flip in flips]
    best = estimates["ft+rag"]
    assert [flip.outcome for flip in flips] == ["undecided", "none acceptable"]
    assert required == pytest.approx([best.low, best.high], abs=0.002)


# ---------------------------------------------------------------- latency


def timed(**ends: tuple[float, float]) -> VerdictFacts:
    named = {name.replace("both", "ft+rag"): pair for name, pair in ends.items()}
    return replace(FACTS, latency_ends=named)


def test_a_latency_limit_within_the_interval_is_open():
    facts = timed(both=(0.55, 1.4))
    found = verdict(MEANS, facts=facts, max_latency_p95=1.0)
    assert (found.outcome, found.arm) == ("undecided", "")
    assert "ft+rag: p95 latency .70 [.55, 1.40] s is not shown to keep to the limit of 1.00 s" in found.sentence
    assert verdict(MEANS, facts=facts, max_latency_p95=1.5).arm == "ft+rag"
    found = verdict(MEANS, facts=facts, max_latency_p95=0.5)
    assert "p95 latency .70 [.55, 1.40] s is above the limit of .50 s" in " ".join(found.because)


def test_seconds_of_a_busy_machine_are_a_doubt_where_they_have_a_limit():
    busy = replace(timed(both=(0.55, 1.4)), latency_others={"ft+rag": 0.45, "rag": 0.02})
    doubts = " ".join(verdict(MEANS, facts=busy, max_latency_p95=1.5).provisional)
    assert "other programs took 45 % of the processor while ft+rag was timed" in doubts
    quiet = replace(busy, latency_others={"ft+rag": 0.1})
    for facts, limit in ((busy, 0.0), (quiet, 1.5)):
        assert "processor" not in " ".join(verdict(MEANS, facts=facts, max_latency_p95=limit).provisional)


def test_latency_flips_stand_at_the_ends_of_the_interval():
    flips = {f.condition: f.outcome for f in verdict(MEANS, facts=timed(both=(0.65, 1.4))).flips}
    assert flips["if p95 latency may be at most 1.39 s"] == "undecided"
    assert flips["if p95 latency may be at most .649 s"] == "choose"


@pytest.mark.parametrize("ends", [(11.96, 12.36), (0.9996, 1.0004), (0.123456, 4321.9), (99.95, 100.0)])
def test_the_limit_that_a_latency_flip_tells_is_the_limit_that_was_run(ends):
    facts = timed(both=ends)
    told = [one for one in verdict(MEANS, facts=facts).flips if "latency may be" in one.condition]
    assert told
    for flip in told:
        found = verdict(MEANS, facts=facts, max_latency_p95=float(flip.condition.split()[-2]))
        assert (found.outcome, found.arm) == (flip.outcome, flip.arm), flip.condition


# ---------------------------------------------------------------- effort


UNEQUAL = replace(FACTS, dev_trials={"base": 0, "prompt": 0, "rag": 0, "ft": 9, "ft+rag": 9})


def told_gap(lines: tuple[str, ...]) -> list[float]:
    """The gains that more work on rag's prompt would have to bring, as the lines tell them."""
    found = [re.search(r"more work on rag's prompt gains more than (\.\d+), the lower end", line) for line in lines]
    return [float(one.group(1)) for one in found if one]


def test_unequal_effort_is_a_figure_and_no_doubt():
    found, _, comparisons, _ = run(MEANS, facts=UNEQUAL)
    gap = next(one.estimate for one in comparisons if one.name == "ft+rag - rag")
    (told,) = told_gap(found.because)
    assert gap.low - 0.001 <= told < gap.mean
    assert told_gap(found.provisional) == []
    even = verdict(MEANS, facts=FACTS)
    assert told_gap((*even.because, *even.provisional)) == []


def test_a_gap_that_a_little_work_could_close_is_a_doubt():
    means = [0.1, 0.15, 0.3, 0.25, 0.38]
    found = verdict(means, facts=UNEQUAL, margin=0.0)
    (told,) = told_gap(found.because)
    assert told_gap(found.provisional) == []
    doubtful = verdict(means, facts=UNEQUAL, margin=told + 0.002)
    assert doubtful.arm == found.arm == "ft+rag"
    assert told_gap(doubtful.provisional) == [told]
    assert told_gap(doubtful.because) == []


def test_a_more_complex_arm_with_less_work_has_what_is_left_of_the_margin():
    means = [0.1, 0.15, 0.3, 0.6, 0.6]
    found, _, comparisons, _ = run(means, facts=VerdictFacts(dev_trials={"ft": 5, "ft+rag": 1}), margin=0.2)
    gap = next(one.decides for one in comparisons if one.name == "ft+rag - ft")
    assert found.arm == "ft"
    said = re.search(
        r"work on ft\+rag's training gains more than (\.\d+), what is left of the \.2", found.provisional[-1]
    )
    assert said is not None
    assert float(said[1]) == pytest.approx(0.2 - gap.high, abs=0.001)


def test_each_constraint_has_three_states():
    given = {"facts": VerdictFacts(citing={"rag": cites(0.3, 0.7)}), "whole": {"rag": cites(0.4, 0.6)}}

    def state(**settings: object) -> tuple[int, int]:
        asked = StudySection(**settings)
        found = [judge((RAG,), asked, **given)["rag"] for judge in (constraint_objections, constraint_questions)]
        return len(found[0]), len(found[1])

    assert [state(must_cite=True, min_cited=least) for least in (0.2, 0.5, 0.8)] == [(0, 0), (0, 1), (1, 0)]
    assert [state(min_score=least) for least in (0.3, 0.5, 0.7)] == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize(("share", "fails"), [(1.0, 0.5), (0.9, 0.3), (0.95, 0.05)])
def test_the_score_that_a_least_score_is_held_against_has_the_uncertainty_of_its_failures(
    share: float, fails: float
) -> None:
    chance, held, times = np.random.default_rng(0), 0, 200
    for _ in range(times):
        column = np.where(chance.random(60) < fails, np.nan, (chance.random(60) < share).astype(float))
        found = whole({"rag": column}, np.arange(60), level=0.95)["rag"]
        assert (found.n, found.failed) == (60, int(np.isnan(column).sum()))
        held += found.low <= share * (1 - fails) <= found.high
    assert held / times >= 0.92


def test_a_limit_on_cost_flips_to_the_arm_that_keeps_to_it():
    ends = {"base": (0.1, 0.12), "prompt": (0.2, 0.22), "rag": (0.81, 0.9), "ft": (2.0, 2.2), "ft+rag": (12.34, 13.0)}
    facts = replace(FACTS, cost_per_1000=ends, cost_terms="EUR, at 1,000 answers a month")
    flips = {f.condition: (f.outcome, f.arm) for f in verdict(MEANS, facts=facts).flips if "may cost" in f.condition}
    # Just under its lower end the dear arm is out; then the next one, and so on along the scale.
    limit = "if a thousand answers may cost at most 12.3 EUR, at 1,000 answers a month"
    assert flips[limit][1] != "ft+rag"
    alone = replace(facts, cost_per_1000={**ends, "ft+rag": (0.05, 0.06)})
    told = [f.condition for f in verdict(MEANS, facts=alone).flips if "may cost" in f.condition]
    assert len(told) == 1  # the chosen arm is the cheapest: only a limit under its own cost changes anything
    assert "at most 0.0499 EUR" in told[0]
    assert not [f for f in verdict(MEANS, facts=FACTS).flips if "may cost" in f.condition]
