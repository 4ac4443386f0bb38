"""The process in which foreign Python runs, the counterpart of `confined.run`: a script of the standard library alone.

It gets one JSON object on standard input, imports the modules of the standard library that the program names, and then
gives up everything but computing: memory, processor time and files are limited, and a filter of the kernel (seccomp)
refuses every system call but those that compute, wait and use the files that are open. Only then does it run the
program. So the program opens no file, no connection and no process, whatever it does to the interpreter.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import importlib
import io
import json
import platform
import signal
import sys
from typing import Any

CONFINED = b"confined\n"
"""First line of the output, before the program runs; without it the system refused the limits, and nothing was run."""
_MOST_WRITTEN = 64 * 1024
"""Bytes of each of the two output files, which the program could write to; the answer has a few hundred."""
_ALLOWED = {
    # read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn sched_yield mremap
    # madvise nanosleep getpid exit gettimeofday getrusage sigaltstack gettid futex clock_gettime clock_getres
    # clock_nanosleep exit_group getrandom rseq
    "x86_64": (0xC000003E, (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 28, 35, 39, 60, 96, 98, 131, 186, 202,
                            228, 229, 230, 231, 318, 334)),
    "aarch64": (0xC00000B7, (63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 124, 216, 233, 101, 172, 93, 169,
                             165, 132, 178, 98, 113, 114, 115, 94, 278, 293)),
}  # fmt: skip
"""Machine → its AUDIT_ARCH, and the numbers of the system calls that stay allowed."""
_PURE_MODULES = (
    "abc array base64 bisect cmath collections contextlib copy dataclasses datetime decimal difflib enum fractions "
    "functools hashlib heapq html io itertools json math numbers operator os pprint random re statistics string struct "
    "sys textwrap time types typing unicodedata"
)
_MODULES = frozenset(_PURE_MODULES.split(" "))
"""Modules that a program may import: after the filter nothing can be read from disk any more."""
_LATER = {"datetime": ("_strptime",), "collections": ("collections.abc",), "time": ("_strptime",)}
"""Modules that these import only when a function is called."""
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER, _DEATH_SIGNAL = 38, 22, 2, 1
_MESSAGE = 200
"""Characters of an error's message that are reported."""


def main() -> None:
    """Read one request, run it, and write the nonce and the reason why it failed; no reason: it passed."""
    request = json.loads(sys.stdin.buffer.read())
    answers = sys.stdout.buffer
    for name in _imported(f"{request['program']}\n{request['tests']}"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    program: dict[str, Any] = {"__name__": "program"}
    try:
        _confine(request["seconds"], request["memory_mib"])
    except Exception as error:  # whatever it is: what is not confined must not run, and the parent says why
        sys.stderr.write(f"{type(error).__name__}: {error}")
        sys.stderr.flush()
        sys.exit(1)
    answers.write(CONFINED)
    answers.flush()
    # What the program prints goes nowhere: standard output is the answer's.
    sys.stdout = sys.stderr = _Sink()
    reason = _failed(request["program"], program, "the answer") or _failed(request["tests"], program, "the tests")
    answers.write(json.dumps([request["nonce"], reason]).encode("ascii"))
    answers.flush()


class _Sink(io.TextIOBase):
    """Takes everything and keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)


def _failed(code: str, names: dict[str, Any], what: str) -> str:
    """Run code; the error that ended it in words, with its line, or empty."""
    try:
        exec(compile(code, what, "exec"), names)
    except MemoryError:
        return f"{what}: MemoryError: more memory than allowed"
    except SyntaxError as error:
        return f"{what} is no Python: {error.msg} (line {error.lineno})"
    except BaseException as error:  # also SystemExit: a program that leaves has not passed
        line = 0
        trace = error.__traceback__
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == what else line
            trace = trace.tb_next
        message = str(error)[:_MESSAGE]
        return f"{what}, line {line}: {type(error).__name__}" + (f": {message}" if message else "")
    return ""


def _imported(code: str) -> list[str]:
    """The allowed modules that code imports."""
    names: set[str] = set()
    # Which of two texts is no Python does not matter here: running them tells.
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    allowed = {name for name in names if name.partition(".")[0] in _MODULES}
    return [*sorted(allowed), *(later for name in sorted(allowed) for later in _LATER.get(name, ()))]


def _confine(seconds: int, memory_mib: int) -> None:
    """Give up everything but computing.

    Raises:
        OSError: the system refuses a limit or the filter.
        KeyError: the machine is of a kind whose system calls are not known here.
    """
    if sys.platform != "linux":
        raise OSError(f"no filter of system calls on {sys.platform}")
    import resource

    arch, allowed = _ALLOWED[platform.machine()]
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    most = pages * resource.getpagesize() + memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # One more second for the hard limit: the soft one ends the process by a signal of its own.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_WRITTEN, _MOST_WRITTEN))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library = ctypes.CDLL(None, use_errno=True)

    def control(*arguments: Any) -> None:
        if library.prctl(*(ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments)):
            raise OSError(ctypes.get_errno(), "the system call filter (seccomp) is refused")

    control(_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
    control(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    rules = _rules(arch, allowed)
    lines = (_Line * len(rules))(*(_Line(*rule) for rule in rules))
    control(_SECCOMP, _FILTER, ctypes.byref(_Program(len(rules), lines)), 0, 0)


class _Line(ctypes.Structure):
    """``sock_filter`` of the kernel: code, jump if true, jump if false, operand."""

    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    """``sock_fprog`` of the kernel."""

    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_Line)))


def _rules(arch: int, allowed: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """A filter (classic BPF) that ends calls of another machine's numbering and refuses all but the allowed ones."""
    load, equal, give = 0x20, 0x15, 0x06
    rules = [(load, 0, 0, 4), (equal, 1, 0, arch), (give, 0, 0, 0x80000000), (load, 0, 0, 0)]
    for place, number in enumerate(allowed):
        # Jumps over the remaining comparisons and the refusal.
        rules.append((equal, len(allowed) - place, 0, number))
    return [*rules, (give, 0, 0, 0x00050001), (give, 0, 0, 0x7FFF0000)]


if __name__ == "__main__":
    main()
