"""What looks at a project cost its server: answers at a steady rate, with looks beside them and without.

    python bench/watch_cost.py PROJECT [--rate 10] [--seconds 120] [--every 15m]

Starts `twofold serve` on the project, asks its examples' questions at a steady rate (whether or not the one before is
answered), and meanwhile looks as the server does, a child of the lowest priority, in every other window. Prints, with
windows alternating so that what else the machine does falls on both alike: seconds of an answer in windows with a look
and without, the processor's seconds of a look, and both as shares of the time between two looks.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from twofold.project import Project
from twofold.serving.looks import yield_to_others
from twofold.settings.watching import seconds_of


@dataclass
class Window:
    looking: bool
    seconds: list[float] = field(default_factory=list)
    failures: int = 0


@dataclass(frozen=True)
class Load:
    """Asks at a steady rate."""

    url: str
    model: str
    questions: list[str]
    rate: float

    def run(self, window: Window, ended: threading.Event, at_least: float) -> None:
        chance, threads = random.Random(7), []
        start = time.monotonic()
        number = 0
        with httpx.Client(base_url=self.url, timeout=120, limits=httpx.Limits(max_connections=200)) as client:
            while time.monotonic() - start < at_least or not ended.is_set():
                due = start + number / self.rate
                time.sleep(max(0.0, due - time.monotonic()))
                thread = threading.Thread(target=self._ask, args=(client, window, chance.choice(self.questions)))
                thread.start()
                threads.append(thread)
                number += 1
            for thread in threads:
                thread.join()

    def _ask(self, client: httpx.Client, window: Window, question: str) -> None:
        body = {"model": self.model, "messages": [{"role": "user", "content": question}], "max_tokens": 32}
        start = time.perf_counter()
        reply = client.post("/v1/chat/completions", json=body)
        if reply.status_code == 200:
            window.seconds.append(time.perf_counter() - start)
        else:
            window.failures += 1


def look(project: Path, ended: threading.Event) -> float:
    """Look once as the server does; returns the processor's seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "twofold", "watch", "--once", "--json", "--quiet", "-C", str(project)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield_to_others(child.pid)
    child.wait()
    ended.set()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spread(values: list[float]) -> str:
    late = sorted(values)[int(0.95 * len(values))]
    return f"mean {statistics.fmean(values):.4f} s, p50 {statistics.median(values):.4f}, p95 {late:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--windows", type=int, default=4, help="with a look, and as many without")
    parser.add_argument("--seconds", type=float, default=15, help="of a window at least")
    parser.add_argument("--every", default="15m")
    options = parser.parse_args()
    with Project.open(options.project) as project:
        questions = [example.question for example in project.splits.test]
    command = [sys.executable, "-m", "twofold", "serve", "-C", str(options.project), "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        ready = json.loads(server.stdout.readline())
        load = Load(url=ready["url"], model=ready["model"]["id"], questions=questions, rate=options.rate)
        windows, costs, lasted = [], [], []
        for number in range(2 * options.windows):
            window, ended = Window(looking=number % 2 == 1), threading.Event()
            asking = threading.Thread(target=load.run, args=(window, ended, options.seconds))
            asking.start()
            start = time.monotonic()
            if window.looking:
                costs.append(look(options.project, ended))
                lasted.append(time.monotonic() - start)
            ended.set()
            asking.join()
            windows.append(window)
    finally:
        server.terminate()
        server.wait()
    quiet = [second for window in windows[2:] if not window.looking for second in window.seconds]
    beside = [second for window in windows[2:] if window.looking for second in window.seconds]
    every = seconds_of(options.every)
    print(f"{options.rate:g} questions a second; failures {sum(window.failures for window in windows)}")
    print(f"without a look: {len(quiet)} answers, {spread(quiet)}")
    print(f"with a look:    {len(beside)} answers, {spread(beside)}")
    cost, wall = statistics.median(costs), statistics.median(lasted)
    print(f"a look: {cost:.2f} s of a processor, {wall:.1f} s in all")
    slower = (statistics.fmean(beside) - statistics.fmean(quiet)) / statistics.fmean(quiet)
    print(f"looking every {options.every}: {cost / every:.2%} of a processor;")
    print(f"an answer is {slower:+.1%} slower while a look runs, {slower * wall / every:+.3%} over all")


if __name__ == "__main__":
    main()
