"""Pseudonyms of callers: a keyed digest of who asked. Pure.

Who has the log alone cannot try names: the key lies in a file of its own.
"""

from __future__ import annotations

import hashlib
import hmac

LENGTH = 16
"""Hexadecimal digits: of a million callers, two share a pseudonym with a chance of 3 in 100 million."""


def pseudonym(caller: str, key: bytes) -> str:
    """The pseudonym of a caller; empty for nobody."""
    return hmac.new(key, caller.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:LENGTH] if caller else ""
