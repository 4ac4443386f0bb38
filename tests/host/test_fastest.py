"""On this machine, and on it under the caps of the other kind, `auto` is the fastest arithmetic or near it.

A ratio within one run (bench/arithmetic.py), never seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from twofold.host.capabilities import processor

ROOT = Path(__file__).resolve().parents[2]


AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
CASES = [pytest.param({}, id="as it is")]
if processor().instructions != ("avx2",):  # a machine that has no more is measured once: the caps take nothing from it
    CASES.append(pytest.param(AVX2, id="as AVX2"))


@pytest.mark.parametrize("caps", CASES)
def test_auto_reaches_eight_tenths_of_the_best(caps: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    environment = {**os.environ, **caps, "TWOFOLD_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "arithmetic.py")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["share_of_best"] >= 0.8, report
    if caps or len(CASES) == 1:
        assert report["auto"] == "f32"
