"""A look: alarms that begin, stand and end, failing monitors, clocks, and what is stored when it is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from watched import NOON, ScriptedMonitor, explain

from twofold.errors import ProjectLocked, StoreError, UnknownName
from twofold.monitoring import store as stores
from twofold.monitoring.record import AlarmCause, Reading, WatchReport
from twofold.monitoring.store import FILE, WatchStore, open_retunings, opened
from twofold.monitoring.watching import clock_remarks, looking, watch
from twofold.store.lock import ProjectLock


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with opened(tmp_path / FILE) as store:
        yield store


def look(store: WatchStore, *monitors: ScriptedMonitor, hours: float = 0, **more: Any) -> WatchReport:
    return watch(monitors, store, moment=NOON + timedelta(hours=hours), explain=explain, **more)


def test_an_alarm_begins_once_stands_and_ends(store: WatchStore) -> None:
    probes, costs = ScriptedMonitor(), ScriptedMonitor("costs")
    quiet = look(store, probes, costs)
    assert (quiet["state"], quiet["number"], quiet["new"], quiet["proposals"]) == ("ok", 1, [], [])
    probes.alarm = True
    first = look(store, probes, costs, hours=1, channels=["webhook"])
    assert (first["state"], first["new"], first["over"]) == ("alarm", ["probes.hit"], [])
    assert [p["command"] for p in first["proposals"]] == ["twofold sync --rebuild", "twofold study"]
    second = look(store, probes, costs, hours=2, channels=["webhook"])
    assert (second["state"], second["new"]) == ("alarm", [])
    assert [p["since"] for p in second["proposals"]] == [first["at"]] * 2
    assert store.standing()["probes.hit"].since == first["at"]
    assert len(store.waiting()) == 1, "one alert for an alarm, not one for a look"
    probes.alarm = False
    third = look(store, probes, costs, hours=3, channels=["webhook"])
    assert (third["state"], third["over"], third["proposals"]) == ("ok", ["probes.hit"], [])
    assert [alert.body["over"] for alert in store.waiting()] == [[], ["probes.hit"]]
    assert store.states() == {"probes": {"looks": 4}, "costs": {"looks": 4}}
    assert store.last() == third
    assert [row["state"] for row in store.history("probes.hit", 9)] == ["ok", "alarm", "alarm", "ok"]


def test_who_cannot_look_is_a_remark_and_ends_no_alarm(store: WatchStore) -> None:
    probes, costs = ScriptedMonitor(alarm=True), ScriptedMonitor("costs")
    look(store, probes, costs)
    probes.down = True
    report = look(store, probes, costs, hours=1, channels=["webhook"])
    assert report["state"] == "alarm"
    assert (report["new"], report["over"]) == ([], [])
    assert report["remarks"][0] == "probes could not look: the index is down since noon"
    assert report["remarks"][1].startswith(
        "probes.hit could not be seen: its alarm of 2026-03-28T12:00:00+00:00 stands"
    )
    assert [cause["signals"] for cause in report["causes"]] == [["probes.hit"]], "explained by its last reading"
    assert store.states()["probes"] == {"looks": 1}, "the state before stays"
    costs.down = True
    assert look(store, probes, costs, hours=2, channels=["webhook"])["state"] == "failed"
    look(store, probes, costs, hours=3, channels=["webhook"])
    assert [alert.body["state"] for alert in store.waiting()] == ["failed"], "told once"


def test_a_faulty_monitor_does_not_blind_the_others(store: WatchStore) -> None:
    odd = ScriptedMonitor("odd", more={"detail": {"share": float("nan")}})
    endless = ScriptedMonitor("endless", more={"statistic": float("inf"), "low": float("nan")})
    report = look(store, odd, endless, ScriptedMonitor("endless"), ScriptedMonitor())
    assert [reading["signal"] for reading in report["readings"]] == ["endless.hit", "probes.hit"]
    assert report["remarks"][0].startswith("odd could not look: ValueError")
    assert "read twice" in report["remarks"][1]
    assert report["readings"][0]["statistic"] == sys.float_info.max
    assert report["readings"][0]["low"] is None
    assert store.last() == report


def test_a_dismissed_proposal_stays_away_until_its_cause_is_over(store: WatchStore) -> None:
    probes = ScriptedMonitor(alarm=True)
    number = look(store, probes)["proposals"][0]["number"]
    assert store.dismiss(number, why="known")["command"] == "twofold sync --rebuild"
    assert [p["command"] for p in look(store, probes, hours=1)["proposals"]] == ["twofold study"]
    with pytest.raises(UnknownName, match="no open proposal has the number 1"):
        store.dismiss(number)
    probes.alarm = False
    look(store, probes, hours=2)
    probes.alarm = True
    again = look(store, probes, hours=3)["proposals"]
    assert [p["command"] for p in again] == ["twofold sync --rebuild", "twofold study"]
    assert again[0]["number"] > number


def test_the_clock_goes_back_and_forth(store: WatchStore) -> None:
    probes = ScriptedMonitor()
    for hours in range(8):
        assert look(store, probes, hours=hours)["remarks"] == [], "also over the night in which clocks go forward"
    assert look(store, probes, hours=11)["remarks"] == [
        "3 looks missed since 2026-03-28T19:00:00+00:00: what happened then was not seen"
    ]
    back = look(store, probes, hours=-24 * 365)
    assert back["state"] == "ok"
    assert back["remarks"][0].startswith("the clock was set back: the last look was at 2026-03-28T23:00:00+00:00")
    assert look(store, probes, hours=-24 * 365 + 1)["remarks"] == [], "said once"
    assert store.last()["number"] == 11  # type: ignore[index]


def test_zones_are_all_one_time(store: WatchStore) -> None:
    summer = timezone(timedelta(hours=2))
    # 02:30 comes twice in this night; in UTC it does not.
    first = watch([ScriptedMonitor()], store, moment=datetime(2026, 10, 25, 2, 30, tzinfo=summer), explain=explain)
    winter = timezone(timedelta(hours=1))
    second = watch([ScriptedMonitor()], store, moment=datetime(2026, 10, 25, 2, 30, tzinfo=winter), explain=explain)
    assert (first["at"], second["at"]) == ("2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00")
    assert second["remarks"] == []


@given(st.lists(st.integers(-(10**9), 10**9), max_size=12), st.integers(-(10**9), 10**9), st.floats(0, 1e7))
@settings(max_examples=50, deadline=None)
def test_no_order_of_times_is_a_fault(seconds: list[int], now: int, every: float) -> None:
    times = [NOON + timedelta(seconds=one) for one in seconds]
    remarks = clock_remarks(times, NOON + timedelta(seconds=now), every=every)
    assert len(remarks) <= 1
    if times and now < seconds[-1]:
        assert "set back" in remarks[0]


def test_looks_are_bounded(store: WatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "LOOKS", 6)
    monkeypatch.setattr(stores, "DETAILED", 2)
    probes = ScriptedMonitor(more={"detail": {"lost": ["a"]}})
    for hours in range(9):
        probes.alarm = hours == 4
        look(store, probes, hours=hours)
    history = store.history("probes.hit", 99)
    assert len(history) == 6
    assert [bool(row["detail"]) for row in history] == [False, True, False, False, True, True], "alarms stay whole"
    assert [report["number"] for report in store.reports(99)] == [9, 8, 7, 6, 5, 4]


def test_an_alarm_asks_for_one_training(store: WatchStore, tmp_path: Path) -> None:
    def moved(readings: Sequence[Reading], _: object) -> list[AlarmCause]:
        names = [one["signal"] for one in readings if one["state"] == "alarm"]
        return [{"cause": "questions moved", "signals": names, "evidence": [], "detail": {}}]

    drift = ScriptedMonitor("questions", alarm=True)
    for hours in (0, 30):  # it stands
        watch([drift], store, moment=NOON + timedelta(hours=hours), explain=moved, tuned=True)
    assert open_retunings(tmp_path / FILE) == 1
    assert open_retunings(tmp_path / FILE, trained=NOON - timedelta(days=1)) == 1
    assert open_retunings(tmp_path / FILE, trained=NOON + timedelta(hours=1)) == 0, "followed, though its cause lasts"
    drift.alarm = False
    watch([drift], store, moment=NOON + timedelta(hours=31), explain=moved, tuned=True)
    drift.alarm = True
    watch([drift], store, moment=NOON + timedelta(hours=32), explain=moved, tuned=True)
    assert open_retunings(tmp_path / FILE, trained=NOON + timedelta(hours=1)) == 1, "it began again"


def test_two_watchers_at_once(tmp_path: Path) -> None:
    def lock(name: str, **words: str) -> ProjectLock:
        return ProjectLock(tmp_path / name, **words)

    with looking(lock), pytest.raises(ProjectLocked, match="is watching this project") as caught, looking(lock):
        pass
    assert "twofold watch" in caught.value.cure
    with looking(lock):
        pass


def test_the_file_is_for_its_owner_and_of_this_version(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no record of looks yet"), opened(tmp_path / FILE, readonly=True):
        pass
    assert open_retunings(tmp_path / FILE) == 0
    with opened(tmp_path / FILE):
        pass
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("INSERT INTO migrations (version) VALUES (99)")
    with pytest.raises(StoreError, match="record of looks has version 99"), opened(tmp_path / FILE):
        pass


@pytest.mark.parametrize("content", [None, b"no database at all, but long enough" * 99])
def test_a_file_that_is_none_is_named_with_a_cure(tmp_path: Path, content: bytes | None) -> None:
    if content is None:
        (tmp_path / FILE).mkdir()
    else:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StoreError, match="record of looks") as caught, opened(tmp_path / FILE):
        pass
    assert "move it away" in caught.value.cure


def test_looks_survive_a_kill(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from datetime import timedelta\n"
        "from watched import NOON, ScriptedMonitor, explain\n"
        "from twofold.monitoring.store import opened\nfrom twofold.monitoring.watching import watch\n"
        "with opened(Path(sys.argv[1], 'watch.sqlite')) as store:\n"
        "    for n in range(10**6):\n"
        "        monitor = ScriptedMonitor(alarm=n % 2 == 1)\n"
        "        watch([monitor], store, moment=NOON + timedelta(hours=n), explain=explain, channels=['webhook'])\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / FILE).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with opened(tmp_path / FILE) as store:
        last = store.last()
        count = last["number"] if last else 0
        # States, readings and alerts of every stored look, and of no other: one alert from the second look on.
        assert store.states().get("probes", {"looks": 0}) == {"looks": count}
        assert len(store.history("probes.hit", 10**6)) == count
        assert len(store.waiting()) == max(0, count - 1)
        report = watch([ScriptedMonitor()], store, moment=datetime.now(UTC), explain=explain)
        assert report["number"] == count + 1
