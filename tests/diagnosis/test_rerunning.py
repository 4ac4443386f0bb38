"""Re-runs go through the one answering path, change what they say and nothing else, and are never made twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import planted
from twofold.diagnosis.arm import ArmCases, diagnose_arm, remarks
from twofold.diagnosis.changes import Change, Trial
from twofold.diagnosis.levers import TokenPrices, fixes_and_harms
from twofold.diagnosis.rerunning import Reruns, changed
from twofold.prompts import Template
from twofold.types import Answer, Failure


def opened(fault: str, directory: Path) -> tuple[ArmCases, Reruns]:
    world = planted.world()
    planted.FAULTS[fault][1](world)
    return planted.opened(world, directory)


def test_a_repeated_diagnosis_runs_nothing_and_finds_the_same(tmp_path: Path) -> None:
    subject, reruns = opened("distractors", tmp_path)
    first = diagnose_arm(subject, reruns, level=0.95)
    made, reruns.count, reruns.cached = reruns.count, 0, 0
    assert diagnose_arm(subject, reruns, level=0.95) == first
    assert (reruns.count, reruns.cached) == (0, made)


def test_a_diagnosis_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, reruns = opened("distractors", tmp_path)
    reruns.batch = 5
    generate, calls = reruns.system.generator.generate, []

    def stopping(prompts: Any, **more: Any) -> Any:
        calls.append(len(prompts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return generate(prompts, **more)

    monkeypatch.setattr(reruns.system.generator, "generate", stopping)
    with pytest.raises(KeyboardInterrupt):
        diagnose_arm(subject, reruns, level=0.95)
    reruns.count = reruns.cached = 0
    diagnosis = diagnose_arm(subject, reruns, level=0.95)
    assert reruns.cached == 10
    assert {row["cause"] for row in diagnosis["rows"]} == {"ignored"}


def test_the_ledger_adds_up_and_a_limit_leaves_a_visible_rest(tmp_path: Path) -> None:
    subject, reruns = opened("flooded search", tmp_path)
    whole = diagnose_arm(subject, reruns, level=0.95)
    assert sum(row["share"] for row in whole["ledger"]) == pytest.approx(1)
    assert sum(row["count"] for row in whole["ledger"]) == whole["wrong"] == 40
    assert all(0 <= row["low"] < row["share"] <= row["high"] <= 1 for row in whole["ledger"])
    limited = ArmCases(arm="rag", system="s", cases=subject.cases, unscored=3, limit=6)
    part = diagnose_arm(limited, reruns, level=0.95)
    assert (part["diagnosed"], part["wrong"]) == (6, 40)
    assert part["ledger"][0]["low"] < whole["ledger"][0]["low"]
    notes = " ".join(remarks(part))
    assert "6 wrong answers cannot tell frequent causes from rare ones" in notes
    assert "34 of 40 wrong answers were not diagnosed: raise --limit" in notes
    assert "3 answers the metric cannot judge" in notes


def test_the_plan_is_an_upper_bound(tmp_path: Path) -> None:
    subject, reruns = opened("corrupt adapter", tmp_path)
    plan = subject.plan()
    diagnosis = diagnose_arm(subject, reruns, level=0.95)
    assert (plan.answers, plan.wrong, plan.diagnosed) == (40, 20, 20)
    assert sum(len(row["trials"]) for row in diagnosis["rows"]) <= plan.reruns
    assert diagnosis["reruns"] <= plan.reruns + plan.levers


@pytest.mark.parametrize(
    ("fault", "lever", "gain"),
    [
        ("flooded search", "perfect retrieval", 1.0),
        ("spoiled template", "perfect form", 1.0),
        ("lower limit", "no limit", 1.0),
        ("corrupt adapter", "no adapter", 0.5),
        ("dropped documents", "complete documents", 0.5),
        ("thin evidence", "no abstention", 1.0),
    ],
)
def test_the_next_best_fix_is_the_lever_of_the_planted_fault(
    fault: str, lever: str, gain: float, tmp_path: Path
) -> None:
    subject, reruns = opened(fault, tmp_path)
    best = diagnose_arm(subject, reruns, level=0.95)["levers"][0]
    assert best["lever"] == lever
    assert best["gain"]["mean"] == pytest.approx(gain)
    assert best["gain"]["low"] <= gain <= best["gain"]["high"]
    assert best["price"] is None


def test_a_lever_that_spoils_right_answers_says_how_many(tmp_path: Path) -> None:
    # Half the questions have no answer, and the arm rightly declines: obliged to answer, it is wrong.
    world = planted.world()
    planted.unanswerable(world)
    world.documents = [d for place, d in enumerate(world.documents) if place % 2]
    subject, reruns = planted.opened(world, tmp_path)
    assert not subject.wrong
    rows = diagnose_arm(subject, reruns, level=0.95)["levers"]
    levers = {row["lever"]: row for row in rows}
    assert levers["no abstention"]["harmed"] == 20
    assert levers["no abstention"]["gain"]["mean"] == pytest.approx(-0.5)
    fixes, harms = fixes_and_harms(rows)
    assert [row["lever"] for row in harms] == ["no abstention"]
    assert fixes == [row for row in rows if row["lever"] != "no abstention"]


def test_with_a_limit_a_lever_stands_on_right_answers_too(tmp_path: Path) -> None:
    # Every other answer is wrong, each in a group of its own: over the wrong ones alone the gain would be 1.
    subject, reruns = opened("corrupt adapter", tmp_path)
    limited = ArmCases(arm="ft", system="s", cases=subject.cases, unscored=0, limit=10, seed=3)
    right = sum(subject.cases[place].right for place in limited.lever_places)
    assert len(limited.lever_places) == 20, "ten of twenty wrong answers, and as large a part of all"
    assert 5 <= right <= 15
    best = diagnose_arm(limited, reruns, level=0.95)["levers"][0]
    assert best["lever"] == "no adapter"
    assert best["answers"] == 20
    assert best["gain"]["mean"] == pytest.approx(1 - right / 20)
    assert best["gain"]["low"] < 0.5 < best["gain"]["high"]


def test_a_failed_rerun_of_a_lever_is_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, reruns = opened("lower limit", tmp_path)
    only = ArmCases(arm="rag", system="s", cases=subject.cases, unscored=0)
    answered, victim = reruns.run, subject.cases[0].example

    def failing(items: Any, **more: Any) -> list[Trial]:
        trials = answered(items, **more)
        for place, (example, change) in enumerate(items):
            if example is victim and change == subject.cases[0].longer:
                trials[place] = Trial(change=change, right=False, score=None, failure="generation.timeout")
        return trials

    monkeypatch.setattr(reruns, "run", failing)
    diagnosis = diagnose_arm(only, reruns, level=0.95)
    lever = next(row for row in diagnosis["levers"] if row["lever"] == "no limit")
    assert lever["answers"] == len(subject.cases) - 1
    assert lever["gain"]["mean"] == pytest.approx(1), "neither a score of 0 nor the old one"
    assert diagnosis["failed"] >= 2, "once for its cause, once for the lever"


def test_prices_are_known_only_where_they_are_configured(tmp_path: Path) -> None:
    subject, reruns = opened("lower limit", tmp_path)
    row = diagnose_arm(subject, reruns, level=0.95, price=TokenPrices(read=1.0, written=10.0))["levers"][0]
    assert row["tokens"] == pytest.approx(2)
    # Two more words written for each of 1,000 answers, at 10 a million.
    assert row["price"] == pytest.approx(0.02)


def test_a_change_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    system = opened("distractors", tmp_path)[1].system
    same = changed(system, Change(name="asked again"))
    assert (same.template, same.max_tokens, same.calibration) == (system.template, system.max_tokens, None)
    assert changed(system, Change(name="limit", tokens=99)).max_tokens == 99
    obliged = changed(system, Change(name="obliged", obliged=True)).template
    assert "{abstention}" not in obliged.open
    assert "as few words as possible, from the passages" in obliged.open
    assert "Begin with the number of the passage used" in obliged.open
    assert obliged.abstention == ""
    assert obliged.closed == Template().closed


def test_two_causes_planted_in_one_answer_are_a_joint_cause(tmp_path: Path) -> None:
    world = planted.world()
    planted.dropped_documents(world)
    planted.spoiled_template(world)
    subject, reruns = planted.opened(world, tmp_path)
    rows = diagnose_arm(subject, reruns, level=0.95)["rows"]
    causes = {row["id"]: row for row in rows}
    for place in planted.affected(world):
        row = causes[world.examples[place].id]
        assert (row["cause"], row["parts"]) == ("joint", ["not-in-documents", "form"])


def test_answers_whose_reruns_failed_are_undecided_until_they_are_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, reruns = opened("flooded search", tmp_path)
    generate, failures = reruns.system.generator.generate, set[str]()
    lost = Failure(code="generation.timeout", message="no reply")

    def failing_first(prompts: Any, **more: Any) -> Any:
        completions = generate(prompts, **more)
        for place, prompt in enumerate(prompts):
            text = prompt.messages[-1].content
            # Every other answer, whatever is changed of it.
            if "of Sudria?" in text or "of Ashby?" in text:
                completions[place] = replace(completions[place], text="", failure=lost)
                failures.add(text)
        return completions

    monkeypatch.setattr(reruns.system.generator, "generate", failing_first)
    diagnosis = diagnose_arm(subject, reruns, level=0.95)
    assert failures
    causes = {row["id"]: row["cause"] for row in diagnosis["rows"]}
    assert {name for name, cause in causes.items() if cause == "undecided"} == {
        name for name in causes if name.endswith(("Sudria", "Ashby"))
    }
    assert set(causes.values()) == {"undecided", "not-retrieved"}
    assert sum(row["share"] for row in diagnosis["ledger"]) == pytest.approx(1)
    row = next(row for row in diagnosis["rows"] if row["cause"] == "undecided")
    assert "re-runs failed, the first with generation.timeout" in row["detail"]
    monkeypatch.setattr(reruns.system.generator, "generate", generate)
    again = diagnose_arm(subject, reruns, level=0.95)
    assert {row["cause"] for row in again["rows"]} == {"not-retrieved"}


def test_an_answer_that_failed_in_the_study_is_in_no_gain(tmp_path: Path) -> None:
    subject, reruns = opened("lower limit", tmp_path)
    failure = Failure(code="generation.timeout", message="")
    lost = replace(subject.cases[0], answer=Answer(text="", failure=failure), score=None)
    only = ArmCases(arm="rag", system="s", cases=[lost, *subject.cases[1:]], unscored=0)
    lever = next(row for row in diagnose_arm(only, reruns, level=0.95)["levers"] if row["lever"] == "no limit")
    assert lever["gain"]["mean"] == pytest.approx(1), "a failed answer is no answer that stays at 0"


def test_documents_that_are_closed_to_the_arm_are_not_called_missing(tmp_path: Path) -> None:
    subject, reruns = opened("hidden documents", tmp_path)
    diagnosis = diagnose_arm(subject, reruns, level=0.95)
    assert {row["cause"] for row in diagnosis["rows"]} == {"hidden"}
    assert {row["detail"] for row in diagnosis["rows"]} == {
        "its sources are indexed, and closed to the readers that the arm answers for"
    }
    shown = {
        passage["document"] for row in diagnosis["rows"] for trial in row["trials"] for passage in trial["passages"]
    }
    closed = {case.example.id for case in subject.wrong.values()}
    assert not shown & closed, "a diagnosis shows nobody what is closed to them"
    assert "complete documents" not in {lever["lever"] for lever in diagnosis["levers"]}
