"""Shared fixtures: the real data, and a throw-away project directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets; CI must have it."""
    root = Path(os.environ.get("TWOFOLD_DATA", ROOT.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no data at {root}: set TWOFOLD_DATA")
    return root
