"""Lists: the same items however they are separated and ordered."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.metrics.lists import ListF1, items_of
from twofold.study.scorer_check import self_test
from twofold.testing.conformance_metric import PROMISES, Subject
from twofold.types import Answer, Example, Message

CROPS = ("maize", "winter wheat", "rice")


def example(*references, number=0):
    return Example(id=f"e{number}", messages=(Message(role="user", content="Which?"),), references=references)


def score(text, reference):
    return ListF1(ListF1.Options()).score(example(reference), Answer(text=text))


@pytest.mark.parametrize(
    "text",
    [
        "maize, winter wheat, rice",
        "maize, winter wheat and rice",
        "maize, winter wheat, and rice.",
        "rice; maize; winter wheat",
        "- maize\n- winter wheat\n- rice",
        "1. Maize\n2. Winter wheat\n3. Rice",
        "The crops are:\n\n* maize\n* winter wheat\n* rice\n\nAll are grown there.",
        "maize\nwinter wheat\nrice",
        '["maize", "winter wheat", "rice"]',
        'Here they are:\n```json\n["rice", "maize", "winter wheat"]\n```',
        "The crops are: maize, winter wheat, rice.",
        "The crops are maize, winter wheat and rice",
        "maize, winter wheat, rice, rice",
        "maize und winter wheat und rice",
        "maize、winter wheat、rice",
        "**maize**, winter wheat, the rice",
    ],
)
def test_items_are_the_same_in_every_writing(text):
    assert score(text, "maize, winter wheat, rice") == 1
    assert score("maize, winter wheat, rice", text) > 0.6


@pytest.mark.parametrize(
    ("text", "reference", "value"),
    [
        ("maize, rice", "maize, winter wheat, rice", 0.8),
        ("maize, winter wheat, rice, oats", "maize, winter wheat, rice", 6 / 7),
        ("oats", "maize, rice", 0),
        ("maize", "maize", 1),
        ("The crop is maize", "maize", 1),
        ("Rome, Italy; Paris, France", "Paris, France; Rome, Italy", 1),
        ("1,000, 2,000", "2000; 1000", 1),
        ("J. Smith, A. Jones", "A. Jones; J. Smith", 1),
        ("J. Smith\nA. Jones", "A. Jones, J. Smith", 1),
        ("a) maize\nb) rice\n\nThese two.", "rice, maize", 1),
        ("苹果和香蕉", "香蕉、苹果", 1),
        ("", "maize", 0),
        ("wheat", "winter wheat", 0),
    ],
)
def test_what_is_missing_or_too_much_costs(text, reference, value):
    assert score(text, reference) == pytest.approx(value)


WORDS = st.lists(st.sampled_from(["maize", "rice", "oats", "barley", "rye", "sorghum"]), min_size=1, unique=True)


@settings(max_examples=40, deadline=None)
@given(items=WORDS, other=WORDS, seed=st.integers(0, 99))
def test_the_score_is_f1_of_the_items_in_any_order(items, other, seed):
    shuffled = random.Random(seed).sample(other, len(other))
    shared = len(set(items) & set(other))
    expected = 2 * shared / (len(items) + len(other))
    assert score(", ".join(shuffled), "; ".join(items)) == pytest.approx(expected)
    assert score("\n".join(f"- {item}" for item in other), "; ".join(items)) == pytest.approx(expected)


def test_items_of_json_that_are_no_text():
    assert len(items_of('[{"a": 1}, {"a": 2}]')) == 2
    assert score('[{"a": 2}, {"a": 1.0}]', '[{"a": 1}, {"a": 2}]') == 1


EXAMPLES = [example("maize, rice"), example("- oats\n- rye", number=1), example('["a", "b"]', number=2)]


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise):
    promise(Subject(metric=ListF1(ListF1.Options()), examples=EXAMPLES))


def test_gold_and_shuffled_gold():
    chance = random.Random(1)
    names = [f"crop{number}" for number in range(60)]
    examples = [example(", ".join(chance.sample(names, 4)), number=number) for number in range(40)]
    report = self_test(ListF1(ListF1.Options()), examples)
    assert report["gold"] == 1
    assert report["shuffled"] < 0.2
