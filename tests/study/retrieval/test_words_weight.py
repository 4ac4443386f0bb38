"""The weight of the word leg: chosen on train and dev questions, kept with the index, chosen again when it is old."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from twofold.answering.system import query
from twofold.cli.main import main
from twofold.project import Project
from twofold.reports import word_weight
from twofold.retrieval.fusion import LEXICAL_WEIGHT
from twofold.settings.loading import laid_over
from twofold.store import weighing
from twofold.study.retrieval import blend
from twofold.study.retrieval.blend import WEIGHTS, settle

PARTS = ["--set", "retrieval.embedder.name=hashing", "--set", "study.resamples=300"]


def _documents(project: Project) -> Path:
    (found,) = [path for path in project.directory.rglob("documents.jsonl") if ".twofold" not in path.parts]
    return found


def _change(project: Project, count: int) -> None:
    """Other words at the end of the first so many documents."""
    lines = [json.loads(line) for line in _documents(project).read_text(encoding="utf-8").splitlines()]
    for line in lines[:count]:
        line["text"] += " Amended since."
    _documents(project).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_a_sync_chooses_once_and_keeps_the_choice_with_the_index(project: Project) -> None:
    with project:
        first = project.sync()["words"]
        assert first["new"]
        assert first["weight"] in WEIGHTS
        assert first["questions"] == len(project.splits.train) + len(project.splits.dev)
        assert [row["weight"] for row in first["weights"]] == list(WEIGHTS)
        assert project.workspace.search.words() == (None if first["weight"] == LEXICAL_WEIGHT else first["weight"])
        again = project.sync()["words"]
        assert not again.pop("new")
        assert again == {name: value for name, value in first.items() if name != "new"}
        assert "train and dev question" in word_weight.sentence(first)


def test_the_search_weighs_the_words_as_chosen(project: Project) -> None:
    with project:
        choice = project.sync()["words"]
        asked = [query(example) for example in project.splits.dev]

        def found(weight: float | None) -> list[list[tuple[str, float]]]:
            kept = {**choice, "weight": weight}
            weighing.keep(project.catalogue.notes, {name: value for name, value in kept.items() if name != "new"})
            hits = project.workspace.search.retriever.retrieve(asked, 5)
            return [[(hit.chunk.id, round(hit.score, 5)) for hit in one.hits] for one in hits]

        def fixed(weight: float) -> list[list[tuple[str, float]]]:
            values = {"retrieval": {"retriever": {"options": {"lexical": weight}}}}
            with Project.open(project.directory, laid_over(project.config, values).model_dump(mode="json")) as other:
                hits = other.workspace.search.retriever.retrieve(asked, 5)
                return [[(hit.chunk.id, round(hit.score, 5)) for hit in one.hits] for one in hits]

        assert found(0.0) == fixed(0.0) != found(2.0) == fixed(2.0)
        assert found(None) == fixed(LEXICAL_WEIGHT)


def test_the_settings_show_what_was_chosen(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*more: str) -> str:
        assert main(["config", "-C", str(project.directory), "--json", *PARTS[:2], *more]) == 0
        rows = json.loads(capsys.readouterr().out)
        return str(rows["retrieval.retriever.options.lexical"]["origin"])

    assert shown() == "default"
    with project:
        choice = project.sync()["words"]
        weighing.keep(project.catalogue.notes, {**{n: v for n, v in choice.items() if n != "new"}, "weight": 2.0})
    assert "the words weigh 2, chosen on" in shown()
    assert "the last choice was for another search" in shown("--set", "retrieval.retriever.options.fetch=20")
    assert shown("--set", "retrieval.retriever.options.lexical=0.3") == "override"


def test_other_weights_make_other_keys(project: Project) -> None:
    with project:
        choice = project.sync()["words"]
        del choice["new"]
        arm = project.config.arm("rag")
        keys = {}
        for weight in (0.2, 1.0, None, LEXICAL_WEIGHT):
            weighing.keep(project.catalogue.notes, {**choice, "weight": weight})
            assert project.workspace.search.spec().get("words", LEXICAL_WEIGHT) == (weight or LEXICAL_WEIGHT)
            keys[weight] = project.workspace.arms.known_key(arm, project.splits)
        assert len({keys[0.2], keys[1.0], keys[None]}) == 3
        assert keys[None] == keys[LEXICAL_WEIGHT], "the default, chosen or not, is one search"


def test_a_choice_is_old_when_the_corpus_has_moved(project: Project) -> None:
    with project:
        first = project.sync()["words"]
        documents = project.workspace.search.index.state().documents
        _change(project, 1)
        near = project.sync()["words"]
        assert not near["new"], "one document is not the corpus"
        assert near["content"] == first["content"]
        found = project.bench({})["words"]
        assert found["new"], "a measurement asks for the weight of these very documents"
        assert found["content"] == project.workspace.search.index.state().content
        assert not project.bench({})["words"]["new"]
        _change(project, documents // 3)
        assert project.sync()["words"]["new"]


def test_another_search_is_another_choice(project: Project) -> None:
    with project:
        project.sync()
        other = laid_over(project.config, {"retrieval": {"retriever": {"options": {"fetch": 20}}}})
    with Project.open(project.directory, other.model_dump(mode="json")) as changed:
        weighing.keep(changed.catalogue.notes, {**(weighing.last_choice(changed.catalogue.notes) or {}), "weight": 2.0})
        assert changed.workspace.search.words() is None, "nothing was chosen for it yet"
        made = changed.sync()["words"]
        assert made.pop("new")
        weighing.keep(changed.catalogue.notes, {**made, "weight": 2.0})
        assert changed.workspace.search.words() == 2.0
    with Project.open(project.directory, project.config.model_dump(mode="json")) as back:
        assert back.workspace.search.words() is None, "one choice is kept: the last"


def test_test_questions_are_never_asked(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()

    def spy(example: Any, filter: Any = None) -> Any:
        asked.add(example.id)
        return query(example, filter)

    monkeypatch.setattr(blend, "query", spy)
    with project:
        project.sync()
        own = {example.id for example in (*project.splits.train, *project.splits.dev)}
        assert asked == own
        assert not asked & {example.id for example in project.splits.test}


def test_a_choice_that_is_killed_leaves_the_last_one_and_is_made_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with project:
        first = project.sync()["words"]
        _change(project, project.workspace.search.index.state().documents // 2)
        measured, passes = blend._Once.search, []

        def dies(self: Any, *given: Any, **named: Any) -> Any:
            passes.append(1)
            if len(passes) > 3:
                raise KeyboardInterrupt
            return measured(self, *given, **named)

        with monkeypatch.context() as patch:
            patch.setattr(blend._Once, "search", dies)
            with pytest.raises(KeyboardInterrupt):
                project.sync()
        assert weighing.last_choice(project.catalogue.notes) == {n: v for n, v in first.items() if n != "new"}
        made = project.sync()["words"]
        assert made["new"]
        weighing.keep(project.catalogue.notes, {**made, "recipe": ""})
        assert project.sync()["words"] == made, "the same again, to the last figure"


def test_two_projects_of_the_same_files_choose_alike(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.directory, tmp_path / "twin", ignore=shutil.ignore_patterns(".twofold"))
    with project, Project.open(tmp_path / "twin", project.config.model_dump(mode="json")) as twin:
        assert project.sync()["words"] == twin.sync()["words"]


def test_a_study_records_on_what_the_weight_was_chosen(project: Project) -> None:
    with project:
        told = project.study()["retrieval"]["words"]
        kept = weighing.last_choice(project.catalogue.notes)
        assert kept is not None
        assert kept.pop("sketch")
        assert told == kept
        assert told["content"] == project.workspace.search.index.state().content


def test_nothing_is_chosen_where_the_weight_is_set(project: Project) -> None:
    fixed = laid_over(project.config, {"retrieval": {"retriever": {"options": {"lexical": 0.5}}}})
    with Project.open(project.directory, fixed.model_dump(mode="json")) as own:
        assert own.sync()["words"] is None
        assert weighing.last_choice(own.catalogue.notes) is None
        assert "words" not in own.workspace.search.spec()
        assert own.bench({}, weigh=True)["blend"]["now"] == 0.5


def test_without_labelled_questions_the_default_stays_and_says_why(project: Project) -> None:
    with project:
        project._material.examples = [  # type: ignore[misc, unused-ignore]
            type(e)(id=e.id, messages=e.messages, references=e.references) for e in project.examples
        ]
        told = project.sync()["words"]
        assert told["weight"] is None
        assert "no train or dev question says which documents" in word_weight.sentence(told)
        assert project.workspace.search.words() is None


def test_questions_of_few_groups_choose_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend, "FEWEST", 10_000)
    with project:
        told = project.sync()["words"]
        assert told["weight"] is None
        assert "10000 are needed" in word_weight.sentence(told)
        assert project.workspace.search.words() is None


def test_examples_that_cannot_be_read_do_not_stop_a_sync(project: Project) -> None:
    (examples,) = [path for path in project.directory.rglob("examples.jsonl") if ".twofold" not in path.parts]
    examples.write_text("{\n", encoding="utf-8")
    with project:
        told = project.sync()
        assert told["added"]
        assert told["words"]["weight"] is None
        assert "not valid JSON" in word_weight.sentence(told["words"])


def test_under_access_control_nobody_chooses(project: Project) -> None:
    closed = laid_over(project.config, {"access": {"enabled": True}})
    with Project.open(project.directory, closed.model_dump(mode="json")) as own:
        own.sync()
        assert settle(own.workspace.search, lambda: own.splits) is None


def test_the_commands_tell_it(project: Project, capsys: Any) -> None:
    where = str(project.directory)
    assert main(["sync", "-C", where, *PARTS]) == 0
    assert "train and dev question" in capsys.readouterr().out
    assert main(["sync", "-C", where, *PARTS]) == 0
    assert "train and dev question" not in capsys.readouterr().out
    assert main(["bench", "retrieval", "-C", where, "--weigh", *PARTS]) == 0
    out = capsys.readouterr().out
    assert "train and dev question" in " ".join(out.split())
    assert "believed" in out
    assert main(["bench", "retrieval", "-C", where, "--weigh", "--split", "test", *PARTS]) == 2


def test_how_far_a_corpus_has_moved() -> None:
    before = {f"d{number}": "x" for number in range(1000)}
    after = {**before, **{f"d{number}": "y" for number in range(200)}}
    assert weighing.moved(weighing.sketch(before), weighing.sketch(before)) == 0
    assert weighing.moved(weighing.sketch(before), weighing.sketch({})) == 1
    share = weighing.moved(weighing.sketch(before), weighing.sketch(after))
    assert share == pytest.approx(400 / 1200, abs=0.1)
