"""`twofold advise`: from a project, from a file, at a terminal; stored, compared, and refused with a cure."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from small_project import write_project
from twofold.advice.answers_file import read
from twofold.advice.history import FILE
from twofold.advice.questionnaire import QUESTIONNAIRE
from twofold.advice.ranking import ProjectFact
from twofold.cli.advise_questions import _settles
from twofold.cli.main import main
from twofold.project import Project

DOCUMENTS = [{"id": f"d{n}", "text": f"Pump {n} stands in plot {n}. It delivers {n} litres."} for n in range(12)]
ASKED = [(f"d{n}", f"where does pump {n} stand?", f"in plot {n}") for n in range(12)]
SETTINGS = """
[study]
arms = ["base", "rag"]
diagnostics = []
metric = "token_f1"
metrics = []
resamples = 200
latency_sample = 0
[retrieval.index]
name = "memory"
[retrieval.retriever.options]
lexical = 0.5
[generation.generator.options]
mode = "quote"
"""
Call = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("advise") / "pumps", DOCUMENTS, ASKED, copies=4, settings=SETTINGS)


@pytest.fixture
def call(directory: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main(["advise", "-C", str(directory), "--json", *words])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return run


def test_a_project_is_read_and_its_advice_stored_once(call: Call, directory: Path) -> None:
    code, advice, _ = call()
    assert (code, advice["first"]) == (0, "rag")
    assert {fact["criterion"]: fact["level"] for fact in advice["facts"]}["labels"] == "tens"
    assert advice["ranking"][0]["reasons"][0]["source"] != "answer"
    call()
    assert len((directory / FILE).read_text(encoding="utf-8").splitlines()) == 1


def test_answers_weights_and_what_contradicts_the_project(call: Call, directory: Path, tmp_path: Path) -> None:
    answers, weights = tmp_path / "answers.toml", tmp_path / "weights.toml"
    answers.write_text('task = "several"\nchange = "weekly"\nlabels = "thousands"\n', encoding="utf-8")
    weights.write_text("[change]\nweight = 0.5\n", encoding="utf-8")
    before = (directory / FILE).read_bytes() if (directory / FILE).exists() else b""
    code, advice, _ = call("--answers", str(answers), "--weights", str(weights), "--no-store")
    assert code == 0
    assert [row["about"] for row in advice["contradictions"]] == [["labels"]]
    assert list(advice["weights"]) == ["change"]
    assert advice["answers"] == {"task": "several", "change": "weekly", "labels": "thousands"}
    assert ((directory / FILE).read_bytes() if (directory / FILE).exists() else b"") == before


def test_the_record_compares_what_was_advised_with_the_study_that_came_after(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["advise", "-C", str(directory)]) == 0
    assert "Start with rag: retrieval." in capsys.readouterr().out
    assert main(["advise", "-C", str(directory), "--record", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert (before["advices"], before["waiting"], before["right"]) == (1, 1, None)
    time.sleep(1.1)  # times are kept in whole seconds: a study of the same second is not later
    assert main(["study", "-C", str(directory), "--yes", "-q", "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)["verdict"]
    assert main(["advise", "-C", str(directory), "--record", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    (row,) = after["rows"]
    assert (row["compared"], row["arm"]) == ("rag", verdict["arm"])
    assert row["result"] == ("undecided" if not verdict["arm"] else "hit" if verdict["arm"] == "rag" else "miss")
    assert main(["advise", "-C", str(directory), "--record"]) == 0
    assert row["result"] in capsys.readouterr().out


def test_a_project_that_is_only_begun_is_advised_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "twofold.toml").write_text("[documents]\npaths = []\n", encoding="utf-8")
    (tmp_path / "a.json").write_text('{"task": "lookup", "change": "weekly"}', encoding="utf-8")
    command = ["advise", "-C", str(tmp_path), "--answers", str(tmp_path / "a.json"), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["first"] == "rag"
    (tmp_path / "twofold.toml").write_text("", encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "documents.jsonl").write_text('{"id": "d", "text": "Pumps."}', encoding="utf-8")
    assert main(command) == 0
    advice = json.loads(capsys.readouterr().out)
    assert advice["steps"][0]["command"] in ("twofold advise", "twofold examples make --count 100")
    assert any(fact["criterion"] == "documents" for fact in advice["facts"])


def test_documents_of_sources_count_once_they_are_synced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = write_project(tmp_path / "p", DOCUMENTS[:1], ASKED[:1], copies=30, settings=SETTINGS)
    (tmp_path / "handbook").mkdir()
    for number in range(5):
        (tmp_path / "handbook" / f"{number}.md").write_text(f"# Page {number}\n\nRule {number}.", encoding="utf-8")
    text = (here / "twofold.toml").read_text(encoding="utf-8")
    source = '[sources.handbook]\nkind = "folder"\npaths = ["../handbook"]\n'
    (here / "twofold.toml").write_text(f"{text}\n{source}", encoding="utf-8")
    with Project.open(here) as project:
        project.sync()
        facts = {fact.criterion: fact.text for fact in project.advice.facts()}
    assert facts["documents"].startswith("6 documents")


def test_outside_a_project_answers_alone_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["advise", "--template", "a.toml"]) == 0
    text = (tmp_path / "a.toml").read_text(encoding="utf-8")
    filled = text.replace('task = ""', 'task = "tone"').replace('labels = ""', 'labels = "thousands"')
    (tmp_path / "a.toml").write_text(filled, encoding="utf-8")
    capsys.readouterr()
    assert main(["advise", "--answers", "a.toml", "--json"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["first"], json.loads(out)["facts"]) == ("ft", [])
    assert "the answers alone count" in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


def test_a_template_holds_the_answers_of_the_latest_advice(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"task": "lookup", "risk": "high"}', encoding="utf-8")
    assert main(["advise", "-C", str(directory), "--answers", str(tmp_path / "a.json"), "--json"]) == 0
    assert main(["advise", "-C", str(directory), "--template", str(tmp_path / "b.toml")]) == 0
    assert read(tmp_path / "b.toml").levels == {"task": "lookup", "risk": "high"}
    assert main(["advise", "-C", str(directory), "--template", str(tmp_path / "b.toml")]) == 2  # never overwritten


def test_weights_are_printed_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", "--show-weights"]) == 0
    (tmp_path / "w.toml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["advise", "--show-weights", "--weights", str(tmp_path / "w.toml"), "--json"]) == 0
    mine = json.loads(capsys.readouterr().out)
    assert main(["advise", "--show-weights", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == mine


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--template", "a.toml", "--record"], "--template and --record do different things"),
        (["--record", "--probe"], "--record and --probe do different things"),
        (["--minutes", "5"], "--minutes is given without --probe"),
        (["--minutes", "5", "--tuning-minutes", "0"], "--minutes and --tuning-minutes are given without --probe"),
        (["--answers", "none.toml"], "there is no such file"),
        (["--weights", "none.toml"], "there is no such file"),
        (["--record"], "there is no twofold.toml here"),
        ([], "there is nothing to advise on"),
        (["-C", "nowhere"], "there is no twofold.toml in nowhere"),
    ],
)
def test_wrong_use_is_refused_with_a_cure(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["advise", *words]) in (2, 3)
    err = capsys.readouterr().err
    assert message in err
    assert "help: " in err


def test_init_points_to_the_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "examples.jsonl").write_text(
        "\n".join(json.dumps({"input": f"message {n}", "output": f"label {n % 2}"}) for n in range(20)),
        encoding="utf-8",
    )
    assert main(["init", str(tmp_path / "p"), "--from", str(tmp_path / "folder")]) == 0
    assert "twofold advise -C" in capsys.readouterr().out


# ---------------------------------------------------------------- at a terminal


class Terminal:
    """The command at a pseudo-terminal; its stdout is a pipe."""

    def __init__(self, *words: str, cwd: Path) -> None:
        self._leader, follower = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "twofold", "advise", *words],
            cwd=cwd,
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        self.screen = ""

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + 60
        while text not in self.screen:
            assert time.monotonic() < until, self.screen
            if select.select([self._leader], [], [], 0.1)[0]:
                self.screen += os.read(self._leader, 65536).decode()

    def answer(self, line: str, then: str) -> None:
        """Type a line once it is waited for, and wait for the next text."""
        self.screen = ""
        os.write(self._leader, f"{line}\n".encode())
        self.wait_for(then)

    def end(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=60)
        os.close(self._leader)
        return self.process.returncode, out.decode()


def test_questions_are_answered_left_open_taken_back_and_skipped(tmp_path: Path) -> None:
    terminal = Terminal("--json", cwd=tmp_path)
    number = len(QUESTIONNAIRE)
    terminal.wait_for(f"1/{number} What is the main task?")
    terminal.answer("tnoe", "did you mean tone?")
    terminal.answer("5", f"2/{number}")  # tone
    terminal.answer("b", "*5  tone")
    terminal.answer("", f"2/{number}")  # Enter keeps it
    terminal.answer("weekly", f"3/{number}")
    terminal.answer("?", f"4/{number}")
    terminal.screen = ""
    os.write(terminal._leader, b"s\n")
    code, out = terminal.end()
    assert code == 0
    assert json.loads(out)["answers"] == {"task": "tone", "change": "weekly"}


@pytest.mark.parametrize(
    ("criterion", "level", "tentative", "settled"),
    [
        ("labels", "tens", False, True),
        ("labels", "", False, False),
        ("task", "questions", True, False),  # only suggested
        ("change", "weekly", False, False),  # syncs may be rarer than changes
        ("permissions", "yes", False, True),  # nothing is stricter
        ("vocabulary", "foreign", False, False),  # never asked
    ],
)
def test_what_the_project_settles_is_not_asked(criterion: str, level: str, tentative: bool, settled: bool) -> None:
    fact = ProjectFact(criterion=criterion, level=level, text="", source="", tentative=tentative)
    assert _settles(fact) == settled


def test_what_the_project_shows_is_not_asked_and_ctrl_c_stores_nothing(directory: Path) -> None:
    stored = (directory / FILE).read_bytes() if (directory / FILE).exists() else b""
    terminal = Terminal("-C", str(directory), cwd=directory)
    terminal.wait_for("What is the main task?")
    assert "read from the project and not asked: labels" in terminal.screen
    terminal.answer("tone", "2/")
    os.killpg(terminal.process.pid, signal.SIGINT)
    code, out = terminal.end()
    assert (code, out) == (130, "")
    assert ((directory / FILE).read_bytes() if (directory / FILE).exists() else b"") == stored


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (("--record", "--answers", "a.toml"), "--answers means nothing beside --record"),
        (("--show-weights", "--no-store"), "--no-store means nothing beside --show-weights"),
        (
            ("--template", "a.toml", "--weights", "w.toml", "--no-store"),
            "--weights and --no-store mean nothing beside --template",
        ),
    ],
)
def test_an_option_that_nothing_reads_is_refused(
    words: tuple[str, ...], refused: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["advise", "-C", str(directory), *words]) == 2
    assert refused in capsys.readouterr().err


def test_wrong_answers_are_refused_before_probes_take_minutes(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.toml").write_text('change = "weakly"\n', encoding="utf-8")
    assert main(["advise", "-C", str(directory), "--probe", "--answers", str(tmp_path / "a.toml")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (directory / "advice" / "forecasts").exists()


def test_printed_commands_name_the_folder_that_was_named(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["advise", "-C", str(directory)]) == 0
    assert f"twofold advise --probe -C {directory}\n" in capsys.readouterr().out
    monkeypatch.chdir(directory)
    assert main(["advise"]) == 0
    assert "twofold advise --probe\n" in capsys.readouterr().out
