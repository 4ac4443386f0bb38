"""Estimates, contrasts and exact tests against scipy and against what must hold by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazily import Lazily
from twofold.errors import StudyError
from twofold.stats import distributions, draws, intervals

reference = Lazily("scipy.stats")


@pytest.mark.parametrize("freedom", [1, 2, 5, 19, 200])
@pytest.mark.parametrize("probability", [0.5, 0.8, 0.975, 0.9995, 0.01])
def test_t_quantile_is_scipys(probability, freedom):
    assert distributions.t_quantile(probability, freedom) == pytest.approx(
        reference.t.ppf(probability, freedom), rel=1e-8, abs=1e-9
    )


def test_a_single_contrast_of_many_groups_is_the_paired_t_interval():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(400, 2))
    found = intervals.contrasts(values, None, {"b - a": [-1, 1]}, resamples=4000)["b - a"]
    wanted = reference.ttest_rel(values[:, 1], values[:, 0]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.004)
    assert found.n == 400
    assert found.groups == 400


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(1)
    by_group = rng.normal(size=30)
    groups = np.repeat(np.arange(30), 10)
    values = np.clip(0.5 + 0.1 * by_group[groups] + 0.02 * rng.normal(size=300), 0, 1)
    alone, clustered = intervals.estimate(values), intervals.estimate(values, groups)
    assert alone.mean == clustered.mean
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_more_comparisons_cost_width():
    values = np.random.default_rng(2).uniform(size=(60, 5))
    family = intervals.pairs(list("abcde"))
    one = intervals.contrasts(values, None, {"b - a": family["b - a"]})["b - a"]
    joint = intervals.contrasts(values, None, family)["b - a"]
    assert joint.high - joint.low > 1.2 * (one.high - one.low)
    assert joint.mean == pytest.approx(values[:, 1].mean() - values[:, 0].mean())


def test_few_groups_are_at_least_bonferroni():
    values = np.random.default_rng(2).uniform(size=(40, 3))
    found = intervals.contrasts(values, np.arange(40) % 8, intervals.pairs(list("abc")))
    assert found["b - a"].critical >= reference.t.ppf(1 - 0.05 / 6, 7) - 1e-9


def test_missing_scores_drop_only_the_contrasts_that_need_them():
    values = np.array([[0.0, 1, 1], [0, np.nan, 1], [1, 1, 0], [0, 1, 0]])
    found = intervals.contrasts(values, None, intervals.pairs(["a", "b", "c"]))
    assert (found["b - a"].n, found["c - a"].n, found["c - b"].n) == (3, 4, 3)
    assert found["b - a"].mean == pytest.approx(2 / 3)
    assert found["c - a"].mean == pytest.approx(1 / 4)


def test_arms_that_score_alike_are_a_tie_with_a_rule_of_three():
    values = np.random.default_rng(0).integers(0, 2, (100, 1)).astype(float)
    found = intervals.contrasts(np.hstack([values, values]), None, {"b - a": [-1, 1]})["b - a"]
    assert found.degenerate
    assert found.mean == 0
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 100))
    assert found.low == -found.high


def test_a_tie_in_the_family_leaves_the_others_as_they_are():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=50), rng.uniform(size=50)
    family = intervals.pairs(["a", "copy", "b"])
    found = intervals.contrasts(np.stack([a, a, b], axis=1), None, family)
    assert found["copy - a"].degenerate
    assert not found["b - a"].degenerate
    assert found["b - a"].low == pytest.approx(found["b - copy"].low)
    assert np.isfinite(found["b - a"].high)


def test_one_group_tells_nothing_about_others():
    values = np.random.default_rng(0).integers(0, 2, (30, 2)).astype(float)
    found = intervals.contrasts(values, np.zeros(30, int), {"b - a": [-1, 1]})["b - a"]
    assert (found.low, found.high) == (-1, 1)
    estimate = intervals.estimate(values[:, 0], np.zeros(30, int))
    assert (estimate.low, estimate.high) == (0, 1)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_equal_scores_are_no_certainty(value):
    found = intervals.estimate(np.full(40, value), np.repeat(np.arange(20), 2), failed=3)
    assert found.high - found.low > 0.1
    assert found.low <= value <= found.high
    assert (found.n, found.failed) == (40, 3)


def test_zero_of_n_is_wilson_on_groups():
    found = intervals.estimate(np.zeros(40), np.repeat(np.arange(20), 2))
    t = reference.t.ppf(0.975, 19)
    assert found.high == pytest.approx(t**2 / (20 + t**2))


def test_no_score_is_an_error_and_not_a_number():
    with pytest.raises(StudyError):
        intervals.estimate([np.nan, np.nan])
    with pytest.raises(StudyError, match="c - a"):
        intervals.contrasts([[1, np.nan], [np.nan, 0]], None, {"c - a": [-1, 1]})
    with pytest.raises(StudyError, match="groups"):
        intervals.estimate([1.0, 0.0], [1])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0, math.nan]), st.integers(0, 6)), min_size=1, max_size=60),
    st.integers(0, 3),
)
def test_an_estimate_always_holds_its_mean_and_stays_in_range(rows, failed):
    values, groups = np.array([v for v, _ in rows]), np.array([g for _, g in rows])
    if np.isnan(values).all():
        return
    found = intervals.estimate(values, groups, failed=failed)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.high > found.low
    assert found.n == int(np.isfinite(values).sum())


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 40), st.integers(2, 4), st.integers(0, 10**6))
def test_contrasts_do_not_depend_on_the_order_of_questions_or_group_names(groups, arms, seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(groups), 2)
    values = rng.integers(0, 2, (2 * groups, arms)).astype(float)
    family = intervals.pairs([str(arm) for arm in range(arms)])
    straight = intervals.contrasts(values, labels, family, resamples=200)
    within = np.arange(2 * groups).reshape(-1, 2)[:, ::-1].reshape(-1)
    turned = intervals.contrasts(values[within], labels[within] * 7 + 3, family, resamples=200)
    for name, one in straight.items():
        assert one.low <= one.mean <= one.high
        assert (one.low, one.high) == pytest.approx((turned[name].low, turned[name].high))


def test_the_same_seed_gives_the_same_interval_and_chunks_do_not_matter(monkeypatch):
    values = np.random.default_rng(0).uniform(size=(50, 3))
    family = intervals.pairs(list("abc"))
    first = intervals.contrasts(values, None, family, seed=5)
    assert first == intervals.contrasts(values, None, family, seed=5)
    assert first != intervals.contrasts(values, None, family, seed=6)
    monkeypatch.setattr(draws, "_CELLS", 5000)
    monkeypatch.setattr(draws, "_CACHED", 0)
    assert intervals.contrasts(values, None, family, seed=5)["b - a"].low == pytest.approx(first["b - a"].low, abs=0.01)


def test_factorial_effects_are_the_textbook_ones():
    arms = ["base", "prompt", "rag", "ft", "ft+rag"]
    means = np.array([0.1, 0.9, 0.3, 0.25, 0.6])
    weights = intervals.factorial(arms, base="base", rag="rag", ft="ft", both="ft+rag")
    assert weights["retrieval"] @ means == pytest.approx(((0.3 - 0.1) + (0.6 - 0.25)) / 2)
    assert weights["tuning"] @ means == pytest.approx(((0.25 - 0.1) + (0.6 - 0.3)) / 2)
    assert weights["interaction"] @ means == pytest.approx((0.6 - 0.25) - (0.3 - 0.1))


def test_pooled_of_a_mean_is_near_the_estimate_of_the_mean():
    rng = np.random.default_rng(4)
    values = rng.integers(0, 2, 600).astype(float)
    groups = np.repeat(np.arange(100), 6)
    one, other = intervals.pooled(lambda x: float(np.mean(x)), list(values), groups), intervals.estimate(values, groups)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.01)
    folded = intervals.pooled(lambda x: float(np.mean(x)), list(values))
    assert folded.mean == one.mean
    assert folded.high - folded.low == pytest.approx(one.high - one.low, rel=0.4)


def test_unequal_groups_are_worth_fewer():
    assert intervals.kish([4, 4, 4]) == pytest.approx(3)
    assert intervals.kish([30, *[1] * 10]) == pytest.approx(40**2 / 910)
    assert intervals.kish([]) == 0
    values = np.random.default_rng(0).uniform(size=(40, 2))
    uneven = np.concatenate([np.zeros(30, int), np.arange(1, 11)])
    found = intervals.contrasts(values, uneven, {"b - a": [-1, 1]})["b - a"]
    assert found.worth == pytest.approx(40**2 / 910)
    assert found.critical >= reference.t.ppf(0.975, max(1, found.worth - 1)) - 1e-9


@pytest.mark.parametrize(
    "sizes",
    [
        [40, 20, 13, 10, 8, 6, 5, 5, 4, 4, *[3] * 4, *[2] * 6, *[1] * 10],
        [43, *[2] * 49],
        [1] * 12 + [5] * 8 + [20] * 3,
    ],
    ids=["falling", "giant", "three sizes"],
)
def test_a_mean_keeps_its_coverage_where_groups_are_very_unequal(sizes):
    """Graded scores of 0, .5 and 1, a third of whose variance lies between groups."""
    groups, chance, held, times = np.repeat(np.arange(len(sizes)), sizes), np.random.default_rng(4), 0, 500
    for _ in range(times):
        own = 0.6 * chance.normal(size=len(sizes))[groups] + 0.8 * chance.normal(size=len(groups))
        found = intervals.estimate((own > 0.253) * 0.5 + (own > 0.842) * 0.5, groups)
        held += found.low <= 0.3 <= found.high
    assert held / times >= 0.93


def test_a_member_alone_has_the_same_interval_in_every_family():
    values = np.random.default_rng(2).uniform(size=(60, 5))
    family = intervals.pairs(list("abcde"))
    together = intervals.contrasts(values, None, family, joint=False, resamples=500)
    for name, weight in family.items():
        single = intervals.contrasts(values, None, {name: weight}, resamples=500)[name]
        assert (single.low, single.high, single.p) == pytest.approx(
            (together[name].low, together[name].high, together[name].p)
        )


def test_differences_that_cancel_within_groups_are_neither_certain_nor_alike():
    first = np.tile([0.0, 1.0], 30)
    found = intervals.contrasts(np.stack([first, 1 - first], axis=1), np.repeat(np.arange(30), 2), {"b - a": [-1, 1]})
    assert not found["b - a"].degenerate
    assert found["b - a"].high == -found["b - a"].low == pytest.approx(1 - 0.025 ** (1 / 30))


@given(st.integers(0, 9), st.integers(0, 9), st.integers(12, 80))
@settings(deadline=None, max_examples=80)
def test_an_end_that_does_not_show_the_sign_of_a_sparse_difference_is_at_least_exact(more, less, n):
    difference = np.array([1.0] * more + [-1.0] * less + [0.0] * (n - more - less) if more + less <= n else [])
    if more + less >= intervals.SPARSE_GROUPS or not len(difference):
        return
    values = np.stack([(difference < 0) * 1.0, (difference > 0) * 1.0], axis=1)
    found = intervals.contrasts(values, None, {"b - a": [-1, 1]}, resamples=300)["b - a"]
    beta = reference.beta
    if found.high >= 0:
        assert found.high >= beta.ppf(0.975, more + 1, n - more) - 1e-7
    if found.low <= 0:
        assert found.low <= -beta.ppf(0.975, less + 1, n - less) + 1e-7
    if found.low > 0:
        assert less == 0 or more - less >= 5
        assert reference.binomtest(more, more + less, 0.5).pvalue < 0.25


def test_scores_outside_their_range_are_refused_and_never_guessed_to_have_none():
    values = np.array([[0.2, 1.4], [0.1, 0.3], [0.5, 0.2]])
    with pytest.raises(StudyError, match=r"1\.4 lies outside 0 to 1"):
        intervals.contrasts(values, None, {"b - a": [-1, 1]})
    with pytest.raises(StudyError, match=r"-0\.1 lies"):
        intervals.estimate([-0.1, 0.3])
    fast = np.random.default_rng(0).uniform(0.2, 0.4, 30)
    sparse = intervals.contrasts(np.stack([fast, fast], axis=1), None, {"b - a": [-1, 1]}, bounded=False)["b - a"]
    assert (sparse.low, sparse.high) == (-math.inf, math.inf)


def test_the_upper_bound_of_a_share_is_clopper_and_pearson_s() -> None:
    beta = reference.beta
    for count, n in ((0, 14), (1, 14), (5, 36), (30, 200), (0.5, 9.3)):
        assert distributions.binomial_upper(count, n, 0.95) == pytest.approx(
            beta.ppf(0.95, count + 1, n - count), abs=1e-8
        )
    assert distributions.binomial_upper(7, 7, 0.95) == 1
    assert distributions.binomial_below(3, 3, 0.2) == 1


@pytest.mark.parametrize("share", [0.5, 0.95])
@pytest.mark.parametrize("n", [1, 2, 6, 12, 71, 72, 200])
def test_the_ends_of_a_quantile_are_the_widest_order_statistics_that_the_binomial_allows(share, n):
    values = np.arange(1, n + 1, dtype=float)
    mean, low, high = intervals.quantile_interval(values[::-1], share)
    assert mean == pytest.approx(np.quantile(values, share))
    law = reference.binom(n, share)
    if low is None:
        assert law.cdf(0) > 0.025
    else:
        assert law.cdf(low - 1) <= 0.025 < law.cdf(low)
    if high is None:
        assert law.sf(n - 1) > 0.025
    else:
        assert law.sf(high - 1) <= 0.025 < law.sf(high - 2)


def test_an_upper_end_of_p95_needs_72_values_and_of_the_median_six():
    assert (intervals.least_for_upper_end(0.95), intervals.least_for_upper_end(0.5)) == (72, 6)
    assert intervals.quantile_interval(np.arange(71), 0.95)[2] is None
    assert intervals.quantile_interval(np.arange(72), 0.95)[2] == 71
    with pytest.raises(StudyError):
        intervals.quantile_interval([math.nan], 0.5)


def test_a_quantiles_interval_keeps_its_coverage():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        _, low, high = intervals.quantile_interval(rng.exponential(size=30), 0.5)
        hits += low <= math.log(2) <= high
    assert hits / 600 > 0.93


def steady_gains(n: int, gain: float, lost: int = 0):
    """A second arm that gains this on every question, give or take, but for some that it loses wholly."""
    rng = np.random.default_rng(3)
    first = rng.uniform(0.5, 0.7, n)
    second = first + gain + rng.uniform(-0.02, 0.02, n)
    second[:lost] = 0.0
    return np.stack([first, second], axis=1)


@pytest.mark.parametrize(
    ("n", "gain", "lost", "shown"), [(30, 0.05, 0, False), (30, 0.1, 1, False), (30, 0.2, 0, True)]
)
def test_a_gain_that_unseen_losses_could_undo_is_not_shown(n, gain, lost, shown):
    values = steady_gains(n, gain, lost)
    for joint in (False, True):
        found = intervals.contrasts(values, None, {"b - a": [-1, 1]}, joint=joint)["b - a"]
        turned = intervals.contrasts(values[:, ::-1], None, {"b - a": [-1, 1]}, joint=joint)["b - a"]
        assert (found.low > 0) == (found.p < 0.05) == shown
        assert (turned.low, turned.high, turned.p) == pytest.approx((-found.high, -found.low, found.p), abs=1e-9)
        assert -1 <= found.low <= found.mean <= found.high <= 1


def test_where_whole_losses_were_seen_nothing_more_is_held_against_a_gain():
    rng = np.random.default_rng(1)
    values = (rng.uniform(size=(200, 2)) < [0.3, 0.5]).astype(float)
    found = intervals.contrasts(values, None, {"b - a": [-1, 1]})["b - a"]
    assert found.low == pytest.approx(found.mean - found.critical * found.se, abs=0.01)
    assert found.low > 0


def test_a_mean_of_steady_scores_allows_for_what_was_not_seen():
    rng = np.random.default_rng(5)
    steady = intervals.estimate(rng.uniform(0.68, 0.72, 30))
    assert steady.low < 0.63
    assert steady.high > 0.72
    assert intervals.estimate(rng.uniform(0.68, 0.72, 3000)).low > 0.695
    mixed = (rng.uniform(size=200) < 0.7).astype(float)
    assert intervals.estimate(mixed).low > 0.6, "where 0 and 1 were seen nothing is hidden"


def test_five_groups_of_one_sign_show_no_difference_however_few_the_draws() -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(5), 8)
    for seed in range(40):
        gains = np.clip(0.6 + 0.02 * rng.normal(size=40), 0, 1)
        scores = np.stack([np.zeros(40), gains], axis=1)
        found = intervals.contrasts(scores, groups, {"gain": [-1, 1]}, resamples=200, seed=seed, joint=False)["gain"]
        assert found.low <= 0, "five signs agree by chance in one of sixteen studies"
        assert found.p >= 1 / 16
