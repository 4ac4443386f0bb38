"""Each database in turn."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Iterator

import pytest
from running import NAMES, Database, start

from twofold.hashing import digest


@pytest.fixture(scope="session", params=NAMES)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database that runs."""
    yield from start(request.param)


@pytest.fixture(scope="module", autouse=True)
def without_authorities() -> Iterator[None]:
    """No client reads the certificates of all authorities: every database of these tests is on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
        yield


@pytest.fixture
def called(request: pytest.FixtureRequest) -> str:
    """A name for an index that no other test uses."""
    return "t" + digest("name", [request.node.name, secrets.token_hex(4)]).split(":")[1][:20]
