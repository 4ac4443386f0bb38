"""`twofold.toml`: strict, helpful, every value with its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold.cli.main import main
from twofold.errors import ConfigError, ProjectMissing
from twofold.settings import loading as config_loading


def project(path: Path, text: str) -> Path:
    (path / "twofold.toml").write_text(text, encoding="utf-8")
    return path


def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'retrieval\.kk'; did you mean 'k'"):
        config_loading.load(project(tmp_path, "[retrieval]\nkk = 3\n"))


def test_bad_toml_and_bad_values_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"twofold\.toml: invalid TOML"):
        config_loading.load(project(tmp_path, "[retrieval\n"))
    with pytest.raises(ConfigError, match=r"retrieval\.k"):
        config_loading.load(project(tmp_path, "[retrieval]\nk = 0\n"))


def test_no_project_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProjectMissing) as caught:
        config_loading.load(tmp_path)
    assert "twofold init" in caught.value.cure


def test_overrides_win_and_origins_tell(tmp_path: Path) -> None:
    project(tmp_path, '[retrieval]\nk = 4\n[generation.generator]\nname = "echo"\n')
    rows = {key: (value, origin) for key, value, origin in config_loading.origins(tmp_path, {"study": {"margin": 0.5}})}
    assert rows["retrieval.k"] == (4, "twofold.toml")
    assert rows["study.margin"] == (0.5, "override")
    assert rows["generation.max_tokens"] == (48, "default")
    assert rows["generation.generator.name"] == ("echo", "twofold.toml")


def test_a_wrong_override_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    project(tmp_path, "[retrieval]\nk = 3\n")
    with pytest.raises(ConfigError, match=r"override: unknown key 'retrieval\.kk'") as caught:
        config_loading.load(tmp_path, {"retrieval": {"kk": 3}})
    assert caught.value.file is None


ODD: dict[str, str] = {
    "no number": "[documents]\nmax_seconds = nan",
    "infinity": "[documents]\nmax_mib = 1e999",
    "a date": "[study]\nseed = 2026-01-01",
    "a time in a list": "[sources.x]\nkind = 'folder'\npaths = [07:32:00]",
    "a date in a schema": "[generation]\nschema = {a = {b = [2026-01-01T00:00:00Z]}}",
    "more than 64 bits": "[retrieval]\nk = 99999999999999999999",
    "thousands of digits": f"[retrieval]\nk = {'9' * 5000}",
    "a NUL": '[documents]\npaths = ["a\\u0000b"]',
    "a NUL in a key": '[documents.passwords]\n"a\\u0000" = "b"',
    "lists without end": f"a = {'[' * 5000}{']' * 5000}",
    "tables without end": f"a = {'{a = ' * 3000}1{'}' * 3000}",
    "a table too deep": f"[generation]\nschema = {'{a = ' * 80}1{'}' * 80}",
    "a number as a text": "[retrieval]\nk = 'five'",
    "a list for a table": "documents = [1]",
    "tables for a table": "[[documents]]",
    "a number for options": "[sources.x]\nkind = 'folder'\noptions = 3",
    "a number below nothing": "[documents]\nmax_mib = -1",
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("command", ["config", "sync"])
def test_what_no_setting_can_be_is_an_error_that_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, command: str
) -> None:
    (tmp_path / "twofold.toml").write_text(ODD[what], encoding="utf-8")
    assert main([command, "-C", str(tmp_path), "-q"]) == 2
    told = capsys.readouterr().err
    assert "twofold.toml" in told
    assert "internal error" not in told


@pytest.mark.parametrize("data", [b"[project]\nname = '\xff'", "[project]".encode("utf-16"), bytes(range(256))])
def test_a_file_that_is_no_text_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "twofold.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=r"twofold\.toml"):
        config_loading.load(tmp_path)


@pytest.mark.parametrize("value", ["1e999", "2026-01-01", "9" * 5000, "[" * 5000 + "]" * 5000, '"a\\u0000"'])
def test_an_odd_override_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str) -> None:
    (tmp_path / "twofold.toml").write_text("", encoding="utf-8")
    assert main(["config", "-C", str(tmp_path), "--set", f"retrieval.k={value}"]) == 2
    assert "internal error" not in capsys.readouterr().err
