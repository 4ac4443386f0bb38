"""Doubts about the questions and arms of a study, told before anything is spent."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from twofold.types import Arm, Example, Message
from twofold.verdict import doubting


def example(name: str, question: str, *references: str, answerable: bool = True) -> Example:
    messages = (Message(role="user", content=question),)
    return Example(id=name, messages=messages, references=references, answerable=answerable)


def test_questions_that_stand_twice_with_other_answers_are_named() -> None:
    first, again = example("a", "How long?", "60 days"), example("b", "how  long?", "3 weeks")
    [line] = doubting.contradictions([first, again, example("c", "How far?", "3 weeks")])
    assert line.startswith(
        "1 question stands more than once with answers that contradict each other, for example a and b"
    )
    assert "`twofold check`" in line
    assert doubting.contradictions([first, example("b", "How long?", "60 Days", "two months")]) == []
    assert doubting.contradictions([first, example("b", "How long?", answerable=False)])


def test_only_what_check_calls_another_answer_to_the_same_prompt_contradicts() -> None:
    assert doubting.contradictions([example("a", "How long?", "60 days"), example("b", "How long", "60 days.")]) == []
    first, other = example("a", "Which is right?", "red"), example("b", "Which is right?", "seven")
    with_choices = [replace(first, choices=("red", "blue")), replace(other, choices=("six", "seven"))]
    assert doubting.contradictions(with_choices) == []
    assert doubting.contradictions([first, other])


@given(st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from("xyz")), max_size=6))
def test_the_order_of_questions_does_not_matter(rows: list[tuple[str, str]]) -> None:
    questions = [example(str(place), question, reference) for place, (question, reference) in enumerate(rows)]
    torn = len({question for question, _ in rows if len({r for q, r in rows if q == question}) > 1})
    for order in (questions, questions[::-1]):
        lines = doubting.contradictions(order)
        assert bool(lines) == bool(torn)
        assert not torn or lines[0].startswith(f"{torn} question")


def test_a_single_arm_is_named_with_what_to_measure_beside_it() -> None:
    rag, oracle = Arm(name="rag", retrieval=True), Arm(name="oracle", retrieval=True, oracle=True)
    [line] = doubting.one_arm([rag, oracle], documents=True)
    assert line.startswith("only the arm rag is measured")
    assert "--arms base,rag`" in line
    assert "--arms base,rag`" in doubting.one_arm([Arm(name="base")], documents=True)[0]
    assert "--arms base,prompt`" in doubting.one_arm([Arm(name="base")], documents=False)[0]
    assert doubting.one_arm([rag, Arm(name="base")], documents=True) == []
