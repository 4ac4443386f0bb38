"""Ways of writing that mean the same, made one before a text is read token by token. Pure.

Each rule stands beside its reason: what it makes equal, or what would be taken for something else without it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003134f])"
)
CURRENCY = r"[$€£¥₹₽₩₺₴₦₫₪฿]"
DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,12}(?![\d,])|\d{1,2}(?:,\d{2}){1,12},\d{3}(?![\d,])|\d+(?:_\d{3}){1,12}|\d+)"
"""A list of numbers, which is longer than any number, must not be tried as one from each of its places."""
NUMBER = rf"(?:{DIGITS}(?:\.\d+)?|(?<![\w.])\.\d+)(?:[eE][-+]?\d{{1,4}}(?![^\W_]))?"
_PREFIXES = {"nano": "n", "micro": "μ", "milli": "m", "centi": "c", "kilo": "k", "mega": "M", "giga": "G", "tera": "T"}
_BASES = {
    "meter": "m", "metre": "m", "gram": "g", "liter": "l", "litre": "l", "second": "s", "hertz": "Hz", "watt": "W",
    "volt": "V", "ampere": "A", "amp": "A", "ohm": "Ω", "joule": "J", "newton": "N", "pascal": "Pa", "calorie": "cal",
    "mole": "mol", "bar": "bar", "farad": "F", "byte": "B",
}  # fmt: skip
UNITS = {
    **{f"{prefix}{base}{plural}": f"{sign}{unit}" for prefix, sign in _PREFIXES.items()
       for base, unit in _BASES.items() for plural in ("", "s")},
    **{name: sign for sign, names in {
        "km": "kilometer kilometers kilometre kilometres", "m": "meter meters metre metres",
        "cm": "centimeter centimeters centimetre centimetres", "mm": "millimeter millimeters millimetre millimetres",
        "kg": "kilogram kilograms kilogramme kilogrammes kilo kilos kgs", "g": "gram grams gramme grammes",
        "mg": "milligram milligrams", "l": "liter liters litre litres",
        "ml": "milliliter milliliters millilitre millilitres cc", "ha": "hectare hectares", "t": "tonne tonnes",
        "lb": "lbs pound pounds", "ft": "foot feet", "h": "hour hours hr hrs",
        "min": "minute minutes mins", "s": "second seconds sec secs", "°": "degree degrees deg degs",
        "μg": "mcg microgram micrograms microgramme microgrammes", "miles": "mi", "oz": "ounce ounces",
        "years": "yrs", "Hz": "hertz", "Ω": "ohm ohms", "W": "watt watts", "V": "volt volts", "J": "joule joules",
        "N": "newton newtons",
        "inch": "inches", "gal": "gallon gallons", "qt": "quart quarts", "dB": "decibel decibels", "bar": "bars",
        "atm": "atmosphere atmospheres", "tbsp": "tablespoon tablespoons", "tsp": "teaspoon teaspoons",
        "μm": "um micron microns", "cal": "calorie calories", "weeks": "wk wks", "mol": "mole moles",
        "A": "ampere amperes amp amps", "Pa": "pascal pascals", "kΩ": "kohm kohms", "MΩ": "megohm megohms",
        "bits": "bit",
        "$": "dollar dollars usd", "€": "euro euros eur", "¥": "yen jpy", "£": "gbp", "₹": "rupee rupees inr",
    }.items() for name in names.split(" ")}
}  # fmt: skip
"""Units written out after a number, and their signs."""
SIGNED = rf"(?:%|°|{CURRENCY}|(?:[kcm]?m|[km]?g|t|ml|l|ha|h|s|min|million|billion|{'|'.join(UNITS)})\b)"
"""Signs that follow the number they belong to: a unit, a currency, a scale."""

_WRITTEN = {"−": "-", "﹣": "-", "⁄": "/", "∕": "/", "×": "*", "÷": "/", "≤": "<=", "≥": ">=", "≠": "!=", "٫": ".",
            "٬": ",", "٪": "%", "‰": " permille ",
            "‐": "-", "‑": "-", "İ": "I", "→": "->", "⇒": "=>", "←": "<-", "↔": "<->"}  # fmt: skip
"""Characters written otherwise that mean the same."""
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_FORMULA = re.compile(r"(?:\$\$([^$]+)\$\$|\$([^$\s](?:[^$]*[^$\s])?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\])\.?", re.DOTALL)
_ITEM = re.compile(r"^[ \t]*(?:[-*•+–]|\d{1,2}[.)])[ \t]+", re.MULTILINE)

_DIGITS = "0123456789"
_RULES: tuple[tuple[tuple[str, ...], str, str | Callable[[re.Match[str]], str]], ...] = (
    # Mark-up says nothing: links, emphasis, a formula's fences, the box around a result.
    (("[<",), r"\[([^\[\]]+)\]\(https?://[^)\s]{1,500}\)|<(https?://[^<>\s]+)>", r"\1\2"),
    (("*",), r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*])", r"\2"),
    (("\\",), r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]{0,200})\}", r"\1"),
    (("\\",), r"\\[dt]?frac\{(\d{1,9})\}\{(\d{1,9})\}(?!\d)", r"\1/\2"),
    (("\\",), r"\\boxed\{([^{}]*)\}", r" \1 "),
    (("$",), r"(?<![\w$])\$([^$\s]+)\$(?![\d$])", r" \1 "),
    # The prime of a derivative, which is no quotation mark.
    (("'",), r"(?<![\w'])([A-Za-z])'(?!\w)", r"\1′"),
    # A colon of a sentence that lacks its blank.
    ((":",), r"(?<=[a-z]):(?=[A-Z][a-z])", ": "),
    # Decades, of which the apostrophe is no possessive.
    (("'’", "0"), r"(?<=\d0)['’]s\b", "s"),
    # A name that begins with its point; the dollar that needs no name, and those that do.
    ((".", "nN"), r"\.(?=NET\b)(?<![\w.]\.)", "dot"),
    (("$",), r"\bUS(?=\$)", ""),
    (("$",), r"\b(A|C|S|R|AU|CA|NZ|HK)\$(?=\s?\d)", r"\1dollar "),
    # A dash that stands for minus, and one that stands between two numbers, which is no minus.
    (("–",), r"(?<![\w)\]%])–(?=[\d.])", "-"),
    (("–—-", _DIGITS), r"\A[-–—] (?=\d)", "-"),
    ((_DIGITS + ".", "n"), r"(?<![\d)]\s)\b(?:minus|negative)\s(?=[\d.])", "-"),
    (("–—-", _DIGITS), r"(?<=\d)\s?[–—]\s?(?=\d)|(?<=\d)\s-\s(?=\d)", "-"),
    ((_DIGITS,), rf"(?<![Ff]rom )(?<![\w.,:/^-])({NUMBER}) to (?={NUMBER}(?![\w:]))", r"\1-"),
    (("/", _DIGITS), r"(?<=\d) / (?=\d)", "/"),
    # Powers of ten, and the point that multiplies.
    (("·",), r"(?<=\d)·(?=\d)", "*"),
    (("*x", "0", "^"), r"(?<=\d)\s?[*x]\s?10\s?\^\s?\{?([-+]?\d{1,3})\}?(?![\w.])", r"e\1"),
    (("^", "0"), r"(?<![\w.*/^])10\^\{?([-+]?\d{1,3})\}?(?![\w.])", r"1e\1"),
    # The decimal comma, where it can be no list.
    (
        (".", ",", _DIGITS),
        r"(?<![\d.,(\[{])(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\d,])",
        lambda m: f"{m[1].replace('.', '')}.{m[2]}",
    ),
    ((",", "0"), r"(?<![\d.,(\[{])(0),(\d+)(?![\d,])", r"\1.\2"),
    ((",", _DIGITS), rf"(?<![\d.,(\[{{])(\d+),(\d{{1,2}})(?=\s?{SIGNED})", r"\1.\2"),
    # Squares, cubes and shares of a unit.
    (("23",), r"(?<=[\d/])(\s?[kcdm]?m)([23])\b", r"\1^\2"),
    (("1",), r"(?<=\d )([a-zµμ]{1,3}) (ha|m|s|h|d|kg|g|[lL])\^?-1\b", r"\1/\2"),
    (("°Dd",), r"(?:°|\b[Dd]eg(?:rees?)?\.?)\s?([CFcf])(?:elsius|entigrade|ahrenheit)?\b", r"°\1"),
    (("v", ".", _DIGITS), r"\bv(?=\d+(?:\.\d+){2})", ""),
    (("p", _DIGITS), r"(?<=\d) ?pct\b\.?", "%"),
    (("美",), r"美 ?[元金]", "$"),
    (("欧歐",), r"[欧歐] ?元", "€"),
    (("英",), r"英 ?[镑鎊]", "£"),
)
"""One character of each of these strings stands in every text that a rule changes; pattern; what takes its place."""
_COMPILED = tuple(
    (tuple(map(frozenset, needed)), re.compile(pattern, re.I if "NET" in pattern else 0), change)
    for needed, pattern, change in _RULES
)


def unfenced(text: str) -> str:
    """The text without the code fence, the back ticks or the signs of a formula around all of it."""
    bare = text.strip()
    # Five signs and fewer would be both fences at once.
    if len(bare) > 5 and bare.startswith("```") and bare.endswith("```"):
        name, line, body = bare[3:-3].partition("\n")
        if line and "`" not in name:
            # Not from the left: the indentation of the first line is code.
            return body.rstrip()
        if "`" not in bare[3:-3]:
            return re.sub(r"\A[a-zA-Z]+[ \t]", "", bare[3:-3]).strip()
    elif len(bare) > 1 and bare[0] == bare[-1] == "`" and "`" not in bare[1:-1]:
        return bare[1:-1]
    formula = _FORMULA.fullmatch(bare)
    return next(group for group in formula.groups() if group is not None) if formula else text


def unlisted(text: str) -> str:
    """The text without the marks of a list's items, where it has several."""
    # One mark alone may belong to the text: ``3. May``.
    return _ITEM.sub("", text) if len(_ITEM.findall(text)) > 1 else text


def written(text: str) -> str:
    """The text with characters that mean the same written the same: compatibility forms, minus signs, other digits."""
    # Thin blanks and apostrophes between digits group thousands.
    text = re.sub("(?<=\\d)[\u00a0\u202f\u2009'’](?=\\d{3}(?!\\d))", ",", _INVISIBLE.sub("", text))
    # What follows changes no ASCII but the two signs that stand for primes.
    if text.isascii() and "\1" not in text and "\2" not in text:
        return text
    # NFKC makes 1/2 of ½: without a blank 1½ would be 11/2.
    text = re.sub("(?<=\\d)(?=[¼½¾⅐-⅞])", " ", text)
    # The charge of an ion is no power: ``Ca²⁺``.
    text = re.sub("(?<=[A-Za-z₀-₉])[⁰¹²³⁴-⁹]*[⁺⁻](?![⁰¹²³⁴-⁹])", lambda m: m.group().translate(_SUPERSCRIPTS), text)
    # A power: NFKC would make x2 of x².
    text = re.sub("[⁰¹²³⁴-⁹⁺⁻]+", lambda run: f"^{run.group().translate(_SUPERSCRIPTS)}", text)
    # Primes are kept apart from NFKC, which makes two of a double one.
    characters = unicodedata.normalize("NFKC", text.replace("′", " \1 ").replace("″", " \2 "))
    return UNSPACED.sub(r" \1 ", "".join(map(_written_character, characters)))


@lru_cache(maxsize=8192)
def _written_character(character: str) -> str:
    if character in "\1\2":
        return "′″"[ord(character) - 1]
    if character.isascii():
        return character
    if character in _WRITTEN:
        return _WRITTEN[character]
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    kind = unicodedata.category(character)[0]
    if kind == "P" and character not in "–—·":
        return ""
    spaced = kind == "S" and character != "°" and not re.match(CURRENCY, character)
    return f" {character} " if spaced else character


def spelled(text: str) -> str:
    """`written`, on one line, with the ways of writing numbers, units and marks that mean the same made one."""
    text = " ".join(written(unlisted(unfenced(text))).split())
    # In the order of the rules: what one has written anew, a later one reads. Most texts lack what most rules need, and
    # its characters tell that in a fraction of the time of a pattern.
    characters = set(text)
    for needed, pattern, change in _COMPILED:
        if any(map(characters.isdisjoint, needed)):
            continue
        changed = pattern.sub(change, text)
        if changed is not text:
            text, characters = changed, set(changed)
    return text
