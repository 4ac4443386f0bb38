"""A full run counts its skips, and those that a machine without the whole data sets would have besides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SKIPS = """
import pytest
@pytest.mark.parametrize("number", range({plain}))
def test_skipped(number):
    pytest.skip({reason!r})
@pytest.mark.whole_sets
@pytest.mark.parametrize("number", range(9))
def test_cases_of_one_test_count_once(number):
    pass
@pytest.mark.parametrize("number", range({rooted}))
def test_with_data(data_root, number):
    pass
"""


def run(
    place: Path, *words: str, data: bool, plain: int, rooted: int = 0, reason: str = "no browser"
) -> tuple[int, str]:
    """Exit code and output of pytest on a suite with so many skips."""
    (place / "suite").mkdir()
    (place / "data").mkdir()
    (place / "pytest.ini").write_text("[pytest]\ntestpaths = suite\nmarkers = whole_sets\n")
    hooks = "from skip_limit import pytest_sessionfinish, pytest_terminal_summary\n"
    fixture = "import pytest\n@pytest.fixture\ndef data_root():\n    return 0\n"
    (place / "conftest.py").write_text(hooks + fixture)
    (place / "suite" / "test_skips.py").write_text(SKIPS.format(plain=plain, rooted=rooted, reason=reason))
    environment = {
        **os.environ,
        "TWOFOLD_DATA": str(place / ("data" if data else "nowhere")),
        "PYTHONPATH": str(TESTS),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # none is needed, and they take longer than the suite
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("data", "plain", "rooted", "code"),
    [
        (False, 40, 1, 0),
        (False, 41, 1, 1),
        (True, 30, 9, 0),
        (True, 30, 10, 1),
    ],
)
def test_more_than_forty_skips_fail_a_full_run(tmp_path: Path, data: bool, plain: int, rooted: int, code: int) -> None:
    """With the data there, each test that needs them is counted as if it had been skipped."""
    ended, told = run(tmp_path, data=data, plain=plain, rooted=rooted)
    assert ended == code, told
    assert ("41 tests are skipped on a fresh clone" in told) == bool(code)


def test_a_run_of_some_tests_is_not_judged(tmp_path: Path) -> None:
    assert run(tmp_path, "suite", data=False, plain=41)[0] == 0


def test_a_skip_for_want_of_data_that_are_there_fails(tmp_path: Path) -> None:
    ended, told = run(tmp_path, data=True, plain=1, reason=f"no data at {tmp_path / 'data'}: set TWOFOLD_DATA")
    assert ended == 1
    assert "skipped although the data are there" in told
