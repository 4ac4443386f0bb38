"""Processes that a test kills, limits or watches, forked from one that has imported what they all need.

`lancedb` itself is not among that: it starts threads, which a fork would not take along.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

_IMPORTED = """
import lance_namespace, numpy, pyarrow.dataset
import twofold.cli.main, twofold.project
"""
_SECONDS = 120.0


class Forked:
    """A process that runs; `stdout` and `stderr` are pipes from it."""

    def __init__(self, server: socket.socket, code: str, argv: tuple[str, ...]) -> None:
        self._server = server
        ends, descriptors = [os.pipe(), os.pipe()], []
        for read, write in ends:
            os.set_inheritable(read, False)
            descriptors.append(write)
        socket.send_fds(server, [json.dumps({"code": code, "argv": argv}).encode()], descriptors)
        for write in descriptors:
            os.close(write)
        self.stdout: IO[str] = os.fdopen(ends[0][0], encoding="utf-8", errors="replace")
        self.stderr: IO[str] = os.fdopen(ends[1][0], encoding="utf-8", errors="replace")
        self.pid = int(server.recv(64))
        self._clock = threading.Timer(_SECONDS, self.kill)
        self._clock.daemon = True
        self._clock.start()

    def kill(self) -> None:
        """Kill it unless it has ended; `wait` must follow."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, or minus the signal that ended it."""
        status = int(self._server.recv(64))
        self._clock.cancel()
        self.stdout.close()
        self.stderr.close()
        return status


class Nursery:
    """Starts processes, one at a time, that run Python code as ``python -c`` would."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server

    def start(self, code: str, *argv: str) -> Forked:
        """Start a process, which must be waited for."""
        return Forked(self._server, code, argv)

    def run(self, code: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a process to its end."""
        child, errors = self.start(code, *argv), []
        listening = threading.Thread(target=lambda: errors.append(child.stderr.read()))
        listening.start()
        said = child.stdout.read()
        listening.join()
        return subprocess.CompletedProcess([*argv], child.wait(), said, errors[0])


@contextmanager
def opened() -> Iterator[Nursery]:
    """A nursery, whose own process ends with the block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = f"import sys; sys.path[:] = {sys.path!r}; import forked; forked.serve({theirs.fileno()})"
    process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    try:
        yield Nursery(ours)
    finally:
        ours.close()
        process.wait(60)


def serve(descriptor: int) -> None:
    """Fork a process for every message: its number is answered, and then how it ended."""
    exec(_IMPORTED, {})
    with socket.socket(fileno=descriptor) as asked:
        while True:
            message, pipes, *_ = socket.recv_fds(asked, 1 << 20, 2)
            if not message:
                return
            number = os.fork()
            if not number:
                asked.close()
                _run(json.loads(message), pipes)
            for pipe in pipes:
                os.close(pipe)
            asked.send(str(number).encode())
            _, status = os.waitpid(number, 0)
            asked.send(str(os.waitstatus_to_exitcode(status)).encode())


def _run(job: dict[str, Any], pipes: list[int]) -> None:
    """In the child: what ``python -c`` would do; it never returns."""
    status: Any = 1
    try:
        for descriptor, pipe in zip((1, 2), pipes, strict=True):
            os.dup2(pipe, descriptor)
            os.close(pipe)
        sys.argv = ["-c", *job["argv"]]
        exec(compile(job["code"], "<test>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
