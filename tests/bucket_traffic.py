"""A writer and readers of one index in a bucket, each in a process of its own, that note what they did and saw."""

from __future__ import annotations

import random
import time
from typing import Any

DOCUMENTS = 12
"""Documents that come, change and go; each has two chunks of one text."""

Seen = frozenset[tuple[str, str]]
"""Document and text of every chunk."""


def _opened(url: str, endpoint: str) -> Any:
    from twofold.files.remote import RemoteFolder
    from twofold.retrieval.indexes.lancedb.index import LanceIndex
    from twofold.testing.conformance_index import DIMENSION, FINGERPRINT

    folder = RemoteFolder(url, endpoint)
    return LanceIndex(LanceIndex.Options(), directory=folder, fingerprint=FINGERPRINT, dimension=DIMENSION)


def write(url: str, endpoint: str, until: float, out: Any) -> None:
    """Change a document after the other; puts (time before, time after, content after) of each commit."""
    from twofold.testing.conformance_index import chunk, put

    index, chance, content = _opened(url, endpoint), random.Random(1), dict[str, str]()
    commits: list[tuple[float, float, Seen]] = [(0.0, 0.0, frozenset())]
    number = 0
    while time.time() < until:
        number += 1
        name, before = f"d{chance.randrange(DOCUMENTS)}", time.time()
        if name in content and chance.random() < 0.25:
            index.delete([name])
            del content[name]
        else:
            content[name] = f"water number{number}"
            put(index, [chunk(name, content[name], 0), chunk(name, content[name], 1)])
        commits.append((before, time.time(), frozenset(content.items())))
    out.put(("writer", commits))


def read(url: str, endpoint: str, until: float, out: Any) -> None:
    """Search again and again; puts (time before, time after, what was found, chunks) of each search."""
    from twofold.testing.conformance_index import find

    index = _opened(url, endpoint)
    searches: list[tuple[float, float, Seen, int]] = []
    while time.time() < until:
        before = time.time()
        hits = find(index, "water", 4 * DOCUMENTS, leg="lexical")
        seen = frozenset((hit.chunk.span.document, hit.chunk.text) for hit in hits)
        searches.append((before, time.time(), seen, len(hits)))
    out.put(("reader", searches))
