"""The tokens of an answer in prose: words as SQuAD compares them, and numbers, signs, units and dates as values. Pure.

Words are compared as SQuAD does (Rajpurkar et al. 2016): without case, punctuation and articles. What carries meaning
is not punctuation here:

- A number is its value: ``29.00`` is 29, ``7,000`` is 7000, ``−5`` and ``１０`` are -5 and 10; 3.14 is not 314.
- A dotted sequence (an address, a version) and a number with leading zeros are compared as written.
- A sign, a percent, a currency and the other end of a range belong to their number: ``-5``, ``5 %``, ``$5``, ``2-3``,
  ``1/2`` are one token each, so that a wrong number shares nothing with a right one. Operators are tokens: ``a < b``.
- A complete date is year, month and day, whichever of the usual forms it has.
- ``A`` is a letter and no article where no word follows or where it is a capital inside a sentence: ``vitamin A``.
- A character of a script without blanks is a token (as MLQA's mixed segmentation, Lewis et al. 2020), and a mark that
  combines with a letter is part of it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

ARTICLES = frozenset(("a", "an", "the"))
UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003134f])"
)
_LETTERS = re.compile(r"\s*[a-zA-Z](?:\s*[,;/]\s*[a-zA-Z])+[\s.]*")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" if name != "may" else name for name in _MONTHS).replace(
    "sep(?:tember)?", "sept?(?:ember)?"
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_WRITTEN = {"−": "-", "﹣": "-", "⁄": "/", "∕": "/", "×": "*", "÷": "/", "≤": "<=", "≥": ">=", "≠": "!=", "٫": ".",
            "٬": ",", "‐": "-", "‑": "-", "\u200b": "", "\ufeff": "", "\u00ad": ""}  # fmt: skip
"""What is written otherwise and means the same."""
_LETTER = r"[^\s\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f\d–—]"
_SIGN = r"(?:(?<![^\s(\[{<>=*/+,:^|$€£¥])[-+])?"
_CURRENCY = r"[$€£¥₹₽₩₺₴₦₫₪฿]"
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])|\d+(?:_\d{3})+|\d+)"
_NUMBER = rf"(?:{_DIGITS}(?:\.\d+)?|(?<![\w.])\.\d+)(?:[eE][-+]?\d{{1,4}}(?![^\W_]))?"
_TOKEN = re.compile(
    rf"""
    (?P<address>https?://[^\s<>"]*[^\s<>".,;:!?)\]]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)
    |(?<!\d)(?P<year>\d{{4}})-(?P<month>0\d|1[0-2])-(?P<day>[0-3]\d)(?!\d)
    |\b(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\.?\s(?:of\s)?(?P<month2>{_MONTH})\.?,?\s(?P<year2>\d{{4}})\b
    |\b(?P<month3>{_MONTH})\.?\s(?P<day3>\d{{1,2}})(?:st|nd|rd|th)?,?\s(?P<year3>\d{{4}})\b
    |(?<![\d.])(?P<day4>[0-3]?\d)\.(?P<month4>0?\d|1[0-2])\.(?P<year4>(?:19|20)\d\d)(?![\d.])
    |(?P<dotted>\d+(?:\.\d+){{2,}})
    |\b(?P<percent>per\s?cent)\b
    |(?P<ordinal>\d+(?:st|nd|rd|th|s)\b)
    |(?P<minus>{_SIGN})(?P<currency>{_CURRENCY})\s?(?P<amount>{_NUMBER})
    |(?P<number>{_SIGN}{_NUMBER})
    |(?P<word>{_LETTER}(?:[-.'"`()\[\]{{}}?!/_&\\:]*(?:{_LETTER}|\d))*)(?P<tail>(?:\+\+|[+\#])(?![^\W_]))?
    |(?P<operator><=|>=|!=|<>|==|->|=>|<-|&&|\|\||\+\+|\+/-|[<>=+^|~%$€£¥±])
    |(?<=[\d)])(?P<between>[-–—/:])(?=[\d(.])
    |(?<=\w)(?P<slash>/)(?=\w)
    |(?<=[\w)\]])(?P<times>\*\*|\*)(?=[\w(\[])
    |(?<=[\w)\]])\s(?P<spaced>\*\*|[*/&:])\s(?=[\w(\[])
    |(?<=\b\w|[\d)])\s(?P<less>[-–—])\s(?=\d|\w\b|\()
    |(?P<symbol>\S)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SINGLE = re.compile(r"([a-zA-Z])-(\d|[a-zA-Z])")
"""A difference such as ``n-1``; ``B-12`` is a name."""
_OPEN = "\1"
"""Ends a token that the next one belongs to: the range ``2-3`` is one token."""
_UNIT = re.compile(r"[mM](?:Wh?|Hz|V|A|J|Pa|bar|eV|Bq|Sv|N)")
"""Units that a capital makes a billion times larger."""
_FENCE = re.compile(r"\s*```[^\n`]*\n(.*?)\n?\s*```\s*", re.DOTALL)
_INLINE = re.compile(r"\s*(?:```(?:[a-zA-Z]+[ \t])?\s*([^`]*?)\s*```|`([^`]*)`)\s*")
_AFTER = frozenset(("%", "/", "*", "^", "**", ":", "-"))
_SINGLE_LETTERS = frozenset("bcdefghjklmnopqrstuvwxyza")
_BEFORE = frozenset(("/", "*", "^", "**", ":", "-", "<", ">", "<=", ">=", "!=", "~", "±"))


def unfenced(text: str) -> str:
    """The text without the code fence or the back ticks around all of it."""
    found = _FENCE.fullmatch(text) or _INLINE.fullmatch(text)
    return next(group for group in found.groups() if group is not None) if found else text


@lru_cache(maxsize=65536)
def tokens(text: str) -> tuple[str, ...]:
    """Tokens of an answer in prose, in order, without articles."""
    cased = scanned(text)
    out = [_lowered(cased, place) for place in range(len(cased))]
    if all(len(token) == 1 and token.isalpha() for token in out):
        return tuple(out)
    return tuple(token for place, token in enumerate(out) if not _is_article(cased, place)) or tuple(out)


@lru_cache(maxsize=65536)
def all_tokens(text: str) -> tuple[str, ...]:
    """Tokens of an answer in prose, articles among them."""
    cased = scanned(text)
    return tuple(_lowered(cased, place) for place in range(len(cased)))


@lru_cache(maxsize=65536)
def scanned(text: str) -> tuple[str, ...]:
    """Tokens of an answer in prose as they are written: case and articles are kept."""
    plain = " ".join(written(unfenced(text)).split())
    if _LETTERS.fullmatch(plain):
        return tuple(re.findall("[a-zA-Z]", plain))
    out: list[str] = []
    for match in _TOKEN.finditer(plain):
        for token in _read(match, plain):
            follows = out and (out[-1].endswith(_OPEN) or (token[0] in "%\0" and out[-1][-1].isdigit()))
            if follows:
                out[-1] = out[-1].removesuffix(_OPEN) + token.removeprefix("\0")
            else:
                out.append(token.removeprefix("\0"))
    out = [token.removesuffix(_OPEN) for token in out]
    return tuple(out) or tuple(plain.split())


def written(text: str) -> str:
    """The text with characters that mean the same written the same: compatibility forms, minus signs, other digits."""
    text = re.sub("(?<=\\d)[\u00a0\u202f\u2009'’](?=\\d{3}(?!\\d))", ",", text)
    text = re.sub("(?<=\\d)(?=[¼½¾⅐-⅞])", " ", text)
    text = re.sub("[⁰¹²³⁴-⁹⁺⁻]+", lambda run: f"^{run.group().translate(_SUPERSCRIPTS)}", text)
    out: list[str] = []
    for character in unicodedata.normalize("NFKC", text):
        if character.isascii():
            out.append(character)
        elif character in _WRITTEN:
            out.append(_WRITTEN[character])
        elif character.isdecimal():
            out.append(str(unicodedata.decimal(character)))
        elif character in "–—" or unicodedata.category(character)[0] != "P":
            sort = unicodedata.category(character)[0]
            out.append(
                f" {character} "
                if sort == "S" and character != "°" and not re.match(_CURRENCY, character)
                else character
            )
    return UNSPACED.sub(r" \1 ", "".join(out))


def contained(needle: tuple[str, ...], hay: tuple[str, ...]) -> int:
    """Where `needle` stands in `hay` as consecutive tokens; -1 where it does not.

    A part of a longer number or name is not it: ``3 days`` in ``2-3 days``, ``hepatitis`` in ``hepatitis B``.
    """
    size = len(needle)
    for start in range(len(hay) - size + 1) if size else ():
        if hay[start : start + size] != needle:
            continue
        before = hay[start - 1] if start else ""
        after = hay[start + size] if start + size < len(hay) else ""
        longer = after in _AFTER if needle[-1][-1].isdigit() else after in _SINGLE_LETTERS
        if not longer and not (needle[0][-1].isdigit() and before in _BEFORE):
            return start
    return -1


def number(text: str) -> str:
    """A number in one form: ``7,000`` and ``7e3`` are ``7000``, ``29.00`` is ``29``; ``007`` stays."""
    sign = "-" if text.startswith("-") else ""
    body, _, exponent = text.lstrip("+-").replace(",", "").replace("_", "").lower().partition("e")
    whole, _, part = body.partition(".")
    if len(whole) > 1 and whole[0] == "0" and not part and not exponent:
        return sign + whole
    if exponent:
        shift = int(exponent)
        if abs(shift) > 30:
            return f"{sign}{body}e{shift}"
        digits = whole + part + "0" * max(0, shift - len(part))
        place = len(whole) + shift
        digits, place = ("0" * -place + digits, 0) if place < 0 else (digits, place)
        whole, part = digits[:place], digits[place:]
    part = part.rstrip("0")
    whole = whole.lstrip("0") or "0"
    value = f"{whole}.{part}" if part else whole
    return value if value == "0" else sign + value


def _read(match: re.Match[str], text: str) -> list[str]:
    """The tokens of one match of `_TOKEN`; none for punctuation."""
    kind = match.lastgroup or ""
    got = match.groupdict()
    if kind.startswith("year") or kind.startswith("month") or kind.startswith("day"):
        end = next(one for one in ("", "2", "3", "4") if got[f"year{one}"])
        month = got[f"month{end}"]
        name = _MONTHS[int(month) - 1] if month.isdigit() and int(month) else _month(month)
        return [got[f"year{end}"], name, number(got[f"day{end}"].lstrip("0") or "0")]
    if kind == "amount":
        return [number(got["minus"] + got["amount"]) + got["currency"]]
    if kind == "number":
        around = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        bare = match.group().lstrip("0") if match.group().isdigit() and set(around) & set(":/") else match.group()
        return [number(bare or "0")]
    if kind in ("word", "tail"):
        return _word(got["word"], got["tail"] or "", text, match.end())
    if kind == "percent":
        return ["%"]
    if kind == "symbol":
        known = not match.group().isascii() and match.group() not in "–—"
        return [match.group()] if known else []
    if kind == "between":
        return [f"\0{'-' if match.group() in '–—' else match.group()}{_OPEN}"]
    if kind == "operator" and re.fullmatch(_CURRENCY, match.group()):
        return [f"\0{match.group()}"]
    token = (match.group() if kind not in ("spaced", "less") else got[kind]).strip()
    return ["-" if token in "–—" else {"<>": "!=", "+/-": "±"}.get(token, token)]


def _word(word: str, tail: str, text: str, end: int) -> list[str]:
    difference = _SINGLE.fullmatch(word)
    if difference:
        return [difference.group(1), "-", difference.group(2)]
    grade = len(word) == 1 and not tail and re.match(r"-(?![\w-])", text[end:])
    bare = re.sub(r"(?<=\d)[-.:/](?=\d)|[/\\&_]|::", lambda mark: f"\0{mark.group()}\0", word)
    kept = [
        part if place % 2 else re.sub(r"[-.'\"`()\[\]{}?!:]", "", part) for place, part in enumerate(bare.split("\0"))
    ]
    return ["".join(kept).strip("_/&\\") + (tail or ("-" if grade else ""))]


def _month(name: str) -> str:
    return next(one for one in _MONTHS if one.startswith(name[:3].lower()))


def _lowered(cased: tuple[str, ...], place: int) -> str:
    token = cased[place]
    after_number = place > 0 and cased[place - 1][-1].isdigit()
    return token if after_number and _UNIT.fullmatch(token) else token.lower()


def _is_article(cased: tuple[str, ...], place: int) -> bool:
    token = cased[place]
    if token.lower() != "a":
        return token.lower() in ARTICLES
    following = cased[place + 1] if place + 1 < len(cased) else ""
    return following[:1].isalnum() and (token == "a" or place == 0)
