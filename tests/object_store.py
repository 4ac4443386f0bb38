"""An S3-compatible object store of this machine: moto's server, in a process of its own, with a new bucket per test."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import Request, urlopen

import pytest

# The port is the system's choice, and said on the first line. Nothing is logged: a line per request fills a pipe.
_SERVER = """
import logging, sys, threading
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    # Nobody asks the network whether this is a machine of Amazon's.
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Environment variables with which moto's server, which checks none of them, is asked."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A running server."""

    endpoint: str
    """Its address, for ``[scale].endpoint``."""

    def bucket(self) -> str:
        """Make a new bucket; returns its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        # moto's server asks for no signature, so that no client is needed to make a bucket.
        with urlopen(Request(f"{self.endpoint}/{name}", method="PUT"), timeout=30):
            return name


@contextmanager
def running() -> Iterator[ObjectStore]:
    """Start moto's server, which ends with the block, or with this process."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            assert address, "moto's server has not started"
            yield ObjectStore(address)
        finally:
            server.kill()


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """moto's server, started when the first test of a session asks for it; credentials stand in the environment."""
    for module in ("moto", "s3fs"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: scripts/setup")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        with running() as store:
            yield store
