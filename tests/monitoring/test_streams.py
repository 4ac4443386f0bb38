import numpy as np
import pytest

from twofold.monitoring.streams import PART, Reference, comparable
from twofold.stats.sequential import MeanDetector

RUN = 50_000.0


def until_alarm(rate: float, reference: Reference, *, seed: int, most: int) -> int | None:
    """Values until the alarm, in looks of 50; None: none within `most`."""
    chance = np.random.default_rng(seed)
    standing = MeanDetector()
    for look in range(most // 50):
        values = (chance.random(50) < rate).astype(float)
        standing = standing.after(values, tolerated=reference.tolerated, run_length=RUN, block=PART)
        if standing.alarm:
            return 50 * (look + 1)
    return None


def usual(share: float, n: int = 400) -> Reference:
    return Reference.of([1.0] * round(share * n) + [0.0] * (n - round(share * n)), "rate")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_a_share_that_stays_raises_no_alarm(share: float) -> None:
    alarms = [until_alarm(share, usual(share), seed=seed, most=2000) for seed in range(10)]
    assert alarms == [None] * 10


@pytest.mark.parametrize(("share", "later", "within"), [(0.0, 0.2, 200), (0.05, 0.3, 200), (0.3, 0.7, 200)])
def test_a_share_that_rises_raises_one_soon(share: float, later: float, within: int) -> None:
    alarms = [until_alarm(later, usual(share), seed=seed, most=2000) for seed in range(10)]
    assert all(alarm is not None and alarm <= within for alarm in alarms)


def test_an_alarm_is_over_when_the_last_values_are_usual_again() -> None:
    reference = usual(0.05)
    bad, good = np.ones(100), np.zeros(100)
    alarmed = MeanDetector().after(bad, tolerated=reference.tolerated, run_length=RUN, block=PART)
    assert alarmed.alarm
    half = alarmed.after(good, tolerated=reference.tolerated, run_length=RUN, block=PART)
    assert half.alarm
    over = half.after(good, tolerated=reference.tolerated, run_length=RUN, block=PART)
    assert not over.alarm
    assert over.statistic == 0.0


def test_ever_so_long_a_fault_leaves_a_number() -> None:
    standing = MeanDetector().after(np.ones(100_000), tolerated=0.01, run_length=RUN, block=PART)
    assert np.isfinite(standing.statistic)


def test_unusual_is_what_lies_outside_the_reference() -> None:
    sample = list(np.linspace(0, 1, 101))
    above, outside = Reference.of(sample, "above"), Reference.of(sample, "outside")
    assert above.unusual([-5, 1.3, 1.4]).tolist() == [0, 0, 1]
    assert outside.unusual([-5, 0.5, 0.96]).tolist() == [1, 0, 1]
    assert outside.tolerated > outside.share == pytest.approx(0.1, abs=0.01)
    assert Reference.from_json(above.to_json()) == above
    assert Reference.from_json(outside.to_json()) == outside


def test_samples_with_other_shares_are_not_comparable() -> None:
    assert comparable([0.0] * 90 + [1.0] * 10, [0.0] * 180 + [1.0] * 20, "rate")
    assert not comparable([0.0] * 90 + [1.0] * 10, [0.0] * 120 + [1.0] * 80, "rate")
