"""The files that begin first are there, and begin first in the order of their list."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from longest_first import LONGEST, longest, pytest_collection_modifyitems

TESTS = Path(__file__).resolve().parents[1]


def test_every_file_of_the_list_is_there() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []


def test_the_longest_files_begin_and_the_tests_of_each_keep_their_order() -> None:
    names = ["advice/test_a.py::x", f"{LONGEST[1]}::b", f"{LONGEST[0]}::x", f"{LONGEST[1]}::a", "text/test_a.py::x"]
    items: list[Any] = [SimpleNamespace(nodeid=f"tests/{name}") for name in names]
    pytest_collection_modifyitems(items)
    assert [item.nodeid.removeprefix("tests/") for item in items] == [
        *(names[2], names[1], names[3]),
        *(names[0], names[4]),
    ]


def test_the_list_is_read_from_a_run(tmp_path: Path) -> None:
    cases = [("tests.text.test_a", 5), ("tests.text.test_b", 40), ("tests.text.test_a", 9), ("tests.text.test_c", 8.9)]
    rows = "".join(f'<testcase classname="{place}" name="n" time="{seconds}"/>' for place, seconds in cases)
    (tmp_path / "results.xml").write_text(f"<testsuites><testsuite>{rows}</testsuite></testsuites>", encoding="utf-8")
    assert longest(tmp_path / "results.xml") == ["text/test_b.py", "text/test_a.py"]
