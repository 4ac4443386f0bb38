"""What an endpoint refuses is remembered with the project, and answers have the key of what is sent."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forked import Nursery
from tuning_endpoint import Endpoint, served
from twofold.generation.endpoint.openai import OpenAIGenerator
from twofold.generation.endpoint.refused_fields import FILE, OTHER_LIMIT, Refused, keep, known
from twofold.plugins import loading
from twofold.project import Project
from twofold.testing.conformance_generator import prompt

PICKY = {"max_tokens": "Use 'max_completion_tokens' instead.", "temperature": "Only the default is supported."}
OF_CHAT = ("model", "messages", "max_tokens", OTHER_LIMIT, "temperature", "stop", "stream")


class Picky:
    """What came; and a model that refuses `refused`, one field a request."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.url = endpoint.url
        self.bodies: list[dict[str, Any]] = []
        self.refused = list(PICKY)
        endpoint.answer = self.answer  # type: ignore[method-assign]

    def answer(self, _verb: str, _path: str, data: bytes) -> tuple[int, Any]:
        body = json.loads(data)
        self.bodies.append(body)
        assert body.keys() <= set(OF_CHAT)
        for field in self.refused:
            if field in body:
                return 400, {"error": {"message": f"Unsupported parameter: '{field}'. {PICKY[field]}", "param": field}}
        return 200, {"choices": [{"message": {"content": "blue"}, "finish_reason": "stop"}], "usage": {}}


@pytest.fixture
def picky() -> Iterator[Picky]:
    with served() as one:
        yield Picky(one)


def made(picky: Picky, directory: Path | None, **options: Any) -> OpenAIGenerator:
    """A generator as a process that just started has it."""
    values = {"model": "m", "base_url": picky.url, "retries": 0, "concurrency": 1, **options}
    generator: OpenAIGenerator = loading.make("generators", "openai", values)
    if directory is not None:
        generator.remember(directory)
    return generator


def ask(generator: OpenAIGenerator) -> str:
    (completion,) = generator.generate([prompt("Which colour?")])
    return completion.text


def project(directory: Path, picky: Picky, more: str = "") -> Path:
    (directory / "data").mkdir(parents=True)
    rows = [{"id": f"e{n}", "question": f"Which colour has item {n}?", "answers": [f"shade {n}"]} for n in range(40)]
    (directory / "data" / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (directory / "twofold.toml").write_text(f"""
[documents]
paths = []
[examples]
split_by = "question"
[generation.generator]
name = "openai"
[generation.generator.options]
model = "m"
base_url = "{picky.url}"
{more}
[study]
arms = ["base"]
diagnostics = []
""")
    return directory


def command(nursery: Nursery, *words: str) -> Any:
    """Run twofold in a process of its own."""
    code = "import sys; from twofold.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = nursery.run(code, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_second_process_sends_no_refused_field_and_names_the_answer_alike(
    tmp_path: Path, picky: Picky, nursery: Nursery
) -> None:
    where = project(tmp_path / "p", picky)
    first = command(nursery, "ask", "-C", str(where), "Which colour has item 3?")
    assert [len(PICKY.keys() & body) for body in picky.bodies] == [2, 1, 0]
    picky.bodies.clear()
    second = command(nursery, "ask", "-C", str(where), "Which colour has item 3?")
    (body,) = picky.bodies
    assert not PICKY.keys() & body
    assert body[OTHER_LIMIT] > 0
    assert second["key"] == first["key"], "the key of a system says what is sent, whoever learned it"
    assert second["text"] == first["text"] == "blue"


def test_the_key_says_what_is_sent_before_the_first_request(tmp_path: Path, picky: Picky) -> None:
    asks = made(picky, tmp_path)
    fresh = asks.key
    assert ask(asks) == "blue"
    later = made(picky, tmp_path)
    assert later.key == asks.key != fresh
    assert (later.description["not_sent"], later.description["limit"]) == (["temperature"], OTHER_LIMIT)
    assert later.key == made(picky, tmp_path, max_tokens_field=OTHER_LIMIT).key, "the same request"
    assert made(picky, None).key == fresh, "without a project nothing is remembered"


def test_what_is_remembered_is_of_one_model_at_one_address(tmp_path: Path, picky: Picky) -> None:
    ask(made(picky, tmp_path))
    for other in ({"model": "n"}, {"base_url": picky.url.replace("127.0.0.1", "localhost")}):
        assert made(picky, tmp_path, **other).key == made(picky, None, **other).key
    assert made(picky, tmp_path, base_url=picky.url + "/").description["not_sent"] == ["temperature"]


def test_a_field_that_the_configuration_asks_for_is_sent_whatever_was_remembered(tmp_path: Path, picky: Picky) -> None:
    ask(made(picky, tmp_path))
    picky.refused = []
    for options, sent in (
        ({"extra": {"temperature": 1}}, {"temperature": 1, OTHER_LIMIT: 12}),
        ({"max_tokens_field": "max_tokens"}, {"max_tokens": 12}),
    ):
        picky.bodies.clear()
        assert ask(made(picky, tmp_path, **options)) == "blue"
        (body,) = picky.bodies
        assert {key: value for key, value in body.items() if key not in ("model", "messages")} == sent
    assert made(picky, tmp_path, temperature=None).description["not_sent"] == [], "none would be sent"


def test_an_endpoint_that_takes_the_field_now_gets_it_when_the_entry_is_removed(tmp_path: Path, picky: Picky) -> None:
    asks = made(picky, tmp_path)
    fresh = asks.key
    ask(asks)
    picky.refused = []
    picky.bodies.clear()
    assert ask(made(picky, tmp_path)) == "blue"
    assert not PICKY.keys() & picky.bodies[-1], "what is remembered holds: answers stay those of their key"
    kept = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**kept, "endpoints": []}))
    again = made(picky, tmp_path)
    assert again.key == fresh
    assert ask(again) == "blue"
    assert picky.bodies[-1].keys() >= PICKY.keys()


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": 1, "endpoints": [3]}',
        '{"format": 1, "endpoints": [{"url": "u"}]}',
        '{"format": 1, "endpoints": [{"url": "URL", "model": "m", "not_sent": null, "limit": ""}]}',
        '{"format": 9, "endpoints": []}',
        '{"format": 1, "endpoints": [{"url": "URL", "model": "m", "not_sent": ["messages"], "limit": "n"}]}',
    ],
)
def test_a_damaged_record_costs_a_refused_request_and_is_written_anew(
    tmp_path: Path, picky: Picky, damage: str
) -> None:
    (tmp_path / FILE).write_text(damage.replace("URL", picky.url))
    assert ask(made(picky, tmp_path)) == "blue"
    assert len(picky.bodies) == 3
    assert known(tmp_path / FILE, picky.url, "m") == Refused(fields=frozenset({"temperature"}), limit=OTHER_LIMIT)


def test_bytes_that_are_no_text_are_said_and_stop_nothing(
    tmp_path: Path, picky: Picky, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe\x00")
    with caplog.at_level(logging.WARNING):
        assert ask(made(picky, tmp_path)) == "blue"
    assert f"{tmp_path / FILE} cannot be read" in caplog.text


def test_a_place_that_cannot_be_written_to_stops_nothing(
    tmp_path: Path, picky: Picky, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.INFO):
        assert ask(made(picky, tmp_path / "file")) == "blue"
    assert "cannot be kept" in caplog.text


def test_processes_that_learn_at_once_lose_nothing(tmp_path: Path) -> None:
    def learn(number: int) -> None:
        for field in ("temperature", "stop"):
            keep(tmp_path / FILE, "http://u/v1", f"m{number}", refused=Refused(fields=frozenset({field})))

    threads = [threading.Thread(target=learn, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert known(tmp_path / FILE, "http://u/v1/", f"m{number}").fields == {"temperature", "stop"}


@pytest.mark.parametrize("answers", ["examples", "retrieval"])
def test_what_is_tuned_at_the_endpoint_keeps_its_key_when_a_refusal_is_learned(
    tmp_path: Path, picky: Picky, answers: str
) -> None:
    """Else the model would be trained, and paid for, once more."""
    tuning = '[tuning.trainer]\nname = "openai"\n[tuning.trainer.options]\nmodel = "m"\n'
    where = project(tmp_path / "p", picky, f'[tuning]\nanswers = "{answers}"\n{tuning}base_url = "{picky.url}"\n')
    (where / "data" / "leaf.txt").write_text("Every item is blue.")
    text = (where / "twofold.toml").read_text().replace("paths = []", 'paths = ["data/*.txt"]')
    (where / "twofold.toml").write_text(text + '[retrieval.embedder]\nname = "hashing"\n')

    def key() -> str:
        with Project.open(where) as opened:
            opened.sync()
            workspace = opened.workspace
            return workspace.adapters.key(workspace.adapters.job(opened.config.arm("ft"), opened.splits))

    before = key()
    refused = Refused(fields=frozenset({"temperature"}), limit=OTHER_LIMIT)
    keep(where / ".twofold" / FILE, picky.url, "m", refused=refused)
    with Project.open(where) as opened:
        generator = opened.workspace.models.generator()
        assert generator.description["not_sent"] == ["temperature"]
        generator.close()
    assert key() == before
