"""`twofold ask --chat` in a real terminal and in a pipe, with a server and without."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from serving_process import Running, served

from pseudo_terminal import BACKSPACE, CTRL_C, CTRL_D, UP, Terminal, terminal
from twofold.asking import read_history
from twofold.cli.chat import _PROMPT
from twofold.cli.main import main

PARKING = "What does parking cost?"
SLOW = ("--set", "generation.generator.options.word_seconds=0.15")


def chat(directory: Path, *words: str) -> AbstractContextManager[Terminal]:
    return terminal("ask", "--chat", "-C", str(directory), *words)


def test_a_person_talks_stops_an_answer_and_leaves(project_copy: Path) -> None:
    with (
        served(project_copy, *SLOW, "--unmeasured") as server,
        chat(project_copy, *SLOW) as screen,
    ):
        screen.until("/help lists the commands.")
        screen.type(f"What does parking cosX{BACKSPACE}t?\r")
        screen.until("Parking costs 4 ")  # the words come as they are written
        screen.type(CTRL_C)
        screen.until("stopped; Ctrl-C again leaves")
        with server.client() as client:  # the server writes on for nobody
            begun = time.monotonic()
            while "twofold_requests_running 1.0" not in client.get("/metrics").text:
                assert time.monotonic() - begun < 20
        screen.type(f"{UP}\r")  # the line before
        screen.until("Parking costs 4 euros a day. [1]")
        screen.until("[1] On parking (parking)")
        screen.type("and on Sunday?\r")
        assert "free on Sunday" in screen.until("[1]")
        screen.type("/sources\r")
        screen.until("quote: “It is free on Sunday”")
        screen.until("answered by rag")
        screen.type(f"/save {project_copy}/talk.jsonl\r")
        screen.until("4 turns in")
        server.process.kill()
        screen.type("/new\rWhen does the canteen open?\r")
        screen.until("A new conversation.")
        screen.until("The canteen opens at seven.")  # answered here, without the server
        screen.until(_PROMPT)  # before it stands, Ctrl-C ends the command
        screen.type("half a line" + CTRL_C)
        screen.until("Ctrl-C again leaves")
        screen.until(_PROMPT)
        screen.type(CTRL_C)
        assert screen.ended() == 0
    turns = read_history(project_copy / "talk.jsonl")
    assert [turn.content for turn in turns] == [
        PARKING,
        "Parking costs 4 euros a day.",
        "and on Sunday?",
        "It is free on Sunday.",
    ]


def test_control_d_leaves_and_sigterm_ends(measured: Path, server: Running) -> None:
    with chat(measured, PARKING) as screen:
        screen.until("[1] On parking (parking)")
        # Before the prompt stands, the terminal is not yet the line editor's: it would keep Ctrl-D as the end of
        # its own line, and the editor would read a mark in its place.
        screen.until(_PROMPT)
        screen.type(CTRL_D)
        assert screen.ended() == 0
    with chat(measured) as screen:
        screen.until("/help lists the commands.")
        screen.process.send_signal(signal.SIGTERM)
        assert screen.ended(5) == 143


Piped = Callable[..., tuple[int, str, str]]


@pytest.fixture
def piped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Piped:
    """Runs a chat on lines; returns its exit code, its output and its errors."""

    def run(lines: str, directory: Path, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        capsys.readouterr()
        code = main(["ask", "--chat", "-C", str(directory), *words])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("warm", [True, False])
def test_a_pipe_is_answered_line_by_line(
    warm: bool, request: pytest.FixtureRequest, measured: Path, tmp_path: Path, piped: Piped
) -> None:
    if warm:
        request.getfixturevalue("server")
    options = () if warm else ("--set", "generation.max_tokens=63")  # other settings than a server's
    talk = f"{PARKING}\n\nand on Sunday?\n/arm\n/save {tmp_path}/t\n/new\n/save {tmp_path}/u\n/arm base\n"
    talk += f"{PARKING}\n/quit\n?"
    code, out, err = piped(talk, measured, *options)
    assert code == 0
    assert out.splitlines() == [
        "Parking costs 4 euros a day. [1]",
        "    [1] On parking (parking)",
        "It is free on Sunday. [1]",
        "    [1] On parking (parking)",
        f"rag: it is the verdict of study 1{'' if warm else '; study 1 did not measure it with these settings'}",
        f"4 turns in {tmp_path}/t",
        "A new conversation.",
        "From now on the arm base answers.",
        "The documents do not say.",
        "(it declined, in the words 'The documents do not say.'; the arm base reads no documents)",
    ]
    assert "there is nothing to save yet" in err
    record, again, third = tmp_path / "t", f"/save {tmp_path}/t", "/bogus"
    _, out, err = piped(f"{again}\n{third}\n", measured, "--history", str(record))
    assert "is there already" in err
    assert "there is no command /bogus" in err


def test_with_json_each_turn_is_a_line(server: Running, measured: Path, piped: Piped) -> None:
    talk = f"{PARKING}\n/help\n/arm nope\nand on Sunday?"
    code, out, _ = piped(talk, measured, "--json")
    first, fault, second = map(json.loads, out.splitlines())
    assert code == 0
    assert (first["question"], first["citations"][0]["text"]) == (PARKING, "Parking costs 4 euros a day")
    assert fault["error"]["code"] == "config"
    assert second["text"] == "It is free on Sunday."
    code, out, err = piped(f"{PARKING}\n", measured, "--json", "--user", "ann")
    assert code == 3
    assert json.loads(out)["error"]["code"] == "config"
    assert "access control is disabled" in err


def test_a_question_is_needed_unless_it_is_a_chat(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask"]) == 2
    assert "twofold ask --chat" in capsys.readouterr().err
