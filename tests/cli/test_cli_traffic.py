from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from traffic_rows import row
from twofold.cli.main import main
from twofold.traffic.log import FILE, TrafficLog


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "twofold.toml").write_text('[traffic]\nlog = "full"\ndays = 7\n')
    return tmp_path


def fill(project: Path) -> None:
    now = datetime.now(UTC)
    rows = [
        row(at=(now - timedelta(days=day)).isoformat(timespec="milliseconds"), question=f"question of day {day}")
        for day in (9, 8, 1)
    ]
    with TrafficLog(project / FILE) as log:
        log.append([*rows, row(at=now.isoformat(timespec="milliseconds"), redacted={"email": 2})])


def test_a_summary_shows_no_text(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(project)
    assert main(["traffic", "-C", str(project)]) == 0
    text = capsys.readouterr().out
    assert "4 rows" in text
    assert "3 with a question" in text
    assert "redacted: 2 email" in text
    assert "after 7 days" in text
    assert "question of day" not in text


def test_rows_are_exported_for_their_owner(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(project)
    out = project / "rows.jsonl"
    assert main(["traffic", "-C", str(project), "--export", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exported"] == 4
    assert (out.stat().st_mode & 0o777) == 0o600
    assert [json.loads(line)["question"] for line in out.read_text().splitlines()][2] == "question of day 1"


def test_what_is_too_old_is_deleted_at_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(project)
    assert main(["traffic", "-C", str(project), "--prune", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["deleted"], report["rows"]) == (2, 2)
    assert b"question of day 9" not in b"".join(path.read_bytes() for path in project.glob(f"{FILE}*"))


def test_without_a_log_it_says_what_is_stored(
    tmp_path: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["traffic", "-C", str(project)]) == 0
    assert "there is no traffic log yet" in capsys.readouterr().out
    (project / "twofold.toml").write_text("")
    assert main(["traffic", "-C", str(project), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"log": "off", "file": None}
    assert main(["traffic", "-C", str(project), "--export", str(tmp_path / "x")]) == 3
    assert "[traffic]" in capsys.readouterr().err
    assert not (project / FILE).exists()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('log = "all"', "traffic.log"),
        ('log = "full"\ndays = 0', "traffic.days"),
        ('log = "full"\nredact = ["names"]', "traffic.redact"),
        ('log = "full"\npatterns = {staff = "(a+)+$"}', "traffic.patterns"),
        ('log = "full"\npatterns = {"x]" = "ab"}', "traffic.patterns"),
        ('log = "full"\nsalt_env = "not a name"', "traffic.salt_env"),
        ('logs = "full"', "traffic.logs"),
    ],
)
def test_a_wrong_setting_is_named(project: Path, line: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "twofold.toml").write_text(f"[traffic]\n{line}\n")
    assert main(["traffic", "-C", str(project)]) == 2
    assert name in capsys.readouterr().err
