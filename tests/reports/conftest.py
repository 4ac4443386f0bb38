"""Sample studies, and a browser where the machine has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import browser as browsing
import pytest
import sample as samples

from twofold.reports.study_page import render

Made = tuple[Any, list[Any], str]


def all_right() -> tuple[Any, list[Any]]:
    """A study in which the chosen arm scores 1 and base 0: both stand at the ends of the scale."""
    record, rows = samples.sample(questions=40)
    for name, (mean, low, high) in {"ft+rag": (1.0, 0.698, 1.0), "base": (0.0, 0.0, 0.302)}.items():
        record["arms"][name]["metrics"][record["metric"]] |= {"mean": mean, "low": low, "high": high}
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
        "400": lambda: samples.sample(questions=400),
    }
    kept: dict[str, Made] = {}

    def get(name: str) -> Made:
        if name not in kept:
            record, rows = cases[name]()
            kept[name] = (record, rows, render(record, rows))
        return kept[name]

    return get


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browsing.Browser]:
    """A real browser."""
    if not browsing.PROGRAM:
        pytest.skip("no chromium on this machine: the page is not looked at in a browser")
    opened = browsing.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
