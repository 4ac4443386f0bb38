"""The table of prices: one row an item, with date and source; an unknown price stays unknown. Pure.

Prices are never fetched and never guessed. The table is a CSV file that a person edits; whatever is wrong in it is
refused with file and line.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypedDict

from twofold.errors import BadRecord
from twofold.files.reading import csv_records
from twofold.text.arm_names import model_of, without_model

FILE = "prices.csv"
"""Name of a project's table unless ``[costs].prices`` names another."""
UNITS: Mapping[str, str] = {
    "prompt_tokens": "million tokens",
    "cached_prompt_tokens": "million tokens",
    "completion_tokens": "million tokens",
    "training_tokens": "million tokens",
    "machine": "hour",
    "training_machine": "hour",
    "index": "month",
    "index_storage": "GiB month",
    "person": "hour",
    "wrong_answer": "answer",
}
"""Item → the unit that its price is of. Fixed, so that a price per thousand tokens is not taken for one per million."""
OF_MODELS = ("prompt_tokens", "cached_prompt_tokens", "completion_tokens", "training_tokens")
"""Items whose price each model has: ``big/prompt_tokens`` is that of the further model ``big``, and no other's."""
COLUMNS = ("item", "amount", "unit", "currency", "date", "source")
"""Columns that a table must have; others, such as ``note``, are for its readers."""
OLD_DAYS = 183
"""A price that is older is warned of: prices of hosted models change about twice a year."""
SMALLEST, LARGEST = 1e-12, 1e12
"""An amount beyond is a slip, and could make a sum infinite or a limit on it 0; an amount of 0 is a price."""
_UNKNOWN = frozenset({"", "unknown", "?"})
"""Cells that say that nobody knows the amount."""


class PriceRow(TypedDict):
    """A price as it stands in a record."""

    item: str
    amount: float | None
    """None: unknown."""
    unit: str
    currency: str
    date: str
    """ISO date on which the price was seen."""
    source: str


def unit_of(item: str) -> str:
    """The unit that an item's price is of; empty for an unknown item."""
    kind = without_model(item)
    return UNITS.get(kind, "") if kind == item or kind in OF_MODELS else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A table of prices."""

    amounts: Mapping[str, float] = field(default_factory=dict)
    """Item → price of a unit; an item left out is unknown."""
    currency: str = ""
    """Of all prices; empty where none is known."""
    rows: tuple[PriceRow, ...] = ()
    """All rows, unknown ones included."""
    warnings: tuple[str, ...] = ()
    """Old prices, and such as are dated in the future."""
    file: str = ""
    """The table's file; empty where there is none."""


UNPRICED = Prices()
"""No price is known."""


def parsed(text: str, *, name: str, today: date, models: Collection[str] = ()) -> Prices:
    """Read a table of prices.

    Args:
        text: The CSV file's content.
        name: Its name, for messages.
        today: Prices are old or new as of this day.
        models: Further models that there are; the price of another would be used nowhere.

    Raises:
        BadRecord: naming file and line: an unknown item, or one of a model that there is not, another unit, an amount
            that is no number or is negative, a price without currency, date or source, an item that stands twice,
            prices in two currencies.
    """
    rows: list[PriceRow] = []
    lines: dict[str, int] = {}
    warnings: list[str] = []
    currency, currency_line = "", 0
    for record in csv_records(text, name=name):
        if isinstance(record.value, BadRecord):
            raise record.value
        cells = {str(key).strip().lower(): str(value).strip() for key, value in record.value.items()}
        row = _row(cells, name=name, line=record.line)
        _require_model(row["item"], models, name=name, line=record.line)
        if row["item"] in lines:
            raise BadRecord(
                f"the price of {row['item']!r} stands twice, first in line {lines[row['item']]}",
                file=name,
                line=record.line,
                cure="Keep one of the two rows.",
            )
        lines[row["item"]] = record.line
        rows.append(row)
        if row["amount"] is None:
            continue
        if currency and row["currency"] != currency:
            raise BadRecord(
                f"prices in two currencies: {currency} in line {currency_line}, {row['currency']} here",
                file=name,
                line=record.line,
                cure="Convert all prices to one currency; Twofold knows no exchange rate.",
            )
        currency, currency_line = currency or row["currency"], currency_line or record.line
        warnings += _age(row, name=name, line=record.line, today=today)
    if not rows:
        raise BadRecord(
            "the table of prices has no row",
            file=name,
            cure="Write a table with `twofold cost --template > prices.csv` and fill in the amounts that you know.",
        )
    known = {row["item"]: row["amount"] for row in rows if row["amount"] is not None}
    return Prices(amounts=known, currency=currency, rows=tuple(rows), warnings=tuple(warnings), file=name)


def of_rows(rows: Iterable[PriceRow], *, file: str = "") -> Prices:
    """The table whose rows a record holds."""
    listed = tuple(rows)
    known = {row["item"]: row["amount"] for row in listed if row["amount"] is not None}
    currency = next((row["currency"] for row in listed if row["amount"] is not None), "")
    return Prices(amounts=known, currency=currency, rows=listed, file=file)


def _row(cells: Mapping[str, str], *, name: str, line: int) -> PriceRow:
    """One row, checked."""

    def refused(problem: str, cure: str) -> BadRecord:
        return BadRecord(problem, file=name, line=line, cure=cure)

    missing = [column for column in COLUMNS if column not in cells]
    if missing:
        raise refused(
            f"the table of prices lacks the column {missing[0]!r}",
            f"Give the table the columns {', '.join(COLUMNS)}; `twofold cost --template` prints one.",
        )
    item = cells["item"]
    unit = unit_of(item)
    if not unit:
        near = difflib.get_close_matches(item, UNITS, n=1)
        raise refused(
            f"unknown item {item!r} in the table of prices",
            f"Did you mean {near[0]!r}?" if near else f"Name one of the items: {', '.join(UNITS)}.",
        )
    if cells["unit"] != unit:
        raise refused(
            f"the price of {item!r} is per {cells['unit'] or 'nothing'!r}, expected per {unit!r}",
            f"Convert the amount to one per {unit} and write that unit.",
        )
    row: PriceRow = {
        "item": item,
        "amount": None,
        "unit": cells["unit"],
        "currency": cells["currency"],
        "date": cells["date"],
        "source": cells["source"],
    }
    if cells["amount"].lower() in _UNKNOWN:
        return row
    amount = _number(cells["amount"])
    if amount is None:
        raise refused(
            f"the price of {item!r} is {cells['amount']!r}, which is no number",
            "Write a number such as 0.15, with a point and without a sign of the currency, or `unknown`.",
        )
    if amount < 0:
        raise refused(f"the price of {item!r} is negative: {cells['amount']}", "Write a price of 0 or more.")
    if amount and not SMALLEST <= amount <= LARGEST:
        raise refused(
            f"the price of {item!r} is {cells['amount']}, expected 0 or {SMALLEST:g} to {LARGEST:g}",
            "Look for a slip in the amount, or write `unknown`.",
        )
    for column, example in (("currency", "EUR"), ("date", "2031-04-02"), ("source", "an address, a contract, a name")):
        if not cells[column]:
            raise refused(
                f"the price of {item!r} has no {column}",
                f"Fill in the column {column!r} ({example}), or write `unknown` for the amount.",
            )
    try:
        date.fromisoformat(cells["date"])
    except ValueError:
        raise refused(
            f"the price of {item!r} has the date {cells['date']!r}",
            "Write the date as YEAR-MONTH-DAY, such as 2031-04-02.",
        ) from None
    return {**row, "amount": amount}


def _require_model(item: str, models: Collection[str], *, name: str, line: int) -> None:
    model = model_of(item)
    if not model or model in models:
        return
    near = difflib.get_close_matches(model, models, n=1)
    meant = f"Write {near[0]}/{without_model(item)}, or remove the row." if near else ""
    raise BadRecord(
        f"the price of {item!r} is one of the model {model!r}, which no arm answers with",
        file=name,
        line=line,
        cure=meant or f"Remove the row, or describe the model in [models.{model}] of twofold.toml.",
    )


def _number(text: str) -> float | None:
    """A finite number as people write it with a point; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    # `nan`, `inf` and 1_000 are numbers to Python only.
    return value if math.isfinite(value) and "_" not in text else None


def _age(row: PriceRow, *, name: str, line: int, today: date) -> list[str]:
    days = (today - date.fromisoformat(row["date"])).days
    if days > OLD_DAYS:
        return [f"{name}:{line}: the price of {row['item']} is {days} days old ({row['date']}): see whether it holds"]
    if days < 0:
        return [f"{name}:{line}: the price of {row['item']} is dated in the future ({row['date']})"]
    return []
