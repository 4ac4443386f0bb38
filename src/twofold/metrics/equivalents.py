"""Equivalent spellings written in one way: two texts that mean the same may have one such form. Pure.

`alternative` adds equality and takes none away: texts are compared as they are first. So a rule may be bolder here than
in `spellings`; all it needs is that no other answer to the same question has the form that it makes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from twofold.metrics.spellings import NUMBER, UNITS

_SMALL_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL, _TENS = _SMALL_WORDS.split(" "), _TENS_WORDS.split(" ")
_COUNT = {**{word: n for n, word in enumerate(_SMALL)}, **{word: 10 * n for n, word in enumerate(_TENS, 2)}}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_COUNTING = rf"(?:{'|'.join((*_COUNT, *_LARGE))})"
_WRITTEN_OUT = re.compile(
    rf"\b(?:a\s(?=hundred|thousand|million)|){_COUNTING}(?:(?:[\s-]|\sand\s){_COUNTING})*\b", re.I
)
_FIRST_WORDS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth"
)
_ORDINALS = {
    **{word: n for n, word in enumerate(_FIRST_WORDS.split(" "), 1)},
    **{f"{word[:-1]}ieth": 10 * n for n, word in enumerate(_TENS, 2)},
}
_ORDINAL = re.compile(
    rf"(?<!\d )(?<!\d)(?<!\ba\s)(?<!\bone\s)(?<!\bper\s)\b(?:({'|'.join(_TENS)})[\s-])?({'|'.join(_ORDINALS)})\b", re.I
)
"""An ordinal in words; what follows "a", "one" or "per" is a unit of time or a share."""
_CLOCK = re.compile(r"(?<![\d:.])(1[0-2]|0?[1-9])(?:[:.]([0-5]\d))?\s?([ap])\.?\s?m\b\.?", re.I)
_CLOCK_24 = re.compile(r"(?<![\d:.])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])(?!\s?[ap]\.?m)", re.I)
_DATE = re.compile(r"(?<![\d/.-])(\d{1,2})([/-])(\d{1,2})\2((?:19|20)\d\d)(?![\d/-])")
_GROUPED = re.compile(r"(?<![\w.,])(?<!\d )[1-9]\d{0,2}(?: \d{3}){1,4}(?![\w]| \d|[.,]\d)")
_INITIALS = re.compile(r"\b([A-Z])\.\s(?=[A-Z]\.)")
_BETWEEN = re.compile(rf"\bbetween ({NUMBER}) and (?={NUMBER})", re.I)
_RATE = re.compile(r"(?<=\d|\s)([A-Za-z]{1,12}) per ([a-z]{1,12})\b")
_THOUSANDS = re.compile(r"(?<![\w.,])(\d{1,3}(?:\.\d)?)[kK](?![\w])")


_ALIKE_MONTHS = (
    "januar jänner janvier enero gennaio janeiro januari",
    "februar février fevrier febrero febbraio fevereiro februari",
    "märz mars marzo março maart",
    "avril abril aprile",
    "mai mayo maggio maio mei",
    "juni juin junio giugno junho",
    "juli juillet julio luglio julho",
    "août aout agosto augustus",
    "septembre septiembre settembre setembro",
    "oktober octobre octubre ottobre outubro",
    "novembre noviembre novembro",
    "dezember décembre decembre diciembre dicembre dezembro",
)
"""Names of the months in German, French, Spanish, Italian, Portuguese and Dutch where they are not the English ones."""
_MONTH_NAMES = {name: number for number, names in enumerate(_ALIKE_MONTHS, 1) for name in names.split(" ")}
_ENGLISH = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
            "November", "December")  # fmt: skip
_NAMED = "|".join(sorted(_MONTH_NAMES, key=len, reverse=True))
_FOREIGN_DAY = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:\.|er|º|°)?\s(?:de\s)?({_NAMED})\b(?:\s(?:de\s)?((?:1\d|20)\d\d)\b)?", re.I
)
_FOREIGN_MONTH = re.compile(rf"\b({_NAMED})\s(?:de\s)?((?:1\d|20)\d\d)\b", re.I)
_SLASHED = re.compile(r"(?<![\d/])((?:1\d|20)\d\d)/(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])(?![\d/])")
_COMPACT = re.compile(r"(?<![\w.,+-])((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?![\w-]|[.,]\d)")
_YEAR_MONTH = re.compile(r"(?<![\w/.-])((?:19|20)\d\d)-(0[1-9]|1[0-2])(?![\w/-]|\.\d)")
_QUARTER = re.compile(
    r"\b(?:Q([1-4])[\s/-]{0,2}|(first|second|third|fourth|1st|2nd|3rd|4th) quarter(?: of)?\s)((?:19|20)\d\d)\b"
    r"|\b((?:19|20)\d\d)[\s/-]{0,2}Q([1-4])\b",
    re.I,
)
_SHARES = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "eighth": 8, "tenth": 10}
_SHARE = re.compile(
    r"\b(a|one|two|three|four|five|seven|nine)[\s-](half|halves|third|quarter|fourth|fifth|eighth|tenth)s?\b", re.I
)
_VULGAR = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅕": "1/5", "⅖": "2/5",
           "⅗": "3/5", "⅘": "4/5", "⅓": "1/3", "⅔": "2/3"}  # fmt: skip
_VULGAR_FORM = re.compile(rf"(?<=\d)\s?([{''.join(_VULGAR)}])|([{''.join(_VULGAR)}])")
_MIXED = re.compile(r"(?<![\w./:-])(?:(\d{1,4})(?: | and |-))?([1-9])/([2458])(?![\w/:-]|\.\d)")
"""A fraction that a decimal number with up to three places is."""
_PHONE = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,3}[ ./-]?(?:\(\d{1,5}\)[ ./-]?)?\d(?:[ ./-]?\d){5,12}|\(\d{2,5}\)[ -]?\d(?:[ -]?\d){3,9}"
    r"|(?:1[ .-]?)?(?:\d{3}[ .-]|\(\d{3}\) ?)\d{3}[ .-]\d{4}|\d{3}-\d{4}|\d{10,12}"
    r"|00\d{2,3}(?:[ ./-]?\d){7,11}|(?<!\d )0\d{1,4}[ -]\d{3,8}(?:[ -]\d{2,6})?)(?![\w-]|[./]\d)"
)
_POINTS = re.compile(r"(?<![\w.,])[1-9]\d{0,2}(?:\.\d{3}){2,4}(?![\w]|[.,]\d)")
_VERSION = re.compile(r"\b(?:(?:version|release)\s|v\.?\s?)(\d{1,5}(?:\.\d{1,5}){1,4})(?![\w]|\.\d)", re.I)
_CODE = re.compile(r"\b([A-Z]{1,5})[ -](\d{1,6})\b(?![.,:/-]\d)")
_HEIGHT = re.compile(r"\b(\d{1,3})\s?(?:ft\b|feet\b|foot\b|['′’])\s?(\d{1,2})\s?(?:in\b|inch(?:es)?\b|[\"″”]|'')")
_INCHES = re.compile(r"(?<=\d)\s?(?:in\b\.?(?=\s*(?:\Z|[,;)/]))|in\.(?=\s+[A-Z])|″|\"(?=\s*\Z))")
_SPEED = re.compile(r"(?<=\d)\s?(?:(kph|kmph|kmh)|mph)\b", re.I)
_HOURLY = re.compile(r"/(?:hr|hour)\b", re.I)
_DEGREES = re.compile(r"(?<=\d)\s?(?:([CF])\b(?![+#])|(?i:degrees?|°)\s?(?i:centigrade)\b)")
_NUMERAL = re.compile(
    r"\b((?i:war|type|grade|stage|class|phase|part|chapter|level|category|group|volume|book|act|scene|article|section|"
    r"schedule|appendix|annex|title|tier|zone|level))\s(X{0,3}(?:IX|IV|V?I{1,3}|V)|X{1,3})([A-C]?)\b"
)
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_ROMAN_DIGITS = r"(?=[IVXLCDM]{2})M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_ROMAN_CENTURY = re.compile(r"\b([IVX]{1,5})(?:th|e)? (?=century\b)", re.I)
_ROMAN_ALONE = re.compile(rf"\A\W{{0,3}}({_ROMAN_DIGITS})\W{{0,3}}\Z|(?<=[a-z] )({_ROMAN_DIGITS})\b")
_WORLD_WAR = re.compile(r"\b(?:(first|second) world war|ww ?(?:(i|1)|(?:ii|2))|world war (?:(one)|two))\b", re.I)
_ONE = re.compile(
    r"\A\W{0,3}one\W{0,3}\Z|\bone(?=\s(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|percent|per cent|"
    r"dollar|euro|pound|met(?:er|re)|mile|kilo\w*|gram|lit(?:er|re)|degree|inch|foot|cent)\b)",
    re.I,
)
_FROM_TO = re.compile(rf"\bfrom ({NUMBER}) to ({NUMBER})", re.I)
_DAY_NAME = r"(mon|tue|wed|thu|fri|sat|sun)(?:s|nes|rs|urs|ur)?(?:day)?s?\b\.?"
_DAY_RANGE = re.compile(rf"\b{_DAY_NAME}(?:\s?[-–—]\s?|\s(?:to|through|thru|till|until)\s){_DAY_NAME}", re.I)
_TIME_RANGE = re.compile(
    r"(?<![\d:])(?:from )?(\d{1,2}:\d\d)(?: (?:to|till|until) |\s?[-–—]\s?)(\d{1,2}:\d\d)(?![\d:])", re.I
)
_YEARS = re.compile(r"(?<![\d.,/-])((?:1\d|20))(\d\d)[-–/](\d\d)(?![\d/-]|[.,]\d)")
_ERA = re.compile(r"\bAD (\d{1,4})\b|\b(B)?(CE)\b")
_LARGE_LETTER = re.compile(
    r"(?<![\w.,])(?<!(?i:stage|phase|grade|class|level|model|annex|block|table|floor) )"
    r"(?<!(?i:type|room|gate|flat|unit|step|part|item|zone|form|seat|exit) )"
    r"(\d{1,4}(?:\.\d{1,3})?)([MB])(?![\w/%^-])"
)
"""A count in millions or billions, ``5M``; what follows a kind of thing is its name, ``stage 3B``."""
_FOREIGN_COUNT = {
    word: str(number)
    for number, names in enumerate(
        ("zwei deux dos", "drei trois tres", "vier quatre cuatro", "fünf cinq cinco", "sechs seis", "sieben siete",
         "acht huit ocho", "neun neuf nueve", "zehn dix diez", "elf onze", "zwölf douze doce"), 2
    )
    for word in names.split(" ")
}  # fmt: skip
"""Numbers in German, French and Spanish that are no other word of these in English."""
_FOREIGN_NUMBER = re.compile(rf"\b(?:{'|'.join(_FOREIGN_COUNT)})\b", re.I)
_MILLIONS = re.compile(r"(?<![\d.,])(\d{1,6})(?:[.,](\d{1,3}))?\s?(?:(mio|mln|mn)|mrd|bn)\b\.?", re.I)
_SQUARE = re.compile(
    r"(?<=\d )(?:square|sq\.?) ?(?:(mm|cm|km|m|ft|in)\b|"
    r"(milli|centi|kilo)?(met)(?:er|re)s?\b|(f)(?:oo|ee)t\b|(inch)(?:es)?\b)",
    re.I,
)
_METRIC = {"milli": "mm", "centi": "cm", "kilo": "km", "": "m"}
_CUBIC = re.compile(r"(?<=\d )(?:cubic|cu\.?) ?(?:(milli|centi|kilo)?(?:met)(?:er|re)s?|(cm|mm|m)\b)", re.I)
_TIMES = re.compile(r"(?<=\d)\s?[x×](?=\s?\d)", re.I)
_FOLD = re.compile(r"(?<![\w./])(\d{1,6}(?:\.\d{1,3})?)(?:[x×](?!\w)|[ -]?fold\b)", re.I)
_PLUS = re.compile(r"(?<![\w.,:/+-])(\d{1,6}(?:\.\d{1,3})?)\+(?![\w+]|\s?[\d(])")
_REGNAL = re.compile(
    rf"(?<![\w-])([A-Z][a-zéèüöä]{{2,20}}) "
    rf"(?:the ({'|'.join(_FIRST_WORDS.split(' '))})|(?:the )?(\d{{1,2}})(?:st|nd|rd|th)?|"
    r"(X{0,3}(?:IX|IV|VI{0,3}|II{0,2})|X{1,3}))(?![\w.:,/%-]*\d|\w)",
    re.I,
)
_DESIGNATED = re.compile(
    r"(?<!\w)(?:(sec|sect|ch|chap|art|fig|vol|par|para|tab|eq|app|pp?|nos?|nr|num)\.\s?|(§§?|#|№)\s?)(?=\d|[IVX]+\b)",
    re.I,
)
_DESIGNATIONS = {
    "sec": "section", "sect": "section", "§": "section", "§§": "section", "ch": "chapter", "chap": "chapter",
    "art": "article", "fig": "figure", "vol": "volume", "par": "paragraph", "para": "paragraph", "tab": "table",
    "eq": "equation", "app": "appendix", "p": "page", "pp": "page", "no": "number", "nos": "number", "nr": "number",
    "num": "number", "#": "number", "№": "number",
}  # fmt: skip
_PAGES = re.compile(r"\b(pages|sections|chapters|figures|articles|tables) (?=\d)", re.I)
_DAY_ALONE = re.compile(r"\b(Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun)\b(?:\.(?!\w))?(?!day)")
_DAYS = {"mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "fri": "Friday", "sat": "Saturday",
         "sun": "Sunday"}  # fmt: skip
_LETTERED_AND = re.compile(r"\b([A-Z]{1,3}) & (?=[A-Z]{1,3}\b)")
_SQUARE_ROOT = re.compile(r"(?:\bsqrt|√)\s?(?:\(\s?([\w.]{1,20})\s?\)|([\w.]{1,20}))", re.I)
_PI = re.compile(r"(?<![^\W\d])pi(?=\s?[/*^)]|\Z)|(?<=[/*(])pi\b")
_DECIMAL_COMMA = re.compile(r"(?<![\w.,])([1-9]\d{0,2}(?: \d{3}){1,4}),(\d{1,2})(?![\w,])")
_NATIONAL = re.compile(
    r"(?<=\d )(?:(swiss francs?)|(pounds? sterling)|(us dollars?)|(norwegian kron(?:er?|e))|(swedish kron(?:or|a))|"
    r"(danish kron(?:er?|e))|(japanese yen)|(indian rupees?)|((?:polish )?zlot(?:y|ys|ych)))\b",
    re.I,
)
_NATIONS = ("CHF", "£", "$", "NOK", "SEK", "DKK", "¥", "₹", "PLN")
_CODE_FIRST = re.compile(rf"\b(CHF|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD|NZD|SGD|CNY|BRL|MXN|ZAR|AED|TRY) ?({NUMBER})")
_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,9})\}\{(\d{1,9})\}(?!\d)")
_DOZEN = re.compile(r"\b(half )?a dozen\b", re.I)
_POUNDS = re.compile(r"(?<=[\dn] )pounds?\b", re.I)
_EVERY_OTHER = re.compile(r"\bevery other\b", re.I)
_IS_VALUE = re.compile(r"(?<![\w'])([b-hj-z]) (?:is|equals) (?=-?\d)")
_HYPHENED = re.compile(r"\b(COVID|Covid|covid|[A-Z]{2,8})[ -](?=\d{1,4}\b|[A-Z]\b)")
_SHORT_POLAR = re.compile(r"\A\W{0,3}(?:(nope|nah)|(?:yep|yeah|yup))\b", re.I)
_LASTING = re.compile(r"(?<![\w.,])(\d{1,4})-(second|minute|hour|day|week|month|year)s?\b", re.I)
_NOON = re.compile(r"(?<!\d )\b(?:(noon)|midnight)\b", re.I)
_RATIO = re.compile(r"(?<=\d) : (?=\d)")
_POWER = re.compile(r"(?<=[\w)])\s?\*\*\s?(?=[\w(+-])")
_SCHEME = re.compile(r"https?://(?=\w)", re.I)
_AHEAD = r"(?=[-$€£¥]?\d)"
_ABOUT = re.compile(
    rf"(?<![\w~])(?:~|≈|(?:approximately|approx\.?|around|roughly|circa|ca?\.|ca|some)\s)\s?{_AHEAD}", re.I
)
_COMPARED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"\b(?:{words})\s{_AHEAD}", re.I), f"{sign} ")
    for words, sign in (
        ("at least|no less than|no fewer than|not less than|a minimum of", ">="),
        ("at most|no more than|not more than|up to|a maximum of", "<="),
        ("more than|greater than|higher than|larger than|older than|over|above|exceeding|in excess of", ">"),
        ("less than|fewer than|lower than|smaller than|younger than|under|below", "<"),
    )
)
_OR_MORE = re.compile(
    r"(?<![\w.,-])(\d[\d.,]{0,15}(?:\s?%|\s[a-z]{1,12})?)\s(?:or|and) "
    r"(?:(more|above|over|higher|greater|older|upwards|later|newer)|(?:less|fewer|below|under|lower|younger))\b",
    re.I,
)


_MONTH_WORDS = "|".join(f"{name[:3]}(?:{name[3:]})?" if name != "May" else name for name in _ENGLISH)
_CJK_DATE = re.compile(r"(\d{4})\s?年\s?(\d{1,2})\s?月(?:\s?(\d{1,2})\s?[日号號])?")
_CJK_DIGITS = {**{sign: n for n, sign in enumerate("零一二三四五六七八九")}, "〇": 0, "两": 2, "兩": 2}
_CJK_TENS = {"十": 10, "百": 100, "千": 1000}
_CJK_NUMERAL = re.compile(f"[{''.join(_CJK_DIGITS)}{''.join(_CJK_TENS)}]+")
_SHORT_ISO = re.compile(r"(?<![\w./-])((?:1\d|20)\d\d)([-.])(\d{1,2})\2(\d{1,2})(?![\w/-]|\.\d)")
_DASHED_DAY = re.compile(rf"(?<![\w-])({_MONTH_WORDS})-(\d{{1,2}})-((?:1\d|20)\d\d)(?![\w-])", re.I)
_SLASHED_MONTH = re.compile(r"(?<![\d/.-])(0?[1-9]|1[0-2])/((?:19|20)\d\d)(?![\d/-])")
_MIDNIGHT = re.compile(r"(?<=\d)[T ]00:00(?::00(?:\.0+)?)?(?:Z|\+00:00)?(?![\d:])")
_ISO_TIME = re.compile(r"(?<=\d)T(?=\d\d:\d\d)")
_ZULU = re.compile(r"(?<=:\d\d)(?: ?GMT|\+00:00|Z)(?!\w)")
_NO_SECONDS = re.compile(r"(?<=\d:\d\d):00(?:\.0+)?(?!\d)")
_HOUR_H = re.compile(r"(?<![\w:.])([01]?\d|2[0-3])\s?[hH](?:([0-5]\d)(?!\w)| Uhr\b)")
_UHR = re.compile(r"(?<=\d) (?:Uhr|o['’]clock)\b(?! in the)", re.I)
_DAYS_OF_MONTH = re.compile(
    rf"\b({_MONTH_WORDS})\.? (\d{{1,2}})\s?(?:[-–]|to )\s?(?:\1\.? )?(\d{{1,2}})\b(?!\d)(?:,? ((?:1\d|20)\d\d)\b)?"
    rf"|(?<!\d)(\d{{1,2}})\s?(?:[-–]|to )\s?(\d{{1,2}}) ({_MONTH_WORDS})\b\.?(?:,? ((?:1\d|20)\d\d)\b)?",
    re.I,
)
_FISCAL = re.compile(r"\b(?:fiscal year|FY) ?['’]?(?:20)?(\d\d)\b", re.I)
_HALF_YEAR = re.compile(
    r"\b(?:(first|1st)|second|2nd) half (?:of )?((?:19|20)\d\d)\b|\bH([12])[\s/-]{0,2}((?:19|20)\d\d)\b"
)
_SEASON = re.compile(
    r"\b(spring|summer|autumn|fall|winter|early|late|mid) (?:of (?:the )?)?(?=\d{4})|\bmid-(?=\d{4})", re.I
)
_DAYS_NAMED = re.compile(r"\b((?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)s\b")
_CONTRACTED = re.compile(
    r"\b(is|are|was|were|do|does|did|has|have|had|would|could|should|must|need)(?: not\b|n['’]t\b)", re.I
)
_CANNOT = re.compile(r"\bcan(?: not\b|['’]t\b)", re.I)
_WILL_NOT = re.compile(r"\bwill not\b|\bwon['’]t\b", re.I)
_CENTS = re.compile(r"\$0\.([1-9]\d)\b")
_WON = re.compile(rf"₩ ?({NUMBER})")
_RUPEES = re.compile(r"\bRs\.? ?(?=\d)")
_DOLLARS = re.compile(
    rf"\b(A|AU|C|CA|NZ|HK|S)\$ ?({NUMBER})|(?<=\d )(australian|canadian|new zealand) dollars?\b", re.I
)
_DOLLAR_CODES = {"a": "AUD", "au": "AUD", "c": "CAD", "ca": "CAD", "nz": "NZD", "hk": "HKD", "s": "SGD",
                 "australian": "AUD", "canadian": "CAD", "new zealand": "NZD"}  # fmt: skip
_PERCENT_ABROAD = re.compile(r"(?<=\d) (?:Prozent|pour cent|por ciento|per cento|por cento|procent)\b", re.I)
_POINTS_OF_PERCENT = re.compile(r"(?<=\d) (?:percentage points?|pp)\b")
_OUT_OF = re.compile(r"(?<=\d) (?:out of|in|of) (?=\d{1,4}\b)")
_TWICE_UNIT = re.compile(
    rf"(?<![\w.,])({NUMBER})\s?(%|°\s?[CF]|[A-Za-zµμ²³/]{{1,12}})\s?(?:[-–—~]|to )\s?({NUMBER})\s?\2(?!\w)"
)
_TWICE_CURRENCY = re.compile(rf"([$€£¥])\s?({NUMBER})\s?(?:[-–—]|to )\s?\1\s?(?={NUMBER})")
_THROUGH = re.compile(r"(?<=\d) (?:through|thru) (?=\d)|(?<=\d)\s?(?:~|～|\.\.\.?|…)\s?(?=\d)")
_FROM_RANGE = re.compile(rf"\bfrom (?={NUMBER}\s?[-–]\s?{NUMBER})", re.I)
_PER_MILLE = re.compile(r"\bper mille?\b", re.I)
_BY = re.compile(r"(?<=\d) by (?=\d)")
_PER_ONE = re.compile(r"(?<=\d) per (?!cent\b|mill)(?=[a-z]{1,12}\b)")
_MANY_WORDS = tuple(
    (re.compile(rf"(?<=\d)[ -]?(?:{words})\b", re.I), f" {sign}")
    for words, sign in (
        ("parts per million", "ppm"),
        ("parts per billion", "ppb"),
        ("pounds? per square inch", "psi"),
        ("gal(?:lons?)?(?: per |/)min(?:utes?)?", "gpm"),
        ("revolutions per minute", "rpm"),
        ("beats per minute", "bpm"),
        ("miles per gallon", "mpg"),
        ("kilowatt[ -]hours?", "kWh"),
        ("mm Hg", "mmHg"),
        ("acre[ -]f(?:ee|oo)t", "acre feet"),
        ("(?:younger|less) than", "<"),
    )
)
_GREEK_LETTER = re.compile(r"(?<![A-Za-z])(alpha|beta|gamma|delta|kappa|lambda|omega)(?![A-Za-z])")
_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "kappa": "κ", "lambda": "λ", "omega": "ω"}
_PH = re.compile(r"\bpH (?:of|=|is) ?(?=\d)")
_MENU = re.compile(r"(?<=[a-z]) (?:->|→|⇒|›|»|=>) (?=[A-Z])")
_LINK = re.compile(
    r"\[(?:link|here|this(?: link| page)?|click here|website|source|url)\]\((?=https?://)([^()\s]{1,500})\)", re.I
)
_QUOTED_LINE = re.compile(r"\A\s*> (?=[^\W\d])")
_MAIL_LINK = re.compile(
    r"\[[^\[\]]{1,80}\]\(mailto:([^()\s]{3,80})\)|\bmailto:(?=\w)|<([\w.+-]{1,64}@[\w.-]{1,80})>", re.I
)
_AT = re.compile(r"(?<=\w)\s?[\[(](?:at|@)[\])]\s?(?=\w)", re.I)
_DOT = re.compile(r"(?<=\w)\s?[\[(](?:dot|\.)[\])]\s?(?=\w)", re.I)
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|\bdoi:\s?)(?=10\.\d)", re.I)
_WWW = re.compile(r"(?<![\w.])www\.(?=\w)", re.I)
_COUNTED_TIMES = re.compile(r"\b(?:(one)|two|2) times?\b(?! (?:as|more|less|the))", re.I)
_DOZENS = re.compile(r"\b(two|three|four) dozen\b", re.I)
_HALF_ALONE = re.compile(r"\A\W{0,3}(?:a )?half\W{0,3}\Z", re.I)
_EXTENSION = re.compile(
    r"(?<=\d),? ?ext(?:ension|\.)? ?(?=\d)|(?<=\d{4}) x(?=\d{1,5}\b)|\bext(?:ension|\.) ?(?=\d)", re.I
)


@lru_cache(maxsize=16384)
def alternative(text: str) -> str:
    """The text with what is written in one of two ways written in one: what may mean the same, not what must.

    Numbers written out (``one hundred`` is 100), fractions (``one half``, ``1½``), ordinals (``second``, 2nd) and
    numerals (``type II``); times of day (``2:30 pm`` is 14:30), days whose order is plain (``15/03/2024``,
    ``20240315``, "15. März 2024"), months (``2024-03``) and quarters; ``5k``, ``3 000`` and ``3.000.000``; rates
    (``5 km per hour``, ``50 mph``), heights (``5'10"``), ``20C``; ranges ("between 5 and 10", "from 5 to 10",
    "Mon-Fri", ``2019-20``), bounds ("at least 5" is ``≥ 5``) and "about"; telephone numbers, versions, codes
    (``AB-12``) and initials (``J. R. R.``).

    Two texts are the same where these forms are; what a word counts as alone is not changed by it, for a second is no
    2nd everywhere.
    """
    for pattern, change in _RULES:
        text = pattern.sub(change, text)
    return text


def of_money(text: str, beside: str) -> str:
    """The text with its pounds read as money, where the text beside it has a sum in £; other pounds are a weight."""
    return _POUNDS.sub("£", text) if "£" in beside and "£" not in text else text


def _ordinal(match: re.Match[str]) -> str:
    tens, word = match.groups()
    value = _ORDINALS[word.lower()] + (_COUNT[tens.lower()] if tens else 0)
    if tens and _ORDINALS[word.lower()] > 9:  # "twenty eleventh" is no number
        return match.group()
    return _ordinal_of(value)


def _time(match: re.Match[str]) -> str:
    hour = int(match[1]) % 12 + 12 * (match[3].lower() == "p")
    return f"{hour}:{match[2] or '00'}"


def _day(match: re.Match[str]) -> str:
    first, second = int(match[1]), int(match[3])
    if first <= 12 < second <= 31:  # the American order: the second can be no month
        first, second = second, first
    plain = (12 < first <= 31 and 1 <= second <= 12) or (first == second and 1 <= first <= 12)
    return f"{match[4]}-{second:02}-{first:02}" if plain else match.group()


def _counted(match: re.Match[str]) -> str:
    """A number from its words; the words where they are none (``nineteen eighty``), or one that is a pronoun too."""
    words = [word for word in re.split(r"[\s-]+", match.group().lower()) if word not in ("and", "a")]
    if words in (["one"], *([large] for large in _LARGE)) and match.group()[:2].lower() != "a ":
        return match.group()
    total = part = 0
    last = 10**12
    for word in words:
        if word in _COUNT:
            value = _COUNT[word]
            if last <= value or (part % 100 and not (part % 10 == 0 and value < 10 and part % 100 >= 20)):
                return match.group()
            part, last = part + value, value if value >= 20 else 0
        elif word == "hundred":
            if part > 99:
                return match.group()
            part, last = max(part, 1) * 100, 100
        else:
            if total and total < _LARGE[word]:
                return match.group()
            total, part, last = total + max(part, 1) * _LARGE[word], 0, 10**12
    return str(total + part)


def _foreign_day(match: re.Match[str]) -> str:
    return f"{match[1]} {_ENGLISH[_MONTH_NAMES[match[2].lower()] - 1]} {match[3] or ''}".strip()


def _quarter(match: re.Match[str]) -> str:
    word = (match[2] or "").lower()
    number = match[1] or match[5] or str({"f": 1, "s": 2, "t": 3}[word[0]] if word.isalpha() else int(word[0]))
    number = "4" if word == "fourth" else number
    return f"Q{number} {match[3] or match[4]}"


def _share(match: re.Match[str]) -> str:
    count = match[1].lower()
    return f"{_COUNT.get(count, 1)}/{_SHARES[match[2].lower()]}"


def _mixed(match: re.Match[str]) -> str:
    above, below = int(match[2]), int(match[3])
    if above >= below or Fraction(above, below).denominator != below:
        return match.group()
    return str(float(int(match[1] or 0) + Fraction(above, below)))


def _phone(match: re.Match[str]) -> str:
    return "tel" + re.sub(r"\D", "", match.group().replace("(0)", "")).removeprefix("00")


def _numeral(match: re.Match[str]) -> str:
    return f"{match[1]} {_roman(match[2])}{match[3]}"


def _ordinal_of(value: int) -> str:
    ending = "th" if value % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{ending}"


def _world_war(match: re.Match[str]) -> str:
    first = (match[1] or "").lower() == "first" or match[2] or match[3]
    return f"World War {1 if first else 2}"


def _square(match: re.Match[str]) -> str:
    if match[3]:
        return f"{_METRIC[(match[2] or '').lower()]}^2"
    return "ft^2" if match[4] else "in^2" if match[5] else f"{match[1].lower()}^2"


def _regnal(match: re.Match[str]) -> str:
    """A name and its number: ``Henry VIII`` is Henry the Eighth, and ``Rocky 2`` Rocky II."""
    if match[1].islower():
        return match.group()
    if match[2]:
        return f"{match[1]} {_ORDINALS[match[2].lower()]}"
    if match[3]:
        return f"{match[1]} {match[3]}"
    # A single letter may be an initial or a name of its own, as in ``Malcolm X``.
    return f"{match[1]} {_roman(match[4])}" if match[4].isupper() and len(match[4]) > 1 else match.group()


def _designated(match: re.Match[str]) -> str:
    return f"{_DESIGNATIONS[(match[1] or match[2]).lower()]} "


def _roman(text: str) -> int:
    digits = [_ROMAN[letter] for letter in text]
    return sum(-one if one < after else one for one, after in zip(digits, (*digits[1:], 0), strict=True))


def _cjk(match: re.Match[str]) -> str:
    """A number from Chinese numerals: by place (``二〇二〇``) or by tens (``二十五``)."""
    signs = match.group()
    if not _CJK_TENS.keys() & set(signs):
        return "".join(str(_CJK_DIGITS[sign]) for sign in signs)
    total = digit = 0
    for sign in signs:
        if sign in _CJK_TENS:
            total, digit = total + (digit or 1) * _CJK_TENS[sign], 0
        else:
            digit = _CJK_DIGITS[sign]
    return str(total + digit)


def _cjk_date(match: re.Match[str]) -> str:
    month = int(match[2])
    if not 1 <= month <= 12:
        return match.group()
    return f"{match[1]}-{month:02}-{int(match[3]):02}" if match[3] else f"{_ENGLISH[month - 1]} {match[1]}"


def _days_of_month(match: re.Match[str]) -> str:
    month, first, last = (match[1], match[2], match[3]) if match[1] else (match[7], match[5], match[6])
    name = next(one for one in _ENGLISH if one[:3].lower() == month[:3].lower())
    return f"{first}-{last} {name} {match[4] or match[8] or ''}".strip()


def _risen(match: re.Match[str]) -> str:
    low, high = (float(number.replace(",", "").replace("_", "")) for number in match.groups())
    return f"{match[1]}-{match[2]}" if low < high else match.group()  # "from 9 to 7" may tell a fall


_Change = str | Callable[[re.Match[str]], str]
_RULES: tuple[tuple[re.Pattern[str], _Change], ...] = (
    (_LINK, r"\1"),
    (_QUOTED_LINE, ""),
    (_MAIL_LINK, lambda match: match[1] or match[2] or ""),
    (_AT, "@"),
    (_DOT, "."),
    (_DOI, ""),
    (_CONTRACTED, lambda match: f"{match[1]}nt"),
    (_CANNOT, "cannot"),
    (_WILL_NOT, "wont"),
    (_CJK_NUMERAL, _cjk),
    (_CJK_DATE, _cjk_date),
    (_MIDNIGHT, ""),
    (_ISO_TIME, " "),
    (_ZULU, " UTC"),
    (_NO_SECONDS, ""),
    (_HOUR_H, lambda match: f"{int(match[1])}:{match[2] or '00'}"),
    (_SHORT_ISO, lambda match: f"{match[1]}-{int(match[3]):02}-{int(match[4]):02}"),
    (_DASHED_DAY, r"\1 \2, \3"),
    (_SLASHED_MONTH, lambda match: f"{_ENGLISH[int(match[1]) - 1]} {match[2]}"),
    (_DAYS_OF_MONTH, _days_of_month),
    (_FISCAL, r"FY20\1"),
    (_HALF_YEAR, lambda match: f"H{match[3] or (1 if match[1] else 2)} {match[2] or match[4]}"),
    (_SEASON, lambda match: f"{match[1] or 'mid'} "),
    (_DAYS_NAMED, r"\1"),
    (_WORLD_WAR, _world_war),
    (_ROMAN_CENTURY, lambda match: f"{_ordinal_of(_roman(match[1].upper()))} "),
    (_CENTS, r"\1 cents"),
    (_WON, r"\1 won"),
    (_RUPEES, "₹"),
    (_DOLLARS, lambda match: f"{match[2] or ''} {_DOLLAR_CODES[(match[1] or match[3]).lower()]}".strip()),
    (_PERCENT_ABROAD, "%"),
    (_POINTS_OF_PERCENT, " points"),
    (_THROUGH, "-"),
    (_TWICE_UNIT, r"\1-\3 \2"),
    (_TWICE_CURRENCY, r"\1\2-"),
    (_OUT_OF, "/"),
    *_MANY_WORDS,
    (_PER_ONE, "/"),
    (_BY, "x"),
    (_GREEK_LETTER, lambda match: _GREEK[match[1]]),
    (_PH, "pH "),
    (_MENU, " > "),
    (_COUNTED_TIMES, lambda match: "once" if match[1] else "twice"),
    (_DOZENS, lambda match: str(12 * _COUNT[match[1].lower()])),
    (_HALF_ALONE, "1/2"),
    (_EXTENSION, " extension "),
    (_UHR, ":00"),
    (_SHORT_POLAR, lambda match: "no" if match[1] else "yes"),
    (_FRACTION, r"\1/\2"),
    (_DOZEN, lambda match: "6" if match[1] else "12"),
    (_EVERY_OTHER, "every second"),
    (_IS_VALUE, r"\1 = "),
    (_ERA, lambda match: f"{match[1]} AD" if match[1] else "BC" if match[2] else "AD"),
    (_HYPHENED, r"\1"),
    (_PHONE, _phone),
    (_DESIGNATED, _designated),
    (_PAGES, lambda match: f"{match[1][:-1]} "),
    (_LETTERED_AND, r"\1&"),
    (_DECIMAL_COMMA, lambda match: f"{match[1].replace(' ', '')}.{match[2]}"),
    (_SQUARE, _square),
    (_CUBIC, lambda match: f"{match[2].lower() if match[2] else _METRIC[(match[1] or '').lower()]}^3"),
    (_TIMES, " * "),
    (_FOLD, r"\1 times"),
    (_SQUARE_ROOT, lambda match: f"√{match[1] or match[2]}"),
    (_PI, "π"),
    (_NATIONAL, lambda match: _NATIONS[(match.lastindex or 1) - 1]),
    (_CODE_FIRST, r"\2 \1"),
    (_CLOCK, _time),
    (_CLOCK_24, lambda match: f"{int(match[1])}:{match[2]}"),
    (_SLASHED, lambda match: f"{match[1]}-{int(match[2]):02}-{int(match[3]):02}"),
    (_NOON, lambda match: "12:00" if match[1] else "0:00"),
    (_TIME_RANGE, r"\1-\2"),
    (_DAY_RANGE, lambda match: "-".join(one[:3].title() for one in match.groups())),
    (_DAY_ALONE, lambda match: _DAYS[match[1][:3].lower()]),
    (_YEARS, lambda match: f"{match[1]}{match[2]}-{match[1]}{match[3]}" if match[2] < match[3] else match.group()),
    (_SCHEME, ""),
    (_WWW, ""),
    (_RATIO, ":"),
    (_POWER, "^"),
    (_MILLIONS, lambda match: f"{match[1]}.{match[2] or 0} {'million' if match[3] else 'billion'}"),
    (_LARGE_LETTER, lambda match: f"{match[1]} {'million' if match[2] == 'M' else 'billion'}"),
    (_FOREIGN_NUMBER, lambda match: _FOREIGN_COUNT[match.group().lower()]),
    (_LASTING, r"\1 \2s"),
    (_COMPACT, r"\1-\2-\3"),
    (_YEAR_MONTH, lambda match: f"{_ENGLISH[int(match[2]) - 1]} {match[1]}"),
    (_DATE, _day),
    (_FOREIGN_DAY, _foreign_day),
    (_FOREIGN_MONTH, lambda match: f"{_ENGLISH[_MONTH_NAMES[match[1].lower()] - 1]} {match[2]}"),
    (_QUARTER, _quarter),
    (_THOUSANDS, lambda match: f"{round(float(match[1]) * 1000)}"),
    (_GROUPED, lambda match: match.group().replace(" ", "")),
    (_POINTS, lambda match: match.group().replace(".", "")),
    (_INITIALS, r"\1."),
    (_VERSION, lambda match: f"v{match[1]}" if re.search(r"\.\d+0\Z", match[1]) else match[1]),
    (_CODE, r"\1\2"),
    (_HEIGHT, r"\1 ft \2 inch"),
    (_INCHES, " inch"),
    (_SPEED, lambda match: " km/h" if match[1] else " miles/h"),
    (_DEGREES, lambda match: f"°{match[1] or 'C'}"),
    (_RATE, lambda match: "/".join(UNITS.get(one.lower(), one) for one in match.groups())),
    (_HOURLY, "/h"),
    (_NUMERAL, _numeral),
    (_REGNAL, _regnal),
    (_ROMAN_ALONE, lambda match: str(_roman(match[1] or match[2])) if match[1] or match[2] else match.group()),
    (_SHARE, _share),
    (_VULGAR_FORM, lambda match: f" {_VULGAR[match[1]]}" if match[1] else _VULGAR[match[2]]),
    (_MIXED, _mixed),
    (_ONE, "1"),
    (_ORDINAL, _ordinal),
    (_WRITTEN_OUT, _counted),
    (_BETWEEN, r"\1-"),
    (_FROM_TO, _risen),
    (_FROM_RANGE, ""),
    (_PER_MILLE, "permille"),
    (_OR_MORE, lambda match: f"{'>=' if match[2] else '<='} {match[1]}"),
    (_PLUS, r">= \1"),
    *_COMPARED,
    (_ABOUT, "about "),
)
"""In this order: a rule sees what those before it have made."""
