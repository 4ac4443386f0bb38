"""Rounds on a small project: a step is kept only if a study proves it, and undone wholly where it does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from small_project import write_project
from twofold.curation.templates import as_record
from twofold.errors import StudyError
from twofold.improvement import gaps, histories, page
from twofold.improvement.loop import Diagnosing, Improver, StopRules, questions_of
from twofold.improvement.proposals import Cause
from twofold.improvement.record import Improvement, Step
from twofold.lifecycle.comparison import scores_of
from twofold.plugins.protocols import Progress
from twofold.project import Project
from twofold.reports import archive, decisive
from twofold.types import Arm, Example

THINGS = ["lamp", "clock", "chest", "mirror", "kettle", "ladder", "carpet", "piano", "basket", "easel"]
PLACES = ["attic", "cellar", "garden", "kitchen", "library", "stable"]
ROWS = [(f"{thing}-{place}", thing, place) for thing in THINGS for place in PLACES]
DOCUMENTS = [
    {"id": name, "text": f"The {thing} in the {place} has the label Q{number}."}
    for number, (name, thing, place) in enumerate(ROWS)
]
ASKED = [
    (name, f"Which label has the {thing} in the {place}?", f"Q{number}")
    for number, (name, thing, place) in enumerate(ROWS)
]
SETTINGS = """
[generation]
max_tokens = 8
[study]
arms = ["rag"]
diagnostics = []
metric = "contains"
metrics = []
latency_sample = 0
resamples = 400
"""


def project_of(directory: Path, settings: str = SETTINGS) -> Path:
    return write_project(directory / "project", DOCUMENTS, ASKED, copies=1, settings=settings)


def blaming(code: str) -> Diagnosing:
    """Every wrong answer to the questions has this cause."""

    def diagnose(
        project: Project, study: str, arm: Arm, *, questions: Sequence[Example], progress: Progress
    ) -> list[Cause]:
        assert study in archive.names(project.records)
        with project.writing():
            system, _ = project.workspace.arms.system(arm, project.splits, progress=progress)
            scores, _ = scores_of(
                project.config,
                project.catalogue,
                system,
                questions=questions,
                splits=project.splits,
                progress=progress,
                label="ask",
            )
        return [Cause(question=e.id, cause=code) for e, score in zip(questions, scores, strict=True) if not score]

    return diagnose


def run(directory: Path, code: str, **limits: float) -> Improvement:
    with Project.open(directory) as project:
        project.study()
    return Improver(
        directory=directory, diagnose=blaming(code), agree=lambda _: "yes", limits=StopRules(**limits)
    ).run()  # fmt: skip


def test_a_step_that_wins_is_kept_and_stands_in_the_settings(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    improvement = run(directory, "cut")
    (record,) = improvement.rounds
    assert (record["outcome"], record["step"]["name"], improvement.steps_kept) == ("kept", "allow 16 tokens", 1)
    assert record["difference"] is not None
    assert record["difference"]["low"] > 0
    assert record["dev"] is not None
    assert improvement.stopped == "no wrong answer has a cause to mend"
    with Project.open(directory) as project:
        assert project.config.generation.max_tokens == 16
        assert decisive.decisive(project.records) == record["study"]
        shown = page.render(histories.read(project.records), name="doors")
    assert "1 step kept in 1 round" in shown
    assert "allow 16 tokens" in shown


def test_a_step_that_is_not_better_on_dev_spends_no_look(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    improvement = run(directory, "not-retrieved", rounds=1)
    (record,) = improvement.rounds
    assert (record["outcome"], record["study"]) == ("not better on dev", "")
    with Project.open(directory) as project:
        assert len(archive.names(project.records)) == 1
        assert project.config.retrieval.k == 3


def test_a_step_that_loses_is_undone_wholly(tmp_path: Path) -> None:
    settings = SETTINGS.replace('arms = ["rag"]', 'arms = ["base"]')
    settings += '[generation.generator.options]\nmode = "fixed"\nfixed = "blue"\n'
    directory = project_of(tmp_path, settings)
    before = (directory / "twofold.toml").read_bytes()
    improvement = run(directory, "not-known", rounds=1)
    (record,) = improvement.rounds
    assert (record["outcome"], record["step"]["name"]) == ("undone", "answer with passages")
    assert (directory / "twofold.toml").read_bytes() == before
    with Project.open(directory) as project:
        assert archive.names(project.records) == [record["before"], record["study"]]
        assert decisive.decisive(project.records) == record["before"]


def test_a_run_that_was_killed_in_a_round_finishes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = project_of(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("twofold.improvement.settings.write", killed)
        with pytest.raises(KeyboardInterrupt):
            run(directory, "cut")
    with Project.open(directory) as project:
        assert histories.interrupted(histories.read(project.records)) is not None
    improvement = run(directory, "cut")
    assert [record["outcome"] for record in improvement.rounds] == ["kept"]
    with Project.open(directory) as project:
        assert project.config.generation.max_tokens == 16
        # The killed run's study is found again: no second one, no second look.
        assert len(archive.names(project.records)) == 2
        assert [record["number"] for record in histories.read(project.records)["rounds"]] == [1]


def test_a_run_that_was_killed_after_its_step_was_written_keeps_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Improver, "_settled", killed)
        with pytest.raises(KeyboardInterrupt):
            run(directory, "cut")
    with Project.open(directory) as project:
        assert project.config.generation.max_tokens == 16
    improvement = run(directory, "cut")
    assert [record["outcome"] for record in improvement.rounds] == ["kept"]


def test_an_interrupted_round_is_not_finished_without_agreement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Improver, "_finish", killed)
        with pytest.raises(KeyboardInterrupt):
            run(directory, "cut")
    improvement = Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "stop").run()
    assert (improvement.rounds, [step.name for step in improvement.open_steps]) == ((), ["allow 16 tokens"])
    with Project.open(directory) as project:
        assert len(archive.names(project.records)) == 1


def test_the_file_of_a_round_is_named_once_and_never_taken_over(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        values = gaps.values_of(project.config, 1)
    with Project.open(directory, values) as changed:
        assert gaps.values_of(changed.config, 1) == values
    path = gaps.path(directory, 1)
    path.parent.mkdir()
    path.touch()
    assert gaps.unused_number(directory, after=0) == 2


def test_a_step_that_is_impossible_here_is_left_to_a_person(tmp_path: Path) -> None:
    directory = project_of(tmp_path, SETTINGS.replace('arms = ["rag"]', 'arms = ["base"]'))
    file = directory / "twofold.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('["data/documents.jsonl"]', "[]"), encoding="utf-8")
    improvement = run(directory, "not-known")
    assert improvement.rounds == ()
    assert [step.for_a_person for step in improvement.open_steps] == [True]
    assert "no documents" in improvement.open_steps[0].why


def test_the_budget_forbids_steps_that_take_longer(tmp_path: Path) -> None:
    improvement = run(project_of(tmp_path), "cut", minutes=1e-9)
    assert improvement.rounds == ()
    assert "the budget is spent" in improvement.stopped
    assert [step.name for step in improvement.open_steps] == ["allow 16 tokens"]


def test_nobody_who_refuses_is_overruled(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        project.study()
    proposed: list[Step] = []

    def refuse(step: Step) -> str:
        proposed.append(step)
        return "no"

    improvement = Improver(directory=directory, diagnose=blaming("cut"), agree=refuse).run()  # type: ignore[arg-type]
    assert [step.name for step in proposed] == ["allow 16 tokens"]
    assert improvement.rounds == ()


def test_gap_questions_are_made_on_no_document_of_a_held_out_question(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        project.sync()
        splits = project.splits
        held_out = {source for e in (*splits.dev, *splits.test) for source in e.sources}
        failed = [*splits.train, *splits.dev]
        assert gaps.documents(project, failed).isdisjoint(held_out)
        # Who asks for questions on a test question's document is refused, even where it calls itself one of train.
        with pytest.raises(StudyError, match=splits.test[0].id):
            gaps.documents(project, [*failed, splits.test[0]])
        disguised = replace(splits.test[0], split="train")
        with pytest.raises(StudyError, match="no training question is made for it"):
            gaps.documents(project, [disguised])


def test_questions_of_an_arm_that_learned_from_train_are_of_dev_alone(tmp_path: Path) -> None:
    with Project.open(project_of(tmp_path)) as project:
        dev = {example.id for example in project.splits.dev}
        tuned = questions_of(project, project.config.arm("ft+rag"), most=10_000)
        plain = questions_of(project, project.config.arm("rag"), most=10_000)
        assert {example.id for example in tuned} == dev
        assert len(plain) == len(dev) + len(project.splits.train)
        assert len(questions_of(project, project.config.arm("rag"), most=7)) == 7


def test_a_record_of_a_made_question_is_read_back_as_one_of_train(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        example = replace(project.splits.train[0], id="made", split="train", origin="synthetic", maker="templates")
        path = gaps.path(directory, 1)
        path.parent.mkdir()
        path.write_text(json.dumps(as_record(example)), encoding="utf-8")
        values = gaps.values_of(project.config, 1)
    with Project.open(directory, values) as changed:
        assert "made" in {read.id for read in changed.examples}
        assert "made" not in {read.id for read in (*changed.splits.test, *changed.splits.dev)}


def test_without_a_study_there_is_nothing_to_improve(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no study yet"):
        Improver(directory=project_of(tmp_path), diagnose=blaming("cut"), agree=lambda _: "yes").run()


def test_what_changed_since_the_study_is_refused_and_runs_no_study(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        project.study()
    text = (directory / "twofold.toml").read_text(encoding="utf-8")
    (directory / "twofold.toml").write_text(text.replace("max_tokens = 8", "max_tokens = 9"), encoding="utf-8")
    with pytest.raises(StudyError, match="have changed since study 0001-project"):
        Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes").run()
    with Project.open(directory) as project:
        assert archive.names(project.records) == ["0001-project"]


def test_a_step_whose_study_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        project.study()

    def fails(*_: object, **__: object) -> None:
        raise StudyError("no memory", cure="Add some.")

    monkeypatch.setattr(Project, "study", fails)
    improvement = Improver(
        directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes", limits=StopRules(rounds=1)
    ).run()
    (record,) = improvement.rounds
    assert (record["outcome"], record["because"]) == ("undone", "its study failed: no memory Add some.")
