"""The promise: at most 5 % false crowns, no false tie, no middle arm, and 95 % coverage at 20, 50 and 200 groups."""

from __future__ import annotations

import functools
import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twofold.settings.sections import StudySection
from twofold.study import looks
from twofold.verdict import rule

PATH = Path(__file__).resolve().parents[2] / "bench" / "calibration.py"
_spec = importlib.util.spec_from_file_location("calibration", PATH)
assert _spec is not None
assert _spec.loader is not None
calibration = importlib.util.module_from_spec(_spec)
sys.modules["calibration"] = calibration
_spec.loader.exec_module(calibration)

FIRST = looks.level_of(1, 0.95)
"""Level at which a first study is decided."""
SLOW = pytest.mark.slow
SETTINGS = [pytest.param(20, "binary", marks=SLOW), (50, "f1"), pytest.param(200, "binary", marks=SLOW)]
SIMULATIONS = {20: 400, 50: 400, 200: 200}


def at_most(share: float, n: int) -> float:
    """What a true rate of `share` stays below in n simulations (99 %)."""
    return share + 2.33 * math.sqrt(share * (1 - share) / n)


def at_least(share: float, n: int) -> float:
    return share - 2.33 * math.sqrt(share * (1 - share) / n)


@pytest.fixture
def choice_alone(monkeypatch):
    """Verdicts without forecast and flips, which follow the choice and take as long: for tests that count choices."""
    monkeypatch.setattr(rule, "further", lambda *_args, **_more: None)
    monkeypatch.setattr(rule, "flips", lambda *_args, **_more: [])


@pytest.mark.usefixtures("choice_alone")
@pytest.mark.parametrize(("groups", "kind"), SETTINGS)
def test_no_effect_crowns_no_complex_arm(groups, kind):
    n = SIMULATIONS[groups]
    world = calibration.World(groups=groups, means=(0.3,) * 5, kind=kind)
    found = calibration.crowned(world, simulations=n, resamples=500)
    false = sum(share for arm, share in found.items() if arm not in ("", "base"))
    assert false <= at_most(0.05, n)
    assert found[""] > 0.5, "under no effect most studies must end undecided"


def test_the_choice_is_the_same_without_forecast_and_flips(request):
    means = ((0.3,) * 5, calibration.UNEQUAL, (0.1, 0.1, 0.3, 0.2, 0.6))
    worlds = [calibration.World(groups=groups, means=one, kind="f1") for groups in (20, 80) for one in means]
    whole = [calibration.crowned(world, simulations=8, resamples=200) for world in worlds]
    request.getfixturevalue("choice_alone")
    assert [calibration.crowned(world, simulations=8, resamples=200) for world in worlds] == whole
    assert len({arm for shares in whole for arm in shares}) > 1


@pytest.fixture
def first_look(monkeypatch):
    """Simulated studies are decided, and planned, at the level of a first look."""
    monkeypatch.setattr(calibration, "StudySection", functools.partial(StudySection, level=FIRST))


@pytest.mark.usefixtures("choice_alone")
def test_no_effect_crowns_no_complex_arm_at_a_first_look(first_look):
    world = calibration.World(groups=50, means=(0.3,) * 5, kind="f1")
    found = calibration.crowned(world, simulations=300, resamples=400)
    assert sum(share for arm, share in found.items() if arm not in ("", "base")) <= at_most(1 - FIRST, 300)


@pytest.mark.usefixtures("choice_alone")
def test_the_plan_of_a_first_look_keeps_its_word(first_look):
    world = calibration.World(groups=120, per_group=1, icc=0, kind="f1")
    assert 0.6 <= calibration.after_one(world, 0.3, simulations=60, resamples=300) <= 0.97


@pytest.mark.usefixtures("choice_alone")
def test_a_step_that_adds_nothing_is_not_taken():
    world = calibration.World(groups=50, means=(0.1, 0.1, 0.5, 0.2, 0.5))
    found = calibration.crowned(world, simulations=200, resamples=500, seed=1)
    assert found.get("ft+rag", 0.0) <= at_most(0.05, 200)
    assert sum(found.get(arm, 0.0) for arm in ("base", "prompt", "ft")) == 0


@pytest.mark.usefixtures("choice_alone")
@pytest.mark.parametrize("lost", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("groups", [20, 60])
def test_rare_losses_behind_many_small_gains_crown_nothing(groups, lost):
    means = (0.7,) * 5
    world = calibration.World(groups=groups, per_group=1, kind="jackpot", means=means, lost=lost)
    found = calibration.crowned(world, simulations=100, resamples=300)
    assert calibration.no_better(found, means) <= at_most(0.05, 100)


@pytest.mark.usefixtures("choice_alone")
def test_a_steady_gain_on_enough_questions_is_found():
    world = calibration.World(groups=150, per_group=1, kind="jackpot", means=(0.6, 0.6, 0.6, 0.6, 0.7), lost=0.0)
    assert calibration.crowned(world, simulations=20, resamples=300).get("ft+rag", 0.0) > 0.99


@pytest.mark.usefixtures("choice_alone")
def test_a_real_difference_is_found():
    world = calibration.World(groups=100, means=(0.1, 0.1, 0.3, 0.2, 0.6), kind="f1")
    assert calibration.crowned(world, simulations=60, resamples=500).get("ft+rag", 0.0) >= 0.95


@pytest.mark.parametrize(("groups", "kind"), SETTINGS)
def test_intervals_hold_the_truth(groups, kind):
    n = SIMULATIONS[groups]
    world = calibration.World(groups=groups, means=calibration.UNEQUAL, kind=kind)
    pair, every, mean = calibration.coverage(world, simulations=n // 2, resamples=500)
    assert 0.94 <= pair <= 0.995
    assert at_least(0.95, n // 2) <= every
    assert 0.93 <= mean <= 0.99


@pytest.mark.parametrize("kind", ["binary", "f1"])
def test_intervals_of_sparse_scores_hold_the_truth_too(kind):
    world = calibration.World(groups=40, per_group=1, icc=0, means=(0.01, 0.02, 0.05, 0.03, 0.1), kind=kind)
    pair, every, mean = calibration.coverage(world, simulations=150, resamples=300)
    assert pair >= 0.94
    assert every >= at_least(0.95, 150)
    assert mean >= 0.93


def test_a_giant_group_does_not_make_intervals_too_narrow():
    world = calibration.World(groups=30, giant=0.3, icc=0.3, means=calibration.UNEQUAL, kind="f1")
    pair, _, mean = calibration.coverage(world, simulations=200, resamples=300)
    assert pair >= 0.94
    assert mean >= 0.92


@pytest.mark.usefixtures("choice_alone")
def test_a_better_arm_that_is_right_wherever_the_others_are_is_no_tie():
    for gain in (0.03, 0.05):
        means = (0.3, 0.3, 0.3, 0.3, 0.3 + gain)
        world = calibration.World(groups=30, per_group=1, means=means, alike=1.0, icc=0.0)
        found = calibration.crowned(world, simulations=150, resamples=300)
        assert calibration.worse(found, means) <= at_most(0.05, 150)


@pytest.mark.usefixtures("choice_alone")
def test_a_middle_arm_is_not_chosen_over_a_better_one():
    for groups in (20, 50):
        world = calibration.World(groups=groups, means=calibration.UNEQUAL)
        found = calibration.crowned(world, simulations=150, resamples=300)
        assert calibration.worse(found, calibration.UNEQUAL) <= at_most(0.025, 150)


@pytest.mark.usefixtures("choice_alone")
def test_the_plan_keeps_its_word_after_one_study_of_the_same_size():
    world = calibration.World(groups=120, per_group=1, icc=0, kind="f1")
    assert 0.6 <= calibration.after_one(world, 0.3, simulations=60, resamples=300) <= 0.97


@pytest.mark.usefixtures("choice_alone")
def test_the_plan_keeps_its_word_where_large_losses_are_rare():
    world = calibration.World(groups=60, per_group=1, icc=0, kind="jackpot")
    assert calibration.after_one(world, 0.6, simulations=60, resamples=300) >= 0.72


def test_examples_to_collect_beside_a_giant_group_show_the_gain_and_are_not_too_many():
    world = calibration.SHAPES["f1, 50 groups, giant"]
    assert 0.6 <= calibration.collected(world, 0.3, simulations=50, resamples=300) <= 0.96


@pytest.mark.parametrize("truth", [0.05, 0.95])
@pytest.mark.parametrize("groups", [20, 50, 200])
def test_means_near_the_ends_are_covered(groups, truth):
    world = calibration.World(groups=groups, means=(truth,) * 5)
    mean = calibration.means_covered(world, simulations=120, seed=2)
    assert 0.93 <= mean <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "f1"])
@pytest.mark.parametrize("groups", [8, 20, 50, 200])
def test_no_effect_at_length(groups, kind):
    for level in (0.05, 0.3):
        world = calibration.World(groups=groups, means=(level,) * 5, kind=kind)
        found = calibration.crowned(world, simulations=1500, resamples=1000, seed=11)
        assert sum(share for arm, share in found.items() if arm not in ("", "base")) <= at_most(0.05, 1500)


_races = importlib.util.spec_from_file_location("races", PATH.with_name("races.py"))
assert _races is not None
assert _races.loader is not None
races = importlib.util.module_from_spec(_races)
sys.modules["races"] = races
_races.loader.exec_module(races)


@pytest.mark.parametrize("shape", ["binary, 129", "f1, 43 groups of 3"])
@pytest.mark.parametrize("truth", ["all equal", "rag = ft+rag"])
def test_bets_that_are_looked_at_after_every_group_crown_falsely_in_at_most_5_of_100_studies(shape, truth):
    world = replace(races.SHAPES[shape], means=races.NULLS[truth])
    assert races.looking(world, simulations=100) <= 0.05


def test_a_test_that_is_looked_at_after_every_shard_does_not_keep_its_word():
    world = replace(races.SHAPES["f1, 43 groups of 3"], means=races.NULLS["rag = ft+rag"])
    assert races.naive(world, simulations=200) > 0.07


@pytest.mark.usefixtures("choice_alone")
def test_a_race_finds_a_clear_gain_as_often_as_the_plain_study_and_saves_most_answers():
    for shape, truth, saved in (("binary, 300", "+.2", 0.5), ("f1, 100 groups of 3", "demo-like", 0.5)):
        world = replace(races.SHAPES[shape], means=races.GAINS[truth])
        rng, ran, plain = np.random.default_rng(3), [], 0
        for number in range(25):
            scores, groups = calibration.simulate(world, rng)
            ran.append(races.raced(scores, groups, resamples=200))
            plain += calibration.verdict_on(scores, groups, resamples=200, seed=number).arm == "ft+rag"
        assert sum(one.arm == "ft+rag" for one in ran) >= min(plain, 24)
        assert np.median([one.answers for one in ran]) < 1 - saved


@pytest.mark.slow
@pytest.mark.usefixtures("choice_alone")
def test_the_whole_race_with_its_last_test_crowns_no_arm_that_is_no_better():
    world = replace(races.SHAPES["f1, 43 groups of 3"], means=races.NULLS["rag = ft+rag"])
    rng = np.random.default_rng(4)
    false = calibration.false_of(world.means)
    wrong = sum(races.raced(*calibration.simulate(world, rng), resamples=200).arm in false for _ in range(300))
    assert wrong / 300 <= at_most(0.05, 300)
