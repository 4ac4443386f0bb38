"""A study against an endpoint that refuses a field or cuts answers: what is stored, under which key, what is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tuning_endpoint import Endpoint, served
from twofold.cli.main import main
from twofold.errors import GenerationError
from twofold.project import Project

Answer = Callable[[dict[str, Any]], tuple[int, Any]]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with served() as one:
        yield one


@pytest.fixture
def directory(tmp_path: Path, endpoint: Endpoint) -> Path:
    (tmp_path / "data").mkdir()
    rows = [{"id": f"e{n}", "question": f"Which code has item {n}?", "answers": [f"code {n}"]} for n in range(90)]
    (tmp_path / "data" / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "twofold.toml").write_text(f"""
[project]
name = "codes"
[documents]
paths = []
[examples]
split_by = "question"
[generation.generator]
name = "openai"
[generation.generator.options]
model = "m"
base_url = "{endpoint.url}"
retries = 0
[study]
arms = ["base", "prompt"]
diagnostics = []
resamples = 200
latency_sample = 2
""")
    return tmp_path


def says(endpoint: Endpoint, answer: Answer) -> list[dict[str, Any]]:
    """Let `answer` give the replies; returns the bodies that come."""
    bodies: list[dict[str, Any]] = []

    def given(_verb: str, _path: str, body: bytes) -> tuple[int, Any]:
        bodies.append(json.loads(body))
        return answer(bodies[-1])

    endpoint.answer = given  # type: ignore[method-assign]
    return bodies


def chat(text: str | None, finish: str = "stop", **message: Any) -> tuple[int, Any]:
    return 200, {"choices": [{"message": {"content": text, **message}, "finish_reason": finish}], "usage": {}}


def right(body: dict[str, Any]) -> str:
    return "code " + body["messages"][-1]["content"].split("item ")[1].rstrip("?")


def studied(directory: Path, model: str = "m") -> Any:
    with Project.open(directory, {"generation": {"generator": {"options": {"model": model}}}}) as project:
        return project.study()


def test_answers_without_temperature_have_a_key_of_their_own_and_are_found_again(
    directory: Path, endpoint: Endpoint
) -> None:
    def picky(body: dict[str, Any]) -> tuple[int, Any]:
        if "temperature" in body:
            return 400, {"error": {"message": "Unsupported value", "param": "temperature", "code": "unsupported_value"}}
        return chat(right(body))

    plain = says(endpoint, lambda body: chat(right(body)))
    before = studied(directory)
    assert all(body["temperature"] == 0 for body in plain)
    (directory / ".twofold").rename(directory / "gone")
    bodies = says(endpoint, picky)
    first = studied(directory)
    for name in ("base", "prompt"):
        assert first["arms"][name]["description"]["generator"]["not_sent"] == ["temperature"]
        assert first["arms"][name]["key"] != before["arms"][name]["key"]
    asked = len([body for body in bodies if "temperature" not in body])
    bodies.clear()
    again = studied(directory)
    assert again["arms"]["base"]["key"] == first["arms"]["base"]["key"]
    assert len([body for body in bodies if "temperature" not in body]) <= 2 < asked, "one question an arm is asked anew"


def test_cut_and_empty_answers_are_counted_and_said(directory: Path, endpoint: Endpoint) -> None:
    says(endpoint, lambda body: chat(right(body)[:3], "length"))
    record = studied(directory)
    base = record["arms"]["base"]
    assert base["cut"] == [34, 34], "of the 34 questions of the test"
    assert any("cut at the token limit" in line for line in record["verdict"]["provisional"])
    says(endpoint, lambda _body: chat(None, "length", reasoning_content="I think that it is"))
    with pytest.raises(GenerationError, match=r"base 34 of 34.*reasoning used up the token limit.*generation\.empty"):
        studied(directory, "other")


def test_tuning_an_arm_that_has_no_weights_to_train_is_refused_with_what_can_be_trained(
    directory: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = says(endpoint, lambda _: (200, {}))
    assert main(["tune", "-C", str(directory), "--arm", "base"]) == 2
    assert "the arm 'base' has nothing to train" in (err := capsys.readouterr().err)
    assert "ft or ft+rag" in err
    assert main(["tune", "-C", str(directory), "--arm", "ft"]) == 3
    assert "the trainer 'lora' needs weights for ft, and 'm' is a model at an endpoint" in capsys.readouterr().err
    assert main(["tune", "-C", str(directory), "--arm", "ft", "--minutes", "0"]) == 2
    assert "--minutes" in capsys.readouterr().err
    assert not bodies
