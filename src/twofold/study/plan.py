"""The bill before the meal: what a study would do, what is cached, how long it takes, what it could see. Pure.

Times are estimates from the paces that this machine showed before (see `pace`), or from defaults scaled to its speed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twofold import pace, stats
from twofold.config import Config
from twofold.dataset import Splits
from twofold.study.record import BillItem, PolicyRecord, counted, number_text
from twofold.types import Arm, Example, Json

DEFAULTS: Mapping[str, float] = {
    "answer plain": 1 / 1800,
    "answer shots": 1 / 3000,
    "answer passages": 1 / 1800,
    "alone plain": 1 / 1200,
    "alone shots": 1 / 1200,
    "alone passages": 1 / 1200,
    "load": 2.5,
    "merge": 6.0,
    "load tuned": 15.0,
    "general": 0.05,
    "retrieve": 0.02,
    "chunk": 1 / 120,
    "token": 1 / 450,
    "evaluation": 1 / 1500,
    "setup": 9.0,
}
"""Seconds a unit of work of the embedded models on two cores with bf16, where nothing was measured."""
_GROWTH = {"token": 0.7, "evaluation": 0.7, "chunk": 0.67}
_OTHERS = 0.4
"""Work grows with this power of `Work.slowness`: without bf16 instructions matrix products take 4.4 times as long,
training 2.8 times, embedding 2.7 times, answers, which wait for memory, 1.8 times."""
REMOTE = 1.5
"""Seconds of one answer by an endpoint that was never measured."""
CHANCE = 0.9
"""A cap that leaves less than this share of the planned steps does not give an arm its chance."""
EVALUATING = 0.15
"""Share of a capped training that goes into evaluations, at most."""
_SETTLED, _DECIDE = 0.5, 0.002
"""Seconds of self-tests, statistics and report: whatever the number of questions, and for each answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """An arm's answers to a set of questions."""

    arm: Arm
    prompt_tokens: float
    """Mean of a prompt."""
    completion_tokens: float
    """Mean of an answer."""
    questions: int
    cached: int = 0
    """Answers already in the store."""
    single: int = 0
    """Questions to answer one at a time, for latency."""
    prices: tuple[float, float] = (0.0, 0.0)
    """Of a million prompt and completion tokens."""
    concurrency: int = 0
    """Requests at once to an endpoint, whose pace is measured or `REMOTE`; 0: it answers here."""

    @property
    def todo(self) -> int:
        """Answers to make in batches."""
        return self.questions - self.cached

    @property
    def requests(self) -> int:
        """All requests: those, the latency sample, and one before it that loads the model."""
        return self.todo + (self.single + 1 if self.todo or self.single else 0)

    @property
    def cost(self) -> float:
        """Price of all requests."""
        read, written = self.prices
        return self.requests * (self.prompt_tokens * read + self.completion_tokens * written) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One method's training of an arm's adapter."""

    method: str
    paces: Mapping[str, float]
    """What was measured of this trainer here (see `pace`)."""
    steps: int
    tokens: float
    """Read in all steps, shared passages once."""
    evaluations: int
    evaluation: float
    """Units of work of one."""
    limit: float = 0.0
    """Cap in minutes; 0 for none."""
    euros_an_hour: float = 0.0
    cached: bool = False
    """Its weights are in the store."""
    elsewhere: bool = False
    """At an endpoint: no time is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What making an arm's adapter takes."""

    dev: Answering
    """The dev questions that each candidate answers."""
    trainings: Sequence[Training]
    made: int
    """Methods whose finished adapter is in the store."""
    replayed: int = 0
    """Prompts that the base model answers, to be rehearsed."""
    gate: int = 0
    """Answers that the forgetting gate asks of a candidate; 0 where it is off."""
    gate_first: int = 0
    """Answers that it asks of the base model before, once a project."""
    shares: int = 1
    """Shares of the tuned change that are measured at most, all of it among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is known of the work before doing it."""

    documents: int
    """To be embedded."""
    chunks: float
    """That they make, estimated."""
    answering: Sequence[Answering]
    tuning: Sequence[Tuning]
    paces: Mapping[str, float]
    """What was measured of generator, retrieval and embedder here."""
    slowness: float = 1.0
    """How much longer a matrix product takes than on the defaults' machine, for what was not measured."""
    examples: int = 0
    """Questions that are scored, over all arms."""

    def seconds(self, kind: str, paces: Mapping[str, float] | None = None) -> float:
        """Seconds a unit of that kind of work."""
        measured = self.paces if paces is None else paces
        if kind in measured:
            return measured[kind]
        sort = kind.partition(" ")[0]
        near = [value for name, value in measured.items() if name.startswith(f"{sort} ")]
        if near and sort in ("answer", "alone"):
            return sum(near) / len(near)
        return DEFAULTS[kind] * float(self.slowness ** _GROWTH.get(kind, _OTHERS))


def bill(work: Work) -> list[BillItem]:
    """Every phase of a study with items, cached items, seconds and detail, in the order in which they happen."""
    steps: list[BillItem] = []

    def add(step: str, items: int, cached: int, seconds: float, detail: str) -> None:
        steps.append({"step": step, "items": items, "cached": cached, "seconds": seconds, "detail": detail})

    if work.documents:
        load = work.paces.get("load embedder", 2.0 * work.slowness)
        seconds = load + work.chunks * work.seconds("chunk")
        add("embed documents", work.documents, 0, seconds, f"about {work.chunks:.0f} chunks")
    tunings = {item.dev.arm.name: item for item in work.tuning}
    for item in work.answering:
        name = item.arm.name
        if name in tunings:
            for step in _tuning(tunings[name], work):
                add(*step)
        single = item.single if item.todo or item.single else 0
        opened, alone = _opening(item, work), single * _alone(item, work)
        if single or item.todo:
            told = f"the model is loaded, {counted(single, 'question')} one at a time"
            add(f"latency of {name}", single, 0, opened + alone, told + _unknown(item, work))
        told = f"{item.prompt_tokens:.0f} + {item.completion_tokens:.0f} tokens a question" + _unknown(item, work)
        add(f"answer {name}", item.questions, item.cached, item.todo * _batched(item, work), told)
    add("score and decide", work.examples, 0, _SETTLED + _DECIDE * work.examples, "metrics, intervals, verdict, report")
    return steps


def _tuning(item: Tuning, work: Work) -> list[tuple[str, int, int, float, str]]:
    name, methods = item.dev.arm.name, len(item.trainings)
    left = methods - item.made
    training = 0.0 if not left else sum(training_seconds(one, work) for one in item.trainings)
    if left and item.replayed and not all(one.cached for one in item.trainings):
        training += work.seconds("load") + item.replayed * work.seconds("general") * 2
    told = "; ".join(_told(one, work) for one in item.trainings)
    steps = [(f"tune {name}", methods, item.made, training, told)]
    candidates = 1.0 + (item.shares - 1) / 2
    at_most = left * item.shares
    opened, each = work.seconds("merge"), _questions(item.dev, work)
    dev = left * candidates * (opened + each)
    if item.gate and left:
        dev += work.seconds("load") + each
    several = "" if item.shares == 1 else f"; fewer than {at_most} candidates where little is forgotten"
    steps.append((f"dev scores of {name}", item.dev.questions, 0 if left else item.dev.questions, dev, f"dev{several}"))
    if item.gate:
        answers = left * candidates * item.gate + (item.gate_first if left else 0)
        told = f"{item.gate} short questions a candidate{several}"
        seconds = answers * work.seconds("general")
        total = methods * item.shares
        steps.append((f"forgetting of {name}", total, 0 if left else total, seconds, told))
    return steps


def training_seconds(item: Training, work: Work) -> float:
    """Seconds of a training and its evaluations, caps counted; 0 where its weights are there or it runs elsewhere."""
    if item.cached or item.elsewhere:
        return 0.0
    setup, stepping, evaluating = _parts(item, work)
    running = stepping + evaluating
    return setup + (min(running, item.limit * 60) if item.limit else running)


def affordable_steps(item: Training, work: Work) -> int:
    """Steps that the cap leaves of those planned."""
    _, stepping, evaluating = _parts(item, work)
    if not item.limit or stepping + evaluating <= item.limit * 60:
        return item.steps
    room = max(item.limit * 60 * (1 - EVALUATING), item.limit * 60 - evaluating)
    return min(item.steps, int(room / max(1e-9, stepping / max(1, item.steps))))


def _parts(item: Training, work: Work) -> tuple[float, float, float]:
    """Seconds to start the child, of the steps, and of the evaluations."""
    return (
        work.seconds("setup", item.paces),
        item.tokens * work.seconds("token", item.paces),
        item.evaluations * item.evaluation * work.seconds("evaluation", item.paces),
    )


def _told(item: Training, work: Work) -> str:
    if item.elsewhere:
        return f"{item.method}: at an endpoint, time not known"
    told = f"{item.method}: {counted(item.steps, 'step')}, {item.tokens:.0f} tokens read"
    steps = affordable_steps(item, work)
    return told if steps >= item.steps else f"{told}, capped at {item.limit:g} min: {steps} of {item.steps} steps fit"


def _opening(item: Answering, work: Work) -> float:
    if item.concurrency or not (item.todo or item.single):
        return 0.0
    return work.seconds("load tuned" if item.arm.tuning else "load")


def _retrieval(item: Answering, work: Work) -> float:
    return work.seconds("retrieve") if item.arm.retrieval else 0.0


def _batched(item: Answering, work: Work) -> float:
    kind = f"answer {pace.shape(item.arm)}"
    if _unknown(item, work):
        return REMOTE / item.concurrency + _retrieval(item, work)
    units = pace.batched(item.prompt_tokens, item.completion_tokens)
    return units * work.seconds(kind) + _retrieval(item, work)


def _alone(item: Answering, work: Work) -> float:
    kind = f"alone {pace.shape(item.arm)}"
    if _unknown(item, work):
        return REMOTE + _retrieval(item, work)
    units = pace.alone(item.prompt_tokens, item.completion_tokens)
    return units * work.seconds(kind) + _retrieval(item, work)


def _questions(item: Answering, work: Work) -> float:
    return item.questions * _batched(item, work) + item.single * _alone(item, work)


def _unknown(item: Answering, work: Work) -> str:
    """What is assumed of an endpoint that was never measured; empty where nothing is."""
    known = any(kind.startswith("answer ") for kind in work.paces)
    return f"; endpoint not measured yet: {REMOTE:g} s an answer assumed" if item.concurrency and not known else ""


def costs(work: Work) -> list[Json]:
    """Rows ``{step, amount, detail}`` of what has a price: requests to an endpoint, hours of training."""
    rows: list[Json] = []
    dev = [tuning.dev for tuning in work.tuning if tuning.made < len(tuning.trainings)]
    for step, items in (("answer", work.answering), ("dev scores of", dev)):
        for item in items:
            if item.cost:
                read, written = item.requests * item.prompt_tokens, item.requests * item.completion_tokens
                told = f"{counted(item.requests, 'request')}, {read:.0f} prompt and {written:.0f} completion tokens"
                rows.append({"step": f"{step} {item.arm.name}", "amount": item.cost, "detail": told})
    for tuning in work.tuning:
        left = tuning.made < len(tuning.trainings)
        for one in tuning.trainings if left else ():
            seconds = training_seconds(one, work)
            if one.euros_an_hour and seconds:
                told = f"{seconds / 60:.0f} min at {one.euros_an_hour:g} an hour"
                amount = seconds / 3600 * one.euros_an_hour
                rows.append({"step": f"tune {tuning.dev.arm.name}", "amount": amount, "detail": told})
    return rows


def no_chance(work: Work) -> list[str]:
    """A warning for every training whose cap leaves less than `CHANCE` of its planned steps."""
    found = []
    for tuning in work.tuning:
        for one in tuning.trainings if tuning.made < len(tuning.trainings) else ():
            if one.cached or one.elsewhere or affordable_steps(one, work) >= CHANCE * one.steps:
                continue
            _, stepping, evaluating = _parts(one, work)
            found.append(
                f"{tuning.dev.arm.name} will not be given its chance: {one.limit:g} min are enough for about "
                f"{affordable_steps(one, work)} of {counted(one.steps, 'step')}; remove the cap (minutes, euros) of "
                f"[tuning.trainer.options], or allow {math.ceil((stepping + evaluating) / 60 * 1.2)} min"
            )
    return found


def policy(splits: Splits, config: Config, *, asked: Sequence[Example] = ()) -> PolicyRecord:
    """How the examples were split, for the record.

    Args:
        splits: The examples.
        config: In force.
        asked: The sealed questions, where the reserve is opened: groups and sentence are then about these.
    """
    groups, sentence = splits.groups, splits.sentence
    if asked:
        groups = len({example.group for example in asked})
        what = f"{counted(len(asked), 'sealed reserve question')} in {counted(groups, 'independent group')}"
        sentence = f"{sentence.rstrip('.')}. Asked here: {what}."
    return {
        "split_by": config.examples.split_by,
        "sentence": sentence,
        "seed": config.examples.seed,
        "train": len(splits.train),
        "dev": len(splits.dev),
        "test": len(splits.test),
        "reserve": len(asked or splits.reserve),
        "groups": groups,
        "final": bool(asked),
    }


def warnings(splits: Splits, arms: Sequence[Arm], *, detectable: float, looks: int) -> list[str]:
    """Doubts that can be told before anything is spent."""
    found = list(splits.warnings)
    test = splits.test
    if splits.groups < 20:
        found.append(f"only {counted(splits.groups, 'independent group')} in the test split: intervals will be wide")
    if math.isinf(detectable):
        found.append("no difference can be seen with fewer than 2 independent groups of test questions: add questions")
    elif detectable > 0.15:
        found.append(
            f"with {counted(len(test), 'test question')} only differences of about {number_text(detectable, 2)} or "
            "more can be seen; add questions for less"
        )
    synthetic = sum(1 for e in test if e.origin == "synthetic")
    if synthetic * 2 > len(test):
        found.append(f"{synthetic} of {len(test)} test questions are synthetic, which favours retrieval")
    if any(arm.tuning for arm in arms) and len(splits.train) < 100:
        found.append(f"few training examples ({len(splits.train)}): tuning may look worse than it could be")
    if any(arm.tuning for arm in arms) and not any(arm.shots for arm in arms):
        found.append("no prompt arm: without it tuning's gain may be overstated")
    if looks:
        found.append(
            f"these test questions have been looked at {counted(looks, 'time')} before: the next look is decided at a "
            "stricter level, and to whoever has read the answers it proves little; add new questions"
        )
    if any(arm.retrieval for arm in arms) and not any(e.sources for e in test):
        found.append("no test example names its sources: retrieval cannot be diagnosed")
    return found


def detectable(splits: Splits, config: Config, *, arms: int) -> float:
    """Smallest true difference in the deciding metric that would probably (80 %) be seen."""
    groups = max(1, splits.groups)
    per_group = len(splits.test) / groups
    return stats.detectable_difference(groups, per_group, 0.45, arms=arms, level=config.study.level)
