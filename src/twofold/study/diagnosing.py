"""A finished study opened for its diagnosis: its arms as they were measured, their answers, and its documents.

Nothing of the study is made again. An arm is the one that was measured only if its system has the same key; an arm
whose settings, documents, examples or weights have changed since is refused: its re-runs would show that change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from twofold import __version__
from twofold.answering.scoring import scores
from twofold.answering.system import System
from twofold.arm_names import arm_of
from twofold.assembly.models import Models
from twofold.assembly.searching import Search
from twofold.assembly.systems import Systems
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.costs.prices import UNPRICED, Prices
from twofold.diagnosis import evidence
from twofold.diagnosis.arm import ArmCases, ArmPlan, diagnose_arm, remarks
from twofold.diagnosis.case import ArmFacts
from twofold.diagnosis.evidence import Shelves
from twofold.diagnosis.levers import TokenPrices
from twofold.diagnosis.record import FORMAT, ArmDiagnosis, DiagnosisRecord
from twofold.diagnosis.rerunning import PaidScores, Reruns, Scorer
from twofold.errors import StudyError, UnknownName
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import digest, plain
from twofold.plugins import loading, specs
from twofold.plugins.live import KnowsRounding
from twofold.plugins.protocols import Metric, Progress, Retriever, quiet
from twofold.plugins.traits import MetricTraits, hosted
from twofold.prompts import Template
from twofold.reports import archive
from twofold.settings.sections import CostsSection, MetricPart
from twofold.store.answers import Scores
from twofold.study import calls, more_data
from twofold.study.admission import is_endpoint
from twofold.text.arm_names import of_model, without_model
from twofold.text.masking import masked
from twofold.types import Answer, Arm, Example, Failure, Json
from twofold.verdict.record import AnswerRow, ArmAnswer, StudyRecord, counted

_LEGS = ("dense", "lexical")
"""The legs of the search, each asked alone for the passage that was not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is to be diagnosed."""

    study: str = ""
    """Name or number of the study; empty: the latest."""
    arms: tuple[str, ...] = ()
    """Names of its arms; empty: the chosen one, else the best."""
    limit: int = 0
    """Most wrong answers of an arm; 0: all."""
    fixes: bool = True
    """Measure what mending would gain, too."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A study opened for its diagnosis."""

    record: StudyRecord
    """Its record."""
    arms: tuple[Arm, ...]
    """The arms to diagnose."""
    questions: Questions
    """Its questions."""
    judged: Questions
    """The same as their answers are judged."""
    splits: Splits
    """All examples."""
    metric: Metric
    """Its deciding metric."""
    metric_key: str
    """The key under which its scores are kept."""
    rows: Mapping[str, AnswerRow]
    """Id of a question → the answers to it as the study recorded them."""
    left_out: int
    """Questions of the study that are no longer among the examples."""

    @property
    def right(self) -> float | None:
        """Score from which an answer counts as right."""
        return MetricTraits.of(self.metric).right

    @property
    def pays(self) -> bool:
        """Is the metric asked at an endpoint, which may be paid for?"""
        return is_endpoint("metrics", self.record["metric"])


def _diagnosable(name: str) -> bool:
    """Does an arm of this name read passages that it searched for, or none? A further model may be gone by now."""
    arm = arm_of(without_model(name), shots=1)
    return not (arm.oracle or arm.linear or arm.whole)


def opened(config: Config, splits: Splits, records: Path, *, request: Scope) -> Opened:
    """Find the study and its arms.

    Args:
        config: In force.
        splits: The project's examples.
        records: Directory of finished studies.
        request: What is to be diagnosed.

    Raises:
        StudyError: there is no such study; its metric cannot say of one answer whether it is right; or its questions
            are not among the examples any more.
        UnknownName: an arm that the study did not measure.
    """
    record = archive.find_record(records, request.study)
    rows = archive.read_answers(records / record["study"])
    names = request.arms or (_default(record),)
    for name in names:
        if name not in record["arms"]:
            raise UnknownName(
                f"study {record['study']} did not measure the arm {name!r}",
                cure=f"Name one of its arms: {', '.join(record['arms'])}; or run a study with it.",
            )
    for arm in map(config.arm, names):
        if arm.linear or arm.whole:
            lacks = "reads no prompt" if arm.linear else "searches for nothing"
            others = ",".join(name for name in record["arms"] if _diagnosable(name))
            raise StudyError(
                f"the arm {arm.name} {lacks}, so that no change to it would name a cause",
                # `improve` mends the arm that its study chose, and has no option --arm.
                cure=f"Diagnose another arm of that study, by --arm; to improve another, run `twofold study --arms "
                f"{others or 'base'}` first.",
            )
    # Ids are unique in a project, and an example that was changed has another digest, for which no answer is stored.
    by_id = {e.id: e for e in (*splits.test, *splits.reserve, *splits.dev, *splits.train)}
    questions = Questions(by_id[row["id"]] for row in rows if row["id"] in by_id)
    if not questions:
        raise StudyError(
            f"none of the {len(rows)} questions of study {record['study']} is among the project's examples",
            cure="Run `twofold study` with the current examples, then `twofold diagnose`.",
        )
    part = _metric(config, record, (*splits.train, *splits.dev, *splits.test, *splits.reserve))
    return Opened(
        record=record,
        arms=tuple(map(config.arm, names)),
        questions=questions,
        judged=splits.judged(questions),
        splits=splits,
        metric=loading.make("metrics", part.name, part.options),
        metric_key=digest("metric", specs.of_part("metrics", part)),
        rows={row["id"]: row for row in rows},
        left_out=len(rows) - len(questions),
    )


def _default(record: StudyRecord) -> str:
    """The verdict's arm, else the one with the highest score among those that a verdict could choose."""
    if record["verdict"]["arm"]:
        return record["verdict"]["arm"]
    scores = {}
    for name, arm in record["arms"].items():
        if not arm["diagnostic"] and record["metric"] in arm["metrics"]:
            scores[name] = arm["metrics"][record["metric"]]["mean"]
    # Where no arm has a score every answer failed, and the first arm shows that as well as any.
    return max(scores, key=lambda name: scores[name]) if scores else next(iter(record["arms"]))


def _metric(config: Config, record: StudyRecord, examples: Sequence[Example]) -> MetricPart:
    name = record["metric"]
    for configured in config.study.scored:
        if configured.name == name:
            if _options(masked(plain(config))["study"], name) != _options(record["config"]["study"], name):
                raise StudyError(
                    f"the study decided by {name} with other options than [study] gives it now",
                    cure="Set its options as in that study, or run `twofold study` again.",
                )
            return specs.informed(configured, examples)
    raise StudyError(
        f"the study decided by {name}, which [study].metric and [study].metrics do not name now",
        cure=f"Set [study].metric to {name} as in that study, or run `twofold study` again.",
    )


def _options(section: Json, name: str) -> Json:
    """The options of a metric in a [study] section as records have it; a bare name has none."""
    for part in (section["metric"], *section.get("metrics", ())):
        if isinstance(part, dict) and part["name"] == name and part.get("options"):
            options: Json = part["options"]
            return options
    return {}


def plans(workspace: Workspace, study: Opened, *, request: Scope, progress: Progress = quiet) -> list[ArmPlan]:
    """What the diagnosis would run at most, arm by arm; passages are looked up, nothing is searched, generated or paid.

    Raises:
        StudyError: as `diagnose`.
    """
    out = []
    for arm in study.arms:
        parts = workspace.of(arm)
        with _measured(parts.models, parts.systems, study, arm=arm) as system:
            scorer = _scorer(workspace.catalogue.scores, study)
            cases = _cases(parts, study, system, request=request, scorer=scorer, planned=True, progress=progress)
            out.append(cases.plan())
    return out


def diagnose(
    workspace: Workspace, study: Opened, *, request: Scope, prices: Prices = UNPRICED, progress: Progress = quiet
) -> DiagnosisRecord:
    """Diagnose the arms.

    Args:
        workspace: The project's parts.
        study: The study, opened.
        request: What is to be diagnosed.
        prices: The table of prices, for what a lever's further tokens cost.
        progress: Shows the work.

    Raises:
        StudyError: an arm is not the one that was measured; the metric judges none of its answers.
        GenerationError: a generator as a whole cannot work.
    """
    record = study.record
    scorer = _scorer(workspace.catalogue.scores, study)
    diagnosis: DiagnosisRecord = {
        "format": FORMAT,
        "study": record["study"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "twofold": __version__,
        "metric": record["metric"],
        "right_from": study.right,
        "level": record["level"],
        "arms": {},
        "notes": _notes(study, scorer),
    }
    for arm in study.arms:
        parts = workspace.of(arm)
        with _measured(parts.models, parts.systems, study, arm=arm) as system:
            subject = _cases(parts, study, system, request=request, scorer=scorer, progress=progress)
            price = _price(parts.config, prices, arm=arm, remote=hosted(system.description["generator"]))
            reruns = Reruns(
                system=system,
                untuned=partial(parts.systems.equipped, arm, study.splits, adapter=None),
                answers=workspace.catalogue.answers,
                scorer=scorer,
                batch=parts.config.generation.batch,
            )
            with closing(reruns):
                diagnosed = diagnose_arm(subject, reruns, level=record["level"], price=price, progress=progress)
        diagnosis["arms"][arm.name] = diagnosed
        diagnosis["notes"] += remarks(diagnosed)
        if request.fixes:
            root = workspace.directory.parent
            diagnosis["notes"] += _more_data(root, parts.config, study, diagnosed, arm=arm, price=price)
    return diagnosis


def _more_data(
    root: Path, config: Config, study: Opened, diagnosed: ArmDiagnosis, *, arm: Arm, price: TokenPrices | None
) -> list[str]:
    """Put what more training data would gain among an arm's levers; returns why it is not known, as a remark."""
    decides, metric = config.study.decides.name, study.record["metric"]
    if arm.tuning and decides != metric:
        cure = f"set [study].metric to {metric} as in that study"
        return [f"{arm.name}: {more_data.LEVER}: forecasts are in {decides} now, the study decided by {metric}: {cure}"]
    curve, why = more_data.curve_of(root, config, study.splits, arm=arm)
    if curve is None:
        return [f"{arm.name}: {more_data.LEVER}: {why}"] if why else []
    row = more_data.lever(curve, price=price)
    diagnosed["levers"] = sorted([*diagnosed["levers"], row], key=lambda lever: -float(lever["gain"]["mean"]))
    return []


@contextmanager
def _measured(models: Models, systems: Systems, study: Opened, *, arm: Arm) -> Iterator[System]:
    """The arm as it was measured.

    Raises:
        StudyError: its system has another key now.
    """
    row = study.record["arms"][arm.name]
    training: Any = row["training"]
    adapter = models.load(training["key"]) if training else None
    system = systems.equipped(arm, study.splits, adapter=adapter)
    try:
        if system.key != row["key"]:
            raise StudyError(
                f"the arm {arm.name} is not the one that study {study.record['study']} measured: its settings, "
                "documents, examples or weights changed",
                cure=_again(study.record, systems.config),
            )
        yield system
    finally:
        system.close()


def _again(record: StudyRecord, config: Config) -> str:
    """How a study's systems are had again: a first look (``--limit``) drew other few-shot and training examples."""
    limit = record["config"].get("examples", {}).get("limit", 0)
    again = "Run `twofold study` again, then `twofold diagnose`."
    if limit == config.examples.limit:
        return again
    return f"That study had [examples].limit = {limit}: give --set examples.limit={limit}. Else: {again}"


def _scorer(table: Scores, study: Opened) -> Scorer:
    paid = PaidScores(table, study.metric_key) if study.pays else None
    return Scorer(metric=study.metric, right=study.right, paid=paid)


def _cases(
    workspace: Workspace,
    study: Opened,
    system: System,
    *,
    request: Scope,
    scorer: Scorer,
    planned: bool = False,
    progress: Progress,
) -> ArmCases:
    """The arm's answers as the study scored them.

    Args:
        workspace: The project's parts.
        study: The study, opened.
        system: The arm as it was measured.
        request: What is to be diagnosed.
        scorer: Of the whole diagnosis: what it has paid for once is not paid for again.
        planned: Spend nothing: neither a search nor a judge at an endpoint is asked.
        progress: Shows the work.

    Raises:
        StudyError: the metric judges none of them.
    """
    arm = system.arm
    stored = workspace.catalogue.answers.get(system.key, include_failures=True)
    # An answer can have been erased with a forgotten document.
    answered = [
        (example, stored[name])
        for example, name in zip(study.judged, study.questions.digests, strict=True)
        if name in stored
    ]
    known: list[tuple[Example, Answer, float | None]] = []
    unscored = 0
    for example, answer, score in _scored(workspace.catalogue.scores, study, answered, system=system):
        if score is None and answer.failure is None:
            unscored += 1
            continue
        known.append((example, answer, score))
    if not known:
        raise StudyError(
            f"{study.record['metric']} judges none of the answers of {arm.name}: nothing can be right or wrong",
            cure="Choose a metric that scores these examples, or give the examples references; run `twofold study`.",
        )
    cases = evidence.cases(
        known,
        arm=_facts(system),
        shelves=_shelves(workspace.search, system, planned=planned),
        scorer=scorer,
        spend=not (planned and study.pays),
        references=(*study.splits.train, *study.splits.dev, *study.splits.test),
        progress=lambda done, total: progress(f"evidence of {arm.name}", done, total),
    )
    return ArmCases(
        arm=arm.name,
        system=system.key,
        cases=cases,
        unscored=unscored,
        limit=request.limit,
        seed=workspace.config.study.seed,
        fixes=request.fixes,
    )


def _scored(
    table: Scores, study: Opened, answered: Sequence[tuple[Example, Answer]], *, system: System
) -> list[tuple[Example, Answer, float | None]]:
    """Each answer with the score that the study gave it; scored now only where it is none of the study's answers."""
    out: dict[int, tuple[Example, Answer, float | None]] = {}
    others: dict[int, tuple[Example, Answer]] = {}
    for place, (example, answer) in enumerate(answered):
        row: ArmAnswer | None = (
            study.rows[example.id]["arms"].get(system.arm.name) if example.id in study.rows else None
        )
        if row is None:
            others[place] = (example, answer)
        elif row["failure"]:
            # It may have been answered since, by another study: this one failed.
            lost = replace(answer, failure=answer.failure or Failure(**row["failure"]))
            out[place] = (example, lost, None)
        else:
            out[place] = (example, answer, row["scores"].get(study.record["metric"]))
    examples = [example for example, _ in others.values()]
    answers = [answer for _, answer in others.values()]
    # Kept by the metric's key: a second diagnosis finds them.
    fresh = scores(
        table,
        examples,
        answers,
        keys=(system.key, study.metric_key),
        metric=study.metric,
        name=study.record["metric"],
    )
    for place, example, answer, score in zip(others, examples, answers, fresh, strict=True):
        out[place] = (example, answer, score)
    return [out[place] for place in sorted(out)]


def _facts(system: System) -> ArmFacts:
    generator, standard = system.generator, Template()
    rounds = not (isinstance(generator, KnowsRounding) and generator.byte_equal)
    same = (system.template.open, system.template.closed, system.template.question) == (
        standard.open,
        standard.closed,
        standard.question,
    )
    return ArmFacts(
        # The oracle arms are given their passages: nothing is searched for them.
        retrieval=system.arm.retrieval,
        tuned=bool(system.arm.tuning),
        tokens=system.max_tokens,
        k=system.k,
        other_wording=not same,
        rounding=rounds,
        schemas=generator.follows_schema and not system.constrained,
    )


def _shelves(search: Search, system: System, *, planned: bool) -> Shelves:
    if not search.catalogue.documents.digests():
        return Shelves(
            gold=lambda examples: [[] for _ in examples],
            documents=lambda _: [],
            legs={},
            undone={},
            filter=system.filter,
        )
    legs: dict[str, Any] = {}
    undone: dict[str, Any] = {}
    section = search.config.retrieval
    stages: dict[str, Any] = {}
    if system.arm.retrieval and not system.arm.oracle:
        stages |= {"rewriting": {"rewriters": ()}} if section.rewriters else {}
        stages |= {"re-ranking": {"rerankers": (), "budget": 0}} if section.rerankers or section.budget else {}
        for leg in () if planned else _LEGS:
            retriever: Retriever = loading.make("retrievers", leg, {}, parts=search.parts)
            legs[leg] = retriever.retrieve
        for stage, values in () if planned else stages.items():
            options = {**section.pipeline, **values}
            pipeline: Retriever = loading.make("retrievers", "pipeline", options, parts=search.parts)
            undone[stage] = pipeline.retrieve
    return Shelves(
        untried=tuple(stages) if planned else (),
        gold=search.gold,
        documents=lambda ids: search.catalogue.documents.get(list(ids)),
        legs=legs,
        undone=undone,
        filter=system.filter,
    )


def _price(config: Config, prices: Prices, *, arm: Arm, remote: bool) -> TokenPrices | None:
    """Prices of tokens; None where they are unknown, or no token is paid for.

    The table of prices goes before the options of the generator, which know no currency and no date.
    """
    amounts = prices.amounts
    read_item, written_item = (of_model(item, arm.model) for item in ("prompt_tokens", "completion_tokens"))
    if _hosted(config.costs, remote=remote) and read_item in amounts and written_item in amounts:
        return TokenPrices(read=amounts[read_item], written=amounts[written_item], currency=prices.currency)
    read, written = calls.prices(config)
    # 0 is the default: no price is configured, which is not a price of nothing.
    return TokenPrices(read=read, written=written) if read or written else None


def _hosted(section: CostsSection, *, remote: bool) -> bool:
    # As `costs.parts.hosted` decides it: on an own machine, a table's price of tokens is that of another model.
    return remote if section.serving == "auto" else section.serving == "hosted"


def _notes(study: Opened, scorer: Scorer) -> list[str]:
    notes = []
    if study.left_out:
        number = counted(study.left_out, "question")
        notes.append(f"{number} of the study not diagnosed: no longer among the examples; run `twofold study` again")
    pairs = evidence.contradictions((*study.splits.train, *study.splits.dev, *study.splits.test), scorer)
    if pairs:
        first = " and ".join(pairs[0])
        notes.append(
            f"{counted(len(pairs), 'pair')} of examples that ask the same want different answers, for example {first}: "
            "correct one of each, or name all right answers in both"
        )
    if scorer.right is None:
        notes.append(
            f"{study.record['metric']} does not say from which score an answer is right: only answers that score 0 "
            "count as wrong here; to diagnose the rest decide by one that says it, such as answer_f1 or, as a "
            "plugin of your own, an LLM judge"
        )
    return notes
