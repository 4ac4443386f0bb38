"""Any OpenAI-compatible endpoint (chat completions): GPT, Claude and Mistral class models, vLLM, llama.cpp, Ollama.

A bad prompt is a `Failure`; a fault that concerns all prompts (a wrong key, model or address) is a `GenerationError`.
Several addresses may serve the model (`options.OpenAIOptions.replicas`): they are one system, with one key.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import httpx

from twofold.generation.endpoint import adapters, measured, replies
from twofold.generation.endpoint.asking import Prompting
from twofold.generation.endpoint.balancing import EndpointLoad
from twofold.generation.endpoint.bodies import Bodies
from twofold.generation.endpoint.identity import EndpointModel
from twofold.generation.endpoint.options import OpenAIOptions
from twofold.generation.endpoint.pool import Endpoint, Pool
from twofold.generation.endpoint.programs import Program
from twofold.generation.live.threads import Threads
from twofold.hashing import digest
from twofold.host import certificates
from twofold.plugins.live import LiveBatch
from twofold.plugins.protocols import Progress
from twofold.plugins.results import EndpointState, ToolCall, Turn
from twofold.text.masking import masked_text
from twofold.types import Adapter, Completion, Failure, Json, Prompt


class OpenAIGenerator:
    """Generates over HTTP; see `protocols.Generator`.

    Args:
        options: See `OpenAIOptions`.
        adapter: A model tuned at this endpoint by the trainer ``openai``, or here from `options.weights`; it answers
            instead of `options.model`.

    Raises:
        GenerationError: the adapter consists of weights that the endpoint cannot have, or belongs to another endpoint.
    """

    version: ClassVar[int] = 2
    Options = OpenAIOptions

    def __init__(self, options: OpenAIOptions, *, adapter: Adapter | None = None) -> None:
        names = [options.model]
        if adapter is not None:
            name = adapters.name_of(adapter, model=options.model, base_url=options.base_url, weights=options.weights)
            # one that was tuned at the endpoint is another model there; one tuned here stands beside its base
            names = [options.model, name] if options.weights else [name]
            options = options.model_copy(update={"model": name})
        self.options = options
        self._adapter = adapter
        self._bodies = Bodies(self.options)
        check = partial(adapters.require_served, adapter=adapter, name=options.model) if options.weights else None
        self._pool = _pool(self.options, check, by_content=len(names) > 1)
        self._program = Program(self._pool.first, names, options.base_url)
        self._requests = Prompting(self._pool, bodies=self._bodies, options=self.options)

    @property
    def key(self) -> str:
        """Digest of endpoint, model, engine (see `programs`) and the sampling fields that are sent.

        The key changes when the endpoint refuses a field, at the first request or in an earlier process (`remember`).
        """
        o = self.options
        made_of: Json = {"url": o.base_url, "model": o.model, "temperature": o.temperature, "extra": o.extra}
        # whether a stream tells its usage decides no answer
        if dropped := [field for field in self._bodies.not_sent if field != "stream_options"]:
            made_of["not_sent"] = dropped
        # only where the endpoint says it: keys of answers of others stay
        if program := self._program.name:
            made_of["engine"] = program
        return digest("generator", {**made_of, "limit": self._bodies.limit, "version": self.version})

    @property
    def description(self) -> Json:
        """Endpoint, model and sampling; fields the endpoint refused, and the price so far; no word of replicas."""
        o = self.options
        fields: Json = {"name": "openai", "model": o.model, "base_url": masked_text(o.base_url), "runtime": "http"}
        fields["adapter"] = self._adapter.key if self._adapter else ""
        if program := self._program.name:
            fields["engine"] = program
        fields |= {"temperature": o.temperature, "extra": o.extra, "not_sent": self._bodies.not_sent}
        if self._bodies.other_limit:
            fields["limit"] = self._bodies.limit
        if o.price_per_million_prompt or o.price_per_million_completion:
            fields["price"] = round(self._requests.price, 6)
        return fields

    def endpoints(self) -> list[EndpointState]:
        """See `live.KnowsEndpoints`."""
        return self._pool.states()

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
        started = itertools.count(1)
        completions: list[Completion] = []

        def complete(prompt: Prompt) -> Completion:
            left = len(prompts) - next(started)
            return self._requests.whole(lambda: self._bodies.whole(prompt), replies.read, ahead=left)

        with ThreadPoolExecutor(max_workers=min(self._pool.places, len(prompts))) as pool:
            futures = [pool.submit(complete, prompt) for prompt in prompts]
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
        return Threads(self._streamed, workers=self._pool.places)

    def _streamed(
        self, prompt: Prompt, temperature: float | None, seed: int | None, logprobs: int | None
    ) -> Iterator[str | Completion]:
        def body() -> Json:
            return self._bodies.streamed(prompt, temperature=temperature, seed=seed, logprobs=logprobs)

        return self._requests.stream(body)

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
            shell = self._bodies.whole(Prompt(messages=(), max_tokens=max_tokens))
            return {**shell, "messages": list(messages), "tools": list(tools)}

        def read(response: httpx.Response, taken: float) -> Completion:
            reply = replies.read(response, taken)
            try:
                tool_calls = response.json()["choices"][0]["message"].get("tool_calls") or []
                calls[:] = [replies.call(number, one) for number, one in enumerate(tool_calls)]
            except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
                complaint = f"not a tool call ({type(error).__name__}): {response.text[:120]!r}"
                return replace(reply, failure=Failure(code="generation.malformed", message=complaint))
            return reply

        completion = self._requests.whole(body, read, seconds=seconds)
        return Turn(completion=completion, calls=() if completion.failure else tuple(calls))

    def remember(self, directory: Path) -> None:
        """Omit fields that this endpoint refused in earlier processes, and store those that it refuses from now on.

        From now on, too, only endpoints answer that serve the model that served before, as far as they say so, and key
        and description name the engine.

        Args:
            directory: The project's derived data, with `refused_fields.FILE` and `measured.FILE`.
        """
        self._bodies.remember(directory)
        o, path = self.options, directory / measured.FILE

        def first_seen(served: EndpointModel) -> None:
            measured.keep(path, o.base_url, served)

        self._program.remember(path)
        if o.check_model:
            self._pool.compare(measured.known(path, o.base_url, o.model), first_seen)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def _pool(options: OpenAIOptions, check: Callable[[httpx.Client], None] | None, *, by_content: bool) -> Pool:
    """The endpoints of the options, none of them asked yet."""
    key = os.environ.get(options.api_key_env, "").strip()
    trusted = certificates.trusted()
    endpoints = [
        Endpoint(
            address=address,
            client=httpx.Client(
                base_url=address.rstrip("/"),
                timeout=options.timeout,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                limits=httpx.Limits(
                    # with room for looks at an endpoint whose requests all hang
                    max_connections=options.concurrency + 2,
                    # A server that answers twice leaves its second answer in the connection, where the next prompt
                    # would get it. In one's own network a new connection takes less than a millisecond.
                    max_keepalive_connections=0 if address.startswith("http://") else None,
                ),
                verify=trusted,
            ),
            load=EndpointLoad(options.concurrency, breaks=bool(options.replicas)),
        )
        for address in (options.base_url, *options.replicas)
    ]
    compares = options.check_model and bool(options.replicas)
    return Pool(endpoints, model=options.model, compares=compares, check=check, by_content=by_content)
