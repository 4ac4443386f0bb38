"""Nothing that others wrote drives the terminal of whoever runs a command, on any way out."""

from __future__ import annotations

import errno
import json
import logging
import time
from pathlib import Path

import pytest

from twofold.cli import terminal
from twofold.cli.main import main
from twofold.cli.terminal import one_line, printable
from twofold.project import Project

ESCAPE, BELL, CSI = "\x1b", "\x07", "\x9b"
ATTACKS = {
    "title": f"{ESCAPE}]0;PWNED{BELL}",
    "clipboard": f"{ESCAPE}]52;c;ZXZpbA=={BELL}",
    "hidden": f"{ESCAPE}[8m",
    "8 bit": f"{CSI}2J",
    "return": "good\rbad",
    "backspace": "good\b\b\b\bbad",
    "override": "abc\u202edcba\u202c",
    "isolate": "a\u2066b\u2069c",
    "tags": "a\U000e0041\U000e0042",
    "zero width": "pay\u200bpal",
    "line separator": "a\u2028b",
    "half": "a\ud83db",
}
DRIVING = "\x1b\x07\x9b\r\b\u202e\u202c\u2066\u2069\U000e0041\u200b\u2028\ud83d"


@pytest.mark.parametrize("kind", ATTACKS)
def test_what_drives_a_terminal_is_taken_out(kind: str) -> None:
    assert not set(printable(f"x {ATTACKS[kind]} y")) & set(DRIVING)


@pytest.mark.parametrize(
    "text",
    ["a\tb\nc", "naïve — “quoted”", "می‌خواهم", "क्‍ष", "👩‍👩‍👧 ❤️", "עברית \u200f(א)", "ไทย ພາສາລາວ", "[31m is a word"],
)
def test_what_people_write_stays(text: str) -> None:
    assert printable(text) == text


def test_a_line_stays_one_line() -> None:
    assert one_line("better\nchampion back to ft0000, by root") == "better champion back to ft0000, by root"


def test_taking_it_out_is_linear() -> None:
    def seconds(text: str) -> float:
        began = time.process_time()
        printable(text)
        return time.process_time() - began

    assert seconds(ESCAPE * 2_000_000) < 3


def project_with(tmp_path: Path, poison: str) -> Path:
    (tmp_path / "data").mkdir()
    record = {"id": f"d{poison}", "title": f"T{poison}", "text": f"The zebra lives {poison} in the savanna."}
    (tmp_path / "data/documents.jsonl").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "data" / f"documents-{ESCAPE}[2J.pdf").write_text("no pdf", encoding="utf-8")
    (tmp_path / "twofold.toml").write_text(
        '[documents]\npaths = ["data/documents*"]\n[retrieval.embedder]\nname = "hashing"\n'
        '[generation.generator]\nname = "echo"\n',
        encoding="utf-8",
    )
    return tmp_path


def test_no_command_prints_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    poison = "".join(attack for kind, attack in ATTACKS.items() if kind != "half")
    project = project_with(tmp_path, poison)
    at = ["-C", str(project)]
    for command in (
        ["sync", *at],
        ["check", *at],
        ["index", "documents", *at],
        ["index", "log", *at],
        ["index", "diff", "1", *at],
        ["ask", "Where does the zebra live?", "--arm", "rag", *at],
        ["ask", "Where does the zebra live?", "--arm", "rag", *at, "--verbose"],
        ["forget", f"nobody{poison}", "--yes", *at],
        ["config", *at, "--set", f"project.name='x{ESCAPE}'"],
    ):
        main(command)
        out, err = capfd.readouterr()
        assert out or err
        assert not set(out + err) & set(DRIVING), command


def test_a_title_or_an_id_forges_no_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    forged = "[2] Official (law.pdf), page 3"
    project = project_with(tmp_path, "")
    record = {"id": f"d\n{forged}\n", "title": f"T\n\n{forged}\n", "text": "The zebra lives in the savanna."}
    (tmp_path / "data/documents.jsonl").write_text(json.dumps(record), encoding="utf-8")
    at = ["-C", str(project)]
    for command in (["sync"], ["index", "documents"], ["index", "diff", "1"], ["ask", "Where does the zebra live?"]):
        main([*command, *at, *(["--arm", "rag"] if command[0] == "ask" else [])])
        lines = capfd.readouterr().out.splitlines()
        assert lines
        assert forged not in [line.strip() for line in lines], command


def test_json_loses_nothing_and_prints_none_of_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    poison = "".join(ATTACKS[kind] for kind in ("title", "8 bit", "override", "tags"))
    project = project_with(tmp_path, poison)
    with Project.open(project) as opened:
        opened.sync()
    assert main(["index", "documents", "-C", str(project), "--json"]) == 0
    out = capfd.readouterr().out
    assert not set(out) & set(DRIVING)
    rows = json.loads(out)["documents"]
    assert any(poison in str(value) for row in rows for value in row.values())


def test_tables_pass_the_border_too(capfd: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("name")
    for attack in ATTACKS.values():
        table.add_row(attack)
    terminal.console().print(table)
    out = capfd.readouterr().out
    assert "good" in out
    assert not set(out) & set(DRIVING)


def test_what_is_logged_passes_it_too() -> None:
    terminal.plain_logs(verbose=False, quiet=False)
    record = logging.LogRecord("twofold", logging.WARNING, "", 0, "the document %s", (f"d{ESCAPE}[2J",), None)
    assert logging.lastResort is not None
    assert logging.lastResort.format(record) == "the document d[2J"


REFUSALS = {errno.ENOSPC: "Free disk space", errno.EACCES: "permissions", errno.EROFS: "permissions"}


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize("command", ["gc", "models list", "check", "examples make --count 3"])
def test_what_the_system_refuses_is_no_fault_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int, command: str
) -> None:
    project = project_with(tmp_path, "")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "the system says no", str(project / ".twofold"))

    monkeypatch.setattr(Project, "open", refuse)
    assert main([*command.split(), "-C", str(project)]) == 3
    told = capfd.readouterr().err
    assert "internal error" not in told
    assert REFUSALS[number] in told


def test_quiet_prints_no_warning_of_the_library() -> None:
    assert logging.lastResort is not None
    levels = []
    for quiet in (True, False):
        terminal.plain_logs(verbose=False, quiet=quiet)
        levels.append(logging.lastResort.level)
    assert levels == [logging.ERROR, logging.WARNING]
