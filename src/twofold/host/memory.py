"""The memory of this process, as Linux, macOS and Windows report it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """Peak memory of this process in MiB; 0 where the system does not report it."""
    peak = _of_linux("VmHWM")
    if peak:
        return peak / 2**20
    try:
        import resource
    except ImportError:
        return _of_windows() / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)  # macOS reports bytes, other systems KiB


def now(field: str) -> int:
    """A field of Linux's ``/proc/self/status`` (``VmSize``, ``VmRSS``) in bytes; 0 elsewhere."""
    return _of_linux(field)


def _of_linux(field: str) -> int:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(field + ":")), 0)


def _of_windows() -> int:
    """``PeakWorkingSetSize`` of this process; 0 elsewhere."""
    if sys.platform == "win32":
        import ctypes

        kernel: Any = ctypes.WinDLL("kernel32")
        # PROCESS_MEMORY_COUNTERS: two 32-bit words (length, page faults), then eight sizes, the peak first
        words = (ctypes.c_size_t * (9 if ctypes.sizeof(ctypes.c_size_t) == 8 else 10))()
        ctypes.cast(words, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(words)
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        process = ctypes.c_void_p(kernel.GetCurrentProcess())
        succeeded = kernel.K32GetProcessMemoryInfo(process, words, ctypes.sizeof(words))
        return int(words[len(words) - 8]) if succeeded else 0
    return 0
