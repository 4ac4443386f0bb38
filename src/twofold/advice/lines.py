"""The line on which a key stands in a file of TOML or JSON, whose parsers do not tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence


def line_of(text: str, path: Sequence[str]) -> int | None:
    """The 1-based line of a key, as far as the text tells; that of its table where only this is found, else None.

    Args:
        text: A file that was parsed.
        path: The key's tables, and the key.
    """
    lines = text.splitlines()
    line = 0  # each part of the path is looked for from where the one before it stands
    for depth, key in enumerate(path):
        header = _header(path[: depth + 1])
        entry = re.compile(rf"""(?:.*[{{,])?\s*{_spelled(key)}\s*[.=:]""")
        for number in range(max(line, 1), len(lines) + 1):
            if header.match(lines[number - 1]) or entry.match(lines[number - 1]):
                line = number
                break
    return line or None


def line_in(error: Exception) -> int | None:
    """The line that a parser of TOML or JSON names in its message, if any."""
    match = re.search(r"\bline (\d+)", str(error))
    return int(match[1]) if match else None


def _header(path: Sequence[str]) -> re.Pattern[str]:
    dotted = r"\s*\.\s*".join(_spelled(key) for key in path)
    return re.compile(rf"\s*\[\s*{dotted}\s*\]")


def _spelled(key: str) -> str:
    return rf"""["']?{re.escape(key)}["']?"""
