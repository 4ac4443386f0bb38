"""The fault injection of `bench/watch_faults.py`, two faults and a month without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_sets import DATA, NO_DATA

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "agxqa").is_dir(), reason=NO_DATA)
def test_faults_are_found_and_named(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "bench" / "watch_faults.py"), "--data", str(DATA), "--quiet", "1"]
    chosen = ["--only", "tombstones", "questions moved", "slow leg", "--json", str(tmp_path / "runs.json")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}
    subprocess.run([*script, *chosen], check=True, env=environment, cwd=tmp_path, timeout=500)
    runs = json.loads((tmp_path / "runs.json").read_text(encoding="utf-8"))
    assert [run["cause"] for run in runs] == ["documents removed", "questions moved", "slow part", ""]
    assert all(run["found"] <= 1 for run in runs if run["fault"])
    assert [run["false"] for run in runs] == [[], [], [], []]
