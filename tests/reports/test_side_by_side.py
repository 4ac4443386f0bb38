"""Two studies compared question by question."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.reports.side_by_side import SideBySide, side_by_side


def answer(text: str, score: float | None, failure: Any = None) -> dict[str, Any]:
    return {"text": text, "scores": {"f1": score}, "failure": failure, "citations": [], "hits": []}


def row(
    name: str, *answers: dict[str, Any], question: str = "", group: str = "", references: Any = ("x",)
) -> dict[str, Any]:
    arms = dict(zip(("base", "rag"), answers, strict=False))
    question = question or f"What is {name}?"
    return {
        "id": name,
        "question": question,
        "messages": [{"role": "user", "content": question}],
        "group": group or name,
        "references": list(references),
        "arms": arms,
    }


RECORD: Any = {"level": 0.95}
FAILED = answer("", None, {"code": "generation.timeout", "message": "too slow"})


def compared(
    before: list[Any], after: list[Any], arms: tuple[str, str] = ("base", "base"), *, fault: bool = False
) -> SideBySide:
    return side_by_side((RECORD, before), (RECORD, after), arms, metric="f1", lower_is_better=fault)


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
        ("e", "worse"),
        ("b", "better"),
        ("c", "other words"),
        ("d", "same"),
    ]
    assert result.counts() == {"better": 1, "worse": 2, "other words": 1, "same": 1, "not comparable": 0}
    assert result.only == (2, 1)
    assert result.difference is not None
    # The failed answer counts 0 in the difference, and is in no mean.
    assert (result.difference.mean, result.difference.n, result.difference.failed) == (-0.2, 5, 1)
    assert result.difference.low < 0 < result.difference.high
    assert [(mean.mean, mean.n) for mean in result.means if mean] == [(0.6, 5), (0.5, 4)]


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
    none = compared([row("a", FAILED)], [row("a", FAILED)])
    assert (none.difference, none.answers[0].change, none.standing(0.5)) == (None, "not comparable", "cannot tell")


def test_a_study_of_failures_alone_is_worse_than_any_other() -> None:
    before = [row(str(number), answer("x", 1.0)) for number in range(30)]
    result = compared(before, [row(str(number), FAILED) for number in range(30)])
    assert result.means[1] is None
    assert result.standing(0.02) == "worse"


def test_a_question_is_known_by_its_words_whatever_its_id_and_marks() -> None:
    before = [row("a", answer("x", 1.0), question="How long is the Elbe?")]
    after = [row("new-id", answer("x", 0.0), question="how long is  the Elbe")]
    assert [(one.before["id"], one.after["id"]) for one in compared(before, after).answers] == [("a", "new-id")]


def test_of_questions_with_the_same_words_those_of_one_id_are_paired_first() -> None:
    alike = {"question": "Which?", "references": ("x",)}
    before = [row("a", answer("a", 1.0), **alike), row("b", answer("b", 1.0), **alike)]
    after = [row("c", answer("c", 1.0), **alike), row("a", answer("a", 1.0), **alike)]
    pairs = {(one.before["id"], one.after["id"]) for one in compared(before, after).answers}
    assert pairs == {("a", "a"), ("b", "c")}


def test_other_right_answers_are_noticed() -> None:
    result = compared([row("a", answer("x", 1.0))], [row("a", answer("x", 0.0), references=("y",))])
    assert [one.other_references for one in result.answers] == [True]


def test_questions_that_share_a_group_in_either_study_are_of_one_group() -> None:
    before, after = [], []
    for number in range(12):
        before.append(row(str(number), answer("n", 0.0), group=f"a{number // 2}"))
        after.append(row(str(number), answer("y", float(number % 3 > 0)), group=f"b{(number + 1) // 2}"))
    # Chained over both studies' groups all questions are one group, which says nothing of chance.
    result = compared(before, after)
    assert result.difference is not None
    assert (result.difference.low, result.difference.high) == (-1.0, 1.0)


def test_of_a_fault_less_is_better() -> None:
    before = [row(str(number), answer("n", 1.0)) for number in range(30)]
    after = [row(str(number), answer("y", 0.0)) for number in range(30)]
    result = compared(before, after, fault=True)
    assert result.counts()["better"] == 30
    assert result.shown == "better"
    assert result.standing(0.02) == "not worse"
    assert compared(before, after).standing(0.02) == "worse"


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, None]), st.sampled_from([0.0, 0.5, 1.0, None])), min_size=1),
    st.floats(0, 1),
)
@settings(max_examples=25, deadline=None)
def test_what_a_margin_shows_follows_the_interval_and_grows_with_the_margin(scores: Any, margin: float) -> None:
    sides: Any = [[], []]
    for number, pair in enumerate(scores):
        for side, score in zip(sides, pair, strict=True):
            side.append(row(str(number), FAILED if score is None else answer("x", score), group=str(number // 2)))
    result = compared(*sides)
    if result.difference is None:
        assert result.standing(margin) == ("not worse" if margin == 1 else "cannot tell")
        return
    low, high = result.difference.low, result.difference.high
    expected = "not worse" if low >= -margin else "worse" if high < -margin else "cannot tell"
    assert result.standing(margin) == expected
    # Whoever allows more is never told worse.
    order = ["worse", "cannot tell", "not worse"]
    assert order.index(result.standing(min(1.0, margin + 0.1))) >= order.index(expected)
