"""The endpoint client against a real server that stalls, fails, limits, lies and streams."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

import pytest

from twofold.errors import BadRequest, GenerationError
from twofold.generation.endpoint.openai import OpenAIGenerator
from twofold.plugins import loading
from twofold.testing.conformance_generator import PROMISES, Subject, opened, prompt
from twofold.types import Adapter, Completion, Message, Prompt

Reply = tuple[int, dict[str, str], Any]


def said(text: Any, **more: Any) -> Reply:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return 200, {}, {"choices": [choice], "usage": usage, **more}


class Endpoint:
    """A server on a free port; `answer` maps a request body and its number to a reply."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[dict[str, Any], int], Reply] = lambda body, _: said(body["messages"][-1]["content"][:9])
        self.running = self.most = 0
        lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    endpoint.bodies.append(body)
                    endpoint.headers.append({k.lower(): v for k, v in self.headers.items()})
                    number = len(endpoint.bodies)
                    endpoint.running += 1
                    endpoint.most = max(endpoint.most, endpoint.running)
                try:
                    status, headers, reply = endpoint.answer(body, number)
                finally:
                    with lock:
                        endpoint.running -= 1
                if body.get("stream") and status == 200 and isinstance(reply, dict):
                    choice = reply["choices"][0]
                    reply = events(choice["message"]["content"], choice.get("finish_reason", "stop"))
                data = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
                try:
                    self.send_response(status)
                    for key, value in headers.items():
                        self.send_header(key, value)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


def events(text: str, finish: str = "stop") -> str:
    parts = [text[at : at + 2] for at in range(0, len(text), 2)]
    lines = [": keep-alive", 'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}']
    lines += ["data: " + json.dumps({"choices": [{"delta": {"content": part}}]}) for part in parts]
    lines += ["data: " + json.dumps({"choices": [{"delta": {}, "finish_reason": finish}]})]
    lines += ['data: {"choices":[],"usage":{"prompt_tokens":1}}', "data: [DONE]"]
    return "\n\n".join(lines) + "\n\n"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


def client(endpoint: Endpoint, **options: object) -> OpenAIGenerator:
    values = {"model": "m", "base_url": endpoint.url, "backoff": 0.01, "timeout": 5.0, **options}
    made: OpenAIGenerator = loading.make("generators", "openai", values)
    return made


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise: Callable[[Subject], None], endpoint: Endpoint) -> None:
    for subject in opened(lambda: client(endpoint)):
        promise(subject)


def test_the_key_is_sent_but_is_in_no_key_and_no_description(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = client(endpoint).key
    monkeypatch.setenv("MY_KEY", "sesame-1234")
    made = client(endpoint, api_key_env="MY_KEY")
    made.generate([prompt("hello")])
    assert endpoint.headers[0]["authorization"] == "Bearer sesame-1234"
    assert made.key == without
    assert "sesame" not in json.dumps(made.description)


def test_server_errors_are_tried_again(endpoint: Endpoint) -> None:
    endpoint.answer = lambda _, number: (503, {}, {"error": {"message": "busy"}}) if number < 4 else said("fine")
    assert client(endpoint).generate([prompt("a")])[0].text == "fine"
    assert len(endpoint.bodies) == 4


def test_after_the_last_attempt_it_is_a_failure_of_that_prompt_alone(endpoint: Endpoint) -> None:
    endpoint.answer = lambda body, _: (
        (500, {}, {"error": {"message": "boom"}}) if body["messages"][0]["content"] == "bad" else said("ok")
    )
    made = client(endpoint, retries=2).generate([prompt("good"), prompt("bad"), prompt("good")])
    assert [completion.text for completion in made] == ["ok", "", "ok"]
    assert made[1].failure is not None
    assert (made[1].failure.code, made[1].failure.message) == ("generation.http-500", "boom")
    assert len(endpoint.bodies) == 2 + 3


def test_retry_after_is_honoured(endpoint: Endpoint) -> None:
    endpoint.answer = lambda _, number: (429, {"Retry-After": "0.3"}, {}) if number == 1 else said("ok")
    begun = time.monotonic()
    assert client(endpoint, backoff=0.0).generate([prompt("a")])[0].text == "ok"
    assert 0.3 <= time.monotonic() - begun < 3


def test_a_stalling_endpoint_times_out(endpoint: Endpoint) -> None:
    def slow(body: dict[str, Any], _: int) -> Reply:
        if body["messages"][0]["content"] == "slow":
            time.sleep(1.0)
        return said("ok")

    endpoint.answer = slow
    made = client(endpoint, timeout=0.2, retries=1).generate([prompt("slow"), prompt("quick")])
    assert made[0].failure is not None
    assert made[0].failure.code == "generation.timeout"
    assert made[1].text == "ok"


def test_nobody_listens() -> None:
    made = loading.make(
        "generators", "openai", {"model": "m", "base_url": "http://127.0.0.1:9/v1", "retries": 1, "backoff": 0.0}
    )
    failure = made.generate([prompt("a")])[0].failure
    assert failure is not None
    assert failure.code == "generation.connection"


@pytest.mark.parametrize(("status", "word"), [(401, "OPENAI_API_KEY"), (404, "base_url")])
def test_what_is_wrong_with_all_prompts_is_an_error(endpoint: Endpoint, status: int, word: str) -> None:
    endpoint.answer = lambda *_: (status, {}, {"error": {"message": "no"}})
    with pytest.raises(GenerationError, match=str(status)) as caught:
        client(endpoint).generate([prompt("a"), prompt("b")])
    assert word in caught.value.cure
    with pytest.raises(GenerationError, match=str(status)):
        list(client(endpoint).stream(prompt("a")))


@pytest.mark.parametrize("reply", ["not json", "{}", '{"choices": []}', '{"choices": [{"message": {"content": 5}}]}'])
def test_malformed_answers_are_failures(endpoint: Endpoint, reply: str) -> None:
    endpoint.answer = lambda *_: (200, {}, reply)
    failure = client(endpoint, retries=1).generate([prompt("a")])[0].failure
    assert failure is not None
    assert failure.code == "generation.malformed"
    assert len(endpoint.bodies) == 2


def test_other_dialects(endpoint: Endpoint) -> None:
    parts = [{"type": "text", "text": "Par"}, {"type": "text", "text": "is"}]
    thought = [{"type": "thinking", "text": "Lyon?"}, {"type": "text", "text": "Paris"}]
    replies = iter([said(parts), said(thought), said("x", usage=None)])
    endpoint.answer = lambda *_: next(replies)
    made = client(endpoint, concurrency=1).generate([prompt("a"), prompt("b"), prompt("c")])
    assert [completion.text for completion in made] == ["Paris", "Paris", "x"]
    assert [completion.failure for completion in made] == [None, None, None]
    assert made[2].usage.prompt_tokens == 0


def test_a_refusal_is_a_failure(endpoint: Endpoint) -> None:
    status, headers, body = said(None)
    body["choices"][0]["message"]["refusal"] = "I cannot help with that."
    endpoint.answer = lambda *_: (status, headers, body)
    failure = client(endpoint).generate([prompt("a")])[0].failure
    assert failure is not None
    assert failure.code == "generation.refused"


REFUSALS: dict[str, dict[str, Any]] = {
    "OpenAI": {
        "error": {
            "message": "Unsupported value: 'temperature' does not support 0.0 with this model.",
            "param": "temperature",
            "code": "unsupported_value",
        }
    },
    "words alone": {"error": {"message": "Unsupported parameter: 'temperature' is not supported with this model."}},
    "param alone": {"error": {"message": "no", "param": "temperature"}},
    "deprecated": {
        "error": {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."}
    },
    "FastAPI": {"detail": [{"type": "extra_forbidden", "loc": ["body", "temperature"], "msg": "not permitted"}]},
    "text": {"error": "temperature is not supported"},
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_field_is_left_out_by_all_requests_under_way_and_the_key_says_so(
    endpoint: Endpoint, name: str
) -> None:
    def picky(body: dict[str, Any], _: int) -> Reply:
        if "max_tokens" in body:
            return 400, {}, {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."}}
        return (400, {}, REFUSALS[name]) if "temperature" in body else said("ok")

    endpoint.answer = picky
    made = client(endpoint, concurrency=8)
    asked = made.key
    assert [completion.text for completion in made.generate([prompt("a")] * 8)] == ["ok"] * 8
    assert made.description["not_sent"] == ["temperature"]
    assert made.key != asked, "the endpoint's own temperature is not temperature 0"
    assert endpoint.bodies[-1]["max_completion_tokens"] == 12
    sent = len(endpoint.bodies)
    assert [piece for piece in made.stream(prompt("a")) if isinstance(piece, str)] == ["ok"]
    assert len(endpoint.bodies) == sent + 1


ECHO = "Is the parameter 'temperature' not supported? Unknown field 'stop', unsupported parameter max_tokens."
OTHERS: dict[str, dict[str, Any]] = {
    "the question quoted": {"error": {"message": f"Rejected by the content filter: {ECHO}"}},
    "the context length": {
        "error": {
            "message": "This model's maximum context length is 4096 tokens, you requested 5000. Reduce max_tokens.",
            "code": "context_length_exceeded",
        }
    },
    "the context length, of max_tokens": {
        "error": {"message": "max_tokens is too large: 9000. The context length is 4096.", "param": "max_tokens"}
    },
    "a value out of range": {"error": {"message": "temperature must be between 0 and 1", "param": "temperature"}},
    "another field": {"error": {"message": "stop: unsupported parameter 'seed'", "param": "seed"}},
    "FastAPI on a message": {
        "detail": [{"type": "string_type", "loc": ["body", "messages", 0], "msg": "bad", "input": ECHO}]
    },
    "no JSON": {},
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_error_about_something_else_is_a_failure_of_that_prompt_and_teaches_nothing(
    endpoint: Endpoint, name: str
) -> None:
    def answer(body: dict[str, Any], _: int) -> Reply:
        return (400, {}, OTHERS[name] or ECHO) if body["messages"][0]["content"] == ECHO else said("ok")

    endpoint.answer = answer
    made = client(endpoint, concurrency=1)
    key = made.key
    asked = Prompt(messages=(Message(role="user", content=ECHO),), stop=("\n",))
    bad, good = made.generate([asked, replace(prompt("fine"), stop=("\n",))])
    assert bad.failure is not None
    code = "generation.too-long" if "context" in name else "generation.http-400"
    assert (bad.failure.code, good.text, len(endpoint.bodies)) == (code, "ok", 2)
    assert {"temperature", "max_tokens", "stop"} <= set(endpoint.bodies[-1])
    assert (made.description["not_sent"], made.key) == ([], key)


REASONED = {"message": {"content": None, "reasoning_content": "Let me think. Paris"}}
EMPTY: dict[str, tuple[dict[str, Any], str, str]] = {
    "all reasoning": ({**REASONED, "finish_reason": "length"}, "generation.empty", "reasoning used up the token limit"),
    "reasoning alone": ({**REASONED, "finish_reason": "stop"}, "generation.empty", "in its reasoning only"),
    "other spelling": (
        {"message": {"content": "", "reasoning": "Paris"}, "finish_reason": "length"},
        "generation.empty",
        "raise [generation].max_tokens",
    ),
    "blank": ({"message": {"content": " \n"}, "finish_reason": "stop"}, "generation.empty", "no text"),
    "filtered": (
        {"message": {"content": "The code is"}, "finish_reason": "content_filter"},
        "generation.refused",
        "content filter",
    ),
    "broken off": ({"message": {"content": "The co"}, "finish_reason": "error"}, "generation.incomplete", "'error'"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_what_is_no_whole_answer_is_a_failure_that_says_why(endpoint: Endpoint, name: str) -> None:
    choice, code, told = EMPTY[name]
    endpoint.answer = lambda *_: (200, {}, {"choices": [choice]})
    completion = client(endpoint).generate([prompt("a")])[0]
    assert completion.failure is not None
    assert (completion.text, completion.failure.code) == ("", code)
    assert told in completion.failure.message
    delta = choice["message"]
    event = json.dumps({"choices": [{"delta": delta, "finish_reason": choice["finish_reason"]}]})
    endpoint.answer = lambda *_: (200, {}, f"data: {event}\n\ndata: [DONE]\n\n")
    *_, last = client(endpoint).stream(prompt("a"))
    assert isinstance(last, Completion)
    assert last.failure == completion.failure


def test_a_call_of_a_tool_needs_no_text(endpoint: Endpoint) -> None:
    call = {"id": "1", "function": {"name": "find", "arguments": "{}"}}
    choice = {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    endpoint.answer = lambda *_: (200, {}, {"choices": [choice]})
    turn = client(endpoint).converse([{"role": "user", "content": "q"}], [], max_tokens=8, seconds=5)
    assert (turn.completion.failure, turn.calls[0].name) == (None, "find")


def test_a_stream_that_ends_early_is_no_answer(endpoint: Endpoint) -> None:
    whole = events("one two three")
    early = r"without finish_reason or \[DONE\]"
    for reply, told in (
        (whole[: whole.index('{"choices": [{"delta": {}')], early),
        ("", early),
        (json.dumps({"choices": []}), "does not stream: not a chat completion"),
    ):
        endpoint.answer = lambda *_, reply=reply: (200, {}, reply)
        with pytest.raises(GenerationError, match=told):
            list(client(endpoint).stream(prompt("a")))
    endpoint.answer = lambda *_: (200, {}, 'data: {"choices":[{"delta":{"content":"one"}}]}\n\ndata: [DONE]\n\n')
    *_, last = client(endpoint).stream(prompt("a"))
    assert isinstance(last, Completion)
    assert last.text == "one", "some endpoints end with [DONE] alone"


def test_schema_stop_and_extra_fields_are_sent(endpoint: Endpoint) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    asked = Prompt(messages=(Message(role="user", content="x"),), stop=("\n",), schema=json.dumps(schema))
    client(endpoint, extra={"top_p": 0.5}).generate([asked])
    body = endpoint.bodies[0]
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert (body["stop"], body["top_p"]) == (["\n"], 0.5)


def test_requests_run_at_once_up_to_the_limit(endpoint: Endpoint) -> None:
    def slow(body: dict[str, Any], _: int) -> Reply:
        time.sleep(0.05)
        return said(body["messages"][0]["content"])

    endpoint.answer = slow
    asked = [prompt(str(n)) for n in range(12)]
    assert [c.text for c in client(endpoint, concurrency=4).generate(asked)] == [str(n) for n in range(12)]
    assert 2 <= endpoint.most <= 4


def test_price_and_adapters(endpoint: Endpoint) -> None:
    made = client(endpoint, price_per_million_prompt=1.0, price_per_million_completion=10.0)
    made.generate([prompt("a"), prompt("b")])
    assert made.description["price"] == pytest.approx(2 * (7 + 30) / 1e6)
    adapter = Adapter(key="adapter:x", weights="x", path="", template="")
    with pytest.raises(GenerationError, match="cannot be tuned"):
        loading.make("generators", "openai", {"model": "m"}, adapter=adapter)


def test_a_stream_tells_that_it_was_cut_and_what_it_cost(endpoint: Endpoint) -> None:
    choice = {"message": {"content": "one two"}, "finish_reason": "length"}
    endpoint.answer = lambda *_: (200, {}, {"choices": [choice]})
    *pieces, last = client(endpoint).stream(prompt("a"))
    assert isinstance(last, Completion)
    assert ("".join(map(str, pieces)), last.text, last.finish) == ("one two", "one two", "length")
    assert last.usage.prompt_tokens == 1


def test_live_requests_are_streams_at_most_so_many_at_once(endpoint: Endpoint) -> None:
    generator = client(endpoint, concurrency=3)
    endpoint.answer = lambda body, _: (time.sleep(0.05), said(body["messages"][-1]["content"]))[1]
    batch, queues = generator.live(), [SimpleQueue[Any]() for _ in range(9)]
    for number, queue in enumerate(queues):
        batch.submit(prompt(f"question {number}"), queue.put, temperature=number / 10, seed=number)
    for number, queue in enumerate(queues):
        while isinstance(item := queue.get(timeout=20), str):
            pass
        assert item.text == f"question {number}"
    assert endpoint.most == 3
    sent = {body["messages"][-1]["content"]: (body["temperature"], body["seed"]) for body in endpoint.bodies}
    assert sent == {f"question {n}": (n / 10, n) for n in range(9)}
    batch.close()
    generator.close()


def test_a_stream_that_did_not_begin_is_tried_again(endpoint: Endpoint) -> None:
    generator = client(endpoint)
    endpoint.answer = lambda _, number: (429, {"Retry-After": "0.05"}, {}) if number < 3 else said("ok")
    assert next(iter(generator.stream(prompt("x")))) == "ok"
    assert len(endpoint.bodies) == 3
    endpoint.answer = lambda *_: (429, {"Retry-After": "86400"}, {})
    with pytest.raises(GenerationError, match="429"):
        list(generator.stream(prompt("x")))
    assert len(endpoint.bodies) == 4
    generator.close()


def test_a_temperature_that_the_endpoint_refuses_is_refused_by_name(endpoint: Endpoint) -> None:
    generator = client(endpoint)
    refusal = {"error": {"message": "Unsupported parameter: 'temperature'", "param": "temperature"}}
    endpoint.answer = lambda body, _: (400, {}, refusal) if "temperature" in body else said("ok")
    batch, queue = generator.live(), SimpleQueue[Any]()
    batch.submit(prompt("x"), queue.put)  # without one of its own it does without
    assert queue.get(timeout=20) == "ok"
    queue.get(timeout=20)
    batch.submit(prompt("x"), queue.put, temperature=0.5)
    error = queue.get(timeout=20)
    assert isinstance(error, BadRequest)
    assert error.param == "temperature"
    batch.close()
    generator.close()
