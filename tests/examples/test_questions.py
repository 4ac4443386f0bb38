"""Digests and groups of a split are worked out once, whoever asks for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from twofold.examples import questions
from twofold.examples.loading import example_digest
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.hashing import digest
from twofold.types import Example, Message


def example(name: str, group: str) -> Example:
    return Example(id=name, messages=(Message(role="user", content=name),), references=("yes",), group=group)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each example's digest is worked out."""
    made: Counter[str] = Counter()

    def once(one: Example) -> str:
        made[one.id] += 1
        return example_digest(one)

    monkeypatch.setattr(questions, "example_digest", once)
    return made


SOME = tuple(example(name, group) for name, group in (("a", "x"), ("b", "y"), ("c", "x"), ("d", "z")))


def test_digests_and_groups_are_those_of_the_examples_in_order() -> None:
    asked = Questions(SOME)
    assert asked == SOME
    assert list(asked.digests) == [example_digest(one) for one in SOME]
    assert asked.groups.tolist() == [0, 1, 0, 2]
    assert asked.digest == digest("test", sorted(asked.digests)) == Questions(SOME[::-1]).digest


def test_the_digests_of_a_split_are_worked_out_once_however_often_it_is_handed_on(counted: Counter[str]) -> None:
    splits = Splits(train=SOME[:1], dev=(), test=SOME, reserve=(), policy="", groups=3, digest="")  # type: ignore[arg-type]
    for _ in range(3):
        later = replace(splits, train=splits.train)
        assert Questions.of(later.test) is splits.test
        _ = later.test.digests, later.test.digest, later.train.digests
    assert counted == {"a": 2, "b": 1, "c": 1, "d": 1}, "a stands in two splits"


def test_no_questions_have_no_groups() -> None:
    assert Questions().groups.dtype == np.intp
    assert (Questions().digests, len(Questions().groups)) == ((), 0)
