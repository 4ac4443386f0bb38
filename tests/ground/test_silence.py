"""Twofold sends nothing to anybody."""

from __future__ import annotations

import subprocess
import sys


def test_openvino_is_used_without_its_telemetry() -> None:
    code = """
import twofold, sys
try:
    import openvino_telemetry
except ImportError:
    pass
else:
    sys.exit("telemetry can be imported")
import openvino, openvino_genai
openvino.Core()
print("works")
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "works"
