"""What a training child is started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.training.spawn import spawn

CHILD = """
import json, os, sys
from pathlib import Path

names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
Path(sys.argv[1], "training.json").write_text(json.dumps({name: os.environ.get(name) for name in names}))
"""


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": None}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7", "OMP_WAIT_POLICY": None}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": None, "OMP_WAIT_POLICY": "ACTIVE"}),
    ],
    ids=["as shipped", "turns of one's own", "a policy of one's own"],
)
def test_its_threads_spin_for_a_short_while_unless_somebody_has_set_it(
    settings: dict[str, str], expected: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in expected:
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "stand_in_of_spawn.py").write_text(CHILD, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    assert spawn("stand_in_of_spawn", tmp_path / "job", {}, memory="") == expected
