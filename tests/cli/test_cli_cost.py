"""`twofold cost` on a real small study: what it prints, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from price_table import PRICES
from twofold.cli.main import main
from twofold.testing import projects


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cost") / "p"
    with projects.make_project(place, questions=60) as project:
        project.study()
    return place


@pytest.fixture
def cost(directory, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["cost", "-C", str(directory), *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_without_prices_quantities_are_metered_and_money_is_unknown(cost):
    code, out, err = cost("--json")
    record = json.loads(out)
    assert code == 0
    assert "no price is known" in err
    assert record["currency"] == ""
    assert set(record["arms"]["rag"]["monthly"]["unknown"]) >= {"machine", "index"}
    assert record["arms"]["rag"]["passages"]["tokens"]["mean"] > 50
    assert {row["outcome"] for row in record["break_even"]} == {"unknown"}
    _, text, _ = cost()
    assert "what they cost of a hosted model is unknown" in text


def test_a_table_gives_money_with_intervals(cost, directory, tmp_path):
    (tmp_path / "own.csv").write_text(PRICES, encoding="utf-8")
    code, out, _ = cost("--json", "--prices", str(tmp_path / "own.csv"), "--set", "costs.serving=hosted")
    record = json.loads(out)
    assert code == 0
    rag = record["arms"]["rag"]
    assert rag["serving"] == "hosted"
    assert rag["per_1000"]["low"] < rag["per_1000"]["mean"] < rag["per_1000"]["high"]
    assert rag["per_right"]["mean"] == pytest.approx(rag["per_1000"]["mean"] / 1000 / rag["right"]["mean"])
    assert rag["monthly"]["unknown"] == []
    # What `cost` says of tokens is what the study's answers were metered at.
    tokens = {part["part"]: part["units"]["mean"] * 1e6 for part in rag["parts"] if part["basis"] == "answer"}
    measured = json.loads((directory / "studies" / record["study"] / "study.json").read_text())["arms"]["rag"]
    assert tokens["prompt"] == pytest.approx(measured["prompt_tokens"])
    assert tokens["completion"] == pytest.approx(measured["completion_tokens"])


def test_people_read_a_table_break_even_and_curves(cost, tmp_path):
    (tmp_path / "own.csv").write_text(PRICES, encoding="utf-8")
    code, out, _ = cost("--prices", str(tmp_path / "own.csv"), "--parts", "--volume", "2500")
    assert code == 0
    for words in ("2,500 answers a month", "break-even", "a right answer", "index hosting", "updates of the documents"):
        assert words in out


def test_the_template_is_a_table_that_the_command_reads(cost, tmp_path):
    code, out, _ = cost("--template")
    assert code == 0
    (tmp_path / "prices.csv").write_text(out, encoding="utf-8")
    code, _, err = cost("--prices", str(tmp_path / "prices.csv"))
    assert code == 0
    assert "no price is known" in err


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("machine,-2,hour,EUR,2031-03-01,x\n", "own.csv:3: the price of 'machine' is negative: -2"),
        ("machine,2,hour,USD,2031-03-01,x\n", "own.csv:3: prices in two currencies: EUR in line 2, USD here"),
        ("machine,two,hour,EUR,2031-03-01,x\n", "own.csv:3: the price of 'machine' is 'two', which is no number"),
    ],
)
def test_a_wrong_table_is_refused_by_file_and_line(row, words, cost, tmp_path):
    table = tmp_path / "own.csv"
    table.write_text("".join(PRICES.splitlines(keepends=True)[:2]) + row, encoding="utf-8")
    code, _, err = cost("--prices", str(table))
    assert code == 2
    assert words in err
    assert "help: " in err


def test_a_missing_table_and_old_prices_are_told(cost, tmp_path):
    code, _, err = cost("--prices", str(tmp_path / "none.csv"))
    assert (code, "the table of prices is missing" in err) == (2, True)
    table = tmp_path / "own.csv"
    table.write_text(PRICES.replace("2031-03-01", "2019-03-01"), encoding="utf-8")
    code, _, err = cost("--prices", str(table))
    assert code == 0
    assert "days old (2019-03-01)" in err


@pytest.mark.parametrize("value", ["costs.utilisation=0", "costs.volume=0", "costs.churn=2", "costs.hours_month=-1"])
def test_a_use_that_cannot_be_is_refused(value, cost):
    code, _, err = cost("--set", value)
    assert code == 2
    assert value.split("=")[0] in err


def test_one_arm_has_costs_and_no_break_even(tmp_path, capsys):
    settings = {"study": {"arms": ["rag"], "resamples": 400, "latency_sample": 2, "diagnostics": []}}
    with projects.make_project(tmp_path / "p", questions=40, settings=settings) as project:
        project.study()
    assert main(["cost", "-C", str(tmp_path / "p"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["break_even"] == []
    assert "only the arm rag was measured" in printed.err
    assert "study --arms" in printed.err


def test_a_value_of_an_option_is_not_looked_for_in_the_file(cost):
    code, _, err = cost("--volume", "1e400")
    assert code == 2
    assert "override: costs.volume: inf" in err
    assert "--set or another option" in err


def test_a_folder_is_no_table(cost, tmp_path):
    code, _, err = cost("--prices", str(tmp_path))
    assert (code, "the table of prices is no plain file" in err) == (2, True)


def test_an_arm_of_which_nothing_is_known_does_not_cost_more_than_nothing(cost):
    code, out, _ = cost()
    assert code == 0
    assert "base has no known cost: no price of machine" in out
    assert "costs more than that" not in out
