"""What `twofold.testing` ships for tests of plugins: a small real project, and plugins known for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.errors import UnknownName
from twofold.plugins import loading
from twofold.testing.echo_generator import EchoGenerator
from twofold.testing.projects import FAST, make_project


def test_a_project_is_synced_and_asked_without_any_model(tmp_path: Path) -> None:
    with make_project(tmp_path / "project", questions=20) as project:
        project.sync()
        answer, provenance = project.ask(project.examples[0].question, arm="rag")
    assert answer.hits
    assert provenance["arm"] == "rag"
    assert len(project.examples) == 20


def test_settings_are_laid_over_the_fast_ones(tmp_path: Path) -> None:
    with make_project(tmp_path / "project", questions=20, settings={"study": {"arms": ["base"]}}) as project:
        assert project.config.study.arms == ("base",)
        assert project.config.study.resamples == FAST["study"]["resamples"]
        assert project.config.generation.generator.name == "echo"


class Shouting(EchoGenerator):
    """The echo generator under another name."""


def test_a_registered_plugin_is_known_until_the_block_ends() -> None:
    with loading.registered("generators", "shouting", Shouting):
        assert loading.find("generators", "shouting") is Shouting
        assert "shouting" in loading.names("generators")
        with loading.registered("generators", "shouting", EchoGenerator):
            assert loading.find("generators", "shouting") is EchoGenerator
        assert loading.find("generators", "shouting") is Shouting
    with pytest.raises(UnknownName):
        loading.find("generators", "shouting")


def _fails_within() -> None:
    with loading.registered("generators", "echo", Shouting):
        assert loading.find("generators", "echo") is Shouting
        raise RuntimeError


def test_a_registered_plugin_comes_before_an_installed_one_and_leaves_when_the_block_fails() -> None:
    with pytest.raises(RuntimeError):
        _fails_within()
    assert loading.find("generators", "echo") is EchoGenerator
