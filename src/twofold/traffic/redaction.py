"""Personal data and secrets taken out of texts before anything of them is stored. Pure.

What `text.privacy` recognises, and beside it phone numbers as they are written within a country, IPv6 addresses, and
the numbers that states give to people. Names, addresses and dates of birth are not looked for: no form tells them.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from twofold.settings.traffic import KINDS, RedactKind
from twofold.text import privacy
from twofold.text.privacy import PrivateForm, PrivatePlace
from twofold.traffic import national_ids

_KINDS: Mapping[str, RedactKind] = {
    "email": "email",
    "phone number": "phone",
    "IBAN": "bank",
    "payment card": "card",
    "IP address": "ip",
    "social security number": "national id",
    "national id": "national id",
}
"""Kind of a form → kind of the settings; what is not among them is a secret."""


def _ipv6(text: str) -> bool:
    """An address of a machine somewhere; ``::1`` and the like say nothing of anybody."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    # two groups with :: between them are also a namespace of a program (``std::``), so some length is needed
    return len(text) >= 8 and not address.is_loopback and not address.is_unspecified


def _national_phone(text: str) -> bool:
    return 9 <= sum(letter.isdigit() for letter in text) <= 12


_FIRST: tuple[PrivateForm, ...] = (
    # what follows a password in an address looks like the end of an e-mail address
    *(form for form in privacy.FORMS if form[0] == "password in an address"),
    # with letters of any script, and an apostrophe: before the narrower form takes the last part of it
    (
        "email",
        "personal",
        re.compile(r"(?<![\w.+'-])[\w.+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])"),
        lambda _: True,
    ),
)
_FURTHER: tuple[PrivateForm, ...] = (
    ("IBAN", "personal", re.compile(r"(?i)\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), privacy.iban),
    # five groups of two with points: French, and no date
    ("phone number", "personal", re.compile(r"(?<![\w.])0[1-9](?:\.\d\d){4}(?![\w.]*\d)"), lambda _: True),
    (
        "phone number",
        "personal",
        re.compile(r"(?<![\w.,-])(?<!\d )[2-9]\d\d [2-9]\d\d \d{4}(?! ?\d|\w)"),
        lambda _: True,
    ),
    (
        "password",
        "secret",
        re.compile(
            r"(?i:(?:\b(?:passwor[dt]|passcode|kennwort|mot de passe|contraseña|senha|wachtwoord|hasło|пароль)"
            r"|(?<![a-z])(?:secret[ _-]?(?:access[ _-]?)?key|access[ _-]?key|api[ _-]?key|client[ _-]?secret))"
            r"[\"']?(?: is| ist| est| es| é| to|:| =|=)[ \"']{0,3})([^\s\"']{6,200})"
        ),
        privacy.looks_random,
    ),
    ("password", "secret", re.compile(r"(?i:\bbearer )([\w.~+/-]{16,2000}=*)"), privacy.looks_random),
    ("IP address", "personal", re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?![\w:])"), _ipv6),
    (
        # 00 and a country, as it is dialled
        "phone number",
        "personal",
        re.compile(r"(?<![\w.+-])00[1-9]\d{0,2}(?:[ .()/-]{0,2}\d){7,12}(?!\d)"),
        lambda text: 10 <= sum(letter.isdigit() for letter in text) <= 17,
    ),
    (
        # the trunk prefix 0, and groups, but no month with its year; a row of digits alone is any number
        "phone number",
        "personal",
        re.compile(
            r"(?<![\w.,+-])(?!\d\d[/-](?:19|20)\d\d\b)\(?0[1-9]\d{0,4}\)?(?:[ /-]{1,3}\d{2,8}){1,5}(?![\w-]|[.,]\d)"
        ),
        _national_phone,
    ),
    (
        # without groups only where a word says what it is
        "phone number",
        "personal",
        re.compile(
            r"(?i:\b(?:phone|telephone|tel|mobile|cell|call|ring|fax|whatsapp|telefon|handy|rufnummer|mobil|téléphone|"
            r"portable|appelez|teléfono|móvil|llám[ae]me|telefono|cellulare|chiamami|telefoon|telefone|telemóvel|"
            r"telefonu|zadzwoń|телефон)\b|电话|手机|電話|携帯)"
            r"[^\d\n+]{0,20}(\+?\d(?:[ .()/-]{0,2}\d){6,13})(?!\d)"
        ),
        lambda text: 7 <= sum(letter.isdigit() for letter in text) <= 15,
    ),
)


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "private key": ("-----BEGIN ",),
    "AWS key": ("AKIA", "ASIA"),
    "GitHub token": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    "GitLab token": ("glpat-",),
    "Slack token": ("xox",),
    "Stripe key": ("rk_", "sk_"),
    "Google key": ("AIza",),
    "model provider's key": ("sk-", "hf_"),
    "package registry token": ("npm_", "pypi-"),
    "JSON web token": ("eyJ",),
    "password in an address": ("://",),
    "email": ("@",),
}
"""Letters of which a form needs some: to look for these takes a thousandth of the time of looking for the form."""
_NAMES_OF_SECRETS = (
    *("passw", "passc", "kennwort", "mot de passe", "contraseña", "senha", "wachtwoord", "hasło", "пароль"),
    *("key", "secret", "token", "bearer "),
)
"""In small letters: what is called none of these is no password that is known by its name."""
_FEWEST_DIGITS = re.compile(r"\d(?:\D{0,3}\d){4}")
"""Five digits near each other: no number of a person has fewer."""


def _may_match(form: PrivateForm, text: str, *, digits: bool) -> bool:
    """May a form stand in the text, as far as a quick look tells?"""
    kind = form[0]
    if kind in _NEEDED:
        return any(letters in text for letters in _NEEDED[kind])
    if kind == "password":
        small = text.lower()
        return any(name in small for name in _NAMES_OF_SECRETS)
    # addresses of version 6 may have letters alone
    return digits or _KINDS.get(kind, "secret") == "secret" or (kind == "IP address" and text.count(":") > 1)


class Redactor:
    """Takes personal data out of texts.

    Args:
        kinds: What is taken out.
        patterns: Further data: name → regular expression, which `text.patterns` has found harmless.
    """

    def __init__(self, kinds: Sequence[RedactKind] = KINDS, patterns: Mapping[str, str] | None = None) -> None:
        further: tuple[PrivateForm, ...] = tuple(
            (name, "personal", re.compile(pattern), lambda _: True) for name, pattern in (patterns or {}).items()
        )
        forms = (*_FIRST, *privacy.FORMS, *national_ids.FORMS, *_FURTHER)
        self._further = further
        self._forms = tuple(form for form in forms if _KINDS.get(form[0], "secret") in kinds)
        self._named = frozenset(patterns or {})

    def places(self, text: str) -> list[PrivatePlace]:
        """What is taken out of `text`, in order."""
        digits = _FEWEST_DIGITS.search(text) is not None
        forms = [form for form in self._forms if _may_match(form, text, digits=digits)]
        return privacy.private(text, (*self._further, *forms))

    def redacted(self, text: str, counts: Counter[str]) -> str:
        """`text` with what is found replaced by its kind in brackets; adds to `counts`, by kind of the settings."""
        places = self.places(text)
        counts.update(self._kind(place.kind) for place in places)
        return privacy.masked_at(text, places)

    def plain(self, text: str) -> str:
        """`text` redacted, where nobody counts."""
        return privacy.masked_at(text, self.places(text))

    def _kind(self, kind: str) -> str:
        return kind if kind in self._named else _KINDS.get(kind, "secret")
