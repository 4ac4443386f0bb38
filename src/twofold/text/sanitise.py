"""Texts by others are data: make them plain for a prompt, and search them for instructions to the model. Pure.

`plain` returns the form of a text that a prompt shows: without hidden characters, with look-alike letters folded, and
with chat-template control tokens broken, so that no tokenizer recognises them. The origin of every character is known,
so that a quote from the shown text is a span of the original. `findings` reports passages that look like an attack.

The patterns find instructions addressed to a model ("ignore the above", "in your reply, add"), also in base64, hex or
binary. A task posed as an ordinary question, or a false statement, looks like any other text: no pattern finds it, and
`bench/hostile.py` prints how many get through.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, starmap
from typing import Literal

Kind = Literal["instruction", "control-token", "hidden-text"]

_SPACES = frozenset("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
_BREAKS = frozenset("\u2028\u2029\u0085\x0b\x0c")
_JOINERS = frozenset("\u200c\u200d")
"""Zero-width joiners: they have a meaning in Arabic and Indic scripts and in emoji, none between Latin letters."""
_FILLERS = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060\u3164\ufeff\uffa0")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\u3164\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uff01-\uff5e\uffa0\ufff9-\uffff"
    "\U0001d400-\U0001d7ff\U000e0000-\U000e0fff]"
)
"""Characters that `_folded` changes."""
_HIDDEN = re.compile(
    "[\U000e0000-\U000e007f\U000e0100-\U000e01ef]{2,}|[\ufe00-\ufe0f]{2,}|[\u200b\u2060-\u2064\ufeff\u206a-\u206f]{3,}"
)
_BRACKETED = re.compile(r"<.+>|\[.+\]", re.DOTALL)
_CONTROL = re.compile(
    r"<\|[^<>|\n]{1,60}\|>|</?s>|<</?SYS>>|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]"
    r"|</?(?:start_of_turn|end_of_turn|bos|eos|pad|unk|mask|think|tool_call|tool_response|begin_of_text"
    r"|end_of_text|passages?)(?:[ _-]\w{0,40})?>",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Plain:
    """The form of a text that a prompt may show."""

    text: str
    """The shown text."""
    origin: tuple[int, ...] | None
    """For each character of `text` its place in the original, then the original's length. None: nothing was changed."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original's range behind ``text[start:end]``."""
        return (start, end) if self.origin is None else (self.origin[start], self.origin[end])


def plain(text: str) -> Plain:
    """Make a text plain.

    Removed: control characters, zero-width and bidirectional controls, tag characters, surplus variation selectors
    and fillers (Unicode TR 36 and 39). Folded: full-width ASCII, mathematical letters, exotic spaces, and canonical
    equivalents (NFC); superscripts, fractions and ligatures keep their form, as NFKC would change their meaning. Broken
    by a blank: the control tokens of the known chat templates, and the fence around passages.
    """
    return _broken(_visible(text))


def shown(text: str) -> str:
    """`plain` without the places."""
    return plain(text).text


def defused(text: str, controls: Sequence[str]) -> str:
    """Break each of a tokenizer's control tokens in a text by a blank after its first character.

    Args:
        text: A text by somebody else.
        controls: The tokenizer's control tokens, as strings of at least two characters.
    """
    if not controls:
        return text
    search = _any_of(tuple(controls))
    # again and again: breaking one token may leave another whole, as in nested ones
    while search.search(text):
        text = search.sub(lambda match: f"{match.group()[0]} {match.group()[1:]}", text)
    return text


def control_tokens(added: Iterable[tuple[str, bool]]) -> tuple[str, ...]:
    """The added tokens of a tokenizer that a text must not contain: the special ones, and others in brackets.

    Args:
        added: Content of each added token, and whether the tokenizer marks it as special.
    """
    return tuple(sorted({c for c, special in added if len(c) > 1 and (special or _BRACKETED.fullmatch(c))}))


@lru_cache(maxsize=16)
def _any_of(controls: tuple[str, ...]) -> re.Pattern[str]:
    # The longest first: of two that begin alike the shorter one would leave a rest.
    return re.compile("|".join(re.escape(one) for one in sorted(controls, key=len, reverse=True)))


def _visible(text: str) -> Plain:
    """Remove hidden characters and fold look-alikes; control tokens stay whole."""
    # Nearly all texts are plain already: none of their characters need be looked at.
    if (text.isascii() and text.isprintable()) or (not _ODD.search(text) and unicodedata.is_normalized("NFC", text)):
        return Plain(text, None)
    letters: list[str] = []
    origin: list[int] = []
    for start, cluster in _clusters(text):
        shown = unicodedata.normalize("NFC", "".join(_folded(c, start + i, text) for i, c in enumerate(cluster)))
        letters += shown
        origin += [start] * len(shown)
    # One place more: a span may end behind the last character.
    return Plain("".join(letters), (*origin, len(text)))


def _clusters(text: str) -> list[tuple[int, str]]:
    """Split a text into characters with their combining marks, the units that NFC may join."""
    clusters: list[tuple[int, str]] = []
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not (unicodedata.combining(text[at]) or _jamo(text[at])):
            clusters.append((start, text[start:at]))
            start = at
    return clusters if text else []


def _jamo(character: str) -> bool:
    # Vowels and final consonants of Hangul, which NFC joins with what stands before them.
    return "\u1161" <= character <= "\u11ff"


def _folded(character: str, at: int, text: str) -> str:
    code = ord(character)
    if code < 0x20 or 0x7F <= code < 0xA0:
        return character if character in "\t\n\r" else "\n" if character in _BREAKS else ""
    # Latin letters and their accents: nothing to fold.
    if code < 0x300 and character not in _SPACES and code != 0xAD:
        return character
    if character in _SPACES:
        return " "
    if character in _BREAKS:
        return "\n"
    if character in _JOINERS:
        return character if _is_joining(text, at) else ""
    if character in _FILLERS or character in _BIDI or 0x2061 <= code <= 0x206F or 0xFFF9 <= code <= 0xFFFB:
        return ""
    if 0xFE00 <= code <= 0xFE0F:
        # One selector belongs to the character before it; a run of them carries hidden text.
        return character if at and not 0xFE00 <= ord(text[at - 1]) <= 0xFE0F else ""
    if 0xE0000 <= code <= 0xE0FFF or 0xFDD0 <= code <= 0xFDEF:
        return ""
    if 0xD800 <= code <= 0xDFFF:
        # A lone surrogate cannot be written as UTF-8.
        return "\ufffd"
    if 0xFF01 <= code <= 0xFF5E or 0x1D400 <= code <= 0x1D7FF:
        # Full-width and mathematical letters look like plain ones, and hide words from a search.
        return unicodedata.normalize("NFKC", character)
    return character


def _is_joining(text: str, at: int) -> bool:
    """Is the joiner at `at` between characters of a script that uses joiners (or emoji)?"""
    return 0 < at < len(text) - 1 and all(
        ord(c) >= 0x0590 and c not in _JOINERS and c not in _FILLERS for c in (text[at - 1], text[at + 1])
    )


def _broken(plain: Plain) -> Plain:
    """Break control tokens by a blank after their first character."""
    while cuts := [match.start() + 1 for match in _CONTROL.finditer(plain.text)]:
        origin = plain.origin or range(len(plain.text) + 1)
        pieces = list(pairwise([0, *cuts, len(plain.text)]))
        places: list[int] = []
        for start, end in pieces:
            # the blank after a piece, and at the very end the length of the original, have the place of what follows
            places += [*origin[start:end], origin[end]]
        plain = Plain(" ".join(plain.text[start:end] for start, end in pieces), tuple(places))
    return plain


# ---------------------------------------------------------------- findings


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a text that looks like an attack on the model that reads it."""

    kind: Kind
    """Kind of attack that it looks like."""
    start: int
    """First character of the sentence (or of the token, or the hidden characters) in the original text."""
    end: int
    """Place after its last character."""


_MODEL = r"(?:instructions?|directions?|directives?|prompts?|rules|guidelines|commands?|orders|restrictions|context)"
_REPLY = r"\byour\s+(?:\w+\s+)?(?:answer|reply|replies|response|output|completion)\b"
_DO = (
    r"(?:add|include|insert|append|integrate|modify|augment|enhance|provide|replace|use|remove|translate|write|end|begin|"
    r"start|make|render|scramble|rearrange|group|combine|introduce|misspell|jumble|anagram|convert|substitute|"
    r"incorporate|embed|finish|conclude|limit|change|alter|encode|format|give|generate|mention|say|state|output|print)"
)
_VERB = r"(?:ignore|disregard|forget|overlook|bypass|override|neglect|dismiss|do\s+not\s+follow|don'?t\s+follow)"
_FROM = r"(?:^|[.!?:;\n>\"|*#(-])[^\S\n]*"
"""The beginning of a sentence or clause. A line break is a beginning itself, so that a run of them is scanned once."""
_SAY = r"(?:say|state|tell|output|print|reply|respond|answer|write|return|claim|consider)"
_VERBS = "ignore disregard forget overlook bypass override neglect dismiss follow"
_ORDERS = "instruction direction directive prompt rules guideline command orders restriction context"
_REPLIES = "answer repl response output completion"
_ATTACKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        (_VERBS, _ORDERS),
        rf"\b{_VERB}\b[^.!?\n]{{0,40}}\b(?:previous|prior|above|earlier|preceding|past|all|any|your|these|those|system|"
        rf"existing|current|other)\b[^.!?\n]{{0,30}}\b{_MODEL}\b",
    ),
    (
        (_VERBS, "all everything anything every everthing", "told instructed said above before"),
        rf"\b{_VERB}\s+(?:all|everything|anything|every\s*thing|everthing)\b[^.!?\n]{{0,30}}\b(?:told|instructed|said|"
        r"above|before)\b",
    ),
    (
        ("ignore disregard", "and instead then"),
        rf"\b(?:ignore|disregard)\s+(?:the|this|that|all|everything)\b[^.!?\n]{{0,60}}\b(?:and|instead|then)\b"
        rf"[^.!?\n]{{0,24}}\b{_SAY}\b",
    ),
    (
        ("your", _REPLIES),
        rf"{_FROM}(?:please\s+|also\s+|then\s+|and\s+|finally,?\s+)?{_DO}\b[^.!?\n]{{0,120}}{_REPLY}",
    ),
    (
        ("your", _REPLIES),
        rf"{_FROM}(?:please,?\s+)?(?:in|to|at\s+the\s+end\s+of|before|after)\s+{_REPLY}"
        rf",?\s+(?:please\s+)?(?:suggest|tease|{_DO})\b",
    ),
    (
        ("you", "now about longer"),
        r"\byou\s+are\s+(?:now|about\s+to|no\s+longer)\s+(?:a|an|the|in|act|immerse|become|bound|entering|dan|free)\b",
    ),
    (
        ("you", "ai artificial language chat llm"),
        r"\byou\s+are\s+(?:an?\s+)?(?:ai|artificial\s+intelligence|large\s+language|language\s+model|chat\s?bot|llm)\b",
    ),
    (
        ("ai llm language chat assistant", "as attention note dear hello if"),
        r"\b(?:as\s+an?|attention,?|note\s+to(?:\s+the)?|dear|hello,?|if\s+you\s+are\s+an?)\s+(?:ai\b|llms?\b|"
        r"language\s+model|chat\s?bot|assistant\s+reading|automated\s+assistant)",
    ),
    (
        ("mode override anything",),
        r"\b(?:do\s+anything\s+now|developer\s+mode|jail\s?break(?:ed)?\s+mode|(?:enter|entering|enable)\s+"
        r"(?:system|god|debug|security|admin)\s+(?:mode|override)|<\s*system\s+mode|"
        r"(?:system|developer|security|admin)\s+(?:\w+\s+){0,2}override)\b",
    ),
    (
        ("you", "listen obey follow answer", "my"),
        r"\byou\s+(?:must|have\s+to|will)\s+(?:listen\s+to|obey|follow|answer)\b[^.!?\n]{0,20}\bmy\s+(?:\w+\s+)?(?:instructions?|commands?|orders|questions)\b",
    ),
    (
        ("new updated real actual", _ORDERS, ":"),
        rf"\b(?:new|updated|real|actual)\s+{_MODEL}\s*:",
    ),
    (
        (
            "prompt instructions password secret rules",
            "reveal show print repeat output disclose leak tell give confirm",
        ),
        r"\b(?:reveal|show|print|repeat|output|disclose|leak|tell\s+me|give\s+me|confirm)\b[^.!?\n]{0,30}"
        r"\b(?:system\s+prompt|initial\s+prompt|your\s+(?:instructions|prompt|password|secret|rules)|the\s+password)",
    ),
    (
        ("user", "tell inform instruct convince urge direct"),
        r"\b(?:tell|inform|instruct|convince|urge|direct)\s+(?:the\s+)?users?\s+(?:to|that|they)\b",
    ),
    (
        ("pretend imagine act", "you", "ai model assistant rules restrict"),
        r"\b(?:pretend|imagine|act\s+as\s+if)\b[^.!?\n]{0,30}\byou\s+(?:are|were|have)\b[^.!?\n]{0,30}"
        r"\b(?:ai|model|assistant|no\s+rules|restrictions|unrestricted)\b",
    ),
    (
        ("ignor olvida oubliez vergess vergiss esque", "instruc indica anweisung consignes ordenes órdenes"),
        r"\b(?:ignor[ae]|olvida|ignorez|oubliez|ignoriere?n?|vergessen?|vergiss|esque[cç]a)\b[^.!?\n]{0,40}\b(?:instruc|"
        r"indica|anweisung|consignes|ordenes|órdenes)\w*",
    ),
    (
        (),
        r"(?:忽略|无视|無視|忘记|忘記)[^。！？\n]{0,12}(?:指令|指示|说明|說明|提示|上述|以上|之前)|(?:指示|命令)を?(?:無視|忘れ)|"
        r"無視して[^。\n]{0,40}(?:述べ|答え|言っ|出力|返)|"
        r"이전\s*(?:지시|명령)\S{0,12}\s{0,4}(?:무시|잊)|(?:निर्देशों|निर्देश)\s*(?:की|को)\s*(?:अनदेखी|अनदेखा|भूल)|"
        r"(?:игнорируй|забудь)\w{0,8}[^.!?\n]{0,30}(?:инструкц|указан)\w*",
    ),
)
"""Words, of each line of which one stands in all that the pattern finds, and the pattern: words are found sooner."""


def _compiled(needed: tuple[str, ...], pattern: str) -> tuple[tuple[list[str], ...], re.Pattern[str]]:
    # A full stop within a word, as in "e.g.this" or a version, ends no sentence.
    inner = pattern.replace("[^.!?\\n]", r"(?:[^.!?\n]|[.!?](?=\S))")
    return tuple(words.split() for words in needed), re.compile(inner, re.IGNORECASE)


_PATTERNS = tuple(starmap(_compiled, _ATTACKS))
_ENDS = re.compile(r"(?<=[.!?。！？])[\s\"')\]]+|\n+|-->|</?(?:p|div|li|td|h\d|body|html)\b[^<>]*>", re.IGNORECASE)
_BASE64 = re.compile(r"(?<![\w+/])[A-Za-z0-9+/]{24,}={0,2}(?![\w+/=])")
_HEX = re.compile(r"(?<!\w)(?:[0-9a-f]{2}\s?){16,}(?!\w)", re.IGNORECASE)
_BINARY = re.compile(r"(?<!\w)(?:[01]{8}\s?){8,}(?!\w)")


def _possible(text: str) -> Iterator[re.Pattern[str]]:
    """Those of the patterns that may find something in the text, because their words stand in it."""
    ascii_only = text.isascii()
    # Ignoring case a pattern takes three more letters for ASCII ones, and `lower` only the sign for kelvin.
    small = (text if ascii_only else text.replace("ı", "i").replace("İ", "i").replace("ſ", "s")).lower()
    for needed, pattern in _PATTERNS:
        # The last one finds words of other scripts only.
        if all(any(map(small.__contains__, words)) for words in needed) if needed else not ascii_only:
            yield pattern


def _instructs(text: str) -> bool:
    return any(pattern.search(text) for pattern in _possible(text))


def findings(text: str) -> list[Finding]:
    """Everything in `text` that looks like an attack, in order; an instruction is reported as its whole sentence."""
    spans = {(m.start(), m.end(), "hidden-text") for m in _HIDDEN.finditer(text)} if not text.isascii() else set()
    visible = _visible(text)
    here = visible.text
    spans |= {(*visible.span(m.start(), m.end()), "control-token") for m in _CONTROL.finditer(here)}
    # the middle of a match: its beginning may still belong to the end of the sentence before
    places: list[int] = []
    for pattern in _possible(here):
        places += [match.start() + len(match.group()) // 2 for match in pattern.finditer(here)]
    places += [match.start() for match, decoded in _decoded(here) if _instructs(decoded)]
    if places:
        edges = [0, *(m.end() for m in _ENDS.finditer(here)), len(here)]
        places.sort()
        for start, end in pairwise(edges):
            if bisect_left(places, start) < bisect_left(places, end):
                trimmed = end - (len(here[start:end]) - len(here[start:end].rstrip()))
                spans.add((*visible.span(start, trimmed), "instruction"))
    return [Finding(kind, start, end) for start, end, kind in sorted(spans)]  # type: ignore[arg-type]


@lru_cache(maxsize=4096)
def instructions(text: str) -> tuple[Finding, ...]:
    """The sentences among `findings` that are instructions to the model."""
    return tuple(one for one in findings(text) if one.kind == "instruction")


@lru_cache(maxsize=4096)
def kinds(text: str) -> tuple[Kind, ...]:
    """Kinds of the `findings` in a text, each once, sorted."""
    return tuple(sorted({one.kind for one in findings(text)}))


def _decoded(text: str) -> list[tuple[re.Match[str], str]]:
    """Texts in base64, hex or binary inside `text`, decoded, where they are readable."""
    decoded: list[tuple[re.Match[str], str]] = []
    for pattern, read in ((_BASE64, _base64), (_HEX, bytes.fromhex), (_BINARY, _binary)):
        for match in pattern.finditer(text):
            try:
                words = read(match.group()).decode("ascii")
            except (ValueError, binascii.Error):
                continue
            if words.isprintable():
                decoded.append((match, words))
    return decoded


def _base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))  # padding is often left out, and too much of it does no harm


def _binary(text: str) -> bytes:
    return bytes(int(part, 2) for part in re.findall("[01]{8}", text))
