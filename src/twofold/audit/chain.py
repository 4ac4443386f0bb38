"""The lines of the audit log and what joins them: each names a digest of itself and of the line before. Pure.

A line is canonical JSON whose first member is ``hash``, so that the digest can be checked on raw bytes: that of line n
is SHA-256 of the 32 bytes of line n − 1's digest (zeros before line 1) and all bytes of line n behind its ``hash``
member. With a key it is HMAC-SHA-256 of the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass

from twofold.audit.record import AuditEntry
from twofold.hashing import canonical_json
from twofold.types import Json

FIRST = bytes(32)
"""Stands for the digest of the line before the first."""
OPENING = b'{"hash":"'
"""How every line begins."""
BODY = len(OPENING) + 64 + 2
"""Bytes before the part of a line that its digest is made of: the opening, the digest in hexadecimal, ``",``."""
# The members of a line are sorted, and all others come after these two in the alphabet.
_STATED = re.compile(rb'\{"hash":"([0-9a-f]{64})","number":([0-9]{1,18}),')


def digest_of(before: bytes, body: bytes, key: bytes) -> bytes:
    """The digest of a line.

    Args:
        before: Digest of the line before, 32 bytes.
        body: The line's bytes from `BODY` on, without its end.
        key: The log's key; empty for a log without one.
    """
    return hmac.digest(key, before + body, "sha256") if key else hashlib.sha256(before + body).digest()


def line_of(number: int, entry: AuditEntry, *, before: bytes, key: bytes) -> tuple[bytes, bytes]:
    """A line without its end, and its digest.

    Args:
        number: Of the line, from 1.
        entry: What it says.
        before: Digest of the line before.
        key: The log's key; empty for a log without one.
    """
    # What is no character (half of a pair) becomes a question mark, so that no text can make a line fail.
    body = canonical_json({**entry, "number": number}).encode("utf-8", "replace")[1:]
    digest = digest_of(before, body, key)
    return OPENING + digest.hex().encode() + b'",' + body, digest


@dataclass(frozen=True, slots=True)
class Stated:
    """What a line says of itself, true or not."""

    digest: bytes
    number: int


def stated(line: bytes) -> Stated | None:
    """Digest and number that a line states; None where it is no line of such a log."""
    match = _STATED.match(line)
    return None if match is None else Stated(bytes.fromhex(match[1].decode()), int(match[2]))


def entry_of(line: bytes) -> Json | None:
    """The members of a line; None where it is no JSON object."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def check_of(text: str, key: bytes) -> str:
    """Check of a short text, such as the log's head; where the log has a key, nobody without it can make one."""
    data = text.encode()
    return hmac.digest(key, data, "sha256").hex() if key else hashlib.sha256(data).hexdigest()
