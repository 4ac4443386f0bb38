"""Seconds and peak memory of a stretch of work, this process and its finished children."""

from __future__ import annotations

import contextlib
import platform
import time
from importlib import metadata
from pathlib import Path
from types import TracebackType

from twofold.host import capabilities, memory
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
        _reset_peak()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self.peak_mib = memory.peak_mib()


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        # 5 resets the peak of resident memory (proc(5))
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def environment() -> Json:
    """The environment of a measurement: Python, machine, memory, package versions."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    cpu = capabilities.processor()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": cpu.model or platform.processor(),
        "instructions": list(cpu.instructions),
        "caps": list(cpu.caps),
        "cores": capabilities.cores(),
        "memory_gib": round(capabilities.memory_bytes() / 2**30, 1),
        "packages": versions,
    }
