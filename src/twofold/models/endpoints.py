"""HTTP endpoints in general: which responses are worth another attempt, when, and the reason in an error response."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime

import httpx

from twofold.text.masking import HIDDEN, masked_text

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Status codes after which the same request may succeed later; 529 is "overloaded" of some providers."""
LONGEST_WAIT = 60.0
"""Longest wait between two attempts, in seconds."""


def reason(response: httpx.Response) -> str:
    """The endpoint's error message, shortened, without the API key, which some endpoints repeat."""
    try:
        body = response.json()
        error = body.get("error", body)
        message, most = str(error.get("message", error) if isinstance(error, dict) else error), 300
    except (ValueError, AttributeError):
        message, most = response.text or "nothing", 200
    key = response.request.headers.get("authorization", "").rpartition(" ")[2]
    return masked_text(message.replace(key, HIDDEN) if key else message)[:most]


def retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait by the header ``retry-after`` in either form (RFC 9110, 10.2.3); None without one."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    # dates of HTTP are in GMT
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
