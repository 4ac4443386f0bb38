"""Dates in ISO form, in figures and written out in several languages, and whether an answer names them. Pure."""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

from twofold.metrics.values import NEGATIONS
from twofold.plugins import protocols
from twofold.types import Answer, Example

_MONTHS = (
    "january jan januar jänner janvier janv enero ene gennaio gen janeiro januari styczeń stycznia января 一月",
    "february feb februar février fevrier févr febrero febbraio fevereiro februari luty lutego февраля 二月",
    "march mar märz maerz mars marzo março marco maart marzec marca марта 三月",
    "april apr avril avr abril abr aprile kwiecień kwietnia апреля 四月",
    "may mai mayo maggio mag maio mei maj maja мая 五月",
    "june jun juni juin junio giugno giu junho czerwiec czerwca июня 六月",
    "july jul juli juillet juil julio luglio lug julho lipiec lipca июля 七月",
    "august aug août aout agosto ago augustus augusti sierpień sierpnia августа 八月",
    "september sept sep septembre septiembre settembre set setembro wrzesień września сентября 九月",
    "october oct oktober okt octobre octubre ottobre ott outubro out październik października октября 十月",
    "november nov novembre noviembre novembro listopad listopada ноября 十一月",
    "december dec dezember dez décembre déc diciembre dic dicembre dezembro grudzień grudnia декабря 十二月",
)
"""Names of the months in English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Polish, Russian and
Chinese."""
_NUMBER_OF = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split(" ")}
_NAME = "|".join(sorted(_NUMBER_OF, key=len, reverse=True))
_YEAR = r"(?:1[0-9]|20|21)\d\d"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_NUMERIC_MONTH = r"(?:0?[1-9]|1[0-2])"
_OF = r"(?:\s(?:of|de|del)\s|\s|-)"
_DATE = re.compile(
    rf"""
    (?<![\d.,/-])(?P<y1>{_YEAR})(?P<sign>[-/.])(?P<m1>{_NUMERIC_MONTH})(?P=sign)(?P<d1>{_DAY})(?![\d/]|-\d|\.\d)
    |(?P<y2>{_YEAR})\s?[年년]\s?(?P<m2>\d{{1,2}})\s?[月월](?:\s?(?P<d2>\d{{1,2}})\s?[日号號일])?
    |(?<![\w./-])(?P<a>{_DAY})(?P<sign2>[-/.])\s?(?P<b>{_DAY})(?P=sign2)\s?(?P<y3>{_YEAR}|\d\d(?![\d:]))(?![\d/]|-\d|\.\d)
    |(?<!\d)(?P<d4>{_DAY})(?:st|nd|rd|th|er|º|ª|\.)?{_OF}(?P<m4>{_NAME})\b\.?(?:,?{_OF}(?P<y4>{_YEAR}|(?<=-)\d\d|['’]\d\d)\b)?
    |\b(?P<m5>{_NAME})\b\.?\s(?P<d5>{_DAY})(?:st|nd|rd|th)?\b(?![.:]\d)(?:,?\s(?P<y5>{_YEAR})\b)?
    |\b(?P<m6>{_NAME})\b\.?,?{_OF}(?P<y6>{_YEAR})\b
    |(?<![\d.,/-])(?P<y7>{_YEAR})-(?P<m7>0[1-9]|1[0-2])(?![\d/]|-\d)
    |(?<![\w.,/-])(?P<y8>(?:19|20)\d\d)(?P<m8>0[1-9]|1[0-2])(?P<d8>0[1-9]|[12]\d|3[01])(?![\w,-]|\.\d)
    |(?<![\w.,/$€£¥-])(?P<y9>{_YEAR})(?![\w%]|[.,/]\d|-\d|\s?(?:km|kg|[mgtl]|cm|mm|ha|€)(?!\w))
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WORDS_TOO = frozenset(("out", "set", "ago"))
"""Short forms (Portuguese, Italian, Spanish) that are words of English: "9 out of 10" is no day of October."""
_CENTURY = 70
"""Years of two figures from here on are in the 20th century, as POSIX reads them (69 is 2069)."""
_LONGEST = 20_000
"""Characters of an answer that are looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Date:
    """A day, a month, a day of an open year, or a year."""

    year: int | None
    """None where the text does not say."""
    month: int | None = None
    """From 1; None of a year alone."""
    day: int | None = None
    """From 1; None of a month or year."""

    def names(self, other: Date) -> bool:
        """Does this date say everything that the other one says? It may be more exact."""
        parts = ((self.year, other.year), (self.month, other.month), (self.day, other.day))
        return all(theirs is None or mine == theirs for mine, theirs in parts)


@lru_cache(maxsize=16384)
def dates(text: str, *, first: Literal["day", "month"] = "day") -> tuple[Date, ...]:
    """The dates of a text that exist in the calendar, in order, without those that a negation stands before.

    Args:
        text: Any.
        first: What comes first in ``03/04/2021``; where only one order is a date, that one is read.
    """
    plain = _ascii_digits(re.sub("[\u00a0\u202f\u2009]", " ", text[:_LONGEST]))
    out = []
    for match in _DATE.finditer(plain):
        before = re.findall(r"[\w’']+", plain[max(0, match.start() - 20) : match.start()].lower())[-2:]
        date = _read(match, first)
        if date is not None and not any(word.replace("’", "").replace("'", "") in NEGATIONS for word in before):
            out.append(date)
    return tuple(out)


def _ascii_digits(text: str) -> str:
    """The text with the digits of other scripts, and wide ones, as ASCII; each stays in its place."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(letter, letter)) for letter in text)


def _century(year: str) -> int:
    """A year of four figures, or of two, with an apostrophe or without."""
    figures = year.lstrip("'’")
    return int(figures) if len(figures) > 2 else int(figures) + (1900 if int(figures) >= _CENTURY else 2000)


def _read(match: re.Match[str], first: str) -> Date | None:
    got = {name: value for name, value in match.groupdict().items() if value is not None}
    if "a" in got:
        figure, second, year = int(got["a"]), int(got["b"]), _century(got["y3"])
        # A point stands between day and month, whatever the order elsewhere.
        orders = (
            [(second, figure), (figure, second)]
            if first == "day" or got["sign2"] == "."
            else [(figure, second), (second, figure)]
        )
        return next((date for month, day in orders if (date := _existing(year, month, day)) is not None), None)
    end = next(name[-1] for name in got if name[0] == "y" or name[0] == "m")
    year_text, month_text, day_text = (got.get(f"{part}{end}") for part in "ymd")
    if month_text in _WORDS_TOO and _is_word(match, month_text, year=year_text is not None):
        return None
    month = None
    if month_text is not None:
        month = int(month_text) if month_text.isdigit() else _NUMBER_OF[month_text.lower()]
    return _existing(
        None if year_text is None else _century(year_text), month, None if day_text is None else int(day_text)
    )


def _is_word(match: re.Match[str], name: str, *, year: bool) -> bool:
    """Is a short form the English word? A point after it, "de" before it, or a year makes it a month."""
    text = match.group().lower()
    # "of" is English, year or not: "a set of 2019", "9 out of 2019 people".
    return f"{name} of " in text or not (year or f"{name}." in text or f"de {name}" in text)


def _existing(year: int | None, month: int | None, day: int | None) -> Date | None:
    """The date; None for one such as the 31st of April."""
    if month is not None and not 1 <= month <= 12:
        return None
    # Without a year the 29th of February may be.
    if day is not None and month is not None and day > calendar.monthrange(year or 2000, month)[1]:
        return None
    return Date(year=year, month=month, day=day)


class DateMatch:
    """1 when an answer names every date of a reference, and no other.

    Read are ISO dates (``2021-04-03``, ``20210403``), figures (``3.4.2021``, ``03/04/2021``), and dates that are
    written out in eleven languages (``3 April 2021``, ``April 3rd, 2021``, ``3. April 2021``, ``le 3 avril 2021``,
    ``2021年4月3日``), whole, without their day, without their year, or as a year. An answer may be more exact than the
    reference, not less. Dates of the question are passed over. It applies to examples whose reference has a date.
    """

    version: ClassVar[int] = 2

    class Options(protocols.Options):
        """Options of `date_match`."""

        order: Literal["auto", "day", "month"] = "auto"
        """What comes first in ``03/04/2021``: ``day``, ``month``, or ``auto``: either, the same in reference and
        answer."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """1, 0, or None where no reference has a date. An unanswerable example scores 1 for an abstention."""
        if not example.answerable:
            return float(answer.abstained)
        if not any(dates(reference) for reference in example.references):
            return None
        if answer.abstained:
            return 0.0
        return float(any(self._names(example.question, answer.text, one) for one in example.references))

    def wants(self, example: Example) -> str:
        """The dates of the first reference."""
        if not example.answerable or not example.references:
            return "\0abstain"
        return repr(dates(example.references[0], first=self._orders()[0]))

    def _orders(self) -> Sequence[Literal["day", "month"]]:
        return ("day", "month") if self.options.order == "auto" else (self.options.order,)

    def _names(self, question: str, text: str, reference: str) -> bool:
        for first in self._orders():
            gold, stated = dates(reference, first=first), dates(text, first=first)
            if not gold or not _all_named(stated, gold):
                continue
            passed = dates(question, first=first)
            others = [mine for mine in stated if mine not in passed and not any(map(mine.names, gold))]
            # What only repeats a part of the right date, such as its year, is no other date.
            if _all_named(gold, others):
                return True
        return False


def _all_named(dates: Sequence[Date], others: Sequence[Date]) -> bool:
    """Is each of the others named by one of the dates?"""
    return all(_is_named(other, dates) for other in others)


def _is_named(date: Date, by: Sequence[Date]) -> bool:
    return any(other.names(date) for other in by)
