"""A metric decides only when the mean of its scores over the same questions is the number that its name promises."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import ConfigError, ScorerBroken
from twofold.metrics.overlap import TokenF1
from twofold.plugins import loading
from twofold.project import Project
from twofold.reports import archive
from twofold.study import admission
from twofold.testing import conformance_metric
from twofold.testing.echo_generator import EchoGenerator
from twofold.types import Answer, Example, Failure, Message

MESSAGES = ("the pump is loud", "the seed is late", "the well is dry", "the field is wet", "the press is jammed")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Messages with one label for most of them, which a model that always says that label gets right."""
    source = tmp_path / "labels"
    source.mkdir()
    chance = random.Random(3)
    rows = [
        {
            "id": f"m{number}",
            "question": f"{MESSAGES[number % 5]}, machine {number * 37 % 1009} in row {number}",
            "answers": [chance.choices(["fine", "broken", "lost"], [0.85, 0.1, 0.05])[0]],
            "choices": ["fine", "broken", "lost"],
        }
        for number in range(240)
    ]
    (source / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return source


def settings(fast: Callable[..., dict[str, Any]], **study: Any) -> dict[str, Any]:
    said = fast(mode="fixed", fixed="fine")
    return said | {"study": said["study"] | {"arms": ["base", "prompt"], "diagnostics": [], **study}}


def test_macro_f1_beside_the_deciding_metric_is_macro_f1(
    tmp_path: Path, labelled: Path, fast: Callable[..., dict[str, Any]]
) -> None:
    Project.create(tmp_path / "project", labelled).close()
    with Project.open(tmp_path / "project", settings(fast, metric="accuracy", metrics=["macro_f1"])) as project:
        record = project.study()
        wanted = [example.references[0] for example in project.splits.test]
    share = wanted.count("fine") / len(wanted)
    told = record["arms"]["base"]["metrics"]
    assert told["accuracy"]["mean"] == pytest.approx(share)
    f1 = 2 * share / (1 + share) / len(set(wanted))
    assert told["macro_f1"]["mean"] == pytest.approx(f1)
    assert told["macro_f1"]["low"] < f1 < told["macro_f1"]["high"] < share
    rows = archive.read_answers(project.records / record["study"])
    assert {name for row in rows for name in row["arms"]["base"]["scores"]} == {"accuracy"}


@pytest.mark.parametrize("metric", ["macro_f1", "abstention_f1"])
def test_a_pooled_metric_does_not_decide(project: Project, fast: Callable[..., dict[str, Any]], metric: str) -> None:
    with Project.open(project.directory, settings(fast, metric=metric)) as held:
        for run in (held.plan, held.study, held.tuning.retrain):
            with pytest.raises(ConfigError, match=f"cannot be '{metric}': it is computed from all answers") as found:
                run()
            assert f"put {metric} into [study].metrics" in found.value.cure


@pytest.mark.parametrize("metric", ["json_valid", "abstention_recall"])
def test_a_metric_that_scores_no_question_is_refused_before_anything_is_answered(
    project: Project, fast: Callable[..., dict[str, Any]], metric: str
) -> None:
    with Project.open(project.directory, settings(fast, metric=metric)) as held:
        for run in (held.plan, held.study):
            with pytest.raises(ConfigError, match=f"'{metric}' scores none of the [0-9]+ test questions"):
                run()
        assert not list(held.records.glob("*"))


def test_a_plan_refuses_the_scorer_that_its_study_would_refuse(
    tmp_path: Path, labelled: Path, fast: Callable[..., dict[str, Any]]
) -> None:
    file = labelled / "examples.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows):
        row["answers"], row["choices"] = [("open ticket", "open_ticket", "lost")[number % 3]], []
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    Project.create(tmp_path / "project", labelled).close()
    with Project.open(tmp_path / "project", settings(fast, metric="accuracy")) as project:
        for run in (project.plan, project.study):
            with pytest.raises(ScorerBroken, match="score alike under accuracy"):
                run()


@pytest.mark.parametrize(
    "metric", ["citation_precision", "citation_recall", "citation_support", "abstention_precision"]
)
def test_a_metric_that_scores_what_an_arm_chose_to_answer_does_not_decide(
    project: Project, fast: Callable[..., dict[str, Any]], metric: str
) -> None:
    with Project.open(project.directory, settings(fast, metric=metric)) as held:
        for run in (held.plan, held.study, held.tuning.retrain):
            with pytest.raises(ConfigError, match="declines or cites nothing"):
                run()
    assert loading.find("metrics", "abstention_recall").conditional is False


def test_a_metric_that_does_not_say_so_is_found_by_its_scores(
    project: Project, fast: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TokenF1.score

    def silent(self: Any, example: Example, answer: Answer) -> float | None:
        return None if answer.abstained else whole(self, example, answer)

    monkeypatch.setattr(TokenF1, "score", silent)
    settings = fast()
    settings["study"] |= {"metric": "token_f1"}
    with Project.open(project.directory, settings) as held, pytest.raises(ConfigError, match="cannot be 'token_f1'"):
        held.study()
    asked = Example(id="q", messages=(Message(role="user", content="how deep?"),), references=("12 m",))
    subject = conformance_metric.Subject(metric=loading.make("metrics", "token_f1", {}), examples=[asked])
    with pytest.raises(AssertionError, match="set `conditional`"):
        conformance_metric.abstaining_does_not_decide_whether_it_scores(subject)


@pytest.mark.parametrize("value", [float("nan"), -0.5, 1.5])
def test_a_score_that_is_no_number_from_0_to_1_is_no_failed_answer(
    project: Project, fast: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    whole = TokenF1.score

    def odd(self: Any, example: Example, answer: Answer) -> float | None:
        return value if answer.hits else whole(self, example, answer)

    monkeypatch.setattr(TokenF1, "score", odd)
    monkeypatch.setattr(admission, "self_test", lambda *_, **__: {"gold": 1.0, "shuffled": 0.0, "n": 1})
    settings = fast()
    settings["study"] |= {"metric": "token_f1"}
    with (
        Project.open(project.directory, settings) as held,
        pytest.raises(ScorerBroken, match=f"token_f1 returns {value:g} for an answer to example"),
    ):
        held.study()


def test_a_pooled_metric_of_an_arm_that_answered_nothing_has_no_value_and_stops_no_study(
    project: Project, fast: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.close()
    whole = EchoGenerator.generate

    def too_long(self: Any, prompts: Any, **more: Any) -> Any:
        lost = Failure(code="generation.too-long", message="the prompt is too long")
        return [
            replace(made, text="", failure=lost) if "[1] " in prompt.messages[-1].content else made
            for prompt, made in zip(prompts, whole(self, prompts, **more), strict=True)
        ]

    monkeypatch.setattr(EchoGenerator, "generate", too_long)
    said = fast()
    said["study"] |= {"arms": ["base", "rag"], "diagnostics": [], "metrics": ["macro_f1"]}
    with Project.open(project.directory, said) as opened:
        arms = opened.study()["arms"]
    assert "macro_f1" in arms["base"]["metrics"]
    assert arms["rag"]["metrics"] == {}
