"""Paths of the configuration → files: folders walked, patterns matched, links followed no further than they may.

Documents, examples and interaction logs are all found by this module.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import translate
from functools import lru_cache
from itertools import product
from pathlib import Path

from twofold import config
from twofold.errors import DataError, LeftOut, UnreadableFile

MISSING = ("no file matches this pattern", "there is no such file or folder")
"""Messages for a path of the configuration that no file matches."""
HIDDEN = (".", "~$")
"""Beginnings of file names that are skipped in folders: hidden files, and the lock files of Office."""
_PROJECT_FILES = (config.FILE, ".twofold", ".twofold-trial", "studies", "receipts")
"""Settings and records: a link in a folder of documents, to which others may have access, must not expose them."""
NOT_DOCUMENTS = tuple(
    f"examples*.{kind}{gz}" for kind, gz in product(("jsonl", "ndjson", "json", "csv", "tsv", "parquet"), ("", ".gz"))
)
"""Files that are left out of ``[documents].paths`` unless they are named: the examples beside the documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedFile:
    """A file that matches a path of the configuration."""

    path: Path
    """Location of the file."""
    name: str
    """Name in messages: relative to the project for a file inside it."""
    named: bool
    """Does a path name the file itself (and not a folder or pattern)?"""
    refused: LeftOut | None = None
    """The reason why the file must not be read: a link on its path leads elsewhere."""


def expand(
    paths: Sequence[str], root: Path, *, skip: Callable[[str], bool] = lambda _: False
) -> tuple[list[MatchedFile], list[DataError]]:
    """Files that match `paths` (files, folders or patterns, relative to `root`), each once, sorted within a path.

    Links are followed within the project and within the folders that `paths` name (of a pattern, the part before its
    first wildcard). Anyone with write access to a folder of documents can put a link there, so a link that leads out is
    refused, unless a path names it.

    Args:
        paths: Paths of the configuration.
        root: The project.
        skip: Returns true for file names to leave out of folders. Hidden files and folders are always left out.

    Returns:
        The files, refused ones included, and an error for each path without a match.
    """
    walk = _Walk(paths, root, skip)
    missing: list[DataError] = []
    for entry in paths:
        exact = root / entry
        if exact.is_dir():
            walk.folder(exact)
        elif os.path.lexists(exact):
            # a link to nothing too: its own error says more than that the file is missing
            walk.add(exact, named=True)
        elif any(mark in entry for mark in "*?["):
            matches = _matches(entry, root)
            for match in matches:
                walk.met(match)
            if not matches:
                missing.append(UnreadableFile(MISSING[0], file=entry, cure=_cure(entry, root)))
        else:
            missing.append(UnreadableFile(MISSING[1], file=entry, cure=_cure(entry, root)))
    walk.linked_folders()
    return list(walk.files.values()), missing


def leads_out(path: Path, paths: Sequence[str], root: Path) -> LeftOut | None:
    """The reason why a file in a folder may not be read now, if any: it may have become a link since the walk."""
    return _Walk(paths, root, lambda _: False).refused(path)


class _Walk:
    """Collects the files of folders, each folder once, whatever links point to it."""

    def __init__(self, paths: Sequence[str], root: Path, skip: Callable[[str], bool]) -> None:
        self.files: dict[str, MatchedFile] = {}
        self._root, self._skip = root, skip
        self._inside = [os.path.realpath(root)]
        # folders that are named count as inside, wherever they lie
        named = [root / fixed_part(entry) for entry in paths]
        self._inside += [os.path.realpath(folder) for folder in named if folder.is_dir()]
        self._walked: set[str] = set()
        self._links: list[Path] = []

    def add(self, path: Path, *, named: bool, refused: LeftOut | None = None) -> None:
        name = shown(path, self._root)
        self.files.setdefault(os.path.abspath(path), MatchedFile(path=path, name=name, named=named, refused=refused))

    def met(self, path: Path) -> None:
        """A file or folder that matches a pattern."""
        if path.is_symlink() and path.is_dir():
            self._links.append(path)
        elif path.is_dir():
            self.folder(path)
        elif not path.name.startswith(HIDDEN):
            self.add(path, named=False, refused=self.refused(path))

    def folder(self, folder: Path) -> None:
        for here, folders, files in os.walk(folder):
            # in place: `os.walk` enters what is left of the list
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and os.path.realpath(os.path.join(here, name)) not in self._walked
            )
            place, at, beneath = Path(here), os.path.abspath(here), shown(Path(here), self._root)
            self._walked.add(os.path.realpath(here))
            self._links += [place / name for name in folders if os.path.islink(place / name)]
            for name in sorted(files):
                key = os.path.join(at, name)
                if not name.startswith(HIDDEN) and key not in self.files and not self._skip(name):
                    label = legible(name if beneath == "." else f"{beneath}/{name}")
                    refused = self.refused(place / name) if os.path.islink(key) else None
                    self.files[key] = MatchedFile(path=place / name, name=label, named=False, refused=refused)

    def linked_folders(self) -> None:
        """Walk the targets of links after all other folders, so that a folder is read under its own name if it can."""
        while self._links:
            link = self._links.pop(0)
            aim = os.path.realpath(link)
            refused = self.refused(link)
            if refused is None and _within(os.path.realpath(link.parent), aim):
                refused = LeftOut("the link points to a folder that contains the link", file=shown(link, self._root))
            elif refused is None and aim in self._walked:
                refused = LeftOut("the link points to a folder that is already read", file=shown(link, self._root))
            if refused is None:
                self.folder(link)
            else:
                self.add(link, named=False, refused=refused)

    def refused(self, path: Path) -> LeftOut | None:
        """The reason why a path must not be read, if any."""
        aim = os.path.realpath(path)
        if not os.path.exists(aim):
            return LeftOut(
                "the link points to nothing", file=shown(path, self._root), cure="Correct or remove the link."
            )
        is_own = any(_within(aim, os.path.join(self._inside[0], name)) for name in _PROJECT_FILES)
        if not is_own and any(_within(aim, folder) for folder in self._inside):
            return None
        return LeftOut(
            "the link points to the project's own files" if is_own else "the link leads out of the project",
            file=shown(path, self._root),
            cure="Name the file in `paths` if it should be read.",
        )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _matches(pattern: str, root: Path) -> list[Path]:
    import glob

    # the root's own name may hold a wildcard
    return sorted(Path(match) for match in glob.glob(str(Path(glob.escape(str(root))) / pattern), recursive=True))


_WILDCARDS = frozenset("*?[")


def fixed_part(entry: str) -> str:
    """The part of a path of the configuration before its first wildcard, up to a folder."""
    parts = Path(entry).parts
    plain = next((n for n, part in enumerate(parts) if not _WILDCARDS.isdisjoint(part)), len(parts))
    return str(Path(*parts[:plain])) if plain else "."


def looked_in(entry: str, root: Path) -> str:
    """A sentence that names the folder searched for a missing path, and the most similar name in it."""
    steps = Path(os.path.abspath(root), *Path(entry).parts)
    folder = next((parent for parent in steps.parents if parent.is_dir()), Path(steps.anchor))
    missing = steps.parts[len(folder.parts)]
    # a folder that must not be listed gives no hint
    names = sorted(legible(name) for name in os.listdir(folder)) if os.access(folder, os.R_OK) else []
    near = get_close_matches(missing, names, 1)
    return f"Looked for {missing!r} in {legible(str(folder))}{f': did you mean {near[0]!r}?' if near else '.'}"


def _cure(entry: str, root: Path) -> str:
    return f"{looked_in(entry, root)} Correct the path in {config.FILE}."


def shown(path: Path, root: Path) -> str:
    """`path` relative to `root`, with forward slashes, if it lies inside or contains ``..``, else unchanged."""
    whole, top = os.path.abspath(path), os.path.abspath(root)
    try:
        return legible(Path(whole).relative_to(top).as_posix())
    except ValueError:
        return legible(Path(os.path.relpath(whole, top)).as_posix() if ".." in path.parts else path.as_posix())


def legible(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 (POSIX allows any) become U+FFFD, so that it can be stored."""
    return os.fsencode(name).decode("utf-8", "replace")


def stem_of(file: MatchedFile, root: Path, ids_from: str) -> str:
    """The beginning of the ids of a file's documents: its path below the folder `ids_from`, else its shown name."""
    if not ids_from:
        return file.name
    try:
        return legible(Path(os.path.abspath(file.path)).relative_to(os.path.abspath(root / ids_from)).as_posix())
    except ValueError:
        return file.name


def check_named(file: MatchedFile, exclude: tuple[str, ...]) -> None:
    """Refuse a file of a folder or pattern, by the target of its link or by its name.

    Raises:
        LeftOut: the file is a link that leads elsewhere, or its name is excluded.
    """
    if file.refused:
        raise file.refused
    if not file.named and skipped(file.path.name, exclude):
        raise LeftOut("files of this name are left out of folders and patterns", file=file.name)


def skipped(name: str, patterns: tuple[str, ...]) -> bool:
    """Does a file name match one of the patterns, regardless of case?"""
    return _any_of(patterns).match(name.lower()) is not None


@lru_cache(maxsize=64)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns) or r"(?!)")  # (?!) matches nothing
