"""Kept steps in twofold.toml: comments and everything else stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.errors import ConfigError
from twofold.improvement import settings
from twofold.settings import loading as config_loading

TEXT = """# Ours.
[retrieval]
k = 3  # as measured in May

[generation.generator]
name = "echo"
"""


def written(directory: Path) -> Path:
    path = directory / "twofold.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_value_is_changed_and_comments_stay(tmp_path: Path) -> None:
    path = written(tmp_path)
    settings.write(tmp_path, {"retrieval": {"k": 6}, "study": {"arms": ["base", "rag"]}})
    text = path.read_text(encoding="utf-8")
    assert "# Ours." in text
    assert "# as measured in May" in text
    config = config_loading.load(tmp_path, {})
    assert (config.retrieval.k, config.study.arms, config.generation.generator.name) == (6, ("base", "rag"), "echo")


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    settings.write(tmp_path, {"documents": {"chunker": {"name": "headings", "options": {"max_tokens": 100}}}})
    once = path.read_bytes()
    settings.write(tmp_path, {"documents": {"chunker": {"name": "headings", "options": {"max_tokens": 100}}}})
    assert path.read_bytes() == once
    assert config_loading.load(tmp_path, {}).documents.chunker.options == {"max_tokens": 100}


def test_a_value_that_is_not_valid_leaves_the_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(ConfigError):
        settings.write(tmp_path, {"retrieval": {"k": 0}})
    assert path.read_text(encoding="utf-8") == TEXT


def test_no_file_that_is_not_valid_is_ever_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    contents: list[bytes] = []
    monkeypatch.setattr(settings.writing, "write", lambda _, content: contents.append(content))
    with pytest.raises(ConfigError, match=r"retrieval\.k"):
        settings.write(tmp_path, {"retrieval": {"k": 0}})
    assert contents == [], "a run that is killed between two writes would leave it"


def test_a_file_that_is_no_toml_any_more_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text("[retrieval\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="invalid TOML") as caught:
        settings.write(tmp_path, {"retrieval": {"k": 5}})
    assert caught.value.file == str(path)
