"""The newest study's verdict answers unless it was rolled back, and a newer study ends that."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.errors import StudyError
from twofold.reports.decisive import FILE, decisive, roll_back, rolled_back, undo


def add(records: Path, *names: str) -> None:
    for name in names:
        (records / name).mkdir(parents=True)
        (records / name / "study.json").write_text("{}")


def test_back_one_by_one_until_the_first(tmp_path: Path) -> None:
    assert decisive(tmp_path) == ""
    with pytest.raises(StudyError, match="no study yet"):
        roll_back(tmp_path, who="me")
    add(tmp_path, "0001-p", "0002-p", "0003-p")
    assert decisive(tmp_path) == "0003-p"
    assert roll_back(tmp_path, who="me", why="wrong")["study"] == "0002-p" == decisive(tmp_path)
    assert roll_back(tmp_path, who="me")["study"] == "0001-p" == decisive(tmp_path)
    with pytest.raises(StudyError, match="no study before 0001-p"):
        roll_back(tmp_path, who="me")
    assert decisive(tmp_path) == "0001-p"
    assert undo(tmp_path) == "0003-p" == decisive(tmp_path)
    assert rolled_back(tmp_path) is None


def test_a_newer_study_decides(tmp_path: Path) -> None:
    add(tmp_path, "0001-p", "0002-p")
    roll_back(tmp_path, who="me")
    add(tmp_path, "0003-p")
    assert decisive(tmp_path) == "0003-p"
    assert roll_back(tmp_path, who="me")["study"] == "0002-p"


def test_a_study_that_has_gone_decides_nothing(tmp_path: Path) -> None:
    add(tmp_path, "0001-p", "0002-p")
    roll_back(tmp_path, who="me")
    (tmp_path / "0001-p" / "study.json").unlink()
    assert decisive(tmp_path) == "0002-p"


@pytest.mark.parametrize("text", ["", "[]", "{}", "no JSON"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    add(tmp_path, "0001-p", "0002-p")
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StudyError, match="rollback cannot be read"):
        decisive(tmp_path)
