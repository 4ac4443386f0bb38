"""`twofold.toml`: strict, helpful, every value with its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold import config
from twofold.errors import ConfigError, ProjectMissing


def project(path: Path, text: str) -> Path:
    (path / "twofold.toml").write_text(text, encoding="utf-8")
    return path


def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'retrieval\.kk'; did you mean 'k'"):
        config.load(project(tmp_path, "[retrieval]\nkk = 3\n"))


def test_bad_toml_and_bad_values_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"twofold\.toml: not valid TOML"):
        config.load(project(tmp_path, "[retrieval\n"))
    with pytest.raises(ConfigError, match=r"retrieval\.k"):
        config.load(project(tmp_path, "[retrieval]\nk = 0\n"))


def test_no_project_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProjectMissing) as caught:
        config.load(tmp_path)
    assert "twofold init" in caught.value.cure


def test_overrides_win_and_origins_tell(tmp_path: Path) -> None:
    project(tmp_path, '[retrieval]\nk = 4\n[generation.generator]\nname = "echo"\n')
    rows = {key: (value, origin) for key, value, origin in config.origins(tmp_path, {"study": {"margin": 0.5}})}
    assert rows["retrieval.k"] == (4, "twofold.toml")
    assert rows["study.margin"] == (0.5, "override")
    assert rows["generation.max_tokens"] == (48, "default")
    assert rows["generation.generator.name"] == ("echo", "twofold.toml")


def test_arms_by_name() -> None:
    settings = config.Config()
    assert settings.arm("ft+rag").tuning == "open-book"
    assert settings.arm("ft").tuning == "closed-book"
    order = [settings.arm(name).complexity for name in ("base", "prompt", "rag", "ft", "ft+rag")]
    assert order == sorted(set(order))
    with pytest.raises(ConfigError, match="no arm named"):
        settings.arm("nope")


def test_a_wrong_override_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    project(tmp_path, "[retrieval]\nk = 3\n")
    with pytest.raises(ConfigError, match=r"override: unknown key 'retrieval\.kk'") as caught:
        config.load(tmp_path, {"retrieval": {"kk": 3}})
    assert caught.value.file is None
