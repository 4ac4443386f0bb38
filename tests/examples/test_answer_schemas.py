"""Schemas inferred from answers: they let every answer be written that was seen, and little else."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import ConfigError
from twofold.examples import answer_schemas
from twofold.types import Example, Message

NAMES = st.text("a.[/|", max_size=2)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text("ab", max_size=3)
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner), max_leaves=8)
ANSWERS = st.lists(st.dictionaries(NAMES, VALUES) | st.lists(VALUES, max_size=3), min_size=1, max_size=6)


def example(answer: str, number: int = 0, **fields: Any) -> Example:
    references = (answer,) if answer else ()
    messages = (Message(role="user", content=f"question {number}"),)
    return Example(id=f"e{number}", messages=messages, references=references, answerable=bool(answer), **fields)


def inferred(answers: list[Any]) -> Any:
    examples = [example(json.dumps(answer), number) for number, answer in enumerate(answers)]
    schema = answer_schemas.inferred(examples, abstention="")
    assert answer_schemas.outside(schema, examples) == []
    return json.loads(schema)


@settings(max_examples=60, deadline=None)
@given(ANSWERS)
def test_every_answer_that_was_seen_satisfies_the_schema(answers: list[Any]) -> None:
    schema = inferred(answers)
    jsonschema.Draft202012Validator.check_schema(schema)


def test_fields_that_every_answer_has_are_required_in_their_order() -> None:
    schema = inferred([{"name": "Ann", "age": 3}, {"name": "Bo", "age": 4.5, "note": None}] * 3)
    assert list(schema["properties"]) == ["name", "age", "note"]
    assert schema["required"] == ["name", "age"]
    assert schema["properties"]["age"] == {"type": "number"}
    assert schema["properties"]["note"] == {"type": "null"}
    assert schema["additionalProperties"] is False


def test_fields_in_different_orders_may_come_in_any() -> None:
    schema = inferred([{"from": "A", "to": "B"}, {"to": "B", "from": "A"}] * 3)
    assert "properties" not in schema
    check = jsonschema.Draft202012Validator(schema)
    assert check.is_valid({"to": "x", "from": "y"})
    assert not check.is_valid({"to": "x", "from": "y", "by": "z"})


@pytest.mark.parametrize(("number", "most"), [(98, None), (99, 2)])
def test_fields_in_any_order_are_no_more_than_were_seen_where_hardly_more_are_to_be_expected(
    number: int, most: int | None
) -> None:
    """A grammar of patterns would let a model write fields until its limit."""
    pairs = [{"from": "A", "to": "B"}, {"to": "B", "from": "A"}, {"by": "C"}]
    schema = inferred([pairs[place % 3] for place in range(number)])
    assert schema.get("maxProperties") == most


@pytest.mark.parametrize(
    ("values", "closed"),
    [
        (["on", "off"] * 40, True),
        (["on", "off"] * 10, False),  # too few to say so
        ([*["on", "off"] * 40, "dim", "out"], False),  # two in a hundred were seen once
        ([f"city {number}" for number in range(90)], False),
    ],
)
def test_texts_are_an_enumeration_only_where_hardly_a_new_one_is_to_be_expected(
    values: list[str], closed: bool
) -> None:
    field = inferred([{"state": value} for value in values])["properties"]["state"]
    assert field == ({"type": "string", "enum": sorted(set(values))} if closed else {"type": "string"})


def test_names_that_are_data_are_not_fixed() -> None:
    schema = inferred([{f"person {number}": number} for number in range(120)])
    assert schema == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_labels_are_a_choice_and_not_to_know_is_one_where_examples_say_so() -> None:
    known = [example(label, number) for number, label in enumerate(["card", "cash"] * 10)]
    schema = answer_schemas.inferred(known, abstention="The documents do not say.")
    assert json.loads(schema) == {"type": "string", "enum": ["card", "cash"]}
    assert answer_schemas.outside(schema, [example("card"), new := example("cheque")]) == [new]
    unknown = [*known, example("", 99)]
    schema = answer_schemas.inferred(unknown, abstention="The documents do not say.")
    assert json.loads(schema)["enum"] == ["card", "cash", "The documents do not say."]


def test_few_answers_of_each_of_many_labels_are_a_closed_set() -> None:
    """150 intents with four messages of each: no label comes five times, and hardly a new one is to be expected."""
    intents = [f"intent_{number % 150}" for number in range(600)]
    known = [example(label, number) for number, label in enumerate(intents)]
    assert json.loads(answer_schemas.inferred(known, abstention=""))["enum"] == sorted(set(intents))
    names = [f"{label}_{number // 300}" for number, label in enumerate(intents)]  # two of each
    with pytest.raises(
        ConfigError, match=r"300 different ones in 600 answers, 0 of them seen once; labels occur thrice"
    ):
        answer_schemas.inferred([example(label, number) for number, label in enumerate(names)], abstention="")


def test_choices_of_each_example_are_its_schema() -> None:
    known = [example("a", number, choices=("a", "b")) for number in range(3)]
    assert answer_schemas.inferred(known, abstention="") == ""


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], "no training answer"),
        (
            [f"It rained for {number} days." for number in range(30)],
            r"a closed set of labels \(30 different ones; .* 5 times or more, and 0 of 30 are\), such as that of e0",
        ),
        (["card", "cash"] * 3, r"2 different ones; .* have to be ones that occur 5 times or more, and 0 of 6 are"),
        (["card"] * 6, r"a closed set of labels \(all are alike\)"),
        ([*['{"a": 1}'] * 30, "{a: 1"], "1 training answer of 31 are no JSON, such as that of e30"),
    ],
)
def test_answers_without_a_form_in_common_are_refused(answers: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refusal:
        answer_schemas.inferred([example(answer, number) for number, answer in enumerate(answers)], abstention="")
    assert refusal.value.cure
