"""A finished study opened for its diagnosis: its arms as they were measured, their answers, and its documents.

Nothing of the study is made again. An arm is the one that was measured only if its system has the same key; an arm
whose settings, documents, examples or weights have changed since is refused: its re-runs would show that change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from twofold import __version__
from twofold.answering.system import System
from twofold.assembly.models import Models
from twofold.assembly.searching import Search
from twofold.assembly.systems import Systems
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.diagnosis import evidence
from twofold.diagnosis.arm import ArmCases, ArmPlan, diagnose_arm, remarks
from twofold.diagnosis.case import ArmFacts
from twofold.diagnosis.evidence import Shelves
from twofold.diagnosis.record import FORMAT, DiagnosisRecord
from twofold.diagnosis.rerunning import Reruns, Scorer
from twofold.errors import StudyError, UnknownName
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import plain
from twofold.plugins import loading, specs
from twofold.plugins.live import KnowsRounding
from twofold.plugins.protocols import Metric, Progress, Retriever, quiet
from twofold.plugins.traits import GeneratorSettings, MetricTraits
from twofold.prompts import Template
from twofold.reports import archive
from twofold.text.masking import masked
from twofold.types import Answer, Arm, Example, Json
from twofold.verdict.record import StudyRecord, counted

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
    scorer: Scorer
    """Its deciding metric."""
    left_out: int
    """Questions of the study that are no longer among the examples."""


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
    # Ids are unique in a project, and an example that was changed has another digest, for which no answer is stored.
    by_id = {e.id: e for e in (*splits.test, *splits.reserve, *splits.dev, *splits.train)}
    questions = Questions(by_id[row["id"]] for row in rows if row["id"] in by_id)
    if not questions:
        raise StudyError(
            f"none of the {len(rows)} questions of study {record['study']} is among the project's examples",
            cure="Run `twofold study` with the current examples, then `twofold diagnose`.",
        )
    metric = _metric(config, record, (*splits.train, *splits.dev, *splits.test, *splits.reserve))
    return Opened(
        record=record,
        arms=tuple(map(config.arm, names)),
        questions=questions,
        judged=splits.judged(questions),
        splits=splits,
        scorer=Scorer(metric=metric, right=MetricTraits.of(metric).right),
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


def _metric(config: Config, record: StudyRecord, examples: Sequence[Example]) -> Metric:
    name = record["metric"]
    for configured in config.study.scored:
        if configured.name == name:
            if _options(masked(plain(config))["study"], name) != _options(record["config"]["study"], name):
                raise StudyError(
                    f"the study decided by {name} with other options than [study] gives it now",
                    cure="Set its options as in that study, or run `twofold study` again.",
                )
            part = specs.informed(configured, examples)
            metric: Metric = loading.make("metrics", part.name, part.options)
            return metric
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
    """What the diagnosis would run, arm by arm; documents are searched, nothing is generated.

    Raises:
        StudyError: as `diagnose`.
    """
    out = []
    for arm in study.arms:
        with _measured(workspace.models, workspace.systems, study, arm=arm) as system:
            out.append(_cases(workspace, study, system, request=request, progress=progress).plan())
    return out


def diagnose(workspace: Workspace, study: Opened, *, request: Scope, progress: Progress = quiet) -> DiagnosisRecord:
    """Diagnose the arms, and write the record beside the study's.

    Raises:
        StudyError: an arm is not the one that was measured; the metric judges none of its answers.
        GenerationError: a generator as a whole cannot work.
    """
    record = study.record
    diagnosis: DiagnosisRecord = {
        "format": FORMAT,
        "study": record["study"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "twofold": __version__,
        "metric": record["metric"],
        "right_from": study.scorer.right,
        "level": record["level"],
        "arms": {},
        "notes": _notes(study),
    }
    for arm in study.arms:
        with _measured(workspace.models, workspace.systems, study, arm=arm) as system:
            subject = _cases(workspace, study, system, request=request, progress=progress)
            reruns = Reruns(
                system=system,
                untuned=partial(workspace.systems.equipped, arm, study.splits, adapter=None),
                answers=workspace.catalogue.answers,
                scorer=study.scorer,
                batch=workspace.config.generation.batch,
            )
            with closing(reruns):
                diagnosed = diagnose_arm(
                    subject, reruns, level=record["level"], price=_price(workspace.config), progress=progress
                )
        diagnosis["arms"][arm.name] = diagnosed
        diagnosis["notes"] += remarks(diagnosed)
    return diagnosis


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
                cure="Run `twofold study` again, then `twofold diagnose`.",
            )
        yield system
    finally:
        system.close()


def _cases(workspace: Workspace, study: Opened, system: System, *, request: Scope, progress: Progress) -> ArmCases:
    """The arm's answers as the study scored them.

    Raises:
        StudyError: the metric judges none of them.
    """
    arm = system.arm
    stored = workspace.catalogue.answers.get(system.key, include_failures=True)
    known: list[tuple[Example, Answer, float | None]] = []
    unscored = 0
    for judged, name in zip(study.judged, study.questions.digests, strict=True):
        answer = stored.get(name)
        # An answer can have been erased with a forgotten document.
        if answer is None:
            continue
        score = study.scorer.score(judged, answer)
        if score is None and answer.failure is None:
            unscored += 1
            continue
        known.append((judged, answer, score))
    if not known:
        raise StudyError(
            f"{study.record['metric']} judges none of the answers of {arm.name}: nothing can be right or wrong",
            cure="Choose a metric that scores these examples, or give the examples references; run `twofold study`.",
        )
    cases = evidence.cases(
        known,
        arm=_facts(system, workspace.models),
        shelves=_shelves(workspace.search, system),
        scorer=study.scorer,
        references=(*study.splits.train, *study.splits.dev, *study.splits.test),
        progress=lambda done, total: progress(f"search {arm.name}", done, total),
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


def _facts(system: System, models: Models) -> ArmFacts:
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
        schemas=generator.follows_schema and not models.schema,
    )


def _shelves(search: Search, system: System) -> Shelves:
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
    if system.arm.retrieval and not system.arm.oracle:
        for leg in _LEGS:
            retriever: Retriever = loading.make("retrievers", leg, {}, parts=search.parts)
            legs[leg] = retriever.retrieve
        section = search.config.retrieval
        for stage, values in (
            ("rewriting", {"rewriters": ()} if section.rewriters else {}),
            ("re-ranking", {"rerankers": (), "budget": 0} if section.rerankers or section.budget else {}),
        ):
            if values:
                options = {**section.pipeline, **values}
                pipeline: Retriever = loading.make("retrievers", "pipeline", options, parts=search.parts)
                undone[stage] = pipeline.retrieve
    return Shelves(
        gold=search.gold,
        documents=lambda ids: search.catalogue.documents.get(list(ids)),
        legs=legs,
        undone=undone,
        filter=system.filter,
    )


def _price(config: Config) -> tuple[float, float] | None:
    part = config.generation.generator
    settings = GeneratorSettings.of(loading.options("generators", part.name, part.options))
    price = (settings.price_per_million_prompt, settings.price_per_million_completion)
    # 0 is the default: no price is configured, which is not a price of nothing.
    return price if any(price) else None


def _notes(study: Opened) -> list[str]:
    notes = []
    if study.left_out:
        number = counted(study.left_out, "question")
        notes.append(f"{number} of the study not diagnosed: no longer among the examples; run `twofold study` again")
    pairs = evidence.contradictions((*study.splits.train, *study.splits.dev, *study.splits.test), study.scorer)
    if pairs:
        first = " and ".join(pairs[0])
        notes.append(
            f"{counted(len(pairs), 'pair')} of examples that ask the same want different answers, for example {first}: "
            "correct one of each, or name all right answers in both"
        )
    return notes
