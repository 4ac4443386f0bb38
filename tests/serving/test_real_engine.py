"""`twofold serve` before a real engine, llama.cpp's server: answers, streams, and what callers see while it is down."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from serving_process import served

from llama_engine import started
from twofold.generation.export.gguf import write_gguf

pytest.importorskip("xllamacpp")
BODY = {"model": "rag", "messages": [{"role": "user", "content": "What does parking cost?"}], "max_tokens": 8}
CHAT = "/v1/chat/completions"
SECONDS = 60


def test_an_engine_answers_is_killed_and_answers_again(project_copy: Path, tiny: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    write_gguf(tiny, model)
    with started(model) as engine:
        port = int(urlsplit(engine.url).port or 0)
        options = {"model": "tiny", "base_url": f"{engine.url}/v1", "retries": 0, "timeout": 30}
        settings = [f"generation.generator.options.{name}={json.dumps(value)}" for name, value in options.items()]
        words = [word for setting in settings for word in ("--set", setting)]
        with (
            served(project_copy, "--unmeasured", "--set", "generation.generator.name=openai", *words) as server,
            server.client() as client,
        ):
            whole = client.post(CHAT, json=BODY)
            assert whole.status_code == 200
            answer, spent = whole.json()["choices"][0]["message"]["content"], whole.json()["usage"]
            assert answer.strip()
            assert spent["completion_tokens"] > 0
            with client.stream("POST", CHAT, json={**BODY, "stream": True}) as reply:
                lines = [line for line in reply.iter_lines() if line.startswith("data: {")]
            pieces = [json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in lines]
            assert "".join(pieces).strip() == answer.strip()
            engine.process.kill()
            engine.process.wait()
            down = client.post(CHAT, json=BODY)
            assert (down.status_code, down.json()["error"]["code"]) == (503, "serving.down")
            assert int(down.headers["retry-after"]) > 0
            state = client.get("/readyz")
            assert state.status_code == 503
            assert "down since" in state.json()["faults"][0]["message"]
            with started(model, port):
                end = time.monotonic() + SECONDS
                while (again := client.post(CHAT, json=BODY)).status_code != 200 and time.monotonic() < end:
                    time.sleep(0.2)
                assert again.json()["choices"][0]["message"]["content"] == answer
            assert client.get("/readyz").status_code == 200
