"""What a server's logs tell becomes examples, once; what nobody answered well is a list for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_rows import row
from twofold.cli.main import main
from twofold.curation.mining import TO_ANSWER
from twofold.curation.open_questions import NOT_ANSWERED, OpenQuestion, together
from twofold.examples.feedback_logs import FEEDBACK
from twofold.examples.loading import load_examples
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.traffic.log import FILE, TrafficLog

SETTINGS = """
[documents]
paths = ["data/documents*"]
[examples]
paths = ["data/*.jsonl", "mined.jsonl"]
[retrieval.embedder]
name = "hashing"
"""
SAID = [
    {"question": "When is tea served?", "answer": "At four.", "rating": "up", "id": "1"},
    {"question": "Who is the cook?", "answer": "Bob.", "correction": "Ann, ann@mail.example.", "id": "2"},
    {"question": "Where is the sauna?", "answer": "In the attic.", "rating": "down", "id": "3"},
    {"question": "What is for lunch?", "answer": "Soup.", "rating": "up", "id": "4"},
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "serving").mkdir()
    (tmp_path / "twofold.toml").write_text(SETTINGS)
    (tmp_path / "data" / "a.jsonl").write_text('{"question": "What is for lunch?", "answers": ["Stew"]}\n')
    (tmp_path / FEEDBACK).write_text("".join(json.dumps(one) + "\n" for one in SAID))
    asked = [
        row(question="Is there a gym?", abstained=True, at="2026-12-01T00:00:00.000+00:00"),
        row(question="What is for lunch?", abstained=True),
        row(question="is there a gym", abstained=True, at="2026-12-02T00:00:00.000+00:00"),
        row(question="And the bath?", abstained=True, turns=[{"role": "user", "content": "Hello"}]),
        row(question="When is tea served?"),
        row(abstained=True),
    ]
    with TrafficLog(tmp_path / FILE) as log:
        log.append(asked)
    return tmp_path


def mined(project: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["examples", "mine", *words, "-C", str(project), "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_feedback_and_traffic_become_examples_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = mined(project, capsys)
    assert (report["examples"], report["preferences"], report["to_answer"]) == (2, 1, 2)
    tea, cook = load_examples(["mined.jsonl"], project)[0]
    assert (tea.references, tea.origin) == (("At four.",), "log")
    assert cook.references == ("Ann, [EMAIL].",)
    gym, sauna = lines(project / TO_ANSWER)
    assert gym["question"] == "is there a gym"
    assert (gym["why"], gym["times"], gym["answers"], gym["last"][:10]) == ("not answered", 2, [], "2026-12-02")
    assert (sauna["why"], sauna["rejected"]) == ("rated down", "In the attic.")
    stored = {path.name: path.read_bytes() for path in project.glob("*.jsonl")}

    again = mined(project, capsys)
    assert (again["examples"], again["preferences"], again["to_answer"]) == (0, 0, 2)
    assert again["discarded"]["an example asks this already"] == 3
    for name in ("mined.jsonl", "preferences.jsonl", TO_ANSWER):
        assert (project / name).read_bytes() == stored[name]


def test_what_people_mended_stays_and_what_they_answered_is_taken_up(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mined(project, capsys)
    path = project / "mined.jsonl"
    path.write_text(path.read_text().replace("At four.", "At half past four."))
    gym, sauna = lines(project / TO_ANSWER)
    (project / TO_ANSWER).write_text(json.dumps({**gym, "answers": ["In room 3."]}) + "\n" + json.dumps(sauna) + "\n")
    report = mined(project, capsys)
    assert (report["examples"], report["answered"], report["to_answer"]) == (1, 1, 1)
    examples = load_examples(["mined.jsonl"], project)[0]
    assert [example.references[0] for example in examples] == ["At half past four.", "Ann, [EMAIL].", "In room 3."]
    assert [one["question"] for one in lines(project / TO_ANSWER)] == ["Where is the sauna?"]
    assert mined(project, capsys)["examples"] == 0


def test_a_named_log_is_mined_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "other.log.jsonl").write_text(json.dumps({"question": "a?", "answer": "x", "correction": "y"}) + "\n")
    report = mined(project, capsys, "other.log.jsonl")
    assert (report["examples"], report["preferences"], report["to_answer"]) == (1, 1, 0)


def test_without_any_log_the_cure_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / FEEDBACK).unlink()
    (project / FILE).unlink()
    assert main(["examples", "mine", "-C", str(project)]) == 2
    assert "[traffic]" in capsys.readouterr().err


def test_a_list_that_cannot_be_read_is_named_by_its_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / TO_ANSWER).write_text('{"question": "a?"\n')
    assert main(["examples", "mine", "-C", str(project)]) == 2
    assert f"{TO_ANSWER}:1" in capsys.readouterr().err
    assert not (project / "mined.jsonl").exists()


@given(st.lists(st.sampled_from(["When is tea?", "when is tea", "Is there a gym?", "Who cooks?"]), max_size=30))
def test_no_question_is_listed_twice_and_none_is_lost(asked: list[str]) -> None:
    embedder = HashingEmbedder(HashingEmbedder.Options())
    questions = [OpenQuestion(question=text, why=NOT_ANSWERED, times=1, last="") for text in asked]
    listed = together(questions, embedder.embed, known=lambda _: False)
    assert sum(one.times for one in listed) == len(asked)
    assert [one.times for one in listed] == sorted((one.times for one in listed), reverse=True)
    assert together(questions, embedder.embed, known=lambda _: True) == []


def test_alike_questions_are_one() -> None:
    vectors = {"a": [1.0, 0.0], "b": [0.9, 0.436], "c": [0.0, 1.0]}
    questions = [OpenQuestion(question=text, why=NOT_ANSWERED, times=1, last=text) for text in "abbc"]
    listed = together(questions, lambda texts: np.array([vectors[text] for text in texts]), known=lambda _: False)
    assert [(one.question, one.times, one.wordings, one.last) for one in listed] == [
        ("b", 3, ("a",), "b"),
        ("c", 1, (), "c"),
    ]
