"""Paces of this machine: kept for later plans, safe with two writers and with a damaged file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from twofold.host import pace
from twofold.types import Answer, Arm, Failure, Timing, Usage

_WRITER = """
import sys
from twofold.host import pace
pace.FILE = sys.argv[1]
for number in range(25):
    pace.keep(f"subject {sys.argv[2]} {number}", {"load": 1.0 + number})
    pace.keep("both", {"load": 2.0})
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pace, "FILE", str(tmp_path / "paces.json"))
    return tmp_path / "paces.json"


def test_a_pace_is_the_median_of_the_newest_measurements(file: Path) -> None:
    for value in (100.0, *range(1, pace.RECENT + 1)):
        pace.keep("a model", {"load": float(value)})
    assert pace.paces("a model") == {"load": (1 + pace.RECENT) / 2}
    assert pace.paces("another") == {}


def test_what_was_measured_beside_other_work_counts_until_it_is_measured_alone(file: Path) -> None:
    pace.keep("a model", {"load": 30.0, "general": 2.0}, kind="busy")
    assert pace.paces("a model") == {"load": 30.0, "general": 2.0}
    assert pace.of_busy("a model") == {"load", "general"}
    pace.keep("a model", {"load": 3.0}, kind="brief")
    pace.keep("a model", {"load": 40.0}, kind="busy")
    assert pace.paces("a model") == {"load": 3.0, "general": 2.0}
    assert pace.of_busy("a model") == {"general"}
    pace.keep("a model", {"general": 1.0})
    assert pace.of_busy("a model") == set()


def test_real_work_counts_before_a_brief_measurement(file: Path) -> None:
    pace.keep("a model", {"load": 9.0, "general": 0.5}, kind="brief")
    assert pace.paces("a model") == {"load": 9.0, "general": 0.5}
    pace.keep("a model", {"load": 2.0})
    assert pace.paces("a model") == {"load": 2.0, "general": 0.5}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": 99, "machines": {}}', '{"format": 1, "machines": 3}']
)
def test_a_damaged_file_is_started_anew(file: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text(text, encoding="utf-8")
    assert pace.paces("a model") == {}
    pace.keep("a model", {"load": 3.0})
    said = [record.message for record in caplog.records if str(file) in record.message]
    assert len(said) == ("99" not in text), "once, and not of a file of another format"
    assert pace.paces("a model") == {"load": 3.0}


def test_a_measurement_that_is_no_time_is_not_kept(file: Path) -> None:
    pace.keep("a model", {"load": 0.0, "general": float("inf"), "setup": float("nan")})
    assert not file.exists()


def test_a_cache_that_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(pace, "FILE", str(tmp_path / "file" / "paces.json"))
    pace.keep("a model", {"load": 3.0})
    assert pace.paces("a model") == {}


def test_two_processes_lose_nothing_of_each_other(file: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(file)]
    writers = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    for name in ("one", "two"):
        assert all(pace.paces(f"subject {name} {number}") == {"load": 1.0 + number} for number in range(25))
    assert pace.paces("both") == {"load": 2.0}


def test_the_file_does_not_grow_without_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_SUBJECTS", 3)
    for number in range(5):
        pace.keep(f"endpoint {number}", {"load": 1.0})
    assert [bool(pace.paces(f"endpoint {number}")) for number in range(5)] == [False, False, True, True, True]


def test_the_pace_of_answers_leaves_the_search_out_and_learns_nothing_from_failures() -> None:
    answer = Answer(text="x", usage=Usage(prompt_tokens=100, completion_tokens=10), timing=Timing(retrieval=0.5))
    arm = Arm(name="rag", retrieval=True)
    found = pace.of_answers(arm, [answer] * 10, 18.0, max_tokens=40, single=False)
    assert found["answer passages"] == pytest.approx(13.0 / (1000 + pace.BATCHED * 100))
    assert found["written passages"] == pytest.approx(0.25)
    broken = Answer(text="", failure=Failure(code="x", message="y"))
    assert pace.of_answers(arm, [answer] * 9 + [broken], 18.0, max_tokens=40, single=False) == {}
    assert pace.of_answers(arm, [answer], 18.0, max_tokens=40, single=False) == {}
