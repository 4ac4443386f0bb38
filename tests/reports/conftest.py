"""Sample studies, and a browser where the machine has one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import browser as browsing
import pytest
import sample as samples

import cost_books
from chromium import PROGRAM
from twofold.costs.prices import UNITS
from twofold.reports.study_page import render

Made = tuple[Any, list[Any], str]


def all_right() -> tuple[Any, list[Any]]:
    """A study in which the chosen arm scores 1 and base 0: both stand at the ends of the scale."""
    record, rows = samples.sample(questions=40)
    for name, (mean, low, high) in {"ft+rag": (1.0, 0.698, 1.0), "base": (0.0, 0.0, 0.302)}.items():
        record["arms"][name]["metrics"][record["metric"]] |= {"mean": mean, "low": low, "high": high}
    return record, rows


def priced(*, batched: bool = True, **prices: float | None) -> tuple[Any, list[Any]]:
    """A study whose amounts were metered, with a table of prices; None: unknown."""
    record, rows = samples.sample(questions=40, arms=("base", "rag", "ft", "ft+rag"))
    record["metered"] = json.loads(json.dumps(cost_books.metered(arms=("base", "rag", "ft", "ft+rag"), hosted=False)))
    amounts = {**cost_books.PRICES, "wrong_answer": 0.05, **prices}
    record["prices"] = [
        {
            "item": item,
            "amount": amounts.get(item),
            "unit": unit,
            "currency": "EUR",
            "date": "2031-03-01",
            "source": "x",
        }
        for item, unit in UNITS.items()
    ]
    record["config"]["costs"] |= {
        "updates": 2.0,
        "retrainings": 1.0,
        "hours_examples": 20.0,
        "volume": 5000.0,
        "batched": batched,
    }
    return record, rows


@pytest.fixture(scope="session")
def made() -> Callable[[str], Made]:
    """Record, rows and page of a named case, each made once."""
    cases: dict[str, Callable[[], tuple[Any, list[Any]]]] = {
        "choose": samples.sample,
        "undecided": lambda: samples.sample(skill={"ft+rag": 0.47}, questions=60),
        "none": lambda: samples.sample(min_score=0.99, failing="rag", questions=60),
        "two arms": lambda: samples.sample(arms=("base", "rag"), questions=40),
        "one arm": lambda: samples.sample(arms=("prompt",), questions=30),
        "labels": samples.labels,
        "worldwide": samples.worldwide,
        "all right": all_right,
        "choose, diagnosed": samples.sample,
        "diagnosed": lambda: samples.sample(min_score=0.99, failing="rag", questions=60),
        "costs": priced,
        "costs of one at a time": lambda: priced(batched=False),
        "costs unknown": lambda: priced(index=None, machine=None, person=None),
        "400": lambda: samples.sample(questions=400),
    }
    kept: dict[str, Made] = {}

    def get(name: str) -> Made:
        if name not in kept:
            record, rows = cases[name]()
            diagnosis = samples.diagnosed(record, rows, ("rag", "base")) if name.endswith("diagnosed") else None
            kept[name] = (record, rows, render(record, rows, diagnosis))
        return kept[name]

    return get


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browsing.Browser]:
    """A real browser."""
    if not PROGRAM:
        pytest.skip("no chromium on this machine: the page is not looked at in a browser")
    opened = browsing.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
