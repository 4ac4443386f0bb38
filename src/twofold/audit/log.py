"""Appending to the audit log: numbered, joined lines in files that only grow, by any number of processes.

``audit/000001.jsonl`` and further files hold the lines, ``audit/head.json`` the number and digest of the last. Lines
are on the disk before the head names them, so that a head beyond the lines always means that lines are missing. What a
killed process left of a line is set aside in ``audit/torn/``, and a line of the log says so.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from twofold.audit.chain import FIRST, check_of, entry_of, line_of, stated
from twofold.audit.record import AuditEntry, Head
from twofold.errors import ConfigError, StoreError, refused
from twofold.files import locking, writing
from twofold.hashing import canonical_json
from twofold.types import Json

FOLDER = "audit"
"""Folder of the log in a project."""
HEAD = "head.json"
TORN = "torn"
"""Folder of what killed processes left of lines."""
FILE_BYTES = 64 * 2**20
"""Size from which on the next line begins a new file: small enough to be copied away, large enough to be few."""
_TAIL = 2**16
"""Bytes read at a file's end to find its last line; doubled until they hold one."""
_SCATTER = 5.0
"""Seconds by which a later line may be of an earlier time without the clock having been set back."""
_KNOWN = "twofold audit log"
"""What the first line of a log with a key has the check of: by that a wrong key is seen before all lines fail."""


def files(folder: Path) -> list[Path]:
    """The files with lines, in order."""
    return sorted(folder.glob("[0-9][0-9][0-9][0-9][0-9][0-9].jsonl"))


def file_name(number: int) -> str:
    """Name of a file of lines, from 1."""
    return f"{number:06d}.jsonl"


def head_of(folder: Path, key: bytes) -> Head | None:
    """The log's head; None where it is missing, damaged, or not made with this key."""
    try:
        head: Head = json.loads((folder / HEAD).read_bytes())
        whole = head["check"] == check_of(checked(head), key) and len(bytes.fromhex(head["hash"])) == len(FIRST)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return head if whole else None


def key_check(key: bytes) -> str:
    """What the first line says of the log's key; empty for a log without one."""
    return check_of(_KNOWN, key) if key else ""


def stated_key(folder: Path) -> str | None:
    """The `key_check` of the log's first line; None where there is no such line."""
    try:
        with (folder / file_name(1)).open("rb") as file:
            entry = entry_of(file.readline(_TAIL))
    except OSError:
        return None
    values = entry.get("values") if entry else None
    return values.get("key") if isinstance(values, dict) and isinstance(values.get("key"), str) else None


def require_key(folder: Path, key: bytes) -> None:
    """Refuse a key that is not the log's.

    Raises:
        ConfigError: the log was begun with another key, with none, or needs one.
    """
    known = stated_key(folder)
    if known is not None:
        refuse_key(known, key_check(key), folder)


def refuse_key(known: str, check: str, place: object) -> None:
    """Refuse a key that is not the one of a log.

    Args:
        known: The `key_check` that the log was begun with.
        check: That of the key.
        place: Of the log, for the message.

    Raises:
        ConfigError: they are not the same.
    """
    if known == check:
        return
    if not known:
        problem, cure = "the audit log was begun without a key", "Take the key out of [audit]"
    elif not check:
        problem, cure = "the audit log was begun with a key", "Name its key in [audit].key_env or [audit].key_file"
    else:
        problem, cure = "the audit log was begun with another key", "Name the key with which it was begun"
    raise ConfigError(problem, file=place, cure=f"{cure}, or move the folder away to begin a new log.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """Where the log ends."""

    file: int
    """Number of the last file; 0 before the first."""
    size: int
    """Its bytes."""
    number: int
    digest: bytes
    config: str
    time: str
    """Of the last line; empty where it is not known."""


class AuditLog:
    """The log of one project, for appending.

    Args:
        folder: Of the log; made with the first line.
        key: The log's key; empty for a log without one.
    """

    def __init__(self, folder: Path, *, key: bytes = b"") -> None:
        self._folder, self._key = folder, key
        self._end: _End | None = None

    def append(self, entries: Sequence[AuditEntry], *, config: str = "") -> str:
        """Append lines; they are on the disk when this returns, or none of them is in the log.

        Args:
            entries: At least one.
            config: Digest of `twofold.toml` now; where it is another than the last one, a line before says so.

        Returns:
            ``NUMBER:HASH`` of the last line.

        Raises:
            ConfigError: the key is not the log's.
            StoreError: the disk refuses, or the end of the log can neither be read nor is named by its head.
        """
        first = entries[0]
        try:
            with self._locked():
                end, notices = self._current()
                remarks = [remark(first["time"], what, values) for what, values in notices]
                if config and end.config and config != end.config:
                    values = {"before": end.config, "after": config}
                    remarks.append({**remark(first["time"], "config.changed", values), "who": first["who"]})
                if back := set_back(end.time, first["time"]):
                    remarks.append(remark(first["time"], "log.clock", {"seconds": back}))
                self._end = None  # should this fail, the end is read again
                end = self._written(replace(end, config=config or end.config), (*remarks, *entries))
                self._write_head(end)
                self._end = end
        except OSError as error:
            raise refused(
                f"the audit log cannot be written: {error.strerror or error}", error, file=self._folder
            ) from error
        return f"{end.number}:{end.digest.hex()}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locking.locked(self._folder / ".lock"):
            yield

    # ------------------------------------------------------------ the end

    def _current(self) -> tuple[_End, list[tuple[str, Json]]]:
        """Where the log ends now, and what is to be said of it in the log; the lock is taken."""
        end = self._end
        if end is not None:
            # Another process may have appended since.
            with suppress(OSError):
                same = (self._folder / file_name(end.file)).stat().st_size == end.size
                if same and not (self._folder / file_name(end.file + 1)).exists():
                    return end, []
        require_key(self._folder, self._key)
        present = files(self._folder)
        head = head_of(self._folder, self._key)
        if not present and head is None:
            fresh = _End(file=0, size=0, number=0, digest=FIRST, config="", time="")
            # Before the first line: from then on a missing head means that somebody removed it.
            self._write_head(fresh)
            return fresh, [("log.begun", self._beginning())]
        notices: list[tuple[str, Json]] = []
        line = b""
        for path in reversed(present):
            line, torn = _last_line(path)
            if torn:
                notices.append(("log.torn", self._set_aside(path, torn)))
            if line:
                break
        last = stated(line)
        number, digest = (last.number, last.digest) if last else (0, FIRST)
        if head is None:
            if line and last is None:
                raise StoreError(
                    "the last line of the audit log cannot be read, and its head is missing",
                    file=path,
                    cure="Run `twofold audit verify`, then move the folder away: the next line begins a new log.",
                )
            notices.append(("log.headless", {"number": number}))
        elif last is None and line:
            notices.append(("log.unreadable", {"file": path.name, "number": head["number"]}))
            number, digest = head["number"], bytes.fromhex(head["hash"])
        elif head["number"] > number:
            # Their numbers are not given again: someone may have noted them elsewhere with other digests.
            notices.append(("log.truncated", {"from": number + 1, "to": head["number"], "hash": head["hash"]}))
            number, digest = head["number"], digest if last else bytes.fromhex(head["hash"])
        elif number == 0:
            notices.append(("log.begun", self._beginning()))
        end = _End(
            file=int(present[-1].stem) if present else 0,
            size=present[-1].stat().st_size if present else 0,
            number=number,
            digest=digest,
            config=head["config"] if head else "",
            time=str((entry_of(line) or {}).get("time", "")),
        )
        return end, notices

    def _beginning(self) -> Json:
        return {"log": secrets.token_hex(8), "key": key_check(self._key)}

    def _set_aside(self, path: Path, torn: bytes) -> Json:
        """Move what stands behind the last whole line out of a file, and say where it is."""
        offset = path.stat().st_size - len(torn)
        folder = self._folder / TORN
        folder.mkdir(mode=0o700, exist_ok=True)
        place = folder / f"{path.stem}-{offset}.part"
        # Stored before it is cut off: a kill in between leaves it twice, and loses nothing.
        writing.write(place, torn, mode=0o600)
        with path.open("r+b") as file:
            file.truncate(offset)
            writing.flush(file)
        return {"file": path.name, "offset": offset, "bytes": len(torn), "aside": f"{TORN}/{place.name}"}

    # ------------------------------------------------------------ writing

    def _written(self, end: _End, entries: Sequence[AuditEntry]) -> _End:
        if end.size >= FILE_BYTES or not end.file:
            end = replace(end, file=end.file + 1, size=0)
        number, digest, lines = end.number, end.digest, bytearray()
        for entry in entries:
            number += 1
            line, digest = line_of(number, entry, before=digest, key=self._key)
            lines += line + b"\n"
        writing.extend(self._folder / file_name(end.file), bytes(lines), at=end.size, mode=0o600)
        time = entries[-1]["time"]
        return replace(end, size=end.size + len(lines), number=number, digest=digest, time=time)

    def _write_head(self, end: _End) -> None:
        head: Head = {"number": end.number, "hash": end.digest.hex(), "config": end.config, "check": ""}
        head["check"] = check_of(checked(head), self._key)
        # No failure of the log: on a full disk an older head stays, which is true of the lines as well, and `verify`
        # says how much older it is.
        with suppress(OSError):
            writing.write(self._folder / HEAD, canonical_json(head), mode=0o600)


def checked(head: Head) -> str:
    """What of a head its check is made of."""
    return f"{head['number']}:{head['hash']}:{head['config']}"


def remark(time: str, what: str, values: Json) -> AuditEntry:
    """A remark of the log on itself."""
    return {"time": time, "what": what, "who": "server" if what != "config.changed" else "", "values": values}


def set_back(before: str, now: str) -> float:
    """Seconds by which the clock was set back; 0 where it was not, as far as is known."""
    try:
        seconds = (datetime.fromisoformat(before) - datetime.fromisoformat(now)).total_seconds()
    except (ValueError, TypeError):
        return 0
    # Lines of several processes are not written in the order of their events.
    return round(seconds, 3) if seconds > _SCATTER else 0


def _last_line(path: Path) -> tuple[bytes, bytes]:
    """The last whole line of a file, and what stands behind it; each empty where there is none."""
    size, span = path.stat().st_size, _TAIL
    with path.open("rb") as file:
        while True:
            file.seek(max(0, size - span))
            tail = file.read(span)
            whole, _, torn = tail.rpartition(b"\n")
            _before, mark, line = whole.rpartition(b"\n")
            if mark or span >= size:
                return line, torn
            span *= 2
