"""`twofold watch` on a real project: exit codes, what it prints, and a loop that SIGTERM ends."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from forked import Nursery
from twofold.cli.main import main
from twofold.monitoring.store import FILE

CHANGED = "--set=documents.chunker={name = 'tokens', options = {}}"
"""Another chunker than the study's."""


@pytest.fixture
def watched(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "p"))


def run(directory: Path, *words: str) -> int:
    return main(["watch", "-C", str(directory), *words])


def result(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_looks_alarms_and_proposals(watched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {path: path.read_bytes() for path in watched.rglob("*") if path.is_file() and "sqlite" not in path.name}
    assert run(watched) == 0
    out = capsys.readouterr().out
    assert "ok         fingerprints.chunker" in out
    assert "unwatched  answers.abstained, answers.cut" in out, "one line for one reason"
    changed = [path for path, before in content.items() if path.read_bytes() != before]
    assert changed == [], "a look changes nothing"
    assert (watched / FILE).stat().st_mode & 0o777 == 0o600

    assert run(watched, CHANGED, "--once", "--json") == 1
    report = result(capsys)
    assert report["state"] == "alarm"
    assert "fingerprints.chunker" in report["new"]
    assert report["causes"][0]["cause"] == "chunking changed"
    assert [row["command"] for row in report["proposals"]][:1] == ["twofold sync --rebuild"]
    assert run(watched, CHANGED, "--set=traffic.log='metadata'", "--quiet") == 1
    out = capsys.readouterr().out
    assert "the traffic log is off" not in out, "it is on, and has no answer yet"
    assert "learned from 0 answers" in out
    assert out.startswith("alarm ")
    assert "cause: chunking changed" in out
    assert "  1  twofold sync --rebuild" in out

    assert run(watched, "--dismiss", "1", "--why", "known") == 0
    assert capsys.readouterr().out == "proposal 1 is dismissed: twofold sync --rebuild\n"
    assert run(watched, "--dismiss", "1") == 2
    assert "no open proposal has the number 1" in capsys.readouterr().err
    assert run(watched, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["3", "2", "1"]
    assert "new: fingerprints.chunker" in lines[1]
    assert "twofold study" in lines[-1]
    assert run(watched, "--list", "--signal", "fingerprints.chunker", "--last", "2", "--json") == 0
    looks = result(capsys)["looks"]
    assert [[row["state"] for row in look["readings"]] for look in looks] == [["alarm"], ["alarm"]]

    assert run(watched) == 0
    assert run(watched, "--signal", "nothing") == 2
    assert "--signal 'nothing' is unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--once", "--every", "1d"], "--once and --every exclude each other"),
        (["--every", "soon"], "--every: 'soon' is no interval"),
        (["--why", "known"], "--why belongs to --dismiss"),
        (["--dismiss", "0"], "0"),
    ],
)
def test_wrong_use(watched: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(watched, *words) == 2
    assert message in capsys.readouterr().err
    assert not (watched / FILE).exists()


def test_before_the_first_look_and_the_first_sync(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "twofold.toml").write_text("", encoding="utf-8")
    for words in (["--list"], ["--dismiss", "1"]):
        assert run(tmp_path, *words) == 3
        assert "Run `twofold watch` first" in capsys.readouterr().err
    assert run(tmp_path, "--json") == 3
    report = result(capsys)
    assert (report["state"], report["readings"]) == ("failed", [])
    assert report["remarks"] == ["nothing can be watched yet: run `twofold sync` first"]


def test_the_loop_looks_again_until_it_is_stopped(watched: Path, nursery: Nursery) -> None:
    process = nursery.command("watch", "-C", str(watched), "--every", "10s", "--json", seconds=60)
    assert process.stdout is not None
    report = json.loads(process.stdout.readline())
    assert (report["number"], report["state"]) == (1, "ok")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    process.communicate()
