"""What `twofold diagnose` prints."""

from __future__ import annotations

from typing import Any

import pytest

from twofold.cli.diagnose import _text


@pytest.mark.parametrize(("level", "shown"), [(0.97, "97 %"), (0.9925, "99.25 %"), (0.9967, "99.67 %")])
def test_the_level_of_a_later_look_is_that_of_the_study(level: float, shown: str) -> None:
    cause: dict[str, Any] = {"cause": "form", "label": "", "cure": "", "count": 1, "share": 1, "low": 0, "high": 1}
    arm: dict[str, Any] = {"arm": "rag", "wrong": 1, "answers": 9, "diagnosed": 1, "ledger": [cause], "levers": []}
    record: Any = {"arms": {"rag": arm}, "notes": [], "level": level, "metric": "answer_f1"}
    assert _text(record, ["rag"]).endswith(f"intervals hold at {shown}")
