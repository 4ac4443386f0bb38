"""The sealed reserve confirms one hypothesis, stated before, once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.cli.study import show_plan
from twofold.errors import StudyError
from twofold.project import Project
from twofold.reports import archive
from twofold.study import looks
from twofold.study.confirming import Hypothesis, confirmed, hypothesis, restated
from twofold.study.verifying import verify
from twofold.types import Effect, Estimate
from twofold.verdict.outcome import Verdict

SEALED = {"train": 0.3, "dev": 0.1, "test": 0.35, "reserve": 0.25}


@pytest.fixture
def settings(project: Project, fast: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Three arms, and a quarter of the questions sealed."""
    project.close()
    return {**fast(), "examples": dict(SEALED)}


def study(project: Project, settings: dict[str, Any], *, final: bool = False, **section: Any) -> Any:
    with Project.open(project.directory, {**settings, "study": {**settings["study"], **section}}) as opened:
        return opened.study(final=final)


def test_the_chosen_arm_is_confirmed_against_the_best_simpler_one(
    project: Project, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first = study(project, settings)
    assert (first["verdict"]["outcome"], first["verdict"]["arm"]) == ("choose", "rag")
    assert "not yet confirmed on the sealed reserve split (twofold study --final)" in first["verdict"]["provisional"]
    with Project.open(project.directory, settings) as opened:
        plan = opened.plan(final=True)
        show_plan(plan, error=False)
        sealed = {example.id for example in opened.splits.reserve}
    printed = " ".join(capsys.readouterr().out.split())
    assert f"asked here: {len(sealed)} reserve questions in {plan.policy['groups']} independent groups" in printed
    assert "test question" not in " ".join([printed.split(", dev ")[1], *plan.warnings])
    assert plan.level == 0.95
    record = study(project, settings, final=True)
    simpler = max(("base", "prompt"), key=lambda arm: first["arms"][arm]["metrics"]["token_f1"]["mean"])
    assert plan.arms == [simpler, "rag"], "no other arm is asked, so none can be chosen"
    assert set(record["arms"]) == {simpler, "rag"}
    said = record["confirmation"]
    assert (said["study"], said["arm"], said["rival"]) == (first["study"], "rag", simpler)
    assert said["confirmed"]
    assert verify(project.records / record["study"]).faults == ()
    assert (
        record["verdict"]["headline"] == f"Confirmed on {len(sealed)} sealed questions: rag is better than {simpler}."
    )
    assert record["decided_at"] == 0.95, "one test, once: the whole level"
    assert not any("confirmed" in doubt for doubt in record["verdict"]["provisional"])
    rows = archive.read_answers(project.records / record["study"])
    assert {row["id"] for row in rows} == sealed
    groups = len({row["group"] for row in rows})
    assert record["policy"]["groups"] == groups
    assert f"{len(sealed)} sealed reserve questions in {groups} independent group" in record["policy"]["sentence"]


def test_a_second_opening_is_refused_whatever_is_deleted(project: Project, settings: dict[str, Any]) -> None:
    study(project, settings)
    opening = study(project, settings, final=True)
    words = f"the reserve was opened before.* by study {opening['study']} .rag is better than .*: confirmed"
    for again in ({}, {"metric": "contains"}, {"arms": ["base", "rag"]}):
        with pytest.raises(StudyError, match=words):
            study(project, settings, final=True, **again)
    shutil.rmtree(project.derived)
    with pytest.raises(StudyError, match=words):
        study(project, settings, final=True)
    later = study(project, settings, metrics=["rouge_l"])
    assert (
        f"not confirmed: study {opening['study']} opened the reserve, and a reserve confirms once"
        in (later["verdict"]["provisional"])
    )
    shutil.rmtree(project.records / opening["study"])
    with pytest.raises(StudyError, match=words):
        study(project, settings, final=True, seed=5)


def dying(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_an_opening_that_was_killed_is_run_to_its_end(
    project: Project, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofold.study import run

    study(project, settings)

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_record", dying)
        with pytest.raises(KeyboardInterrupt):
            study(project, settings, final=True)
    assert [row.kind for row in looks.read(project.records)] == ["study", "final"]
    other = study(project, settings, metrics=["rouge_l"])
    opening = next(row for row in looks.read(project.records) if row.kind == "final")
    assert other["study"] > opening.name, "the killed opening keeps its number"
    record = study(project, settings, final=True)
    assert record["confirmation"]["confirmed"]
    assert [row.kind for row in looks.read(project.records)] == ["study", "final"]


def test_an_ordinary_record_under_the_name_of_a_killed_opening_does_not_end_it(
    project: Project, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of another study, or one that an earlier version wrote."""
    from twofold.study import run

    first = study(project, settings)
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_record", dying)
        with pytest.raises(KeyboardInterrupt):
            study(project, settings, final=True)
    opening = looks.read(project.records)[-1]
    assert opening.kind == "final"
    shutil.copytree(project.records / first["study"], project.records / opening.name)
    assert study(project, settings, final=True)["confirmation"]["confirmed"]


def test_only_a_verdict_on_the_same_systems_by_the_same_rule_can_be_confirmed(
    project: Project, settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="no verdict to confirm: no study is finished"):
        study(project, settings, final=True)
    study(project, settings)
    with pytest.raises(StudyError, match=r"chose rag by another \[study\].metric"):
        study(project, settings, final=True, metric="contains")
    other = {**settings, "retrieval": {**settings["retrieval"], "k": 9}}
    with pytest.raises(StudyError, match="the arm rag is not the one that study 0001"):
        study(project, other, final=True)
    assert [row.kind for row in looks.read(project.records)] == ["study"], "nothing was opened by what was refused"
    study(project, settings, margin=0.9)
    with pytest.raises(StudyError, match=r"no verdict to confirm: study 0002.* chose no arm"):
        study(project, {**settings, "generation": {**settings["generation"], "max_tokens": 1}}, final=True, margin=0.9)


def test_a_reserve_of_questions_that_were_asked_confirms_nothing(
    project: Project, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--set examples.reserve=0.2 --final` after a study of all questions."""
    study(project, {**settings, "examples": {"train": 0, "dev": 0, "test": 1}}, arms=["base", "rag"])
    later = {**settings, "study": {**settings["study"], "arms": ["base", "rag"]}}
    later |= {"examples": {"train": 0.0, "dev": 0.0, "test": 0.8, "reserve": 0.2}}
    with Project.open(project.directory, later) as opened:
        total = len(opened.splits.reserve)
        warnings = opened.plan().warnings
        assert any(f"earlier studies used {total} of {total} reserve questions" in warning for warning in warnings)
        with pytest.raises(StudyError, match=f"not sealed: earlier studies used all of its {total} questions"):
            opened.study(final=True)
    assert main(["study", "-C", str(project.directory), "--final", "--plan", "--quiet"]) == 3
    assert "the project has no reserve split" in capsys.readouterr().err


def test_a_plan_says_how_to_set_a_reserve_aside_while_there_is_time(project: Project, settings: dict[str, Any]) -> None:
    open_ = {**settings, "examples": {"train": 0, "dev": 0, "test": 1}}
    open_["study"] = {**settings["study"], "arms": ["base", "rag"]}
    with Project.open(project.directory, open_) as opened:
        assert any("set [examples].reserve" in warning for warning in opened.plan().warnings)
        opened.study()
        assert not any("set [examples].reserve" in warning for warning in opened.plan().warnings)


def test_an_arm_that_may_not_be_chosen_is_no_rival(project: Project, settings: dict[str, Any]) -> None:
    first = study(project, settings, must_cite=True, min_cited=0.05)
    assert first["verdict"]["arm"] == "rag"
    assert [name for name, arm in first["arms"].items() if not arm["acceptable"]] == ["base", "prompt"]
    with pytest.raises(StudyError, match="chose rag by its constraints, as the only acceptable arm"):
        study(project, settings, final=True, must_cite=True, min_cited=0.05)
    with Project.open(project.directory, settings) as opened:
        config = opened.config
    first["arms"]["prompt"]["acceptable"] = True
    first["arms"]["base"]["metrics"]["token_f1"]["mean"] = 0.9
    assert hypothesis(first, config).words == "rag is better than prompt", "base scores more, and is ruled out"
    # After a race: base was asked easier questions, and loses more than prompt on those that rag was asked, too.
    first["arms"]["base"]["acceptable"] = True
    assert hypothesis(first, config).rival == "base"
    gains = {"rag - base": 0.3, "rag - prompt": 0.1}
    for pair in first["comparisons"]:
        pair["estimate"]["mean"] = gains.get(pair["name"], 0.0)
    raced = {**first, "race": {"planned": 60}}
    assert hypothesis(raced, config).rival == "prompt"


# ---------------------------------------------------------------- the one interval


def effect(name: str, low: float, high: float) -> Effect:
    return Effect(name=name, estimate=Estimate(mean=(low + high) / 2, low=low, high=high, n=40, failed=0))


@pytest.mark.parametrize(
    ("simplest", "low", "high", "holds"),
    [(False, 0.01, 0.3, True), (False, -0.01, 0.3, False), (True, -0.2, 0.02, True), (True, -0.2, 0.03, False)],
)
def test_the_simplest_arm_needs_a_bound_and_any_other_a_gain(
    simplest: bool, low: float, high: float, holds: bool
) -> None:
    arm, rival = ("base", "rag") if simplest else ("rag", "base")
    stated = Hypothesis(
        study="0001-x", arm=arm, rival=rival, simplest=simplest, margin=0.02, metric="token_f1", systems={}
    )
    found = [effect("rag - base", low, high)]
    assert confirmed(stated, found) is holds
    verdict = restated(Verdict(outcome="choose", arm="rag"), stated, found, policy="Split by document.", n=40)
    assert (verdict.outcome, verdict.arm) == (("choose", arm) if holds else ("undecided", ""))
    assert verdict.headline.startswith("Confirmed on 40" if holds else "Not confirmed on 40")
    flipped = [effect("base - rag", -high, -low)]
    assert confirmed(stated, flipped) is holds
