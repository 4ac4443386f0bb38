"""The promise: training again all year on the same questions promotes hardly anything by luck."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def promotions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The simulation, which stands beside that of whole studies."""
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location("promotions", BENCH / "promotions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "promotions", module)
    spec.loader.exec_module(module)
    return module


def test_a_year_of_equal_candidates_promotes_hardly_one(promotions: ModuleType) -> None:
    now = promotions.row("now", "f1", groups=129, per_group=1, years=40)
    unpaid = promotions.row("unpaid", "f1", groups=129, per_group=1, years=40)
    assert float(now[2]) <= 0.2 < float(unpaid[2]), "promotions a year"
    assert float(now[6]) > 0.5, "a gain of .1 is shown to the first candidate"
    assert float(now[8]) < float(now[6]), "later candidates pay for the earlier ones"
