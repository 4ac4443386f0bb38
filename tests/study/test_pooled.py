"""Style decides a study: from the answers to the record, and what it says of arms that are silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from twofold.errors import ConfigError
from twofold.project import Project
from twofold.reports import archive


def settings(fast: Callable[..., dict[str, Any]], *arms: str, **echo: Any) -> dict[str, Any]:
    chosen = fast(**echo)
    study = {"arms": list(arms), "diagnostics": [], "metric": "style", "metrics": ["token_f1"], "resamples": 200}
    return chosen | {"study": chosen["study"] | study}


def test_style_decides_and_its_number_is_the_one_that_is_shown(
    project: Project, fast: Callable[..., dict[str, Any]]
) -> None:
    with Project.open(project.directory, settings(fast, "base", "rag", abstention="I cannot tell.")) as opened:
        plan = opened.plan()
        seen: list[tuple[str, int, int]] = []
        record = opened.study(progress=lambda *step: seen.append(step))
        # An earlier study without scores of questions foretells nothing, and stops nothing.
        again = opened.plan()
        rows = archive.read_answers(opened.records / record["study"])
        page = archive.read_record(opened.records / record["study"])
    for planned in (plan, again):
        assert (
            planned.shows
            == "what gain is shown cannot be told before a study: style is a statistic of all answers together"
        )
        assert not any("can seldom show" in warning for warning in planned.warnings)
    # What comes after the last answer can take long: it is shown from its beginning to its end.
    assert [step for step in seen if step[0] == "score"] == [("score", done, 2) for done in range(3)]
    assert [step for step in seen if step[0] == "decide"] == [("decide", done, 4) for done in (0, 1, 2, 4)]
    (pair,) = record["comparisons"]
    shown = {name: arm["metrics"]["style"] for name, arm in record["arms"].items()}
    assert pair["name"] == "rag - base"
    assert pair["decides"]["low"] <= pair["estimate"]["mean"] <= pair["decides"]["high"]
    for value in shown.values():
        assert value["low"] <= value["mean"] <= value["high"]
    assert {row["arms"]["rag"]["scores"]["style"] for row in rows} == {None}
    assert record["right_from"] is None
    assert page["metric"] == "style"


def test_what_needs_a_score_of_each_question_refuses_it(project: Project, fast: Callable[..., dict[str, Any]]) -> None:
    with (
        Project.open(project.directory, settings(fast, "base", "rag")) as opened,
        pytest.raises(ConfigError, match="cannot be 'style': it is computed from all answers together"),
    ):
        opened.tuning.retrain()


@pytest.mark.slow
def test_an_arm_that_only_declines_has_no_style_and_is_not_chosen(
    project: Project, fast: Callable[..., dict[str, Any]]
) -> None:
    with Project.open(project.directory, settings(fast, "base", "rag", mode="abstain")) as opened:
        record = opened.study()
    assert record["verdict"]["outcome"] == "none acceptable"
    assert [arm["metrics"]["style"]["mean"] for arm in record["arms"].values()] == [0, 0]


def test_beside_another_metric_the_style_of_an_arm_that_only_declines_is_no_number(
    project: Project, fast: Callable[..., dict[str, Any]]
) -> None:
    chosen = settings(fast, "base", mode="abstain")
    study = {**chosen["study"], "metric": "token_f1", "metrics": ["style"]}
    with Project.open(project.directory, chosen | {"study": study}) as opened:
        metrics = opened.study()["arms"]["base"]["metrics"]
    assert "style" not in metrics
    assert metrics["token_f1"]["mean"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("arms", [("base", "prompt")])
def test_failed_answers_are_counted(
    project: Project, fast: Callable[..., dict[str, Any]], arms: tuple[str, ...]
) -> None:
    with Project.open(project.directory, settings(fast, *arms, mode="fixed", fixed="Yes.", fail_every=5)) as opened:
        record = opened.study()
    for name in arms:
        assert record["arms"][name]["metrics"]["style"]["failed"] > 0
