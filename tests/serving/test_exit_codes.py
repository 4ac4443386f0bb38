"""The exit codes of `twofold serve`, which programs that start it rely on; each is on the page and in the help."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from serving_process import Running, served

from small_project import write_project
from twofold.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "serve.md"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_0(number: signal.Signals, measured: Path, project_copy: Path) -> None:
    with served(project_copy) as running:
        assert set(running.ready) == {"url", "pid", "model"}
        assert running.process.stderr is not None
        assert running.process.stderr.readline().startswith(f"pages for people: {running.url}/ask")
        assert running.end(number) == 0


@pytest.mark.parametrize(
    ("words", "code", "fault"),
    [
        (["--port", "70000"], 2, "usage"),
        (["--nonsense"], 2, "usage"),
        (["--arm", "nope"], 2, "config"),
        (["--arm", "base", "--set", "generation.max_tokens=9"], 2, "config"),
        (["--model", "nope"], 2, "config.unknown-name"),
        (["--host", "0.0.0.0"], 2, "config"),
        (["--set", "retrieval.nonsense=1"], 2, "config"),
        (["--host", "203.0.113.7"], 2, "config"),
        (["--port", "{taken}"], 3, "serving"),
    ],
)
def test_what_keeps_it_from_starting_has_its_code(
    *, server: Running, measured: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, fault: str
) -> None:
    taken = server.url.rpartition(":")[2]
    assert main(["serve", "-C", str(measured), "--json", *(word.format(taken=taken) for word in words)]) == code
    assert json.loads(capsys.readouterr().out)["error"]["code"] == fault


def test_without_a_project_or_an_index_there_is_nothing_to_serve(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "-C", str(tmp_path), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "store.no-project"
    canteen = [{"id": "canteen", "title": "On the canteen", "text": "The canteen opens at seven."}]
    never = write_project(tmp_path / "p", canteen, [("canteen", "When?", "seven")], copies=3, settings="")
    assert main(["serve", "-C", str(never), "--arm", "rag", "--unmeasured", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "index.empty"


def test_the_codes_are_on_the_page_and_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    for words in ("0 stopped by a signal", "2 wrong use", "3 the address cannot be used"):
        assert words in said
        assert words in page
