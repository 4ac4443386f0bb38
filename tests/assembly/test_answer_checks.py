"""An answer that does not satisfy its schema is found, whatever the schema is, in bounded time."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from datetime import date
from typing import Any

import jsonschema
import pytest

from twofold.assembly import answer_checks
from twofold.assembly.answer_checks import violation
from twofold.assembly.schemas import require_valid
from twofold.errors import ConfigError


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "multipleOf": 7}, 14, 15),
        ({"type": "array", "uniqueItems": True}, [1, 2], [1, 1]),
        ({"type": "object", "required": ["z"], "properties": {}}, {"z": 1}, {}),
        ({"allOf": [{"type": "integer"}, {"maximum": 5}]}, 5, 6),
        ({"$defs": {"n": {"minimum": 1}}, "$ref": "#/$defs/n", "maximum": 2}, 2, 3),
        ({"items": [{"type": "null"}], "$schema": "http://json-schema.org/draft-07/schema#"}, [None, 1], [1]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) and value else "",
)
def test_what_an_engine_does_not_hold_to_is_found(schema: Any, good: Any, bad: Any) -> None:
    assert violation(json.dumps(good), json.dumps(schema)) == ""
    assert violation(json.dumps(bad), json.dumps(schema)) != ""


@pytest.mark.parametrize(
    ("schema", "valid"),
    [
        ({"type": "number", "multipleOf": 0.01}, 19.99),
        ({"multipleOf": 0.5}, 10**400),
        ({"type": "integer", "multipleOf": 7}, 7.0e30),
        ({"not": {"pattern": "^a"}}, "b"),
        ({"oneOf": [{"type": "string", "pattern": "^[0-9]+$"}, {"type": "string", "pattern": "^[A-Z]+$"}]}, "AB"),
        ({"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "email"}]}, "a@b.example"),
        ({"if": {"properties": {"k": {"pattern": "^a"}}}, "then": {"required": ["z"]}}, {"k": "b"}),
        ({"contains": {"pattern": "^a"}, "maxContains": 1}, ["a", "b"]),
        ({"unevaluatedProperties": False, "if": {"format": "date"}, "else": {"properties": {"a": {}}}}, {"a": 1}),
        ({"const": {"$schema": "http://json-schema.org/draft-07/schema#"}}, {"$schema": "x"}),
        ({"enum": [{"$schema": "http://json-schema.org/draft-07/schema#"}]}, {"$schema": "x"}),
        ({"properties": {"format": {"type": "string"}, "pattern": {"not": {"const": 1}}}}, {"pattern": 1.5}),
    ],
)
def test_no_valid_answer_is_refused_for_what_is_not_checked(schema: Any, valid: Any) -> None:
    if isinstance(valid, dict) and "$schema" in valid:
        valid = schema.get("const") or schema["enum"][0]
    assert violation(json.dumps(valid), json.dumps(schema)) == ""


def random_value(chance: random.Random, depth: int = 3) -> Any:
    """A JSON value with all that libraries disagree about."""
    leaves = [0, 1, 1.0, -1, 0.1, 10**30, 1e30, True, False, None, "", "a", "é", "e\u0301", "😀", "2026-11-30", "1"]
    kind = chance.randrange(4) if depth else 0
    if kind < 2:
        return chance.choice(leaves)
    if kind == 2:
        return [random_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {name: random_value(chance, depth - 1) for name in chance.sample(["a", "b", "é", "a b/c~d", "$ref"], 2)}


def random_schema(chance: random.Random, depth: int = 3) -> Any:
    """A schema of any keywords, some of which contradict each other."""

    def inner() -> Any:
        return random_schema(chance, depth - 1)

    def several() -> Any:
        return [inner() for _ in range(chance.randint(1, 3))]

    if not depth or chance.random() < 0.1:
        return chance.choice([True, {}, {"$ref": "#/$defs/a~1b"}, {"$ref": "#there"}, {"type": "integer"}])
    makers = {
        "type": lambda: chance.sample(["integer", "number", "string", "null", "boolean", "array", "object"], 4),
        "enum": lambda: [random_value(chance) for _ in range(5)],
        "const": lambda: random_value(chance),
        "multipleOf": lambda: chance.choice([1, 0.5, 7]),
        "maximum": lambda: chance.choice([0, 1, 1e30]),
        "exclusiveMinimum": lambda: chance.choice([-1, 0.5]),
        "maxLength": lambda: chance.choice([1, 2]),
        "uniqueItems": lambda: True,
        "nullable": lambda: True,
        "pattern": lambda: chance.choice(["^a", "é"]),
        "format": lambda: "date",
        "properties": lambda: {name: inner() for name in ("a", "é", "a b/c~d")},
        "patternProperties": lambda: {"^[ab]$": inner()},
        "additionalProperties": inner,
        "unevaluatedProperties": lambda: chance.choice([False, {"type": "null"}]),
        "required": lambda: ["a"],
        "dependentSchemas": lambda: {"a": inner()},
        "propertyNames": inner,
        "items": inner,
        "prefixItems": several,
        "contains": inner,
        "maxContains": lambda: 1,
        "unevaluatedItems": lambda: False,
        "allOf": several,
        "anyOf": several,
        "oneOf": several,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
    }
    return {name: makers[name]() for name in chance.sample(sorted(makers), chance.randint(1, 4))}


def test_whatever_satisfies_a_schema_for_the_library_is_not_refused() -> None:
    chance = random.Random(3)
    valid = invalid = refused = 0
    for _ in range(400):
        shared = {"a/b": {"items": {"minimum": 0}}, "c": {"$anchor": "there", "type": ["array", "string", "object"]}}
        schema = {"$defs": shared, "allOf": [random_schema(chance)]}
        judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        for value in [random_value(chance) for _ in range(6)]:
            fault = violation(json.dumps(value), json.dumps(schema))
            if judge.is_valid(value):
                valid += 1
                assert fault == "", (schema, value)
            else:
                invalid += 1
                refused += bool(fault)
    assert min(valid, invalid) > 300
    assert refused / invalid > 0.5, "patterns and formats are left out, and little else"


@pytest.mark.parametrize(
    "part",
    [
        {"minimum": "a"},
        {"required": 5},
        {"properties": 3},
        {"type": "x"},
        {"enum": 5},
        {"multipleOf": 0},
        {"multipleOf": "a"},
        7,
    ],
)
@pytest.mark.parametrize("draft", ["draft-04/schema#", "draft-07/schema#", "draft/2020-12/schema"])
def test_a_reference_to_what_is_no_schema_is_refused_where_the_schema_is_taken(part: Any, draft: str) -> None:
    named = {"$schema": f"http{'s' * ('2020' in draft)}://json-schema.org/{draft}"}
    for schema in ({"$ref": "#/x", "x": part}, {"items": {"$ref": "#/x"}, "x": {"not": {"$ref": "#/x/y"}, "y": part}}):
        with pytest.raises(ConfigError, match="refers to '#/x"):
            require_valid({**named, **schema}, "the schema", cure="Correct it.")


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"multipleOf": float("inf")}, "it contains inf, which is no value of JSON"),
        ({"properties": {"a": {"enum": [1, float("nan")]}}}, "it contains nan, which is no value of JSON"),
        ({"const": date(2026, 11, 30)}, "it contains 2026-11-30, which is no value of JSON"),
        ({"$defs": {"a": {"$id": "http://[", "$defs": {"b": {"$id": "c"}}}}}, "refers to 'c'"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "draft 3 is not supported"),
        ({"$dynamicRef": "#nowhere"}, "refers to '#nowhere'"),
        ({"items": {"$ref": ""}}, "refers to ''"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "$ref": 5}, "refers to '5'"),
    ],
    ids=["inf", "nan", "date", "id", "draft", "dynamic", "empty", "number"],
)
def test_a_schema_that_no_answer_can_be_checked_by_is_refused_where_it_is_taken(schema: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(fault)) as caught:
        require_valid(schema, "the schema", cure="Correct it.")
    assert caught.value.cure


def test_anchors_of_a_large_schema_are_looked_up_once() -> None:
    parts = {f"p{n}": {"type": "integer"} for n in range(3000)}
    schema = {"$defs": {**parts, "a": {"$dynamicAnchor": "a", "minimum": 0}}, "items": {"$dynamicRef": "#a"}}
    require_valid(schema, "the schema", cure="Correct it.")
    begun = time.process_time()
    assert violation(json.dumps([1] * 1000), json.dumps(schema)) == ""
    assert violation(json.dumps([-1] * 1000), json.dumps(schema)) != ""
    assert time.process_time() - begun < 5, "it took 6 ms for each item"


def test_a_schema_that_was_taken_is_checked_without_a_fault_of_the_server() -> None:
    chance = random.Random(11)
    drafts = ["draft-04/schema#", "draft-06/schema#", "draft-07/schema#"]
    named = [f"http://json-schema.org/{draft}" for draft in drafts]
    named += [f"https://json-schema.org/draft/{year}/schema" for year in ("2019-09", "2020-12")]
    taken = refused = 0
    for _ in range(600):
        places = ["#/x", "#/x/y", "#/$defs/a", "#/$defs/a~1b", "#/properties/a", "#"]
        dependencies = chance.choice([{}, {"a": ["b"]}, {"a": random_schema(chance), "b": ["items"]}])
        schema = {
            "$schema": chance.choice(named),
            "$defs": {"a/b": random_schema(chance), "a": {"$ref": chance.choice(places)}},
            "x": chance.choice([random_schema(chance), random_value(chance), {"y": random_schema(chance)}]),
            "properties": {"a": random_schema(chance), "é": {"$ref": chance.choice(places)}},
            "allOf": [random_schema(chance), {"dependencies": dependencies}],
        }
        try:
            require_valid(schema, "the schema", cure="Correct it.")
        except ConfigError:
            refused += 1
            continue
        taken += 1
        for _ in range(3):
            violation(json.dumps(random_value(chance)), json.dumps(schema))
    assert min(taken, refused) > 50, (taken, refused)


def test_large_answers_are_checked_in_time() -> None:
    begun = time.process_time()
    objects = [{"a": number} for number in range(4000)]
    assert violation(json.dumps(objects), json.dumps({"uniqueItems": True})) == ""
    assert violation(json.dumps([*objects, {"a": 0.0}]), json.dumps({"uniqueItems": True})) != ""
    listed = {"items": {"enum": objects[:1600]}}
    assert violation(json.dumps([objects[1599]] * 4000), json.dumps(listed)) == ""
    rows = {"items": {"properties": {"a": {"type": ["string", "null"]}, "b": {"anyOf": [{"type": "null"}, {}]}}}}
    assert violation(json.dumps([{"a": "x" * 9, "b": 1}] * 8000), json.dumps(rows)) == ""
    assert time.process_time() - begun < 5


def test_what_is_no_json_satisfies_nothing() -> None:
    assert violation("NaN", "{}") == "it is no JSON"
    assert violation("025", "{}") == "it is no JSON"
    assert violation("[" * 100_000, "{}") == "it is nested too deeply to be checked"


def doubled(keyword: str, inner: Any, levels: int) -> Any:
    """A schema in which each level names the next one twice."""
    parts = {f"l{n}": {keyword: [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**parts, f"l{levels}": inner}, "$ref": "#/$defs/l0"}


@pytest.mark.parametrize(
    "schema",
    [
        doubled("oneOf", {"type": "string"}, 40),
        doubled("anyOf", {"not": {}}, 40),
        {"not": {"pattern": "^(a+)+$"}},
        {"$ref": "#/x", "x": {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"}},
        {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
    ],
    ids=["one of", "any of", "pattern", "another draft", "names"],
)
def test_a_schema_that_takes_for_ever_to_check_does_not(schema: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_checks, "_STEPS", 1000)
    begun = time.process_time()
    for answer in ("a" * 40 + "!", {"a" * 40 + "!": 1}):
        violation(json.dumps(answer), json.dumps(schema))
    assert time.process_time() - begun < 5


def test_equal_items_of_a_long_list_are_looked_for_a_few_times_and_not_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer_checks, "_STEPS", 20_000)
    answer = json.dumps([{"n": number} for number in range(300)])
    assert violation(answer, json.dumps({"uniqueItems": True})) == ""
    begun = time.process_time()
    assert "steps" in violation(answer, json.dumps(doubled("allOf", {"uniqueItems": True}, 12)))
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("answer", "inner"),
    [
        ([[0] * 1000], {"enum": [1]}),
        (5, {"const": [{"a": 1}] * 1000}),
        ({"a": 1}, {"properties": {f"p{n}": {} for n in range(1000)}, "required": ["z"]}),
    ],
    ids=["answer", "const", "properties"],
)
def test_what_a_keyword_goes_through_counts_as_steps(answer: Any, inner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_checks, "_STEPS", 20_000)
    # Some 5000 keywords, each of which quotes or compares a thousand values.
    assert "steps" in violation(json.dumps(answer), json.dumps(doubled("anyOf", inner, 10)))
    assert "steps" not in violation("true", json.dumps(doubled("anyOf", {"enum": [1]}, 10)))


def test_a_long_answer_that_satisfies_its_schema_is_not_refused() -> None:
    fields = {name: {"type": "string", "minLength": 1} for name in "abcde"}
    row = {"type": "object", "required": ["a", "b"], "properties": fields, "additionalProperties": False}
    answer = [dict.fromkeys("abcde", "x")] * 2000
    assert violation(json.dumps(answer), json.dumps({"type": "array", "items": row})) == ""


def test_a_number_beyond_all_others_is_no_fault_of_the_server() -> None:
    assert "too large" in violation("1e400", json.dumps({"multipleOf": 0.5}))
    assert violation("9" * 400, json.dumps({"multipleOf": 0.5})) == ""


def test_every_price_in_cents_is_a_multiple_of_a_hundredth() -> None:
    schema = json.dumps({"type": "number", "multipleOf": 0.01})
    for cents in range(30):
        assert violation(f"{cents / 100:.2f}", schema) == ""
        assert violation(f"{cents / 100:.2f}5", schema) != ""


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", refused)
    schema = {"x": {"$ref": "http://a.example/s"}, "$ref": "#/x"}
    assert violation("1", json.dumps(schema)) == "a reference of the schema leads nowhere"
