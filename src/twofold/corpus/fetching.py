"""Bounded HTTP: a response is read up to a number of bytes and seconds, however the server behaves.

A server may redirect to another address. A redirect is followed to public addresses only, unless it stays on the host
of the first request: a stranger's server must not reach machines behind the firewall of whoever syncs. The address of
the open connection is checked, before anything is sent: a name server may answer each look-up with another address.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies

from twofold.errors import FileTooLarge, SourceEndless, SourceError, SourceUnreachable, UnreadableFile
from twofold.files.reading import unpacked
from twofold.host import certificates

AGENT = "twofold"
"""Name given to servers, and looked for in robots.txt."""
REDIRECTS = 5
"""Most hops from one address to another; more are taken for a loop."""
_BUSY = frozenset([408, 425, 429, 500, 502, 503, 504])
"""Statuses that may be another the next time: the sync calls the source unreachable and deletes nothing."""
_PORTS = {"http": 80, "https": 443}
_CONNECTED = "connection.connect_tcp.complete"
"""httpcore's name for the moment when the connection is open and nothing has been sent."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses whose last 32 bits are an IPv4 address (RFC 6052)."""
_UNICAST = ipaddress.ip_network("2000::/3")
"""The public addresses of IPv6 (RFC 4291). Beside them lie IPv4 addresses in other forms (``::a.b.c.d``, those of
translators, NAT64 of one's own network) and site-local ones, which Python counts as public."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A server's response."""

    url: str
    """Address after redirects."""
    status: int
    """HTTP status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names."""
    body: bytes = b""
    """Content, decompressed."""


def public_address(host: str, port: int) -> str:
    """Look a host up, and return one of its addresses if all of them are public.

    Args:
        host: A name or an address.
        port: Where to connect.

    Raises:
        SourceUnreachable: the name cannot be found.
        SourceError: an address of the host is private, loopback or multicast.
    """
    try:
        # all of them: a name may stand for a public and a private address at once
        addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, ValueError) as error:
        raise SourceUnreachable(f"the host {host} cannot be found: {error}") from error
    if not all(_public(ipaddress.ip_address(address.partition("%")[0])) for address in addresses):
        raise _refusal(host)
    return addresses[0]


def _refusal(host: str) -> SourceError:
    return SourceError(f"{host} is a private address", cure="Name the host in the settings if you mean it.")


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Is an address public, and the IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64) too?"""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            embedded.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if not all(_public(inner) for inner in embedded if inner is not None):
            return False
        if address.ipv4_mapped is not None:
            return True
        if address not in _UNICAST and address not in _NAT64:
            return False
    return address.is_global and not address.is_multicast


class Fetcher:
    """Requests under limits.

    The host of the first request may be private: whoever set the source up named it. A host that had a public address
    once must keep to public ones. Behind a proxy the proxy looks hosts up, and only names that lead to a private
    address from this machine are refused.

    Args:
        seconds: Longest time for a whole response.
        limit: Most bytes of a response, decompressed.
        headers: Sent with every request to the scheme, host and port of the first request.
        hosts: Other hosts that a redirect may lead to, private or not.
        private: May the host of the first request, and `hosts`, be private?
    """

    def __init__(
        self,
        *,
        seconds: float,
        limit: int,
        headers: Mapping[str, str] | None = None,
        hosts: Collection[str] = (),
        private: bool = True,
    ) -> None:
        import httpx

        self._httpx = httpx
        self._seconds = seconds
        self._limit = limit
        self._headers = dict(headers or {})
        self._hosts = frozenset(hosts)
        self._private = private
        self._proxied = bool({"http", "https", "all"} & getproxies().keys())
        self._outer: set[str] = set()
        """Hosts that had a public address, without ``www.``: a site's list of pages may use either name."""
        self._inner: set[str] = set()
        """Hosts to which a connection to a private address is open."""
        # no other way of packing is asked for: gzip alone is unpacked within a limit
        defaults = {"user-agent": AGENT, "accept-encoding": "identity, gzip;q=0.5"}
        self._client = httpx.Client(
            timeout=seconds, headers=defaults, follow_redirects=False, verify=certificates.trusted()
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, allowed: Any = None) -> Response:
        """Fetch an address and return the response, redirects followed.

        Args:
            url: An ``http`` or ``https`` address.
            headers: Added for this request.
            allowed: ``allowed(url)`` is called before each further hop of a redirect; raises to refuse.

        Raises:
            SourceUnreachable: no connection, no response in time, or the server is in trouble (429, 5xx).
            SourceEndless: the response has more bytes or takes more seconds than allowed.
            SourceError: `url` is no address, redirects do not end or lead to a private address, or the content is
                compressed in an unsupported way.
        """
        here, first = url, urlsplit(url)
        deadline = time.monotonic() + self._seconds
        for _ in range(REDIRECTS + 1):
            parts = urlsplit(here)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise SourceError(f"{here[:200]} is not an http or https address", cure="Correct the address.")
            # a token in the headers must not follow a redirect to another host
            own_headers = self._headers if (parts.scheme, parts.netloc) == (first.scheme, first.netloc) else {}
            named = self._private and parts.hostname in {first.hostname, *self._hosts}
            response = self._in_time(here, {**own_headers, **(headers or {})}, deadline, named=named)
            onward = response.headers.get("location", "")
            if response.status not in (301, 302, 303, 307, 308) or not onward:
                if response.status in _BUSY:
                    raise SourceUnreachable(f"{url} answers with status {response.status}")
                return response
            here = urljoin(here, onward)
            if allowed is not None:
                allowed(here)
        raise SourceError(f"{url} redirects more than {REDIRECTS} times", cure="Use the final address.")

    def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Response:
        """Send a form; a redirect is returned and not followed, so that what is in the form goes nowhere else.

        Raises:
            SourceUnreachable, SourceEndless, SourceError: as `get`.
        """
        every = {**self._headers, **(headers or {})}
        return self._in_time(url, every, time.monotonic() + self._seconds, named=self._private, form=form)

    def _in_time(
        self,
        url: str,
        headers: Mapping[str, str],
        deadline: float,
        *,
        named: bool,
        form: Mapping[str, str] | None = None,
    ) -> Response:
        """Make one request in a thread and give up at the deadline.

        A server that sends headers without end never lets httpx come to its own limits.
        """
        done: queue.SimpleQueue[Response | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                done.put(self._once(url, headers, deadline, named=named, form=form))
            except BaseException as error:  # raised again below
                done.put(error)

        # daemon: a request that hangs must not keep the process from ending
        threading.Thread(target=work, daemon=True, name="twofold-fetch").start()
        try:
            # a second more, so that the limits within the request speak first
            outcome = done.get(timeout=max(0.0, deadline - time.monotonic()) + 1.0)
        except queue.Empty:
            raise SourceUnreachable(f"{url} does not answer within {self._seconds:g} s") from None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _once(
        self,
        url: str,
        headers: Mapping[str, str],
        deadline: float,
        *,
        named: bool,
        form: Mapping[str, str] | None = None,
    ) -> Response:
        body = bytearray()
        method = "GET" if form is None else "POST"
        try:
            # behind a proxy every connection has the address of the proxy
            extensions = {} if self._proxied else {"trace": self._watch(url, named=named)}
            if not named:
                # looked up here as well: behind a proxy and on an open connection the hook does not see the address
                self._look(url)
            with self._client.stream(method, url, headers=headers, data=form, extensions=extensions) as answer:
                # as sent: what is packed is unpacked below, within the limit
                for piece in answer.iter_raw():
                    body += piece
                    if len(body) > self._limit:
                        raise SourceEndless(f"{url} has more than {self._limit} bytes")
                    if time.monotonic() > deadline:
                        raise SourceEndless(f"{url} was not whole after {self._seconds:g} s")
                return Response(
                    url=url,
                    status=answer.status_code,
                    headers={name.lower(): value for name, value in answer.headers.items()},
                    body=self._unpacked(bytes(body), answer.headers.get("content-encoding", ""), url),
                )
        except self._httpx.InvalidURL as error:
            raise SourceError(f"{url[:200]} is not an address: {error}", cure="Correct the address.") from error
        except self._httpx.TimeoutException as error:
            raise SourceUnreachable(f"{url} does not answer within {self._seconds:g} s") from error
        except self._httpx.HTTPError as error:
            raise SourceUnreachable(f"{url} cannot be reached: {error or type(error).__name__}") from error

    def _look(self, url: str) -> None:
        """Refuse a private host that no setting names, before a connection is opened or an open one is reused.

        Raises:
            SourceUnreachable: the host cannot be found.
            SourceError: the host is private.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if host.removeprefix("www.") in self._inner:
            raise _refusal(host)
        public_address(host, parts.port or _PORTS[parts.scheme])

    def _watch(self, url: str, *, named: bool) -> Callable[[str, Mapping[str, Any]], None]:
        """A hook for httpx that checks the address of each new connection and closes a forbidden one."""
        host = urlsplit(url).hostname or ""
        site = host.removeprefix("www.")

        def see(step: str, about: Mapping[str, Any]) -> None:
            if step != _CONNECTED:
                return
            stream = about["return_value"]
            address = str(stream.get_extra_info("server_addr")[0]).partition("%")[0]
            if _public(ipaddress.ip_address(address)):
                self._outer.add(site)
            # a host that was public and is private now: its name server points into the network of whoever syncs
            elif named and site not in self._outer:
                self._inner.add(site)
            else:
                stream.close()
                raise _refusal(host)

        return see

    def _unpacked(self, body: bytes, encoding: str, url: str) -> bytes:
        """The content, decompressed at most once and never past the limit."""
        encoding = encoding.strip().lower()
        if encoding in ("", "identity") or not body:
            return body
        if encoding not in ("gzip", "x-gzip"):
            raise SourceError(f"{url} is packed as {encoding[:40]!r}, which was not asked for")
        try:
            return unpacked(body, limit=self._limit, name=f"{url}.gz")
        except FileTooLarge as error:
            raise SourceEndless(f"{url} has more than {self._limit} bytes") from error
        except UnreadableFile as error:
            raise SourceUnreachable(f"{url} cannot be unpacked: {error.message}") from error
