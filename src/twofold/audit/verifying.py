"""Is the audit log as it was written? Every line's digest is made again, and numbers, files and head are compared.

Read in pieces, so that memory does not grow with the log; lines are parsed as JSON only where something is wrong, or
where they speak of the log itself.
"""

from __future__ import annotations

import hashlib
import hmac
from binascii import hexlify
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from twofold.audit.chain import BODY, FIRST, OPENING, Stated, digest_of, entry_of, stated
from twofold.audit.log import HEAD, file_name, files, head_of, require_key, stated_key
from twofold.audit.record import AuditFault, FaultKind, Head, VerifyReport
from twofold.audit.texts import AuditTexts
from twofold.errors import UnreadableFile
from twofold.files import locking

_PIECE = 2**22
"""Bytes read at once."""
_SHOWN = 100
"""Faults that are listed; a log that was written over would fill the memory with them."""
_OF_ITSELF = b'"what":"log.'
_TEXTS = b'"texts":"'
_COPY = "Compare with a copy of the file, such as a backup's; the other lines are as they were written."
_CURES: dict[FaultKind, str] = {
    "altered": _COPY,
    "missing": "Put the file or the lines back from a copy, such as a backup's.",
    "reordered": _COPY,
    "truncated": "Put the lines back from a copy; the lines before are whole, and later ones follow them.",
    "cut": "Put the line back from a copy if you have one. Nothing more is lost by going on: the next line sets the "
    "rest of this one aside in audit/torn.",
    "foreign": "Keep each log in a folder of its own: take the lines of the other one out.",
    "head": "Keep `twofold audit head` elsewhere, and compare with --head; the next line writes the file anew.",
    "text": "Whoever stored the text anew did not write the line: take the text for unknown.",
}


@dataclass
class _Walk:
    """Where verifying stands."""

    key: bytes
    texts: AuditTexts
    watched: int
    """Number of the head's line."""
    anchor: bytes
    """Digest that must be there, in hexadecimal; empty for none."""
    anchor_number: int
    """Its number; 0: any."""
    before: bytes | None = FIRST
    """Digest of the line before; None where it is not known."""
    number: int = 1
    """Of the line that is due."""
    lines: int = 0
    at_head: bytes | None = None
    """Digest of the line that the head names."""
    anchored: bool = False
    absent: list[range] = field(default_factory=list)
    """Numbers that were passed over."""
    faults: list[AuditFault] = field(default_factory=list)
    more: int = 0
    remarks: list[str] = field(default_factory=list)
    stored: int = 0
    """AuditTexts of lines that are stored."""
    erased: int = 0
    begun: bool = False
    """Was the first line of a log there?"""
    last: bytes = FIRST

    def fault(self, kind: FaultKind, file: str, line: int, message: str) -> None:
        if len(self.faults) >= _SHOWN:
            self.more += 1
            return
        self.faults.append({"kind": kind, "file": file, "line": line, "message": message, "cure": _CURES[kind]})


def verify(folder: Path, *, key: bytes = b"", anchor: str = "") -> VerifyReport:
    """Verify a log; processes may append meanwhile.

    Args:
        folder: Of the log.
        key: Its key; empty for a log without one.
        anchor: ``NUMBER:HASH`` or ``HASH`` of a line, noted elsewhere, which must be in the log; empty for none.

    Raises:
        ConfigError: the key is not the log's.
        UnreadableFile: there is no log, or a file of it cannot be read.
    """
    if not files(folder) and not (folder / HEAD).exists():
        raise UnreadableFile(
            "there is no audit log", file=folder, cure="Set [audit].enabled = true; the log begins with the next event."
        )
    require_key(folder, key)
    head, sizes = _snapshot(folder, key)
    number, _, digest = anchor.lower().rpartition(":")
    with AuditTexts(folder) as texts:
        walk = _Walk(
            key=key,
            texts=texts,
            watched=head["number"] if head else 0,
            anchor=digest.encode(),
            anchor_number=int(number) if number.isdigit() else 0,
        )
        _walk_files(walk, sizes)
        _texts(walk, texts)
    end, name = walk.number - 1, next(reversed(sizes)).name if sizes else file_name(1)
    if head is None:
        what = "cannot be read, or is not as it was written" if (folder / HEAD).exists() else "is missing"
        walk.fault("head", HEAD, 0, f"the head {what}: lines at the end may be missing")
    elif head["number"] > end:
        count = head["number"] - end
        walk.fault("truncated", name, 0, f"lines {end + 1} to {head['number']} are missing at the end ({count})")
    elif walk.at_head is not None and walk.at_head.hex() != head["hash"]:
        walk.fault("altered", HEAD, 0, f"the head names another line {walk.watched} than the one that is there")
    elif head["number"] < end:
        walk.remarks.append(f"the head is {end - head['number']} lines older than the log")
    if anchor and not walk.anchored:
        walk.fault("truncated", name, 0, f"the line {anchor[:90]}, noted elsewhere, is not in the log")
    return {
        "ok": not walk.faults,
        "files": len(sizes),
        "lines": walk.lines,
        "keyed": bool(stated_key(folder)) or bool(key),
        "head": f"{end}:{walk.last.hex()}" if walk.lines else "",
        "faults": walk.faults,
        "more": walk.more,
        "remarks": walk.remarks,
        "texts": walk.stored,
        "erased": walk.erased,
    }


def _snapshot(folder: Path, key: bytes) -> tuple[Head | None, dict[Path, int]]:
    """The head, and the sizes of the files, at a moment at which nobody appends: what comes later is not looked at."""
    lock = folder / ".lock"
    while True:
        # A copy, or a log that may only be read, has no lock to take: nobody appends there.
        with suppress(OSError), locking.locked(lock) if lock.exists() else nullcontext():
            return head_of(folder, key), {path: path.stat().st_size for path in files(folder)}
        lock = folder / ".none"


def _walk_files(walk: _Walk, sizes: dict[Path, int]) -> None:
    before, last = 0, next(reversed(sizes), None)
    for path, size in sizes.items():
        for missing in range(before + 1, int(path.stem)):
            walk.fault("missing", file_name(missing), 0, f"the file {file_name(missing)} is missing")
        before = int(path.stem)
        try:
            _file(walk, path, size, last=path == last)
        except OSError as error:
            raise UnreadableFile(f"it cannot be read: {error.strerror}", file=path) from error


def _file(walk: _Walk, path: Path, size: int, *, last: bool) -> None:
    place, rest = 0, b""
    with path.open("rb") as file:
        while piece := file.read(min(_PIECE, size)):
            size -= len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            _lines(walk, path.name, place, lines)
            place += len(lines)
    if rest:
        walk.fault("cut", path.name, place + 1, f"the file ends within line {place + 1} ({len(rest)} bytes of it)")
        if not last:
            # Its number is passed over as missing; what it was joined to is not known.
            walk.before = None


def _lines(walk: _Walk, name: str, place: int, lines: list[bytes]) -> None:
    """Check lines that follow each other; `place` lines of the file are before them."""
    key, keyed, sha256, mac = walk.key, bool(walk.key), hashlib.sha256, hmac.digest
    before, number, watched, anchor = walk.before, walk.number, walk.watched, walk.anchor
    # One loop with little in it: it is what a million lines wait for, and a call for each line would double that.
    for index, line in enumerate(lines):
        if before is not None:
            body = line[BODY:]
            digest = mac(key, before + body, "sha256") if keyed else sha256(before + body).digest()
            hexadecimal = hexlify(digest)
            if line.startswith(b'%b%b","number":%d,' % (OPENING, hexadecimal, number)):
                before = digest
                if number == watched:
                    walk.at_head = digest
                if hexadecimal == anchor and walk.anchor_number in (0, number):
                    walk.anchored = True
                number += 1
                if _OF_ITSELF in body or _TEXTS in body:
                    _noted(walk, name, place + index + 1, line)
                continue
        walk.before, walk.number = before, number
        _wrong(walk, name, place + index + 1, line, after=lines[index + 1] if index + 1 < len(lines) else b"")
        before, number = walk.before, walk.number
    walk.before, walk.number = before, number
    walk.lines += len(lines)
    if before is not None:
        walk.last = before


def _wrong(walk: _Walk, name: str, place: int, line: bytes, *, after: bytes) -> None:
    """A line that is not the one due: say what is wrong, and find out where to go on."""
    what, due = stated(line), walk.number
    if what is None:
        walk.fault("altered", name, place, f"line {place} is no line of an audit log; line number {due} belongs there")
        walk.before, walk.number = None, due + 1
        return
    follows = walk.before is not None and digest_of(walk.before, line[BODY:], walk.key) == what.digest
    if what.number == due or (not follows and _joined(what, after, number=due + 1, key=walk.key)):
        # Where the line before is not known this one cannot be checked; that one is named as a fault.
        if walk.before is not None:
            walk.fault("altered", name, place, f"line number {due} is not as it was written")
        walk.number = due
    elif what.number > due:
        span = f"lines {due} to {what.number - 1} are" if what.number > due + 1 else f"line {due} is"
        walk.fault("missing", name, place, f"{span} missing before line number {what.number}")
        walk.absent.append(range(due, what.number))
        walk.number = what.number
    elif what.number == 1 and walk.begun and (entry_of(line) or {}).get("what") == "log.begun":
        walk.fault("foreign", name, place, f"another audit log begins at line {place}")
        walk.number = 1
    else:
        passed = any(what.number in span for span in walk.absent)
        twice = "out of its order" if passed else "twice"
        walk.fault("reordered", name, place, f"line number {what.number} stands {twice}, where {due} belongs")
        # The chain goes on from the line before it.
        return
    if walk.number == walk.watched:
        walk.at_head = what.digest
    if walk.anchor == hexlify(what.digest) and walk.anchor_number in (0, what.number):
        walk.anchored = True
    walk.before = what.digest
    walk.number += 1
    if _OF_ITSELF in line or _TEXTS in line:
        _noted(walk, name, place, line)


def _joined(before: Stated, line: bytes, *, number: int, key: bytes) -> bool:
    """Is this the line of that number, joined to the one before? Then only that one's own number is wrong."""
    what = stated(line)
    return what is not None and what.number == number and digest_of(before.digest, line[BODY:], key) == what.digest


def _noted(walk: _Walk, name: str, place: int, line: bytes) -> None:
    """What a line says of the log itself, and whether its text is there."""
    entry = entry_of(line) or {}
    values, what = entry.get("values"), entry.get("what", "")
    if not isinstance(values, dict):
        return
    if text := values.get("texts"):
        if walk.texts.text(str(text)):
            walk.stored += 1
        else:
            walk.erased += 1
    if what == "log.begun":
        walk.begun = True
    elif what == "log.gap":
        walk.remarks.append(f"{entry['time']}: {values.get('lost')} events could not be written: {values.get('why')}")
    elif what == "log.torn":
        walk.remarks.append(f"{entry['time']}: {values.get('bytes')} bytes of a torn line are in {values.get('aside')}")
    elif what == "log.headless":
        walk.fault("head", name, place, f"the head was missing at {entry['time']}: lines before may have been removed")
    elif what == "log.clock":
        walk.remarks.append(f"{entry['time']}: the clock was set back by {values.get('seconds')} s")


def _texts(walk: _Walk, texts: AuditTexts) -> None:
    for digest, actual in texts.digests():
        if digest != actual:
            walk.fault("text", texts.name, 0, f"the text stored as {digest[:16]}… is not the one of its line")
