"""A source made ready to be read, and what its documents inherit from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from twofold.files.reading import renamed
from twofold.plugins.protocols import Source
from twofold.types import Document, Loaded


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What documents take from their source; it is sent to workers, as a source cannot be."""

    name: str
    """Collection of the source's documents; empty for ``[documents].paths``."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Metadata of documents that do not bring these fields themselves."""
    readers: tuple[str, ...] | None = None
    """Readers of documents that name none themselves."""

    def document(self, document: Document, item: str, loaded: Loaded) -> Document:
        """A document as it is indexed: its identity, collection, metadata and readers."""
        if loaded.name and loaded.name != item:
            document = renamed(document, loaded.name, item)
        return replace(
            document,
            id=f"{self.name}:{document.id}" if self.name else document.id,
            collection=self.name,
            metadata={**self.metadata, **document.metadata},
            readers=self.readers if document.readers is None else document.readers,
        )


@dataclass(frozen=True, kw_only=True)
class Feed(Naming):
    """A source ready to be read, and the fields that its documents inherit."""

    source: Source
    """The source itself."""
    recipe: str
    """Digest of the source's options and of everything its documents are read with."""

    @property
    def naming(self) -> Naming:
        """The feed without its source."""
        return Naming(name=self.name, metadata=dict(self.metadata), readers=self.readers)
