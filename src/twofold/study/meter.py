"""Seconds and peak memory of a stretch of work, this process and its finished children."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from types import TracebackType

from twofold.types import Json

_PACKAGES = ("lancedb", "numpy", "openvino", "openvino-genai", "peft", "tokenizers", "torch", "transformers", "twofold")


class Meter:
    """Context manager; afterwards `seconds` and `peak_mib` hold.

    On Linux the process's own high-water mark is reset at the start (``/proc/self/clear_refs``), so that the peak is
    that of this stretch; elsewhere it is the peak since the process began, which is never too low.
    """

    seconds: float = 0.0
    peak_mib: float = 0.0

    def __enter__(self) -> Meter:
        self._reset = _reset_peak()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self.peak_mib = _peak_mib(self._reset)


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_mib(reset: bool) -> float:
    if reset:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def environment() -> Json:
    """Where the numbers were made: Python, machine, memory, package versions."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        memory = 0.0
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory, 1),
        "packages": versions,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()
