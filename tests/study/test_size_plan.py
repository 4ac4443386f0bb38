"""A plan for a model of another size: counted from the project's own rows, priced by its own table, nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from twofold.errors import ConfigError
from twofold.project import Project
from twofold.reports.size_lines import size_lines
from twofold.testing.projects import make_project

PRICES = "item,amount,unit,currency,date,source\ntraining_tokens,{amount},million tokens,EUR,2026-11-30,my provider\n"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    settings = {"tuning": {"methods": ["lora", "qlora"], "trainer": {"name": "lora", "options": {"epochs": 2}}}}
    with make_project(tmp_path / "p", questions=40, settings=settings) as project:
        yield project


def test_the_plan_counts_the_rows_of_the_project_and_writes_nothing(project: Project) -> None:
    plan = project.tuning.size_plan("Llama-3.1-8B", arm="ft", gpus=["H100", "l4"])
    assert [(row["method"], row["gpu"]) for row in plan.rows] == [
        ("lora", "H100"),
        ("lora", "L4"),
        ("qlora", "H100"),
        ("qlora", "L4"),
    ]
    assert plan.steps > 0
    assert plan.row_tokens >= plan.tokens > plan.longest > 0
    assert all(row["fits"] for row in plan.rows)
    assert all(row["hours"]["low"] <= row["hours"]["likely"] <= row["hours"]["high"] for row in plan.rows)
    assert plan.hosted is None, "an unknown price is no number"
    assert not project.derived.exists()


def test_the_price_is_that_of_the_table(project: Project) -> None:
    (project.directory / "prices.csv").write_text(PRICES.format(amount=3))
    plan = project.tuning.size_plan("Llama-3.2-1B", arm="ft", gpus=["A100"])
    assert plan.hosted == pytest.approx(3 * plan.row_tokens / 1e6)
    text = "\n".join(size_lines(plan.to_json()))
    assert f"{plan.hosted:.2f} EUR (my provider)" in text
    assert "not run on a GPU" in text
    assert "no GPU was measured" in text


def test_a_measured_share_is_named(project: Project) -> None:
    plan = project.tuning.size_plan("Llama-3.2-1B", arm="ft", gpus=["A100"], efficiency=0.31)
    assert "time: 31% of the GPU's peak, as measured" in "\n".join(size_lines(plan.to_json()))


def test_an_arm_that_is_not_trained_here_has_no_such_plan(project: Project) -> None:
    with pytest.raises(ConfigError):
        project.tuning.size_plan("Llama-3.2-1B", arm="rag")


def test_what_does_not_fit_has_no_time(project: Project) -> None:
    settings = {"tuning": {"methods": ["full"], "trainer": {"name": "full", "options": {}}}}
    with Project.open(project.directory, settings) as full:
        plan = full.tuning.size_plan("Llama-3.1-8B", arm="ft", gpus=["4090"])
    assert not plan.rows[0]["fits"]
    line = next(line for line in size_lines(plan.to_json()) if line.startswith("4090"))
    assert "NO" in line
    assert " min" not in line
