"""Foreign Python, such as a model writes, run in a process that can compute and nothing else (`confined_child`).

The process is the system's and the kernel's border, not Python's: the program may do what it likes to its interpreter,
and opens no file, connection or process. It protects this machine from the program. It does not protect the outcome
from a program that is written to forge it, for tests and program share an interpreter.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from twofold.errors import ScorerBroken
from twofold.host.confined_child import CONFINED

_PASSED_ON = ("PATH", "LD_LIBRARY_PATH")
_SIGNALS = {-24: "processor time", -9: "processor time"}
"""Exit codes of a process that exceeded its seconds: by SIGXCPU, and by SIGKILL a second later."""
_CURE = "Run the study on Linux (x86-64 or ARM 64) where seccomp is allowed, or take the metric out of [study]."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramEnd:
    """How a program ended."""

    passed: bool
    """Did program and tests run to their end?"""
    reason: str = ""
    """Why not; empty where it passed."""


def run(program: str, tests: str, *, seconds: int, memory_mib: int) -> ProgramEnd:
    """Run a program and then its tests in one namespace, in a fresh process without files, network and processes.

    Args:
        program: Python.
        tests: Python that raises where the program is wrong.
        seconds: Most processor time; ten seconds more than three times that is the most by the clock.
        memory_mib: Most memory beside the interpreter's own, in MiB.

    Raises:
        ScorerBroken: the process cannot be confined here, so nothing was run.
    """
    if sys.platform != "linux":
        raise ScorerBroken(f"a program of an answer cannot be confined on {sys.platform}", cure=_CURE)
    nonce = secrets.token_hex(16)
    request = {"program": program, "tests": tests, "seconds": seconds, "memory_mib": memory_mib, "nonce": nonce}
    environment = {key: value for key, value in os.environ.items() if key in _PASSED_ON}
    # Sets have one order in every run: the same program has the same outcome.
    environment["PYTHONHASHSEED"] = "0"
    script = str(Path(__file__).with_name("confined_child.py"))
    try:
        # Files and no pipes: the kernel limits what the child writes to them, and a pipe would fill this memory.
        with tempfile.TemporaryFile() as answers, tempfile.TemporaryFile() as faults:
            ended = subprocess.run(
                [sys.executable, "-P", "-s", "-S", "-B", script],
                input=json.dumps(request).encode("ascii"),
                stdout=answers,
                stderr=faults,
                timeout=3 * seconds + 10,
                env=environment,
                cwd="/",
                start_new_session=True,
                check=False,
            )
            answers.seek(0)
            faults.seek(0)
            written, fault = answers.read(), faults.read()
    except subprocess.TimeoutExpired:
        return ProgramEnd(passed=False, reason=f"it takes more than {seconds} s")
    except OSError as error:
        raise ScorerBroken(f"a program of an answer cannot be confined here: {error}", cure=_CURE) from error
    # Written before the program runs: by the exit code a program could say that it was never run.
    if not written.startswith(CONFINED):
        why = fault.decode("utf-8", "replace")[-200:] or f"the process ended with code {ended.returncode}"
        raise ScorerBroken(f"a program of an answer cannot be confined here: {why}", cure=_CURE)
    if ended.returncode in _SIGNALS:
        return ProgramEnd(passed=False, reason=f"it takes more than {seconds} s of {_SIGNALS[ended.returncode]}")
    try:
        echoed, reason = json.loads(written.removeprefix(CONFINED))
    except ValueError:
        echoed, reason = "", ""
    # Whoever leaves early, or writes an answer of its own, does not know the nonce.
    if echoed != nonce:
        how = f"by signal {-ended.returncode}" if ended.returncode < 0 else f"with code {ended.returncode}"
        return ProgramEnd(passed=False, reason=f"the process ended {how} before its tests did")
    return ProgramEnd(passed=not reason, reason=str(reason))
