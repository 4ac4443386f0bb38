"""Doubts about the questions and arms of a study, told before anything is spent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.config import Config
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


LABELLED = [example(str(place), f"message {place}", ("card", "cash")[place % 2]) for place in range(12)]
JSON_ANSWERS = [example(str(place), f"request {place}", '{"intent": "play"}') for place in range(12)]


@pytest.mark.parametrize(("examples", "answers"), [(LABELLED, "labels"), (JSON_ANSWERS, "JSON")])
def test_tuning_is_doubted_where_no_arm_is_held_to_the_form_of_the_answers(
    examples: list[Example], answers: str
) -> None:
    assert doubting.unheld(Config(), examples) == answers
    tuned, held = Arm(name="ft", tuning="closed-book"), Arm(name="schema", schema=True)
    [line] = doubting.no_schema_arm(answers, [Arm(name="base"), tuned])
    assert line.startswith(f"the answers are {answers}, and constrained decoding is not among the arms")
    assert line.endswith("add the arm schema")
    assert doubting.no_schema_arm(answers, [tuned, held]) == doubting.no_schema_arm(answers, [Arm(name="base")]) == []
    every = Config.model_validate({"generation": {"schema": {"type": "object"}}})
    assert doubting.unheld(every, examples) == "", "a schema holds every arm"
    only = Config.model_validate({"generation": {"schema": {"type": "object"}, "schema_for": "schema"}})
    assert doubting.unheld(only, examples) == answers


def test_free_text_and_choices_are_held_to_no_form() -> None:
    free = [example(str(place), f"question {place}", f"a sentence of its own, number {place}") for place in range(12)]
    assert doubting.unheld(Config(), free) == doubting.unheld(Config(), []) == ""
    assert doubting.unheld(Config(), [replace(one, choices=("card", "cash")) for one in LABELLED]) == ""
    assert doubting.no_schema_arm("", [Arm(name="ft", tuning="closed-book")]) == []
