"""Graph and word index of a large table, built by many workers: each builds a part over some fragments, one commit.

A part is a segment of Lance: an index over its own fragments, which nobody sees until the commit names it. Segments of
words are joined before it, which is copying; graphs stay apart, for joining builds them anew (measured). Each graph
is searched with as many candidates as a single one, which finds no less and takes longer: hence few, large parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from twofold.plugins.pieces import Workers
from twofold.retrieval.indexes.lancedb.fragments import lance
from twofold.retrieval.indexes.lancedb.view import FTS_INDEX, VECTOR_INDEX

# The column holds analysed words already: the library must neither cut nor change them.
WORDS: dict[str, Any] = {
    "base_tokenizer": "whitespace", "with_position": False, "lower_case": False, "stem": False,
    "remove_stop_words": False, "ascii_folding": False, "max_token_length": None,
}  # fmt: skip
"""Options of the word index."""
GRAPH: dict[str, Any] = {"m": 20, "ef_construction": 300}
"""Options of the graph, named because the two libraries that build it have other defaults."""
LEAST = 50_000
"""Fewest chunks of a part: smaller ones are built sooner than they are handed out."""
MOST = 8
"""Most parts: a search looks into each."""

Part = tuple[Literal["terms", "vector"], Sequence[int]]
"""Column, and numbers of the fragments."""


@dataclass(frozen=True, kw_only=True)
class PartWork:
    """Work: fragments → a segment of an index over them. A part built twice leaves a folder that `prune` removes."""

    place: str
    """Address of the table."""
    settings: dict[str, str]
    """Options of the object store; credentials are those of the worker's environment."""
    version: int
    """Of the table."""
    label: str = "build the index"

    def open(self) -> Callable[[Part], Any]:
        """See `BatchWork.open`; the segment's description, for `commit`."""
        table = self.table()
        return lambda part: _build(table, *part)

    def table(self) -> Any:
        """The table at the version."""
        return lance().dataset(self.place, version=self.version, storage_options=self.settings or None)


def build(work: PartWork, workers: Workers) -> bool:
    """Build both indices in parts and commit them in one version; False where the table is too small for two parts.

    Raises:
        TwofoldError: a part could not be built; the table is unchanged.
    """
    table = work.table()
    sizes = {fragment.fragment_id: fragment.count_rows() for fragment in table.get_fragments()}
    groups = grouped(sizes, workers.workers)
    if len(groups) < 2:
        return False
    # Graphs first: they take longest, and words fill the end.
    parts: list[Part] = [("vector", group) for group in groups]
    parts += [("terms", group) for group in groups]
    segments = dict(workers.run(work, parts))
    graphs = [segments[place] for place in range(len(groups))]
    words = table.merge_existing_index_segments([segments[place] for place in range(len(groups), len(parts))])
    lance().LanceDataset.commit(
        work.place,
        lance().LanceOperation.CreateIndex(new_indices=[*graphs, words], removed_indices=[]),
        read_version=work.version,
        storage_options=work.settings or None,
    )
    return True


def grouped(sizes: dict[int, int], workers: int) -> list[list[int]]:
    """Fragments in runs of about equal size, at most one a worker.

    Args:
        sizes: Fragment → its rows.
        workers: Parts built at a time.
    """
    total = sum(sizes.values())
    count = max(1, min(workers, MOST, total // LEAST))
    groups: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for fragment, rows in sorted(sizes.items()):
        groups[min(count - 1, (before + rows // 2) * count // max(1, total))].append(fragment)
        before += rows
    return [group for group in groups if group]


def _build(table: Any, column: Literal["terms", "vector"], fragments: Sequence[int]) -> Any:
    if column == "terms":
        return table.create_index_uncommitted(column, "INVERTED", name=FTS_INDEX, fragment_ids=list(fragments), **WORDS)
    return table.create_index_uncommitted(
        column, "IVF_HNSW_SQ", name=VECTOR_INDEX, metric="cosine", fragment_ids=list(fragments), **GRAPH
    )
