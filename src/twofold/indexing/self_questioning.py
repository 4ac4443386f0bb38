"""Making and storing a project's self-retrieval questions beside its sync."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twofold.indexing.self_retrieval import LIMIT, VERSION, SelfQuestion, questions_of
from twofold.plugins.protocols import Chunker
from twofold.store.catalogue import Catalogue
from twofold.types import Chunk, Document

_NOTE = "self-questions"
_PIECE = 200
"""Documents read from the catalogue at a time: their whole texts are in memory."""


class SelfQuestioning:
    """Keeps the stored questions those of the documents that are indexed.

    Args:
        catalogue: Stores them, and the documents.
        chunker: Cuts documents that were indexed before there were such questions.
    """

    def __init__(self, catalogue: Catalogue, chunker: Chunker) -> None:
        self._catalogue, self._chunker = catalogue, chunker
        # Before a batch is recorded: a sync that is killed must not leave its documents without questions.
        self._whole = catalogue.notes.get(_NOTE) == str(VERSION) or not catalogue.documents.digests()

    def take(self, cut: Iterable[tuple[Document, Sequence[Chunk]]]) -> None:
        """Make the questions of documents that are put into the index."""
        rows: dict[str, list[tuple[str, str, str, str, int, int]]] = {}
        for document, chunks in cut:
            rows[document.id] = [_row(question) for question in questions_of(document, chunks)]
        self._catalogue.self_questions.put(rows)

    def finish(self) -> None:
        """Keep as many as are stored at most; make those of documents that have none, indexed by an older version."""
        if not self._whole:
            names = sorted(self._catalogue.documents.digests())
            for start in range(0, len(names), _PIECE):
                documents = self._catalogue.documents.get(names[start : start + _PIECE])
                self.take((document, self._chunker.split(document)) for document in documents)
                self._catalogue.self_questions.bound(LIMIT)
        self._catalogue.self_questions.bound(LIMIT)
        if not self._whole or self._catalogue.notes.get(_NOTE) != str(VERSION):
            self._catalogue.notes.put(_NOTE, str(VERSION))


def _row(question: SelfQuestion) -> tuple[str, str, str, str, int, int]:
    return (question.id, question.document, question.kind, question.text, question.start, question.end)
