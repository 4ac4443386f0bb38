"""An answer that says the opposite of a reference is not right, and a statement about information is no abstention."""

from __future__ import annotations

import pytest

from twofold.metrics.overlap import AnswerF1, ExactMatch
from twofold.plugins import protocols
from twofold.text.declining import declines

ANSWER = AnswerF1(protocols.Options())
EXACT = ExactMatch(protocols.Options())


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("The valve is not sealed", "The valve is sealed"),
        ("The valve is sealed", "The valve isn't sealed"),
        ("Yes, pumps of this kind can leak", "No, pumps of this kind can leak"),
        ("Oslo", "I don't think it is Oslo"),
        ("Oslo", "I am not sure Oslo is meant"),
    ],
)
def test_an_answer_that_says_the_opposite_is_not_right(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) < 0.5


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("Oslo", "I don't think it is Bergen but Oslo"),
        ("The valve is not sealed", "The valve isn't sealed"),
        ("Pumps of this kind do not leak", "No, pumps of this kind do not leak"),
    ],
)
def test_an_answer_that_denies_what_the_reference_denies_is_right(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) >= 0.5


def test_two_dashes_in_a_string_of_sql_begin_no_comment() -> None:
    reference = "SELECT id FROM parts WHERE code = 'p--1' AND stock < 7"
    assert EXACT.compare("SELECT id FROM parts WHERE code = 'p--2' AND stock > 9", reference) == 0
    assert EXACT.compare("select id from parts -- all\nwhere /* code */ code = 'p--1' and stock < 7; -- end", reference)


@pytest.mark.parametrize(
    "answer", ["We cannot find an invoice with that number.", "No information is passed on to advertisers."]
)
def test_an_answer_about_something_missing_is_no_abstention(answer: str) -> None:
    assert not declines(answer, "The passages do not say.")


@pytest.mark.parametrize(
    "answer", ["I cannot find an answer to this.", "No information is available.", "No information about this."]
)
def test_an_answer_that_finds_nothing_is_an_abstention(answer: str) -> None:
    assert declines(answer, "The passages do not say.")
