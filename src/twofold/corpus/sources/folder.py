"""Files on this machine or in an object store: folders, files and patterns."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from twofold.corpus import object_store
from twofold.errors import LeftOut, SourceUnreachable, UnreadableFile
from twofold.files.paths import MatchedFile, check_named, expand, fixed_part, leads_out, looked_in, stem_of
from twofold.files.reading import MIB
from twofold.plugins import protocols
from twofold.plugins.results import Item
from twofold.types import Loaded

_SETTLED_NS = 100_000_000
"""A file changed less than this before the check may change again under the same time stamp: it is read again."""


class FolderSource:
    """Files in the project, elsewhere on this machine or in an object store; one item a file.

    A file's state is its size and times, an object's its size and tag.

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
        """Files, folders or patterns (``**`` for any depth), relative to the project; or ``s3://BUCKET/FOLDER`` and the
        like."""
        exclude: tuple[str, ...] = ()
        """Patterns of file names to leave out unless they are named; hidden files in folders are left out anyway."""
        ids_from: str = ""
        """Folder from which a file's path becomes its id; the project by default. Files elsewhere keep their names."""

    def __init__(self, options: Options, *, root: Path, scratch: Path, limit: int) -> None:  # noqa: ARG002
        self._options = options
        self._root = root
        self._limit = limit
        self._addresses = [path for path in options.paths if object_store.is_address(path)]
        self._paths = tuple(path for path in options.paths if not object_store.is_address(path))
        self._endpoint = ""
        self.total = 0

    @property
    def remote(self) -> bool:
        """Are some of the files in an object store?"""
        return bool(self._addresses)

    def reach(self, endpoint: str) -> None:
        """See `plugins.sources.ReadsObjectStores`."""
        self._endpoint = endpoint

    def items(self, known: Mapping[str, str]) -> Iterator[Item]:  # noqa: ARG002
        """All files, sorted within each path.

        Raises:
            SourceUnreachable: a path is missing; the others' files come first.
            MissingExtra: an object store's package is not installed.
        """
        files, _ = expand(self._paths, self._root)
        self.total = 0 if self._addresses else len(files)
        first: dict[str, MatchedFile] = {}
        for file in files:
            stem = stem_of(file, self._root, self._options.ids_from)
            if first.setdefault(stem, file) is file:
                yield self._item(file, stem)
            else:
                # the bytes of the path, as two names that are no UTF-8 may look alike
                name = os.fsencode(file.path).decode("utf-8", "backslashreplace")
                yield Item(id=name, state="", load=partial(_refuse, file.name, stem, first[stem].name))
        yield from self._stored_items()
        missing = [p for p in self._paths if not (self._root / fixed_part(p)).exists()]
        if missing:
            raise SourceUnreachable(
                f"file or folder not found: {', '.join(missing)}",
                cure=f"{looked_in(missing[0], self._root)} Correct `paths`, or mount the folder; nothing of it was "
                "deleted.",
            )

    def _stored_items(self) -> Iterator[Item]:
        seen = set[str]()
        for address in self._addresses:
            for file in object_store.listed(address, endpoint=self._endpoint):
                if file.url not in seen:
                    seen.add(file.url)
                    yield Item(id=self._stem(file.url), state=file.state, load=partial(self._stored, file))

    def _stem(self, url: str) -> str:
        folder = self._options.ids_from.rstrip("/") + "/"
        return url.removeprefix(folder) if url.startswith(folder) else _name(url)

    def _stored(self, file: object_store.StoredFile) -> Loaded:
        if object_store.is_left_out(file, self._options.exclude):
            raise LeftOut("files of this name are left out of folders and patterns", file=_name(file.url))
        if file.size > self._limit:
            raise object_store.too_large(file.size, self._limit, _name(file.url))
        return Loaded(name=_name(file.url), path=file.url)

    def watched(self) -> list[Path]:
        """The named folders and files; for a pattern, the part before its first wildcard."""
        return [self._root / fixed_part(entry) for entry in self._paths]

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
            if not file.named and (swapped := leads_out(file.path, self._paths, self._root)):
                raise swapped
            check_file(file, self._limit)
            return Loaded(name=file.name, path=str(file.path))

        return Item(id=stem, state=state, load=load)


def _name(url: str) -> str:
    """Bucket and key: readers take a name for a path, in which two slashes are one."""
    return url.split("://", 1)[1]


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
