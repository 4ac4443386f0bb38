"""`twofold ask` with a server that runs for the project: the same output, sooner; and never another's."""

from __future__ import annotations

import http.server
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from serving_process import Running, served

from twofold.cli.main import main
from twofold.project import Project
from twofold.serving import presence, warm
from twofold.serving.presence import Presence

Asked = Callable[..., tuple[int, str, str]]
USED = "answered by the server"


@pytest.fixture(scope="module")
def measured(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of this file only: the last server that starts for a project is the one that is found."""
    return Path(shutil.copytree(measured, tmp_path_factory.mktemp("warm") / "p"))


@pytest.fixture(scope="module")
def server(measured: Path) -> Iterator[Running]:
    """A server of it."""
    with served(measured) as running:
        yield running


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Asked:
    """Runs `twofold ask` in a project; returns its exit code, its output, and what it logged."""
    caplog.set_level(logging.INFO, "twofold.serving")

    def run(directory: Path, *words: str) -> tuple[int, str, str]:
        caplog.clear()
        capsys.readouterr()
        code = main(["ask", *words, "-C", str(directory), "-q"])
        return code, capsys.readouterr().out, caplog.text

    return run


def untimed(output: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(output)
    del record["timing"]
    return record


@contextmanager
def unpublished(directory: Path) -> Iterator[None]:
    """The server's file put aside, so that the command answers by itself."""
    file = directory / presence.FILE
    aside = file.rename(file.with_suffix(".aside"))
    try:
        yield
    finally:
        aside.rename(file)


@pytest.mark.parametrize(
    "words",
    [
        ["What does parking cost?"],
        ["What does parking cost?", "--arm", "rag"],
        ["How tall is the tower of Pisa?"],
        ["and on Sunday?", "--history", "history.json"],
    ],
)
def test_the_output_is_that_of_the_command_alone(
    server: Running, measured: Path, asked: Asked, words: list[str], tmp_path: Path
) -> None:
    turns = [
        {"role": "user", "content": "What does parking cost?"},
        {"role": "assistant", "content": "4 euros a day"},
    ]
    (tmp_path / "history.json").write_text(json.dumps(turns), encoding="utf-8")
    words = [str(tmp_path / word) if word.endswith(".json") else word for word in words]
    code, text, log = asked(measured, *words)
    assert (code, USED in log) == (0, True), log
    _, record, log = asked(measured, *words, "--json")
    assert USED in log
    with unpublished(measured):
        assert asked(measured, *words) == (0, text, "")
        _, alone, log = asked(measured, *words, "--json")
    assert log == ""
    assert untimed(record) == untimed(alone)


@pytest.mark.parametrize(
    "words",
    [["--arm", "base"], ["--set", "retrieval.k=1"], ["--user", "ann"], ["--where", "price < 30"], ["--model", "none"]],
)
def test_what_the_server_cannot_do_is_done_or_refused_by_the_command(
    server: Running, measured: Path, asked: Asked, words: list[str]
) -> None:
    code, out, log = asked(measured, "What does parking cost?", "--json", *words)
    assert USED not in log
    with unpublished(measured):
        expected, alone, _ = asked(measured, "What does parking cost?", "--json", *words)
    assert code == expected
    assert out == alone if code else untimed(out) == untimed(alone)


def test_a_copy_of_the_project_does_not_ask_the_server_of_the_original(server: Running, project_copy: Path) -> None:
    file = project_copy / presence.FILE
    assert file.is_file()
    assert presence.published(project_copy) is None


def test_the_file_is_the_owner_s_and_ends_with_the_server(project_copy: Path, asked: Asked) -> None:
    file = project_copy / presence.FILE
    with served(project_copy) as first:
        assert file.stat().st_mode & 0o777 == 0o600
        kept = file.read_text(encoding="utf-8")
        assert json.loads(kept)["pid"] == first.ready["pid"]
        with served(project_copy) as second:  # the one that started last is asked, and its file is its own to remove
            assert json.loads(file.read_text(encoding="utf-8"))["url"] == second.url
            assert first.end() == 0
            assert file.is_file()
            second.process.send_signal(signal.SIGKILL)
            second.process.wait()
    assert file.is_file()
    code, out, log = asked(project_copy, "What does parking cost?")  # a stale file
    assert (code, "4 euros" in out, USED in log) == (0, True, False)
    assert "does not answer" in log


class _Impostor(http.server.BaseHTTPRequestHandler):
    """Answers everything as the server would that it is not."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path.partition("?")[0])
        body = json.dumps({"status": "ok", "proof": "0" * 64}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_words: Any) -> None:
        pass


def test_a_program_that_took_the_port_gets_neither_question_nor_secret(
    project_copy: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    handler = type("Impostor", (_Impostor,), {"seen": seen})
    other = http.server.HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{other.server_port}"
    with Project.open(project_copy) as project:
        Presence(directory=str(project_copy), url=url, settings=presence.settings(project.config)).publish()
    try:
        code, out, log = asked(project_copy, "What does parking cost?")
    finally:
        other.shutdown()
        other.server_close()
    assert (code, "4 euros" in out, USED in log) == (0, True, False)
    assert seen == ["/healthz"]


def test_no_proxy_is_asked(server: Running, measured: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert USED in asked(measured, "What does parking cost?")[2]


def test_the_secret_opens_one_address_and_no_key_opens_that(server: Running, measured: Path) -> None:
    present = presence.published(measured)
    assert present is not None
    question = {"text": "What does parking cost?"}
    with server.client(present.secret) as client:
        assert client.post("/local/ask", json=question).status_code == 200
        assert "proof" not in client.get("/healthz").json()
        assert len(client.get("/healthz", params={"challenge": "x"}).json()["proof"]) == 64
    with server.client("wrong") as stranger, server.client() as keyless:
        for client in (stranger, keyless):
            assert client.post("/local/ask", json=question).status_code == 401
        assert "/local/ask" not in keyless.get("/openapi.json").text


def test_a_file_that_is_no_such_file_is_passed_over(project_copy: Path) -> None:
    file = project_copy / presence.FILE
    file.parent.mkdir(exist_ok=True)
    for text in ("", "{}", "[]", '{"url": 3}', "\x00"):
        file.write_text(text, encoding="utf-8")
        assert presence.published(project_copy) is None
    present = Presence(directory=str(project_copy.resolve()), url="http://127.0.0.1:1", settings="")
    for url in ("http://127.0.0.1:1", "nonsense", "http://127.0.0.1:port"):
        file.write_text(json.dumps(asdict(replace(present, url=url))), encoding="utf-8")
        read = presence.published(project_copy)
        assert read is not None
        assert not read.proves()
    with Project.open(project_copy) as project:
        assert warm.server(project_copy, project.config) is None


def test_under_access_control_user_and_group_mean_the_same(closed: Path, asked: Asked) -> None:
    asking = {
        "ann": ["--user", "ann", "--group", "staff"],
        "bob": ["--user", "bob", "--group", "staff"],
        "nobody": [],
        "odd": ["--user", "\x1b"],
    }
    told = {}
    with served(closed, "--arm", "rag", "--unmeasured"):
        for name, words in asking.items():
            code, out, log = asked(closed, "What is Ann paid?", "--json", *words)
            assert (USED in log) == (name != "nobody"), (name, log)
            told[name] = code, out
    for name, words in asking.items():
        code, out, _ = asked(closed, "What is Ann paid?", "--json", *words)
        assert code == told[name][0]
        assert out == told[name][1] if code else untimed(out) == untimed(told[name][1])
    assert " 900" in told["ann"][1]
    assert " 900" not in told["bob"][1]  # the blank: seconds of an answer have such digits, too


def test_it_loads_no_part_that_the_server_has_loaded(server: Running, measured: Path) -> None:
    program = (
        "import sys; from twofold.cli.main import main; code = main(sys.argv[1:]); "
        "print(code, *sorted({'fastapi', 'httpx', 'twofold.project'} & set(sys.modules)))"
    )
    words = ["ask", "What does parking cost?", "-C", str(measured), "-v"]
    ended = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert USED in ended.stderr
    assert ended.stdout.splitlines()[-1] == "0"
