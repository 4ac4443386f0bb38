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
from twofold.plugins.specs import informed
from twofold.project import Project
from twofold.reports.study_page import render_summary
from twofold.settings.sections import MetricPart
from twofold.types import Example, Message

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
    assert len([body for body in bodies if "temperature" in body]) <= 16, "refused before the project knew it"
    bodies.clear()
    again = studied(directory)
    assert again["arms"]["base"]["key"] == first["arms"]["base"]["key"]
    assert bodies == [], "the plan knows the key under which the answers are kept"


def test_cut_and_empty_answers_are_counted_and_said(directory: Path, endpoint: Endpoint) -> None:
    says(endpoint, lambda body: chat(right(body)[:3], "length"))
    record = studied(directory)
    base = record["arms"]["base"]
    assert base["cut"] == [34, 34], "of the 34 questions of the test"
    assert any("cut at the token limit" in line for line in record["verdict"]["provisional"])
    says(endpoint, lambda _body: chat(None, "length", reasoning_content="I think that it is"))
    with pytest.raises(GenerationError, match=r"base 34 of 34.*reasoning used up the token limit.*generation\.empty"):
        studied(directory, "other")


def test_the_bill_tells_what_the_answers_cost(directory: Path, endpoint: Endpoint) -> None:
    """A token read costs 1, a token written 10; a request reads 3 and writes 2."""

    def replied(body: dict[str, Any]) -> tuple[int, Any]:
        status, reply = chat(right(body))
        return status, reply | {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}

    requests = says(endpoint, replied)
    prices = {"price_per_million_prompt": 1e6, "price_per_million_completion": 1e7}
    with Project.open(directory, {"generation": {"generator": {"options": prices}}}) as project:
        record = project.study()
        again = project.study()
    paid = {item["step"]: item["amount"] for item in record["bill"] if "amount" in item}
    assert set(paid) == {"answer base", "answer prompt", "latency of base", "latency of prompt"}
    assert sum(paid.values()) == 23 * len(requests)
    told = f"; answers cost {23 * len(requests):,}.00 in the currency of the configured prices"
    assert told in render_summary(record)
    assert told in (directory / "studies" / record["study"] / "report.html").read_text(encoding="utf-8")
    assert again == record
    assert "answers cost" not in render_summary(studied(directory, "another"))


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


# ------------------------------------------------------------- models that answer in sentences

WORDY = (
    "The code of item {n} is code {n}.",
    "According to the list, item {n} has code {n}.",
    "It's **code {n}**.",
    "That would be code {n}, as far as I can see.",
)
DECLINING = (
    "The passage does not provide any information about the code of item {n}.",
    "I'm sorry, but I do not have enough information to answer that.",
    "I could not find the code of item {n} in the documents.",
    "There is no mention of item {n} in the text.",
    "Unfortunately, this is not mentioned in the provided context.",
)
UNKNOWN = 7
"""Every so many-th item has no code."""
WRONG = 3
"""Every so many-th item is answered wrongly."""


def sentences(directory: Path, endpoint: Endpoint, *, wordy: str) -> Any:
    """The record of a study in which the arm `wordy` answers in sentences, and the other one in a word or two."""
    rows = [
        {"id": f"e{n}", "question": f"Which code has item {n}?"}
        | ({"answers": [f"code {n}"]} if n % UNKNOWN else {"answers": [], "answerable": False})
        for n in range(90)
    ]
    (directory / "data" / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def said(body: dict[str, Any]) -> tuple[int, Any]:
        n = int(body["messages"][-1]["content"].split("item ")[1].rstrip("?"))
        shots = any(message["role"] == "assistant" for message in body["messages"])
        told = shots == (wordy == "prompt")
        if n % UNKNOWN == 0:
            return chat((DECLINING[n % len(DECLINING)] if told else "The documents do not say.").format(n=n))
        item = n + 500 * (n % WRONG == 0)
        return chat((WORDY[n % len(WORDY)] if told else "code {n}").format(n=item))

    says(endpoint, said)
    settings = {"study": {"metric": "answer_f1", "metrics": ["abstention_f1", "exact_match", "token_f1"]}}
    with Project.open(directory, settings) as project:
        return project.study()


@pytest.mark.parametrize("wordy", ["base", "prompt"])
def test_answers_in_sentences_score_as_answers_in_words(directory: Path, endpoint: Endpoint, wordy: str) -> None:
    record = sentences(directory, endpoint, wordy=wordy)
    terse = {"base": "prompt", "prompt": "base"}[wordy]
    means = {name: {m: found["mean"] for m, found in arm["metrics"].items()} for name, arm in record["arms"].items()}
    assert means[wordy]["answer_f1"] == pytest.approx(means[terse]["answer_f1"], abs=0.03)
    assert 0.6 < means[wordy]["answer_f1"] < 0.8
    assert means[wordy]["abstention_f1"] == means[terse]["abstention_f1"] == 1
    assert means[wordy]["exact_match"] < means[terse]["exact_match"] - 0.3, "what a score of form would make of it"
    verdict = record["verdict"]
    assert verdict["arm"] in ("", "base"), "no arm wins by being short"
    assert verdict["arm"] != "prompt"
    assert verdict["headline"].startswith("No arm was shown better; keep base.")
    for arm in record["arms"].values():
        assert arm["acceptable"]


LABELS = ("billing", "shipping", "returns", "card arrival")


@pytest.mark.parametrize("wordy", ["base", "prompt"])
def test_labels_in_sentences_score_as_labels_alone(directory: Path, endpoint: Endpoint, wordy: str) -> None:
    rows = [{"id": f"e{n}", "question": f"Message of item {n}?", "answers": [LABELS[n % 4]]} for n in range(90)]
    (directory / "data" / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = (
        "This message is about {}.",
        "I'd say **{}**, since a customer asks.",
        "Label: {}",
        "It is not a joke but {}.",
    )

    def said(body: dict[str, Any]) -> tuple[int, Any]:
        n = int(body["messages"][-1]["content"].split("item ")[1].rstrip("?"))
        shots = any(message["role"] == "assistant" for message in body["messages"])
        label = LABELS[(n + (n % WRONG == 0)) % 4]
        return chat(told[n // 4 % len(told)].format(label) if shots == (wordy == "prompt") else label)

    says(endpoint, said)
    settings = {"examples": {"near": "keep"}, "study": {"metric": "accuracy", "metrics": ["macro_f1"]}}
    with Project.open(directory, settings) as project:
        record = project.study()
    found = {name: {m: one["mean"] for m, one in arm["metrics"].items()} for name, arm in record["arms"].items()}
    assert found["base"] == found["prompt"]
    assert 0.5 < found["base"]["accuracy"] < 0.8
    assert record["verdict"]["arm"] != "prompt"


def test_labels_are_filled_in_where_the_answers_are_a_closed_set() -> None:
    def asked(*references: str, choices: tuple[str, ...] = ()) -> list[Example]:
        turn = (Message(role="user", content="?"),)
        return [
            Example(id=str(n), messages=turn, references=(one,), choices=choices) for n, one in enumerate(references)
        ]

    part = MetricPart(name="accuracy")
    assert informed(part, asked("a b", "c d", "a b", "c d")).options == {"labels": ["a b", "c d"]}
    assert informed(part, asked("a", "b", "c", "a")) is part, "most differ: no closed set"
    assert informed(part, asked("a", "b", "a", "b", choices=("a", "b"))) is part
    assert informed(MetricPart(name="token_f1"), asked("a", "a")).options == {}
    own = MetricPart(name="macro_f1", options={"labels": ["x"]})
    assert informed(own, asked("a", "b", "a", "b")) is own
