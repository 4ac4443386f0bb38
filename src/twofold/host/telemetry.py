"""Import OpenVINO's modules without its telemetry: nothing that Twofold uses reports home.

When OpenVINO is imported, its telemetry package sends usage data to an analytics service, from a forked child. Where
that package cannot be imported, OpenVINO uses its own silent stub instead, for the life of the process.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

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
        hidden = _PACKAGE not in sys.modules
        if hidden:
            sys.modules[_PACKAGE] = None  # type: ignore[assignment]  # the import system's own way to refuse a module
        try:
            return importlib.import_module(name)
        finally:
            if hidden:
                sys.modules.pop(_PACKAGE, None)
