"""Looks are counted by question, paid for, and forgotten by nothing."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stand_in_trainer import StandIn
from twofold.errors import StudyError
from twofold.host import capabilities
from twofold.plugins import loading
from twofold.project import Project
from twofold.reports import archive
from twofold.settings.sections import StudySection
from twofold.study import looks
from twofold.study import run as study_run
from twofold.study.looks import Look, level_of
from twofold.types import Example, Message

Fast = Callable[..., dict[str, Any]]


def example(words: str, *, system: str = "", references: tuple[str, ...] = ("x",)) -> Example:
    turns = (Message(role="system", content=system),) if system else ()
    return Example(id=words, messages=(*turns, Message(role="user", content=words)), references=references)


def look(name: str, asked: str, *, kind: looks.Kind = "study", answers: str = "a", failed: int = 0) -> Look:
    return Look(
        kind=kind, name=name, at="2026-03-01", identity=f"of {name}", answers=answers, failed=failed, look=0,
        asked=tuple(asked),
    )  # fmt: skip


def counted(*order: Look) -> list[int]:
    rows: list[Look] = []
    for one in order:
        rows.append(replace(one, look=looks.number(rows, one)))
    return [row.look for row in rows]


# ---------------------------------------------------------------- the count


def test_the_levels_of_all_looks_together_spend_what_one_study_may() -> None:
    spent = [1 - level_of(k, 0.95) for k in range(1, 4000)]
    assert spent == sorted(spent, reverse=True)
    assert 0.045 < sum(spent) <= 0.05
    assert level_of(3, 0.95) == pytest.approx(1 - 0.05 * 6 / (math.pi * 3) ** 2, abs=1e-4)
    assert [level_of(k, 0.95) for k in (1, 2, 3)] == [0.97, 0.9925, 0.9967]


def test_the_most_looked_at_question_counts() -> None:
    assert counted(look("1", "abc"), look("2", "cde"), look("3", "fg"), look("4", "ag"), look("5", "xyz")) == [
        1, 2, 1, 2, 1,
    ]  # fmt: skip


def test_a_rerun_and_a_mended_study_are_the_same_look_and_other_answers_are_not() -> None:
    first = look("1", "abc", failed=4)
    rerun, mended = replace(first, name="2"), replace(first, name="3", answers="b", failed=0)
    redrawn = replace(first, name="4", answers="c", failed=4)
    assert counted(first, rerun, mended) == [1, 1, 1]
    assert counted(replace(first, failed=0), redrawn) == [1, 2]
    assert counted(first, look("9", "a"), mended) == [1, 2, 1], "a mended look keeps its number"


def test_a_question_is_its_words_and_not_its_id_case_punctuation_or_references() -> None:
    plain = looks.question(example("How long is the Elbe?"))
    assert plain == looks.question(replace(example("how long is  the Elbe"), id="other", references=("1,094 km",)))
    assert plain == looks.question(example("How long is the Elbe?", system="Be brief."))
    assert plain != looks.question(example("How long is the Eider?"))
    assert looks.question(example("+?")) != looks.question(example("-?"))


def test_the_ledger_survives_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    looks.write(tmp_path, look("1", "ab"))
    looks.write(tmp_path, look("2", "c"))
    looks.write(tmp_path, look("1", "ab"))
    assert [row.name for row in looks.read(tmp_path)] == ["1", "2"]
    with (tmp_path / looks.FILE).open("a") as stream:
        stream.write('{"kind": "stu')
    with pytest.raises(StudyError, match="ledger of looks is damaged") as caught:
        looks.read(tmp_path)
    assert caught.value.line == 3


# ---------------------------------------------------------------- studies


def run(project: Project, settings: dict[str, Any], **changed: Any) -> Any:
    laid = {key: {**settings.get(key, {}), **changed.get(key, {})} for key in {*settings, *changed}}
    with Project.open(project.directory, laid) as opened:
        return opened.study()


@pytest.fixture
def two(project: Project, fast: Fast) -> dict[str, Any]:
    """Settings of a study of two arms."""
    project.close()
    settings = fast()
    settings["study"] |= {"arms": ["base", "rag"], "diagnostics": [], "latency_sample": 0}
    return settings


def examples_of(project: Project) -> Path:
    return project.directory / "data" / "examples.jsonl"


def test_what_once_reset_the_count_does_not(project: Project, two: dict[str, Any]) -> None:
    first = run(project, two)
    assert first["verdict"]["looks"] == 1
    assert first["decided_at"] == 0.97
    lines = examples_of(project).read_text(encoding="utf-8").splitlines()
    with Project.open(project.directory, two) as opened:
        train, test = opened.splits.train[0], opened.splits.test[0]
    rows = [json.loads(line) for line in lines]
    corrected = [{**row, "answers": [*row["answers"], "so it is"]} if row["id"] == test.id else row for row in rows]
    new = {"id": "new", "question": "What else is there?", "answers": ["Nothing"], "doc_ids": list(train.sources)}
    found = [first["verdict"]["looks"]]
    for changed in ([*rows, new], corrected, [{**row, "id": f"other-{row['id']}"} for row in rows]):
        examples_of(project).write_text("\n".join(map(json.dumps, changed)) + "\n", encoding="utf-8")
        found.append(run(project, two)["verdict"]["looks"])
    assert found == [1, 2, 3, 1], "other ids alone change nothing: the first study again"
    assert run(project, two, examples={"seed": 8})["verdict"]["looks"] > 2


def test_a_deleted_working_directory_forgets_no_look(project: Project, two: dict[str, Any]) -> None:
    first = run(project, two)
    shutil.rmtree(project.derived)
    again = run(project, two)
    assert again["verdict"]["looks"] == 1, "the same study on the same answers is the same look"
    assert again["verdict"] == first["verdict"]
    shutil.rmtree(project.derived)
    for path in project.records.glob("[0-9]*"):
        shutil.rmtree(path)
    other = run(project, two, study={"metric": "contains"})
    assert other["verdict"]["looks"] == 2
    assert other["decided_at"] == 0.9925
    assert any("look 2 decides at 99.25 %" in doubt for doubt in other["verdict"]["provisional"])
    assert any("fresh questions" in doubt for doubt in other["verdict"]["provisional"])


def test_what_changes_no_verdict_is_no_look(project: Project, two: dict[str, Any]) -> None:
    run(project, two)
    assert run(project, two, study={"metrics": ["rouge_l"]})["verdict"]["looks"] == 1
    assert run(project, two, study={"margin": 0.3})["verdict"]["looks"] == 2
    assert run(project, two, study={"min_score": 0.2})["verdict"]["looks"] == 3


def test_every_setting_of_a_study_counts_unless_it_only_changes_what_is_shown() -> None:
    section = StudySection()
    same = {"diagnostics": (), "metrics": (), "shots": 2, "interaction_margin": 0.1, "ablation": True}
    for name, value in {**same, "latency_sample": 0}.items():
        assert looks.identity_of(section.model_copy(update={name: value}), {}, metric="m", examples=()) == (
            looks.identity_of(section, {}, metric="m", examples=())
        )
    limited = section.model_copy(update={"max_latency_p95": 2.0})
    longer = limited.model_copy(update={"latency_sample": 90})
    ids = {looks.identity_of(one, {}, metric="m", examples=()) for one in (section, limited, longer)}
    assert len(ids) == 3, "with a limit, what is timed decides"
    shorter = limited.model_copy(update={"latency_sample": 30})
    assert looks.identity_of(shorter, {}, metric="m", examples=()) in ids, "as many are timed all the same"
    for name, value in {"min_cited": 0.4, "max_failed": 0.5, "must_cite": True, "margin": 0.1, "level": 0.9}.items():
        assert looks.identity_of(section.model_copy(update={name: value}), {}, metric="m", examples=()) != (
            looks.identity_of(section, {}, metric="m", examples=())
        )


class Stand(StandIn):
    """Takes the option that a new project sets."""

    class Options(StandIn.Options):
        replay: float = 0.0


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, two: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Settings of a study whose second arm is tuned by a trainer that takes no time."""
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained"))
    two["study"]["arms"] = ["base", "ft"]
    with loading.registered("trainers", "stand", Stand):
        yield {**two, "tuning": {"trainer": {"name": "stand"}, "gate": "report", "merge_back": []}}


def test_enforcing_the_forgetting_gate_is_another_look_where_an_arm_is_tuned(
    project: Project, trained: dict[str, Any]
) -> None:
    assert run(project, trained)["verdict"]["looks"] == 1
    assert run(project, trained, tuning={"gate": "enforce"})["verdict"]["looks"] == 2
    untuned = {"arms": ["base", "rag"]}
    assert run(project, trained, study=untuned)["verdict"]["looks"] == 3
    assert run(project, trained, study=untuned, tuning={"gate": "enforce"})["verdict"]["looks"] == 3


@pytest.mark.parametrize("gate", ["report", "enforce"])
def test_a_forgetting_gate_that_failed_is_told_whether_it_rules_the_arm_out_or_not(
    project: Project, trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch, gate: str
) -> None:
    monkeypatch.setattr(study_run, "outcome", lambda _: "failed")
    record = run(project, trained, tuning={"gate": gate})
    doubts = [doubt for doubt in record["verdict"]["provisional"] if "forgetting gate" in doubt]
    if gate == "enforce":
        assert any("forget too much" in reason for reason in record["arms"]["ft"]["objections"])
        assert doubts == []
    else:
        assert record["arms"]["ft"]["acceptable"]
        assert len(doubts) == 1
        assert doubts[0].startswith("ft failed the forgetting gate, which is only reported ([tuning].gate): ")


def test_on_another_machine_a_latency_limit_is_decided_anew(
    project: Project, two: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = {"latency_sample": 5, "max_latency_p95": 50.0}
    here, free = run(project, two, study=timed), run(project, two)
    monkeypatch.setattr(capabilities, "fingerprint", lambda *_: "machine:another")
    there = run(project, two, study=timed)
    assert there["study"] != here["study"]
    assert there["verdict"]["looks"] > here["verdict"]["looks"]
    assert run(project, two)["study"] == free["study"], "without a limit the machine changes no verdict"


def test_the_number_of_a_study_without_a_record_is_not_given_again(project: Project, two: dict[str, Any]) -> None:
    assert archive.next_name(project.records, "Soil") == "0001-soil"
    looks.write(project.records, look("9999-soil", "ab", kind="retraining"))
    looks.write(project.records, look("0004-soil", "ab", kind="final"))
    assert run(project, two)["study"].startswith("0005-")


def test_studies_of_one_name_are_each_told_of_in_the_questions_that_changed_sides(
    project: Project, two: dict[str, Any]
) -> None:
    run(project, two, examples={"limit": 60})
    with Project.open(project.directory, two) as whole:
        (row,) = looks.read(whole.records)
        learning = [*looks.asked_digests(whole.splits.train), *looks.asked_digests(whole.splits.dev)]
        crossed = [one for one in row.asked if one in learning]
        assert len(crossed) > 1
        rows = [replace(row, asked=(crossed[0],)), replace(row, asked=tuple(crossed[1:]))]
        found = looks.mixtures(rows, whole.splits)
    assert found[0].startswith("1 example of train or dev was a test question of study")
    assert any(f"{len(crossed) - 1} example" in one for one in found[1:])


def test_another_test_set_than_the_last_studys_is_told(project: Project, two: dict[str, Any]) -> None:
    first = run(project, two)
    again = run(project, two, study={"margin": 0.03})
    fewer = run(project, two, examples={"limit": 60})
    said = [[one for one in record["warnings"] if "the test set is not" in one] for record in (first, again, fewer)]
    assert said[:2] == [[], []]
    (sentence,) = said[2]
    assert sentence.startswith(f"the test set is not that of study {again['study']} (")
    assert " gone): figures of the two must not be compared" in sentence


def test_changed_answers_of_the_same_questions_are_another_test_set() -> None:
    asked = [example("a"), example("b")]
    row = replace(look("s", ""), asked=tuple(looks.asked_digests(asked)))
    assert looks.changed_test([row], asked, before={"s": "old"}, now="old") == []
    assert looks.changed_test([row], asked, before={}, now="new") == []
    (sentence,) = looks.changed_test([row], asked, before={"s": "old"}, now="new")
    assert "(answers of its questions were changed)" in sentence
    (sentence,) = looks.changed_test([row], [*asked[1:], example("c")], before={"s": "old"}, now="new")
    assert "(1 question new, 1 gone)" in sentence


def test_a_later_look_needs_more(project: Project, two: dict[str, Any]) -> None:
    first = run(project, two)
    second = run(project, two, study={"margin": 0.03})
    assert (first["decided_at"], second["decided_at"]) == (0.97, 0.9925)
    assert any("look 2 decides at 99.25 %" in doubt for doubt in second["verdict"]["provisional"])
    score = first["arms"]["rag"]["metrics"]["token_f1"]
    again = second["arms"]["rag"]["metrics"]["token_f1"]
    assert again["mean"] == score["mean"]
    assert again["low"] < score["low"] < score["high"] < again["high"], "one level for everything that decides"
    assert (first["level"], second["level"]) == (0.97, 0.9925)


def test_questions_that_changed_sides_are_named(project: Project, two: dict[str, Any]) -> None:
    first = run(project, two, examples={"limit": 60})
    with Project.open(project.directory, two) as whole:
        asked = set(looks.read(whole.records)[0].asked)
        learning = {*looks.asked_digests(whole.splits.train), *looks.asked_digests(whole.splits.dev)}
        crossed = len(asked & learning)
        warnings = whole.plan().warnings
    assert crossed > 0
    words = f"of train or dev were test questions of study {first['study']}"
    assert any(f"{crossed} examples {words}" in warning for warning in warnings)
    record = run(project, two)
    assert any(words in warning for warning in record["warnings"])
    assert record["verdict"]["looks"] == 2, "it asks other questions of the first look again"


def test_whatever_one_deletes_is_restored_from_what_is_left(project: Project, two: dict[str, Any]) -> None:
    """The whole of studies/, again and again; the ledger alone; the ledger and `.twofold/`."""
    run(project, two)
    found = []
    for number in range(1, 4):
        shutil.rmtree(project.records)
        found.append(run(project, two, study={"margin": 0.02 + number / 100})["verdict"]["looks"])
    assert found == [2, 3, 4]
    (project.records / looks.FILE).unlink()
    assert run(project, two, study={"margin": 0.1})["verdict"]["looks"] == 5
    (project.records / looks.FILE).unlink()
    shutil.rmtree(project.derived)
    left = len(list(project.records.glob("[0-9]*/study.json")))
    assert run(project, two, study={"margin": 0.2})["verdict"]["looks"] == 1 + left
    assert len({row.name for row in looks.read(project.records)}) == 1 + left
