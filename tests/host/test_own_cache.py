"""Tests measure this machine without leaving a trace in the user's cache, in the processes that they start too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twofold.host import cache, pace


def test_a_process_that_a_test_starts_keeps_its_paces_out_of_the_users_cache(own_cache: Path) -> None:
    program = "from twofold.host import pace; pace.keep('seen by a test', {'load': 2.0}); print(pace.cache_root())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == own_cache == cache.cache_root()
    assert pace.paces("seen by a test") == {"load": 2.0}
    assert own_cache != (Path.home() / ".cache" / "twofold")
    assert (own_cache / "models").resolve().is_dir()
