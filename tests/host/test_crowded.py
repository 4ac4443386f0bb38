"""Whether others use the cores is measured on the cores, not read from a figure of the last minute."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from twofold.assembly import rehearsal
from twofold.host import capabilities


def test_others_that_compute_on_all_cores_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "uses_cuda", lambda: False)
    count = 3 * capabilities.cores()
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.5)
        assert sum(capabilities.crowded() for _ in range(5)) >= 4
        monkeypatch.setattr(capabilities, "uses_cuda", lambda: True)
        assert not capabilities.crowded(), "a GPU works beside them"
    finally:
        for one in others:
            one.kill()
            one.wait()


@pytest.mark.parametrize(("share", "crowded"), [(1.0, False), (0.5, True)])
def test_a_thread_that_gets_all_of_its_time_is_alone(
    monkeypatch: pytest.MonkeyPatch, share: float, *, crowded: bool
) -> None:
    now = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(now) / 100, thread_time=lambda: 0.0)
    clock.thread_time = lambda: share * clock.perf_counter()
    monkeypatch.setattr(capabilities, "uses_cuda", lambda: False)
    monkeypatch.setattr(capabilities, "cores", lambda: 1)
    monkeypatch.setattr(capabilities, "time", clock)
    assert capabilities.crowded() is crowded


def test_a_busy_machine_is_measured_by_the_processors_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = used = 0.0
    # On a clock of its own: beside other work, .2 s of the processor's time take as long as that work lets them.
    clock = SimpleNamespace(perf_counter=lambda: wall, process_time=lambda: used)
    monkeypatch.setattr(rehearsal, "time", clock)
    monkeypatch.setattr(capabilities, "cores", lambda: 2)

    def work() -> str:
        """Computes for .2 s of the processor's time, and waits for half a second as if others computed."""
        nonlocal wall, used
        wall, used = wall + 0.7, used + 0.2
        return "made"

    def waits() -> None:
        """Waits for a server."""
        nonlocal wall
        wall += 0.5

    _, waited = rehearsal._timed(waits, busy=True)
    assert waited == pytest.approx(0.5), "what waits for a server takes as long when the machine is free"
    assert rehearsal._timed(work, busy=False) == ("made", pytest.approx(0.7))
    _, shared = rehearsal._timed(work, busy=True)
    assert shared == pytest.approx(0.1)
    _, alone = rehearsal._timed(work, busy=True, cores=1)
    assert alone == pytest.approx(0.2)
