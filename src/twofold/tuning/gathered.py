"""The train and dev questions as they were searched for: once, for everything that is made of the passages found.

Training rows, dev items, the calibration of abstention, the answers of tuned candidates and the list of documents that
were learned from all start from the same searches. A planner or a reranker may cost money with every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from twofold.answering import access
from twofold.types import Query, Retrieval

if TYPE_CHECKING:
    from twofold.plugins.protocols import Retriever


class Gathered:
    """A retriever that searches for the same question, among the same documents, once.

    Args:
        live: Searches. Not held beyond what it has found: whoever changes the index or the settings makes a new one.
        decided_by: Digest of everything that decides what is found (`specs.of_retrieval`).
    """

    version: ClassVar[int] = 1

    def __init__(self, live: Retriever, *, decided_by: str) -> None:
        self.live = live
        self.decided_by = decided_by
        self._retrievals: dict[tuple[Query, int], Retrieval] = {}

    def pin(self, version: int | None) -> None:
        """As the retriever that searches; what was found stays, for it was found in an index of the same content."""
        self.live.pin(version)

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        """Top `k` hits per query, as the live retriever found them when it was first asked.

        A search for another `k` is another search: stages may choose among the passages by their number.

        Raises:
            AccessDenied: the live retriever returned a passage that a query's filter hides; nothing of it is kept.
        """
        # Each once: two examples may ask the same.
        missing = list(dict.fromkeys(query for query in queries if (query, k) not in self._retrievals))
        if missing:
            retrievals = self.live.retrieve(missing, k)
            for query, retrieval in zip(missing, retrievals, strict=True):
                access.checked([hit.chunk for hit in retrieval.hits], query.filter, type(self.live).__name__)
            self._retrievals.update(
                ((query, k), retrieval) for query, retrieval in zip(missing, retrievals, strict=True)
            )
        return [self._retrievals[query, k] for query in queries]
