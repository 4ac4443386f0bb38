"""Documents that were cut → vectors → index and catalogue, batch after batch, while the next batch is read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from twofold.assembly.searching import Search
from twofold.execution.on_demand import OnDemand
from twofold.host import pace
from twofold.indexing.bulk import Journal, WritingWork
from twofold.indexing.embedded_text import embedded_text
from twofold.indexing.report import FileRow
from twofold.indexing.self_questioning import SelfQuestioning
from twofold.indexing.work import LEAST, TASKS, EmbeddingWork, embedded
from twofold.plugins.protocols import CountsUnknown, Index, Progress, quiet
from twofold.store import embedding_time
from twofold.store.documents import KnownDocument, KnownItem, Notes
from twofold.types import Chunk, Document

TRUSTED = "index-version"
"""Note with the version of the index that the last sync left, and nothing has touched since."""
_PRUNED = "pruned"
_PACED = 50
"""Fewest chunks of a batch whose seconds per chunk are kept as the embedder's pace: small batches measure the start."""
_LOST, _LETTERED = 0.1, 500
"""Share of unknown letters from which a sync warns; number of chunks of a batch that are checked, spread evenly."""
_LOOK = 1.0
"""Seconds between two looks at what workers have brought back."""
FILLING = 2000
"""Chunks of the first batch from which an empty index is filled by the workers themselves: fewer are put in sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingDocument:
    """A document of the batch in hand."""

    document: Document
    known: KnownDocument
    chunks: list[Chunk] | None
    """None: the index holds the document as it is, and only its record changes."""
    entry: FileRow | None
    """The line of the document's file in the report."""


@dataclass(slots=True)
class PendingBatch:
    """Documents and items that are committed together."""

    cuts: list[PendingDocument] = field(default_factory=list)
    items: list[KnownItem] = field(default_factory=list)
    chunks: int = 0


class Halt(BaseException):
    """The index, the catalogue or the cluster failed: no fault of the source that was being read."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(str(error))


class Committer:
    """Embeds and commits one batch in a thread of its own. A context manager.

    Args:
        search: Catalogue, index and embedder of the project.
        work: Embeds texts.
        where: Runs the work.
        known: The documents as the last sync left them.
        indexed: Document → digest of its chunks in the index; None where that is as the catalogue says.
        reuse: The index's vectors are of the present embedder.
        journal: Of the pieces that workers write, where an index is filled.
    """

    def __init__(
        self,
        search: Search,
        work: EmbeddingWork,
        *,
        where: OnDemand,
        known: Mapping[str, KnownDocument],
        indexed: Mapping[str, str] | None,
        reuse: bool,
        journal: Journal,
    ) -> None:
        self._catalogue = search.catalogue
        self._index = search.index
        self._embedder = search.embedder
        self._questions = SelfQuestioning(search.catalogue, search.chunker)
        self._work = work
        self._where = where
        self._known = known
        self._indexed = indexed
        self._reuse = reuse
        self._journal = journal
        self._filling: WritingWork | None = None
        self._committed = False
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")
        self._pending: Future[None] | None = None
        self._began = 0.0
        self._letters: list[tuple[int, int, str]] = []
        self._returned = self._sent = 0  # chunks of the batch in hand, by the workers
        self.embedded = 0
        """Texts embedded so far."""

    def __enter__(self) -> Committer:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def take(self, batch: PendingBatch) -> None:
        """Hand over a batch; waits until the one before is committed.

        Raises:
            Halt: that one failed.
        """
        self.settle()
        if batch.cuts or batch.items:
            self._pending = self._pool.submit(self._commit, batch)

    def settle(self, progress: Progress = quiet) -> None:
        """Wait until every batch is committed.

        Args:
            progress: Called with the chunks that workers have brought back, while they are at work.

        Raises:
            Halt: one failed.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            while not wait([pending], timeout=_LOOK).done:
                if self._sent:
                    progress("embed", self._returned, self._sent)
            if self._sent:
                progress("embed", self._sent, self._sent)
            try:
                pending.result()
            except Exception as error:  # raised again where the sync ends
                raise Halt(error) from error

    @property
    def filling(self) -> bool:
        """Do workers write the index themselves?"""
        return self._filling is not None

    def assemble(self) -> None:
        """Put what workers wrote into the index."""
        if self._filling is not None:
            # Workers of this machine are no more cores than a build here has, which then has one graph.
            self._journal.finish(self._where.executor if self._where.settings.address else None)

    def finish(self) -> None:
        """Keep the questions that belong to the documents."""
        self._questions.finish()

    def _commit(self, batch: PendingBatch) -> None:
        cuts = [cut for cut in batch.cuts if cut.chunks is not None]
        full = [cut for cut in cuts if cut.chunks]
        empty = [c.document.id for c in cuts if not c.chunks and (self._indexed or c.document.id in self._known)]
        if full or empty:
            # before the index changes: after a kill the next sync compares it with the catalogue
            self._catalogue.notes.put(TRUSTED, "")
        if full:
            self._began = time.perf_counter()
            chunks = list(chain.from_iterable(cut.chunks or () for cut in full))
            if self._is_filling(len(chunks)):
                self._fill(full)
            else:
                self._index.upsert(chunks, self._vectors(full, chunks))
            self._look_at(chunks)
            seconds = (time.perf_counter() - self._began) / len(chunks)
            # The pace of a cluster tells nothing about this machine, by which work is planned.
            if not self._where.elsewhere:
                embedding_time.add(self._catalogue.notes, chunks=len(chunks), seconds=seconds * len(chunks))
                if len(chunks) >= _PACED:
                    pace.keep(pace.embedding(self._embedder.fingerprint), {"chunk": seconds})
            for cut in full:
                if cut.entry is not None:
                    cut.entry["seconds"] += seconds * len(cut.chunks or ())
        if empty:
            self._index.delete(empty)
        self._questions.take((cut.document, cut.chunks or ()) for cut in cuts)
        # last: a batch that is not in the index must not count as known
        self._catalogue.sync.record([(cut.document, cut.known) for cut in batch.cuts], batch.items)
        self._committed = self._committed or bool(cuts)

    # ------------------------------------------------------------ an index that is filled

    def _is_filling(self, chunks: int) -> bool:
        """Is the index filled by the workers? The first batch decides: it is full, and nothing was there before."""
        if self._filling is None and self._where.elsewhere and not self._committed and self._fills:
            settings = self._where.settings
            # Workers elsewhere do not see a directory of this machine.
            if chunks >= FILLING and (settings.index or not settings.address) and (pieces := self._journal.begin()):
                self._filling = WritingWork(embedding=self._work, pieces=pieces)
        return self._filling is not None

    @property
    def _fills(self) -> bool:
        return not self._known and not self._indexed

    def _fill(self, cuts: Sequence[PendingDocument]) -> None:
        """Have the chunks of documents embedded and written, a document whole in one piece."""
        assert self._filling is not None
        total = sum(len(cut.chunks or ()) for cut in cuts)
        size = max(LEAST, -(-total // (TASKS * self._where.executor.workers)))
        batches, batch = list[list[Chunk]](), list[Chunk]()
        for cut in cuts:
            batch += cut.chunks or ()
            if len(batch) >= size:
                batches.append(batch)
                batch = []
        if batch:
            batches.append(batch)
        results: dict[int, tuple[str, int]] = {}
        self._returned, self._sent = 0, total
        for place, result in self._where.executor.run(self._filling, batches):
            results[place] = result
            self._returned += len(batches[place])
        self._journal.add([results[place][0] for place in sorted(results)])
        self.embedded += sum(count for _, count in results.values())

    # ------------------------------------------------------------ vectors

    def _vectors(self, cuts: Sequence[PendingDocument], chunks: Sequence[Chunk]) -> Any:
        """Vectors of `chunks`, shape (chunks, dimension); the index's own vectors are used for texts that it holds.

        The index holds such texts when a document changed in part, or when the same text stood under another name.
        """
        import numpy as np

        texts = [embedded_text(chunk) for chunk in chunks]
        have: dict[str, Any] = {}
        if self._reuse and (self._known or self._committed):
            alike = self._catalogue.documents.with_contents([cut.known.content for cut in cuts])
            indexed = self._indexed or ()
            mine = [c.document.id for c in cuts if c.document.id in self._known or c.document.id in indexed]
            donors = sorted({*alike.values(), *mine})
            if donors:
                donated, vectors = self._index.vectors_of(donors)
                have = {embedded_text(chunk): vector for chunk, vector in zip(donated, vectors, strict=True)}
        new = list(dict.fromkeys(text for text in texts if text not in have))
        if new and not self.embedded and not self._where.elsewhere:
            # An embedder loads its model at the first text (.4 s, as long as 40 passages take): no passage's seconds.
            # An empty one, which every embedder takes: a passage would be embedded twice.
            self._embedder.embed([""])
            self._began = time.perf_counter()
        self.embedded += len(new)
        if len(new) == len(texts):
            return embedded(self._where, self._work, texts)
        have.update(zip(new, embedded(self._where, self._work, new), strict=True) if new else ())
        return np.stack([have[text] for text in texts])

    # ------------------------------------------------------------ letters that the embedder does not know

    def _look_at(self, chunks: Sequence[Chunk]) -> None:
        """Count the letters of words that the embedder does not know, if the embedder can tell."""
        if isinstance(self._embedder, CountsUnknown):
            for chunk in chunks[:: -(-len(chunks) // _LETTERED)]:
                letters = sum(sign.isalnum() for sign in chunk.text)
                self._letters.append((self._embedder.unknown(chunk.text), letters, chunk.span.document))

    def warnings(self) -> list[str]:
        """A sentence, if the embedder does not know much of what was read now."""
        lost, letters = sum(unknown for unknown, _, _ in self._letters), sum(count for _, count, _ in self._letters)
        if not letters or lost < _LOST * letters:
            return []
        worst = max(self._letters, key=lambda row: (row[0], row[2]))[2]
        return [
            f"the embedder does not know the words of {100 * lost / letters:.0f} % of the text read now (such as "
            f"{worst}): its vectors do not tell such passages apart. Set [retrieval.embedder] name = "
            '"multilingual" (sixteen languages: docs/how-to/retrieval.md), for others [retrieval.retriever] "lexical"'
        ]


def prune(notes: Notes, index: Index) -> int:
    """Drop old versions by the index's own policy, once a day at most, and never at the first sync."""
    last, now = notes.get(_PRUNED), datetime.now(UTC)
    if last and now - datetime.fromisoformat(last) < timedelta(days=1):
        return 0
    dropped = index.prune() if last else 0
    notes.put(_PRUNED, now.isoformat(timespec="seconds"))
    return dropped
