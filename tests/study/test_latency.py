"""Seconds for one question at a time: in turns, on this machine, time-outs at their limit, with their interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stand_in_trainer
from twofold.host import capabilities
from twofold.project import Project
from twofold.reports.study_page import render_summary
from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.study import latency
from twofold.testing.echo_generator import EchoGenerator
from twofold.types import Failure


@pytest.fixture
def timed(fast: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    settings = fast()
    settings["study"] |= {"arms": ["base", "rag"], "diagnostics": ["oracle"], "latency_sample": 9}
    return settings


def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What single prompts look like from now on: ``rag`` with passages, ``base`` without."""
    seen: list[str] = []
    whole = EchoGenerator.generate

    def noted(self: Any, prompts: Any, **more: Any) -> Any:
        if len(prompts) == 1:
            seen.append("rag" if "[1] " in prompts[0].messages[-1].content else "base")
        return whole(self, prompts, **more)

    monkeypatch.setattr(EchoGenerator, "generate", noted)
    return seen


def test_arms_are_asked_in_turns_after_all_have_answered(
    project: Project, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Project.open(project.directory, timed | {"generation": timed["generation"] | {"batch": 500}}) as held:
        seen = asked(monkeypatch)
        record = held.study()
    turns = [set(seen[-18:][start : start + 2]) for start in range(0, 18, 2)]
    assert turns == [{"base", "rag"}] * 9
    assert {seen[-18:][start] for start in range(0, 18, 2)} == {"base", "rag"}, "now one is first, now the other"
    base, rag = (record["arms"][name]["latency"] for name in ("base", "rag"))
    assert base["n"] == rag["n"] == 9
    assert base["in_turns"]
    assert base["failed"] == 0
    assert "ratio" not in base
    assert rag["ratio"]["n"] == 9
    assert rag["ratio"]["low"] <= rag["ratio"]["value"] <= rag["ratio"]["high"]
    assert record["arms"]["oracle"]["latency"] is None, "nobody can use an oracle, however fast"
    page = (held.records / record["study"] / "report.html").read_text(encoding="utf-8")
    assert f"question by question: rag {rag['ratio']['value']:.2f} [".replace("rag 0.", "rag .") in page


def test_models_that_do_not_fit_into_memory_together_are_timed_one_after_the_other(
    folder: Path, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Project.create(tmp_path / "plain", folder, forgetting=False).close()
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained.log"))
    monkeypatch.setattr(capabilities, "memory_bytes", lambda: 2**20)
    tuning = {"trainer": {"name": "one", "options": {}}, "gate": "off", "cloze": 0}
    settings = timed | {"tuning": tuning}
    settings["study"] |= {"arms": ["base", "rag", "ft"], "diagnostics": []}
    kinds: list[str] = []
    whole = EchoGenerator.generate

    def noted(self: Any, prompts: Any, **more: Any) -> Any:
        if len(prompts) == 1:
            kinds.append("tuned" if self._adapter else "base")
        return whole(self, prompts, **more)

    settings |= {"generation": timed["generation"] | {"batch": 500}}
    with stand_in_trainer.known(), Project.open(tmp_path / "plain", settings) as held:
        monkeypatch.setattr(EchoGenerator, "generate", noted)
        record = held.study()
        page = (held.records / record["study"] / "report.html").read_text(encoding="utf-8")
    last = kinds[-(3 * 9 + 3) :]
    assert last == ["base"] * (2 * 9 + 2) + ["tuned"] * (9 + 1), "one model after the other, each with its warming up"
    told = "in turns over the arms of one model, models one after the other"
    for arm in record["arms"].values():
        assert arm["latency"]["n"] == 9
        assert not arm["latency"]["in_turns"]
    assert told in page
    assert told in render_summary(record)


def test_seconds_are_kept_for_this_machine_only(
    project: Project, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Project.open(project.directory, timed) as held:
        held.study()
        seen = asked(monkeypatch)
    other = timed | {"study": timed["study"] | {"metric": "contains"}}
    with Project.open(project.directory, other) as held:
        held.study()
    assert seen == []
    monkeypatch.setattr(capabilities, "fingerprint", lambda *_: "machine:another")
    again = timed | {"study": timed["study"] | {"metric": "exact_match"}}
    with Project.open(project.directory, again) as held:
        moved = held.study()
    assert len(seen) == 2 * (9 + 1), "9 questions an arm, and one to warm up"
    assert moved["arms"]["base"]["latency"]["n"] == 9


def test_arms_are_timed_again_where_more_questions_are_wanted_and_only_then(
    project: Project, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def study(**changed: Any) -> tuple[Any, Any]:
        with Project.open(project.directory, timed | {"study": timed["study"] | changed}) as held:
            plan = {step["step"]: step["items"] for step in held.plan().steps}
            return plan.get("latency of rag", 0), held.study()

    assert study()[1]["arms"]["rag"]["latency"]["n"] == 9
    ahead, limited = study(max_latency_p95=50.0)
    count = limited["policy"]["test"]
    assert 9 < count < 72
    assert ahead == count
    assert {limited["arms"][name]["latency"]["n"] for name in ("base", "rag")} == {count}
    seen = asked(monkeypatch)
    assert study(latency_sample=12)[0] == 0, "more were timed before"
    assert study(latency_sample=12, max_latency_p95=50.0)[1]["arms"]["rag"]["latency"]["n"] == count
    assert seen == []


def test_an_arm_that_had_no_time_left_is_not_timed_again(
    project: Project, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.0)
    monkeypatch.setattr(latency, "SHARE", 0.0)
    for sample in (9, 12):
        seen = asked(monkeypatch)
        with Project.open(project.directory, timed | {"study": timed["study"] | {"latency_sample": sample}}) as held:
            assert held.study()["arms"]["base"]["latency"]["n"] == latency.LEAST
    assert seen == []


def test_a_time_out_is_not_fast(project: Project, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An arm that gives up on a third of the questions is as slow there as it was on its slowest."""
    whole = EchoGenerator.generate

    def slow(self: Any, prompts: Any, **more: Any) -> Any:
        import time

        made = whole(self, prompts, **more)
        if len(prompts) > 1:
            return made
        if len(prompts[0].messages[-1].content) % 3 == 0:
            return [replace(made[0], text="", failure=Failure(code="generation.timeout", message="no answer"))]
        time.sleep(0.03)
        return made

    monkeypatch.setattr(EchoGenerator, "generate", slow)
    with Project.open(project.directory, timed) as held:
        record = held.study()
    arms = [record["arms"][name]["latency"] for name in ("base", "rag")]
    assert sum(arm["failed"] for arm in arms) > 0
    for arm in arms:
        assert arm["n"] == 9
        assert arm["p95"] >= arm["p50"] >= 0.03


def test_what_failed_while_it_was_timed_is_timed_again_and_an_outage_that_is_over_leaves_no_trace(
    project: Project, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(self: Any, prompts: Any, **more: Any) -> Any:
        made = whole(self, prompts, **more)
        failure = Failure(code="generation.http", message="500: overloaded")
        return [replace(one, text="", failure=failure) for one in made] if len(prompts) == 1 else made

    def study() -> tuple[int, Any]:
        with Project.open(project.directory, timed) as held:
            plan = {step["step"]: step["items"] for step in held.plan().steps}
            return plan.get("latency of rag", 0), held.study()

    whole = EchoGenerator.generate
    monkeypatch.setattr(EchoGenerator, "generate", down)
    _, during = study()
    assert during["arms"]["rag"]["latency"]["failed"] == 9
    assert "18 failed answers among them: counted at the time limit" in render_summary(during)
    monkeypatch.setattr(EchoGenerator, "generate", whole)
    ahead, after = study()
    assert ahead == 9, "the plan counts them"
    assert [after["arms"][name]["latency"]["failed"] for name in ("base", "rag")] == [0, 0]
    assert after["arms"]["rag"]["latency"]["p95"] < 5
    assert after["level"] == during["level"], "a repair is no other look"
    assert "failed answers among them" not in render_summary(after)
    assert study() == (0, after), "and once they have answered never again"


def test_a_slow_arm_is_timed_on_fewer_questions_and_the_record_says_how_many(
    project: Project, timed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.0)
    monkeypatch.setattr(latency, "SHARE", 0.0)
    with Project.open(project.directory, timed) as held:
        record = held.study()
    assert record["arms"]["rag"]["latency"]["n"] == latency.LEAST
    assert record["arms"]["rag"]["latency"]["intervals"]["p95"][1] is None


def test_a_limit_asks_for_as_many_questions_as_an_upper_end_needs() -> None:
    assert latency.questions(StudySection(), 500) == 40
    assert latency.questions(StudySection(), 23) == 23
    assert latency.questions(StudySection(max_latency_p95=2.0), 500) == 72
    assert latency.questions(StudySection(latency_sample=0), 500) == 0
    assert latency.allowed(StudySection(), 1000.0) == 100.0
    assert latency.allowed(StudySection(max_latency_p95=2.0), 0.0) == 144.0


def test_the_upper_end_of_a_small_sample_holds_for_log_normal_seconds() -> None:
    """95 % of intervals cover the true quantile, one side each missed by 2.5 %."""
    chance = np.random.default_rng(0)
    true = math.exp(0.4 * 1.6448536)
    above = 0
    for _ in range(2000):
        seconds = np.exp(chance.normal(0, 0.4, 24))
        low, high = latency.ends({"seconds": {str(n): s for n, s in enumerate(seconds)}}, level=0.95)
        assert low <= high
        above += high < true
    assert above / 2000 < 0.035
    many = {str(n): float(s) for n, s in enumerate(np.exp(chance.normal(0, 0.4, 100)))}
    assert latency.ends({"seconds": many}, level=0.95)[1] == intervals.quantile_interval([*many.values()], 0.95)[2]


def test_the_plan_counts_the_same_questions(project: Project, timed: dict[str, Any], tmp_path: Path) -> None:
    with Project.open(project.directory, timed) as held:
        before = {step["step"]: step for step in held.plan().steps}
        record = held.study()
        after = {step["step"]: step for step in held.plan().steps}
    spent = {item["step"]: item for item in record["bill"]}
    for name in ("base", "rag"):
        assert before[f"latency of {name}"]["items"] == spent[f"latency of {name}"]["items"] == 9
    assert "latency of oracle" not in spent
    assert "latency of rag" not in after
