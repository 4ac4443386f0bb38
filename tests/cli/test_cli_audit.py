"""`twofold audit`, and what commands write into the log."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from small_project import write_documents, write_project
from twofold.cli.audited import SILENT
from twofold.cli.commands import app
from twofold.cli.main import main

DOCUMENTS = [{"id": "parking", "title": "On parking", "text": "Parking costs four euros a day."}]


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    return write_project(tmp_path / "p", DOCUMENTS, [], copies=0, settings="[audit]\nenabled = true\n")


def run(*words: str, expected: int = 0) -> None:
    assert main(list(words)) == expected


def lines(directory: Path) -> list[dict[str, Any]]:
    files = sorted((directory / "audit").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def events(directory: Path, what: str) -> list[dict[str, Any]]:
    return [line["values"] for line in lines(directory) if line["what"] == what]


def test_a_project_without_the_section_has_no_log(tmp_path: Path) -> None:
    directory = write_project(tmp_path / "p", DOCUMENTS, [], copies=0, settings="")
    run("sync", "-C", str(directory), "-q")
    assert not (directory / "audit").exists()


def test_commands_are_logged_with_who_began_them_and_what_came_of_it(
    audited: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ["-C", str(audited), "-q"]
    run("sync", *here)
    run("keys", "add", "pilot", "--scope", "curate", *here)
    token = capsys.readouterr().out.split()[-1]
    run("forget", "nothing", "--yes", *here, expected=2)
    run("check", *here)
    assert {line["who"] for line in lines(audited)} <= {"server", f"os:{os.environ.get('USER', 'root')}"}
    begun, ended = events(audited, "command.begun"), events(audited, "command.ended")
    assert [one["command"] for one in begun] == [one["command"] for one in ended] == ["sync", "keys add", "forget"]
    assert [one["outcome"] for one in ended][:2] == ["done", "done"]
    assert begun[2]["options"]["document"] == "nothing"
    assert ended[0]["result"]["added"] == 1
    assert ended[1]["result"]["scope"] == "curate"
    # A new key is in the command's result, and must not be in the log.
    assert token.encode() not in b"".join(path.read_bytes() for path in (audited / "audit").glob("*.jsonl"))


def test_how_a_command_ended_is_its_exit_code(audited: Path) -> None:
    here = ["-C", str(audited), "-q"]
    run("sync", *here)
    # Without a terminal nobody can agree to it.
    run("forget", "parking", *here, expected=2)
    assert events(audited, "command.ended")[-1]["outcome"] == "exit 2"


def test_only_commands_that_exist_are_left_out() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    names = set(group.commands)
    for name, inner in group.commands.items():
        if isinstance(inner, TyperGroup):
            names.update(f"{name} {word}" for word in inner.commands)
    assert sorted(SILENT - names) == []


def test_verify_names_file_line_and_cure(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = ["-C", str(audited)]
    run("keys", "add", "pilot", *here)
    run("keys", "add", "other", *here)
    capsys.readouterr()
    run("audit", "head", *here)
    head = capsys.readouterr().out.strip()
    run("audit", "verify", *here, "--json", "--head", head)
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["lines"], report["head"]) == (True, 5, head)
    file = audited / "audit" / "000001.jsonl"
    file.write_bytes(file.read_bytes().replace(b"pilot", b"pirat"))
    run("audit", "verify", *here, expected=1)
    written = capsys.readouterr().out
    assert "altered: 000001.jsonl:2: line number 2 is not as it was written" in written
    assert "Compare with a copy" in written
    assert f"head: {head}" in written


def test_lines_are_shown_and_exported(audited: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = ["-C", str(audited)]
    run("keys", "add", "=1+1", *here)
    capsys.readouterr()
    run("audit", "show", *here, "--last", "1")
    assert "command.ended began=2 command=keys add outcome=done" in capsys.readouterr().out
    run("audit", "show", *here, "--what", "command.begun", "--who", "os:", "--since", "1h", "--json")
    assert [row["number"] for row in json.loads(capsys.readouterr().out)["lines"]] == [2]
    run("audit", "show", *here, "--since", "2999-01-01", "--json")
    assert json.loads(capsys.readouterr().out)["lines"] == []
    run("audit", "export", *here)
    exported = capsys.readouterr().out.encode().splitlines()
    # As they are in the log, byte for byte.
    assert exported == (audited / "audit" / "000001.jsonl").read_bytes().splitlines()
    table = tmp_path / "audit.csv"
    run("audit", "export", *here, "--format", "csv", "--to", str(table))
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["what"] for row in rows] == ["log.begun", "command.begun", "command.ended"]
    assert json.loads(rows[1]["values"])["options"]["name"] == "=1+1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["keys", "list", "--set", "audit.enabled=false"], "--set cannot change [audit]"),
        (["audit", "verify", "--head", "12:34"], "is neither NUMBER:HASH nor HASH"),
        (["audit", "show", "--since", "yesterday"], "--since 'yesterday' is no time"),
        (["audit", "export", "--format", "xml"], "--format 'xml' is unknown"),
        (["audit", "verify"], "there is no audit log"),
        (["audit", "head"], "the head of the audit log is missing"),
    ],
)
def test_wrong_use_is_named(audited: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(*words, "-C", str(audited), expected=2)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('key_env = "NO_SUCH_KEY"', "[audit].key_env names NO_SUCH_KEY, and that variable is not set"),
        ('key_file = "missing.key"', "[audit].key_file names missing.key, which cannot be read"),
        ('key_file = "short.key"', "and that key has 5 bytes"),
        ('key_file = "a"\nkey_env = "B"', "names both key_env and key_file"),
        ('on_failure = "ignore"', "audit.on_failure"),
    ],
)
def test_wrong_settings_are_named(
    audited: Path, section: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (audited / "short.key").write_text("short")
    settings = audited / "twofold.toml"
    settings.write_text(f"{settings.read_text()}{section}\n")
    run("keys", "add", "pilot", "-C", str(audited), expected=2)
    assert message in capsys.readouterr().err
    assert not (audited / "serving" / "keys.json").exists()


def test_a_key_makes_a_log_that_nobody_else_can_write(
    audited: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = audited / "twofold.toml"
    settings.write_text(f'{settings.read_text()}key_env = "AUDIT_KEY"\n')
    monkeypatch.setenv("AUDIT_KEY", "a key that is long enough")
    here = ["-C", str(audited)]
    run("keys", "add", "pilot", *here)
    capsys.readouterr()
    run("audit", "verify", *here, "--json")
    assert json.loads(capsys.readouterr().out)["keyed"]
    monkeypatch.setenv("AUDIT_KEY", "another key, long enough")
    run("audit", "verify", *here, expected=2)
    assert "the audit log was begun with another key" in capsys.readouterr().err


def test_what_cannot_be_logged_is_done_or_refused_as_the_settings_say(
    audited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["-C", str(audited)]
    # A file in the folder's place: nothing can be written there, by root neither.
    (audited / "audit").write_text("")
    run("keys", "add", "pilot", *here)
    assert "note: this is not in the audit log" in capsys.readouterr().err
    settings = audited / "twofold.toml"
    settings.write_text(settings.read_text() + 'on_failure = "refuse"\n')
    run("keys", "add", "other", *here, expected=3)
    written = capsys.readouterr().err
    assert "nothing was done" in written
    assert "[audit].on_failure" in written
    assert (audited / "serving" / "keys.json").read_text().count('"pilot"') == 1
    assert "other" not in (audited / "serving" / "keys.json").read_text()


def test_a_forgotten_document_takes_its_texts_along(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from twofold.audit.log import FOLDER
    from twofold.audit.texts import AuditTexts, sealed

    write_documents(audited, [*DOCUMENTS, {"id": "canteen", "text": "The canteen opens at noon."}])
    here = ["-C", str(audited)]
    run("sync", *here)
    salt, text, digest = sealed({"question": [], "answer": "Four euros."})
    with AuditTexts(audited / FOLDER) as texts:
        texts.add([(digest, salt, text, ["parking"])])
    capsys.readouterr()
    run("forget", "parking", "--yes", *here)
    assert "texts beside the audit log: 1" in capsys.readouterr().out
    assert events(audited, "command.ended")[-1]["result"]["document"] == "parking"
