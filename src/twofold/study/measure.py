"""Make an arm answer and score its answers; every batch is committed, nothing is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TypeVar

from twofold.answering import cached, reuse
from twofold.answering.scoring import scores
from twofold.answering.system import System
from twofold.assembly.arms import Arms
from twofold.assembly.prompt_search import PHASE
from twofold.assembly.workspace import Workspace
from twofold.costs.endpoint_states import summed
from twofold.errors import GenerationError
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.execution.contract import Executor
from twofold.hashing import digest
from twofold.host import pace
from twofold.host.meter import Meter
from twofold.plugins.live import KnowsEndpoints, SpreadsBatches
from twofold.plugins.protocols import Explains, Metric, Progress
from twofold.plugins.traits import MetricTraits
from twofold.settings.sections import Part
from twofold.store.catalogue import Catalogue
from twofold.study.judging import Corpus
from twofold.study.plan import BESIDE, OPTIMISE
from twofold.types import Answer, Arm, Example, Json
from twofold.verdict.effort import STOPPED
from twofold.verdict.record import BillItem, counted

Item = TypeVar("Item")

_NOT_PIPELINE = ("content", "oracle", "abstention", "index_version")
"""Parts of a system's retrieval that do not decide how long it takes."""

SHOWN = "the passages shown"
NOTHING = "nothing: the arm saw no passages, and the project has no documents"
"""Words for the passages that an arm's answers were judged by; `Corpus.description` has the third kind."""

ENDPOINTS = "endpoints"
"""Name in the catalogue of what the endpoints of a system did."""
UNREACHABLE = frozenset({"generation.connection", "generation.timeout"})
"""Codes of failures that do not depend on the question."""
_CURES = {
    "generation.connection": "Start the endpoint, or correct base_url in [generation.generator.options].",
    "generation.timeout": "See why the endpoint is slow, or raise timeout in [generation.generator.options].",
    "generation.too-long": "Lower [retrieval].k or [generation].max_tokens, or choose a model with a longer context.",
}
"""Code of a failure → the cure where every answer failed by it."""


@dataclass(kw_only=True)
class MeasuredArm:
    """The measurement of one arm that has answered."""

    arm: Arm
    system: str
    description: Json
    answers: list[Answer]
    training: Json | None
    diagnostic: bool
    measures: Json
    scores: dict[str, list[float | None]]
    judged_by: dict[str, str] = field(default_factory=dict)
    """Metric that judges passages → which passages, in words."""
    reasons: dict[str, list[str]] = field(default_factory=dict)
    """Metric that explains itself → why each answer scores 0; empty for the others."""
    covers: tuple[bool, ...] = ()
    """Marks of the study's questions that a race asked the arm; empty: all were. Answers and scores are of these."""
    runs: list[MeasuredArm] = field(default_factory=list)
    """Of a tuned arm the single training runs that were measured, in their order; empty: there is one."""

    @property
    def each(self) -> list[MeasuredArm]:
        """What makes the arm's score: each of its training runs, or the arm itself."""
        return self.runs or [self]

    anew: str = ""
    """Why no completion of before was used again; empty where such are."""

    def part_of(self, items: Sequence[Item]) -> list[Item]:
        """What belongs to the questions that the arm was asked, of something that there is for every question."""
        if not self.covers:
            return list(items)
        return [item for item, reached in zip(items, self.covers, strict=True) if reached]

    def over_all(self, values: Sequence[Item | None]) -> list[Item | None]:
        """What there is for each question that the arm was asked, laid over all questions; None: it was not."""
        if not self.covers:
            return list(values)
        rest = iter(values)
        return [next(rest) if reached else None for reached in self.covers]


def measure(
    workspace: Workspace,
    arm: Arm,
    splits: Splits,
    *,
    test: Sequence[Example],
    bill: list[BillItem],
    diagnostic: bool,
    progress: Progress,
) -> MeasuredArm:
    """Make the arm ready (training its adapter if need be), answer what is missing."""
    parts = workspace.of(arm)
    system, training = ready(parts.arms, arm, splits, spent_on=workspace.spent, bill=bill, progress=progress)
    catalogue = workspace.catalogue
    digests = Questions.of(test).digests

    def todo() -> list[tuple[str, Example]]:
        catalogue.systems.put(system.key, system.description)
        answered = catalogue.answers.get(system.key)
        # By digest: the same question under two ids is answered once.
        return [(d, e) for d, e in dict(zip(digests, test, strict=True)).items() if d not in answered]

    opening = partial(load, system, splits, test, progress=named(progress, f"load {arm.name}"))
    # A tuned model tells when it is opened how well merging kept its answers, which the record shows.
    anew = reuse.why_not(system.generator, batch=parts.config.generation.batch)
    later = not arm.tuning and not anew
    try:
        missing = todo()
        with Meter() as answering:
            # Nothing is opened where everything is answered: loading a model takes longer than the whole rerun.
            if missing and not later:
                opening()
                # Opening may show that an endpoint refuses an option: then the key is another, with other answers.
                system = system.as_sent()
                missing = todo()
            reused = answer_missing(
                catalogue,
                system,
                missing,
                batch=parts.config.generation.batch,
                total=len(digests),
                progress=named(progress, f"answer {arm.name}"),
                opening=opening if later else None,
            )
        generator = system.generator.description
        description = {**system.description, "generator": generator}
        price = float(generator.get("price", 0.0))
        bill.append(answering_step(arm, len(digests), len(missing) - reused, spent=answering, price=price))
    finally:
        system.close()
    measured = measured_arm(catalogue, arm, digests, system=system.key, description=description, training=training)
    measured.diagnostic, measured.anew = diagnostic, anew
    return measured


def train_ahead(
    workspace: Workspace, arms: Sequence[Arm], splits: Splits, *, bill: list[BillItem], progress: Progress
) -> None:
    """Train what the arms lack side by side, where there are workers; the bill gets one step for all of it."""
    by_model: dict[str, list[Arm]] = {}
    for arm in arms:
        by_model.setdefault(arm.model, []).append(arm)
    for group in by_model.values():
        with Meter() as training:
            trained = workspace.of(group[0]).adapters.train_ahead(
                group, splits, progress=named(progress, "tune side by side")
            )
        if trained:
            bill.append(_item("tune side by side", len(trained), 0, training.seconds, ", ".join(trained)))


def answering_step(arm: Arm, questions: int, fresh: int, *, spent: Meter, price: float) -> BillItem:
    """The step of the bill for an arm's answers, of which so many were made now, at this price."""
    detail = f"peak {spent.peak_mib:.0f} MiB"
    step = _item(f"answer {arm.name}", questions, questions - fresh, spent.seconds, detail)
    return {**step, "amount": price} if price else step


def measured_arm(
    catalogue: Catalogue,
    arm: Arm,
    digests: Sequence[str],
    *,
    system: str,
    description: Json,
    training: Json | None,
) -> MeasuredArm:
    """What an arm answered to the questions of these digests, all of which it was asked; not scored yet.

    Args:
        catalogue: Has the answers.
        arm: The arm.
        digests: Of the questions.
        system: Its system key.
        description: Of the system.
        training: The report of its training, where it is tuned.
    """
    answers = catalogue.answers.get(system, include_failures=True)
    return MeasuredArm(
        arm=arm,
        system=system,
        description=description,
        answers=[answers[d] for d in digests],
        training=training,
        diagnostic=False,
        measures={
            **(catalogue.measures.get(system, "answering") or {}),
            **({"endpoints": stored["rows"]} if (stored := catalogue.measures.get(system, ENDPOINTS)) else {}),
        },
        scores={},
    )


def ready(
    maker: Arms, arm: Arm, splits: Splits, *, spent_on: pace.Spent, bill: list[BillItem], progress: Progress
) -> tuple[System, Json | None]:
    """The arm's system, its adapter trained if need be, and the report of the training; the bill gets its steps.

    Args:
        maker: Makes it.
        arm: The arm.
        splits: The examples.
        spent_on: Gets the seconds of each phase of the training, and is read for the bill.
        bill: Gets the steps.
        progress: Shows the training.
    """
    # Seconds of this arm only.
    spent_on.clear()
    with Meter() as making:
        stage = "optimise" if arm.optimised else "tune"
        system, training = maker.system(arm, splits, progress=named(progress, f"{stage} {arm.name}"))
    if arm.optimised:
        bill.append(_optimising_step(arm, system.description["optimised"], spent_on.seconds.get(PHASE)))
    if training is not None:
        detail = f"{counted(training['steps'], 'step')}, best at step {training['best_step']}, {_ended(training)}"
        several, runs = training.get("methods", ()), training.get("runs", ())
        detail += f"; {training['method']} is the best of {len(several)} methods on dev" if several else ""
        detail += f"; run {training['run']} is the best of {len(runs)} on dev" if runs else ""
        count = max(1, len(several)) * max(1, len(runs))
        cached = count if training["cached"] else 0
        beside = {name: spent_on.seconds.get(phase, 0.0) for phase, name in BESIDE.items()}
        # Dev scores, latency and the gate have lines of their own: they are no part of the training's seconds.
        spent = 0.0 if training["cached"] else making.seconds - sum(beside.values())
        bill.append(_item(f"tune {arm.name}", count, cached, spent, detail))
        bill += [_item(f"{name} {arm.name}", count, 0, seconds, "") for name, seconds in beside.items() if seconds]
    return system, training


def _optimising_step(arm: Arm, report: Json, seconds: float | None) -> BillItem:
    """The step that chose the arm's prompt; `seconds` is None where it was chosen before."""
    spent = int(report["spent"])
    detail = f"dev answers of {counted(len(report['candidates']), 'prompt')}"
    return _item(f"{OPTIMISE} {arm.name}", spent, spent if seconds is None else 0, seconds or 0.0, detail)


def answer_missing(
    catalogue: Catalogue,
    system: System,
    missing: Sequence[tuple[str, Example]],
    *,
    batch: int,
    total: int,
    progress: Progress,
    opening: Callable[[], None] | None = None,
) -> int:
    """Answer in batches, each committed with what it cost; those that fail once more, then they stay failed.

    Args:
        catalogue: Keeps the answers.
        system: Answers.
        missing: ``(digest, example)`` pairs.
        batch: Answers made at a time.
        total: All questions, for the progress.
        progress: Told after each batch.
        opening: Called before the first prompt is generated, where one is; None: the model is open.

    Returns:
        How many answers were read from completions that were there before (see `reuse`).
    """
    done = total - len(missing)
    progress("", done, total)
    answers = partial(_answered, catalogue, system, batch=batch, opening=opening)
    first = answers(missing, progress=lambda count: progress("", done + count, total))
    fresh, spent = list(first.fresh.values()), first.seconds
    # Once more after all others: what made an endpoint fail is often over by then.
    again = [pair for pair in missing if pair[0] in first.failed]
    if again:
        repeated = answers(again, progress=lambda _: progress("", total, total))
        fresh = [*(a for a in fresh if a.failure is None), *repeated.fresh.values()]
        spent = spent + repeated.seconds
    keep_pace(system, fresh, spent, single=False)
    _keep_endpoints(catalogue, system)
    return first.reused


def _keep_endpoints(catalogue: Catalogue, system: System) -> None:
    """Store what several endpoints did for a system, or what a single one refused or lost, summed over runs."""
    if not isinstance(system.generator, KnowsEndpoints):
        return
    states = system.generator.endpoints()
    if len(states) > 1 or any(state["refused"] or state["lost"] for state in states):
        before = catalogue.measures.get(system.key, ENDPOINTS) or {"rows": []}
        catalogue.measures.put(system.key, ENDPOINTS, {"rows": summed(before["rows"], states)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fresh:
    """What a run answered itself."""

    fresh: dict[str, Answer]
    """Digest of a question → its answer, without those of completions that were there before."""
    seconds: float
    """Seconds that these took."""
    reused: int
    """Number of the other ones."""

    @property
    def failed(self) -> set[str]:
        """Digests of the questions whose answer failed."""
        return {name for name, answer in self.fresh.items() if answer.failure is not None}


def _answered(
    catalogue: Catalogue,
    system: System,
    missing: Sequence[tuple[str, Example]],
    *,
    batch: int,
    progress: Callable[[int], None],
    opening: Callable[[], None] | None,
) -> _Fresh:
    """Answer, each batch committed with what it cost before the next begins; `progress` gets the number answered."""
    count, reused, spent = 0, 0, 0.0
    fresh: dict[str, Answer] = {}
    batches = reuse.answered(system, missing, catalogue.answers, batch=batch, opening=opening)
    for part in cached.stored(catalogue.answers, lambda: system.key, batches):
        _add_cost(catalogue, system.key, part)
        others = {name: answer for name, answer in part.answers if name not in part.reused}
        count, reused, fresh = count + len(part.answers), reused + len(part.reused), fresh | others
        # Answering alone: what it takes to commit is no pace, nor what a completion took that was there before.
        spent += part.seconds if not part.reused else sum(answer.timing.retrieval for answer in others.values())
        progress(count)
    return _Fresh(fresh=fresh, seconds=spent, reused=reused)


def _add_cost(catalogue: Catalogue, system: str, part: reuse.AnsweredBatch) -> None:
    """Add a batch to what answering took the system so far."""
    answers = [answer for _, answer in part.answers]
    costs = catalogue.measures.get(system, "answering") or {
        "n": 0,
        "seconds": 0.0,
        "prompt_tokens": 0.0,
        "completion_tokens": 0.0,
        "peak_mib": 0.0,
    }
    n = costs["n"] + len(answers)
    inner = sum(a.timing.retrieval + a.timing.generation for a in answers)
    # Of answers before this was counted nobody knows it: then it stays unknown.
    known = "inner" in costs or not costs["n"]
    # What a failed answer read is unknown, and no 0: means are of the others.
    usages = [a.usage for a in answers if a.failure is None]
    before = costs["answered"] if "answered" in costs else costs["n"]
    answered = before + len(usages)
    read = costs["prompt_tokens"] * before + sum(usage.prompt_tokens for usage in usages)
    written = costs["completion_tokens"] * before + sum(usage.completion_tokens for usage in usages)
    catalogue.measures.put(
        system,
        "answering",
        {
            "n": n,
            "answered": answered,
            "seconds": costs["seconds"] + part.seconds,
            # Seconds of these that the answers' own timing has; the rest went into rendering, waiting and reading.
            **({"inner": costs.get("inner", 0.0) + inner} if known else {}),
            # Means over all answers so far that did not fail, whichever run made them.
            "prompt_tokens": read / max(1, answered),
            "completion_tokens": written / max(1, answered),
            "peak_mib": max(costs["peak_mib"], part.peak_mib),
        },
    )


def answers_digest(answers: Sequence[Answer]) -> str:
    """Digest of what was answered and what failed, whatever time it took."""
    contents = [[a.text, a.raw, a.abstained, a.citations, a.failure and a.failure.code] for a in answers]
    return digest("answers", contents)


def _ended(training: Json) -> str:
    effort = training.get("effort")
    return STOPPED.get(effort["stopped"], effort["stopped"]) if effort else f"stopped by {training['stopped']}"


def _item(step: str, items: int, cached: int, seconds: float, detail: str) -> BillItem:
    return {"step": step, "items": items, "cached": cached, "seconds": seconds, "detail": detail}


def load(system: System, splits: Splits, test: Sequence[Example], *, progress: Progress) -> None:
    """Answer one question that is not measured, which loads the model (and checks a merged one)."""
    if isinstance(system.generator, SpreadsBatches):
        # Each worker loads it for itself, before its first batch.
        return
    progress("", 0, 1)
    # Not a test question where there is another one: those are measured.
    warm = next(iter((*splits.dev, *splits.train)), test[0])
    with Meter() as meter:
        system.answer([warm])
    # A tuned model takes longer to load: it may be merged and checked.
    kind = "load tuned" if system.arm.tuning else "load"
    pace.keep(pace.answering(system.generator.description), {kind: meter.seconds})
    progress("", 1, 1)


def keep_pace(system: System, answers: Sequence[Answer], seconds: float, *, single: bool) -> None:
    """Keep the pace of answers, made in batches or `single`, for later plans."""
    paces = pace.of_answers(system.arm, answers, seconds, max_tokens=system.max_tokens, single=single)
    pace.keep(pace.answering(system.generator.description), paces)
    searched = sum(answer.timing.retrieval for answer in answers)
    spec = system.description.get("retrieval")
    if paces and spec and searched and not system.arm.oracle:
        parts = {name: value for name, value in spec.items() if name not in _NOT_PIPELINE}
        pace.keep(pace.retrieving({**parts, "content": ""}), {"retrieve": searched / len(answers)})


def named(progress: Progress, stage: str) -> Progress:
    """The same progress, its stages named after this one."""
    return lambda inner, done, total: progress(f"{stage} {inner}".strip(), done, total)


def require_answers(generator: Part, measured: Sequence[MeasuredArm], *, more: bool, others: bool = False) -> None:
    """Stop a study in which no arm has answered anything: there is nothing to compare.

    Args:
        generator: That of the arm asked last.
        measured: The arms that were asked so far.
        more: Other arms follow; then only an endpoint that does not answer at all ends the study.
        others: Arms of another model are among these, which may answer where this one does not.

    Raises:
        GenerationError: every answer failed; it says why, in the words of the endpoint or runtime.
    """
    answers = chain.from_iterable(item.answers for item in measured)
    failures = [answer.failure for answer in answers if answer.failure is not None]
    if not failures or len(failures) < sum(len(item.answers) for item in measured):
        return
    # A failure that depends on the question or the arm may spare the next arm; an endpoint that is down does not.
    if others or (more and not {failure.code for failure in failures} <= UNREACHABLE):
        return
    reasons = Counter((failure.code, failure.message) for failure in failures)
    (code, message), _ = reasons.most_common(1)[0]
    address = str(generator.options.get("base_url", ""))
    place = f"{address}: " if address and address not in message else ""
    counts = ", ".join(f"{item.arm.name} {len(item.answers)} of {len(item.answers)}" for item in measured)
    beside = f" (and {counted(len(reasons) - 1, 'other reason')})" if len(reasons) > 1 else ""
    raise GenerationError(
        f"every answer failed ({counts}): {place}{message} [{code}]{beside}",
        cure=f"{_CURES.get(code, 'Correct [generation.generator].')} Then run the same command again.",
    )


def score(
    catalogue: Catalogue,
    item: MeasuredArm,
    *,
    test: Sequence[Example],
    metrics: dict[str, tuple[Metric, str]],
    corpus: Corpus | None = None,
    executor: Executor | None = None,
) -> None:
    """Fill `item.scores`, computing only what is not in the store. A failed answer has no score.

    A pooled metric gives none: what it says of one question is not its value.

    Args:
        catalogue: Keeps the scores.
        item: The arm.
        test: The questions that it was asked.
        metrics: Name → metric and its key.
        corpus: Has passages for the answers of an arm that saw none, for metrics that judge by passages.
        executor: Who scores; None: this process.

    Raises:
        ScorerBroken: a score is no number from 0 to 1.
    """
    for name, (metric, key) in metrics.items():
        traits = MetricTraits.of(metric)
        if traits.pooled:
            continue
        if traits.judges_citations and not item.arm.retrieval:
            # It has nothing to cite: 0 would say that it cites wrongly.
            item.scores[name] = [None] * len(test)
            continue
        judges = traits.judges_passages
        lent = corpus if judges and not item.arm.retrieval else None
        if judges:
            item.judged_by[name] = lent.description if lent else SHOWN if item.arm.retrieval else NOTHING
        item.scores[name] = scores(
            catalogue.scores,
            test,
            item.answers,
            # The passages decide the score, too.
            keys=(item.system, digest("metric", [key, lent.key]) if lent else key),
            metric=metric,
            name=name,
            judged=partial(lent.with_passages, test, item.answers) if lent else None,
            executor=executor,
        )
        if isinstance(metric, Explains):
            rows = zip(test, item.answers, item.scores[name], strict=True)
            item.reasons[name] = [metric.reason(e, answer) if value == 0 else "" for e, answer, value in rows]
