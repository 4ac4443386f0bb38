"""What the audit log says: its entries, its head, and what verifying it finds."""

from __future__ import annotations

from typing import Literal, TypedDict

from twofold.types import Json


class AuditEntry(TypedDict):
    """One line, before it is numbered and joined to the line before."""

    time: str
    """In UTC, ISO 8601 with milliseconds. Clocks are set back at times: only the numbers of lines always rise."""
    what: str
    """What happened, as ``answer``, ``refused`` or ``command.begun``; the log's remarks on itself are ``log.…``."""
    who: str
    """``key:ID``, ``oidc:SUBJECT``, ``local`` for whoever needs no key, ``os:NAME`` for a command, ``server``, or
    empty for somebody unknown."""
    values: Json
    """Ids, versions and counts; no text of a document, a question or an answer."""


class Head(TypedDict):
    """The end of the log, in a file of its own: by it is seen that lines are missing there."""

    number: int
    """Of the last line."""
    hash: str
    """Its digest."""
    config: str
    """Digest of `twofold.toml` at the last line that named one."""
    check: str
    """Of the fields above; see `chain.check_of`."""


FaultKind = Literal["altered", "missing", "reordered", "truncated", "cut", "foreign", "head", "text"]
"""``altered``: a line is not as it was written; ``missing``: lines or a file within the log; ``reordered``: a line
stands where another belongs, or twice; ``truncated``: lines at the end are missing; ``cut``: a file ends within a line;
``foreign``: another log begins; ``head``: the head is missing or damaged; ``text``: a text is not that of its line."""


class AuditFault(TypedDict):
    """Something that is not as it was written."""

    kind: FaultKind
    file: str
    """Name of the file in the log's folder."""
    line: int
    """1-based line in that file; 0 where the fault is no line's."""
    message: str
    cure: str


class VerifyReport(TypedDict):
    """What verifying found."""

    ok: bool
    files: int
    lines: int
    """Lines that are there."""
    keyed: bool
    """Is it a log with a key?"""
    head: str
    """``NUMBER:HASH`` of the last line, for safekeeping elsewhere; empty without a line."""
    faults: list[AuditFault]
    """The first hundred."""
    more: int
    """Further ones."""
    remarks: list[str]
    """What the log says of itself and is no fault: gaps, torn lines set aside, clocks set back."""
    texts: int
    """Stored texts that are those of their lines."""
    erased: int
    """Lines whose texts are erased or missing."""
