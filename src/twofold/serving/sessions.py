"""Logins of browsers: a cookie holds a random token, the server's memory who logged in with it.

Nothing of a session is on the disk: a restart logs everybody out. A session ends after its hours, and with its key: one
that is revoked, has expired or got another secret ends it at the next request.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from twofold.errors import OverLimit

MOST = 10_000
"""Most sessions, and most addresses whose attempts are counted; beyond them the oldest is dropped."""
EACH = 100
"""Most sessions of one key or user: nobody logs everybody else out by logging in again and again."""
ATTEMPTS = 10
"""Logins that an address may fail at in `ATTEMPT_SECONDS`."""
ATTEMPT_SECONDS = 60.0
_NETWORK = 64
"""Bits of an IPv6 address that a network of one owner shares."""

T = TypeVar("T")


class Expiring(Generic[T]):
    """Values by a random token that only the holder knows: digests of the tokens are stored, for a time.

    Args:
        seconds: How long a value is stored.
        most: Most values; the oldest is dropped for another one.
        each: Most values of one owner, likewise.
        now: The clock, in seconds; it must not jump.
    """

    def __init__(
        self, seconds: float, *, most: int = MOST, each: int = EACH, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = seconds
        self._most, self._each, self._now = most, each, now
        self._values: OrderedDict[str, tuple[float, T, str]] = OrderedDict()
        self._of_owner: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, value: T, *, owner: str = "") -> str:
        """Store a value; returns its token.

        Args:
            value: The value.
            owner: Whose it is: beyond `each` of theirs their oldest is dropped. Empty: nobody's.
        """
        # 256 bits: no salt and no slow hash are needed for the digest that is stored.
        token = secrets.token_urlsafe(32)
        with self._lock:
            if owner and self._of_owner[owner] >= self._each:
                self._remove(next(digest for digest, (_, _, whose) in self._values.items() if whose == owner))
            self._drop()
            self._values[digest_of(token)] = (self._now() + self.seconds, value, owner)
            self._of_owner[owner] += 1
        return token

    def get(self, token: str) -> T | None:
        """The value of a token; None where there is none, or its time is over."""
        with self._lock:
            end, value, _ = self._values.get(digest_of(token), (0.0, None, ""))
        # Dropped by the next `add`, not here: reading stays cheap.
        return value if self._now() < end else None

    def pop(self, token: str) -> T | None:
        """As `get`, and forget the value."""
        with self._lock:
            # Under one lock: two returns with one login's state must not both get it.
            end, value, _ = self._remove(digest_of(token)) or (0.0, None, "")
        return value if self._now() < end else None

    def _remove(self, digest: str) -> tuple[float, T, str] | None:
        entry = self._values.pop(digest, None)
        if entry is None:
            return None
        owner = entry[2]
        self._of_owner[owner] -= 1
        if not self._of_owner[owner]:  # else the names of all who ever logged in would stay
            del self._of_owner[owner]
        return entry

    def _drop(self) -> None:
        # The same time for all: the first to come is the first to end.
        now = self._now()
        while self._values:
            oldest, (end, _, _) = next(iter(self._values.items()))
            if now < end and len(self._values) < self._most:
                return
            self._remove(oldest)


class Attempts:
    """Failed logins of each address, so that nobody tries tokens at the speed of the network.

    Args:
        now: The clock, in seconds; it must not jump.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def require(self, address: str) -> None:
        """Refuse an address that has failed too often.

        Raises:
            OverLimit: it has.
        """
        with self._lock:
            end, count = self._failed.get(network(address), (0.0, 0))
        left = end - self._now()
        if left > 0 and count >= ATTEMPTS:
            error = OverLimit(f"{count} logins of this address failed within a minute", cure="Wait, then log in again.")
            error.retry_after = left
            raise error

    def failed(self, address: str) -> None:
        """Count a failed login."""
        owner, now = network(address), self._now()
        with self._lock:
            end, count = self._failed.pop(owner, (0.0, 0))
            if now >= end:
                end, count = now + ATTEMPT_SECONDS, 0
            self._failed[owner] = (end, count + 1)
            while len(self._failed) > MOST:
                self._failed.popitem(last=False)


def network(address: str) -> str:
    """An IPv4 address, or the network of an IPv6 address: whoever has one of these has all of its addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _NETWORK), strict=False))
    return str(parsed)


def digest_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
