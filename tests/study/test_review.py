"""`twofold check` refuses what a study refuses, and says which of its checks it did not make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twofold.errors import GenerationError, LeakFound
from twofold.examples.preparing import prepared
from twofold.project import Project
from twofold.settings.loading import laid_over
from twofold.settings.sections import ExamplesSection
from twofold.study import review
from twofold.types import Example, Message, Problem

WORDS = ["ferry", "kiln", "ribbon", "otter", "barley", "compass", "walnut", "lagoon", "copper", "thistle", "sparrow"]


def question(number: int, side: str, *, text: str = "", answer: str = "", document: str = "") -> dict[str, Any]:
    one, two = WORDS[number % 11], WORDS[number * 7 % 9]
    return {
        "id": f"{side}{number}",
        "question": text or f"{one} {number * 7919} {two}, as the {side} asks",
        "answer": answer or f"{side} answer {number}",
        "split": side,
        **({"doc_ids": [document]} if document else {}),
    }


def rows(**more: Any) -> list[dict[str, Any]]:
    made = [question(n, side) for side, count in (("train", 20), ("dev", 8), ("test", 20)) for n in range(count)]
    return [*made, *more.get("beside", ())]


def opened(place: Path, made: list[dict[str, Any]], **examples: Any) -> Project:
    source = place / "source"
    source.mkdir()
    (source / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    Project.create(place / "project", source, forgetting=False).close()
    return Project.open(place / "project", {"examples": {"split_by": "given", **examples}})


def reviewed(project: Project, embedder: Any) -> list[Problem]:
    return review.review(project.config, project.directory, embedder)


COPY = question(99, "dev", text=question(3, "train")["question"], answer=question(3, "train")["answer"])


def test_a_dev_question_that_stands_in_train_is_an_error_for_check_as_for_the_study(tmp_path: Path) -> None:
    with opened(tmp_path, rows(beside=[COPY]), on_leak="error") as project:
        with pytest.raises(LeakFound, match="dev split"):
            _ = project.splits
        [told] = [problem for problem in project.check() if problem.code == "data.leak"]
        assert told.severity == "error"
        assert "dev split" in told.message
    dropping = laid_over(project.config, {"examples": {"on_leak": "drop"}})
    [told_now] = [one for one in review.review(dropping, project.directory, None) if one.code == "data.leak"]
    assert told_now.severity == "warning"
    assert "on_leak" not in told_now.cure, "it is so already"
    assert "left out of training" in told_now.cure


def test_answers_that_decline_are_told_with_their_lines(tmp_path: Path) -> None:
    made = rows()
    for number, words in ((3, "Not mentioned in the text."), (7, "The passages do not say."), (9, "Unanswerable")):
        made[number]["answer"] = words
    with opened(tmp_path, made) as project:
        [told] = [problem for problem in project.check() if problem.code == "data.declining-answer"]
    assert (told.severity, told.line) == ("warning", 4)
    assert "3 examples" in told.message
    assert "lines 4, 8, 10" in told.message
    assert '"answerable": false' in told.cure


def test_a_split_that_tuning_needs_and_that_leaks_empty_is_an_error_of_check(tmp_path: Path) -> None:
    test = [question(n, "test") for n in range(20)]
    train = [{**row, "id": f"again {n}", "split": "train"} for n, row in enumerate(test)]
    with opened(tmp_path, [*test, *train, *(question(n, "dev") for n in range(8))]) as project:
        errors = [problem for problem in project.check() if problem.severity == "error"]
        assert [error.message for error in errors] == [
            "tuning needs examples in the train split, but all its 20 examples were dropped "
            "because they leak test questions"
        ]


class Alike:
    """An embedder for which all questions mean the same, and that fails where it is told to."""

    def __init__(self, error: str = "") -> None:
        self.error = error

    def embed(self, texts: list[str]) -> Any:
        if self.error:
            raise GenerationError(self.error)
        return np.ones((len(texts), 1), dtype=np.float32)


def test_a_comparison_by_meaning_that_was_not_made_is_one_warning_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(embedder: Any) -> list[str]:
        found = [problem for problem in reviewed(project, embedder) if problem.code == "data.not-compared"]
        assert all(problem.severity == "warning" and problem.cure for problem in found)
        return [problem.message for problem in found]

    with opened(tmp_path, rows()) as project:
        assert told(Alike) == []
        assert len(told(None)) == 1
        [failed] = told(lambda: Alike("the model's server is away"))
        assert "the model's server is away" in failed
        monkeypatch.setattr(review, "_EMBEDDED", 40)
        [many] = told(Alike)
        assert "48 questions" in many


def example(number: int, side: Any, *, answer: str = "", document: str = "") -> Example:
    row = question(number, side, answer=answer, document=document)
    content = (Message(role="user", content=row["question"]),)
    sources = (document,) if document else ()
    return Example(id=row["id"], messages=content, references=(row["answer"],), sources=sources, split=side)


def test_the_sentence_counts_reserve_questions_by_their_name_and_gives_the_right_reason_for_what_was_dropped() -> None:
    asked = [example(n, "test", document=f"sheet {n}") for n in range(20)]
    sealed = [example(n, "reserve") for n in range(10)]
    same_place = example(50, "train", answer="test answer 3", document="sheet 3")
    learned = [*(example(n, "train", document=f"leaf {n}") for n in range(20)), *(example(n, "dev") for n in range(8))]
    known = {f"sheet {n}": f"sheet {n}" for n in range(20)}
    made, counts = prepared([*asked, *sealed, *learned, same_place], ExamplesSection(split_by="given"), documents=known)
    assert (counts["span"], counts["exact"], counts["near"]) == (1, 0, 0)
    assert "20 train (1 dropped: they give test or dev questions away)" in made.sentence
    assert "10 of 30 test and reserve questions name no document" in made.sentence


def test_all_faults_of_the_settings_are_findings_those_of_listed_metrics_too(tmp_path: Path) -> None:
    opened(tmp_path, rows()).close()
    settings = {
        "study": {"metric": "f1", "metrics": [{"name": "json_valid", "options": {"schemaa": 1}}]},
        "tuning": {"trainer": {"options": {"epoks": 3}}},
    }
    with Project.open(tmp_path / "project", settings) as project:
        wrong = [p.message for p in project.check() if p.severity == "error"]
    assert [message.partition(";")[0] for message in wrong] == [
        "tuning.trainer: unknown key 'epoks'",
        "unknown metric 'f1'",
        "study.metrics: json_valid: unknown key 'schemaa'",
    ]


def test_a_project_whose_documents_are_a_source_s_needs_no_examples_either(tmp_path: Path) -> None:
    (tmp_path / "hb").mkdir()
    (tmp_path / "hb" / "leave.md").write_text("Leave is 30 days.", encoding="utf-8")
    (tmp_path / "twofold.toml").write_text('[sources.handbook]\nkind = "folder"\npaths = ["hb"]\n', encoding="utf-8")
    with Project.open(tmp_path) as project:
        (finding,) = [problem for problem in project.check() if "no examples yet" in problem.message]
    assert finding.severity == "warning"
