"""Messages of the library, which programs read too, as sentences for people. Pure."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

from twofold.errors import TwofoldError

CURES = {
    "serving.busy": "Load the page again in a moment.",
    "serving.limit": "Wait until the time of the limit is over, then load the page again.",
    "serving.closing": "Load the page again when the server runs again.",
    "serving.down": "Load the page again in a moment. Whoever runs the server finds the reason in its log.",
    "serving.deadline": "Load the page again when fewer people are at work, or ask for less.",
    "serving.scope": "Sign in with another key; whoever runs the server makes one with `twofold keys add --scope`.",
    "serving.missing": "Go back, and follow a link of the page.",
    "serving.request": "Go back, and use the form or the links of the page.",
    "access": "Sign in with a key that names a user; whoever runs the server makes one with `twofold keys add --user`.",
    "store.locked": "Wait until that command has ended, then try again. Questions are answered meanwhile.",
}
"""Code of an error → what a person does on a page, where the error has only its class's cure, written for programs."""
_CODE = re.compile(r"`([^`\n]+)`")
# A word, not a path, key or file name: those begin a message too, and are written as they are.
_WORD = re.compile(r"[a-z]+(?=[ ,])")


def prose(text: Any) -> Markup:
    """A message as HTML: its first word with a capital, what stands between backticks as code, all else escaped."""
    written = str(text)
    if _WORD.match(written):
        written = written[:1].upper() + written[1:]
    parts = _CODE.split(written)
    # `split` with a group: every second part stood between backticks.
    shown = [f"<code>{escape(part)}</code>" if number % 2 else str(escape(part)) for number, part in enumerate(parts)]
    return Markup("".join(shown))


def lasting(seconds: float) -> str:
    """A time in words: ``8 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def explained(error: TwofoldError) -> str:
    """An error as two sentences for a person who sees a page: what is wrong, and what they can do."""
    # A cure of its own was written for that very case.
    cure = CURES.get(error.code, error.cure) if error.cure == type(error).cure else error.cure
    return f"{error.message.rstrip('.')}. {cure}"
