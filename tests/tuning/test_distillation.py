"""Training rows that a model wrote: the retrieval arm's answers, and general prompts to rehearse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stand_in_trainer
from twofold import prompts
from twofold.errors import ConfigError, GenerationError, TooFewExamples
from twofold.forgetting import suite
from twofold.hashing import plain
from twofold.lifecycle.record import TunedArm
from twofold.plugins import loading
from twofold.plugins.jobs import TrainerJob
from twofold.project import Project


@pytest.fixture
def folder(tmp_path: Path, demo_questions: Callable[[int], Path]) -> Path:
    """A project with documents and questions."""
    Project.create(tmp_path / "project", demo_questions(60), forgetting=False).close()
    return tmp_path / "project"


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder in which the stand-in trainers leave the jobs they get."""

    class Told(stand_in_trainer.StandIn):
        class Options(stand_in_trainer.StandIn.Options):
            replay: float = 0.0

        def train(self, job: TrainerJob, directory: Path, *, progress: Any = None) -> dict[str, Any]:
            place = tmp_path / "jobs"
            place.mkdir(exist_ok=True)
            (place / f"{len(list(place.iterdir()))}.json").write_text(json.dumps(plain(job.model_dump())))
            return super().train(job, directory, progress=progress)

    monkeypatch.setenv("TRAINED", str(tmp_path / "trained.log"))
    with loading.registered("trainers", "one", Told):
        yield tmp_path / "jobs"


def settings(echo: dict[str, Any] | None = None, **tuning: Any) -> dict[str, Any]:
    return {
        "tuning": {"trainer": {"name": "one", "options": {}}, "gate": "off", **tuning},
        "generation": {"generator": {"name": "echo", "options": {"mode": "quote", **(echo or {})}}},
        "retrieval": {"embedder": {"name": "hashing", "options": {}}},
    }


def tuned(folder: Path, *, arm: str = "ft", **given: Any) -> tuple[TunedArm, dict[str, Any]]:
    with Project.open(folder, settings(**given)) as project:
        project.sync()
        done = project.tune(arm=arm)
        return done, project.workspace.artifacts.manifest(done.key)


def job_of(jobs: Path, number: int) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((jobs / f"{number}.json").read_text())
    return read


def test_the_retrieval_arms_answers_are_learned_and_dev_keeps_its_own(folder: Path, jobs: Path) -> None:
    with Project.open(folder, settings()) as project:
        project.sync()
        seen = project.workspace.search.learning(project.splits).filter
        made = project.workspace.models.generator()
        system = project.workspace.systems.assembled(project.config.arm("rag"), generator=made, shots=(), filter=seen)
        train, hidden = project.splits.train, project.splits.hidden
        told = {e.id: a for e, a in zip(train, system.answer(train), strict=True)}
    _, own = tuned(folder)
    done, manifest = tuned(folder, answers="retrieval")
    plain_rows, rows = job_of(jobs, 0)["rows"][0], job_of(jobs, 1)["rows"][0]
    said = {name: answer.text for name, answer in told.items() if not (answer.abstained or answer.cut)}
    assert 0 < len(said) <= len(train)
    assert {row["example"]: row["completion"] for row in rows} == said
    assert [r["completion"] for r in plain_rows] != [r["completion"] for r in rows]
    assert job_of(jobs, 0)["dev"] == job_of(jobs, 1)["dev"]
    counts = manifest["data"]["answers"]
    abstained, cut = sum(a.abstained for a in told.values()), sum(a.cut for a in told.values())
    assert counts == {"asked": len(train), "kept": len(said), "failed": 0, "cut": cut, "abstained": abstained}
    assert set(own["documents"]) <= set(manifest["documents"]), "what was retrieved for an answer was learned from"
    assert hidden
    assert not hidden & set(manifest["documents"]), "the teacher was not shown what only the test is about"
    assert own["key"] != manifest["key"]
    assert tuned(folder, answers="retrieval")[0].cached
    assert done.report["rows"] == len(said)


def test_a_plan_asks_no_teacher_and_a_studied_arm_is_not_taken_for_measured(folder: Path, jobs: Path) -> None:
    with Project.open(folder, settings(answers="retrieval")) as project:
        project.sync()
        bill = {step["step"]: step for step in project.plan().steps}
        assert bill["tune ft"]["cached"] == 0
        assert not project.catalogue.systems.descriptions()
        project.tune(arm="ft")
        assert [told["arm"] for told in project.catalogue.systems.descriptions().values()].count("teacher") == 1
        assert not project.ask("What is wheat?", arm="rag")[1]["measured"]


def test_what_failed_or_was_cut_is_not_learned_and_nothing_left_is_an_error(folder: Path, jobs: Path) -> None:
    _, manifest = tuned(folder, echo={"fail_every": 3}, answers="retrieval")
    counts = manifest["data"]["answers"]
    assert counts["failed"] > 0
    assert sum(value for name, value in counts.items() if name != "asked") == counts["asked"]
    assert len(job_of(jobs, 0)["rows"][0]) == counts["kept"]
    with pytest.raises(TooFewExamples, match="abstained"):
        tuned(folder, echo={"mode": "abstain"}, answers="retrieval")
    with Project.open(folder, {**settings(answers="retrieval"), "generation": {
        "generator": {"name": "echo", "options": {"mode": "quote"}}, "max_tokens": 2}}) as project:  # fmt: skip
        project.sync()
        with pytest.raises(TooFewExamples, match=r"'cut': [1-9]"):
            project.tune(arm="ft")


def test_general_prompts_are_replayed_with_the_base_models_answers(folder: Path, jobs: Path) -> None:
    options = {"name": "one", "options": {"replay": 0.5}}
    done, manifest = tuned(folder, echo={"mode": "echo"}, trainer=options)
    rows = job_of(jobs, 0)["replay"]
    assert [row["completion"] for row in rows] == list(suite.replay_prompts()), "the stand-in says what it is asked"
    assert all([m["role"] for m in row["messages"]] == ["user"] for row in rows)
    assert manifest["data"]["replay"] == len(rows)
    assert tuned(folder, echo={"mode": "echo"}, trainer=options)[0].key == done.key
    assert tuned(folder, echo={"mode": "echo"})[0].key != done.key
    with pytest.raises(GenerationError, match="replay"):
        tuned(folder, echo={"fail_every": 1}, trainer=options)


def test_answers_of_the_gate_and_to_replay_are_asked_again_when_answers_are_read_otherwise(
    folder: Path, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(what: str) -> set[str]:
        with Project.open(folder) as project:
            return {key for key, row in project.catalogue.systems.descriptions().items() if row["arm"] == what}

    given: dict[str, Any] = {"gate": "report", "trainer": {"name": "one", "options": {"replay": 0.5}}}
    tuned(folder, echo={"mode": "echo"}, **given)
    before = {what: keys(what) for what in ("general", "replay")}
    monkeypatch.setattr(prompts, "RENDERER_VERSION", prompts.RENDERER_VERSION + 1)
    tuned(folder, echo={"mode": "echo"}, **given)
    for what, known in before.items():
        assert len(keys(what)) == 2 * len(known) > 0, what


def test_no_prompt_to_replay_is_asked_by_the_gate() -> None:
    def words(text: str) -> set[str]:
        return set(re.findall(r"\w+", text.casefold()))

    prompts = suite.replay_prompts()
    assert len(set(prompts)) == len(prompts) >= 100
    for item in suite.suite():
        for wording in item.asks:
            asked = words(wording)
            for prompt in prompts:
                both = words(prompt)
                assert len(asked & both) < 0.6 * len(asked | both), (prompt, wording)


def test_the_model_that_a_study_measured_answers_whatever_changed_since(
    folder: Path, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {"study": {"arms": ["base", "ft+rag"], "diagnostics": [], "latency_sample": 0, "resamples": 300}}
    with Project.open(folder, {**settings(), **arms}) as project:
        measured = project.study()["arms"]["ft+rag"]["training"]
        file = next(folder.rglob("documents*.jsonl"))
        one, *others = file.read_text(encoding="utf-8").splitlines()
        one = json.dumps({**json.loads(one), "text": "Wheat and mulch, and what else is asked about."})
        file.write_text("\n".join([one, *others]) + "\n", encoding="utf-8")
        project.sync()
        searched: list[int] = []
        real = type(project.workspace.search.retriever).retrieve

        def retrieve(self: Any, queries: Any, k: int) -> Any:
            searched.append(len(queries))
            return real(self, queries, k)

        monkeypatch.setattr(type(project.workspace.search.retriever), "retrieve", retrieve)
        answer, told = project.ask("What is wheat?", arm="ft+rag")
    assert told["model"] == measured["model"]
    assert told["why"].endswith("documents changed since study 1")
    assert answer.hits
    assert searched == [1], "no other question is searched for"
    assert len(list(jobs.iterdir())) == 1, "nothing is trained to answer"


def test_tuned_models_are_chosen_per_request_in_one_process(folder: Path, jobs: Path) -> None:
    first, _ = tuned(folder)
    second, _ = tuned(folder, trainer={"name": "one", "options": {"mark": "b"}})
    third, _ = tuned(folder, arm="ft+rag", trainer={"name": "one", "options": {"mark": "c"}})
    with Project.open(folder, settings(trainer={"name": "one", "options": {"mark": "z"}})) as project:
        made = [project.ask("What is wheat?", model=done.id)[1] for done in (first, second, first, third)]
        assert made[0] == made[2]
        assert len({one["key"] for one in made}) == 3
        assert [one["arm"] for one in made] == ["ft", "ft", "ft", "ft+rag"]
        with pytest.raises(ConfigError, match="an arm and a tuned model"):
            project.ask("What is wheat?", arm="ft", model=first.id)
        newest = project.ask("What is wheat?", arm="ft")[1]
        assert newest["model"] == second.id, "of the models tuned for the arm the newest"
        assert len(list(jobs.iterdir())) == 3, "nothing is trained to answer"
