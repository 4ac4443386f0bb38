"""`twofold check` tells, from files to the printed line, which training questions mean what a test question asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from small_project import SETTINGS, write_documents
from twofold.cli.main import main
from twofold.project import Project

ASKED = "Which depth in metres does the northern pump of the valley farm need in a dry summer?"
TURNED = "In a dry summer, the northern pump of the valley farm does need which depth in metres?"
OTHER = "Who signs the ledger of the grain store when the manager is away at the autumn market?"


def written(directory: Path, answer: str) -> Path:
    write_documents(
        directory, [{"id": "pump", "text": "The northern pump needs 12 m."}, {"id": "ledger", "text": "Ada."}]
    )
    rows = [
        {"id": "learned", "question": TURNED, "answers": [answer], "split": "train"},
        {"id": "other", "question": OTHER, "answers": ["Ada"], "doc_ids": ["ledger"], "split": "train"},
        {"id": "asked", "question": ASKED, "answers": ["12 m"], "doc_ids": ["pump"], "split": "dev"},
    ]
    (directory / "data" / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    settings = SETTINGS.replace('split_by = "question"', 'split_by = "given"')
    (directory / "twofold.toml").write_text(settings + '[study]\narms = ["base", "rag"]\n', encoding="utf-8")
    with Project.open(directory) as project:
        project.sync()
    return directory


def test_a_training_question_in_other_words_with_the_same_answer_is_told_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = written(tmp_path, "12 m")
    assert main(["check", "-C", str(directory)]) == 0, "a warning stops nothing"
    told = capsys.readouterr().out
    assert "1 training question means what a test question asks, in other words and with the same answer" in told
    with Project.open(directory) as project:
        assert "learned" in [one.id for one in project.splits.train], "nothing is dropped for it"


def test_a_question_in_like_words_with_another_answer_is_no_paraphrase(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = written(tmp_path, "20 m")
    main(["check", "-C", str(directory)])
    assert "in other words" not in capsys.readouterr().out
