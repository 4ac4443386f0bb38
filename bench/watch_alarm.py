"""How long the detector of `twofold watch` runs without a false alarm, and how soon it finds a drop.

For each share that is lost of the passages that were found: median and 90th percentile of the probes until the alarm,
beside the bound log(A) / KL (Lorden 1971) of a detector that knows the share. And for an unpaired detector, which
compares the share of hits with an earlier share, what that bound is at several hit rates.

    python bench/watch_alarm.py [--runs 400]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from twofold.monitoring.probing import HIT, TOLERATED
from twofold.monitoring.signals import RUN_LENGTH
from twofold.stats import sequential

BLOCK = 10


def kl(p: float, q: float) -> float:
    parts = ((p, q), (1 - p, 1 - q))
    return sum(one * math.log(one / other) for one, other in parts if one)


def delay(draw: Callable[[int], np.ndarray], *, tolerated: float, run_length: float, most: int) -> int:
    wealth = sequential.START
    for seen in range(0, most, BLOCK):
        wealth = sequential.advanced(wealth, draw(BLOCK), tolerated=tolerated)
        if sequential.statistic(wealth) >= run_length:
            return seen + BLOCK
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(7)
    tolerated = TOLERATED[HIT]
    print(f"alarm at a wealth of {RUN_LENGTH:.3g}; up to {tolerated:.0%} lost are tolerated; {runs} runs")
    print("lost   median   90 %   bound of one that knows the share")
    for lost in (0.05, 0.1, 0.15, 0.2, 0.5):
        found = [
            delay(lambda n, p=lost: rng.random(n) < p, tolerated=tolerated, run_length=RUN_LENGTH, most=20_000)
            for _ in range(runs)
        ]
        bound = math.log(RUN_LENGTH) / kl(lost, tolerated)
        print(f"{lost:4.0%} {np.median(found):8.0f} {np.quantile(found, 0.9):6.0f} {bound:7.0f}")
    print("unpaired, a drop of 10 %, one alarm in 300,000: bound by hit rate")
    for rate in (0.5, 0.8, 0.9, 0.95, 0.99):
        print(f"{rate:4.0%} {math.log(300_000) / kl(0.9 * rate, rate):8.0f}")
    # At a tenth of the run length, which can be simulated: an alarm in as many values has at most that chance.
    print("false alarms at the edge of what is tolerated: run length asked for, mean of runs cut at four times it")
    for asked in (1_000, 10_000):
        ends = [
            delay(lambda n: rng.random(n) < tolerated, tolerated=tolerated, run_length=asked, most=4 * asked)
            for _ in range(max(50, runs // 4))
        ]
        print(f"{asked:7d} {np.mean(ends):9.0f}   runs without an alarm {np.mean(np.array(ends) == 4 * asked):.0%}")


if __name__ == "__main__":
    main()
