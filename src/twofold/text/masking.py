"""Mask secrets in everything that is shown or stored: settings, records, error messages.

A secret belongs into an environment variable, which the settings name. Where a secret stands in ``twofold.toml`` all
the same, no page, record or message repeats it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_NAMED = re.compile(
    r"passw|secret|credential|authori[sz]ation|cookie|private[_-]?key|api[_-]?key|access[_-]?key|"
    r"(?<![a-z])token(?![a-z])|(?<![a-z])auth(?![a-z])|(?<![a-z])bearer(?![a-z])",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"_env$|^env:", re.IGNORECASE)
"""The name of an environment variable is no secret."""
# An allowlist: a header of an unknown name may carry a key.
_OPEN_HEADERS = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "user-agent"})
_LOGIN = re.compile(
    r"(?<=://)(?:[^\s/?#@:\"'<>]*:(?!\d{1,5}(?:[/?#\s]|$))[^\s@]{0,200}@(?:[^\s@\"'<>]{0,200}@)*"
    r"|[^\s/?#@]*@(?:[^\s/?#@]*@)*)"
)
"""``user:password@``, even with characters that an address should not contain; a port is no password.

Everything up to the last @ of the address is hidden, even part of a path, so that no tail of a password stays visible.
"""
_QUERY = re.compile(r"(?<=[?&;#])(?P<name>[\w.-]{1,60}=)[^&;\s#\"']+")
_NAMED_IN_QUERY = re.compile(rf"{_NAMED.pattern}|pwd|(?:^|[_.-])(?:key|sig|signature|pass)=", re.IGNORECASE)
_WORDED = re.compile(
    r"(?<![\w.?&#-])(?P<name>(?:\w{0,20}[_-])?(?:ssl)?(?:password|passwd|pwd)\s?=\s?"
    r"|authorization[\"']?\s?[:=]\s?[\"']?(?:(?:bearer|basic|token)\s)?)(?:'[^']{1,200}'|[^\s\"',;}]+)",
    re.IGNORECASE,
)
"""What databases take beside addresses (``host=db password=…``), and a header as messages repeat it."""


def masked_text(text: str) -> str:
    """A text without the logins in its addresses, keys and tokens in the query, and passwords told by their names."""
    text = _WORDED.sub(lambda match: f"{match['name']}{HIDDEN}", text)
    # Most texts have no address, and the other patterns look for nothing else.
    if "://" not in text:
        return text
    return _QUERY.sub(_unless_named, _LOGIN.sub(f"{HIDDEN}@", text))


def _unless_named(match: re.Match[str]) -> str:
    return f"{match['name']}{HIDDEN}" if _NAMED_IN_QUERY.search(match["name"]) else match[0]


def masked(value: Any, name: str = "") -> Any:
    """Settings as JSON without secrets, which are recognised by a key's name, as headers or passwords, or in addresses.

    Args:
        value: A JSON value.
        name: The dotted key of the value.
    """
    last = name.rpartition(".")[2]
    if isinstance(value, Mapping):
        if last == "passwords":
            return {key: _secret(one) for key, one in value.items()}
        if last == "headers":
            return {key: one if key.lower() in _OPEN_HEADERS else _secret(one) for key, one in value.items()}
        return {key: masked(one, f"{name}.{key}") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(one, name) for one in value]
    if isinstance(value, str):
        return _secret(value) if _NAMED.search(last) and not _VARIABLE.search(last) else masked_text(value)
    return value


def _secret(value: Any) -> Any:
    # An empty value, or the name of a variable, hides nothing, and helps whoever reads it.
    return value if not value or (isinstance(value, str) and _VARIABLE.search(value)) else HIDDEN
