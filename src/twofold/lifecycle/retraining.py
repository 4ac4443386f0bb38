"""Training again: when it is due, on what, and whether the new model replaces the old one.

A candidate starts from the base weights and learns from everything there is now, old examples and new; adapters are
never stacked. Candidate and champion answer the same held-out questions through the one answering path. A question that
the champion learned from, or that shares its group with one, is not held out: it goes to the training side, and so
does its group. The candidate replaces the champion when the whole interval of the paired difference lies above 0, the
difference is at least the margin, and the forgetting gate did not fail it. A candidate that was not given its chance
(see `verdict.effort`) is neither promoted nor rejected: not compared, so that no look at the questions is spent on
it. Each candidate that is compared on the same questions is one more chance of a false promotion, so the k-th is
compared at the level of its look (`looks.level_of`).

A failed answer counts 0. Nobody reads a caveat before a model is promoted, so the difference must hold with failed
answers left out as well, and a candidate that fails on more than ``[study].max_failed`` of the questions stays one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path

from twofold.assembly.adapters import Adapters
from twofold.assembly.models import Models
from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.errors import TooFewExamples
from twofold.examples.leaks import leaks
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.forgetting.suite import outcome
from twofold.hashing import digest
from twofold.lifecycle.comparison import compared, improves, scores_of
from twofold.lifecycle.record import NO_CHAMPION, Comparison, Outcome, Retrained, Trigger
from twofold.plugins import specs
from twofold.plugins.protocols import Progress
from twofold.settings.sections import RetrainingSection, StudySection
from twofold.store.catalogue import Catalogue
from twofold.store.model_record import ModelRecord, read_everything
from twofold.store.model_registry import CANDIDATE, CHAMPION, now, short
from twofold.study import looks
from twofold.text.arm_names import of_model
from twofold.types import Arm, Example, Json
from twofold.verdict.effort import cure, shortfall, unfinished
from twofold.verdict.record import share_text


def fair(splits: Splits, learned: Mapping[str, Collection[str]], *, near: bool) -> tuple[Splits, Json]:
    """Splits whose test (and reserve) questions a model did not learn from.

    Args:
        splits: As they are cut today.
        learned: Digests of the examples it learned from, by ``train`` and ``dev``.
        near: Near copies give a question away too.

    Returns:
        The splits; and how many examples are ``new`` to the model, ``old``, ``gone`` (it learned from them, and they
        are no longer there), ``moved`` to the training side and ``dropped`` as near copies of moved ones.

    Raises:
        TooFewExamples: nothing is left to compare on.
    """
    known = set(chain.from_iterable(learned.values()))
    sides = (splits.train, splits.dev, splits.test, splits.reserve)
    named: dict[str, str] = {}
    for side in sides:
        named.update(zip((example.id for example in side), side.digests, strict=True))
    # Whole groups: a question on a document that the model learned from is not held out either.
    groups = {example.group for example in chain.from_iterable(sides) if named[example.id] in known}
    moved = tuple(e for e in (*splits.test, *splits.reserve) if e.group in groups)
    test = tuple(e for e in splits.test if e.group not in groups)
    reserve = tuple(e for e in splits.reserve if e.group not in groups)
    leaked = leaks(splits.once(moved), splits.once((*test, *reserve)), near=near)
    copies = {other for _, other in leaked.pairs}
    held_out = Questions(e for e in test if e.id not in copies)
    if not held_out:
        raise TooFewExamples(
            "the champion learned from every test question or its group: no question is left to compare on",
            cure="Add examples on documents that are not in the training data yet.",
        )
    learning = (*splits.train, *moved, *splits.dev)
    counts = {
        "new": sum(1 for e in learning if named[e.id] not in known),
        "old": sum(1 for e in learning if named[e.id] in known),
        "gone": len(known - set(named.values())),
        "moved": len(moved),
        "dropped": len(test) - len(held_out),
    }
    cleared = replace(
        splits,
        train=Questions((*splits.train, *(replace(e, split="train") for e in moved))),
        test=held_out,
        reserve=Questions(e for e in reserve if e.id not in copies),
        groups=len({e.group for e in held_out}),
        digest=held_out.digest,
    )
    return cleared, counts


def reasons(
    section: RetrainingSection, champion: ModelRecord | None, *, facts: Json, moment: datetime
) -> list[Trigger]:
    """Every trigger of ``[retraining]`` and whether it says that training again is due. Pure.

    Args:
        section: What was asked for.
        champion: The record of the model in use; None: there is none, which makes it due.
        facts: ``new`` and ``gone`` examples, digests of the ``base`` weights and the ``template`` in force, and
            ``alarms``, the open proposals of `twofold watch` to tune again.
        moment: The time now, with a zone.
    """
    if champion is None:
        return [{"reason": NO_CHAMPION, "value": 0, "limit": 1, "due": True}]
    days = (moment - datetime.fromisoformat(champion["made"])).total_seconds() / 86400
    rows: list[Trigger] = []
    # 0 switches this trigger off.
    if section.min_new_examples:
        limit = section.min_new_examples
        rows.append({"reason": "new examples", "value": facts["new"], "limit": limit, "due": facts["new"] >= limit})
    if section.max_age_days:
        limit_days = section.max_age_days
        rows.append({"reason": "days old", "value": round(days, 2), "limit": limit_days, "due": days >= limit_days})
    for name, before in (("base", champion["base"].get("weights")), ("template", champion["template"])):
        if name in section.on:
            rows.append(
                {"reason": f"another {name}", "value": facts[name], "limit": before, "due": facts[name] != before}
            )
    if "gone" in section.on:
        rows.append({"reason": "examples taken out", "value": facts["gone"], "limit": 1, "due": facts["gone"] >= 1})
    if "alarm" in section.on:
        alarms = facts["alarms"]
        rows.append({"reason": "open proposals of alarms", "value": alarms, "limit": 1, "due": alarms >= 1})
    return rows


def facts_of(models: Models, adapters: Adapters, counts: Json) -> Json:
    """The facts of today that `reasons` compares with the champion."""
    return {
        **counts,
        "base": models.base(adapters.methods[0]).get("weights", ""),
        "template": models.config.template.digest,
    }


def retrain(
    workspace: Workspace,
    splits: Splits,
    champion: ModelRecord | None,
    *,
    arm: Arm,
    records: Path,
    who: str = "",
    progress: Progress,
) -> Retrained:
    """Train a candidate, compare it, and promote it if it is better and does not forget. Resumes where it was killed.

    Args:
        workspace: Of the model whose weights are tuned, without ``[tuning].use``.
        splits: As they are cut today.
        champion: The record of the model to beat; None: the arm without tuning.
        arm: Whose adapter is trained where there is no champion; else the champion's arm counts.
        records: Directory of finished studies, with the ledger of looks.
        who: For the audit; the operating system's user when empty.
        progress: Shows training and answering.

    Raises:
        ConfigError: the metric of [study] cannot decide; see `specs.decider`.
        TooFewExamples: no held-out question is left.
        StoreError: the champion's files are damaged, or its alias was moved meanwhile.
    """
    # A metric that cannot decide is refused before anything is trained.
    specs.decider(workspace.config.study)
    registry = workspace.models.registry
    notes = []
    learned = registry.learned(champion) if champion else {}
    if learned is None:
        learned = {}
        notes.append("the champion does not say what it learned from: test questions may be among it")
    if champion and read_everything(champion):
        notes.append(
            "the champion learned from all documents, those of the test questions too (--all-documents), and the "
            "candidate did not: the comparison flatters the champion"
        )
    splits, counts = fair(splits, learned, near=workspace.config.examples.near == "drop")
    arm = workspace.config.arm(champion["arm"]) if champion else arm
    # For the card: the candidate starts from the base all the same, not from the champion.
    lineage = {"from": champion["id"], "new": counts["new"], "gone": counts["gone"]} if champion else {}
    adapter, report = workspace.adapters.adapter(arm, splits, lineage=lineage, progress=progress)
    name = registry.register(adapter.key)
    candidate = registry.find(name)
    unchanged = Retrained(
        candidate=name,
        champion=champion["id"] if champion else "",
        arm=arm.name,
        data=counts,
        cached=report["cached"],
        gate=candidate["gate"],
        effort=report.get("effort"),
        notes=tuple(notes),
        outcome="nothing new",
        because="the data, the base and the recipe make the champion itself",
    )
    if champion and champion["id"] == name:
        return unchanged
    # Before it is compared: a comparison would spend a look at the questions.
    if unfinished(report.get("effort")):
        short_of = shortfall(f"the candidate {short(name)}", report["effort"])
        because = f"{short_of}: it was not given its chance, so it was not compared. {cure(arm.name, report['effort'])}"
        return replace(unchanged, outcome="undecided", because=because)
    if workspace.catalogue.models.aliases().get(CANDIDATE) != name:
        registry.promote(name, alias=CANDIDATE, who=who, why=f"retrained from {short(unchanged.champion) or 'nothing'}")
    plain_arm = workspace.config.arm(of_model("rag" if arm.retrieval else "base", arm.model))
    outdated = _outdated(workspace.models, workspace.adapters, champion)
    if outdated:
        notes.append(f"the champion cannot answer any more ({outdated}): compared with the arm without tuning")
    other = workspace.models.load(champion["key"]) if champion and not outdated else None
    # One after the other: `scores_of` closes each system, so that two models never lie in memory together.
    mine = workspace.systems.equipped(arm, splits, adapter=adapter)
    scores = [
        scores_of(
            workspace.config,
            workspace.catalogue,
            mine,
            questions=splits.test,
            splits=splits,
            progress=progress,
            label="candidate",
        )
    ]
    theirs = workspace.systems.equipped(arm if other else plain_arm, splits, adapter=other)
    scores.append(
        scores_of(
            workspace.config,
            workspace.catalogue,
            theirs,
            questions=splits.test,
            splits=splits,
            progress=progress,
            label="champion",
        )
    )
    against = (
        f"the champion {short(champion['id'])}"
        if champion and other
        else f"the arm {plain_arm.name}, which is not tuned"
    )
    other_name = champion["id"] if champion and other else plain_arm.name
    look = _look(workspace.config, workspace.catalogue, splits.test, records, candidate=name, against=other_name)
    level = looks.level_of(look.look, workspace.config.study.level)
    comparison = Comparison(
        **compared(workspace.config, splits.test, scores, level=level),
        against=against,
        test={"n": len(splits.test), "groups": splits.groups, "digest": splits.digest, "looks": look.look - 1},
        level=level,
    )
    better = improves(comparison.difference, workspace.config.study.margin)
    gate, failing = candidate["gate"], _failing(comparison, workspace.config.study)
    passing = (gate is None or outcome(gate) != "failed") and not failing
    notes += _gated(gate)
    notes += _worn(look, level)
    # Before anything is promoted: a look that was taken counts even if what follows fails.
    looks.keep(records, workspace.catalogue, look)
    verdict: Outcome = "promoted" if better and passing else "kept"
    because = _because(comparison, better=better, gate=gate, failing=failing)
    retrained = replace(unchanged, notes=tuple(notes), outcome=verdict, because=because, comparison=comparison)
    # With its system: other settings with the same model were not measured by it.
    stored = {**retrained.to_json(), "system": mine.key}
    workspace.catalogue.models.put_comparison(name, f"against {other_name}", at=now(), record=stored)
    if better and passing:
        # `expected`: the alias may have been moved by somebody while this candidate was trained.
        registry.promote(name, alias=CHAMPION, who=who, why=because, expected=retrained.champion)
    return retrained


def _failing(comparison: Comparison, section: StudySection) -> str:
    """Why failed answers forbid a promotion; empty where they do not."""
    mine = comparison.scores["candidate"]
    total = mine["n"] + mine["failed"]
    if mine["failed"] > section.max_failed * total:
        failed = share_text(mine["failed"], total)
        return f"{failed} of its answers failed, and [study].max_failed allows {100 * section.max_failed:g} %"
    answered = comparison.answered
    if not improves(answered, section.margin):
        other = comparison.scores["champion"]["failed"]
        return (
            f"that rests on failed answers ({mine['failed']} of its own, {other} of the other's): on the "
            f"{answered['n']} questions that both answered it is {answered['mean']:+.3f} [{answered['low']:+.3f}, "
            f"{answered['high']:+.3f}]; mend what failed and run the command again"
        )
    return ""


def _gated(gate: Json | None) -> list[str]:
    """A remark on a forgetting gate that neither passed nor failed the candidate."""
    if gate is None:
        return ["not gated: what the candidate forgot was not measured"]
    if outcome(gate) == "open":
        return [f"the forgetting gate is open: {'; '.join(gate['because'])}"]
    return []


def _outdated(models: Models, adapters: Adapters, champion: ModelRecord | None) -> str:
    """Why the champion's weights do not fit the project any more; empty when they do."""
    if champion is None:
        return ""
    if champion["template"] != models.config.template.digest:
        return "it was trained with another prompt template"
    # Older records have no digest of the base: they are taken to fit.
    weights = champion["base"].get("weights")
    return (
        "it was trained on other base weights"
        if weights not in (None, models.base(adapters.methods[0]).get("weights"))
        else ""
    )


def _look(
    config: Config, catalogue: Catalogue, test: Sequence[Example], records: Path, *, candidate: str, against: str
) -> looks.Look:
    """This comparison as a line of the ledger; the same candidate against the same model is one look."""
    digests = looks.asked_digests(test)
    part = config.study.decides
    pair = {"candidate": candidate, "against": against, "metric": part, "asked": digests}
    look = looks.Look(
        kind="retraining",
        name=candidate,
        at=now(),
        identity=digest("promotion", pair),
        answers="",
        failed=0,
        look=0,
        asked=digests,
    )
    kinds: tuple[looks.Kind, ...] = ("retraining",)
    return replace(look, look=looks.number(looks.ledger(records, catalogue), look, kinds=kinds))


WORN = 4
"""Candidates compared on the same questions from which the user is told to renew these: the level is then 99.8 %, and
a difference must be nearly half as large again as for the first candidate to be shown."""


def _worn(look: looks.Look, level: float) -> list[str]:
    if look.look == 1:
        return []
    warning = f"candidate {look.look} on these questions: the difference is judged at {100 * level:g} %"
    if look.look < WORN:
        return [warning]
    return [
        f"{warning}, and gains are hard to show by now: renew the test questions (add examples; with "
        '[examples].split_by = "time" the newest are the test)'
    ]


def _because(comparison: Comparison, *, better: bool, gate: Json | None, failing: str) -> str:
    d = comparison.difference
    sentence = f"{comparison.metric} {d['mean']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}] on {d['n']} questions"
    sentence += f" against {comparison.against}"
    if not better:
        short_of = "better, but by less than the margin" if d["low"] > 0 else "not shown to be better"
        return f"{sentence}: {'worse' if d['high'] < 0 else short_of}"
    if failing:
        return f"{sentence}: better, but {failing}"
    if gate is not None and outcome(gate) == "failed":
        why = gate.get("because") or "it forgets too much"
        return f"{sentence}: better, but the forgetting gate failed: {why if isinstance(why, str) else '; '.join(why)}"
    how = "not gated" if gate is None else f"the forgetting gate {'passed' if gate['passed'] else 'is open'}"
    return f"{sentence}: better, and {how}"
