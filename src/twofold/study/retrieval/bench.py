"""One measurement of retrieval from end to end: pipelines compared, stages and the word leg's weight looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from twofold.assembly.workspace import Workspace
from twofold.config import Config
from twofold.examples.splitting import Splits
from twofold.plugins.protocols import Progress
from twofold.store.weighing import SettledWords
from twofold.study.retrieval.ablation import ablate
from twofold.study.retrieval.abstention import abstention
from twofold.study.retrieval.benchmark import (
    LEARNED,
    PipelineComparison,
    compare,
    learned_train,
    opened,
    paid,
    questions,
    rules_of,
)
from twofold.study.retrieval.blend import WeighedWords, blend
from twofold.types import Example, Json


class _Judged(TypedDict, total=False):
    abstention: Json | None
    """With [retrieval].risk: on test or train questions (`abstention.abstention`)."""


class BenchRecord(PipelineComparison, _Judged):
    """One measurement of retrieval."""

    ablation: Json | None
    """Each stage's part, where it was asked for."""
    blend: WeighedWords | None
    """Weights of the word leg, where they were asked for."""
    split: str
    """Whose questions were asked: a split, or ``synthetic``."""
    warnings: list[str]


class SyncedBenchRecord(BenchRecord):
    """The result of `Project.bench`."""

    words: SettledWords | None
    """The weight of the word leg in force (`blend.settle`)."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The scope of a measurement of retrieval."""

    configs: Mapping[str, Config]
    """Configurations to compare, by name; the project's own comes first."""
    split: str = "open"
    """Whose labelled questions to ask; ``open`` is train and dev together."""
    synthetic: int = 0
    """Number of questions made from the documents to ask; without any labelled question, 200."""
    unit: Any = "document"
    """Unit that is ranked: ``document`` or ``passage``."""
    ablation: bool = False
    """Measure each stage's part as well."""
    weigh: bool = False
    """Say which weight of the word leg to take; never from test questions."""

    def run(
        self,
        workspace: Workspace,
        examples: Callable[[], Sequence[Example]],
        splits: Callable[[], Splits],
        *,
        records: Path,
        progress: Progress,
    ) -> BenchRecord:
        """Measure on the synced index.

        Args:
            workspace: Of the project.
            examples: The project's examples, read when they are needed.
            splits: Their division, made when it is needed.
            records: Directory of the studies, for what paid calls cost there.
            progress: Shows retrieving.
        """
        rules = rules_of(workspace.config, self.unit)
        # A tuned embedder knows the train questions: dev alone can tell how it does on others.
        side = "dev" if learned_train(self.configs.values()) and self.split == "open" else self.split
        drawn, source, warnings = questions(workspace.search, examples, splits, split=side, synthetic=self.synthetic)
        if learned_train(self.configs.values()) and source in ("dev", "train"):
            warnings = [*warnings, f"{LEARNED}: {source} is {'asked alone' if source == 'dev' else 'no fair test'}"]
        compared = compare(opened(workspace.search, self.configs, progress=progress), drawn, rules, progress=progress)
        warnings = [
            *warnings,
            *paid(workspace.search, records, self.configs.values(), examples=drawn, split=source),
        ]
        ablation = ablate(workspace.search, drawn, rules, progress=progress) if self.ablation else None
        # A weight chosen on test questions would be measured on them afterwards.
        fair = self.split in ("open", "train", "dev")
        blended = blend(workspace.search, drawn, rules, progress=progress) if self.weigh and fair else None
        judged: _Judged = {}
        if source != "synthetic" and workspace.config.retrieval.risk:
            # Abstention is calibrated on dev: there it would be judged by the questions that it was fitted to.
            fresh = splits().test if self.split == "test" else splits().train
            judged["abstention"] = abstention(workspace.search, workspace.systems, splits(), test=fresh)
        return {**compared, "ablation": ablation, "blend": blended, **judged, "split": source, "warnings": warnings}
