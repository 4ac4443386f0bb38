"""Faults planted in a studied project: each ends the verdict for its own reason, and nothing else does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from small_project import write_project
from traffic_rows import row
from twofold.hashing import canonical_json
from twofold.monitoring.causes import causes
from twofold.monitoring.drift import SIGNAL
from twofold.monitoring.readings import reading
from twofold.monitoring.record import Observation, State
from twofold.monitoring.store import FILE as LOOKS
from twofold.monitoring.store import opened
from twofold.monitoring.traffic_rows import stamp
from twofold.monitoring.watching import watch
from twofold.project import Project
from twofold.project.usage import volume_of
from twofold.study import priced
from twofold.study.verifying import read_certificate
from twofold.traffic.log import FILE, TrafficLog
from twofold.types import Json
from twofold.verdict.certificate import decided
from twofold.verdict.validity import Validity, lines

SETTINGS = """
[models.small]
max_tokens = 40
[study]
arms = ["base", "rag", "small/rag"]
diagnostics = []
metric = "answer_f1"
metrics = []
latency_sample = 0
resamples = 400
margin = 0.25
[costs]
serving = "hosted"
"""
# The machine costs next to nothing: seconds are those of a busy machine, and must not decide which arm is cheaper.
PRICES = """item,amount,unit,currency,date,source
prompt_tokens,0.2,million tokens,EUR,2026-03-01,invented for a test
completion_tokens,0.8,million tokens,EUR,2026-03-01,invented for a test
small/prompt_tokens,0.3,million tokens,EUR,2026-03-01,invented for a test
small/completion_tokens,0.8,million tokens,EUR,2026-03-01,invented for a test
machine,0.0006,hour,EUR,2026-03-01,invented for a test
index,15,month,EUR,2026-03-01,invented for a test
index_storage,0.1,GiB month,EUR,2026-03-01,invented for a test
"""
NOW = datetime(2026, 6, 1, tzinfo=UTC)
COUNT = 60


def documents(*, from_day: int = 0, edited: range = range(0)) -> list[dict[str, str]]:
    """One document for each thing; of the edited ones the price has risen."""
    return [
        {
            "id": f"d{n}",
            "title": f"On thing{n}",
            "text": f"The thing{n} costs {n + 3 + (100 if n in edited else 0)} euros a day. It is free on Sunday.",
        }
        for n in range(from_day, COUNT)
    ]


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose study chose rag: alike small/rag, and cheaper."""
    directory = tmp_path_factory.mktemp("held") / "project"
    questions = [(f"d{n}", f"What does the thing{n} cost?", f"{n + 3} euros a day") for n in range(COUNT)]
    write_project(directory, documents(), questions, copies=1, settings=SETTINGS)
    (directory / "prices.csv").write_text(PRICES, encoding="utf-8")
    with Project.open(directory) as project:
        record = project.study()
    assert (record["verdict"]["outcome"], record["verdict"]["arm"]) == ("choose", "rag")
    return directory


@pytest.fixture
def place(studied: Path, tmp_path: Path) -> Path:
    shutil.copytree(studied, tmp_path / "project")
    return tmp_path / "project"


def looked(place: Path, **facts: Any) -> Validity:
    with Project.open(place) as project:
        return project.validity(moment=facts.pop("moment", NOW), **facts)


def dimensions(finding: Validity) -> list[str]:
    return sorted({reason["dimension"] for reason in finding["reasons"]})


def edge(finding: Validity, what: str) -> float:
    bound = next(one for one in finding["region"] if one["what"] == what)
    limit = bound["high"] if bound["high"] is not None else bound["low"]
    assert limit is not None
    return limit


def replace_in(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


def examples_of(place: Path) -> list[dict[str, Any]]:
    text = (place / "data" / "examples.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def write_examples(place: Path, examples: list[dict[str, Any]]) -> None:
    text = "\n".join(map(json.dumps, examples))
    (place / "data" / "examples.jsonl").write_text(text, encoding="utf-8")


def test_an_unchanged_project_holds_and_shows_nothing_more(place: Path) -> None:
    finding = looked(place)
    assert (finding["state"], finding["reasons"], finding["unknown"], lines(finding)) == ("holds", [], [], [])
    assert {bound["dimension"] for bound in finding["region"]} == {"questions", "documents", "drift", "price"}


# ---------------------------------------------------------------- the faults


def dearer_tokens(place: Path) -> None:
    replace_in(place / "prices.csv", "\nprompt_tokens,0.2,", "\nprompt_tokens,0.4,")


def other_documents(place: Path) -> None:
    sync_with(place, documents(edited=range(COUNT)))


def fewer_documents(place: Path) -> None:
    sync_with(place, documents(from_day=30))


def sync_with(place: Path, corpus: list[dict[str, str]]) -> None:
    (place / "data" / "documents.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    with Project.open(place) as project:
        project.sync()


def other_model(place: Path) -> None:
    replace_in(place / "twofold.toml", 'name = "echo"', 'name = "echo"\noptions = { mode = "echo" }')


def other_template(place: Path) -> None:
    with (place / "twofold.toml").open("a", encoding="utf-8") as stream:
        stream.write('[prompt]\nabstention = "I do not know."\n')


def other_search(place: Path) -> None:
    with (place / "twofold.toml").open("a", encoding="utf-8") as stream:
        stream.write("[retrieval]\nk = 5\n")


def stricter(place: Path) -> None:
    replace_in(place / "twofold.toml", "margin = 0.25", "margin = 0.25\nmin_score = 0.95")


def more_examples(place: Path) -> None:
    new = [
        {"id": f"new{n}", "question": f"Is the thing{n} free on Monday?", "answers": ["no"], "doc_ids": [f"d{n}"]}
        for n in range(COUNT)
    ]
    write_examples(place, [*examples_of(place), *new])


def other_answers(place: Path) -> None:
    write_examples(place, [{**example, "answers": ["nothing"]} for example in examples_of(place)])


FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "price doubled": (dearer_tokens, "price", "price of prompt_tokens 0.2, now 0.4"),
    "documents edited": (other_documents, "documents", "that the study stands on changed or went"),
    "documents removed": (fewer_documents, "documents", "that the study stands on changed or went"),
    "model changed": (other_model, "model", "the model is another: mode quote, now echo"),
    "template changed": (other_template, "model", "the prompt is worded otherwise: abstention"),
    "search changed": (other_search, "retrieval", "k 3, now 5"),
    "constraint added": (stricter, "settings", "min_score 0, now 0.95"),
    "examples added": (more_examples, "questions", "would be test questions now and were not asked"),
    "right answers changed": (other_answers, "questions", "have another text or another right answer"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_ends_the_verdict_for_its_own_reason_alone(place: Path, fault: str) -> None:
    plant, dimension, words = FAULTS[fault]
    plant(place)
    finding = looked(place)
    assert (finding["state"], dimensions(finding)) == ("expired", [dimension])
    assert words in "\n".join(lines(finding))
    assert lines(finding)[0].startswith("The verdict of 0001-project no longer holds because ")


def test_questions_that_have_moved_end_it_for_that_reason_alone(place: Path) -> None:
    finding = looked(place, drift=["questions.drift: energy distance .31 over .12"])
    assert dimensions(finding) == ["drift"]


def test_age_ends_it_where_the_settings_say_so(place: Path) -> None:
    assert looked(place, moment=NOW + timedelta(days=4000))["state"] == "holds"
    with (place / "twofold.toml").open("a", encoding="utf-8") as stream:
        stream.write("[validity]\nmax_age_days = 90\n")
    with Project.open(place) as project:
        created = datetime.fromisoformat(project.validity.decisive()["at"])  # type: ignore[index]
        assert project.validity(moment=created + timedelta(days=89))["state"] == "holds"
        assert dimensions(project.validity(moment=created + timedelta(days=91))) == ["age"]
        # A clock that was set back ends nothing.
        assert project.validity(moment=created - timedelta(days=400))["state"] == "holds"


# ---------------------------------------------------------------- the region and the rule


def test_the_rule_turns_where_the_region_says_that_a_price_does(place: Path) -> None:
    limit = edge(looked(place), "price of prompt_tokens, rag against small/rag")
    certificate: Any = read_certificate(place / "studies" / "0001-project" / "verdict.json")
    with Project.open(place) as project:
        amounts = json.loads((place / "studies" / "0001-project" / "study.json").read_text(encoding="utf-8"))["metered"]
        for factor, arm in ((0.5, "rag"), (0.99, "rag"), (1.01, "small/rag"), (3.0, "small/rag")):
            price = f"{limit * factor:.12g}"
            (place / "prices.csv").write_text(
                PRICES.replace("\nprompt_tokens,0.2,", f"\nprompt_tokens,{price},"), encoding="utf-8"
            )
            facts = {**certificate["facts"], **priced.facts(project.config, amounts, project.cost.prices())}
            verdict = decided({**certificate, "facts": facts})[0]
            assert (verdict.outcome, verdict.arm) == ("choose", arm)
            assert (project.validity(moment=NOW)["state"] == "holds") == (arm == "rag")


def test_the_rule_turns_no_earlier_than_the_region_says_of_changed_answers(place: Path) -> None:
    within = int(edge(looked(place), "questions that may be answered otherwise"))
    certificate: Any = read_certificate(place / "studies" / "0001-project" / "verdict.json")

    def worsened(number: int) -> str:
        """The arm that the rule chooses when so many answers of rag turn out wrong, and those of its rivals right."""
        worst = {"rag": {"answer_f1": 0.0}, "small/rag": {"answer_f1": 1.0}, "base": {"answer_f1": 1.0}}
        outcomes = [
            {**row, "scores": worst if place < number else row["scores"]}
            for place, row in enumerate(certificate["outcomes"])
        ]
        return decided({**certificate, "outcomes": outcomes})[0].arm

    assert worsened(within) == "rag"
    assert worsened(len(certificate["outcomes"])) != "rag"


def test_a_constraint_that_decides_alike_ends_nothing(place: Path) -> None:
    replace_in(place / "twofold.toml", "margin = 0.25", "margin = 0.25\nmin_score = 0.1")
    assert looked(place)["state"] == "holds"


# ---------------------------------------------------------------- what a command names, and what is not known


def test_what_the_command_laid_over_is_no_change_since(place: Path) -> None:
    with Project.open(place, {"study": {"arms": ["base", "rag"]}, "examples": {"limit": 50}}) as project:
        record = project.study()
        assert record["overrides"] == {"study": {"arms": ["base", "rag"]}, "examples": {"limit": 50}}
    assert looked(place, study=record["study"])["state"] == "holds"


def test_a_study_without_its_later_fields_is_compared_by_the_passages_that_were_shown(place: Path) -> None:
    path = place / "studies" / "0001-project" / "study.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for name in ("documents", "overrides", "order"):
        record.pop(name)
    path.write_text(canonical_json(record), encoding="utf-8")
    (path.parent / "verdict.json").unlink()
    assert looked(place)["state"] == "holds"
    other_documents(place)
    assert dimensions(looked(place)) == ["documents"]


def test_without_a_catalogue_documents_are_not_known_and_nothing_fails(place: Path) -> None:
    shutil.rmtree(place / ".twofold")
    finding = looked(place)
    assert (finding["state"], [one["dimension"] for one in finding["unknown"]]) == ("unknown", ["documents"])
    assert not (place / ".twofold").exists()


def test_without_answers_documents_and_questions_are_not_known(place: Path) -> None:
    (place / "studies" / "0001-project" / "answers.jsonl.gz").write_bytes(b"cut off")
    finding = looked(place)
    assert (finding["state"], [one["dimension"] for one in finding["unknown"]]) == ("unknown", ["questions"])
    dearer_tokens(place)
    assert dimensions(looked(place)) == ["price"]


def test_examples_that_cannot_be_read_are_said(place: Path) -> None:
    (place / "data" / "examples.jsonl").write_text("{", encoding="utf-8")
    finding = looked(place)
    assert finding["state"] in ("unknown", "expired")
    assert "questions" in [one["dimension"] for one in finding["unknown"] + finding["reasons"]]


def test_the_finding_is_worked_out_again_only_when_a_file_changes(place: Path) -> None:
    with Project.open(place) as project:
        first = project.validity.decisive(moment=NOW)
        assert project.validity.decisive(moment=NOW) is first
        dearer_tokens(place)
        second = project.validity.decisive(moment=NOW)
    assert second is not None
    assert second["state"] == "expired"


# ---------------------------------------------------------------- the volume of a traffic log


@pytest.mark.parametrize(("days", "each", "expected"), [(30, 10, 10 * 30.4375), (10, 6, 6 * 30.4375), (3, 50, None)])
def test_a_months_volume_is_that_of_the_last_days(days: int, each: int, expected: float | None, tmp_path: Path) -> None:
    log_traffic(tmp_path, days=days, each=each)
    # Answers of before the last 30 days, and of a clock that was set back, count in no month.
    with TrafficLog(tmp_path / FILE) as log:
        log.append([row(at=stamp(NOW + timedelta(days=away))) for away in (-90, -31, 2)])
    volume = volume_of(tmp_path, NOW)
    assert volume == (None if expected is None else pytest.approx(expected, rel=0.05))


def log_traffic(directory: Path, *, days: int, each: int) -> None:
    """Plant so many answers on each of the last days."""
    with TrafficLog(directory / FILE) as log:
        for day in range(days, 0, -1):
            log.append([row(at=stamp(NOW - timedelta(days=day, minutes=-n))) for n in range(each)])


def test_without_a_traffic_log_there_is_no_volume_and_none_is_made(tmp_path: Path) -> None:
    assert volume_of(tmp_path, NOW) is None
    assert list(tmp_path.iterdir()) == []


def test_a_volume_that_turns_the_order_of_costs_ends_it(place: Path) -> None:
    path = place / "studies" / "0001-project" / "study.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    # As though rag alone paid for an index by the month: it is the cheaper one of the two at large volumes only.
    record["metered"]["retrieves"] = ["rag"]
    record["config"]["costs"]["volume"] = 5e6
    path.write_text(canonical_json(record), encoding="utf-8")
    replace_in(place / "twofold.toml", 'serving = "hosted"', 'serving = "hosted"\nvolume = 5e6')
    finding = looked(place)
    assert finding["state"] == "holds"
    least = edge(finding, "answers a month, rag against small/rag")
    assert looked(place, volume=1.01 * least)["state"] == "holds"
    finding = looked(place, volume=0.99 * least)
    assert dimensions(finding) == ["volume"]
    assert f"answers a month 5,000,000, now {0.99 * least:,.10g}" in lines(finding)[0]
    # The log of some answers a day says the same, unasked; one that cannot be read leaves it unknown.
    log_traffic(place, days=10, each=5)
    with Project.open(place) as project:
        shown, decisive = project.validity(moment=NOW), project.validity.decisive(moment=NOW)
    assert decisive is not None
    assert dimensions(shown) == dimensions(decisive) == ["volume"]
    for path in place.glob(f"{FILE}*"):
        path.write_bytes(b"no database" * 999)
    finding = looked(place)
    assert (finding["state"], [one["dimension"] for one in finding["unknown"]]) == ("unknown", ["volume"])


# ---------------------------------------------------------------- the alarm of a watch


class Moved:
    """A monitor whose questions have moved away from those of a study."""

    name = "questions"

    def __init__(self, study: str, state: State = "alarm") -> None:
        self.study, self.state = study, state

    def look(self, before: Json | None, *, moment: datetime) -> Observation:
        why = "questions are told from the study's test questions in 97 % of cases"
        seen = reading(SIGNAL, moment, state=self.state, why=why, detail={"study": self.study})
        return Observation(readings=(seen,), state={})


def look_by(place: Path, monitor: Moved, *, days: int = 0) -> None:
    with opened(place / LOOKS) as store:
        watch([monitor], store, moment=NOW - timedelta(days=9 - days), explain=causes)


def test_the_drift_alarm_of_the_last_look_ends_the_verdict_until_it_is_over(place: Path) -> None:
    with Project.open(place) as project:
        holds = project.validity.decisive(moment=NOW)
        assert holds is not None
        look_by(place, Moved("0001-project"))
        for finding in (project.validity(moment=NOW), project.validity.decisive(moment=NOW)):
            assert finding is not None
            assert (holds["state"], finding["state"], dimensions(finding)) == ("holds", "expired", ["drift"])
            assert "in 97 % of cases" in finding["reasons"][0]["why"]
        # Where nobody could compare since, the alarm stands.
        look_by(place, Moved("0001-project", "unwatched"), days=1)
        assert dimensions(project.validity(moment=NOW)) == ["drift"]
        look_by(place, Moved("0001-project", "ok"), days=2)
        assert project.validity(moment=NOW)["state"] == "holds"


def test_an_alarm_beside_another_studys_questions_ends_nothing(place: Path) -> None:
    look_by(place, Moved("0000-before"))
    assert looked(place)["state"] == "holds"


def test_looks_that_cannot_be_read_leave_the_drift_unknown(place: Path) -> None:
    (place / "watch.sqlite").write_bytes(b"no database" * 999)
    finding = looked(place)
    assert (finding["state"], [one["dimension"] for one in finding["unknown"]]) == ("unknown", ["drift"])


def test_a_look_names_the_expired_verdict_and_proposes_to_measure_again(place: Path) -> None:
    look_by(place, Moved("0001-project"))
    with Project.open(place) as project:
        report = project.watching.look(moment=NOW)
    readings = {one["signal"]: one for one in report["readings"]}
    assert readings["verdict.holds"]["detail"]["dimensions"] == ["drift"]
    assert "verdict.holds" in report["new"]
    assert "verdict expired" in [cause["cause"] for cause in report["causes"]]
    (again,) = [proposal for proposal in report["proposals"] if proposal["command"] == "twofold study"]
    assert (again["action"], "97 %" in " ".join(again["evidence"])) == ("re-study", True)
