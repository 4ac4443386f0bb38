"""Structured output: JSON of the right shape, how many of its fields are right, and the sections of a note.

The first two apply to examples whose references are JSON objects or arrays, the third where a reference has headings;
they are None elsewhere. The JSON of an answer is found in a code fence and between sentences (`formal.found_json`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, field_validator

from twofold.metrics.formal import found_json, parse
from twofold.metrics.text import common_subsequence, label
from twofold.plugins import protocols
from twofold.types import Answer, Example, Json

_HEADING = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+(?P<hashed>\S[^\n]*)|(?P<named>[^\W\d][^\n:.!?;]{0,48}):(?=\s|$))", re.M)
_HEADING_WORDS = 6
_MOST_PAIRS = 40_000
"""Pairs of unequal array items that are looked at; longer arrays are compared in their order."""


def _references(example: Example) -> list[Any]:
    return [value for value in map(parse, example.references) if value is not None]


class JsonValid:
    """1 when the answer parses and has the shape wanted.

    The shape: `Options.schema` (a JSON schema, draft 2020-12) when given; else the shape of a reference: an object
    with the same top-level keys and a value of the same JSON type under each, or an array.
    """

    version: ClassVar[int] = 4
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

            try:
                jsonschema.Draft202012Validator.check_schema(value)
            except jsonschema.SchemaError as error:
                raise ValueError(f"not a JSON schema: {error.message}") from error
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
            import jsonschema

            return float(jsonschema.Draft202012Validator(self.options.json_schema).is_valid(value))
        return float(any(_shape(value) == _shape(reference) for reference in references))

    def wants(self, example: Example) -> str:
        """The shape of the reference."""
        return repr([_shape(value) for value in _references(example)[:1]])


def _shape(value: Any) -> Any:
    return {key: _kind(item) for key, item in value.items()} if isinstance(value, dict) else _kind(value)


def _kind(value: Any) -> str:
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
        return repr([_form(value) for value in _references(example)[:1]])


def field_f1(mine: Any, theirs: Any) -> float:
    """F1 of the fields of two JSON values; see `FieldF1`."""
    return 2 * _agreeing(mine, theirs) / (_leaves(mine) + _leaves(theirs))


def _agreeing(mine: Any, theirs: Any) -> int:
    """How many leaves of the two values agree in path and value; an empty object or array is a leaf."""
    if isinstance(mine, dict) and isinstance(theirs, dict) and mine and theirs:
        mine = {unicodedata.normalize("NFC", key): item for key, item in mine.items()}
        theirs = {unicodedata.normalize("NFC", key): item for key, item in theirs.items()}
        return sum(_agreeing(mine[key], theirs[key]) for key in mine.keys() & theirs.keys())
    if isinstance(mine, list) and isinstance(theirs, list) and mine and theirs:
        return _matched(mine, theirs)
    return int(_form(mine) == _form(theirs))


def _matched(mine: Sequence[Any], theirs: Sequence[Any]) -> int:
    """Agreeing leaves of two arrays, items matched: equal ones first, then greedily those that agree in most."""
    if _is_numbers(mine) and _is_numbers(theirs):
        names: dict[Any, str] = {}  # 1 and 1.0 are one value
        my_numbers = tuple(names.setdefault(item, str(len(names))) for item in mine)
        their_numbers = tuple(names.setdefault(item, str(len(names))) for item in theirs)
        return common_subsequence(my_numbers, their_numbers)
    # Equal items go first: they are found by their form, without comparing all pairs.
    ours, others = Counter(map(_form, mine)), Counter(map(_form, theirs))
    equal = ours & others
    left, right = _without(mine, equal), _without(theirs, equal)
    total = sum(_leaves_of_form(form) * count for form, count in equal.items())
    if len(left) * len(right) > _MOST_PAIRS:
        return total + sum(map(_agreeing, left, right))
    # Of pairs that agree in as many leaves those of like size come first, then those at like places.
    pairs = [
        (count, -abs(_leaves(a) - _leaves(b)), -i, -j)
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if (count := _agreeing(a, b))
    ]
    used: set[tuple[str, int]] = set()
    for count, _, i, j in sorted(pairs, reverse=True):
        if not {("left", i), ("right", j)} & used:
            used |= {("left", i), ("right", j)}
            total += count
    return total


def _is_numbers(items: Sequence[Any]) -> bool:
    return all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in items)


def _without(items: Sequence[Any], taken: Counter[Any]) -> list[Any]:
    rest, out = Counter(taken), []
    for item in items:
        form = _form(item)
        if rest[form]:
            rest[form] -= 1
        else:
            out.append(item)
    return out


def _form(value: Any) -> Any:
    """A value by what counts of it, hashable.

    Types, keys, strings without case and extra blanks, items as a bag, and numbers in their order.
    """
    if isinstance(value, dict) and value:
        return "object", frozenset((unicodedata.normalize("NFC", key), _form(item)) for key, item in value.items())
    if isinstance(value, list) and value:
        forms = tuple(map(_form, value))
        return ("numbers", forms) if _is_numbers(value) else ("array", frozenset(Counter(forms).items()))
    if isinstance(value, str):
        return "string", " ".join(unicodedata.normalize("NFC", value).casefold().split())
    if isinstance(value, bool) or value is None:
        return "constant", repr(value)
    return ("empty", repr(value)) if isinstance(value, (dict, list)) else ("number", value)


def _leaves(value: Any) -> int:
    if isinstance(value, dict) and value:
        return sum(map(_leaves, value.values()))
    return sum(map(_leaves, value)) if isinstance(value, list) and value else 1


def _leaves_of_form(form: Any) -> int:
    kind, inner = form
    if kind == "object":
        return sum(_leaves_of_form(item) for _, item in inner)
    if kind == "numbers":
        return len(inner)
    return sum(_leaves_of_form(item) * count for item, count in inner) if kind == "array" else 1


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


def bag_f1(mine: Counter[str], theirs: Counter[str]) -> float:
    """F1 of two bags; of which one is empty, 1 when both are."""
    both = mine.total() + theirs.total()
    return 2 * (mine & theirs).total() / both if both else 1.0


def headings(text: str) -> Counter[str]:
    """Bag of the headings of a text, as labels."""
    titles = (match["hashed"] or match["named"] for match in _HEADING.finditer(text))
    return Counter(label(one) for one in titles if len(one.split()) <= _HEADING_WORDS)
