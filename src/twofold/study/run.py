"""Run a study: build → answer → score → diagnose → decide → record.

Every step asks the store first, commits each batch, and can be stopped by anything at any time: a rerun finds what is
there and makes the rest. An answer belongs to a system's key, a score to an answer and a metric's key; changing only a
metric therefore makes only scores again.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from twofold import __version__, forgetting, plugins, specs
from twofold.build import Builder, quiet
from twofold.dataset import Splits, example_digest
from twofold.errors import ModelError, StudyError
from twofold.identity import digest, plain
from twofold.plugins import Metric, Progress
from twofold.study import plan as planning
from twofold.study.archive import next_name, read_record, write_record
from twofold.study.compose import answer_rows, arm_record, cut_answers, groups_of, numbers, retrieval_record
from twofold.study.diagnose import summary
from twofold.study.measure import Measured, measure, score
from twofold.study.meter import Meter, environment
from twofold.study.record import FORMAT, BillItem, PolicyRecord, StudyRecord
from twofold.study.retrieval_ablation import ablate
from twofold.study.retrieval_abstention import abstention
from twofold.study.retrieval_bench import labelled, rules_of
from twofold.study.self_test import self_test
from twofold.study.verdict import VerdictFacts, constraint_objections, decide
from twofold.types import Arm, Document, Example, Json


def study(
    builder: Builder,
    splits: Splits,
    records: Path,
    *,
    leaks: Json,
    final: bool = False,
    progress: Progress = quiet,
) -> StudyRecord:
    """Run a study to its end and write its record; an identical finished study is returned as it is.

    Raises:
        StudyError: no arm, or the reserve split was asked for and is empty.
        ScorerBroken: gold answers do not score 1, or shuffled gold does.
        TwofoldError: whatever stops an arm as a whole (model missing, training failed, endpoint refused).
    """
    config = builder.config
    test = _questions(splits, final)
    arms = [config.arm(name) for name in config.study.arms]
    diagnostics = [config.arm(name) for name in config.study.diagnostics if config.arm(name) not in arms]
    if any(not arm.retrieval for arm in diagnostics) or len({arm.name for arm in arms}) < len(arms) or not arms:
        raise StudyError("[study].arms must name at least one arm, each once", cure="Correct [study].arms.")
    metrics = _metrics(builder)
    tests = [{"metric": name, **self_test(metric, test, name=name)} for name, (metric, _) in metrics.items()]
    bill: list[BillItem] = []
    with Meter() as meter, _pinned(builder, (*arms, *diagnostics)):
        measured = [
            measure(builder, arm, splits, test=test, bill=bill, diagnostic=arm in diagnostics, progress=progress)
            for arm in (*arms, *diagnostics)
        ]
        for item in measured:
            score(builder, item, test=test, metrics=metrics)
    own = {item.arm.name: item for item in measured}
    test_digest = digest("test", sorted(example_digest(e) for e in test))
    name_of = digest(
        "study",
        {
            "systems": {name: item.system for name, item in own.items()},
            "metrics": {name: key for name, (_, key) in metrics.items()},
            "section": config.study,
            "gate": config.tuning.gate,
            "test": test_digest,
            "final": final,
            "failed": {name: [a.failure is not None for a in item.answers] for name, item in own.items()},
        },
    )
    for row in builder.catalogue.studies():
        if row.get("identity") == name_of and (records / row["study"] / "study.json").is_file():
            return read_record(records / row["study"])
    looks = builder.catalogue.looks(test_digest) + 1
    seen = _seen(builder, splits.reserve)
    policy = planning.policy(splits, config, final=final)
    if final:
        policy = {**policy, "groups": len({e.group for e in test})}
    facts = _facts(builder, own, arms, test, dev=len(splits.dev), looks=looks, reserve_seen=seen, policy=policy)
    verdict, effects, comparisons, estimates = decide(
        arms=arms,
        scores={arm.name: numbers(own[arm.name].scores[config.study.metric.name]) for arm in arms},
        groups=groups_of(test),
        metric=config.study.metric.name,
        section=config.study,
        objections={},
        facts=facts,
    )
    with Meter() as finishing:
        rows = answer_rows(builder, own, test)
    bill.append(
        {
            "step": "score, decide, diagnose",
            "items": len(test),
            "cached": 0,
            "seconds": finishing.seconds,
            "detail": ", ".join(metrics),
        }
    )
    record: StudyRecord = {
        "format": FORMAT,
        "study": next_name(records, config.project.name),
        "project": config.project.name,
        "about": config.project.about,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "twofold": __version__,
        "policy": policy,
        "metric": config.study.metric.name,
        "level": config.study.level,
        "margin": config.study.margin,
        "verdict": plain(verdict),
        "effects": [plain(e) for e in effects],
        "comparisons": [plain(e) for e in comparisons],
        "arms": {
            name: arm_record(builder, item, test=test, metrics=metrics, decided=estimates.get(name))
            for name, item in own.items()
        },
        "retrieval": retrieval_record(builder, own, test),
        "diagnosis": summary(rows),
        "self_test": tests,
        "leaks": leaks,
        "warnings": [],
        "bill": bill,
        "seconds": sum(item["seconds"] for item in bill),
        "peak_mib": max(
            [
                meter.peak_mib,
                *(m.measures.get("peak_mib", 0.0) for m in measured),
                *((m.training or {}).get("peak_mib", 0.0) for m in measured),
            ]
        ),
        "environment": environment(),
        "config": plain(config),
    }
    for name, reasons in constraint_objections(arms, config.study, facts=facts, estimates=estimates).items():
        record["arms"][name]["objections"], record["arms"][name]["acceptable"] = reasons, not reasons
    record["warnings"] = planning.warnings(
        splits, arms, detectable=planning.detectable(splits, config, arms=len(arms)), looks=looks - 1
    )
    if record["retrieval"]:
        builder.index.tag(record["study"])
        judged = abstention(builder, splits, test)
        if judged is not None:
            record["retrieval"]["abstention"] = judged
            record["warnings"] += [judged["off"]] if judged["off"] else []
        if config.study.ablation:
            asked = labelled((*splits.train, *splits.dev))
            if asked:
                record["ablation"] = ablate(builder, asked, rules_of(config), progress=progress)
            else:
                record["warnings"].append("no stage was measured: no example of train or dev says where its answer is")
    write_record(records / record["study"], record, rows)
    finished = {"study": record["study"], "identity": name_of, "final": final}
    finished["questions"] = sorted(example_digest(e) for e in test)
    builder.catalogue.put_study(record["study"], finished, test_digest)
    return record


def plan(builder: Builder, splits: Splits, documents: Sequence[Document], *, leaks: Json, final: bool = False) -> Json:
    """The bill of a study, without doing it: steps, minutes, detectable difference, warnings."""
    config = builder.config
    _metrics(builder)
    test = _questions(splits, final)
    arms = [config.arm(name) for name in (*config.study.arms, *config.study.diagnostics)]
    held = set(builder.catalogue.document_digests())
    stale = [d for d in documents if d.id not in held] if any(arm.retrieval for arm in arms) else []
    per_chunk = 800.0
    chunks = sum(max(1.0, len(d.text) / per_chunk) for d in stale)
    mean_passage = min(per_chunk, statistics.fmean([len(d.text) for d in documents])) if documents else 0.0
    asked = statistics.fmean(sum(len(m.content) for m in e.messages) for e in test)
    answered = statistics.fmean([len(e.references[0]) if e.references else 24 for e in test])
    template, tuning = config.template, config.tuning
    options = [plugins.options("trainers", method.name, method.options) for method in builder.methods]
    tokens: dict[str, float] = {}
    for arm in arms:
        characters = asked + len(template.open if arm.retrieval else template.closed) + 60
        characters += config.retrieval.k * mean_passage if arm.retrieval else 0
        characters += arm.shots * (asked + answered)
        tokens[arm.name] = planning.tokens(characters)
    written = min(config.generation.max_tokens, planning.tokens(answered) + 6)
    cached, adapters, notes = _cached(builder, arms, splits, stale=bool(stale))
    past = [m for m in (builder.catalogue.measure(key, "answering") for key in builder.catalogue.systems()) if m]
    trained = [m["report"] for m in builder.artifacts.list() if "report" in m]
    rates = planning.rates_from(past, trained)
    work = planning.Work(
        stale_documents=len(stale),
        chunks=chunks,
        prompt_tokens=tokens,
        completion_tokens=written,
        cached_answers=cached,
        cached_adapters=adapters,
        training_tokens={a.name: len(splits.train) * (tokens[a.name] + written) for a in arms if a.tuning},
        epochs=[float(getattr(one, "epochs", 1)) for one in options],
        minutes=float(getattr(options[0], "limit", getattr(options[0], "minutes", 0))),
        general=0.0 if tuning.gate == "off" else float(sum(len(item.asks) for item in forgetting.suite())),
        shares=1 + len(tuning.merge_back),
    )
    steps = planning.bill(arms, len(test), work=work, rates=rates, latency_sample=config.study.latency_sample)
    seen = planning.detectable(splits, config, arms=len(config.study.arms))
    looks = builder.catalogue.looks(digest("test", sorted(example_digest(e) for e in test)))
    return {
        "steps": steps,
        "minutes": sum(step["seconds"] for step in steps) / 60,
        "detectable": seen,
        "warnings": [*planning.warnings(splits, arms, detectable=seen, looks=looks), *notes],
        "policy": planning.policy(splits, config, final=final),
        "arms": [arm.name for arm in arms],
        "leaks": leaks,
        "rates": "measured here before" if rates.measured else "defaults for two cores and the embedded model",
    }


def _cached(
    builder: Builder, arms: Sequence[Arm], splits: Splits, *, stale: bool
) -> tuple[dict[str, int], frozenset[str], list[str]]:
    cached: dict[str, int] = {}
    adapters: set[str] = set()
    notes: list[str] = []
    for arm in arms:
        if stale and arm.retrieval:
            continue
        try:
            key = builder.known_system_key(arm, splits)
        except ModelError as error:
            notes.append(f"{error} ({error.cure})")
            break
        if key is not None:
            cached[arm.name] = len(builder.catalogue.answers(key))
            adapters |= {arm.name} if arm.tuning else set()
    return cached, frozenset(adapters), notes


@contextlib.contextmanager
def _pinned(builder: Builder, arms: Sequence[Arm]) -> Iterator[None]:
    """Search the index as it is now until the study has answered, whatever is synced meanwhile."""
    if not any(arm.retrieval for arm in arms):
        yield
        return
    builder.retriever.pin(builder.index.state().version)
    try:
        yield
    finally:
        builder.retriever.pin(None)


def _questions(splits: Splits, final: bool) -> tuple[Example, ...]:
    if final and not splits.reserve:
        raise StudyError("there is no reserve split to open", cure="Set [examples].reserve above 0 before any study.")
    return splits.reserve if final else splits.test


def _seen(builder: Builder, reserve: Sequence[Example]) -> int:
    """How many reserve questions were test questions of an earlier study, so that the reserve is no longer sealed."""
    opened = [row for row in builder.catalogue.studies() if not row.get("final")]
    known = {asked for row in opened for asked in row.get("questions", ())}
    return sum(1 for example in reserve if example_digest(example) in known)


def _metrics(builder: Builder) -> dict[str, tuple[Metric, str]]:
    """Metric name → the metric, and its key: of its name, version and options.

    Raises:
        UnknownName: a metric of [study] that nobody defined.
        ConfigError: an option that the metric does not have, or a bad value of one.
    """
    section = builder.config.study
    made: dict[str, tuple[Metric, str]] = {}
    for part in section.scored:
        plugins.options("metrics", part.name, part.options, where=f"study: options of {part.name}")
        made[part.name] = (
            plugins.make("metrics", part.name, part.options),
            digest("metric", specs.of_part("metrics", part)),
        )
    return made


def _facts(
    builder: Builder,
    own: dict[str, Measured],
    arms: Sequence[Arm],
    test: Sequence[Example],
    *,
    dev: int,
    looks: int,
    reserve_seen: int,
    policy: PolicyRecord,
) -> VerdictFacts:
    latency = {arm.name: builder.catalogue.measure(own[arm.name].system, "latency") for arm in arms}
    training = {arm.name: own[arm.name].training or {} for arm in arms}
    gates = {name: report.get("gate") for name, report in training.items() if builder.config.tuning.gate == "enforce"}
    fallen = {name: "; ".join(gate["because"]) for name, gate in gates.items() if gate and not gate["passed"]}
    failed = {arm.name: sum(1 for answer in own[arm.name].answers if answer.failure) for arm in arms}
    return VerdictFacts(
        policy=policy["sentence"],
        looks=looks,
        synthetic_share=sum(1 for e in test if e.origin == "synthetic") / len(test),
        failed_share={name: count / len(test) for name, count in failed.items()},
        latency_p95={name: float(value["p95"]) for name, value in latency.items() if value},
        latency_answers={name: int(value["n"]) for name, value in latency.items() if value},
        cut_share={n: cut_answers(own[n].answers) / max(1, len(test) - count) for n, count in failed.items()},
        effort={name: report["effort"] for name, report in training.items() if report.get("effort")},
        unanswerable=sum(1 for e in test if not e.answerable) if any(arm.retrieval for arm in arms) else None,
        reserve=policy["reserve"],
        reserve_seen=reserve_seen,
        training_minutes={a.name: float(training[a.name].get("seconds", 0.0)) / 60 for a in arms if a.tuning},
        dev_trials={name: report.get("trials", len(report.get("dev", ()))) for name, report in training.items()},
        forgetting=fallen,
        dev_examples=dev,
        remote=frozenset(name for name in own if own[name].description["generator"].get("remote")),
        final=policy["final"],
    )
