"""What a server can do to its reader: send it elsewhere, never end, unpack without end, ask for a token."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sync_project import Site

from twofold.corpus import fetching
from twofold.corpus.fetching import Fetcher, public_address
from twofold.errors import SourceEndless, SourceError, SourceUnreachable

Raw = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def raw() -> Iterator[Raw]:
    """``raw(work)``: a server that does `work` with each connection; its address."""
    servers = []

    def made(work: Callable[[socket.socket], None]) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def loop() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    connection.recv(65536)
                    work(connection)
                except OSError:
                    return

        threading.Thread(target=loop, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/"

    yield made
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "0.0.0.0", "224.0.0.1", "::1", "fd00::1", "fe80::1",
        "ff0e::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::7f00:1", "::ffff:0:7f00:1",
        "64:ff9b:1::7f00:1", "fec0::1", "2130706433", "0x7f000001", "localhost",
    ],
)  # fmt: skip
def test_an_address_behind_the_firewall_is_not_public(address: str) -> None:
    with pytest.raises((SourceError, SourceUnreachable)):
        public_address(address, 80)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_other_addresses_are(address: str) -> None:
    assert public_address(address, 443)


def test_a_redirect_to_another_private_host_is_refused_unless_it_is_named(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    site.pages["/page"] = (302, {"Location": f"http://localhost:{port}/inner"}, b"")
    site.put("/inner", "credentials")
    fetcher = Fetcher(seconds=5, limit=1000)
    with pytest.raises(SourceError, match="localhost is a private address"):
        fetcher.get(f"{site.url}/page")
    assert "/inner" not in site.asked
    named = Fetcher(seconds=5, limit=1000, hosts=["localhost"])
    assert named.get(f"{site.url}/page").body == b"credentials"
    site.pages["/page"] = (302, {"Location": "/inner"}, b"")
    assert fetcher.get(f"{site.url}/page").body == b"credentials", "the same host"


class Names:
    """A name server of ours: each name's addresses, one an answer, the last of them for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **addresses: list[str]) -> None:
        self.left = {name.replace("_", "."): told for name, told in addresses.items()}
        real = socket.getaddrinfo

        def told(host: str, *rest: Any, **named: Any) -> Any:
            found = self.left.get(host)
            if not found:
                return real(host, *rest, **named)
            return real(found.pop(0) if len(found) > 1 else found[0], *rest, **named)

        monkeypatch.setattr(socket, "getaddrinfo", told)


def test_a_name_that_is_private_once_it_is_connected_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, a_example=["8.8.8.8", "127.0.0.1"])
    port = site.url.rpartition(":")[2]
    site.put("/inner", "credentials")
    site.pages["/page"] = (302, {"Location": f"http://a.example:{port}/inner"}, b"")
    with pytest.raises(SourceError, match=r"a\.example is a private address"):
        Fetcher(seconds=5, limit=1000).get(f"{site.url}/page")
    Names(monkeypatch, b_example=["8.8.8.8", "127.0.0.1"])
    with pytest.raises(SourceError, match=r"b\.example is a private address"):
        Fetcher(seconds=5, limit=1000, private=False).get(f"http://b.example:{port}/inner")
    assert "/inner" not in site.asked, "nothing was asked for over the connection"


def test_a_host_that_was_public_stays_so_and_so_does_its_www(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 stands for a public address here."""
    real = fetching._public
    monkeypatch.setattr(fetching, "_public", lambda address: str(address) == "127.0.0.1" or real(address))
    Names(monkeypatch, a_example=["127.0.0.1", "127.0.0.2"], www_a_example=["127.0.0.2"], b_example=["127.0.0.2"])
    port = site.url.rpartition(":")[2]
    site.put("/a", "water")
    fetcher = Fetcher(seconds=5, limit=1000)
    assert fetcher.get(f"http://a.example:{port}/a").body == b"water"
    with socket.create_server(("127.0.0.2", int(port))) as inner:
        inner.settimeout(5)
        for host in ("a.example", "www.a.example"):
            fetcher._client.close()
            fetcher._client = httpx.Client()  # as if the connection had ended
            with pytest.raises(SourceError, match=f"{host} is a private address"):
                fetcher.get(f"http://{host}:{port}/a")
            assert inner.accept()[0].recv(100) == b"", "nothing was asked for"
    with pytest.raises(SourceUnreachable, match="cannot be reached"):  # private from the start: named, so meant
        fetcher.get("http://b.example:9/a")


def test_a_connection_to_a_private_host_serves_no_redirect(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, wiki_example=["127.0.0.1", "8.8.8.8"])
    port = site.url.rpartition(":")[2]
    site.put("/inner", "credentials")
    site.pages["/page"] = (302, {"Location": f"http://wiki.example:{port}/inner"}, b"")
    fetcher = Fetcher(seconds=5, limit=1000)
    assert fetcher.get(f"http://wiki.example:{port}/inner").body == b"credentials"
    with pytest.raises(SourceError, match=r"wiki\.example is a private address"):
        fetcher.get(f"{site.url}/page")


def test_a_token_goes_to_the_very_origin_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str | None]] = []

    def answer(request: Any) -> Any:
        seen.append((str(request.url), request.headers.get("authorization")))
        onward = {"/a": "https://api.example/b", "/b": "http://api.example/c", "/c": "https://api.example:8443/d"}
        to = onward.get(request.url.path)
        return httpx.Response(302 if to else 200, headers={"location": to} if to else {}, stream=httpx.ByteStream(b""))

    fetcher = Fetcher(seconds=3, limit=1000, headers={"authorization": "Bearer T"})
    monkeypatch.setattr(fetcher, "_client", httpx.Client(transport=httpx.MockTransport(answer)))
    fetcher.get("https://api.example/a")
    assert [token for _, token in seen] == ["Bearer T", "Bearer T", None, None]


def _headers_without_end(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: y\r\n")
        time.sleep(0.1)


def _continue_without_end(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(0.1)


def _gzip_of_nothing(connection: socket.socket) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(b"") + packer.flush(zlib.Z_SYNC_FLUSH)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + head)
    while True:
        connection.sendall(b"\0\0\0\xff\xff" * 10)
        time.sleep(0.05)


@pytest.mark.parametrize("work", [_headers_without_end, _continue_without_end, _gzip_of_nothing])
def test_a_server_that_never_ends_is_given_up_in_time(raw: Raw, work: Callable[[socket.socket], None]) -> None:
    began = time.monotonic()
    with pytest.raises((SourceUnreachable, SourceEndless)):
        Fetcher(seconds=0.3, limit=1 << 20).get(raw(work))
    assert time.monotonic() - began < 5


def _sent(body: bytes, encoding: str) -> Callable[[socket.socket], None]:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"

    def work(connection: socket.socket) -> None:
        connection.sendall(head.encode() + body)
        connection.close()

    return work


def test_what_is_packed_is_unpacked_once_and_never_past_the_limit(raw: Raw) -> None:
    fetcher = Fetcher(seconds=5, limit=1 << 16)
    assert fetcher.get(raw(_sent(gzip.compress(b"water"), "gzip"))).body == b"water"
    bomb = gzip.compress(bytes(1 << 24))
    with pytest.raises(SourceEndless):
        fetcher.get(raw(_sent(bomb, "gzip")))
    with pytest.raises(SourceError, match="packed as 'gzip, gzip'"):
        fetcher.get(raw(_sent(gzip.compress(bomb), "gzip, gzip")))
    with pytest.raises(SourceUnreachable, match="cannot be unpacked"):
        fetcher.get(raw(_sent(b"no gzip", "gzip")))


def test_a_form_goes_to_its_address_alone(raw: Raw) -> None:
    seen: list[str] = []

    def redirecting(connection: socket.socket) -> None:
        seen.append("asked")
        connection.sendall(b"HTTP/1.1 307 Go on\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        connection.close()

    address = raw(redirecting)
    assert Fetcher(seconds=5, limit=1000).post(address, {"secret": "a"}).status == 307
    with pytest.raises(SourceError, match="private address"):
        Fetcher(seconds=5, limit=1000, private=False).post(address, {"secret": "a"})
    assert seen == ["asked"]
