"""The log of a server never makes an answer wait, and what is left out of it is counted."""

from __future__ import annotations

import io
import json
import logging
import threading
import time

import pytest

from twofold.cli import json_log
from twofold.cli.json_log import JsonLog
from twofold.serving import exchange


class Stalled(io.StringIO):
    """A pipe that nobody reads, until somebody does."""

    def __init__(self) -> None:
        super().__init__()
        self.read_again = threading.Event()

    def write(self, text: str) -> int:
        self.read_again.wait(10)
        return super().write(text)


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_warnings_are_records_with_their_request_and_without_logins() -> None:
    stream = io.StringIO()
    with JsonLog(stream):
        name = exchange.begin_request()
        logging.getLogger("twofold.x").warning("the address http://ann:secret@host/ failed:\n%s", "twice")
        logging.getLogger("twofold.x").info("not this")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["event"], record["level"], record["logger"]) == ("log", "warning", "twofold.x")
    assert record["request"] == name
    assert "secret" not in line
    assert record["message"].endswith("failed:\ntwice")


def test_a_stalled_reader_loses_lines_and_the_next_line_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_log, "_MOST", 2)
    stream = Stalled()
    with JsonLog(stream) as log:
        for number in range(10):
            log.write({"number": number})
        stream.read_again.set()
        while stream.getvalue().count("\n") < 2:
            time.sleep(0.01)
        time.sleep(0.05)  # the queue has room again
        log.write({"number": 10})
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert records[-1]["number"] == 10
    assert len(records) + records[-1]["left_out"] == 11


def test_a_broken_pipe_ends_nothing() -> None:
    with JsonLog(Broken()) as log:
        log.write({"a": "\ud800"})
        log.write({"b": float("inf")})
