"""A clean copy: nothing goes without a record, the input stays, twice is once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from data_sets import folder
from installed import needs
from twofold.cli.main import main

needs("sklearn", reason="the extra data is not installed")

ROWS: list[Any] = [
    {"id": "a", "question": "Why did the pump in the barn stop today?", "answers": ["air"], "extra": 1},
    {"id": "b", "question": "why did the pump in the barn stop today", "answers": ["Air"]},
    {"id": "c", "question": "Who may open the cafÃ© gate?", "answers": ["Ann, ann@example.org"]},
    {"id": "d", "question": "When does it open?", "answers": ["at six"]},
    {"id": "e", "question": "When does it open?", "answers": ["at 6 a.m."]},
    {"id": "f", "question": "Where is the key?", "answers": [""]},
    {"question": "How deep is the well?", "output": "12 m"},
]


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "given.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + "{broken\n", encoding="utf-8")
    return path


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_clean_repairs_merges_drops_and_masks_with_a_record(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, into = given.read_bytes(), given.with_name("clean.jsonl")
    assert main(["examples", "clean", str(given), "--into", str(into), "--mask", "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert given.read_bytes() == before
    kept = {row["id"]: row for row in lines(into)}
    assert set(kept) == {"a", "c", "d", f"{given}#7"}
    assert kept["a"] == ROWS[0]
    assert (kept["c"]["question"], kept["c"]["answers"]) == ("Who may open the café gate?", ["Ann, [EMAIL]"])
    assert kept["d"]["answers"] == ["at six", "at 6 a.m."]
    done = {(entry["line"], entry["code"], entry["action"]): entry for entry in lines(Path(told["removed_file"]))}
    assert set(done) == {
        (2, "data.duplicate", "drop"),
        (3, "data.encoding", "repair"),
        (3, "data.personal", "mask"),
        (5, "data.more-answers", "merge"),
        (6, "data.empty-answer", "drop"),
        (8, "data.bad-record", "drop"),
    }
    assert done[2, "data.duplicate", "drop"]["record"] == ROWS[1]
    assert "ann@" not in Path(told["removed_file"]).read_text()
    assert told["before"] - told["after"] == sum(told["done"].get(what, 0) for what in ("drop", "merge"))
    page = Path(told["card"]).read_text(encoding="utf-8")
    assert "<svg" in page
    assert "default-src 'none'" in page
    assert "data.duplicate" in page


def test_cleaning_again_changes_nothing(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = given.with_name("one.jsonl"), given.with_name("two.jsonl")
    assert main(["examples", "clean", str(given), "--into", str(first), "--mask", "-q"]) == 0
    assert main(["examples", "clean", str(first), "--into", str(second), "--mask", "-q"]) == 0
    assert second.read_bytes() == first.read_bytes()
    assert second.with_name("two.removed.jsonl").read_bytes() == b""
    again = first.read_bytes()
    assert main(["examples", "clean", str(given), "--into", str(first), "--mask", "-q"]) == 0
    assert first.read_bytes() == again
    capsys.readouterr()


def test_the_input_is_never_the_output(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["examples", "clean", str(given), "--into", str(given)]) == 2
    assert "never changed" in capsys.readouterr().err


def test_check_is_stable_for_automation(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["examples", "check", str(given), "--json", "--quiet"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"examples", "errors", "warnings", "codes", "skipped", "findings"}
    assert told["codes"]["data.bad-record"] == told["errors"] == 1
    assert {"severity", "code", "message", "cure", "file", "line", "example", "action", "other"} == set(
        told["findings"][0]
    )
    labels = given.with_name("labels.txt")
    labels.write_text("air\n", encoding="utf-8")
    main(["examples", "check", str(given), "--labels", str(labels), "--skip", "language", "--json", "-q"])
    told = json.loads(capsys.readouterr().out)
    assert told["skipped"] == ["language"]
    assert told["codes"]["data.unknown-label"] >= 4
    assert main(["examples", "check", str(given), "--skip", "nonsense"]) == 2
    capsys.readouterr()


def test_check_and_card_in_a_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "project"
    (place / "data").mkdir(parents=True)
    for path in folder("agxqa").glob("*.jsonl"):
        shutil.copy(path, place / "data")
    (place / "twofold.toml").write_text("", encoding="utf-8")
    assert main(["examples", "check", "-C", str(place), "--json", "-q", "--skip", "noise"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "data.leak" not in told["codes"], "questions that only look alike want other answers"
    assert main(["examples", "card", "-C", str(place), "--to", str(tmp_path / "card.html"), "-q"]) == 0
    assert "Length of questions" in (tmp_path / "card.html").read_text(encoding="utf-8")
