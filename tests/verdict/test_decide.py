"""The rule: each way to each outcome, from scores made to have a known truth."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.config import StudySection
from twofold.errors import StudyError
from twofold.identity import plain
from twofold.study.verdict import VerdictFacts, constraint_objections, decide
from twofold.types import Arm, Verdict

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
FACTS = VerdictFacts(
    policy="Split by document: it holds for new documents.",
    latency_p95={"base": 0.2, "prompt": 0.3, "rag": 0.6, "ft": 0.25, "ft+rag": 0.7},
    training_minutes={"ft": 4.0, "ft+rag": 9.0},
    dev_trials=dict.fromkeys(("base", "prompt", "rag", "ft", "ft+rag"), 3),
    dev_examples=40,
    final=True,
    effort={"ft": DONE, "ft+rag": DONE},
)
SEED = "one training run of ft and ft+rag: the scores are of these adapters, and another seed may give other weights"


def scores(means, n=300, seed=0, noise=0.25):
    """Columns with exactly these means: a shared question effect, own noise, centred."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, noise, (n, len(means)))
    return own - own.mean(axis=0) + np.array(means)


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
    assert "for rag, the best of the others (difference .400 [" in found.sentence
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


def test_arms_that_answer_alike_are_a_tie():
    column = np.random.default_rng(0).integers(0, 2, (80, 1)).astype(float)
    found = verdict(values=np.repeat(column, 5, axis=1))
    assert found.arm == "base"
    assert any("score alike on all 80 questions" in reason for reason in found.because)


def test_a_handful_of_questions_on_which_no_arm_differs_is_no_tie():
    found = verdict(values=np.ones((8, 5)))
    assert (found.outcome, found.arm, found.more_examples) == ("undecided", "", 12)


def test_no_evidence_is_undecided_and_says_how_much_more_would_settle_it():
    found = verdict(values=scores([0.3, 0.32, 0.34, 0.33, 0.38], n=60))
    assert (found.outcome, found.arm) == ("undecided", "")
    assert found.more_examples is not None
    assert found.more_examples > 60
    assert f"About {found.more_examples:,} more test questions are expected to settle it." in found.sentence
    assert any(reason.endswith(": not settled.") for reason in found.because)


def test_that_many_more_examples_do_settle_it():
    means = [0.1, 0.1, 0.4, 0.2, 0.46]
    first = verdict(values=scores(means, n=150))
    assert first.outcome == "undecided"
    decided = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        n = 150 + first.more_examples
        decided += verdict(values=rng.normal(means, 0.25, (n, 5))).arm == "ft+rag"
    assert decided >= 6


def test_undecided_between_two_names_the_safe_arm():
    found = verdict(values=scores([0.1, 0.1, 0.4, 0.2, 0.43], n=100))
    assert found.outcome == "undecided"
    assert "Meanwhile rag is safe: it is shown better than every simpler arm, and worse than none." in found.because


def test_a_simpler_arm_that_is_ahead_need_not_be_shown_equal():
    found = verdict(values=scores([0.1, 0.1, 0.45, 0.2, 0.42], n=100))
    assert (found.outcome, found.arm) == ("choose", "rag")
    assert any("a gain of ft+rag of up to" in reason for reason in found.because)


def additive(n=300, retrieval=0.1, tuning=0.0):
    """Cells whose interaction is shown small: the noise of a question is one for base/rag, one for ft/ft+rag."""
    rng = np.random.default_rng(5)
    weak, strong = rng.normal(0, 0.02, (2, n))
    table = np.stack([weak, weak + retrieval, strong + tuning, strong + retrieval + tuning], axis=1) + 0.3
    return table + rng.normal(0, 0.002, table.shape)


FOUR = tuple(arm for arm in ARMS if not arm.shots)


def test_main_effects_decide_when_the_interaction_is_small():
    found = verdict(values=additive(), arms=FOUR)
    assert (found.outcome, found.arm) == ("choose", "rag")
    assert any("the main effects decide" in reason for reason in found.because)
    assert verdict(values=additive(tuning=0.1), arms=FOUR).arm == "ft+rag"
    assert verdict(values=additive(retrieval=0.0), arms=FOUR).arm == "base"
    assert verdict(values=additive(retrieval=-0.1, tuning=0.1), arms=FOUR).arm == "ft"


def test_a_large_interaction_goes_pairwise():
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7])
    assert any("not shown to lie within ±.05: arms are compared pairwise" in reason for reason in found.because)


def test_the_cell_of_the_main_effects_must_beat_the_prompt_arm_too():
    table = additive(retrieval=0.1)
    values = np.column_stack([table[:, 0], table[:, 1] + 0.05, table[:, 1:]])
    found = verdict(values=values)
    assert found.arm == "prompt"


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
    given = constraint_objections(ARMS, section, facts=FACTS, estimates={})
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], permissions=True, objections=given)
    assert sum("ft is not acceptable" in reason for reason in found.because) == 1
    assert not any("; " in reason for reason in found.because if "ft is not" in reason)
    assert any(flip.condition == "if per-document permissions did not have to hold" for flip in found.flips)


def test_the_only_acceptable_arm_is_chosen():
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], permissions=True, must_cite=True)
    assert found.arm == "rag"
    assert "the only acceptable arm" in found.sentence


def test_an_arm_without_any_score_is_not_acceptable():
    values = scores([0.1, 0.15, 0.3, 0.25, 0.7])
    values[:, 4] = np.nan
    found, effects, comparisons, estimates = run(values=values)
    assert found.arm == "rag"
    assert "ft+rag is not acceptable: it has no scored answer." in found.because
    assert effects == []
    assert len(comparisons) == 6
    assert "ft+rag" not in estimates
    assert verdict(values=np.full((30, 5), np.nan)).outcome == "none acceptable"


def test_failures_are_counted_and_never_averaged():
    values = scores([0.1, 0.15, 0.3, 0.25, 0.7])
    values[:30, 4] = np.nan
    facts = VerdictFacts(failed_share={"ft+rag": 0.1}, final=True, dev_examples=40)
    found, _, comparisons, estimates = run(values=values, facts=facts)
    assert estimates["ft+rag"].n == 270
    assert estimates["ft+rag"].failed == 30
    assert next(one for one in comparisons if one.name == "ft+rag - rag").estimate.n == 270
    assert any("10 % of ft+rag's answers failed" in doubt for doubt in found.provisional)
    assert any("failed unequally" in doubt for doubt in found.provisional)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"synthetic_share": 0.6}, "synthetic"),
        ({"looks": 3, "level": 0.9967}, "looked at 3 times, now included: look 3 decides at 99.67 %"),
        ({"dev_trials": {"ft": 9}}, "unequal effort"),
        ({"dev_examples": 5}, "few dev examples"),
        ({"final": False}, "no reserve split was set aside"),
        ({"final": False, "reserve": 30}, "twofold study --final"),
        ({"final": False, "reserve": 30, "reserve_opened": "0004-shop"}, "study 0004-shop opened the reserve"),
        ({"reserve": 30, "reserve_seen": 4}, "4 of 30 reserve questions were test questions"),
        ({"unanswerable": 0}, "no unanswerable question"),
        ({"cut_share": {"rag": 0.06}}, "6 % of rag's answers were cut at the token limit"),
        ({"effort": {"ft": DONE}}, "how far ft+rag was trained is unknown"),
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


def test_small_studies_and_missing_arms_are_doubted():
    arms = tuple(arm for arm in ARMS if not arm.shots)
    values = scores([0.1, 0.3, 0.25, 0.7], n=40)
    found = verdict(values=values, arms=arms, groups=np.arange(40) % 10)
    for words in ("few independent groups: 10", "few questions: 40", "no few-shot prompt arm"):
        assert any(words in doubt for doubt in found.provisional), words
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], max_latency_p95=9, facts=VerdictFacts(final=True, dev_examples=40))
    assert any("latency is a constraint but was not measured" in doubt for doubt in found.provisional)


def test_flips_are_what_the_rule_says_under_the_changed_constraint():
    means = [0.1, 0.15, 0.3, 0.25, 0.7]
    found = {flip.condition: flip for flip in verdict(means).flips}
    assert found["if p95 latency must be under .7 s"].arm == verdict(means, max_latency_p95=0.699).arm == "rag"
    assert found["if p95 latency must be under .6 s"].arm == verdict(means, max_latency_p95=0.599).arm == "ft"
    assert found["if p95 latency must be under .2 s"].outcome == "none acceptable"
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
    assert told["if it had to run offline"].outcome == "none acceptable"
    flip = next(f for f in verdict([0.1, 0.1, 0.3, 0.12, 0.44]).flips if f.condition.startswith("if differences up to"))
    assert flip.arm == "rag"
    margin = float(flip.condition.split()[4])
    assert verdict([0.1, 0.1, 0.3, 0.12, 0.44], margin=margin).arm == "rag"
    assert verdict([0.1, 0.1, 0.3, 0.12, 0.44], margin=margin - 0.003).arm == "ft+rag"


def test_exact_tests_stand_beside_the_intervals():
    rng = np.random.default_rng(0)
    values = (rng.uniform(size=(120, 5)) < [0.2, 0.25, 0.5, 0.4, 0.9]).astype(float)
    _, effects, comparisons, _ = run(values=values)
    assert {one.test for one in comparisons} == {"exact McNemar"}
    assert {one.test for one in effects} == {"cluster sign-flip permutation"}
    assert comparisons[-1].p < 0.001
    _, _, grouped, _ = run(values=values, groups=np.arange(120) // 3)
    assert {one.test for one in grouped} == {"cluster sign-flip permutation"}


def test_two_arms_and_one_arm():
    pair = (ARMS[0], ARMS[2])
    found, effects, comparisons, _ = run(values=scores([0.2, 0.5]), arms=pair)
    assert (found.arm, effects, len(comparisons)) == ("rag", [], 1)
    assert verdict(values=scores([0.2]), arms=ARMS[:1]).arm == "base"
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
        if flip.condition.startswith(("if differences", "if a score", "if every difference", "if no least")):
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


def test_no_flip_recommends_an_arm_that_is_never_right():
    found = verdict(values=binary([0, 0, 12, 0, 0], 40), margin=0.02)
    assert found.arm == "rag"
    assert found.headline == "rag answers 12 of 40 questions right; the best of the others (base) 0."
    told = {flip.condition: flip for flip in found.flips}
    assert told["if p95 latency must be under .6 s"].outcome == "none acceptable"
    assert not any(flip.arm in ("base", "prompt") for flip in found.flips)


def test_a_gain_that_is_not_excluded_is_named_in_the_first_line():
    rng = np.random.default_rng(3)
    values = (rng.uniform(size=(41, 3)) < [0.05, 0.5, 0.4]).astype(float)
    found = verdict(values=values, arms=(ARMS[0], ARMS[1], ARMS[3]))
    assert found.arm == "prompt"
    assert found.headline.startswith("prompt, because ft was not shown better. prompt answers ")
    assert "Choose prompt, because ft was not shown better: token F1 ." in found.sentence
    (reason,) = [one for one in found.because if one.startswith("prompt - ft")]
    assert "is not excluded. prompt is chosen all the same, because it is simpler" in reason


def test_an_arm_near_the_ceiling_is_a_doubt_and_half_right_nowhere_too():
    found = verdict(values=binary([10, 10, 39, 10, 40], 40))
    assert [doubt.split()[0] for doubt in found.provisional if "ceiling" in doubt] == ["rag", "ft+rag"]
    low = verdict(values=np.clip(scores([0.05, 0.05, 0.2, 0.1, 0.3], noise=0.02), 0, 1))
    assert low.arm == "ft+rag"
    assert "no arm got a single question half right (token F1 .5 or more)" in low.provisional


def test_a_latency_limit_on_few_answers_is_doubted():
    facts = replace(FACTS, latency_answers=dict.fromkeys(FACTS.latency_p95, 12))
    found = verdict([0.1, 0.15, 0.3, 0.25, 0.7], facts=facts, max_latency_p95=9)
    assert any("p95 stands on 12 answers of an arm: with fewer than 72" in doubt for doubt in found.provisional)
