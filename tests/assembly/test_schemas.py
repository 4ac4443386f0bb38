"""``[generation].schema``: every answer of `ask` and of studies satisfies it, and training does not see it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twofold.config import Config
from twofold.errors import ConfigError, GenerationError
from twofold.hashing import plain
from twofold.project import Project
from twofold.settings.loading import laid_over

SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "lines": {"type": "array"}, "certain": {"type": "boolean"}},
    "required": ["reason", "lines", "certain"],
}
QUESTION = "what can help guide early season irrigation decisions?"


def opened(project: Project, fast: Any, schema: Any, **echo: Any) -> Project:
    return Project.open(
        project.directory, {**fast(**echo), "generation": {**fast(**echo)["generation"], "schema": schema}}
    )


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("arm", ["base", "rag"])
def test_every_answer_satisfies_the_schema(project: Project, fast: Any, inline: bool, arm: str) -> None:
    (project.directory / "answer.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    project.sync()
    free, _ = project.ask(QUESTION, arm=arm)
    with opened(project, fast, SCHEMA if inline else "answer.json") as held:
        answer, told = held.ask(QUESTION, arm=arm)
        pieces: list[str] = []
        held.ask(QUESTION, arm=arm, written=pieces.append)
    value = json.loads(answer.text)
    assert list(value) == ["reason", "lines", "certain"], "properties are written in the schema's order"
    assert value["reason"] in (free.raw, free.text)
    assert "".join(pieces) == answer.text
    assert len(answer.hits) == len(free.hits)
    assert told["attached"] is None


def test_brackets_of_json_are_not_read_as_citations(project: Project, fast: Any) -> None:
    with opened(project, fast, {"enum": [[1]]}) as held:
        held.sync()
        answer, _ = held.ask(QUESTION, arm="rag")
    assert answer.text == "[1]"
    assert (answer.citations, answer.invalid_citations) == ((), 0)


def test_the_schema_is_part_of_the_key_and_of_the_description_but_not_of_training(project: Project, fast: Any) -> None:
    turned = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}  # type: ignore[attr-defined]
    keys, jobs, adapters = [], [], []
    for schema in ("", SCHEMA, turned):
        with opened(project, fast, schema) as held:
            held.sync()
            system, _ = held.workspace.arms.system(held.config.arm("rag"), held.splits)
            assert json.loads(system.description.get("schema", '""')) == schema
            keys.append(system.key)
            job = held.workspace.adapters.job(held.config.arm("ft"), held.splits)
            assert not any(item.prompt.schema for item in job.dev)
            jobs.append(job)
            adapters.append(held.workspace.adapters.key(job))
    assert len(set(keys)) == 3
    assert jobs[0] == jobs[1] == jobs[2]
    assert len(set(adapters)) == 3, "what is measured of an adapter on dev is answered under the schema"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[1]", "must be a JSON object"),
        ('{"type": "objekt"}', "not a valid JSON schema"),
        ('{"properties": {"a": {"type": 3}}}', r"not a valid JSON schema \(at \$\.properties\.a\.type\)"),
        ('{"items": {"$ref": "#/$defs/person"}, "$defs": {"persons": {}}}', r"refers to '#/\$defs/person'"),
        ('{"anyOf": [{"$ref": "https://example.org/a.json"}]}', "refers to 'https://example.org/a.json'"),
        ('{"pattern": "a{9999999999}"}', "repetition number is too large"),
    ],
)
def test_a_broken_schema_file_is_named(project: Project, fast: Any, content: str | None, said: str) -> None:
    path = project.directory / "answer.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with opened(project, fast, "answer.json") as held:
        for run in (lambda: held.ask(QUESTION, arm="base"), held.plan):
            with pytest.raises(ConfigError, match=said) as caught:
                run()
            assert caught.value.file == str(path)
            assert caught.value.cure
        [problem] = [problem for problem in held.check() if problem.severity == "error"]
        assert (problem.message, problem.file) == (caught.value.message, str(path))
    with opened(project, fast, {"type": 3}) as held, pytest.raises(ConfigError, match="not a valid") as caught:
        held.ask(QUESTION, arm="base")
    assert "twofold.toml" in caught.value.cure


def test_keywords_that_answers_are_not_held_to_are_told(
    project: Project, fast: Any, caplog: pytest.LogCaptureFixture
) -> None:
    schema = {
        "$defs": {"tag": {"type": "string", "minLenght": 2}},
        "type": "object",
        "properties": {
            "uniqueItems": {"enum": [{"multipleOf": 2}]},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "contains": {"const": "a"}},
        },
        "allOf": [{"required": ["tags"]}, {"required": ["uniqueItems"]}],
        "title": "An answer",
    }
    with opened(project, fast, schema) as one:
        told = [problem for problem in one.check() if problem.code == "config.schema"]
        one.ask(QUESTION, arm="base")
    assert {problem.severity for problem in told} == {"warning"}
    text = "\n".join(problem.message for problem in told)
    assert "'contains'" in text
    assert "'minLenght', which JSON Schema does not define; did you mean 'minLength'?" in text
    assert "'allOf' of several schemas" in text
    assert len(told) == 3, "names of properties and values of enum are no keywords"
    assert all(problem.message in caplog.text for problem in told)
    with opened(project, fast, SCHEMA) as one:
        assert not [problem for problem in one.check() if problem.code == "config.schema"]


def test_a_generator_that_cannot_is_refused_before_the_first_answer(project: Project, fast: Any) -> None:
    with opened(project, fast, SCHEMA, schemas=False) as held:
        for run in (lambda: held.ask(QUESTION, arm="base"), held.plan, held.study):
            with pytest.raises(GenerationError, match="cannot constrain answers to a JSON schema") as caught:
                run()
            assert 'runtime = "openvino"' in caught.value.cure


def test_the_key_in_the_file_is_schema() -> None:
    config = Config.model_validate({"generation": {"schema": "a.json"}})
    assert plain(config)["generation"]["schema"] == "a.json"
    assert laid_over(config, {"generation": {"schema": SCHEMA}}).generation.json_schema == SCHEMA
    assert laid_over(config, {"generation": {"batch": 2}}).generation.json_schema == "a.json"
