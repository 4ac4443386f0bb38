"""Numbers with their units: the quantities of a text, and whether an answer gives those of the reference. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import ClassVar, Literal

from pydantic import Field

from twofold.metrics.spellings import CURRENCY, UNSPACED, written
from twofold.metrics.units import Unit, unit_of
from twofold.metrics.values import NEGATIONS
from twofold.plugins import protocols
from twofold.types import Answer, Example

_GROUP = "[ \u00a0\u202f\u2009'’_]"
"""A blank (plain, of fixed width, thin) or an apostrophe that groups thousands."""
_DIGITS = (
    rf"\d{{1,3}}(?:{_GROUP}\d{{3}}){{1,20}}(?:[.,]\d+)?(?![\d])|\d{{1,3}}(?:,\d{{2,3}}){{0,20}},\d{{3}}(?:\.\d+)?(?![.,]?\d)"
    r"|\d{1,3}(?:\.\d{3}){1,20}(?:,\d+)?(?![.,]?\d)|(?<!\d,)\d++[.,]\d++(?![.,]\d)|\d++(?!\.\d)|\.\d+"
)
"""Groups of three (of two in India), decimals, and whole numbers; of ``5,6,7`` each is one, and ``1.2.3`` is none.

At most twenty groups: without a limit each place of ``10,10,10,…`` would be looked at to the end.
"""
_SCALES = {
    "k": 3, "thousand": 3, "tausend": 3, "mille": 3, "mil": 3, "million": 6, "millions": 6, "millionen": 6, "mio": 6,
    "mn": 6, "m": 6, "millones": 6, "milioni": 6, "billion": 9, "billions": 9, "bn": 9, "b": 9, "milliarde": 9,
    "milliarden": 9, "mrd": 9, "milliard": 9, "milliards": 9, "miliardi": 9, "trillion": 12, "lakh": 5, "lakhs": 5,
    "crore": 7, "crores": 7, "万": 4, "萬": 4, "亿": 8, "億": 8, "千": 3, "百": 2,
}  # fmt: skip
_SCALE_WORDS = "|".join(sorted((name for name in _SCALES if name.isascii() and len(name) > 1), key=len, reverse=True))
_SCALE = (
    rf"[\s-]?(?i:{_SCALE_WORDS})\b\.?(?:\s(?:of|de)\b)?|[万萬亿億千百]|(?<=\d)[kK]\b"
    # One letter counts after money, and before it: 5 m are metres.
    rf"|(?(before)\s?[KMBkmb]\b|\s?[KMBkmb](?=\s?{CURRENCY}))"
)
_WORDS = {
    word: number
    for number, words in enumerate(
        ("zero null", "one", "two zwei deux dos", "three drei trois tres", "four vier quatre cuatro",
         "five fünf cinq cinco", "six sechs seis", "seven sieben sept siete", "eight acht huit ocho",
         "nine neun neuf nueve", "ten zehn dix diez", "eleven elf onze", "twelve zwölf douze doce")
    )
    for word in words.split(" ")
}  # fmt: skip
_WORD_NUMBER = re.compile(rf"(?<![\w-])(?:{'|'.join(_WORDS)})(?![\w-])", re.IGNORECASE)
_PER_CENT = re.compile(r"\b(?:per cent|pour cent|por cento|por ciento|per cento)\b", re.IGNORECASE)
_MINUS = re.compile(r"(?<![\d%°)] )\bminus\s(?=\d)", re.IGNORECASE)
"""The word before a number that it makes negative; after another number it is a subtraction."""
_UNIT = (
    r"(?:(?:square|sq\.?|cubic|cu\.?)\s)?[°%‰]?\s?[^\W\d_]*(?:[²³]|\^[23])?"
    r"(?:\s?/\s?[^\W\d_]+(?:[²³]|\^[23])?|\s(?:per|pro)\s[^\W\d_]+)?"
)
_QUANTITY = re.compile(
    rf"(?P<bound><=|>=|[<>≤≥])?\s?(?<![0-9A-Za-z_\u00c0-\u024f\u0370-\u04ff])(?<!\d\.)(?P<sign>[-+−]?)"
    rf"(?P<before>{CURRENCY}|\b[A-Z]{{3}}\s)?\s?(?P<sign2>-?)(?P<number>{_DIGITS})"
    rf"(?:[eE](?P<exponent>[-+]?\d{{1,2}})(?!\w))?(?:/(?P<under>[1-9]\d{{0,3}})(?![\d/]))?"
    rf"(?P<scale>{_SCALE})?(?:[\s-]?(?P<after>{CURRENCY}|{_UNIT}))?",
)
_BOUNDS = (
    (re.compile(r"(?:at least|no less than|no fewer than|mindestens|au moins|al menos)\W*\Z", re.I), ">="),
    (re.compile(r"(?:at most|no more than|up to|höchstens|au plus|como máximo)\W*\Z", re.I), "<="),
    (re.compile(r"(?:more than|greater than|higher than|over|above|mehr als|plus de|más de)\W*\Z", re.I), ">"),
    (re.compile(r"(?:less than|fewer than|lower than|under|below|weniger als|moins de|menos de)\W*\Z", re.I), "<"),
)
_SIGNS = {"≤": "<=", "≥": ">="}
_ROUNDED = Fraction(1, 50)
"""Most that rounding in another unit may take from a value: ``8 km`` for 5 miles, not ``0 km`` for 500 feet."""
_MOST_DIGITS = 60
_LONGEST = 20_000
"""Characters of an answer that are looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number with its unit, as a text gives it."""

    value: Fraction
    """The number, its scale (``million``) multiplied in."""
    step: Fraction
    """One of the last digit that is written."""
    unit: Unit | None
    """None: a bare number, or one before a word that is no unit."""
    bound: str = ""
    """``<``, ``<=``, ``>`` or ``>=`` where it is a bound."""
    negated: bool = False
    """Does a negation stand right before it?"""


@lru_cache(maxsize=16384)
def quantities(text: str, *, comma: bool = False) -> tuple[Quantity, ...]:
    """The quantities of a text, in order.

    Args:
        text: Any.
        comma: Read a comma as the decimal sign and points as groups of thousands, where both readings are possible.
    """
    plain = re.sub("[\u00a0\u202f\u2009]", " ", text[:_LONGEST]).replace("−", "-")
    plain = _MINUS.sub("-", _PER_CENT.sub("percent", plain))
    plain = _WORD_NUMBER.sub(lambda match: str(_WORDS[match.group().lower()]), _digits(plain))
    out: list[Quantity] = []
    for match in _QUANTITY.finditer(plain):
        if len(match["number"]) > _MOST_DIGITS:
            continue  # Python refuses to read thousands of digits
        quantity = _read(match, plain, comma=comma)
        # The unit of a range stands at its end: 5-7 km, 5 to 7 km.
        between = plain[plain.rfind(" ", 0, match.start()) : match.start()] if out else ""
        joined = plain[match.start() - 1 : match.start()] in ("-", "–") or between.strip() in ("to", "bis", "à", "a")
        if out and joined and out[-1].unit is None and quantity.unit is not None and not match["before"]:
            out[-1] = replace(out[-1], unit=quantity.unit)
        out.append(quantity)
    return tuple(out)


def _digits(text: str) -> str:
    """The text with the digits of other scripts as ASCII, and with its marks as `spellings.written` writes them."""
    return text if text.isascii() else "".join(map(_ascii_digit, text))


def _ascii_digit(character: str) -> str:
    return written(character).strip() if character.isdecimal() and not character.isascii() else character


def _read(match: re.Match[str], text: str, *, comma: bool) -> Quantity:
    number, decimals = _number(match["number"], comma=comma)
    name = (match["after"] or "").strip()
    before = (match["before"] or "").strip()
    money = unit_of(before) if before else unit_of(name) if re.fullmatch(CURRENCY, name) else None
    unit = money or _unit(name)
    scale = re.sub(r"[\s.-]|\b(?:of|de)\b", "", match["scale"] or "").lower()
    power = int(match["exponent"] or 0) + _SCALES.get(scale, 0)
    factor = Fraction(10) ** power / int(match["under"] or 1)
    value = number * factor * (-1 if "-" in (match["sign"] + match["sign2"]) and _is_minus(match, text) else 1)
    ahead = text[max(0, match.start() - 30) : match.start()]
    bound = _SIGNS.get(match["bound"] or "", match["bound"] or "")
    bound = bound or next((sign for pattern, sign in _BOUNDS if pattern.search(ahead)), "")
    last_words = re.findall(r"[\w’']+", ahead.lower())[-2:]
    negated = any(word.replace("’", "").replace("'", "") in NEGATIONS for word in last_words) and not bound
    step = Fraction(10) ** (power - decimals)
    return Quantity(value=value, step=step, unit=unit, bound=bound, negated=negated)


def _unit(name: str) -> Unit | None:
    # The longest beginning that is a unit: of "km long" the first word, of "km per hour" all.
    pieces = name.split(" ")
    for size in range(len(pieces), 0, -1):
        if (unit := unit_of(" ".join(pieces[:size]))) is not None:
            return unit
    # In Chinese and Japanese nothing stands between a unit and the next word.
    for size in range(min(4, len(name)), 0, -1):
        if UNSPACED.match(name) and (unit := unit_of(name[:size])) is not None:
            return unit
    return None


def _is_minus(match: re.Match[str], text: str) -> bool:
    """Is the hyphen before a number its sign? After a digit or a letter it joins: ``5-7``, ``B-12``."""
    before = text[match.start() - 1 : match.start()]
    return not before or not (before.isalnum() or before in "%°)")


def _number(text: str, *, comma: bool) -> tuple[Fraction, int]:
    """The value of digits with groups and decimals, and how many decimals are written."""
    bare = re.sub(_GROUP, "", text)
    signs = [sign for sign in bare if sign in ".,"]
    if len(set(signs)) == 2:
        # Two signs: the last is the decimal one, whatever the language.
        decimal = signs[-1]
    elif len(signs) == 1:
        whole, _, part = bare.partition(signs[0])
        grouped = len(part) == 3 and 1 <= len(whole) <= 3 and whole != "0"
        # One sign before three digits is open: what the text's language says. Before other digits it is decimal.
        decimal = ("," if comma else ".") if grouped else signs[0]
    else:
        decimal = ""
    other = {",": ".", ".": ","}.get(decimal, "")
    bare = bare.replace(other, "") if other else bare.replace(",", "").replace(".", "")
    whole, _, part = bare.replace(",", ".").partition(".")
    return Fraction(f"{whole or 0}.{part or 0}"), len(part)


_COMMA_DECIMAL = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:\.\d{3})+,\d+|\d+,(?:\d{1,2}|\d{4,})(?![\d.,])|0,\d+)")
_POINT_DECIMAL = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:,\d{3})+\.\d+|\d+\.(?:\d{1,2}|\d{4,})(?![\d.,])|0\.\d+)")
_COMMA_WORDS = re.compile(
    r"(?<!\w)(?:der|die|das|und|ist|wie|viel|viele|le|la|les|est|combien|quel|quelle|el|los|cuánto|cuántos|cuál|il|"
    r"quanto|quanti|qual|het|een|hoeveel|een|ile|jest|сколько|och|hur|og|hvor)(?!\w)",
    re.IGNORECASE,
)
_POINT_WORDS = re.compile(r"(?<!\w)(?:the|of|is|are|was|what|how|many|much|and|in)(?!\w)", re.IGNORECASE)


def writes_comma(*texts: str) -> bool:
    """Do these texts write decimals after a comma? Their plain numbers tell, else their commonest words."""
    commas = sum(len(_COMMA_DECIMAL.findall(text)) for text in texts)
    points = sum(len(_POINT_DECIMAL.findall(text)) for text in texts)
    if commas != points:
        return commas > points
    return sum(len(_COMMA_WORDS.findall(t)) for t in texts) > sum(len(_POINT_WORDS.findall(t)) for t in texts)


class NumericMatch:
    """1 when an answer gives every quantity of a reference, and no other of the same kind.

    Numbers are values: thousands with commas, points, blanks or apostrophes, decimals after a point or a comma,
    ``5 million``, ``3/4``, ``twelve``. Units are names or signs in several languages; units of one kind convert into
    each other (``5 km`` is ``5000 m``; rounded to its last digit, ``8 km`` is 5 miles), currencies do not. A number
    without a unit stands for one with it only where the question names a unit of that kind. A bound (``at least 5``)
    is no value, and a number after "not" is not given.

    Numbers of the question, and years, are passed over beside the right one. It applies to examples whose reference
    has a number.
    """

    version: ClassVar[int] = 2

    class Options(protocols.Options):
        """Options of `numeric_match`."""

        tolerance: float = Field(default=0.0, ge=0, lt=1)
        """Relative difference up to which two values are the same; 0.01 is one per cent."""
        absolute: float = Field(default=0.0, ge=0)
        """Absolute difference up to which two values are the same, in the reference's unit."""
        decimal: Literal["auto", "point", "comma"] = "auto"
        """The decimal sign of numbers that can be read in two ways, such as ``1.234``: ``point``, ``comma``, or
        ``auto``: by the other numbers of question, reference and answer, and by their language."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """1, 0, or None where no reference has a number. An unanswerable example scores 1 for an abstention."""
        if not example.answerable:
            return float(answer.abstained)
        if not any(quantities(reference) for reference in example.references):
            return None
        if answer.abstained:
            return 0.0
        return float(any(self._gives(example.question, answer.text, one) for one in example.references))

    def wants(self, example: Example) -> str:
        """The quantities of the first reference, as values."""
        if not example.answerable or not example.references:
            return "\0abstain"
        comma = self._comma(example.question, example.references[0])
        parsed = quantities(example.references[0], comma=comma)
        return repr(sorted((one.unit.kind if one.unit else "", _base(one), one.bound) for one in parsed))

    def _comma(self, *texts: str) -> bool:
        return writes_comma(*texts) if self.options.decimal == "auto" else self.options.decimal == "comma"

    def _gives(self, question: str, text: str, reference: str) -> bool:
        gold = quantities(reference, comma=self._comma(question, reference))
        if not gold:
            return False
        # The answer's own numbers tell how it writes them; where they do not, it writes as the question does.
        comma = (
            self._comma(text)
            if _COMMA_DECIMAL.search(text) or _POINT_DECIMAL.search(text)
            else self._comma(question, reference)
        )
        stated = [one for one in quantities(text, comma=comma) if not one.negated]
        named = {one.kind for one in map(_unit, re.findall(r"[°%]?[^\W\d_]+|%", question)) if one is not None}
        left = list(stated)
        for theirs in gold:
            place = next((at for at, mine in enumerate(left) if self._same(mine, theirs, named=named)), None)
            if place is None:
                return False
            del left[place]
        asked_values = {one.value for one in quantities(question, comma=self._comma(question, reference))}
        return not any(self._competes(other, gold, passed=asked_values) for other in left)

    def _same(self, mine: Quantity, theirs: Quantity, *, named: set[str]) -> bool:
        """Is one quantity the other, in whatever unit of the kind?"""
        if mine.bound != theirs.bound:
            return False
        if theirs.unit is None:
            return self._close(mine.value, theirs.value, Fraction(0))
        if mine.unit is None:
            # "How many kilometres?" - "5": the question has the unit.
            return theirs.unit.kind in named and self._close(mine.value, theirs.value, Fraction(0))
        if mine.unit.kind != theirs.unit.kind:
            return False
        converted = (mine.unit.base(mine.value) - theirs.unit.offset) / theirs.unit.factor
        ratio = mine.unit.factor / theirs.unit.factor
        rounding = Fraction(0)
        if mine.unit != theirs.unit:
            # In another unit a value is rounded to its last digit. The reference may be too where one unit is no
            # multiple of the other (miles and kilometres): an hour is 60 minutes and not 61.
            multiple = ratio.denominator == 1 or ratio.numerator == 1
            half = (mine.step * ratio if multiple else max(mine.step * ratio, theirs.step)) / 2
            rounding = min(half, abs(theirs.value) * _ROUNDED)
        return self._close(converted, theirs.value, rounding)

    def _close(self, mine: Fraction, theirs: Fraction, rounding: Fraction) -> bool:
        # As they are written: in binary 0.3 is a little less.
        absolute, relative = Fraction(str(self.options.absolute)), Fraction(str(self.options.tolerance))
        allowed = max(rounding, absolute, abs(theirs) * relative)
        return abs(mine - theirs) <= allowed

    def _competes(self, other: Quantity, gold: Sequence[Quantity], *, passed: set[Fraction]) -> bool:
        """Is a further quantity of the answer another answer: of a kind that is wanted, and not from the question?"""
        if other.value in passed or any(self._same(other, one, named=set()) for one in gold):
            return False
        if other.unit is None:
            year = other.value.denominator == 1 and 1500 <= other.value <= 2100
            return not year and any(one.unit is None for one in gold)
        return any(one.unit is not None and one.unit.kind == other.unit.kind for one in gold)


def _base(quantity: Quantity) -> Fraction:
    return quantity.unit.base(quantity.value) if quantity.unit else quantity.value
