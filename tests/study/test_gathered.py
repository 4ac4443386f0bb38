"""The questions of a tuning are searched for once, and those of a plan not at all, whatever is made of the passages."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

import stand_in_trainer
from twofold.errors import AccessDenied
from twofold.plugins import loading
from twofold.project import Project
from twofold.retrieval.retrievers.hybrid import HybridRetriever
from twofold.tuning.finalize import ALONE
from twofold.tuning.gathered import Gathered
from twofold.types import Chunk, Example, Filter, Hit, Query, Retrieval, Span

FAST: dict[str, Any] = {
    "study": {"arms": ["base", "rag", "ft+rag"], "resamples": 200, "latency_sample": 0, "diagnostics": []},
    "generation": {"generator": {"name": "echo", "options": {"mode": "quote"}}, "batch": 8},
    "retrieval": {"embedder": {"name": "hashing", "options": {}}, "retriever": {"name": "counting"}, "risk": 0.4},
    "tuning": {"trainer": {"name": "one", "options": {}}, "gate": "off"},
}


WORDS = ("loudly", "twice", "alone", "barefoot", "by heart", "in the rain", "at noon")


class Counting(HybridRetriever):
    """The hybrid search, which notes what it is asked."""

    batches: ClassVar[list[list[str]]] = []

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        self.batches.append([query.text for query in queries])
        return super().retrieve(queries, k)


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained.log"))
    Counting.batches.clear()
    with stand_in_trainer.known(), loading.registered("retrievers", "counting", Counting):
        yield
    Counting.batches.clear()


@pytest.fixture
def directory(tmp_path: Path, demo_questions: Callable[[int], Path]) -> Path:
    """A project whose abstention can be calibrated: with questions that nothing answers."""
    source = demo_questions(60)
    with (source / "examples.jsonl").open("a", encoding="utf-8") as file:
        for n in range(60):
            row = {
                "id": f"u{n}",
                "question": f"Who sang opera number {n} {WORDS[n % 7]} in Vienna?",
                "answerable": False,
            }
            file.write(json.dumps(row) + "\n")
    Project.create(tmp_path / "project", source, forgetting=False).close()
    return tmp_path / "project"


def asked(examples: Sequence[Example]) -> set[str]:
    return {example.question for example in examples}


def searched_together() -> Counter[str]:
    """How often each question was searched for among others."""
    return Counter(text for batch in Counting.batches if len(batch) > 1 for text in batch)


def searched_alone() -> Counter[str]:
    """How often each question was searched for by itself, to be timed."""
    return Counter(batch[0] for batch in Counting.batches if len(batch) == 1)


def files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("methods", [(), ("one", "two")])
def test_tuning_searches_for_each_question_once_whatever_is_made_of_the_passages(
    directory: Path, methods: tuple[str, ...]
) -> None:
    several = [{"name": name, "options": {"mark": name[0]}} for name in methods]
    with Project.open(directory, laid_over_dict(FAST, {"tuning": {"methods": several}})) as project:
        project.sync()
        Counting.batches.clear()
        done = project.tune(arm="ft+rag")
        splits = project.splits
        assert project.workspace.artifacts.manifest(done.key)["documents"], "what was learned from is listed"
        assert project.workspace.systems.calibrations.newest(), "abstention is calibrated"
    once = searched_together()
    wanted = asked(splits.train) | asked(splits.dev)
    assert set(once) == wanted
    assert set(once.values()) == {1}
    timed = searched_alone()
    assert set(timed) <= asked(splits.dev)
    assert max(timed.values()) == max(1, len(methods)), "a candidate is timed with its search"
    assert len(timed) <= ALONE + 1


def test_a_study_searches_for_train_and_dev_once_and_for_the_test_as_often_as_arms_answer(directory: Path) -> None:
    with Project.open(directory, FAST) as project:
        project.sync()
        Counting.batches.clear()
        project.study()
        splits = project.splits
    once = searched_together()
    learned = asked(splits.train) | asked(splits.dev)
    assert {text: once[text] for text in learned} == dict.fromkeys(learned, 1)
    assert asked(splits.test) <= set(once)


@pytest.mark.parametrize("command", ["study", "tune"])
@pytest.mark.parametrize("state", ["never synced", "synced", "studied"])
def test_a_plan_searches_for_nothing_and_leaves_the_folder_as_it_was(directory: Path, state: str, command: str) -> None:
    with Project.open(directory, FAST) as project:
        if state != "never synced":
            project.sync()
        if state == "studied":
            project.study()
    before = files(directory)
    Counting.batches.clear()
    with Project.open(directory, FAST) as project:
        steps = (project.plan() if command == "study" else project.tuning.plan()).steps
    assert Counting.batches == []
    assert files(directory) == before
    [tuned] = [step for step in steps if step["step"] == "tune ft+rag"]
    assert (tuned["cached"], tuned["seconds"] > 0) == ((1, False) if state == "studied" else (0, True))
    if state == "studied" and command == "study":
        assert {s["cached"] for s in steps if s["step"].startswith("answer")} == {len(project.splits.test)}


def test_a_plan_for_a_changed_document_does_not_take_the_old_model_for_the_new(directory: Path) -> None:
    with Project.open(directory, FAST) as project:
        project.tune(arm="ft+rag")
        name = next(source for example in project.splits.train for source in example.sources)
    file = next(directory.rglob("documents.jsonl"))
    lines = file.read_text(encoding="utf-8").splitlines()
    changed = [
        line.replace('"text":"', '"text":"Changed. ').replace('"text": "', '"text": "Changed. ') for line in lines
    ]
    file.write_text("\n".join(new if name in old else old for old, new in zip(lines, changed, strict=True)) + "\n")
    with Project.open(directory, FAST) as project:
        project.sync()
        [tuned] = [step for step in project.tuning.plan().steps if step["step"] == "tune ft+rag"]
    assert tuned["cached"] == 0


def test_a_model_made_before_plans_could_know_it_is_a_remark_of_the_plan(directory: Path) -> None:
    with Project.open(directory, FAST) as project:
        project.tune(arm="ft+rag")
        project.catalogue.database.write("DELETE FROM measures WHERE name = ?", [("keys",)])
    with Project.open(directory, FAST) as project:
        plan = project.tuning.plan()
        [tuned] = [step for step in plan.steps if step["step"] == "tune ft+rag"]
        assert tuned["cached"] == 0
        assert any("a model of ft+rag was made before" in one for one in plan.warnings)
        assert project.tune(arm="ft+rag").cached, "the model itself is found"
        plan = project.tuning.plan()
        assert not any("was made before" in one for one in plan.warnings)
        assert [step["cached"] for step in plan.steps if step["step"] == "tune ft+rag"] == [1]


class Fixed:
    """Finds one passage, whatever is asked."""

    version: ClassVar[int] = 1

    def __init__(self, document: str) -> None:
        span = Span(document=document, start=0, end=4)
        self.hit = Hit(chunk=Chunk(id="c", span=span, text="text", title="", ordinal=0), score=1.0, rank=1)
        self.asked: list[tuple[str, int]] = []

    def pin(self, version: int | None) -> None:
        raise AssertionError("nothing is pinned here")

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        self.asked += [(query.text, k) for query in queries]
        return [Retrieval(hits=(self.hit,)) for _ in queries]


def test_another_number_of_passages_or_another_filter_is_another_search() -> None:
    live = Fixed("a")
    gathered = Gathered(live, decided_by="")
    one, two = Query(text="one"), Query(text="two")
    assert len(gathered.retrieve([one, two, one], 3)) == 3
    assert live.asked == [("one", 3), ("two", 3)]
    gathered.retrieve([two], 3)
    gathered.retrieve([one], 6)
    gathered.retrieve([Query(text="one", filter=Filter(without=frozenset({"b"})))], 3)
    assert live.asked == [("one", 3), ("two", 3), ("one", 6), ("one", 3)]


def test_a_passage_that_the_filter_hides_is_refused_under_the_name_of_the_search_and_not_kept() -> None:
    live = Fixed("hidden")
    gathered = Gathered(live, decided_by="")
    for _ in range(2):
        with pytest.raises(AccessDenied, match="Fixed returned a passage"):
            gathered.retrieve([Query(text="one", filter=Filter(without=frozenset({"hidden"})))], 3)
    assert len(live.asked) == 2


def laid_over_dict(settings: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Settings with a section's values replaced."""
    return {**settings, **{name: {**settings.get(name, {}), **value} for name, value in more.items()}}
