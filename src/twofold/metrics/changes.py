"""Changes to an answer that a score must see, changes that it must not, and answers that a metric takes for one. Pure.

The same changes test our metrics on real references and a user's references under the metric of their study.
"""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from twofold.examples.quality.labels import labels
from twofold.metrics.formal import language, parse
from twofold.metrics.notation import CASED_UNIT, cased
from twofold.plugins import loading
from twofold.plugins.protocols import Metric
from twofold.plugins.traits import MetricTraits
from twofold.types import Answer, Example, Json, Problem

RIGHT = 1 - 1e-9
"""A score from which an answer is taken for the reference."""
MOST = 300
"""References that are changed and scored, at most."""
SHOWN = 5
"""Pairs of answers that are named, at most."""

_NUMBER = re.compile(r"(?<![\w.,:/-])\d+(?:\.\d+)?(?![\w.,:/%-])")
_SWAPPED = {"<": ">", ">": "<", "=": "!=", "*": "/", "+": "-"}
_OPERATOR = re.compile(r"(?<=[\w)] )[<>=*+](?= [\w(])")
_CASED = re.compile(rf"\d\s?(?:{CASED_UNIT.pattern})(?![a-zA-Z])")
_MARKS = (
    ("a", "z", "\u0301"),
    ("\u0905", "\u0939", "\u093f"),
    ("\u0620", "\u064a", "\u064e"),
    ("\u05d0", "\u05ea", "\u05b7"),
)
"""First and last letter of a script, and a mark of it that makes another letter or syllable."""


def wrong(text: str) -> Iterator[tuple[str, str]]:
    """Other answers than `text`, each with what was changed: a score must be lower than that of `text`."""
    for name, change in _WRONG.items():
        changed = change(text)
        if changed is not None and changed != text:
            yield name, changed


def right(text: str) -> Iterator[tuple[str, str]]:
    """The same answer as `text` written otherwise, each with what was changed: a score must be the same."""
    for name, change in _RIGHT.items():
        changed = change(text)
        if changed is not None and changed != text:
            yield name, changed


def alike(metric: Metric, examples: Sequence[Example]) -> list[tuple[Example, Example]]:
    """Pairs of examples whose different references score as one, each pair of references once.

    Labels, where the answers are a closed set, must differ under the metric however they differ; other answers when
    they differ in more than case, blanks and punctuation.
    """
    closed = _closed(examples)
    groups: defaultdict[str, dict[str, Example]] = defaultdict(dict)
    for example in examples:
        if example.answerable and example.references:
            # NFC: two encodings of one text are no pair.
            reference = " ".join(unicodedata.normalize("NFC", example.references[0]).split())
            groups[_skeleton(reference)].setdefault(reference if closed else _plain(reference), example)
    couples: list[tuple[Example, Example]] = []
    for group in groups.values():
        # Pairs grow with the square of a group, and a few show the matter.
        for first, second in combinations(list(group.values())[:SHOWN], 2):
            # Both ways: a metric need not be symmetric.
            if _is_right(metric, first, second.references[0]) or _is_right(metric, second, first.references[0]):
                couples.append((first, second))
    return couples


def pairs(metric: Metric, name: str, examples: Sequence[Example]) -> list[Problem]:
    """A finding for each pair of references that the metric takes for one: an error where they are labels."""
    if _compares_nothing(metric):
        return []
    closed = _closed(examples)
    findings = []
    for first, second in alike(metric, examples)[:SHOWN]:
        what = "labels" if closed else "of your answers"
        texts = f"{_short(first.references[0])} and {_short(second.references[0])}"
        message = f"these two {what} score alike under {name}: {texts}"
        cure = "Write them the same, or rename one." if closed else "Choose another [study].metric, or accept it."
        code, severity = ("data.labels-alike", "error") if closed else ("data.answers-alike", "warning")
        findings.append(_problem(first, code, message, cure, severity=severity))
    return findings


def problems(metric: Metric, name: str, examples: Sequence[Example]) -> list[Problem]:
    """Answers of these examples that a study's metric cannot tell apart, by pair and by kind of change."""
    if _compares_nothing(metric):
        return []
    findings = pairs(metric, name, examples)
    seen: defaultdict[str, list[tuple[Example, str]]] = defaultdict(list)
    for example in [e for e in examples if e.answerable and e.references][:MOST]:
        # A shorter reference beside the first, such as "27" beside "27 days", takes much for right, rightly.
        alone = replace(example, references=example.references[:1])
        for change, text in wrong(example.references[0]):
            if text not in example.references and _is_right(metric, alone, text):
                seen[change].append((example, text))
    for change, places in seen.items():
        example, text = places[0]
        message = (
            f"{name} takes a wrong answer for right: {_short(text)} for {_short(example.references[0])} "
            f"({change}; so in {len(places)} of your answers)"
        )
        others = [other for other in ("exact_match", "token_f1", "answer_f1") if other != name]
        cure = f"Choose a [study].metric that sees it, such as {' or '.join(others[:2])}."
        findings.append(_problem(example, "data.blind-metric", message, cure))
    return findings


def _compares_nothing(metric: Metric) -> bool:
    """Does the metric not compare an answer's text with a reference's?"""
    traits = MetricTraits.of(metric)
    return traits.reference_free or traits.executes


def of_study(name: str, options: Json, examples: Sequence[Example]) -> list[Problem]:
    """`problems` of the metric that decides a study."""
    return problems(loading.make("metrics", name, options), name, examples)


def _problem(example: Example, code: str, message: str, cure: str, *, severity: Any = "warning") -> Problem:
    return Problem(severity=severity, code=code, message=message, cure=cure, file=example.file, line=example.line)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def _is_right(metric: Metric, example: Example, text: str) -> bool:
    # A change may hit upon another of the right answers.
    if text in example.references:
        return False
    score = metric.score(example, Answer(text=text, raw=text))
    return score is not None and score >= RIGHT


def _closed(examples: Sequence[Example]) -> bool:
    firsts = [e.references[0].strip() for e in examples if e.references]
    return bool(firsts) and labels([e for e in examples if e.references]) == firsts


def _skeleton(text: str) -> str:
    """Letters and digits without marks: what differs only otherwise may score alike."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in plain if character.isalnum())


def _plain(text: str) -> str:
    """A text without what may differ: case, blanks, articles, and punctuation that stands in no number."""
    return re.sub(r"(?<!\d)[.,]|[.,](?!\d)|,(?=\d{3})|[\s;:!?\"'“”‘’()_-]+(?!\d)|\b(?:a|an|the)\b", "", text.casefold())


# ---------------------------------------------------------------- what makes another answer


def _first(pattern: re.Pattern[str], change: Callable[[str], str]) -> Callable[[str], str | None]:
    def changed(text: str) -> str | None:
        match = pattern.search(text)
        return text[: match.start()] + change(match.group()) + text[match.end() :] if match else None

    return changed


def _negated(text: str) -> str | None:
    return None if language(text) or not text[:1].isalpha() or text[:3].lower() == "not" else f"not {text}"


def _marked(text: str) -> str | None:
    if language(text):
        return None
    # Articles are left out of comparisons: a mark on one would go unseen.
    start = re.match(r"\W*(?:(?:an?|the)\b\W*)*", text, re.IGNORECASE).end()  # type: ignore[union-attr]
    for place, letter in enumerate(text[start:], start):
        mark = next((mark for low, high, mark in _MARKS if low <= letter <= high), "")
        if mark:
            changed = unicodedata.normalize("NFC", text[: place + 1] + mark + text[place + 1 :])
            # A letter that has the mark already cannot have it twice.
            return changed if text[place + 1 : place + 2] != mark else None
    return None


def _swapped_fields(text: str) -> str | None:
    """JSON in which two items of an array have exchanged the value of a key that tells nothing alone."""
    value = copy.deepcopy(parse(text))  # it is cached
    for items in _arrays(value):
        for first, second in combinations([item for item in items if isinstance(item, dict)], 2):
            unlike = [key for key in first.keys() & second.keys() if first[key] != second[key]]
            # With a single unlike key the exchange would only change the order of the items.
            if len(unlike) > 1:
                key = sorted(unlike)[0]
                first[key], second[key] = second[key], first[key]
                return json.dumps(value, ensure_ascii=False)
    return None


def _arrays(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _arrays(item)


def _retyped(text: str) -> str | None:
    """JSON in which the first null, number or empty array is a string."""
    match = (
        re.search(r"(?<=[:\[,])(\s*)(null|-?\d+(?:\.\d+)?|\[\])(?=\s*[,}\]])", text)
        if parse(text) is not None
        else None
    )
    return f'{text[: match.start()]}{match.group(1)}"{match.group(2)}"{text[match.end() :]}' if match else None


_WRONG: dict[str, Callable[[str], str | None]] = {
    "a digit changed": _first(_NUMBER, lambda digits: digits[:-1] + str((int(digits[-1]) + 1) % 10)),
    "a decimal point left out": _first(
        re.compile(r"(?<![\w.,])\d+\.\d+(?![\w.,])"), lambda number: number.replace(".", "")
    ),
    "a sign changed": _first(
        re.compile(r"(?:(?<=\s)|(?<=\A))-?(?=[\d.]*[1-9])\d+(?:\.\d+)?(?![\w.,:/%-])"),
        lambda n: n[1:] if n[0] == "-" else f"-{n}",
    ),
    "an operator changed": _first(_OPERATOR, lambda sign: _SWAPPED[sign]),
    "negated": _negated,
    "another letter by its mark": _marked,
    "fields of two items exchanged": _swapped_fields,
    "another type": _retyped,
}


# ---------------------------------------------------------------- what is the same answer


def _grouped(text: str) -> str | None:
    return (
        None
        if language(text)
        else _first(re.compile(r"(?<![\w.,:/-])[1-9]\d{4,}(?![\w.,:/-])"), lambda n: f"{int(n):,}")(text)
    )


def _spaced(text: str) -> str | None:
    # There blanks at the beginning of a line count.
    if language(text) == "code":
        return None
    # Blanks within quotation marks may be meant: others are added around the text only.
    return f" {text}\n" if language(text) or '"' in text else "  ".join(re.split(r"(?<=\S) (?=\S)", text)) + "\n"


def _fenced(text: str) -> str | None:
    # A fence around a fence would end at the inner one.
    return None if "`" in text else f"```{language(text) or 'text'}\n{text}\n```"


_RIGHT: dict[str, Callable[[str], str | None]] = {
    "blanks": _spaced,
    "a code fence": _fenced,
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "NFC": lambda text: unicodedata.normalize("NFC", text),
    "a thousands separator": _grouped,
    "a minus sign": lambda text: None if language(text) else re.sub(r"(?<!\S)-(?=\d)", "−", text),
    "full-width digits": lambda text: (
        None if language(text) else re.sub(r"\d", lambda digit: chr(ord(digit.group()) + 0xFEE0), text)
    ),
    "lower case": lambda text: None if language(text) or _CASED.search(text) or cased(text) else text.lower(),
}
