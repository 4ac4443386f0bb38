"""From measured rates of one machine to 10⁶, 10⁸, 10¹⁰ passages and 10, 1,000, 100,000 questions a second.

    python bench/scale_model.py [--points bench/scale_points.json] [--machine cores=16,gib=64] [--prices machine=0.80]
    python bench/scale_model.py --measured FOLDER/measured.json    points of bench/million.py instead of the stored ones

Three parts. *Laws*: each amount (seconds of a sync, bytes on disk, memory, milliseconds of a search) has a law with two
parameters in the number of passages, fitted to measured points by least squares of logarithms; each point is predicted
from all others, and the table says by how much the law is wrong there. *Queues*: an engine that reads and writes for
many at once is simulated event by event, so is a machine whose cores search; how many requests a second one of them
bears before its slowest twentieth takes too long decides how many are needed. *Tables*: what that makes at each size,
which limit is met first, and what it costs at given prices.

Each number has its basis: ``measured``, ``law`` (with how far beyond the largest measured point it was carried), or
``assumed`` (what could not be run here, with its source). A law that is carried a hundred times further is no promise.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STAGES = ("read", "cut and record", "words of the index", "embed")
"""What a sync does with a passage, in this order."""
SIZES = (10**6, 10**8, 10**10)
RATES = (10, 1_000, 100_000)
POINTS = Path(__file__).with_name("scale_points.json")
GIB = 1 << 30

# ---------------------------------------------------------------- laws

FORMS: dict[str, Callable[[float], float]] = {
    "linear": lambda n: n,
    "n log n": lambda n: n * math.log(n),
    "root": math.sqrt,
    "log": math.log,
}
"""``amount = fixed + slope · f(n)``; ``power`` is ``fixed · n^slope``."""


@dataclass(frozen=True, kw_only=True)
class Law:
    """How an amount grows with the number of passages."""

    form: str
    fixed: float
    slope: float
    largest: float
    """The largest size that it was fitted to."""

    def __call__(self, n: float) -> float:
        if self.form == "power":
            return self.fixed * n**self.slope
        return self.fixed + self.slope * FORMS[self.form](n)

    def reach(self, n: float) -> float:
        """How many times further than measured `n` is; 1 within."""
        return max(1.0, n / self.largest)


def fitted(points: Mapping[float, float], form: str) -> Law:
    """Least squares of the ratio predicted / measured, so that a small size counts as much as a large one.

    Neither part of a law is negative: an amount that shrinks with the number of passages is noise.
    """
    sizes = np.array(sorted(points), dtype=float)
    amounts = np.array([points[size] for size in sorted(points)], dtype=float)
    if form == "power":
        slope, fixed = np.polyfit(np.log(sizes), np.log(amounts), 1) if len(sizes) > 1 else (1.0, 0.0)
        fixed = fixed if len(sizes) > 1 else math.log(amounts[0] / sizes[0])
        return Law(form=form, fixed=math.exp(fixed), slope=float(slope), largest=float(sizes[-1]))
    from scipy.optimize import nnls

    shape = np.array([FORMS[form](size) for size in sizes])
    parts, _ = nnls(np.column_stack([1 / amounts, shape / amounts]), np.ones(len(sizes)))
    return Law(form=form, fixed=float(parts[0]), slope=float(parts[1]), largest=float(sizes[-1]))


def left_out(points: Mapping[float, float], form: str) -> dict[float, float]:
    """Size → predicted / measured, the size predicted from all others. Empty with fewer than three points."""
    ratios = {}
    for size, amount in points.items() if len(points) > 2 else ():
        others = {other: value for other, value in points.items() if other != size}
        ratios[size] = fitted(others, form)(size) / amount
    return ratios


# ---------------------------------------------------------------- queues


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine that batches continuously: a step writes a token for each request in hand."""

    step: float
    """Seconds of a step, whatever its batch: the weights are read."""
    each: float
    """Seconds that each further request adds to a step."""
    prompt: float
    """Seconds that reading a request's prompt takes the engine."""
    most: int
    """Requests in hand at a time."""

    def rate(self, tokens: float) -> float:
        """Answers a second with a full batch."""
        return self.most / (tokens * (self.step + self.each * self.most) + self.most * self.prompt)


def answering(engine: Engine, rate: float, tokens: float, *, requests: int = 4000, seed: int = 0) -> list[float]:
    """Seconds of each answer of one engine under Poisson arrivals; the first tenth is left out.

    Lengths are geometric. All requests in hand advance alike, so progress is one clock: a request is done when it
    shows its start plus its length. While a prompt is read no token is written.
    """
    chance = np.random.default_rng(seed)
    arrivals = np.cumsum(chance.exponential(1 / rate, requests)).tolist()
    lengths = chance.geometric(1 / tokens, requests).tolist()
    in_hand: list[tuple[float, int]] = []
    waiting: list[int] = []
    seconds = [0.0] * requests
    now = written = 0.0  # written: tokens of a request that was there from the beginning
    following = 0
    while following < requests or waiting or in_hand:
        while waiting and len(in_hand) < engine.most:
            heapq.heappush(in_hand, (written + lengths[waiting[0]], waiting.pop(0)))
            now += engine.prompt
        pace = engine.step + engine.each * len(in_hand)
        done = now + (in_hand[0][0] - written) * pace if in_hand else math.inf
        if following < requests and arrivals[following] <= done:
            elapsed = max(0.0, arrivals[following] - now)
            written += elapsed / pace if in_hand else 0.0
            now = max(now, arrivals[following])
            waiting.append(following)
            following += 1
            continue
        ends, request = heapq.heappop(in_hand)
        now, written = done, ends
        seconds[request] = now - arrivals[request]
    return seconds[requests // 10 :]


Service = Callable[[np.random.Generator, int], Any]
"""``service(chance, count)``: seconds that so many searches take a core."""


def searching(service: Service, rate: float, cores: int, *, requests: int = 20_000, seed: int = 0) -> list[float]:
    """Seconds of each search of one machine: Poisson arrivals, one queue, a search on one core."""
    chance = np.random.default_rng(seed)
    arrivals = np.cumsum(chance.exponential(1 / rate, requests)).tolist()
    needs = service(chance, requests).tolist()
    free = [0.0] * cores
    seconds = []
    for at, need in zip(arrivals, needs, strict=True):
        start = max(at, heapq.heappop(free))
        heapq.heappush(free, start + need)
        seconds.append(start + need - at)
    return seconds[requests // 10 :]


def lognormal(p50: float, p95: float) -> Service:
    """Service times with this median and this 95th percentile."""
    return lambda chance, count: chance.lognormal(math.log(p50), math.log(max(p95, p50 * 1.01) / p50) / 1.645, count)


def borne(seconds_at: Callable[[float], Sequence[float]], target: float, most: float) -> float:
    """The highest rate, up to `most`, at which 95 of 100 end within `target` seconds; 0 where none do."""
    low, high = 0.0, most
    for _ in range(12):
        rate = (low + high) / 2
        if np.percentile(seconds_at(rate), 95) <= target:
            low = rate
        else:
            high = rate
    return low


# ---------------------------------------------------------------- what is known


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What one machine has, and what it costs an hour."""

    cores: int
    gib: float
    disk_gib: float
    price: float
    gpu_price: float
    gib_month: float
    """Price of a GiB of object storage a month."""


def roofline(billions: float, *, bandwidth: float, flops: float, context: int, kv_bytes: float, most: int) -> Engine:
    """An engine on a GPU that was not run: bound by reading weights and caches, or by arithmetic, at 60 % of both.

    Args:
        billions: Weights, in bfloat16.
        bandwidth: Bytes a second of its memory.
        flops: Operations a second in bfloat16.
        context: Tokens of a prompt.
        kv_bytes: Bytes of cache a token.
        most: Requests in hand.
    """
    weights = billions * 2e9
    return Engine(
        step=weights / (0.6 * bandwidth),
        each=max(context * kv_bytes / (0.6 * bandwidth), weights / (0.6 * flops)),
        prompt=weights * context / (0.6 * flops),
        most=most,
    )


def engine_of(*, alone: float, together: float, most: int, tokens: float, prompt: float) -> Engine:
    """From the tokens a second at one stream and at `most`, of answers of `tokens`, prompts included."""
    one, many = tokens / alone - prompt, most * tokens / together - most * prompt
    each = max(0.0, (many - one) / (tokens * (most - 1)))
    return Engine(step=one / tokens - each, each=each, prompt=prompt, most=most)


def laws_of(points: Mapping[str, Any]) -> dict[str, tuple[Law, dict[float, float], int]]:
    """Name of each amount → its law, the errors of points left out, and how many points there are."""
    laws = {}
    for name, entry in points["amounts"].items():
        by_size = {float(size): float(amount) for size, amount in entry["points"].items()}
        laws[name] = (fitted(by_size, entry["form"]), left_out(by_size, entry["form"]), len(by_size))
    return laws


# ---------------------------------------------------------------- tables


def errors_table(laws: Mapping[str, tuple[Law, dict[float, float], int]], units: Mapping[str, str]) -> list[list[str]]:
    rows = [["amount", "law", "points", "largest", "left out: predicted / measured"]]
    for name, (law, ratios, count) in laws.items():
        told = ", ".join(f"{ratio:.2f} at {size:,.0f}" for size, ratio in ratios.items()) or "too few points"
        rows.append([f"{name}, {units[name]}", f"{law.form}", f"{count}", f"{law.largest:,.0f}", told])
    return rows


def basis(law: Law, n: float) -> str:
    reach = law.reach(n)
    return "law" if reach <= 3 else f"law, {reach:,.0f} × beyond"


def stages_table(points: Mapping[str, Any], machine: Machine) -> list[list[str]]:
    """Machine-hours, bytes and money of each stage at each size."""
    laws, rates = laws_of(points), points["rates"]
    rows = [["stage", *(f"{n:.0e}" for n in SIZES), "basis"]]
    for stage in STAGES:
        entry = rates[stage]
        each = entry["core seconds a passage"] / machine.cores
        rows.append([stage, *_hours(each, machine.price), entry["basis"]])
    gpu = rates["embed on a GPU"]
    rows.append(["embed on one GPU", *_hours(1 / gpu["passages a second"], machine.gpu_price), gpu["basis"]])
    for name in ("index on disk", "catalogue on disk", "rows in memory", "graph in memory"):
        law = laws[name][0]
        rows.append([name, *(amount_of_bytes(law(n)) for n in SIZES), basis(law, SIZES[-1])])
    law = laws["index on disk"][0]
    bills = [amount(law(n) / GIB * machine.gib_month) + " € a month" for n in SIZES]
    return [*rows, ["index in a bucket", *bills, "law and price"]]


def _hours(seconds: float, price: float) -> list[str]:
    """Hours of one machine at each size, of so many seconds a passage, and what they cost."""
    hours = [n * seconds / 3600 for n in SIZES]
    return [f"{amount(h)} h, {amount(h * price)} €" for h in hours]


def limits_table(points: Mapping[str, Any], machine: Machine) -> list[list[str]]:
    """What one machine meets, by the size at which it does: the first row breaks first."""
    laws, rates = laws_of(points), points["rates"]
    has = {"memory": machine.gib * GIB, "half memory": machine.gib * GIB / 2, "disk": machine.disk_gib * GIB}
    met: list[tuple[float, list[str]]] = []
    for name, limit, what, cure in points["limits"]:
        law = laws[name][0]
        size = _met(law, float(has.get(limit, limit)))
        met.append((size, [f"{size:,.0f}" if size < math.inf else "never", what, basis(law, size), cure]))
    a_day = 86_400.0 * machine.cores / sum(rates[stage]["core seconds a passage"] for stage in STAGES)
    what = f"a first sync takes a day on {machine.cores} cores"
    met.append((a_day, [f"{a_day:,.0f}", what, "rates", "Ray; GPUs for embedding"]))
    ordered = sorted(met, key=lambda entry: entry[0])
    return [["passages", "what is met", "basis", "way out"], *(row for _, row in ordered)]


def _met(law: Law, bound: float) -> float:
    low, high = 1.0, 1e15
    if law(high) < bound:
        return math.inf
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if law(middle) < bound else (low, middle)
    return high


def index_table(points: Mapping[str, Any], machine: Machine) -> list[list[str]]:
    """For each size and each rate the machines that search, for each way that holds the size."""
    laws = laws_of(points)
    counts = [f"machines at {rate:,}/s" for rate in RATES]
    rows = [["passages", "way", "memory a copy", "machines a copy", *counts, "basis"]]
    for n in SIZES:
        for way, entry in points["ways"].items():
            if not entry["least"] <= n <= entry["most"]:
                continue
            held = laws[entry["memory law"]][0](n) if "memory law" in entry else entry["bytes a passage"] * n
            copy = max(1, math.ceil(held / (0.7 * machine.gib * GIB)))
            if copy > 1 and not entry["shards"]:
                whole = f"one machine of {math.ceil(held / (0.7 * GIB)):,} GiB"
                rows.append([f"{n:.0e}", way, amount_of_bytes(held), whole, *("" for _ in RATES), entry["basis"]])
                continue
            # A shard has its share of the passages, and every question asks all shards.
            p50 = laws[entry["cpu law"]][0](n / copy) / 1000 if "cpu law" in entry else entry["core seconds"]
            service, target = lognormal(p50, entry["spread"] * p50), max(0.1, 3 * entry["spread"] * p50)
            one = borne(lambda rate: searching(service, rate, machine.cores), target, machine.cores / p50)  # noqa: B023
            needed = [f"{copy * max(1, math.ceil(rate / one)):,}" for rate in RATES]
            rows.append([f"{n:.0e}", way, amount_of_bytes(held), f"{copy:,}", *needed, entry["basis"]])
    return rows


def generation_table(points: Mapping[str, Any], machine: Machine) -> list[list[str]]:
    """Engines and money for each rate, by simulation: 95 of 100 answers within the limit."""
    columns = [f"engines at {rate:,}/s, € an hour" for rate in RATES]
    rows = [["engine", "answers/s of one", "limit s", *columns, "basis"]]
    tokens = points["tokens an answer"]
    for name, entry in points["engines"].items():
        engine = engine_from(entry)
        # Twice what the longest twentieth takes an engine with nobody else: of geometric lengths three times the mean.
        target = 2 * (engine.prompt + 3 * tokens * (engine.step + engine.each))
        highest = 1.2 * engine.rate(tokens)
        one = borne(lambda rate: answering(engine, rate, tokens, requests=1500), target, highest)  # noqa: B023
        price = machine.gpu_price if "gpu" in entry else machine.price * entry["cores"] / machine.cores
        counts = [math.ceil(rate / one) for rate in RATES]
        bills = [f"{count:,}, {amount(count * price)} €" for count in counts]
        rows.append([name, f"{one:.3g}", f"{target:.1f}", *bills, entry["basis"]])
    return rows


def engine_from(entry: Mapping[str, Any]) -> Engine:
    if "gpu" in entry:
        return roofline(**entry["gpu"])
    return engine_of(**entry["cpu"])


def engines_error(points: Mapping[str, Any]) -> list[list[str]]:
    """What `most` clients get who ask again at once, over what one gets, beside measured ratios of other days."""
    rows = [["engine", "measured", "predicted / measured"]]
    for check in points["engine checks"]:
        engine = engine_from(points["engines"][check["engine"]])
        batch, tokens = check["clients"], check["tokens"]
        alone = engine.prompt + tokens * (engine.step + engine.each)
        together = batch * engine.prompt + tokens * (engine.step + engine.each * batch)
        rows.append([check["engine"], check["what"], f"{batch * alone / together / check['measured']:.2f}"])
    return rows


def amount(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:,.3g} million"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def amount_of_bytes(value: float) -> str:
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} PB"


def shown(title: str, rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [f"| {' | '.join(row)} |" for row in body]
    return "\n".join([f"\n### {title}\n", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


# ---------------------------------------------------------------- points of bench/million.py

FLAT = 200_000
"""Up to so many passages a search has the rows in memory, above it uses the graph (the index's default)."""
EVERY, SMALL, LARGE = (0.0, math.inf), (0.0, FLAT), (FLAT + 1, math.inf)
TAKEN = {
    "catalogue on disk": (EVERY, ("sync", "catalogue.sqlite bytes")),
    "comparing documents": (EVERY, ("look", "contents", "cpu s")),
    "rows in memory": (SMALL, ("search", "peak MiB")),
    "graph in memory": (LARGE, ("search", "peak MiB")),
    "search in memory": (SMALL, ("search", "cpu ms", "hybrid")),
    "search by the graph": (LARGE, ("search", "cpu ms", "hybrid")),
}
"""Amount → the sizes of which it is taken, and where it stands in the ``measured.json`` of `bench/million.py`."""


def with_measured(points: dict[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The stored points, with those of another run of `bench/million.py` in their place where it has them."""
    for name, ((least, most), path) in TAKEN.items():
        by_size = {}
        for size, figures in measured.items():
            value: Any = figures
            for part in path:
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None and least <= int(size) <= most:
                by_size[size] = value * 2**20 if path[-1] == "peak MiB" else value
        if by_size:
            points["amounts"][name]["points"] = by_size
    return points


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=Path, default=POINTS)
    parser.add_argument("--measured", type=Path, help="measured.json of bench/million.py")
    parser.add_argument("--machine", default="", help="cores=16,gib=64,disk_gib=1000")
    parser.add_argument("--prices", default="", help="euros: machine=0.80,gpu=2.50,gib_month=0.023")
    given = parser.parse_args()
    points = json.loads(given.points.read_text(encoding="utf-8"))
    if given.measured:
        points = with_measured(points, json.loads(given.measured.read_text(encoding="utf-8")))
    has = {"cores": 16.0, "gib": 64.0, "disk_gib": 1000.0, "machine": 0.80, "gpu": 2.50, "gib_month": 0.023}
    for part in filter(None, f"{given.machine},{given.prices}".split(",")):
        name, _, value = part.partition("=")
        if name not in has or not value.replace(".", "", 1).isdigit():
            raise SystemExit(f"{part!r} is none of {', '.join(has)} with a number: write for example cores=16")
        has[name] = float(value)
    machine = Machine(
        cores=int(has["cores"]), gib=has["gib"], disk_gib=has["disk_gib"], price=has["machine"],
        gpu_price=has["gpu"], gib_month=has["gib_month"],
    )  # fmt: skip
    units = {name: entry["unit"] for name, entry in points["amounts"].items()}
    print(shown("Laws and their errors", errors_table(laws_of(points), units)))
    print(shown("Engines and their errors", engines_error(points)))
    print(shown(f"Stages, on machines of {machine.cores} cores and {machine.gib:g} GiB", stages_table(points, machine)))
    print(shown("What one machine meets first", limits_table(points, machine)))
    print(shown("Searching", index_table(points, machine)))
    print(shown("Answering", generation_table(points, machine)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
