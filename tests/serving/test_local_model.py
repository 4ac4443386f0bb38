"""Requests that only a real local model can refuse, over HTTP: conversations beyond its context, unusable schemas."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_process import Running, served

from small_project import write_project
from twofold.project import Project

# Fifteen seconds of one core, most of them for torch and the model.
pytestmark = pytest.mark.slow
LONG = "What does parking cost? " * 900
TURNS = [{"role": "user", "content": LONG}, {"role": "assistant", "content": "4"}, {"role": "user", "content": "And?"}]


@pytest.fixture(scope="module")
def local(tiny: Path, tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Iterator[Running]:
    documents = [{"id": "parking", "title": "On parking", "text": "Parking costs 4 euros a day."}]
    asked = [("parking", "What does parking cost?", "4 euros")]
    directory = write_project(tmp_path_factory.mktemp("local") / "p", documents, asked, copies=1, settings="")
    toml = (directory / "twofold.toml").read_text(encoding="utf-8")
    options = f'options = {{model = "path:{tiny}", runtime = "openvino", dtype = "f32", cache_gib = 1.0}}'
    (directory / "twofold.toml").write_text(toml.replace('name = "echo"', f'name = "local"\n{options}'))
    with Project.open(directory) as project:
        project.sync()
    with served(directory, "--unmeasured", "--arm", "base", "--arm", "rag") as server:
        yield server


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": TURNS}),
        ("/v1/chat/completions", {"messages": TURNS[2:], "max_tokens": 100_000}),
        ("/v1/completions", {"prompt": LONG}),
        ("/v1/responses", {"input": TURNS}),
    ],
    ids=["chat", "tokens", "completions", "responses"],
)
@pytest.mark.parametrize("model", ["base", "rag"])
def test_too_long_a_conversation_is_a_400_with_counts(
    local: Running, model: str, path: str, body: dict[str, Any], *, stream: bool
) -> None:
    with local.client() as client:
        refused = client.post(path, json={"model": model, "stream": stream, **body})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (400, "serving.too-long")
    assert "exceed the context of 2048" in error["message"]
    assert any(word.isdigit() and int(word) > 2000 for word in error["message"].split())
    assert "Send fewer" in error["message"]


def test_a_schema_that_the_model_cannot_write_by_is_a_400_and_a_megabyte_holds_up_nobody(local: Running) -> None:
    pattern = {"type": "string", "pattern": "(?=.*a)b"}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": pattern}}
    waits: list[float] = []
    over = threading.Event()

    def look() -> None:
        with local.client() as client:
            while not over.is_set():
                begun = time.monotonic()
                client.get("/healthz").raise_for_status()
                waits.append(time.monotonic() - begun)
                time.sleep(0.02)

    looking = threading.Thread(target=look)
    looking.start()
    with local.client() as client:
        question = {"model": "base", "messages": TURNS[2:], "max_tokens": 4}
        refused = client.post("/v1/chat/completions", json={**question, "response_format": form})
        begun = time.monotonic()
        # Digits are a token each: it took the interpreter's lock for all of the seconds in which it was tokenised.
        endless = client.post(
            "/v1/chat/completions", json={**question, "messages": [{**TURNS[2], "content": "1" * 600_000}]}
        )
        taken = time.monotonic() - begun
        assert client.post("/v1/chat/completions", json=question).status_code == 200
    over.set()
    looking.join()
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "serving.request", "response_format")
    assert "Lookahead is not supported" in error["message"]
    assert endless.json()["error"]["code"] == "serving.too-long"
    assert max(waits) < max(0.5, taken / 2)
