"""Which JSON schemas join a running batch untried."""

from __future__ import annotations

import json

import pytest

from twofold.generation.live.trials import SchemaTrials
from twofold.types import Json

TREE: Json = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}}}


def usable(schema: Json) -> bool:
    trials = SchemaTrials({"settings": {}})
    try:
        return trials.usable(json.dumps(schema))
    finally:
        trials.close()


def test_a_reference_that_comes_back_within_an_object_needs_no_trial() -> None:
    assert usable({"$defs": {"tree": TREE}, "$ref": "#/$defs/tree"})


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "string"}]}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"type": "string"}}, "$ref": "a"},
        {"$defs": {"a/b": {"type": "string"}}, "$ref": "#/$defs/a/b"},
    ],
    ids=["itself", "itself-or-another", "no-place-in-the-schema", "a-path"],
)
def test_a_reference_that_may_lead_nowhere_is_tried_first(schema: Json) -> None:
    """The grammar is compiled within a step of the whole batch: one without an end would end every request."""
    assert not usable(schema)
