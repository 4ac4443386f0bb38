"""The retriever of the part ``whole``: every document, whole, for every question; nothing is searched for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from twofold.answering import access
from twofold.answering.system import as_hits
from twofold.corpus.chunkers.cutting import chunk_of
from twofold.types import Document, Query, Retrieval


class WholeDocuments:
    """All documents that a query may see, in the order given, so that all prompts begin alike.

    Runtimes keep what they computed for a common beginning: the documents are read once, not once a question.

    Args:
        documents: Returns those of the last sync, by id.
        rules: Readers of documents that name none.
    """

    version: ClassVar[int] = 1

    def __init__(self, documents: Callable[[], Sequence[Document]], rules: Sequence[access.Rule] = ()) -> None:
        self._documents, self._rules = documents, rules

    def pin(self, version: int | None) -> None:
        """The documents are those of the last sync, whichever version of the index is searched."""

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:  # noqa: ARG002
        """Every document that each query's filter allows, whatever `k`."""
        # Read anew each time: a sync between two questions must show in the second.
        chunks = []
        for document in self._documents():
            if document.text.strip():
                chunks.append(chunk_of(access.ruled(document, self._rules), 0, len(document.text)))
        retrievals = []
        for query in queries:
            allowed = [chunk for chunk in chunks if query.filter.allows(chunk)]
            retrievals.append(Retrieval(hits=tuple(as_hits(allowed))))
        return retrievals
