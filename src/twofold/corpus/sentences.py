"""Find the ends of sentences: not after "Dr.", "No." or "e.g.", nor after an initial or the number of an item or a day.

The abbreviations are a short list for English, German, French, Spanish, Italian and Dutch. Statistics as in Punkt would
need a corpus, and the rules of larger libraries cost more time than better sentence ends are worth here.
"""

from __future__ import annotations

import re

_END = re.compile(r"(?<![.!?…])[.!?…]++[\"')\]”’»]*+\s+|[。！？]+[”’」』）]*")
_BEFORE_NAMES = frozenset(
    [
        "dr",
        "mr",
        "mrs",
        "ms",
        "mx",
        "prof",
        "st",
        "ste",
        "sr",
        "jr",
        "rev",
        "hon",
        "gen",
        "col",
        "lt",
        "sgt",
        "capt",
        "cmdr",
        "pres",
        "gov",
        "sen",
        "rep",
        "messrs",
        "mme",
        "mlle",
        "mm",
        "hr",
        "fr",
        "frau",
        "sra",
        "srta",
        "dott",
        "sig",
        "ing",
        "dipl",
        "univ",
        "geb",
        "mag",
        "dra",
        "avv",
        "arch",
        "dhr",
        "mevr",
        "no",
        "nos",
        "nr",
        "núm",
        "num",
        "n°",
        "art",
        "arts",
        "abs",
        "par",
        "para",
        "sec",
        "secs",
        "ch",
        "chap",
        "cap",
        "fig",
        "figs",
        "abb",
        "tab",
        "eq",
        "eqs",
        "ref",
        "refs",
        "vol",
        "vols",
        "ed",
        "eds",
        "pp",
        "pg",
        "p",
        "s",
        "bd",
        "kap",
        "anm",
        "ziff",
        "rn",
        "lit",
        "lfd",
        "tel",
        "fax",
        "ext",
        "approx",
        "ca",
        "circa",
        "cf",
        "vgl",
        "viz",
        "vs",
        "v",
        "al",
        "ff",
        "bzw",
        "sog",
        "ggf",
        "evtl",
        "inkl",
        "exkl",
        "zzgl",
        "max",
        "min",
        "zb",
        "bspw",
        "d.h",
        "z.b",
        "u.a",
        "i.d.r",
        "i.e",
        "e.g",
        "v.a",
        "z.t",
        "ed",
        "mt",
        "ft",
        "blvd",
        "ave",
        "rd",
        "hwy",
        "str",
        "pl",
        "sq",
        "apt",
        "bldg",
        "dept",
        "est",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sept",
        "sep",
        "oct",
        "okt",
        "nov",
        "dec",
        "dez",
        "janv",
        "févr",
        "avr",
        "juil",
        "déc",
        "ene",
        "abr",
        "ago",
        "dic",
        "art.no",
        "order.no",
    ]
)
"""Abbreviations before names, numbers and explanations: their dot never ends a sentence."""
_OFTEN_LAST = frozenset(
    [
        "etc",
        "usw",
        "inc",
        "ltd",
        "co",
        "corp",
        "plc",
        "llc",
        "bros",
        "mio",
        "mrd",
        "tsd",
        "std",
        "min",
        "sek",
        "u.s",
        "u.k",
        "u.n",
        "e.u",
        "a.m",
        "p.m",
        "ph.d",
    ]
)
"""Abbreviations that may end a sentence: their dot does so only before a capital letter."""
_STARTS_WORDS = """
    the this that these those it its he she they we you i there in on at if when while after before as a an and
    but so for from all no most some such each both der die das ein eine es er sie wir in im am bei wenn le la
    les il elle nous el los las un una se en si
"""
_STARTS = frozenset(_STARTS_WORDS.split())
"""Words that begin a sentence more often than they go on after a dotted abbreviation."""
_MONTH = re.compile(
    r"(?:jan|feb|mär|mar|apr|mai|may|jun|jul|aug|sep|okt|oct|nov|dez|dec|janv|févr|avr|juin|juil|ene|gen|giu|lug|set)",
    re.IGNORECASE,
)
_WORD = 24
"""Characters before a dot that are searched for the word."""
_WHOLE = re.compile(r"[^\W\d_]+(?:\.[^\W\d_]+)*\.?")


def ends(text: str) -> list[int]:
    """The start of the next sentence, for every sentence but the last, in order."""
    places: list[int] = []
    for mark in _END.finditer(text):
        if text[mark.start()] != "." or _is_end(text, mark):
            places.append(mark.end())
    return places


def _is_end(text: str, match: re.Match[str]) -> bool:
    at, after = match.start(), match.end()
    # an ellipsis ends as it stands: no abbreviation has two dots
    if text.startswith("..", at):
        return True
    # a bounded look back keeps the whole linear
    first = max(0, at - _WORD)
    word = text[first:at]
    cut = max(word.rfind(" "), word.rfind("\n"), word.rfind("\t"), word.rfind("\u00a0"))
    begins_line = (first + cut < 0 or text[first + cut] == "\n") if cut >= 0 else first == 0
    word = word[cut + 1 :].lstrip("([\"'„“‘*_|")
    if not word:
        return True
    if word.isdigit():
        # "12." at the start of a line numbers an item; "3. Mai" is a day
        return not (len(word) < 4 and begins_line) and not (len(word) < 3 and _MONTH.match(text, after) is not None)
    if "\n\n" in match.group() or _WHOLE.fullmatch(word) is None:
        return True
    low = word.lower()
    following = text[after : after + 1]
    if low in _BEFORE_NAMES:
        # "no" is also an answer: "No. The fee stays."
        return low == "no" and following.isupper()
    if len(word) == 1 and word.isupper():  # an initial, unless a number follows ("vitamin A. 20 mg")
        return following.isdigit()
    if low in _OFTEN_LAST or "." in low:
        if not following.isupper():
            return False
        next_word = text[after : after + 12].split(None, 1)[0].lower() if text[after : after + 12].strip() else ""
        return (low in _OFTEN_LAST and "." not in low) or next_word in _STARTS
    return True
