"""Chunks as rows of a Lance table, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.metadata.facets import clauses, facets
from twofold.retrieval.analysis import Language, searched_text, terms
from twofold.types import Chunk, Filter, Span

CHUNK_COLUMNS = [
    "id", "document", "start", "end", "text", "title", "headings", "ordinal",
    "place", "collection", "readers", "metadata",
]  # fmt: skip


NUMBER = "_rowid"
"""Number of a row within the table; another one after compacting."""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _metadata(chunk: Chunk) -> str:
    # sorted: equal metadata are equal texts, and kept once in memory
    return _json(dict(sorted(chunk.metadata.items())))


def schema(dimension: int) -> Any:
    """The table's Arrow schema.

    `terms` holds the analysed words, separated by blanks; `facets` the metadata as filters compare it; `seal`
    is the chunk's own, so that two versions are compared without reading their texts.
    """
    import pyarrow as pa

    plain = [("id", pa.string()), ("document", pa.string()), ("start", pa.int64()), ("end", pa.int64())]
    texts = [("text", pa.string()), ("title", pa.string()), ("headings", pa.string()), ("ordinal", pa.int64())]
    access = [("place", pa.string()), ("collection", pa.string()), ("readers", pa.list_(pa.string()))]
    more = [("metadata", pa.string()), ("facets", pa.list_(pa.string())), ("seal", pa.string())]
    search = [("terms", pa.string()), ("vector", pa.list_(pa.float32(), dimension))]
    return pa.schema([*plain, *texts, *access, *more, *search])


def rows(chunks: Sequence[Chunk], vectors: NDArray[np.float32], language: Language) -> Any:
    """Arrow table of these chunks."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        "id": [c.id for c in chunks],
        "document": [c.span.document for c in chunks],
        "start": [c.span.start for c in chunks],
        "end": [c.span.end for c in chunks],
        "text": [c.text for c in chunks],
        "title": [c.title for c in chunks],
        "headings": [_json(c.headings) for c in chunks],
        "ordinal": [c.ordinal for c in chunks],
        "place": [c.place for c in chunks],
        "collection": [c.collection for c in chunks],
        # None and an empty list differ: unknown readers, and nobody
        "readers": [None if c.readers is None else list(c.readers) for c in chunks],
        "metadata": [_metadata(c) for c in chunks],
        "facets": [facets(c.metadata) for c in chunks],
        "seal": [c.seal for c in chunks],
        "terms": [" ".join(terms(searched_text(c), language)) for c in chunks],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
    }
    return pa.table(columns, schema=schema(vectors.shape[1]))


def chunks(table: Any) -> list[Chunk]:
    """The chunks of an Arrow table that has `CHUNK_COLUMNS`."""
    columns = [table[name].to_pylist() for name in CHUNK_COLUMNS]
    return [chunk(values) for values in zip(*columns, strict=True)]


def chunk(values: Sequence[Any]) -> Chunk:
    """The chunk of a row: its values in the order of `CHUNK_COLUMNS`."""
    name, document, start, end, text, title, headings, ordinal, place, collection, readers, metadata = values
    return Chunk(
        id=name,
        span=Span(document=document, start=start, end=end),
        text=text,
        title=title,
        headings=tuple(json.loads(headings)),
        ordinal=ordinal,
        place=place,
        collection=collection,
        readers=None if readers is None else tuple(readers),
        metadata=json.loads(metadata),
    )


def matrix(column: Any) -> NDArray[np.float32]:
    """The vectors in an Arrow column, shape (rows, dimension)."""
    width = column.type.list_size
    if not len(column):
        return np.zeros((0, width), dtype=np.float32)
    vectors: NDArray[np.float32] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return vectors


def condition(which: Filter | None) -> str:
    """The filter as an SQL condition; empty when it allows everything."""
    if which is None or which.empty:
        return ""
    parts = [any_of("collection", which.collections)] if which.collections else []
    if which.without:
        parts.append(f"NOT {any_of('document', sorted(which.without))}")
    for required, values in clauses(which.conditions):
        parts.append(_has_any("facets", values) if required else f"NOT {_has_any('facets', values)}")
    if which.principal is not None:
        parts.append(_has_any("readers", which.principal))
    return " AND ".join(parts)


def _has_any(column: str, values: Sequence[str]) -> str:
    if not values:
        return "false"
    return f"array_has_any({column}, [{', '.join(_quoted(value) for value in values)}])"


def any_of(column: str, values: Iterable[str]) -> str:
    """SQL condition: `column` is one of `values` (at least one)."""
    return f"{column} IN ({', '.join(_quoted(value) for value in values)})"


def in_pieces(values: Sequence[str], size: int = 1000) -> Iterator[Sequence[str]]:
    """`values` in pieces of at most `size`: SQL conditions stay short."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
