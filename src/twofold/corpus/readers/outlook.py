"""The attachments of an Outlook message (``.msg``, MS-OXMSG): their names and bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from twofold.errors import MissingExtra, install

_LONG_NAME, _NAME = "3707", "3704"
"""Properties of an attachment: its long name, and its short one (8.3) for old systems (MS-OXPROPS 2.586, 2.584)."""
_DATA = "__substg1.0_37010102"
"""The part with the bytes of an attachment (MS-OXMSG 2.2.2)."""
_WIDE, _NARROW = "001F", "001E"
"""Kinds of texts: UTF-16, and the code page of the machine that wrote the message."""


def attachments(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Yield the name and bytes of each attachment; None for an attached message or object.

    Raises:
        MissingExtra: the extra ``documents`` is not installed.
    """
    try:
        import olefile
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "messages of Outlook need the package olefile, which is not installed", cure=install("documents")
        ) from error
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as message:
            folders = sorted({path[0] for path in message.listdir() if path[0].startswith("__attach")})
            for number, folder in enumerate(folders, 1):
                name = _text(message, folder, _LONG_NAME) or _text(message, folder, _NAME) or f"unnamed {number}"
                place = [folder, _DATA]
                yield name, message.openstream(place).read() if message.exists(place) else None
    except (OSError, ValueError, IndexError, TypeError, AttributeError):
        yield "what is attached to it", None  # the words could be read, and these parts cannot


def _text(message: Any, folder: str, name: str) -> str:
    for kind, encoding in ((_WIDE, "utf-16-le"), (_NARROW, "cp1252")):
        place = [folder, f"__substg1.0_{name}{kind}"]
        if message.exists(place):
            return " ".join(str(message.openstream(place).read(), encoding, "replace").replace("\0", "").split())
    return ""
