"""Twofold sends nothing to anybody, and leaves alone what the program that imports it does."""

from __future__ import annotations

import subprocess
import sys


def ran(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_openvino_is_used_without_its_telemetry() -> None:
    code = """
import sys
from twofold.host import telemetry
openvino, genai = telemetry.imported("openvino"), telemetry.imported("openvino_genai")
openvino.Core()
from openvino.tools.ovc import utils
loaded = [name for name in sys.modules if name.startswith("openvino_telemetry")]
print(openvino.__name__, genai.__name__, utils.tm.__name__, loaded)
"""
    assert ran(code) == "openvino openvino_genai openvino.tools.ovc.telemetry_stub []"


def test_importing_twofold_changes_nothing_for_the_program_that_does() -> None:
    code = """
import sys
before = set(sys.modules)
import twofold
strange = [name for name in set(sys.modules) - before if name.partition(".")[0] != "twofold"]
print(strange, "openvino_telemetry" in sys.modules)
"""
    assert ran(code) == "[] False"


def test_a_program_that_uses_the_package_itself_keeps_it() -> None:
    code = """
import sys, types
own = sys.modules["openvino_telemetry"] = types.ModuleType("openvino_telemetry")
from twofold.host import telemetry
telemetry.imported("json")
print(sys.modules["openvino_telemetry"] is own)
"""
    assert ran(code) == "True"


def test_a_module_that_is_not_installed_is_named() -> None:
    code = """
import sys
from twofold.host import telemetry
try:
    telemetry.imported("openvino_of_another_name")
except ModuleNotFoundError as error:
    print(error.name, "openvino_telemetry" in sys.modules)
"""
    assert ran(code) == "openvino_of_another_name False"
