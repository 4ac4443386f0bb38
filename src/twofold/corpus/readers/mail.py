"""Mail messages (RFC 5322, MIME): headers that people read, the text, and each attachment through its own reader."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from twofold.corpus.plain_text import joined, title_of
from twofold.corpus.readers.mail_parts import header, parts_of
from twofold.errors import DamagedFile, TwofoldError, UnreadableFile
from twofold.files.reading import decode, suffix_of
from twofold.plugins import loading, protocols
from twofold.plugins.traits import ReaderTraits
from twofold.types import Document

_HEADERS = ("Subject", "From", "Reply-To", "To", "Cc", "Date")
_DEEPEST = 3
"""Forwarded messages within forwarded messages that are read."""
_MOST_PARTS = 1000
"""Parts of a message; more are taken for an attack."""


class MailReader:
    """A message with its attachments as one document, each attachment a place. The title is the subject."""

    version: ClassVar[int] = 6
    suffixes: ClassVar[tuple[str, ...]] = (".eml", ".mht", ".mhtml")

    class Options(protocols.Options):
        """Options that are passed on to the readers of attachments."""

        passwords: tuple[str, ...] = ()
        """Tried one after another on an encrypted attachment."""
        ocr: bool = False
        """Read pictures by character recognition."""

    def __init__(self, options: MailReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document. Attachments that cannot be read are listed in the metadata field ``unread``.

        Raises:
            DamagedFile: the message has no header, or too many parts.
        """
        name = path.as_posix()
        data = _narrow(data, name)
        message = email.message_from_bytes(data, policy=email.policy.default)
        if not message.keys():
            raise DamagedFile("the message has no mail header", file=name)
        parts: list[tuple[str, str]] = []
        unread: list[str] = []
        self._take(message, parts, unread, place="")
        text, places = joined(parts)
        subject = " ".join(header(message, "Subject").split())
        yield Document(
            id=name,
            text=text,
            title=subject or title_of(path),
            source=name,
            metadata={"unread": "; ".join(unread)} if unread else {},
            places=places,
        )

    def _take(
        self, message: EmailMessage, parts: list[tuple[str, str]], unread: list[str], *, place: str, depth: int = 0
    ) -> None:
        """Append the parts of a message to `parts`, then its attachments, then the messages that it forwards."""
        # counted up to the limit only: a hostile message may have parts without end
        if sum(1 for _ in islice(message.walk(), _MOST_PARTS + 1)) > _MOST_PARTS:
            raise DamagedFile(f"the message has more than {_MOST_PARTS} parts")
        content = parts_of(message)
        lines = (f"{key}: {value}" for key in _HEADERS if (value := header(message, key)))
        parts.append((place or "message", "\n".join(lines) + "\n\n" + "\n\n".join(content.texts)))
        unread += content.unread
        for name, data in content.files:
            if isinstance(data, bytes) and depth < _DEEPEST and suffix_of(name) == ".eml":
                message = email.message_from_bytes(data, policy=email.policy.default)
                self._take(message, parts, unread, place=f"attachment {name}", depth=depth + 1)
            elif isinstance(data, bytes):
                self.attach(name, data, parts, unread=unread)
            elif depth < _DEEPEST:
                self._take(data, parts, unread, place=f"{place or 'message'}, forwarded", depth=depth + 1)
            else:
                unread.append(f"what is forwarded more than {_DEEPEST} times")

    def attach(self, name: str, data: bytes, parts: list[tuple[str, str]], *, unread: list[str]) -> None:
        """Append the text of an attachment to `parts`, each part with its place, and unread parts to `unread`."""
        label = f"attachment {name}"
        before = len(parts) + len(unread)
        try:
            reader = self._reader(name)
            for document in reader.read(Path(name), data):
                # places of lines are left out: lines of an attachment are no lines of the message
                places = [place for place in document.places if not place.lines]
                remarks = [str(document.metadata[key]) for key in ("unread", "plain") if key in document.metadata]
                remarks += [f"pages {document.metadata['scanned']}"] if "scanned" in document.metadata else []
                unread += [f"{label}: {remark}" for remark in remarks]
                ends = [*(part.start for part in places[1:]), len(document.text)]
                if not places:
                    parts.append((label, document.text))
                for part, end in zip(places, ends, strict=False):
                    parts.append((f"{label}, {part.label}", document.text[part.start : end]))
            if len(parts) + len(unread) == before or not any(text.strip() for _, text in parts[-1:]):
                unread.append(f"{label} (it has no text)")
        except TwofoldError as error:
            unread.append(f"{label} ({error.code})")

    def _reader(self, name: str) -> protocols.Reader:
        suffix = suffix_of(name)
        cls = _classes().get(suffix)
        if cls is None or (ReaderTraits.of(cls).pictures and not self.options.ocr):
            raise UnreadableFile(f"no reader for {suffix or 'a name without an ending'}", file=name)
        options = {"passwords": self.options.passwords, "ocr": self.options.ocr}
        values = {key: value for key, value in options.items() if key in cls.Options.model_fields}
        reader: protocols.Reader = cls(cls.Options.model_validate(values))
        return reader


@cache
def _classes() -> dict[str, Any]:
    """Ending → class of the reader, without the mail reader: attached messages are taken apart by `_take`."""
    classes: dict[str, Any] = {}
    for name in loading.names("readers"):
        cls = loading.find("readers", name)
        if cls is not MailReader:
            for suffix in cls.suffixes:
                classes.setdefault(suffix, cls)
    return classes


def _narrow(data: bytes, name: str) -> bytes:
    """Convert a message saved in UTF-16 or with a byte-order mark to the ASCII-based bytes that mail consists of."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return decode(data, name=name).encode()
    # UTF-16 without a mark: of its first letter one byte is 0
    if b"\0" in data[:2]:
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", "replace").encode()
    return data
