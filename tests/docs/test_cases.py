"""Every test that the page of cases names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "cases-and-tests.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| [a-z0-9]", line)]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if "| test |" not in row], ids=lambda row: row.split("|")[1].strip()
)
def test_a_case_is_held_by_tests_that_are_there(row: str) -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(test_\w+))?`", row)
    assert named
    for file, name in named:
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8") if name else (TESTS / file).is_file()
