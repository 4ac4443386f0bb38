"""The certificate authorities that connections to other machines trust."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def trusted() -> ssl.SSLContext:
    """What `httpx` trusts by default, for all clients of this process.

    Reading the certificates of all authorities takes 25 ms, which every client would spend anew.
    """
    import httpx

    return httpx.create_ssl_context()
