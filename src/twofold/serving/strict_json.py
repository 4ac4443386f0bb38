"""JSON bodies that can be read in one way only.

Of two values by one name Python takes the last, other programs the first: a proxy that checks what a request asks for
would check one of them, and the server answer the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response  # noqa: TID253
from fastapi.routing import APIRoute  # noqa: TID253

TWICE = "a name stands twice in one object"


class StrictRequest(Request):
    """A request whose body is refused where a name stands twice in an object."""

    _strict: Any = None

    async def json(self) -> Any:
        """The body.

        Raises:
            JSONDecodeError: it is no JSON, or a name stands twice in one object.
        """
        if self._strict is None:
            self._strict = json.loads(await self.body(), object_pairs_hook=_single)
        return self._strict


class StrictRoute(APIRoute):
    """A route whose body is a `StrictRequest`'s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own, with the stricter request."""
        answer = super().get_route_handler()

        async def answered(request: Request) -> Response:
            return await answer(StrictRequest(request.scope, request.receive))

        return answered


def _single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise json.JSONDecodeError(TWICE, "", 0)
    return value
