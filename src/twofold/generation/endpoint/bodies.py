"""Bodies of the requests to one model at an endpoint, without the fields that it has refused."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import httpx

from twofold.errors import BadRequest
from twofold.generation.endpoint.options import OpenAIOptions
from twofold.generation.endpoint.refusals import refuses
from twofold.generation.endpoint.refused_fields import CAN_DO_WITHOUT, FILE, OTHER_LIMIT, Refused, keep, known
from twofold.types import Json, Prompt


class Bodies:
    """Makes bodies, and learns from refusals; its methods may be called from any thread.

    Args:
        options: Of the generator.
    """

    def __init__(self, options: OpenAIOptions) -> None:
        self.options = options
        self._lock = threading.Lock()
        self._dropped: set[str] = set()
        self._other_limit = False
        self._path: Path | None = None

    @property
    def not_sent(self) -> list[str]:
        """Fields that the endpoint refused and that no request has any more, sorted."""
        return sorted(self._dropped)

    @property
    def other_limit(self) -> bool:
        """Did the endpoint refuse ``max_tokens``, so that requests have `OTHER_LIMIT` in its place?"""
        return self._other_limit

    @property
    def limit(self) -> str:
        """The option's field of the token limit, or `OTHER_LIMIT` where that was learned: part of the key."""
        return OTHER_LIMIT if self._other_limit else self.options.max_tokens_field

    def remember(self, directory: Path) -> None:
        """Omit fields that this endpoint refused in earlier processes, and store those that it refuses from now on.

        Args:
            directory: The project's derived data, with `refused_fields.FILE`.
        """
        o, path = self.options, directory / FILE
        before = known(path, o.base_url, o.model)
        with self._lock:
            self._path = path
            self._dropped |= {name for name in before.fields if self._may_drop(name)}
            self._other_limit |= bool(before.limit) and o.max_tokens_field == "auto"

    def whole(self, prompt: Prompt) -> Json:
        """The body of a request whose answer comes as a whole."""
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

    def streamed(self, prompt: Prompt, *, logprobs: int | None, **sampling: float | None) -> Json:
        """The body of a stream with the request's own temperature and seed.

        Raises:
            BadRequest: the endpoint has refused one of them.
        """
        body = {**self.whole(prompt), "stream": True}
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

    def adapts(self, response: httpx.Response, sent: Json) -> bool:
        """Did the endpoint refuse an optional field of the request? The next body then omits the field.

        Args:
            response: The endpoint's, with its body.
            sent: The request's body.
        """
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
        if self._path is not None:
            refused = Refused(fields=frozenset(self._dropped), limit=OTHER_LIMIT if self._other_limit else "")
            keep(self._path, self.options.base_url, self.options.model, refused=refused)
