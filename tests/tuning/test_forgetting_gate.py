"""Train, gate, merge back, manifest last: on a project with a stand-in trainer and a deterministic generator."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stand_in_trainer
from forked import Nursery
from twofold.cli.main import main
from twofold.errors import ConfigError
from twofold.project import Project
from twofold.reports.tuning_lines import methods_lines, tuned_lines
from twofold.testing.echo_generator import EchoGenerator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, demo_questions: Callable[[int], Path]) -> Path:
    """A project of closed-book questions."""
    Project.create(tmp_path / "project", demo_questions(80), forgetting=False).close()
    return tmp_path / "project"


@pytest.fixture(autouse=True)
def trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained.log"))
    with stand_in_trainer.known():
        yield tmp_path / "trained.log"


def settings(**tuning: Any) -> dict[str, Any]:
    """The base model repeats what is asked, the tuned one its first words only: it "forgets"."""
    return {
        "tuning": {
            "trainer": {"name": "one", "options": {}},
            "gate": "enforce",
            "merge_back": [0.8, 0.6, 0.4, 0.2],
            **tuning,
        },
        "generation": {"generator": {"name": "echo", "options": {"mode": "echo"}}},
        "retrieval": {"embedder": {"name": "hashing", "options": {}}},
        "study": {"arms": ["base", "ft"], "diagnostics": [], "resamples": 400, "latency_sample": 2},
    }


def tuned(folder: Path, **tuning: Any) -> dict[str, Any]:
    with Project.open(folder, settings(**tuning)) as project:
        done = project.tune(arm="ft")
        return {**done.to_json(), "manifest": project.workspace.artifacts.manifest(done.key)}


def test_an_adapter_that_forgets_fails_and_every_share_was_tried(folder: Path, trainer: Path) -> None:
    done = tuned(folder)
    assert done["gate"]["failed"]
    assert [row["coefficient"] for row in done["merge_back"]["front"]] == [1.0, 0.8, 0.6, 0.4, 0.2]
    assert done["merge_back"]["coefficient"] == 1.0
    assert done["manifest"]["gate"] == done["gate"]
    assert done["trials"] == 6
    lines = tuned_lines(done)
    assert "FAILS the forgetting gate" in lines[0]
    assert "no share passes" in lines[-1]
    again = tuned(folder)
    assert again["cached"]
    assert again["gate"] == done["gate"]
    assert trainer.read_text().split() == ["a"]


def test_another_threshold_finishes_the_same_weights_anew_without_training(folder: Path, trainer: Path) -> None:
    first = tuned(folder, merge_back=[])
    second = tuned(folder, merge_back=[], max_forgetting=1.0)
    assert first["gate"]["failed"]
    assert second["gate"]["passed"]
    assert first["key"] != second["key"]
    assert first["gate"]["general"]["drop"] == second["gate"]["general"]["drop"]
    assert trainer.read_text().split() == ["a"]


def test_the_share_kept_is_in_the_files_that_are_served(folder: Path) -> None:
    done = tuned(folder, merge_back=[0.5], max_forgetting=1.0, merge_keep=0.0, merge_drop=1.0)
    assert done["merge_back"]["front"][0]["coefficient"] == 1.0
    assert len(done["merge_back"]["front"]) == 1, "all of the change is within the limits: nothing is swept"
    done = tuned(folder, merge_back=[0.5], max_forgetting=1.0, merge_keep=0.0)
    assert [row["coefficient"] for row in done["merge_back"]["front"]] == [1.0, 0.5]
    recipe = json.loads((Path(done["path"]) / "adapter_config.json").read_text())
    assert recipe["lora_alpha"] == done["merge_back"]["coefficient"] == 0.5
    assert sorted(p.name for p in Path(done["path"]).iterdir() if p.is_dir()) == []


def test_a_method_without_differences_is_not_merged_back_and_says_so(folder: Path) -> None:
    options = {"scalable": False}
    done = tuned(folder, trainer={"name": "one", "options": options})
    assert len(done["merge_back"]["front"]) == 1
    assert "IA3" in done["merge_back"]["because"]


def test_tune_prints_the_id_by_which_the_commands_on_models_know_what_was_tuned(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = ["tuning.trainer.name=one", "tuning.gate=off", "generation.generator.name=echo"]
    laid = [word for value in [*values, "retrieval.embedder.name=hashing"] for word in ("--set", value)]
    assert main(["tune", "-C", str(folder), "--arm", "ft", "--quiet", *laid]) == 0
    found = re.search(r"^tuned model (\S+): /", capsys.readouterr().out, re.M)
    assert found is not None
    assert main(["models", "show", found[1], "-C", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == found[1]


def test_the_gate_can_be_off(folder: Path) -> None:
    done = tuned(folder, gate="off")
    assert done["gate"] is None
    assert done["followed"] == 0, "what nobody asks for is not measured while training either"
    assert done["manifest"]["dev"]["score"]["n"] > 0
    assert tuned_lines(done) == []


def test_what_forgot_nothing_because_no_step_was_done_is_not_gated(folder: Path) -> None:
    with Project.open(folder, settings(trainer={"name": "one", "options": {"idle": True}})) as project:
        record = project.study()
        adapter = project.workspace.artifacts.manifest(record["arms"]["ft"]["training"]["key"])
    assert adapter["gate"] is None
    assert adapter["merge_back"]["because"] == "no training step was done: the base model is unchanged"
    assert adapter["dev"]["score"]["n"] > 0
    assert record["verdict"]["outcome"] == "undecided"
    assert "ft was stopped by its time limit after 0 of 6 steps" in record["verdict"]["sentence"]
    assert not [step for step in record["bill"] if step["step"].startswith("forgetting of")]


def test_methods_are_compared_on_dev_and_the_best_is_carried(folder: Path, trainer: Path) -> None:
    methods = ["one", {"name": "two", "options": {"mark": "b"}}]
    done = tuned(folder, methods=methods, merge_back=[], gate="report")
    assert sorted(trainer.read_text().split()) == ["a", "b"]
    assert [row["method"] for row in done["methods"]] == ["one", "two"]
    assert [row["carried"] for row in done["methods"]] == [True, False]
    assert done["trials"] == 4
    assert len(methods_lines("ft", done["methods"])) == 3
    assert done["followed"] > 100, "general rows and known facts"


def test_a_method_that_a_cap_cut_leaves_its_arm_without_its_chance(folder: Path) -> None:
    methods = ["one", {"name": "two", "options": {"idle": True}}]
    with Project.open(folder, settings(methods=methods, merge_back=[], gate="report")) as project:
        record = project.study()
        page = (project.records / record["study"] / "report.html").read_text(encoding="utf-8")
    training = record["arms"]["ft"]["training"]
    assert [row["carried"] for row in training["methods"]] == [True, False]
    assert record["verdict"]["outcome"] == "undecided"
    assert "ft (method two) was stopped by its time limit after 0 of 6 steps" in record["verdict"]["sentence"]
    assert "0 of 6, unfinished" in methods_lines("ft", training["methods"])[2]
    assert '0 of 6, <b class="warn">unfinished</b>' in page


def test_a_study_objects_to_an_arm_whose_gate_failed_and_tells_the_methods(folder: Path) -> None:
    from twofold.reports.study_page import render_summary

    with Project.open(folder, settings(methods=["one", "two"], merge_back=[])) as project:
        bill = {step["step"]: step for step in project.plan().steps}
        assert bill["tune ft"]["items"] == 2
        record = project.study()
        page = (project.records / record["study"] / "report.html").read_text(encoding="utf-8")
    arm = record["arms"]["ft"]
    assert not arm["acceptable"]
    assert "forget too much" in arm["objections"][0]
    assert record["verdict"]["arm"] != "ft"
    assert [row["method"] for row in arm["training"]["methods"]] == ["one", "two"]
    assert "FAILS the forgetting gate" in page
    assert "Methods compared on the dev split" in page
    told = render_summary(record)
    assert "FAILS the forgetting gate" in told
    assert "methods of ft" in told
    with Project.open(folder, settings(methods=["one", "two"], merge_back=[], gate="report")) as project:
        assert project.study()["arms"]["ft"]["acceptable"]


def test_an_open_gate_is_a_reason_for_doubt_and_says_what_it_could_have_seen(folder: Path) -> None:
    first = tuned(folder, merge_back=[], gate="report")["gate"]
    middle = max(first[group]["drop"]["mean"] for group in ("general", "refusal"))
    with Project.open(folder, settings(merge_back=[], max_forgetting=middle)) as project:
        record = project.study()
    arm = record["arms"]["ft"]
    gate = arm["training"]["gate"]
    assert (gate["passed"], gate["failed"]) == (False, False)
    assert arm["acceptable"], "not shown to forget too much"
    (doubt,) = [one for one in record["verdict"]["provisional"] if "the forgetting gate of ft is open" in one]
    lines = [gate[group] for group in ("general", "refusal") if not gate[group]["passed"]]
    for line in lines:
        assert line["sees"] == pytest.approx(line["limit"] + line["drop"]["mean"] - line["drop"]["low"])
        assert f"a drop of {line['sees']:.3f} would have been failed" in doubt


def test_a_choice_of_the_arm_that_had_more_trials_says_what_would_undo_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {
        row["question"]: row["answers"][0]
        for row in map(json.loads, (folder / "data" / "examples.jsonl").read_text(encoding="utf-8").splitlines())
    }

    def knowing(self: EchoGenerator, prompt: Any) -> str:
        asked = prompt.messages[-1].content
        return next((answer for question, answer in known.items() if question in asked), "?") if self._adapter else "?"

    monkeypatch.setattr(EchoGenerator, "_text", knowing)
    with Project.open(folder, settings(merge_back=[], gate="report")) as project:
        record = project.study()
    assert (record["verdict"]["outcome"], record["verdict"]["arm"]) == ("choose", "ft")
    (pair,) = record["comparisons"]
    trials = record["arms"]["ft"]["training"]["trials"]
    (said,) = [one for one in record["verdict"]["because"] if "variants tried on the dev set" in one]
    assert said.startswith(
        f"ft had {trials} variants tried on the dev set, base 0: the verdict stands unless more work "
    )
    gap = f"{pair['decides']['low']:.3f}".lstrip("0")
    assert f"more work on base's prompt gains more than {gap}, the lower end of the gap" in said


def test_two_models_put_together_are_one_more_model_measured_alike(folder: Path, trainer: Path) -> None:
    first = tuned(folder, merge_back=[])
    second = tuned(folder, merge_back=[], trainer={"name": "one", "options": {"mark": "b"}})
    with Project.open(folder, settings(merge_back=[])) as project:
        arm, parts = project.config.arm("ft"), {first["id"]: 0.5, second["id"]: 0.5}
        adapter, told = project.workspace.adapters.combine(arm, project.splits, parts)
        assert project.workspace.adapters.combine(arm, project.splits, parts)[1]["cached"]
        listed = project.workspace.models.registry.find(adapter.key)
        with pytest.raises(ConfigError, match="a different arm"):
            project.workspace.adapters.combine(project.config.arm("ft+rag"), project.splits, parts)
    assert told["gate"]["items"] > 150
    assert told["dev_score"]["score"]["n"] > 0
    assert listed["lineage"]["combined"] == parts
    assert trainer.read_text().split() == ["a", "b"]


def test_a_combination_with_an_unfinished_model_is_unfinished(folder: Path, trainer: Path) -> None:
    whole = tuned(folder, merge_back=[])
    cut = tuned(folder, merge_back=[], trainer={"name": "one", "options": {"mark": "b", "idle": True}})
    with Project.open(folder, settings(merge_back=[])) as project:
        parts = {whole["id"]: 0.5, cut["id"]: 0.5}
        _, combination = project.workspace.adapters.combine(project.config.arm("ft"), project.splits, parts)
    assert combination["effort"]["stopped"] == "minutes"
    assert not combination["effort"]["chance"]
    assert combination["gate"] is not None, "its weights are not the base's, and are measured"


CHILD = """
import json, sys
from pathlib import Path
import stand_in_trainer
from twofold.project import Project
with stand_in_trainer.known(), Project.open(Path(sys.argv[1]), json.loads(sys.argv[2])) as project:
    print(json.dumps(project.tune(arm="ft").report["gate"]))
"""


def test_tuning_killed_at_random_moments_loses_nothing_and_trains_once(
    folder: Path, trainer: Path, nursery: Nursery
) -> None:
    with_stall = settings(merge_back=[0.5])
    with_stall["generation"]["generator"]["options"]["stall_seconds"] = 0.002
    words = (str(folder), json.dumps(with_stall))
    chance, held, kills = random.Random(5), 0, 0
    for _ in range(4):
        child = nursery.start(CHILD, *words)
        deadline = time.monotonic() + 60
        wanted = held + chance.randrange(50, 600)
        while child.poll() is None and time.monotonic() < deadline and answers(folder) < wanted:
            time.sleep(0.05)
        if child.poll() is None:
            child.kill()
            kills += 1
        child.communicate()
        child.wait()
        assert answers(folder) >= held
        held = answers(folder)
    assert kills >= 2
    done = nursery.run(CHILD, *words)
    assert done.returncode == 0, done.stderr[-2000:]
    gate = json.loads(done.stdout)
    assert trainer.read_text().split() == ["a"], "what was trained is kept through every kill"
    assert not list((folder / ".twofold" / "artifacts").glob("*.partial"))
    with Project.open(folder, with_stall) as project:
        again = project.tune(arm="ft")
    assert {**again.report["gate"], "seconds": 0} == {**gate, "seconds": 0}


def answers(folder: Path) -> int:
    path = folder / ".twofold" / "catalogue.sqlite"
    if not path.is_file():
        return 0
    with sqlite3.connect(path) as connection:
        if not connection.execute("SELECT name FROM sqlite_master WHERE name = 'answers'").fetchall():
            return 0
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
