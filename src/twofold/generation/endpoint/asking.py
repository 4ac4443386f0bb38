"""A prompt on its way to an endpoint and back: attempts, waits, other endpoints, and what may be counted twice.

Retries: exponential backoff with full jitter on 408, 409, 429, 5xx, timeouts and broken connections, honouring
``Retry-After`` (RFC 9110, 10.2.3); an endpoint that demands a wait beyond `endpoints.LONGEST_WAIT` is not tried again.
Where there are several endpoints, another one is tried first, without a wait.

A request that got no answer may have been computed all the same. Its repetition has the same ``Idempotency-Key``, by
which gateways that know the header answer with the first computation; others ignore it. After an answer of any kind
the next attempt has another one, or such a gateway would repeat the error. The answer that is used is the one that the
caller waited for; what arrives later is dropped, so a prompt has exactly one answer.
"""

from __future__ import annotations

import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Literal

import httpx

from twofold.errors import EndpointUnreachable, GenerationError
from twofold.generation.endpoint import replies
from twofold.generation.endpoint.balancing import Sending
from twofold.generation.endpoint.bodies import Bodies
from twofold.generation.endpoint.options import OpenAIOptions
from twofold.generation.endpoint.pool import Endpoint, Lost, Pool
from twofold.generation.endpoint.refusals import too_long
from twofold.host.tracing import trace_headers
from twofold.models.endpoints import AGAIN, LONGEST_WAIT, reason, retry_after
from twofold.text.masking import masked_text
from twofold.types import Completion, Failure, Json, Usage

Read = Callable[[httpx.Response, float], Completion]
"""A response with status 200 and the seconds that it took → the completion, which may be a failure."""
_FOR_LOAD = frozenset({429, 503, 529})
"""Status codes by which an endpoint refuses a request because it has too many."""
_OF_BODY = ("content-encoding", "content-length", "transfer-encoding")
"""Headers about the encoded bytes of the body."""


@dataclass(kw_only=True)
class _Trial:
    """The attempts at one prompt so far."""

    begun: float | None = None
    attempts: int = 0
    """Requests that failed, as far as they count."""
    rounds: int = 0
    """Waits so far: how often no endpoint was left to try at once."""
    tried: set[Endpoint] = field(default_factory=set)
    """Endpoints that failed with it since the last wait."""
    failure: Failure = field(default_factory=lambda: Failure(code="generation.lost", message="no attempt was made"))
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Its ``Idempotency-Key``."""

    def begin(self) -> None:
        """A request is sent; a wait for the first place is no part of an answer's seconds."""
        self.begun = time.monotonic() if self.begun is None else self.begun

    @property
    def seconds(self) -> float:
        """Since the first request."""
        return 0.0 if self.begun is None else time.monotonic() - self.begun

    def renew(self) -> None:
        """The next request is another one for the endpoint: this one was answered."""
        self.name = uuid.uuid4().hex

    def fail(self, endpoint: Endpoint, failure: Failure) -> None:
        """A request failed."""
        self.attempts += 1
        self.tried.add(endpoint)
        self.failure = failure


Outcome = Literal["answered", "again", "refused", "over"]
"""``again``: with another body, at once; ``refused``: another attempt may help; ``over``: none does."""


class Prompting:
    """Asks the endpoints of a generator; its methods may be called from any thread.

    Args:
        pool: The endpoints.
        bodies: Of the requests.
        options: Of the generator.
    """

    def __init__(self, pool: Pool, *, bodies: Bodies, options: OpenAIOptions) -> None:
        self._pool, self._bodies, self._options = pool, bodies, options
        self._jitter = random.Random(options.seed)
        self._lock = threading.Lock()
        self._price = 0.0

    @property
    def price(self) -> float:
        """Of all tokens of the responses so far, used or not."""
        return self._price

    # ------------------------------------------------------------------ whole answers

    def whole(
        self,
        body: Callable[[], Json],
        read: Read,
        *,
        seconds: float = math.inf,
        ahead: int = 0,
    ) -> Completion:
        """The completion of one prompt, with its failure after the last attempt.

        Args:
            body: Makes the request's body, anew for each attempt: fields that were refused meanwhile are left out.
            read: Reads the response.
            seconds: No attempt begins later than this, and none may take longer.
            ahead: Number of further prompts of the caller that wait.

        Raises:
            GenerationError: the endpoints refuse the key, the model or the address.
        """
        self._pool.admit()
        trial, by = _Trial(), time.monotonic() + seconds
        timeout = min(self._options.timeout, seconds)
        while True:
            wait: float | None = None
            outcome: Outcome = "refused"
            try:
                endpoint, ticket = self._pool.take(avoid=trial.tried, ahead=ahead, by=by)
            except EndpointUnreachable as error:
                trial.attempts += 1
                trial.failure = Failure(code="generation.connection", message=error.message)
            else:
                trial.begin()
                try:
                    completion, outcome, wait = self._attempt(
                        endpoint, ticket, body(), trial=trial, read=read, timeout=timeout
                    )
                finally:
                    self._pool.left(endpoint, ticket)
                if completion is not None:
                    return completion
            if outcome == "again":
                continue
            pause = self._pause(trial, wait)
            # a wait that would end after the caller's limit is not begun
            if outcome == "over" or pause is None or time.monotonic() + pause >= by:
                return Completion(text="", seconds=trial.seconds, failure=trial.failure)
            if pause:
                time.sleep(pause)

    def _attempt(
        self, endpoint: Endpoint, ticket: Sending, sent: Json, *, trial: _Trial, read: Read, timeout: float
    ) -> tuple[Completion | None, Outcome, float | None]:
        """One request: its completion if it is one, how to go on if not, and the wait that the endpoint demands."""
        pool = self._pool
        try:
            response = pool.exchange(endpoint, lambda: self._post(endpoint, sent, trial.name, timeout))
        except (httpx.HTTPError, Lost) as error:
            self._broken(endpoint, ticket, error, trial=trial, timeout=timeout)
            return None, "refused", None
        except RuntimeError as error:
            raise GenerationError(f"this generator is closed: {error}", cure="Create a new generator.") from error
        trial.renew()
        if response.status_code != 200:
            return None, *self._refusal(endpoint, ticket, response, sent=sent, trial=trial)
        completion = read(response, trial.seconds)
        self._charge(completion.usage)
        if completion.failure is None or completion.failure.code != "generation.malformed":
            pool.answered(endpoint, ticket)
            return completion, "answered", None
        trial.fail(endpoint, completion.failure)
        tokens = completion.usage.prompt_tokens + completion.usage.completion_tokens
        pool.failed(endpoint, ticket, reason=completion.failure.message, tokens=tokens)
        return None, "refused", None

    def _broken(
        self, endpoint: Endpoint, ticket: Sending, error: httpx.HTTPError | Lost, *, trial: _Trial, timeout: float
    ) -> None:
        """Note a request without a whole response."""
        late = isinstance(error, httpx.TimeoutException)
        if late:
            failure = Failure(code="generation.timeout", message=f"no answer within {timeout:g} s")
        else:
            failure = Failure(code="generation.connection", message=masked_text(f"{endpoint.address}: {error}"))
        trial.fail(endpoint, failure)
        # where a connection came about, nobody knows how far the request came
        lost = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        self._pool.failed(endpoint, ticket, reason=failure.message, lost=lost, late=late)

    def _refusal(
        self, endpoint: Endpoint, ticket: Sending, response: httpx.Response, *, sent: Json, trial: _Trial
    ) -> tuple[Outcome, float | None]:
        """What follows from a response without an answer, and the wait that it demands."""
        pool, status, words = self._pool, response.status_code, reason(response)
        error = self._refuses_all(endpoint, response)
        if error is not None:
            trial.fail(endpoint, Failure(code=f"generation.http-{status}", message=error.message))
            if pool.leave_out(endpoint, ticket, reason=error.message):
                return "refused", None
            raise error
        if self._bodies.adapts(response, sent):
            pool.answered(endpoint, ticket, used=False)
            return "again", None
        long = too_long(status, response.text)
        failure = Failure(code="generation.too-long" if long else f"generation.http-{status}", message=words)
        # the same request would be refused again
        if long or status not in AGAIN:
            trial.failure = failure
            pool.answered(endpoint, ticket, used=False)
            return "over", None
        trial.fail(endpoint, failure)
        wait = retry_after(response)
        endless = wait is not None and wait > LONGEST_WAIT
        if status in _FOR_LOAD:
            # A refusal for load costs a wait, no computation: of several endpoints' only a whole round counts.
            trial.attempts -= pool.elsewhere(trial.tried)
            # A single endpoint that demands hours gets the next prompt all the same: it may fall under another limit.
            pool.overloaded(endpoint, ticket, wait=0.0 if endless and not pool.several else wait, reason=words)
        else:
            pool.failed(endpoint, ticket, reason=words)
        if endless and not pool.elsewhere(trial.tried):
            message = f"{words} (it asks to wait {wait:.0f} s)"
            trial.failure = Failure(code=failure.code, message=message)
            return "over", None
        return "refused", wait

    def _pause(self, trial: _Trial, wait: float | None) -> float | None:
        """Seconds to wait before the next attempt; None where there is none."""
        if trial.attempts >= self._options.retries + self._pool.number:
            return None
        if trial.tried and self._pool.elsewhere(trial.tried):
            return 0.0
        trial.tried.clear()
        trial.rounds += 1
        # of several endpoints each waits as it demands, and the first that is free again gets the prompt
        if wait is not None and not self._pool.several:
            return wait
        with self._lock:
            return self._jitter.uniform(0, min(self._options.backoff * 2 ** (trial.rounds - 1), LONGEST_WAIT))

    def _post(self, endpoint: Endpoint, sent: Json, name: str, timeout: float) -> httpx.Response:
        """The response with its whole body; `timeout` covers all of it, however slowly the bytes arrive."""
        by, parts = time.monotonic() + timeout, []
        headers = {**trace_headers(), "Idempotency-Key": name}
        with endpoint.client.stream(
            "POST", "/chat/completions", json=sent, headers=headers, timeout=timeout
        ) as response:
            for part in response.iter_bytes():
                parts.append(part)
                if time.monotonic() > by:
                    raise httpx.ReadTimeout("the answer drips", request=response.request)
        # the body is already decoded: with the headers about its encoding httpx would decode it again
        others = {key: value for key, value in response.headers.items() if key not in _OF_BODY}
        return httpx.Response(response.status_code, headers=others, content=b"".join(parts), request=response.request)

    # ------------------------------------------------------------------ streams

    def stream(self, body: Callable[[], Json]) -> Iterator[str | Completion]:
        """The pieces of a completion as they come, then the completion.

        Args:
            body: Makes the request's body, anew for each attempt.

        Raises:
            GenerationError: the endpoints failed before or while answering.
        """
        self._pool.admit()
        trial = _Trial()
        while True:
            sent = body()
            endpoint, ticket = self._pool.take(avoid=trial.tried)
            trial.begin()
            try:
                outcome, pause = yield from self._pieces(endpoint, ticket, sent, trial)
            finally:
                # also where the reader of the pieces went away
                self._pool.left(endpoint, ticket)
            if outcome == "answered":
                return
            if pause:
                time.sleep(pause)

    def _pieces(
        self, endpoint: Endpoint, ticket: Sending, sent: Json, trial: _Trial
    ) -> Generator[str | Completion, None, tuple[Outcome, float | None]]:
        """The pieces of one attempt; returns whether it answered, and else the wait before the next one."""
        pool, arrived, headers = self._pool, False, {**trace_headers(), "Idempotency-Key": trial.name}
        try:
            with endpoint.client.stream("POST", "/chat/completions", json=sent, headers=headers) as response:
                if response.status_code == 200:
                    for piece in replies.arriving(response, time.monotonic() - trial.seconds):
                        arrived = True
                        if isinstance(piece, Completion):
                            self._charge(piece.usage)
                            pool.answered(endpoint, ticket)
                        yield piece
                    return "answered", None
                # the body of a stream is read on demand, and the reason for the refusal stands in it
                response.read()
        except (httpx.HTTPError, GenerationError) as error:
            if isinstance(error, httpx.HTTPError):
                self._broken(endpoint, ticket, error, trial=trial, timeout=self._options.timeout)
            else:
                trial.fail(endpoint, Failure(code="generation.incomplete", message=error.message))
                pool.failed(endpoint, ticket, reason=error.message)
            # what was shown cannot be taken back
            if not arrived and pool.elsewhere(trial.tried):
                pause = self._pause(trial, None)
                if pause is not None:
                    return "refused", pause
            if isinstance(error, GenerationError):
                raise
            kind = GenerationError if arrived else EndpointUnreachable
            if isinstance(error, httpx.TimeoutException):
                raise kind(f"no answer within {self._options.timeout:g} s", cure="Raise timeout.") from error
            raise kind(f"the connection to {endpoint.address} failed: {error}") from error
        trial.renew()
        outcome, wait = self._refusal(endpoint, ticket, response, sent=sent, trial=trial)
        if outcome == "again":
            return outcome, None
        if trial.failure.code == "generation.too-long":
            yield Completion(text="", seconds=trial.seconds, failure=trial.failure)
            return "answered", None
        pause = None if outcome == "over" else self._pause(trial, wait)
        if pause is None:
            # With 500 the endpoint answers, and one prompt may be at fault: others are not to pay for it.
            away = response.status_code in AGAIN and response.status_code != 500
            kind = EndpointUnreachable if away else GenerationError
            raise kind(f"the endpoint answered {response.status_code}: {reason(response)}")
        return "refused", pause

    # ------------------------------------------------------------------ shared

    def _charge(self, usage: Usage) -> None:
        o = self._options
        with self._lock:
            self._price += usage.prompt_tokens * o.price_per_million_prompt / 1e6
            self._price += usage.completion_tokens * o.price_per_million_completion / 1e6

    def _refuses_all(self, endpoint: Endpoint, response: httpx.Response) -> GenerationError | None:
        """The error of a response that concerns every prompt; None where it concerns this one."""
        o, status, address = self._options, response.status_code, endpoint.address
        cures = {
            401: f"Put a valid key into the environment variable {o.api_key_env}.",
            403: f"The key in {o.api_key_env} may not use the model {o.model!r}.",
            404: f"Check model = {o.model!r} and base_url = {address!r} in [generation.generator.options].",
        }
        if response.has_redirect_location:
            place = response.headers["location"].removesuffix("/chat/completions")
            return GenerationError(
                f"{address} redirects to {place} ({status})",
                cure="Set base_url in [generation.generator.options] to the address that answers.",
            )
        if status in cures:
            return GenerationError(f"the endpoint answered {status}: {reason(response)}", cure=cures[status])
        return None
