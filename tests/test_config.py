"""The sections of `twofold.toml`."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from twofold.config import Config
from twofold.errors import ConfigError
from twofold.settings.loading import laid_over
from twofold.settings.sections import CostsSection


def test_arms_by_name() -> None:
    settings = Config()
    assert settings.arm("ft+rag").tuning == "open-book"
    assert settings.arm("ft").tuning == "closed-book"
    order = [settings.arm(name).complexity for name in ("base", "prompt", "rag", "ft", "ft+rag")]
    assert order == sorted(set(order))
    with pytest.raises(ConfigError, match="unknown arm"):
        settings.arm("nope")


@pytest.mark.parametrize("name", ["volume", "months", "utilisation", "updates", "hours_month"])
@pytest.mark.parametrize("value", [1e300, -1.0, float("nan"), float("inf")])
def test_no_use_makes_a_cost_infinite(name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        CostsSection.model_validate({name: value})
    if name in ("volume", "months", "utilisation"):  # what costs are divided by
        with pytest.raises(ValidationError):
            CostsSection.model_validate({name: 1e-320})


def far(**section: object) -> dict[str, object]:
    return {"generator": {"name": "openai", "options": {"model": "large"}}, **section}


def test_a_further_model_has_what_it_states_and_the_rest_from_generation() -> None:
    config = Config.model_validate({"generation": {"max_tokens": 99, "batch": 3}, "models": {"far": far(batch=7)}})
    arm = config.arm("far/ft+rag")
    assert (arm.name, arm.model, arm.tuning, arm.retrieval) == ("far/ft+rag", "far", "open-book", True)
    mine = config.of(arm.model).generation
    assert (mine.generator.name, mine.max_tokens, mine.batch) == ("openai", 99, 7)
    assert config.of("") is config
    # A record keeps what was stated alone, so that reading it back inherits the rest again.
    stored = config.model_dump(mode="json")
    assert set(stored["models"]["far"]) == {"generator", "batch"}
    assert Config.model_validate(stored) == config


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ({"rag": far()}, "has the name of a part of arms"),
        ({"fa/r": far()}, "pattern"),
        ({"far": far(maxtokens=3)}, "maxtokens"),
        ({"far": far(), "near": far()}, "are the same model"),
        ({"far": {"batch": 2}}, r"\[models.far\] and \[generation\] are the same model"),
    ],
)
def test_models_that_cannot_be_told_apart_or_read_are_refused(models: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Config.model_validate({"models": models})


def test_an_arm_of_an_unknown_model_names_the_known_ones() -> None:
    config = Config.model_validate({"models": {"far": far()}})
    for name in ("near/rag", "/rag", "far/near/rag"):
        with pytest.raises(ConfigError, match="unknown arm") as refused:
            config.arm(name)
        assert refused.value.cure == "Name one of the models: far."
    with pytest.raises(ConfigError, match="there is no part 'nope'"):
        config.arm("far/nope")
    with pytest.raises(ConfigError, match="linear asks no language model"):
        config.arm("far/linear")


def test_what_a_variant_gets_wrong_is_not_looked_for_in_the_file() -> None:
    with pytest.raises(ConfigError, match=r"variant: unknown key 'retrieval\.kk'") as raised:
        laid_over(Config(), {"retrieval": {"kk": 3}})
    assert "--variant" in raised.value.cure
    assert "twofold.toml" not in raised.value.cure


def test_what_is_laid_over_changes_one_model_and_keeps_the_others() -> None:
    config = Config.model_validate({"models": {"far": far(), "near": far(max_tokens=5)}})
    changed = laid_over(config, {"models": {"near": {"max_tokens": 6}}, "generation": {"max_tokens": 9}})
    assert changed.models["far"] == config.models["far"]
    # What a model does not state it has from [generation], also from what is laid over that.
    assert (changed.of("near").generation.max_tokens, changed.of("far").generation.max_tokens) == (6, 9)
    assert changed.of("near").generation.generator.options == {"model": "large"}
    added = laid_over(config, {"models": {"third": {"generator": {"name": "echo"}}}})
    assert list(added.models) == ["far", "near", "third"]


def test_files_of_metrics_are_found_where_they_are_laid_over(tmp_path: Path) -> None:
    metric = {"name": "sql_execution", "options": {"database": "shop.sqlite"}}
    laid = laid_over(Config(), {"study": {"metric": metric}}, directory=tmp_path)
    assert laid.study.metric.options == {"database": str(tmp_path / "shop.sqlite")}
