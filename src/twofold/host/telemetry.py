"""Import OpenVINO's modules without its telemetry, for nothing that Twofold uses reports home, and safely on one core.

When OpenVINO is imported, its telemetry package sends usage data to an analytics service, from a forked child. Where
that package cannot be imported, OpenVINO uses its own silent stub instead, for the life of the process.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import Any

from twofold.host import capabilities

_PACKAGE = "openvino_telemetry"
_importing = threading.Lock()


def imported(name: str) -> Any:
    """Import a module of OpenVINO, such as ``openvino_genai``; the telemetry package is blocked only meanwhile.

    A program that has already imported either keeps its modules.

    Raises:
        ModuleNotFoundError: the module is not installed.
    """
    # one at a time: the package is blocked for the whole process
    with _importing:
        _spare_single_core()
        hidden = _PACKAGE not in sys.modules
        if hidden:
            sys.modules[_PACKAGE] = None  # type: ignore[assignment]  # the import system's own way to refuse a module
        try:
            return importlib.import_module(name)
        finally:
            if hidden:
                sys.modules.pop(_PACKAGE, None)


def _spare_single_core() -> None:
    """Keep a process of one core from AMX, by which OpenVINO divides a language model's layers among half its threads.

    Of one thread that is none: the process ends by SIGFPE (OpenVINO 2026.4 and before, issue 33300 of its repository).
    It is decided at the first import, as OpenVINO reads the variable once.
    """
    loaded = "openvino" in sys.modules
    if not loaded and capabilities.cores() == 1 and "amx_bf16" in capabilities.processor().instructions:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_BF16"
