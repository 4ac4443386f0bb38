"""What is learned sees nothing of the documents that only test questions are about, on the bundled set."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stand_in_trainer
import twofold
from twofold.assembly.workspace import Workspace
from twofold.errors import AccessDenied, StudyError, TooFewExamples
from twofold.lifecycle.embedder import embedder_job
from twofold.project import Project
from twofold.prompts import Template
from twofold.settings.loading import laid_over
from twofold.study.admission import admitted
from twofold.tuning.training_data import preferred_rows
from twofold.types import Filter, Query

DEMO = Path(twofold.__file__).parent / "demo"
FAST: dict[str, Any] = {
    "study": {"arms": ["base", "rag", "ft+rag"], "resamples": 400, "latency_sample": 0, "diagnostics": []},
    "generation": {"generator": {"name": "echo", "options": {"mode": "quote"}}, "batch": 8},
    "retrieval": {
        "embedder": {"name": "hashing", "options": {}},
        "retriever": {"name": "hybrid", "options": {"lexical": 0.5}},  # set: choosing it takes longer than all else
    },
    "tuning": {"trainer": {"name": "one", "options": {}}, "gate": "off"},
}


@pytest.fixture(autouse=True)
def trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained.log"))
    with stand_in_trainer.known():
        yield


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a project of the whole bundled set, its index made."""
    directory = tmp_path_factory.mktemp("synced") / "project"
    Project.create(directory, DEMO, forgetting=False).close()
    with Project.open(directory, FAST) as project:
        project.sync()
    return directory


@pytest.fixture
def demo(synced: Path, tmp_path: Path) -> Project:
    """The whole bundled set, in a copy of the synced project."""
    shutil.copytree(synced, tmp_path / "project")
    return Project.open(tmp_path / "project", FAST)


def shown(row: Any, texts: dict[str, str]) -> dict[int, str]:
    """Number in a prompt → the document that passage is of."""
    passages = re.findall(
        r"^\[(\d+)\] (.*?)\n(?=\[\d+\] |</passages)", row.messages[-1].content, re.MULTILINE | re.DOTALL
    )
    return {
        int(n): next(d for d, text in texts.items() if " ".join(body.split())[:200] in text) for n, body in passages
    }


def test_no_training_prompt_shows_a_document_of_the_test_and_no_cloze_answer_is_from_one(demo: Project) -> None:
    with demo as project:
        project.sync()
        splits, workspace = project.splits, project.workspace
        tested = {d for e in splits.test for d in e.sources} - {
            d for e in (*splits.train, *splits.dev) for d in e.sources
        }
        assert splits.hidden == tested
        assert len(tested) > 50
        texts = {d.id: " ".join(d.text.split()) for d in project.documents}
        arm = project.config.arm("ft+rag")
        job = workspace.adapters.job(arm, splits)
        asked, seen, whole = {e.id for e in splits.train}, set(), 0
        every = [row for rows in job.rows for row in rows]
        for row in every:
            documents = shown(row, texts)
            seen |= set(documents.values())
            whole += len(documents) == project.config.retrieval.k
            if row.example not in asked:
                assert documents[int(re.match(r"\[(\d+)\]", row.completion).group(1))] not in tested  # type: ignore[union-attr]
        assert whole > 0.9 * len(every), "rows are as full as before"
        seen |= {hit.chunk.span.document for item in job.dev for hit in item.hits}
        assert not seen & tested
        assert set(workspace.search.learning(splits).documents(arm)) >= seen
        assert not set(workspace.search.learning(splits).documents(arm)) & tested
        embedder = embedder_job_of(project)
        used = {d for pair in embedder.pairs for d in (pair.document, *(name for name, _ in pair.negatives))}
        assert not (used | {name for name, _ in embedder.pool}) & tested
        live = workspace.search.retriever.retrieve([Query(text=e.question) for e in splits.test], 3)
        assert {h.chunk.span.document for one in live for h in one.hits} & tested, "answers still find them"


def embedder_job_of(project: Project) -> Any:
    """The embedder's job; the hashing embedder has no model, which only matters when it is trained."""
    from twofold.lifecycle import embedder as retrieval_tuning

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retrieval_tuning, "_model", lambda _: "none")
        return embedder_job(project.workspace.search, project.splits)


def test_the_policy_manifest_and_card_say_what_was_kept_out(demo: Project) -> None:
    with demo as project:
        done = project.tune(arm="ft+rag")
        manifest = project.workspace.artifacts.manifest(done.key)
        hidden = len(project.splits.hidden)
        assert f"Nothing was learned from the {hidden} documents that only test questions are about." in (
            project.splits.sentence
        )
        assert manifest["seen"] == {"everything": False, "kept_out": hidden, "unnamed": 0}
        assert f"that it has not seen: {hidden}." in project.models.card(done.id)
        assert not set(manifest["documents"]) & project.splits.hidden


def test_a_last_model_may_read_everything_under_a_key_that_no_study_takes(demo: Project) -> None:
    with demo as project:
        honest = project.tune(arm="ft+rag")
        closed = [project.tune(arm="ft", all_documents=every).key for every in (False, True)]
        same = project.tune(arm="ft+rag", all_documents=True).key
        assert len({honest.key, same, *closed}) == 4
    other = {"trainer": {"name": "one", "options": {"mark": "b"}}}  # other weights, as other rows would make
    with Project.open(demo.directory, {**FAST, "tuning": {**FAST["tuning"], **other}}) as project:
        last = project.tune(arm="ft+rag", all_documents=True)
        manifest = project.workspace.artifacts.manifest(last.key)
        assert manifest["seen"]["everything"]
        assert set(manifest["documents"]) & project.splits.hidden
        assert "no study may use it" in project.models.card(last.id)
        assert project.workspace.adapters.known(project.config.arm("ft+rag"), project.splits) is None
        combined = project.tune(arm="ft+rag", combine={honest.id: 0.5, last.id: 0.5})
    for name in (last.id, combined.id):
        used = {**FAST, "tuning": {**FAST["tuning"], "use": name}}
        refused = pytest.raises(StudyError, match="learned from all documents")
        with Project.open(demo.directory, used) as project, refused:
            admitted(project.workspace, project.splits, project.records)


def test_a_model_tuned_under_another_split_is_no_arm_of_a_study_whose_questions_it_learned(demo: Project) -> None:
    with demo as project:
        first = project.tune(arm="ft+rag")
        splits = project.splits
    other = {"trainer": {"name": "one", "options": {"mark": "b"}}}
    with Project.open(demo.directory, {**FAST, "tuning": {**FAST["tuning"], **other}}) as project:
        second = project.tune(arm="ft+rag")
        combined = project.tune(arm="ft+rag", combine={first.id: 0.5, second.id: 0.5})
    for name in (first.id, combined.id):
        used = {**FAST, "tuning": {**FAST["tuning"], "use": name}}
        with Project.open(demo.directory, used) as project:
            assert admitted(project.workspace, project.splits, project.records).test == splits.test
        again = {**used, "examples": {"seed": 11}}
        refused = pytest.raises(
            StudyError, match=r"learned from \d+ of the \d+ test questions and has read \d+ documents"
        )
        with Project.open(demo.directory, again) as project, refused as caught:
            admitted(project.workspace, project.splits, project.records)
        assert "[tuning].use" in caught.value.cure


def test_the_plan_of_a_last_model_is_for_the_model_that_reads_everything(demo: Project) -> None:
    def to_train(**given: bool) -> float:
        [step] = [step for step in project.tuning.plan(arm="ft+rag", **given).steps if step["step"] == "tune ft+rag"]
        return float(step["items"] - step["cached"])

    with demo as project:
        project.tune(arm="ft+rag")
        assert to_train() == 0
        assert to_train(all_documents=True) > 0


class Blind:
    """A retriever that does not look at what a search must leave out."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def retrieve(self, queries: Sequence[Query], k: int) -> Any:
        return self.inner.retrieve([replace(one, filter=Filter()) for one in queries], k)


def test_a_retriever_that_finds_what_must_be_left_out_stops_training(demo: Project) -> None:
    with demo as project:
        project.sync()
        learning = project.workspace.search.learning(project.splits)
        assert learning.retrieved(project.splits.train, 20)
        blind = replace(learning, retriever=lambda: Blind(learning.retriever()))
        with pytest.raises(AccessDenied, match="Blind returned a passage"):
            blind.retrieved(project.splits.train, 20)


def test_an_answer_given_with_a_document_of_the_test_is_no_preference_to_learn_from(
    demo: Project, tmp_path: Path
) -> None:
    with demo as project:
        splits = project.splits
        hidden, free = min(splits.hidden), next(d for e in splits.train for d in e.sources)
    given = [
        {"id": "seen", "sources": [free]},
        {"id": "named", "sources": [hidden]},
        {"id": "shown", "sources": [free], "hits": [{"document": hidden, "start": 0, "end": 9, "text": "a passage"}]},
        {"id": "bare"},
    ]
    file = tmp_path / "preferences.jsonl"
    answers = {"chosen": "forty days", "rejected": "a year"}
    file.write_text(
        "".join(json.dumps({"question": f"What of {row['id']}?", **answers, **row}) + "\n" for row in given)
    )

    def learned(without: frozenset[str]) -> list[str]:
        return [row.example for row in preferred_rows(file, splits, Template(), without=without)]

    assert learned(frozenset()) == ["seen", "named", "shown", "bare"]
    assert learned(splits.hidden) == ["seen", "bare"]


def test_calibration_of_abstention_sees_no_test_document(demo: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with demo as project:
        project.sync()
        changed = laid_over(project.config, {"retrieval": {"risk": 0.2}})
        workspace = Workspace.open(project.derived, changed, catalogue=project.catalogue)
        asked: list[Filter] = []
        real = workspace.search.retriever.retrieve

        def retrieve(queries: Any, k: int) -> Any:
            asked.extend(query.filter for query in queries)
            return real(queries, k)

        monkeypatch.setattr(workspace.search.retriever, "retrieve", retrieve)
        splits = project.splits
        assert workspace.systems.calibration(splits)[0] is None
        assert not asked, "without unanswerable questions nothing is searched for in vain"
        strange = tuple(
            replace(splits.dev[0], id=f"u{n}", references=(), sources=(), spans=(), answerable=False, group=f"u{n}")
            for n in range(16)
        )
        calibration, _ = workspace.systems.calibration(replace(splits, train=(*splits.train, *strange)))
        assert calibration is not None
        assert asked
        assert all(one.without == splits.hidden for one in asked)


def test_where_questions_name_no_document_the_sentence_says_what_is_not_promised(
    tmp_path: Path, demo_questions: Callable[[int], Path]
) -> None:
    source = demo_questions(60)
    rows = [json.loads(line) for line in (source / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows[::2]:
        del row["doc_ids"]
    (source / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    Project.create(tmp_path / "project", source, forgetting=False).close()
    with Project.open(tmp_path / "project", {**FAST, "examples": {"split_by": "question"}}) as project:
        splits = project.splits
        without = sum(not e.sources for e in splits.test)
        assert f"{without} of {len(splits.test)} test questions name no document: tuning may have read" in (
            splits.sentence
        )


def test_a_copy_of_a_test_document_under_another_id_is_kept_out_too(
    tmp_path: Path, demo_questions: Callable[[int], Path]
) -> None:
    source = demo_questions(60)
    lines = (source / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    copies = [{**json.loads(line), "id": f"copy of {json.loads(line)['id']}"} for line in lines]
    text = "\n".join([*lines, *map(json.dumps, copies)]) + "\n"
    (source / "documents.jsonl").write_text(text, encoding="utf-8")
    Project.create(tmp_path / "project", source, forgetting=False).close()
    with Project.open(tmp_path / "project", FAST) as project:
        before = project.splits.hidden
        project.sync()
        assert {name for name in before if name.startswith("copy of ")} == {
            f"copy of {name}" for name in before if not name.startswith("copy of ")
        }
    with Project.open(tmp_path / "project", FAST) as project:
        assert project.splits.hidden == before, "the same before and after a sync"
        found = project.workspace.search.learning(project.splits).documents(project.config.arm("ft+rag"))
        assert not set(found) & before


def test_an_arm_that_shows_examples_is_refused_where_all_were_dropped(tmp_path: Path) -> None:
    rows = [
        {"question": f"Say the pass word of the number {n} station in the long list of stations", "answers": ["maize"]}
        for n in range(60)
    ]
    source = tmp_path / "source"
    source.mkdir()
    (source / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    Project.create(tmp_path / "project", source, forgetting=False).close()
    shutil.rmtree(source)
    arms = {"study": {**FAST["study"], "arms": ["base", "prompt"]}}
    with Project.open(tmp_path / "project", {**FAST, **arms}) as project:
        with pytest.raises(TooFewExamples, match=r"the arm prompt shows .* all its 30 examples were dropped") as one:
            admitted(project.workspace, project.splits, project.records)
        assert '[examples].near = "keep"' in one.value.cure
        with pytest.raises(TooFewExamples, match="tuning needs examples in the train split, but all its 30"):
            project.workspace.adapters.job(project.config.arm("ft"), project.splits)
        assert "0 train (30 dropped: they give test or dev questions away)" in project.splits.sentence
    kept = {**FAST, **arms, "examples": {"near": "keep"}}
    with Project.open(tmp_path / "project", kept) as project:
        assert len(project.splits.train) == 30
        assert admitted(project.workspace, project.splits, project.records)


@pytest.fixture
def looked_at_then_copied(demo: Project) -> Project:
    """The bundled set, synced; then copies of every document of the test appear under other ids."""
    with demo as project:
        project.sync()
        hidden = project.splits.hidden
    file = next(demo.directory.rglob("documents.jsonl"))
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    copies = [{**row, "id": f"copy of {row['id']}"} for row in rows if row["id"] in hidden]
    assert len(copies) > 50
    file.write_text("".join(json.dumps(row) + "\n" for row in (*rows, *copies)), encoding="utf-8")
    return Project.open(demo.directory, FAST)


@pytest.mark.parametrize("command", ["tune", "study", "retrain"])
def test_documents_that_come_after_a_plan_are_kept_out_of_training_as_well(
    looked_at_then_copied: Project, command: str
) -> None:
    with looked_at_then_copied as project:
        assert project.tuning.plan(arm="ft+rag").steps, "what the command line shows before it trains"
        before = len(project.splits.hidden)
        if command == "tune":
            project.tune(arm="ft+rag")
        elif command == "study":
            project.study()
        else:
            project.tuning.retrain(arm="ft+rag")
        made = [
            row for path in project.derived.rglob("manifest.json") if "seen" in (row := json.loads(path.read_text()))
        ]
        assert made
        for manifest in made:
            assert manifest["documents"]
            assert not [name for name in manifest["documents"] if name.startswith("copy of ")]
            assert manifest["seen"]["kept_out"] == len(project.splits.hidden) > before
