"""Python answers are right where their example's tests pass, and can do nothing to the machine that runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from twofold.examples.loading import example_digest, load_examples
from twofold.metrics.programs import PythonTests, program_of
from twofold.study.scorer_check import self_test
from twofold.testing.conformance_metric import PROMISES, Subject
from twofold.types import Answer, Example, Message

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux only")

RIGHT = "def double(x):\n    return 2 * x"
TESTS = "assert double(3) == 6\nassert double('a') == 'aa'"


def example(tests: str = TESTS, reference: str = RIGHT, number: int = 0) -> Example:
    messages = (Message(role="user", content="Write double(x)."),)
    return Example(id=f"e{number}", messages=messages, references=(reference,), tests=tests)


@pytest.fixture(scope="module")
def metric() -> PythonTests:
    return PythonTests(PythonTests.Options(seconds=1, memory_mib=64))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (RIGHT, 1),
        (f"Here it is:\n```python\n{RIGHT}\n```\nIt doubles.", 1),
        ("import math\nfrom functools import reduce\ndouble = lambda x: x + x", 1),
        ("def double(x):\n    return x", 0),
    ],
)
def test_the_tests_decide(metric: PythonTests, text: str, right: float) -> None:
    assert metric.score(example(), Answer(text=text)) == right


def test_a_program_that_fails_scores_0_with_its_reason(metric: PythonTests) -> None:
    wrong = Answer(text="def double(x):\n    return 2 + x")
    assert metric.score(example(), wrong) == 0
    assert metric.reason(example(), wrong) == "the tests, line 1: AssertionError"
    assert metric.reason(example(), Answer(text="Double it.")).startswith("the answer is no Python")
    assert metric.reason(example(), Answer(text=RIGHT)) == ""


def test_an_example_brings_its_tests(tmp_path: Path) -> None:
    line = (
        '{"id": "a", "question": "Write double(x).", "answers": ["def double(x): return 2 * x"], "tests": "assert 1"}'
    )
    (tmp_path / "examples.jsonl").write_text(line + "\n", encoding="utf-8")
    (read,), problems = load_examples(("examples.jsonl",), tmp_path)
    assert not problems
    assert read.tests == "assert 1"
    assert example_digest(example()) != example_digest(example("assert 1"))


def test_an_example_without_tests_is_not_scored(metric: PythonTests) -> None:
    assert metric.score(example(tests=""), Answer(text=RIGHT)) is None


def test_the_code_of_an_answer_is_in_its_fences() -> None:
    assert program_of("a\n```py\nx = 1\n```\nb\n```\ny = 2\n```\n```json\n{}\n```") == "x = 1\n\ny = 2\n"
    assert program_of("x = 1") == "x = 1"


@pytest.mark.slow
@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(metric: PythonTests, promise) -> None:  # type: ignore[no-untyped-def]
    promise(Subject(metric=metric, examples=[example(), example(tests="", number=1)]))


def test_gold_and_shuffled_gold(metric: PythonTests) -> None:
    examples = [
        example(f"assert times(3) == {3 * n}", f"def times(x):\n    return {n} * x", number=n) for n in range(2, 6)
    ]
    report = self_test(metric, examples)
    assert report["gold"] == 1
    assert report["shuffled"] < 0.5
