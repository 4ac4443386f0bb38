"""A picture of a project as of one moment, taken while a server answers and a sync writes.

The index's files, adapters and records are replaced or added, never changed in place, so that the picture takes links
to them, which costs milliseconds and no room; what is appended to is copied. Commits to the catalogue wait while the
index's files are linked (`store.copying`).
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TypedDict

from twofold.config import FILE, Config
from twofold.errors import ProjectLocked, StoreError, refused
from twofold.files.paths import expand
from twofold.indexing.erasure import TRIAL
from twofold.indexing.feeds import PUSHED_FOLDER
from twofold.plugins import loading
from twofold.plugins.protocols import Discards
from twofold.project.places import CATALOGUE, Places
from twofold.store.catalogue import Catalogue
from twofold.store.copying import STAGING, StillCatalogue, copy_database
from twofold.store.database import BEFORE
from twofold.store.lock import ProjectLock
from twofold.store.migrations import MIGRATIONS
from twofold.store.shared import SharedPlace
from twofold.store.sharing import FOLDER

PARTS: dict[str, tuple[str, ...]] = {
    "keys": ("serving/keys.json*", "serving/use.sqlite", "serving/sessions*"),
    "feedback": ("serving/feedback*", "serving/labels*", "serving/edits*"),
    "traffic": ("traffic.sqlite", "traffic/*", "serving/traffic*", ".twofold/traffic*"),
    "audit": ("audit.*", "audit/*", "serving/audit*", ".twofold/audit*"),
    "data": (f"{PUSHED_FOLDER}/*",),
}
"""Parts that can be left out, by the paths of their files; to ``data`` belong the documents and examples, too."""
_NEVER = (
    "serving/server.json",  # of the server that runs now
    ".twofold/*lock",
    f"*.{BEFORE}",
    f"{TRIAL}/*",
    f"{STAGING}*",
    "*.sqlite-wal",
    "*.sqlite-shm",
    "*.sqlite-journal",
    ".twofold/artifacts/*.partial/*",  # of a training that goes on here
    ".twofold/artifacts/.*",  # of what is being fetched
    # What Lance and its object store write before they rename it: half a file, which grows.
    ".twofold/index/*/.tmp*",
    ".twofold/index/*#*",
    "*/__pycache__/*",
    # Drafts of `files.writing`, and the locks beside what is appended to.
    "*/.*.partial",
    "*/.*.partial/*",
    "*/.*.lock",
)
_OURS = (".twofold", "studies", "receipts", "advice", "improvement", "serving", "traffic", "audit", "monitoring")
"""Folders of Twofold's own files in a project."""
_TRIES = 20
"""Looks at the index until two in a row are alike: while commits to the catalogue wait, a sync ends one upsert."""


class Omission(TypedDict):
    """Something that is not in an archive."""

    what: str
    because: str
    cure: str


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """The picture, in a folder that lasts as long as the block of `taken`."""

    files: dict[str, Path] = field(default_factory=dict)
    """Path in the project → its file in the picture."""
    folders: dict[str, int] = field(default_factory=dict)
    """Folder in the project → its permissions."""
    left_out: list[Omission] = field(default_factory=list)
    """What the picture lacks, for people."""
    catalogue: int = 0
    """Version of the catalogue; 0 where there is none."""
    pause: float = 0.0
    """Seconds for which commits to the catalogue had to wait."""


@contextmanager
def taken(directory: Path, config: Config, *, without: Collection[str] = ()) -> Iterator[Snapshot]:
    """Take the picture; its files are gone after the block.

    Args:
        directory: The project.
        config: Its configuration.
        without: Some of `PARTS`.

    Raises:
        StoreError: the disk refuses, or files vanish again and again.
        ProjectLocked: the catalogue stays locked.
    """
    _clear_leftovers(directory)
    with ExitStack() as stack:
        try:
            # In the project: links need the same file system.
            stage = Path(tempfile.mkdtemp(prefix=STAGING, dir=directory))
        except OSError as error:
            raise refused(f"the picture cannot be taken: {error.strerror}", error, file=directory) from error
        stack.callback(shutil.rmtree, stage, ignore_errors=True)
        stack.enter_context(ProjectLock(stage / "lock"))
        try:
            yield _Camera(directory, config, stage / "files", frozenset(without)).picture()
        except OSError as error:
            raise refused(
                f"the picture cannot be taken: {error.strerror or error}", error, file=error.filename or directory
            ) from error


def _clear_leftovers(directory: Path) -> None:
    """Remove the folders of runs that were killed: those whose lock nobody holds."""
    for stage in directory.glob(f"{STAGING}*"):
        with suppress(ProjectLocked, StoreError), ProjectLock(stage / "lock"):
            shutil.rmtree(stage, ignore_errors=True)


class _Camera:
    def __init__(self, directory: Path, config: Config, stage: Path, without: frozenset[str]) -> None:
        self._directory = directory
        self._config = config
        self._stage = stage
        self._without = without
        self._data = self._data_files() if "data" in without else frozenset[str]()
        self._shot = Snapshot()
        self._hidden: set[str] = set()
        """Parts left out of which the project has something."""

    def picture(self) -> Snapshot:
        self._stage.mkdir()
        self._derived()
        for name, path in self._walk(self._directory):
            if not name.startswith((".twofold/index/", ".twofold/artifacts/")) and name != f".twofold/{CATALOGUE}":
                try:
                    self._take(name, path)
                except FileNotFoundError:  # it was deleted meanwhile
                    self._shot.files.pop(name, None)
        self._absent()
        return self._shot

    # ------------------------------------------------------------ catalogue, index, artifacts

    def _derived(self) -> None:
        """Catalogue, index and adapters, which refer to each other: all as of one moment."""
        catalogue = self._directory / ".twofold" / CATALOGUE
        shared = Places.of(self._directory, self._config).shared
        if shared is not None:
            # What is indexed meanwhile, the copy knows and the index lacks: the next sync puts it in again.
            self._linked()
            self._copied(shared)
            return
        if not catalogue.is_file():
            self._linked()
            return
        with StillCatalogue(catalogue) as moment:
            self._linked()
            moment.go_on()
            self._shot.catalogue, self._shot.pause = moment.version, moment.pause
            target = self._place(f".twofold/{CATALOGUE}")
            moment.write(target)
            target.chmod(0o600)

    def _copied(self, shared: SharedPlace) -> None:
        """The catalogue of a database as a file, which a restored project takes over into the schema it then has."""
        target = self._place(f".twofold/{CATALOGUE}")
        with Catalogue(shared, readonly=True) as catalogue:
            catalogue.copy_to(target)
        self._shot.catalogue = len(MIGRATIONS)

    def _linked(self) -> None:
        listed = self._listing()
        for _ in range(_TRIES):
            # Of two equal listings in a row the second began after the first had ended: no file that another one names
            # came into being between them.
            again = self._listing()
            if again == listed:
                try:
                    for name in listed:
                        self._take(name, self._directory / name)
                    return
                except FileNotFoundError:  # versions were pruned, or a document forgotten, while they were linked
                    for folder in ("index", "artifacts"):
                        shutil.rmtree(self._stage / ".twofold" / folder, ignore_errors=True)
                    self._shot.files.clear()
                    again = self._listing()
            listed = again
        raise StoreError(
            "the index changes faster than it can be copied",
            file=self._directory / ".twofold" / "index",
            cure="Run the command again when the index is not being rebuilt.",
        )

    def _listing(self) -> dict[str, tuple[int, int]]:
        """Path in the project → size and time of all files of index and artifacts."""
        listed = {}
        for folder in ("index", "artifacts"):
            place = self._directory / ".twofold" / folder
            for name, path in self._walk(place) if place.is_dir() else ():
                with suppress(FileNotFoundError):  # it is then not in the next listing either
                    state = path.stat()
                    listed[name] = (state.st_size, state.st_mtime_ns)
        return listed

    # ------------------------------------------------------------ all files

    def _walk(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """Files below a folder of the project that belong into the picture, sorted."""
        for place, folders, names in os.walk(folder):
            here = Path(place)
            at_top = here == self._directory
            for name in sorted(folders):
                inner = here / name
                relative = inner.relative_to(self._directory).as_posix()
                # `.git`, `.venv`, and what else belongs to other programs.
                foreign = at_top and name.startswith(".") and name not in (".twofold", TRIAL)
                if inner.is_symlink() or (foreign and not name.startswith(STAGING)):
                    reason = "it is a link to a folder" if inner.is_symlink() else "it is another program's"
                    self._lacks(f"{relative}/", reason, "Copy it by itself if it is needed.")
                    folders.remove(name)
                elif name.startswith(STAGING) or (at_top and name == TRIAL):
                    folders.remove(name)
                else:
                    with suppress(FileNotFoundError):
                        self._shot.folders[relative] = stat.S_IMODE(inner.stat().st_mode)
            folders.sort()
            # Lines last: what says how many lines there are is written after them, and must not be of a later time.
            for name in sorted(names, key=lambda name: (name.endswith(".jsonl"), name)):
                relative = (here / name).relative_to(self._directory).as_posix()
                if self._belongs(relative):
                    yield relative, here / name

    def _belongs(self, name: str) -> bool:
        if _matches(name, _NEVER) or _matches(f"/{name}", _NEVER):
            return False
        hidden = {part for part in self._without if _matches(name, PARTS[part])}
        if name in self._data:
            hidden.add("data")
        self._hidden |= hidden
        return not hidden

    def _data_files(self) -> frozenset[str]:
        paths = (*self._config.documents.paths, *self._config.examples.paths)
        root = self._directory.resolve()
        places = [match.path.resolve() for match in expand(paths, self._directory)[0]]
        return frozenset(path.relative_to(root).as_posix() for path in places if path.is_relative_to(root))

    def _take(self, name: str, path: Path) -> None:
        """Put a file into the picture: a link, or a copy of what is changed in place."""
        if not stat.S_ISREG(path.stat().st_mode):
            self._lacks(name, "it is no plain file", "Leave it where it is.")
            return
        target = self._place(name)
        if path.suffix == ".sqlite":
            copy_database(path, target)
            target.chmod(stat.S_IMODE(path.stat().st_mode))
            return
        ours = name == FILE or name.startswith(tuple(f"{folder}/" for folder in _OURS))
        # What people edit may be written in place, and logs are appended to.
        if ours and path.suffix not in (".jsonl", ".log") and not path.is_symlink():
            with suppress(OSError):  # a file system without links
                os.link(path, target)
                return
        shutil.copyfile(path, target)
        target.chmod(stat.S_IMODE(path.stat().st_mode))
        if ours and path.suffix == ".jsonl":
            _cut_after_last_line(target)

    def _place(self, name: str) -> Path:
        target = self._stage / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self._shot.files[name] = target
        return target

    # ------------------------------------------------------------ what is not there

    def _lacks(self, what: str, because: str, cure: str) -> None:
        entry: Omission = {"what": what, "because": because, "cure": cure}
        if entry not in self._shot.left_out:
            self._shot.left_out.append(entry)

    def _absent(self) -> None:
        """Note what the project uses, and no picture of its folder has."""
        for part in sorted(self._hidden):
            bundle, backup = f"`twofold bundle --with {part}`", f"`twofold backup` without `--without {part}`"
            self._lacks(part, "it was left out", f"Where it is needed, take it along by {bundle}, or by {backup}.")
        index = self._config.retrieval.index.name
        if isinstance(loading.find("indexes", index), Discards):
            self._lacks(
                f"the index ({index})",
                "it is kept in a database",
                "Back up the database by its own tools, or run `twofold sync --rebuild` after restoring.",
            )
        if store := self._config.scale.store:
            seen = (self._directory / ".twofold" / FOLDER / "manifests").glob("*.json")
            away = [path for path in seen if not (self._directory / ".twofold/artifacts" / path.stem).is_dir()]
            if away:
                self._lacks(
                    f"{len(away)} artifacts of other machines ({store})",
                    "they are in the object store, and were never used here",
                    "Back up the bucket by its own tools; a bundle has those that its arm needs.",
                )
        if self._config.scale.database:
            schema = self._config.scale.name or "twofold"
            self._lacks(
                f"keys, sessions, feedback and audit log (schema {schema} of {self._config.scale.database})",
                "they are in the database; of feedback and audit log the copies that commands have made are here",
                f"Back up the database by its own tools: `pg_dump --schema={schema}`.",
            )
        if self._config.scale.index:
            self._lacks(
                f"the index ({self._config.scale.index})",
                "it is kept outside of the project's folder",
                "Copy the folder by the store's own tools, or run `twofold sync --rebuild` after restoring; where this "
                "project lives on, set [scale].index of the copy to another folder first.",
            )
        root = self._directory.resolve()
        for path in (*self._config.documents.paths, *self._config.examples.paths):
            if not (root / path).resolve().is_relative_to(root):
                self._lacks(path, "it lies outside the project", "Back it up by itself, and put it at the same place.")


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _cut_after_last_line(path: Path) -> None:
    """Take off the beginning of a line that was being appended, as a kill would have left it."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        size = end
        while size:
            step = min(4096, size)
            file.seek(size - step)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                size = size - step + newline + 1
                break
            size -= step
        if size != end:
            file.truncate(size)
