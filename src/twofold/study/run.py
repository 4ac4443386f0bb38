"""Run a study: build → answer → score → decide → record.

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
from twofold.advice.probes import comparing, forecasts
from twofold.assembly.models import Models
from twofold.assembly.searching import Search
from twofold.assembly.workspace import Workspace
from twofold.costs.prices import UNPRICED, Prices
from twofold.diagnosis.contrasts import contrasts
from twofold.errors import StoreError
from twofold.examples.splitting import Splits
from twofold.forgetting.suite import outcome
from twofold.hashing import digest, plain
from twofold.host import capabilities
from twofold.host.meter import Meter, environment
from twofold.indexing import feeds
from twofold.plugins.protocols import Progress, quiet
from twofold.plugins.traits import place_of
from twofold.reports.archive import next_name, read_record, write_record
from twofold.reports.prompt_lines import found_nothing
from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.store.catalogue import Catalogue
from twofold.study import confirming, latency, linear, looks, priced, racing, repeats, reproof
from twofold.study import plan as planning
from twofold.study.admission import Admitted, admitted
from twofold.study.certifying import Decided, certify
from twofold.study.compose import (
    answer_rows,
    arm_record,
    cited_share,
    cut_answers,
    cut_kinds,
    letters,
    retrieval_record,
    right_from,
    uncited,
)
from twofold.study.deciding import DECIDE, deciding
from twofold.study.earlier import seen_by
from twofold.study.judging import Corpus
from twofold.study.measure import MeasuredArm, answers_digest, measure, require_answers, score, train_ahead
from twofold.study.metered import has_documents, metered
from twofold.study.retrieval.ablation import ablate
from twofold.study.retrieval.abstention import abstention
from twofold.study.retrieval.benchmark import LEARNED, labelled, learned_train, rules_of
from twofold.study.standing import contents_of
from twofold.study.this_look import look_of
from twofold.text.masking import masked
from twofold.types import Arm, Estimate, Example, Json
from twofold.verdict import doubting
from twofold.verdict.evidence import RaceEvidence, from_simple
from twofold.verdict.record import FORMAT, AnswerRow, BillItem, PolicyRecord, StudyRecord, timed_failures
from twofold.verdict.rule import VerdictFacts, constraint_objections, constraint_questions, decide, whole

RACED = (
    "a race measures no effects of retrieval and tuning, no linear model beside the arms, and compares no forecast: "
    "their intervals hold for a number of questions that was fixed before"
)
"""Said of every race, for what is left out of its record."""


def study(
    workspace: Workspace,
    splits: Splits,
    records: Path,
    *,
    leaks: Json,
    prices: Prices = UNPRICED,
    final: bool = False,
    race: bool = False,
    progress: Progress = quiet,
) -> StudyRecord:
    """Run a study to its end and write its record; an identical finished study is returned as it is.

    Args:
        workspace: The project's parts.
        splits: Train, dev, test and reserve.
        records: Directory of finished studies.
        leaks: Counts of what was dropped from train.
        prices: The table of prices, for costs.
        final: Open the reserve.
        race: Ask shard by shard, and stop when an arm has won; see `racing`.
        progress: Shows the work.

    Raises:
        StudyError, TooFewExamples, UnknownName, ConfigError: what is asked for cannot be; see `admission.admitted`.
        ConfigError: a metric that cannot decide (see `specs.decider`), or a race that cannot be (`racing.prepared`).
        ScorerBroken: gold answers do not score 1, or shuffled gold does.
        GenerationError: every answer of every arm failed.
        TwofoldError: whatever else stops an arm as a whole (model missing, training failed, endpoint refused).
    """
    config = workspace.config
    checked = admitted(workspace, splits, records, final=final)
    stated, planned, arms, metrics = checked.hypothesis, checked.test, checked.arms, dict(checked.metrics)
    rows = looks.ledger(records, workspace.catalogue)
    bill: list[BillItem] = []
    with Meter() as meter, _pinned(workspace.search, (*arms, *checked.diagnostics)):
        measured, checked, raced = _measured(
            workspace, checked, splits, rows, race=race, prices=prices, bill=bill, progress=progress
        )
    test = checked.test
    by_arm = {item.arm.name: item for item in measured}
    # With the answers in it: a study whose failed answers were mended is another one.
    name_of = digest(
        "study",
        {
            "systems": {name: item.system for name, item in by_arm.items()},
            "metrics": {name: key for name, (_, key) in metrics.items()},
            "section": config.study,
            "gate": config.tuning.gate,
            "test": test.digest,
            "final": final,
            "answers": {name: answers_digest(item.answers) for name, item in by_arm.items()},
            # Judged by the corpus: with other documents it is another study.
            **{f"{name} judged by": item.judged_by for name, item in by_arm.items() if item.judged_by},
            # Seconds decide where latency has a limit: on another machine it is another study.
            **({"machine": capabilities.fingerprint()} if config.study.max_latency_p95 else {}),
            # The verdict names what costs would change, by these prices and this use.
            **priced.identity(config, prices),
            # Another level stops a race elsewhere.
            **({"race": [planned.digest, raced.record["alpha"]]} if raced else {}),
        },
    )
    if (previous := _previous(workspace.catalogue, records, name_of)) is not None:
        return previous
    look = look_of(
        workspace.models,
        by_arm,
        checked,
        dev=splits.dev,
        rows=rows,
        # Also names whose directory was deleted: a look at the questions has been taken, and is known by its name.
        name=next_name(records, config.project.name, used=[row.name for row in rows if row.kind in ("study", "final")]),
        planned=planned if race else (),
    )
    # A stated hypothesis spends the level that it states; other looks at the same questions have less each time.
    section = confirming.settings(config.study) if stated else config.study
    level = section.level if stated else looks.level_of(look.look, section.level)
    section = section.model_copy(update={"level": level})
    # Timed after all have answered: in turns over the arms, so that a busy minute falls on all of them.
    with _pinned(workspace.search, arms):
        latency.time_arms(workspace, measured, splits=splits, test=test, bill=bill, progress=progress)
    policy = planning.policy(splits, config, sealed=test if final else (), raced=len(test) if race else 0)
    right = right_from(metrics[config.study.metric.name][0])
    amounts = metered(
        workspace.search, by_arm, checked.judged, train=splits.train, right=right, level=config.study.level
    )
    # counts: shape (questions,), bool. columns: arm → shape (questions that count,), or (runs, questions that count).
    columns, groups, counts, statistics = deciding(checked, by_arm, section=section, progress=progress)
    retrieval = retrieval_record(workspace.search, by_arm, checked.judged, section=section)
    facts = _facts(
        workspace.models,
        workspace.catalogue,
        by_arm,
        arms,
        checked.judged,
        splits=splits,
        look=look,
        level=level,
        rows=rows,
        policy=policy,
        stated=stated,
        right=right,
        measured={
            "pooled": statistics,
            "documents": has_documents(workspace.search),
            "recall": Estimate(**retrieval["recall"]) if retrieval.get("recall") else None,
            **priced.facts(config, amounts, prices),
        },
        race=raced.facts(counts) if raced else None,
    )
    verdict, effects, comparisons, estimates = decide(
        arms=arms,
        scores=columns,
        groups=groups,
        metric=config.study.metric.name,
        section=section,
        objections={},
        facts=facts,
    )
    if stated:
        verdict = confirming.restated(verdict, stated, comparisons, policy=policy["sentence"], n=len(test))
    answered = _answered(workspace.catalogue, by_arm, checked, bill)
    record: StudyRecord = {
        "format": FORMAT,
        "study": look.name,
        "project": config.project.name,
        "about": config.project.about,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "twofold": __version__,
        "policy": policy,
        "metric": config.study.metric.name,
        "metric_keys": {name: key for name, (_, key) in metrics.items()},
        "right_from": facts.right,
        "level": level,
        "decided_at": level,
        "look": {"identity": look.identity, "answers": look.answers, "failed": look.failed},
        "margin": config.study.margin,
        "verdict": plain(verdict),
        "effects": [plain(e) for e in effects],
        "comparisons": [plain(e) for e in comparisons],
        "order": [arm.name for arm in from_simple(arms, facts)],
        "arms": {
            name: arm_record(
                item,
                test=checked.judged,
                metrics=metrics,
                decided=estimates.get(name),
                section=section,
                counts=counts,
                latency=latency.latency_record(
                    workspace.catalogue, item.system, beside=_key_of(by_arm, "base"), level=config.study.level
                ),
                level=config.study.level,
            )
            for name, item in _shown(by_arm, progress)
        },
        "retrieval": retrieval,
        "documents": contents_of(answered, feeds.contents(workspace.catalogue)),
        "contrasts": contrasts(answered, config.study.metric.name, level=level, right=facts.right),
        "self_test": list(checked.tests),
        "leaks": leaks,
        "warnings": [],
        "metered": amounts,
        "prices": list(prices.rows),
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
        "config": masked(plain(config)),
        "overrides": masked(plain(workspace.laid_over)),
    }
    if raced:
        record["race"] = raced.record
    if stated:
        record["confirmation"] = confirming.row_of(stated, comparisons)
        # In the ledger, so that a second opening can be refused with what the first one found.
        look = replace(look, outcome=record["confirmation"]["outcome"])
    _constrained(record, arms, section, facts, whole(columns, groups, level=level, pooled=statistics, race=facts.race))
    seen = seen_by(splits, config, arms=len(arms), level=level, final=final)
    record["warnings"] = [
        *checked.left_out,
        *found_nothing(record),
        *planning.warnings(
            splits,
            arms,
            questions=planned,
            seen=seen,
            looks=look.look - 1,
            config=config,
            final=final,
        ),
        *looks.mixtures(rows, splits),
        *([RACED] if race else []),
        # A reserve is opened for one statement, and this is none of it; a race stops at a time of its own.
        *(
            []
            # Without scores of questions there is nothing that a linear model is compared by.
            if final or race or statistics or any(arm.linear for arm in arms)
            else linear.beside(
                record,
                splits,
                checked.judged,
                metric=metrics[record["metric"]][0],
                measured=linear.Measured(columns=columns, counts=counts, estimates=estimates, chosen=verdict.arm),
                section=section,
            )
        ),
        *reproof.beside(record, records, answered, answers=workspace.catalogue.answers, measured=by_arm),
        *([] if final or race else _forecast(records.parent / forecasts.FOLDER, record, metrics[record["metric"]][1])),
        *prices.warnings,
        *(
            []
            if final
            else looks.changed_test(
                rows, planned, before=workspace.catalogue.studies.test_digests(), now=planned.digest
            )
        ),
    ]
    if record["retrieval"]:
        workspace.search.index.tag(record["study"])  # so that its version stays readable for `show` and `ask`
        judged = abstention(workspace.search, workspace.systems, splits, test=checked.judged)
        if judged is not None:
            record["retrieval"]["abstention"] = judged
            record["warnings"] += [judged["off"]] if judged["off"] else []
        if config.study.ablation:
            record["warnings"] += _ablated(workspace.search, splits, record, progress=progress)
    # Before the record: a look whose record was not finished has been taken all the same.
    looks.write(records, look, known=rows)
    certificate = certify(
        record,
        answered,
        Decided(
            arms=arms,
            section=section,
            facts=facts,
            groups=test.groups,
            counts=counts,
            seconds=_seconds(workspace.catalogue, by_arm, arms),
            hypothesis=stated,
            blocks=raced.blocks if raced else (),
        ),
        metrics=checked.metrics,
        specs=checked.specs,
    )
    write_record(records / record["study"], record, answered, certificate=certificate)
    progress(DECIDE, len(by_arm) + 2, len(by_arm) + 2)
    # Last: a study that the catalogue knows is whole.
    workspace.catalogue.studies.put(
        record["study"], {"study": record["study"], "identity": name_of, "look": plain(look)}, planned.digest
    )
    return record


def _shown(by_arm: Mapping[str, MeasuredArm], progress: Progress) -> Iterator[tuple[str, MeasuredArm]]:
    """Each arm by name, with the progress of `deciding.DECIDE`: what decides is done, and so are the arms before."""
    for number, item in enumerate(by_arm.items(), start=1):
        progress(DECIDE, number, len(by_arm) + 2)
        yield item


def _seconds(catalogue: Catalogue, by_arm: Mapping[str, MeasuredArm], arms: Sequence[Arm]) -> dict[str, list[float]]:
    """Arm → seconds of the answers that were timed, for arms that were."""
    timed = {arm.name: latency.timings(catalogue, by_arm[arm.name].system) for arm in arms}
    return {name: list(value["seconds"].values()) for name, value in timed.items() if value}


def _forecast(folder: Path, record: StudyRecord, metric: str) -> list[str]:
    """Put the newest forecast by this metric's key beside what was measured; returns why none where one is damaged."""
    try:
        known = comparing.newest(forecasts.stored(folder), record, metric=metric)
    except StoreError as error:
        # A study is worth more than a look back at its forecast.
        return [f"no forecast is compared: {error} ({error.cure})"]
    if known is not None:
        record["forecast"] = comparing.against(known, record)
    return []


def _previous(catalogue: Catalogue, records: Path, identity: str) -> StudyRecord | None:
    """The record of this very study, unless answers of it failed while they were timed: those are asked again."""
    for row in reversed(catalogue.studies.records()):
        if row.get("identity") == identity and (records / row["study"] / "study.json").is_file():
            record = read_record(records / row["study"])
            return None if timed_failures(record["arms"]) else record
    return None


def _measured(
    workspace: Workspace,
    checked: Admitted,
    splits: Splits,
    rows: Sequence[looks.Look],
    *,
    race: bool,
    prices: Prices,
    bill: list[BillItem],
    progress: Progress,
) -> tuple[list[MeasuredArm], Admitted, racing.Raced | None]:
    """Every arm made ready, asked and scored; and the study, of a race with the questions that this has asked.

    Raises:
        StudyError: the systems are not those of the hypothesis that the reserve is opened for.
        GenerationError: every answer of every arm failed.
    """
    if race:
        raced, checked = racing.run(workspace, checked, splits, rows=rows, prices=prices, bill=bill, progress=progress)
        return raced.measured, checked, raced
    arms = (*checked.arms, *checked.diagnostics)
    # Before a sealed question is asked: the reserve can be opened once.
    if checked.hypothesis:
        confirming.require_same_systems(checked.hypothesis, _systems(workspace, arms, splits, progress=progress))
    train_ahead(workspace, arms, splits, bill=bill, progress=progress)
    measured: list[MeasuredArm] = []
    for arm in arms:
        diagnostic = arm in checked.diagnostics
        measured.append(
            measure(workspace, arm, splits, test=checked.test, bill=bill, diagnostic=diagnostic, progress=progress)
        )
        left = arms[len(measured) :]
        others = any(other.model != arm.model for other in left)
        require_answers(workspace.of(arm).config.generation.generator, measured, more=bool(left), others=others)
    corpus = Corpus(search=workspace.search) if workspace.catalogue.documents.digests() else None
    for number, item in enumerate(measured):
        progress("score", number, len(measured))
        settings: Json = {"corpus": corpus, "executor": workspace.executor}
        score(workspace.catalogue, item, test=checked.judged, metrics=dict(checked.metrics), **settings)
        # A deciding metric without scores of questions has none for each.
        item.scores.setdefault(workspace.config.study.metric.name, [None] * len(item.answers))
    progress("score", len(measured), len(measured))
    repeats.joined(measured)
    return measured, checked, None


def _answered(
    catalogue: Catalogue, by_arm: dict[str, MeasuredArm], checked: Admitted, bill: list[BillItem]
) -> list[AnswerRow]:
    """The answers for the record; the bill gets the step that scored and decided them."""
    with Meter() as finishing:
        answered = answer_rows(catalogue, by_arm, test=checked.test, judged=checked.judged)
    bill.append(
        {
            "step": "score, decide",
            "items": len(checked.test),
            "cached": 0,
            "seconds": finishing.seconds,
            "detail": ", ".join(checked.metrics),
        }
    )
    return answered


def _constrained(
    record: StudyRecord,
    arms: Sequence[Arm],
    section: StudySection,
    facts: VerdictFacts,
    scored: Mapping[str, Estimate],
) -> None:
    """Say of every arm which constraints it breaks, and which it is neither shown to break nor to meet."""
    for name, reasons in constraint_objections(arms, section, facts=facts, whole=scored).items():
        record["arms"][name]["objections"] = reasons
        record["arms"][name]["acceptable"] = not reasons
    for name, reasons in constraint_questions(arms, section, facts=facts, whole=scored).items():
        record["arms"][name]["in_question"] = reasons


def _same_weights(adapters: Mapping[str, str]) -> dict[str, str]:
    """Arm → the first arm with the same adapter, for all but the first, from arm → key of its adapter."""
    first: dict[str, str] = {}
    for name, key in adapters.items():
        first.setdefault(key, name)
    return {name: first[key] for name, key in adapters.items() if first[key] != name}


def _key_of(by_arm: Mapping[str, MeasuredArm], name: str) -> str:
    """The system key of a measured arm; empty where it was not measured."""
    return by_arm[name].system if name in by_arm else ""


def _ablated(search: Search, splits: Splits, record: StudyRecord, *, progress: Progress) -> list[str]:
    """Measure the stages of retrieval for the record; returns what to beware of."""
    # An embedder that learned from train knows these questions: dev alone can tell.
    learned = learned_train([search.config])
    known = labelled(splits.judged(splits.dev if learned else (*splits.train, *splits.dev)))
    if not known:
        return ["no stage was measured: no example of train or dev says where its answer is"]
    record["ablation"] = ablate(search, known, rules_of(search.config), progress=progress)
    return [f"{LEARNED}: stages were measured on dev alone"] if learned else []


@contextlib.contextmanager
def _pinned(search: Search, arms: Sequence[Arm]) -> Iterator[None]:
    """Search the index as it is now until the study has answered, whatever is synced meanwhile."""
    if not any(arm.retrieval for arm in arms):
        yield
        return
    search.retriever.pin(search.index.state().version)
    try:
        yield
    finally:
        search.retriever.pin(None)


def _systems(workspace: Workspace, arms: Sequence[Arm], splits: Splits, *, progress: Progress) -> dict[str, str]:
    """Arm → system key, before any question is answered."""
    keys = {}
    for arm in arms:
        system, _ = workspace.of(arm).arms.system(arm, splits, progress=progress)
        keys[arm.name] = system.key
        system.close()
    return keys


def _facts(
    models: Models,
    catalogue: Catalogue,
    by_arm: dict[str, MeasuredArm],
    arms: Sequence[Arm],
    test: Sequence[Example],
    *,
    splits: Splits,
    look: looks.Look,
    level: float,
    rows: Sequence[looks.Look],
    policy: PolicyRecord,
    stated: confirming.Hypothesis | None,
    right: float | None,
    measured: Json,
    race: RaceEvidence | None,
) -> VerdictFacts:
    timing_level = models.config.study.level
    reserve = looks.asked_digests(splits.reserve)
    opened = next((row.name for row in rows if row.kind == "final"), "")
    timed = {arm.name: latency.timings(catalogue, by_arm[arm.name].system) for arm in arms}
    # Of each arm the questions that it was asked, which a race may have cut short.
    parts = {arm.name: by_arm[arm.name].part_of(test) for arm in arms}
    shares = {a.name: cited_share(by_arm[a.name].answers, parts[a.name], level=level) for a in arms if a.retrieval}
    citing = {name: share for name, share in shares.items() if share is not None}
    training = {arm.name: by_arm[arm.name].training or {} for arm in arms}
    enforced = models.config.tuning.gate == "enforce"
    gates = {name: report["gate"] for name, report in training.items() if report.get("gate")}
    fallen = {n: "; ".join(gate["because"]) for n, gate in gates.items() if outcome(gate) == "failed"}
    unsure = {n: "; ".join(gate["because"]) for n, gate in gates.items() if outcome(gate) == "open"}
    failed = {}
    for arm in arms:
        failed[arm.name] = sum(1 for answer in by_arm[arm.name].answers if answer.failure)
    return VerdictFacts(
        policy=policy["sentence"],
        looks=look.look,
        level=level,
        next_level=looks.level_of(look.look + 1, timing_level),
        labels=doubting.labels_left_out(models.config, (*splits.train, *splits.dev, *test)),
        unheld=doubting.unheld(models.config, splits.train),
        synthetic=sum(1 for e in test if e.origin == "synthetic"),
        questions=len(test),
        failed_share={name: count / len(parts[name]) for name, count in failed.items()},
        latency_p95={name: latency.p95(value) for name, value in timed.items() if value},
        latency_ends={name: latency.ends(value, level=timing_level) for name, value in timed.items() if value},
        latency_wanted=intervals.least_for_upper_end(0.95, level=timing_level),
        latency_answers={name: len(value["seconds"]) for name, value in timed.items() if value},
        latency_others=latency.others(timed, {name: by_arm[name].description["generator"] for name in timed}),
        citing=citing,
        uncited=uncited(models.config, schema=all(by_arm[arm.name].description.get("schema") for arm in arms)),
        letters={name: letters(by_arm[name].answers) for name in failed},
        cut_share={n: cut_answers(by_arm[n].answers) / max(1, len(parts[n]) - lost) for n, lost in failed.items()},
        cut_kinds={n: kinds[0][0] for n in failed if (kinds := cut_kinds(parts[n], by_arm[n].answers))},
        effort={name: report["effort"] for name, report in training.items() if report.get("effort")},
        unanswerable=sum(1 for e in test if not e.answerable) if any(arm.retrieval for arm in arms) else None,
        reserve=len(reserve),
        reserve_seen=0 if policy["final"] else len(looks.seen(rows).intersection(reserve)),
        reserve_opened="" if policy["final"] else opened,
        training_minutes={a.name: float(training[a.name].get("seconds", 0.0)) / 60 for a in arms if a.tuning},
        dev_trials={name: report.get("trials", len(report.get("dev", ()))) for name, report in training.items()},
        forgetting=fallen if enforced else {},
        forgetting_reported={} if enforced else fallen,
        forgetting_open=unsure,
        dev_examples=len(splits.dev),
        remote=frozenset(
            name for name in by_arm if place_of(by_arm[name].description["generator"]) == "endpoint on the network"
        ),
        final=policy["final"],
        test_share=len(test) / max(1, sum(policy[part] for part in ("train", "dev", "test", "reserve"))),
        confirms=stated.study if stated else "",
        right=right,
        race=race,
        runs=repeats.facts_of({arm.name: by_arm[arm.name] for arm in arms}),
        same_weights=_same_weights({name: report["key"] for name, report in training.items() if report.get("key")}),
        **measured,
    )
