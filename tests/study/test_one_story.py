"""Record, terminal and page tell one story: the numbers of the sentence are those of the tables, at one level."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.project import Project
from twofold.verdict.record import estimate_text, true_minus


@pytest.fixture
def told(
    project: Project, fast: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> tuple[Any, str, str]:
    """The record of the second look at a project, what the terminal shows of it, and the words of the page."""
    project.close()
    settings = fast(fail_every=9)
    settings["study"] |= {"diagnostics": [], "max_failed": 0.9}
    for margin in (0.02, 0.03):
        with Project.open(project.directory, {**settings, "study": {**settings["study"], "margin": margin}}) as held:
            record = held.study()
            path = held.records / record["study"]
    assert main(["show", record["study"], "-C", str(project.directory)]) == 0
    return json.loads((path / "study.json").read_text(encoding="utf-8")), capsys.readouterr().out, words(path)


def words(path: Path) -> str:
    page = (path / "report.html").read_text(encoding="utf-8")
    page = re.sub(r"<style>.*?</style>|<script.*?</script>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_every_number_of_the_sentence_stands_in_the_record_at_the_level_of_the_look(told: Any) -> None:
    record, _, _ = told
    verdict, metric = record["verdict"], record["metric"]
    assert record["level"] == record["decided_at"] == 0.9925
    known = {estimate_text(arm["metrics"][metric]) for arm in record["arms"].values()}
    for pair in record["comparisons"]:
        mine = pair["decides"]
        known |= {
            estimate_text(mine),
            estimate_text({"mean": -mine["mean"], "low": -mine["high"], "high": -mine["low"]}),
        }
    said = " ".join([verdict["sentence"], *verdict["because"]])
    found = re.findall(r"-?\d*\.\d+ \[-?\d*\.\d+, -?\d*\.\d+\]", said)
    assert len(found) > 2
    assert set(found) <= known
    assert set(re.findall(r"\d+(?:\.\d+)? %", verdict["sentence"])) == {"99.25 %"}


def test_terminal_and_page_show_the_sentence_the_scores_and_the_deciding_intervals_of_the_record(told: Any) -> None:
    record, terminal, page = told
    for shown in (terminal, page):
        assert true_minus(record["verdict"]["headline"]) in shown
        assert "99.25 %" in shown
        for name, arm in record["arms"].items():
            assert true_minus(estimate_text(arm["metrics"][record["metric"]])) in shown, name
            assert f"{arm['right'][0]} of {arm['right'][1]}" in shown, name
    table = page[page.index("decides, 99.25 %") :]
    for pair in record["comparisons"]:
        row = f"{true_minus(estimate_text(pair['decides']))} {true_minus(estimate_text(pair['estimate']))}"
        assert row in table, pair["name"]
    totals = {arm["right"][1] for arm in record["arms"].values()}
    assert totals == {record["policy"]["test"]}, "failed answers included, so that counts can be compared"
