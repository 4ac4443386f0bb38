"""Paths of the configuration → files: folders walked, patterns matched, links followed no further than they may.

Documents, examples and interaction logs are all found through here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

from twofold import config
from twofold.errors import DataError, LeftOut, UnreadableFile

MISSING = ("no file matches this pattern", "there is no such file or folder")
"""What is said of a path of the configuration that stands for nothing."""
HIDDEN = (".", "~$")
"""How names of files begin that no folder gives: hidden ones, and what Office keeps beside a file that is open."""
_PROJECT_FILES = (config.FILE, ".twofold", "studies", "receipts")
"""Settings and records: whoever may write into a folder of documents may not have them read through a link."""
NOT_DOCUMENTS = tuple(
    f"examples*.{kind}{gz}" for kind in ("jsonl", "ndjson", "json", "csv", "tsv", "parquet") for gz in ("", ".gz")
)
"""Files that are left out of ``[documents].paths`` unless they are named: the examples beside the documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that a path of the configuration stands for."""

    path: Path
    """Where it is."""
    name: str
    """How it is shown: relative to the project where it lies inside."""
    named: bool
    """Was it named itself (not met while walking a folder or matching a pattern)?"""
    refused: LeftOut | None = None
    """Why it must not be read: it is a link, or lies behind one, that leads elsewhere."""


def expand(
    paths: Sequence[str], root: Path, *, skip: Callable[[str], bool] = lambda _: False
) -> tuple[list[Found], list[DataError]]:
    """Files that `paths` (files, folders or patterns, relative to `root`) stand for, each once, sorted within a path.

    Links are followed within the project and within the folders that `paths` name, of a pattern the part before its
    first wildcard. Whoever can write into a folder of documents can put a link there, so one that leads out is refused,
    unless it is named itself.

    Args:
        paths: As written in the configuration.
        root: The project.
        skip: File names to leave out while walking a folder. Hidden files and folders are left out anyway.

    Returns:
        The files, those that are refused among them, and an error for each path that stands for nothing.
    """
    walk = _Walk(paths, root, skip)
    missing: list[DataError] = []
    for entry in paths:
        exact = root / entry
        if exact.is_dir():
            walk.folder(exact)
        elif os.path.lexists(exact):
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
    """Why a file that was met may not be read now, if so; since the folder was walked it may have become a link."""
    return _Walk(paths, root, lambda _: False).refused(path)


class _Walk:
    """Collects the files of folders; each folder once, whatever links lead to it."""

    def __init__(self, paths: Sequence[str], root: Path, skip: Callable[[str], bool]) -> None:
        self.files: dict[str, Found] = {}
        self._root, self._skip = root, skip
        self._inside = [os.path.realpath(root)]
        named = [root / fixed_part(entry) for entry in paths]
        self._inside += [os.path.realpath(folder) for folder in named if folder.is_dir()]
        self._walked: set[str] = set()
        self._links: list[Path] = []

    def add(self, path: Path, *, named: bool, refused: LeftOut | None = None) -> None:
        name = shown(path, self._root)
        self.files.setdefault(os.path.abspath(path), Found(path=path, name=name, named=named, refused=refused))

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
                    self.files[key] = Found(path=place / name, name=label, named=False, refused=refused)

    def linked_folders(self) -> None:
        """Walk the folders that links lead to, after all others, so that each is read where it lies if it is."""
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
        """Why it must not be read, if so."""
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

    return sorted(Path(match) for match in glob.glob(str(Path(glob.escape(str(root))) / pattern), recursive=True))


_WILDCARDS = frozenset("*?[")


def fixed_part(entry: str) -> str:
    """The part of a path of the configuration before its first wildcard, up to a folder."""
    parts = Path(entry).parts
    plain = next((n for n, part in enumerate(parts) if not _WILDCARDS.isdisjoint(part)), len(parts))
    return str(Path(*parts[:plain])) if plain else "."


def looked_in(entry: str, root: Path) -> str:
    """A sentence with the folder in which a path that stands for nothing was looked for, and the name nearest to it."""
    steps = Path(os.path.abspath(root), *Path(entry).parts)
    folder = next((parent for parent in steps.parents if parent.is_dir()), Path(steps.anchor))
    missing = steps.parts[len(folder.parts)]
    names = sorted(legible(name) for name in os.listdir(folder)) if os.access(folder, os.R_OK) else []
    near = get_close_matches(missing, names, 1)
    return f"Looked for {missing!r} in {legible(str(folder))}{f': did you mean {near[0]!r}?' if near else '.'}"


def _cure(entry: str, root: Path) -> str:
    return f"{looked_in(entry, root)} Correct the path in {config.FILE}."


def shown(path: Path, root: Path) -> str:
    """`path` relative to `root` with forward slashes where it lies inside or was reached by ``..``, else as it is."""
    whole, top = os.path.abspath(path), os.path.abspath(root)
    try:
        return legible(Path(whole).relative_to(top).as_posix())
    except ValueError:
        return legible(Path(os.path.relpath(whole, top)).as_posix() if ".." in path.parts else path.as_posix())


def legible(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 (POSIX allows any) become U+FFFD, so that it can be stored."""
    return os.fsencode(name).decode("utf-8", "replace")


def stem_of(file: Found, root: Path, ids_from: str) -> str:
    """What ids of a file's documents begin with: its path below the folder `ids_from`, else as it is shown."""
    if not ids_from:
        return file.name
    try:
        return legible(Path(os.path.abspath(file.path)).relative_to(os.path.abspath(root / ids_from)).as_posix())
    except ValueError:
        return file.name


def check_named(file: Found, exclude: tuple[str, ...]) -> None:
    """Refuse a file that was only met, by where it leads or by its name.

    Raises:
        LeftOut: it is a link that leads elsewhere, or its name is one of those left out.
    """
    if file.refused:
        raise file.refused
    if not file.named and skipped(file.path.name, exclude):
        raise LeftOut("files of this name are left out of folders and patterns", file=file.name)


def skipped(name: str, patterns: tuple[str, ...]) -> bool:
    """Does a file name match one of the patterns, whatever its case?"""
    return _any_of(patterns).match(name.lower()) is not None


@lru_cache(maxsize=64)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns) or r"(?!)")
