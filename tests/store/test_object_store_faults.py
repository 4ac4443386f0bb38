"""Faults of an object store: a proxy before moto's server answers in its place, or breaks off."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from object_store import ObjectStore
from twofold.errors import DatabaseRefused, DatabaseUnreachable, DiskFull, StoreError
from twofold.settings.scale import ScaleSection
from twofold.store import object_folder
from twofold.store.artifacts import Artifacts
from twofold.store.object_folder import ObjectFolder
from twofold.store.published import PublishedArtifacts
from twofold.store.sharing import Shared

KEY = "adapter:0123456789abcdef"
CONTENT = os.urandom(300_000)


@dataclass
class Proxy:
    """A proxy whose next replies can be another's."""

    address: str = ""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """Method and fault of the replies to come: a status with an error's code, ``half``, ``unanswered``, ``slow``."""


@pytest.fixture
def proxy(object_store: ObjectStore) -> Iterator[Proxy]:
    """A proxy before moto's server."""
    state = Proxy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Silent."""

        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = ""
            if state.faults and state.faults[0][0] in ("", self.command):
                fault = state.faults.pop(0)[1]
            if fault[:1].isdigit():
                status, _, code = fault.partition(" ")
                words = "The difference between the request time and the current time is too large."
                text = f"<Error><Code>{code}</Code><Message>{words if 'Skew' in code else code}</Message></Error>"
                self.reply(int(status), [("Content-Type", "application/xml")], text.encode())
                return
            time.sleep(0.3 if fault == "slow" else 0)
            server = HTTPConnection(object_store.endpoint.removeprefix("http://"), timeout=30)
            headers = {name: value for name, value in self.headers.items() if name != "Accept-Encoding"}
            server.request(self.command, self.path, body or None, headers)
            answer = server.getresponse()
            content = answer.read()
            # What was written is there, and whoever wrote it does not hear of it.
            if fault == "unanswered":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            headers_back = [(n, v) for n, v in answer.getheaders() if n not in ("Connection", "Transfer-Encoding")]
            self.reply(answer.status, headers_back, content, half=fault == "half")
            server.close()

        def reply(self, status: int, headers: list[tuple[str, str]], content: bytes, *, half: bool = False) -> None:
            self.send_response(status)
            for name, value in headers:
                if name != "Content-Length" or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if half else content)
            if half:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

    for method in ("GET", "PUT", "HEAD", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.handle_request)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield state
        server.shutdown()


@pytest.fixture
def folder(object_store: ObjectStore, proxy: Proxy) -> ObjectFolder:
    """A folder in a new bucket, behind the proxy."""
    return ObjectFolder(f"s3://{object_store.bucket()}/p", endpoint=proxy.address)


def made(store: Artifacts) -> Path:
    (store.working(KEY) / "weights.bin").write_bytes(CONTENT)
    return store.finish(KEY, {})


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("403 AccessDenied", (DatabaseRefused, "refuses the request", "AWS_ACCESS_KEY_ID")),
        ("403 SignatureDoesNotMatch", (DatabaseRefused, "refuses the request", "AWS_SECRET_ACCESS_KEY")),
        ("403 RequestTimeTooSkewed", (DatabaseRefused, "clock is wrong", "Set the clock")),
        ("404 NoSuchBucket", (DatabaseRefused, "there is no bucket", "make the bucket")),
        ("500 InternalError", (DatabaseUnreachable, "does not answer", "Check the network")),
    ],
)
def test_a_refusal_names_bucket_and_cure_and_a_rerun_completes(
    folder: ObjectFolder, proxy: Proxy, tmp_path: Path, fault: str, expected: tuple[type[StoreError], str, str]
) -> None:
    error, words, cure = expected
    store = Artifacts(tmp_path / "artifacts", PublishedArtifacts(folder, tmp_path / "seen"))
    (store.working(KEY) / "weights.bin").write_bytes(CONTENT)
    proxy.faults = [("PUT", fault)] * 9
    with pytest.raises(error, match=words) as raised:
        store.finish(KEY, {})
    assert folder.url.rpartition("/")[0] in str(raised.value)
    assert cure in raised.value.cure
    proxy.faults = []
    assert store.list(here=True)[0]["finished"] is False, "what was made is still here"
    store.finish(KEY, {})
    other = Artifacts(tmp_path / "other", PublishedArtifacts(folder, tmp_path / "other-seen"))
    other.verify(KEY)


def test_a_connection_that_breaks_off_loses_nothing(folder: ObjectFolder, proxy: Proxy, tmp_path: Path) -> None:
    store = Artifacts(tmp_path / "artifacts", PublishedArtifacts(folder, tmp_path / "seen"))
    # The write of the manifest is done, its reply lost: sent again, it is refused.
    proxy.faults = [("PUT", ""), ("PUT", "unanswered")]
    made(store)
    assert not proxy.faults
    other = Artifacts(tmp_path / "other", PublishedArtifacts(folder, tmp_path / "other-seen"))
    proxy.faults = [("GET", ""), ("GET", ""), ("GET", "half")]
    found = other.find(KEY)
    assert found is not None
    assert not proxy.faults
    assert (found / "weights.bin").read_bytes() == CONTENT
    other.verify(KEY)


def test_a_slow_store_is_waited_for_and_a_dead_one_is_not(
    folder: ObjectFolder, proxy: Proxy, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.faults = [("", "slow")] * 2
    assert folder.create("a", b"1")
    assert folder.read("a") == b"1"
    monkeypatch.setattr(object_folder, "_READ_TIMEOUT", 0.1)
    monkeypatch.setattr(object_folder, "_TRIES", 1)
    hasty = ObjectFolder(folder.url, endpoint=proxy.address)
    proxy.faults = [("", "slow")] * 2
    with pytest.raises(DatabaseUnreachable, match="does not answer"):
        hasty.create("b", b"2")


def test_a_full_disk_leaves_no_half_of_an_artifact(
    folder: ObjectFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(Artifacts(tmp_path / "artifacts", PublishedArtifacts(folder, tmp_path / "seen")))
    other = Artifacts(tmp_path / "other", PublishedArtifacts(folder, tmp_path / "other-seen"))
    with full_disk(folder, monkeypatch), pytest.raises(DiskFull, match="stored here"):
        other.find(KEY)
    assert not list(tmp_path.glob("other/*/*")), "its room is given back"
    assert other.find(KEY) is not None


def test_a_store_that_ignores_conditions_is_refused(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ScaleSection(store=f"s3://{object_store.bucket()}/p", endpoint=object_store.endpoint)
    shared = Shared(settings, name="p", root=tmp_path, home=tmp_path / ".twofold")
    write = shared.folder._files.pipe_file
    monkeypatch.setattr(shared.folder._files, "pipe_file", lambda path, content, **_: write(path, content))
    with pytest.raises(StoreError, match="ignores conditional writes"):
        shared.pull()


@contextmanager
def full_disk(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Half of each download is written, then the disk is full."""

    def get_file(_remote: str, local: str, **_: Any) -> None:
        Path(local).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), local)

    with monkeypatch.context() as patch:
        patch.setattr(folder._files, "get_file", get_file)
        yield
