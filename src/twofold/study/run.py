"""Run a study: build → answer → score → diagnose → decide → record.

Every step asks the store first, commits each batch, and can be stopped by anything at any time: a rerun finds what is
there and makes the rest. An answer belongs to a system's key, a score to an answer and a metric's key; changing only a
metric therefore makes only scores again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from twofold import __version__, specs
from twofold.build import Builder, quiet
from twofold.dataset import Splits, example_digest
from twofold.identity import digest, plain
from twofold.plugins import Progress
from twofold.study import latency
from twofold.study import plan as planning
from twofold.study.admission import admitted
from twofold.study.archive import next_name, read_record, write_record
from twofold.study.compose import (
    answer_rows,
    arm_record,
    cited_share,
    cut_answers,
    groups_of,
    numbers,
    retrieval_record,
)
from twofold.study.diagnose import contrasts, summary
from twofold.study.measure import Measured, measure, require_answers, said, score
from twofold.study.meter import Meter, environment
from twofold.study.record import FORMAT, BillItem, PolicyRecord, StudyRecord
from twofold.study.retrieval_ablation import ablate
from twofold.study.retrieval_abstention import abstention
from twofold.study.retrieval_bench import labelled, rules_of
from twofold.study.self_test import self_test
from twofold.study.verdict import VerdictFacts, constraint_objections, constraint_questions, decide
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
        ConfigError: a metric that cannot decide; see `specs.decider`.
        ScorerBroken: gold answers do not score 1, or shuffled gold does.
        GenerationError: every answer of every arm failed.
        TwofoldError: whatever else stops an arm as a whole (model missing, training failed, endpoint refused).
    """
    config = builder.config
    asked = admitted(builder, splits, final=final)
    test, arms, diagnostics, metrics = asked.test, asked.arms, asked.diagnostics, dict(asked.metrics)
    tests = [{"metric": name, **self_test(metric, test, name=name)} for name, (metric, _) in metrics.items()]
    bill: list[BillItem] = []
    with Meter() as meter, _pinned(builder, (*arms, *diagnostics)):
        measured: list[Measured] = []
        for arm in (*arms, *diagnostics):
            measured.append(
                measure(builder, arm, splits, test=test, bill=bill, diagnostic=arm in diagnostics, progress=progress)
            )
            require_answers(builder, measured, more=len(measured) < len(arms) + len(diagnostics))
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
            "answers": {name: said(item.answers) for name, item in own.items()},
        },
    )
    for row in builder.catalogue.studies():
        if row.get("identity") == name_of and (records / row["study"] / "study.json").is_file():
            return read_record(records / row["study"])
    with _pinned(builder, arms):
        latency.time_arms(builder, measured, splits, test=test, bill=bill, progress=progress)
    looks = builder.catalogue.looks(test_digest) + 1
    seen = _seen(builder, splits.reserve)
    policy = planning.policy(splits, config, final=final)
    if final:
        policy = {**policy, "groups": len({e.group for e in test})}
    facts = _facts(builder, own, arms, test, dev=len(splits.dev), looks=looks, reserve_seen=seen, policy=policy)
    deciding = {arm.name: own[arm.name].scores[config.study.metric.name] for arm in arms}
    lost = {arm.name: [answer.failure is not None for answer in own[arm.name].answers] for arm in arms}
    specs.require_same_questions(config.study.metric.name, deciding, lost)
    verdict, effects, comparisons, estimates = decide(
        arms=arms,
        scores={name: numbers(scores) for name, scores in deciding.items()},
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
            name: arm_record(
                builder, item, test=test, metrics=metrics, decided=estimates.get(name), beside=own.get("base")
            )
            for name, item in own.items()
        },
        "retrieval": retrieval_record(builder, own, test),
        "diagnosis": summary(rows, level=config.study.level),
        "contrasts": contrasts(rows, config.study.metric.name, level=config.study.level),
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
    for name, reasons in constraint_questions(arms, config.study, facts=facts, estimates=estimates).items():
        record["arms"][name]["in_question"] = reasons
    record["warnings"] = planning.warnings(
        splits, arms, seen=planning.seen_by(splits, config, arms=len(arms), final=final), looks=looks - 1
    )
    if record["retrieval"]:
        builder.index.tag(record["study"])
        judged = abstention(builder, splits, test)
        if judged is not None:
            record["retrieval"]["abstention"] = judged
            record["warnings"] += [judged["off"]] if judged["off"] else []
        if config.study.ablation:
            known = labelled((*splits.train, *splits.dev))
            if known:
                record["ablation"] = ablate(builder, known, rules_of(config), progress=progress)
            else:
                record["warnings"].append("no stage was measured: no example of train or dev says where its answer is")
    write_record(records / record["study"], record, rows)
    finished = {"study": record["study"], "identity": name_of, "final": final}
    finished["questions"] = sorted(example_digest(e) for e in test)
    builder.catalogue.put_study(record["study"], finished, test_digest)
    return record


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


def _seen(builder: Builder, reserve: Sequence[Example]) -> int:
    """How many reserve questions were test questions of an earlier study, so that the reserve is no longer sealed."""
    opened = [row for row in builder.catalogue.studies() if not row.get("final")]
    known = {asked for row in opened for asked in row.get("questions", ())}
    return sum(1 for example in reserve if example_digest(example) in known)


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
    level = builder.config.study.level
    timed = {arm.name: latency.kept(builder.catalogue, own[arm.name].system) for arm in arms}
    shares = {arm.name: cited_share(own[arm.name].answers, test, level=level) for arm in arms if arm.retrieval}
    citing = {name: share for name, share in shares.items() if share is not None}
    uncited = ""
    if builder.config.template.cite == "none":
        uncited = 'the prompt asks for no citation ([prompt].cite = "none")'
    elif builder.schema:
        uncited = "an answer in JSON carries no citation ([generation].json_schema)"
    training = {arm.name: own[arm.name].training or {} for arm in arms}
    gates = {name: report.get("gate") for name, report in training.items() if builder.config.tuning.gate == "enforce"}
    fallen = {name: "; ".join(gate["because"]) for name, gate in gates.items() if gate and not gate["passed"]}
    failed = {arm.name: sum(1 for answer in own[arm.name].answers if answer.failure) for arm in arms}
    return VerdictFacts(
        policy=policy["sentence"],
        looks=looks,
        synthetic_share=sum(1 for e in test if e.origin == "synthetic") / len(test),
        failed_share={name: count / len(test) for name, count in failed.items()},
        latency_p95={name: latency.p95(value) for name, value in timed.items() if value},
        latency_ends={name: latency.ends(value, level=level) for name, value in timed.items() if value},
        latency_answers={name: len(value["seconds"]) for name, value in timed.items() if value},
        citing=citing,
        uncited=uncited,
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
        test_share=len(test) / max(1, sum(policy[part] for part in ("train", "dev", "test", "reserve"))),
    )
