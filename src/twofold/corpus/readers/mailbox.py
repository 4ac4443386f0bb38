"""Files of many messages (``.mbox``, RFC 4155), of events (``.ics``, RFC 5545), of addresses (``.vcf``, RFC 6350)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from twofold.corpus.plain_text import clean, title_of
from twofold.corpus.readers.mail import MailReader
from twofold.corpus.readers.mail_parts import calendar, card, decoded, unfolded
from twofold.errors import BadRecord, DamagedFile
from twofold.plugins import protocols
from twofold.types import Document

_BEGINS = re.compile(rb"^From [^\r\n]{1,300}\r?$", re.MULTILINE)
_DATED = re.compile(rb"\b[0-9]{1,2}:[0-9]{2}\b"), re.compile(rb"\b[0-9]{4}\b")
"""A time and a year: a line of prose that begins with "From" seldom contains both."""
# mail programs write ">" before a line of text that begins with "From " (the mboxrd format)
_QUOTED = re.compile(rb"^>(?=>{0,9}From )", re.MULTILINE)


class MailboxReader:
    """The messages of a mailbox, a document each, called ``file#number``; the title is the subject."""

    version: ClassVar[int] = 3
    suffixes: ClassVar[tuple[str, ...]] = (".mbox", ".mbx")

    class Options(MailReader.Options):
        """Those of one message."""

    def __init__(self, options: MailboxReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the messages.

        Raises:
            BadRecord: a message cannot be read; the first such message.
        """
        for _, record in self.places(path, data):
            if isinstance(record, BadRecord):
                raise record
            yield record

    def places(self, path: Path, data: bytes) -> Iterator[tuple[int, Document | BadRecord]]:
        """Yield ``(line, message or what is wrong with it)``.

        Raises:
            DamagedFile: no message begins as in a mailbox.
        """
        name = path.as_posix()
        time, year = _DATED
        lines = [begin for begin in _BEGINS.finditer(data) if time.search(begin[0]) and year.search(begin[0])]
        # where no such line follows a blank one, the first of them begins the only message
        starts = [found for found in lines if _after_blank(data, found.start())] or lines[:1]
        if not starts:
            raise DamagedFile("the mailbox has no line that begins a message (From …)", file=name)
        reader = MailReader(self.options)
        ends = [found.start() for found in starts[1:]] + [len(data)]
        line, counted = 1, 0
        if data[: starts[0].start()].strip():
            what = "what stands before the first message is not read"
            yield 1, BadRecord(what, file=name, line=1, cure="Remove the part, or save it as a separate message.")
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
            # counted from the previous message on: from the top each time would be quadratic
            line += data.count(b"\n", counted, start.start())
            counted = start.start()
            message = _QUOTED.sub(b"", data[start.end() + 1 : end])
            try:
                for document in reader.read(path, message):
                    yield line, replace(document, id=f"{name}#{number}")
            except DamagedFile as error:
                yield line, BadRecord(f"message {number}: {error.message}", file=name, line=line, cure=error.cure)


def _after_blank(data: bytes, at: int) -> bool:
    return at == 0 or data[max(0, at - 3) : at].endswith((b"\n\n", b"\n\r\n"))


class CalendarReader:
    """A calendar's events and tasks, or the cards of an address book; the title is the file's stem."""

    version: ClassVar[int] = 3
    suffixes: ClassVar[tuple[str, ...]] = (".ics", ".vcs", ".vcf")

    class Options(protocols.Options):
        """None."""

    def __init__(self, options: CalendarReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document."""
        text = decoded(unfolded(data.removeprefix(b"\xef\xbb\xbf")), "")
        content = card(text) if path.suffix.lower() == ".vcf" else calendar(text)
        yield Document(id=path.as_posix(), text=clean(content), title=title_of(path), source=path.as_posix())
