"""Personal data and secrets in texts: found by form and check digit, and masked. Pure.

What has a check digit is only reported when it holds: payment cards by Luhn (ISO/IEC 7812-1), bank accounts by
ISO 13616 (mod 97-10). Keys are known by the form that their makers publish; a password needs to be called one and to
look random. Names and addresses are not looked for: no form tells them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Sort = Literal["personal", "secret"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivatePlace:
    """A stretch of text that should not be there."""

    kind: str
    """Kind of data, for example ``email``."""
    sort: Sort
    """Personal data, or a secret."""
    start: int
    """First character."""
    end: int
    """Past the last character."""


def luhn(text: str) -> bool:
    """Are these the digits of a payment card, by their number and their check digit (ISO/IEC 7812-1)?"""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(reversed(digits))]
    # A row of equal digits may pass the check, and is no card.
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and sum(doubled) % 10 == 0


_IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "NL", "FO", "GL"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK"), 20),
    **dict.fromkeys(("CH", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("FR", "GR", "IT", "MC", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
}


def iban(text: str) -> bool:
    """Is this the number of a bank account, by its country's length and its check digits (ISO 13616)?"""
    bare = re.sub(r"[\s-]", "", text).upper()
    if len(bare) != _IBAN_LENGTHS.get(bare[:2], 0):
        return False
    # Letters count on from 10, as in base 36.
    return int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1


def _address(text: str) -> bool:
    """An IPv4 address of a machine somewhere: not loopback, not broadcast, not a version number such as 1.2.3.4."""
    parts = [int(p) for p in text.split(".")]
    return max(parts) <= 255 and parts[0] not in (0, 127, 255) and max(parts) > 20


def _phone(text: str) -> bool:
    return 8 <= sum(c.isdigit() for c in text) <= 15


def looks_random(text: str) -> bool:
    """Does it look random? Some digits or marks among letters, and at least 2.5 bits a character."""
    value = text.strip("\"'`.,;:)")
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values()) if value else 0.0
    mixed = bool(re.search(r"[A-Za-z]", value)) and bool(re.search(r"[\d!@#$%^&*+/=]", value))
    return mixed and entropy >= 2.5


def _always(_: str) -> bool:
    return True


PrivateForm = tuple[str, Sort, re.Pattern[str], Callable[[str], bool]]
"""Kind, sort, form, and whether what has the form is one; a form with a group is about what its last group holds."""


_FORMS: tuple[tuple[str, Sort, str, Callable[[str], bool]], ...] = (
    ("private key", "secret", r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", _always),
    ("AWS key", "secret", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", _always),
    ("GitHub token", "secret", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{50,})\b", _always),
    ("GitLab token", "secret", r"\bglpat-[\w-]{20,}", _always),
    ("Slack token", "secret", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", _always),
    ("Stripe key", "secret", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}\b", _always),
    ("Google key", "secret", r"\bAIza[\w-]{35}\b", _always),
    ("model provider's key", "secret", r"\b(?:sk-(?:ant-|proj-)?[\w-]{20,}|hf_[A-Za-z]{30,})\b", _always),
    ("package registry token", "secret", r"\b(?:npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,})\b", _always),
    ("JSON web token", "secret", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}", _always),
    ("password in an address", "secret", r"(?<=://)[^\s:/@]+:[^\s:/@]+(?=@[\w.-])", _always),
    (
        "password",
        "secret",
        r"(?i:\b(?:pass(?:word|code)|api[ _-]?key|(?:secret|access)[ _-]?key|auth[ _-]?token)\b"
        r"[\"']?(?: is| was| to|:| =|=)[ \"']*)([^\s\"']{8,})",
        looks_random,
    ),
    ("email", "personal", r"\b[\w.+-]{1,64}@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}\b", _always),
    ("IBAN", "personal", r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b", iban),
    (
        "payment card",
        "personal",
        r"(?<![\w.-])(?<!\d[ -])(?:[2-6]\d{3}(?:[ -]\d{4}){3}|3[47]\d\d[ -]\d{6}[ -]\d{5}|[2-6]\d{12,15})"
        r"(?![ .-]?\d|\w)",
        luhn,
    ),
    (
        "social security number",
        "personal",
        r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\d-])",
        _always,
    ),
    ("phone number", "personal", r"(?<![\w+])\+[1-9]\d{0,2}(?:[ .()/-]{0,2}\d){7,12}(?!\d)", _phone),
    ("phone number", "personal", r"(?<![\w.-])(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}(?![\w-])", _phone),
    ("IP address", "personal", r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)", _address),
)
FORMS: tuple[PrivateForm, ...] = tuple(
    (kind, sort, re.compile(form, re.DOTALL), holds) for kind, sort, form, holds in _FORMS
)
"""What is looked for where nobody says otherwise, from the strictest form."""


def private(text: str, forms: Sequence[PrivateForm] = FORMS) -> list[PrivatePlace]:
    """Personal data and secrets in `text`, in order, none overlapping; of two the one with the stricter form."""
    places: list[PrivatePlace] = []
    for kind, sort, form, holds in forms:
        for match in form.finditer(text):
            start, end = match.span(form.groups)
            if start < 0:  # a group of a form that somebody else wrote, which took no part
                start, end = match.span()
            # Forms are tried from the strictest: what one has taken, a looser one does not take again.
            if holds(text[start:end]) and not any(start < p.end and p.start < end for p in places):
                places.append(PrivatePlace(kind=kind, sort=sort, start=start, end=end))
    return sorted(places, key=lambda place: place.start)


def masked(text: str) -> str:
    """`text` with what `private` finds replaced by its kind in brackets; masking twice changes nothing more."""
    return masked_at(text, private(text))


def masked_at(text: str, places: Iterable[PrivatePlace]) -> str:
    """`text` with these places, which are in order, replaced by their kind in brackets."""
    out = []
    at = 0
    for place in places:
        out += [text[at : place.start], f"[{place.kind.upper()}]"]
        at = place.end
    return "".join([*out, text[at:]])
