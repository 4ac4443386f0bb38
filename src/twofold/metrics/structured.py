"""Structured output: JSON of the right shape, how many of its fields are right, and the sections of a note.

The first two apply to examples whose references are JSON objects or arrays, the third where a reference has headings;
they are None elsewhere. A code fence around JSON is taken off.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, field_validator

from twofold import plugins
from twofold.metrics.text import label
from twofold.types import Answer, Example, Json

_HEADING = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+(?P<hashed>\S[^\n]*)|(?P<named>[^\W\d][^\n:.!?;]{0,48}):(?=\s|$))", re.M)
_HEADING_WORDS = 6
_FENCE = re.compile(r"^```[\w-]*\s*\n(.*?)\n?```\s*$", re.DOTALL)


@lru_cache(maxsize=16384)
def parse(text: str) -> Any:
    """The JSON object or array in `text`, or None when there is none (a bare number or string is plain text)."""
    stripped = text.strip()
    fenced = _FENCE.match(stripped)
    try:
        value = json.loads(fenced.group(1) if fenced else stripped)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def _references(example: Example) -> list[Any]:
    return [value for value in (parse(text) for text in example.references) if value is not None]


class JsonValid:
    """1 when the answer parses and has the shape wanted.

    The shape: `Options.schema` (a JSON schema, draft 2020-12) when given; else the shape of a reference: an object
    with the same top-level keys and a value of the same JSON type under each, or an array.
    """

    version: ClassVar[int] = 1
    reference_free: ClassVar[bool] = True
    """Another example's gold answer is valid too: shuffling proves nothing."""

    class Options(plugins.Options):
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
        value = parse(answer.text)
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
    """F1 of flattened fields: a field is its path and its value (text without case and extra white space).

    Items of an array share one path: their order does not matter. An answer that does not parse scores 0.
    """

    version: ClassVar[int] = 1
    Options: ClassVar[type[plugins.Options]] = plugins.Options

    def __init__(self, options: plugins.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """Best F1 over the references, in [0, 1]; None when they are not JSON."""
        references = _references(example)
        if not example.answerable or not references:
            return None
        value = parse(answer.text)
        return 0.0 if value is None else max(_field_f1(fields(value), fields(reference)) for reference in references)

    def wants(self, example: Example) -> str:
        """The reference's fields."""
        return repr([sorted(fields(value).items()) for value in _references(example)[:1]])


def fields(value: Any) -> Counter[tuple[str, str]]:
    """Bag of (path, value) of all leaves; an empty object or array is a leaf."""
    out: Counter[tuple[str, str]] = Counter()
    todo: list[tuple[str, Any]] = [("", value)]
    while todo:
        path, here = todo.pop()
        if isinstance(here, dict) and here:
            todo += [(f"{path}.{key}", item) for key, item in here.items()]
        elif isinstance(here, list) and here:
            todo += [(f"{path}[]", item) for item in here]
        else:
            out[path, _plain(here)] += 1
    return out


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _field_f1(mine: Counter[Any], theirs: Counter[Any]) -> float:
    return 2 * (mine & theirs).total() / (mine.total() + theirs.total())


class SectionF1:
    """F1 of the headings of a text, such as the sections of a clinical note: are the right ones there, and no others?

    A heading is a line that begins with `#` signs, or the beginning of a line up to a colon (at most 49 characters and
    six words, the first a letter). Case, punctuation and order do not matter.
    """

    version: ClassVar[int] = 1
    Options: ClassVar[type[plugins.Options]] = plugins.Options

    def __init__(self, options: plugins.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """Best F1 over the references that have headings, in [0, 1]; None when none has."""
        references = [found for found in map(headings, example.references) if found]
        if not example.answerable or not references:
            return None
        mine = headings(answer.text)
        return max(_field_f1(mine, reference) for reference in references)

    def wants(self, example: Example) -> str:
        """The reference's headings."""
        return repr([sorted(headings(text)) for text in example.references[:1]])


def headings(text: str) -> Counter[str]:
    """Bag of the headings of a text, as labels."""
    found = (match["hashed"] or match["named"] for match in _HEADING.finditer(text))
    return Counter(label(one) for one in found if len(one.split()) <= _HEADING_WORDS)
