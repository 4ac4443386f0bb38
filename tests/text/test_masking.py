"""No secret of twofold.toml is shown or kept: not by `config`, not in a record or report, not in an error."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import httpx
import pytest

from twofold.cli.main import main
from twofold.cli.terminal import _Plain
from twofold.errors import SourceUnreachable
from twofold.generation.endpoint.openai import OpenAIGenerator
from twofold.models.endpoints import reason
from twofold.text.masking import HIDDEN, masked, masked_text
from twofold.types import Message, Prompt

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
        ("postgresql://ann:p/w@host/db", f"postgresql://{HIDDEN}@host/db"),
        ("postgresql://ann:p@ss:w@host/db", f"postgresql://{HIDDEN}@host/db"),
        ("postgresql://ann:p@ss:w?rd@host/db", f"postgresql://{HIDDEN}@host/db"),
        ("postgresql://ann:p@s/s#w@host/db cannot be reached", f"postgresql://{HIDDEN}@host/db cannot be reached"),
        ('{"a":"http://ann:p@x@host","b":"c@example.org"}', f'{{"a":"http://{HIDDEN}@host","b":"c@example.org"}}'),
        ("http://host:8080/a and mail to b@example.org", "http://host:8080/a and mail to b@example.org"),
        ("http://host:8080/users?mail=b@example.org", "http://host:8080/users?mail=b@example.org"),
        ('{"a": "http://host", "b": "c@example.org"}', '{"a": "http://host", "b": "c@example.org"}'),
        ("https://h/?pwd=x&sort.key=y;auth=z", f"https://h/?pwd={HIDDEN}&sort.key={HIDDEN};auth={HIDDEN}"),
        ("https://h/p#access_token=x", f"https://h/p#access_token={HIDDEN}"),
        ("host=db user=ann password=x dbname=a", f"host=db user=ann password={HIDDEN} dbname=a"),
        ("host=db sslpassword='a b' user=ann", f"host=db sslpassword={HIDDEN} user=ann"),
        ("Server=db;Uid=ann;Pwd=x;Port=5432", f"Server=db;Uid=ann;Pwd={HIDDEN};Port=5432"),
        ("refused: {'Authorization': 'Bearer x'}", f"refused: {{'Authorization': 'Bearer {HIDDEN}'}}"),
        ("password authentication failed for user ann", "password authentication failed for user ann"),
        ("https://h/?monkey=x&author=y&page=2", "https://h/?monkey=x&author=y&page=2"),
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
    assert SourceUnreachable("it is down", cure=text).cure == wanted


@pytest.mark.parametrize("unit", ["passw", "://a:", "://", "?a", "&token=", "a@", ":a@", "?secret-"])
def test_masking_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        began = time.process_time()
        masked_text("http://h/?" + unit * (size // len(unit)))
        return time.process_time() - began

    assert seconds(200_000) < 2


def test_what_libraries_log_has_no_login() -> None:
    record = logging.LogRecord("httpx", logging.INFO, "", 0, "GET %s", ("https://ann:pw@h/?token=x",), None)
    assert _Plain().format(record) == f"GET https://{HIDDEN}@h/?token={HIDDEN}"


def test_an_endpoint_that_repeats_the_key_is_quoted_without_it() -> None:
    request = httpx.Request("POST", "https://h", headers={"authorization": "Bearer sk-12345"})
    told = httpx.Response(401, json={"error": {"message": "no such key: sk-12345"}}, request=request)
    assert reason(told) == f"no such key: {HIDDEN}"


def test_an_endpoint_is_described_without_its_login() -> None:
    options = OpenAIGenerator.Options(model="m", base_url="http://ann:pw@127.0.0.1:9/v1", retries=0, timeout=1)
    made = OpenAIGenerator(options)
    assert made.description["base_url"] == f"http://{HIDDEN}@127.0.0.1:9/v1"
    (completion,) = made.generate([Prompt(messages=(Message(role="user", content="?"),), max_tokens=5)])
    assert completion.failure is not None
    assert "pw" not in completion.failure.message


def test_what_is_no_secret_stays() -> None:
    settings = {"api_key_env": "KEY", "max_tokens": 5, "max_tokens_field": "auto", "tokenizer": "x", "author": "ann"}
    assert masked(settings) == settings
    assert masked({"password": "", "db_password": "x", "auth_token": "y"}) == {
        "password": "",
        "db_password": HIDDEN,
        "auth_token": HIDDEN,
    }
