"""Documents that servers of a schema were sent: the schema has them, each machine's folder has a copy to be synced."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from twofold.errors import refused
from twofold.files import writing
from twofold.hashing import digest
from twofold.store.database import upsert
from twofold.store.kept_texts import SharedText, server_database
from twofold.store.shared import SharedPlace


def file_of(folder: Path, name: str) -> Path:
    """The file of a document that was sent."""
    # A digest: an id may be longer than a file's name, or look like a path.
    return folder / f"{digest('pushed', name).partition(':')[2]}.json"


def sent_content(place: SharedPlace, name: str) -> bytes | None:
    """A document as it was sent; None where there is none of that name."""
    rows = server_database(place).read("SELECT content FROM sent WHERE name = ?", (name,))
    return bytes(rows[0][0]) if rows else None


def put_sent(place: SharedPlace, name: str, content: bytes | None) -> None:
    """Store a document in place of the one of that name; None removes it."""
    database = server_database(place)
    if content is None:
        database.write("DELETE FROM sent WHERE name = ?", [(name,)])
    else:
        database.write(upsert("sent", "name, content", key="name"), [(name, content)])


def copy_sent(folder: Path, place: SharedPlace | None) -> None:
    """Bring a machine's folder to what the schema has; nothing without a schema.

    Whoever sends a document changes the schema first: a folder that is brought up to date meanwhile loses nothing.

    Args:
        folder: Of the documents that were sent; made with the first.
        place: The schema.

    Raises:
        StoreError: disk or database refuse.
    """
    if place is None:
        return
    try:
        _take_over(folder, place)
        rows = server_database(place).read("SELECT name, md5(content) FROM sent")
        stored = {file_of(folder, name): (name, digest_) for name, digest_ in rows}
        for path in folder.glob("[!.]*.json"):
            if path not in stored:
                path.unlink(missing_ok=True)
        for path, (name, digest_) in stored.items():
            here = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else ""
            if here != digest_ and (content := sent_content(place, name)) is not None:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                writing.write(path, content, mode=0o600)
    except OSError as error:
        message = f"documents that were sent cannot be copied here: {error.strerror or error}"
        raise refused(message, error, file=folder) from error


def _take_over(folder: Path, place: SharedPlace) -> None:
    """Put the documents of a project that had none of its schema into it, once."""
    mark = SharedText(place, "serving/documents")
    if mark.state() is not None:
        return
    with mark.changing() as write:
        for path in sorted(folder.glob("[!.]*.json")) if mark.state() is None else ():
            content = path.read_bytes()
            put_sent(place, str(json.loads(content)["id"]), content)
        write("taken over")
