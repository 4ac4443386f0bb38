"""`twofold check` runs a project's own references through the metric that decides its study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twofold.cli.main import main


def project(folder: Path, answers: list[str]) -> Path:
    rows = [{"question": f"Which is number {n}?", "answers": [answer]} for n, answer in enumerate(answers)]
    (folder / "source").mkdir()
    source = folder / "source" / "examples.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["init", str(folder / "p"), "--from", str(folder / "source")]) == 0
    return folder / "p"


def metric(made: Path) -> str:
    lines = (made / "twofold.toml").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("metric ="))


def test_check_refuses_labels_that_score_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = project(tmp_path, ["Refund", "refund", "delivery"] * 12)
    assert metric(made) == 'metric = "accuracy"'
    assert main(["check", "-C", str(made)]) != 0
    said = capsys.readouterr()
    assert "error: these two labels score alike under accuracy: 'Refund' and 'refund'" in said.out + said.err


def test_check_names_answers_that_the_metric_takes_for_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [f"{n}.{n} metres of rope" for n in range(12, 40)] + ["1212 metres of rope"]
    made = project(tmp_path, answers)
    assert metric(made) == 'metric = "answer_f1"'
    main(["check", "-C", str(made)])
    assert "score alike" not in capsys.readouterr().out
    text = (made / "twofold.toml").read_text(encoding="utf-8")
    (made / "twofold.toml").write_text(text.replace('"answer_f1"', '"squad_exact"'), encoding="utf-8")
    main(["check", "-C", str(made)])
    said = capsys.readouterr()
    assert "these two of your answers score alike under squad_exact" in said.out + said.err


def test_queries_are_judged_by_exact_match_and_short_answers_by_answer_f1(tmp_path: Path) -> None:
    queries = [f"SELECT name FROM plots WHERE size > {n} ;" for n in range(30)]
    assert metric(project(tmp_path, queries)) == 'metric = "exact_match"'
