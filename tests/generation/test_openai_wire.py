"""The endpoint client against bytes that no well-behaved server sends: pieces, odd wordings, redirects, drips."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from twofold.errors import GenerationError
from twofold.generation.endpoint.openai import OpenAIGenerator
from twofold.plugins import loading
from twofold.testing.conformance_generator import prompt
from twofold.types import Completion, Message, Prompt

Send = Callable[[socket.socket, dict[str, Any]], None]


class Wire:
    """A listener on a free port; `send` gets the socket and the request's body, and writes what it likes."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.send: Send = lambda connection, _: None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            length = 0
            while (line := lines.readline().strip().lower()) != b"":
                length = int(line.split(b":")[1]) if line.startswith(b"content-length") else length
            body = json.loads(lines.read(length))
            self.bodies.append(body)
            with contextlib.suppress(OSError):
                self.send(connection, body)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def client(wire: Wire, **options: object) -> OpenAIGenerator:
    values = {"model": "m", "base_url": wire.url, "backoff": 0.01, "timeout": 5.0, "retries": 1, **options}
    made: OpenAIGenerator = loading.make("generators", "openai", values)
    return made


def http(status: str, body: Any, *headers: str, kind: str = "application/json") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(data)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + data


def said(text: Any, **more: Any) -> Any:
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}], **more}


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def piece(text: str, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def streamed(wire: Wire, *parts: bytes, pause: float = 0.0) -> Completion:
    def send(connection: socket.socket, _: dict[str, Any]) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)

    wire.send = send
    *pieces, whole = client(wire).stream(prompt("a"))
    assert isinstance(whole, Completion)
    assert "".join(str(one) for one in pieces) == whole.text
    return whole


# ---------------------------------------------------------------- refusals

TEACHES: dict[str, Any] = {
    "Anthropic": {"type": "error", "error": {"message": "temperature: Extra inputs are not permitted"}},
    "JSON Schema": {"error": {"message": "Additional properties are not allowed ('temperature' was unexpected)"}},
    "pydantic as text": {
        "object": "error",
        "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'temperature'), 'msg': 'Extra inputs are not "
        "permitted', 'input': 0.0}]",
        "code": 400,
    },
    "Gemini": [{"error": {"code": 400, "message": 'Unknown name "temperature": Cannot find field.'}}],
    "short form": {"error": {"message": "This model doesn't support temperature."}},
    "one value": {"error": {"message": "invalid temperature: only 1 is allowed for this model"}},
    "one value, otherwise": {"error": {"message": "`temperature` may only be set to 1 when thinking is enabled."}},
    "one value, and no other": {"error": {"message": "temperature must be 1 when thinking is enabled"}},
    "a list of errors": {"errors": [{"message": "Unknown field temperature", "code": 400}]},
    "a list": {"error": {"message": "Unsupported parameter(s): `temperature`"}},
    "LiteLLM": {
        "error": {"message": "openai does not support parameters: {'temperature': 0.0}, for model=o9", "param": None}
    },
    "a path": {"error": {"message": "unknown field", "param": "body.temperature", "code": "unknown_parameter"}},
}
TEACHES_NOTHING: dict[str, str] = {
    "a conflict": "`temperature` and `top_p` cannot both be specified for this model.",
    "another thing is not supported": "This model does not support images (temperature 0, max_tokens 12).",
    "a clause of its own": "Unsupported language; temperature and max_tokens were ignored.",
    "a value above the range": "max_tokens=12: values above 8 are not supported",
    "a range": "Invalid value for temperature: expected a number between 0.01 and 1",
    "a size": "max_tokens must be at least 16 for this model",
    "a sum": "prompt tokens plus max_tokens exceed what this deployment is allowed",
}


@pytest.mark.parametrize("name", TEACHES)
def test_a_refusal_of_the_field_teaches_in_whatever_words(wire: Wire, name: str) -> None:
    def send(connection: socket.socket, body: dict[str, Any]) -> None:
        refused = "temperature" in body
        connection.sendall(http("400 Bad Request", TEACHES[name]) if refused else http("200 OK", said("ok")))

    wire.send = send
    made = client(wire)
    before = made.key
    assert made.generate([prompt("a")])[0].text == "ok"
    assert (made.description["not_sent"], len(wire.bodies)) == (["temperature"], 2)
    assert made.key != before


@pytest.mark.parametrize("name", TEACHES_NOTHING)
def test_an_error_that_names_a_field_but_does_not_refuse_it_teaches_nothing(wire: Wire, name: str) -> None:
    wire.send = lambda connection, _: connection.sendall(
        http("400 Bad Request", {"error": {"message": TEACHES_NOTHING[name]}})
    )
    made = client(wire)
    before = made.key
    failure = made.generate([prompt("a")])[0].failure
    assert failure is not None
    assert failure.message == TEACHES_NOTHING[name]
    assert (made.description["not_sent"], made.key, len(wire.bodies)) == ([], before, 1)


def test_a_question_that_names_a_field_is_asked_again_once_another_request_has_told_that_it_is_refused(
    wire: Wire,
) -> None:
    told = threading.Event()

    def send(connection: socket.socket, body: dict[str, Any]) -> None:
        if "temperature" not in body:
            connection.sendall(http("200 OK", said("ok")))
            told.set()
            return
        if "temperature" in body["messages"][0]["content"]:
            told.wait(5)
        connection.sendall(http("400 Bad Request", {"error": {"message": "temperature is not supported"}}))

    wire.send = send
    made = client(wire).generate([prompt("Which temperature is best?"), prompt("Who?")])
    assert [completion.text for completion in made] == ["ok", "ok"]


# ---------------------------------------------------------------- answers


def test_a_redirect_is_an_error_that_says_where_to(wire: Wire) -> None:
    wire.send = lambda connection, _: connection.sendall(
        http("308 Permanent Redirect", b"", "Location: https://elsewhere.example/v1/chat/completions")
    )
    with pytest.raises(GenerationError, match=r"https://elsewhere\.example/v1") as caught:
        client(wire).generate([prompt("a")])
    assert "base_url" in caught.value.cure


@pytest.mark.parametrize("wait", ["86400", "Fri, 31 Dec 2100 23:59:59 GMT", "Fri, 31 Dec 2100 23:59:59 -0000"])
def test_an_endpoint_that_asks_for_a_very_long_wait_is_not_asked_again_before(wire: Wire, wait: str) -> None:
    wire.send = lambda connection, _: connection.sendall(
        http("429 Too Many Requests", {"error": {"message": "daily quota"}}, f"Retry-After: {wait}")
    )
    failure = client(wire, retries=3).generate([prompt("a")])[0].failure
    assert failure is not None
    assert failure.message.startswith("daily quota (it asks to wait ")
    assert len(wire.bodies) == 1


def test_an_answer_that_drips_is_over_at_the_limit(wire: Wire) -> None:
    def send(connection: socket.socket, _: dict[str, Any]) -> None:
        head, _, body = http("200 OK", said("ok" * 200)).partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        for byte in body:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    wire.send = send
    begun = time.monotonic()
    failure = client(wire, timeout=0.5, retries=0).generate([prompt("a")])[0].failure
    assert failure is not None
    assert failure.code == "generation.timeout"
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "upstream overloaded", "code": 529}},
        {"choices": []},
        {"choices": [None]},
        {"choices": None},
        {"choices": [{"message": None}]},
        [said("ok")],
        "ok",
        None,
        b"",
        b"<html>sign in</html>",
        b"\xff\xfe{",
        b'{"choices": [{"message": {"content": "o',
    ],
)
def test_a_body_that_is_no_completion_is_a_failure_of_its_prompt(wire: Wire, body: Any) -> None:
    wire.send = lambda connection, _: connection.sendall(http("200 OK", body))
    failure = client(wire).generate([prompt("a")])[0].failure
    assert failure is not None
    assert (failure.code, len(wire.bodies)) == ("generation.malformed", 2)


@pytest.mark.parametrize("usage", ["7", [7], {"prompt_tokens": "many"}, {"prompt_tokens": None}, 7])
def test_an_answer_counts_whatever_stands_in_its_usage(wire: Wire, usage: Any) -> None:
    wire.send = lambda connection, _: connection.sendall(http("200 OK", said("ok", usage=usage)))
    made = client(wire).generate([prompt("a")])[0]
    assert (made.text, made.failure, made.usage.prompt_tokens) == ("ok", None, 0)


def test_half_of_a_surrogate_pair_is_shown_as_lost(wire: Wire) -> None:
    wire.send = lambda connection, _: connection.sendall(http("200 OK", said("fine \ud83d\ude00 cut \ud83d")))
    made = client(wire).generate([prompt("a")])[0]
    assert made.text == "fine \U0001f600 cut \ufffd"
    made.text.encode("utf-8")


def test_a_connection_that_is_reset_is_tried_again(wire: Wire) -> None:
    def send(connection: socket.socket, _: dict[str, Any]) -> None:
        whole = http("200 OK", said("ok"))
        if len(wire.bodies) == 1:
            connection.sendall(whole[:-5])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return
        connection.sendall(whole)

    wire.send = send
    assert client(wire).generate([prompt("a")])[0].text == "ok"


# ---------------------------------------------------------------- streams


def test_a_stream_in_single_bytes_keeps_its_letters(wire: Wire) -> None:
    parts = b": hello\r\n\r\n" + piece("Zürich 𝟛 日本") + piece("", "stop") + b"data: [DONE]\n\n"
    assert streamed(wire, STREAM, *(bytes([byte]) for byte in parts)).text == "Zürich 𝟛 日本"


def test_a_line_separator_within_an_answer_does_not_end_the_event(wire: Wire) -> None:
    text = "one\u2028two\u0085three\x0bfour"
    assert streamed(wire, STREAM, piece(text), piece("", "stop")).text == text


def test_a_stream_tells_when_it_wrote_first_not_when_it_was_accepted(wire: Wire) -> None:
    role = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    late = streamed(wire, STREAM, role, piece("Par"), piece("is"), piece("", "stop"), pause=0.03)
    assert late.first is not None
    assert 0.05 < late.first <= late.seconds - 0.05, "after the role, and before what came in two more pieces"
    thinking = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
    reasoned = streamed(wire, STREAM, thinking, role, piece("Paris"), piece("", "stop"), pause=0.03)
    assert reasoned.first is not None
    assert reasoned.first <= reasoned.seconds - 0.08, "reasoning is written, too"


def test_a_stream_says_that_it_was_cut(wire: Wire) -> None:
    assert streamed(wire, STREAM, piece("Par"), piece("", "length"), b"data: [DONE]\n\n").finish == "length"


def test_an_endpoint_that_does_not_stream_is_read_whole(wire: Wire) -> None:
    made = streamed(wire, http("200 OK", said("Paris", usage={"completion_tokens": 3})))
    assert (made.text, made.usage.completion_tokens) == ("Paris", 3)


BROKEN: dict[str, bytes] = {
    "an error": event({"error": {"message": "overloaded"}}),
    "an error, vLLM": event({"object": "error", "message": "overloaded", "code": 500}) + b"data: [DONE]\n\n",
    "an error event": b"event: error\n" + event({"message": "overloaded"}) + b"data: [DONE]\n\n",
    "a list": event([1]),
    "a number": event(7),
    "no JSON": b"data: {oops\n\n",
    "the end": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_is_no_answer(wire: Wire, name: str) -> None:
    with pytest.raises(GenerationError):
        streamed(wire, STREAM, piece("Par"), BROKEN[name])


def test_an_error_in_place_of_a_stream_is_told(wire: Wire) -> None:
    with pytest.raises(GenerationError, match="overloaded"):
        streamed(wire, http("200 OK", {"error": {"message": "overloaded"}}))


def test_events_without_choices_or_pieces_are_no_text(wire: Wire) -> None:
    odd = [{"choices": []}, {"choices": None}, {"choices": [{}]}, {"choices": [{"delta": None}]}, {"id": "x"}]
    assert streamed(wire, STREAM, piece("Par"), *map(event, odd), piece("is", "stop")).text == "Paris"


def test_what_is_asked_for_is_sent_and_the_key_has_it(wire: Wire) -> None:
    wire.send = lambda connection, _: connection.sendall(http("200 OK", said("ok")))
    plain = client(wire)
    keys = {plain.key}
    for options in ({"temperature": 0.7}, {"extra": {"top_p": 0.5}}, {"extra": {"seed": 3}}, {"temperature": None}):
        made = client(wire, **options)
        made.generate([replace(prompt("a"), stop=("\n",))])
        sent = wire.bodies[-1]
        wanted = {"temperature": 0.0, **options, **options.get("extra", {})}  # type: ignore[dict-item]
        for field in ("temperature", "top_p", "seed"):
            assert sent.get(field) == wanted.get(field), field
        keys.add(made.key)
    assert len(keys) == 5


def test_a_refused_schema_is_a_failure_and_never_sent_without(wire: Wire) -> None:
    wire.send = lambda connection, _: connection.sendall(
        http("400 Bad Request", {"error": {"message": "Unsupported parameter: 'response_format'", "param": None}})
    )
    asked = Prompt(messages=(Message(role="user", content="a"),), schema='{"type": "object"}')
    failure = client(wire).generate([asked])[0].failure
    assert failure is not None
    assert "response_format" in wire.bodies[-1]
