"""Two studies compared question by question."""

from __future__ import annotations

from typing import Any

import pytest

from twofold.reports.side_by_side import side_by_side


def answer(text: str, score: float | None, failure: Any = None) -> dict[str, Any]:
    return {"text": text, "scores": {"f1": score}, "failure": failure, "citations": [], "hits": []}


def row(name: str, *answers: dict[str, Any], question: str = "What?", group: str = "") -> dict[str, Any]:
    arms = dict(zip(("base", "rag"), answers, strict=False))
    return {"id": name, "question": question, "group": group or name, "references": ["x"], "arms": arms}


RECORD: Any = {"level": 0.95}
FAILED = answer("", None, {"code": "generation.timeout", "message": "too slow"})


def compared(before: list[Any], after: list[Any], arms: tuple[str, str] = ("base", "base")) -> Any:
    return side_by_side((RECORD, before), (RECORD, after), arms, metric="f1")


def test_losses_and_gains_come_first_and_every_change_is_counted() -> None:
    before = [
        row("a", answer("yes", 1.0)),
        row("b", answer("no", 0.0)),
        row("c", answer("x y", 0.5)),
        row("d", answer("same", 0.5)),
        row("e", answer("fine", 1.0)),
        row("f", answer("only here", 1.0)),
        row("g", answer("asked", 1.0)),
    ]
    after = [
        row("b", answer("yes", 1.0)),
        row("a", answer("no", 0.0)),
        row("c", answer("y x", 0.5)),
        row("d", answer(" same\n", 0.5)),
        row("e", FAILED),
        row("g", answer("asked", 1.0), question="What else?"),
    ]
    result = compared(before, after)
    assert [(one.before["id"], one.change) for one in result.answers] == [
        ("a", "worse"),
        ("b", "better"),
        ("c", "other words"),
        ("d", "same"),
        ("e", "not comparable"),
    ]
    assert result.counts() == {"better": 1, "worse": 1, "other words": 1, "same": 1, "not comparable": 1}
    assert result.only == (2, 1)
    assert result.difference is not None
    assert (result.difference.mean, result.difference.n) == (0.0, 4)
    assert result.difference.low < 0 < result.difference.high
    assert [mean.mean for mean in result.means if mean] == [0.5, 0.5]


def test_the_difference_is_the_second_minus_the_first() -> None:
    before = [row(str(number), answer("no", 0.0)) for number in range(40)]
    after = [row(str(number), answer("yes", float(number % 4 > 0))) for number in range(40)]
    result = compared(before, after)
    assert result.difference is not None
    assert result.difference.mean == pytest.approx(0.75)
    assert 0.5 < result.difference.low < 0.75 < result.difference.high < 1


def test_two_arms_of_one_study_are_compared_as_well() -> None:
    rows = [row(str(number), answer("no", 0.0), answer("yes", 1.0)) for number in range(5)]
    result = compared(rows, rows, ("base", "rag"))
    assert {one.change for one in result.answers} == {"better"}


def test_nothing_in_common_is_no_number() -> None:
    result = compared([row("a", answer("x", 1.0))], [row("b", answer("x", 1.0))])
    assert (result.answers, result.difference, result.means, result.only) == ((), None, (None, None), (1, 1))
    none = compared([row("a", FAILED)], [row("a", answer("x", 1.0))])
    assert none.difference is None
    assert none.answers[0].difference == 0.0
