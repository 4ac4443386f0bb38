"""Seconds for one question at a time: asked in turns over the arms, kept by machine, with the interval of a quantile.

How arms are timed is `timing`'s; here stand which questions, for how long, and what the seconds say.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from twofold.answering.system import System
from twofold.assembly.systems import Systems
from twofold.assembly.workspace import Workspace
from twofold.errors import GenerationError
from twofold.examples.loading import example_digest
from twofold.examples.splitting import Splits
from twofold.host import capabilities, timing
from twofold.plugins import loading
from twofold.plugins.protocols import Progress
from twofold.plugins.traits import GeneratorSettings, place_of
from twofold.settings.sections import StudySection
from twofold.stats import amounts, intervals
from twofold.store.catalogue import Catalogue
from twofold.study.measure import MeasuredArm, keep_pace
from twofold.types import Answer, Example, Json
from twofold.verdict.latency_record import LatencyPart, LatencyRecord, QuantileRecord
from twofold.verdict.record import BillItem

SECONDS = 20.0
"""An arm is timed for so long at most, unless a tenth of its answering time or its limit allow more."""
SHARE = 0.1
"""Share of an arm's answering time that timing it may take."""
LEAST = 4
"""Every arm is timed on so many questions, however slow it is."""
PARTS = ("retrieval", "prompt", "decoding")
"""What the seconds of a question are divided into: searching; rendering and reading the prompt, up to the first token;
writing the other tokens."""
_MEMORY = 0.7
"""Share of this machine's memory that arms kept ready together may fill."""


def questions(section: StudySection, count: int) -> int:
    """How many of `count` test questions each arm is timed on: enough for an upper end of p95 where it has a limit."""
    number = section.latency_sample
    if section.max_latency_p95:
        number = max(number, intervals.least_for_upper_end(0.95, level=section.level))
    return min(number, count)


def allowed(section: StudySection, answering: float) -> float:
    """Seconds that timing one arm may take whose answers took `answering` seconds."""
    # An arm that just keeps to its limit needs so long for all its questions.
    return max(SECONDS, SHARE * answering, questions(section, 10**6) * section.max_latency_p95)


def enough(timed: Json | None, section: StudySection, count: int, *, answering: float) -> bool:
    """Was an arm timed on as many of `count` test questions as wanted, or as long as it may be, without a failure?

    A failed answer counts as long as the time limit: what an outage that is over cost says nothing of the arm.

    Args:
        timed: What `timings` found.
        section: [study].
        count: Test questions.
        answering: Seconds that its answers took.
    """
    needed = questions(section, count)
    # Nothing is wanted: then nothing timed is enough.
    if not needed or timed is None:
        return not needed
    if timed["failed"]:
        return False
    seconds = timed["seconds"].values()
    return len(seconds) >= needed or (len(seconds) >= LEAST and sum(seconds) >= allowed(section, answering))


def timings(catalogue: Catalogue, system: str) -> Json | None:
    """Timings of a system here: ``seconds`` (question digest → seconds), ``failed``, ``in_turns``; None for none.

    Beside them, but not in those of before, ``parts`` (question digest → seconds of each of `PARTS`, which add up to
    its seconds) and ``load`` (`LatencyRecord.load`).
    """
    return catalogue.measures.get(system, _name())


def _name() -> str:
    return f"latency on {capabilities.fingerprint()}"


def time_arms(
    workspace: Workspace,
    measured: Sequence[MeasuredArm],
    *,
    splits: Splits,
    test: Sequence[Example],
    bill: list[BillItem],
    progress: Progress,
) -> None:
    """Time all arms but an oracle's, in turns, unless each was timed on this machine already, on `enough` questions.

    Args:
        workspace: Of the project; its catalogue has the answers, and keeps the times.
        measured: The arms, which have answered.
        splits: For a question to warm up with, and for questions that an endpoint has not seen.
        test: Questions to draw from, which the arms have answered in batches.
        bill: Gets a step for each arm.
        progress: Shows loading and asking.
    """
    section, catalogue = workspace.config.study, workspace.catalogue
    # Nobody could run an oracle; the runs of one arm take as long as the one that is served.
    timed = [item for item in measured if not item.arm.oracle and not item.arm.run]
    size = questions(section, len(test))
    if all(
        enough(timings(catalogue, item.system), section, len(test), answering=float(item.measures.get("seconds", 0.0)))
        for item in timed
    ):
        return
    # The same questions for every arm: seconds are compared question by question.
    chance = random.Random(section.seed)
    sample = chance.sample(_pool(timed, splits, test, size), size)
    # This one loads and warms the model: a test question only where there is no other.
    spare = next((example for example in (*splits.dev, *splits.train, *test) if example not in sample), sample[0])
    batches = batches_of(timed)
    # Models of one batch lie in memory together, so that questions can go round its arms.
    for batch in batches:
        arms = [_Timed(item, allowed(section, float(item.measures.get("seconds", 0.0)))) for item in batch]
        with contextlib.ExitStack() as opened:
            shared: dict[str, System] = {}
            for number, arm in enumerate(arms):
                progress(f"load {arm.item.arm.name}", number, len(arms))
                arm.open(workspace.of(arm.item.arm).systems, splits, spare, shared=shared, opened=opened)
            timing.in_turns(
                [arm.clock for arm in arms],
                sample,
                chance=chance,
                progress=lambda done, total: progress("latency", done, total),
            )
        bill += [arm.keep(catalogue, in_turns=len(batches) == 1) for arm in arms]


def _pool(timed: Sequence[MeasuredArm], splits: Splits, test: Sequence[Example], size: int) -> list[Example]:
    """The test questions; at an endpoint, whose cache may know their prompts, others where there are enough."""
    others = [*splits.dev, *splits.train]
    remote = any(place_of(item.description["generator"]) != "in this process" for item in timed)
    return others if remote and len(others) >= size else list(test)


def batches_of(timed: Sequence[MeasuredArm]) -> list[list[MeasuredArm]]:
    """All arms together, or, where this machine's memory is too small for their models, those of one model each."""
    models: dict[str, list[MeasuredArm]] = {}
    for item in timed:
        models.setdefault(str(item.description["generator"]), []).append(item)
    local = [group for group in models.values() if place_of(group[0].description["generator"]) == "in this process"]
    peak = max((float(group[0].measures.get("peak_mib", 0.0)) for group in local), default=0.0)
    room = _MEMORY * capabilities.memory_bytes() / 2**20  # MiB, as the peaks
    # A GPU's memory is not the machine's: there models are loaded one after another.
    if len(local) < 2 or (len(local) * peak <= room and not capabilities.gpus()):
        return [list(timed)]
    return list(models.values())


class _Timed:
    """An arm that is timed, and what it answered meanwhile."""

    def __init__(self, item: MeasuredArm, most: float) -> None:
        self.item = item
        self.clock = timing.Clock[Example](self._answers, name=example_digest, most=most, least=LEAST)
        self._replies: list[Answer] = []
        self._streams = True
        self._whole: set[str] = set()  # questions that were answered again, as a whole, for their stream broke off
        self._by_question: dict[str, Answer] = {}

    def open(
        self,
        systems: Systems,
        splits: Splits,
        spare: Example,
        *,
        shared: dict[str, System],
        opened: contextlib.ExitStack,
    ) -> None:
        """Load the model, unless another arm has it loaded, and answer a question that is not timed."""

        def load() -> None:
            trained = self.item.training
            adapter = systems.models.load(trained["key"]) if trained else None
            system = systems.equipped(self.item.arm, splits, adapter=adapter)
            # Untuned arms have one model: it is loaded once and asked by all of them.
            first = shared.setdefault(system.generator.key, system)
            if first is system:
                opened.callback(system.close)
            else:
                system.close()
            self.system = replace(system, generator=first.generator)
            part = systems.config.generation.generator
            settings = GeneratorSettings.of(loading.options("generators", part.name, part.options))
            self.clock.limit = float(settings.timeout)
            self._prices = settings.price_per_million_prompt / 1e6, settings.price_per_million_completion / 1e6

        self.clock.open(spare, load)
        self._untimed = len(self._replies)  # the first question costs as the others do, and shows no pace
        # What breaks off at the first question would add its seconds to every other one.
        self._streams = not self._whole

    def _answers(self, example: Example) -> bool:
        name = self.clock.name(example)
        answer = self._streamed(example) if self._streams else None
        if answer is None:
            # As in the batched run: an endpoint is asked again, and says what is wrong with the question.
            self._whole.add(name)
            answer = self.system.answer([example])[0]
        self._replies.append(answer)
        self._by_question[name] = answer
        return answer.failure is None

    def _streamed(self, example: Example) -> Answer | None:
        """The answer as a user gets it, token by token, which shows when the prompt was read; None: it broke off."""
        try:
            return next((piece for piece in self.system.stream(example) if isinstance(piece, Answer)), None)
        except GenerationError:
            return None

    def _parts(self) -> dict[str, list[float]]:
        """Question → seconds of each of `PARTS`, for questions that were answered and whose first token is known."""
        out = {}
        for name, spent in self.clock.spent.items():
            timed = self._by_question[name].timing
            if name in self.clock.failed or name in self._whole or (timed.generation and timed.first is None):
                continue
            retrieval = min(timed.retrieval, spent)
            # An abstention for want of passages is no work of the generator.
            decoding = min(timed.generation - (timed.first or 0.0), spent - retrieval)
            out[name] = [retrieval, spent - retrieval - decoding, decoding]
        return out

    def keep(self, catalogue: Catalogue, *, in_turns: bool) -> BillItem:
        """Keep the seconds and the pace that they show; the step of the bill."""
        clock = self.clock
        spent = sum(self.clock.spent.values())
        record = {
            "seconds": clock.seconds(),
            "failed": len(clock.failed),
            "in_turns": in_turns,
            "parts": self._parts(),
            "load": {"others": clock.load.others, "average": clock.load.average},
        }
        catalogue.measures.put(self.item.system, _name(), record)
        keep_pace(self.system, self._replies[self._untimed :], spent, single=True)
        read, written = self._prices
        used = [answer.usage for answer in self._replies]
        # A stream may end without a count of its tokens.
        uncounted = sum(bool(reply.raw) and not reply.usage.completion_tokens for reply in self._replies)
        unpaid = f"; {uncounted} without a count of tokens, not in the amount" if uncounted and read + written else ""
        amount = sum(read * one.prompt_tokens + written * one.completion_tokens for one in used)
        step: BillItem = {
            "step": f"latency of {self.item.arm.name}",
            "items": len(clock.spent),
            "cached": 0,
            "seconds": clock.opening + spent,
            "detail": "the model loaded, then questions singly, in turns over the arms"
            + ("" if in_turns else " of one model")
            + unpaid,
        }
        return {**step, "amount": amount} if amount else step


# ---------------------------------------------------------------- what the seconds say


def ends(timed: Json, *, level: float) -> tuple[float, float]:
    """Ends of the interval of the 95th percentile; always two, where the record has no upper one below 72 values.

    The ends are order statistics (`intervals.quantile_interval`). With too few values for an upper end it is that of
    log-normal seconds (Natrella's approximation of the tolerance bound, NIST handbook 7.2.6.3), and never less than the
    slowest answer.
    """
    x = np.array(list(timed["seconds"].values()))
    _, low, high = intervals.quantile_interval(x, 0.95, level=level)
    return low or 0.0, _above(x, level) if high is None else high


def p95(timed: Json) -> float:
    """The 95th percentile of the seconds timed."""
    return timing.quantile(list(timed["seconds"].values()), 0.95)


def _above(x: np.ndarray, level: float) -> float:
    if len(x) < LEAST or x.min() <= 0:  # no logarithm, or no spread to speak of
        return math.inf
    logs = np.log(x)
    normal = NormalDist()
    share, sure = normal.inv_cdf(0.95), normal.inv_cdf(0.5 + level / 2)
    # The one-sided tolerance factor of a normal distribution (Natrella 1963), on logarithms.
    a, b = 1 - sure**2 / (2 * (len(x) - 1)), share**2 - sure**2 / len(x)
    if a <= 0:
        return math.inf
    factor = (share + math.sqrt(max(0.0, share**2 - a * b))) / a
    # Never below what was seen.
    return max(float(x.max()), math.exp(float(logs.mean()) + factor * float(logs.std(ddof=1))))


def others(timed: Mapping[str, Json | None], generators: Mapping[str, Json]) -> dict[str, float]:
    """Arm → share of the processor that other programs took while it was timed (`VerdictFacts.latency_others`).

    An endpoint's seconds are not of these cores, or it is one of the other programs.
    """
    shares = {name: value.get("load", {}).get("others") for name, value in timed.items() if value}
    here = {name for name, generator in generators.items() if place_of(generator) == "in this process"}
    return {name: share for name, share in shares.items() if share is not None and name in here}


def latency_record(catalogue: Catalogue, system: str, *, beside: str = "", level: float) -> LatencyRecord | None:
    """An arm's latency for `study.json`; None where the arm was not timed on this machine.

    Args:
        catalogue: Where the seconds are kept.
        system: The arm's system key.
        beside: The key of the arm that its seconds are compared with, question by question; empty for none.
        level: Of the intervals.
    """
    timed = timings(catalogue, system)
    if timed is None:
        return None
    x = list(timed["seconds"].values())
    (p50, *middle), (top, *outer) = (intervals.quantile_interval(x, q, level=level) for q in (0.5, 0.95))
    record: LatencyRecord = {
        "p50": p50,
        "p95": top,
        "n": len(x),
        "intervals": {"p50": middle, "p95": outer},
        "failed": timed["failed"],
        "in_turns": timed["in_turns"],
    }
    if parts := _part_records(timed, level=level):
        record["parts"] = parts
    if load := timed.get("load"):
        record["load"] = load
    other: Mapping[str, float] = (
        (timings(catalogue, beside) or {}).get("seconds", {}) if beside and beside != system else {}
    )
    # Question by question: quantiles of two arms may be of different questions.
    ratios = [spent / other[name] for name, spent in timed["seconds"].items() if other.get(name)]
    if ratios:
        value, low, high = intervals.quantile_interval(ratios, 0.5, level=level)
        record["ratio"] = {"value": value, "low": low, "high": high, "n": len(ratios)}
    return record


def _part_records(timed: Json, *, level: float) -> dict[str, LatencyPart]:
    rows = list(timed.get("parts", {}).values())
    if not rows:
        return {}
    x = np.array(rows, dtype=float)  # (questions, parts)
    # Every question is a group of its own: that is how the quantiles beside them take the questions, too.
    moments = amounts.moments(x, [*map(str, range(len(x)))])
    out: dict[str, LatencyPart] = {}
    for place, name in enumerate(PARTS):
        mean = moments.sum(np.eye(len(PARTS))[place], level=level).natural
        p50, p95 = (_quantile(x[:, place], share, level=level) for share in (0.5, 0.95))
        ends = [end if math.isfinite(end) else None for end in (mean.low, mean.high)]
        value: QuantileRecord = {"value": mean.mean, "low": ends[0], "high": ends[1], "n": len(x)}
        out[name] = {"mean": value, "p50": p50, "p95": p95}
    return out


def _quantile(x: np.ndarray, share: float, *, level: float) -> QuantileRecord:
    value, low, high = intervals.quantile_interval(x, share, level=level)
    return {"value": value, "low": low, "high": high, "n": len(x)}
