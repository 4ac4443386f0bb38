"""The tuned models of a project: what is known of each, which one is in use, and copies for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

from twofold.assembly.workspace import Workspace
from twofold.examples.splitting import Splits
from twofold.forgetting.suite import GROUPS, outcome
from twofold.generation.export import exporting
from twofold.lifecycle import retraining, serving_elsewhere
from twofold.lifecycle.model_records import (
    ClearedArtifacts,
    ExampleCounts,
    ExportReceipt,
    ExportReport,
    ListedModel,
    ModelDiff,
    TrainersJob,
)
from twofold.lifecycle.record import Retrained, Trigger
from twofold.models import hub
from twofold.monitoring.store import FILE as WATCH_FILE
from twofold.monitoring.store import open_retunings
from twofold.plugins import loading
from twofold.plugins.protocols import Cancels, Exports, Progress, quiet
from twofold.reports import archive
from twofold.reports.model_card import DescribedModel, Measurement, card
from twofold.store.model_record import ModelRecord
from twofold.store.model_registry import CHAMPION, Registry, short
from twofold.types import Arm, Json, Message, Prompt

PROMPTS = 50
"""Prompts on which an export is compared with the trained model."""
GRACE = timedelta(days=7)
"""Age below which an artifact stays in the object store: somebody may have made it to look at it before a study."""
RECEIPT = "export.json"
"""File beside each exported form: what it is, and how far it answers like the trained model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedModels:
    """The tuned models of one project. `retrain` and `gc` need the project's lock; aliases move without it."""

    workspace: Workspace
    """Holds artifacts and catalogue."""
    records: Path
    """Directory of finished studies."""
    splits: Callable[[], Splits]
    """Divides the project's examples as they are now."""

    @property
    def registry(self) -> Registry:
        """Ids and aliases."""
        return self.workspace.models.registry

    # ------------------------------------------------------------ looking

    def listing(self) -> list[ListedModel]:
        """Every tuned model, oldest first: its facts, aliases, whether its files are here, and the studies with it."""
        rows: list[ListedModel] = []
        for record in self.registry.records():
            rows.append({**record, "studies": [study for study, _ in self._arms(record)]})
        return rows

    def show(self, name: str) -> DescribedModel:
        """All that is known of one model.

        Raises:
            UnknownName: there is no such model.
        """
        record = self.registry.find(name)
        moves = [m for m in self.workspace.catalogue.models.alias_moves() if record["id"] in (m["before"], m["after"])]
        return {
            **record,
            "measured": list(self._measured(record)),
            "comparisons": self.workspace.catalogue.models.comparisons(record["id"]),
            "moves": moves,
        }

    def diff(self, before: str, after: str) -> ModelDiff:
        """The differences between two models, and their comparison.

        Raises:
            UnknownName: there is no such model.
        """
        old, new = self.registry.find(before), self.registry.find(after)
        left, right = (dict(_flat(_traits(r))) for r in (old, new))
        changed = {}
        for place in sorted({*left, *right}):
            if left.get(place) != right.get(place):
                changed[place] = [left.get(place), right.get(place)]
        return {
            "before": old["id"],
            "after": new["id"],
            "same": old["id"] == new["id"],
            "changed": changed,
            "examples": self._examples(old, new),
            "comparison": self._between(old["id"], new["id"]),
            "measured": {r["id"]: list(self._measured(r)) for r in (old, new)},
        }

    def card(self, name: str) -> str:
        """The model's card, a Markdown page."""
        return card(self.show(name))

    # ------------------------------------------------------------ exports

    def export(
        self, name: str, target: Path, *, forms: Sequence[str] = (), engine: str = "", progress: Progress = quiet
    ) -> ExportReport:
        """Write a model for other programs, each form compared with the trained model on real prompts.

        The prompts come from dev first, then from train, rendered as the arm's requests are.

        Args:
            name: The model; empty: the untuned one, for an engine.
            target: Directory to write to; each form gets its own in it, with a card and ``export.json``.
            forms: ``peft``, ``safetensors``, ``gguf``, ``gguf-adapter``; by default the engine's own, or ``peft``.
            engine: One of `serving_elsewhere.ENGINES`: the script that serves it is written, too, and the forms go to a
                folder of the model's id, so that further models can be served beside it. Empty: none.
            progress: Shows writing and comparing.

        Raises:
            ModelError: a form cannot hold it, or what was written does not answer alike.
            StoreError: the model's files are gone or damaged.
        """
        if engine and not name:
            return {"id": "", "exports": [], "serving": serving_elsewhere.write(self.workspace.models, engine, target)}
        record = self.registry.checked(name)  # damaged files are not handed on to other programs
        parts = self._of(record)
        adapter = parts.models.load(record["key"])
        folder = target / short(record["id"]) if engine else target
        if engine:
            forms = forms or [serving_elsewhere.form_for(engine, Path(adapter.path))]
        generator = serving_elsewhere.local(parts.models, adapter)
        assert isinstance(generator, Exports)
        try:
            prompts = self._prompts(self.workspace.config.arm(record["arm"]))
            exports = generator.export(folder, forms=forms or ["peft"], prompts=prompts, progress=progress)
        finally:
            generator.close()
        # One page for all forms, with the receipts of all of them.
        page = card(self.show(name), exports)
        receipts: list[ExportReceipt] = []
        for exported in exports:
            folder = Path(exported["path"])
            # After the export was compared: until here the path to the local base was needed.
            _named(folder / "adapter_config.json", record["base"])
            (folder / "README.md").write_text(page, encoding="utf-8")
            # Terms of use of the base bind whoever gets its derivatives, and ask that these come along.
            for paper, content in hub.papers(str(record["base"].get("model", ""))).items():
                (folder / paper).write_bytes(content)
            receipt: ExportReceipt = {
                **exported,
                "id": record["id"],
                "base": record["base"],
                "template": record["template"],
                "bytes": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            # Without the path: the folder is made to be moved.
            stored = {key: value for key, value in receipt.items() if key != "path"}
            (folder / RECEIPT).write_text(json.dumps(stored, indent=1), encoding="utf-8")
            receipts.append(receipt)
        report: ExportReport = {"id": record["id"], "exports": receipts}
        if engine:
            report["serving"] = serving_elsewhere.write(
                parts.models, engine, target, whole=_whole(record["id"], target, receipts)
            )
        return report

    # ------------------------------------------------------------ retraining

    def due(self, name: str) -> tuple[ModelRecord | None, list[Trigger]]:
        """The model to beat (None: there is none), and the triggers of ``[retraining]`` (see `retraining.reasons`).

        Raises:
            UnknownName: `name` is no alias that has yet to be given, and no model.
        """
        champion = self._champion(name)
        learned = (self.registry.learned(champion) if champion else None) or {}
        _, counts = retraining.fair(self.splits(), learned, near=self.workspace.config.examples.near == "drop")
        parts = self._of(champion) if champion else self.workspace
        # The project's folder, where the record of looks lies.
        times = [r["made"] for r in self.registry.records() if champion and r["arm"] == champion["arm"]]
        trained = max(map(datetime.fromisoformat, times), default=None)
        alarms = open_retunings(self.workspace.catalogue.beside(self.records.parent / WATCH_FILE), trained=trained)
        facts = retraining.facts_of(parts.models, parts.adapters, {**counts, "alarms": alarms})
        return champion, retraining.reasons(
            self.workspace.config.retraining, champion, facts=facts, moment=datetime.now(UTC)
        )

    def retrain(self, name: str, *, arm: Arm, who: str = "", progress: Progress = quiet) -> Retrained:
        """Train from the base on everything there is, compare, promote if better; see `retraining.retrain`."""
        champion = self._champion(name)
        parts = self._of(champion) if champion else self.workspace.of(arm)
        return retraining.retrain(
            parts, self.splits(), champion, arm=arm, records=self.records, who=who, progress=progress
        )

    def cancel(self, arm: Arm) -> list[TrainersJob]:
        """Cancel what trainers have under way elsewhere for an arm."""
        workspace = self.workspace.of(arm)
        cancelled: list[TrainersJob] = []
        for run, method in product(workspace.adapters.runs(arm), workspace.adapters.methods):
            trainer = loading.make("trainers", method.name, method.options)
            if isinstance(trainer, Cancels):
                # The trainer's file of jobs lies in the working directory of the artifact to be.
                key = run.trained_key(run.job(arm, self.splits(), method), method)
                done = trainer.cancel(workspace.artifacts.working(key))
                cancelled.append({"trainer": method.name, **done})
        return cancelled

    def _of(self, record: ModelRecord) -> Workspace:
        """The parts of the model whose weights were tuned: another model's weights are no base for the change."""
        return self.workspace.of(self.workspace.config.arm(record["arm"]))

    def _champion(self, name: str) -> ModelRecord | None:
        # Nothing was promoted yet: a first model has nobody to beat.
        if name == CHAMPION and name not in self.workspace.catalogue.models.aliases():
            return None
        return self.registry.checked(name)

    # ------------------------------------------------------------ clearing

    def gc(self, *, also: Collection[str] = (), everywhere: bool = False, dry_run: bool = False) -> ClearedArtifacts:
        """Remove artifacts that no study, alias or lineage needs, and half-made ones.

        Args:
            also: Keys of artifacts that are needed for other reasons.
            everywhere: From the object store as well: the studies and aliases of all machines are known here, and no
                machine is making an artifact. Those of the last `GRACE` stay.
            dry_run: Only tell.
        """
        artifacts = self.workspace.artifacts
        # Before what needs them is read: what another machine publishes from now on is not judged.
        manifests = artifacts.list()
        used = self.registry.keys_in_use() | set(also)
        # A tuned embedder is an artifact that only configurations name: today's, and those of all studies.
        models = [str(self.workspace.config.retrieval.embedder.options.get("model", ""))]
        for name in self._studies():
            record = archive.read_record(self.records / name)
            embedder = record["config"].get("retrieval", {}).get("embedder", {})
            models.append(str(embedder.get("options", {}).get("model", "")))
            used |= {str(a["description"].get("retrieval", {}).get("abstention", "")) for a in record["arms"].values()}
            used |= {str(a["description"].get("optimised", {}).get("key", "")) for a in record["arms"].values()}
            used |= {key for _, key in self._trained(name)}
        used |= {model.partition(":")[2] for model in models if model.startswith("artifact:")}
        # After all others are known: finished weights need the trained ones that they were made of.
        used |= {m["trained"] for m in manifests if m["key"] in used and m.get("trained")}
        doomed = [m for m in artifacts.list(here=True) if m["key"] not in used]
        freed = sum(int(m["bytes"]) for m in doomed)
        known = {m["key"] for m in manifests}
        there = [m for m in artifacts.old(GRACE) if m["key"] in known - used] if everywhere else []
        there_freed = sum(int(m["bytes"]) for m in there)
        # Bytes really freed, as a file may be gone by now.
        if not dry_run:
            freed = sum(artifacts.remove(m["key"]) for m in doomed) + artifacts.clear()
            there_freed = sum(artifacts.withdraw(m["key"]) for m in there)
        return {
            "removed": [m["key"] for m in doomed],
            "bytes": freed,
            "published": [m["key"] for m in there],
            "published_bytes": there_freed,
            "dry_run": dry_run,
        }

    # ------------------------------------------------------------ inside

    def _studies(self) -> list[str]:
        if not self.records.is_dir():
            return []
        return sorted(path.parent.name for path in self.records.glob("[0-9]*/study.json"))

    def _trained(self, study: str) -> Iterator[tuple[str, str]]:
        """Arms of a study with the key of their adapter."""
        for arm, row in archive.read_record(self.records / study)["arms"].items():
            if row["training"]:
                yield arm, str(row["training"]["key"])

    def _arms(self, record: ModelRecord) -> list[tuple[str, str]]:
        uses: list[tuple[str, str]] = []
        for study in self._studies():
            uses += [(study, arm) for arm, key in self._trained(study) if key == record["key"]]
        return uses

    def _measured(self, record: ModelRecord) -> Iterator[Measurement]:
        """Measurements of a model on dev, in studies and in comparisons, each with its interval."""
        dev = record.get("dev")
        if dev:
            yield {"source": "dev", "metric": dev["metric"], "estimate": dev["score"], "level": _DEV_LEVEL}
        for study, arm in self._arms(record):
            study_record = archive.read_record(self.records / study)
            metrics: Any = study_record["arms"][arm]["metrics"]
            # A study's intervals have the level of its look, which is stricter with every study of the same questions.
            for metric, value in metrics.items():
                source = f"study {study}, arm {arm}"
                yield {"source": source, "metric": metric, "estimate": value, "level": study_record["level"]}
        for against, row in self.workspace.catalogue.models.comparisons(record["id"]).items():
            for metric, value in (
                (row["metric"], row["scores"]["candidate"]),
                (f"{row['metric']}, difference", row["difference"]),
            ):
                yield {"source": against, "metric": metric, "estimate": value, "level": row.get("level")}

    def _examples(self, old: ModelRecord, new: ModelRecord) -> ExampleCounts | None:
        """How many examples only one of them learned from; None where one does not say."""
        sets = []
        for record in (old, new):
            # A model whose files are gone does not say what it learned from.
            learned = self.registry.learned(record) if record["here"] else None
            if learned is None:
                return None
            sets.append(set(learned["train"]))
        return {
            "only_before": len(sets[0] - sets[1]),
            "only_after": len(sets[1] - sets[0]),
            "both": len(sets[0] & sets[1]),
        }

    def _between(self, before: str, after: str) -> Json | None:
        # Either may have been the candidate.
        for name, other in ((before, after), (after, before)):
            for row in self.workspace.catalogue.models.comparisons(name).values():
                if row["champion"] == other:
                    return row
        return None

    def _prompts(self, arm: Arm) -> list[Prompt]:
        job = self.workspace.of(arm).adapters.job(arm, self.splits())
        conversations: list[tuple[Message, ...]] = [item.prompt.messages for item in job.dev]
        # The first variant only: the others show the same questions with other passages.
        conversations += [pair.messages for pair in job.rows[0]]
        return [Prompt(messages=messages) for messages in list(dict.fromkeys(conversations))[:PROMPTS]]


def _whole(id: str, target: Path, receipts: Sequence[ExportReceipt]) -> serving_elsewhere.ServedForm | None:
    """The whole model among exported forms; None where an adapter alone was exported."""
    for receipt in receipts:
        place = Path(receipt["path"]).relative_to(target)
        if receipt["format"] == "gguf":
            return serving_elsewhere.ServedForm(id=id, form="gguf", place=(place / exporting.GGUF).as_posix())
        if receipt["format"] == "safetensors":
            return serving_elsewhere.ServedForm(id=id, form="safetensors", place=place.as_posix())
    return None


_DEV_LEVEL = 0.95
"""Level of the intervals of dev scores, whatever [study] has: that of `intervals.estimate`."""

_DIFF_FIELDS = (
    "method",
    "arm",
    "tuning",
    "base",
    "template",
    "seed",
    "trainer",
    "data",
    "bytes",
)


def _traits(record: ModelRecord) -> Json:
    """The fields that `diff` compares: how a model was made, and what the gate measured of it."""
    # Records of older projects lack some of the fields.
    traits = {name: value for name, value in record.items() if name in _DIFF_FIELDS}
    gate = record.get("gate")
    judged = None
    if gate:
        judged = {"outcome": outcome(gate)}
        for name in GROUPS:
            if name in gate:
                judged[f"{name} lost"] = round(gate[name]["drop"]["mean"], 3)
    merged = record.get("merge_back") or {}
    return {**traits, "gate": judged, "share kept": merged.get("coefficient")}


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{place}.{key}" if place else key)
    else:
        yield place, value


def _named(path: Path, base: Json) -> None:
    """Name the base by its source in an adapter's configuration, instead of the folder where it lay."""
    if path.is_file():
        recipe = json.loads(path.read_text(encoding="utf-8"))
        source = str(base.get("source") or base["model"])
        place, _, revision = source.removeprefix("hf:").partition("@")
        reference = {"base_model_name_or_path": place, "revision": revision} if source.startswith("hf:") else {}
        recipe |= reference or {"base_model_name_or_path": str(base["model"]).removeprefix("path:")}
        path.write_text(json.dumps(recipe, indent=2), encoding="utf-8")
