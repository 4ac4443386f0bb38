"""Answers are committed batch by batch, whoever makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from twofold.answering import cached
from twofold.store.catalogue import Catalogue
from twofold.types import Answer


def said(items: Sequence[str]) -> list[Answer]:
    return [Answer(text=item.upper(), raw=item) for item in items]


def test_what_was_answered_before_a_kill_is_there_and_the_batch_that_was_killed_is_not(tmp_path: Path) -> None:
    batches: list[list[str]] = []

    def answer(items: Sequence[str]) -> list[Answer]:
        batches.append(list(items))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return said(items)

    catalogue, todo = Catalogue(tmp_path / "c.sqlite"), [(f"d{n}", letter) for n, letter in enumerate("abcdefg")]
    counts: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        cached.committed(
            catalogue.answers,
            lambda: "s",
            todo,
            answer=answer,
            batch=2,
            done=lambda answers: counts.append(len(answers)),
        )
    catalogue.close()
    again = Catalogue(tmp_path / "c.sqlite")
    assert {name: one.text for name, one in again.answers.get("s").items()} == {
        "d0": "A",
        "d1": "B",
        "d2": "C",
        "d3": "D",
    }
    assert (batches, counts) == ([["a", "b"], ["c", "d"], ["e", "f"]], [2, 2])
    left = [(name, item) for name, item in todo if name not in again.answers.get("s")]
    made = cached.committed(again.answers, lambda: "s", left, answer=said, batch=2)
    assert [one.text for one in made] == ["E", "F", "G"]
    assert len(again.answers.get("s")) == 7
    again.close()


def test_a_batch_is_kept_under_the_key_that_holds_once_it_is_answered() -> None:
    catalogue, keys = Catalogue(None), iter(["before", "after"])
    cached.committed(catalogue.answers, lambda: next(keys), [("x", "x"), ("y", "y")], answer=said, batch=1)
    assert (list(catalogue.answers.get("before")), list(catalogue.answers.get("after"))) == (["x"], ["y"])
