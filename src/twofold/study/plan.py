"""The bill before the meal: what a study would do, what is cached, how long it takes, what it could see. Pure.

Times are estimates from the paces that this machine showed before (see `pace`), or from defaults scaled to its speed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from twofold.config import Config
from twofold.examples.splitting import Splits
from twofold.host import pace
from twofold.stats import intervals
from twofold.training.schedule import (
    CHANCE,
    EVALUATION_SHARE,
    FOLLOWED_SHARE,
    evaluations_within,
    free_evaluations,
    marks,
)
from twofold.types import Arm, Example
from twofold.verdict import doubting
from twofold.verdict.power import DISAGREE, Prospect
from twofold.verdict.record import BillItem, CostRow, PolicyRecord, counted, number_text

if TYPE_CHECKING:
    from twofold.study.calls import Calls
    from twofold.training.reckoning import Reckoning

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
    "start": 6.0,
}
"""Seconds a unit of work of the embedded models on two cores with bf16, where nothing was measured."""
_GROWTH = {"token": 0.7, "evaluation": 0.7, "chunk": 0.67}
_OTHERS = 0.4
"""Work grows with this power of `Work.slowness`: without bf16 instructions matrix products take 4.4 times as long,
training 2.8 times, embedding 2.7 times, answers, which wait for memory, 1.8 times."""
BESIDE = {
    "teach": "answers to learn from for",
    "replay": "answers to replay for",
    "latency": "dev latency of",
    "dev": "dev scores of",
    "gate": "forgetting of",
}
"""Work beside training that a tuned arm takes: phase of `pace.Spent` → step of plan and bill."""
OPTIMISE = "optimise the prompt of"
"""Step of plan and bill that chooses an arm's prompt."""
REMOTE = 1.5
"""Seconds of one answer by an endpoint that was never measured."""
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
    paces: Mapping[str, float] | None = None
    """Paces of a further model measured here; None: those of the project's own, `Work.paces`."""

    @property
    def todo(self) -> int:
        """Answers to make in batches."""
        return self.questions - self.cached

    @property
    def requests(self) -> int:
        """All requests: those, the latency sample, and before each of the two one that is not measured."""
        return self.todo + (self.todo > 0) + self.single + (self.single > 0)

    @property
    def cost(self) -> float:
        """Price of all requests."""
        read, written = self.prices
        return self.requests * (self.prompt_tokens * read + self.completion_tokens * written) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """A model that the study would ask."""

    model: str
    """As its generator calls it."""
    place: str
    """Where it answers (`traits.place_of`), with the address of an endpoint."""
    price: str
    """Of its tokens, in words; a dash where none is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One method's training of an arm's adapter."""

    method: str
    paces: Mapping[str, float]
    """Paces of this trainer measured here (see `pace`)."""
    steps: int
    tokens: float
    """Read in all steps, shared passages once."""
    evaluations: int
    """At most, as `items`: how many there are, and of how many items, follows from the training or its cap."""
    items: int
    """Dev items of one evaluation."""
    item: float
    """Work of scoring one, in tokens read."""
    followed: float = 0.0
    """Work of following other things once, in tokens read."""
    limit: float = 0.0
    """Cap in minutes; 0 for none."""
    euros_an_hour: float = 0.0
    price_per_million: float = 0.0
    """Of tokens trained on elsewhere."""
    cached: bool = False
    """Its weights are in the store."""
    elsewhere: bool = False
    """At an endpoint: no time is known."""
    counted: Reckoning | None = None
    """All that was counted of it; None of a trainer that is not the loop of `fit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningWork:
    """The cost of making an arm's adapter."""

    dev: Answering
    """The dev questions that each candidate answers."""
    trainings: Sequence[Training]
    finished: int
    """Methods whose finished adapter is in the store."""
    replayed: int = 0
    """Prompts that the base model answers, to be rehearsed."""
    taught: Answering | None = None
    """Training questions that the retrieval arm answers, to be learned."""
    gate: int = 0
    """Answers that the forgetting gate asks of a candidate; 0 where it is off."""
    gate_first: int = 0
    """Answers that it asks of the base model before, once a project."""
    shares: int = 1
    """Shares of the tuned change that are measured at most, all of it among them."""

    @property
    def candidates(self) -> float:
        """Tuned models that are measured, as far as can be foreseen: half of the shares that may be."""
        return (len(self.trainings) - self.finished) * (1.0 + (self.shares - 1) / 2)

    @property
    def answered(self) -> float:
        """How often the dev questions are answered: by the candidates and, where there is a gate, by the base."""
        return self.candidates + (1 if self.gate and self.candidates else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The counts of work known before a study runs."""

    documents: int
    """To be embedded."""
    chunks: float
    """Chunks that these documents make, estimated."""
    answering: Sequence[Answering]
    tuning: Sequence[TuningWork]
    paces: Mapping[str, float]
    """Paces of generator, retrieval and embedder measured here."""
    optimising: Sequence[Answering] = ()
    """Answers to dev questions by which prompts are chosen, at most."""
    slowness: float = 1.0
    """How much longer a matrix product takes than on the defaults' machine, for what was not measured."""
    examples: int = 0
    """Questions that are scored, over all arms."""
    calls: Sequence[Calls] = ()
    """Calls of models beside the arms' own answers."""
    models: Mapping[str, ModelPlan] = field(default_factory=dict)
    """The models of the arms by name; the project's own has the empty name."""
    allowed: Callable[[float], float] | None = None
    """Seconds for which an arm is timed at most whose answers take so many (`latency.allowed`); None: no limit."""
    least: int = 0
    """Questions on which every arm is timed, however long that takes."""

    def seconds(self, kind: str, paces: Mapping[str, float] | None = None) -> float:
        """Seconds a unit of that kind of work."""
        measured = self.paces if paces is None else paces
        if kind in measured:
            return measured[kind]
        sort = kind.partition(" ")[0]
        # A pace of another kind of prompt, measured here, is nearer than a default of another machine.
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
        add("embed documents", work.documents, 0, seconds, f"about {counted(round(work.chunks), 'chunk')}")
    tunings = {item.dev.arm.name: item for item in work.tuning}
    sharing: dict[str, str] = {}
    for item in work.answering:
        if item.single and not (item.arm.tuning or item.arm.linear):
            sharing.setdefault(item.arm.model, item.arm.name)
    for item in work.answering:
        name = item.arm.name
        if name in tunings:
            for step in _tuning(tunings[name], work):
                add(*step)
        for search in work.optimising:
            if search.arm == item.arm:
                add(*_optimising(search, work))
        text = f"{item.prompt_tokens:.0f} + {item.completion_tokens:.0f} tokens a question" + _unknown(item, work)
        opened = _opening(item, work) if item.todo else 0.0
        add(f"answer {name}", item.questions, item.cached, opened + item.todo * _batched(item, work), text)
        if item.single:
            # Untuned arms of one model share it.
            opens = (name == sharing.get(item.arm.model) or item.arm.tuning) and not item.concurrency
            timing, most = _timing(item, work)
            seconds = timing + (work.seconds("load", item.paces) if opens else 0.0)
            text = f"{'the model is loaded, ' if opens else ''}{most} one at a time"
            add(f"latency of {name}", item.single, 0, seconds, text + _unknown(item, work))
    add("score and decide", work.examples, 0, _SETTLED + _DECIDE * work.examples, "metrics, intervals, verdict, report")
    return steps


def _tuning(item: TuningWork, work: Work) -> list[tuple[str, int, int, float, str]]:
    name, paces = item.dev.arm.name, item.dev.paces
    methods = len(item.trainings)
    left = methods - item.finished
    steps: list[tuple[str, int, int, float, str]] = []
    trains = left and not all(one.cached for one in item.trainings)
    if trains and item.taught:
        answering = _opening(item.taught, work) + item.taught.todo * _batched(item.taught, work)
        detail = "training questions, by the retrieval arm"
        steps.append((f"{BESIDE['teach']} {name}", item.taught.questions, item.taught.cached, answering, detail))
    if trains and item.replayed:
        answering = work.seconds("load", paces) + item.replayed * work.seconds("general", paces) * 2
        steps.append((f"{BESIDE['replay']} {name}", item.replayed, 0, answering, "general prompts, by the base"))
    training = 0.0 if not left else sum(training_seconds(one, work) for one in item.trainings)
    # Training runs of one method have one line.
    alike = Counter(_training_detail(one, work) for one in item.trainings)
    detail = "; ".join(f"{count} × {text}" if count > 1 else text for text, count in alike.items())
    steps.append((f"tune {name}", methods, item.finished, training, detail))
    several = "" if item.shares == 1 else f"; fewer than {left * item.shares} candidates where little is forgotten"
    # Candidates are merged into a copy; the one more that answers is the untuned model, which is only loaded.
    opened = item.candidates * work.seconds("merge", paces) + (item.answered - item.candidates) * work.seconds(
        "load", paces
    )
    alone = opened + item.answered * item.dev.single * _alone(item.dev, work)
    detail = f"{counted(item.dev.single, 'dev question')} one at a time, a candidate{several}"
    steps.append((f"{BESIDE['latency']} {name}", item.dev.single, 0 if left else item.dev.single, alone, detail))
    dev = item.answered * item.dev.questions * _batched(item.dev, work)
    detail = f"the dev questions, a candidate{several}"
    steps.append((f"{BESIDE['dev']} {name}", item.dev.questions, 0 if left else item.dev.questions, dev, detail))
    if item.gate:
        answers = item.candidates * item.gate + (item.gate_first if left else 0)
        detail = f"{item.gate} short questions a candidate{several}"
        seconds = answers * work.seconds("general", paces)
        total = methods * item.shares
        steps.append((f"{BESIDE['gate']} {name}", total, 0 if left else total, seconds, detail))
    return steps


def _optimising(item: Answering, work: Work) -> tuple[str, int, int, float, str]:
    seconds = (_opening(item, work) + item.todo * _batched(item, work)) if item.todo else 0.0
    detail = "dev answers at most, as many as tuning takes; candidate prompts share them" + _unknown(item, work)
    return f"{OPTIMISE} {item.arm.name}", item.questions, item.cached, seconds, detail


def training_seconds(item: Training, work: Work) -> float:
    """Seconds of a training and its evaluations, caps counted; 0 where its weights are there or it runs elsewhere."""
    if item.cached or item.elsewhere:
        return 0.0
    # Starting the child lies outside any cap: a cap of three seconds cannot be kept by a start of six.
    starting, *rest = _parts(item, work)
    return starting + (min(sum(rest), item.limit * 60) if item.limit else sum(rest))


def affordable_steps(item: Training, work: Work) -> int:
    """Steps that the cap leaves of those planned."""
    parts = _parts(item, work)
    room = item.limit * 60 - parts.preparing - parts.evaluating
    if not item.limit or parts.stepping <= room:
        return item.steps
    return max(0, min(item.steps, int(room / max(1e-9, parts.stepping / max(1, item.steps)))))


class _Parts(NamedTuple):
    """Seconds of a training."""

    starting: float
    """The child process, outside any cap."""
    preparing: float
    """Loading the model and laying out the rows."""
    stepping: float
    evaluating: float


def _parts(item: Training, work: Work) -> _Parts:
    setup = work.seconds("setup", item.paces)
    starting = min(setup, work.seconds("start", item.paces))
    stepping = item.tokens * work.seconds("token", item.paces)
    return _Parts(starting, setup - starting, stepping, _evaluating(item, work))


def _evaluating(item: Training, work: Work) -> float:
    """Seconds of all evaluations, as often and as large as training makes them with or without a cap."""
    each = work.seconds("evaluation", item.paces)
    cap = item.limit * 60
    if cap:
        room = EVALUATION_SHARE * cap
        count, items = evaluations_within(room, each=item.item * each, most=item.evaluations, items=item.items)
    else:
        count, items = free_evaluations(item.tokens, each=item.item, most=item.evaluations, items=item.items)
    count = len(marks(item.steps, count))
    following = (count + 1) * item.followed * each  # once before the first step
    # As `limits.settle_evaluations` decides it in the run.
    if cap and following > FOLLOWED_SHARE * cap:
        following = 0.0
    return count * items * item.item * each + following


def _training_detail(item: Training, work: Work) -> str:
    if item.elsewhere:
        return f"{item.method}: at an endpoint, time not known"
    text = f"{item.method}: {counted(item.steps, 'step')}, {item.tokens:.0f} tokens read"
    steps = affordable_steps(item, work)
    return text if steps >= item.steps else f"{text}, capped at {item.limit:g} min: {steps} of {item.steps} steps fit"


def _opening(item: Answering, work: Work) -> float:
    if item.concurrency or item.arm.linear or not (item.todo or item.single):
        return 0.0
    return work.seconds("load tuned" if item.arm.tuning else "load", item.paces)


def _retrieval(item: Answering, work: Work) -> float:
    return work.seconds("retrieve") if item.arm.retrieval and not item.arm.whole else 0.0


def _batched(item: Answering, work: Work) -> float:
    kind = f"answer {pace.shape(item.arm)}"
    if _unknown(item, work):
        return REMOTE / item.concurrency + _retrieval(item, work)
    units = pace.batched(item.prompt_tokens, item.completion_tokens)
    return units * work.seconds(kind, item.paces) + _retrieval(item, work)


def _alone(item: Answering, work: Work) -> float:
    kind = f"alone {pace.shape(item.arm)}"
    if _unknown(item, work):
        return REMOTE + _retrieval(item, work)
    units = pace.alone(item.prompt_tokens, item.completion_tokens)
    return units * work.seconds(kind, item.paces) + _retrieval(item, work)


def _timing(item: Answering, work: Work) -> tuple[float, str]:
    """Seconds of timing an arm, and on how many questions: a slow arm uses up its time before its questions."""
    alone = _alone(item, work)
    questions = counted(item.single, "question")
    if work.allowed is None:
        return item.single * alone, questions
    limit = max(work.allowed(item.questions * _batched(item, work)), work.least * alone)
    if item.single * alone <= limit:
        return item.single * alone, questions
    return limit, f"up to {questions} in about {limit:.0f} s,"


def _unknown(item: Answering, work: Work) -> str:
    """A remark that an endpoint's pace is assumed, as it was never measured; empty where the pace is known."""
    known = any(kind.startswith("answer ") for kind in (work.paces if item.paces is None else item.paces))
    return f"; endpoint not measured yet: {REMOTE:g} s an answer assumed" if item.concurrency and not known else ""


def costs(work: Work) -> list[CostRow]:
    """Rows of what has a price: requests to an endpoint, hours of training."""
    rows: list[CostRow] = []
    answers = [(f"answer {item.arm.name}", item, 1.0) for item in work.answering]
    answers += [(f"{OPTIMISE} {item.arm.name}", item, 1.0) for item in work.optimising]
    answers += [(f"{BESIDE['dev']} {tuning.dev.arm.name}", tuning.dev, tuning.answered) for tuning in work.tuning]
    for adapter in work.tuning:
        if adapter.taught:
            answers.append((f"{BESIDE['teach']} {adapter.dev.arm.name}", adapter.taught, 1.0))
    for step, item, times in answers:
        if item.cost and times:
            requests = round(times * item.requests)
            read, written = requests * item.prompt_tokens, requests * item.completion_tokens
            detail = f"{counted(requests, 'request')}, {read:.0f} prompt and {written:.0f} completion tokens"
            rows.append({"step": step, "amount": times * item.cost, "detail": detail})
    for tuning in work.tuning:
        for training in tuning.trainings if tuning.candidates else ():
            seconds = training_seconds(training, work)
            step = f"tune {tuning.dev.arm.name}"
            if training.euros_an_hour and seconds:
                detail = f"{seconds / 60:.0f} min at {training.euros_an_hour:g} an hour"
                rows.append({"step": step, "amount": seconds / 3600 * training.euros_an_hour, "detail": detail})
            if training.price_per_million and not training.cached:
                detail = f"{training.tokens:.0f} tokens at {training.price_per_million:g} a million"
                rows.append(
                    {"step": step, "amount": training.tokens / 1e6 * training.price_per_million, "detail": detail}
                )
    return rows


def no_chance(work: Work) -> list[str]:
    """A warning for every training whose cap leaves less than `CHANCE` of its planned steps."""
    lines = []
    for tuning in work.tuning:
        for training in tuning.trainings if tuning.finished < len(tuning.trainings) else ():
            if training.cached or training.elsewhere or affordable_steps(training, work) >= CHANCE * training.steps:
                continue
            parts = _parts(training, work)
            # The cap has to hold the shares of the evaluations besides.
            least = (parts.preparing + parts.stepping) / (1 - EVALUATION_SHARE - FOLLOWED_SHARE)
            lines.append(
                f"{tuning.dev.arm.name} will not be given its chance: {training.limit:g} min are enough for about "
                f"{affordable_steps(training, work)} of {counted(training.steps, 'step')}; remove the cap "
                f"(--minutes, or minutes or euros in [tuning.trainer.options]), or allow {math.ceil(least / 60)} min"
            )
    # Training runs of one arm are cut alike.
    return list(dict.fromkeys(lines))


def policy(splits: Splits, config: Config, *, sealed: Sequence[Example] = (), raced: int = 0) -> PolicyRecord:
    """Describe the split of the examples for the record.

    Args:
        splits: The examples.
        config: In force.
        sealed: The questions of the reserve, where the reserve is opened: groups and sentence are then about these.
        raced: Test questions that a race asked of any arm; 0 where the study is none.
    """
    groups, sentence = splits.groups, splits.sentence
    if sealed:
        groups = len({example.group for example in sealed})
        what = f"{counted(len(sealed), 'sealed reserve question')} in {counted(groups, 'independent group')}"
        sentence = f"{sentence.rstrip('.')}. Asked here: {what}."
    record: PolicyRecord = {
        "split_by": config.examples.split_by,
        "sentence": sentence,
        "seed": config.examples.seed,
        "train": len(splits.train),
        "dev": len(splits.dev),
        "test": len(splits.test),
        "reserve": len(sealed or splits.reserve),
        "groups": groups,
        "groups_worth": intervals.kish(group_sizes(sealed or splits.test)),
        "final": bool(sealed),
    }
    if raced:
        record["raced"] = raced
    return record


def group_sizes(examples: Sequence[Example]) -> list[int]:
    """Questions of each independent group."""
    return list(Counter(example.group for example in examples).values())


def warnings(
    splits: Splits,
    arms: Sequence[Arm],
    *,
    questions: Sequence[Example],
    seen: Prospect,
    looks: int,
    config: Config,
    final: bool = False,
) -> list[str]:
    """Doubts that can be told before anything is spent.

    Args:
        splits: The examples.
        arms: Those that answer, diagnostic ones too.
        questions: The test split, or the sealed ones where the reserve is opened.
        seen: What the study could show.
        looks: Earlier looks at these questions.
        config: In force.
        final: Is the reserve opened?
    """
    sizes = group_sizes(questions)
    largest = max(sizes, default=0) / max(1, sum(sizes))
    doubts = [*splits.warnings, *doubting.few_groups(len(sizes), intervals.kish(sizes), largest)]
    if not seen.statistic and (seen.least is None or seen.least > 0.15):
        what = "sealed question" if final else "test question"
        gain = "any gain" if seen.least is None else f"a gain below {number_text(seen.least, 2)}"
        doubts.append(f"{counted(len(questions), what)} can seldom show {gain}: add questions")
    if any(arm.retrieval for arm in arms):
        doubts += doubting.nothing_unanswerable(sum(1 for e in questions if not e.answerable))
    doubts += doubting.synthetic(sum(1 for e in questions if e.origin == "synthetic"), len(questions))
    if any(arm.tuning for arm in arms) and len(splits.train) < 100:
        doubts.append(f"few training examples ({len(splits.train)}): tuning may look worse than it could be")
    doubts += doubting.contradictions(questions)
    if not final:
        doubts += doubting.one_arm(arms, documents=bool(config.documents.paths or config.sources))
        doubts += doubting.no_prompt_arm(arms)
        doubts += doubting.no_schema_arm(doubting.unheld(config, splits.train), arms)
    if looks and not final:
        doubts.append(
            f"these test questions were looked at {'once' if looks == 1 else f'{looks} times'} before: the next look "
            "is decided at a stricter level, and proves little to anybody who has read the answers; add new questions"
        )
    if any(arm.retrieval for arm in arms) and not any(e.sources for e in questions):
        doubts.append("no question asked names its sources: retrieval cannot be diagnosed")
    return doubts


def prospect_text(seen: Prospect) -> str:
    """``a gain of .10 is shown in 1 to 3 of 10 such studies, a gain of .20 in 5 to 9``, with what that stands on."""
    if seen.statistic:
        return (
            f"what gain is shown cannot be told before a study: {seen.statistic} is a statistic of all answers together"
        )
    if not any(round(10 * share) for share in seen.best):
        return f"no gain up to {number_text(max(gain for gain, _ in seen.chances), 2)} can be shown with so few"
    clauses: list[str] = []
    for (gain, share), best in zip(seen.chances, seen.best, strict=True):
        # Said once: the later clauses leave verb and noun out.
        verb, noun = ("", "") if clauses else ("is shown ", " such studies")
        clauses.append(f"a gain of {number_text(gain, 2)} {verb}in {_tenths(share, best)} of 10{noun}")
    low, high = DISAGREE
    assumed = f"assuming that two arms disagree on {100 * low:.0f} to {100 * high:.0f} % of the questions"
    basis = "by the spreads of an earlier study" if seen.measured else assumed
    return f"{', '.join(clauses)} ({basis})"


def _tenths(low: float, high: float) -> str:
    first, last = f"{10 * low:.0f}", f"{10 * high:.0f}"
    return first if first == last else f"{first} to {last}"
