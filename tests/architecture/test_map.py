"""The map that people read is the one that the linter holds; and the front door is small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import twofold
from twofold.cli import reference_map

ROOT = Path(__file__).resolve().parents[2]


def test_agents_draws_the_layers_of_pyproject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    drawn = (ROOT / "AGENTS.md").read_text(encoding="utf-8").split("## Layout")[1].split("```")[1].strip().splitlines()
    assert [re.split(r"\s{2,}", line)[0].split() for line in drawn] == reference_map.layers()


def test_every_room_stands_in_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """import-linter passes over a package that no line names."""
    monkeypatch.chdir(ROOT)
    layered = {name for line in reference_map.layers() for name in line}
    source = ROOT / "src" / "twofold"
    rooms = {path.parent.name for path in source.glob("*/__init__.py")}
    rooms |= {path.stem for path in source.glob("*.py")} - {"__init__"}
    assert rooms == layered
    assert len(reference_map.layers()) <= 10


def test_few_modules_lie_at_the_root() -> None:
    assert len(list((ROOT / "src" / "twofold").glob("*.py"))) <= 10


def test_the_front_door_is_small_and_light() -> None:
    assert len(twofold.__all__) <= 12
    for name in twofold.__all__:
        assert getattr(twofold, name).__name__ == name
    code = "import sys, twofold; print(sorted(name for name in sys.modules if name.startswith('twofold')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['twofold']"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="offers Answer, Document"):
        _ = twofold.Manager
