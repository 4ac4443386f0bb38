"""A part that is down is named and not waited for, and is used again as soon as it works: engine, index, live tool."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from serving_process import served

from lazily import Lazily
from twofold.cli.main import main
from twofold.errors import DatabaseUnreachable, PartDown
from twofold.project import Project
from twofold.serving.degradation import Breaker
from twofold.serving.keys import KEYS, Keys
from twofold.serving.limits import USE, UseLedger

openai = Lazily("openai")
CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "What does parking cost?"}]
BODY = {"model": "default", "messages": USER}
AT_ONCE = 1.5
"""Seconds within which a refusal comes on a busy machine; a part that is tried takes more."""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_part_that_failed_is_tried_by_one_request_after_each_pause() -> None:
    clock = Clock()
    breaker = Breaker("the index", pause=2.0, clock=clock)
    for _ in range(3):
        with breaker.using((OSError,)):
            pass
    down_since = r"the index is down since .* \(store\.unreachable\)"
    with pytest.raises(PartDown, match=down_since) as down, breaker.using((DatabaseUnreachable,)):
        raise DatabaseUnreachable("nothing answers")
    assert down.value.retry_after == 2.0
    clock.now += 1.5
    assert breaker.refuses
    with pytest.raises(PartDown):
        breaker.require()
    clock.now += 1
    assert not breaker.refuses
    breaker.require()  # this one tries
    with pytest.raises(PartDown):
        breaker.require()  # and no other beside it
    breaker.left()  # its asker left before it knew
    breaker.require()
    breaker.worked()
    assert breaker.since == ""
    breaker.require()
    breaker.require()


def test_an_error_of_a_request_is_no_failure_of_the_part() -> None:
    breaker = Breaker("the index")
    with pytest.raises(ValueError, match="of the request"), breaker.using((OSError,)):
        raise ValueError("of the request")
    assert breaker.since == ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Engine(BaseHTTPRequestHandler):
    """Streams `words`; before the last it dies where `dies` is set, or waits so many seconds."""

    words = ("Parking ", "costs ", "4 ", "euros ", "today.")
    dies = False
    waits = 0.0
    refused = (
        ("longer", 400, "This model's maximum context length is 20 tokens. Please shorten the prompt."),
        ("longest", 500, "the request exceeds the available context size"),
        ("poison", 500, "assertion failed"),
    )
    """Words of a question, and the status and message that it gets."""
    bodies: ClassVar[list[Any]]

    def log_message(self, *_words: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.bodies.append(body)
        time.sleep(type(self).waits)
        question = body["messages"][-1]["content"]
        for words, status, message in self.refused:
            if words in question:
                content = json.dumps({"error": {"message": message}}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for number, word in enumerate(self.words, 1):
            finish = "stop" if number == len(self.words) else None
            chance = {"token": word, "logprob": -0.5, "top_logprobs": [{"token": "It", "logprob": -1.5}]}
            logprobs = {"content": [chance]} if body.get("logprobs") else None
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": finish, "logprobs": logprobs}
            self._event({"choices": [choice]})
            if type(self).dies and number == len(self.words) - 1:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                return
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, value: Any) -> None:
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())

    def do_GET(self) -> None:
        """The live tool: the price of today."""
        body = json.dumps({"place": "Parking", "price": 7}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def listening(port: int) -> Iterator[type[Engine]]:
    kind = type("Own", (Engine,), {"bodies": []})
    server = ThreadingHTTPServer(("127.0.0.1", port), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield kind
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(client: httpx.Client, **more: Any) -> tuple[int, Any, httpx.Response]:
    reply = client.post(CHAT, json={**BODY, **more})
    return reply.status_code, reply.json().get("error", {}).get("code", ""), reply


def until(client: httpx.Client, status: int, **more: Any) -> httpx.Response:
    end = time.monotonic() + 30
    while (reply := client.post(CHAT, json={**BODY, **more})).status_code != status:
        assert time.monotonic() < end, reply.text
        time.sleep(0.1)
    return reply


def test_an_engine_that_dies_is_refused_at_once_and_used_again_when_it_is_back(project_copy: Path) -> None:
    port = free_port()
    options = f'{{model = "m", base_url = "http://127.0.0.1:{port}/v1", retries = 0, timeout = 2.0}}'
    settings = ("--set", 'generation.generator.name="openai"', "--set", f"generation.generator.options={options}")
    with served(project_copy, "--unmeasured", *settings) as server, server.client() as client:
        assert post(client)[:2] == (503, "serving.down")  # it was never there
        assert client.get("/readyz").status_code == 503
        began = time.monotonic()
        refused = [post(client) for _ in range(5)]
        assert time.monotonic() - began < 5 * AT_ONCE
        for status, code, reply in refused:
            assert (status, code) == (503, "serving.down")
            assert int(reply.headers["retry-after"]) >= 1
            assert "the engine is down since 20" in reply.json()["error"]["message"]
        with listening(port) as engine:
            text = until(client, 200).json()["choices"][0]["message"]["content"]
            assert text.startswith("Parking costs 4 euros today.")
            assert client.get("/readyz").json()["faults"] == []
            engine.dies = True
            with client.stream("POST", CHAT, json={**BODY, "stream": True}) as stream:
                text = "".join(stream.iter_lines())
            assert '"content":"Parking' in text
            assert '"code":"generation"' in text
            assert "data: [DONE]" not in text
            engine.dies = False
            assert post(client)[0] == 200  # one broken answer is no engine that is down
            engine.waits = 3.0
            assert post(client)[:2] == (503, "serving.down")  # too slow: longer than its timeout
            engine.waits = 0.0
            began = time.monotonic()
            assert post(client)[:2] == (503, "serving.down")
            assert time.monotonic() - began < AT_ONCE
            assert until(client, 200)


def test_one_prompt_that_an_engine_cannot_take_harms_nobody_else(project_copy: Path) -> None:
    port = free_port()
    options = f'{{model = "m", base_url = "http://127.0.0.1:{port}/v1", retries = 1, backoff = 0.01}}'
    settings = ("--set", 'generation.generator.name="openai"', "--set", f"generation.generator.options={options}")
    key, token = Keys(project_copy / KEYS).add("asks")
    with (
        listening(port),
        served(project_copy, "--unmeasured", *settings) as server,
        server.client(token) as client,
    ):
        for stream in (False, True):
            for words, status, code in [
                ("longer", 400, "serving.too-long"),
                ("longest", 400, "serving.too-long"),
                ("poison", 502, "generation"),
            ]:
                question = [{"role": "user", "content": f"What does {words} parking cost?"}]
                assert post(client, messages=question, stream=stream)[:2] == (status, code)
                assert post(client)[0] == 200  # at once
        # This engine tells no number of tokens: that is no reason to answer free of charge.
        assert UseLedger(project_copy / USE).used()[f"key:{key.id}"]["tokens"].spent > 6 * 20


def test_what_an_endpoint_tells_of_its_tokens_is_passed_on(project_copy: Path) -> None:
    port = free_port()
    options = f'{{model = "m", base_url = "http://127.0.0.1:{port}/v1"}}'
    settings = ("--set", 'generation.generator.name="openai"', "--set", f"generation.generator.options={options}")
    with (
        listening(port) as engine,
        served(project_copy, "--unmeasured", *settings) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        asked = {"model": "default", "messages": USER, "logprobs": True, "top_logprobs": 2}
        whole = client.chat.completions.create(**asked).choices[0].logprobs.content
        assert [(one.token, one.logprob, one.top_logprobs[0].token) for one in whole] == [
            (word, -0.5, "It") for word in Engine.words
        ]
        assert whole[0].bytes == list(b"Parking ")
        *_, last = client.chat.completions.create(**asked, stream=True)
        assert [one.token for one in last.choices[0].logprobs.content] == list(Engine.words)
        assert [(body["logprobs"], body["top_logprobs"]) for body in engine.bodies] == [(True, 2)] * 2
        text = client.completions.create(model="default", prompt="What does parking cost?", logprobs=1).choices[0]
        assert text.logprobs.tokens == list(Engine.words)
        assert text.logprobs.top_logprobs[0] == {"It": -1.5}
        assert text.logprobs.text_offset[:3] == [0, 8, 14]
        plain = client.chat.completions.create(model="default", messages=USER, n=2, temperature=0.7)
        assert [choice.logprobs for choice in plain.choices] == [None, None]
        assert "logprobs" not in engine.bodies[-1]
        assert sorted(body.get("seed", -1) for body in engine.bodies[-2:]) == [-1, 1]
        with pytest.raises(openai.BadRequestError, match="top_logprobs needs logprobs"):
            client.chat.completions.create(model="default", messages=USER, top_logprobs=2)


@contextmanager
def chroma(folder: Path, port: int) -> Iterator[None]:
    command = [Path(sys.executable).with_name("chroma"), "run", "--path", str(folder), "--port", str(port)]
    quiet = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, env=quiet)
    try:
        for _ in range(600):
            try:
                httpx.get(f"http://127.0.0.1:{port}/api/v2/heartbeat").raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, "the server ended at once"
                time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait(20)


def test_while_the_database_is_down_only_arms_without_documents_answer(project_copy: Path, tmp_path: Path) -> None:
    pytest.importorskip("chromadb")
    port = free_port()
    (tmp_path / "chroma").mkdir()
    with (project_copy / "twofold.toml").open("a") as settings:
        settings.write(
            f'\n[serving]\narms = ["base"]\n[retrieval.index]\nname = "chroma"\n'
            f'options = {{name = "p", url = "http://127.0.0.1:{port}", timeout = 5.0}}\n'
        )
    running = served(project_copy, "--unmeasured")
    with chroma(tmp_path / "chroma", port):
        with Project.open(project_copy) as project:
            project.sync(rebuild=True)
        server = running.__enter__()
    try:
        with server.client() as client:
            assert post(client)[:2] == (503, "serving.down")
            began = time.monotonic()
            assert post(client)[:2] == (503, "serving.down")
            assert time.monotonic() - began < AT_ONCE
            assert client.post("/v1/retrieve", json={"query": "parking"}).status_code == 503
            state = client.get("/readyz")
            assert (state.status_code, state.json()["faults"][0]["code"]) == (503, "serving.down")
            rows = client.get("/v1/models").json()["data"]
            assert [(row["id"], row["later_index"]) for row in rows] == [("rag", None), ("base", False)]
            assert "twofold_index_later NaN" in client.get("/metrics").text
            assert post(client, model="base")[0] == 200
            with chroma(tmp_path / "chroma", port):
                back = until(client, 200).json()
                assert back["choices"][0]["message"]["citations"][0]["document"] == "parking"
                assert client.get("/readyz").status_code == 200
    finally:
        running.__exit__(None, None, None)


def test_an_index_whose_folder_has_gone_is_down_until_it_is_back(project_copy: Path) -> None:
    index = project_copy / ".twofold" / "index"
    with served(project_copy) as server, server.client() as client:
        assert post(client)[0] == 200
        index.rename(index.with_name("elsewhere"))
        assert until(client, 503).json()["error"]["code"] == "serving.down"
        assert client.get("/readyz").status_code == 503
        shutil.rmtree(index, ignore_errors=True)
        index.with_name("elsewhere").rename(index)
        assert until(client, 200).json()["choices"][0]["message"]["citations"]


def test_a_server_starts_while_its_index_is_down_and_answers_once_it_is_back(
    project_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index is made where there is none: a lost one must not answer that the documents say nothing."""
    index = project_copy / ".twofold" / "index"
    index.rename(index.with_name("elsewhere"))
    assert main(["ask", "What does parking cost?", "-C", str(project_copy)]) == 3
    assert "sync --rebuild" in capsys.readouterr().err
    with (project_copy / "twofold.toml").open("a") as settings:
        settings.write('\n[serving]\narms = ["base"]\n')
    with served(project_copy) as server, server.client() as client:
        assert (server.ready["model"]["id"], server.ready["model"]["measured"]) == ("rag", None)
        assert post(client)[:2] == (503, "serving.down")
        assert int(post(client)[2].headers["retry-after"]) >= 1
        assert client.post("/v1/retrieve", json={"query": "parking"}).status_code == 503
        state = client.get("/readyz")
        assert (state.status_code, state.json()["faults"][0]["code"]) == (503, "serving.down")
        rows = client.get("/v1/models").json()["data"]
        assert [(row["id"], row["measured"], row["later_index"]) for row in rows] == [
            ("rag", None, None),
            ("base", True, False),
        ]
        assert client.get("/ask", headers={"accept": "text/html"}).status_code == 200
        assert post(client, model="base")[0] == 200
        shutil.rmtree(index)
        index.with_name("elsewhere").rename(index)
        assert until(client, 200).json()["choices"][0]["message"]["citations"]
        assert client.get("/readyz").json() == {"ready": True, "faults": [], "remarks": []}
        assert client.get("/v1/models").json()["data"][0]["measured"] is True


def test_a_live_tool_that_is_down_is_named_in_the_answer_and_not_waited_for(project_copy: Path) -> None:
    port = free_port()
    with (project_copy / "twofold.toml").open("a") as settings:
        settings.write(
            f'\n[retrieval]\npreset = "agentic"\n[tools.prices]\nkind = "http"\n'
            f'url = "http://127.0.0.1:{port}/price"\nprivate = true\nwhen = "cost"\nfresh = 0.0\nstale = 0.0\n'
            f'retries = 0\ntimeout = 2.0\nsentence = "{{place}} costs {{price}} euros today."\n'
        )
    with served(project_copy, "--unmeasured") as server, server.client() as client:
        first = post(client)[2].json()
        assert first["choices"][0]["message"]["content"].startswith("Parking costs 4 euros a day.")
        (lack,) = first["twofold"]["degraded"]
        assert lack["part"] == "the tool prices"
        assert lack["since"].startswith("20")
        state = client.get("/readyz")
        assert state.status_code == 200
        assert any(one.startswith("the tool prices is down since 20") for one in state.json()["remarks"])
        stream = client.post(CHAT, json={**BODY, "stream": True}).text
        assert '"part":"the tool prices"' in stream
        with listening(port):
            end = time.monotonic() + 30
            while (again := post(client)[2].json())["twofold"]["degraded"]:
                assert time.monotonic() < end
                time.sleep(0.1)
            assert "7 euros today" in again["choices"][0]["message"]["content"]
        assert not any("tool" in one for one in client.get("/readyz").json()["remarks"])
