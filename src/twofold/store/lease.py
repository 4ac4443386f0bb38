"""The one writer of a folder that many machines reach: a lease that its holder renews, and others take once it ends.

The lease is one small object that is only ever written in place of a known former content, so that of two that want it
one gets it. A holder renews it from a thread. Whoever finds one that was not renewed for its life, by the store's own
clock, takes it: the holder is dead, cut off, or paused. A paused holder wakes up as if nothing had happened, and no
look at a clock can stop it between the look and the write: therefore whoever takes a lease *fences* before anything
else, which makes every change that was begun before fail (`Lease`).
"""

from __future__ import annotations

import json
import logging
import os
import platform
import secrets
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol

from twofold.errors import ProjectLocked, StoreError
from twofold.files.remote import RemoteFolder
from twofold.store.lock import command
from twofold.types import Json

log = logging.getLogger(__name__)
_LIFE = 60.0
"""Seconds for which a lease holds without being renewed: a rerun on another machine waits at most that long."""
_RENEWALS = 4
"""Renewals within a life, so that three in a row may fail."""
_GRACE = 3.0
"""Seconds more that others wait: a store's times are whole seconds."""
NAME = "writer.json"
"""The lease's object in its folder."""


class Register(Protocol):
    """A place for one text that is replaced on condition; object stores and databases have such places."""

    @property
    def place(self) -> str:
        """Its address, for messages; the same for all who share it."""

    def read(self) -> tuple[str, str] | None:
        """The text and its tag, which changes with every write; None where nothing was written yet."""

    def write(self, text: str, *, instead_of: str | None) -> str | None:
        """Write in place of the text with this tag (None: of nothing); the new tag, or None where it is another now."""

    def age(self) -> float:
        """Seconds since the text was written, by the clock of the place."""


class ObjectRegister:
    """A `Register` in a folder of an object store."""

    def __init__(self, folder: RemoteFolder) -> None:
        self._folder = folder
        self.place = folder.url
        """See `Register.place`."""

    def read(self) -> tuple[str, str] | None:
        """See `Register.read`."""
        stored = self._folder.read(NAME)
        return None if stored is None else (stored[0].decode("utf-8", "replace"), stored[1])

    def write(self, text: str, *, instead_of: str | None) -> str | None:
        """See `Register.write`."""
        return self._folder.write(NAME, text.encode("utf-8"), instead_of=instead_of)

    def age(self) -> float:
        """See `Register.age`."""
        age = self._folder.age(NAME)
        return float("inf") if age is None else age


_LEASES: dict[str, Lease] = {}
"""Place → the lease that this process has there."""
_GUARD = threading.RLock()


class Lease:
    """The writer's lease of a place; use as a context manager, once at a time.

    Args:
        register: Where it lies.
        fence: Makes every change fail that another writer has begun and not finished; called after a lease was taken
            from a holder that had not given it back, and before anything is written.
        life: Seconds that it holds without being renewed.
    """

    def __init__(self, register: Register, *, fence: Callable[[], None] | None = None, life: float = _LIFE) -> None:
        self._register = register
        self._fence = fence
        self._life = life
        self._tag = ""
        self._record: Json = {}
        self._ends = 0.0
        self._process = 0
        self._lost: ProjectLocked | None = None
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lease:
        """Take the lease; never waits.

        Raises:
            ProjectLocked: another process has it; the message names it, its machine and command, and since when.
            DatabaseUnreachable, DatabaseRefused: the store does not answer, or refuses.
        """
        place = self._register.place
        with _GUARD:
            if (here := _LEASES.get(place)) is not None and here.alive:
                raise _locked(here._record, place, age=0.0)
        # Of two threads the store decides, as of two machines.
        self._take()
        with _GUARD:
            _LEASES[place] = self
        self._stop.clear()
        self._thread = threading.Thread(target=self._renewing, name="lease", daemon=True)
        self._thread.start()
        return self

    def _take(self) -> None:
        begun = _now()
        stored = self._register.read()
        before: Json = _parsed(stored[0]) if stored else {}
        foreign = bool(before) and not before.get("returned", False)
        if foreign:
            age = self._register.age()
            if not _ended_here(before) and age <= float(before.get("life", _LIFE)) + _GRACE:
                raise _locked(before, self._register.place, age=age)
        record = {**_holder(), "token": int(before.get("token", 0)) + 1, "life": self._life, "returned": False}
        tag = self._written(json.dumps(record), stored[1] if stored else None)
        if tag is None:
            # Another process was faster, and has it now.
            stored = self._register.read()
            raise _locked(_parsed(stored[0]) if stored else {}, self._register.place, age=0.0)
        self._tag, self._record, self._lost = tag, record, None
        self._ends, self._process = begun + self._life, os.getpid()
        if foreign:
            log.warning(
                "the writer before (%s) had not given the lease back: what it left unfinished is void", _who(before)
            )
            try:
                if self._fence is not None:
                    self._fence()
            except BaseException:
                # Not given back: the next holder must fence, too.
                self._process = 0
                raise

    @property
    def alive(self) -> bool:
        """Is this process its holder, as far as its clock can tell?"""
        return self._process == os.getpid() and self._lost is None and _now() < self._ends

    @property
    def token(self) -> int:
        """Number of the lease among all that there were, rising."""
        return int(self._record.get("token", 0))

    def check(self, *, left: float = 0.0) -> None:
        """Refuse a write unless the lease holds for `left` seconds more.

        Raises:
            ProjectLocked: it was taken by another process meanwhile, or could not be renewed in time.
        """
        if self._process != os.getpid():
            raise StoreError("this process has not taken the lease", file=self._register.place)
        if self._lost is None and _now() + left >= self._ends:
            self._renew()
        if self._lost is not None:
            raise self._lost

    def _renewing(self) -> None:
        while not self._stop.wait(self._life / _RENEWALS):
            try:
                self._renew()
            except StoreError as error:
                # `check` refuses writes once the time is up; the store may answer again before.
                log.warning("the writer's lease could not be renewed: %s", error.message)
            if self._lost is not None:
                return

    def _renew(self) -> None:
        """Write the lease again, so that it is new; notice that it is another's now."""
        with self._writing:
            begun = _now()
            text = json.dumps({**self._record, "renewed": secrets.token_hex(4)})
            tag = self._written(text, self._tag)
            if tag is not None:
                self._tag, self._ends = tag, begun + self._life
                return
            stored = self._register.read()
            record = _parsed(stored[0]) if stored else {}
            self._lost = ProjectLocked(
                f"{_who(record)} took the writer's lease while this process did not renew it: nothing more was written",
                file=self._register.place,
                cure="Run the command again once the other has finished: what was committed is kept.",
            )

    def _written(self, text: str, instead_of: str | None) -> str | None:
        tag = self._register.write(text, instead_of=instead_of)
        if tag is None and (stored := self._register.read()) and stored[0] == text:
            # The write had arrived and its answer was lost, so that the client's second try found it done.
            return stored[1]
        return tag

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the lease back."""
        self._stop.set()
        with _GUARD:
            if _LEASES.get(self._register.place) is self:
                del _LEASES[self._register.place]
        if self._process != os.getpid():
            return
        with self._writing:
            self._process = 0
            if self._lost is not None:
                return
            try:
                self._register.write(json.dumps({**self._record, "returned": True}), instead_of=self._tag)
            except StoreError as error:
                log.warning("the writer's lease was not given back, and ends by itself: %s", error.message)


def lease_of(place: str) -> Lease | None:
    """The lease that this process has at a place; None where it has none, as in a process that was forked off."""
    with _GUARD:
        lease = _LEASES.get(place)
    return lease if lease is not None and lease._process == os.getpid() else None


def holder_of(register: Register) -> str:
    """Who has the lease now, for people; empty where nobody has."""
    stored = register.read()
    record = _parsed(stored[0]) if stored else {}
    if not record or record.get("returned", False) or _ended_here(record):
        return ""
    return "" if register.age() > float(record.get("life", _LIFE)) + _GRACE else _who(record)


def _now() -> float:
    """Seconds that go on while the machine sleeps, where the system counts them."""
    return time.monotonic() if sys.platform != "linux" else time.clock_gettime(time.CLOCK_BOOTTIME)


def _holder() -> Json:
    return {
        "host": platform.node(),
        "machine": _machine(),
        "process": os.getpid(),
        "command": command(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "nonce": secrets.token_hex(8),
    }


def _machine() -> str:
    """This start of this machine and its space of process numbers: in another container they mean other processes."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _ended_here(record: Json) -> bool:
    """Was the holder a process of this machine that has ended? Then nobody need wait for its lease to end."""
    if not record.get("machine") or record["machine"] != _machine():
        return False
    if record.get("process") == os.getpid():
        # Of this process, or of a dead one whose number it has.
        with _GUARD:
            return all(lease._record.get("nonce") != record.get("nonce") for lease in _LEASES.values())
    try:
        os.kill(int(record["process"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _parsed(text: str) -> Json:
    try:
        record: Any = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _who(record: Json) -> str:
    if not record:
        return "another process"
    what = f"{record.get('command', '')}, " * bool(record.get("command"))
    return f"process {record.get('process', '?')} on {record.get('host', '?')} ({what}since {record.get('since', '?')})"


def _locked(record: Json, place: str, *, age: float) -> ProjectLocked:
    return ProjectLocked(
        f"{_who(record)} is writing to this index",
        file=place,
        cure="Wait for the other command to finish, or stop it; reading commands work meanwhile. Of a process that "
        f"died the lease ends {_LIFE:.0f} s after its last sign of life ({age:.0f} s ago).",
    )
