"""Files of a git repository at a branch, tag or commit, without a work tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pydantic import Field

from twofold import children, plugins
from twofold.errors import SourceEndless, SourceError, SourceUnreachable
from twofold.plugins import Item
from twofold.types import Loaded

_REMOTE = re.compile(r"^(?:https?|ssh|git|file)://|^[\w.-]+@[\w.-]+:")
_LONG = ("clone", "fetch")
"""Commands that wait for a server and write nothing, so that the end of a pipe does not end them with this process."""
_BLOB = re.compile(rb"^100\d{3} blob ([0-9a-f]{40,64}) +(\d+)\t(.*)$", re.DOTALL)


class GitSource:
    """One item a file, its state the blob's name: a commit costs the reading of what it changed.

    A local repository is read where it lies; a remote one is kept as a mirror in the project's derived data. Nothing in
    a repository is executed: hooks, filters, submodules and symbolic links are left alone.

    Args:
        options: See `Options`.
        root: A relative `repository` starts here.
        scratch: Where the mirror goes.
        limit: Largest file, in bytes.
    """

    version: ClassVar[int] = 1

    class Options(plugins.Options):
        """Options of the source ``git``."""

        repository: str
        """A folder, relative to the project, or an address (``https://``, ``ssh://``, ``user@host:path``)."""
        ref: str = "HEAD"
        """Branch, tag or commit."""
        paths: tuple[str, ...] = ()
        """Patterns of the files wanted, from the repository's top (``docs/*``, ``*.md``); none for all."""
        exclude: tuple[str, ...] = ()
        """Patterns of files to leave out."""
        timeout: float = Field(default=300.0, gt=0)
        """Seconds that one call of git may take."""

    def __init__(self, options: Options, *, root: Path, scratch: Path, limit: int) -> None:
        self._options = options
        self._root = root
        self._scratch = scratch
        self._limit = limit
        self.total = 0

    def items(self, known: Mapping[str, str]) -> Iterator[Item]:  # noqa: ARG002
        """All files of the commit, by path.

        Raises:
            SourceUnreachable: the repository cannot be read or fetched.
            SourceError: there is no such ref, or git is not installed.
        """
        if shutil.which("git") is None:
            raise SourceError("the program git is not installed", cure="Install git.")
        place = self._place()
        top = self._git(
            place, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{self._options.ref}^{{commit}}"
        )
        if top is None:
            raise SourceError(
                f"{self._options.repository} has no branch, tag or commit {self._options.ref!r}",
                cure="Correct `ref` in the source's section.",
            )
        listed = self._git(place, "ls-tree", "-r", "-l", "-z", "--full-tree", top.decode().strip()) or b""
        found = []
        for row in listed.split(b"\0"):
            entry = _BLOB.match(row)
            if entry is not None:
                name = entry.group(3).decode("utf-8", "replace")
                if self._wanted(name):
                    found.append((name, entry.group(1).decode(), int(entry.group(2))))
        self.total = len(found)
        for name, blob, size in sorted(found):
            yield Item(id=name, state=blob, load=self._loader(place, name, blob, size))

    def watched(self) -> list[Path]:
        """The local repository's branches, none for a remote one."""
        if _REMOTE.match(self._options.repository):
            return []
        place = self._root / self._options.repository
        return [place / ".git" if (place / ".git").is_dir() else place]

    def _wanted(self, name: str) -> bool:
        if any(part.startswith(".") for part in PurePosixPath(name).parts):
            return False
        wanted, out = self._options.paths, self._options.exclude
        return (not wanted or any(fnmatch(name, p) for p in wanted)) and not any(fnmatch(name, p) for p in out)

    def _loader(self, place: Path, name: str, blob: str, size: int) -> Callable[[], Loaded]:
        def load() -> Loaded:
            if size > self._limit:
                raise SourceEndless(f"{name} has {size} bytes; the limit is {self._limit}")
            data = self._git(place, "cat-file", "blob", blob)
            if data is None:
                raise SourceUnreachable(f"{name} cannot be read from {self._options.repository}")
            return Loaded(name=name, data=data)

        return load

    def _place(self) -> Path:
        """The local repository, or the mirror brought up to date."""
        given = self._options.repository
        if not _REMOTE.match(given):
            place = self._root / given
            if given.startswith("-") or "::" in given or not place.is_dir():
                raise SourceUnreachable(f"there is no repository at {given}")
            if self._git(place, "rev-parse", "--git-dir") is None:
                raise SourceUnreachable(f"{given} is not a git repository")
            return place
        mirror = self._scratch / "mirror.git"
        if (
            not (mirror / "HEAD").is_file()
            or self._git(mirror, "config", "remote.origin.url") != given.encode() + b"\n"
        ):
            draft = self._scratch / "mirror.partial"
            for folder in (draft, mirror):
                shutil.rmtree(folder, ignore_errors=True)
            self._scratch.mkdir(parents=True, exist_ok=True)
            if self._git(self._scratch, "clone", "--quiet", "--mirror", "--", given, draft.name) is None:
                raise SourceUnreachable(f"{given} cannot be cloned: {self._said}")
            draft.rename(mirror)
        elif self._git(mirror, "fetch", "--quiet", "--prune", "origin") is None:
            raise SourceUnreachable(f"{given} cannot be fetched: {self._said}")
        return mirror

    def _git(self, place: Path, *words: str) -> bytes | None:
        """What git writes; None when it fails (then `_said` tells why)."""
        quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "http:https:ssh:git:file", "LC_ALL": "C"}
        command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-C", str(place), *words]
        try:
            if words[0] in _LONG:
                done = children.run_program(command, environment={**os.environ, **quiet}, timeout=self._options.timeout)
            else:
                done = subprocess.run(
                    command,
                    env={**os.environ, **quiet},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=self._options.timeout,
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            message = f"git {words[0]} took more than {self._options.timeout:g} s"
            raise SourceUnreachable(message, cure="Raise `timeout` in the source's section.") from error
        self._said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
        return done.stdout if done.returncode == 0 else None
