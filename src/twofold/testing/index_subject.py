"""The subject of the conformance suite of indexes: an index, filled in the ways that its promises need."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from twofold.hashing import digest
from twofold.plugins.protocols import Index
from twofold.plugins.results import ErasedChunks
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.types import Chunk, Hit, Span

DIMENSION = 64

FINGERPRINT = "embedder:conformance"

HOSTILE = (
    "", " ", "???", "\"", "'", "a' OR 1=1 --", "(((", "+-&&||!{}^~*?:\\/", "\u0000", "title:x AND (", "日本", "😀",
    "the of and", "x" * 5000, "water " * 2000, "%_", "\ud7ff",
)  # fmt: skip
"""Queries that are no syntax anywhere."""

LEGS = ("dense", "lexical", "hybrid")

ROUNDS = 3
"""Times that random edits are made, each time others."""

Make = Callable[[Path, str], Index]
"""``make(directory, fingerprint)``: opens an index of `DIMENSION`; a second call on a directory opens it again."""

EMBEDDER = HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))
"""Makes the vectors of all chunks and queries."""

FARM = (
    "drip irrigation saves water",
    "sprinkler irrigation in wind",
    "wheat prices rose",
    "irrigated farming of maize",
)

# Ids that break an index which builds queries from text: quotes, escapes, line breaks, SQL, length.
NAMES = ("a'b", 'q"uote', "back\\slash", "new\nline", "日本", "); DROP TABLE chunks; --", "%", "😀", "x" * 300)

# Values of metadata that look like syntax of filters.
LANGUAGES = ("de", "it's", 'a"b', "x=y", "ä%_")

FIELD_WORDS = "water wind soil maize wheat drip sprinkler pump canal field rain root seed tillage yield".split()  # noqa: SIM905


def chunk(document: str, text: str, ordinal: int = 0, *, title: str = "") -> Chunk:
    """A chunk for tests, with a proper id."""
    span = Span(document=document, start=ordinal * 1000, end=ordinal * 1000 + len(text))
    name = digest("chunk", {"span": span, "text": text})
    return Chunk(id=name, span=span, text=text, title=title, headings=("Part", document), ordinal=ordinal)


def put(index: Index, chunks: Sequence[Chunk]) -> None:
    """Upsert with hashed vectors."""
    index.upsert(chunks, EMBEDDER.embed([c.text for c in chunks]))


def find(index: Index, query: str, k: int = 5, *, leg: str = "hybrid", version: int | None = None) -> list[Hit]:
    """Search one query with its hashed vector."""
    return index.search([query], EMBEDDER.embed([query]), k, leg=leg, version=version)[0]


@dataclass(kw_only=True)
class Subject:
    """The index that is examined. What is only read is put once, for all promises that share the subject."""

    make: Make
    """Opens an index."""
    directory: Path
    """An empty directory; indexes are made below it."""
    exact: bool = True
    """Does the index promise that equal content gives equal hits, whatever its history? Approximate ones need only find
    every chunk that the exact legs find."""
    seed: int = 0
    """Of the random edits."""
    _count: int = 0

    def place(self) -> Path:
        """A directory for a new index."""
        self._count += 1
        return self.directory / f"index{self._count}"

    def fresh(self, *chunks: Chunk) -> Index:
        """A new index of these chunks, for a promise that changes it."""
        index = self.make(self.place(), FINGERPRINT)
        if chunks:
            put(index, chunks)
        return index

    @cached_property
    def empty(self) -> Index:
        """An index of nothing; not to be changed."""
        return self.fresh()

    @cached_property
    def three(self) -> Index:
        """An index of `three_chunks`; not to be changed."""
        return self.fresh(*three_chunks())

    @cached_property
    def farm(self) -> Index:
        """An index of four documents on farming; not to be changed."""
        return self.fresh(*(chunk(f"d{number}", text) for number, text in enumerate(FARM)))

    @cached_property
    def odd(self) -> Index:
        """An index of documents with odd names; not to be changed."""
        return self.fresh(*odd_chunks())

    @cached_property
    def readable(self) -> Index:
        """An index of chunks with readers; not to be changed."""
        return self.fresh(*readable_chunks())

    @cached_property
    def tagged(self) -> tuple[Index, int, list[Hit]]:
        """See `with_a_tag`; not to be changed."""
        return with_a_tag(self)

    @cached_property
    def erased(self) -> tuple[Index, int, ErasedChunks]:
        """See `after_erasure`; not to be changed."""
        return after_erasure(self)

    @cached_property
    def varied(self) -> tuple[Index, list[Chunk]]:
        """An index of `_varied` chunks, and these; not to be changed."""
        chunks = _varied(self.seed)
        return self.fresh(*chunks), chunks

    @cached_property
    def edited(self) -> list[tuple[Index, Index, dict[str, list[Chunk]]]]:
        """See `_edited`; not to be changed."""
        return [_edited(self, number) for number in range(ROUNDS)]


def three_chunks() -> list[Chunk]:
    """Two documents, one of two chunks."""
    return [
        chunk("a", "sprinkler irrigation", 0, title="Öl & Wasser"),
        chunk("a", "wind and drift", 1),
        chunk("b", "maize"),
    ]


def odd_chunks() -> list[Chunk]:
    """A chunk for each of `NAMES`."""
    return [chunk(name, f"text of {n} water", title=name) for n, name in enumerate(NAMES)]


def readable_chunks() -> list[Chunk]:
    """Two documents; one has readers."""
    return [chunk("a", "sprinkler irrigation"), chunk("a", "wind", 1), replace(chunk("b", "maize"), readers=("ann",))]


def _varied(seed: int) -> list[Chunk]:
    """Forty chunks of all collections, readers and metadata, hostile values included."""
    chance = random.Random(seed)
    chunks: list[Chunk] = []
    for number in range(40):
        chunks.append(
            replace(
                chunk(f"d{number}", f"water wind {'soil' if number % 3 else 'drip'} {number}"),
                collection=chance.choice(["", "law", "o'neil"]),
                readers=chance.choice([None, (), ("ann",), ("ann", "staff"), ("o'neil",)]),
                metadata={
                    "lang": chance.choice(LANGUAGES),
                    "kind": chance.choice(["a", "b"]),
                    "tags": chance.choice(['["red","it\'s"]', "[]", '["red"]']),
                    "size": chance.choice(["2", "2.0", "30", "-4.5", "0", "x"]),
                    "day": chance.choice(
                        ["2031-04-02", "2031-04-02T09:00:00", "2031-04-02T23:30:00-05:00", "2031-04-03", ""]
                    ),
                },
            )
        )
    return chunks


def with_a_tag(subject: Subject) -> tuple[Index, int, list[Hit]]:
    """An index with later edits, a version tagged before them, and what "water" found then."""
    index = subject.fresh(chunk("a", "old text about water"), chunk("b", "steady"))
    old = index.state().version
    hits = find(index, "water")
    index.tag("pinned")
    put(index, [chunk("a", "new text about wind")])
    index.delete(["b"])
    return index, old, hits


def after_erasure(subject: Subject) -> tuple[Index, int, ErasedChunks]:
    """An index, a version from before a document was erased, and what `erase` reported."""
    index = subject.fresh(chunk("a", "water"), chunk("secret", "password wind"))
    first = index.state().version
    index.tag("study")
    put(index, [chunk("b", "maize")])
    return index, first, index.erase(["secret", "never"])


def _edited(subject: Subject, number: int, edits: int = 12) -> tuple[Index, Index, dict[str, list[Chunk]]]:
    """An index after random edits, one made at one go of what it should hold, and what that is."""
    chance = random.Random(subject.seed + number)
    index = subject.fresh()
    truth = dict[str, list[Chunk]]()
    for _ in range(edits):
        # About a third of the edits delete, so that documents come, change and go.
        if truth and chance.random() < 0.3:
            deleted = chance.sample(sorted(truth), min(len(truth), chance.randint(1, 2)))
            assert index.delete(deleted) == sum(len(truth.pop(name)) for name in deleted), "delete() miscounts"
            continue
        batch: dict[str, list[Chunk]] = {}
        for drawn in chance.sample(range(8), chance.randint(1, 3)):
            name = f"d{drawn}"
            batch[name] = []
            for ordinal in range(chance.randint(1, 3)):
                text = " ".join(chance.choices(FIELD_WORDS, k=chance.randint(1, 6)))
                batch[name].append(chunk(name, text, ordinal))
        put(index, list(chain.from_iterable(batch.values())))
        truth.update(batch)
    rebuilt = subject.fresh()
    everything = list(chain.from_iterable(truth.values()))
    # Another order than that of the edits: content and hits must not depend on it.
    chance.shuffle(everything)
    put(rebuilt, everything)
    return index, rebuilt, truth
