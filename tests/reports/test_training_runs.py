"""Training runs in reports: of one run nothing is said, and of several one line each."""

from __future__ import annotations

from typing import Any

from twofold.reports.training_runs import run_table, single_runs, without_runs
from twofold.reports.tuning_lines import runs_lines


def row(run: int, **more: Any) -> dict[str, Any]:
    score = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 40, "failed": 0}
    base = {"run": run, "seed": run + 6, "model": f"model:{run}", "carried": False, "gate": None}
    return {**base, "metric": "answer_f1", "dev": score, **more}


def test_a_record_with_one_run_is_as_it_was(made) -> None:
    stored = made("two arms")[0]
    assert single_runs(stored) == set()
    assert without_runs(stored, [])[0] is stored
    assert run_table(stored) == []


def test_each_run_has_a_line_with_its_seed_and_the_one_that_answers_is_marked() -> None:
    lines = runs_lines("ft", [row(1, gate="failed"), row(2, carried=True, gate="passed")])
    assert lines == [
        "  ft@1: seed 7, dev answer F1 .500 [.400, .600], gate FAILED, model:1",
        "* ft@2: seed 8, dev answer F1 .500 [.400, .600], gate passed, model:2",
    ]
    assert runs_lines("ft", ()) == []
