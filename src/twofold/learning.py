"""What is learned from: the examples of train and dev, and the documents that may be seen meanwhile.

A verdict for new documents needs an adapter, a calibration and an embedder that have read nothing of the documents that
only test questions are about. Those documents are kept out of every search that learning makes, in the index's own
query, so that a training row still shows as many passages as a live request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twofold import access, sufficiency
from twofold.answering import query
from twofold.dataset import example_digest
from twofold.dataset.grouping import documents_of
from twofold.rows import closed_rows, open_rows, preferred_rows
from twofold.types import Arm, Chunk, Example, Filter, Json, Pair, Retrieval

if TYPE_CHECKING:
    from twofold.config import Config
    from twofold.dataset import Splits
    from twofold.plugins import Retriever
    from twofold.sufficiency import Calibration

Rows = tuple[tuple[Pair, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Learning:
    """One project's examples and documents, as whatever is learned may see them."""

    splits: Splits
    """Train and dev as the study's principal may read them."""
    filter: Filter
    """Of every search: without the documents that only test questions are about."""
    everything: bool
    """Nothing is kept out: no study may use what is learned."""
    config: Config
    """The configuration in force."""
    root: Path
    """The project's directory."""
    retriever: Callable[[], Retriever]
    """The configured pipeline."""
    gold: Callable[[Sequence[Example]], list[list[Chunk]]]
    """Gold passages of each example, best evidence first."""

    def found(self, examples: Sequence[Example], k: int) -> list[Retrieval]:
        """The `k` best passages for each example, of documents that may be seen.

        Raises:
            AccessDenied: the retriever returned a passage of another document.
        """
        if not examples:
            return []
        retriever = self.retriever()
        found = retriever.retrieve([query(example, self.filter) for example in examples], k)
        access.checked([hit.chunk for one in found for hit in one.hits], self.filter, type(retriever).__name__)
        return found

    def rows(self, arm: Arm, *, preference: bool) -> Rows:
        """The training rows of an arm, every variant (see `rows`).

        Args:
            arm: What is tuned for.
            preference: The trainer learns from better and worse answers.
        """
        config, train = self.config, self.splits.train
        if preference:
            file = self.root / "preferences.jsonl"
            near = config.examples.near == "drop"
            return (preferred_rows(file, self.splits, config.template, without=self.filter.without, near=near),)
        if arm.tuning != "open-book":
            return (closed_rows(train, config.template),)
        k = config.retrieval.k
        hits = [one.hits for one in self.found(train, k + 3)]
        return open_rows(train, hits, self.gold(train), template=config.template, tuning=config.tuning, k=k)

    def calibrated(self) -> Calibration:
        """When to abstain for want of evidence: weights from train, the threshold from dev (`sufficiency.calibrate`).

        Raises:
            TooFewExamples: there are too few unanswerable questions.
        """
        config, train = self.config, self.splits.train
        everyone = (*train, *self.splits.dev)
        asked = [query(example, self.filter) for example in everyone]
        cases = list(zip(asked, self.found(everyone, config.retrieval.k), everyone, strict=True))
        dev = cases[len(train) :]
        return sufficiency.calibrate(
            dev, train=cases[: len(train)], risk=config.retrieval.risk, level=config.study.level
        )

    def calibrated_by(self) -> Json:
        """What decides `calibrated`, the search apart."""
        return {
            "train": [example_digest(example) for example in self.splits.train],
            "dev": [example_digest(example) for example in self.splits.dev],
            "without": sorted(self.filter.without),
            "risk": self.config.retrieval.risk,
            "level": self.config.study.level,
            "principal": self.filter.principal,
        }

    def documents(self, arm: Arm) -> list[str]:
        """Documents that an arm's rows and dev items are made from: named when one of them is forgotten."""
        examples = (*self.splits.train, *self.splits.dev)
        used = {source for example in examples for source in example.sources}
        if arm.retrieval or self.config.tuning.answers == "retrieval":
            found = self.found(examples, self.config.retrieval.k + 3)
            used |= {hit.chunk.span.document for one in found for hit in one.hits}
        return sorted(used)

    def seen(self) -> Json:
        """What learning saw, for manifests and cards.

        Returns:
            ``everything`` (documents that only test questions are about were read too), ``kept_out`` (how many were
            not), and ``unnamed`` (test and reserve questions that name no document, so that theirs may have been).
        """
        asked = (*self.splits.test, *self.splits.reserve)
        return {
            "everything": self.everything,
            "kept_out": len(self.filter.without),
            "unnamed": sum(1 for example in asked if example.answerable and not documents_of(example)),
        }
