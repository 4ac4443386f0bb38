"""The process that reads files: ``python -m twofold.corpus.worker``, the counterpart of `sandbox.Worker`.

A request is a length, a JSON object and the bytes of a file; an answer is a length and a JSON object. Output that a
library prints goes to standard error. Memory is limited anew for each file, to the memory in use plus the allowance of
one file. The process ends with its parent (at the end of its input), and by an alarm where a library blocks it. Where
the system lacks such limits and alarms (Windows), the parent's time limit is the only one.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from twofold.corpus.sandbox import LENGTH, as_json, out_of_memory
from twofold.errors import BadRecord, DamagedFile, DataError, FileTooLarge, TwofoldError
from twofold.files.reading import MIB, as_problem, excerpt
from twofold.host import memory
from twofold.plugins import loading
from twofold.plugins.protocols import ReadsPlaces
from twofold.types import Document, Json, Problem


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    # answers have their own descriptor; standard output of a library goes to standard error
    os.dup2(2, 1)
    # Ctrl-C is for the process that asks, which then ends this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # no core file: it would hold the text of the file
    _limit("RLIMIT_CORE", 0)
    coming: queue.SimpleQueue[tuple[Json, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(coming,), daemon=True).start()
    _send(answers, {"ready": True})
    while True:
        request, data = coming.get()
        if hasattr(signal, "alarm"):
            # 5 s after the parent's limit: the alarm counts only where the parent is gone
            signal.alarm(int(request["seconds"]) + 5)
        # a limit of the address space, as the system has none of the memory in use
        _limit("RLIMIT_AS", memory.now("VmSize") + request["memory_mib"] * MIB)
        items = list(_read(request, data))
        del data
        _limit("RLIMIT_AS", None)
        _send(answers, {"items": items, "rss_mib": memory.now("VmRSS") // MIB})
        if hasattr(signal, "alarm"):
            signal.alarm(0)


def _receive(coming: queue.SimpleQueue[tuple[Json, bytes]]) -> None:
    """Receive requests while a file is being read, so that this process ends at once when its parent is gone."""
    requests = os.fdopen(os.dup(0), "rb")
    try:
        while (head := _exactly(requests, LENGTH.size)) is not None:
            request = json.loads(_exactly(requests, LENGTH.unpack(head)[0]) or b"{}")
            coming.put((request, _exactly(requests, request["size"]) or b""))
    finally:
        os._exit(1)


def _read(request: Json, data: bytes) -> list[Json]:
    name: str = request["file"]
    items: list[Json] = []
    total = 0
    try:
        cls = _reader(request["reader"])
        reader = cls(cls.Options.model_validate(request["options"]))
        path = Path(name)
        documents = (
            reader.places(path, data)
            if isinstance(reader, ReadsPlaces)
            else ((0, document) for document in reader.read(path, data))
        )
        for line, item in documents:
            items.append(as_json(line, as_problem(item) if isinstance(item, BadRecord) else item))
            total += len(item.text) if isinstance(item, Document) else 200
            if total > request["limit"]:
                raise FileTooLarge(f"the file has more than {request['limit'] / MIB:g} million characters", file=name)
    except DataError as error:
        return [as_json(0, as_problem(error))]
    except TwofoldError as error:
        return [as_json(0, _as_problem(error, name))]
    except MemoryError:
        # the documents read so far are freed first: building the error takes memory, too
        items.clear()
        _limit("RLIMIT_AS", None)
        return [as_json(0, as_problem(out_of_memory(request["memory_mib"], name)))]
    except RecursionError:
        return [as_json(0, as_problem(DamagedFile("the file is nested too deeply", file=name)))]
    # Libraries raise whatever a damaged file leads them to; the class tells a fault of the reader from one of the file.
    except Exception as error:
        _limit("RLIMIT_AS", None)
        what = f"{type(error).__name__}: {excerpt(str(error), 160)}"
        return [as_json(0, as_problem(DamagedFile(f"its reader cannot make sense of it: {what}", file=name)))]
    return items


@cache
def _reader(name: str) -> Any:
    """The reader's class, looked up once: finding plugins reads every installed package's metadata."""
    return loading.find("readers", name)


def _as_problem(error: TwofoldError, name: str) -> Problem:
    return Problem(severity="error", code=error.code, message=error.message, cure=error.cure, file=name)


def _send(answers: BinaryIO, value: Json) -> None:
    body = json.dumps(value).encode("ascii")
    answers.write(LENGTH.pack(len(body)) + body)
    answers.flush()


def _exactly(stream: Any, size: int) -> bytes | None:
    """Read `size` bytes; None when the other side is gone."""
    data = stream.read(size)
    return data if len(data) == size else None


def _limit(name: str, value: int | None) -> None:
    """Set a soft limit where the system has it; None lifts it."""
    with contextlib.suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        which = getattr(resource, name)
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (hard if value is None else value, hard))


if __name__ == "__main__":
    sys.setrecursionlimit(2000)
    main()
