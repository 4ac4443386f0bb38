"""A child process that reads files: kept warm, reused, and ended when a file exceeds its limits.

The worker gets the bytes through a pipe and returns documents as JSON: it opens no file, inherits only the environment
variables that Python needs, and nothing that it sends is executed. A file that exceeds the time ends the worker; a file
that exceeds the memory, or breaks the parser, ends at worst the worker; the next file gets a new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from twofold.errors import FileTimeout, FileTooLarge, ReaderCrashed
from twofold.files.reading import MIB
from twofold.types import Document, Json, Place, Problem

LENGTH = struct.Struct("!Q")
"""Length of the JSON that follows."""
START_SECONDS = 120.0
"""Longest start of the process, imports of the readers' libraries included."""
_PIECE = 1 << 16
"""Bytes of a pipe's buffer on Linux; 16 of them are moved in one call."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
_PASSED_ON_WINDOWS = ("TEMP", "TMP", "SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PATHEXT")
# libraries that start a thread a core map memory for each, which would count against the limit
_ONE_THREAD = {
    "RAYON_NUM_THREADS": "1",
    "TOKIO_WORKER_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


class Worker:
    """A child process that reads files, started for the first file.

    Args:
        seconds: Longest time for one file.
        memory_mib: Most memory that one file may add to the process, in MiB; a worker that keeps more is replaced.
        limit: Most characters of text from one file.
    """

    def __init__(self, *, seconds: float, memory_mib: int, limit: int) -> None:
        self.seconds = seconds
        self.memory_mib = memory_mib
        self.limit = limit
        self.started = 0
        """Processes started so far."""
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._served = 0

    def read(self, reader: str, options: Json, *, name: str, data: bytes) -> list[tuple[int, Document | Problem]]:
        """Read `data` with the named `reader`, and return documents and problems with their lines.

        A worker that has read other files may die of their remains. Such a death proves nothing against this file,
        which is then read once more in a fresh worker.

        Raises:
            FileTimeout: reading the file took too long.
            FileTooLarge: the file needs too much memory, or has too much text.
            ReaderCrashed: the process died, or could not be started.
        """
        again = self._served > 0
        try:
            return self._ask(reader, options, name, data)
        except (ReaderCrashed, FileTooLarge):
            if not again:
                raise
            # files before it may have left their marks on the process: once more in a new one
            self.close()
            return self._ask(reader, options, name, data)

    def close(self) -> None:
        """End the process."""
        process, self._process, self._served = self._process, None, 0
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def _ask(self, reader: str, options: Json, name: str, data: bytes) -> list[tuple[int, Document | Problem]]:
        self._start(name)
        request = {
            "reader": reader,
            "options": options,
            "file": name,
            "size": len(data),
            "seconds": self.seconds,
            "memory_mib": self.memory_mib,
            "limit": self.limit,
        }
        head = json.dumps(request).encode()
        try:
            answer = self._exchange(LENGTH.pack(len(head)) + head + data, self.seconds, name)
            items = [_item(entry) for entry in answer["items"]]
        except (KeyError, TypeError, ValueError) as error:
            self.close()
            raise ReaderCrashed(f"its reader answered with something else: {error}", file=name) from error
        except BaseException:  # an interruption, too: its answer would be taken for that to the next request
            self.close()
            raise
        self._served += 1
        # the limit counts from what the process has: memory that it keeps would be missing for the next file
        if answer.get("rss_mib", 0) > self.memory_mib:
            self.close()
        return items

    def _start(self, name: str) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        environment = {key: value for key, value in os.environ.items() if key in (*_PASSED_ON, *_PASSED_ON_WINDOWS)}
        self._process = subprocess.Popen(
            # -P: a module in the working directory must not take the place of an installed one
            [sys.executable, "-P", "-m", "twofold.corpus.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**environment, **_ONE_THREAD},
            cwd=Path(tempfile.gettempdir()),
            # Ctrl-C in the terminal must not reach the worker
            start_new_session=True,
            bufsize=0,
        )
        self.started += 1
        try:
            self._exchange(b"", START_SECONDS, name)
        except FileTimeout as error:
            raise ReaderCrashed("the process that reads files does not start", file=name) from error

    def _exchange(self, out: bytes, seconds: float, name: str) -> Json:
        """Send `out` and receive one answer. When the time is over the process is killed, which ends every wait."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        overdue = threading.Event()

        def give_up() -> None:
            overdue.set()
            process.kill()

        clock = threading.Timer(seconds, give_up)
        clock.daemon = True
        clock.start()
        try:
            pending = memoryview(out)
            with contextlib.suppress(OSError):  # the worker died: reading its answer below ends at once
                while pending:
                    pending = pending[os.write(process.stdin.fileno(), pending[: 16 * _PIECE]) :]
            got = bytearray()
            while len(got) < LENGTH.size or len(got) < LENGTH.size + LENGTH.unpack_from(got)[0]:
                # JSON takes up to 12 bytes a character (two \\u escapes); a greater length is not waited for
                if len(got) >= LENGTH.size and LENGTH.unpack_from(got)[0] > 12 * self.limit + 16 * MIB:
                    raise self._too_much(name)
                piece = os.read(process.stdout.fileno(), 16 * _PIECE)
                if not piece and overdue.is_set():
                    raise FileTimeout(f"reading it took more than {seconds:g} seconds", file=name)
                if not piece:
                    raise self._died(name)
                got += piece
        finally:
            clock.cancel()
        answer: Json = json.loads(bytes(got[LENGTH.size :]))
        return answer

    def _too_much(self, name: str) -> FileTooLarge:
        return FileTooLarge(f"the file has more than {self.limit / MIB:g} million characters of text", file=name)

    def _died(self, name: str) -> FileTimeout | FileTooLarge | ReaderCrashed:
        assert self._process is not None
        assert self._errors is not None
        code = self._process.wait()
        self._errors.seek(0, os.SEEK_END)
        # the end of standard error has the reason
        self._errors.seek(max(0, self._errors.tell() - 4096))
        tail = self._errors.read().decode("utf-8", "replace").strip()
        if any(sign in tail for sign in ("memory allocation of", "MemoryError", "bad_alloc", "Cannot allocate memory")):
            return out_of_memory(self.memory_mib, name)
        last = tail.splitlines()[-1][:200] if tail else "no message"
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        return ReaderCrashed(f"the process reading it ended {how}: {last}", file=name)


def out_of_memory(memory_mib: int, name: str) -> FileTooLarge:
    """The error of a file that needs too much memory."""
    return FileTooLarge(
        f"reading the file needs more than {memory_mib} MiB of memory",
        file=name,
        cure="Split the file, or raise [documents].max_memory_mib in twofold.toml.",
    )


def as_json(line: int, item: Document | Problem) -> Json:
    """One document or problem as JSON, for the pipe."""
    if isinstance(item, Problem):
        fields: Json = {key: getattr(item, key) for key in ("severity", "code", "message", "cure", "file", "line")}
        return {"at": line, "problem": fields}
    return {
        "at": line,
        "document": {
            "id": item.id,
            "text": item.text,
            "title": item.title,
            "source": item.source,
            "metadata": dict(item.metadata),
            "readers": None if item.readers is None else list(item.readers),
            "places": [[place.start, place.label, place.lines, place.first] for place in item.places],
        },
    }


def _item(entry: Any) -> tuple[int, Document | Problem]:
    if "problem" in entry:
        return int(entry["at"]), Problem(**entry["problem"])
    fields = dict(entry["document"])
    places = tuple(
        Place(start=int(start), label=str(label), lines=str(lines), first=int(first))
        for start, label, lines, first in fields.pop("places")
    )
    readers = fields.pop("readers")
    return int(entry["at"]), Document(places=places, readers=None if readers is None else tuple(readers), **fields)
