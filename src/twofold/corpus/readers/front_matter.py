"""Front matter of Markdown: the lines of YAML (or TOML) at the top, as names and texts.

The parser knows the forms that people write there: a value on its line, a list, a folded or literal block, a value that
goes on in the next line. Anything else at the top of a file is text: a first line of dashes may just be a rule.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from twofold.corpus.readers.fields import lines

_KEY = re.compile(r"([^\s:#\-\"'\[\]{}&*!|>%@`][^\s:]*|\"[^\"\n]{1,80}\"|'[^'\n]{1,80}'):(?:[ \t]+(.*))?")
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?(?:[ \t]+#.*)?")
_COMMENT = re.compile(r"[ \t]+#.*")
_LONGEST = 100_000
"""Characters in which front matter must end."""
_SETTINGS = frozenset(["true", "false", "null", "~"])
"""Values that tell a program how to make a page, and say nothing to a reader."""


def front_matter(text: str) -> tuple[dict[str, str], int]:
    """Names and values at the top of a text, and where the text proper begins; 0 when there is no front matter."""
    for mark, ends, read in (("---", ("---", "..."), _yaml), ("+++", ("+++",), _toml)):
        first = text.find("\n")
        if first < 0 or text[:first].rstrip() != mark:
            continue
        at = first + 1
        while 0 < at < _LONGEST:
            stop = text.find("\n", at)
            line = text[at : stop if stop >= 0 else len(text)].rstrip()
            if line in ends:
                values = read(text[first + 1 : at])
                return (values, stop + 1 if stop >= 0 else len(text)) if values is not None else ({}, 0)
            at = stop + 1
    return {}, 0


def readable(values: Mapping[str, str]) -> str:
    """The values that a person would read, a line each, so that a search finds and shows them."""
    return lines({name: _joined(value) for name, value in values.items() if value not in _SETTINGS})


def _joined(value: str) -> str:
    """The members of a list that `_list` wrote, with commas between them."""
    if not value.startswith('["'):
        return value
    try:
        return ", ".join(json.loads(value))
    except (ValueError, TypeError):
        return value


def _toml(block: str) -> dict[str, str] | None:
    try:
        return {name: _written(value) for name, value in tomllib.loads(block).items()}
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def _written(value: Any) -> str:
    if isinstance(value, list):
        return _list(_written(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_written(one)}" for name, one in value.items())
    return str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())


def _list(members: Iterable[str]) -> str:
    """A list as JSON, the form in which filters know its members."""
    return json.dumps([" ".join(one.split()) for one in members if one.strip()], ensure_ascii=False)


def _flow(text: str) -> str:
    """A value on its line; a list in brackets becomes JSON."""
    if not (text.startswith("[") and text.endswith("]")) or text.startswith("[["):
        return text
    members, quote = [""], ""
    for sign in text[1:-1]:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'" and not members[-1].strip():
            quote = sign
        elif sign == ",":
            members.append("")
            continue
        members[-1] += sign
    return text if quote else _list(_value(one.strip()) for one in members)


def _yaml(block: str) -> dict[str, str] | None:
    """The values of a block; None when a line is not YAML, so that the block is text."""
    fields: dict[str, list[str]] = {}
    listed: set[str] = set()
    name, folded = "", ""
    for line in block.split("\n"):
        bare = line.strip()
        if not bare:
            if folded == "|" and name and fields[name]:
                fields[name].append("")
            continue
        # within a block a # is text
        if bare.startswith("#") and not (folded and line[:1] in " \t"):
            continue
        if line[:1] in " \t" or (bare.startswith("- ") or bare == "-"):
            if not name:
                return None
            item = not folded and bare[:1] == "-"
            if item and fields[name] and name not in listed:
                continue  # below a value of its own: no YAML
            if item:
                listed.add(name)
            fields[name].append(_value(bare[1:].strip()) if item else bare)
            continue
        match = _KEY.fullmatch(line.rstrip())
        if match is None:
            return None
        name = match.group(1).strip("\"'")
        value = (match.group(2) or "").strip()
        folded = value[:1] if _BLOCK.fullmatch(value) else ""
        fields[name] = [] if folded or not value or value.startswith("#") else [_value(value)]
    if not fields:
        return None
    values: dict[str, str] = {}
    for name, parts in fields.items():
        if name in listed and any(parts):
            values[name] = _list(parts)
        elif any(parts):
            values[name] = _flow(" ".join(" ".join(filter(None, parts)).split()))
    return values


def _value(text: str) -> str:
    """A value without its quotes or the comment behind it."""
    for quote, doubled in (('"', '\\"'), ("'", "''")):
        if text.startswith(quote):
            end = text.rfind(quote)
            return (text[1:end] if end > 0 else text[1:]).replace(doubled, quote)
    return _COMMENT.sub("", text)
