"""Databases for tests: PostgreSQL and Chroma are started, Qdrant runs in its client, the others are stand-ins."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

import postgres_server
from postgres_server import PASSWORD
from twofold.hashing import digest
from twofold.plugins import loading
from twofold.plugins.protocols import Index
from twofold.testing.conformance_index import DIMENSION, FINGERPRINT

NAMES = ("pgvector", "qdrant", "chroma", "weaviate", "pinecone")
PACKAGES = {"pgvector": "pg0", "qdrant": "qdrant_client", "chroma": "chromadb"}


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database that runs, and how to reach it."""

    name: str
    options: Mapping[str, Any]
    stand_in: Any = None
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        return self.name == "pgvector"

    def index(self, called: str, *, fingerprint: str = FINGERPRINT, dimension: int = DIMENSION, **more: Any) -> Any:
        return loading.make(
            "indexes",
            self.name,
            {**self.options, "name": called, **more},
            directory=Path("unused"),
            fingerprint=fingerprint,
            dimension=dimension,
        )

    def make(self, **more: Any) -> Callable[[Path, str], Index]:
        """For the conformance suite: a directory's name becomes the index's."""

        def made(directory: Path, fingerprint: str) -> Index:
            called = "t" + digest("name", str(directory)).split(":")[1][:20]
            return self.index(called, fingerprint=fingerprint, **more)

        return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(name: str) -> Iterator[Database]:
    """The database of that name while the generator lives."""
    if name in PACKAGES and find_spec(PACKAGES[name]) is None:
        pytest.skip(f"the package {PACKAGES[name]} is not installed")
    yield from {
        "pgvector": _postgres,
        "qdrant": _qdrant,
        "chroma": _chroma,
        "weaviate": _weaviate,
        "pinecone": _pinecone,
    }[name]()


def _postgres() -> Iterator[Database]:
    with postgres_server.running() as server:
        yield Database(name="pgvector", options={"url": server.url, "api_key_env": PASSWORD})


def _qdrant() -> Iterator[Database]:
    from qdrant_client.local import payload_value_extractor

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # on a disk every passage waits for a commit
    parse = payload_value_extractor.parse_json_path
    with tempfile.TemporaryDirectory(dir=memory) as folder, pytest.MonkeyPatch.context() as patch:
        # for every passage of every search it parses the same few names
        patch.setattr(payload_value_extractor, "parse_json_path", cache(parse))
        yield Database(name="qdrant", options={"url": f"local:{folder}"})


def _chroma() -> Iterator[Database]:
    port, folder = free_port(), tempfile.mkdtemp(prefix="twofold-chroma-")
    command = [Path(sys.executable).with_name("chroma"), "run", "--path", folder, "--port", str(port)]
    quiet = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, env=quiet)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                httpx.get(f"{url}/api/v2/heartbeat").raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, "the server ended at once"
                time.sleep(0.1)
        yield Database(name="chroma", options={"url": url})
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _weaviate() -> Iterator[Database]:
    pytest.importorskip("weaviate")
    from weaviate_stand_in import Weaviate

    os.environ["TWOFOLD_TEST_WEAVIATE"] = "secret"
    with Weaviate(key="secret") as server:
        options = {"url": server.url, "grpc": server.grpc, "api_key_env": "TWOFOLD_TEST_WEAVIATE"}
        yield Database(name="weaviate", options=options, stand_in=server)


def _pinecone() -> Iterator[Database]:
    pytest.importorskip("pinecone")
    from pinecone_stand_in import Pinecone

    os.environ["TWOFOLD_TEST_PINECONE"] = "secret"
    with Pinecone(DIMENSION, key="secret") as server:
        options = {"url": server.url, "api_key_env": "TWOFOLD_TEST_PINECONE"}
        yield Database(name="pinecone", options=options, stand_in=server)
