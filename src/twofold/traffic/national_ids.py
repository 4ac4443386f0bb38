"""Numbers that states give to people, by form and check digit. Pure.

Only numbers whose check digits leave few others: of a random row of digits of the right form at most one in ten is
taken for such a number, of most forms one in a hundred. Those without one (the United Kingdom's) are known by a form
that nothing else has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from twofold.text.privacy import PrivateForm

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
"""Letter of a Spanish number: that at the number modulo 23."""
_TENS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (*_TENS, *_TENS, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)
"""Value of a letter in the odd places of an Italian code (decree of 23 December 1976)."""


def _digits(text: str) -> list[int]:
    return [int(letter) for letter in text if letter.isdigit()]


def _weighted(digits: Sequence[int], weights: Sequence[int]) -> int:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False))


def _german(text: str) -> bool:
    """Tax number of a person: eleven digits, the first not 0, by ISO 7064 mod 11,10; of ten one or two recur."""
    digits = _digits(text)
    product = 10
    for digit in digits[:10]:
        total = (digit + product) % 10 or 10
        product = total * 2 % 11
    recurring = [digits[:10].count(digit) for digit in set(digits[:10])]
    return max(recurring) in (2, 3) and recurring.count(1) >= 7 and (11 - product) % 10 == digits[10]


def _french(text: str) -> bool:
    """Number of social security: 97 less the rest of the first thirteen by 97; Corsica's letters count as 19, 18."""
    bare = re.sub(r"[ .]", "", text).upper().replace("2A", "19").replace("2B", "18")
    return 97 - int(bare[:13]) % 97 == int(bare[13:])


def _spanish(text: str) -> bool:
    bare = re.sub(r"[ .-]", "", text).upper()
    number = {"X": "0", "Y": "1", "Z": "2"}.get(bare[0], bare[0]) + bare[1:-1]
    return _DNI[int(number) % 23] == bare[-1]


def _italian(text: str) -> bool:
    bare = text.upper()
    even = sum(int(c) if c.isdigit() else ord(c) - ord("A") for c in bare[1:15:2])
    odd = sum(_ODD[c] for c in bare[0:15:2])
    return chr(ord("A") + (odd + even) % 26) == bare[15]


def _polish(text: str) -> bool:
    digits = _digits(text)
    # months count on by 20 for each century, so that they tell the century too
    date = 1 <= (digits[2] * 10 + digits[3]) % 20 <= 12 and 1 <= digits[4] * 10 + digits[5] <= 31
    return date and (10 - _weighted(digits, (1, 3, 7, 9) * 2 + (1, 3)) % 10) % 10 == digits[10]


def _brazilian(text: str) -> bool:
    digits = _digits(text)
    first = _weighted(digits, range(10, 1, -1)) * 10 % 11 % 10
    second = _weighted(digits, range(11, 1, -1)) * 10 % 11 % 10
    return len(set(digits)) > 1 and [first, second] == digits[9:]


def _swiss(text: str) -> bool:
    digits = _digits(text)
    return (10 - _weighted(digits, (1, 3) * 6) % 10) % 10 == digits[12]


def _swedish(text: str) -> bool:
    digits = _digits(text)[-10:]
    month, day = digits[2] * 10 + digits[3], digits[4] * 10 + digits[5]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 == 0 else digit for place, digit in enumerate(digits)]
    # a number of coordination counts the day on by 60
    return 1 <= month <= 12 and 1 <= day % 60 <= 31 and sum(doubled) % 10 == 0


def _dutch(text: str) -> bool:
    digits = _digits(text)
    return _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _always(_: str) -> bool:
    return True


_BARE = r"(?<![\w.,/-]){}(?![\w/-]|[.,]\d)"
_NUMBERS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    (r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", _italian),
    (r"756\.?\d{4}\.?\d{4}\.?\d\d", _swiss),
    (r"\d{3}\.\d{3}\.\d{3}-\d\d", _brazilian),
    (r"(?:\d{8}-?|[XYZ]-?\d{7}-?)[TRWAGMYFPDXBNJZSQVHLCKE]", _spanish),
    (r"[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", _french),
    (r"(?:\d\d)?\d{6}[-+]\d{4}", _swedish),
    (r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", _german),
    (r"\d{11}", _polish),
    (r"\d{11}", _brazilian),
    (r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]", _always),
)
_NAMED = r"(?i:\b(?:bsn|burgerservicenummer|sofinummer)\b)[^\d\n]{{0,20}}({})(?!\d)"
"""Nine digits with a check digit of eleven are too common to be taken without the number's name before them."""

FORMS: tuple[PrivateForm, ...] = (
    *(("national id", "personal", re.compile(_BARE.format(form)), holds) for form, holds in _NUMBERS),
    ("national id", "personal", re.compile(_NAMED.format(r"\d{9}")), _dutch),
)
