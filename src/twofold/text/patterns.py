"""Regular expressions of users, refused where they could hold up whoever matches them. Pure.

Python's matcher tries every way in which a pattern can match, and some patterns have exponentially many. Nothing
interrupts it, and while it tries, no other thread of the process runs. So the ways are counted before: the product over
what follows each other, the sum over alternatives and numbers of repetitions.
"""

from __future__ import annotations

import math
import re
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

MOST = 10_000
"""Ways in which a pattern may match at one place: a message of 10,000 letters then takes at most about a second."""
_FOR_EACH = 100
"""Repetitions are counted out up to here; more, and any number of them, are refused."""


def fault(pattern: str) -> str:
    """Why a pattern is refused, with what to write instead; empty for a good one."""
    try:
        ways = _ways(_parser.parse(pattern))
        matched = re.compile(pattern).search("")
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    if matched:
        return "matches nothing at all as well: let it ask for at least one letter"
    if ways > MOST:
        return f"may match in more than {MOST:,} ways at one place: write {{1,40}} in place of + and *"
    return ""


def _ways(parsed: Any) -> float:
    """Upper bound of the ways in which what was parsed matches at one place; infinite where none is known."""
    ways = 1.0
    for operator, argument in parsed:
        ways *= _ways_of(operator, argument)
    return ways


def _ways_of(operator: Any, argument: Any) -> float:
    if operator in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
        least, most, inner = argument
        if most > _FOR_EACH:  # `MAXREPEAT` is a large number as well
            return float("inf")
        each = _ways(inner)
        # by logarithms: the power itself may exceed what a float holds
        if most * math.log(each) > math.log(MOST):
            return float("inf")
        return sum(each**number for number in range(least, most + 1))
    if operator is _constants.BRANCH:
        return sum(_ways(branch) for branch in argument[1])
    if operator is _constants.SUBPATTERN:
        return _ways(argument[-1])
    if operator in (_constants.ASSERT, _constants.ASSERT_NOT):
        return _ways(argument[1])
    if operator is _constants.ATOMIC_GROUP:
        return _ways(argument)
    simple = (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY, _constants.AT)
    # references to groups and conditions on them: refused, their cost is not counted
    return 1.0 if operator in simple else float("inf")
