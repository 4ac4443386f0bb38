from __future__ import annotations

import re
import time

import pytest

from twofold.text.patterns import fault


@pytest.mark.parametrize("pattern", [r"EMP-\d{4,8}", r"\bK\d{6}\b", "(?:red|green|blue){1,3}x", r"(?i)case \w{1,40}"])
def test_a_pattern_that_ends_soon_is_taken(pattern: str) -> None:
    assert fault(pattern) == ""
    begin = time.perf_counter()
    re.compile(pattern).sub("", "1a K12 EMP-12 case " * 500)
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a+)+$", "10,000 ways"),
        ("x*y", "10,000 ways"),
        ("(x{1,10}){1,10}y", "10,000 ways"),
        ("(?:a|aa){50}b", "10,000 ways"),
        (r"(a)\1", "10,000 ways"),
        (r"\d{1,99}" * 3, "10,000 ways"),
        ("(" * 500 + "a" + "{1,9}){1,100}" * 500, "no regular expression"),
        ("a?", "nothing at all"),
        ("", "nothing at all"),
        ("[", "no regular expression"),
        ("a{99999999999}", "no regular expression"),
    ],
)
def test_a_pattern_that_may_hold_up_the_server_is_refused_by_its_reason(pattern: str, why: str) -> None:
    assert why in fault(pattern)
