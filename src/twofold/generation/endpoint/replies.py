"""What an endpoint's responses say: completions, pieces of a stream, calls of tools, tokens.

A text counts as an answer only if it arrived completely and as content. Empty texts, texts that a filter or an error
ended, broken streams and reasoning fields do not count.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx

from twofold.errors import GenerationError
from twofold.generation.endpoint.events import Letters, chances_in, events
from twofold.plugins.live import DetailedCompletion, TokenChance
from twofold.plugins.results import ToolCall
from twofold.types import Completion, Failure, Json, Usage

_CUT = ("length", "max_tokens", "model_length")
"""Values of ``finish_reason``, among providers, for an answer at the token limit."""
_BROKEN = ("error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource")
"""Values of ``finish_reason`` for an answer that the endpoint broke off."""


def read(response: httpx.Response, seconds: float) -> Completion:
    """The completion of a response with a whole body, or the failure that it is.

    Args:
        response: With status 200.
        seconds: That it took.
    """
    try:
        body = response.json()
        choice = body["choices"][0]
        message = choice["message"]
        text = Letters().take(_text(message.get("content")), last=True)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        message = f"not a chat completion ({type(error).__name__}): {response.text[:120]!r}"
        return Completion(text="", seconds=seconds, failure=Failure(code="generation.malformed", message=message))
    usage = _usage(body)
    refusal = message.get("refusal")
    if not text and refusal:
        failure = Failure(code="generation.refused", message=str(refusal)[:300])
        return Completion(text="", usage=usage, seconds=seconds, failure=failure)
    finish = "tool_calls" if message.get("tool_calls") else str(choice.get("finish_reason") or "stop")
    completion = _completion(text, finish, reasoned=_reasons(message), usage=usage, seconds=seconds)
    chances = chances_in(choice)
    return DetailedCompletion.of(completion, chances) if chances else completion


def arriving(response: httpx.Response, begun: float) -> Iterator[str | Completion]:
    """The pieces of a streamed response, then its completion.

    Args:
        response: With status 200.
        begun: When the request was made, by the monotonic clock.

    Raises:
        GenerationError: the stream broke, or the endpoint does not stream.
    """
    text, finish, usage, reasoned = "", "", Usage(), False
    chances: list[TokenChance] = []
    began_writing: float | None = None
    letters = Letters()
    pieces = response.iter_bytes()
    first = next((piece for piece in pieces if piece.strip()), b"")
    # an endpoint that does not stream answers with one JSON object
    if first.lstrip().startswith(b"{"):
        whole = httpx.Response(200, content=first + b"".join(pieces))
        yield from _unstreamed(read(whole, time.monotonic() - begun))
        return
    for event in events(itertools.chain([first], pieces)):
        choice = (event.get("choices") or [{}])[0]
        delta = choice.get("delta") or {}
        piece, reasoned = letters.take(_text(delta.get("content"))), reasoned or _reasons(delta)
        # Reasoning is written, too; an event with the role alone may come before the prompt was read.
        if began_writing is None and (piece or reasoned):
            began_writing = time.monotonic() - begun
        # some endpoints name no reason and end with [DONE]: that is an end, too
        finish = choice.get("finish_reason") or finish or ("stop" if event.get("done") else "")
        usage = _usage(event) if event.get("usage") else usage
        text += piece
        chances += chances_in(choice)
        if piece:
            yield piece
    # a broken stream is no answer, however much of it arrived
    if not finish:
        raise GenerationError(
            f"the stream ended after {len(text)} characters without finish_reason or [DONE]: incomplete answer",
            cure="Ask again; if the error stays, check the endpoint's log and any proxy in front of it.",
        )
    if rest := letters.take("", last=True):
        text += rest
        yield rest
    completion = _completion(text, finish, reasoned=reasoned, usage=usage, seconds=time.monotonic() - begun)
    completion = replace(completion, first=began_writing)
    yield DetailedCompletion.of(completion, chances) if chances else completion


def _unstreamed(completion: Completion) -> Iterator[str | Completion]:
    """The pieces of an answer that arrived as a whole although a stream was requested."""
    if completion.failure is not None and completion.failure.code == "generation.malformed":
        raise GenerationError(f"the endpoint does not stream: {completion.failure.message}")
    if completion.text:
        yield completion.text
    yield completion


def _completion(text: str, finish: str, *, reasoned: bool, usage: Usage, seconds: float) -> Completion:
    """The completion, with the text if it is an answer: whole or cut, but not empty, filtered or broken off."""
    common: dict[str, Any] = {"usage": usage, "seconds": seconds, "finish": "length" if finish in _CUT else "stop"}
    if finish == "content_filter":
        failure = Failure(code="generation.refused", message="the endpoint's content filter ended the answer")
    elif finish in _BROKEN:
        failure = Failure(code="generation.incomplete", message=f"the endpoint ended the answer with {finish!r}")
    elif not text.strip() and finish in _CUT:
        spent = "the reasoning used up the token limit" if reasoned else "the token limit was reached"
        message = f"the answer is empty: {spent} before any text; raise [generation].max_tokens"
        failure = Failure(code="generation.empty", message=message)
    elif not text.strip() and finish not in ("tool_calls", "function_call"):
        where = "there is text in its reasoning only" if reasoned else "the endpoint returned no text"
        failure = Failure(code="generation.empty", message=f"the answer is empty: {where} (finish_reason {finish!r})")
    else:
        return Completion(text=text, **common)
    return Completion(text="", failure=failure, **common)


def _reasons(message: Json) -> bool:
    return any(message.get(key) for key in ("reasoning_content", "reasoning", "reasoning_details"))


def call(number: int, tool_call: Any) -> ToolCall:
    """A function call of a message; arguments are JSON text, from some endpoints the object itself."""
    function = tool_call["function"]
    arguments = function.get("arguments") or "{}"
    return ToolCall(
        id=str(tool_call.get("id") or f"call-{number}"),
        name=str(function["name"]),
        arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
    )


def _text(content: Any) -> str:
    """The text of a message's content: a string, null, or a list of parts, whose reasoning is left out."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise TypeError(f"content is {type(content).__name__}")
    shown = [part for part in content if isinstance(part, str) or part.get("type", "text") in ("text", "output_text")]
    return "".join(part if isinstance(part, str) else str(part.get("text") or "") for part in shown)


def _usage(body: Json) -> Usage:
    """Token counts of a response, or of the last event of a stream; 0 where they are missing."""
    counts = body.get("usage")
    # a nested list of details is no count
    tokens = {key: value for key, value in counts.items() if isinstance(value, int)} if isinstance(counts, dict) else {}
    return Usage(
        prompt_tokens=tokens.get("prompt_tokens", 0),
        completion_tokens=tokens.get("completion_tokens", 0),
    )
