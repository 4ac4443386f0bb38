"""A citation that points to the wrong passage is found by leaving passages out; with a generator that reads prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from small_project import write_project
from twofold import Project
from twofold.answering.attribution import CONTROLS, LEVEL, citation_tests
from twofold.answering.system import System, question
from twofold.cli.main import main
from twofold.errors import GenerationError
from twofold.hashing import digest
from twofold.plugins import loading
from twofold.testing.echo_generator import EchoGenerator
from twofold.types import Answer, Citation, Example, Failure, Prompt

TEXTS = {
    "canteen": "The canteen opens at seven and serves soup.",
    "parking": "Parking costs four euros a day behind the mill.",
    "library": "The library lends books to members for three weeks.",
}
ASKED = [
    ("canteen", "When does the canteen open?", "at seven"),
    ("parking", "What does parking cost?", "four euros a day"),
]
STUDY = '[study]\narms = ["base", "rag"]\ndiagnostics = []\nlatency_sample = 0\n'


class Reading(EchoGenerator):
    """Finds a word likely where the prompt has it, and a little more or less so after every other prompt."""

    def likelihoods(self, answers: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...] | Failure]:
        out: list[tuple[float, ...] | Failure] = []
        for prompt, text in answers:
            shown = prompt.messages[-1].content.split()
            if len(shown) > 400:
                out.append(Failure(code="generation.too-long", message="the prompt is too long"))
                continue
            logprobs = []
            for word in text.split():
                jitter = int(digest("jitter", [prompt.messages[-1].content, word])[-4:], 16) / 0xFFFF
                logprobs.append((-0.3 if word in shown else -4.0) - 0.4 * jitter)
            out.append(tuple(logprobs))
        return out


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    documents = [{"id": name, "title": name, "text": text} for name, text in TEXTS.items()]
    return write_project(tmp_path / "p", documents, ASKED, copies=10, settings=STUDY)


@pytest.fixture
def system(directory: Path) -> Iterator[System]:
    with loading.registered("generators", "echo", Reading), Project.open(directory) as project:
        project.sync()
        opened = project.open_system(arm="rag")
        yield opened
        opened.close()


def answered(
    system: System, text: str, *numbers: int, words: str = "What does parking cost?"
) -> tuple[Example, Answer]:
    example = question(words)
    retrieved = system.retrieve([example])[0]
    assert retrieved is not None
    assert len(retrieved.hits) == 3
    citations = [Citation(number=n, span=retrieved.hits[n - 1].chunk.span) for n in numbers]
    return example, Answer(text=text, raw=text, hits=retrieved.hits, citations=tuple(citations))


def number_of(answer: Answer, document: str) -> int:
    return [hit.chunk.span.document for hit in answer.hits].index(document) + 1


def test_a_right_citation_holds_and_a_swapped_marker_is_found_with_the_passage_it_should_name(system: System) -> None:
    example, answer = answered(system, TEXTS["parking"])
    right = number_of(answer, "parking")
    wrong = right % 3 + 1
    for number, outcome, better in ((right, "holds", 0), (wrong, "elsewhere", right)):
        cited = Citation(number=number, span=answer.hits[number - 1].chunk.span)
        (test,) = citation_tests(system, example, replace(answer, citations=(cited,)))
        assert (test.number, test.outcome, test.better) == (number, outcome, better)
        assert test.controls >= CONTROLS
        assert (test.low > 0) == (outcome == "holds")
        assert test.low < test.drop


def test_an_answer_of_two_passages_rests_on_both(system: System) -> None:
    example, answer = answered(system, f"{TEXTS['parking']} {TEXTS['library']}", 1, 2, 3)
    tests = {answer.hits[t.number - 1].chunk.span.document: t for t in citation_tests(system, example, answer)}
    assert {name: test.outcome for name, test in tests.items()} == {
        "parking": "holds",
        "library": "holds",
        "canteen": "unclear",
    }


def test_an_answer_that_no_passage_holds_is_unclear(system: System) -> None:
    example, answer = answered(system, "Nobody knows whether ferries ran before that winter.", 1)
    (test,) = citation_tests(system, example, answer)
    assert test.outcome == "unclear"


def test_nothing_cited_and_abstentions_need_no_test(system: System) -> None:
    example, answer = answered(system, TEXTS["parking"])
    assert citation_tests(system, example, answer) == ()
    cited = replace(answer, citations=(Citation(number=1, span=answer.hits[0].chunk.span),))
    assert citation_tests(system, example, replace(cited, abstained=True)) == ()
    assert citation_tests(system, example, replace(cited, text=" ")) == ()


def test_a_prompt_that_does_not_fit_and_a_generator_without_likelihoods_are_refused(system: System) -> None:
    example, answer = answered(system, TEXTS["parking"], 1, words="What does parking cost? " + "so much " * 300)
    with pytest.raises(GenerationError, match="cannot be tested: the prompt is too long"):
        citation_tests(system, example, answer)
    silent = replace(system, generator=EchoGenerator(EchoGenerator.Options()))
    with pytest.raises(GenerationError, match="does not tell how likely"):
        citation_tests(silent, example, answer)


def test_changes_of_no_meaning_rarely_pass_for_a_reason(system: System) -> None:
    """Citations of passages that the answer has nothing from: about one in twenty may hold by chance."""
    held_up = []
    for day in range(40):
        example, answer = answered(system, f"Nobody saw ferry {day} leave before winter ended.", 1 + day % 3)
        held_up += [test.outcome == "holds" for test in citation_tests(system, example, answer)]
    assert sum(held_up) <= 3 * (1 - LEVEL) * len(held_up)


def test_ask_prints_the_tests_and_gives_them_as_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with loading.registered("generators", "echo", Reading):
        assert main(["ask", "What does parking cost?", "--arm", "rag", "--test-citations", "-C", str(directory)]) == 0
        assert "citation [1] tested: the answer rests on it (without it" in capsys.readouterr().out
        arguments = ["ask", "What does parking cost?", "--arm", "rag", "--test-citations", "--json"]
        assert main([*arguments, "-C", str(directory)]) == 0
    record = json.loads(capsys.readouterr().out)
    (test,) = record["citation_tests"]
    assert test["outcome"] == "holds"
    assert test["low"] > 0
    assert main(["ask", "--chat", "--test-citations", "-C", str(directory)]) == 2


def test_an_answer_whose_citations_cannot_be_tested_is_printed_all_the_same(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["ask", "What does parking cost?", "--arm", "rag", "--test-citations", "-C", str(directory)]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert "answered by rag" in out
    assert "citations cannot be tested: the generator does not tell how likely" in err
    assert 'help: Use the generator "local"' in err
    assert main([*arguments, "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["text"]
    assert record["citation_tests"] is None
    assert record["citation_tests_error"]["code"] == GenerationError.code
