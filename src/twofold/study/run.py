"""Run a study: build → answer → score → diagnose → decide → record.

Every step asks the store first, commits each batch, and can be stopped by anything at any time: a rerun finds what is
there and makes the rest. An answer belongs to a system's key, a score to an answer and a metric's key; changing only a
metric therefore makes only scores again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from twofold import __version__
from twofold.build import Builder, quiet
from twofold.dataset import Splits, example_digest
from twofold.forgetting import outcome
from twofold.identity import digest, plain
from twofold.plugins import Progress
from twofold.study import confirming, looks
from twofold.study import plan as planning
from twofold.study.admission import Admitted, admitted
from twofold.study.archive import next_name, read_record, write_record
from twofold.study.compose import answer_rows, arm_record, cut_answers, groups_of, numbers, retrieval_record
from twofold.study.diagnose import summary
from twofold.study.measure import Measured, measure, score
from twofold.study.meter import Meter, environment
from twofold.study.record import FORMAT, BillItem, PolicyRecord, StudyRecord
from twofold.study.retrieval_ablation import ablate
from twofold.study.retrieval_abstention import abstention
from twofold.study.retrieval_bench import LEARNED, labelled, learned_train, rules_of
from twofold.study.self_test import self_test
from twofold.study.verdict import VerdictFacts, constraint_objections, decide
from twofold.types import Arm, Example, Json


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
        StudyError, TooFewExamples, UnknownName, ConfigError: what is asked for cannot be; see `admission.admitted`.
        ScorerBroken: gold answers do not score 1, or shuffled gold does.
        TwofoldError: whatever stops an arm as a whole (model missing, training failed, endpoint refused).
    """
    config = builder.config
    asked = admitted(builder, splits, records, final=final)
    stated = asked.hypothesis
    test, arms, diagnostics, metrics = asked.test, asked.arms, asked.diagnostics, dict(asked.metrics)
    tests = [{"metric": name, **self_test(metric, test, name=name)} for name, (metric, _) in metrics.items()]
    bill: list[BillItem] = []
    with Meter() as meter, _pinned(builder, (*arms, *diagnostics)):
        if stated:
            confirming.require_same_systems(stated, _systems(builder, arms, splits, progress=progress))
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
    rows = looks.read(records)
    look = _look(builder, own, asked, splits.dev, rows=rows, name=next_name(records, config.project.name))
    section = confirming.settings(config.study) if stated else config.study
    level = section.level if stated else looks.level_of(look.look, section.level)
    policy = planning.policy(splits, config, asked=test if final else ())
    facts = _facts(builder, own, arms, test, splits=splits, look=look, rows=rows, policy=policy, stated=stated)
    facts = replace(facts, level=level)
    verdict, effects, comparisons, estimates = decide(
        arms=arms,
        scores={arm.name: numbers(own[arm.name].scores[config.study.metric.name]) for arm in arms},
        groups=groups_of(test),
        metric=config.study.metric.name,
        section=section,
        objections={},
        facts=facts,
        alpha=1 - level,
    )
    if stated:
        verdict = confirming.restated(verdict, stated, comparisons, policy=policy["sentence"], n=len(test))
    with Meter() as finishing:
        answered = answer_rows(builder, own, test)
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
        "study": look.name,
        "project": config.project.name,
        "about": config.project.about,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "twofold": __version__,
        "policy": policy,
        "metric": config.study.metric.name,
        "level": config.study.level,
        "decided_at": level,
        "margin": config.study.margin,
        "verdict": plain(verdict),
        "effects": [plain(e) for e in effects],
        "comparisons": [plain(e) for e in comparisons],
        "arms": {
            name: arm_record(builder, item, test=test, metrics=metrics, decided=estimates.get(name))
            for name, item in own.items()
        },
        "retrieval": retrieval_record(builder, own, test),
        "diagnosis": summary(answered),
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
    if stated:
        record["confirmation"] = confirming.row_of(stated, comparisons)
        look = replace(look, outcome=record["confirmation"]["outcome"])
    for name, reasons in constraint_objections(arms, section, facts=facts, estimates=estimates).items():
        record["arms"][name]["objections"], record["arms"][name]["acceptable"] = reasons, not reasons
    record["warnings"] = planning.warnings(
        splits, arms, detectable=planning.detectable(splits, config, arms=len(arms)), looks=look.look - 1
    ) + looks.mixtures(rows, splits)
    if record["retrieval"]:
        builder.index.tag(record["study"])
        judged = abstention(builder, splits, test)
        if judged is not None:
            record["retrieval"]["abstention"] = judged
            record["warnings"] += [judged["off"]] if judged["off"] else []
        if config.study.ablation:
            record["warnings"] += _ablated(builder, splits, record, progress=progress)
    looks.write(records, look)  # before the record: a look whose record was not finished has been taken all the same
    write_record(records / record["study"], record, answered)
    builder.catalogue.put_study(record["study"], {"study": record["study"], "identity": name_of}, test_digest)
    return record


def _ablated(builder: Builder, splits: Splits, record: StudyRecord, *, progress: Progress) -> list[str]:
    """Measure the stages of retrieval for the record; returns what to beware of."""
    learned = learned_train([builder.config])
    known = labelled(splits.dev if learned else (*splits.train, *splits.dev))
    if not known:
        return ["no stage was measured: no example of train or dev says where its answer is"]
    record["ablation"] = ablate(builder, known, rules_of(builder.config), progress=progress)
    return [f"{LEARNED}: stages were measured on dev alone"] if learned else []


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


def _systems(builder: Builder, arms: Sequence[Arm], splits: Splits, *, progress: Progress) -> dict[str, str]:
    """Arm → system key, before any question is answered."""
    keys = {}
    for arm in arms:
        system, _ = builder.system(arm, splits, progress=progress)
        keys[arm.name] = system.key
        system.close()
    return keys


def _look(
    builder: Builder,
    own: Mapping[str, Measured],
    asked: Admitted,
    dev: Sequence[Example],
    *,
    rows: Sequence[looks.Look],
    name: str,
) -> looks.Look:
    """This study as a line of the ledger.

    Raises:
        StudyError: the reserve was opened before, by another study than this one begun anew.
    """
    section = builder.config.study
    decided = {arm.name: own[arm.name] for arm in asked.arms}
    texts = {arm: [a.raw for a in item.answers if a.failure is None] for arm, item in decided.items()}
    systems = {arm: item.system for arm, item in decided.items()}
    _, metric = asked.metrics[section.metric.name]
    look = looks.Look(
        kind="final" if asked.hypothesis else "study",
        name=name,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        identity=looks.identity_of(section, systems, metric=metric, examples=asked.test),
        answers=digest("answers", texts),
        failed=sum(1 for item in decided.values() for answer in item.answers if answer.failure is not None),
        look=0,
        asked=looks.asked_digests(asked.test),
        dev=looks.asked_digests(dev),
    )
    if asked.hypothesis:
        confirming.require_sealed(rows, look)
    kinds: tuple[looks.Kind, ...] = ("study", "final")
    if any(builder.chosen(arm) for arm in asked.arms):  # a model that comparisons on such questions have promoted
        kinds = (*kinds, "retraining")
    return replace(look, look=looks.number(rows, look, kinds=kinds))


def _facts(
    builder: Builder,
    own: dict[str, Measured],
    arms: Sequence[Arm],
    test: Sequence[Example],
    *,
    splits: Splits,
    look: looks.Look,
    rows: Sequence[looks.Look],
    policy: PolicyRecord,
    stated: confirming.Hypothesis | None,
) -> VerdictFacts:
    reserve, final = looks.asked_digests(splits.reserve), policy["final"]
    opened = next((row.name for row in rows if row.kind == "final"), "")
    latency = {arm.name: builder.catalogue.measure(own[arm.name].system, "latency") for arm in arms}
    training = {arm.name: own[arm.name].training or {} for arm in arms}
    gates = {name: report.get("gate") for name, report in training.items() if builder.config.tuning.gate == "enforce"}
    fallen = {n: "; ".join(gate["because"]) for n, gate in gates.items() if gate and outcome(gate) == "failed"}
    told = {name: report.get("gate") for name, report in training.items()}
    unsure = {n: "; ".join(gate["because"]) for n, gate in told.items() if gate and outcome(gate) == "open"}
    failed = {arm.name: sum(1 for answer in own[arm.name].answers if answer.failure) for arm in arms}
    return VerdictFacts(
        policy=policy["sentence"],
        looks=look.look,
        synthetic_share=sum(1 for e in test if e.origin == "synthetic") / len(test),
        failed_share={name: count / len(test) for name, count in failed.items()},
        latency_p95={name: float(value["p95"]) for name, value in latency.items() if value},
        latency_answers={name: int(value["n"]) for name, value in latency.items() if value},
        cut_share={n: cut_answers(own[n].answers) / max(1, len(test) - count) for n, count in failed.items()},
        effort={name: report["effort"] for name, report in training.items() if report.get("effort")},
        unanswerable=sum(1 for e in test if not e.answerable) if any(arm.retrieval for arm in arms) else None,
        reserve=len(reserve),
        reserve_seen=0 if final else len(looks.tested(rows).intersection(reserve)),
        reserve_opened="" if final else opened,
        training_minutes={a.name: float(training[a.name].get("seconds", 0.0)) / 60 for a in arms if a.tuning},
        dev_trials={name: report.get("trials", len(report.get("dev", ()))) for name, report in training.items()},
        forgetting=fallen,
        forgetting_open=unsure,
        dev_examples=len(splits.dev),
        remote=frozenset(name for name in own if own[name].description["generator"].get("remote")),
        final=final,
        confirms=stated.study if stated else "",
    )
