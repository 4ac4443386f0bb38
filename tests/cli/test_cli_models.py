"""`twofold models`: list and path, without touching the network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twofold.cli.main import main


def test_list_tells_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path))
    assert main(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in rows} == {"generator", "embedder"}
    assert not any(row["pulled"] for row in rows)
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.count("not here: twofold models pull") == len(rows)


def test_path_of_a_missing_model_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path))
    assert main(["models", "path", "all-minilm-l6-v2", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "model.not-pulled"
    assert "twofold models pull" in err


def test_path_of_a_folder_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert main(["models", "path", f"path:{tmp_path}"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path)


def test_an_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "path", "smollm2-135m-instrukt"]) == 2
    assert "smollm2-135m-instruct" in capsys.readouterr().err


def test_a_model_with_terms_is_optional_and_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path))
    assert main(["models", "list"]) == 0
    assert "optional; terms of use, not accepted on this machine: twofold models terms gemma3-270m" in (
        capsys.readouterr().out
    )
    # no terminal, nobody to ask: nothing is fetched
    assert main(["models", "pull", "gemma3-270m", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "model.terms"
    assert not list(tmp_path.rglob("*.whl"))
