"""`twofold ask --chat` in a real terminal and in a pipe, with a server and without."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving_process import Running, served

from twofold.asking import read_history
from twofold.cli.chat import _PROMPT
from twofold.cli.main import main

PARKING = "What does parking cost?"
SLOW = ("--set", "generation.generator.options.word_seconds=0.15")
CTRL_C, CTRL_D, BACKSPACE, UP = "\x03", "\x04", "\x7f", "\x1b[A"
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master, self.process = master, process
        self._seen = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, words: str, seconds: float = 60) -> str:
        """What appears up to these words, without the codes that drive the terminal."""
        end = time.monotonic() + seconds
        while words not in self._seen:
            os.set_blocking(self._master, False)
            try:
                self._seen = _CODES.sub("", self._seen + os.read(self._master, 65536).decode())
            except BlockingIOError:
                assert time.monotonic() < end, f"{words!r} does not appear in {self._seen!r}"
                time.sleep(0.01)
            except OSError as error:  # the other side is closed
                raise AssertionError(f"the command ended: {self._seen!r}") from error
        before, _, self._seen = self._seen.partition(words)
        return before + words

    def ended(self, seconds: float = 20) -> int:
        """The exit code; what it still writes is read, so that it can end."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            try:
                os.read(self._master, 65536)
            except (BlockingIOError, OSError):
                time.sleep(0.01)
        return self.process.wait(0)


@contextmanager
def terminal(directory: Path, *words: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "twofold", "ask", "--chat", "-C", str(directory), *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm"},
        preexec_fn=take_terminal,  # noqa: PLW1509 - nothing else makes Ctrl-C a signal
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_a_person_talks_stops_an_answer_and_leaves(project_copy: Path) -> None:
    with served(project_copy, *SLOW, "--unmeasured") as server, terminal(project_copy, *SLOW) as screen:
        screen.until("/help lists the commands.")
        screen.type(f"What does parking cosX{BACKSPACE}t?\r")
        screen.until("Parking costs 4 ")  # the words come as they are written
        screen.type(CTRL_C)
        screen.until("stopped; Ctrl-C again leaves")
        with server.client() as client:  # the server writes on for nobody
            begun = time.monotonic()
            while "twofold_requests_running 1.0" not in client.get("/metrics").text:
                assert time.monotonic() - begun < 2
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
        screen.type("half a line" + CTRL_C)
        screen.until("Ctrl-C again leaves")
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
    with terminal(measured, PARKING) as screen:
        screen.until("[1] On parking (parking)")
        # Before the prompt stands, the terminal is not yet the line editor's: it would keep Ctrl-D as the end of
        # its own line, and the editor would read a mark in its place.
        screen.until(_PROMPT)
        screen.type(CTRL_D)
        assert screen.ended() == 0
    with terminal(measured) as screen:
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
