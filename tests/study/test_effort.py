"""A study whose adapter was cut short by a limit: nothing is decided over it, and record, page and terminal say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stand_in_trainer import StandIn, report, write_adapter
from twofold.cli.commands import app
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.project import Project
from twofold.reports import archive
from twofold.reports.study_page import render_summary
from twofold.study import looks


class Limited(StandIn):
    """Says that it did `done` of 6 steps; its weights differ with the steps done."""

    class Options(StandIn.Options):
        done: int = 1
        known: bool = True
        minutes: float = 9.0

    def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
        done = self.options.done
        write_adapter(directory, float(done))
        finished = done >= 6
        effort = {
            **{"planned": 6, "steps": done, "epochs": done / 2, "stopped": "plan" if finished else "minutes"},
            **{"limit_minutes": 9.0, "moved": finished, "rising": True if finished else None, "dev_first": 0.1},
            **{"dev_best": 0.4 if finished else 0.1, "chance": finished, "minutes": 8.0, "minutes_needed": 40.0},
        }
        told = {"epochs": done / 2, "seconds": 480.0, "stopped": "minutes", "dev": [(done, 0.1)]}
        return report(job, done, **told, **({"effort": effort} if self.options.known else {}))


@pytest.fixture(autouse=True)
def trainer() -> Iterator[None]:
    with loading.registered("trainers", "limited", Limited):
        yield


@pytest.fixture
def opened(tmp_path: Path, folder: Path, fast: Callable[..., dict[str, Any]]) -> Callable[..., Project]:
    """The project with an adapter trained for so many of 6 steps."""
    Project.create(tmp_path / "project", folder, forgetting=False).close()

    def open_(*, max_tokens: int = 40, **options: Any) -> Project:
        settings = fast()
        settings["study"] |= {"arms": ["base", "prompt", "rag", "ft"], "diagnostics": []}
        settings["tuning"] = {"trainer": {"name": "limited", "options": options}, "gate": "off"}
        settings["generation"]["max_tokens"] = max_tokens
        return Project.open(tmp_path / "project", settings)

    return open_


def test_a_study_with_an_adapter_cut_after_one_of_six_steps_is_undecided(opened: Callable[..., Project]) -> None:
    with opened(done=1) as project:
        record = project.study()
        directory = project.directory
    verdict = record["verdict"]
    sentence = "Undecided: ft was stopped by its time limit after 1 of 6 steps (about 40 minutes are needed here)."
    assert (verdict["outcome"], verdict["arm"], verdict["more_examples"]) == ("undecided", "", None)
    assert verdict["sentence"].endswith(sentence)
    assert verdict["headline"].startswith("ft has not been given a fair chance. So far rag answers ")
    assert any(
        "the cap (--minutes or minutes in [tuning.trainer.options])" in reason
        and "trained anew, from its first step" in reason
        for reason in verdict["because"]
    )
    assert record["arms"]["ft"]["training"]["effort"]["steps"] == 1
    assert sentence in render_summary(record)
    table = render_summary(record).partition("effort of the tuned arms:")[2].splitlines()
    assert "1 of 6" in table[2]
    assert "time limit of 9 minutes" in table[2]
    assert "not given its chance" in table[2]
    page = (project.records / record["study"] / "report.html").read_text(encoding="utf-8")
    assert "not given its chance" in page.partition('id="training"')[2]
    shown = CliRunner().invoke(app, ["show", "-C", str(directory)])
    assert shown.exit_code == 0
    assert sentence in " ".join(shown.stdout.split())


def test_the_same_study_with_the_plan_done_chooses(opened: Callable[..., Project]) -> None:
    with opened(done=6) as project:
        record = project.study()
    assert record["verdict"]["arm"] == "rag"
    assert any("ft's dev score still rose" in doubt for doubt in record["verdict"]["provisional"])


def test_an_unknown_effort_is_a_doubt_and_no_block(opened: Callable[..., Project]) -> None:
    with opened(known=False) as project:
        record = project.study()
    assert record["verdict"]["arm"] == "rag"
    assert "the training effort of ft is unknown" in record["verdict"]["provisional"]
    assert "unknown" in render_summary(record).partition("effort of the tuned arms:")[2]


def test_answers_cut_at_the_token_limit_reach_record_rows_and_doubts(opened: Callable[..., Project]) -> None:
    with opened(done=6, max_tokens=3) as project:
        record = project.study()
    rows = archive.read_answers(project.records / record["study"])
    marked = [row["arms"]["rag"]["cut"] for row in rows]
    assert record["arms"]["rag"]["cut"] == [sum(marked), len(rows)]
    assert sum(marked) > len(rows) / 2
    assert any("of rag's answers were cut at the token limit" in doubt for doubt in record["verdict"]["provisional"])
    assert f"{sum(marked)} of {len(rows)}" in render_summary(record)


def test_times_stand_with_their_counts_and_intervals(opened: Callable[..., Project]) -> None:
    with opened(done=6) as project:
        record = project.study()
    arm = record["arms"]["rag"]
    assert arm["latency"]["n"] == 2
    assert arm["latency"]["intervals"]["p50"] == [None, None]
    assert arm["latency"]["intervals"]["p95"][1] is None
    retrieval = arm["timing"]["retrieval"]
    assert 0 < retrieval["low"] <= retrieval["value"] <= retrieval["high"]
    assert "retrieval" not in record["arms"]["base"]["timing"]


def test_a_reserve_set_aside_after_a_study_is_not_called_sealed(
    opened: Callable[..., Project], fast: Callable[..., dict[str, Any]]
) -> None:
    with opened(done=6) as project:
        first = project.study()
    settings = fast()
    settings["study"] |= {"arms": ["base", "rag"], "diagnostics": []}
    settings["examples"] = {"reserve": 0.2, "test": 0.18}
    assert (
        "no reserve split was set aside, so the verdict cannot be confirmed on unseen questions"
        in (first["verdict"]["provisional"])
    )
    with Project.open(project.directory, settings) as later:
        record = later.study()
        earlier = {row["id"] for row in archive.read_answers(later.records / first["study"])}
        asked = sum(1 for example in later.splits.reserve if example.id in earlier)
        known = looks.seen(looks.read(later.records)[:1])
        used, total = len(known.intersection(looks.asked_digests(later.splits.reserve))), len(later.splits.reserve)
    assert used >= asked > 0, "questions on which settings were chosen are no more sealed than those asked"
    assert (
        f"the reserve is not sealed: earlier studies used {used} of {total} reserve questions"
        in (record["verdict"]["provisional"])
    )
