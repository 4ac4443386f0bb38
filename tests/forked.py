"""Processes that a test starts, kills, limits or watches, forked from one that has imported what they all need.

`lancedb` starts threads when it is imported, which a fork does not take along: it starts them again in each child, and
its warning of a child that is forked amid a query does not concern a process that never makes one.
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from typing import IO, Any

from twofold.files.locking import locked
from twofold.host import children

LIBRARY = """
import lancedb, numpy, pyarrow.dataset
lancedb.background_loop._FORK_WARNED = True
import twofold.cli.commands, twofold.cli.main, twofold.project, twofold.serving.app
import anyio._backends._asyncio, rich.logging
import uvicorn.lifespan.on, uvicorn.loops.uvloop, uvicorn.protocols.http.h11_impl
import twofold.retrieval.indexes.lancedb.index, twofold.retrieval.retrievers.hybrid
import twofold.serving.running, twofold.serving.wire, twofold.testing.echo_generator, twofold.testing.hashing_embedder
from twofold.plugins import loading
for kind in loading.get_args(loading.Kind):
    loading.names(kind)
"""
TORCH = """
import peft, torch, transformers
import transformers.models.llama.modeling_llama
from transformers import AutoModelForCausalLM, AutoTokenizer
import twofold.training.worker.embedder_loop, twofold.training.worker.loop
"""
WORKER = f"{LIBRARY}{TORCH}import hypothesis, mcp.client.client, openai, scipy.stats\n"
"""What processes of pytest-xdist import, all tests' files and most of their work together."""
WITH_TORCH = (
    "twofold.generation.export.exporting",
    "twofold.generation.export.parity",
    "twofold.training.difficulty",
    "twofold.training.worker.embedder_main",
    "twofold.training.worker.main",
)
"""Children for which the imports of torch take longer than a small model's work."""
_SECONDS = 120.0
_WIDTH = 16
"""Bytes in which a number is answered."""
_BEGUN: list[subprocess.Popen[bytes]] = []
"""Processes of nurseries, which may outlive the session that has started them."""
_MODULE = "import sys; from twofold.host import children; children.main(sys.argv[1:])"


class Process:
    """A process that runs: what `subprocess.Popen` offers, as far as `twofold.host.children` and its callers use it."""

    def __init__(self, server: socket.socket, job: Mapping[str, Any], outputs: Sequence[Any]) -> None:
        """Start it; `outputs` are its stdout and stderr, each as `Popen` takes it."""
        watched, end = os.pipe()
        status, tell = os.pipe()
        self.stdin: IO[bytes] | None = os.fdopen(end, "wb", buffering=0)
        self._status, self._returncode = status, -1
        self._ended = False
        reading: list[IO[bytes] | None] = []
        theirs, closing = [watched], [watched, tell]
        for output in outputs:
            if output == subprocess.PIPE:
                read, write = os.pipe()
                reading.append(os.fdopen(read, "rb"))
                closing.append(write)
            else:
                reading.append(None)
                write = theirs[-1] if output == subprocess.STDOUT else output.fileno()
            theirs.append(write)
        self.stdout, self.stderr = reading
        socket.send_fds(server, [json.dumps(job).encode()], [*theirs, tell])
        for descriptor in closing:
            os.close(descriptor)
        self.pid = int(os.read(status, _WIDTH))

    def poll(self) -> int | None:
        """Its exit status, minus the signal that ended it, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, or minus the signal that ended it."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return status

    def terminate(self) -> None:
        """End it by SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it unless it has ended; `wait` must follow."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Signal it unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _look(self, timeout: float | None) -> int | None:
        if not self._ended:
            if not select([self._status], [], [], timeout)[0]:
                return None
            self._returncode = int(os.read(self._status, _WIDTH))
            self._ended = True
            os.close(self._status)
        return self._returncode


class Forked:
    """A process of a test's own code; `stdout` and `stderr` are pipes from it. It is killed after so many seconds."""

    def __init__(self, process: Process, seconds: float) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.close()
        self._process, self.pid = process, process.pid
        self.stdout: IO[str] = io.TextIOWrapper(process.stdout, encoding="utf-8", errors="replace")
        self.stderr: IO[str] = io.TextIOWrapper(process.stderr, encoding="utf-8", errors="replace")
        self._clock = threading.Timer(seconds, process.kill)
        self._clock.daemon = True
        self._clock.start()
        self._written: tuple[str, str] | None = None

    def kill(self) -> None:
        """Kill it unless it has ended; `wait` must follow."""
        self._process.kill()

    def terminate(self) -> None:
        """End it by SIGTERM; `wait` must follow."""
        self._process.terminate()

    def send_signal(self, number: int) -> None:
        """Signal it unless it has ended; `wait` must follow."""
        self._process.send_signal(number)

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._process.poll()

    def communicate(self) -> tuple[str, str]:
        """All that it writes to stdout and to stderr, which are closed; `wait` must follow.

        A second call repeats it, as `Popen` allows one: who reports a failed start has read before the clean-up does.
        """
        if self._written:
            return self._written
        errors: list[str] = []
        listening = threading.Thread(target=lambda: errors.append(self.stderr.read()))
        listening.start()
        written = self.stdout.read()
        listening.join()
        self.stdout.close()
        self.stderr.close()
        self._written = written, errors[0]
        return self._written

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, or minus the signal that ended it."""
        status = self._process.wait(timeout)
        self._clock.cancel()
        return status


class Nursery:
    """Starts processes that run Python code as ``python -c`` would, or a module as `twofold.host.children` does.

    `address` is that of its socket, for `forked_command.py`.
    """

    def __init__(self, server: socket.socket, address: Path) -> None:
        self._server, self.address = server, address

    def start(self, code: str, *argv: str, seconds: float = _SECONDS) -> Forked:
        """Start a process, which must be waited for."""
        return Forked(Process(self._server, _job(code, argv), [subprocess.PIPE, subprocess.PIPE]), seconds)

    def command(self, *words: str, seconds: float = _SECONDS) -> Forked:
        """Start ``twofold`` with these words; it must be waited for."""
        return self.start("import sys; from twofold.cli.main import main; sys.exit(main())", *words, seconds=seconds)

    def run(self, code: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a process to its end."""
        child = self.start(code, *argv)
        written, errors = child.communicate()
        return subprocess.CompletedProcess([*argv], child.wait(), written, errors)

    @contextmanager
    def running(
        self, module: str, arguments: Sequence[str], *, stdout: Any, stderr: Any, environment: Any = None
    ) -> Iterator[Process]:
        """Stands for `children.running`."""
        child = Process(self._server, _job(_MODULE, [module, *arguments], environment), [stdout, stderr])
        try:
            yield child
        finally:
            children._end(child)  # type: ignore[arg-type]


def _job(code: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a process of this environment and working directory runs."""
    surroundings = {"environment": dict(environment or os.environ), "directory": os.getcwd()}
    return {"code": code, "argv": argv, **surroundings}


@contextmanager
def opened(imports: str, address: Path) -> Iterator[Nursery]:
    """A nursery, whose processes have these imports behind them.

    Its own process is that of every session with the same address: who comes first starts it, with the last it ends.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ours:
        with locked(address.with_suffix(".lock")):
            try:
                ours.connect(str(address))
            except (FileNotFoundError, ConnectionRefusedError):
                _begin(imports, address)
                ours.connect(str(address))
        yield Nursery(ours, address)


def wait() -> None:
    """Wait until the nurseries that were started here have ended; till then the folders of their addresses stay."""
    for process in _BEGUN:
        process.wait(_SECONDS)


def _begin(imports: str, address: Path) -> None:
    """Start the process of a nursery; who connects before it has imported everything waits for it."""
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(address))
        listener.listen(16)
        call = f"forked.serve({listener.fileno()}, {imports!r}, {str(address)!r})"
        code = f"import sys; sys.path[:] = {sys.path!r}; import forked; {call}"
        _BEGUN.append(
            subprocess.Popen([sys.executable, "-c", code], pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL)
        )


def serve(descriptor: int, imports: str, address: str) -> None:
    """Fork a process for every message: its number is answered, and then how it ended."""
    gc.disable()
    exec(imports, {})
    # Looking for garbage among what was imported, a child would write to, and so copy, all its memory: a study's plan
    # took 3.2 seconds of a processor instead of 1.8.
    gc.freeze()
    gc.enable()
    listener, askers = socket.socket(fileno=descriptor), list[socket.socket]()
    while True:
        ready, _, _ = select([listener, *askers], [], [], None if askers else _SECONDS)
        if listener in ready:
            askers.append(listener.accept()[0])
        for asker in [one for one in askers if one in ready]:
            message, pipes, *_ = socket.recv_fds(asker, 1 << 20, 4)
            if not message:
                askers.remove(asker)
                asker.close()
                continue
            if not os.fork():
                for inherited in (listener, *askers):
                    inherited.close()
                _start(json.loads(message), pipes)
            for pipe in pipes:
                os.close(pipe)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        if not askers and _nobody_comes(listener, Path(address)):
            return


def _nobody_comes(listener: socket.socket, address: Path) -> bool:
    """Whether nobody has connected meanwhile; then nobody can any more."""
    with locked(address.with_suffix(".lock")):
        if select([listener], [], [], 0)[0]:
            return False
        address.unlink(missing_ok=True)
        return True


def _start(job: dict[str, Any], pipes: list[int]) -> None:
    """In between: fork the process and write its number and how it ends; it never returns."""
    *streams, status = pipes
    try:
        number = os.fork()
        if not number:
            os.close(status)
            _run(job, streams)
        for stream in streams:
            os.close(stream)
        os.write(status, f"{number:{_WIDTH}}".encode())
        _, ended = os.waitpid(number, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(ended):{_WIDTH}}".encode())
    finally:
        os._exit(0)


def _run(job: dict[str, Any], streams: list[int]) -> None:
    """In the child: what ``python -c`` would do; it never returns."""
    status: Any = 1
    try:
        for descriptor, stream in enumerate(streams):
            os.dup2(stream, descriptor)
        for stream in streams:
            os.close(stream)
        os.chdir(job["directory"])
        os.environ.clear()
        os.environ.update(job["environment"])
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
