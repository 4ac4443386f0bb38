"""Texts in a notation, where a sign or the case of a letter makes another thing: flags, paths, hosts, units.

Words are compared without case and punctuation (`values`). ``ls -R`` and ``ls -r``, ``./a`` and ``/a``, ``a.b`` and
``ab``, ``CO`` and ``Co`` have the same letters and are not the same. `unlike` counts such pairs in two texts. A token
is looked at only where the other text has one of the same letters and digits, so ordinary prose is never touched. Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from twofold.metrics.markup import plain

CASED_UNIT = re.compile(r"[mM](?:Wh?|Hz|V|A|J|Pa|bar|eV|Bq|Sv|N)|M|Mg|[nmkMGTµμ]M|[MGT]i?b|Mm|K|T|G")
"""Units that are others when written in the other case: ``mW`` and ``MW``, ``Mg`` and ``mg``, ``Gb`` and ``GB``."""
_CASED_SYMBOLS = frozenset(
    ("co", "cs", "hf", "sn", "os", "po", "sc", "si", "ho", "nb", "np", "pb", "ph", "mn", "cn", "bi", "ni")
)
"""Symbols in lower case of which two spellings with a capital are two things: carbon monoxide and cobalt."""
_PREFIXED = frozenset(("mw", "mwh", "mv", "ma", "mhz", "mpa", "mj", "mbar", "mev"))
"""Units of which the case of the first letter counts, and that of no other: mHz, MHz and Mhz are two."""
_BITS = frozenset(("gb", "kb", "mb", "tb", "gib", "mib"))
"""Units of which the case of the last letter counts: bits and bytes."""
_MOLECULE = re.compile(r"(?=\D*\d)(?:[A-Z][a-z]?\d*){2,}")
_QUOTED = re.compile(r"(?<![^\s(\[{])([\"'`“‘«])([^\"'`“”‘’«»]*)([\"'`”’»])(?![^\s)\]}.,;:!?])")
_EMPHASIS = re.compile(r"(?<![^\s(\[{\"'“])(\*{1,3}|_{1,3})([^*_\n]+)\1(?!\w)")
"""Markdown around several words; around one word it may be its name: ``__init__``."""
_CHUNK = re.compile(r"\S+")
_FLAG = re.compile(r"(?:--?|\+)[A-Za-z][\w-]*(?:=\S+)?")
_PATH = re.compile(
    r"(?:~|\.{1,2})?/[\w.~][^\s]*|[A-Za-z]:[\\/]\S*|\\\\\S+|[\w.-]+(?:/[\w.-]+)+\.\w+|[\w.-]+(?:/[\w.-]+){2,}"
)
_SIGIL = re.compile(r"(?:[@#$&~!%]|\*{1,2})[A-Za-z_]\w*|_+[A-Za-z]\w*(?<!_)|__[a-z]\w*__|[A-Za-z]\w*_|::?[a-z_]\w*"
                    r"|\*{1,2}\.\w+|\.[a-z][\w-]*|[A-Za-z]\w*(?:\[\])+")  # fmt: skip
_DOTTED = re.compile(r"\w[\w-]*(?:\.\w[\w-]*)+(?::\d+)?(?:\(\))?|[A-Za-z]\w*(?::\w+)+")
_ABBREVIATED = re.compile(r"(?:[A-Z]\.)+[A-Z]|[A-Za-z]{1,2}\.[A-Z][a-z]?|(?i:e\.g|i\.e|[ap]\.m|[bc]\.[ce]|a\.k\.a)")
_IPV6 = re.compile(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:/\d{1,3})?")
_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_ANGLED = re.compile(r"<(https?://[^<>\s]+)>")
_TAG = re.compile(r"</?[A-Za-z][\w-]*\s?/?>")
_REPEATED = re.compile(r"\)\d")
"""A group of a chemical formula that stands in it several times: ``Fe(OH)2``."""
_LONGEST = 300
"""Characters of a token that is still looked at."""
_SHORT_FLAGS = re.compile(r"-[A-Za-z]{1,5}")
_MORE_FLAGS = re.compile(r"\s{1,3}--?[A-Za-z]")
_FACTORIAL = re.compile(r"(?<![\w!])(?:[a-zA-Z]|\d{1,4}|\([\w+-]{1,10}\))!(?![=\w])")
_HERE = re.compile(
    r"(?:git|docker|pip|cd|ls|make|cargo|find|grep|cp|mv|code|ruff|black|pytest|npx?)\s(?:[^\n]*\s)?\.\Z"
)
"""A command about the folder it is given in: ``git add .``."""
_FEET = re.compile(r"\d+(?:\.\d+)?(?:'|\"|'')")
_BRACKETED = re.compile(r"([\[{<(])([^\[\]{}<>()\n]*)([\]}>)])")
_TERMS = re.compile(r"(?:\d(?:\.\d)?|[A-Za-z])*(?:[-+*/^=](?:\d(?:\.\d)?|[A-Za-z])*)+")
_BRACKETS = {"[": "]", "{": "}", "<": ">", "(": ")"}


def cased(text: str) -> bool:
    """Does the text hold a token in which the case of a letter matters?"""
    return any(_keeps_case(chunk) or chunk.casefold() in _CASED_SYMBOLS for chunk in _chunks(text))


def unlike(text: str, reference: str) -> int:
    """Tokens of the reference that the text writes as another thing of the same letters and digits.

    Args:
        text: An answer.
        reference: What it is compared with.
    """
    text, reference = plain(text), plain(reference)
    mine = _by_letters(text)
    count = 0
    for letters, forms in _by_letters(reference).items():
        others = mine.get(letters, ())
        for form in forms:
            # Nearly all words stand in both as they are: only the rest is worth a look at its notation.
            if others and form not in others:
                count += all(_differ(form, other) for other in others)
    return max(count, _bracketed_otherwise(text, reference), _goes_on(text, reference), _lacks_flag(text, reference))


def named(reference: str) -> bool:
    """Is the reference one token in a notation, such as a path, of which nothing may be another?"""
    chunks = _chunks(reference)
    return len(chunks) == 1 and _kind(chunks[0]) in ("flag", "path", "url")


def _goes_on(text: str, reference: str) -> bool:
    """Is the reference a command of which the answer has more flags, or a factorial of which it lacks the sign?"""
    if "!" not in text and _FACTORIAL.search(reference):
        return True
    if _HERE.match(reference.strip()) and not re.search(r"\s\.(?:\s|\Z|[`'\"])", text):
        return True
    plain, command = text.casefold(), reference.strip().casefold()
    place = plain.find(command) if " -" in text and command else -1
    while place >= 0 and _MORE_FLAGS.match(text, place + len(command)):
        place = plain.find(command, place + len(command))
        if place < 0:
            return True
    return False


def _lacks_flag(text: str, reference: str) -> bool:
    """Is the reference a command with a flag that the answer lacks: ``git push`` for ``git push --force``?

    Flags of one letter may be apart or together, with or without their hyphen: ``-la``, ``-l -a``, ``tar xzf``.
    """
    if " -" not in reference and reference[:1] != "-":
        return False
    theirs, mine = _chunks(reference), _chunks(text)
    long = {chunk for chunk in theirs if re.fullmatch(r"--[a-z][\w-]+(?:=\S+)?", chunk)}
    # A cluster that stands there without its hyphen is not lacking.
    short: set[str] = set()
    for chunk in theirs:
        if _SHORT_FLAGS.fullmatch(chunk) and chunk[1:] not in mine:
            short.update(chunk[1:])
    others: set[str] = set()
    for chunk in mine:
        if _SHORT_FLAGS.fullmatch(chunk):
            others.update(chunk[1:])
    # ``--recursive`` may be what ``-r`` is: a flag of the other form in the answer leaves it open.
    flags = tuple(mine)
    lacks_long = not all(_begins_any(name, flags) for name in long)
    lacks_short = not short <= others
    return (lacks_long and not others - short) or (lacks_short and not _begins_any("--", flags))


def _begins_any(start: str, chunks: Sequence[str]) -> bool:
    return any(chunk.startswith(start) for chunk in chunks)


@lru_cache(maxsize=16384)
def _by_letters(text: str) -> dict[str, tuple[str, ...]]:
    out: defaultdict[str, list[str]] = defaultdict(list)
    for chunk in _chunks(text):
        letters = "".join(filter(str.isalnum, chunk)).casefold()
        if letters and chunk not in out[letters]:
            out[letters].append(chunk)
    return {letters: tuple(forms) for letters, forms in out.items()}


def _chunks(text: str) -> list[str]:
    """The runs without blanks, without what quotes them and the punctuation of the sentence."""
    plain = _EMPHASIS.sub(_unemphasised, _QUOTED.sub(r"\2", text))
    plain = _ANGLED.sub(r"\1", plain)
    return [_bare(match.group()) for match in _CHUNK.finditer(plain)]


def _unemphasised(match: re.Match[str]) -> str:
    inner = match[2]
    one_word = match[1][:2] == "**" or re.search(r"\w[./-]\w", inner)
    return inner if (" " in inner or one_word) and inner == inner.strip() else match[0]


def _bare(chunk: str) -> str:
    # Letters and digits alone have nothing around them.
    if chunk.isalnum():
        return chunk
    chunk = chunk.rstrip(".,;:!?…").lstrip('“‘«`"')
    if not _FEET.fullmatch(chunk):  # of 6'2" the sign is no quotation mark
        chunk = chunk.rstrip("\"'`”’»")
    for opening, closing in (("(", ")"), ("[", "]"), ("{", "}")):
        if chunk.startswith(opening) and closing not in chunk:
            chunk = chunk[1:]
        elif chunk.endswith(closing) and opening not in chunk:
            chunk = chunk[:-1]
    chunk = chunk[1:-1] if chunk[:1] == "(" and chunk[-1:] == ")" else chunk
    return chunk.rstrip(".,;:!?")


@lru_cache(maxsize=16384)
def _kind(chunk: str) -> str:
    """The notation of a token; empty for a word."""
    # Flags, paths and hosts are short, and ASCII.
    if len(chunk) > _LONGEST or not chunk.isascii():
        return ""
    if _FEET.fullmatch(chunk):
        return "feet"
    if _URL.fullmatch(chunk):
        return "url"
    if _FLAG.fullmatch(chunk):
        return "flag"
    if _SIGIL.fullmatch(chunk):
        return "name"
    # Dates and ratios have slashes as well, but no letter.
    if _PATH.fullmatch(chunk) and "//" not in chunk and any(map(str.isalpha, chunk)):
        return "path"
    # Times of day have colons as well: without "::" a token is taken for one.
    if "::" in chunk and _IPV6.fullmatch(chunk):
        return "host"
    # ``e.g`` and ``v1.2`` have points as well.
    dotted = _DOTTED.fullmatch(chunk) and not _ABBREVIATED.fullmatch(chunk) and not re.search(r"\d\.\d", chunk)
    return "host" if dotted else ""


def _keeps_case(chunk: str) -> bool:
    return _kind(chunk) in ("flag", "path", "url") or bool(re.fullmatch(r"\$[A-Za-z_]\w*", chunk))


def _differ(word: str, other: str) -> bool:
    kinds = _kind(word), _kind(other)
    if kinds == ("url", "url"):
        return _address(word) != _address(other)
    if _TAG.fullmatch(word) and _TAG.fullmatch(other):
        return word.startswith("</") != other.startswith("</")
    if bool(_REPEATED.search(word)) != bool(_REPEATED.search(other)) and word[0].isupper() and not any(kinds):
        return True
    if not any(kinds):
        return _is_other_symbol(word, other)
    if "path" in kinds:
        # A folder is the same with its last slash and without.
        word, other = (text.rstrip("/") for text in (word, other))
    if not (_keeps_case(word) or _keeps_case(other)):
        word, other = word.casefold(), other.casefold()
    return word != other


def _address(url: str) -> str:
    """An address without its scheme: hosts have no case, and paths have one."""
    host, slash, path = url.partition("://")[2].partition("/")
    return f"{host.lower().removeprefix('www.')}{slash}{path}".rstrip("/")


def _is_other_symbol(word: str, other: str) -> bool:
    """Are two words with a capital each two symbols? One in lower case may be either."""
    folded = word.casefold()
    if folded != other.casefold() or word == other or word == word.lower() or other == other.lower():
        return False
    if folded in _PREFIXED:
        return word[0] != other[0]
    if folded in _BITS:
        return word[-1] != other[-1]
    return folded in _CASED_SYMBOLS or bool(_MOLECULE.fullmatch(word) and _MOLECULE.fullmatch(other))


def _bracketed_otherwise(text: str, reference: str) -> bool:
    """Does the text put in other brackets what the reference puts in brackets: a set is no list?"""
    mine, theirs = _groups(text), _groups(reference)
    return any(mine[inner].isdisjoint(kinds) for inner, kinds in theirs.items() if inner in mine) or (
        "(" in reference
        and "(" in text
        and _nesting(text) != _nesting(reference)
        and _formula(text) == _formula(reference)
    )


@lru_cache(maxsize=16384)
def _groups(text: str) -> dict[str, set[str]]:
    """Texts in brackets, by their letters and digits, with the kinds of these brackets."""
    out: defaultdict[str, set[str]] = defaultdict(set)
    for match in _BRACKETED.finditer(text):
        if _BRACKETS[match[1]] == match[3] and (inner := "".join(filter(str.isalnum, match[2])).casefold()):
            out[inner].add(match[1])
    return dict(out)


def _formula(text: str) -> str:
    """A formula without blanks and brackets; empty for anything else."""
    plain = re.sub(r"[\s()]", "", text.strip(" ."))
    return plain if len(plain) <= _LONGEST and _TERMS.fullmatch(plain) else ""


def _nesting(text: str) -> str:
    """A formula without blanks, and without the brackets around all of it."""
    plain = re.sub(r"\s", "", text.strip(" .")) if _formula(text) else ""
    inner = plain[1:-1]
    return inner if plain[:1] == "(" and plain[-1:] == ")" and "(" not in inner else plain
