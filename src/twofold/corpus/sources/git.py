"""Files of a git repository at a branch, tag or commit, without a work tree."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import ClassVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pydantic import Field

from twofold.errors import LeftOut, SourceEndless, SourceError, SourceUnreachable
from twofold.files import writing
from twofold.host import children
from twofold.plugins import protocols
from twofold.plugins.results import Item
from twofold.types import Loaded

_REMOTE = re.compile(r"^(https?|ssh|git)://|^[\w.-]+@[\w.-]+:")
_LONG = ("clone", "fetch")
"""Commands that wait for a server and write no output: a broken pipe would not end them when this process ends."""
_ENTRY = re.compile(rb"^(\d{6}) (?:blob|commit) ([0-9a-f]{40,64}) +(\d+|BAD|-)\t(.*)$", re.DOTALL)
"""A row of ``git ls-tree -l``: mode, object, size and path. The size is BAD for a file whose content the repository has
lost, and ``-`` for a submodule."""
_NO_FILE = {
    "120000": (
        "the file is a link, and links of a repository are not followed",
        "Name the file that the link points to.",
    ),
    "160000": ("the folder is another repository (a submodule)", "Name that repository as a source of its own."),
}
"""Modes of entries that are no files → why they are not read, and the cure."""
_OF_THE_CALLER = ("GIT_SSH", "GIT_SSL")
"""Prefixes of git's variables that are passed on: how to reach a server. Others (GIT_DIR, as in a hook) could name
another repository or a program."""
# no settings of the machine or the user, no questions, no fetching of missing objects, no replaced objects, English
_OURS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ASKPASS": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}
_NO_PROTOCOL = "none"
"""A name that no transport has. A repository that lacks an object may name a server to fetch it from, and the program
to call there; GIT_NO_LAZY_FETCH forbids this from git 2.45 on, the list of protocols before."""
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "credential.helper=",
    "core.multiPackIndex=false",
    "safe.directory=*",
)
"""The multi-pack index is off because it names packs by path, also those of another repository. safe.directory: git
refuses a repository of another user because its settings may name programs; none is run here."""
_PARTS = ("HEAD", "config", "objects", "packed-refs", "refs", "reftable")
"""Entries of a repository's folder that determine its content. As a link, each would give that of another one."""
_MOST_ALTERNATES = 1 << 16
"""Bytes of a list of further stores of objects."""
_MOST_LISTED = 256 << 20
"""Bytes of the list of a commit's files: some two million names."""
_PIECE = 1 << 20
"""Bytes read at once."""
_MOST_SAID = 1 << 16
"""Bytes of git's error output that are read."""
_MIRROR = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


class GitSource:
    """One item a file, whose state is the name of the blob: after a commit only changed files are read.

    A local repository is read in place; of a remote one the project's derived data keep a mirror. Nothing in a
    repository is executed: hooks and filters do not run, and no git call reads the settings of the user or the machine,
    or contacts a server that the repository names. Submodules and symbolic links are reported, not followed. A
    repository that points to another one is refused, unless the other lists it as its work tree or submodule. The login
    to a server is an ssh key, ``~/.netrc``, or user and password in the address.

    Args:
        options: See `Options`.
        root: The folder that a relative `repository` starts from.
        scratch: The folder for the mirror.
        limit: Largest file, in bytes.
    """

    version: ClassVar[int] = 2

    class Options(protocols.Options):
        """Options of the source ``git``."""

        repository: str
        """A folder, relative to the project, or an address, such as ``https://``, ``file://`` or ``user@host:path``."""
        ref: str = "HEAD"
        """Branch, tag or commit."""
        paths: tuple[str, ...] = ()
        """Patterns of the files to read, from the repository's top (``docs/*``, ``*.md``); none for all."""
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
            SourceEndless: the list of the files is too long.
            SourceError: the repository has no such ref, or git is not installed.
        """
        if shutil.which("git") is None:
            raise SourceError("git is not installed", cure="Install git.")
        place = self._place()
        top = self._git(
            place, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{self._options.ref}^{{commit}}"
        )
        if top is None:
            raise SourceError(
                f"{self._options.repository} has no branch, tag or commit {self._options.ref!r}",
                cure="Correct `ref` in the source's section.",
            )
        # -z: names as they are, without quoting; -l: sizes, so that a file too large is refused unread.
        listed = self._git(place, "ls-tree", "-r", "-l", "-z", "--full-tree", top.decode().strip())
        if listed is None:
            raise SourceUnreachable(
                f"the files of {self._options.repository} cannot be listed: {self._last_error}",
                cure="Run `git fsck` there and repair the repository; nothing of it was deleted here.",
            )
        loaders: dict[str, Callable[[], Loaded]] = {}
        states: dict[str, str] = {}
        for row in listed.split(b"\0"):
            if entry := _ENTRY.match(row):
                mode, blob = entry.group(1).decode(), entry.group(2).decode()
                name = entry.group(4).decode("utf-8", "replace")
                if name in loaders:  # two names that are not UTF-8 may be alike once they are legible
                    name = entry.group(4).decode("utf-8", "backslashreplace")
                if self._is_listed(name):
                    size = int(entry.group(3)) if entry.group(3).isdigit() else 0
                    loaders[name] = self._loader(place, name, mode=mode, blob=blob, size=size)
                    states[name] = blob
        self.total = len(loaders)
        for name in sorted(loaders):
            yield Item(id=name, state=states[name], load=loaders[name])

    def watched(self) -> list[Path]:
        """The folder of a local repository whose branches change; none for a remote one."""
        if _REMOTE.match(self._options.repository):
            return []
        place = self._local()
        return [place / ".git" if (place / ".git").is_dir() else place]

    def _is_listed(self, name: str) -> bool:
        # Hidden files are settings of tools (.github, .vscode), no documents.
        if any(part.startswith(".") for part in PurePosixPath(name).parts):
            return False
        patterns, out = self._options.paths, self._options.exclude
        return (not patterns or any(fnmatch(name, p) for p in patterns)) and not any(fnmatch(name, p) for p in out)

    def _loader(self, place: Path, name: str, *, mode: str, blob: str, size: int) -> Callable[[], Loaded]:
        def load() -> Loaded:
            if mode in _NO_FILE:
                why, cure = _NO_FILE[mode]
                raise LeftOut(why, file=name, cure=cure)
            if size > self._limit:
                raise SourceEndless(f"{name} has {size} bytes; the limit is {self._limit}")
            # Limited again: an object may unpack to more than its listed size.
            data = self._git(place, "cat-file", "blob", blob, most=self._limit)
            if data is None:
                raise SourceUnreachable(f"{name} cannot be read from {self._options.repository}: {self._last_error}")
            return Loaded(name=name, data=data)

        return load

    def _local(self) -> Path:
        repository = self._options.repository
        return (
            Path(url2pathname(urlsplit(repository).path))
            if repository.startswith("file://")
            else self._root / repository
        )

    def _place(self) -> Path:
        """The folder of the local repository, or of the updated mirror.

        The settings of the mirror are written anew each time and the address is passed with the call, so that a project
        from elsewhere cannot name a program there. The mirror is named after the address: a new address starts anew.
        """
        repository = self._options.repository
        if not _REMOTE.match(repository):
            place = self._local()
            # git would take the one for an option, the other for the name of a program that fetches.
            if repository.startswith("-") or "::" in repository or not place.is_dir():
                raise SourceUnreachable(f"there is no repository at {repository}")
            if self._git(place, "rev-parse", "--git-dir") is None:
                raise SourceUnreachable(f"{repository} is not a git repository: {self._last_error}")
            self._check_own(place)
            return place
        mirror = self._scratch / f"mirror-{hashlib.sha256(repository.encode()).hexdigest()[:16]}.git"
        if not (mirror / "HEAD").is_file() or _leads_on(mirror):
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch.mkdir(parents=True)
            # Cloned beside its place and put there whole: an interrupted clone is no mirror.
            draft = self._scratch / "mirror.partial"
            if (
                self._git(self._scratch, "clone", "--quiet", "--mirror", "--template=", "--", repository, draft.name)
                is None
            ):
                raise SourceUnreachable(f"{repository} cannot be cloned: {self._last_error}")
            writing.put(draft, mirror)
        # written anew: the settings of a mirror that came with a project could name programs to run
        (mirror / "config").write_text(_MIRROR, encoding="utf-8")
        command = ("fetch", "--quiet", "--prune", "--no-auto-maintenance", "--upload-pack=git-upload-pack")
        if self._git(mirror, *command, "--", repository, "+refs/*:refs/*") is None:
            raise SourceUnreachable(f"{repository} cannot be fetched: {self._last_error}")
        return mirror

    def _check_own(self, place: Path) -> None:
        """Refuse a folder whose ``.git`` points to another repository, as a link among the documents might.

        The data of a work tree or a submodule rightly lie elsewhere: then the other repository points back to this
        folder, which only somebody with write access there can have arranged.

        Raises:
            SourceError: the folder points out of itself and out of the project.
        """
        command = ("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
        lines = (self._git(place, *command) or b"").decode("utf-8", "surrogateescape").splitlines()
        if len(lines) != 2:
            raise SourceUnreachable(f"{self._options.repository} does not say where it lies: {self._last_error}")
        git_dir, top = (Path(line).resolve() for line in lines)
        here = (place.resolve(), self._root.resolve())
        for store in _stores_of(top / "objects"):
            if not any(store.is_relative_to(one) for one in (*here, top)):
                raise SourceError(
                    f"{self._options.repository} uses the objects of another repository, {store}",
                    cure="Run `git repack -a -d` there and delete objects/info/alternates; nothing was deleted.",
                )
        for part in (top, *(entry.resolve() for entry in _said_by(top))):
            if any(part.is_relative_to(one) for one in here) or (part != top and part.is_relative_to(top)):
                continue
            back = git_dir / "gitdir" if git_dir.is_relative_to(top / "worktrees") else None
            if part == top and back is not None and back.is_file():
                known = Path(back.read_text(encoding="utf-8", errors="surrogateescape").strip()).parent
            elif part == top and git_dir == top:
                tree = self._git(place, "config", "--file", str(top / "config"), "--get", "core.worktree") or b"."
                known = top / tree.decode("utf-8", "surrogateescape").strip()
            else:
                known = Path("/")
            if known.resolve() != place.resolve():
                raise SourceError(
                    f"{self._options.repository} points to another repository, {part}",
                    cure="Name the other repository in `repository` if you mean it; nothing was deleted.",
                )

    def _git(self, place: Path, *words: str, most: int = _MOST_LISTED) -> bytes | None:
        """Run git and return its output; None when it fails (`_last_error` has the reason).

        Raises:
            SourceEndless: git writes more than `most` bytes. An object may unpack to more than it declares, and folders
                may refer to one another over and over.
        """
        scheme = _REMOTE.match(self._options.repository)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment |= {name: value for name, value in os.environ.items() if name.startswith(_OF_THE_CALLER)}
        # The ceiling: a folder that is no repository must not pass for a part of the one around it.
        environment |= _OURS | {"GIT_CEILING_DIRECTORIES": str(place.resolve().parent)}
        environment["GIT_ALLOW_PROTOCOL"] = (scheme.group(1) or "ssh") if scheme else _NO_PROTOCOL
        command = ["git"]
        for setting in _SETTINGS:
            command += ["-c", setting]
        command += ["-C", str(place), *words]
        try:
            if words[0] in _LONG:
                done = children.run_program(command, environment=environment, timeout=self._options.timeout)
            else:
                done = _bounded(command, environment, timeout=self._options.timeout, most=most)
        except subprocess.TimeoutExpired as error:
            message = f"git {words[0]} took more than {self._options.timeout:g} s"
            raise SourceUnreachable(message, cure="Raise `timeout` in the source's section.") from error
        if len(done.stdout) > most:
            raise SourceEndless(f"git {words[0]} writes more than {most} bytes for {self._options.repository}")
        self._last_error = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["git says no more"])[-1]
        return done.stdout if done.returncode == 0 else None


def _bounded(
    command: list[str], environment: Mapping[str, str], *, timeout: float, most: int
) -> subprocess.CompletedProcess[bytes]:
    """Run a program and end it once it has written more than `most` bytes.

    Raises:
        TimeoutExpired: the program takes longer than `timeout` seconds.
    """
    with tempfile.TemporaryFile() as errors:
        program = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        assert program.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            program.kill()

        watch = threading.Timer(timeout, end)
        watch.start()
        try:
            written = bytearray()
            while len(written) <= most and (piece := program.stdout.read(_PIECE)):
                written += piece
            if len(written) > most:
                program.kill()
        except BaseException:  # an interruption, too: the program would go on
            program.kill()
            raise
        finally:
            program.stdout.close()
            code = program.wait()
            watch.cancel()
        if late.is_set():
            raise subprocess.TimeoutExpired(command, timeout)
        errors.seek(0)
        return subprocess.CompletedProcess(command, code, bytes(written), errors.read(_MOST_SAID))


def _said_by(top: Path) -> Iterator[Path]:
    """Yield the paths that determine a repository's content: `_PARTS`, and every link among its refs and objects."""
    yield from (top / part for part in _PARTS)
    waiting = [top / part for part in ("refs", "objects", "reftable")]
    while waiting:
        folder = waiting.pop()
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    yield Path(entry.path)
                elif entry.is_dir():
                    waiting.append(Path(entry.path))


def _stores_of(objects: Path) -> Iterator[Path]:
    """Yield a store of objects, the stores that it refers to (``git clone --shared``), and those that they refer to.

    A quoted name, and a list that is no small plain file, count as a store elsewhere.
    """
    waiting, seen = [objects.resolve()], set[Path]()
    while waiting:
        store = waiting.pop()
        if store in seen:
            continue
        seen.add(store)
        yield store
        alternates = store / "info" / "alternates"
        if not os.path.lexists(alternates):
            continue
        if not alternates.is_file() or alternates.stat().st_size > _MOST_ALTERNATES:
            yield Path("/", alternates.name)
            continue
        for line in alternates.read_bytes().split(b"\n"):
            if line.startswith(b'"') or b"\0" in line:
                yield Path("/", line.decode("utf-8", "replace").strip('"').replace("\0", "?"))
            elif line and not line.startswith(b"#"):
                waiting.append((store / os.fsdecode(line)).resolve())


def _leads_on(mirror: Path) -> bool:
    """Does a mirror point to another repository? A mirror that came with a project may; it is then cloned anew."""
    entries = (mirror / "commondir", mirror / "objects" / "info" / "alternates")
    links = any(entry.is_symlink() for entry in (mirror, *_said_by(mirror)))
    return links or any(entry.exists() for entry in entries)
