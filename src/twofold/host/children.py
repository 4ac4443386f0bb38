"""Child processes that end with their parent, whatever ends it: SIGTERM, SIGKILL, a crash, a closed terminal.

`running` starts ``python -m twofold.host.children MODULE ARGUMENTS``, which watches its parent and runs the module.
Standard input of the child is a pipe whose other end only the parent holds: the system closes it when the parent ends,
and a thread of the child that waits for this end of file exits the process. Processes that the child itself starts
through this module (torchrun's workers) inherit the pipe and end as well. On Linux the child also requests the kernel's
death signal, which ends it even in native code that does not let the thread run. On Windows, where a waiting read of
standard input blocks the loading of libraries, the thread waits for the parent process itself.

`run_program` does the same for a program that is no Python module, such as git: a Python process in between watches the
parent, and ends the program with everything that it has started.
"""

from __future__ import annotations

import contextlib
import errno
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PATIENCE = 1.0
"""Seconds that a child has to end after SIGTERM, before it is killed."""
_LOOK = 1.0
"""Seconds between two checks that the parent is still the same process."""
_DEATH_SIGNAL = 1
"""``PR_SET_PDEATHSIG`` of prctl(2)."""
PROGRAM = "--program"
"""Stands in place of a module: the command line of a program follows."""
_SYNCHRONIZE = 0x00100000
_FOREVER = 0xFFFFFFFF


@contextlib.contextmanager
def running(
    module: str,
    arguments: Sequence[str],
    *,
    stdout: int | IO[bytes] | None,
    stderr: int | IO[bytes] | None,
    environment: Mapping[str, str] | None = None,
    inherited: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m module arguments`` in a child, which is ended when the block is left.

    Descriptors that are `inherited` are the child's, too; Windows has none.

    The thread that enters the block must live until the end of the block: Linux ends the child with the thread that
    started it. Do not call `communicate` on the child: it closes the pipe that the child watches.
    """
    # -P: a module in the working directory must not take the place of an installed one
    command = [sys.executable, "-P", "-m", __name__, module, *arguments]
    # Windows hands on no descriptors by their numbers.
    descriptors = () if sys.platform == "win32" else inherited
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=environment, pass_fds=descriptors
    )
    try:
        yield child
    finally:
        _end(child)


def run(module: str, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> int:
    """Run ``python -m module arguments`` with its output in `log`, and return the exit status."""
    with (
        log.open("wb") as output,
        running(module, arguments, stdout=output, stderr=subprocess.STDOUT, environment=environment) as child,
    ):
        return child.wait()


def run_program(
    command: Sequence[str], *, timeout: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, without a terminal, and return its output; the program never outlives this process.

    Args:
        command: The program and its arguments.
        timeout: Longest time in seconds.
        environment: Environment variables; those of this process by default.

    Raises:
        FileNotFoundError: the program does not exist.
        subprocess.TimeoutExpired: the program took longer, and was ended.
    """
    path = None if environment is None else environment.get("PATH", os.defpath)
    # here: the process in between could tell it by an exit status only
    if shutil.which(command[0], path=path) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    # files and no pipes: a pipe that nobody reads fills, and stops the program
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with running(PROGRAM, command, stdout=out, stderr=err, environment=environment) as child:
            status = child.wait(timeout)
        for written in (out, err):
            written.seek(0)
        return subprocess.CompletedProcess(list(command), status, out.read(), err.read())


def _end(child: subprocess.Popen[bytes]) -> None:
    """Terminate the child, and kill it after `PATIENCE`; closing the pipe also ends processes that it has started."""
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def watch() -> None:
    """End this process when its parent ends: standard input is the pipe that `running` made."""
    parent = os.getppid()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    _when_gone(parent, lambda: os._exit(1))  # nobody is left to report to, and files are written atomically


def _when_gone(parent: int, end: Callable[[], object]) -> None:
    threading.Thread(target=_wait, args=(parent, end), daemon=True, name="twofold-parent").start()


def _wait(parent: int, end: Callable[[], object]) -> None:
    """Call `end` when the parent has ended."""
    if sys.platform == "win32":
        import ctypes

        kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)
        # a handle is as wide as a pointer; ctypes assumes 32 bits
        kernel.OpenProcess.restype = ctypes.c_void_p
        process = kernel.OpenProcess(_SYNCHRONIZE, False, parent)
        # none: the parent has ended already
        if process:
            kernel.WaitForSingleObject(ctypes.c_void_p(process), _FOREVER)
    else:
        import select

        # by both: the pipe may be held by another process that inherited it, and a new parent means that the old ended
        while os.getppid() == parent:
            readable, _, _ = select.select([0], [], [], _LOOK)
            if readable and not os.read(0, 4096):
                break
    end()


def _program(command: Sequence[str]) -> int:
    """Run a program until it or the parent ends, and return its exit status.

    The kernel's death signal is not requested: it would end this process before it can end the program.
    """
    parent = os.getppid()
    if sys.platform != "win32":
        os.setsid()  # a group of the program and the processes that it starts, which is ended as a whole
    program: subprocess.Popen[bytes] | None = None

    def end() -> None:
        if sys.platform != "win32":
            # 0: this process's own group
            os.killpg(0, signal.SIGKILL)
        elif program is not None:
            program.kill()
        os._exit(1)

    signal.signal(signal.SIGTERM, lambda *_: end())  # before the start, so that the program can be ended at any time
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    _when_gone(parent, end)
    return program.wait()


def main(arguments: Sequence[str]) -> None:
    """Watch the parent and run a module as ``python -m`` does, or a program. The parent alone acts on Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if arguments[0] == PROGRAM:
        sys.exit(_program(arguments[1:]))
    watch()
    sys.argv[1:] = arguments[1:]
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
