"""The part ``schema`` of an arm: its answers are held to the labels or the form of the training answers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from small_project import write_project
from twofold.errors import ConfigError, GenerationError
from twofold.project import Project

LABELS = ("plumber", "electrician", "mason")
Fast = Callable[..., dict[str, Any]]


def opened(tmp_path: Path, fast: Fast, answers: list[str], **changes: Any) -> Project:
    """A project of questions without documents, whose generator says one thing, in JSON where a schema asks for it."""
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    chance = random.Random(7)
    rows = []
    for number, text in enumerate(answers):
        # Words of their own: near copies of a test question would be left out of train.
        words = " ".join("".join(chance.choices("abcdefghijklmnop", k=7)) for _ in range(6))
        rows.append({"id": f"t{number}", "question": f"Who comes for {words}?", "answers": [text]})
    (source / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    if not (tmp_path / "project").is_dir():
        Project.create(tmp_path / "project", source).close()
    values = fast(mode="fixed", fixed="I say nothing", **changes.pop("echo", {}))
    study = {"arms": ["base", "schema"], "diagnostics": [], "metric": "exact_match", "metrics": []}
    values["study"] = {**values["study"], **study}
    values["generation"] = {**values["generation"], **changes.pop("generation", {})}
    return Project.open(tmp_path / "project", values | changes)


def test_labels_are_answered_without_their_quotes(tmp_path: Path, fast: Fast) -> None:
    with opened(tmp_path, fast, [LABELS[n % 3] for n in range(60)]) as project:
        free, _ = project.ask("Who comes to flat 4?", arm="base")
        pieces: list[str] = []
        held, _ = project.ask("Who comes to flat 4?", arm="schema", written=pieces.append)
        record = project.study()
    assert free.text == "I say nothing"
    assert held.text == "electrician", "the first label: the generator takes the first of an enumeration"
    assert held.raw == '"electrician"'
    assert "".join(pieces) == held.text
    keys = [record["arms"][name]["key"] for name in ("base", "schema")]
    assert len(set(keys)) == 2
    scores = [record["arms"][name]["metrics"]["exact_match"]["mean"] for name in ("base", "schema")]
    assert scores[0] == 0.0 < scores[1]
    assert json.loads(record["arms"]["schema"]["description"]["schema"]) == {"type": "string", "enum": sorted(LABELS)}


def test_json_has_the_form_of_the_training_answers(tmp_path: Path, fast: Fast) -> None:
    answers = [json.dumps({"trade": LABELS[n % 3], "floor": n}) for n in range(180)]
    with opened(tmp_path, fast, answers) as project:
        held, _ = project.ask("Who comes to flat 4?", arm="schema")
        shots, _ = project.ask("Who comes to flat 4?", arm="prompt+schema")
    assert json.loads(held.text) == {"trade": "electrician", "floor": 0}
    assert held.raw == held.text == shots.text


def test_a_label_that_only_test_questions_have_is_told(tmp_path: Path, fast: Fast) -> None:
    with opened(tmp_path, fast, [LABELS[n % 3] for n in range(60)]) as project:
        rare = project.splits.test[0]
    lines = (tmp_path / "source" / "examples.jsonl").read_text(encoding="utf-8")
    path = next((tmp_path / "project").rglob("examples*.jsonl"), tmp_path / "source" / "examples.jsonl")
    rows = [json.loads(line) for line in lines.splitlines()]
    rows = [{**row, "answers": ["chimney sweep"]} if row["id"] == rare.id else row for row in rows]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with opened(tmp_path, fast, [row["answers"][0] for row in rows]) as project:
        warnings = project.plan().warnings
    [warning] = [text for text in warnings if "does not allow" in text]
    assert "1 question of" in warning
    assert f"such as {rare.id}: 'chimney sweep'" in warning


def test_a_schema_of_every_arm_leaves_the_part_nothing_to_add(tmp_path: Path, fast: Fast) -> None:
    schema = {"type": "object", "properties": {"trade": {"type": "string"}}, "required": ["trade"]}
    answers = [json.dumps({"trade": LABELS[n % 3]}) for n in range(60)]
    with opened(tmp_path, fast, answers, generation={"schema": schema}) as project:
        with pytest.raises(ConfigError, match=r"adds nothing: \[generation\].schema holds every arm") as refusal:
            project.ask("Who comes?", arm="schema")
        assert 'schema_for = "schema"' in refusal.value.cure
    with opened(tmp_path, fast, answers, generation={"schema": schema, "schema_for": "schema"}) as project:
        assert project.ask("Who comes?", arm="base")[0].text == "I say nothing"
        assert json.loads(project.ask("Who comes?", arm="schema")[0].text) == {"trade": "I say nothing"}
        # Training and what follows it see no schema of a part: the adapter is the one of the arm without.
        adapters, splits = project.workspace.adapters, project.splits
        job = adapters.job(project.config.arm("ft+schema"), splits)
        assert adapters.key(job) == adapters.key(adapters.job(project.config.arm("ft"), splits))


def test_a_schema_that_no_training_answer_satisfies_is_refused(tmp_path: Path, fast: Fast) -> None:
    schema = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
    answers = [json.dumps({"trade": LABELS[n % 3]}) for n in range(60)]
    values = {"schema": schema, "schema_for": "schema"}
    with opened(tmp_path, fast, answers, generation=values) as project:
        with pytest.raises(ConfigError, match="satisfies the schema of the arm schema") as refusal:
            project.study()
        assert "inferred" in refusal.value.cure


def test_a_schema_of_every_arm_that_no_right_answer_satisfies_is_said(tmp_path: Path, fast: Fast) -> None:
    schema = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
    answers = [json.dumps({"trade": LABELS[n % 3]}) for n in range(60)]
    study = {"arms": ["base"], "diagnostics": [], "metric": "exact_match", "metrics": []}
    with opened(tmp_path, fast, answers, generation={"schema": schema}, study=study) as project:
        number = len(project.splits.test)
        warnings = project.plan().warnings
    assert [text for text in warnings if text.startswith(f"none of the {number} right answers of the test questions")]
    fitting = {"type": "object", "required": ["trade"]}
    with opened(tmp_path, fast, answers, generation={"schema": fitting}, study=study) as project:
        assert not [text for text in project.plan().warnings if "satisfies [generation].schema" in text]


def test_an_inferred_schema_shows_no_answer_from_a_document_that_is_closed(tmp_path: Path) -> None:
    documents = [{"id": "open", "text": "Repairs are on Monday.", "readers": ["everyone"]}]
    documents.append({"id": "closed", "text": "The boss leaves in May.", "readers": ["user:boss"]})
    documents.append({"id": "lamps", "text": "Lamps are mended on Friday.", "readers": ["everyone"]})
    asked = [("open", "Who mends pipes?", "plumber"), ("lamps", "Who mends lamps?", "electrician")]
    asked.append(("closed", "Who leaves?", "boss"))
    settings = "[access]\nenabled = true\nstudy_user = 'ann'\n"
    directory = write_project(tmp_path / "p", documents, asked, copies=40, settings=settings)
    with Project.open(directory) as project:
        project.sync()
        # These few all come into the test.
        splits = replace(project.splits, train=project.splits.test)
        schema = project.workspace.systems.schema(project.config.arm("schema"), splits)
    assert "boss" in {example.references[0] for example in splits.train}
    assert json.loads(schema)["enum"] == ["electrician", "plumber"]


def test_free_text_and_a_generator_that_cannot_are_refused(tmp_path: Path, fast: Fast) -> None:
    with opened(tmp_path, fast, [f"It was flat {n}, I think." for n in range(60)]) as project:
        with pytest.raises(ConfigError, match="neither JSON nor a closed set of labels") as refusal:
            project.study()
        assert "Leave the part schema out" in refusal.value.cure
    (tmp_path / "other").mkdir()
    labels = [LABELS[n % 3] for n in range(60)]
    with opened(tmp_path / "other", fast, labels, echo={"schemas": False}) as project:
        with pytest.raises(GenerationError, match="the arm schema holds its answers to a schema") as failure:
            project.study()
        assert "leave the arm schema out" in failure.value.cure
