"""Text → the terms that the word leg matches. Pure.

The same analysis serves chunks and queries, indexes in memory and on disk. A run of signs between blanks is read three
ways: as words (Unicode folded, English stop words dropped and stems taken when the language is English); whole, where
it is an identifier made of parts (``10.1.5.3``, ``v2.3.1``, ``AB-1234/5``, ``setup_v2.cfg``), beside its parts; and
in pairs of signs, where the script writes no blanks. A rare whole is worth more than its common parts, so that BM25
puts the exact identifier before those made of the same numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from twofold.retrieval import scripts
from twofold.retrieval.stemming import stem
from twofold.types import Chunk

Language = Literal["english", "none"]

ANALYSIS = 6
"""Raised when the same text gives other terms: an index of another analysis is made again."""

_STOP = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be been but by can could did do does for from had has have he her his how i if in into is
        it its me my no not of on or our s she should so such t than that the their them then there these they this to
        us was we were what when where which who whom whose why will with would you your""",
    )
)
_LONGEST = 64
"""Characters of a term; a longer one is cut."""
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_SPACELESS = f"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff{_HAN}"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: scripts that write no blank between words."""
_MARKS = "".join(
    chr(code)
    for code in (*range(0x300, 0x1CFF), *range(0xA66F, 0xAC00))
    if unicodedata.category(chr(code)) in ("Mn", "Mc")
)
"""Signs that belong to the letter before them; Python's ``\\w`` has none of them."""
_TELLING = frozenset({0, 7, 8, 9})
"""Combining classes whose marks tell words apart (Indic vowels, nuktas, viramas; Japanese voicing)."""
# a comma joins only digits and a double colon only names; elsewhere they part words
_JOINT = r"(?:(?<=[A-Za-z_])::(?=[A-Za-z_])|->|[-./:@\\+&‐'’]|_+|(?<=[0-9]),(?=[0-9]))"
_PLAIN = re.compile(rf"[A-Za-z0-9]+(?:{_JOINT}[A-Za-z0-9]+)*(?:\+\+|#)?")
# possessive: a pattern that can go back takes quadratic time on a long run
_LETTERS = rf"(?:[^\W_{_SPACELESS}]++[{_MARKS}]*+)++"
_TOKEN = re.compile(rf"[{_SPACELESS}][{_SPACELESS}{_MARKS}]*|{_LETTERS}(?:{_JOINT}{_LETTERS})*(?:\+\+|#)?")
_SPACELESS_RUN = re.compile(f"[{_SPACELESS}]")
_HAN_SIGN = re.compile(f"[{_HAN}]")
_LONE_HAN = re.compile(f"(?<![{_SPACELESS}])[{_HAN}](?![{_SPACELESS}])")
_PARTS = re.compile(r"(?:->|[-./:@\\+&‐_,])+")
# signs that join identifiers to larger ones: an address and its port, a folder and its file
_OUTER = re.compile(r"[/:@\\&]")
_APOSTROPHE = re.compile("['’]")
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[-./:@\\+&‐_,']+(?=[0-9])")
_SEPARATORS = re.compile(r"(?:(?<![0-9])[-./:@\\+&‐_,'’]+|[-./:@\\+&‐_,'’]+(?![0-9]))")
_DIGIT = re.compile("[0-9]")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_EUROPEAN_AMOUNT = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]{1,2}")
_ROUND = re.compile(r"([0-9]{1,12})[.,]0{1,2}")
_CLOCK = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T(?=[0-9]{2})")
_EUROPEAN_DATE = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
_YEAR_FIRST = re.compile(r"([0-9]{4})[-./]([0-9]{1,2})[-./]([0-9]{1,2})")
_VERSION = re.compile(r"v(?=[0-9]+\.[0-9])")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|[0-9]+")
_MONTH_NAMES = (
    "january jan januar jänner janvier enero gennaio janeiro januari leden ledna stycznia января ocak",
    "february feb februar février febrero febbraio fevereiro februari únor února lutego февраля şubat",
    "march mar märz mrz mars marzo março maart marts březen března marca марта mart",
    "april apr avril abril aprile duben dubna kwietnia апреля nisan",
    "may mai mayo maggio maio mei maj květen května maja мая mayıs",
    "june jun juni juin junio giugno junho červen června czerwca июня haziran",
    "july jul juli juillet julio luglio julho červenec července lipca июля temmuz",
    "august aug août agosto augustus augusti srpen srpna sierpnia августа ağustos",
    "september sep sept septembre septiembre settembre setembro září września сентября eylül",
    "october oct oktober okt octobre octubre ottobre outubro říjen října października октября ekim",
    "november nov novembre noviembre novembro listopad listopadu listopada ноября kasım",
    "december dec dezember dez décembre diciembre dicembre dezembro desember prosinec prosince grudnia декабря aralık",
)
_MONTHS: dict[str, int] = {}
"""Name of a month → number, in fourteen European languages; with short forms in English and German."""
for _number, _spelt in enumerate(_MONTH_NAMES, 1):
    _MONTHS.update(dict.fromkeys(_spelt.split(), _number))
_MONTH = rf"({'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
_ENGLISH = rf"({'|'.join(name for names in _MONTH_NAMES for name in names.split()[:2])}|sept)\.?"
"""Where the month stands first."""
_NAMED_DATE = re.compile(
    rf"\b(?:([0-9]{{1,2}})(?:st|nd|rd|th|er|º)?\.?[ ](?:de[ ]|of[ ])?{_MONTH},?[ ](?:de[ ])?([0-9]{{4}})"
    rf"|{_ENGLISH}[ ]([0-9]{{1,2}})(?:st|nd|rd|th)?,?[ ]([0-9]{{4}}))\b",
    re.IGNORECASE,
)
_SIGNED_DATE = re.compile(r"([0-9]{4}) ?[年년] ?([0-9]{1,2}) ?[月월] ?([0-9]{1,2}) ?[日일]")
_SPACED = re.compile(
    r"\b[A-Z]{2}[0-9]{2}(?: [0-9A-Z]{4}){2,7}(?: [0-9A-Z]{1,4})?\b"  # an account's number (IBAN, ISO 13616)
    r"|\+[0-9][0-9 ()/.-]{6,24}[0-9]"  # a telephone's (ITU E.164)
    r"|\b[A-Z]{1,4}(?:-[A-Z]{1,3})? [0-9]{2,6}\b"  # a plate, a flight, a form: KI-AB 1234
    r"|\b[A-Za-z]{0,2}[0-9]{1,5}(?: ?[x×] ?[0-9]{1,5}){1,3}\b"  # a size: M8 x 40
)
"""Numbers that people write in groups or in one piece."""
_FLAG = re.compile(r"(?<![\w-])--[A-Za-z][A-Za-z0-9]{0,40}(?:-[A-Za-z0-9]{1,40}){1,8}(?![\w-])")
"""An option of a command: ``--dry-run`` is not ``--run-dry``."""
_OPTION = re.compile(r"(?<![\w-])[A-Za-z][A-Za-z0-9]{0,40}(?:-[A-Za-z0-9]{1,40}){1,8}(?![\w-])")
"""Words that may be an option of a command, in a question that leaves out the dashes."""
_CLAUSE = re.compile(
    r"(?<![\w.])[0-9]{1,5}(?:\.[0-9]{1,3}){0,3}[A-Za-z]{0,2}(?: ?\([0-9A-Za-z]{1,4}\)){1,5}(?:[a-z](?!\w))?"
)
"""A clause of a law or contract: 5(2)(b) is not 2(5)(b)."""
_TIME = re.compile(
    r"(?<![\w.:])([0-9]{1,2})(?::([0-5][0-9]))?(?: ?([AaPp])\.?[Mm]\b\.?)?(?![\w:])(?!\.[0-9])"
)  # fmt: skip
_SIGNS = re.compile(r"[^0-9A-Za-z]+")
_JOINED = 5
"""Neighbouring words of a question that a passage may write as one: get user by id, RAG 4819 ZX."""
_SHORT_QUESTION = 16
"""Words of a question up to which its neighbours are joined; a longer one tells by its words what it is about."""
_COMPACT = 10
"""Characters from which an identifier of three parts is also one without its signs: ISBN, MAC, UUID."""
_COMPACT_MIXED = 7
"""The same of letters and digits without a point, which is no version: L2031/07-B."""
_UMLAUT = {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "ae", "Ö": "oe", "Ü": "ue"}
_HAS_UMLAUT = re.compile(r"\b[A-ZÄÖÜ][a-zäöüß]*[äöü][a-zäöüß]*|\b[ÄÖÜ][a-zäöüß]+")
_SPELT_OUT = re.compile(r"\b(?:[A-Z][a-zß]{0,30}?(?:ae|oe|ue)[a-zß]{2,30}|(?:Ae|Oe|Ue)[a-zß]{3,30})\b")
_SERIES = re.compile(r"\b([A-Za-z]{1,4})([0-9]{2,6})\b")
_CAPITALS = re.compile(rf"\b(?:{'|'.join(sorted(word.upper() for word in _STOP if len(word) > 1))})\b")
_ELIDED = frozenset(
    re.findall(r"\w+", "l d j m t s n c qu jusqu lorsqu puisqu quoiqu dell nell sull dall all gl un quest")
)
"""French and Italian articles and pronouns that lose their vowel: the word is what follows."""
_TAILS = frozenset(["s", "t", "d", "m", "re", "ve", "ll", "em"])
"""English endings after an apostrophe: the word is what stands before."""
_HIDDEN = dict.fromkeys((173, 1600, 8204, 8205, 8206, 8207, 8288, 65279, *range(8234, 8239)))
_APOSTROPHES = dict.fromkeys(map(ord, "‘ʼʻ"), "'")
"""Also as a letter: Hawaiʻi, Oʻzbek."""
_HIDDEN |= scripts.SIGNS
_HIDDEN |= {0x200B: " "}  # a place where a line may break, in scripts without blanks between words


def searched_text(chunk: Chunk) -> str:
    """The text that the word leg searches in a chunk: title, headings, text."""
    return "\n".join([chunk.title, *chunk.headings, chunk.text])


def terms(text: str, language: Language = "english") -> list[str]:
    """The terms of a text, in order, repeats kept. A term holds no white space; there may be none.

    Args:
        text: Any.
        language: ``english`` drops stop words and takes stems; ``none`` does neither.
    """
    pattern = _PLAIN
    # plain ASCII text, most of a corpus, needs neither folding nor the pattern that knows every script
    if not text.isascii():
        text = unicodedata.normalize("NFKC", scripts.joined(text).translate(_HIDDEN)).translate(_APOSTROPHES)
        pattern = _TOKEN
    text_terms: list[str] = []
    for token in pattern.findall(text):
        text_terms += _terms_of(token, language)
    # as lower-case words these are stop words and were dropped above
    if language == "english" and _CAPITALS.search(text):
        text_terms += _acronyms(text)
    return text_terms + _named_dates(text) + _in_groups(text)


def query_terms(text: str, language: Language = "english") -> list[str]:
    """The terms to search for: `terms`, without the single Chinese characters of a longer run.

    A passage is indexed by characters and by pairs. A question of several characters searches for the pairs alone:
    characters common to many words would outvote the right word (7.8 points of nDCG@10 worse on Chinese questions).
    """
    question_terms = terms(text, language)
    alone = set(_LONE_HAN.findall(unicodedata.normalize("NFKC", text))) if not text.isascii() else set()
    question_terms = [term for term in question_terms if term in alone or len(term) != 1 or not _HAN_SIGN.match(term)]
    return question_terms + [term for term in dict.fromkeys(_spellings(text, language)) if term not in question_terms]


def _spellings(text: str, language: Language) -> Iterator[str]:
    """Other ways in which a passage may write a word of the question: Mueller and Müller, AB1234 and AB 1234."""
    for word in _SPELT_OUT.findall(text):
        yield from _word(re.sub("[Aa]e|[Oo]e|[Uu]e", lambda match: match.group()[0], word), language)
    for word in _HAS_UMLAUT.findall(text) if not text.isascii() else ():
        yield from _word("".join(_UMLAUT.get(sign, sign) for sign in word), language)
    for letters, digits in _SERIES.findall(text):
        yield from (*_word(letters, language), digits)
    for option in _OPTION.findall(text):
        yield f"-{option.lower()}"[:_LONGEST]
    yield from _joined(text, language)


def _joined(text: str, language: Language) -> Iterator[str]:
    """Neighbouring words written as one, as in names in code, part numbers and compounds."""
    words = [_SEPARATORS.sub("", _fold(word)) for word in _TOKEN.findall(text) if not _SPACELESS_RUN.match(word)]
    if len(words) > _SHORT_QUESTION:
        return
    for first, word in enumerate(words):
        for last in range(first + 1, min(first + _JOINED, len(words))):
            whole = "".join(words[first : last + 1])
            if word not in _STOP and words[last] not in _STOP and len(whole) <= _LONGEST:
                yield stem(whole) if language == "english" else whole


def _acronyms(text: str) -> list[str]:
    """Words in capitals that would be stop words in lower case (WHO, IT, US), outside lines all in capitals."""
    acronyms = []
    for line in text.splitlines():
        capitals = _CAPITALS.findall(line)
        # in a long line all in capitals they are the plain words
        if capitals and (len(line.split()) < 4 or line.upper() != line):
            acronyms += [word.lower() for word in capitals]
    return acronyms


def _in_groups(text: str) -> list[str]:
    """Terms written in groups, joined: numbers with blanks, options of commands, clauses, times of day."""
    wholes = []
    for whole in _SPACED.findall(text):
        bare = _SIGNS.sub("", whole.replace("×", "x")).lower()
        if " " in whole or "×" in whole or whole[0] == "+":
            wholes.append(bare[:_LONGEST])
        else:  # M8x40 is a term already; its parts are not
            wholes += bare.split("x")
    # a cheap test spares most texts each pattern
    if "(" in text:
        wholes += [_SIGNS.sub(".", clause.replace(")", "") + " ")[:-1].lower() for clause in _CLAUSE.findall(text)]
    if _DIGIT.search(text):
        wholes += _times(text)
    if "--" in text:
        wholes += [_SIGNS.sub("-", flag).lower()[:_LONGEST] for flag in _FLAG.findall(text)]
    return wholes


def _times(text: str) -> list[str]:
    """``7:45``, ``7:45 a.m.`` and ``5 pm`` as the terms of ``07:45`` and ``17:00``."""
    clock_times = []
    for hours, minutes, half in _TIME.findall(text):
        hour = int(hours)
        if half and 1 <= hour <= 12:
            # hour % 12: 12 a.m. is 00 and 12 p.m. is 12
            clock_times.append(f"{hour % 12 + 12 * (half in 'pP'):02}.{minutes or '00'}")
        elif minutes and len(hours) == 1:
            clock_times.append(f"0{hours}.{minutes}")
    return clock_times


def _named_dates(text: str) -> list[str]:
    """``5 March 2024`` and ``March 5, 2024`` as the term of ``2024-03-05``."""
    dates = []
    for day, month, year, other_month, other_day, other_year in _NAMED_DATE.findall(text):
        number = _MONTHS[(month or other_month).lower()]
        dates.append(_date(year or other_year, str(number), day or other_day))
    if not text.isascii():
        dates += [_date(*signed.groups()) for signed in _SIGNED_DATE.finditer(text)]
    return dates


def _date(year: str, month: str, day: str) -> str:
    return f"{year}.{month:0>2}.{day:0>2}"


# texts repeat their words: most look-ups are found here
@lru_cache(maxsize=1 << 17)
def _terms_of(token: str, language: Language) -> tuple[str, ...]:
    """Terms of a text between two blanks: its words, then the identifiers that consist of them."""
    if _SPACELESS_RUN.match(token):
        return tuple(_pairs(_folded(token)))
    token_terms: list[str] = []
    if token.endswith(("++", "#")):
        stripped = token.rstrip("+#")
        if len(stripped) == 1:  # C++ and C# are words; of others (Foo++) the signs are not part
            return (token.lower(),)
        token = stripped
    # 2024-03-05T10:15 is a day and a time of day
    clocked = _CLOCK.sub(r"\1 ", token)
    for piece in clocked.split(" "):
        parts = _PARTS.split(piece)
        for part in parts:
            token_terms += _words(part, language)
        # a longer run of signs is data, and no name that anyone searches for
        if len(parts) > 1 and len(piece) <= 4 * _LONGEST:
            token_terms += [stem(whole) if language == "english" else whole for whole in _wholes(piece)]
    return tuple(token_terms)


def _pairs(run: str) -> list[str]:
    """Overlapping pairs of characters; a single Chinese character is a term as well, since many are words."""
    grams = []
    for place, sign in enumerate(run):
        if _HAN_SIGN.match(sign):
            grams.append(sign)
        if place + 1 < len(run):
            grams.append(run[place : place + 2])
    return grams or [run]


def _words(part: str, language: Language) -> list[str]:
    """Terms of a word with its apostrophes."""
    pieces, name = _APOSTROPHE.split(part), ""
    if len(pieces) > 1:
        if _fold(pieces[-1]) in _TAILS:
            pieces.pop()
        while len(pieces) > 1 and _fold(pieces[0]) in _ELIDED:
            article = pieces.pop(0)
            if article[0].isupper() and pieces[0][:1].isupper() and not part.isupper():
                name = article + pieces[0]  # a name: D'Angelo
    word_terms: list[str] = []
    for piece in pieces:
        # a letter that an apostrophe cuts off is no word of its own
        if len(piece) > 1 or len(pieces) == 1:
            word_terms += _word(piece, language)
    if len(pieces) > 1:
        word_terms += _word("".join(pieces), language)
    word_terms += _word(name, language)
    # camelCase: the whole name is a term already, its humps stand beside it
    if not part.islower() and not part.isupper() and part.isascii():
        humps = _CAMEL.findall(part)
        if len(humps) > 1 and all(len(hump) > 1 for hump in humps) and "".join(humps) == part:
            for hump in humps:
                if not hump.isdigit():
                    word_terms += _word(hump, language)
    return word_terms


def _word(word: str, language: Language) -> tuple[str, ...]:
    folded = _fold(word)
    if not folded or (language == "english" and folded in _STOP):
        return ()
    if not folded.isascii() and (bare := scripts.bare(folded)):
        return (folded[:_LONGEST], bare[:_LONGEST])
    return ((stem(folded) if language == "english" else folded)[:_LONGEST],)


def _wholes(token: str) -> list[str]:
    """An identifier as one term, and the identifiers that it is made of (the address in ``10.1.5.3:80``)."""
    wholes: list[str] = []
    inner = _OUTER.split(token)
    for piece in (token, *(inner if len(inner) > 1 else ())):
        if not _PARTS.search(piece) or not _names(piece):
            continue
        folded = _VERSION.sub("", _fold(piece))
        # one form for each way to write a date or an amount, so that the question's way need not be the passage's
        if year_first := _YEAR_FIRST.fullmatch(folded):
            wholes.append(_date(*year_first.groups()))
            continue
        if day_first := _EUROPEAN_DATE.fullmatch(folded):
            day, month, year = day_first.groups()
            wholes.append(_date(year, month, day))
        if _THOUSANDS.fullmatch(folded):
            folded = folded.replace(",", "")
        if _EUROPEAN_AMOUNT.fullmatch(folded):
            folded = folded.replace(".", "").replace(",", ".")
        if amount := _ROUND.fullmatch(folded):
            wholes.append(amount.group(1))
        whole = _SEPARATORS.sub("", _BETWEEN_DIGITS.sub(".", folded))
        if len(whole) <= _LONGEST:
            wholes.append(whole)
        bare = _SIGNS.sub("", folded)
        least = _COMPACT if "." in folded or bare.isdigit() else _COMPACT_MIXED
        if bare != whole and least <= len(bare) <= _LONGEST and "," not in folded and len(_SIGNS.findall(folded)) > 1:
            wholes.append(bare)
    return list(dict.fromkeys(wholes))


def _names(piece: str) -> bool:
    """Is the token an identifier, rather than several words (``and/or``, ``well-known``)?"""
    # hyphenated words joined cost .5 points of nDCG@10 on qmsum (docs/notebook.md)
    return any(sign.isdigit() for sign in piece) or any(mark in piece for mark in (*"._@\\&", "::", "->"))


def _fold(word: str) -> str:
    return word.lower() if word.isascii() else _folded(word)


def _folded(text: str) -> str:
    """Lower case without accents; marks that make another word stay."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    without_accents = "".join(sign for sign in apart if unicodedata.combining(sign) in _TELLING or _has_own_class(sign))
    return unicodedata.normalize("NFC", without_accents).translate(scripts.LETTERS)


def _has_own_class(sign: str) -> bool:
    """Vowels and tones of Thai, Lao, Tibetan and Telugu have classes of their own, between Hebrew's and Latin's."""
    return 36 < unicodedata.combining(sign) < 200
