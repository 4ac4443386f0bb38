"""Bounded HTTP: a response is read up to a number of bytes and seconds, however the server behaves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from twofold.errors import SourceEndless, SourceError, SourceUnreachable

AGENT = "twofold"
"""Name given to servers, and looked for in robots.txt."""
REDIRECTS = 5
_BUSY = frozenset([408, 425, 429, 500, 502, 503, 504])


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a server answered."""

    url: str
    """Address after redirects."""
    status: int
    """HTTP status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names."""
    body: bytes = b""
    """Content, decompressed."""


class Fetcher:
    """GET requests under limits.

    Args:
        seconds: Most time one response may take as a whole.
        limit: Most bytes of one response, decompressed.
        headers: Sent with every request to the host of the first address asked for.
    """

    def __init__(self, *, seconds: float, limit: int, headers: Mapping[str, str] | None = None) -> None:
        import httpx

        self._httpx = httpx
        self._seconds = seconds
        self._limit = limit
        self._headers = dict(headers or {})
        self._client = httpx.Client(timeout=seconds, headers={"user-agent": AGENT}, follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, allowed: Any = None) -> Response:
        """The answer, redirects followed.

        Args:
            url: An ``http`` or ``https`` address.
            headers: For this request.
            allowed: ``allowed(url)`` is asked before each further hop of a redirect; raises to refuse.

        Raises:
            SourceUnreachable: no connection, no answer in time, or the server is in trouble (429, 5xx).
            SourceEndless: more bytes or seconds than allowed.
            SourceError: not an address, or redirects without end.
        """
        here, host = url, urlsplit(url).netloc
        deadline = time.monotonic() + self._seconds
        for _ in range(REDIRECTS + 1):
            if urlsplit(here).scheme not in ("http", "https") or not urlsplit(here).netloc:
                raise SourceError(f"{here[:200]} is not an http or https address", cure="Correct the address.")
            own = self._headers if urlsplit(here).netloc == host else {}
            found = self._once(here, {**own, **(headers or {})}, deadline)
            onward = found.headers.get("location", "")
            if found.status not in (301, 302, 303, 307, 308) or not onward:
                if found.status in _BUSY:
                    raise SourceUnreachable(f"{url} answers with status {found.status}")
                return found
            here = urljoin(here, onward)
            if allowed is not None:
                allowed(here)
        raise SourceError(f"{url} redirects more than {REDIRECTS} times", cure="Name the final address.")

    def _once(self, url: str, headers: Mapping[str, str], deadline: float) -> Response:
        body = bytearray()
        try:
            with self._client.stream("GET", url, headers=dict(headers)) as answer:
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > self._limit:
                        raise SourceEndless(f"{url} has more than {self._limit} bytes")
                    if time.monotonic() > deadline:
                        raise SourceEndless(f"{url} was not whole after {self._seconds:g} s")
                return Response(
                    url=url,
                    status=answer.status_code,
                    headers={name.lower(): value for name, value in answer.headers.items()},
                    body=bytes(body),
                )
        except self._httpx.InvalidURL as error:
            raise SourceError(f"{url[:200]} is not an address: {error}", cure="Correct the address.") from error
        except self._httpx.TimeoutException as error:
            raise SourceUnreachable(f"{url} does not answer within {self._seconds:g} s") from error
        except self._httpx.HTTPError as error:
            raise SourceUnreachable(f"{url} cannot be reached: {error or type(error).__name__}") from error
