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
from functools import lru_cache

from twofold.metrics.notation import CASED_UNIT
from twofold.metrics.spellings import CURRENCY, NUMBER, SIGNED, UNITS, spelled

ARTICLES = frozenset(("a", "an", "the"))
_LETTERS = re.compile(r"\s*[a-zA-Z](?:(?:\s*[,;/&]\s*|,?\s+and\s+)[a-zA-Z])+[\s.]*")
MONTHS = (
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
_MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" if name != "may" else name for name in MONTHS).replace(
    "sep(?:tember)?", "sept?(?:ember)?"
)
_SHORT_MONTH = "|".join(name[:3] for name in MONTHS)
_LETTER = r"[^\s\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f\d–—·]"
# After a word or a closing bracket it is a hyphen, or an operator.
_SIGN = r"(?:(?<![^\s(\[{<>=*/+,:^|$€£¥])[-+])?"
_END = rf"[-+]?\s?(?:{NUMBER}|∞|π|[a-z])"
_TOKEN = re.compile(
    rf"""
    \s?(?P<plain>(?!{_SHORT_MONTH}|per)[a-z]++)(?=[.,;:]?(?:\s|\Z))
    |(?P<interval>[\[\]]\s?{_END}\s?[,;]\s?{_END}\s?[\])(\[]|\(\s?{_END}\s?[,;]\s?{_END}\s?[\]\[])
    |(?P<address>https?://[^\s<>"]*[^\s<>".,;:!?)\]]|[\w.+-]{{1,64}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,9}})
    |(?<!\d)(?P<year>\d{{4}})(?P<apart>[-/.])(?P<month>0\d|1[0-2])(?P=apart)(?P<day>[0-3]\d)(?!\d)
    |\b(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\.?[\s-](?:of\s)?(?P<month2>{_MONTH})\b\.?(?:,?[\s-](?P<year2>\d{{4}})\b)?
    |\b(?P<month5>{_MONTH})\.?,?\s(?:of\s)?(?P<year5>(?:1\d|20)\d\d)\b(?![.:]\d)
    |\b(?P<month3>{_MONTH})\.?\s(?P<day3>\d{{1,2}})(?:st|nd|rd|th)?\b(?![.:]\d)(?:,?\s(?P<year3>\d{{4}})\b)?
    |(?<![\d.])(?P<day4>[0-3]?\d)\.(?P<month4>0?\d|1[0-2])\.(?P<year4>(?:19|20)\d\d)(?![\d.])
    |(?P<dotted>\d+(?:\.\d+){{2,}}(?:-[a-z][\w.]*)?)
    |\b(?P<percent>per\s?cent)\b
    |(?P<ordinal>\d+(?:st|nd|rd|th|s)\b)
    |(?P<minus>{_SIGN})(?P<currency>{CURRENCY})\s?(?P<minus2>-?)(?P<amount>{NUMBER})
    |(?P<number>{_SIGN}{NUMBER})
    |(?P<unary>(?<![^\s(\[{{<>=*/+,:^|])(?:[-!~&*](?=[a-z](?![\w'])|\\|\()|-(?=\s?∞)))
    |(?P<word>{_LETTER}(?:[-.'"`()\[\]{{}}?!/_&\\:]*(?:{_LETTER}|\d))*)(?P<tail>(?:\+\+|[+\#])(?![^\W_])|(?<=\b[a-z])\*+(?!\s?[\w(\[]))?
    |(?P<operator><=|>=|!=|<>|==|->|=>|<-|&&|\|\||\+\+|\+/-|[<>=+^|~%±]|{CURRENCY})
    |(?<=[\d)])(?P<between>[-–—/:])(?=[\d(.])
    |(?<=\w)(?P<slash>/)(?=\w)
    |(?<=[\w)\]])(?P<times>\*\*|\*)(?=[\w(\[])
    |(?<=[\w)\]])\s(?P<spaced>\*\*|//|:=|\?\?|\?:|[*/&:])\s(?=[\w(\[])
    |(?<=\b\w|[\d)])\s(?P<less>[-–—])\s(?=\d|\w\b|\()
    |(?P<symbol>\S)
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""The first is a word with nothing of what the others look for, which most tokens of prose are."""
_LONGEST = 200
"""Characters from which a run of numbers and signs is several tokens."""
_SINGLE = re.compile(r"([a-zA-Z])-(\d|[a-zA-Z])")
"""A difference such as ``n-1``; ``B-12`` is a name."""
_CHARGE = re.compile(r"-(?![\w-])")
_GRADE = re.compile(r"-(?!\s*[\w-])")
_OPEN = "\1"
"""Ends a token that the next one belongs to: the range ``2-3`` is one token."""
_SCALES = {
    "hundred": "e2", "thousand": "e3", "million": "e6", "millions": "e6", "mio": "e6", "millionen": "e6",
    "billion": "e9", "billions": "e9", "mrd": "e9", "milliarden": "e9", "trillion": "e12", "lakh": "e5", "lakhs": "e5",
    "crore": "e7", "crores": "e7", "万": "e4", "萬": "e4", "亿": "e8", "億": "e8",
}  # fmt: skip
_SHORT_SCALES = {"k": "e3", "K": "e3", "m": "e6", "M": "e6", "mn": "e6", "bn": "e9", "B": "e9"}
"""Read so after a sum of money: ``$5M``."""
_CURRENCY = re.compile(CURRENCY)
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_RANGE = re.compile(r"-?\d[\d.]*-\d[\d.]*")
_FRACTION = re.compile(r"(\d{1,2})/(\d{1,3})%?")
_WHOLE = re.compile(r"-?\d{1,3}")
"""What a fraction may follow as a part of the same number; a year is none."""
_ZEROS = re.compile(r"\d\.\d*[1-9]0+")
"""A number that ends with a zero: only such a one is read otherwise in a version."""
_CODES = frozenset(("usd", "eur", "gbp", "jpy", "inr"))
_COUNTED = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
"""Numbers that prose writes out; "one" is a pronoun too."""
_VERSION = re.compile(
    rf"\b(?:[vV](?:er|ersion)?\.?\s?|[rR]elease\s|[A-Z][a-z][A-Za-z]*\s)\d+\.\d+(?![\d.]|\s?{SIGNED})"
)
"""A version, of which ``3.10`` is no ``3.1``: after its name, or that of a thing."""
_NEGATING = (
    "not no never neither nor isnt wasnt arent werent dont doesnt didnt cannot cant wont wouldnt shouldnt couldnt "
    "mustnt hasnt havent hadnt without nicht kein keine keinen ne "
    "pas jamais non sin ni não nem niet geen inte ikke nie не нет ни ليس ليست لا لم değil नहीं 不 非 没 未 無 无 않 "
    "غير عدم بدون बिना אין אינו אינה בלי ללא không chưa bukan tanpa tidak bez δεν χωρίς utan uten uden zonder "
    "ohne sans senza без "
    "hardly barely scarcely except excluding instead than twice half double"
)
NEGATIONS = frozenset(_NEGATING.split(" "))
"""Words before an answer that make it another: negations, exceptions, and what is more or less than it."""
_LENGTHS = frozenset(("km", "m", "cm", "mm", "mile", "miles", "ft"))
"""Units that per something are a speed, whatever that is; five dollars a month are five dollars."""
_MASSES = frozenset(("kg", "g", "mg", "t", "l", "ml", "lb"))
_OFTEN = frozenset(
    ("h", "hour", "day", "week", "month", "year", "person", "people", "head", "patient", "dose", "time", "night")
)
_AFTER = frozenset(
    ("°", "′", "″", "√", "+", "bc", "bce", "dozen", "squared", "cubed", "mod", "choose", "万", "萬", "亿", "億", "千",
     "百", "%", "/", "*", "^", "**", ":", "-")
)  # fmt: skip
"""Tokens that make the number before them a part of another value."""
_SINGLE_LETTERS = frozenset("bcdefghjklmnopqrstuvwxyza")
_UNARY = frozenset(("!", "¬", "~", "-", "±", "&", "*", "√", "∛"))
_SALT = re.compile(
    r"(?:mono|di|tri|tetra|penta|per|hydr|bi|thio)*(?:oxide|chloride|fluoride|bromide|iodide|sulfide|sulphide|nitride|"
    r"carbide|hydride|cyanide|carbonate|sulfate|sulphate|nitrate|nitrite|phosphate|acetate|citrate|silicate|chlorate)s?"
)
"""What after the name of an element is a compound of it."""
_BEFORE = frozenset(("/", "*", "^", "**", ":", "-", "<", ">", "<=", ">=", "!=", "~", "±"))


@lru_cache(maxsize=65536)
def tokens(text: str, *, versions: bool = False) -> tuple[str, ...]:
    """Tokens of an answer in prose, in order, without articles.

    Args:
        text: The answer.
        versions: Read ``3.10`` as a version, which is not 3.1 (see `versioned`).
    """
    cased = scanned(text, versions=versions)
    out = [_lowered(cased, place) for place in range(len(cased))]
    # A list of letters: "A" is one of them here, and no article.
    if all(len(token) == 1 and token.isalpha() for token in out):
        return tuple(out)
    # An answer that is nothing but articles ("The The") keeps them: two empty answers would be the same.
    return tuple(token for place, token in enumerate(out) if not _is_article(cased, place)) or tuple(out)


@lru_cache(maxsize=65536)
def all_tokens(text: str, *, versions: bool = False) -> tuple[str, ...]:
    """Tokens of an answer in prose, articles among them."""
    cased = scanned(text, versions=versions)
    return tuple(_lowered(cased, place) for place in range(len(cased)))


@lru_cache(maxsize=65536)
def scanned(text: str, *, versions: bool = False) -> tuple[str, ...]:
    """Tokens of an answer in prose as they are written: case and articles are kept."""
    plain = spelled(text)
    return _scanned(plain, versions=versions and _ZEROS.search(plain) is not None)


@lru_cache(maxsize=16384)
def _scanned(plain: str, *, versions: bool) -> tuple[str, ...]:
    if _LETTERS.fullmatch(plain):
        return tuple(re.findall(r"\b[a-zA-Z]\b", plain))
    out: list[str] = []
    for match in _TOKEN.finditer(plain):
        for token in _read(match, plain, versions=versions):
            # A run is cut at `_LONGEST`: growing one token sign by sign would take quadratic time.
            follows = (
                out
                and len(out[-1]) < _LONGEST
                and (out[-1].endswith(_OPEN) or (token[0] in "%\0" and out[-1][-1].isdigit()))
            )
            if follows:
                out[-1] = out[-1].removesuffix(_OPEN) + token.removeprefix("\0")
            else:
                _add(out, token.removeprefix("\0"))
    out = [token.removesuffix(_OPEN) for token in out]
    # A text of nothing but punctuation is compared as it stands.
    return tuple(out) or tuple(plain.split())


def _add(out: list[str], token: str) -> None:
    """Append a token, read in the light of the number before it: a scale, a unit, a currency."""
    lower = token.lower()
    money = bool(out) and _CURRENCY.fullmatch(out[-1]) is not None
    place = 0
    if out and _is_number(out[-1]):
        place = -1
    elif money and len(out) > 1 and _is_number(out[-2]):
        # An amount has its sign behind it: of $5M the scale comes after the sign.
        place = -2
    scale = _SCALES.get(lower) or (_SHORT_SCALES.get(token) if money else None)
    if place and scale:
        out[place] = number(out[place] + scale)
        return
    if place == -1 or (out and _RANGE.fullmatch(out[-1])):
        token = UNITS.get(lower, token)
    # A code before its number goes behind it, as a sign does; one after a number belongs to that.
    if _is_number(token) and out and out[-1].lower() in _CODES and (len(out) < 2 or not _is_number(out[-2])):
        out[-1:] = [token, UNITS[out[-1].lower()]]
        return
    out.append(token)


def _is_number(token: str) -> bool:
    # Nearly all tokens are words: the last character tells that without the pattern.
    return token[-1:].isdigit() and _PLAIN_NUMBER.fullmatch(token) is not None


def versioned(text: str) -> bool:
    """Does the text name a version? Then numbers that end with a zero are compared as they are written."""
    return _VERSION.search(text) is not None


def contained(needle: tuple[str, ...], hay: tuple[str, ...], *, begin: int = 0) -> int:
    """Where `needle` stands in `hay`, from `begin` on, as consecutive tokens; -1 where it does not.

    A part of a longer number or name is not it: ``3 days`` in ``2-3 days``, ``3/4`` in ``2 3/4``, ``5 %`` in ``< 5 %``,
    ``hepatitis`` in ``hepatitis B``, ``5 km`` in ``5 km per hour``, ``44`` in ``44 BC``, ``5`` in ``between 5 and 10``.
    """
    size = len(needle)
    korean = bool(size) and _HANGUL.fullmatch(needle[-1]) is not None
    for start in range(begin, len(hay) - size + 1) if size else ():
        # The first token alone first: cutting a piece out at every place is what takes the time.
        if hay[start] != needle[0] and not (korean and size == 1):
            continue
        same = hay[start : start + size] == needle
        if not same and not (korean and _is_with_particle(needle, hay[start : start + size])):
            continue
        before = hay[start - 1] if start else ""
        after = hay[start + size] if start + size < len(hay) else ""
        if _is_figure(needle[-1]):
            longer = after in _AFTER
        else:
            compound = after == "^" or _SALT.fullmatch(after) is not None
            rate = _is_rate(needle, hay[start + size : start + size + 2])
            longer = after in _SINGLE_LETTERS or compound or rate
        longer = longer or _is_end_of_range(hay, start, start + size)
        begun = _is_figure(needle[0]) and (before in _BEFORE or _is_mixed(before, needle[0]))
        if not longer and before not in _UNARY and not begun:
            return start
    return -1


def _is_figure(token: str) -> bool:
    return token[-1].isdigit() or (token[-1] == "%" and len(token) > 1)


def _is_mixed(before: str, token: str) -> bool:
    """Is the token, below one, the fraction of the mixed number that the token before it begins: ``2 3/4``, ``1½``?"""
    fraction = _FRACTION.fullmatch(token)
    return fraction is not None and int(fraction[1]) < int(fraction[2]) and _WHOLE.fullmatch(before) is not None


def _is_with_particle(needle: tuple[str, ...], piece: tuple[str, ...]) -> bool:
    """Is the last word, of Korean, followed by nothing but its particle or copula: ``서울입니다`` for ``서울``?"""
    word, token = needle[-1], piece[-1]
    if not token.startswith(word) or piece[:-1] != needle[:-1]:
        return False
    # Of one syllable more would be another word: 바다 is the sea, and no 바.
    return (_PARTICLE if len(word) > 1 else _COPULA).fullmatch(token, len(word)) is not None


def _is_end_of_range(hay: tuple[str, ...], start: int, stop: int) -> bool:
    """Do the tokens stand after "between" with another end, or are they that end? "From 9 to 7" may tell a fall."""
    if not hay[start][0].isdigit():
        return False
    opened = hay[max(0, start - 1) : start]
    if opened == ("between",) and hay[stop : stop + 1] == ("and",):
        return hay[stop + 1 : stop + 2] != () and hay[stop + 1][0].isdigit()
    earlier = [at for at in range(max(0, start - 4), start) if hay[at] == "between"]
    return bool(earlier) and opened == ("and",) and hay[earlier[-1] + 1][0].isdigit()


def _is_rate(needle: tuple[str, ...], rest: tuple[str, ...]) -> bool:
    """Does what follows make a quantity one per something else, as ``5 km`` per hour and ``5 g`` per litre?"""
    if rest[:1] not in (("per",), ("/",)) or len(needle) < 2 or not needle[-2][-1].isdigit():
        return False
    return needle[-1] in _LENGTHS or (needle[-1] in _MASSES and not set(rest[1:]) & _OFTEN)


_HANGUL = re.compile("\\d{0,12}[\uac00-\ud7af][\uac00-\ud7af\\d]{0,40}")
_COPULA = re.compile("(?:입니다|이에요|예요)[.!]?")
_PARTICLE = re.compile(
    "(?:입니다|이다|다|이에요|예요|에요|이었습니다|였습니다|이었다|였다|이며|이고|이라고|라고|은|는|이|가|을|를|의|에|에서|에게|"
    "으로|로|와|과|도|만|부터|까지)(?:는|도|만)?[.!]?"
)


def number(text: str) -> str:
    """A number in one form: ``7,000`` and ``7e3`` are ``7000``, ``29.00`` is ``29``; ``007`` stays."""
    sign = "-" if text.startswith("-") else ""
    body, _, exponent = text.lstrip("+-").replace(",", "").replace("_", "").lower().partition("e")
    whole, _, part = body.partition(".")
    # Leading zeros make an identifier: 007 is not 7.
    if len(whole) > 1 and whole[0] == "0" and not part and not exponent:
        return sign + whole
    if exponent:
        shift = int(exponent)
        # Written out, 1e999999999 would fill the memory: from here on an exponent is compared as written.
        if abs(shift) > 30:
            return f"{sign}{body}e{shift}"
        digits = whole + part + "0" * max(0, shift - len(part))
        place = len(whole) + shift
        digits, place = ("0" * -place + digits, 0) if place < 0 else (digits, place)
        whole, part = digits[:place], digits[place:]
    part = part.rstrip("0")
    whole = whole.lstrip("0") or "0"
    value = f"{whole}.{part}" if part else whole
    return value if value == "0" else sign + value  # -0 is 0


def _read(match: re.Match[str], text: str, *, versions: bool) -> list[str]:
    """The tokens of one match of `_TOKEN`; none for punctuation."""
    kind = match.lastgroup or ""
    if kind == "plain":
        return [_COUNTED.get(match["plain"].lower(), match["plain"])]
    # Words first: nearly all matches are words, and the groups of the others need not be made for them.
    if kind in ("word", "tail"):
        return _word(match["word"], match["tail"] or "", text, match.end())
    got = match.groupdict()
    if kind == "interval":
        inner = re.sub(r"[;]", ",", re.sub(r"\s", "", match.group()))
        return [re.sub(NUMBER, lambda figure: number(figure.group()), inner)]
    if got["month5"]:
        return [got["year5"], _month(got["month5"])]
    if kind.startswith("year") or kind.startswith("month") or kind.startswith("day"):
        end = next(one for one in ("", "2", "3", "4") if got[f"day{one}"])
        month = got[f"month{end}"]
        name = MONTHS[int(month) - 1] if month.isdigit() and int(month) else _month(month)
        return [*filter(None, [got[f"year{end}"]]), name, number(got[f"day{end}"].lstrip("0") or "0")]
    if kind == "amount":
        return [number((got["minus"] or got["minus2"]) + got["amount"]), got["currency"]]
    if kind == "number":
        around = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if versions and re.fullmatch(r"\d+\.\d*[1-9]0+", match.group()):
            return [match.group()]
        # In times and dates a leading zero is only a way of writing: 09:30, 01/02.
        bare = match.group().lstrip("0") if match.group().isdigit() and set(around) & set(":/") else match.group()
        return [number(bare or "0")]
    if kind == "percent":
        return ["%"]
    if kind == "symbol":
        known = not match.group().isascii() and match.group() not in "–—·"
        return [match.group()] if known else []
    if kind == "between":
        return [f"\0{'-' if match.group() in '–—' else match.group()}{_OPEN}"]
    token = (match.group() if kind not in ("spaced", "less") else got[kind]).strip()
    if kind == "address":
        return [token.rstrip("/")]
    return ["-" if token in "–—" else {"<>": "!=", "+/-": "±"}.get(token, token)]


def _word(word: str, tail: str, text: str, end: int) -> list[str]:
    charge = _CHARGE if len(word) == 1 else _GRADE
    # ``A-``, ``Na-``: after few letters the sign is a grade or a charge, after a word a hyphen.
    grade = len(word) <= 4 and word.isascii() and not tail and charge.match(text, end)
    # Letters and digits alone need no look at signs among them.
    if word.isalnum():
        return [_COUNTED.get(word.lower(), word) + (tail or ("-" if grade else ""))]
    difference = _SINGLE.fullmatch(word)
    if difference:
        return [difference.group(1), "-", difference.group(2)]
    bare = re.sub(r"(?<=\d)[-.:/](?=\d)|[/\\&_]|::", lambda mark: f"\0{mark.group()}\0", word)
    parts = []
    for place, part in enumerate(bare.split("\0")):
        if place % 2:
            parts.append(part)
        else:
            parts.append(re.sub(r"[-.'\"`()\[\]{}?!:]", "", part))
    name = "".join(parts).strip("_/&\\")
    return [_COUNTED.get(name.lower(), name) + (tail or ("-" if grade else ""))]


def _month(name: str) -> str:
    return next(one for one in MONTHS if one.startswith(name[:3].lower()))


def _lowered(cased: tuple[str, ...], place: int) -> str:
    # Of units case tells apart what a number counts (mW, MW); of words it tells nothing.
    token = cased[place]
    after_number = place > 0 and cased[place - 1][-1].isdigit()
    return token if after_number and CASED_UNIT.fullmatch(token) else token.casefold()


def _is_article(cased: tuple[str, ...], place: int) -> bool:
    token = cased[place]
    if token.lower() != "a":
        return token.lower() in ARTICLES
    following = cased[place + 1] if place + 1 < len(cased) else ""
    return following[:1].isalnum() and (token == "a" or place == 0)
