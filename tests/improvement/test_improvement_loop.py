"""Rounds on a small project: a step is kept only if a study proves it, and undone wholly where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from small_project import write_documents, write_project
from twofold.cli.main import main
from twofold.curation import questions as making
from twofold.curation.templates import as_record
from twofold.errors import GenerationError, ProjectLocked, StoreError, StudyError
from twofold.improvement import gaps, histories, loop, page, pricing, settings, spending, trials
from twofold.improvement.loop import LOCK, Diagnosing, Improver, StopRules, questions_of
from twofold.improvement.proposals import Cause
from twofold.improvement.record import History, Improvement, Step
from twofold.indexing.erasure import TRIAL
from twofold.lifecycle.comparison import scores_of
from twofold.plugins.protocols import Progress
from twofold.project import Project
from twofold.project.places import CATALOGUE
from twofold.reports import archive, decisive
from twofold.store.catalogue import Catalogue
from twofold.store.forgotten import RECEIPTS, Forgotten
from twofold.store.lock import ProjectLock
from twofold.study import calls
from twofold.types import Arm, Example, Json

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


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, owner: object, step: str) -> Iterator[None]:
    """Within the block the step of a run ends the run as Ctrl-C does."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, killed)
        with pytest.raises(KeyboardInterrupt):
            yield


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
        return [Cause(question=e.id, cause=code) for e, score in zip(questions, scores, strict=True) if score != 1]

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


def test_the_page_is_there_after_each_round(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        project.study()
    outcomes: list[list[str]] = []

    def publish(records: Path, history: History) -> None:
        page.write_page(records, history, name="doors")
        outcomes.append([record["outcome"] for record in history["rounds"]])
        # Whatever ends the run now, such as a full disk, has shown this round.
        raise OSError(28, "No space left on device")

    improver = Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes", publish=publish)
    with pytest.raises(OSError, match="No space"):
        improver.run()
    assert outcomes == [["kept"]]
    assert "1 step kept in 1 round" in (directory / "studies" / page.PAGE).read_text(encoding="utf-8")


def test_a_step_that_is_not_better_on_dev_spends_no_look(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    improvement = run(directory, "not-retrieved", rounds=1)
    (record,) = improvement.rounds
    assert (record["outcome"], record["study"]) == ("not better on dev", "")
    with Project.open(directory) as project:
        assert len(archive.names(project.records)) == 1
        assert project.config.retrieval.k == 3


def better_on_dev(*_: object) -> dict[str, object]:
    return {"difference": {"mean": 1.0, "low": 0.5, "high": 1.0, "n": 9, "failed": 0}}


def test_a_step_that_loses_is_undone_wholly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Improver, "_on_dev", better_on_dev)
    settings = SETTINGS.replace('arms = ["rag"]', 'arms = ["base"]')
    settings += '[generation.generator.options]\nmode = "fixed"\nfixed = "blue"\n'
    directory = project_of(tmp_path, settings)
    before = (directory / "twofold.toml").read_bytes()
    improvement = run(directory, "not-known", rounds=1)
    (record,) = improvement.rounds
    assert (record["outcome"], record["step"]["name"]) == ("undone", "answer with passages")
    capsys.readouterr()
    for study, note in (("", "note: study 0001-project decides what answers, after a rollback"), ("1", "")):
        assert main(["show", *([study] if study else []), "-C", str(directory)]) == 0
        shown = capsys.readouterr().err
        assert note in shown
        assert bool(shown) == bool(note)
    assert (directory / "twofold.toml").read_bytes() == before
    with Project.open(directory) as project:
        assert archive.names(project.records) == [record["before"], record["study"]]
        assert decisive.decisive(project.records) == record["before"]


def test_another_arm_that_is_not_better_on_dev_spends_no_look(tmp_path: Path) -> None:
    settings = SETTINGS.replace('arms = ["rag"]', 'arms = ["base"]')
    settings += '[generation.generator.options]\nmode = "fixed"\nfixed = "blue"\n'
    directory = project_of(tmp_path, settings)
    (record,) = run(directory, "not-known", rounds=1).rounds
    assert (record["outcome"], record["step"]["name"]) == ("not better on dev", "answer with passages")
    assert (record["study"], record["dev"]["n"]) == ("", 37)  # type: ignore[index]
    with Project.open(directory) as project:
        assert archive.names(project.records) == [record["before"]]


def test_a_run_that_was_killed_in_a_round_finishes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = project_of(tmp_path)

    with killed_at(monkeypatch, settings, "write"):
        run(directory, "cut")
    with Project.open(directory) as project:
        assert histories.interrupted(histories.read(project.records)) is not None
    improvement = run(directory, "cut")
    assert [record["outcome"] for record in improvement.rounds] == ["kept"]
    with Project.open(directory) as project:
        # Its minutes before the kill are nowhere.
        assert "at least 0.0" in page.render(histories.read(project.records), name="doors")
        assert project.config.generation.max_tokens == 16
        # The killed run's study is found again: no second one, no second look.
        assert len(archive.names(project.records)) == 2
        assert [record["number"] for record in histories.read(project.records)["rounds"]] == [1]


def test_a_run_that_was_killed_after_its_step_was_written_keeps_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path)

    with killed_at(monkeypatch, Improver, "_settled"):
        run(directory, "cut")
    with Project.open(directory) as project:
        assert project.config.generation.max_tokens == 16
    improvement = run(directory, "cut")
    assert [record["outcome"] for record in improvement.rounds] == ["kept"]


def test_a_step_that_the_file_cannot_take_is_undone_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path, SETTINGS + "[retrieval]\nk = 3\n")
    write = settings.write

    def edited(where: Path, values: Json) -> None:
        file = where / "twofold.toml"
        file.write_text(file.read_text(encoding="utf-8").replace("k = 3", "k = 0"), encoding="utf-8")
        write(where, values)

    monkeypatch.setattr(settings, "write", edited)
    overrides = {"retrieval": {"k": 3}}
    with Project.open(directory, overrides) as project:
        project.study()
        first = decisive.decisive(project.records)
    improver = Improver(
        directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes", overrides=overrides
    )  # fmt: skip
    (record,) = improver.run().rounds
    assert record["outcome"] == "undone"
    assert "cannot be written into twofold.toml" in record["because"]
    assert "retrieval.k" in record["because"]
    with Project.open(directory, overrides) as project:
        assert decisive.decisive(project.records) == first
        assert histories.interrupted(histories.read(project.records)) is None
    assert (directory / "twofold.toml").read_text(encoding="utf-8").count("max_tokens = 8") == 1


def test_no_step_is_tried_that_only_overrides_make_valid(tmp_path: Path) -> None:
    directory = project_of(tmp_path, SETTINGS + "[retrieval]\nk = 0\n")
    overrides = {"retrieval": {"k": 3}}
    with Project.open(directory, overrides) as project:
        project.study()
    improvement = Improver(
        directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes", overrides=overrides
    ).run()  # fmt: skip
    assert improvement.rounds == ()
    assert any("impossible as the project is" in step.why for step in improvement.open_steps)


def test_an_interrupted_round_is_not_finished_without_agreement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = project_of(tmp_path)

    with killed_at(monkeypatch, Improver, "_finish"):
        run(directory, "cut")
    improvement = Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "stop").run()
    assert (improvement.rounds, [step.name for step in improvement.open_steps]) == ((), ["allow 16 tokens"])
    declined = Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "no").run().stopped
    assert declined == "round 1 was interrupted, and comes before any other: it was not agreed to"
    assert main(["improve", "-C", str(directory), "--plan", "--json", "-q"]) == 0
    plan = json.loads(capsys.readouterr().out)
    reason = "round 1 was interrupted, and comes before any other: only planned: no step was taken"
    assert plan["stopped"] == reason, "nobody stopped it"
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


LONG = [
    {"id": thing, "text": "\n".join(f"the {thing} in the {place} has the label {thing}{place}" for place in PLACES)}
    for thing in THINGS
]
PLACED = [
    {
        "id": f"{thing}-{place}",
        "question": f"Which label has the {thing} in the {place}?",
        "answers": [f"{thing}{place}"],
        "doc_ids": [thing],
    }
    for _, thing, place in ROWS
]
CUT = """
[documents.chunker]
name = "headings"
options = {max_tokens = 80, min_tokens = 0, overlap = 0}
[retrieval]
k = 1
"""


def test_other_passages_are_tried_beside_the_index_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.replace("max_tokens = 8", "max_tokens = 30") + CUT
    directory = write_project(tmp_path / "project", LONG, (), copies=1, settings=settings)
    (directory / "data" / "examples.jsonl").write_text("\n".join(map(json.dumps, PLACED)), encoding="utf-8")
    with Project.open(directory) as project:
        project.study()
        before = project.workspace.search.index.contents()
    seen: list[dict[str, str]] = []

    def look(stage: str, _done: int, _total: int) -> None:
        if stage == "answer with the step" or stage.startswith("answer rag"):
            with Project.open(directory) as project:
                seen.append(project.workspace.search.index.contents())

    improver = Improver(directory=directory, diagnose=blaming("split"), agree=lambda _: "yes", progress=look)
    with killed_at(monkeypatch, Project, "study"):
        improver.run()
    assert (directory / TRIAL).is_dir(), "a killed trial goes on where it was"
    assert main(["gc", "-C", str(directory)]) == 0
    assert (directory / TRIAL).is_dir(), "an interrupted round needs it"
    improvement = improver.run()
    (record,) = improvement.rounds
    assert (record["outcome"], record["step"]["name"]) == ("kept", "cut passages of 40 tokens")
    assert seen, "it was looked at while the step was tried"
    assert all(content == before for content in seen)
    assert not (directory / TRIAL).exists()
    # As a run leaves it that is killed once its round has ended.
    (directory / TRIAL).mkdir()
    (directory / TRIAL / "half-made").write_text("x", encoding="utf-8")
    assert main(["gc", "-C", str(directory), "--dry-run"]) == 0
    assert (directory / TRIAL).is_dir()
    assert main(["gc", "-C", str(directory)]) == 0
    assert not (directory / TRIAL).exists()
    with Project.open(directory) as project:
        index = project.workspace.search.index
        assert index.contents() != before
        assert record["study"] in [tag for entry in index.log() for tag in entry.tags]
        key = archive.read_record(project.records / record["study"])["arms"]["rag"]["key"]
        assert project.workspace.arms.known_key(project.config.arm("rag"), project.splits) == key
        assert len(project.catalogue.answers.get(key)) >= len(project.splits.test)


def test_a_step_that_is_impossible_here_is_left_to_a_person(tmp_path: Path) -> None:
    directory = project_of(tmp_path, SETTINGS.replace('arms = ["rag"]', 'arms = ["base"]'))
    file = directory / "twofold.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('["data/documents.jsonl"]', "[]"), encoding="utf-8")
    improvement = run(directory, "not-known")
    assert improvement.rounds == ()
    assert [step.for_a_person for step in improvement.open_steps] == [True]
    assert "no documents" in improvement.open_steps[0].why


def test_the_budget_forbids_steps_that_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "priced", lambda step, **_: replace(step, minutes=90.0))
    improvement = run(project_of(tmp_path), "cut", minutes=60)
    assert improvement.rounds == ()
    assert "the budget is spent" in improvement.stopped
    assert [step.name for step in improvement.open_steps] == ["allow 16 tokens"]


def test_a_budget_that_ends_within_the_diagnosis_ends_the_run(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    improvement = run(directory, "cut", minutes=1e-9)
    assert (improvement.rounds, improvement.open_steps) == ((), ())
    assert improvement.stopped.startswith("the budget was spent while answers were diagnosed")
    assert [record["outcome"] for record in run(directory, "cut").rounds] == ["kept"]


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


def test_a_program_reads_the_plan_and_is_refused_without_agreement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = project_of(tmp_path)
    words = ["improve", "-C", str(directory), "--json", "-q"]
    assert main(words) == 2
    assert "nobody can agree" in json.loads(capsys.readouterr().out)["error"]["message"]
    with Project.open(directory) as project:
        project.study()
    assert main([*words, "--plan"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert set(plan) == {"kept", "stopped", "rounds", "history", "open", "page"}
    assert (plan["kept"], plan["stopped"]) == (0, "only planned: no step was taken")
    assert [(step["name"], step["person"]) for step in plan["open"]] == [("allow 16 tokens", False)]
    assert main([*words, "--plan", "--limit", "5"]) == 0
    assert "of 5 by causes" in json.loads(capsys.readouterr().out)["open"][0]["why"]


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
        assert {read.id for read in changed.splits.train} == {"made", *(read.id for read in project.splits.train)}
        assert changed.splits.test.digests == project.splits.test.digests
        assert changed.splits.dev.digests == project.splits.dev.digests
        gaps.require_same_questions(project, changed)
        with pytest.raises(StudyError, match="the test split has other questions"):
            gaps.require_same_questions(
                project,
                SimpleNamespace(splits=replace(changed.splits, test=changed.splits.train)),  # type: ignore[arg-type]
            )


def test_gap_questions_are_made_on_no_copy_of_a_held_out_document(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        tested = project.splits.test[0]
        text = next(document["text"] for document in DOCUMENTS if document["id"] == tested.sources[0])
    with (directory / "data" / "documents.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps({"id": "copy", "text": text}))
    with Project.open(directory) as project:
        project.sync()
        failed = replace(project.splits.train[0], sources=("copy",), messages=tested.messages)
        documents = gaps.documents(project, [failed])
    assert documents
    assert documents.isdisjoint({"copy", *tested.sources})


def test_a_step_that_an_earlier_study_measured_is_judged_by_it_and_answers_from_it(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    laid_over = {"generation": {"max_tokens": 8}, "study": {"resamples": 300}}
    for tokens in (16, 8):
        with Project.open(directory, {**laid_over, "generation": {"max_tokens": tokens}}) as project:
            project.study()
    improvement = Improver(
        directory=directory, overrides=laid_over, diagnose=blaming("cut"), agree=lambda _: "yes"
    ).run()
    (record,) = improvement.rounds
    earlier, later = "0001-project", "0002-project"
    assert (record["outcome"], record["study"], record["before"]) == ("kept", earlier, later)
    assert record["because"].startswith(f"measured before by study {earlier}, no look was spent: ")
    # In force over the values that the run was given, which would hide it: else the next round would be refused.
    assert improvement.stopped == "no wrong answer has a cause to mend"
    assert record["because"].endswith("proven with settings laid over twofold.toml, which the file does not have")
    with Project.open(directory) as project:
        assert archive.names(project.records) == [earlier, later]
        assert decisive.decisive(project.records) == earlier
        # The later look of the two is the stricter one.
        assert record["level"] == archive.read_record(project.records / later)["level"]


def test_what_a_run_spends_is_counted_from_its_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "prices", lambda _: (1.0, 10.0))
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        assert spending.metered(project) == 0.0
        record = project.study()
        answers = project.catalogue.answers.get(record["arms"]["rag"]["key"])
        read = sum(answer.usage.prompt_tokens for answer in answers.values())
        written = sum(answer.usage.completion_tokens for answer in answers.values())
        assert spending.metered(project) == pytest.approx((read + 10 * written) / 1e6)
        assert written > 0
    # Its step has no forecast of money, and diagnosing costs: that alone is more than what is allowed.
    improvement = Improver(
        directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes", limits=StopRules(cost=1e-9)
    ).run()
    assert improvement.rounds == ()
    assert "the budget is spent" in improvement.stopped


WHOLE = '{"format": 1, "start": null, "metric": "", "rounds": %s}'


@pytest.mark.parametrize(
    "text",
    [
        *(
            "{",
            "[]",
            '{"rounds": []}',
            '{"format": "one", "rounds": []}',
            '{"format": 1}',
            '{"format": 1, "rounds": []}',
        ),
        *(WHOLE % "{}", WHOLE % '[{"number": 1, "outcome": "begun", "step": {"name": "allow 16 tokens"}}]'),
    ],
)
def test_a_damaged_history_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / histories.FILE).write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match="the history of improvement cannot be read"):
        histories.read(tmp_path)


def test_a_history_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / histories.FILE).write_text('{"format": 99}', encoding="utf-8")
    with pytest.raises(StudyError, match="a newer Twofold"):
        histories.read(tmp_path)


def test_questions_made_on_a_forgotten_document_are_forgotten_with_it(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        project.sync()
        example = replace(project.splits.train[0], split="train", origin="synthetic", maker="templates")
        forgotten = example.sources[0]
        other = next(e for e in project.splits.train if forgotten not in e.sources)
        altered = replace(example, id="c", sources=(), spans=(), references=(), answerable=False, parent="a")
        path = gaps.path(directory, 1)
        path.parent.mkdir()
        # Documents that were copied from the web hold line breaks that are no line's end in JSON.
        broken = replace(other, id="b", references=("one\u2028two\x85three",))
        making.save([as_record(e) for e in (replace(example, id="a"), broken, altered)], path)
        (directory / TRIAL).mkdir()
        with project.writing():
            receipt = project.versions.forget(forgotten)
            assert not (directory / TRIAL).exists()
            assert receipt["questions"] == {path.name: 2}
            assert project.versions.forget(forgotten)["questions"] == {}
            assert [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]] == [
                as_record(broken)
            ]
            path.write_text("[]\n", encoding="utf-8")
            with pytest.raises(StoreError, match="made questions cannot be read") as caught:
                project.versions.forget(forgotten)
    assert "then run `twofold sync`" in caught.value.cure


def test_the_sync_of_a_trial_does_not_finish_a_removal_that_was_interrupted(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        project.sync()
        document = project.splits.train[0].sources[0]
        chunks = [chunk.id for chunk in project.workspace.search.index.chunks_of([document])]
        forgotten = Forgotten(directory / RECEIPTS)
        forgotten.begin(document, "2031-01-01T00:00:00+00:00", chunks)
        with trials.place(project, number=1) as folder, Project.open(directory, derived=folder) as trial:
            trial.sync()
            assert not trial.workspace.search.index.chunks_of([document])
        assert not forgotten.entries()[document]["finished"]
        project.sync()
        assert not project.workspace.search.index.chunks_of([document])
        assert forgotten.entries()[document]["finished"]


def test_without_a_study_there_is_nothing_to_improve(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no study yet"):
        Improver(directory=project_of(tmp_path), diagnose=blaming("cut"), agree=lambda _: "yes").run()


def test_documents_that_changed_since_the_study_are_no_gain_of_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        project.study()
    improver = Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes")
    # In the midst of a round, and before one.
    with killed_at(monkeypatch, Project, "study"):
        improver.run()
    short = [{**document, "text": document["text"].replace("The ", "")} for document in DOCUMENTS]
    write_documents(directory, short)
    for _ in range(2):
        with pytest.raises(StudyError, match="documents or examples have changed since study 0001-project"):
            improver.run()
        with Project.open(directory) as project:
            outcomes = [record["outcome"] for record in histories.read(project.records)["rounds"]]
            assert outcomes == ["abandoned"]
            assert archive.names(project.records) == ["0001-project"]


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


def test_two_runs_at_once_do_not_take_each_other_for_interrupted(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        project.study()
        with ProjectLock(project.derived / LOCK), pytest.raises(ProjectLocked, match="is writing to this project"):
            Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes").run()


def test_a_fault_of_the_moment_leaves_the_round_to_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path)

    def locked(*_: object, **__: object) -> None:
        raise ProjectLocked("another command is writing to this project")

    with monkeypatch.context() as patched:
        patched.setattr("twofold.improvement.loop._proof", locked)
        with pytest.raises(ProjectLocked):
            run(directory, "cut")
    assert [record["outcome"] for record in run(directory, "cut").rounds] == ["kept"]


def test_a_step_that_cannot_be_tried_on_dev_is_undone_and_stops_no_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path)

    def fails(*_: object, **__: object) -> None:
        raise GenerationError("the model cannot be loaded", cure="Pull it.")

    with monkeypatch.context() as patched:
        patched.setattr(Improver, "_on_dev", fails)
        (record,) = run(directory, "cut", rounds=1).rounds
    assert record["outcome"] == "undone"
    assert "the model cannot be loaded" in record["because"]
    assert run(directory, "cut").stopped == "no step is left that a program can take"


def learn_and_die(project: Project) -> None:
    with trials.place(project, number=1) as apart:
        with Catalogue(apart / CATALOGUE) as copy:
            copy.systems.put("learned in the trial", {})
        raise KeyboardInterrupt


def test_what_a_person_changed_meanwhile_is_not_proven_with_an_interrupted_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path)

    with killed_at(monkeypatch, Improver, "_finish"):
        run(directory, "not-retrieved")
    # As a killed step that cuts passages leaves it.
    with Project.open(directory) as project, pytest.raises(KeyboardInterrupt):
        learn_and_die(project)
    file = directory / "twofold.toml"
    changed = file.read_text(encoding="utf-8").replace("max_tokens = 8", "max_tokens = 9")
    file.write_text(changed, encoding="utf-8")
    with pytest.raises(StudyError, match="have changed since study 0001-project"):
        Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes").run()
    with Project.open(directory) as project:
        (record,) = histories.read(project.records)["rounds"]
        assert len(archive.names(project.records)) == 1
        assert "learned in the trial" in project.catalogue.systems.descriptions()
    assert not (directory / TRIAL).exists(), "its place holds texts of documents"
    assert record["outcome"] == "abandoned"
    assert "have changed since study 0001-project" in record["because"]
    assert file.read_text(encoding="utf-8") == changed
    # Nobody knows what it would gain: it is proposed again.
    with Project.open(directory) as project:
        project.study()
    again = Improver(directory=directory, diagnose=blaming("not-retrieved"), agree=lambda _: "stop").run()
    assert record["step"]["name"] in {step.name for step in again.open_steps}


def test_the_study_of_a_killed_round_decides_nothing_once_the_round_is_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path)

    # After its study is there, and before anything says whose it is.
    with killed_at(monkeypatch, loop, "_proof"):
        run(directory, "cut")
    with Project.open(directory) as project:
        first, proving = archive.names(project.records)
        assert decisive.decisive(project.records) == proving
    file = directory / "twofold.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("max_tokens = 8", "max_tokens = 9"), encoding="utf-8")
    with pytest.raises(StudyError, match="have changed since study 0001-project"):
        Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes").run()
    with Project.open(directory) as project:
        (record,) = histories.read(project.records)["rounds"]
        assert (record["outcome"], record["study"]) == ("abandoned", proving)
        assert decisive.decisive(project.records) == first, "nobody has compared it with what it had to beat"


def test_a_study_that_a_person_ran_is_not_taken_for_that_of_a_killed_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = project_of(tmp_path)

    with killed_at(monkeypatch, Improver, "_finish"):
        run(directory, "cut")
    file = directory / "twofold.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("max_tokens = 8", "max_tokens = 9"), encoding="utf-8")
    with Project.open(directory) as project:
        mine = project.study()["study"]
    Improver(directory=directory, diagnose=blaming("cut"), agree=lambda _: "yes", limits=StopRules(rounds=1)).run()
    with Project.open(directory) as project:
        (record,) = histories.read(project.records)["rounds"]
        assert (record["outcome"], record["study"]) == ("abandoned", "")
        assert decisive.decisive(project.records) == mine


def test_a_place_that_was_half_removed_stops_no_later_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory) as project:
        with pytest.raises(KeyboardInterrupt):
            learn_and_die(project)

        def killed(folder: Path) -> None:
            (folder / CATALOGUE).unlink()
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(trials.shutil, "rmtree", killed)
            with pytest.raises(KeyboardInterrupt):
                trials.leave(project, number=1)
        trials.leave(project, number=1)
        assert "learned in the trial" in project.catalogue.systems.descriptions()
        with trials.place(project, number=1) as apart:
            assert (apart / CATALOGUE).is_file()


def test_an_interrupted_round_counts_against_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = project_of(tmp_path)

    with killed_at(monkeypatch, Improver, "_finish"):
        run(directory, "cut")
    improvement = run(directory, "cut", minutes=1e-9)
    assert improvement.rounds == ()
    assert "round 1 was interrupted" in improvement.stopped
    assert "the budget is spent" in improvement.stopped


def test_a_kept_step_that_was_measured_before_decides_again(tmp_path: Path) -> None:
    directory = project_of(tmp_path)
    with Project.open(directory, {"generation": {"max_tokens": 16}}) as project:
        earlier = project.study()["study"]
    improvement = run(directory, "cut")
    (record,) = improvement.rounds
    assert (record["outcome"], record["study"], record["before"]) == ("kept", earlier, "0002-project")
    with Project.open(directory) as project:
        assert decisive.decisive(project.records) == earlier


def test_a_study_without_a_proof_is_undone_with_its_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = project_of(tmp_path)

    def fails(*_: object, **__: object) -> None:
        raise StudyError("no question in common")

    monkeypatch.setattr("twofold.improvement.loop._proof", fails)
    (record,) = run(directory, "cut", rounds=1).rounds
    assert record["outcome"] == "undone"
    with Project.open(directory) as project:
        assert len(archive.names(project.records)) == 2
        assert decisive.decisive(project.records) == record["before"]
