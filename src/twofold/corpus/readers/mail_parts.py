"""The parts of one mail message: texts in order, attachments, forwarded messages, and unreadable parts."""

from __future__ import annotations

import base64
import email
import email.policy
import mimetypes
import quopri
import re
from dataclasses import dataclass, field
from email.errors import InvalidBase64LengthDefect
from email.message import EmailMessage, Message, MIMEPart
from typing import Any

from twofold.corpus.readers.marks import literal
from twofold.errors import UnreadableFile
from twofold.files.reading import writes

_WORDS = re.compile(r"\w+")
_STUB = 30
"""Most words of a plain part missing from the HTML part that count as a remark about the mail ("see HTML version")."""
_SEALED = frozenset(["application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted"])
_SILENT = frozenset(
    ["application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature", "text/x-amp-html"]
)
"""MailParts that a mail program does not show."""
_WIDER = {
    "ascii": "utf-8", "us-ascii": "utf-8", "iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252",
    "iso-8859-9": "cp1254", "iso-8859-11": "cp874", "tis-620": "cp874", "gb2312": "gb18030", "gbk": "gb18030",
    "shift_jis": "cp932", "shift-jis": "cp932", "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "utf8": "utf-8",
    "sjis": "cp932", "windows-31j": "cp932", "cp936": "gb18030", "windows-936": "gb18030", "unicode-1-1-utf-8": "utf-8",
}  # fmt: skip
"""Declared encoding → the larger one that programs use under that name (WHATWG Encoding)."""
_SINGLE = frozenset(["utf-8", "cp1252", "cp1254", "cp874"])
"""Encodings in whose place UTF-8 is tried first."""
_CODE_PAGE = re.compile(r"(?:windows|cp|ibm|dos)[-_ ]?([0-9]{3,4})")
_WORD = re.compile(r"=\?([^?*\s]{1,40})(?=(?:\*[^?]{0,40})?\?[BbQq]\?)")
"""The encoding of a header's word (RFC 2047)."""
_EVENT = {
    "SUMMARY": "Event", "DTSTART": "Start", "DTEND": "End", "DUE": "Due", "DURATION": "Duration", "LOCATION": "Place",
    "RRULE": "Repeats", "ORGANIZER": "Organizer", "ATTENDEE": "Attendee", "STATUS": "Status", "DESCRIPTION": "Text",
    "COMMENT": "Comment", "URL": "Address", "CONTACT": "Contact", "EXDATE": "Not on", "RDATE": "Also on",
    "CATEGORIES": "Kind", "PRIORITY": "Priority", "RESOURCES": "Resources", "COMPLETED": "Done",
    "PERCENT-COMPLETE": "Done in percent", "TRIGGER": "Reminder", "ATTACH": "Attached", "FREEBUSY": "Busy",
    "RECURRENCE-ID": "Instead of", "X-ALT-DESC": "Text", "X-WR-CALNAME": "Calendar", "X-WR-CALDESC": "About",
    "NAME": "Calendar",
}  # fmt: skip
_CARD = {
    "FN": "Name", "ORG": "Organisation", "TITLE": "Title", "ROLE": "Role", "TEL": "Telephone", "EMAIL": "Mail",
    "ADR": "Address", "URL": "Page", "BDAY": "Born", "NOTE": "Note", "NICKNAME": "Called", "IMPP": "Chat",
    "CATEGORIES": "Kind", "ANNIVERSARY": "Anniversary", "RELATED": "Related", "LANG": "Language", "TZ": "Zone",
    "MEMBER": "Member", "X-ABLABEL": "Label", "X-SOCIALPROFILE": "Profile",
}  # fmt: skip
_ENCODED = re.compile(r"^begin(?:-base64)? [0-7]{3} ([^\n]{1,200})$", re.MULTILINE)
"""The first line of a file that is written into the text (POSIX uuencode)."""
_NO_LETTER = re.compile(r"[^A-Za-z0-9+/]")
_FOLD = re.compile(rb"\r?\n[ \t]")
_LONG_HEADER = 20_000
"""Longest header that is parsed, in characters: the parser of `email` takes quadratic time."""
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)\d\d(Z?))?")
_TAG = re.compile(r"<[^<>]{0,200}>")
_TYPES = re.compile(r"TYPE=\"?([^\";:]{1,80})", re.IGNORECASE)
_PLACES = frozenset(["work", "home", "cell", "fax", "pager", "main", "other", "postal", "dom", "intl", "parcel", "car"])
"""Types that tell several telephones or addresses of a person apart."""
_ENTRIES = frozenset(["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"])
"""Entries of a calendar."""


@dataclass
class MailParts:
    """One message, taken apart."""

    texts: list[str] = field(default_factory=list)
    files: list[tuple[str, bytes | EmailMessage]] = field(default_factory=list)
    """``(name, bytes)`` of attachments, and forwarded messages."""
    unread: list[str] = field(default_factory=list)


def _lines_of(block: Message) -> str:
    return "\n".join(f"{key}: {value}" for key, value in block.items())


def parts_of(message: MIMEPart) -> MailParts:
    """The parts of one message; parts of forwarded messages stay with those messages."""
    kind = message.get_content_type()
    if kind == "message/rfc822":
        inner = message.get_payload()
        if isinstance(inner, list) and inner and isinstance(inner[0], EmailMessage):
            return MailParts(files=[("", _whole(message, inner[0]))])
        return MailParts(unread=["a forwarded message that is damaged"])
    if kind == "message/delivery-status":
        blocks = message.get_payload()
        fields = [one for one in blocks if isinstance(one, Message)] if isinstance(blocks, list) else []
        return MailParts(texts=[_lines_of(block) for block in fields])
    if kind == "message/external-body":
        return MailParts(unread=["a part that is kept elsewhere (message/external-body)"])
    if message.is_multipart():
        parts = [one for one in message.iter_parts() if isinstance(one, MIMEPart)]
        contents = [parts_of(one) for one in parts]
        if kind == "multipart/encrypted":
            return MailParts(unread=["an encrypted message"])
        if kind == "multipart/alternative":
            return _best([one.get_content_type() for one in parts], contents)
        gathered = MailParts()
        for content in contents:
            gathered.texts += content.texts
            gathered.files += content.files
            gathered.unread += content.unread
        return gathered
    return _leaf(message, kind)


def _whole(part: MIMEPart, inner: EmailMessage) -> EmailMessage:
    """A message inside another, also one that was encoded as a whole, which RFC 2046 forbids and programs do."""
    if inner.keys() or str(part.get("Content-Transfer-Encoding") or "").strip().lower() != "base64":
        return inner
    letters = _NO_LETTER.sub("", str(inner.get_payload()).partition("=")[0])
    return email.message_from_bytes(base64.b64decode(letters + "=" * (-len(letters) % 4)), policy=email.policy.default)


def _leaf(part: MIMEPart, kind: str) -> MailParts:
    name = part.get_filename() or ""
    if kind in _SEALED:
        return MailParts(unread=["an encrypted part"])
    if kind in _SILENT:
        return MailParts()
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else str(part.get_payload()).encode("utf-8", "replace")
    # Python returns such a part undecoded: the whole groups of four letters before the break are decoded here
    if any(isinstance(one, InvalidBase64LengthDefect) for one in part.defects):
        whole = _NO_LETTER.sub("", str(part.get_payload()).partition("=")[0])
        return _content_of(
            part, base64.b64decode(whole[: len(whole) // 4 * 4]), kind, name, "the end of a damaged part"
        )
    return _content_of(part, data, kind, name, "")


def _content_of(part: MIMEPart, data: bytes, kind: str, name: str, lost: str) -> MailParts:
    """The content of a part with the bytes `data`; `lost` names the bytes that are missing, if any."""
    unread = [lost] if lost else []
    if kind == "text/calendar" and part.get_content_disposition() != "attachment":
        return MailParts(texts=[calendar(decoded(unfolded(data), part.get_content_charset() or ""))], unread=unread)
    attached = part.get_content_disposition() == "attachment"
    if kind.startswith("multipart/"):
        kind = "text/plain"  # its parts cannot be told apart
    if kind.startswith("text/") and not name and not (attached and kind not in ("text/plain", "text/html")):
        text = _text(part, data, kind)
        inside = [f"{one.strip()}, written into the text" for one in _ENCODED.findall(text)]
        return MailParts(texts=[text] if text.strip() else [], unread=unread + inside)
    if not data.strip():
        return MailParts(unread=unread)
    if not name:
        name = f"unnamed{mimetypes.guess_extension(kind) or '.' + kind.rsplit('/', 1)[-1]}"
    return MailParts(files=[(name, data)], unread=unread)


def _best(kinds: list[str], forms: list[MailParts]) -> MailParts:
    """Choose among several forms of one text: the plain one, unless another says more. All attachments stay."""
    best = MailParts()
    for form in forms:
        best.files += form.files
        best.unread += form.unread
    texts = [(kind, "\n\n".join(form.texts)) for kind, form in zip(kinds, forms, strict=False) if form.texts]
    events = [text for kind, text in texts if kind == "text/calendar"]
    plain = next((text for kind, text in texts if kind == "text/plain"), "")
    rich = next((text for kind, text in reversed(texts) if kind not in ("text/plain", "text/calendar")), "")
    words, more = _words(plain), _words(rich)
    if not plain.strip() or not rich.strip():
        best.texts = [plain if plain.strip() else rich]
    # a fifth of the words may differ (links, a footer), but no number: prices of a table are often in the HTML only
    elif len(more - words) <= max(3, 0.2 * len(more)) and not any(map(_numbered, more - words)):
        best.texts = [plain]
    elif len(words - more) > max(_STUB, 0.2 * len(words)):
        best.texts = [plain, rich]
    else:
        best.texts = [rich]
    best.texts = [text for text in (*best.texts, *events) if text.strip()]
    return best


def _words(text: str) -> set[str]:
    return set(_WORDS.findall(text.casefold()))


def _numbered(word: str) -> bool:
    return any(sign.isdigit() for sign in word)


def _text(part: MIMEPart, data: bytes, kind: str) -> str:
    declared = part.get_content_charset() or ""
    if kind == "text/html":
        from twofold.corpus.readers.html_text import markup_of, page_text, parsed

        try:
            text = decoded(data, declared) if declared else markup_of(data, "mail")[0]
        except UnreadableFile:
            text = decoded(data, declared)
        return page_text(parsed(text, "mail"))
    text = decoded(data, declared)
    if str(part.get_param("format") or "").lower() == "flowed":
        text = _flowed(text, str(part.get_param("delsp") or "").lower() == "yes")
    return literal(text)


def _flowed(text: str, join: bool) -> str:
    """Lines that end in a blank go on in the next (RFC 3676); the line before a signature does not."""
    out: list[str] = []
    for line in text.splitlines():
        whole = line.endswith(" ") and line != "-- "
        out.append((line[:-1] if join else line) if whole else line + "\n")
    return "".join(out)


def decoded(data: bytes, declared: str) -> str:
    """Decode bytes by the declared encoding or what programs mean by it, else as UTF-8, else as windows-1252.

    Where a single-byte encoding is declared, valid UTF-8 is still read as UTF-8: text in a single-byte encoding is
    practically never valid UTF-8 by chance.
    """
    name = codec(declared)
    named = (name,) if writes(name) else ()
    # text in an encoding of single bytes is hardly ever valid UTF-8 by chance, so UTF-8 is tried before it
    for encoding in dict.fromkeys((*(("utf-8",) if name in _SINGLE or not name else ()), *named, "utf-8", "cp1252")):
        try:
            return data.decode(encoding)
        except (LookupError, ValueError):
            continue
    return data.decode("utf-8", "replace")


def codec(declared: str) -> str:
    """The encoding that programs mean by a name; the name itself where Python knows no other for it."""
    name = declared.lower().removeprefix("x-")
    name = re.sub(r"^(iso-8859-[68])-[ei]$", r"\1", name).replace("mac-", "mac_")
    if name in _WIDER:
        return _WIDER[name]
    page = _CODE_PAGE.fullmatch(name)
    return f"cp{page[1]}" if page else name


def header(message: EmailMessage, key: str) -> str:
    """A header as text, undeclared bytes in it decoded by `decoded`; the raw header where it cannot be parsed."""
    raw: list[Any] = [value for found, value in message.raw_items() if found.lower() == key.lower()]
    # bytes of which the header declares no encoding arrive as half surrogates
    if raw and any("\ud800" <= letter <= "\udfff" for letter in str(raw[0])):
        data = str(raw[0]).encode("utf-8", "surrogateescape")
        return " ".join(decoded(data, "").split())
    if raw and len(str(raw[0])) > _LONG_HEADER:
        return " ".join(str(raw[0]).split())
    words = _WORD.findall(str(raw[0])) if raw and "=?" in str(raw[0]) else []
    try:
        if not all(map(writes, words)):
            text = _WORD.sub(lambda match: f"=?{codec(match.group(1))}", str(raw[0]))
            return str(email.policy.default.header_factory(key, text))
        return str(message.get(key) or "")
    # the parser of `email` meets a broken header with any of these
    except (ValueError, TypeError, IndexError, AttributeError, LookupError, RecursionError):
        return str(raw[0]) if raw else ""


def unfolded(data: bytes) -> bytes:
    """Join the folded lines of a calendar or card; on bytes, as a fold may split the bytes of one letter."""
    return _FOLD.sub(b"", data)


def calendar(text: str) -> str:
    """Events and tasks of a calendar (RFC 5545), a line for each property; `text` is `unfolded`."""
    lines: list[str] = []
    page, described, alarm = "", False, False
    for line in text.splitlines():
        head, colon, value = line.partition(":")
        name, _, parameters = head.partition(";")
        name = name.upper()
        if name in ("BEGIN", "END"):
            what = value.strip().upper()
            alarm = name == "BEGIN" and what == "VALARM"
            if what in _ENTRIES:
                lines += [f"Text: {page}"] if page and not described else []
                lines += [""] if lines and name == "BEGIN" else []
                page, described = "", False
        if not colon or name not in _EVENT:
            continue
        if '"' in parameters and parameters.count('"') % 2:  # a colon in a quoted parameter
            rest, _, value = value.partition('":')
            parameters += rest
        value = value.replace("\\n", "\n").replace("\\N", "\n").replace("\\,", ",").replace("\\;", ";").strip()
        if name == "X-ALT-DESC":  # a page that says what the description says, where there is one
            page = " ".join(_TAG.sub(" ", value).split())
            continue
        described = described or (name == "DESCRIPTION" and not alarm)
        if name in ("ORGANIZER", "ATTENDEE"):
            called = re.search(r"CN=\"?([^\";:]+)", parameters, re.IGNORECASE)
            address = re.sub("(?i)^mailto:", "", value)
            value = f"{called.group(1)} <{address}>" if called else address
        elif name == "ATTACH" and "BASE64" in parameters.upper():
            value = "a file, which is not read"
        elif _STAMP.match(value):
            named = re.search(r"TZID=([^;:]+)", parameters, re.IGNORECASE)
            zone = named[1] if named else ""
            value = ", ".join(_period(period, zone) for period in value.split(","))
        if value:
            lines.append(f"{_EVENT[name]}: {value}")
    return "\n".join(lines)


def _period(period: str, zone: str) -> str:
    """A time, or a range of two times."""
    return " to ".join(_moment(stamp, zone) for stamp in period.split("/"))


def _moment(stamp: str, zone: str) -> str:
    """A date or time as people write it; any other text unchanged."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return stamp
    year, month, day, hour, minute, zulu = match.groups()
    written = f"{year}-{month}-{day}" + (f" {hour}:{minute}" if hour else "")
    return written + (" UTC" if zulu else f" ({zone})" if zone else "")


def card(text: str) -> str:
    """The cards of an address book (RFC 6350), a line for each property; `text` is `unfolded`."""
    lines: list[str] = []
    called, named = "", False
    for line in (*text.splitlines(), "BEGIN:"):  # one more, so that the last card is closed as the others are
        head, colon, value = line.partition(":")
        name = head.partition(";")[0].rpartition(".")[2].upper()
        if "QUOTED-PRINTABLE" in head.upper():
            value = decoded(quopri.decodestring(value.encode()), "")
        value = value.replace("\\n", "\n").replace("\\,", ",").replace("\\;", ";")
        if name == "BEGIN":
            lines += [f"Name: {called}"] if called and not named else []  # version 2.1 has a card without FN
            lines += [""] if lines and value else []
            called, named = "", False
        elif name == "N":
            parts = [part.strip() for part in f"{value};;;;".split(";")]
            called = " ".join(filter(None, (parts[at] for at in (3, 1, 2, 0, 4))))
        if not colon or name not in _CARD:
            continue
        value = ", ".join(one.strip() for one in value.split(";") if one.strip()) if name in ("ADR", "ORG") else value
        named = named or (name == "FN" and bool(value.strip()))
        types = ",".join(_TYPES.findall(head)).lower().split(",")
        kinds = [kind for kind in dict.fromkeys(types) if kind in _PLACES]
        if value.strip():
            where = f" ({', '.join(kinds)})" if kinds else ""
            lines.append(f"{_CARD[name]}{where}: {value.strip()}")
    return "\n".join(lines).strip()
