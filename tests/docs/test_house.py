"""The figures that `scripts/house` counts, walks included, as the notebook cites them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_house_is_counted_with_its_walks() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "house"), "--walks"]
    figures = json.loads(subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout)
    assert figures["layer lines"] == 10
    assert figures["nested comprehensions per 1000"] < 1
    assert figures["walks"].keys() == {"ask", "tune", "study", "retrain"}
    assert all(walk["rooms entered"] > 9 for walk in figures["walks"].values())
