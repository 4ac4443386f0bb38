"""Every pattern by which answers are compared takes time in proportion to the text: a model may repeat a sign for ever.

Each pattern is run alone on one text and on texts twice and four times as long. A quadratic one takes four times as
long at each step.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator

import pytest

from twofold import metrics
from twofold.metrics import formal, spellings

MODULES = tuple(
    importlib.import_module(f"{metrics.__name__}.{found.name}") for found in pkgutil.iter_modules(metrics.__path__)
)
UNITS = (
    "a", "\n", "\n ", ".", "-", "_", "1", "1,", "1.", "1,000", "10,", "1-", "(", "[", "a(", "a(b", "[a](", "[a](http://",
    "()", '"', '"a', "'\\", "```\n", "```a ", "$a", "\\(", "*a", "a.", "a-", "a+", "a_", "@a", "a@b.", "/a", "a/", "<a",
    "<http://", "or ", "one ", "hundred ", "twenty-", "5 km ", "5-", "½", "²", "a²", "水", "é", "A ", "A, ", "if a:\n",
    "/* ", "--", "e3", "5e", ", maybe a", ", no, ", "a:", "a.b", "5'", "[1, ", "1_000", "1 000", "between 5 and ", "US",
    "a(b() ", "f(x)", "f(x", "a[", "`a", "`a` ", "C:\\", "A. ", "::", "not ", "3/10 ", "a: ",
)  # fmt: skip
START = 4_000
_ANCHORED = {
    "_HERE",
    "_LETTERS",
    "_FORMULA",
    "_ABBREVIATED",
    "_DOTTED",
    "_FEET",
    "_IPV6",
    "_MOLECULE",
    "_NOT_LABEL",
    "_PATH",
    "_QUERY",
    "_RANGE",
    "_SIGIL",
    "_SQL",
    "_TERMS",
}
"""Patterns that are asked for the whole text or its beginning only, with no search from each of its places."""


def _patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{module.__name__.rpartition('.')[2]}.{name}", value
    for number, (_, pattern, _) in enumerate(spellings._COMPILED):
        yield f"spellings.{number}", pattern


PATTERNS = dict(_patterns())


def _seconds(pattern: re.Pattern[str], subject: str, *, whole: bool) -> float:
    began = time.process_time()
    if whole:
        pattern.fullmatch(subject)
    else:
        for _ in pattern.finditer(subject):
            pass
    return time.process_time() - began


@pytest.mark.parametrize("name", PATTERNS)
def test_the_time_of_a_pattern_grows_with_the_text(name: str) -> None:
    pattern, whole = PATTERNS[name], name.rpartition(".")[2] in _ANCHORED
    for unit in UNITS:
        for before, after in (("", ""), ("a", "!x")):

            def of(times: int, unit: str = unit, before: str = before, after: str = after) -> str:
                return before + unit * (times * START // len(unit)) + after

            first = _seconds(pattern, of(1), whole=whole)
            # Of the fastest processors: quadratic ones take 9 ms there, the others less than 1.
            if first < 0.004:
                continue
            # A first figure that a busy machine makes too large would hide the growth.
            taken = [min(first, *(_seconds(pattern, of(1), whole=whole) for _ in range(3)))]
            for times in (2, 4):  # the second step only where the first one is in doubt
                taken.append(min(_seconds(pattern, of(times), whole=whole) for _ in range(2)))
                if taken[-1] < 3 * taken[-2]:
                    break
            else:
                pytest.fail(f"{name} on {unit!r} {after!r}: {taken}")


def test_the_calls_are_among_the_patterns() -> None:
    assert PATTERNS["formal._CALLS"] is formal._CALLS
    assert {name.partition(".")[0] for name in PATTERNS} >= {"labels", "agreement", "style", "choosing", "changes"}


def test_a_quadratic_pattern_is_seen() -> None:
    PATTERNS["planted"] = re.compile(r"[a-z]+@")
    try:
        with pytest.raises(pytest.fail.Exception, match="planted"):
            test_the_time_of_a_pattern_grows_with_the_text("planted")
    finally:
        del PATTERNS["planted"]
