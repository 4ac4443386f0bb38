"""OpenVINO's modules, imported without its telemetry: nothing that Twofold uses reports home.

OpenVINO's package for telemetry sends usage to an analytics service, when OpenVINO is imported, from a forked child.
Where that package cannot be imported, OpenVINO takes its own silent stub instead, for good.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

_PACKAGE = "openvino_telemetry"
_importing = threading.Lock()


def imported(name: str) -> Any:
    """A module of OpenVINO, such as ``openvino_genai``; the package for telemetry is out of the way only meanwhile.

    A program that has imported either itself keeps what it has.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    with _importing:
        hidden = _PACKAGE not in sys.modules
        if hidden:
            sys.modules[_PACKAGE] = None  # type: ignore[assignment]  # the import system's own way to refuse a module
        try:
            return importlib.import_module(name)
        finally:
            if hidden:
                sys.modules.pop(_PACKAGE, None)
