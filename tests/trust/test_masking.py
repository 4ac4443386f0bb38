"""No secret of twofold.toml is shown or kept: not by `config`, not in a record or report, not in an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twofold.cli.main import main
from twofold.errors import SourceUnreachable
from twofold.masking import HIDDEN, masked, masked_text

TOML = """
[documents.passwords]
"*.pdf" = "HUNTER2"
"*.docx" = "env:DOCX_PASSWORD"

[sources.api]
kind = "http"
url = "http://u:URLPASS@127.0.0.1:9/?page=1&api_key=QUERYKEY"
headers = {Authorization = "Bearer TOKEN1", Accept = "application/json"}

[retrieval.embedder]
name = "hashing"

[generation.generator]
name = "echo"
"""
SECRETS = ("HUNTER2", "URLPASS", "QUERYKEY", "TOKEN1")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data" / "documents").mkdir(parents=True)
    (tmp_path / "twofold.toml").write_text(TOML)
    rows = [{"id": f"e{n}", "question": f"What is {n}?", "answers": [f"a{n}"]} for n in range(60)]
    (tmp_path / "data" / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "data" / "documents" / "a.md").write_text("Water is wet.")
    return tmp_path


def test_settings_are_printed_without_secrets(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--json"]):
        assert main(["config", "-C", str(directory), *more]) == 0
        shown = capsys.readouterr().out
        assert not [secret for secret in SECRETS if secret in shown]
        assert all(word in shown for word in (HIDDEN, "env:DOCX_PASSWORD", "application/json", "page=1"))


def test_a_study_keeps_no_secret(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", "--yes", "--arms", "base,rag", "-C", str(directory)])
    shown = "".join(capsys.readouterr())
    (record,) = (directory / "studies").glob("0*")
    kept = "".join(path.read_text() for path in (record / "study.json", record / "report.html"))
    assert "127.0.0.1" in kept
    assert not [secret for secret in SECRETS if secret in kept + shown]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://ann:pw@example.org/a cannot be cloned", f"https://{HIDDEN}@example.org/a cannot be cloned"),
        ("https://TOKEN@example.org", f"https://{HIDDEN}@example.org"),
        ("https://example.org/?a=1&token=x&b=2", f"https://example.org/?a=1&token={HIDDEN}&b=2"),
        (
            "write to ann@example.org or see https://example.org/@ann",
            "write to ann@example.org or see https://example.org/@ann",
        ),
    ],
)
def test_errors_tell_addresses_without_logins(text: str, wanted: str) -> None:
    assert masked_text(text) == wanted
    assert str(SourceUnreachable(text)) == wanted


def test_what_is_no_secret_stays() -> None:
    settings = {"api_key_env": "KEY", "max_tokens": 5, "max_tokens_field": "auto", "tokenizer": "x", "author": "ann"}
    assert masked(settings) == settings
    assert masked({"password": "", "db_password": "x", "auth_token": "y"}) == {
        "password": "",
        "db_password": HIDDEN,
        "auth_token": HIDDEN,
    }
