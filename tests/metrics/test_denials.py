"""A reference is not said, and not contained, where it is denied; a property told of it is no denial."""

from __future__ import annotations

import time

import pytest

from twofold.metrics.overlap import AnswerF1, Contains
from twofold.plugins import protocols

ANSWER, CONTAINS = AnswerF1(protocols.Options()), Contains(protocols.Options())


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("57", "It is not 57."),
        ("57", "It isn't 57"),
        ("57", "57 is wrong"),
        ("57", "57 is not right."),
        ("57", "57 isn't the answer"),
        ("57", "Never 57."),
        ("57", "57 is too high"),
        ("57", "57, no."),
        ("57", "It used to be 57, now it is 60."),
        ("57 euros", "57 euros was the old price; it is 60 euros."),
        ("57", "57, which is wrong"),
        ("The pond is deep", "The pond is deep, no."),
        ("The pond is deep", "The pond is deep, which is not true."),
        ("The pond is deep", "The pond is deep? Not at all."),
        ("Cats may come in", "Dogs may come in, cats may not."),
        ("tents are allowed on the beach", "Tents are allowed in the wood, never on the beach"),
        ("liable", "not liable"),
        ("Bergen", "I don't think it is Bergen"),
        ("Bergen", "Everything but Bergen"),
        ("Bergen", "all towns except Bergen"),
        ("Bergen", "Das ist nicht Bergen."),
        ("Bergen", "Ce n'est pas Bergen"),
        ("Bergen", "I doubt it's Bergen"),
        ("Bergen", "Nobody said Bergen"),
        ("Bergen", "contrary to Bergen"),
        ("The lamp is safe", "It is not true that the lamp is safe"),
        ("The lamp is safe", "It is false that the lamp is safe."),
        ("مسموح", "غير مسموح"),
    ],
)
def test_what_is_denied_is_not_said(reference: str, answer: str) -> None:
    assert CONTAINS.compare(answer, reference) == 0
    assert ANSWER.compare(answer, reference) < 0.5


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("57", "No, 57."),
        ("57", "No. It is 57."),
        ("57", "It is not 58 but 57."),
        ("57", "Not only 57."),
        ("57", "no more than 57"),
        ("1962", "It did not open until 1962."),
        ("1962", "not before 1962"),
        ("helium", "Helium is not a metal."),
        ("helium", "Helium isn't a metal."),
        ("Mars", "Mars is never warm."),
        ("Bob", "Nobody but Bob."),
        ("Bob", "No one except Bob."),
        ("not liable", "He is not liable."),
        ("no. 5", "It is no. 5"),
        ("57", "None other than 57."),
        ("57", "It's 57, isn't it?"),
        ("57", "Without a doubt, 57."),
        ("57", "Not 58, 57."),
        ("57", "It is not true that it is 58. It is 57."),
        ("use the back gate", "Do not take the front gate; use the back gate."),
        ("It is not true that it is 58. It is 57.", "It is not true that it is 58. It is 57."),
    ],
)
def test_what_is_not_denied_is_said(reference: str, answer: str) -> None:
    assert CONTAINS.compare(answer, reference) == 1
    assert ANSWER.compare(answer, reference) == 1


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("Clean the filter each spring", "You should clean the filter each spring, no exceptions."),
        ("Visitors get a ticket for one day", "Visitors get a one day ticket, residents do not."),
        ("Bake it for an hour at 150 degrees", "It is baked for an hour at 150 degrees, not at 200."),
        ("The lease runs for two years", "The lease is for two years and cannot be ended before."),
        ("Smoking is prohibited", "Smoking is not permitted"),
        ("The pool is closed on Mondays", "The pool is not open on Mondays"),
        ("the guide met us at the old gate", "The guide met us by the old gate. He did not speak."),
    ],
)
def test_a_denial_beside_what_is_said_is_no_contradiction(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) >= 0.5


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("The pool is closed on Mondays", "The pool is not open on Sundays"),
        ("The pool is closed on Mondays", "The pool is not closed on Mondays"),
        ("Smoking is prohibited", "Smoking is not prohibited"),
        ("Smoking is prohibited", "Smoking is permitted"),
    ],
)
def test_a_contrary_or_a_denial_alone_makes_another_answer(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) < 0.5


def test_one_place_that_is_not_denied_is_enough_for_contains() -> None:
    assert CONTAINS.compare("It is not 57 for adults. For children the limit in this town is 57.", "57") == 1


def test_a_text_that_denies_for_ever_is_read_in_time_that_grows_with_it() -> None:
    seconds = []
    for times in (2_000, 8_000):
        text = "it is not 57. " * times
        began = time.process_time()
        assert CONTAINS.compare(text, "57") == 0
        seconds.append(time.process_time() - began)
    assert seconds[1] < 10 * seconds[0] + 0.1
