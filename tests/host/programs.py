"""Programs that stand in for a training parent and its child, run as real processes."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROMISED = 3.0
"""Seconds within which children and commands end."""
Start = Callable[..., "subprocess.Popen[str]"]

CHILD = """
import json, os, re, signal, sys, time
from pathlib import Path

place = Path(sys.argv[1])
how = json.loads((place / "job.json").read_text())["how"]
if how == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
draft = place / f"pid-{os.environ.get('RANK', '0')}.partial"
draft.write_text(str(os.getpid()))
draft.rename(draft.with_suffix(""))
if how == "native":
    re.match(r"(a+)+b", "a" * 64)  # holds the interpreter's lock for years
while not (place / "end").exists():
    time.sleep(0.02)
(place / "training.json").write_text('{"steps": 1}')
"""

PARENT = """
import subprocess, sys
from pathlib import Path
from twofold.training.spawn import spawn

unrelated = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
Path(sys.argv[1], "unrelated").write_text(str(unrelated.pid))
try:
    print(spawn("stand_in", Path(sys.argv[1]), {"how": sys.argv[2]}, memory="", processes=int(sys.argv[3])))
finally:
    unrelated.kill()
"""


def alive(pid: int) -> bool:
    """Is it running? What has ended and is not collected by whoever adopted it, is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return not Path("/proc/self").exists()
    return state not in "ZX"


def until(true: Callable[[], Any], *, seconds: float = 90.0) -> float:
    """Wait for it; returns the seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - began
