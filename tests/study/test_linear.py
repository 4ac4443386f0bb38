"""Beside the arms of a study of labels stands what a linear model on the words would score."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.advice import linear
from twofold.errors import ConfigError, MissingExtra, StudyError
from twofold.examples import classifier
from twofold.project import Project
from twofold.reports.study_page import render, render_summary
from twofold.study.diagnosing import Scope
from twofold.testing import projects
from twofold.types import Example, Message

QUICK = {"arms": ["base"], "diagnostics": [], "metric": "exact_match", "metrics": [], "latency_sample": 0}
WORDS = {"leak": "plumber", "spark": "electrician", "crack": "mason"}


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """Tickets whose label is told by one of their words, nine times of ten."""
    source, chance = tmp_path / "tickets", random.Random(4)
    source.mkdir()
    rows = []
    for number in range(120):
        word = chance.choice(list(WORDS))
        label = WORDS[word] if chance.random() < 0.9 else chance.choice(list(WORDS.values()))
        text = f"There is a {word} in flat {chance.randrange(1000)}, floor {chance.randrange(9)}."
        rows.append({"id": f"t{number}", "question": text, "answers": [label], "choices": list(WORDS.values())})
    (source / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return source


def opened(tmp_path: Path, tickets: Path, fast: Callable[..., dict[str, Any]]) -> Project:
    settings = fast(mode="fixed", fixed="plumber")
    study = {"arms": ["base", "prompt"], "diagnostics": [], "metric": "accuracy", "metrics": []}
    Project.create(tmp_path / "project", tickets).close()
    return Project.open(tmp_path / "project", settings | {"study": settings["study"] | study})


def test_a_linear_model_that_is_better_is_said_to_be(
    tmp_path: Path, tickets: Path, fast: Callable[..., dict[str, Any]]
) -> None:
    with opened(tmp_path, tickets, fast) as project:
        record = project.study()
        splits = project.splits
        labels = linear.linear_labels((*splits.train, *splits.dev), splits.test)
    found = record["linear"]
    assert labels is not None
    right = [label == example.references[0] for label, example in zip(labels, splits.test, strict=True)]
    assert found["score"]["mean"] == pytest.approx(sum(right) / len(right))
    assert found["score"]["low"] < found["score"]["mean"] < found["score"]["high"]
    assert found["examples"] == len(splits.train) + len(splits.dev)
    arm = record["arms"][found["arm"]]["metrics"]["accuracy"]["mean"]
    assert found["difference"] is not None
    assert found["difference"]["mean"] == pytest.approx(arm - found["score"]["mean"])
    assert found["difference"]["high"] < 0
    # There are no documents, so that nobody would demand sources of the answers.
    assert not any("name their source" in flip["condition"] for flip in record["verdict"]["flips"])
    for shown in (render_summary(record), render(record, [])):
        assert "a linear model on the words" in shown
        assert f"the linear model is better, and {found['arm']} is not needed for these labels" in shown


def test_without_the_package_the_study_says_what_it_does_not_know(
    tmp_path: Path, tickets: Path, fast: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise MissingExtra("a linear model needs the package scikit-learn", cure="Install it.")

    monkeypatch.setattr(classifier, "unfitted", missing)
    with opened(tmp_path, tickets, fast) as project:
        record = project.study()
    assert "linear" not in record
    assert any(warning.startswith("what a linear model scores is not known") for warning in record["warnings"])
    assert "a linear model on the words" not in render_summary(record)


def test_answers_in_words_of_their_own_have_no_linear_model(tmp_path: Path) -> None:
    with projects.make_project(tmp_path / "p", questions=40, settings={"study": QUICK}) as project:
        assert linear.linear_labels(project.splits.train, project.splits.test) is None
        assert "linear" not in project.study()


def labelled(number: int, text: str, label: str) -> Example:
    message = Message(role="user", content=text)
    references = (label,) if label else ()
    return Example(id=f"e{number}", messages=(message,), references=references, answerable=bool(label))


def test_texts_that_share_no_letters_have_no_linear_model() -> None:
    texts = [chr(0x4E00 + 2 * number) + chr(0x4E01 + 2 * number) for number in range(12)]
    examples = [labelled(number, text, "ab"[number % 2]) for number, text in enumerate(texts)]
    assert linear.linear_labels(examples, examples) is None
    score = linear.linear_score(examples)
    assert score is not None
    assert score.right.mean == 0.0, "no fold has anything to learn from"


def test_a_linear_model_learns_from_all_that_arms_learn_from() -> None:
    # Every second example alone would tell nothing of the two words.
    known = [("crack", "a"), ("spark", "b"), ("crack", "b"), ("flame", "a")]
    examples = [labelled(number, f"{known[number % 4][0]} {number}", known[number % 4][1]) for number in range(2400)]
    questions = [labelled(-1, "spark", "b"), labelled(-2, "flame", "a")]
    assert linear.linear_labels(examples, questions) == ["b", "a"]


def test_a_linear_model_that_knows_what_has_no_answer_is_right_there(
    tmp_path: Path, fast: Callable[..., dict[str, Any]]
) -> None:
    source, rows, chance = tmp_path / "tickets", [], random.Random(4)
    source.mkdir()
    for number in range(120):
        word, label = list(WORDS.items())[number % 3]
        where = f"flat {chance.randrange(1000)}, floor {chance.randrange(9)}"
        row: dict[str, Any] = {"id": f"t{number}", "question": f"There is a {word} in {where}.", "answers": [label]}
        if number % 11 == 0:
            row = {"id": f"t{number}", "question": f"Who sings in {where}?", "answerable": False}
        rows.append(row)
    (source / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with opened(tmp_path, source, fast) as project:
        assert any(not example.answerable for example in project.splits.test)
        record = project.study()
    assert record["linear"]["score"]["mean"] == 1.0


def test_as_an_arm_it_is_chosen_where_it_does(
    tmp_path: Path, tickets: Path, fast: Callable[..., dict[str, Any]]
) -> None:
    with opened(tmp_path, tickets, fast) as project:
        labels = linear.linear_labels((*project.splits.train, *project.splits.dev), project.splits.test)
    settings = fast(mode="fixed", fixed="plumber")
    study = {"arms": ["base", "linear"], "diagnostics": [], "metric": "accuracy", "metrics": [], "latency_sample": 4}
    with Project.open(tmp_path / "project", settings | {"study": settings["study"] | study}) as project:
        plan = project.plan()
        record = project.study()
        again = project.study()
        answer, provenance = project.ask("There is a spark in flat 7, floor 2.")
        splits = project.splits
    assert record["study"] == again["study"], "the same examples make the same model"
    arm = record["arms"]["linear"]
    words = sum(label == e.references[0] for label, e in zip(labels or (), splits.test, strict=True))
    # With embeddings beside the words, here of words alone: no worse than one more question wrong.
    assert arm["metrics"]["accuracy"]["mean"] >= (words - 1) / len(splits.test)
    assert (arm["prompt_tokens"], arm["completion_tokens"], arm["failures"]) == (0.0, 0.0, [])
    assert arm["latency"] is not None
    assert record["verdict"]["arm"] == "linear"
    assert any(line.startswith("A classifier will do: linear") for line in record["verdict"]["because"])
    assert "linear" not in record, "the arm is compared, and no line beside the arms says it again"
    assert [step["step"] for step in plan.steps].count("answer linear") == 1
    assert (answer.text, answer.failure, provenance["arm"], provenance["measured"]) == (
        "electrician",
        None,
        "linear",
        True,
    )


def test_as_an_arm_it_is_refused_where_answers_are_no_labels(tmp_path: Path) -> None:
    settings = {"study": {**QUICK, "arms": ["base", "linear"]}}
    with projects.make_project(tmp_path / "p", questions=40, settings=settings) as project:
        for run in (project.plan, project.study):
            with pytest.raises(ConfigError, match="the arm linear answers with labels") as refusal:
                run()
            assert "Leave linear out" in refusal.value.cure


def test_nothing_is_diagnosed_of_it(tmp_path: Path, tickets: Path, fast: Callable[..., dict[str, Any]]) -> None:
    opened(tmp_path, tickets, fast).close()
    settings = fast(mode="fixed", fixed="plumber")
    study = {"arms": ["base", "linear"], "diagnostics": [], "metric": "accuracy", "metrics": [], "latency_sample": 0}
    with Project.open(tmp_path / "project", settings | {"study": settings["study"] | study}) as project:
        project.study()
        with pytest.raises(StudyError, match="reads no prompt") as refusal:
            project.diagnosis.run(Scope())
        assert "by --arm; to improve another, run `twofold study --arms base` first" in refusal.value.cure
