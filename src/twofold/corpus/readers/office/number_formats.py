"""Numbers as a sheet shows them: 0.25 as 25 %, 47911 as a date, 1234.5 as 1,234.50 EUR (ECMA-376 part 1, 18.8.31).

Signs of thousands and decimals are those of the format's own language, English; months and days are written in it
too, where the format names no other.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from functools import lru_cache

BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm",
    21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0 ;(#,##0)", 38: "#,##0 ;(#,##0)", 39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;(#,##0.00)", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
    **dict.fromkeys((*range(27, 32), 36, *range(50, 59)), "yyyy-mm-dd"), 32: "h:mm", 33: "h:mm:ss",
}  # fmt: skip
"""Formats that a file names by number only. Dates whose order depends on the language are written year first."""
_TOKEN = re.compile(
    r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]-]*)(?:-([^\]]*))?\]|\[(h+|m+|s+)\]|\[([<>=]{1,2}-?[0-9.]{1,20})\]|\[[^\]]*\]'
    r"|(AM/PM|A/P)|(General)|(E[+-])"
    r"|(y+|m+|d+|h+|s+\.0+|s+|e+|b+|g+)|([#0?,./%@])|(.)",
    re.IGNORECASE | re.DOTALL,
)
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_NAMES = {
    "da": "januar februar marts april maj juni juli august september oktober november december",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nb": "januar februar mars april mai juni juli august september oktober november desember",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "sv": "januari februari mars april maj juni juli augusti september oktober november december",
}
_SHORT = {
    "de": "Jan Feb Mrz Apr Mai Jun Jul Aug Sep Okt Nov Dez",
    "fr": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "nl": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "ru": "янв фев мар апр май июн июл авг сен окт ноя дек",
}
"""Where they are not the first three letters."""
_WEEK = {
    "da": "mandag tirsdag onsdag torsdag fredag lørdag søndag",
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "es": "lunes martes miércoles jueves viernes sábado domingo",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "it": "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    "nb": "mandag tirsdag onsdag torsdag fredag lørdag søndag",
    "nl": "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    "pl": "poniedziałek wtorek środa czwartek piątek sobota niedziela",
    "pt": "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
    "ru": "понедельник вторник среда четверг пятница суббота воскресенье",
    "sv": "måndag tisdag onsdag torsdag fredag lördag söndag",
}
_DAY_LETTERS = {"de": 2, "nl": 2, "ru": 2}
"""Letters of a day's short name, where they are not three."""
_LANGUAGES = {
    0x06: "da", 0x07: "de", 0x0A: "es", 0x0C: "fr", 0x10: "it", 0x13: "nl", 0x14: "nb", 0x15: "pl", 0x16: "pt",
    0x19: "ru", 0x1D: "sv",
}  # fmt: skip
"""By the lowest byte of a locale's number (MS-LCID)."""
_LONGEST = 255
"""Characters of a format that are read; the standard allows no more."""
_LAST_DAY = 2_958_466
"""The day after 9999-12-31."""


def shown(value: float, code: str, *, from_1904: bool = False) -> str:
    """A number as a format shows it.

    Args:
        value: The stored number; days since the end of 1899 for a date.
        code: The format.
        from_1904: Days are counted from 1904.
    """
    sections = _sections(code[:_LONGEST])
    section = sections[0]
    if any(kind == "if" for one in sections for kind, _ in one):
        section = next((one for one in sections if _holds(value, one)), sections[-1])
    elif len(sections) > 1 and value < 0:
        section, value = sections[1], -value
    elif len(sections) > 2 and value == 0:
        section = sections[2]
    kinds = {kind for kind, _ in section}
    if "date" in kinds or "elapsed" in kinds:
        return _date(value, section, from_1904)
    if not kinds & {"digit", "general", "@"}:
        literals = "".join(text for kind, text in section if kind == "text").strip()
        return literals or general(value)
    return _number(value, section)


def general(value: float) -> str:
    """A number without a format, at most 11 digits as a sheet shows it."""
    if not math.isfinite(value):
        return str(value)
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.10g}".replace("e", "E")


@lru_cache(maxsize=512)
def _sections(code: str) -> list[list[tuple[str, str]]]:
    """The format's sections, each as ``(kind, text)``.

    Kinds are text, digit, date, elapsed, half, exponent, general, @, if (a condition) and language.
    """
    sections: list[list[tuple[str, str]]] = [[]]
    for match in _TOKEN.finditer(code):
        quoted, escaped, money, locale, elapsed, condition, half, plain, exponent, part, digit, other = match.groups()
        now = sections[-1]
        if locale and (language := _language(locale)):
            now.append(("language", language))
        if condition:
            now.append(("if", condition))
        elif other == ";":
            sections.append([])
        elif quoted is not None or escaped is not None or money is not None or other is not None:
            now.append(("text", quoted or escaped or money or other or ""))
        elif match.group().startswith("_"):
            now.append(("text", " "))
        elif elapsed:
            now.append(("elapsed", elapsed.lower()))
        elif half:
            now.append(("half", half))
        elif plain:
            now.append(("general", ""))
        elif exponent:
            now.append(("exponent", exponent[1]))
        elif part:
            now.append(("date", part.lower()) if part[0].lower() in "ymdhs" else ("text", part))
        elif digit:
            now.append(("@", "") if digit == "@" else ("digit", digit))
    return sections


def _holds(value: float, section: list[tuple[str, str]]) -> bool:
    """Does a value meet the section's condition? One without any takes what is left."""
    condition = next((text for kind, text in section if kind == "if"), "")
    if not condition:
        return True
    sign = condition.rstrip("-0123456789.")
    try:
        bound = float(condition[len(sign) :])
    except ValueError:
        return False
    meets = {"<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound, "=": value == bound}
    return meets.get(sign, value != bound)


def _language(locale: str) -> str:
    """The language of a locale, named (``de-DE``) or by its number (``407``); nothing for another."""
    if locale[:2].lower() in _NAMES and locale[2:3] in ("", "-", "_"):
        return locale[:2].lower()
    try:
        return _LANGUAGES.get(int(locale, 16) & 0xFF, "")
    except ValueError:
        return ""


def _number(value: float, section: list[tuple[str, str]]) -> str:
    digits = [(at, text) for at, (kind, text) in enumerate(section) if kind == "digit"]
    pattern = "".join(text for _, text in digits)
    if "%" in pattern:
        value *= 100 ** pattern.count("%")
    if "/" in pattern:
        return _fraction(value, section)
    whole, _, rest = pattern.replace("%", "").partition(".")
    # each comma behind the digits divides by a thousand
    while whole.endswith(",") or rest.endswith(","):
        value /= 1000
        whole, rest = whole.removesuffix(",") if not rest else whole, rest.removesuffix(",")
    scientific = any(kind == "exponent" for kind, _ in section)
    decimals = sum(c in "0#?" for c in rest)
    if scientific:
        mark = next(at for at, (kind, _) in enumerate(section) if kind == "exponent")
        decimals -= sum(1 for at, text in digits if at > mark and text in "0#?")
        exponent_digits = sum(1 for at, text in digits if at > mark and text in "0#?")
        figure = f"{value:.{max(0, decimals)}e}"
        base, _, power = figure.partition("e")
        sign = "-" if power.startswith("-") else "+" if section[mark][1] == "+" else ""
        figure = f"{base}E{sign}{abs(int(power)):0{max(1, exponent_digits)}}"
    else:
        grouped = "," in whole
        # a sheet shows 30 decimals at most
        figure = f"{value:{',' if grouped else ''}.{min(decimals, 30)}f}" if math.isfinite(value) else str(value)
        least = sum(c == "0" for c in rest)
        if decimals > least and "." in figure:
            integer_part, _, fraction = figure.partition(".")
            fraction = fraction[:least] + fraction[least:].rstrip("0")
            figure = f"{integer_part}.{fraction}" if fraction else integer_part
        zeros = whole.count("0")
        sign, bare = ("-", figure[1:]) if figure.startswith("-") else ("", figure)
        head, dot, tail = bare.partition(".")
        if zeros == 0 and head == "0" and dot:
            head = ""
        if not grouped and len(head) < zeros:
            head = head.rjust(zeros, "0")
        # what is rounded to 0 has no sign
        figure = ("" if not float(figure.replace(",", "") or 0) else sign) + head + dot + tail
    if not scientific and not rest and "," not in pattern and _is_divided(section):
        return _between(figure, section)
    out: list[str] = []
    written = False
    for at, (kind, text) in enumerate(section):
        if kind == "text":
            out.append("" if written and scientific and at < digits[-1][0] else text)
        elif kind == "digit" and text == "%":
            out.append("%")
        elif kind in ("digit", "general", "@") and not written:
            out.append(figure if kind == "digit" else general(value))
            written = True
    text = " ".join("".join(out).split())
    return (
        f"-{text[: -len(figure)]}{figure[1:]}"
        if figure.startswith("-") and text.endswith(figure) and text != figure
        else text
    )


def _is_divided(section: list[tuple[str, str]]) -> bool:
    """Does text stand between the places of digits, as in ``000-0000``?"""
    places = [at for at, (kind, text) in enumerate(section) if kind == "digit" and text in "0#?"]
    return any(kind == "text" for kind, _ in section[places[0] : places[-1]]) if places else False


def _between(figure: str, section: list[tuple[str, str]]) -> str:
    """Digits on their places from the last one, the text between them kept: 1234567 as ``123-4567``."""
    sign, left = ("-", figure[1:]) if figure.startswith("-") else ("", figure)
    first = next(at for at, (kind, text) in enumerate(section) if kind == "digit" and text in "0#?")
    out: list[str] = []
    for at in reversed(range(len(section))):
        kind, text = section[at]
        if kind == "digit" and text in "0#?":
            cut = 0 if at == first else max(0, len(left) - 1)
            out.append(left[cut:])
            left = left[:cut]
        elif kind in ("text", "digit"):
            out.append(text)
    return " ".join((sign + "".join(reversed(out))).split())


def _fraction(value: float, section: list[tuple[str, str]]) -> str:
    from fractions import Fraction

    bottom = "".join(text for kind, text in section if kind in ("digit", "text")).split("/", 1)[-1]
    fixed = re.search(r"[1-9]\d*", bottom)
    size = 10 ** max(1, bottom.count("?") + bottom.count("#")) - 1
    sign, value = ("-" if value < 0 else ""), abs(value)
    whole = int(value)
    if fixed:
        below = int(fixed.group())
        above = round((value - whole) * below)
    else:
        part = Fraction(value - whole).limit_denominator(size)
        above, below = part.numerator, part.denominator
    if above == below:
        whole, above = whole + 1, 0
    if not above:
        return f"{sign}{whole}"
    return f"{sign}{f'{whole} ' if whole else ''}{above}/{below}"


def _date(value: float, section: list[tuple[str, str]], from_1904: bool) -> str:
    if not 0 <= value < _LAST_DAY:
        return general(value)
    seconds = any(kind == "date" and text.startswith("s") for kind, text in section)
    fine = any(kind == "date" and "." in text for kind, text in section)
    days = value + 1462 if from_1904 else value
    # Excel counts a 29 February 1900, which never was: days before it are one off
    moment = datetime(1899, 12, 30 if days >= 60 else 31) + timedelta(days=days)
    if not fine:  # rounded to seconds where they are shown, cut to minutes where not
        moment += timedelta(seconds=0.5 if seconds else 0.0)
    out: list[str] = []
    half = any(kind == "half" for kind, _ in section)
    language = next((text for kind, text in section if kind == "language"), "")
    units = [(at, text) for at, (kind, text) in enumerate(section) if kind in ("date", "elapsed")]
    for at, (kind, text) in enumerate(section):
        if kind == "elapsed":
            # a time is a fraction of a day, which as a float may lie a little too low
            total = value * 86_400 + 1e-6
            out.append(f"{int(total // {'h': 3600, 'm': 60, 's': 1}[text[0]]):0{len(text)}}")
        elif kind == "half":
            out.append(("AM" if moment.hour < 12 else "PM")[: 1 if len(text) < 4 else 2])
        elif kind == "date":
            place = next(n for n, (where, _) in enumerate(units) if where == at)
            before = units[place - 1][1] if place else ""
            after = units[place + 1][1] if place + 1 < len(units) else ""
            # an m beside hours or seconds stands for minutes, any other for months
            minutes = text[0] == "m" and len(text) < 3 and (before.startswith("h") or after.startswith("s"))
            named = _named(text, moment, language) if language and not minutes else ""
            out.append(named or _part(text, moment, minutes=minutes, half=half))
        elif kind in ("text", "digit"):
            out.append(text)
    return " ".join("".join(out).split())


def _named(text: str, moment: datetime, language: str) -> str:
    """A month or day by its name in a language; nothing where the format writes its number."""
    size = len(text)
    if text[0] == "m" and size > 2:
        name = _NAMES[language].split()[moment.month - 1]
        short = _SHORT[language].split()[moment.month - 1] if language in _SHORT else name[:3]
        return short if size == 3 else name[0] if size == 5 else name
    if text[0] == "d" and size > 2:
        name = _WEEK[language].split()[moment.weekday()]
        return name[: _DAY_LETTERS.get(language, 3)] if size == 3 else name
    return ""


def _part(text: str, moment: datetime, *, minutes: bool, half: bool) -> str:
    letter, size = text[0], len(text)
    if letter == "y":
        return f"{moment.year % 100:02}" if size < 3 else f"{moment.year:04}"
    if letter == "m" and not minutes:
        month = _MONTHS[moment.month - 1]
        return {1: str(moment.month), 2: f"{moment.month:02}", 3: month[:3], 5: month[0]}.get(size, month)
    if letter == "d":
        day = _DAYS[moment.weekday()]
        return {1: str(moment.day), 2: f"{moment.day:02}", 3: day[:3]}.get(size, day)
    if letter == "s":
        places = len(text.partition(".")[2])
        part = f".{moment.microsecond / 1e6:.{places}f}"[1:].replace("0.", ".", 1) if places else ""
        return f"{moment.second:0{min(2, len(text.partition('.')[0]))}}{part[: places + 1] if places else ''}"
    number = moment.minute if letter == "m" else (moment.hour - 1) % 12 + 1 if half else moment.hour
    return f"{number:0{min(2, size)}}"
