"""Seconds and peak memory of a stretch of work, this process and its finished children."""

from __future__ import annotations

import platform
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from types import TracebackType

from twofold import machine
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
    cpu = machine.processor()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": cpu.model or platform.processor(),
        "instructions": list(cpu.instructions),
        "caps": list(cpu.caps),
        "cores": machine.cores(),
        "memory_gib": round(machine.memory_bytes() / 2**30, 1),
        "packages": versions,
    }
