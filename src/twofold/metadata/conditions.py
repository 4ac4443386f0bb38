"""Conditions on metadata, as people write them and as records. Pure.

A condition is a field, a relation and its values: ``price < 30``, ``day >= 2031-04-02``, ``lang in de, en``, ``tags
contains "red, dark"``, ``owner missing``. Several conditions are joined by *and*. A value in quotes is a text. A value
without quotes that reads as a number, as a day or time in ISO 8601, or as ``true`` or ``false`` has that type; every
other value is a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, Literal, cast, get_args

from twofold.errors import BadFilter

Value = str | bool | int | float | Decimal | date
"""Types of the values that a condition compares with; a `datetime` is a date, too."""
Relation = Literal["=", "!=", "in", "not in", "<", "<=", ">", ">=", "contains", "exists", "missing"]
"""Relations of a field to values: ``in`` needs one of them, ``contains`` all of them as members, ``exists`` none."""
RELATIONS: Final[tuple[Relation, ...]] = get_args(Relation)
ORDERED: Final = frozenset({"<", "<=", ">", ">="})
"""Relations that compare numbers and times only."""

# the longer signs first: `<=` begins with `<`
_SIGNS = ("<=", ">=", "!=", "==", "=", "<", ">")
_BARE = ("exists", "missing")
_QUOTES = "\"'"
# bounded repetitions, since metadata are texts by strangers
_NUMBER = re.compile(r"[+\-−]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_GROUPED = re.compile(r"([+\-−]?)(\d{1,3}(?:,\d{3}){2,9}|\d{1,3}(?:,\d{3}){1,9}(?=\.\d))(\.\d{1,30})?", re.ASCII)
_COMMA = re.compile(r"([+\-−]?)(\d{1,3}(?:\.\d{3}){1,9}|\d{1,30}),(\d{1,30})", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)\s?(?:([Zz])|([+\-−]\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)
_SIGN = re.compile("[<>=!]")
_QUOTE = re.compile(r"(?<=[\s,<>=!])[\"']")
_BETWEEN = re.compile(r"\s(not in|in|contains)(?:\s|$)", re.IGNORECASE)
_RELATED = re.compile(r"\s(?:in|contains)\s*$", re.IGNORECASE)
_PLAIN_FIELD = re.compile(r"[^\s\"'<>=!,](?:[^\"'<>=!\n]*[^\s\"'<>=!,])?")
_FORM = (
    "Write a field, a relation and a value: 'price < 30', 'day >= 2031-04-02', 'lang in de, en', 'tags contains "
    "red', 'owner missing'. Relations: =, !=, in, not in, <, <=, >, >=, contains, exists, missing; a field with such a "
    "sign in its name, and a text that reads as a number or date, stand in quotes."
)


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A condition on one metadata field.

    Raises:
        BadFilter: the values are not of the kind or number that the relation compares.
    """

    field: str
    """Name of the field."""
    relation: Relation
    """Relation between the field and the values."""
    values: tuple[Value, ...] = ()
    """One value; any number for ``in``, ``not in`` and ``contains``, none for ``exists`` and ``missing``."""

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise BadFilter(f"unknown relation {self.relation!r}", cure=_FORM)
        # the record is frozen: set once, here, in the exact form
        object.__setattr__(self, "values", tuple(_exact(self, value) for value in self.values))
        if self.relation in _BARE and self.values:
            raise BadFilter(f"{self.relation!r} of the field {self.field!r} takes no value", cure=_FORM)
        if self.relation in ("=", "!=", *ORDERED) and len(self.values) != 1:
            raise BadFilter(f"{self.relation!r} of the field {self.field!r} takes one value", cure=_FORM)
        if self.relation in ORDERED and isinstance(self.values[0], (str, bool)):
            raise BadFilter(
                f"{self.field} {self.relation} {_written(self.values[0])}: {self.relation} compares numbers, and days "
                "and times in ISO 8601; this is neither",
                cure=f"Write a number or a date without quotes, as in '{self.field} {self.relation} 30' or "
                f"'{self.field} {self.relation} 2031-04-02'; texts are compared by =, in and contains.",
            )

    def __eq__(self, other: object) -> bool:
        """Compare conditions by their text: to Python, true equals 1."""
        return isinstance(other, Condition) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        """The condition as text, which `condition` reads as an equal condition."""
        plain = _PLAIN_FIELD.fullmatch(self.field) and not _worded(self.field)
        named = self.field if plain else _quoted(self.field)
        return " ".join(filter(None, (named, self.relation, ", ".join(map(_written, self.values)))))


Where = Mapping[str, Sequence[Value]] | Sequence[str | Condition]
"""Conditions that must all hold, as texts or records; or field → values, of which the field must have one."""


def conditions(where: Where) -> tuple[Condition, ...]:
    """The conditions as records; texts are parsed.

    Raises:
        BadFilter: a condition cannot be read.
    """
    # a text is a sequence, too
    if isinstance(where, str):
        return (condition(where),)
    if isinstance(where, Mapping):
        return tuple(Condition(name, "in", _values(name, given)) for name, given in where.items())
    return tuple(one if isinstance(one, Condition) else condition(one) for one in where)


def _values(name: str, values: Sequence[Value]) -> tuple[Value, ...]:
    if isinstance(values, (str, int, float, Decimal, date)):
        raise BadFilter(
            f"the values of the field {name!r} are not a list", cure=f'Write {{"{name}": ({values!r},)}}, with a comma.'
        )
    return tuple(values)


def condition(text: str) -> Condition:
    """Parse the text of a condition.

    Raises:
        BadFilter: the text cannot be read.
    """
    text = text.strip()
    if text[:1] in _QUOTES and text:
        name, rest = _in_quotes(text, text)
        parts = _relation_first(rest.strip())
    else:
        name, parts = _split(text)
    if parts is None or not name:
        raise BadFilter(f"{text!r} is not a condition on a field", cure=_FORM)
    relation, rest = parts
    if relation in _BARE:
        return Condition(name, relation)
    several = relation in ("in", "not in", "contains")
    values = _list(rest, text) if several else (_value(rest, text),)
    return Condition(name, relation, values)


def _split(text: str) -> tuple[str, tuple[Relation, str] | None]:
    """Split a text into the field, and relation and rest: at the first sign outside quotes, else at the first word."""
    quote = _QUOTE.search(text)
    unquoted = text[: quote.start()] if quote else text
    if sign := _SIGN.search(unquoted):
        return text[: sign.start()].strip(), _relation_first(text[sign.start() :])
    name, _, last = text.rpartition(" ")
    # `lang in de, missing` ends in a value
    if last.lower() in _BARE and quote is None and "," not in name and not _RELATED.search(name):
        return name.strip(), (cast(Relation, last.lower()), "")
    if match := _BETWEEN.search(text):
        return text[: match.start()].strip(), (cast(Relation, match[1].lower()), text[match.end() :].strip())
    return text, None


def _relation_first(text: str) -> tuple[Relation, str] | None:
    for sign in _SIGNS:
        if text.startswith(sign):
            return ("=" if sign == "==" else cast(Relation, sign)), text[len(sign) :].strip()
    if match := _BETWEEN.match(f" {text}"):
        return cast(Relation, match[1].lower()), text[match.end() - 1 :].strip()
    return (cast(Relation, text.lower()), "") if text.lower() in _BARE else None


def _worded(name: str) -> bool:
    """Does a field's name contain a word that `_split` would take for a relation?"""
    return bool(_BETWEEN.search(name)) or name.rpartition(" ")[2].lower() in _BARE


def _list(text: str, whole: str) -> tuple[Value, ...]:
    values: list[Value] = []
    if text[:1] in ("[", "(") and text[-1:] in ("]", ")"):
        text = text[1:-1].strip()
    while text:
        if text[0] in _QUOTES:
            member, text = _in_quotes(text, whole)
            text = text.strip()
            if text[:1] not in ("", ","):
                raise BadFilter(f"{whole!r}: a comma is missing after {member!r}", cure=_FORM)
            values.append(member)
            text = text[1:].strip()
            continue
        member, _, text = text.partition(",")
        if member.strip():
            values.append(read(member.strip()))
        text = text.strip()
    if not values:
        raise BadFilter(f"{whole!r} names no value", cure=_FORM)
    return tuple(values)


def _value(text: str, whole: str) -> Value:
    if not text:
        raise BadFilter(f"{whole!r} names no value", cure=f"{_FORM} A field that is empty is missing.")
    if text[0] in _QUOTES:
        value, rest = _in_quotes(text, whole)
        if not rest.strip():
            return value
    return read(text)


def _in_quotes(text: str, whole: str) -> tuple[str, str]:
    """The text inside the quotes at the start of `text`, and the rest; a backslash escapes the next character."""
    quote, characters, at = text[0], [], 1
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            characters.append(text[at + 1])
            at += 2
        elif text[at] == quote:
            return "".join(characters), text[at + 1 :]
        else:
            characters.append(text[at])
            at += 1
    raise BadFilter(f"{whole!r}: a quote is not closed", cure=f"{_FORM} In quotes, \\{quote} is a quote.")


def read(text: str) -> Value:
    """Parse a value without quotes: a number, day, time, true or false, else the text itself."""
    if text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    figure = number(text)
    if figure is not None:
        return figure
    return day(text) or moment(text) or text


def number(text: str) -> Decimal | None:
    """Parse a number; None for any other text, and where the meaning of the only comma is unclear.

    ``1,234,567`` and ``1,234.50`` have commas between thousands, ``12,5`` and ``1.234,50`` a comma before the decimals;
    ``1,234`` may be either, and counts as no number.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return Decimal(text.replace("−", "-"))
    if grouped := _GROUPED.fullmatch(text):
        return Decimal(f"{grouped[1]}{grouped[2].replace(',', '')}{grouped[3] or ''}".replace("−", "-"))
    comma = _COMMA.fullmatch(text)
    # 1,234 may be either; 0,123 and 12345,678 can only be decimals
    if comma and ("." in comma[2] or len(comma[3]) != 3 or len(comma[2]) > 3 or comma[2] == "0"):
        return Decimal(f"{comma[1]}{comma[2].replace('.', '')}.{comma[3]}".replace("−", "-"))
    return None


def day(text: str) -> date | None:
    """Parse a day without a time; None for any other text."""
    match = _TIME.fullmatch(text.strip())
    if match is None or match[2]:
        return None
    try:
        return date.fromisoformat(match[1])
    except ValueError:
        return None


def moment(text: str) -> datetime | None:
    """Parse a point in time; a time without a zone is in UTC, a day means its midnight. None for other texts."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    zone = f"{match[4]}:{match[5] or '00'}".replace("−", "-") if match[4] else "+00:00"
    clock, _, fraction = (match[2] or "00:00").replace(",", ".").partition(".")
    try:
        # Python keeps six digits of a second
        return utc(datetime.fromisoformat(f"{match[1]}T{clock}{f'.{fraction[:6]:0<6}' if fraction else ''}{zone}"))
    except (ValueError, OverflowError):
        return None


def utc(time: datetime) -> datetime:
    """Convert a time to UTC; a time without a zone is taken as UTC.

    Raises:
        OverflowError: the result is before the year 1, or after 9999.
    """
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _exact(which: Condition, value: Value) -> Value:
    """The canonical form of a value: numbers as decimals, times in UTC, texts without blanks around them."""
    if isinstance(value, str):
        return value.strip()
    # before numbers: to Python true is 1
    if isinstance(value, bool):
        return value
    # before days: a `datetime` is a `date`, too
    if isinstance(value, datetime):
        try:
            return utc(value)
        except OverflowError as error:
            raise BadFilter(f"the time of the field {which.field!r} has no four-digit year", cure=_FORM) from error
    if isinstance(value, date):
        return value
    if isinstance(value, (int, float, Decimal)):
        # by its text: the decimal of the float .1 has 55 digits
        decimal = Decimal(str(value))
        if decimal.is_finite():
            return decimal
    raise BadFilter(
        f"cannot compare the field {which.field!r} with {value!r}",
        cure="Give a text, a finite number, true or false, a date or a datetime.",
    )


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(where: Iterable[Condition]) -> list[str]:
    """The conditions as texts, the form in which keys and records contain them."""
    return [str(one) for one in where]
