from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from twofold.monitoring import traffic_rows
from twofold.monitoring.traffic_rows import new_rows, stamp, thinned

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def row(second: float) -> Any:
    return {"at": stamp(NOW - timedelta(hours=1) + timedelta(seconds=second)), "request": str(second)}


def test_a_row_is_read_once_whatever_the_log_returns() -> None:
    rows = [row(0), row(1)]
    first = new_rows(lambda _: iter(rows), None, moment=NOW)
    assert [one["request"] for one in first.rows] == ["0", "1"]
    again = new_rows(lambda _: iter([*rows, row(2)]), {"since": first.since}, moment=NOW)
    assert [one["request"] for one in again.rows] == ["2"]
    assert new_rows(lambda _: iter(rows), {"since": again.since}, moment=NOW).since == again.since


def test_a_clock_that_was_set_back_reads_nothing_of_the_future() -> None:
    early = NOW - timedelta(hours=2)
    first = new_rows(lambda _: iter([row(0)]), None, moment=NOW)
    back = new_rows(lambda _: iter([row(0)]), {"since": first.since}, moment=early)
    assert back.rows == ()
    assert back.since == stamp(early)


def test_a_long_log_is_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic_rows, "MOST", 100)
    fresh = new_rows(lambda _: (row(n) for n in range(3000)), None, moment=NOW)
    numbers = [int(one["request"]) for one in fresh.rows]
    assert fresh.seen == 3000
    assert len(numbers) <= 100
    gaps = {later - earlier for earlier, later in pairwise(numbers)}
    assert max(gaps) <= 3 * min(gaps)
    assert fresh.since == stamp(NOW - timedelta(hours=1) + timedelta(seconds=2999))


def test_few_rows_stay_as_they_are() -> None:
    assert [one["request"] for one in thinned([row(0), row(1)], 2)] == ["0", "1"]
