"""The JSON schema that the answers of examples have in common: their labels, or the form of their JSON. Pure.

It is inferred to hold a model to what was seen, and so it is careful where an unseen answer may differ: a field is
required only where every answer has it, texts are an enumeration only where hardly a new one is to be expected,
fields stand in one order only where all answers agree on it, and their number is bounded only where hardly more are to
be expected.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import chain, combinations
from typing import Any, Literal

from twofold.errors import ConfigError
from twofold.examples.quality.labels import labels, why_open
from twofold.files.reading import counted, excerpt
from twofold.types import Example, Json

UNSEEN = 0.01
"""Largest share of values seen once: it estimates how likely the next value is a new one (Good 1953, Turing)."""
_DATA = 0.2
"""Share of field names seen once from which names are data themselves. Rare fields alone make 1 in 30 of 100 answers of
SNIPS; where any name was allowed for them, a small model wrote names of its own until its limit."""
_SEEN = 50
"""Fewest values from which that share says anything."""
_MOST = 200
"""Most values of an enumeration, and most fields of an object: more are an open set, and slow grammars."""
_SPECIAL = re.compile(r"([\\^$.|?*+()\[\]{}/])")
_CURE = (
    'Leave the part schema out of the arm\'s name, or write the schema: [generation].schema with schema_for = "schema".'
)


def inferred(examples: Sequence[Example], *, abstention: str) -> str:
    """The schema of these examples' answers, as JSON text; empty where each example brings its choices.

    Args:
        examples: Of the training split, as an arm may learn from them.
        abstention: A label too, where an example has no answer.

    Raises:
        ConfigError: the answers are free text, some of them are no JSON, or there is none.
    """
    known = [example for example in examples if example.references]
    if not known:
        raise ConfigError("there is no training answer that a schema could be inferred from", cure=_CURE)
    if all(example.choices for example in known):
        return ""
    values, broken = _parsed(known)
    if not broken:
        return json.dumps(_schema(values), ensure_ascii=False)
    if len(broken) < 0.1 * len(known):
        raise ConfigError(
            f"{counted(len(broken), 'training answer')} of {len(known)} are no JSON, such as that of {broken[0].id}: "
            f"{excerpt(broken[0].references[0], 60)!r}",
            cure="Correct these answers (`twofold examples check` lists examples).",
        )
    firsts = [example.references[0].strip() for example in known]
    if labels(known) == firsts:
        names = sorted(set(firsts)) + ([abstention] if abstention and len(known) < len(examples) else [])
        return json.dumps({"type": "string", "enum": names}, ensure_ascii=False)
    raise ConfigError(
        f"no schema can be inferred: the answers of {counted(len(known), 'training example')} are neither JSON nor a "
        f"closed set of labels ({why_open(firsts)}), such as that of "
        f"{broken[0].id}: {excerpt(broken[0].references[0], 60)!r}",
        cure=_CURE,
    )


def form(examples: Sequence[Example]) -> Literal["JSON", "labels", ""]:
    """What a schema of these examples' answers would be of; empty where they have none, or bring choices."""
    known = [example for example in examples if example.references]
    if not known or any(example.choices for example in known):
        return ""
    if not _parsed(known)[1]:
        return "JSON"
    return "labels" if labels(known) == [example.references[0].strip() for example in known] else ""


def outside(schema: str, examples: Sequence[Example]) -> list[Example]:
    """The examples none of whose answers the schema lets a model write."""
    import jsonschema

    if not schema:
        return []
    check = jsonschema.validators.validator_for(known := json.loads(schema))(known)
    strings = known.get("type") == "string"

    def written(text: str) -> bool:
        try:
            return bool(check.is_valid(text.strip() if strings else json.loads(text)))
        except (ValueError, RecursionError):
            return False

    return [e for e in examples if e.references and not any(map(written, e.references))]


def _parsed(examples: Sequence[Example]) -> tuple[list[Any], list[Example]]:
    """The answers that are JSON objects or lists, and the examples of which one is neither."""
    values, broken = [], []
    for example in examples:
        try:
            read = [json.loads(text) for text in example.references]
        except (ValueError, RecursionError):
            read = [None]
        if all(isinstance(value, dict | list) for value in read):
            values += read
        else:
            broken.append(example)
    return values, broken


def _schema(values: Sequence[Any]) -> Json:
    """The schema of values that stand in the same place."""
    kinds: dict[str, list[Any]] = {}
    for value in values:
        kinds.setdefault(_kind(value), []).append(value)
    # A field with 1 and 1.5 has numbers.
    if {"integer", "number"} <= kinds.keys():
        kinds["number"] += kinds.pop("integer")
    makers: Mapping[str, Callable[[Any], Json]] = {"object": _object, "array": _array, "string": _text}
    schemas = [makers[kind](items) if kind in makers else {"type": kind} for kind, items in kinds.items()]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas} if schemas else {}


def _kind(value: Any) -> str:
    # `bool` first: in Python True is an integer.
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "array" if isinstance(value, list) else "null"


def _text(values: Sequence[str]) -> Json:
    if len(values) >= _SEEN and _closed(values):
        return {"type": "string", "enum": sorted(set(values))}
    return {"type": "string"}


def _closed(values: Iterable[str], *, unseen: float = UNSEEN) -> bool:
    """Is hardly a value to be expected that was not seen?"""
    seen = Counter(values)
    once = sum(number == 1 for number in seen.values())
    return len(seen) <= _MOST and once <= unseen * seen.total()


def _array(values: Sequence[list[Any]]) -> Json:
    items = list(chain.from_iterable(values))
    return {"type": "array", "items": _schema(items)} if items else {"type": "array"}


def _object(values: Sequence[Mapping[str, Any]]) -> Json:
    fields: dict[str, list[Any]] = {}
    for value in values:
        for name, item in value.items():
            fields.setdefault(name, []).append(item)
    schemas = {name: _schema(items) for name, items in fields.items()}
    required = [name for name, items in fields.items() if len(items) == len(values)]
    # Names that are data themselves, such as those of people: any name may come.
    if not required and not _closed(chain.from_iterable(values), unseen=_DATA):
        return {"type": "object", "additionalProperties": _schema(list(chain.from_iterable(fields.values())))}
    order = _order(values, list(fields))
    result: Json = {"type": "object"}
    if order is not None:
        # A grammar writes properties in the order in which the schema has them.
        result["properties"] = {name: schemas[name] for name in order}
    else:
        names: dict[str, list[str]] = {}
        for name, schema in schemas.items():
            names.setdefault(json.dumps(schema), []).append(_SPECIAL.sub(r"\\\1", name))
        result["patternProperties"] = {f"^({'|'.join(alike)})$": json.loads(text) for text, alike in names.items()}
        # A grammar lets patterns match for ever, one name twice too: a small model then fills fields until its limit.
        # The next of n objects has more fields than all of them with a chance of at most 1 / (n + 1).
        if UNSEEN * (len(values) + 1) >= 1:
            result["maxProperties"] = max(map(len, values))
    return {**result, "required": required, "additionalProperties": False}


def _order(values: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str] | None:
    """The order in which all objects have their fields; None where they disagree."""
    before: dict[str, set[str]] = {name: set() for name in names}
    for value in values:
        for first, second in combinations(value, 2):
            before[second].add(first)
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:
        return None
