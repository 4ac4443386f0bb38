"""Models tuned here at an endpoint that lists adapters as vLLM does, loads them or does not, and is upgraded."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import EndpointUnreachable, GenerationError
from twofold.generation.endpoint.measured import FILE
from twofold.plugins import loading
from twofold.store.model_registry import model_id
from twofold.testing.conformance_generator import prompt
from twofold.types import Adapter

MANIFEST = {"files": {"adapter_model.safetensors": {"sha256": "00"}}, "base": {"weights": "w"}, "template": "t"}


class Served:
    """An endpoint with vLLM's routes; the answer to a prompt is the name of the model that answered."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {"acme": {"root": "/data/acme-8b", "max_model_len": 4096}}
        self.version, self.owner, self.loads = "0.32.0", "vllm", True
        self.calls: list[str] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.calls.append(self.path)
                rows = [{"id": name, "owned_by": served.owner, **row} for name, row in served.models.items()]
                values: dict[str, Any] = {"/v1/models": {"data": rows}}
                if served.owner == "vllm":
                    values["/version"] = {"version": served.version}
                self.reply(200 if self.path in values else 404, values.get(self.path, {}))

            def do_POST(self) -> None:
                served.calls.append(self.path)
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path == "/v1/load_lora_adapter":
                    if not served.loads:
                        self.reply(404, {"detail": "Not Found"})
                    elif not (Path(body["lora_path"]) / "adapter_config.json").is_file():
                        self.reply(404, {"error": {"message": f"No adapter found for {body['lora_name']}"}})
                    else:
                        served.models[body["lora_name"]] = {"root": body["lora_path"], "parent": "acme"}
                        self.reply(200, "Success")
                elif body["model"] not in served.models:
                    self.reply(404, {"error": {"message": "no such model"}})
                else:
                    choice = {"message": {"role": "assistant", "content": body["model"]}, "finish_reason": "stop"}
                    self.reply(200, {"choices": [choice], "usage": {}})

            def reply(self, status: int, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def served() -> Iterator[Served]:
    running = Served()
    yield running
    running.close()


@pytest.fixture
def adapter(tmp_path: Path) -> Adapter:
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return Adapter(key="adapter:k", weights="adapter:w", path=str(folder), template="t")


def generator(served: Served, adapter: Adapter | None = None, **options: Any) -> Any:
    chosen = {"model": "acme", "base_url": served.url, "weights": "here", "retries": 0, **options}
    return loading.make("generators", "openai", chosen, adapter=adapter)


def test_a_model_tuned_here_is_loaded_once_by_the_id_of_its_content(served: Served, adapter: Adapter) -> None:
    tuned = generator(served, adapter)
    answers = [tuned.generate([prompt("A?")])[0].text for _ in range(2)]
    assert answers == [model_id(MANIFEST)] * 2
    assert served.calls.count("/v1/load_lora_adapter") == 1
    *_, last = generator(served, adapter).stream(prompt("A?"))
    assert last.text == model_id(MANIFEST)
    assert served.calls.count("/v1/load_lora_adapter") == 1, "it is listed now"
    assert generator(served).generate([prompt("A?")])[0].text == "acme"


def test_a_candidate_without_a_manifest_is_named_by_its_weights(served: Served, adapter: Adapter) -> None:
    (Path(adapter.path) / "manifest.json").unlink()
    assert generator(served, adapter).generate([prompt("A?")])[0].text == adapter.weights


def test_an_endpoint_that_cannot_load_says_so_before_any_question(served: Served, adapter: Adapter) -> None:
    served.loads = False
    with pytest.raises(GenerationError, match=r"not the tuned model model:\w+: it loads no adapters") as error:
        generator(served, adapter).generate([prompt("A?")])
    assert f"twofold models export {model_id(MANIFEST)}" in error.value.cure
    assert "/v1/chat/completions" not in served.calls


def test_a_model_tuned_in_all_its_weights_is_never_sent_as_an_adapter(served: Served, adapter: Adapter) -> None:
    (Path(adapter.path) / "model").mkdir()
    with pytest.raises(GenerationError, match="tuned in all its weights"):
        generator(served, adapter).generate([prompt("A?")])
    assert "/v1/load_lora_adapter" not in served.calls
    served.models[model_id(MANIFEST)] = {"root": "/merged"}
    assert generator(served, adapter).generate([prompt("A?")])[0].text == model_id(MANIFEST)


def test_without_weights_a_local_adapter_is_refused_and_no_request_is_made(served: Served, adapter: Adapter) -> None:
    with pytest.raises(GenerationError, match="cannot be tuned with the local adapter"):
        generator(served, adapter, weights="")
    assert not served.calls


def test_an_endpoint_that_is_down_is_unreachable(served: Served, adapter: Adapter) -> None:
    tuned = generator(served, adapter)
    served.close()
    with pytest.raises(EndpointUnreachable):
        tuned.generate([prompt("A?")])


def test_an_upgrade_is_another_system_and_an_endpoint_that_is_down_the_one_before(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = generator(served).key
    assert not served.calls, "a generator of no project asks nothing"

    def remembered(**options: Any) -> Any:
        made = generator(served, **options)
        made.remember(tmp_path)
        return made

    before = remembered()
    assert before.description["engine"] == "vllm 0.32.0"
    assert before.key != plain
    assert remembered().key == before.key
    served.version = "0.33.0"
    after = remembered()
    with caplog.at_level(logging.WARNING):
        assert after.key not in (plain, before.key)
    assert "vllm 0.33.0, and vllm 0.32.0 before" in caplog.text
    served.close()
    assert remembered().key == after.key
    (tmp_path / FILE).write_text("{")
    assert remembered().key == plain


def test_other_weights_behind_the_name_that_was_measured_answer_nothing(served: Served, tmp_path: Path) -> None:
    def remembered() -> Any:
        made = generator(served)
        made.remember(tmp_path)
        return made

    key = remembered().key
    served.models["acme"]["root"] = "/elsewhere/acme-8b/"
    assert remembered().generate([prompt("A?")])[0].text == "acme", "the same folder on another machine"
    served.models["acme"]["root"] = "/data/acme-9b"
    other = remembered()
    assert other.key == key
    with pytest.raises(GenerationError, match=r"root 'acme-9b' instead of 'acme-8b'"):
        other.generate([prompt("A?")])


def test_an_endpoint_that_serves_a_tuned_model_alone_does_not_answer_for_the_untuned(served: Served) -> None:
    served.models = {"model:other": {"root": "/merged"}}
    with pytest.raises(GenerationError, match="serves model:other, not 'acme': another one would answer"):
        generator(served).generate([prompt("A?")])


def test_a_plain_endpoint_keeps_its_key(served: Served, tmp_path: Path) -> None:
    served.owner = "system"
    made = generator(served)
    plain = made.key
    made.remember(tmp_path)
    assert made.key == plain
    assert "engine" not in made.description


def test_the_key_of_a_tuned_model_is_the_same_before_and_after_it_is_loaded(
    served: Served, adapter: Adapter, tmp_path: Path
) -> None:
    def key() -> str:
        tuned = generator(served, adapter)
        tuned.remember(tmp_path)
        return str(tuned.key)

    before = key()
    generator(served, adapter).generate([prompt("A?")])
    assert key() == before
    base = generator(served)
    base.remember(tmp_path)
    assert base.key != before
