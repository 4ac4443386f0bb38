"""Any OpenAI-compatible endpoint (chat completions): GPT, Claude and Mistral class models, vLLM, llama.cpp, Ollama.

A bad prompt is a `Failure`; a fault that concerns all prompts (a wrong key, model or address) is a `GenerationError`.
A text counts as an answer only if it arrived completely and as content. Empty texts, texts that a filter or an error
ended, broken streams and reasoning fields do not count.
Retries: exponential backoff with full jitter on 408, 409, 429, 5xx, timeouts and broken connections, honouring
``Retry-After`` (RFC 9110, 10.2.3); an endpoint that demands a wait beyond `endpoints.LONGEST_WAIT` is not tried again.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import httpx
from pydantic import Field

from twofold.errors import BadRequest, EndpointUnreachable, GenerationError
from twofold.generation.endpoint.events import Letters, chances_in, events
from twofold.generation.endpoint.refusals import refuses, too_long
from twofold.generation.endpoint.refused_fields import CAN_DO_WITHOUT, FILE, OTHER_LIMIT, Refused, keep, known
from twofold.generation.live.threads import Threads
from twofold.hashing import digest
from twofold.host import certificates
from twofold.host.tracing import trace_headers
from twofold.models.endpoints import AGAIN, LONGEST_WAIT, reason, retry_after
from twofold.plugins.live import DetailedCompletion, LiveBatch, TokenChance
from twofold.plugins.protocols import Options, Progress
from twofold.plugins.results import ToolCall, Turn
from twofold.text.masking import masked_text
from twofold.types import Adapter, Completion, Failure, Json, Prompt, Usage


class OpenAIOptions(Options):
    """Options of the generator ``openai``."""

    model: str
    """Name of the model at the endpoint."""
    base_url: str = "https://api.openai.com/v1"
    """Address up to, and without, ``/chat/completions``."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable with the API key; it may be unset for endpoints that need none."""
    timeout: float = Field(default=60.0, gt=0)
    """Longest time for one request, in seconds."""
    retries: int = Field(default=4, ge=0)
    """Further attempts after the first."""
    backoff: float = Field(default=0.5, ge=0)
    """Upper limit of the first wait in seconds; doubled for each further attempt."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests at the same time."""
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    """Temperature; not sent to an endpoint that refuses the field, and the answers then have another key."""
    seed: int = 0
    """Seed of the random waits."""
    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    """Field for the token limit. ``auto``: ``max_tokens``, or the other one if the endpoint refuses that."""
    extra: Json = Field(default_factory=dict)
    """Further fields of the request body, for example ``{"reasoning_effort" = "low"}``."""
    price_per_million_prompt: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens in any currency, for the bill."""
    price_per_million_completion: float = Field(default=0.0, ge=0)
    """Price of a million completion tokens in the same currency."""


class OpenAIGenerator:
    """Generates over HTTP; see `protocols.Generator`.

    Args:
        options: See `OpenAIOptions`.
        adapter: A model tuned at this endpoint by the trainer ``openai``; it answers instead of `options.model`.

    Raises:
        GenerationError: the adapter consists of local weights, or belongs to another endpoint.
    """

    version: ClassVar[int] = 2
    Options = OpenAIOptions

    def __init__(self, options: OpenAIOptions, *, adapter: Adapter | None = None) -> None:
        self.options = options if adapter is None else _tuned(options, adapter)
        self._adapter = adapter.key if adapter else ""
        self._jitter = random.Random(options.seed)
        self._lock = threading.Lock()
        self._dropped: set[str] = set()
        self._other_limit = False
        self._refusals_path: Path | None = None
        self._price = 0.0
        key = os.environ.get(options.api_key_env, "").strip()
        self._client = httpx.Client(
            base_url=options.base_url.rstrip("/"),
            timeout=options.timeout,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=options.concurrency),
            verify=certificates.trusted(),
        )

    @property
    def key(self) -> str:
        """Digest of endpoint, model and the sampling fields that are sent, without the API key.

        The key changes when the endpoint refuses a field, at the first request or in an earlier process (`remember`).
        """
        o = self.options
        made_of: Json = {"url": o.base_url, "model": o.model, "temperature": o.temperature, "extra": o.extra}
        # whether a stream tells its usage decides no answer
        if dropped := self._dropped - {"stream_options"}:
            made_of["not_sent"] = sorted(dropped)
        limit = OTHER_LIMIT if self._other_limit else o.max_tokens_field
        return digest("generator", {**made_of, "limit": limit, "version": self.version})

    @property
    def description(self) -> Json:
        """Endpoint, model and sampling; fields the endpoint refused, and the price so far."""
        o = self.options
        fields: Json = {"name": "openai", "model": o.model, "base_url": masked_text(o.base_url), "runtime": "http"}
        fields["adapter"] = self._adapter
        fields |= {"temperature": o.temperature, "extra": o.extra, "not_sent": sorted(self._dropped)}
        if self._other_limit:
            fields["limit"] = OTHER_LIMIT
        if o.price_per_million_prompt or o.price_per_million_completion:
            fields["price"] = round(self._price, 6)
        return fields

    @property
    def follows_schema(self) -> bool:
        """True: the schema is sent as ``response_format``; an endpoint that cannot refuses the request."""
        return True

    @property
    def most_alternatives(self) -> int | None:
        """20, as the OpenAI API has it; an endpoint that cannot refuses the request."""
        return 20

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in order, `concurrency` at a time.

        Raises:
            GenerationError: the endpoint refuses the key, the model or the address.
        """
        if not prompts:
            return []
        done = 0
        completions: list[Completion] = []
        with ThreadPoolExecutor(max_workers=min(self.options.concurrency, len(prompts))) as pool:
            futures = [pool.submit(self._complete, prompt) for prompt in prompts]
            try:
                for future in futures:
                    completions.append(future.result())
                    done += 1
                    if progress is not None:
                        progress("generate", done, len(prompts))
            except BaseException:
                # waiting requests are not sent: with a wrong key or after Ctrl-C they would only cost
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return completions

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        """Yield the pieces of the server-sent events, then the completion.

        Raises:
            GenerationError: the endpoint failed before or while answering.
        """
        return self._streamed(prompt, None, None, None)

    def live(self) -> LiveBatch:
        """A running batch: streams in threads, `concurrency` at a time."""
        return Threads(self._streamed, workers=self.options.concurrency)

    def _streamed(
        self, prompt: Prompt, temperature: float | None, seed: int | None, logprobs: int | None
    ) -> Iterator[str | Completion]:
        begun, attempt, arrived = time.monotonic(), 0, False
        while True:
            body = self._sampled(prompt, temperature=temperature, seed=seed, logprobs=logprobs)
            try:
                with self._client.stream("POST", "/chat/completions", json=body, headers=trace_headers()) as response:
                    if response.status_code == 200:
                        for piece in self._arriving(response, begun):
                            arrived = True
                            yield piece
                        return
                    # the body of a stream is read on demand, and the reason for the refusal stands in it
                    response.read()
                    self._fatal(response)
                    if self._adapts(response, body):
                        continue
                    if too_long(response.status_code, response.text):
                        failure = Failure(code="generation.too-long", message=reason(response))
                        yield Completion(text="", seconds=time.monotonic() - begun, failure=failure)
                        return
                    attempt += 1
                    pause = self._pause(response, attempt)
                    if pause is None:
                        # With 500 the endpoint answers, and one prompt may be at fault: others are not to pay for it.
                        away = response.status_code in AGAIN and response.status_code != 500
                        kind = EndpointUnreachable if away else GenerationError
                        raise kind(f"the endpoint answered {response.status_code}: {reason(response)}")
            except httpx.HTTPError as error:
                kind = GenerationError if arrived else EndpointUnreachable
                if isinstance(error, httpx.TimeoutException):
                    raise kind(f"no answer within {self.options.timeout:g} s", cure="Raise timeout.") from error
                raise kind(f"the connection to {self.options.base_url} failed: {error}") from error
            time.sleep(pause)

    def _sampled(self, prompt: Prompt, *, logprobs: int | None, **sampling: float | None) -> Json:
        """The body of a stream with the request's own temperature and seed."""
        body = {**self._body(prompt), "stream": True}
        if "stream_options" not in self._dropped:
            # without it a stream ends without the tokens spent: the bill would be 0
            body.setdefault("stream_options", {"include_usage": True})
        if logprobs is not None:
            body |= {"logprobs": True, **({"top_logprobs": logprobs} if logprobs else {})}
        for name, value in sampling.items():
            # asked for by the caller, so it must not be left out in silence
            if value is not None and name in self._dropped:
                error = BadRequest(f"the endpoint refuses {name}", cure=f"Leave out {name}.")
                error.param = name
                raise error
            if value is not None:
                body[name] = value
        return body

    def _pause(self, response: httpx.Response, attempt: int) -> float | None:
        """Seconds to wait before a stream is tried again; None where it is not."""
        if response.status_code not in AGAIN or attempt > self.options.retries:
            return None
        demanded = retry_after(response)
        if demanded is None:
            return self._wait(attempt)
        return demanded if demanded <= LONGEST_WAIT else None

    def _arriving(self, response: httpx.Response, begun: float) -> Iterator[str | Completion]:
        """The pieces of a response, then its completion."""
        text, finish, usage, reasoned = "", "", Usage(), False
        chances: list[TokenChance] = []
        began_writing: float | None = None
        letters = Letters()
        pieces = response.iter_bytes()
        first = next((piece for piece in pieces if piece.strip()), b"")
        # an endpoint that does not stream answers with one JSON object
        if first.lstrip().startswith(b"{"):
            whole = httpx.Response(200, content=first + b"".join(pieces))
            yield from self._unstreamed(self._read(whole, time.monotonic() - begun))
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

    def _unstreamed(self, completion: Completion) -> Iterator[str | Completion]:
        """The pieces of an answer that arrived as a whole although a stream was requested."""
        if completion.failure is not None and completion.failure.code == "generation.malformed":
            raise GenerationError(f"the endpoint does not stream: {completion.failure.message}")
        if completion.text:
            yield completion.text
        yield completion

    def converse(self, messages: Sequence[Json], tools: Sequence[Json], *, max_tokens: int, seconds: float) -> Turn:
        """One turn of a conversation with tools (OpenAI's function calling); the completion contains any failure.

        Args:
            messages: Messages in the endpoint's form: ``role``, ``content``, ``tool_calls``, ``tool_call_id``.
            tools: Functions in the endpoint's form.
            max_tokens: Most tokens to generate.
            seconds: No attempt begins later than this, and none may take longer.

        Raises:
            GenerationError: the endpoint refuses the key, the model or the address.
        """
        # `read` runs once for each attempt: the calls of the last one count
        calls: list[ToolCall] = []

        def body() -> Json:
            shell = self._body(Prompt(messages=(), max_tokens=max_tokens))
            return {**shell, "messages": list(messages), "tools": list(tools)}

        def read(response: httpx.Response, taken: float) -> Completion:
            reply = self._read(response, taken)
            try:
                tool_calls = response.json()["choices"][0]["message"].get("tool_calls") or []
                calls[:] = [_call(number, one) for number, one in enumerate(tool_calls)]
            except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
                complaint = f"not a tool call ({type(error).__name__}): {response.text[:120]!r}"
                return replace(reply, failure=Failure(code="generation.malformed", message=complaint))
            return reply

        completion = self._attempts(body, read, seconds=seconds)
        return Turn(completion=completion, calls=() if completion.failure else tuple(calls))

    def remember(self, directory: Path) -> None:
        """Omit fields that this endpoint refused in earlier processes, and store those that it refuses from now on.

        Args:
            directory: The project's derived data, with `refused_fields.FILE`.
        """
        o, path = self.options, directory / FILE
        before = known(path, o.base_url, o.model)
        with self._lock:
            self._refusals_path = path
            self._dropped |= {name for name in before.fields if self._may_drop(name)}
            self._other_limit |= bool(before.limit) and o.max_tokens_field == "auto"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _complete(self, prompt: Prompt) -> Completion:
        return self._attempts(lambda: self._body(prompt), self._read)

    def _attempts(
        self,
        body: Callable[[], Json],
        read: Callable[[httpx.Response, float], Completion],
        *,
        seconds: float = math.inf,
    ) -> Completion:
        begun = time.monotonic()
        timeout = min(self.options.timeout, seconds)
        failure = Failure(code="generation.lost", message="no attempt was made")
        attempt = 0
        while True:
            # None: the backoff; else the wait that the endpoint demands
            wait: float | None = None
            sent = body()
            try:
                response = self._post(sent, timeout)
            except httpx.TimeoutException:
                failure = Failure(code="generation.timeout", message=f"no answer within {timeout:g} s")
            except httpx.HTTPError as error:
                fault = masked_text(f"{self.options.base_url}: {error}")
                failure = Failure(code="generation.connection", message=fault)
            except RuntimeError as error:
                raise GenerationError(f"this generator is closed: {error}", cure="Create a new generator.") from error
            else:
                if response.status_code == 200:
                    completion = read(response, time.monotonic() - begun)
                    if completion.failure is None or completion.failure.code != "generation.malformed":
                        return completion
                    failure = completion.failure
                else:
                    self._fatal(response)
                    if self._adapts(response, sent):
                        continue
                    long = too_long(response.status_code, response.text)
                    code = "generation.too-long" if long else f"generation.http-{response.status_code}"
                    failure = Failure(code=code, message=reason(response))
                    if long:
                        break
                    # the same request would be refused again
                    if response.status_code not in AGAIN:
                        break
                    wait = retry_after(response)
                    if wait is not None and wait > LONGEST_WAIT:
                        message = f"{failure.message} (it asks to wait {wait:.0f} s)"
                        failure = Failure(code=code, message=message)
                        break
            attempt += 1
            pause = self._wait(attempt) if wait is None else wait
            # a wait that would end after the caller's limit is not begun
            if attempt > self.options.retries or time.monotonic() - begun + pause >= seconds:
                break
            time.sleep(pause)
        return Completion(text="", seconds=time.monotonic() - begun, failure=failure)

    def _post(self, sent: Json, timeout: float) -> httpx.Response:
        """The response with its whole body; `timeout` covers all of it, however slowly the bytes arrive."""
        by, parts = time.monotonic() + timeout, []
        with self._client.stream(
            "POST", "/chat/completions", json=sent, headers=trace_headers(), timeout=timeout
        ) as response:
            for part in response.iter_bytes():
                parts.append(part)
                if time.monotonic() > by:
                    raise httpx.ReadTimeout("the answer drips", request=response.request)
        # the body is already decoded: with the headers about its encoding httpx would decode it again
        headers = {name: value for name, value in response.headers.items() if name not in _OF_BODY}
        return httpx.Response(response.status_code, headers=headers, content=b"".join(parts), request=response.request)

    def _wait(self, attempt: int) -> float:
        with self._lock:
            return self._jitter.uniform(0, min(self.options.backoff * 2 ** (attempt - 1), LONGEST_WAIT))

    def _body(self, prompt: Prompt) -> Json:
        o = self.options
        limit: str = o.max_tokens_field
        if limit == "auto":
            limit = OTHER_LIMIT if self._other_limit else "max_tokens"
        body: Json = {
            "model": o.model,
            "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
            limit: prompt.max_tokens,
        }
        if o.temperature is not None:
            body["temperature"] = o.temperature
        if prompt.stop:
            body["stop"] = list(prompt.stop)
        if prompt.schema:
            shape = {"name": "answer", "schema": json.loads(prompt.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        return {key: value for key, value in {**body, **o.extra}.items() if key not in self._dropped}

    def _adapts(self, response: httpx.Response, sent: Json) -> bool:
        """Did the endpoint refuse an optional field of the request? The next body then omits the field."""
        if response.status_code not in (400, 422):
            return False
        try:
            body = response.json()
        except ValueError:
            return False
        with self._lock:
            if self._dropped & sent.keys() or (self._other_limit and "max_tokens" in sent):
                return True  # another thread's request has learned of the refusal meanwhile
            if self.options.max_tokens_field == "auto" and refuses(body, "max_tokens", sent):
                self._other_limit = True
                self._keep()
                return True
            for field in CAN_DO_WITHOUT:
                if self._may_drop(field) and refuses(body, field, sent):
                    self._dropped.add(field)
                    self._keep()
                    return True
        return False

    def _may_drop(self, field: str) -> bool:
        """Does this class add the field by itself? Fields in `extra` are the user's, and must be sent."""
        o = self.options
        return field not in o.extra and (field != "temperature" or o.temperature is not None)

    def _keep(self) -> None:
        if self._refusals_path is not None:
            refused = Refused(fields=frozenset(self._dropped), limit=OTHER_LIMIT if self._other_limit else "")
            keep(self._refusals_path, self.options.base_url, self.options.model, refused=refused)

    def _fatal(self, response: httpx.Response) -> None:
        """Raise an error for a fault that concerns every prompt."""
        o, status = self.options, response.status_code
        cures = {
            401: f"Put a valid key into the environment variable {o.api_key_env}.",
            403: f"The key in {o.api_key_env} may not use the model {o.model!r}.",
            404: f"Check model = {o.model!r} and base_url = {o.base_url!r} in [generation.generator.options].",
        }
        if response.has_redirect_location:
            place = response.headers["location"].removesuffix("/chat/completions")
            raise GenerationError(
                f"{o.base_url} redirects to {place} ({status})",
                cure="Set base_url in [generation.generator.options] to the address that answers.",
            )
        if status in cures:
            raise GenerationError(f"the endpoint answered {status}: {reason(response)}", cure=cures[status])

    def _read(self, response: httpx.Response, seconds: float) -> Completion:
        try:
            body = response.json()
            choice = body["choices"][0]
            message = choice["message"]
            text = Letters().take(_text(message.get("content")), last=True)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            message = f"not a chat completion ({type(error).__name__}): {response.text[:120]!r}"
            return Completion(text="", seconds=seconds, failure=Failure(code="generation.malformed", message=message))
        usage = _usage(body)
        with self._lock:
            self._price += usage.prompt_tokens * self.options.price_per_million_prompt / 1e6
            self._price += usage.completion_tokens * self.options.price_per_million_completion / 1e6
        refusal = message.get("refusal")
        if not text and refusal:
            failure = Failure(code="generation.refused", message=str(refusal)[:300])
            return Completion(text="", usage=usage, seconds=seconds, failure=failure)
        finish = "tool_calls" if message.get("tool_calls") else str(choice.get("finish_reason") or "stop")
        completion = _completion(text, finish, reasoned=_reasons(message), usage=usage, seconds=seconds)
        chances = chances_in(choice)
        return DetailedCompletion.of(completion, chances) if chances else completion


_OF_BODY = ("content-encoding", "content-length", "transfer-encoding")
"""Headers about the encoded bytes of the body."""
_CUT = ("length", "max_tokens", "model_length")
"""Values of ``finish_reason``, among providers, for an answer at the token limit."""
_BROKEN = ("error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource")
"""Values of ``finish_reason`` for an answer that the endpoint broke off."""


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


def _tuned(options: OpenAIOptions, adapter: Adapter) -> OpenAIOptions:
    """The options with the name of the model that was tuned at the endpoint."""
    path = Path(adapter.path) / "tuned_model.json"
    if not path.is_file():
        raise GenerationError(
            f"the endpoint's model {options.model!r} cannot be tuned with the local adapter {adapter.key}",
            cure='Set [tuning.trainer].name = "openai" to tune at the endpoint, or use the generator "local".',
        )
    tuned_model: Json = json.loads(path.read_text(encoding="utf-8"))
    if tuned_model["base_url"].rstrip("/") != options.base_url.rstrip("/"):
        raise GenerationError(
            f"the model {tuned_model['model']!r} was tuned at {tuned_model['base_url']}, not at {options.base_url}",
            cure="Set base_url in [generation.generator.options] to the endpoint that has this model.",
        )
    return options.model_copy(update={"model": tuned_model["model"]})


def _call(number: int, tool_call: Any) -> ToolCall:
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
