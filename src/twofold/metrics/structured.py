"""Structured output: JSON of the right shape, how many of its fields are right, and the sections of a note.

The first two apply to examples whose references are JSON objects or arrays, the third where a reference has headings;
they are None elsewhere. The JSON of an answer is found in a code fence and between sentences (`formal.found_json`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict, Field, field_validator

from twofold.metrics import json_schemas
from twofold.metrics.agreement import bag_f1, field_f1, form_of, headings
from twofold.metrics.formal import found_json, parse
from twofold.plugins import protocols
from twofold.types import Answer, Example, Json


def _references(example: Example) -> list[Any]:
    return [value for value in map(parse, example.references) if value is not None]


class JsonValid:
    """1 when the answer parses and has the shape wanted.

    The shape: `Options.schema` (a JSON schema, draft 2020-12) when given; else the shape of a reference: an object
    with the same top-level keys and a value of the same JSON type under each, or an array.
    """

    version: ClassVar[int] = 5
    reference_free: ClassVar[bool] = True
    """Another example's gold answer is valid too: shuffling proves nothing."""

    class Options(protocols.Options):
        """Options of `json_valid`."""

        model_config = ConfigDict(populate_by_name=True)

        json_schema: Json = Field(default_factory=dict, alias="schema")
        """JSON schema every answer must satisfy (key ``schema``); empty: the shape of the example's reference."""

        @field_validator("json_schema")
        @classmethod
        def _is_schema(cls, value: Json) -> Json:
            import jsonschema

            draft = jsonschema.Draft202012Validator
            try:
                draft.check_schema(value)
            except jsonschema.SchemaError as error:
                raise ValueError(f"not a JSON schema: {error.message}") from error
            if fault := json_schemas.unusable(value, draft):
                raise ValueError(f"a JSON schema that cannot be used: {fault}")
            reference = json_schemas.unresolved(value, draft)
            if reference is not None:
                raise ValueError(
                    f"its reference {reference!r} leads to no schema within it: put what it names into $defs"
                )
            return value

    def __init__(self, options: Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """1 or 0; None when the references are not JSON and there is no schema."""
        references = _references(example)
        if not example.answerable or (not references and not self.options.json_schema):
            return None
        value = found_json(answer.text)
        if value is None:
            return 0.0
        if self.options.json_schema:
            try:
                return float(json_schemas.validator(self.options.json_schema).is_valid(value))
            except OverflowError:
                return 0.0  # a number that no float holds is a multiple of nothing
        return float(any(_shape(value) == _shape(reference) for reference in references))

    def wants(self, example: Example) -> str:
        """The shape of the reference."""
        return repr([_shape(value) for value in _references(example)[:1]])


def _shape(value: Any) -> Any:
    # The first level only: what lies deeper is for `field_f1` to say.
    return {key: _kind(item) for key, item in value.items()} if isinstance(value, dict) else _kind(value)


def _kind(value: Any) -> str:
    # To Python a bool is an int.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


class FieldF1:
    """F1 of the fields of two JSON values: a field is its path and its value (strings without case and extra blanks).

    The items of an array are matched with those of the other so that most fields agree: their order does not matter,
    and the fields of one item stay together. Numbers have an order (a point, a range): of two arrays of numbers the
    longest common subsequence agrees. Types count: null, ``"null"``, ``[]`` and ``"[]"`` are four values. An
    answer without JSON scores 0.
    """

    version: ClassVar[int] = 5
    Options: ClassVar[type[protocols.Options]] = protocols.Options

    def __init__(self, options: protocols.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """Best F1 over the references, in [0, 1]; None when they are not JSON."""
        references = _references(example)
        if not example.answerable or not references:
            return None
        value = found_json(answer.text)
        return 0.0 if value is None else max(field_f1(value, reference) for reference in references)

    def wants(self, example: Example) -> str:
        """The reference's fields."""
        return repr([form_of(value) for value in _references(example)[:1]])


class SectionF1:
    """F1 of the headings of a text, such as the sections of a clinical note: are the right ones there, and no others?

    A heading is a line that begins with `#` signs, or the beginning of a line up to a colon (at most 49 characters and
    six words, the first a letter). Case, punctuation and order do not matter.
    """

    version: ClassVar[int] = 3
    right: ClassVar[float | None] = None
    Options: ClassVar[type[protocols.Options]] = protocols.Options

    def __init__(self, options: protocols.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """Best F1 over the references that have headings, in [0, 1]; None when none has."""
        references = [found for found in map(headings, example.references) if found]
        if not example.answerable or not references:
            return None
        mine = headings(answer.text)
        return max(bag_f1(mine, reference) for reference in references)

    def wants(self, example: Example) -> str:
        """The reference's headings."""
        return repr([sorted(headings(text)) for text in example.references[:1]])
