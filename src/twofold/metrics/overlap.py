"""How much of a reference an answer has. Best over all references.

`exact_match`, `token_f1`, `contains` and `answer_f1` compare what the reference is: words as SQuAD does, numbers,
signs, units and dates as values (`values`), JSON by structure, SQL and code by tokens (`formal`). `squad_exact` and
`squad_f1` are SQuAD's script, `rouge_l` is the `rouge-score` package: they are blind to signs and operators.

An unanswerable example scores 1 for an abstention and 0 for anything else; an abstention on an answerable example
scores 0, whatever words it shares with the reference.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from itertools import pairwise
from typing import ClassVar

from twofold.metrics.agreement import bag_f1, field_f1
from twofold.metrics.contraries import (
    contrary,
    exchanged,
    half_listed,
    longer_name,
    money_or_weight,
    other_bound,
    other_characters,
    other_currency,
    other_name,
    other_number,
    other_word,
)
from twofold.metrics.denials import (
    DENIALS,
    clauses,
    denied,
    denies,
    is_denied_whole,
    is_refuted,
    sentences,
    tells,
    without_denied_sentences,
    without_idle,
    without_refuted_question,
    without_standing_no,
)
from twofold.metrics.equivalents import alternative, of_money
from twofold.metrics.formal import canonical, found_json, language, parse, pieces
from twofold.metrics.markup import literal, plain, unescaped, untagged
from twofold.metrics.notation import named, unlike
from twofold.metrics.spellings import CURRENCY, UNITS, UNSPACED, unlisted
from twofold.metrics.text import common_subsequence, find, squad_tokens, words
from twofold.metrics.values import all_tokens, contained, tokens, versioned
from twofold.plugins import protocols
from twofold.types import Answer, Example

AROUND = 30
"""Tokens that may stand around a reference in an answer that `AnswerF1` still takes as a sentence: two or three."""
_POSSESSIVE = re.compile(r"(?<=\w)(?<!\d[0０])['’]s\b(?!\s*(?:not|no)\b)")
_REMARK = re.compile(r"(?<=\S)\s+(?:\([^()]*\)|\[[^\[\]]*\])")
_IN_LATEX = re.compile(r"\\[A-Za-z]|[\^_]\{|√")
_FEW = 4
"""Tokens of a reference that can be one candidate of several; a longer one has lists and an "or" of its own."""
_SHORT = 12
"""Tokens of a reference in which one wrong number or designator makes another answer."""
_NO_UNIT = frozenset(
    ("of", "in", "is", "are", "was", "were", "who", "which", "that", "and", "or", "to", "for", "on", "at")
)
_TIMES = ("day", "week", "month", "year", "minute", "second", "hour", "percent")
_KNOWN_UNITS = frozenset((*UNITS, *UNITS.values(), *_TIMES, *(f"{one}s" for one in _TIMES)))
_DESIGNATOR = re.compile(r"\d[\d.]*|[ivx]{1,6}|(?:ab|[a-z0])[-+]?")
"""Marks that tell things of one name apart: a number, a Roman numeral, a letter, a blood group."""
_LEADS = frozenset(("is", "be", "are", "was", "use", "call", "run", "try", "write", "say", "with", "by"))
"""Words of a sentence that code may follow as what the sentence is about."""
_GROUPING = frozenset("()[]{},;")
_NOT_RIGHT = 0.49
"""The most that an answer gets which shares words with the reference and means another thing."""
_ALTERNATIVES = frozenset(("or", "oder", "ou", "o", "или", "أو", "या", "或"))
_YES = {"yes": "no", "ja": "nein", "oui": "non", "true": "false"}
_POLAR = {**_YES, **{no: yes for yes, no in _YES.items()}}
_LISTED = re.compile(r"[,;/|?\n]+|\bor\b|\band\b")
_OR = re.compile(r"\bor\b|\?")
_CORRECTION = re.compile(
    r"(?<=\w)(?:\s?[,;—–-]\s?(?:no|no,? wait|I mean)|\s?[,;.—–-]\s?(?:sorry|wait|correction))[,:;]\s", re.IGNORECASE
)
_HEDGES = frozenset(("maybe", "perhaps", "possibly"))
_LETTERED = re.compile(r"(?:\A|(?<=[a-z] ))([A-HJ-Z])[ -]([^\W\d_]{1,40})")
"""A letter that begins a name of two words, as in "the A team"."""
_MOST_LISTED = 3
"""Other short items in one list with the reference from which an answer is a list of candidates; 2 with an "or"."""


class _Overlap(ABC):
    """Behaviour shared by the metrics of this module: references, abstention, and best of."""

    version: ClassVar[int] = 9
    Options: ClassVar[type[protocols.Options]] = protocols.Options

    def __init__(self, options: protocols.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """Best score over the references, in [0, 1]; None when there is no reference to compare with."""
        if not example.answerable:
            return float(answer.abstained)
        if not example.references:
            return None
        if answer.abstained:
            return 0.0
        return max(self.compare(answer.text, reference) for reference in example.references)

    @abstractmethod
    def compare(self, text: str, reference: str) -> float:
        """Score of one answer text against one reference."""

    def wants(self, example: Example) -> str:
        """A name of the wanted answer: examples that want the same are interchangeable (see `scorer_check`)."""
        if not example.answerable or not example.references:
            return "\0abstain"
        return " ".join(units(example.references[0], example.references[0]))


def units(text: str, reference: str) -> tuple[str, ...]:
    """The tokens of a text, read in the language of the reference it is compared with."""
    kind = language(reference)
    if kind == "json":
        # The reference is JSON as a whole; an answer may have its JSON between sentences.
        value = parse(text) if text == reference else found_json(text)
        return () if value is None else (canonical(value),)
    return pieces(literal(text, reference), kind) if kind else tokens(text, versions=versioned(reference))


def same(text: str, reference: str) -> bool:
    """Is the answer the reference, but for how it is written?"""
    if language(reference):
        return units(text, reference) == units(reference, reference) or _same_formula(text, reference)
    if unlike(text, reference):
        return False
    versions = versioned(reference)
    return any(
        tokens(one, versions=versions) == tokens(two, versions=versions)
        or all_tokens(one, versions=versions) == all_tokens(two, versions=versions)
        for one, two in _written(text, reference)
    )


def _same_formula(text: str, reference: str) -> bool:
    r"""Is a formula in LaTeX, or its answer, the same in plain signs: ``\frac{\pi}{4}`` and ``π/4``?"""
    if language(reference) != "code" or not _IN_LATEX.search(text + reference):
        return False
    mine, theirs = (alternative(plain(one)) for one in (text, reference))
    return "\\" not in theirs and pieces(mine, "code") == pieces(theirs, "code")


def _written(text: str, reference: str) -> list[tuple[str, str]]:
    """Both texts as they are, and in the forms in which what may mean the same is written one way."""
    # Where the reference has tags or back slashes they are what is compared.
    bare = text if "<" in reference and untagged(reference) != reference else untagged(text)
    bare = plain(bare) if "\\" in reference else unescaped(plain(bare))
    mine, theirs = alternative(bare), alternative(plain(reference))
    other = of_money(mine, theirs), of_money(theirs, mine)
    return [(text, reference)] + [other] * (other != (text, reference))


class ExactMatch(_Overlap):
    """1 when the answer is a reference: the same words, values, JSON value, query or code."""

    def compare(self, text: str, reference: str) -> float:
        """1 or 0."""
        return float(same(text, reference))


class TokenF1(_Overlap):
    """Harmonic mean of token precision and recall; of JSON, `field_f1`. Characters are tokens in Chinese and kin.

    The order of words does not matter, but that of numbers, operators and code does: where all tokens are the same and
    these stand elsewhere, the score is that of the longest common subsequence (``3 cats, 2 dogs``, ``a > b > c``).
    """

    right: ClassVar[float | None] = None

    def compare(self, text: str, reference: str) -> float:
        """F1 of the two token bags."""
        if language(reference) == "json":
            value = found_json(text)
            return 0.0 if value is None else field_f1(value, parse(reference))
        if same(text, reference):
            return 1.0
        mine, theirs = units(text, reference), units(reference, reference)
        f1 = bag_f1(Counter(mine), Counter(theirs))
        if language(reference):
            # Brackets and commas that any two calls share are no part of an answer.
            my_words = Counter(token for token in mine if token not in _GROUPING)
            their_words = Counter(token for token in theirs if token not in _GROUPING)
            f1 = min(f1, bag_f1(my_words, their_words))
        elif f1:
            # A token that is another thing was counted as shared on both sides.
            f1 = max(0.0, f1 - 2 * unlike(text, reference) / (len(mine) + len(theirs)))
        ordered = f1 < 1 or (not language(reference) and _values_stand_alike(mine, theirs))
        return f1 if ordered else 2 * common_subsequence(mine, theirs) / (len(mine) + len(theirs))


class Contains(_Overlap):
    """1 when a reference stands in the answer as whole consecutive tokens (``10`` is not in ``105``), not denied there.

    It is denied after a negation ("It is not 42") and where it is called wrong ("42 is not right"); see `denials`.
    """

    def compare(self, text: str, reference: str) -> float:
        """1 or 0."""
        if same(text, reference):
            return 1.0
        if language(reference):
            mine, theirs = units(text, reference), units(reference, reference)
            place = contained(theirs, mine)
            ended = language(reference) != "sql" or mine[place + len(theirs) :][:1] in ((), (";",))
            return float(place >= 0 and ended)  # a query that goes on is another query
        if unlike(text, reference) or longer_name(text, reference):
            return 0.0
        text = without_idle(without_refuted_question(text), reference)
        # As a whole, without a "no" that stands alone, and sentence by sentence: a denial ends with its sentence.
        texts = {text, without_standing_no(text), *sentences(text)}
        if not is_denied_whole(reference):
            texts = {one for one in texts if not is_denied_whole(one)}
        return float(any(_stands(*two) for one in texts for two in _written(one, reference)))


def _stands(text: str, reference: str) -> bool:
    """Does the reference stand somewhere in the text where it is not denied?"""
    mine, theirs = units(text, reference), units(reference, reference)
    place = contained(theirs, mine)
    # At one place it may be denied, and said at the next ("not 42 but … 42").
    while place >= 0 and denied(
        mine[max(0, place - AROUND) : place], mine[place + len(theirs) : place + len(theirs) + AROUND]
    ):
        place = contained(theirs, mine, begin=place + 1)
    return place >= 0


class AnswerF1(TokenF1):
    """1 when the answer says a reference within a sentence or two, else token F1; 0 with a wrong value.

    So a model that answers in sentences scores as one that answers in words. A reference after a negation is not
    said, nor one beside an "or" or in a list of candidates, nor ``no`` amid a sentence. An answer with more than 30
    tokens beside the reference (`AROUND`) is no answer that says it but a text that holds it: then token F1 counts.
    An answer that means another thing (it denies what the reference states or calls it unlikely, says its contrary,
    exchanges two of its things, names it beside others, or puts another unit to its number) gets less than 0.5,
    whatever words it shares.
    Where a third or more of the reference is numbers and operators, an answer that lacks one of them is wrong, whatever
    else it shares. Only prose is looked into: JSON, SQL and code score as in `token_f1`, but SQL and code that are not
    the same get less than 0.5: a query that is nearly right is wrong.
    """

    version: ClassVar[int] = 10
    right: ClassVar[float | None] = 0.5

    def compare(self, text: str, reference: str) -> float:
        """1 for a reference that is said; else F1 of the two token bags, below `right` where the meaning is another.

        What a reference has in brackets after its answer ("9.8% [3.2%-25%]") may be left out, not be another.
        """
        text = text if language(reference) else literal(text, reference)
        text, reference = (_POSSESSIVE.sub("", unicodedata.normalize("NFC", one)) for one in (text, reference))
        whole = bool(_REMARK.search(text) or language(reference) or unlike(text, reference))
        left = "" if whole else _REMARK.sub("", reference).strip()
        return max(self._compare(text, one) for one in {reference, left or reference})

    def _compare(self, text: str, reference: str) -> float:
        text = text if language(reference) else without_idle(_corrected(text, reference), reference)
        sayable = (
            not language(reference)
            and not unlike(text, reference)
            and is_denied_whole(text) == is_denied_whole(reference)
        )
        if sayable and any(_says(*two) for two in _written(text, reference)):
            return 1.0
        # "No, it closes at five" is an answer after a no that denies the question, not the reference.
        if (
            sayable
            and (rest := without_standing_no(text)) != text
            and any(_says(*two) for two in _written(rest, reference))
        ):
            return 1.0
        if language(reference) == "code" and _says_code(text, reference):
            return 1.0
        # Before the words are counted: a sentence about another number shares most of them.
        if _misses_values(text, reference):
            return 0.0
        shared = super().compare(text, reference)
        # What means another thing is looked for only where it would change the score.
        if shared <= _NOT_RIGHT or same(text, reference):
            return shared
        return _NOT_RIGHT if _means_another(text, reference) else shared


def _means_another(text: str, reference: str) -> bool:
    """Does an answer that shares many words deny, reverse or leave open what the reference says, or name another?"""
    # JSON has a score by fields; a query or code that is nearly right is wrong.
    if language(reference):
        return language(reference) != "json"
    if is_denied_whole(text) != is_denied_whole(reference):
        return True
    # What is denied of a question says nothing of what is told.
    if (bare_text := without_standing_no(text)) != text and (rest := without_standing_no(reference)) != reference:
        text, reference = bare_text, rest
    mine, theirs = units(text, reference), units(reference, reference)
    if (
        any(_names_another(units(one, reference), units(two, two)) for one, two in _written(text, reference))
        or unlike(text, reference)
        or (Counter(mine) == Counter(theirs) and not _values_stand_alike(mine, theirs))
        # Unlike in every form: in one form alone it may be a way of writing.
        or all(other_word(units(one, reference), units(two, two)) for one, two in _written(text, reference))
        or exchanged(mine, theirs)
        or other_currency(mine, theirs)
        or money_or_weight(text, reference)
        or other_characters(mine, theirs)
        or all(other_number(units(one, reference), units(two, two)) for one, two in _written(text, reference))
        or any(other_bound(units(one, reference), units(two, two)) for one, two in _written(text, reference))
        or named(reference)
        or half_listed(mine, reference)
        or longer_name(text, reference)
        or any(other_name(*two) for two in _written(text, reference))
    ):
        return True
    if _POLAR.get(theirs[0] if theirs else "") == (mine[0] if mine else None):
        return True
    one_denies = denies(text, mine) != denies(reference, theirs) and not _denies_aside(text, reference)
    if contrary(mine, theirs, denied=one_denies):
        return True
    if one_denies:
        return False  # "not open" for "closed"
    place = contained(theirs, mine)
    if _is_lettered(text, theirs) or (place < 0 and find(theirs, mine)):
        return True  # a part of a longer name or value
    if place >= 0:
        before, after = mine[:place], mine[place + len(theirs) :]
        return denied(before, after) or (len(theirs) <= _FEW and _is_one_of_many(text, theirs, before, after))
    short = len(theirs) <= _SHORT
    for answer, gold in _written(text, reference):
        for value, unit in pairwise(units(gold, gold)):
            if _is_value(value) and _unit_is_another(units(answer, reference), value, unit, short=short):
                return True
    return False


def _denies_aside(text: str, reference: str) -> bool:
    """Does the answer deny only in clauses that add something: "…, not phones", "… and cannot be extended"?

    Without them it shares as many tokens with the reference as it does as a whole.
    """
    theirs = Counter(units(reference, reference))
    if DENIALS & set(theirs):
        return False
    parts = [(part, units(part, reference)) for part in clauses(text)]
    denying = [said for _, said in parts if DENIALS & set(said)]
    if not all(map(tells, denying)):
        return False
    affirmed = units(" ".join(part for part, said in parts if not DENIALS & set(said)), reference)
    return (Counter(affirmed) & theirs).total() >= (Counter(units(text, reference)) & theirs).total() > 0


def _names_another(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Does the answer put another number or designator after the same word: ``type II`` for ``type I``?"""
    if len(theirs) > _SHORT:
        return False
    neighbours = set(pairwise(mine))
    following = {after: before for before, after in neighbours}
    for designator, word in pairwise(theirs):
        other = following.get(word, "")
        if (
            designator.isdigit()
            and word.isalpha()
            and designator not in mine
            and other.isdigit()
            and other not in theirs
        ):
            return True
    for word, designator in pairwise(theirs):
        if not word.isalpha() or not _DESIGNATOR.fullmatch(designator) or designator in mine:
            continue
        if any(one == word and two not in theirs and _DESIGNATOR.fullmatch(two) for one, two in neighbours):
            return True
    return False


def _unit_is_another(mine: tuple[str, ...], value: str, unit: str, *, short: bool) -> bool:
    """Has the answer the number with another unit? In a long reference only a known unit is one."""
    if unit in _NO_UNIT or not (short or unit in _KNOWN_UNITS):
        return False
    followers = {after for before, after in pairwise(mine) if before == value and after.strip("°")[:1].isalpha()}
    return unit.strip("°").replace("/", "").isalpha() and unit not in mine and bool(followers)


def _corrected(text: str, reference: str) -> str:
    """The rest of an answer that takes itself back: ``It is 42, no, 43`` says 43."""
    rest = without_refuted_question(_CORRECTION.split(text)[-1])
    # A reference that denies a sentence and goes on is compared whole.
    return rest if is_denied_whole(reference) else without_denied_sentences(rest)


def _says(text: str, reference: str) -> bool:
    if unlike(text, reference):
        return False
    mine, theirs = units(text, reference), units(reference, reference)
    # A text that is long beside the reference holds it rather than says it.
    if len(mine) > len(theirs) + AROUND:
        return False
    place = contained(theirs, mine)
    if place < 0 or _is_lettered(text, theirs) or longer_name(text, reference):
        return False
    before, after = mine[:place], mine[place + len(theirs) :]
    if len(theirs) == 1 and theirs[0] in _POLAR and not _is_polar_answer(theirs[0], before, after):
        return False
    no = len(theirs) == 1 and theirs[0] in _YES.values() and not DENIALS & set(before[-1:])  # "It does not, so no"
    if denied(before, after) and (is_refuted(after) or not (no or _is_said_in_a_sentence(text, reference))):
        return False
    return not _is_one_of_many(text, theirs, before, after)


def _is_said_in_a_sentence(text: str, reference: str) -> bool:
    """Is the reference said, not denied, in one of several sentences: "Not by the gate; by the side door"?"""
    theirs = units(reference, reference)
    for sentence in sentences(text):
        mine = units(sentence, reference)
        place = contained(theirs, mine)
        if place >= 0 and len(mine) < len(units(text, reference)):
            return not denied(mine[:place], mine[place + len(theirs) :])
    return False


def _says_code(text: str, reference: str) -> bool:
    """Does a sentence hold the code as its answer: "The complexity is O(n log n)."? Other code does not."""
    mine, theirs = units(text, reference), units(reference, reference)
    place = contained(theirs, mine)
    # At the very beginning no word leads to the code.
    if place < 1 or len(mine) > len(theirs) + AROUND:
        return False
    before, after = mine[:place], mine[place + len(theirs) :]
    led = before[-1] in _LEADS or (before[-1] == ":" and len(before) > 1)
    around = (*(before[:-1] if before[-1] == ":" else before), *after)
    return led and all(token.isalpha() or token in ",." for token in around) and not denied(before, after)


def _is_polar_answer(word: str, before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Is ``yes`` or ``no`` the answer: at its beginning or end, and not taken back?"""
    return not (before and after and before != ("answer", "is")) and _POLAR[word] not in after[:2]


def _is_one_of_many(text: str, theirs: tuple[str, ...], before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Does the reference stand beside an "or", in a run of numbers, or in a list of candidates?"""
    joined = {*before[-1:], *after[:1]}
    if len(theirs) == 1 and all(len(one) == 1 and one.isalpha() for one in (*theirs, *joined)) and joined:
        return True  # letters of choices, "and" apart
    if _ALTERNATIVES & joined:
        return True
    if _is_hedged(text, theirs, before, after):
        return True
    runs = (before[-2:] if after or before[-1:] != ("=",) else (), (*before[-1:], *after[:1]), after[:2])
    if _is_value(theirs[-1]) and any(len(run) == 2 and all(map(_is_value, run)) for run in runs):
        return True
    items = [all_tokens(item) for item in _LISTED.split(unlisted(text))]
    place = next((at for at, item in enumerate(items) if item[-len(theirs) :] == theirs), None)
    if place is None:
        return False
    # Candidates are about as long as the reference; a long item is a clause of its own and ends the list.
    short = [0 < len(item) <= len(theirs) + 1 for item in items]
    first, last = place, place
    while first and short[first - 1]:
        first -= 1
    while last + 1 < len(items) and short[last + 1]:
        last += 1
    return last - first >= _MOST_LISTED - bool(_OR.search(text))


def _is_hedged(text: str, theirs: tuple[str, ...], before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Is the reference one of two that are named, as in ``5, maybe 6``?"""
    if _HEDGES.isdisjoint((*before[-1:], *after[:1])):
        return False
    if _is_value(theirs[-1]):
        return any(map(_is_value, (*before[-2:-1], *after[1:2])))
    second = after[:1] and after[0] in _HEDGES and len(after) <= len(theirs) + 1
    first = before[-1:] and before[-1] in _HEDGES and len(before) <= len(theirs) + 1
    return bool(second or (first and re.search(r"[,;]\s?(?:maybe|perhaps|possibly)\b", text, re.IGNORECASE)))


def _is_lettered(text: str, theirs: tuple[str, ...]) -> bool:
    """Is the reference the second word of a name that begins with a letter (at the start: no choice's letter)?"""
    return any(
        found[2].islower() and found[2] == theirs[0] and (found.start() or found[1] not in "ABCDE")
        for found in _LETTERED.finditer(text)
    )


def _misses_values(text: str, reference: str) -> bool:
    """Is the reference for a third or more numbers and operators, and lacks the answer one of them?"""
    if language(reference):
        return False
    theirs = units(reference, reference)
    if 3 * unlike(text, reference) >= len(theirs) > 0:
        return True
    values = {token for token in theirs if _is_value(token)}
    return 3 * len(values) >= len(theirs) > 0 and not values <= set(units(text, reference))


def _is_value(token: str) -> bool:
    """A number or an operator."""
    return any(map(str.isdigit, token)) or not any(map(str.isalnum, token))


def _values_stand_alike(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Of the same tokens in another order: does that change nothing?

    It does where words are not apart (``上海``), or where one of several numbers, or an operator, stands before another
    token.
    """
    if any(UNSPACED.match(token) for token in mine):
        return mine == theirs

    def places(tokens: tuple[str, ...]) -> Counter[tuple[str, str, str]]:
        counts: Counter[tuple[str, str, str]] = Counter()
        for before, token, follower in zip(("", *tokens[:-1]), tokens, (*tokens[1:], ""), strict=True):
            if _is_value(token) and not re.fullmatch(CURRENCY, token):
                # An operator stands between two things, a number before one.
                counts[token, follower, "" if token[-1].isalnum() else before] += 1
        return counts

    my_places = places(mine)
    several = my_places.total() > 1 or any(not token[-1].isalnum() for token, _, _ in my_places)
    return not several or my_places == places(theirs)


class SquadExact(_Overlap):
    """1 when the answer is a reference after SQuAD's normalisation, as its evaluation script computes it."""

    version: ClassVar[int] = 1

    def compare(self, text: str, reference: str) -> float:
        """1 or 0."""
        return float(squad_tokens(text) == squad_tokens(reference))

    def wants(self, example: Example) -> str:
        """The reference after SQuAD's normalisation."""
        return (
            " ".join(squad_tokens(example.references[0])) if example.answerable and example.references else "\0abstain"
        )


class SquadF1(SquadExact):
    """Harmonic mean of token precision and recall, as SQuAD's evaluation script computes it."""

    def compare(self, text: str, reference: str) -> float:
        """F1 of the two token bags."""
        return bag_f1(Counter(squad_tokens(text)), Counter(squad_tokens(reference)))


class RougeL(_Overlap):
    """F-measure of the longest common subsequence (Lin 2004), without stemming, as the `rouge-score` package."""

    version: ClassVar[int] = 2
    right: ClassVar[float | None] = None

    def compare(self, text: str, reference: str) -> float:
        """LCS F1 of the two word sequences."""
        mine, theirs = words(text), words(reference)
        # Signs alone, or nothing: there is no word to have in common.
        if not mine or not theirs:
            return float(same(text, reference))
        return 2 * common_subsequence(mine, theirs) / (len(mine) + len(theirs))
