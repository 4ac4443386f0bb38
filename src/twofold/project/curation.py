"""Examples made for a project: from its documents, from logs, or chosen among those it has."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from twofold.corpus.loading import load_documents
from twofold.curation import difficulty, mining
from twofold.curation import questions as making
from twofold.curation.mining import MinedReport, MiningFiles
from twofold.curation.selection import By
from twofold.errors import TooFewExamples
from twofold.examples import feedback_logs
from twofold.examples.feedback import Mined
from twofold.examples.feedback_logs import FEEDBACK
from twofold.examples.loading import load_examples
from twofold.files.paths import expand
from twofold.plugins.protocols import Progress, quiet
from twofold.project.material import Material
from twofold.settings.sections import DocumentsSection
from twofold.store.kept_texts import mirrored


class Curation:
    """Makes, mines and selects examples of one project."""

    def __init__(self, material: Material) -> None:
        self._material = material

    def make(
        self, recipe: making.Recipe, *, what: str = "questions", foreign: Sequence[str] = (), progress: Progress = quiet
    ) -> making.NewExamples:
        """Make examples: ``questions`` from the documents, or ``rewordings`` of the train split's questions.

        Args:
            recipe: How many, by whom, how checked.
            what: ``questions`` or ``rewordings``.
            foreign: Files or folders of documents that are not the project's, for questions that it cannot answer.
            progress: Shows syncing and making.
        """
        material = self._material
        with material.writing():
            material.refresh(progress)
            search, models = material.workspace.search, material.workspace.models
            # Train only: a reworded test question would give the test away.
            if what == "rewordings":
                # Only what people asked: rewordings of made questions would move further from it.
                known = [example for example in material.splits.train if example.origin != "synthetic"]
                return making.rewordings(search, models, known, recipe=recipe, progress=progress)
            section = DocumentsSection(paths=tuple(foreign))
            others = load_documents(section, material.directory)[0] if foreign else []
            outside = list(chain.from_iterable(map(search.chunker.split, others)))
            return making.questions(search, models, recipe, foreign=outside, progress=progress)

    def mine(self, logs: Sequence[str], *, mask: bool = True) -> Mined:
        """Examples and preferences from logged answers and what people said of them; see `examples.feedback`.

        Args:
            logs: JSON Lines files, folders or patterns, relative to the project, the oldest first.
            mask: Put the kind of personal data and secrets in their place.
        """
        # What people say to servers that share a database is read from a copy of their log.
        mirrored(self._material.directory, FEEDBACK, self._material.places.shared)
        return feedback_logs.mine(
            logs, self._material.directory, abstention=self._material.config.template.abstention, mask=mask
        )

    def learn(
        self, files: MiningFiles, logs: Sequence[str] = (), *, mask: bool = True, progress: Progress = quiet
    ) -> MinedReport:
        """Add what logs tell to the project's examples; what is there already is not added again.

        Args:
            files: Where to.
            logs: As `mine`; without any the logs of the project's own server, whose traffic tells what people asked in
                vain, too.
            mask: As `mine`.
            progress: Shows the embedding of such questions.

        Raises:
            TooFewExamples: the logs that are named have no usable feedback, or none is named and the server has none.
        """
        material = self._material
        unanswered = [] if logs else mining.in_vain(material.directory)
        # What people say to servers that share a database is read from a copy of their log.
        stored = mirrored(material.directory, FEEDBACK, material.places.shared)
        if not logs and not unanswered and not stored.is_file():
            raise TooFewExamples(
                "there is no log of a server, and none is named",
                cure='Name a log, or set log = "full" in [traffic] of twofold.toml and serve the project.',
            )
        abstention = material.config.template.abstention
        paths = logs or ([FEEDBACK] if stored.is_file() else [])
        mined = (
            feedback_logs.mine(paths, material.directory, abstention=abstention, mask=mask, required=bool(logs))
            if paths
            else Mined()
        )
        # A path may name the file that is now written for the first time.
        there = [path for path in material.config.examples.paths if expand([path], material.directory)[0]]
        known = load_examples(there, material.directory)[0] if there else []

        def embed(texts: Sequence[str]) -> Any:
            # Only where there are such questions: its weights take a while to load.
            return material.reader.search.embedder.embed(texts, progress=progress)

        return mining.grow(mined, files, known=known, unanswered=unanswered, embed=embed)

    def select(self, budget: int, *, by: By = "both", seed: int = 0, progress: Progress = quiet) -> difficulty.Selected:
        """Choose `budget` examples of the train split; see `curation.selection`."""
        splits = self._material.splits
        with self._material.writing():
            return difficulty.select(
                self._material.workspace.search, splits.train, budget, by=by, seed=seed, progress=progress
            )

    def file(self, name: str) -> Path:
        """Where made examples go: to the file of ``[examples].paths`` that is still to be written, else to `name`."""
        paths = self._material.config.examples.paths
        first = next((path for path in paths if path.endswith(".jsonl") and "*" not in path), "")
        return self._material.directory / (first if first and not expand(paths, self._material.directory)[0] else name)

    def reads(self, path: Path) -> bool:
        """Is this file among ``[examples].paths``?"""
        files, _ = expand(self._material.config.examples.paths, self._material.directory)
        return any(file.path.resolve() == path.resolve() for file in files)
