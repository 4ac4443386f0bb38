"""Spell an answer as text: one rule for the project's own files and for imported files. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from twofold.files.reading import parsed, spelled
from twofold.hashing import canonical_json
from twofold.text.wrapping import answer_text
from twofold.types import Json

REFERENCES = ("answers", "outputs", "output", "answer", "reference")
"""Fields of the project's own files that hold answers."""
FIELDS = frozenset((
    "question", "input", "messages", *REFERENCES, "id", "doc_ids", "sources", "spans", "grades", "answerable",
    "choices", "group", "origin", "maker", "parent", "at", "date", "split", "tests",
    "query", "text", "utterance", "label", "intent", "completion", "response", "conversations", "conversation",
    "instruction", "context", "system", "system_prompt", "history", "prompt", "chosen", "rejected",
    "preferred_output", "non_preferred_output", "kto_tag", "is_impossible",
))  # fmt: skip
"""Fields that the project's own files or a shape of others' have, some left out knowingly."""
_SEVERAL = ("answers", "outputs")
"""Fields that hold a list of answers, in a table as JSON text."""
_VALUE = ("output", "completion", "response", "chosen")
"""Fields that hold one answer: a list there is itself the answer."""


def named_as_ours(record: Mapping[str, Any]) -> Json:
    """The record with its known fields in our spelling: ``Question`` heads a spreadsheet's column as often."""
    out: Json = {}
    for field, value in record.items():
        name = field.strip().lower()
        out[name if name in FIELDS and name not in record and name not in out else field] = value
    return out


def answers_of(value: Any, field: str) -> list[str]:
    """The texts of the answers in a field, missing and empty ones left out.

    Strings stay, numbers are spelled as the file has them, true and false as JSON has them, objects and inner lists
    are JSON text. SQuAD's ``{"text": [...], "answer_start": [...]}`` is its texts. Reasoning before an answer
    (``<think>…</think>``) is no part of it.

    Args:
        value: As read.
        field: Name of the field; in ``output`` a list is one answer. So is a list with objects or lists in a field
            named in the singular (``"answer": [{…}, {…}]``); any other list is several answers, each right alone.
    """
    # A table's cell is text: a list in it is opened only where it holds texts, for JSON may be the answer itself.
    if field in _SEVERAL and isinstance(value, str):
        opened = cell(value)
        value = opened if _is_squad(opened) or _is_texts(opened) else value
    if _is_squad(value):
        value = value["text"]
    items = value if isinstance(value, list) and not _is_one(value, field) else [value]
    texts: list[str] = []
    for item in items:
        if _is_squad(item):
            texts += answers_of(item["text"], "answers")
        elif isinstance(item, (dict, list)):
            texts.append(canonical_json(item))
        elif item is not None:
            text = spelled(item)
            # An answer's reasoning is left out; where there is nothing else, it is the answer.
            texts.append(answer_text(text) or text)
    return [text for text in texts if text]


def json_answers(texts: Sequence[str]) -> Literal["", "one list", "several"]:
    """The kind of an example's JSON answers, where another kind is easily meant.

    One JSON array of objects, which is right as a whole, or several JSON values, each of which is right alone.
    """
    values = [cell(text) for text in texts]
    if not values or not all(isinstance(value, (dict, list)) for value in values):
        return ""
    if len(values) > 1:
        return "several"
    return "one list" if isinstance(values[0], list) and any(isinstance(item, dict) for item in values[0]) else ""


def is_declined(value: Any) -> bool:
    """Is this SQuAD's form of a question that its text does not answer: no text and no place?"""
    return _is_squad(value) and not answers_of(value, "answers")


def _is_one(value: Sequence[Any], field: str) -> bool:
    if field in _VALUE:
        return True
    inner = any(isinstance(item, (dict, list)) for item in value)
    return inner and field not in _SEVERAL and not all(_is_squad(item) for item in value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(item is None or isinstance(item, str) for item in value)


def _is_squad(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"text", "answer_start"}


def cell(value: Any) -> Any:
    """A list or object written as JSON into a table's cell; anything else as it is."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return parsed(value)
        except (ValueError, RecursionError):
            return value
    return value
