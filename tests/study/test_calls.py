"""What a plan says of calls that cost money beside the arms' answers: priced where that is configured, else counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tuning_endpoint import served
from twofold.plugins import loading, protocols
from twofold.project import Project
from twofold.study import calls
from twofold.study import plan as planning
from twofold.study.plan import Answering, Training, TuningWork, Work
from twofold.study.plan_record import StudyPlan
from twofold.types import Arm

PRICES = {"price_per_million_prompt": 2.0, "price_per_million_completion": 10.0}


def laid(retrieval: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Overrides: the answers come from an endpoint, which nobody asks for a plan."""
    settings = {"model": "acme-large", "base_url": "http://127.0.0.1:9/v1", "retries": 0, **options}
    return {
        "study": {"arms": ["base", "rag"], "diagnostics": []},
        "generation": {"generator": {"name": "openai", "options": settings}},
        "retrieval": {"embedder": {"name": "hashing", "options": {}}, **retrieval},
    }


@pytest.fixture
def planned(tmp_path: Path, folder: Path) -> Callable[..., StudyPlan]:
    Project.create(tmp_path / "project", folder).close()

    def plan(retrieval: dict[str, Any], **more: Any) -> StudyPlan:
        study = more.pop("study", {})
        settings = laid(retrieval, **more)
        settings["study"] |= study
        with Project.open(tmp_path / "project", settings) as project:
            return project.plan()

    return plan


def requests_of(plan: StudyPlan, arm: str) -> int:
    steps = {step["step"]: step["items"] for step in plan.steps}
    return steps[f"answer {arm}"] + steps[f"latency of {arm}"] + 2


def test_rewriters_are_priced_with_the_generators_prices(planned: Callable[..., StudyPlan]) -> None:
    retrieval = {"rewriters": [{"name": "hyde", "options": {"max_tokens": 50}}]}
    plan = planned(retrieval, **PRICES)
    (row,) = [row for row in plan.costs if "rewriter hyde" in row["detail"]]
    number = requests_of(plan, "rag")
    assert row["step"] == "answer rag"
    assert f"at most {number} calls" in row["detail"]
    assert number * 50 * 10.0 / 1e6 < row["amount"] < number * (50 * 10.0 + 200 * 2.0) / 1e6
    assert plan.cost == pytest.approx(sum(one["amount"] for one in plan.costs))
    assert plan.unpriced == []


def test_stages_after_one_that_writes_several_queries_ask_for_each_of_them(
    planned: Callable[..., StudyPlan],
) -> None:
    stages = [{"name": "multi_query", "options": {"most": 3}}, {"name": "step_back", "options": {}}]
    plan = planned({"rewriters": stages})
    number = requests_of(plan, "rag")
    asked = number + (1 + 4) * number + requests_of(plan, "base")
    assert plan.unpriced == [f"plus at most {asked:,} calls to acme-large, repeats of failed ones aside, not priced"]
    assert plan.costs == []


def test_the_planner_of_the_agent_is_priced_up_to_its_caps(planned: Callable[..., StudyPlan]) -> None:
    agent = {"name": "agentic", "options": {"planner": "model", "max_calls": 4, "max_tokens": 8000}}
    number = requests_of(plan := planned({"retriever": agent}), "rag")
    answers = number + requests_of(plan, "base")
    assert plan.unpriced == [
        f"plus at most {4 * number + answers:,} calls to acme-large, repeats of failed ones aside, not priced"
    ]
    agent["options"] |= {"price_per_million_prompt": 1.0, "max_cost": 0.005, "price_per_call": {"model": 0.0001}}  # type: ignore[operator]
    (row,) = planned({"retriever": agent}).costs
    assert row["amount"] == pytest.approx(number * 0.005), "the cap of one question counts where it is lower"
    agent["options"]["max_cost"] = 1.0  # type: ignore[index]
    (row,) = planned({"retriever": agent}).costs
    assert row["amount"] == pytest.approx(number * (8000 / 1e6 + 4 * 0.0001))


def test_a_local_model_costs_nothing_and_is_not_listed(project: Project, fast: Callable[..., dict[str, Any]]) -> None:
    settings = fast()
    settings["retrieval"]["rewriters"] = [{"name": "multi_query", "options": {}}]
    with Project.open(project.directory, settings) as opened:
        plan = opened.plan()
    assert (plan.costs, plan.unpriced) == ([], [])


class Judge:
    """A metric that asks a model at an address."""

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        base_url: str = "http://127.0.0.1:9/v1"

    def __init__(self, options: Options) -> None:
        self.options = options

    def score(self, example: Any, answer: Any) -> float:
        raise AssertionError("a plan asks no judge")


def test_a_metric_that_lets_a_model_judge_is_counted(planned: Callable[..., StudyPlan]) -> None:
    with loading.registered("metrics", "judge", Judge):
        plan = planned({}, study={"metrics": ["judge"]}, **PRICES)
    scored = next(step["items"] for step in plan.steps if step["step"] == "score and decide")
    assert plan.unpriced == [f"plus at most {scored} calls to metric judge, repeats of failed ones aside, not priced"]


def test_each_candidate_and_the_base_answer_dev_for_money() -> None:
    dev = Answering(
        arm=Arm(name="ft", tuning="closed-book"),
        prompt_tokens=100.0,
        completion_tokens=10.0,
        questions=40,
        prices=(1.0, 1.0),
        concurrency=4,
    )
    job = Training(
        method="openai",
        paces={},
        steps=1,
        tokens=3e6,
        evaluations=0,
        items=0,
        item=0.0,
        elsewhere=True,
        price_per_million=8.0,
    )
    tuning = TuningWork(dev=dev, trainings=[job], finished=0, gate=700, shares=3)
    rows = planning.costs(Work(documents=0, chunks=0, answering=[], tuning=[tuning], paces={}))
    found = {row["step"]: row for row in rows}
    assert found["dev scores of ft"]["amount"] == pytest.approx(3 * 41 * 110 / 1e6), "two of three shares, and the base"
    assert found["tune ft"]["amount"] == pytest.approx(24.0)
    done = Work(
        documents=0, chunks=0, answering=[], tuning=[TuningWork(dev=dev, trainings=[job], finished=1)], paces={}
    )
    assert planning.costs(done) == []


def test_calls_without_a_price_are_added_up_by_who_is_asked() -> None:
    some = [calls.Calls(step="a", who="acme", number=2), calls.Calls(step="b", who="acme", number=1)]
    some += [calls.Calls(step="a", who="judge", number=0), calls.Calls(step="a", who="paid", number=9, amount=1.0)]
    assert calls.unpriced(some) == ["plus at most 3 calls to acme, repeats of failed ones aside, not priced"]


def test_a_plan_asks_no_model_of_retrieval_even_when_everything_is_indexed(tmp_path: Path, folder: Path) -> None:
    with served() as endpoint:
        settings = laid({"rewriters": [{"name": "hyde", "options": {}}]}, base_url=endpoint.url)
        settings["study"]["arms"] = ["base", "rag", "ft+rag"]
        options = {"model": "acme-large", "base_url": endpoint.url}
        settings["tuning"] = {"gate": "off", "trainer": {"name": "openai", "options": options}}
        Project.create(tmp_path / "project", folder).close()
        file = tmp_path / "project" / "twofold.toml"
        lines = file.read_text(encoding="utf-8").splitlines()
        file.write_text("\n".join(line for line in lines if not line.startswith(("max_length", "replay"))))
        with Project.open(tmp_path / "project", settings) as project:
            project.sync()
            plan = project.plan()
        assert endpoint.asked_of == []
    assert {step["step"] for step in plan.steps} >= {"tune ft+rag", "answer ft+rag"}
    assert any("calls to trainer openai" in line or "call to trainer openai" in line for line in plan.unpriced)
