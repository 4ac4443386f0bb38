"""The default score of short answers: shared words do not make right what means another thing."""

from __future__ import annotations

import pytest

from twofold.plugins import loading
from twofold.text.declining import declines
from twofold.text.wrapping import without_markers
from twofold.types import Answer, Example, Message

SENTENCE = "The documents do not say."


def _score(metric: str, reference: str, answer: str, *choices: str) -> float | None:
    asked = (Message(role="user", content="What of it?"),)
    example = Example(id="e", messages=asked, references=(reference,), choices=choices)
    return loading.make("metrics", metric, {}).score(example, Answer(text=answer))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("Oslo", "I do not believe it is Oslo"),
        ("Oslo", "I'm not sure it is Oslo"),
        ("The lake is not deep", "The lake is deep"),
        ("Yes, bees can see ultraviolet light", "No, bees can see ultraviolet light"),
        ("C", "A or C"),
        ("C", "B and C"),
        ("12 months", "12 weeks"),
        ("3 litres of oil", "3 barrels"),
        ("4.1% [2.0%-6.3%] of adults", "4.1% [2.0%-7.3%] of adults"),
    ],
)
def test_another_meaning_is_not_right(reference: str, answer: str) -> None:
    score = _score("answer_f1", reference, answer)
    assert score is not None
    assert score < 0.5


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("Oslo", "I don't think so; it is Oslo"),
        ("4.1% [2.0%-6.3%] of adults", "4.1% of adults"),
        ("Curie's", "named after Marie Curie."),
        ("12 months", "12 full months"),
        ("The lake isn't deep", "No, the lake is not deep"),
    ],
)
def test_the_same_meaning_is_right(reference: str, answer: str) -> None:
    score = _score("answer_f1", reference, answer)
    assert score is not None
    assert score >= 0.5


@pytest.mark.parametrize("answer", ["A or B", "Both A and B.", "The answer is A / B", "It is B or A"])
def test_two_letters_choose_none(answer: str) -> None:
    assert [_score("accuracy", letter, answer, "A", "B", "C") for letter in "AB"] == [0, 0]


@pytest.mark.parametrize("answer", ["B, for it is larger", "B", "The answer is B."])
def test_one_letter_chooses(answer: str) -> None:
    assert _score("accuracy", "B", answer, "A", "B", "C") == 1


@pytest.mark.parametrize(
    "text",
    [
        "I have no information about the boiler.",
        "The manual does not say.",
        "The answer is nowhere in the documents.",
        "I don't know when it opens.",
        "I am not sure.",
        "Nothing in the passages tells.",
        "I cannot find any information on it.",
        "I could not find that in the documents.",
    ],
)
def test_it_declines(text: str) -> None:
    assert declines(text, SENTENCE)


@pytest.mark.parametrize(
    "text",
    [
        "We can't find a booking under that name.",
        "No information is sold to other companies.",
        "I cannot find fault with it.",
        "I am not sure-footed, said the goat.",
        "The policy does not cover glass.",
    ],
)
def test_it_answers(text: str) -> None:
    assert not declines(text, SENTENCE)


@pytest.mark.parametrize(
    "text",
    ["[1, 3] ∪ [4, 5]", "The sorted list becomes [1, 2]", "95 % CI [2, 4]", "2.5 [2, 3]", "[1] × [2] is a product"],
)
@pytest.mark.parametrize("cite", ["first", "last"])
def test_values_in_brackets_stay(text: str, cite: str) -> None:
    assert without_markers(text, cite=cite, shown=5) == (text, [])


@pytest.mark.parametrize(
    ("text", "numbers"), [("It is open. [1, 2]", [1, 2]), ("It is open [1].", [1]), ("[1, 2] It is open", [1, 2])]
)
def test_markers_go(text: str, numbers: list[int]) -> None:
    assert without_markers(text, cite="first", shown=5)[1] == numbers
