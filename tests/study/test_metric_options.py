"""Metrics of [study] are names, or names with options: the options count everywhere a metric is used."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from twofold.config import Config
from twofold.errors import ConfigError, ScorerBroken
from twofold.hashing import plain
from twofold.plugins import loading
from twofold.project import Project
from twofold.settings.loading import origins

LEAST = {"name": "citation_support", "options": {"least": 0.9}}
FIRST = {"name": "recall", "options": {"k": 1}}


def opened(project: Project, fast: Any, **study: Any) -> Project:
    return Project.open(project.directory, {**fast(), "study": {**fast()["study"], **study}})


def test_options_reach_the_scores_and_their_key(project: Project, fast: Any) -> None:
    wanted = {"arms": ["base", "rag"], "diagnostics": [], "metric": "token_f1"}
    valid = {"name": "json_valid", "options": {"schema": {"type": "object"}}}
    with opened(project, fast, **wanted, metrics=["json_valid"]) as bare:
        assert "json_valid" not in bare.study()["arms"]["base"]["metrics"], "no reference here is JSON"
    with opened(project, fast, **wanted, metrics=[valid]) as held, pytest.raises(ScorerBroken, match="json_valid"):
        held.study()
    with opened(project, fast, **wanted, metrics=["contains", LEAST]) as strict:
        record = strict.study()
    assert record["config"]["study"]["metrics"] == ["contains", LEAST]
    assert record["config"]["study"]["metric"] == "token_f1"
    with opened(project, fast, **wanted, metrics=["contains", "citation_support"]) as usual:
        other = usual.study()
        scores = {row[0] for row in usual.catalogue.database.read("SELECT DISTINCT metric FROM scores")}
    assert other["study"] != record["study"]
    assert len(scores) == 5, "token F1, valid JSON, contains, and citation support under each of its two options"


def test_the_deciding_metric_may_have_options(project: Project, fast: Any) -> None:
    with opened(project, fast, arms=["base", "rag"], diagnostics=[], metric=FIRST, metrics=[]) as held:
        record = held.study()
    assert record["metric"] == "recall"
    assert set(record["arms"]["rag"]["metrics"]) == {"recall"}
    assert record["config"]["study"]["metric"] == FIRST


def test_trainers_get_the_options(project: Project, fast: Any) -> None:
    with opened(project, fast, metric=FIRST) as held, opened(project, fast, metric="recall") as other:
        jobs = [p.workspace.adapters.job(p.config.arm("ft"), p.splits) for p in (held, other)]
        assert [(job.metric, job.metric_options) for job in jobs] == [("recall", {"k": 1}), ("recall", {})]
        assert held.workspace.adapters.key(jobs[0]) != other.workspace.adapters.key(jobs[1])


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ({"metric": {"name": "citation_support", "options": {"lest": 0.9}}}, "did you mean 'least'"),
        ({"metrics": [{"name": "citation_support", "options": {"least": 7}}]}, "least: input should be less"),
        ({"metrics": [{"name": "json_valid", "options": {"schena": {}}}]}, "did you mean 'schema'"),
        ({"metric": "token_f2"}, "unknown metric 'token_f2'"),
    ],
)
def test_plan_and_study_refuse_alike(project: Project, fast: Any, study: Any, said: str) -> None:
    with opened(project, fast, **study) as held:
        for run in (held.plan, held.study):
            with pytest.raises(ConfigError, match=said):
                run()


def test_one_metric_with_two_sets_of_options_is_refused(project: Project, fast: Any) -> None:
    with pytest.raises(ConfigError, match="'citation_support' is named twice with different options"):
        opened(project, fast, metric={**LEAST, "options": {"least": 0.5}}, metrics=["citation_support", LEAST])
    with opened(project, fast, metric="citation_support", metrics=["contains", LEAST, "contains"]) as held:
        assert [plain(part) for part in held.config.study.scored] == [LEAST, "contains"]


def test_the_settings_on_the_page_are_valid() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "ask.md"
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    first, second = (Config.model_validate(tomllib.loads(block)) for block in blocks)
    assert first.generation.json_schema == "answer.schema.json"
    for part in second.study.scored:
        loading.options("metrics", part.name, part.options)
    assert [bool(part.options) for part in second.study.scored] == [False, True, True]


def test_a_name_stays_a_name_where_it_is_shown(project: Project, fast: Any) -> None:
    config = Config.model_validate({"study": {"metric": "contains", "metrics": ["rouge_l", LEAST]}})
    assert plain(config)["study"]["metric"] == "contains"
    assert Config.model_validate(plain(config)) == config
    assert f"{config.study.metric}" == "contains"
    rows = {key: value for key, value, _ in origins(project.directory, {"study": {"metrics": ["rouge_l", LEAST]}})}
    assert rows["study.metric"] == "answer_f1"
    assert json.loads(json.dumps(plain(rows["study.metrics"]))) == ["rouge_l", LEAST]


def test_an_unknown_key_of_a_metric_is_named_with_the_nearest() -> None:
    """It stands in a list, where the way to the key has a number in it."""
    from pydantic import ValidationError

    from twofold.config import Config
    from twofold.plugins.loading import explain

    with pytest.raises(ValidationError) as found:
        Config.model_validate({"study": {"metrics": ["exact_match", {"name": "contains", "option": {}}]}})
    assert explain(found.value, Config) == "unknown key 'study.metrics.1.option'; did you mean 'options'?"
