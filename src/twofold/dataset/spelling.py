"""How an answer is spelled as text: the one rule of the project's own files and of imported ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.identity import canonical_json
from twofold.reading import parsed, spelled
from twofold.wrapping import answer_text

REFERENCES = ("answers", "outputs", "output", "answer", "reference")
"""Fields of the project's own files that hold answers."""
_SEVERAL = ("answers", "outputs")
"""Fields that hold a list of answers, in a table as JSON text."""
_VALUE = ("output", "completion", "response", "chosen")
"""Fields that hold one answer: a list there is itself the answer."""


def answers_of(value: Any, field: str) -> list[str]:
    """The texts of the answers in a field, missing and empty ones left out.

    Strings stay, numbers are spelled as the file has them, true and false as JSON has them, objects and inner lists
    are JSON text. SQuAD's ``{"text": [...], "answer_start": [...]}`` is its texts. Reasoning before an answer
    (``<think>…</think>``) is no part of it.

    Args:
        value: As read.
        field: Name of the field; in ``output`` a list is one answer, elsewhere it is several.
    """
    if field in _SEVERAL and isinstance(value, str):
        opened = cell(value)
        value = opened if _is_squad(opened) or _is_texts(opened) else value
    if _is_squad(value):
        value = value["text"]
    items = value if isinstance(value, list) and field not in _VALUE else [value]
    made: list[str] = []
    for item in items:
        if _is_squad(item):
            made += answers_of(item["text"], "answers")
        elif isinstance(item, (dict, list)):
            made.append(canonical_json(item))
        elif item is not None:
            text = spelled(item)
            made.append(answer_text(text) or text)
    return [text for text in made if text]


def is_declined(value: Any) -> bool:
    """Is this SQuAD's form of a question that its text does not answer: no text and no place?"""
    return _is_squad(value) and not answers_of(value, "answers")


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
