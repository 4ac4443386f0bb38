"""The files of documents that were sent: replaced whole, and brought back without room for a single byte.

A change that the index refuses, most often because the disk is full, must be undone on that same full disk. So the
former file stays beside the new one, under another name, until the index has the change.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from twofold.files import writing
from twofold.hashing import digest_bytes
from twofold.store.sent import file_of, put_sent, sent_content
from twofold.store.shared import SharedPlace

_FORMER = ".former"


class SentFiles:
    """A folder with a file for each document; used by one thread at a time.

    Args:
        folder: The folder; made with the first document.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """The file of a document."""
        return file_of(self._folder, name)

    def content(self, name: str) -> bytes | None:
        """What was sent, as it is stored; None where there is no such document."""
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: str) -> None:
        """Store a document; what was there before can be brought back until `settle`.

        Raises:
            OSError: the disk refuses; the document is then as it was.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self.path(name)
        former = _former(file)
        former.unlink(missing_ok=True)
        if file.exists():
            try:
                # A second name: the content is on the disk already.
                os.link(file, former)
            except OSError:  # no file system with links: then there must be room for a copy, before anything changes
                shutil.copyfile(file, former)
        writing.write(file, content, mode=0o600)

    def remove(self, name: str) -> None:
        """Remove a document; it can be brought back until `settle`."""
        file = self.path(name)
        # Of a failed write it may be a second name of the file, and renaming one to the other does nothing (POSIX).
        _former(file).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            writing.put(file, _former(file))

    def undo(self, name: str) -> None:
        """Bring a document's file back to what it was before `write` or `remove`.

        Raises:
            OSError: the disk refuses.
        """
        file = self.path(name)
        try:
            # A rename takes no room, as a copy would.
            writing.put(_former(file), file)
        except FileNotFoundError:  # there was no such document
            file.unlink(missing_ok=True)

    def settle(self, name: str) -> None:
        """Forget what a document was before."""
        with suppress(OSError):
            _former(self.path(name)).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Forget what all were before: a server that was killed undoes nothing any more."""
        for former in self._folder.glob(f".*{_FORMER}"):
            with suppress(OSError):
                former.unlink()


class SharedSentFiles(SentFiles):
    """`SentFiles` of a schema, of which the folder has a copy: the schema is changed first (`copy_sent`).

    Args:
        folder: The folder; made with the first document.
        place: The schema.
    """

    def __init__(self, folder: Path, place: SharedPlace) -> None:
        super().__init__(folder)
        self._place = place
        self._before: dict[str, bytes | None] = {}

    def content(self, name: str) -> bytes | None:
        """See `SentFiles.content`."""
        return sent_content(self._place, name)

    def write(self, name: str, content: str) -> None:
        """See `SentFiles.write`."""
        self._before[name] = self.content(name)
        put_sent(self._place, name, content.encode())
        super().write(name, content)

    def remove(self, name: str) -> None:
        """See `SentFiles.remove`."""
        self._before[name] = self.content(name)
        put_sent(self._place, name, None)
        super().remove(name)

    def undo(self, name: str) -> None:
        """See `SentFiles.undo`."""
        if name in self._before:
            put_sent(self._place, name, self._before.pop(name))
        super().undo(name)

    def settle(self, name: str) -> None:
        """See `SentFiles.settle`."""
        self._before.pop(name, None)
        super().settle(name)


def sent_files(folder: Path, place: SharedPlace | None) -> SentFiles:
    """The documents that a project's servers were sent.

    Args:
        folder: The folder; made with the first document.
        place: The schema that the project has instead of files; None for files.
    """
    return SentFiles(folder) if place is None else SharedSentFiles(folder, place)


def version(content: bytes) -> str:
    """The version of a document: twelve letters of the digest of all that was sent, its text and what is said of it."""
    return digest_bytes("sent", content).partition(":")[2][:12]


def _former(file: Path) -> Path:
    # Hidden, and not of a kind that is read: a sync passes it over.
    return file.with_name(f".{file.name}{_FORMER}")
