"""Served arms beside the bare generator and beside one at a time, with the demo's documents and the embedded model.

    python bench/serving.py [--rounds 3]

In one run, the sides taking turns and another first in each round, every question new to both sides (so that no prefix
cache knows it). Ratios of seconds and, for the overhead, of processor seconds of this process and its children,
which other jobs on the machine disturb less:

- overhead: 8 questions one after the other, and 16 at once, of a served arm (search, rendering and reading included),
  over the bare generator on the same rendered prompts;
- throughput: 16 clients that ask again as soon as they are answered, beside one question at a time by `System.answer`;
- first piece: of a question asked before, with retrieval over without.

Medians of the rounds' ratios, each with its range. The arms are the server's own, in this process; nothing goes over
HTTP (`bench/serving_http.py` does). Both sides answer 16 questions before the first round: a runtime allots its memory
then.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEMO = Path(__file__).resolve().parents[1] / "src" / "twofold" / "demo"
STREAMS = 16
ALONE = 8
CLOSED_LOOP = 32
"""Questions of the 16 clients."""
PIECES, AGAIN = 8, 3
"""Questions asked for the time to the first piece, and how often each after the first time."""
A_ROUND = ALONE + STREAMS + CLOSED_LOOP + PIECES


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a piece of work took."""

    seconds: float
    processor: float
    """Of this process and its children."""


def processor() -> float:
    """Processor seconds of this process and of the children that run (Linux)."""
    ticks = 0
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def spent(work: Callable[[], Any]) -> Spent:
    """Do it, and say what it took."""
    started, before = time.perf_counter(), processor()
    work()
    return Spent(seconds=time.perf_counter() - started, processor=processor() - before)


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    return spent(work).seconds


def submit(arm: Any, example: Any) -> Any:
    """The ticket of a question, asked by someone who may see everything."""
    from twofold.serving.dispatch import Overrides

    return arm.submit(example, filter=None, overrides=Overrides())


def fetch(arm: Any, example: Any) -> Any:
    """The answer."""
    *_, answer = submit(arm, example).pieces()
    return answer


def at_once(arm: Any, examples: Sequence[Any]) -> None:
    """All submitted before the first is fetched."""
    for ticket in [submit(arm, example) for example in examples]:
        for _ in ticket.pieces():
            pass


def by_clients(arm: Any, examples: Sequence[Any]) -> None:
    """As many clients as streams, each of which asks on as soon as it is answered."""
    todo: Iterator[Any] = iter(examples)
    lock = threading.Lock()

    def client() -> None:
        while True:
            with lock:
                example = next(todo, None)
            if example is None:
                return
            fetch(arm, example)

    clients = [threading.Thread(target=client) for _ in range(STREAMS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()


def first_pieces(arms: Sequence[Any], examples: Sequence[Any]) -> list[float]:
    """Median seconds to the first piece of questions that were asked before, of each arm."""
    seconds: list[list[float]] = [[] for _ in arms]
    for example in examples:
        for arm, measured in zip(arms, seconds, strict=True):
            fetch(arm, example)
            for _ in range(AGAIN):
                pieces = submit(arm, example).pieces()
                measured.append(timed(lambda pieces=pieces: next(pieces)))
                list(pieces)
    return [statistics.median(measured) for measured in seconds]


def one_round(
    sides: dict[str, Any], questions: list[Any], *, live_first: bool, overhead_only: bool
) -> dict[str, float]:
    """One number for each measure."""
    system, live, closed_book = sides["system"], sides["live"], sides["closed book"]

    def take(count: int) -> list[Any]:
        taken, questions[:count] = questions[:count], []
        return taken

    alone, together = take(ALONE), take(STREAMS)
    prompts = {one.id: made.prompt for one in (*alone, *together) for made in system.prepare([one])}
    sides_of = {
        "at 1 stream": (
            lambda: [list(system.generator.stream(prompts[one.id])) for one in alone if prompts[one.id]],
            lambda: [fetch(live, one) for one in alone],
        ),
        "at 16 streams": (
            lambda: system.generator.generate([prompts[one.id] for one in together if prompts[one.id]]),
            lambda: at_once(live, together),
        ),
    }
    row: dict[str, float] = {}
    for name, (bare, served) in sides_of.items():
        if live_first:
            of_live, of_bare = spent(served), spent(bare)
        else:
            of_bare, of_live = spent(bare), spent(served)
        row[f"overhead {name}"] = of_live.seconds / of_bare.seconds
        row[f"overhead {name}, processor"] = of_live.processor / of_bare.processor
        print(f"{name}: {row}", file=sys.stderr)
    if overhead_only:
        return row
    # The same questions on both sides, which have caches apart: answers differ in length more than the sides in speed.
    many, again = take(CLOSED_LOOP), take(PIECES)
    works = {
        "clients": lambda: by_clients(live, many),
        "one at a time": lambda: [list(system.answer([one])) for one in many],
    }
    seconds = {name: timed(works[name]) for name in sorted(works, reverse=live_first)}
    with_retrieval, without = first_pieces([live, closed_book], again)
    return {
        **row,
        "requests/s of 16 clients over one at a time": seconds["one at a time"] / seconds["clients"],
        "requests/s of 16 clients": CLOSED_LOOP / seconds["clients"],
        "first piece, repeated, with retrieval over without": with_retrieval / without,
        "first piece with retrieval, ms": with_retrieval * 1000,
    }


def main() -> None:
    """Measure the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--overhead", action="store_true", help="only the overhead")
    given = parser.parse_args()
    from twofold.project import Project
    from twofold.serving.arm import ServedArm
    from twofold.serving.batches import RunningBatches

    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        project = opened.enter_context(Project.create(Path(folder) / "demo", DEMO))
        project.sync()
        questions = list(project.examples)
        assert len(questions) >= given.rounds * A_ROUND + STREAMS, "too few questions for so many rounds"
        # Opened apart: a served arm changes the parts of its project's search.
        served = opened.enter_context(Project.open(project.directory))
        system = opened.enter_context(closing(project.open_system(arm="rag")))
        batches = opened.enter_context(RunningBatches(most=1))
        live, closed_book = (
            opened.enter_context(closing(ServedArm(served, batches, arm=arm, unmeasured=True)))
            for arm in ("rag", "base")
        )
        sides = {"system": system, "live": live, "closed book": closed_book}
        warm, questions[-STREAMS:] = questions[-STREAMS:], []
        list(system.answer(warm))
        at_once(live, warm)
        for number in range(given.rounds):
            rows.append(one_round(sides, questions, live_first=number % 2 == 1, overhead_only=given.overhead))
            print(f"round {number + 1}: {rows[-1]}", file=sys.stderr)
    table = {
        name: {"median": statistics.median(values), "least": min(values), "most": max(values)}
        for name in rows[0]
        for values in [[row[name] for row in rows]]
    }
    print(json.dumps({"rounds": given.rounds, "questions a round": A_ROUND, **table}, indent=1))


if __name__ == "__main__":
    main()
