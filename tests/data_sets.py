"""Where the tests' data sets are: the bundled one, samples beside the tests, and whole sets outside the repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "src" / "twofold" / "demo"
SAMPLES = ROOT / "tests" / "samples"
DATA = Path(os.environ.get("TWOFOLD_DATA", ROOT.parent / "shared" / "data"))
"""Folder of the whole real sets; a fresh clone lacks it, continuous integration has it."""
NO_DATA = f"no data at {DATA}: set TWOFOLD_DATA"


def folder(name: str) -> Path:
    """Folder of a data set: ``agxqa`` is the bundled one, ``samples/…`` stands beside the tests, others in `DATA`."""
    if name == "agxqa":
        return DEMO
    return SAMPLES.parent / name if name.startswith("samples/") else DATA / name


def whole_sets(*cases: Any) -> list[Any]:
    """Parameters that need whole real sets; without these, one skipped test stands for all of them."""
    parameters = [case if isinstance(case, tuple) else (case,) for case in cases]
    if DATA.is_dir():
        return [pytest.param(*values, marks=pytest.mark.whole_sets) for values in parameters]
    reason = f"{NO_DATA} (cases on whole sets: {len(cases)})"
    return [pytest.param(*parameters[0], id="whole_sets", marks=pytest.mark.skip(reason=reason))]
