"""The table of prices: what is wrong in it is named with file, line and cure."""

from __future__ import annotations

from datetime import date
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.costs.prices import UNITS, of_rows, parsed
from twofold.errors import BadRecord

TODAY = date(2031, 4, 2)
HEAD = "item,amount,unit,currency,date,source\n"
GOOD = "machine,0.5,hour,EUR,2031-03-01,invoice\n"


def read(*rows: str):
    return parsed(HEAD + "".join(rows), name="prices.csv", today=TODAY, models=("far", "near"))


def test_the_shipped_template_knows_every_item_and_no_price():
    text = (resources.files("twofold.costs") / "prices.csv").read_text(encoding="utf-8")
    table = parsed(text, name="prices.csv", today=TODAY)
    assert [row["item"] for row in table.rows] == list(UNITS)
    assert table.amounts == {}
    assert table.warnings == ()


def test_known_prices_have_currency_date_and_source_and_unknown_ones_stay_unknown():
    table = read(GOOD, "person,unknown,hour,,,\n", "index,0,month,EUR,2031-04-01,the machine holds it\n")
    assert table.amounts == {"machine": 0.5, "index": 0.0}
    assert table.currency == "EUR"
    assert of_rows(table.rows, file="prices.csv").amounts == table.amounts


@pytest.mark.parametrize(
    ("row", "line", "problem"),
    [
        ("machine,-1,hour,EUR,2031-01-01,x\n", 3, "is negative: -1"),
        ("machine,abc,hour,EUR,2031-01-01,x\n", 3, "'abc', which is no number"),
        ('machine,"0,5",hour,EUR,2031-01-01,x\n', 3, "'0,5', which is no number"),
        ("machine,inf,hour,EUR,2031-01-01,x\n", 3, "'inf', which is no number"),
        ("machine,1e308,hour,EUR,2031-01-01,x\n", 3, "is 1e308, expected 0 or 1e-12 to 1e+12"),
        ("machine,1e-320,hour,EUR,2031-01-01,x\n", 3, "is 1e-320, expected 0 or 1e-12 to 1e+12"),
        ("machine,1_000,hour,EUR,2031-01-01,x\n", 3, "'1_000', which is no number"),
        ("machine,1,month,EUR,2031-01-01,x\n", 3, "per 'month', expected per 'hour'"),
        ("machines,1,hour,EUR,2031-01-01,x\n", 3, "unknown item 'machines'"),
        ("machine,1,hour,,2031-01-01,x\n", 3, "has no currency"),
        ("machine,1,hour,EUR,,x\n", 3, "has no date"),
        ("machine,1,hour,EUR,2031-01-01,\n", 3, "has no source"),
        ("machine,1,hour,EUR,1 April,x\n", 3, "has the date '1 April'"),
        ("machine,1,hour,USD,2031-01-01,x\n", 3, "two currencies: EUR in line 2, USD here"),
        ("index,2,month,EUR,2031-01-01,x\nindex,3,month,EUR,2031-01-01,x\n", 4, "stands twice, first in line 3"),
    ],
)
def test_a_wrong_row_is_refused_with_its_place_and_a_cure(row, line, problem):
    with pytest.raises(BadRecord, match="prices") as caught:
        read("index_storage,1,GiB month,EUR,2031-01-01,x\n", row)
    assert caught.value.file == "prices.csv"
    assert caught.value.line == line
    assert problem in caught.value.message
    assert caught.value.cure


def test_a_table_without_rows_or_columns_is_refused():
    with pytest.raises(BadRecord, match="no row"):
        parsed(HEAD, name="prices.csv", today=TODAY)
    with pytest.raises(BadRecord, match="lacks the column 'unit'"):
        parsed("item,amount\nmachine,1\n", name="prices.csv", today=TODAY)


def test_old_and_future_prices_are_warned_of():
    old = read("machine,1,hour,EUR,2030-01-01,x\n").warnings
    assert old == ("prices.csv:2: the price of machine is 456 days old (2030-01-01): see whether it holds",)
    assert "in the future" in read("machine,1,hour,EUR,2032-01-01,x\n").warnings[0]
    assert read(GOOD).warnings == ()


@given(st.just(0.0) | st.floats(1e-12, 1e12))
def test_every_price_of_nought_or_more_is_read_back(amount):
    assert read(f"machine,{amount!r},hour,EUR,2031-01-01,x\n").amounts["machine"] == amount


def test_a_further_model_has_prices_of_its_own_tokens_and_of_nothing_else():
    table = read("far/prompt_tokens,2,million tokens,EUR,2031-03-01,a page\n", GOOD)
    assert table.amounts == {"far/prompt_tokens": 2.0, "machine": 0.5}
    for row in ("far/machine,2,hour,EUR,2031-03-01,a page\n", "far/nope,2,hour,EUR,2031-03-01,a page\n"):
        with pytest.raises(BadRecord, match="unknown item"):
            read(row)


def test_a_price_of_a_model_that_there_is_not_is_refused():
    row = "fra/prompt_tokens,2,million tokens,EUR,2031-03-01,a page\n"
    with pytest.raises(BadRecord, match=r"'fra/prompt_tokens' is one of the model 'fra', which no arm") as refused:
        read(GOOD, row)
    assert (refused.value.line, refused.value.cure) == (3, "Write far/prompt_tokens, or remove the row.")
    with pytest.raises(BadRecord, match="the model 'fra'") as refused:
        parsed(HEAD + row, name="prices.csv", today=TODAY)
    assert "describe the model in [models.fra]" in refused.value.cure
