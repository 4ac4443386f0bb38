"""The documents of the last sync, the items that they came from, and notes about both: parts of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from twofold.hashing import canonical_json
from twofold.store.codec import document_from_json
from twofold.store.database import BATCH, Database, upsert
from twofold.types import Document, Json

_CUT_BY = "cut-by"
"""Name of the note with the recipe by which documents were cut into chunks; a source has one of its own behind a colon.
In older catalogues the one note stands for all sources."""
_PUT_ITEM = upsert("items", "source, item, state, recipe, content, chunks, pages, failure", key="source, item")
_PUT_NOTE = upsert("notes", "name, value", key="name")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownItem:
    """The record of an item of a source, written when the item was last read."""

    source: str
    """Name of the source; empty for ``[documents].paths``."""
    item: str
    """Id within the source."""
    state: str
    """The source's token for the item's content at that time."""
    recipe: str
    """Digest of the readers and settings that it was read with."""
    content: str
    """Digest of its content."""
    chunks: int = 0
    """Number of chunks of its documents."""
    pages: int = 0
    """Number of its pages, sheets and slides."""
    failure: str = ""
    """JSON of the failure; empty when reading succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDocument:
    """The record of a document, without its text."""

    digest: str
    """Digest of the document and of everything that determines its chunks."""
    source: str = ""
    """Name of its source."""
    item: str = ""
    """The item that it came from."""
    content: str = ""
    """Digest of its text."""
    sealed: str = ""
    """Digest of its chunks that the index should return (`types.sealed`); empty for a document without chunks."""


class Documents:
    """The documents of the last sync.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def digests(self) -> dict[str, str]:
        """Document id → recorded digest."""
        return dict(self._database.read("SELECT id, digest FROM documents ORDER BY id"))

    def get(self, ids: Sequence[str] | None = None) -> list[Document]:
        """Documents in the order of `ids` (unknown ones left out), or all by id."""
        if ids is None:
            rows = self._database.read("SELECT id, record FROM documents ORDER BY id")
            return [document_from_json(self._database.json(record)) for _, record in rows]
        records: dict[str, str] = {}
        for start in range(0, len(ids), BATCH):
            part = list(ids[start : start + BATCH])
            marks = ",".join("?" * len(part))
            records.update(self._database.read(f"SELECT id, record FROM documents WHERE id IN ({marks})", part))
        return [document_from_json(self._database.json(records[name])) for name in ids if name in records]

    def without_texts(self) -> Iterator[Document]:
        """All documents by id, without their texts: title, source, collection, readers and metadata."""
        fields = ("title", "source", "collection", "readers", "metadata")
        # by the database: the texts, which are most of a record, are not parsed
        columns = ", ".join(f"json_extract(record, '$.{name}')" for name in fields)
        for name, title, source, collection, readers, metadata in self._database.read(
            f"SELECT id, {columns} FROM documents ORDER BY id"
        ):
            yield Document(
                id=name,
                text="",
                title=title or "",
                source=source or "",
                collection=collection or "",
                readers=None if readers is None else tuple(self._database.json(readers)),
                metadata=self._database.json(metadata) if metadata else {},
            )

    def readers_of(self, ids: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...] | None]]:
        """Document id → its source, and its readers (None: it names none); unknown ids are left out.

        By an index alone: a long document takes no longer than none, so that the time tells nobody that it is there.
        """
        named: dict[str, tuple[str, tuple[str, ...] | None]] = {}
        for start in range(0, len(ids), BATCH):
            part = list(ids[start : start + BATCH])
            sql = "SELECT id, origin, readers FROM documents INDEXED BY documents_by_readers "
            for name, source, readers in self._database.read(f"{sql}WHERE id IN ({','.join('?' * len(part))})", part):
                named[name] = (source or "", None if readers is None else tuple(self._database.json(readers)))
        return named

    def versions(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Document id → digest of its text, and its source; unknown ids are left out."""
        rows: dict[str, tuple[str, str]] = {}
        for start in range(0, len(ids), BATCH):
            part = list(ids[start : start + BATCH])
            sql = "SELECT id, content, json_extract(record, '$.source') FROM documents "
            for name, content, source in self._database.read(f"{sql}WHERE id IN ({','.join('?' * len(part))})", part):
                rows[name] = (content, source or "")
        return rows

    def counts(self) -> dict[str, int]:
        """Source → number of its documents."""
        return dict(self._database.read("SELECT source, count(*) FROM documents GROUP BY source ORDER BY source"))

    def known(self) -> dict[str, KnownDocument]:
        """Document id → record without the text; without documents that `SyncState.renew` left."""
        rows = self._database.read(
            "SELECT id, digest, source, item, content, sealed FROM documents WHERE digest != '' ORDER BY id"
        )
        documents: dict[str, KnownDocument] = {}
        for name, digest, source, item, content, sealed in rows:
            documents[name] = KnownDocument(digest=digest, source=source, item=item, content=content, sealed=sealed)
        return documents

    def with_contents(self, contents: Sequence[str]) -> dict[str, str]:
        """Digest of a text → a document with that text and with chunks; digests without such a document are omitted."""
        owners: dict[str, str] = {}
        for start in range(0, len(contents), BATCH):
            part = list(contents[start : start + BATCH])
            marks = ",".join("?" * len(part))
            # of several the first by id, whatever order the rows have
            owners.update(
                self._database.read(
                    f"SELECT content, min(id) FROM documents WHERE content IN ({marks}) AND sealed != '' "
                    "GROUP BY content",
                    part,
                )
            )
        return owners


class SyncState:
    """The items that the last sync read of every source, and the change behind each index version.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def items(self, source: str) -> dict[str, KnownItem]:
        """Item → record, for one source."""
        sql = "SELECT item, state, recipe, content, chunks, pages, failure FROM items WHERE source = ? ORDER BY item"
        items: dict[str, KnownItem] = {}
        for item, state, recipe, content, chunks, pages, failure in self._database.read(sql, (source,)):
            items[item] = KnownItem(
                source=source,
                item=item,
                state=state,
                recipe=recipe,
                content=content,
                chunks=chunks,
                pages=pages,
                failure=failure,
            )
        return items

    def sources(self) -> list[str]:
        """Sources with any recorded item or document."""
        rows = self._database.read("SELECT source FROM items UNION SELECT source FROM documents ORDER BY source")
        return [source for (source,) in rows]

    def record(
        self,
        documents: Iterable[tuple[Document, KnownDocument]],
        items: Iterable[KnownItem],
        *,
        deleted: Iterable[str] = (),
        deleted_items: Iterable[tuple[str, str]] = (),
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Store a batch of a sync in one transaction: read and deleted documents and items, and notes.

        Args:
            documents: Documents that were read, with their records.
            items: Items that were read.
            deleted: Ids of documents that no source contains any more.
            deleted_items: Source and item of items that their source no longer contains.
            notes: Name → value, replacing notes of those names.
        """
        document_rows = []
        for document, known in documents:
            document_rows.append(
                (
                    document.id,
                    known.digest,
                    canonical_json(document),
                    known.source,
                    known.item,
                    known.content,
                    known.sealed,
                )
            )
        item_rows = [(i.source, i.item, i.state, i.recipe, i.content, i.chunks, i.pages, i.failure) for i in items]
        with self._database.transaction() as connection:
            connection.executemany(
                upsert("documents", "id, digest, record, source, item, content, sealed", key="id"), document_rows
            )
            connection.executemany(_PUT_ITEM, item_rows)
            connection.executemany("DELETE FROM documents WHERE id = ?", [(name,) for name in deleted])
            connection.executemany("DELETE FROM items WHERE source = ? AND item = ?", list(deleted_items))
            connection.executemany(_PUT_NOTE, list((notes or {}).items()))

    def clear(self) -> None:
        """Delete all documents and items, so that the next sync reads everything again."""
        with self._database.transaction() as connection:
            for table in ("documents", "items", "notes", "changes"):
                connection.execute(f"DELETE FROM {table}")

    def renew(self) -> None:
        """Make the next sync treat every document as new, and embed it; texts and readers stay until then."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE documents SET digest = '', content = '', sealed = ''")
            connection.execute("DELETE FROM items")
            connection.execute("DELETE FROM notes")
            connection.execute("INSERT INTO notes VALUES ('vectors', 'none')")  # existing vectors are not reused

    def drop_renewed(self) -> None:
        """Delete the documents that `renew` marked and no sync has read again."""
        self._database.write("DELETE FROM documents WHERE digest = ''", [()])

    def read_all_again(self) -> None:
        """Make the next sync read every item, changed or not."""
        self._database.write("UPDATE items SET state = '', content = ''", [()])

    def cut_by(self, recipe: str, sources: Sequence[str]) -> None:
        """Begin a sync that cuts the documents of these sources by a recipe.

        Of a source that was cut by another one every item is read again, by each sync until one has ended: of a killed
        sync some documents are cut by its recipe, so the note names no recipe at all meanwhile. Sources have notes of
        their own because a server syncs the documents that it was sent, and never the others.
        """
        with self._database.transaction() as connection:
            notes = dict(connection.execute("SELECT name, value FROM notes").fetchall())
            for source in sources:
                before = notes.get(f"{_CUT_BY}:{source}") or notes.get(_CUT_BY, "")
                if before not in ("", recipe):
                    connection.execute("UPDATE items SET state = '', content = '' WHERE source = ?", (source,))
                # Known before the first document is: a first sync that is killed is noticed as well.
                value = recipe if before in ("", recipe) else "none"
                connection.execute(_PUT_NOTE, (f"{_CUT_BY}:{source}", value))

    def put_cut(self, recipe: str, sources: Sequence[str]) -> None:
        """Record that the documents of these sources are cut by a recipe: the sync has ended."""
        notes = [(f"{_CUT_BY}:{source}", recipe) for source in sources]
        self._database.write(_PUT_NOTE, notes)

    def put_change(self, version: int, at: str, record: Json) -> None:
        """Record the change that led to an index version."""
        self._database.write(
            upsert("changes", "version, at, record", key="version"), [(version, at, canonical_json(record))]
        )

    def changes(self) -> dict[int, Json]:
        """Index version → the change that led to it, and ``at``."""
        rows = self._database.read("SELECT version, at, record FROM changes ORDER BY version")
        return {version: {"at": at, **self._database.json(record)} for version, at, record in rows}


class Notes:
    """Short texts by name, such as the index version that the documents agree with.

    Args:
        database: The catalogue's file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> str:
        """The value of a note; empty when there is none."""
        rows = self._database.read("SELECT value FROM notes WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def put(self, name: str, value: str) -> None:
        """Store a note, replacing any note of that name."""
        self._database.write(_PUT_NOTE, [(name, value)])
