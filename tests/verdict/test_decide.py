"""The rule: each way to each outcome, from scores made to have a known truth."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import StudyError
from twofold.hashing import plain
from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.types import Arm, Estimate
from twofold.verdict.evidence import from_simple
from twofold.verdict.outcome import Verdict
from twofold.verdict.rule import VerdictFacts, constraint_objections, decide

ARMS = (
    Arm(name="base"),
    Arm(name="prompt", shots=4),
    Arm(name="rag", retrieval=True),
    Arm(name="ft", tuning="closed-book"),
    Arm(name="ft+rag", retrieval=True, tuning="open-book"),
)
DONE = {
    "planned": 60,
    "steps": 60,
    "epochs": 3.0,
    "stopped": "plan",
    "limit_minutes": 0.0,
    "moved": True,
    "rising": False,
    "dev_first": 0.1,
    "dev_best": 0.4,
    "chance": True,
    "minutes": 4.0,
    "minutes_needed": 4.0,
}
CUT_SHORT = DONE | {
    "planned": 6,
    "steps": 1,
    "stopped": "minutes",
    "moved": False,
    "rising": None,
    "chance": False,
    "minutes_needed": 40.2,
}
STUCK = DONE | {"planned": 6, "steps": 6, "moved": False, "chance": False}
CITES = Estimate(mean=0.9, low=0.8, high=0.95, n=100)
FACTS = VerdictFacts(
    policy="Split by document: it holds for new documents.",
    latency_p95={"base": 0.2, "prompt": 0.3, "rag": 0.6, "ft": 0.25, "ft+rag": 0.7},
    training_minutes={"ft": 4.0, "ft+rag": 9.0},
    dev_trials=dict.fromkeys(("base", "prompt", "rag", "ft", "ft+rag"), 3),
    dev_examples=40,
    final=True,
    effort={"ft": DONE, "ft+rag": DONE},
    citing={"rag": CITES, "ft+rag": CITES},
)
SEED = "one training run of ft and ft+rag: the scores are of these adapters, and another seed may give other weights"


def scores(means, n=300, seed=0, noise=0.25):
    """Columns in [0, 1] with exactly these means: evenly spread around each, in random order."""
    rng = np.random.default_rng(seed)
    even = (np.arange(n) + 0.5) / n * 2 - 1
    return np.stack([mean + min(noise * 3**0.5, mean, 1 - mean) * rng.permutation(even) for mean in means], axis=1)


def run(means=None, *, values=None, arms=ARMS, groups=None, objections=None, facts=FACTS, **section):
    matrix = scores(means) if values is None else values
    return decide(
        arms=arms,
        scores={arm.name: matrix[:, column] for column, arm in enumerate(arms)},
        groups=np.arange(len(matrix)) if groups is None else groups,
        metric="token_f1",
        section=StudySection(resamples=1000, **section),
        objections=objections or {},
        facts=facts,
    )


def verdict(*args, **kwargs) -> Verdict:
    return run(*args, **kwargs)[0]


def test_the_best_arm_wins_when_shown_better_than_every_simpler_one():
    found, effects, comparisons, estimates = run([0.1, 0.15, 0.3, 0.25, 0.7])
    assert (found.outcome, found.arm) == ("choose", "ft+rag")
    assert found.sentence.startswith("Split by document: it holds for new documents. Choose ft+rag: token F1 .700 [")
    assert re.fullmatch(
        r"ft\+rag answers \d+ of 300 questions at least half right \(token F1 \.5 or more\); "
        r"the best of the others \(rag\) \d+\.",
        found.headline,
    )
    shown = (
        r"for rag, the best of the others; better than every simpler arm, the least gain "
        r"\.400 \[\.37\d, \.42\d\] over rag, each gain at least "
    )
    assert re.search(shown + r"\.37\d \(95 %, for this choice\)\.$", found.sentence)
    assert found.provisional == (SEED,)
    assert found.more_examples is None
    assert [effect.name for effect in effects] == ["retrieval", "tuning", "interaction"]
    assert len(comparisons) == 10
    assert comparisons[0].name == "prompt - base"
    assert effects[0].estimate.mean == pytest.approx(((0.3 - 0.1) + (0.7 - 0.25)) / 2)
    assert set(estimates) == {arm.name for arm in ARMS}
    json.dumps(plain(found))


def test_ties_go_to_the_simpler_arm():
    found = verdict([0.1, 0.1, 0.5, 0.2, 0.5], margin=0.1)
    assert (found.outcome, found.arm) == ("choose", "rag")
    assert any("rag - ft+rag" in reason for reason in found.because)


def test_a_gain_shown_to_be_below_the_margin_is_no_gain():
    values = scores([0.1, 0.1, 0.5, 0.2, 0.5], noise=0.02)
    values[:, 4] += 0.012
    assert verdict(values=values, margin=0.0).arm == "ft+rag"
    assert verdict(values=values, margin=0.03).arm == "rag"


def test_when_nothing_matters_the_simplest_wins():
    found = verdict(values=scores([0.5] * 5, noise=0.02), margin=0.03)
    assert (found.outcome, found.arm) == ("choose", "base")


def test_arms_that_answer_alike_are_no_tie_before_the_interval_says_so():
    for n, outcome, arm in ((20, "undecided", ""), (80, "undecided", ""), (250, "choose", "base")):
        column = np.random.default_rng(0).integers(0, 2, (n, 1)).astype(float)
        found = verdict(values=np.repeat(column, 5, axis=1))
        assert (found.outcome, found.arm) == (outcome, arm)
        assert any(f"they score alike on all {n} questions" in reason for reason in found.because)
        if not arm:
            lost = f"{1 - 0.025 ** (1 / n):.3f}".lstrip("0")
            assert f"no arm was shown better; keep base, which costs at most {lost} (95 %)." in found.sentence
            assert found.headline.startswith("No arm was shown better; keep base. base answers ")


def test_differences_that_cancel_within_groups_are_not_called_alike():
    first = np.tile([0.0, 1.0], 30)
    found = verdict(values=np.stack([first, 1 - first], axis=1), arms=ARMS[:2], groups=np.repeat(np.arange(30), 2))
    assert found.outcome == "undecided"
    assert not any("alike" in reason for reason in found.because)


def test_no_arm_is_chosen_on_no_evidence_and_what_more_would_show_is_told():
    found = verdict(values=scores([0.3, 0.32, 0.34, 0.33, 0.36], n=60))
    assert (found.outcome, found.arm) == ("undecided", "")
    assert found.more_examples is not None
    assert found.more_examples > 60
    told = rf"To show a gain of \.04 in 8 of 10 studies, collect about {found.more_examples:,} more examples \[[\d,]+, "
    assert re.search(told, found.sentence)
    assert "; to show that no arm gains more than .02, about " in found.sentence
    assert any(reason.endswith(": not settled.") for reason in found.because)
    part = verdict(values=scores([0.3, 0.32, 0.34, 0.33, 0.36], n=60), facts=replace(FACTS, test_share=0.4))
    assert part.more_examples == pytest.approx(found.more_examples / 0.4, abs=3)
    assert verdict(values=scores([0.3, 0.32], n=60), arms=ARMS[:2], margin=0).more_examples is None


@pytest.mark.slow
def test_that_many_more_examples_do_show_such_a_gain():
    rng = np.random.default_rng(4)

    def drawn(n, gain):
        return (rng.uniform(size=(n, 3)) < [0.3, 0.3, 0.3 + gain]).astype(float)

    arms, chosen, bounded = (ARMS[0], ARMS[2], ARMS[4]), 0, 0
    first = verdict(values=drawn(150, 0.0), arms=arms, margin=0.06)
    assert first.outcome == "undecided"
    bound = int(first.sentence.split("than .06, about ")[1].split()[0].replace(",", ""))
    for _ in range(100):
        chosen += verdict(values=drawn(150 + first.more_examples, 0.12), arms=arms, margin=0.06).arm == "ft+rag"
        bounded += verdict(values=drawn(150 + bound, 0.0), arms=arms, margin=0.06).arm == "base"
    assert 0.55 <= chosen / 100 <= 0.97
    assert 0.55 <= bounded / 100 <= 0.97


def test_a_middle_arm_is_not_chosen_while_a_more_complex_one_is_open():
    for last in (0.42, 0.45, 0.48):
        found = verdict(values=scores([0.1, 0.1, 0.45, 0.2, last], n=100))
        assert (found.outcome, found.arm) == ("undecided", "")
        open_ = (
            r"at least rag \(shown better than base and prompt\); whether ft\+rag is better than rag by up to \.\d+ is "
        )
        assert re.search(open_ + "open", found.sentence)
        assert re.match(
            r"At least rag: rag answers \d+ of 100 questions .*; ft\+rag \d+\. Whether ft\+rag", found.headline
        )


def test_where_a_simpler_arm_is_open_and_the_simplest_is_beaten_nothing_is_kept():
    found = verdict(values=scores([0.1, 0.4, 0.42, 0.3], n=60), arms=ARMS[:4])
    assert found.outcome == "undecided"
    assert "at least prompt" in found.sentence
    rng = np.random.default_rng(1)
    wide = (rng.uniform(size=(60, 3)) < [0.25, 0.4, 0.55]).astype(float)
    found = verdict(values=wide, arms=ARMS[:3])
    assert found.outcome == "undecided"
    assert "rag scores " in found.sentence
    assert found.headline.startswith("Too close to call: rag answers ")


def test_effects_are_described_and_decide_nothing():
    rng = np.random.default_rng(5)
    weak, strong = rng.normal(0, 0.02, (2, 300))
    table = np.stack([weak, weak + 0.1, strong, strong + 0.1], axis=1) + 0.6
    arms = tuple(arm for arm in ARMS if not arm.shots)
    found, effects, comparisons, _ = run(values=table, arms=arms)
    assert [effect.name for effect in effects] == ["retrieval", "tuning", "interaction"]
    assert effects[0].estimate.low > 0
    assert found.arm == "rag"
    assert not any("effect" in reason or "nteraction" in reason for reason in found.because)
    assert {one.name for one in comparisons} == {f"{a.name} - {b.name}" for i, a in enumerate(arms) for b in arms[:i]}


def test_constraints_come_first():
    means = [0.1, 0.15, 0.3, 0.25, 0.7]
    assert verdict(means, permissions=True).arm == "rag"
    assert verdict(means, must_cite=True).arm == "ft+rag"
    assert verdict(means, max_latency_p95=0.65).arm == "rag"
    found = verdict(means, must_cite=True, max_latency_p95=0.5)
    assert (found.outcome, found.arm) == ("none acceptable", "")
    assert "p95 latency .70 s is above the limit of .50 s" in found.sentence
    assert verdict(means, min_score=0.9).outcome == "none acceptable"
    found = verdict(means, objections={"ft+rag": ["its adapter forgot too much"]})
    assert found.arm == "rag"
    assert "ft+rag is not acceptable: its adapter forgot too much." in found.because


def test_objections_given_twice_are_told_once():
    section = StudySection(permissions=True)
    given = constraint_objections(ARMS, section, facts=FACTS, whole={})
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], permissions=True, objections=given)
    assert sum("ft is not acceptable" in reason for reason in found.because) == 1
    assert not any("; " in reason for reason in found.because if "ft is not" in reason)
    assert any(flip.condition == "if per-document permissions did not have to hold" for flip in found.flips)


def test_the_only_acceptable_arm_is_chosen():
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], permissions=True, must_cite=True)
    assert found.arm == "rag"
    assert "the only acceptable arm, shown worse than ft+rag, which may not be chosen and has .700 [" in found.sentence
    assert "(difference -.400 [" in found.sentence


def test_nothing_is_chosen_over_an_arm_of_which_every_answer_failed():
    values = scores([0.1, 0.15, 0.3, 0.25, 0.7])
    values[:, 4] = np.nan
    found, effects, comparisons, estimates = run(values=values)
    assert (found.outcome, found.arm) == ("undecided", "")
    assert "ft+rag: every answer of it failed, so it was not measured" in found.sentence
    assert not any("ft+rag is not acceptable" in reason for reason in found.because)
    assert effects == []
    assert len(comparisons) == 6
    assert "ft+rag" not in estimates
    assert verdict(values=np.full((30, 5), np.nan)).outcome == "none acceptable"


def test_failures_are_in_no_mean_and_count_0_in_differences():
    values = scores([0.1, 0.15, 0.3, 0.25, 0.7])
    left = values[30:, 4].mean()
    values[:30, 4] = np.nan
    facts = VerdictFacts(failed_share={"ft+rag": 0.1}, final=True, dev_examples=40)
    found, _, comparisons, estimates = run(values=values, facts=facts, max_failed=0.2)
    assert estimates["ft+rag"].n == 270
    assert estimates["ft+rag"].failed == 30
    assert estimates["ft+rag"].mean == pytest.approx(left)
    gap = next(one for one in comparisons if one.name == "ft+rag - rag").estimate
    assert gap.n == 300
    assert gap.mean == pytest.approx(0.9 * left - 0.3)
    assert any("10 % of ft+rag's answers failed: they count 0" in doubt for doubt in found.provisional)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"synthetic": 6, "questions": 10}, "6 of 10 questions are synthetic"),
        ({"looks": 3, "level": 0.9967}, "looked at 3 times, this study included: look 3 decides at 99.67 %"),
        ({"dev_examples": 5}, "few dev examples"),
        ({"final": False}, "no reserve split was set aside"),
        ({"final": False, "reserve": 30}, "twofold study --final"),
        ({"final": False, "reserve": 30, "reserve_opened": "0004-shop"}, "study 0004-shop opened the reserve"),
        ({"reserve": 30, "reserve_seen": 4}, "earlier studies used 4 of 30 reserve questions"),
        ({"unanswerable": 0}, "no unanswerable question"),
        ({"recall": Estimate(mean=0.97, low=0.9, high=0.99, n=60)}, "what better retrieval gains cannot be seen"),
        ({"cut_share": {"rag": 0.06}}, "6 % of rag's answers were cut at the token limit: raise"),
        (
            {"cut_share": {"rag": 0.5}, "cut_kinds": {"rag": "repetition"}},
            "50 % of rag's answers were cut at the token limit, most of them in repetition of themselves",
        ),
        (
            {"cut_share": {"rag": 0.5}, "cut_kinds": {"rag": "rambling"}},
            "far longer than the references and not in the wanted form: say the form in [prompt]",
        ),
        ({"effort": {"ft": DONE}}, "the training effort of ft+rag is unknown"),
        ({"effort": {"ft": DONE | {"rising": True}, "ft+rag": DONE}}, "ft's dev score still rose"),
    ],
)
def test_each_reason_for_doubt_is_told(change, words):
    usual = {"dev_examples": 40, "final": True, "effort": {"ft": DONE, "ft+rag": DONE}}
    facts = VerdictFacts(**{**usual, **change})
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], facts=facts)
    assert [words in doubt for doubt in found.provisional if doubt != SEED] == [True]
    assert SEED in found.provisional
    assert found.looks == facts.looks


def test_what_is_doubtful_about_an_adapter_is_told_once():
    rising = DONE | {"rising": True}
    facts = VerdictFacts(effort={"ft": rising, "ft+rag": rising}, forgetting_reported={"ft": "x", "ft+rag": "x"})
    means = [0.1, 0.15, 0.3, 0.25, 0.7]
    apart = verdict(means, facts=facts).provisional
    shared = verdict(means, facts=replace(facts, same_weights={"ft+rag": "ft"})).provisional
    assert sum("still rose" in doubt for doubt in apart) == sum("forgetting gate" in doubt for doubt in apart) == 2
    assert sum("forgetting gate" in doubt for doubt in shared) == 1
    told = [doubt for doubt in shared if "still rose" in doubt]
    assert len(told) == 1
    assert told[0].startswith("ft's dev score (ft+rag: the same adapter) still rose")


def test_nobody_is_shown_what_sources_would_change_where_there_are_none():
    means = [0.1, 0.15, 0.7, 0.1, 0.2]
    facts = late(ft=CUT_SHORT)
    condition = "if answers had to name their source"
    assert condition in {flip.condition for flip in verdict(means, facts=facts).flips}
    without = verdict(means, facts=replace(facts, documents=False))
    assert condition not in {flip.condition for flip in without.flips}
    # Whoever demands them is still shown what the demand costs.
    demanded = verdict(means, facts=replace(facts, documents=False), must_cite=True)
    assert "if answers need not name their source" in {flip.condition for flip in demanded.flips}


def test_small_studies_and_missing_arms_are_doubted():
    arms = tuple(arm for arm in ARMS if not arm.shots)
    values = scores([0.1, 0.3, 0.25, 0.7], n=40)
    found = verdict(values=values, arms=arms, groups=np.arange(40) % 10)
    for words in ("few independent groups: 10", "few questions: 40", "no few-shot prompt arm"):
        assert any(words in doubt for doubt in found.provisional), words
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], max_latency_p95=9, facts=VerdictFacts(final=True, dev_examples=40))
    assert "rag is in question: its latency was not measured." not in found.because
    assert "rag: its latency was not measured" in found.sentence


def test_flips_are_what_the_rule_says_under_the_changed_constraint():
    means = [0.1, 0.15, 0.3, 0.25, 0.7]
    found = {flip.condition: flip for flip in verdict(means).flips}
    assert found["if p95 latency may be at most .699 s"].arm == verdict(means, max_latency_p95=0.699).arm == "rag"
    assert found["if p95 latency may be at most .599 s"].outcome == verdict(means, max_latency_p95=0.599).outcome
    assert verdict(means, max_latency_p95=0.199).outcome == "none acceptable"
    assert found["if per-document permissions had to hold"].arm == verdict(means, permissions=True).arm
    assert "if answers had to name their source" not in found, "it would change nothing"
    before = verdict(means)
    for flip in before.flips:
        assert (flip.outcome, flip.arm) != (before.outcome, before.arm)


def test_flips_of_margin_and_staleness():
    means = [0.1, 0.1, 0.1, 0.6, 0.1]
    facts = VerdictFacts(
        training_minutes={"ft": 12},
        remote=frozenset({"base", "prompt", "rag", "ft", "ft+rag"}),
    )
    found = verdict(means, facts=facts)
    assert found.arm == "ft"
    told = {flip.condition: flip for flip in found.flips}
    stale = next(flip for condition, flip in told.items() if "more often than every 12 minutes" in condition)
    assert stale.arm != "ft"
    assert stale.condition.startswith("if documents changed")
    closed = [arm for arm in ARMS if not arm.retrieval]
    unread = verdict([0.1, 0.1, 0.6], arms=closed, facts=VerdictFacts(training_minutes={"ft": 12}))
    assert any(flip.condition.startswith("if what examples teach changed") for flip in unread.flips)
    assert told["if the system had to run offline"].outcome == "none acceptable"
    flip = next(f for f in verdict([0.1, 0.1, 0.3, 0.12, 0.44]).flips if f.condition.startswith("if differences up to"))
    assert flip.arm == "rag"
    margin = float(flip.condition.split()[4])
    assert verdict([0.1, 0.1, 0.3, 0.12, 0.44], margin=margin).arm == "rag"
    assert verdict([0.1, 0.1, 0.3, 0.12, 0.44], margin=margin - 0.003).arm == "ft+rag"


def test_p_of_a_difference_agrees_with_its_interval():
    rng = np.random.default_rng(0)
    for groups in (np.arange(90), np.arange(90) // 3):
        for seed in range(12):
            values = (rng.uniform(size=(90, 5)) < [0.3, 0.35, 0.45, 0.4, 0.55]).astype(float)
            _, effects, comparisons, _ = run(values=values, groups=groups, seed=seed)
            for one in (*effects, *comparisons):
                shown = one.estimate.low > 0 or one.estimate.high < 0
                assert shown == (one.p < 0.05), one


def test_two_arms_and_one_arm():
    pair = (ARMS[0], ARMS[2])
    found, effects, comparisons, _ = run(values=scores([0.2, 0.5]), arms=pair)
    assert (found.arm, effects, len(comparisons)) == ("rag", [], 1)
    assert verdict(values=scores([0.4]), arms=ARMS[:1]).arm == "base"
    with pytest.raises(StudyError):
        run(values=np.zeros((5, 0)), arms=())


def test_order_of_arms_and_seed_do_not_choose():
    means = [0.1, 0.15, 0.3, 0.25, 0.7]
    values = scores(means)
    first = verdict(values=values)
    turned = verdict(values=values[:, ::-1], arms=ARMS[::-1])
    assert (first.outcome, first.arm, first.sentence) == (turned.outcome, turned.arm, turned.sentence)
    assert verdict(values=values, seed=9).arm == first.arm
    assert verdict(values=values) == first


# ---------------------------------------------------------------- effort


def late(**effort):
    return replace(FACTS, effort={"ft": DONE, "ft+rag": DONE} | effort)


def test_an_arm_that_a_limit_cut_short_is_not_decided_over():
    found = verdict([0.1, 0.15, 0.7, 0.1, 0.2], facts=late(ft=CUT_SHORT))
    assert (found.outcome, found.arm, found.more_examples) == ("undecided", "", None)
    wanted = "Undecided: ft was stopped by its time limit after 1 of 6 steps (about 40 minutes are needed here)."
    assert found.sentence.endswith(wanted)
    assert found.headline.startswith("ft has not been given a fair chance. So far rag answers ")
    assert found.because[0].endswith("run the study again: ft is then trained anew, from its first step.")
    assert not any("shown worse" in reason and "ft" in reason.split(":")[0].split() for reason in found.because)
    assert not any("chosen" in doubt for doubt in found.provisional)
    assert verdict([0.1, 0.15, 0.7, 0.1, 0.2]).arm == "rag"


def test_an_arm_whose_loss_did_not_move_is_not_decided_over():
    found = verdict([0.1, 0.15, 0.7, 0.1, 0.2], facts=late(ft=STUCK))
    assert found.sentence.endswith("Undecided: ft's training loss did not move (6 steps).")
    assert "learning rate" in found.because[0]
    broken = STUCK | {"stopped": "nan", "steps": 3}
    assert "broke down after 3 of 6 steps" in verdict([0.1, 0.15, 0.7, 0.1, 0.2], facts=late(ft=broken)).sentence


def test_an_unfinished_arm_that_beats_all_others_is_chosen_with_a_doubt():
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], facts=late(**{"ft+rag": CUT_SHORT}))
    assert (found.outcome, found.arm) == ("choose", "ft+rag")
    assert any(doubt.startswith("ft+rag was stopped by its time limit after 1 of 6") for doubt in found.provisional)
    both = verdict([0.1, 0.15, 0.3, 0.25, 0.7], facts=late(**{"ft+rag": CUT_SHORT, "ft": CUT_SHORT}))
    assert (both.outcome, both.arm) == ("undecided", "")


def test_only_a_constraint_that_training_cannot_mend_puts_an_unfinished_arm_out():
    means = [0.1, 0.15, 0.7, 0.1, 0.2]
    facts = late(ft=CUT_SHORT)
    assert verdict(means, facts=facts, must_cite=True).arm == "rag"
    assert verdict(means, facts=facts, permissions=True).arm == "rag"
    assert verdict(means, facts=replace(facts, latency_p95={"ft": 9.0, "rag": 0.5}), max_latency_p95=1).arm == "rag"
    assert verdict(means, facts=facts, min_score=0.5).outcome == "undecided"
    assert verdict(means, facts=facts, min_score=0.99).outcome == "undecided"
    assert verdict(means, facts=replace(facts, forgetting={"ft": "it drops"})).outcome == "undecided"


def test_flips_respect_the_block():
    found = verdict([0.1, 0.15, 0.7, 0.1, 0.2], facts=late(ft=CUT_SHORT))
    assert {flip.condition: flip.arm for flip in found.flips}["if answers had to name their source"] == "rag"
    for flip in found.flips:
        if flip.outcome == "choose":
            assert any(words in flip.condition for words in ("source", "permissions", "p95", "changed more often"))
    chosen = verdict([0.1, 0.15, 0.3, 0.7, 0.2], facts=late(ft=CUT_SHORT))
    assert chosen.arm == "ft"
    for flip in chosen.flips:
        if flip.condition.startswith(("if differences", "if a score")):
            assert flip.arm in ("", "ft")


OTHERS = st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), min_size=5, max_size=5)


@given(
    means=OTHERS,
    shape=st.tuples(st.integers(0, 999), st.integers(2, 60), st.booleans(), st.booleans()),
    stops=st.lists(st.sampled_from(["done", "cut", "stuck"]), min_size=2, max_size=2),
    section=st.fixed_dictionaries(
        {"margin": st.sampled_from([0.0, 0.02, 0.3]), "min_score": st.sampled_from([0.0, 0.4])}
    ),
)
@settings(max_examples=150, deadline=None)
def test_no_scores_crown_another_arm_over_one_not_given_its_chance(means, shape, stops, section):
    seed, n, binary, missing = shape
    rng = np.random.default_rng(seed)
    values = np.clip(rng.normal(means, 0.2, (n, 5)), 0, 1)
    if binary:
        values = (rng.uniform(size=(n, 5)) < means).astype(float)
    if missing:
        values[:, 3] = np.nan
    states = {"done": DONE, "cut": CUT_SHORT, "stuck": STUCK}
    efforts = dict(zip(("ft", "ft+rag"), (states[stop] for stop in stops), strict=True))
    found, *_ = decide(
        arms=ARMS,
        scores={arm.name: values[:, column] for column, arm in enumerate(ARMS)},
        groups=np.arange(n),
        metric="token_f1",
        section=StudySection(resamples=200, **section),
        objections={},
        facts=late(**efforts),
    )
    waiting = {name for name, effort in efforts.items() if not effort["chance"]}
    assert found.outcome == "undecided" or not waiting - {found.arm}
    for flip in found.flips:
        if flip.condition.startswith(("if differences", "if a score", "if every difference", "if no minimum")):
            assert flip.outcome == "undecided" or not waiting - {flip.arm}


# ---------------------------------------------------------------- plain words


def binary(right, n=15):
    """Columns of 0 and 1 with so many ones."""
    return np.array([[1.0 if row < count else 0.0 for count in right] for row in range(n)])


def test_when_nobody_is_right_it_says_so_first():
    for n in (1, 8, 40):
        found = verdict(values=np.zeros((n, 5)))
        assert (found.outcome, found.arm) == ("none acceptable", "")
        questions = "1 question" if n == 1 else f"{n} questions"
        assert found.headline == f"No arm answered a single question right ({questions})."
        assert "token F1 is .000 [.000, " in found.sentence
        assert not any(flip.arm for flip in found.flips)
    found = verdict(values=np.zeros((8, 5)), facts=late(ft=CUT_SHORT))
    assert (found.outcome, found.headline) == (
        "undecided",
        "No arm so far answered a single question right (8 questions).",
    )


def test_no_number_of_examples_is_told_where_none_are_needed():
    """A gain of .38 would be shown by these 40 questions; ft gains 0 ± .2, which does not exclude one of .19."""
    values = np.array([[row < 16, 8 <= row < 24] for row in range(40)], dtype=float)
    found = verdict(values=values, arms=(ARMS[0], ARMS[3]), margin=0.19)
    assert found.outcome == "undecided"
    assert "would have been shown in 8 of 10 such studies" in found.sentence
    assert found.more_examples is None


def test_no_flip_recommends_an_arm_that_is_never_right():
    found = verdict(values=binary([0, 0, 12, 0, 0], 40), margin=0.02)
    assert found.arm == "rag"
    assert found.headline == "rag answers 12 of 40 questions right; the best of the others (base) 0."
    told = {flip.condition: flip for flip in found.flips}
    assert told["if p95 latency may be at most .599 s"].outcome == "none acceptable"
    assert not any(flip.arm in ("base", "prompt") for flip in found.flips)


def test_a_gain_that_is_not_excluded_is_named_in_the_first_line():
    rng = np.random.default_rng(3)
    values = (rng.uniform(size=(41, 3)) < [0.05, 0.45, 0.4]).astype(float)
    found = verdict(values=values, arms=(ARMS[0], ARMS[1], ARMS[3]))
    assert (found.outcome, found.arm) == ("undecided", "")
    assert re.fullmatch(
        r"At least prompt: prompt answers \d+ of 41 questions right; ft \d+\. "
        r"Whether ft is better than prompt by up to \.\d+ is open\.",
        found.headline,
    )


def test_when_nobody_is_half_right_none_is_acceptable_and_no_number_is_promised():
    low = verdict(values=np.clip(scores([0.05, 0.05, 0.2, 0.1, 0.3], noise=0.1), 0, 0.49))
    assert (low.outcome, low.arm, low.more_examples) == ("none acceptable", "", None)
    assert low.headline == "No arm answered a single question right (300 questions)."
    assert not any(flip.arm for flip in low.flips)


def test_an_arm_near_the_ceiling_is_a_doubt():
    found = verdict(values=binary([10, 10, 39, 10, 40], 40))
    assert [doubt.split()[0] for doubt in found.provisional if "ceiling" in doubt] == ["rag", "ft+rag"]


def test_a_latency_limit_on_few_answers_is_doubted():
    facts = replace(FACTS, latency_answers=dict.fromkeys(FACTS.latency_p95, 12))
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], facts=facts, max_latency_p95=9)
    assert any("p95 rests on 12 answers of an arm: below 72 answers" in doubt for doubt in found.provisional)


# ---------------------------------------------------------------- properties of the rule

SCORED = st.tuples(st.integers(0, 9999), st.integers(6, 70), st.booleans(), st.sampled_from([1, 3]))


def drawn(shape, means):
    seed, n, graded, each = shape
    rng = np.random.default_rng(seed)
    uniform = rng.uniform(size=(n, 1)) * 0.5 + rng.uniform(size=(n, len(means))) * 0.5
    values = (uniform < means).astype(float)
    if graded:
        values = np.where(values > 0, np.round(rng.uniform(0.2, 1, values.shape), 2), 0.0)
    return values, np.arange(n) // each


def decided(values, groups, alpha=0.05, **section):
    return decide(
        arms=ARMS,
        scores={arm.name: values[:, column] for column, arm in enumerate(ARMS)},
        groups=groups,
        metric="token_f1",
        section=StudySection(resamples=200, **section),
        objections={},
        facts=FACTS,
        alpha=alpha,
    )[0]


MEANS = st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), min_size=5, max_size=5)


def alone(values, groups, alpha=0.05):
    return intervals.contrasts(
        values, groups, intervals.pairs([arm.name for arm in ARMS]), level=1 - alpha, resamples=200, joint=False
    )


@given(means=MEANS, shape=SCORED, margin=st.sampled_from([0.0, 0.02, 0.2]))
@settings(max_examples=120, deadline=None)
def test_an_arm_is_chosen_exactly_when_it_beats_all_simpler_ones_and_no_more_complex_one_is_open(means, shape, margin):
    values, groups = drawn(shape, means)
    found = decided(values, groups, margin=margin)
    names, pairs = [arm.name for arm in ARMS], alone(values, groups)
    right = dict(zip(names, (values >= 0.5).any(axis=0), strict=True))

    def wins(place):
        gains = [pairs[f"{names[place]} - {other}"] for other in names[:place]]
        more = [pairs[f"{other} - {names[place]}"] for other in names[place + 1 :]]
        return all(one.low > 0 and one.high > margin for one in gains) and all(one.high <= margin for one in more)

    winner = next((names[place] for place in range(len(names)) if wins(place)), "")
    assert found.arm == (winner if winner and right[winner] else "")
    if not found.arm:
        return
    lower = [pairs[f"{found.arm} - {other}"].low for other in names[: names.index(found.arm)]]
    if lower:
        by = r"better than \S+ by \S+ \[(\S+)," if len(lower) == 1 else r"each gain at least (\.\d+|1\.000)"
        told = re.search(by, found.sentence)
        assert told is not None
        assert float(told[1]) == pytest.approx(min(lower), abs=0.0006)


@given(means=MEANS, shape=SCORED)
@settings(max_examples=60, deadline=None)
def test_a_smaller_alpha_chooses_no_arm_that_a_larger_one_does_not(means, shape):
    values, groups = drawn(shape, means)
    strict, usual = decided(values, groups, alpha=0.01), decided(values, groups, alpha=0.05)
    if strict.arm:
        assert usual.arm == strict.arm
    for name, one in alone(values, groups, 0.01).items():
        other = alone(values, groups, 0.05)[name]
        assert one.low <= other.low + 1e-12
        assert other.high <= one.high + 1e-12


@given(means=MEANS, shape=SCORED, turn=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_questions_within_groups_and_of_the_arms_does_not_choose(means, shape, turn):
    values, groups = drawn(shape, means)
    order = sorted(range(len(values)), key=lambda row: (groups[row], turn.random()))
    first, second = decided(values, groups), decided(values[order], groups[order])
    assert (first.outcome, first.arm, first.sentence) == (second.outcome, second.arm, second.sentence)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_an_alpha_that_is_no_probability_is_refused(alpha):
    with pytest.raises(StudyError, match="alpha"):
        decided(*drawn((0, 20, False, 1), [0.5] * 5), alpha=alpha)


def test_the_sentence_names_the_coverage_that_was_paid_for():
    values, groups = drawn((1, 70, False, 1), [0.1, 0.1, 0.1, 0.1, 0.9])
    assert "(97.5 %, for this choice)" in decided(values, groups, alpha=0.025).sentence


FAR = tuple(replace(arm, name=f"far/{arm.name}", model="far") for arm in ARMS)


def test_of_two_models_with_the_same_parts_the_cheaper_one_comes_first_where_costs_are_known() -> None:
    arms = (*FAR[:3], *ARMS[:3])
    costs = {arm.name: (1.0, 2.0) if arm.model else (0.1, 3.5) for arm in arms}
    named = [arm.name for arm in from_simple(arms, FACTS)]
    assert named == ["far/base", "base", "far/prompt", "prompt", "far/rag", "rag"]
    dear = {name: (2.0, 3.0) if name.startswith("far/") else ends for name, ends in costs.items()}
    cheap = [arm.name for arm in from_simple(arms, replace(FACTS, cost_per_1000=dear))]
    assert cheap == ["base", "far/base", "prompt", "far/prompt", "rag", "far/rag"]
    # Parts come before costs: what must be kept up besides the model is not paid by the answer.
    assert from_simple(ARMS, replace(FACTS, cost_per_1000={"base": (9.0, 9.0)}))[0].name == "base"


def test_a_tie_of_two_models_goes_to_the_cheaper_one() -> None:
    arms = (ARMS[2], FAR[2])
    for cheaper, other in (("rag", "far/rag"), ("far/rag", "rag")):
        facts = replace(FACTS, cost_per_1000={cheaper: (0.1, 0.2), other: (0.5, 0.6)}, citing={})
        verdict, _, comparisons, _ = run(values=scores([0.6, 0.6], n=3000, noise=0.05), arms=arms, facts=facts)
        assert (verdict.outcome, verdict.arm) == ("choose", cheaper)
        assert [effect.name for effect in comparisons] == [f"{other} - {cheaper}"]


def test_effects_are_those_of_each_model_and_pairs_go_across_models() -> None:
    cells = [arm for arm in (*ARMS, *FAR) if not arm.shots]
    means = [0.3, 0.5, 0.4, 0.7, 0.2, 0.3, 0.6, 0.7]
    _, effects, comparisons, _ = run(means, arms=cells)
    found = {effect.name: effect.estimate.mean for effect in effects}
    assert list(found) == ["retrieval", "tuning", "interaction", "far/retrieval", "far/tuning", "far/interaction"]
    assert found["tuning"] == pytest.approx(0.15, abs=1e-3)
    assert found["far/tuning"] == pytest.approx(0.4, abs=1e-3)
    assert len(comparisons) == 28
    # Three cells of one model and one of another make no table.
    _, none, _, _ = run(means[:4], arms=[*cells[:3], cells[7]])
    assert none == []
