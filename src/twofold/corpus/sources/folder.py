"""Files on this machine: folders, files and patterns."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from twofold.errors import SourceUnreachable, UnreadableFile
from twofold.files.paths import MatchedFile, check_named, expand, fixed_part, leads_out, looked_in, stem_of
from twofold.files.reading import MIB
from twofold.plugins import protocols
from twofold.plugins.results import Item
from twofold.types import Loaded

_SETTLED_NS = 100_000_000
"""A file changed less than this before the check may change again under the same time stamp: it is read again."""


class FolderSource:
    """Files in the project or elsewhere on this machine; one item a file, whose state is its size and times.

    A missing path counts as an outage, so that a share that is not mounted deletes nothing; a pattern without a match
    is an empty source.

    Args:
        options: See `Options`.
        root: The folder that relative paths start from.
        scratch: Not used.
        limit: Largest file, in bytes.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """Options of the source ``folder``."""

        paths: tuple[str, ...]
        """Files, folders or patterns (``**`` for any depth), relative to the project."""
        exclude: tuple[str, ...] = ()
        """Patterns of file names to leave out unless they are named; hidden files in folders are left out anyway."""
        ids_from: str = ""
        """Folder from which a file's path becomes its id; the project by default. Files elsewhere keep their names."""

    def __init__(self, options: Options, *, root: Path, scratch: Path, limit: int) -> None:  # noqa: ARG002
        self._options = options
        self._root = root
        self._limit = limit
        self.total = 0

    def items(self, known: Mapping[str, str]) -> Iterator[Item]:  # noqa: ARG002
        """All files, sorted within each path.

        Raises:
            SourceUnreachable: a path is missing; the others' files come first.
        """
        files, _ = expand(self._options.paths, self._root)
        self.total = len(files)
        first: dict[str, MatchedFile] = {}
        for file in files:
            stem = stem_of(file, self._root, self._options.ids_from)
            if first.setdefault(stem, file) is file:
                yield self._item(file, stem)
            else:
                # the bytes of the path, as two names that are no UTF-8 may look alike
                name = os.fsencode(file.path).decode("utf-8", "backslashreplace")
                yield Item(id=name, state="", load=partial(_refuse, file.name, stem, first[stem].name))
        missing = [p for p in self._options.paths if not (self._root / fixed_part(p)).exists()]
        if missing:
            raise SourceUnreachable(
                f"file or folder not found: {', '.join(missing)}",
                cure=f"{looked_in(missing[0], self._root)} Correct `paths`, or mount the folder; nothing of it was "
                "deleted.",
            )

    def watched(self) -> list[Path]:
        """The named folders and files; for a pattern, the part before its first wildcard."""
        return [self._root / fixed_part(entry) for entry in self._options.paths]

    def _item(self, file: MatchedFile, stem: str) -> Item:
        try:
            seen = file.path.stat()
        except OSError:
            state = ""
        else:
            state = f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ctime_ns}"
            if file.refused or time.time_ns() - seen.st_mtime_ns < _SETTLED_NS:
                state = ""

        def load() -> Loaded:
            check_named(file, self._options.exclude)
            # checked at reading again: a link may have been put there since the listing
            if not file.named and (swapped := leads_out(file.path, self._options.paths, self._root)):
                raise swapped
            check_file(file, self._limit)
            return Loaded(name=file.name, path=str(file.path))

        return Item(id=stem, state=state, load=load)


def _refuse(name: str, stem: str, first: str) -> Loaded:
    raise UnreadableFile(
        f"the file's id would be {stem!r}, which {first} already uses", file=name, cure="Rename one of the two files."
    )


def check_file(file: MatchedFile, limit: int) -> None:
    """Refuse anything but a plain file within the size limit.

    Raises:
        UnreadableFile: the file is missing, a socket, a pipe, a device, or too large.
    """
    try:
        plain, size = file.path.is_file(), file.path.stat().st_size
    except OSError as error:
        raise UnreadableFile(f"it cannot be read: {error.strerror or error}", file=file.name) from error
    if not plain:
        raise UnreadableFile("this is not a plain file", file=file.name)
    if size > limit:
        raise UnreadableFile(
            f"the file has {size / MIB:.1f} MiB; the limit is {limit / MIB:g} MiB",
            file=file.name,
            cure="Split the file or raise [documents].max_mib in twofold.toml.",
        )
