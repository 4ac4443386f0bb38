"""Arms of several models in one study: the project's own in this process, and another at an endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import stand_in_trainer
from small_project import write_project
from tuning_endpoint import Endpoint, served
from twofold.cli.main import main
from twofold.costs.prices import UNPRICED
from twofold.errors import ConfigError, StudyError
from twofold.project import Project
from twofold.reports.archive import read_answers
from twofold.reports.model_lines import model_rows
from twofold.reports.study_page import render, render_summary
from twofold.store.artifacts import Artifacts
from twofold.study.measure import MeasuredArm
from twofold.study.priced import saved
from twofold.types import Arm

DOCUMENTS = [
    {"id": "parking", "title": "On parking", "text": "Parking costs 4 euros a day. It is free on Sunday."},
    {"id": "canteen", "title": "On the canteen", "text": "The canteen opens at seven."},
]
ASKED = [("parking", "What does parking cost?", "4 euros"), ("canteen", "When does the canteen open?", "seven")]
STUDY = """
[retrieval.retriever]
name = "hybrid"
options = { lexical = 0.5 }
[study]
metric = "answer_f1"
arms = ["base", "rag", "far/base", "far/rag"]
diagnostics = ["oracle"]
latency_sample = 2
resamples = 400
"""


def project(directory: Path, endpoint: Endpoint, settings: str = STUDY) -> Path:
    """A project whose model quotes passages, with a further one at the endpoint."""
    further = f"""
[models.far.generator]
name = "openai"
options = {{ model = "large", base_url = "{endpoint.url}", retries = 0, price_per_million_prompt = 2.0 }}
"""
    return write_project(directory, DOCUMENTS, ASKED, copies=15, settings=settings + further)


@contextmanager
def answering() -> Iterator[Endpoint]:
    """An endpoint that knows what parking costs, and nothing else."""
    with served() as endpoint:
        endpoint.reply = lambda _model, question: "4 euros" if "What does parking" in question else "That is not said."
        yield endpoint


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with answering() as one:
        yield one


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, endpoint: Endpoint) -> Path:
    return project(tmp_path_factory.mktemp("several") / "p", endpoint)


@pytest.fixture(scope="module")
def record(directory: Path) -> Any:
    with Project.open(directory) as opened:
        return opened.study()


def test_every_model_answers_in_its_arms_and_pairs_go_across_models(record: Any, endpoint: Endpoint) -> None:
    assert list(record["arms"]) == ["base", "rag", "far/base", "far/rag", "oracle"]
    assert len({arm["key"] for arm in record["arms"].values()}) == 5
    assert {arm["description"]["generator"]["name"] for name, arm in record["arms"].items() if "far" in name} == {
        "openai"
    }
    assert set(endpoint.asked_of) == {"large"}
    assert not any(arm["failures"] for arm in record["arms"].values())
    # Right on half of the questions without a passage, which the model in this process is on none.
    assert record["arms"]["far/base"]["right"][0] > record["arms"]["base"]["right"][0] == 0
    assert "rag - far/base" in {effect["name"] for effect in record["comparisons"]}
    # Nothing is known of costs: arms with the same parts stand in the order of the study.
    assert record["order"] == ["base", "far/base", "rag", "far/rag"]


def test_both_models_are_shown_the_same_passages(record: Any, directory: Path) -> None:
    for row in read_answers(directory / "studies" / record["study"]):
        shown = [[hit["text"] for hit in row["arms"][name]["hits"]] for name in ("rag", "far/rag")]
        assert shown[0] == shown[1]
        assert shown[0]


def test_summary_and_page_tell_where_each_model_answers_and_what_it_costs(record: Any, directory: Path) -> None:
    address = record["arms"]["far/rag"]["description"]["generator"]["base_url"]
    lines = render_summary(record).splitlines()
    row = next(line for line in lines if line.startswith("  far "))
    for part in ("large", f"endpoint on this machine ({address})", "2 / 0 a million tokens", "far/base: "):
        assert part in row
    assert any(line.startswith("  [generation] ") and "in this process" in line for line in lines)
    page = render(record, read_answers(directory / "studies" / record["study"]))
    assert f"endpoint on this machine ({address})" in page


def test_the_row_of_a_model_is_neither_a_linear_model_nor_without_the_price_it_inherits(record: Any) -> None:
    linear = {**record["arms"]["base"], "description": {"generator": {"model": "linear support vector machine"}}}
    config = {**record["config"], "generation": record["config"]["models"]["far"]}
    config["models"] = {"far": {"max_tokens": 9}}
    arms = {"linear": linear, **dict(reversed(record["arms"].items()))}
    own, far = model_rows({**record, "arms": arms, "config": config})
    assert own["model"] != "linear support vector machine"
    assert "linear" not in own["arms"]
    assert own["seconds"].startswith("base: "), "its simplest arm, whatever the order"
    assert far["price"] == "2 / 0 a million tokens"
    only = {name: arm for name, arm in arms.items() if name == "linear" or name.startswith("far")}
    assert not model_rows({**record, "arms": only})


def test_a_study_of_one_model_shows_no_table_of_models(record: Any) -> None:
    own = {name: arm for name, arm in record["arms"].items() if "/" not in name}
    assert "in this process" not in render_summary({**record, "arms": own})


def test_the_plan_tells_time_and_money_of_each_model(tmp_path: Path, endpoint: Endpoint) -> None:
    with Project.open(project(tmp_path / "p", endpoint)) as opened:
        plan = opened.plan()
    own, far = plan.by_model
    assert (own["name"], own["place"], own["cost"]) == ("[generation]", "in this process", 0.0)
    assert (far["name"], far["model"], far["price"]) == ("far", "large", "2 / 0 a million tokens")
    assert far["cost"] == pytest.approx(plan.cost)
    assert far["cost"] > 0
    assert far["minutes"] > own["minutes"] > 0
    assert plan.to_json()["models"] == plan.by_model


def test_a_question_is_answered_by_the_model_that_its_arm_names(
    record: Any, directory: Path, endpoint: Endpoint
) -> None:
    before = len(endpoint.asked_of)
    with Project.open(directory) as opened:
        answer, origin = opened.ask("What does parking cost?", arm="far/rag")
        assert (answer.text, origin["arm"], origin["measured"]) == ("4 euros", "far/rag", True)
        assert len(endpoint.asked_of) == before + 1
        quoted, _ = opened.ask("What does parking cost?", arm="rag")
    assert quoted.text.startswith("Parking costs 4 euros")
    assert len(endpoint.asked_of) == before + 1


def test_a_finished_study_is_found_again_and_nothing_is_asked_twice(
    record: Any, directory: Path, endpoint: Endpoint
) -> None:
    before = len(endpoint.asked_of)
    with Project.open(directory) as opened:
        assert opened.study()["study"] == record["study"]
    assert len(endpoint.asked_of) == before


def test_an_endpoint_that_is_down_costs_its_arms_and_not_the_study(tmp_path: Path) -> None:
    study = STUDY.replace('"base", "rag", "far/base", "far/rag"', '"far/base", "rag"')
    with served() as endpoint:
        directory = project(tmp_path / "p", endpoint, study)
    with Project.open(directory) as opened:
        record = opened.study()
    far, rag = record["arms"]["far/base"], record["arms"]["rag"]
    assert sum(failure["count"] for failure in far["failures"]) > 0
    assert not rag["failures"]
    # Nothing is chosen over an arm that never answered.
    assert record["verdict"]["outcome"] == "undecided"


def test_a_model_that_cannot_be_tuned_here_is_refused_before_anything_is_spent(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(endpoint.asked_of)
    tuned = {"study": {"arms": ["base", "far/ft+rag"]}}
    refusal = pytest.raises(StudyError, match=r"far/ft\+rag: this generator cannot be tuned here")
    with Project.open(directory, tuned) as opened, refusal as refused:
        opened.plan()
    assert "Measure far untuned, as far/rag" in refused.value.cure
    assert main(["tune", "-C", str(directory), "--arm", "far/ft"]) != 0
    assert "far/ft: this generator cannot be tuned here" in capsys.readouterr().err
    assert len(endpoint.asked_of) == before


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"study": {"arms": ["base", "near/rag"]}}, "unknown arm 'near/rag': there is no model 'near'"),
        ({"study": {"arms": ["base", "far/nope"]}}, "there is no part 'nope'"),
        (
            {
                "models": {"twin": {"generator": {"name": "echo", "options": {"mode": "quote"}}}},
                "study": {"arms": ["base", "twin/rag"]},
            },
            r"\[models.twin\] and \[generation\] are the same model with the same options",
        ),
    ],
)
def test_arms_that_no_model_answers_and_models_that_are_one_are_refused(
    directory: Path, settings: dict[str, Any], problem: str
) -> None:
    with Project.open(directory, settings) as opened, pytest.raises(ConfigError, match=problem):
        opened.plan()


def test_a_model_without_an_arm_is_warned_of(directory: Path) -> None:
    with Project.open(directory, {"study": {"arms": ["base", "rag"]}}) as opened:
        assert any(warning.startswith("the model far answers in no arm") for warning in opened.plan().warnings)
        warned = [problem for problem in opened.check() if "far" in problem.message]
    assert [problem.severity for problem in warned] == ["warning"]


THINGS = {
    *("sauna", "kayak", "drill", "piano", "tandem", "loom", "kiln", "tent", "anvil", "sledge", "harp", "canoe"),
    *("ladder", "mower", "winch", "trailer", "skates", "violin", "press", "easel", "forge", "raft", "saddle"),
}
HIRE = [{"id": name, "text": f"The {name} costs {n} euros a day."} for n, name in enumerate(sorted(THINGS), 11)]
PRICED = [(name, f"What is the {name} for a day?", f"{n} euros") for n, name in enumerate(sorted(THINGS), 11)]
NEAR = """
[retrieval.retriever]
name = "hybrid"
options = { lexical = 0.5 }
[tuning]
gate = "off"
[tuning.trainer]
name = "one"
[models.near.generator]
name = "echo"
options = { mode = "echo" }
[study]
metric = "answer_f1"
arms = ["base", "rag", "ft", "ft+rag", "near/base", "near/rag", "near/ft", "near/ft+rag"]
diagnostics = ["oracle", "near/oracle"]
latency_sample = 0
resamples = 400
"""


def test_each_model_has_tuned_arms_effects_and_contrasts_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained"))
    directory = write_project(tmp_path / "p", HIRE, PRICED, copies=1, settings=NEAR)
    with stand_in_trainer.known(), Project.open(directory) as opened:
        record = opened.study()
        _, origin = opened.ask("What is the harp for a day?", arm="near/ft+rag")
    assert (origin["arm"], origin["measured"]) == ("near/ft+rag", True)
    # The weights of the stand-in are the same, and the models are not.
    assert len({arm["key"] for arm in record["arms"].values()}) == 10
    # So they are trained once for both models, closed-book and open-book, and each has the dev scores of its own.
    assert (tmp_path / "trained").read_text().split() == ["a", "a"]
    kinds = Counter(str(manifest.get("kind")) for manifest in Artifacts(directory / ".twofold" / "artifacts").list())
    assert kinds == {"trained": 2, "adapter": 4}
    names = ["retrieval", "tuning", "interaction"]
    assert [effect["name"] for effect in record["effects"]] == [*names, *(f"near/{name}" for name in names)]
    beside = {row["arm"]: row["beside"] for row in record["contrasts"]}
    assert beside == {"rag": "oracle", "near/rag": "near/oracle"}
    page = render(record, read_answers(directory / "studies" / record["study"]))
    assert page.count("Know more, behave differently, or both?") == 1
    assert page.count('<table class="cells">') == 2


def test_a_trainer_of_other_weights_is_refused_for_a_further_model(tmp_path: Path) -> None:
    lora = 'name = "lora"\noptions = { model = "smollm2-135m-instruct" }'
    directory = write_project(tmp_path / "p", HIRE, PRICED, copies=1, settings=NEAR.replace('name = "one"', lora))
    refusal = pytest.raises(StudyError, match=r"near/ft: this generator cannot be tuned here: the trainer 'lora' is")
    with Project.open(directory) as opened, refusal:
        opened.plan()


def test_what_a_race_saves_is_told_by_the_price_of_each_model(directory: Path) -> None:
    measures = {"n": 4, "seconds": 8.0, "prompt_tokens": 100.0, "completion_tokens": 5.0}
    rest: Any = {"system": "", "description": {}, "answers": [], "training": None, "diagnostic": False, "scores": {}}
    arms = (Arm(name="base"), Arm(name="far/base", model="far"))
    measured = {arm.name: MeasuredArm(arm=arm, measures=measures, **rest) for arm in arms}
    with Project.open(directory) as opened:
        reckoned = saved(opened.workspace, measured, planned=10, prices=UNPRICED)
    amount = pytest.approx(10 * 100 * 2.0 / 1e6)
    each = {"answers": 10, "seconds": 20.0}
    arms = {"base": each, "far/base": {**each, "amount": amount}}
    assert reckoned == {"answers": 20, "seconds": 40.0, "unpriced": [], "amount": amount, "arms": arms}


def test_models_that_differ_in_nothing_that_decides_an_answer_are_refused(directory: Path, endpoint: Endpoint) -> None:
    same = {"name": "openai", "options": {"model": "large", "base_url": endpoint.url, "retries": 3}}
    settings = {"models": {"twin": {"generator": same}}, "study": {"arms": ["far/base", "twin/base"]}}
    refusal = pytest.raises(ConfigError, match=r"\[models.twin\] and \[models.far\] are the same model: what differs")
    with Project.open(directory, settings) as opened, refusal:
        opened.plan()
    settings["models"]["twin"]["max_tokens"] = 7
    with Project.open(directory, settings) as opened:
        assert [row["name"] for row in opened.plan().by_model] == ["far", "twin", "[generation]"]
