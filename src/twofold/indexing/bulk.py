"""The first filling of an index by many workers: they write pieces of it, which one commit puts in at the end.

    documents cut → texts embedded and written as a piece, by a worker → its line in a journal → the catalogue's records
    … → all pieces into the index, in one version → the journal deleted

A sync that is killed leaves the journal; the next one puts in what it names before it looks at the index, and goes on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold.assembly.searching import Search
from twofold.errors import StoreError
from twofold.files import writing
from twofold.files.reading import counted
from twofold.indexing.embedded_text import embedded_text
from twofold.indexing.work import EmbeddingWork
from twofold.plugins.pieces import Assembles, PieceWriter, Workers
from twofold.types import Chunk

log = logging.getLogger(__name__)
_JOURNAL = "bulk.jsonl"


@dataclass(frozen=True, kw_only=True)
class WritingWork:
    """Work: chunks → a piece of the index with their vectors."""

    embedding: EmbeddingWork
    pieces: PieceWriter
    label: str = "embed and write"

    def open(self) -> Callable[[Sequence[Chunk]], tuple[str, int]]:
        """See `BatchWork.open`; the piece, and the number of texts embedded for it."""
        embed = self.embedding.open()
        return lambda chunks: self._write(embed, chunks)

    def _write(self, embed: Callable[[Sequence[str]], Any], chunks: Sequence[Chunk]) -> tuple[str, int]:
        texts = [embedded_text(chunk) for chunk in chunks]
        new = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        vectors = embed(list(new))[[new[text] for text in texts]]  # (chunks, dimension)
        return self.pieces.write(chunks, vectors), len(new)


class Journal:
    """The pieces of a filling that are not in the index yet, and what fills it.

    Args:
        search: Index of the project.
        fingerprint: Digest of what decides the vectors.
    """

    def __init__(self, search: Search, fingerprint: str) -> None:
        self._path = journal_of(search.directory)
        self._index = search.index
        self._fingerprint = fingerprint

    def recover(self) -> None:
        """Put in the pieces that a killed sync left; forget those that do not belong to the index as it is."""
        if not self._path.is_file():
            return
        head, *pieces = self._lines()
        index = self._index
        mine = isinstance(index, Assembles) and head == self._head(index)
        if mine and isinstance(index, Assembles) and pieces:
            try:
                # The index is not empty when the kill came after they were put in, perhaps before it was made fast.
                index.assemble([] if index.state().chunks else pieces)
                log.info("%s of a sync that was stopped put into the index", counted(len(pieces), "piece"))
            except StoreError as error:
                # Their documents are read from the catalogue and embedded again, as those of a damaged index.
                log.warning("pieces of a sync that was stopped are not used: %s", error.message)
        self._path.unlink(missing_ok=True)

    def begin(self) -> PieceWriter | None:
        """Begin a filling; None where the index cannot be filled so, or holds something."""
        index = self._index
        if not isinstance(index, Assembles) or index.state().chunks:
            return None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        writing.write(self._path, json.dumps(self._head(index)) + "\n")
        return index.pieces()

    def add(self, pieces: Sequence[str]) -> None:
        """Note pieces that were written, before the catalogue says that their documents are known."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(piece) + "\n" for piece in pieces)

    def finish(self, workers: Workers | None) -> None:
        """Put all pieces into the index, in one version; workers, if any, build what makes it fast."""
        index = self._index
        assert isinstance(index, Assembles)
        _, *pieces = self._lines()
        if pieces:
            index.assemble(pieces, workers)
        self._path.unlink()

    def _head(self, index: Assembles) -> dict[str, str]:
        return {"vectors": self._fingerprint, "place": index.pieces().place}

    def _lines(self) -> list[Any]:
        lines = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break  # the kill came in the middle of this one, and the catalogue knows nothing of its documents
        return lines or [None]


def journal_of(directory: Path) -> Path:
    """The journal of a directory of derived data; it goes with the index, if that is deleted by hand."""
    return directory / "index" / _JOURNAL


def discard(directory: Path) -> None:
    """Forget the pieces of a filling that was stopped: their documents are embedded again."""
    journal_of(directory).unlink(missing_ok=True)
