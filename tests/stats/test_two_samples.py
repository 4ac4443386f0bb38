import numpy as np
import pytest

from twofold.stats.two_samples import compared


def cloud(seed: int, n: int = 60, *, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 8)) + shift


def test_samples_of_one_distribution_are_refused_as_often_as_the_level_says() -> None:
    ps = [compared(cloud(2 * seed), cloud(2 * seed + 1, 40), permutations=99, seed=seed).p for seed in range(200)]
    # 200 tests at .1: 20 expected, and 34 or more in one of 1,000 such runs.
    assert 8 <= sum(p <= 0.1 for p in ps) <= 33


def test_a_shift_is_seen_and_its_size_told() -> None:
    small, large = (compared(cloud(1), cloud(2, shift=shift)) for shift in (0.3, 2.0))
    assert large.p == pytest.approx(1 / 2000)
    assert large.auc > 0.99 > small.auc > 0.5
    assert large.discrepancy > small.discrepancy


def test_the_order_of_the_samples_does_not_matter() -> None:
    first, second = compared(cloud(1), cloud(2, shift=0.5)), compared(cloud(2, shift=0.5), cloud(1))
    assert first.discrepancy == pytest.approx(second.discrepancy)
    assert first.auc == pytest.approx(second.auc)


def test_points_that_are_all_one_are_no_difference() -> None:
    same = np.ones((20, 3))
    assert compared(same, same[:10]).p == 1.0
    assert compared(same, same[:10]).auc == 0.5


def test_a_sample_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="1 and 5"):
        compared(np.ones((1, 2)), np.ones((5, 2)))
