"""Fragments of a Lance table: workers write them where the table lies and change nothing; one commit puts them in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twofold.errors import MissingExtra, install
from twofold.retrieval.analysis import Language
from twofold.retrieval.indexes.lancedb.rows import rows
from twofold.types import Chunk


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """See `plugins.pieces.PieceWriter`; the table is there."""

    place: str
    """Address of the table."""
    settings: dict[str, str]
    """Options of the object store; credentials are those of the worker's environment."""
    language: Language

    def write(self, chunks: Sequence[Chunk], vectors: Any) -> str:
        """See `plugins.pieces.PieceWriter.write`."""
        table = rows(chunks, vectors, self.language)
        written = lance().fragment.write_fragments(
            table, self.place, schema=table.schema, mode="append", storage_options=self.settings or None
        )
        return json.dumps([fragment.to_json() for fragment in written])

    def commit(self, pieces: Sequence[str], version: int) -> None:
        """Append pieces to the table as it was at a version."""
        library = lance()
        fragments = []
        for piece in pieces:
            fragments += [library.fragment.FragmentMetadata.from_json(json.dumps(entry)) for entry in json.loads(piece)]
        library.LanceDataset.commit(
            self.place,
            library.LanceOperation.Append(fragments),
            read_version=version,
            storage_options=self.settings or None,
        )


def files_of(pieces: Sequence[str]) -> list[str]:
    """Names of the pieces' files, below the table's folder of data."""
    return [file["path"] for piece in pieces for fragment in json.loads(piece) for file in fragment["files"]]


def lance() -> Any:
    """The library of the table's format.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import lance as library
        import lance.fragment
    except ImportError as error:
        raise MissingExtra(
            "writing an index in pieces needs the package 'pylance', which is not installed", cure=install("scale")
        ) from error
    return library
