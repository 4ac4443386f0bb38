"""Rounds that make training questions for the gaps, on a project whose examples alone are too few to learn from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from test_improvement_loop import blaming, killed_at

import stand_in_trainer
from small_project import write_project
from twofold.curation import questions as making
from twofold.errors import TooFewExamples, TrainingError
from twofold.improvement import gaps, histories, settings
from twofold.improvement.loop import Improver, StopRules
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.protocols import quiet
from twofold.project import Project
from twofold.reports import archive

THINGS = ["lamp", "clock", "chest", "mirror", "kettle", "ladder", "carpet", "piano", "basket", "easel", "vase", "drum"]
PLACES = ["attic", "cellar", "garden", "kitchen", "library", "stable"]
NAMES = [f"{thing} of the {place}" for thing in THINGS for place in PLACES]
# The stand-in for a tuned model says the first eight words of what the untuned one says: these are the answer.
DOCUMENTS = [
    {
        "id": name.replace(" ", "-"),
        "text": f"In {1800 + n} the old {name} was bought by the museum, which keeps it beside the stairs. "
        f"Visitors praise the carving of its frame, and schools come in March to draw it for their yearly show.",
    }
    for n, name in enumerate(NAMES)
]
QUESTIONS = [
    (name.replace(" ", "-"), f"Since which year does the museum have the old {name}?", f"In {1800 + n} the old {name}")
    for n, name in enumerate(NAMES[:60])
]
SETTINGS = """
[study]
arms = ["rag"]
diagnostics = []
metric = "token_f1"
metrics = []
latency_sample = 0
resamples = 400
[tuning]
gate = "off"
[tuning.trainer]
name = "reader"
"""


class Reader(stand_in_trainer.StandIn):
    """Learns nothing from the few examples of the project alone."""

    enough: ClassVar[int] = 120
    """Rows; an example makes about three."""

    def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
        if len(job.rows[0]) < self.enough:
            raise TrainingError("too few rows", cure="Add examples.")
        report = super().train(job, directory, progress=progress)
        stand_in_trainer.write_adapter(directory, float(len(job.rows[0])))
        return report


@pytest.fixture(autouse=True)
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained"))
    with loading.registered("trainers", "reader", Reader):
        yield


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = write_project(tmp_path / "project", DOCUMENTS, QUESTIONS, copies=1, settings=SETTINGS)
    file = place / "twofold.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('"question"', '"document"'), encoding="utf-8")
    with Project.open(place) as project:
        project.study()
    return place


def improver(directory: Path, **limits: int) -> Improver:
    return Improver(
        directory=directory, diagnose=blaming("unmended"), agree=lambda _: "yes", limits=StopRules(**limits)
    )


def test_where_the_examples_are_too_few_questions_made_for_the_gaps_are_learned_from(
    directory: Path, tmp_path: Path
) -> None:
    improvement = improver(directory, rounds=2).run()
    alone, with_questions = improvement.rounds
    assert (alone["step"]["name"], alone["outcome"]) == ("tune (ft+rag)", "undone")
    assert "too few rows" in alone["because"]
    assert alone["study"] == ""
    assert with_questions["step"]["name"] == "tune on questions made for the gaps (ft+rag)"
    assert with_questions["outcome"] == "kept", with_questions["because"]
    assert with_questions["dev"]["mean"] > 0  # type: ignore[index]
    assert with_questions["difference"]["low"] > 0  # type: ignore[index]
    assert len((tmp_path / "trained").read_text(encoding="utf-8").split()) == 1, "the trial's adapter is the study's"
    with Project.open(directory) as project:
        assert project.config.study.arms == ("rag", "ft+rag")
        assert project.config.examples.paths[-1] == "improvement/gaps-0002.jsonl"
        made = [example for example in project.splits.train if example.maker == "templates"]
        held_out = project.splits.related((*project.splits.dev, *project.splits.test))
        assert 50 < len(made) <= gaps.count(alone["diagnosed"])
        assert {source for example in made for source in example.sources}.isdisjoint(held_out)
        assert archive.read_record(project.records / with_questions["study"])["verdict"]["arm"] == "ft+rag"


def test_questions_of_several_draws_keep_their_parents_and_the_share_without_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    towns = ["Marlow", "Tetbury", "Quainton", "Hexworth", "Ottery", "Padbury"]
    texts = [
        {
            "id": town,
            "text": f"In {1800 + n} the old mill of {town} was bought by the town council, which keeps it open. The "
            f"bridge at {town} was built in {1700 + 7 * n} by the engineer John {town}son for the coal trade. The "
            f"harvest festival of {town} takes place in the week after {10 + n} September every year.",
        }
        for n, town in enumerate(towns)
    ]
    settings = SETTINGS.replace("[tuning]", "[tuning]\nunanswerable = 0.3")
    place = write_project(tmp_path / "project", [*texts, *DOCUMENTS], QUESTIONS, copies=1, settings=settings)
    with Project.open(place) as project:
        project.sync()
        made = gaps.make(project, towns, number=80, progress=quiet)
        drawn = making.questions

        def unlucky(search: Any, models: Any, recipe: making.Recipe, **rest: Any) -> making.NewExamples:
            if recipe.seed == 1:
                raise TooFewExamples("no passage has a sentence that a template can ask about")
            return drawn(search, models, recipe, **rest)

        monkeypatch.setattr(making, "questions", unlucky)
        fewer = gaps.make(project, towns, number=80, progress=quiet)
    assert fewer, "a draw of nothing loses no other"
    assert {e.id for e in fewer if e.answerable} < {e.id for e in made}
    names = {example.id for example in made}
    assert len(names) == len(made) > 20, "more than one draw"
    assert all(not example.parent or example.parent in names for example in made)
    declined = sum(not example.answerable for example in made)
    assert 0 < declined <= math.ceil(0.3 / 0.7 * (len(made) - declined))


def test_a_killed_round_with_questions_is_finished_with_the_same_questions(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The study after the training; then the settings after the proof.
    for owner, name in ((Project, "study"), (settings, "write")):
        with killed_at(monkeypatch, owner, name):
            improver(directory, rounds=2).run()
    made = gaps.path(directory, 2).read_bytes()
    with Project.open(directory) as project:
        open_round = histories.interrupted(histories.read(project.records))
    assert open_round is not None
    assert open_round["step"].get("gaps")
    (record,) = improver(directory, rounds=1).run().rounds
    assert (record["number"], record["outcome"]) == (2, "kept")
    assert gaps.path(directory, 2).read_bytes() == made
    assert len((tmp_path / "trained").read_text(encoding="utf-8").split()) == 1
    with Project.open(directory) as project:
        assert project.config.study.arms == ("rag", "ft+rag")


def test_a_round_of_questions_that_an_earlier_version_began_is_finished(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_at(monkeypatch, Project, "study"):
        improver(directory, rounds=2).run()
    file = directory / "studies" / histories.FILE
    history = json.loads(file.read_text(encoding="utf-8"))
    del history["rounds"][-1]["step"]["gaps"]
    history["rounds"][-1]["step"] |= {"values": {}, "arm": "rag"}
    file.write_text(json.dumps(history), encoding="utf-8")
    (record,) = improver(directory, rounds=1).run().rounds
    assert record["outcome"] == "undone", "questions that no arm learns from change no answer"
    assert not gaps.path(directory, 2).exists()
