"""Filters on metadata: members of lists, numbers and days by what they are, texts as they are, missing fields never."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from twofold.facets import Value, allowed, facets

ROW = {
    "tags": '["red","blue, dark"]',
    "years": "[2030,2031]",
    "price": "29.50",
    "version": "1.10",
    "code": "007",
    "day": "2031-04-02",
    "at": "2031-04-02T09:30:00",
    "open": "true",
    "none": "[]",
    "broken": '["red"',
}


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("tags", ("blue, dark",), True),
        ("tags", ("blue",), False),
        ("tags", ('["red","blue, dark"]',), True),
        ("years", ("2031",), True),
        ("years", (2031,), True),
        ("years", (2031.0,), True),
        ("years", (2032, 2033), False),
        ("price", (29.5,), True),
        ("price", ("29.5",), False),
        ("version", ("1.1",), False),
        ("version", ("1.10", "2.0"), True),
        ("code", ("7",), False),
        ("code", (7,), True),
        ("day", (date(2031, 4, 2),), True),
        ("at", (date(2031, 4, 2),), True),
        ("at", (datetime(2031, 4, 2, 9, 30),), True),
        ("day", (date(2031, 4, 3),), False),
        ("open", (True,), True),
        ("open", (1,), False),
        ("none", ("",), False),
        ("broken", ("red",), False),
        ("missing", ("x", "", "None", 0), False),
        ("tags", (), False),
    ],
)
def test_a_field_has_one_of_the_values(name: str, values: tuple[Value, ...], found: bool) -> None:
    assert allowed(ROW, {name: values}) is found


def test_all_fields_must_have_one() -> None:
    assert allowed(ROW, {"tags": ("red",), "years": (2030,)})
    assert not allowed(ROW, {"tags": ("red",), "missing": ("x",)})


def test_a_vector_is_no_list_of_members() -> None:
    assert len(facets({"v": str(list(range(5000)))})) == 1
