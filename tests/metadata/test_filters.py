"""Filters on metadata: what each relation means, how conditions are written, and that facets say the same."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from any_conditions import METADATA, any_rows, check_filters, conditions_of, plainly
from twofold.errors import BadFilter
from twofold.metadata.conditions import Condition, Value, condition, number
from twofold.metadata.facets import allowed, clauses, facets
from twofold.plugins import loading
from twofold.testing.conformance_index import DIMENSION
from twofold.types import Filter

ROW = {
    "tags": '["red","blue, dark"]',
    "years": "[2030,2031]",
    "price": "29.50",
    "low": "-3.5",
    "tiny": "1e-120",
    "comma": "1.234,50",
    "version": "1.10",
    "code": "007",
    "day": "2031-04-20",
    "at": "2031-04-02T09:30:00",
    "zoned": "2031-04-02T23:30:00-05:00",
    "open": "TRUE",
    "none": "[]",
    "blank": "  ",
    "broken": '["red"',
    "a=b": "c",
    "Price in EUR": "7",
    "objects": '[{"a":1}]',
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tags = 'blue, dark'", True),
        ("tags = blue", False),
        ("""tags = '["red","blue, dark"]'""", True),
        ("tags in green, red", True),
        ("tags contains red, 'blue, dark'", True),
        ("tags contains red, blue", False),
        ("tags not in red", False),
        ("tags != green", True),
        ("years = 2031", True),
        ("years > 2030", True),
        ("years > 2031", False),
        ("years = 2031.0", True),
        ("price = 29.5", True),
        ("price = '29.5'", False),
        ("price = '29.50'", True),
        ("price < 30", True),
        ("price<29.50", False),
        ("price <= 29.5", True),
        ("price >= 29.49999", True),
        ("price > 9", True),
        ("price > 100", False),
        ("price != 29.5", False),
        ("low < -3", True),
        ("low < -4", False),
        ("low > -3.51", True),
        ("low < 0", True),
        ("low >= 0", False),
        ("tiny > 0", True),
        ("tiny < 1e-119", True),
        ("tiny < 1e-121", False),
        ("comma = 1234.5", True),
        ("version = '1.1'", False),
        ("version in '1.10', '2.0'", True),
        ("version = 1.1", True),
        ("code = '7'", False),
        ("code = 7", True),
        ("day = 2031-04-20", True),
        ("day > 2031-04-19", True),
        ("day < 2031-04-20", False),
        ("day >= 2031-04-20T00:00Z", True),
        ("day > 2031-04-20T00:00Z", False),
        ("at = 2031-04-02", True),
        ("at = 2031-04-02T09:30", True),
        ("at > 2031-04-02", False),
        ("at >= 2031-04-02", True),
        ("at <= 2031-04-02", True),
        ("at < 2031-04-02 09:31", True),
        ("at < 2031-04-02T09:30:00+01:00", False),
        ("at > 2031-04-02T11:29:00+02:00", True),
        ("zoned = 2031-04-03", True),
        ("zoned = 2031-04-03T04:30:00Z", True),
        ("zoned > 2031-04-03T01:00+02:00", True),
        ("open = true", True),
        ("open = false", False),
        ("open = 1", False),
        ("none missing", True),
        ("none = ''", False),
        ("blank exists", False),
        ("objects exists", True),
        ("broken = red", False),
        ("nowhere missing", True),
        ("nowhere exists", False),
        ("nowhere = x", False),
        ("nowhere != x", True),
        ("nowhere < 5", False),
        ("tags exists", True),
        ("tags < 5", False),
        ('"a=b" = c', True),
        ("a != b=c", True),
        ("Price in EUR < 8", True),
        ("Price in EUR exists", True),
        ("tags contains missing", False),
        ("nowhere not in red, missing", True),
    ],
)
def test_what_a_condition_finds(text: str, found: bool) -> None:
    asked = Filter(where=[text])
    assert allowed(ROW, asked.conditions) is found
    have = set(facets(ROW))
    assert all(bool(have & set(some)) is wanted for wanted, some in clauses(asked.conditions)) is found
    assert condition(str(asked.conditions[0])) == asked.conditions[0], "written and read again it is the same"


def test_all_conditions_must_hold() -> None:
    assert Filter(where=["price > 29", "price < 30", "tags = red"]).conditions
    assert allowed(ROW, Filter(where=["price > 29", "price < 30", "tags = red"]).conditions)
    assert not allowed(ROW, Filter(where=["price > 29", "price < 29.4"]).conditions)
    assert allowed(ROW, Filter(where={"tags": ("red",), "years": (2030,)}).conditions)
    assert not allowed(ROW, Filter(where={"tags": ("red",), "missing": ("x",)}).conditions)
    assert not allowed(ROW, Filter(where={"tags": ()}).conditions), "one of no values"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("price", "not a condition"),
        ("", "not a condition"),
        ("< 5", "not a condition"),
        ("price <", "no value"),
        ("price < cheap", "neither"),
        ("price < '30'", "neither"),
        ("price < 1,234", "neither"),
        ("lang in ", "no value"),
        ("lang = 'de", "not closed"),
        ("lang in 'de' 'en'", "comma is missing"),
        ("price < 2031-02-30", "neither"),
    ],
)
def test_what_cannot_be_read_is_told_with_a_form(text: str, told: str) -> None:
    with pytest.raises(BadFilter, match=told) as caught:
        condition(text)
    assert "2031-04-02" in caught.value.cure or "30" in caught.value.cure


@pytest.mark.parametrize(
    ("field", "relation", "values"),
    [("a", "<", ("7",)), ("a", "<", (True,)), ("a", "=", ()), ("a", "missing", (1,)), ("a", "=", (float("nan"),))],
)
def test_a_condition_made_in_python_is_checked_alike(field: str, relation: Any, values: tuple[Value, ...]) -> None:
    with pytest.raises(BadFilter):
        Condition(field, relation, values)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12,5", "12.5"),
        ("12,50", "12.5"),
        ("1,234", None),
        ("0,123", "0.123"),
        ("1234,567", "1234.567"),
        ("1,234,567", "1234567"),
        ("1,234.5", "1234.5"),
        ("1.234,5", "1234.5"),
        ("1.234.567,00", "1234567"),
        (".5", "0.5"),
        ("−4", "-4"),
        ("12 EUR", None),
        ("1,23,4", None),
        ("1.2.3", None),
        ("٣", None),
    ],
)
def test_numbers_as_spreadsheets_write_them(text: str, value: str | None) -> None:
    made = number(text)
    assert made == (None if value is None else Decimal(value))


def test_a_vector_is_no_list_of_members() -> None:
    assert len(facets({"v": str(list(range(5000)))})) == 2
    assert len(facets({"v": str([n / 7 for n in range(100)])})) == 2


@settings(max_examples=1500, deadline=timedelta(seconds=5))
@given(METADATA, conditions_of())
def test_outright_and_by_facets_a_condition_is_what_it_is_worked_out_plainly(
    metadata: dict[str, str], which: Condition
) -> None:
    wanted = plainly(metadata, which)
    assert allowed(metadata, (which,)) is wanted, "outright"
    have = set(facets(metadata))
    assert all(bool(have & set(some)) is has for has, some in clauses((which,))) is wanted, "by facets"
    assert condition(str(which)) == which, "written and read again"


@pytest.mark.parametrize(("name", "options"), [("memory", {}), ("lancedb", {}), ("lancedb", {"flat_limit": 0})])
def test_an_index_finds_what_is_worked_out_plainly(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    rows = any_rows()
    made = loading.make("indexes", name, options, directory=tmp_path, fingerprint="f", dimension=DIMENSION)
    check_filters(made, rows)
