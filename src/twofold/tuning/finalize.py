"""From trained weights to an artifact: dev score, latency, forgetting gate, merge-back.

Nothing here trains. Every answer is kept in the catalogue under a key made of the weights that gave it, so what a
killed run had measured is not measured again.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from twofold.answering import cached as answer_cache
from twofold.answering.system import System
from twofold.errors import ConfigError, StoreError
from twofold.examples.questions import Questions
from twofold.forgetting import suite
from twofold.forgetting.merge_back import Limits, ScalePoint, choose, reaches
from twofold.hashing import digest, plain
from twofold.host import pace, timing
from twofold.models.adapter_files import combined, scaled, why_not_scalable
from twofold.plugins import loading
from twofold.plugins.protocols import Progress, Retriever
from twofold.plugins.traits import TrainerSettings
from twofold.settings.sections import MetricPart, Part, TuningSection
from twofold.stats import intervals
from twofold.store.artifacts import Artifacts, file_digests
from twofold.store.catalogue import Catalogue
from twofold.store.model_record import ModelRecord
from twofold.store.model_registry import LEARNED, weights_of
from twofold.tuning.forgetting_gate import ForgettingGate
from twofold.types import Adapter, Answer, Arm, Example, Json
from twofold.verdict.effort import unfinished

_FILE_FIELDS = ("key", "made", "bytes", "files")
"""Fields of a manifest about its own files."""
_RULE = 3
"""Raised when the same measurements would be judged otherwise: the adapter is then finished anew, not trained."""
DEV = 200
"""Dev examples answered for each candidate, at most."""
ALONE = 8
"""Of those, answered one at a time for latency."""


def spec(section: TuningSection, *, schema: str = "") -> Json:
    """The settings that decide the finished weights and their report, for the artifact's key.

    Args:
        section: [tuning].
        schema: JSON schema that the answers to dev satisfy; empty where there is none.
    """
    answers = {"schema": schema} if schema else {}
    if section.gate == "off":
        return {"gate": "off", "rule": _RULE, **answers}
    identity: Json = {
        **answers,
        "gate": "on",
        "rule": _RULE,
        "suite": suite.suite_digest(),
        "max_forgetting": section.max_forgetting,
    }
    if section.merge_back:
        names = ("merge_back", "merge_keep", "merge_drop")
        identity |= section.model_dump(mode="json", include=set(names))
    return identity


def looks(section: TuningSection) -> int:
    """How often tuning answers the dev questions at most: checkpoints of every method, and shares of its change."""
    shares = 1 + (len(section.merge_back) if section.gate != "off" else 0)
    count = 0
    for method in methods(section):
        options = loading.options("trainers", method.name, method.options)
        count += TrainerSettings.of(options).evaluations + shares
    return count


@dataclass(frozen=True, kw_only=True)
class Finishing:
    """Measures one arm's trained weights and picks the share of their change that is kept."""

    artifacts: Artifacts
    """Holds the trained weights and takes the finished ones."""
    catalogue: Catalogue
    """Keeps the answers."""
    equip: Callable[[Adapter | None], System]
    """The arm made ready with an adapter, or with none."""
    gathered: Callable[[], Retriever]
    """Has the dev questions' searches, which are the same for every candidate."""
    gate: ForgettingGate
    """Judges general ability."""
    dev: Sequence[Example]
    """The dev split."""
    metric: MetricPart
    """Of the dev score."""
    section: TuningSection
    """[tuning]: gate, merging back, seed."""
    spent: pace.Spent
    """Gets the seconds of ``latency``, ``dev`` and ``gate``."""
    progress: Progress
    """Shown while answering."""

    def finish(self, key: str, trained: str, lineage: Json) -> None:
        """Make the artifact `key` of the trained weights; its manifest is theirs, and what was measured here.

        The manifest gets ``gate`` (see `suite.judge`; None when it is off or no step was done), ``merge_back``
        (``coefficient``, ``because``, ``reached`` and the measured ``front``), ``dev`` (``score``, ``n``,
        ``latency``), ``trained`` and ``lineage``.
        """
        manifest = self.artifacts.manifest(trained)
        # Weights after no step are the base: measuring them, or merging them back, would only add noise.
        effort = manifest["report"].get("effort") or {}
        # A combination has the effort of a part, which may have done no step; the others have.
        unchanged = effort.get("steps") == 0 and "combined" not in lineage
        measured = self._swept(trained, manifest["template"], self.artifacts.working(key), unchanged=unchanged)
        inherited = {name: value for name, value in manifest.items() if name not in _FILE_FIELDS}
        self.artifacts.finish(key, {**inherited, **measured, "kind": "adapter", "trained": trained, "lineage": lineage})

    def _swept(self, trained: str, template: str, work: Path, *, unchanged: bool) -> Json:
        source = _directory(self.artifacts, trained)

        def share(coefficient: float, target: Path) -> Adapter:
            scaled(source, coefficient, target)
            files = {name: {"sha256": sha} for name, sha in file_digests(target).items()}
            weights = digest("adapter", weights_of({"files": files}))
            return Adapter(key=f"{trained}*{coefficient:g}", weights=weights, path=str(target), template=template)

        section = self.section
        # Without a step the weights are the base's: judging them would cost answers and say nothing.
        if section.gate == "off" or unchanged:
            whole = share(1.0, work)
            why = (
                "no training step was done: the base model is unchanged" if unchanged else "the forgetting gate is off"
            )
            merged = {"coefficient": 1.0, "because": why, "reached": False, "front": []}
            return {"gate": None, "merge_back": merged, "dev": _dev_record(self._dev(None if unchanged else whole))}
        reason = why_not_scalable(source) if section.merge_back else "it is off"
        base = self._dev(None)
        limits = Limits(keep=section.merge_keep, drop=section.merge_drop)
        # The whole change is measured first: every smaller share is compared with its dev score.
        front = [self._measured(1.0, share(1.0, work / "share-1"), base)]
        zero = base["score"]["mean"]
        groups: list[int] = self._dev_questions.groups.tolist()
        full = _point(front[0], front[0], groups).dev
        # From the whole change downwards: the first share that meets both limits keeps most of what was learned.
        for coefficient in () if reason else sorted(set(section.merge_back), reverse=True):
            if reaches(_point(front[-1], front[0], groups), base=zero, full=full, limits=limits):
                break
            front.append(self._measured(coefficient, share(coefficient, work / f"share-{coefficient:g}"), base))
        points = [_point(row, front[0], groups) for row in front]
        scores = {row["coefficient"]: row["dev"]["scores"] for row in front}

        def apart(point: ScalePoint, other: ScalePoint) -> float:
            return _paired(scores[point.coefficient], scores[other.coefficient], groups)

        best, because = choose(points, base=zero, limits=limits, apart=apart)
        if reason and not reaches(best, base=zero, full=full, limits=limits):
            because = f"nothing was merged back: {reason}"
        share(best.coefficient, work)  # the files of the artifact, which other shares were measured beside
        chosen = front[points.index(best)]
        merged = {
            "coefficient": best.coefficient,
            "because": because,
            "reached": reaches(best, base=zero, full=full, limits=limits),
            "base_dev": base["score"],
            "front": [_row(row) for row in front],
        }
        return {"gate": chosen["gate"], "merge_back": merged, "dev": _dev_record(chosen["dev"])}

    def _measured(self, coefficient: float, adapter: Adapter, base: Json) -> Json:
        dev = self._dev(adapter)
        both = np.array([dev["scores"], base["scores"]], dtype=float).T  # (questions, 2)
        gain = intervals.contrasts(both, self._dev_questions.groups, {"gain": np.array([1.0, -1.0])}, resamples=2000)[
            "gain"
        ]
        with self.spent.on("gate"):
            judged = self.gate.judge(adapter)
        return {"coefficient": coefficient, "dev": dev, "gain": plain(gain.estimate()), "gate": judged}

    @cached_property
    def _dev_questions(self) -> Questions:
        """The dev questions that every candidate answers."""
        # Drawn by the seed of tuning: every candidate answers the same questions, so their scores are paired.
        some = self.dev if len(self.dev) <= DEV else random.Random(self.section.seed).sample(self.dev, DEV)
        return Questions.of(some)

    def _dev(self, adapter: Adapter | None) -> Json:
        """Score, latency and answers of the arm on dev, with an adapter or with the base weights."""
        questions = self._dev_questions
        metric = loading.make("metrics", self.metric.name, self.metric.options)
        with self.spent.on("dev"):
            key, answers = self._answers(adapter, questions)
        scores = [None if a.failure else metric.score(e, a) for e, a in zip(questions, answers, strict=True)]
        failed = sum(1 for answer in answers if answer.failure)
        values = np.array([np.nan if one is None else one for one in scores], dtype=float)
        return {
            "metric": self.metric.name,
            "n": len(questions),
            "score": plain(intervals.estimate(values, questions.groups, failed=failed)),
            "scores": values,
            "groups": questions.groups.tolist(),
            "latency": self.catalogue.measures.get(key, "latency"),
        }

    def _answers(self, adapter: Adapter | None, questions: Sequence[Example]) -> tuple[str, list[Answer]]:
        """The arm's answers, and the key that they are kept under; what they took goes to the machine's paces."""
        system = self.equip(adapter)
        try:
            # Not the system's own key: dev answers are no answers of a study.
            key = digest("dev", {"system": system.key})
            self.catalogue.systems.put(key, {"arm": system.arm.name, "split": "dev"})
            fresh = {example.id for example in answer_cache.missing(self.catalogue.answers, key, questions)}
            if fresh and not self.catalogue.measures.get(key, "latency"):
                with self.spent.on("latency"):
                    timed = self._latency(system, questions, tuned=adapter is not None)
                self.catalogue.measures.put(key, "latency", timed)
            began = time.perf_counter()
            # Latency is measured with a search of its own; for the scores the dev questions were searched for once.
            reading = replace(system, retriever=self.gathered()) if system.retriever else system
            answers = answer_cache.answered(
                self.catalogue.answers, key, questions, system=reading, progress=self.progress, stage="dev scores"
            )
            seconds = time.perf_counter() - began
            fresh_answers = [answer for example, answer in zip(questions, answers, strict=True) if example.id in fresh]
            rate = pace.of_answers(system.arm, fresh_answers, seconds, max_tokens=system.max_tokens, single=False)
            pace.keep(pace.answering(system.generator.description), rate)
        finally:
            system.close()
        return key, answers

    def _latency(self, system: System, questions: Sequence[Example], *, tuned: bool) -> timing.TimingSummary:
        """Seconds for one question at a time, of some drawn from `questions`; a first one is not counted."""
        # The first question pays for loading the model.
        first, *sample = random.Random(self.section.seed).sample(questions, min(len(questions), ALONE + 1))
        clock = timing.Clock[Example](
            lambda example: system.answer([example])[0].failure is None, name=lambda example: example.id
        )
        clock.open(first)
        pace.keep(pace.answering(system.generator.description), {"merge" if tuned else "load": clock.opening})
        timing.in_turns(
            [clock],
            sample or [first],
            chance=random.Random(self.section.seed),
            progress=lambda done, total: self.progress("dev latency", done + 1, total + 1),
        )
        return clock.summary()


def methods(section: TuningSection) -> tuple[Part, ...]:
    """The ways of tuning to compare; one when [tuning].methods names none.

    A method takes those options of [tuning.trainer] whose defaults are the same for both, its own laid over.

    Raises:
        UnknownName: there is no such trainer.
    """
    chosen_fields = loading.find("trainers", section.trainer.name).Options.model_fields
    parts = []
    for entry in section.methods:
        part = Part(name=entry) if isinstance(entry, str) else entry
        theirs = loading.find("trainers", part.name).Options.model_fields
        shared = section.trainer.options
        # The same name with another default means something else to the other method, such as a learning rate.
        if part.name != section.trainer.name:
            alike = set()
            for key in shared:
                if key in theirs and key in chosen_fields and theirs[key].default == chosen_fields[key].default:
                    alike.add(key)
            shared = {key: shared[key] for key in alike}
        parts.append(Part(name=part.name, options={**shared, **part.options}))
    return tuple(parts) or (section.trainer,)


def put_together(artifacts: Artifacts, arm: Arm, parts: Sequence[tuple[ModelRecord, float]]) -> tuple[str, Json]:
    """Weights that change the base by the weighted sum of several tuned models' changes, made unless they are there.

    Args:
        artifacts: Where the models' files are, and these go.
        arm: What the models were tuned for.
        parts: Records of the registry, each with its weight.

    Returns:
        The key of the weights, and their lineage.

    Raises:
        ConfigError: they were tuned for another arm, from other base weights or with another prompt template.
        StoreError: one is not a plain LoRA adapter.
    """
    first = parts[0][0]
    for record, _ in parts:
        if record["tuning"] != arm.tuning or (record["base"], record["template"]) != (first["base"], first["template"]):
            raise ConfigError(
                f"the model {record['id']} has a different arm, base or prompt template",
                cure="Combine models of the same arm, tuned from the same base with the same [prompt].",
            )
    weights = {record["id"]: weight for record, weight in parts}
    key = digest("trained", {"combined": weights})
    if artifacts.find(key) is None:
        manifests = [artifacts.manifest(record["key"]) for record, _ in parts]
        adapters = [_directory(artifacts, record["key"]) for record, _ in parts]
        work = artifacts.working(key)
        combined([(path, weight) for path, (_, weight) in zip(adapters, parts, strict=True)], work)
        _learned(adapters, work)
        shared = {name: manifests[0].get(name) for name in ("arm", "tuning", "template", "model", "base", "seed")}
        trainer = {"name": "combined", "version": 1, "options": {"weights": weights}}
        report: Json = {"steps": 0, "best_step": 0, "seconds": 0.0, "stopped": "combined", "dev": [], "loss": []}
        # A part that was not given its chance spoils the whole; of finished parts no effort is that of the whole.
        efforts = [manifest["report"].get("effort") for manifest in manifests]
        report["effort"] = next(filter(unfinished, efforts), None)
        documents = sorted(set(chain.from_iterable(manifest["documents"] for manifest in manifests)))
        # One part that read everything makes the whole unfit for a study.
        seen = next((one["seen"] for one in manifests if (one.get("seen") or {}).get("everything")), None)
        seen = seen or manifests[0].get("seen")
        more = {
            "kind": "trained", "trainer": trainer, "rows": 0, "documents": documents, "seen": seen, "report": report,
        }  # fmt: skip
        artifacts.finish(key, {**shared, **more})
    return key, {"combined": weights}


def _learned(parts: Sequence[Path], work: Path) -> None:
    """Leave what all parts learned from; nothing where one of them does not say."""
    files = [path / LEARNED for path in parts]
    if all(file.is_file() for file in files):
        each = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        whole = {}
        for side in ("train", "dev"):
            whole[side] = sorted(set(chain.from_iterable(learned[side] for learned in each)))
        (work / LEARNED).write_text(json.dumps(whole), encoding="utf-8")


def best_of(rows: Sequence[Json], *, enforce: bool) -> Json:
    """The method or run to carry on: the best on dev of those the gate does not fail (where it counts), else of all.

    Dev scores within one standard error of the best (of the paired difference) count as equal: of these the one with
    the fewest trained parameters is carried on, one that does not say how many having the most; of runs, which have
    equally many, the first.

    Args:
        rows: Reports of finished adapters (see `report`); among equals the first.
        enforce: Does a failed gate count?
    """
    kept_rows = [row for row in rows if not enforce or not row["gate"] or suite.outcome(row["gate"]) != "failed"]
    candidates = kept_rows or list(rows)
    best = max(candidates, key=lambda row: row["dev_score"]["score"]["mean"])
    top = best["dev_score"]
    reached = []
    for row in candidates:
        dev = row["dev_score"]
        se = _paired(dev["scores"], top["scores"], top["groups"])
        if dev["score"]["mean"] >= top["score"]["mean"] - se:
            reached.append(row)
    # Where the number of learned values is not known, it may be the largest.
    return min(reached, key=lambda row: math.inf if row.get("trainable") is None else row["trainable"])


def report(manifest: Json) -> Json:
    """The report of an adapter: its training, dev score, gate and merging back."""
    training = manifest["report"]
    merged = manifest.get("merge_back")
    return {
        **training,
        "gate": manifest.get("gate"),
        "merge_back": merged,
        "dev_score": manifest.get("dev"),
        "method": manifest["trainer"]["name"],
        "bytes": manifest["bytes"],
        "trials": len(training.get("dev", ())) + len(merged["front"] if merged else ()),
    }


def compared(rows: Sequence[Json], best: Json) -> Json:
    """The report of an arm that several methods tuned: ``cached``, ``methods`` (a row each) and ``effort``.

    A method that a cap cut might have been the best one: the arm then counts as not given its chance, and ``effort`` is
    that method's, with its name as ``method``.

    Args:
        rows: Reports of all methods.
        best: The one that is carried on.
    """
    cut = next((row for row in (best, *rows) if row.get("effort") and not row["effort"]["chance"]), None)
    return {
        "cached": all(row["cached"] for row in rows),
        "methods": [method_row(row, carried=row is best) for row in rows],
        "effort": {**cut["effort"], "method": cut["method"]} if cut else best.get("effort"),
    }


def repeated(rows: Sequence[Json], best: Json) -> Json:
    """The report of an arm that was trained several times: ``cached``, ``runs`` (a row each) and ``effort``.

    A run that a cap cut makes the mean of the runs too low: the arm then counts as not given its chance.

    Args:
        rows: Reports of all runs, each with its ``run`` and ``seed``.
        best: The one that is carried on.
    """
    cut = next((row for row in (best, *rows) if row.get("effort") and not row["effort"]["chance"]), None)
    return {
        "cached": all(row["cached"] for row in rows),
        "runs": [run_row(row, carried=row is best) for row in rows],
        "effort": cut["effort"] if cut else best.get("effort"),
    }


def run_row(run_report: Json, *, carried: bool) -> Json:
    """One line of the training runs of an arm; of several methods it has the best, and the seconds of all."""
    methods = run_report.get("methods") or [run_report]
    spent = [row["seconds"] for row in methods if row.get("seconds") is not None]
    return {
        "run": run_report["run"],
        "seed": run_report["seed"],
        "key": run_report["key"],
        "model": run_report["model"],
        "carried": carried,
        "dev": run_report["dev_score"]["score"],
        "metric": run_report["dev_score"]["metric"],
        "gate": suite.outcome(run_report["gate"]) if run_report["gate"] else None,
        "effort": run_report.get("effort"),
        "seconds": float(sum(spent)) if spent else None,
    }


def method_row(adapter_report: Json, *, carried: bool) -> Json:
    """One line of the comparison of methods, from an adapter's report."""
    gate, dev = adapter_report["gate"], adapter_report["dev_score"]
    return {
        "method": adapter_report["method"],
        "key": adapter_report["key"],
        "carried": carried,
        "dev": dev["score"],
        "metric": dev["metric"],
        "latency": dev["latency"],
        "drop": gate["general"]["drop"] if gate else None,
        "refusal_drop": gate["refusal"]["drop"] if gate else None,
        "gate": suite.outcome(gate) if gate else None,
        "coefficient": adapter_report["merge_back"]["coefficient"],
        "trials": adapter_report["trials"],
        "effort": adapter_report.get("effort"),
        **{
            name: adapter_report.get(name)
            for name in ("seconds", "tokens_per_second", "peak_mib", "bytes", "trainable")
        },
    }


def _point(row: Json, full: Json, groups: Sequence[int]) -> ScalePoint:
    """A measured coefficient beside `full`, that of 1."""
    gate = row["gate"]
    return ScalePoint(
        coefficient=row["coefficient"],
        dev=row["dev"]["score"]["mean"],
        drop=gate["general"]["drop"]["mean"],
        gate=suite.outcome(gate),
        se=_paired(row["dev"]["scores"], full["dev"]["scores"], groups),
    )


def _paired(scores: Sequence[float | None], others: Sequence[float | None], groups: Sequence[int]) -> float:
    """Standard error of the mean difference of two dev scores of the same questions; 0 where they are the same."""
    both = np.array([scores, others], dtype=float).T  # (questions, 2); NaN where an answer failed
    if not np.isfinite(both).all(axis=1).any():
        return 0.0
    # Its standard error is read and not its ends: few resamples do.
    return float(intervals.contrasts(both, groups, {"apart": np.array([1.0, -1.0])}, resamples=200)["apart"].se)


def _row(row: Json) -> Json:
    """A measured coefficient for the manifest."""
    gate = row["gate"]
    return {
        "coefficient": row["coefficient"],
        "dev": row["dev"]["score"],
        "gain": row["gain"],
        "gate": suite.outcome(gate),
        **{f"{group}_drop": gate[group]["drop"] for group in suite.GROUPS},
    }


def _directory(artifacts: Artifacts, key: str) -> Path:
    path = artifacts.find(key)
    if path is None:
        raise StoreError(f"the files of {key} are missing")
    return path


def _dev_record(dev: Json) -> Json:
    """The dev score for the manifest, with each question's score (None: it failed), to compare methods in pairs."""
    return {**dev, "scores": [None if np.isnan(one) else float(one) for one in dev["scores"]]}
