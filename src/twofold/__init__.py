"""Twofold: should your language model know more, behave differently, or both? Measured, with evidence."""

import sys

__version__ = "0.1.0"

# Nothing reports home. OpenVINO's telemetry package sends usage to an analytics service from a forked child; where it
# cannot be imported, OpenVINO uses its own silent stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
