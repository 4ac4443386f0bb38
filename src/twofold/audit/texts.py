"""Questions and answers beside the audit log, where the project chose to store them; unlike lines they can be erased.

A line names SHA-256 of a random salt and the text. The salt lies with the text, so that once both are erased nobody can
find out by guessing what the text was, and the line still verifies.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from twofold.errors import UnreadableFile, refused
from twofold.hashing import canonical_json
from twofold.types import Json

FILE = "texts.sqlite"
_SALT = 16
"""Bytes of a salt."""
_SECONDS = 10.0
"""How long a writer waits for another one."""


def sealed(texts: Json) -> tuple[bytes, str, str]:
    """Salt, canonical text and digest of what is to be stored with a line."""
    salt, text = secrets.token_bytes(_SALT), canonical_json(texts)
    return salt, text, _digest(salt, text)


def _digest(salt: bytes, text: str) -> str:
    return hashlib.sha256(salt + text.encode("utf-8", "replace")).hexdigest()


def _pieces(text: str) -> list[str]:
    """What people and models said in a stored text, each for itself; one that is damaged as it is."""
    try:
        texts = json.loads(text)
        return [*(turn["content"] for turn in texts["question"]), texts["answer"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return [text]


class AuditTexts:
    """The texts of one log; a context manager.

    Args:
        folder: Of the log. The file is made with the first text, and read where it is there.
    """

    name = FILE

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> AuditTexts:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def add(self, rows: Iterable[tuple[str, bytes, str, Iterable[str]]]) -> None:
        """Store texts: digest, salt, text, and ids of the documents whose passages were shown.

        Raises:
            StoreError: the disk refuses.
        """
        connection = self._opened()
        try:
            with connection:
                for digest, salt, text, documents in rows:
                    text = text.encode("utf-8", "replace").decode()  # noqa: PLW2901
                    connection.execute("INSERT OR REPLACE INTO texts VALUES (?, ?, ?)", (digest, salt, text))
                    shown = {(document.encode("utf-8", "replace").decode(), digest) for document in documents}
                    connection.executemany("INSERT OR IGNORE INTO shown VALUES (?, ?)", sorted(shown))
        except sqlite3.Error as error:
            raise refused(f"a text cannot be stored: {error}", error, file=self._path) from error

    def erase(self, document: str, quotes: Callable[[str], bool] = lambda _: False) -> int:
        """Erase the texts of all answers that were shown passages of a document, or quote it; returns how many.

        Args:
            document: Its id.
            quotes: Does a text quote it? A question may, and a tuned model's answer, which were shown nothing of it.

        Raises:
            StoreError: the disk refuses.
        """
        if not self._path.is_file():
            return 0
        connection = self._opened()
        try:
            with connection:
                of_it = "(SELECT digest FROM shown WHERE document = ?)"
                # Spelled as `add` spells it.
                name = document.encode("utf-8", "replace").decode()
                count = connection.execute(f"DELETE FROM texts WHERE digest IN {of_it}", (name,)).rowcount
                rows = connection.execute("SELECT digest, text FROM texts")
                quoting = [(digest,) for digest, text in rows if any(map(quotes, _pieces(text)))]
                connection.executemany("DELETE FROM texts WHERE digest = ?", quoting)
                count += len(quoting)
                connection.execute("DELETE FROM shown WHERE digest NOT IN (SELECT digest FROM texts)")
        except sqlite3.Error as error:
            raise refused(f"texts cannot be erased: {error}", error, file=self._path) from error
        return count

    def text(self, digest: str) -> str:
        """The stored text of a digest, canonical JSON; empty where it is erased."""
        if not self._path.is_file():
            return ""
        with self._readable():
            row = self._opened().execute("SELECT text FROM texts WHERE digest = ?", (digest,)).fetchone()
        return str(row[0]) if row else ""

    def digests(self) -> Iterator[tuple[str, str]]:
        """The digest under which each text is stored, and the one that it has."""
        if self._path.is_file():
            with self._readable():
                for digest, salt, text in self._opened().execute("SELECT digest, salt, text FROM texts"):
                    yield digest, _digest(bytes(salt), text)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        # The second: a cell of another kind than was stored, or bytes that are no text.
        except (sqlite3.Error, TypeError, AttributeError) as error:
            raise UnreadableFile(
                f"the stored texts are damaged: {error}",
                file=self._path,
                cure="Put the file back from a copy, or move it away: the lines verify without it, and count its texts "
                "as erased.",
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                # Made before SQLite opens it: its own files are for everybody to read.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
                connection = sqlite3.connect(self._path, timeout=_SECONDS, check_same_thread=False)
                # Overwritten with zeros: an erased text must not stay in a free page.
                connection.execute("PRAGMA secure_delete = ON")
                connection.executescript(
                    "CREATE TABLE IF NOT EXISTS texts (digest TEXT PRIMARY KEY, salt BLOB, text TEXT) WITHOUT ROWID;"
                    "CREATE TABLE IF NOT EXISTS shown (document TEXT, digest TEXT, PRIMARY KEY (document, digest)) "
                    "WITHOUT ROWID;"
                )
            except (OSError, sqlite3.Error) as error:
                raise refused(f"the stored texts cannot be opened: {error}", error, file=self._path) from error
            self._connection = connection
        return self._connection
