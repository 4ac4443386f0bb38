"""Classification: accuracy, and macro-F1 over all examples together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import ClassVar

from twofold.metrics.equivalents import alternative
from twofold.metrics.text import find, label, strict_label
from twofold.metrics.values import NEGATIONS
from twofold.plugins import protocols
from twofold.types import Answer, Example

_CLAUSE = re.compile(r"[,;:.!?]\s|\n|\s[–—-]\s")
_REFUTED = re.compile(
    r"\W{0,3}(?:(?:and|or)\s+\w{1,30}\s+)?(?:(?:is|was|are|were|would be|seems|looks|must be|has to be)"
    r"(?: both| not|n't|nt)?\s+(?:wrong|incorrect|false|not|out|excluded|ruled out)\b|(?:isn't|isnt|is not|cannot be|"
    r"can not be|can be (?:excluded|ruled out)|does not fit|not at all)\b)"
)
ABSTAINED = "\0abstain"
"""The label of an abstention; no text has it."""
_NOT = NEGATIONS | {"rather"}
_TWO_LETTERS = re.compile(
    r"\W{0,5}(?:(?:it is|it's|the answer is|the answers are|answer:|either|both) )*\W?([A-Z])\W{0,3}(?:or|and|/|&|,)"
    r"\W{0,3}([A-Z])\b(?!')(?!\W+(?:are|were)\s+(?:both\s+)?(?:wrong|incorrect|false|not|out|excluded)\b)",
    re.IGNORECASE,
)
"""An answer that begins with two letters has chosen none."""
_DENYING = (
    r"anything but|everything but|all but|anything other than|other than|apart from|far from|hardly|barely|scarcely|"
    r"(?:first|initially|originally) (?:thought|considered|picked|chose)(?: (?:of|that|it|is|was|to|be))*|"
    r"no longer|unlike|rather than|instead of|not at all|not so much|the opposite of|nowhere near|by no means|"
    r"in no way|less than|everything except|(?:not|never|neither)(?: \w+){1,2} (?:or|nor)|"
    r"(?:not|never|cannot|doubt|doubts)(?: that)?(?: (?:choose|pick|select|say|call|consider|think|believe|describe|"
    r"recommend|go with|it|this|that|they|is|be|as)){1,5}"
)
"""Words before a label that deny it."""
_BEFORE = r"(?: (?:the|a|an|very|really|exactly|option|choice|answer|be))*"
_NEGATED = re.compile(
    rf"(?:\b(?:not|cannot|never|neither|nor|except|rule out|exclude|{_DENYING})|n't)\W{{0,3}}{_BEFORE}\W{{0,2}}$", re.I
)
_DENIED = re.compile(rf"\b(?:{_DENYING}){_BEFORE}\Z")
_NEAR = 80
"""Characters before and after a label that can deny it."""
_IDLE = re.compile(
    r"\b(?:no (?:problem|doubt|question|worries|wonder|surprise|hesitation)|"
    r"(?:there is|there's|i have) no (?:doubt|question)(?: about it)?|"
    r"without (?:a |any )?doubt|beyond doubt)\b(?! (?:that|about))",
    re.IGNORECASE,
)
"""Phrases with a "no" that denies nothing."""
_LETTERS = r"[A-Z](?:\s?,\s{0,3}[A-Z]){0,8}\s?,?\s{0,3}(?:and|or|nor|&)\s{1,3}[A-Z]\b"
_RULED_OUT = re.compile(
    rf"(?i:\b(?:not|neither|exclude|eliminate|rule out|ruling out|eliminating|excluding|unlike))\s+{_LETTERS}|"
    rf"\b{_LETTERS}\s+(?:(?:are|were|can be|must be|seem)\s+(?:(?:all|both|clearly|obviously)\s+)?"
    r"(?:wrong|incorrect|false|impossible|out|excluded|eliminated|ruled out|not\s+(?:right|correct|true|possible))|"
    r"cannot be (?:right|correct|true))\b"
    rf"|\b(?i:between)\s+{_LETTERS}"
)
"""Several letters of choices that are called wrong, or left to choose between."""
_NOT_ONLY = re.compile(r"\bnot (?:only|just|merely|simply)\s", re.IGNORECASE)
_CONTRACTED = re.compile(r"(?<=\w)n['’]t\b")
_ASKED_AND_DENIED = re.compile(r"\?\s*(?:no|nope|not)\b", re.IGNORECASE)
_UNSPACED = "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
"""Letters of Chinese, Japanese and Korean, which follow a choice's letter without a blank."""
_OF = re.compile(r"(?<![\w./])(\d{1,3})\s?\(?(?:/|out of|of)\s?(\d{1,3})(?![\w/])\)?")
_COMPARISON = re.compile(
    r"(?P<no>\b(?:not|no)\s)?(?:(?P<sign>[<>]=?|[≤≥])|\b(?P<words>"
    r"(?:more|greater|less|fewer|higher|lower) than(?: or equal to)?|over|above|exceed(?:s|ing)?|in excess of|"
    r"under|below|at least|at most|up to))?\s?[$€£]?\s?"
    r"(?<![\d.,])(?P<number>\d{1,3}(?:,\d{3}){1,4}|\d{1,12}(?:\.\d{1,6})?)(?!\d)\s?(?P<unit>k|thousand|m|million|%)?(?!\w)"
    r"(?P<after>\s(?:or|and)\s(?P<what>less|fewer|under|below|lower|more|over|above|higher|greater)\b)?",
    re.IGNORECASE,
)
_UP = frozenset(("more", "greater", "higher", "over", "above", "exceed", "exceeds", "exceeding", "in"))
_OPPOSITE = {">": "<=", "<": ">=", ">=": "<", "<=": ">"}
_UNITS = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6}
_NOT_LABEL = re.compile(r"\s*(?:not|non|no)[\s_-]+(?P<other>\S.*)", re.IGNORECASE | re.DOTALL)
"""A label that denies another: ``not spam``."""


def predicted(example: Example, answer: Answer, labels: Sequence[str] = ()) -> str:
    """The label an answer stands for, in the form of `strict_label`.

    The whole answer, when it is a reference's or a choice's label: the same text, else the same label, else the same
    but for case where only one label is. Else, for an example with choices, the only choice that the answer states: as
    whole words, not within a longer choice that is stated, and not negated (``not B, D``). A single letter must be a
    capital that stands for a choice: before a mark or the end (``B) two``), before "is" (``B is correct``), or after
    "answer is", "option" and the like, or at the very beginning. A number may have its scale (``4/5``), a comparison
    may be in words where the label has its sign (``more than 50K`` for ``>50K``), and what is denied is the label that
    denies it (``It isn't spam`` for ``not spam``). Else the answer's own text.

    Args:
        example: Whose references and choices are labels.
        answer: The answer.
        labels: All labels there are, in the place of choices where the example has none.
    """
    choices = tuple(example.choices or labels)
    if answer.abstained:
        return _known(answer.raw, choices) or ABSTAINED  # a label may be "not stated"
    return _read(answer.text, tuple(example.references), choices)


# An interval of macro-F1 asks for the same answers once per fold: read anew, 182 answers of 77 labels took 17 s of CPU.
@lru_cache(maxsize=16384)
def _read(answer: str, references: tuple[str, ...], choices: tuple[str, ...]) -> str:
    """The label that an answer which is no abstention stands for; see `predicted`."""
    labels = (*references, *choices)
    # As it stands first: reading it again could change a label that has idle words or a scale of its own.
    whole = _known(answer, labels)
    if whole:
        return whole
    text = _reread(answer, labels)
    whole = _known(text, labels) if text != answer else ""
    whole = whole or _compared(text, labels)
    if whole or not choices:
        return whole or strict_label(answer)
    # Who begins with two letters has chosen none, whatever is said of either afterwards.
    if (pair := _TWO_LETTERS.match(text)) and len({*pair.groups()} & {c.strip() for c in choices}) > 1:
        return strict_label(answer)
    stated = {choice for choice in choices if _states(choice, text)}
    letters = {choice for choice in stated if len(choice.strip()) == 1 and choice.strip().isalpha()}
    named = {choice for choice in letters if _named(choice.strip(), text)}
    # A letter that is called the answer comes before one that the text merely begins with.
    named = named or {choice for choice in letters if _begins(choice.strip(), text, letters)}
    stated = named if len(named) == 1 else stated or _denied(text, choices)

    def is_longest(choice: str) -> bool:
        return not any(choice != other and _within(choice, other) for other in stated)

    # A choice within a longer one that is stated too is only a part of its words.
    longest = list(filter(is_longest, stated))
    return strict_label(longest[0]) if len(longest) == 1 else strict_label(answer)


def _begins(letter: str, text: str, others: set[str]) -> bool:
    """Does the answer begin with the letter as its choice, and is it no list of all the choices?"""
    if not re.match(rf"\W{{0,3}}{letter}(?:[).:]|\s+(?:because|since|as)\b)", text):
        return False
    return not any(re.search(rf"(?<!\w){other.strip()}[).:]", text) for other in others if other.strip() != letter)


def _denied(text: str, choices: Sequence[str]) -> set[str]:
    """The choices such as ``not spam`` of which the text denies the other, ``spam``."""
    denied = set()
    for choice in choices:
        denies = _NOT_LABEL.fullmatch(choice)
        other = next((c for c in choices if denies and label(c) == label(denies["other"])), None)
        denied_words = tuple(label(other).split()) if other else ()
        if denied_words and any(find(denied_words, tuple(label(part).split())) for part in _CLAUSE.split(text)):
            denied.add(choice)
    return denied


def _compared(text: str, labels: Sequence[str]) -> str:
    """The label that is the comparison which the text makes, in words or signs; empty where no label is one."""
    signed = {name: _ranges(name) for name in labels if re.match(r"\s*[<>≤≥]", name)}
    # A label with two bounds is an interval, which no single comparison tells.
    single = {name: ranges for name, ranges in signed.items() if len(ranges) == 1}
    comparison = _ranges(text) if single else set()
    same = {strict_label(name) for name, ranges in single.items() if ranges == comparison}
    return same.pop() if len(same) == 1 else ""


def _ranges(text: str) -> set[tuple[str, float]]:
    ranges = set()
    for match in _COMPARISON.finditer(text):
        sign = match["sign"]
        words = (match["words"] or "").casefold()
        if sign:
            sign = {"≤": "<=", "≥": ">="}.get(sign, sign)
        elif words in ("at least", "at most", "up to"):
            sign = ">=" if words == "at least" else "<="
        elif words:
            sign = (">" if words.split()[0] in _UP else "<") + "=" * words.endswith("equal to")
        elif match["what"]:
            sign = ">=" if match["what"].casefold() in _UP else "<="
        if sign:
            sign = _OPPOSITE[sign] if match["no"] else sign
            size = float(match["number"].replace(",", "")) * _UNITS.get((match["unit"] or "").casefold(), 1.0)
            ranges.add((sign, size))
    return ranges


def _reread(text: str, labels: Sequence[str]) -> str:
    """The answer in the labels' way of writing: without idle phrases, scales and contractions."""
    text = _RULED_OUT.sub(" ", text) if any(re.fullmatch(r"\s*[A-Z]\s*", one) for one in labels) else text
    # "Can't" first: without its "n't" it would be "ca".
    text = _NOT_ONLY.sub("", _CONTRACTED.sub(" not", re.sub(r"\bcan['’]t\b", "cannot", text)))
    # A label may have such words itself.
    if not any(_IDLE.search(one) for one in labels):
        text = _IDLE.sub("", text)
    numbers = {one.strip() for one in labels if one.strip().isdigit()}
    if numbers and not any(_OF.search(one) for one in labels):
        # "4 of 5" is 4 on a scale that ends at 5, and nothing where the scale ends elsewhere.
        top = str(max(map(int, numbers)))
        text = _OF.sub(lambda match: match[1] if match[1] in numbers and match[2] == top else match[0], text)
    return text.strip()


def _known(text: str, labels: Sequence[str]) -> str:
    """The label, of those known, that the text is; empty when it is none, or more than one."""
    if text.strip() in labels:
        return strict_label(text)
    # From the strictest form to the loosest; one that fits two labels decides for neither.
    for form in (strict_label, label, _joined, _numbered):
        same = {strict_label(one) for one in labels if form(one) == form(text)}
        if same:
            return same.pop() if len(same) == 1 else ""
    return ""


def _joined(text: str) -> str:
    """A label without blanks: ``nontoxic`` is ``non-toxic``. Numbers keep theirs."""
    return re.sub(r"(?<=[^\W\d_]) (?=[^\W\d_])", "", label(text))


def _numbered(text: str) -> str:
    """A label whose numerals are numbers: ``type 1`` is ``Type I``."""
    return label(alternative(text))


def _within(inner: str, outer: str) -> bool:
    return find(tuple(label(inner).split()), tuple(label(outer).split()))


def _states(choice: str, text: str) -> bool:
    """Does the text state the choice, not negated?"""
    name = choice.strip()
    if len(name) == 1 and name.isalpha():
        return _states_letter(name, text)
    label_words = tuple(label(choice).split())
    if label_words == ("no",) and not re.search(r"\A\W*no\b|\bno\b(?!\s+\w)", text, re.IGNORECASE):
        return False  # "there is no doubt" says nothing of yes or no
    if re.search(rf"{re.escape(name)}\s*{_ASKED_AND_DENIED.pattern}", text, re.IGNORECASE):
        return False
    # A label with a comma of its own would be cut in two.
    clauses = [text] if re.search(r"[,;:.]", name) else _CLAUSE.split(text)
    return any(_stated_in(tuple(label(clause).split()), label_words) for clause in clauses)


def _stated_in(here: tuple[str, ...], label_words: tuple[str, ...]) -> bool:
    """Do the words hold those of a label, not denied in the words before and after?"""
    size = len(label_words)
    for at in range(len(here) - size + 1 if size else 0):
        if here[at : at + size] != label_words:
            continue
        negated = bool(set(here[max(0, at - 2) : at]) & _NOT - set(label_words))
        denied = negated or _DENIED.search(" ".join(here[max(0, at - 8) : at]))
        if not denied and not _refuted(" ".join(here[at + size : at + size + 4])):
            return True
    return False


def _states_letter(letter: str, text: str) -> bool:
    plain = text.replace("’", "'")
    after = r"is|was|seems|because|since|as|not|and not|but not|rather|instead|over"
    alone = rf"(?<![a-zA-Z\d_'-]){letter}(?=\s*(?:$|[^\w\s'+#-])|\s+(?:{after})\b|{_UNSPACED})"
    if letter.isupper():
        alone += rf"|(?<!\w){letter.lower()}(?=\))"  # "I would go with b)"
    places = [match.end() for match in re.finditer(alone, plain)]
    return bool(_named(letter, text)) or any(_is_meant(plain, end) for end in places)


def _named(letter: str, text: str) -> bool:
    """Does the text call the letter its answer, as in ``the answer is B``?"""
    plain = text.replace("’", "'")
    named = rf"\b(?:answer|option|choice|letter|label)(?:\s+is)?\s*(?::\s*)?[\"'(*\[]{{0,4}}{letter}(?![\w+#])"
    ends = re.compile(r"\s*(?:\Z|[).,;:\n])")
    ends_at = [match.end() for match in re.finditer(named, plain, re.IGNORECASE)]
    return any((plain[end - 1] == letter or ends.match(plain, end)) and _is_meant(plain, end) for end in ends_at)


def _is_meant(text: str, end: int) -> bool:
    """Is the letter that ends here neither negated nor called wrong?"""
    return not _NEGATED.search(text[max(0, end - 1 - _NEAR) : end - 1]) and not _refuted(text[end : end + _NEAR])


def _refuted(rest: str) -> bool:
    return bool(_REFUTED.match(rest) or _ASKED_AND_DENIED.match(rest.lstrip(" )\"'”’")))


def _right_labels(example: Example) -> tuple[str, ...]:
    return tuple(strict_label(text) for text in example.references) if example.answerable else (ABSTAINED,)


class Accuracy:
    """1 when the answer's label is a reference's label, alone or as the only label that a sentence states."""

    version: ClassVar[int] = 8
    takes_labels: ClassVar[bool] = True

    class Options(protocols.Options):
        """Options of `accuracy` and `macro_f1`."""

        labels: tuple[str, ...] = ()
        """All labels there are, for examples without choices: which of them a sentence states is read so ("It is about
        billing"). A study fills them in from its examples (see `specs.informed`)."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """1 or 0; None when there is no reference."""
        right = _right_labels(example)
        return float(predicted(example, answer, self.options.labels) in right) if right else None

    def wants(self, example: Example) -> str:
        """The label wanted."""
        return (*_right_labels(example), "")[0]


class MacroF1(Accuracy):
    """F1 of every label that is wanted somewhere, averaged over labels: rare labels count as much as frequent ones.

    A statistic of all examples together (`pooled`); the score of one example is its accuracy. A label that is only
    ever predicted, never wanted, lowers others' recall but is no class of its own.
    """

    pooled: ClassVar[bool] = True

    def pool(self, items: Sequence[tuple[Example, Answer]]) -> float:
        """Macro-F1 in [0, 1] of all items that have a reference; 0 when there are none."""
        names = set(chain.from_iterable(_right_labels(example) for example, _ in items))
        alike = {name.casefold(): name for name in names}
        hits: Counter[str] = Counter()
        true_count: Counter[str] = Counter()
        guess_count: Counter[str] = Counter()
        for example, answer in items:
            right = _right_labels(example)
            if not right:
                continue
            guess = predicted(example, answer, self.options.labels)
            # In another case than the label's it would be a class of its own.
            guess = guess if guess in names else alike.get(guess.casefold(), guess)
            # Of several right labels the one that was said; else the first stands for the example.
            truth = guess if guess in right else right[0]
            true_count[truth] += 1
            guess_count[guess] += 1
            hits[truth] += guess == truth
        if not true_count:
            return 0.0
        return sum(2 * hits[one] / (true_count[one] + guess_count[one]) for one in true_count) / len(true_count)
