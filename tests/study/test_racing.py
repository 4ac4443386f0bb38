"""A race on a small real project: it stops early, goes on after a kill, defers, and counts as one look."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from twofold.costs.prices import UNPRICED
from twofold.errors import ConfigError
from twofold.examples.questions import Questions
from twofold.hashing import digest
from twofold.plugins import loading, specs
from twofold.project import Project
from twofold.reports import archive, study_page
from twofold.serving.pages.studies import _public
from twofold.study import looks, priced, shards
from twofold.study.diagnosing import Scope
from twofold.study.measure import MeasuredArm
from twofold.study.race_pilot import known
from twofold.study.verifying import verify
from twofold.testing.echo_generator import EchoGenerator, EchoOptions
from twofold.testing.projects import make_project
from twofold.types import Json, Prompt
from twofold.verdict.racing import SPARED
from twofold.verdict.record import number_text

SETTINGS: Json = {
    "study": {
        "arms": ["base", "prompt", "rag"],
        "diagnostics": ["oracle"],
        "latency_sample": 0,
        "metric": "contains",
        "metrics": ["token_f1"],
        "resamples": 200,
    }
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with make_project(tmp_path / "raced", questions=160, settings=SETTINGS) as opened:
        yield opened


def test_an_arm_that_leads_clearly_wins_before_all_questions_are_asked(project: Project) -> None:
    record = project.study(race=True)
    race, verdict = record["race"], record["verdict"]
    assert (verdict["outcome"], verdict["arm"], race["crowned"], race["stopped"]) == ("choose", "rag", "rag", "crown")
    assert race["questions"] < race["planned"] == len(project.splits.test)
    assert [look["crowned"] for look in race["looks"]] == [*[""] * (len(race["looks"]) - 1), "rag"]
    assert any(f"after {race['questions']} of {race['planned']} questions" in line for line in verdict["because"])
    assert any("the estimate at stopping flatters" in line for line in verdict["provisional"])
    assert set(record["arms"]) == {"base", "prompt", "rag"}, "the oracle is not asked"
    assert record["effects"] == []
    assert len(looks.read(project.records)) == 1
    assert len(looks.read(project.records)[0].asked) == race["questions"]
    # Whole groups, in the order of the shards.
    rows = archive.read_answers(project.records / record["study"])
    order = shards.shards(project.splits.test, seed=0, batch=project.config.generation.batch)
    first = [place for block in order[: len(race["looks"])] for place in block]
    assert {row["id"] for row in rows} == {project.splits.test[place].id for place in first}
    page = study_page.render(record, rows)
    assert "The race" in page
    assert "confidence sequences" in page
    assert f"{race['questions']} of {race['planned']} test questions, asked in a race" in page
    assert study_page.render_summary(record).count("The race stopped") == 1
    assert project.study(race=True) == record, "the same race again"


def test_a_race_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    records = []
    for name in ("whole", "stopped"):
        with make_project(tmp_path / name, questions=160, settings=SETTINGS) as project:
            if name == "stopped":
                with pytest.raises(_StopError):
                    project.study(race=True, progress=_after(13))
                assert not looks.read(project.records)
            records.append(project.study(race=True))
    whole, stopped = records
    assert stopped["race"]["looks"] == whole["race"]["looks"]
    assert _untimed(stopped["verdict"]) == _untimed(whole["verdict"])
    assert {name: arm["metrics"] for name, arm in stopped["arms"].items()} == {
        name: arm["metrics"] for name, arm in whole["arms"].items()
    }


def _untimed(verdict: Any) -> Json:
    """The verdict without what it says of seconds, which two runs do not share."""
    because = [line for line in verdict["because"] if "would have taken" not in line]
    return {**verdict, "flips": [], "because": because}


class _StopError(Exception):
    pass


def _after(steps: int) -> Callable[[str, int, int], None]:
    left = [steps]

    def progress(stage: str, _done: int, _total: int) -> None:
        left[0] -= stage.startswith("answer")
        if left[0] <= 0:
            raise _StopError

    return progress


def test_a_race_counts_once_and_a_plain_study_after_it_is_the_second_look(project: Project) -> None:
    assert project.study(race=True)["verdict"]["looks"] == 1
    plain = project.study()
    assert plain["verdict"]["looks"] == 2
    assert plain["arms"]["rag"]["metrics"]["contains"]["n"] == len(project.splits.test)
    again = project.study(race=True)
    assert again["verdict"]["looks"] == 1, "the same race, answered from what is stored"


class PricedOptions(EchoOptions):
    price_per_million_prompt: float = 0.0


class Priced(EchoGenerator):
    """Paid by tokens."""

    Options = PricedOptions


class Scripted(EchoGenerator):
    """Right on one half of the questions with examples shown, on the other half with passages, else never."""

    known: ClassVar[dict[str, str]] = {}

    def _text(self, prompt: Prompt) -> str:
        whole = "\n".join(message.content for message in prompt.messages)
        there = [question for question in self.known if question in whole]
        question = max(there, key=whole.rindex)  # the last one is asked, those before it are examples
        lucky = digest("luck", question)[-1] in "02468ace"
        right = lucky if len(there) > 1 else "[1]" in whole and not lucky
        return self.known[question] if right else "no idea"


def test_a_beaten_arm_is_asked_less_and_every_number_says_of_how_many(tmp_path: Path) -> None:
    settings = {**SETTINGS, "generation": {"generator": {"name": "scripted"}}}
    with (
        loading.registered("generators", "scripted", Scripted),
        make_project(tmp_path / "tied", questions=339, settings=settings) as project,
    ):
        Scripted.known = {example.question: example.references[0] for example in project.examples}
        record = project.study(race=True)
        race = record["race"]
        # Two arms tie, so the race goes to its end; base is never right, and left behind.
        assert (race["stopped"], race["crowned"]) == ("end", "")
        number, planned = race["answers"]["base"], race["planned"]
        assert number < planned == race["questions"] == race["answers"]["rag"] == race["answers"]["prompt"]
        assert record["verdict"]["outcome"] == "undecided"
        rows = archive.read_answers(project.records / record["study"])
        assert sum("base" in row["arms"] for row in rows) == number
        assert all("rag" in row["arms"] for row in rows)
        base = record["arms"]["base"]
        assert base["metrics"]["contains"]["n"] == base["metrics"]["token_f1"]["n"] == base["right"][1] == number
        assert base["failures"] == []
        pairs = {pair["name"]: pair["estimate"] for pair in record["comparisons"]}
        assert pairs["rag - base"]["n"] == number
        assert pairs["rag - base"]["low"] > 0
        assert pairs["rag - prompt"]["n"] == planned
        assert any(f"base {number} of {planned}" in line for line in record["verdict"]["because"])
        assert len(project.catalogue.answers.get(base["key"])) == number
        study_page.render(record, rows)
        # Run again from the outcomes: base is deferred at the same looks, and what it was not asked is no failure.
        found = verify(project.records / record["study"])
        assert (found.faults, found.open) == ((), ())
        diagnosed = project.diagnosis.run(Scope(arms=("base",), limit=2, fixes=False))
        assert diagnosed["arms"]["base"]["answers"] == number


def test_a_plan_says_what_a_race_is_expected_to_ask_by_what_is_known_of_its_arms(project: Project) -> None:
    plan: Any = project.plan(race=True).race
    weak, _, strong = plan.expected
    assert strong.questions[0] <= weak.questions[0]
    assert all(0 < share <= 1 for one in plan.expected for share in (*one.questions, *one.answers))
    assert "of the answers" in plan.lines[-1]
    assert project.plan().race is None
    assert (plan.source, plan.seen) == ("", None), "nothing is known of these arms"
    record = project.study(race=True)
    race = record["race"]
    after: Any = project.plan(race=True).race
    assert after.source == f"study {record['study']}"
    assert after.disagree != plan.disagree
    assert after.seen.leader == "rag"
    assert abs(after.seen.questions - race["questions"] / race["planned"]) < 0.4, "as the race did that is known"
    assert set(after.seen.answers) == {"base", "prompt", "rag"}
    assert any(f"leads by {number_text(after.seen.gain, 2)}, as by study" in line for line in after.lines)
    assert after.to_json()["seen"]["leader"] == "rag"


def test_stored_answers_of_these_systems_come_before_an_earlier_study(project: Project) -> None:
    project.study(race=True)
    workspace = project.workspace
    before = Questions.of((*project.splits.dev, *project.splits.train)).digests
    arms = [project.config.arm(name) for name in ("base", "prompt", "rag")]
    key = digest("metric", specs.of_part("metrics", project.config.study.metric))
    for number, arm in enumerate(arms[::2]):
        system = workspace.of(arm).arms.known_key(arm, project.splits)
        assert system is not None
        workspace.catalogue.scores.put(system, key, [(one, float((at + number) % 2)) for at, one in enumerate(before)])
    pilot = known(workspace, project.splits, project.records, arms=arms, metric=("contains", key))
    assert pilot is not None
    assert (pilot.source, pilot.arms) == (
        "stored answers of these arms to dev and train questions",
        ("base", "rag"),
    )
    low, high = pilot.disagree()
    assert 0.8 < low <= high == pytest.approx(1.0, abs=0.01), "one is right where the other is wrong"


def test_what_a_race_saved_is_told_for_each_arm_in_minutes_and_in_money(tmp_path: Path) -> None:
    with make_project(tmp_path / "priced", questions=160, settings=SETTINGS) as project:
        table = "item,amount,unit,currency,date,source\nmachine,36000,hour,EUR,2026-01-02,contract\n"
        (project.directory / "prices.csv").write_text(table, encoding="utf-8")
        record = project.study(race=True)
        saved = record["race"]["saved"]
        assert saved["currency"] == "EUR"
        assert saved["unpriced"] == []
        for name in ("answers", "seconds", "amount"):
            assert saved[name] == pytest.approx(sum(row[name] for row in saved["arms"].values()))
        assert saved["amount"] == pytest.approx(10 * saved["seconds"]), "36,000 an hour are 10 a second"
        (money,) = [line for line in record["verdict"]["because"] if line.startswith(SPARED)]
        assert "EUR (base " in money
        assert any("would have taken about" in line and "rag " in line for line in record["verdict"]["because"])
        assert verify(project.records / record["study"]).faults == ()
        rows = archive.read_answers(project.records / record["study"])
        assert "What it saved" in study_page.render(record, rows)
        public = _public(record, closed=False)
        assert "EUR" not in json.dumps(public["race"])


def test_tokens_that_nobody_counted_are_no_free_ones(tmp_path: Path) -> None:
    settings = {
        **SETTINGS,
        "generation": {"generator": {"name": "priced", "options": {"price_per_million_prompt": 2e5}}},
    }
    with (
        loading.registered("generators", "priced", Priced),
        make_project(tmp_path / "counted", questions=160, settings=settings) as project,
    ):
        saved = project.study(race=True)["race"]["saved"]
        assert saved["amount"] > 0
        assert "currency" not in saved, "prices among options name none"
        workspace, arm = project.workspace, project.config.arm("rag")
        item = MeasuredArm(
            arm=arm,
            system="",
            description={"generator": {}},
            answers=[],
            training=None,
            diagnostic=False,
            measures={"n": 4, "seconds": 2.0, "prompt_tokens": 0.0, "completion_tokens": 0.0},
            scores={},
        )
        uncounted = priced.saved(workspace, {"rag": item}, planned=10, prices=UNPRICED)
        assert uncounted["unpriced"] == ["rag"]
        assert "amount" not in uncounted
        assert (uncounted["answers"], uncounted["seconds"]) == (10, 5.0)


def test_a_race_of_one_arm_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    settings = json.loads(json.dumps(SETTINGS))
    settings["study"] |= {"must_cite": True}
    with make_project(tmp_path / "lone", questions=60, settings=settings) as project:
        for call in (project.plan, project.study):
            with pytest.raises(ConfigError, match="a race needs two arms that may be chosen"):
                call(race=True)
