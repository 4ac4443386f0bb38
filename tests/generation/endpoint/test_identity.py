"""What endpoints say of their models: the lists of real engines, of hosted models, and of servers that say nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.generation.endpoint.identity import (
    LLAMA_CPP,
    VLLM,
    WEIGHTS,
    EndpointModel,
    differences,
    listed,
    probed,
)

OF_VLLM = {
    "object": "list",
    "data": [
        {"id": "acme", "owned_by": "vllm", "root": "/data/acme-8b", "parent": None, "max_model_len": 4096},
        {"id": "ft-1", "owned_by": "vllm", "root": "/x/adapters/ft-1", "parent": "acme", "max_model_len": None},
    ],
}
"""As vLLM 0.32 lists a base model and a LoRA adapter."""
OF_LLAMA_CPP = {
    "object": "list",
    "data": [
        {
            "id": "/w/tiny.gguf",
            "owned_by": "llamacpp",
            "meta": {"n_ctx": 512, "n_params": 6537856, "size": 13076992, "ftype": "F16"},
        }
    ],
}
"""As llama.cpp's server lists its model."""
HOSTED = {"object": "list", "data": [{"id": "acme", "object": "model", "owned_by": "system"}, {"id": "other"}]}

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer) -> httpx.Client:
    return httpx.Client(base_url="http://acme.example/v1", transport=httpx.MockTransport(answer))


def serves(listing: Any, **beside: Any) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        values = {"/v1/models": listing, **{f"/{name}": value for name, value in beside.items()}}
        value = values.get(request.url.path)
        return httpx.Response(404) if value is None else httpx.Response(200, json=value)

    return answer


def test_vllm_tells_weights_context_and_version() -> None:
    probe = probed(client(serves(OF_VLLM, version={"version": "0.32.0"})), "acme")
    assert probe.model == EndpointModel(model="acme", root="acme-8b", context=4096, engine=VLLM, version="0.32.0")
    assert probe.model.program == "vllm 0.32.0"
    tuned = probed(client(serves(OF_VLLM)), "ft-1").model
    assert tuned == EndpointModel(model="ft-1", root="ft-1", parent="acme-8b", context=4096, engine=VLLM)


def test_llama_cpp_has_one_model_whatever_its_name() -> None:
    probe = probed(client(serves(OF_LLAMA_CPP, props={"build_info": "b8681"})), "anything")
    assert probe.model is not None
    assert (probe.model.engine, probe.model.version, probe.model.parameters) == (LLAMA_CPP, "b8681", 6537856)
    assert probe.model.arithmetic == "F16"


def test_a_hosted_list_says_no_more_than_the_name() -> None:
    probe = probed(client(serves(HOSTED)), "acme")
    assert probe.alive
    assert probe.model == EndpointModel(model="acme")
    assert not probe.model.known
    missing = probed(client(serves(HOSTED)), "gone")
    assert (missing.alive, missing.model, missing.names) == (True, None, ("acme", "other"))


@pytest.mark.parametrize("status", [401, 404, 405, 501])
def test_an_endpoint_without_a_list_is_alive(status: int) -> None:
    probe = probed(client(lambda _: httpx.Response(status, text="no")), "m")
    assert (probe.alive, probe.model) == (True, None)


def test_a_server_that_is_down_or_does_not_end_is_not_alive() -> None:
    assert probed(client(lambda _: httpx.Response(503)), "m").reason == "it answers 503"

    def refuses(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    assert probed(client(refuses), "m").reason == "ConnectError: refused"

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            while True:
                yield b" " * 2**20

    endless = probed(client(lambda _: httpx.Response(200, stream=Endless())), "m")
    assert "does not end" in endless.reason


def test_what_one_does_not_say_is_no_difference() -> None:
    measured = EndpointModel(model="m", root="acme-8b", context=4096, engine=VLLM, version="0.31.0")
    assert differences(measured, EndpointModel(model="m")) == ()
    later = EndpointModel(model="m", root="acme-70b", context=4096, engine=VLLM, version="0.32.0")
    assert differences(measured, later) == (
        "root 'acme-70b' instead of 'acme-8b'",
        "version '0.32.0' instead of '0.31.0'",
    )
    assert differences(measured, later, only=WEIGHTS) == ("root 'acme-70b' instead of 'acme-8b'",)


def test_a_record_is_read_again() -> None:
    model = EndpointModel(model="m", root="acme-8b", parameters=7, engine=VLLM)
    assert EndpointModel.from_json({**json.loads(json.dumps(model.to_json())), "later": 1}) == model


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "id", "owned_by", "root", "parent", "meta", "n_ctx"]), inner)
    ),
    max_leaves=12,
)


@given(ANYTHING)
def test_whatever_an_endpoint_lists_is_read_or_passed_over(listing: Any) -> None:
    model = listed(listing, "m")
    assert model is None or model.model == "m"
