"""Studies, receipts and advices in an object store: a journal that only grows, and files named by their content.

The journal is a row of objects ``records/journal/00000001.json``, …, each created only where there is none of its
number: what two machines write at the same time gets an order, and the second sees the first before it writes. It is
read by number, so that a late listing hides nothing. An entry says which files a *unit* (a study's directory, a
receipt, the list of forgotten documents, the advices) has from now on. Its files are written before it: killed at any
moment, the store has the former state whole, and the next push completes the new one.

Of a unit only the newest files stay in the store, so that what is forgotten is gone: what an entry replaces is deleted
after it, and an entry that says so follows.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from twofold.errors import StoreError, refused
from twofold.files import locking, writing
from twofold.store import merging
from twofold.store.object_folder import ObjectFolder, damaged
from twofold.types import Json

STUDIES = "studies"
"""Folder of the studies in a project; beside them lies ``rolled-back.json``."""
_DECISIONS = ("rolled-back.json",)
_SINGLE = ("receipts/*.json", "advice/advices.jsonl", "studies/rolled-back.json")
_TAKEN = (
    "Move that folder away, and run the same command again: the store's study takes its place, and one that was made "
    "here is made again from stored answers, with the next number."
)
_FORMAT = 1
_JOURNAL = "records/journal/{:08d}.json"
_ROWS = (1, 4, 16, 64, 256)
"""Entries that are asked for at once: first one, for mostly there is no news, then more and more."""
_PILE = 32 << 20
"""Bytes of files that are read at once."""
_TRIES = 20
"""Attempts to be the next in the journal while others write."""
log = logging.getLogger(__name__)

Files = dict[str, Json]
"""Name within a unit → ``sha256`` and ``bytes``."""


@dataclass(slots=True)
class _State:
    """What this machine knows of the journal, and has of the units."""

    entries: int = 0
    """Number of the last entry that was read."""
    heads: dict[str, Files] = field(default_factory=dict)
    """Unit → its files by the journal."""
    applied: dict[str, Files] = field(default_factory=dict)
    """Unit → its files when journal and machine last agreed."""
    unpurged: dict[str, Json] = field(default_factory=dict)
    """Number of an entry → unit and digests that it replaced and nobody has deleted yet."""
    stats: dict[str, list[Any]] = field(default_factory=dict)
    """Local file → size, time, and sha256 and bytes of what is shared of it: unchanged, it is not read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """What came from other machines, and what went to them."""

    came: tuple[str, ...] = ()
    """Units that were changed here."""
    went: tuple[str, ...] = ()
    """Units that were changed in the store."""


class SharedRecords:
    """The records of one project on one machine, beside those in the store.

    Args:
        folder: The project's folder in the object store.
        root: The project here.
        state: Local file of what is known of the journal; made again where it is missing.
    """

    def __init__(self, folder: ObjectFolder, root: Path, state: Path) -> None:
        self.folder = folder
        self.root = root
        self._file = state

    def pull(self) -> Exchanged:
        """Bring here what other machines have written, but for the list of forgotten documents: see `exchange`.

        Raises:
            StoreError: the store does not answer or refuses, an object is damaged, the disk refuses.
            StoreError: a study here has the name of another one there.
        """
        with self._locked() as state:
            return Exchanged(came=tuple(self._pull(state, locked=False)))

    def exchange(self, *, locked: bool) -> Exchanged:
        """Bring here what other machines have written, and write there what this one has.

        Args:
            locked: The caller has the project's lock, without which the list of forgotten documents stays as it is: it
                is read and written in two steps.

        Raises:
            As `pull`.
        """
        with self._locked() as state:
            came = self._pull(state, locked=locked)
            went: list[str] = []
            for _ in range(_TRIES):
                changed = self._changed(state, locked=locked)
                # Whoever is not the next in the journal looks at what the next has written, and tries again.
                for unit, files in changed.items():
                    if not self._put(state, unit, files):
                        came += self._pull(state, locked=locked)
                        break
                    went.append(unit)
                else:
                    break
            self._purge(state)
            return Exchanged(came=tuple(came), went=tuple(went))

    def pending(self) -> list[str]:
        """Units that were changed here and are not in the store yet, by what is known; asks nobody."""
        return list(self._changed(self._read_state(), locked=True))

    def count(self) -> int:
        """Units in the store, by what is known."""
        return sum(1 for files in self._read_state().heads.values() if files)

    # ------------------------------------------------------------ from the store

    def _pull(self, state: _State, *, locked: bool) -> list[str]:
        for entry in self._news(state):
            self._note(state, entry)
        came: list[str] = []
        # Also those of which a killed pull has applied nothing, and studies that somebody has deleted here.
        waiting = {unit for unit, files in state.heads.items() if state.applied.get(unit) != files}
        waiting |= {u for u in state.heads if not _is_decision(u) and not (self.root / u).exists()}
        if not locked:
            waiting.discard(merging.FORGOTTEN)
        plans = {unit: self._planned(state, unit) for unit in sorted(waiting)}
        for pile in _piles(plans):
            contents = self._contents(state, {unit: plans[unit] for unit in pile})
            for unit in pile:
                if self._apply(state, unit, plans[unit], contents):
                    came.append(unit)
            self._write_state(state)
        return came

    def _news(self, state: _State) -> Iterator[Json]:
        rows = iter(_ROWS)
        size = next(rows)
        while True:
            names = [_JOURNAL.format(state.entries + 1 + offset) for offset in range(size)]
            contents = self.folder.read_many(names)
            for name in names:
                # A gap is the end: entries are created in their order.
                if name not in contents:
                    return
                try:
                    entry: Json = json.loads(contents[name])
                    newer = entry["format"] > _FORMAT
                except (ValueError, LookupError, TypeError, RecursionError) as error:
                    raise damaged(f"{self.folder.place(name)} cannot be read: {error}") from error
                if newer:
                    raise damaged(f"{self.folder.place(name)} was written by a newer Twofold", cure="Upgrade Twofold.")
                yield entry
            size = next(rows, size)

    @staticmethod
    def _note(state: _State, entry: Json) -> None:
        """Take an entry of the journal into what is known."""
        state.entries += 1
        if "purged" in entry:
            state.unpurged.pop(str(entry["purged"]), None)
            return
        state.heads[entry["unit"]] = entry["files"]
        if entry["replaced"]:
            state.unpurged[str(state.entries)] = {"unit": entry["unit"], "digests": entry["replaced"]}

    def _planned(self, state: _State, unit: str) -> Files:
        """The files that a unit is to have here.

        Raises:
            StoreError: it is another study of the same name.
        """
        head, base, local = state.heads[unit], state.applied.get(unit, {}), self._local(state, unit)
        if not local or local == base or merging.merges(unit):
            return head
        if unit not in state.applied:
            if _is_study(unit) and local.get("study.json") != head.get("study.json"):
                raise StoreError(
                    f"{unit} is another study than {self.folder.place(f'records/{unit}')}", file=unit, cure=_TAKEN
                )
            # What is known was deleted with the derived data: which is newer cannot be told any more.
            return {**local, **head}
        # Forgetting has taken answers out: what was made of them here meanwhile may quote them, and gives way.
        if head.get("answers.jsonl.gz") != base.get("answers.jsonl.gz"):
            log.warning(
                "%s was changed on two machines: a document was forgotten, and the local change gives way", unit
            )
            return head
        names = {*head, *local}
        # What only this machine has changed stays, and is pushed.
        planned = {name: local.get(name) if local.get(name) != base.get(name) else head.get(name) for name in names}
        return {name: entry for name, entry in planned.items() if entry is not None}

    def _contents(self, state: _State, plans: Mapping[str, Files]) -> dict[str, bytes]:
        """Object → content, of all files of some units that are not here."""
        places: dict[str, str] = {}
        for unit, files in plans.items():
            local = self._local(state, unit)
            base = state.applied.get(unit, {}) if unit == merging.FORGOTTEN else {}
            # The former state is needed, too, to see what this machine has changed.
            for name, entry in (*files.items(), *base.items()):
                if local.get(name) != entry:
                    places[_object(unit, entry)] = entry["sha256"]
        contents = self.folder.read_many(sorted(places))
        for place, digest in places.items():
            if place not in contents or hashlib.sha256(contents[place]).hexdigest() != digest:
                what = "damaged" if place in contents else "missing"
                # Replaced, and deleted, since the journal was read: the newer entry says by what.
                if what == "missing" and self.folder.read(_JOURNAL.format(state.entries + 1)) is not None:
                    raise damaged(
                        f"{self.folder.place(place)} was replaced meanwhile", cure="Run the same command again."
                    )
                raise damaged(f"the object {self.folder.place(place)} is {what}")
        return contents

    def _apply(self, state: _State, unit: str, files: Files, contents: Mapping[str, bytes]) -> bool:
        """Let a unit have these files here; True where that changed something."""
        local, path = self._local(state, unit), self.root / unit
        changed = local != files
        try:
            if merging.merges(unit):
                base = state.applied.get(unit)
                changed = self._merge(unit, head=files[""], base=base[""] if base else None, contents=contents)
            elif not files:
                path.unlink(missing_ok=True)
            elif changed and _is_study(unit):
                self._place(unit, path, files, local, contents)
            elif changed:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                ((_, entry),) = files.items()
                writing.write(path, contents[_object(unit, entry)], mode=0o600)
        except OSError as error:
            raise refused(f"{unit} cannot be written here: {error.strerror or error}", error, file=path) from error
        state.applied[unit] = state.heads[unit]
        return changed

    def _merge(self, unit: str, *, head: Json, base: Json | None, contents: Mapping[str, bytes]) -> bool:
        """Merge a list that is edited in place; what only this machine has in it is pushed afterwards."""
        path = self.root / unit
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The lock of `writing.append`.
        with locking.locked(path.with_name(f".{path.name}.lock")):
            local = path.read_bytes() if path.is_file() else b""
            # Equal to what is here, it was not fetched.
            theirs = contents.get(_object(unit, head), local)
            before = contents.get(_object(unit, base), local) if base else b""
            merged = merging.merged(unit, local, theirs=theirs, before=before)
            if merged != local:
                writing.write(path, merged, mode=0o600)
        return merged != local

    @staticmethod
    def _place(unit: str, path: Path, files: Files, local: Files, contents: Mapping[str, bytes]) -> None:
        """Write a study's files: a new study at once, of one that is here the answers last, as forgetting does."""
        fresh = not path.is_dir()
        target = path.with_name(f".{path.name}.fetched.partial") if fresh else path
        if fresh:
            shutil.rmtree(target, ignore_errors=True)
        for name in sorted(files, key=lambda name: (name == "answers.jsonl.gz", name)):
            place = PurePosixPath(name)
            if place.is_absolute() or ".." in place.parts:
                raise damaged(f"an entry of the journal names a file outside of {unit}: {name!r}")
            if local.get(name) != files[name]:
                (target / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                writing.write(target / name, contents[_object(unit, files[name])], mode=0o600)
        if fresh:
            writing.put(target, path)
        for name in set(local) - set(files):
            (path / name).unlink(missing_ok=True)

    # ------------------------------------------------------------ to the store

    def _changed(self, state: _State, *, locked: bool) -> dict[str, Files]:
        """Unit → its files here, of those that differ from when journal and machine last agreed."""
        changed = {}
        for unit in self._units():
            if (files := self._local(state, unit)) != state.applied.get(unit, {}):
                changed[unit] = files
        if not locked:
            changed.pop(merging.FORGOTTEN, None)
        for name in _DECISIONS:
            unit = f"{STUDIES}/{name}"
            if state.applied.get(unit) and not (self.root / unit).exists():
                changed[unit] = {}
        # Oldest first; a decision about studies comes after them, the list of forgotten documents before receipts.
        return dict(sorted(changed.items(), key=lambda item: (item[0].endswith("rolled-back.json"), item[0])))

    def _put(self, state: _State, unit: str, files: Files) -> bool:
        """Write a unit's new files and its entry; False where another machine's entry came first."""
        head = state.heads.get(unit, {})
        known = {entry["sha256"] for entry in head.values()}
        for name, entry in files.items():
            if entry["sha256"] not in known:
                content = merging.as_shared(unit, (self.root / unit / name if name else self.root / unit).read_bytes())
                # Of what was changed since it was looked at, the next push takes the newer state.
                entry |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                place = _object(unit, entry)
                if not self.folder.create(place, content):
                    raise damaged(f"the object {self.folder.place(place)} has another content than its name says")
        replaced = sorted(known - {entry["sha256"] for entry in files.values()}) if _is_study(unit) else []
        if not self._append(state, {"unit": unit, "files": files, "replaced": replaced}):
            return False
        state.applied[unit] = files
        self._write_state(state)
        return True

    def _append(self, state: _State, what: Json) -> bool:
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        # An id, so that an entry of the same content by another machine is another entry.
        entry: Json = {"format": _FORMAT, "id": uuid.uuid4().hex, "at": moment, "by": platform.node(), **what}
        content = json.dumps(entry, ensure_ascii=False, sort_keys=True).encode()
        if not self.folder.create(_JOURNAL.format(state.entries + 1), content):
            return False
        self._note(state, entry)
        return True

    def _purge(self, state: _State) -> None:
        """Delete what entries have replaced; killed before it ends, it is done again by whoever pushes next."""
        for number, what in sorted(state.unpurged.items(), key=lambda item: int(item[0])):
            used = {entry["sha256"] for entry in state.heads[what["unit"]].values()}
            self.folder.delete([f"records/{what['unit']}/{d}" for d in what["digests"] if d not in used])
            if not self._append(state, {"purged": int(number)}):
                return  # others write: it is done at the next push, if not by them
            self._write_state(state)

    # ------------------------------------------------------------ here

    def _units(self) -> Iterator[str]:
        for path in sorted((self.root / STUDIES).glob("[0-9]*/study.json")):
            yield path.parent.relative_to(self.root).as_posix()
        for pattern in _SINGLE:
            yield from (path.relative_to(self.root).as_posix() for path in sorted(self.root.glob(pattern)))

    def _local(self, state: _State, unit: str) -> Files:
        """A unit's files here; of a single file the name is empty."""
        path = self.root / unit
        if not path.is_dir():
            return {"": entry} if (entry := self._entry(state, path)) else {}
        files = {}
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            # Drafts and locks of `files.writing`.
            if not file.name.startswith(".") and (entry := self._entry(state, file)):
                files[file.relative_to(path).as_posix()] = entry
        return files

    def _entry(self, state: _State, path: Path) -> Json | None:
        name = path.relative_to(self.root).as_posix()
        try:
            seen = path.stat()
            stat = state.stats.get(name, [])
            if stat[:2] != [seen.st_size, seen.st_mtime_ns]:
                content = merging.as_shared(name, path.read_bytes())
                stat = [seen.st_size, seen.st_mtime_ns, hashlib.sha256(content).hexdigest(), len(content)]
                state.stats[name] = stat
        except FileNotFoundError:
            return None
        return {"sha256": stat[2], "bytes": stat[3]}

    @contextmanager
    def _locked(self) -> Iterator[_State]:
        """What is known, for one process at a time."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locking.locked(self._file.with_name("lock")):
                state = self._read_state()
                before = json.dumps(asdict(state))
                yield state
                if json.dumps(asdict(state)) != before:
                    self._write_state(state)
        except OSError as error:
            raise refused(f"records cannot be exchanged: {error.strerror or error}", error, file=self._file) from error

    def _read_state(self) -> _State:
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            # Of another folder nothing is known here.
            if stored.pop("store") == self.folder.url:
                return _State(**stored)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            log.debug("%s is read anew from the journal", self._file)
        return _State()

    def _write_state(self, state: _State) -> None:
        text = json.dumps({"store": self.folder.url, **asdict(state)})
        try:
            writing.write(self._file, text, mode=0o600)
        except OSError as error:
            raise refused(f"what is shared cannot be noted: {error.strerror}", error, file=self._file) from error


def _object(unit: str, entry: Json) -> str:
    return f"records/{unit}/{entry['sha256']}"


def _is_study(unit: str) -> bool:
    folder, _, name = unit.partition("/")
    return folder == STUDIES and name not in _DECISIONS


def _is_decision(unit: str) -> bool:
    return unit.startswith(f"{STUDIES}/") and not _is_study(unit)


def _piles(plans: Mapping[str, Files]) -> Iterator[list[str]]:
    """Units in groups whose files fit into memory together."""
    pile: list[str] = []
    size = 0
    for unit, files in plans.items():
        more = sum(int(entry["bytes"]) for entry in files.values())
        if pile and size + more > _PILE:
            yield pile
            pile, size = [], 0
        pile.append(unit)
        size += more
    if pile:
        yield pile
