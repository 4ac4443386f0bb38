"""What differs between two studies beside their answers: settings, documents, weights, prompts, metrics, code. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from twofold.hashing import canonical_json
from twofold.types import Json
from twofold.verdict.record import StudyRecord

_LONGEST = 70
"""Characters of a value that are shown."""
_BEFORE = 20
"""Characters shown before the first that differs."""
_MACHINE = ("python", "platform", "processor", "packages")
"""Keys of a record's environment that can change answers; memory cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not the same in both studies."""

    what: str
    """A dotted key, with the part that it belongs to: ``config retrieval.k``, ``arm rag generator.weights``."""
    first: str
    """In the first study, shortened; empty where it is not there."""
    second: str
    """In the second."""


def differences(first: StudyRecord, second: StudyRecord, arms: tuple[str, str]) -> list[Difference]:
    """Everything recorded that could explain another score, the most telling first.

    Args:
        first: A record.
        second: Another one.
        arms: The compared arm of each: its description says what weights, prompt and documents it answered with.
    """
    unlike = list[Difference]()
    name = arms[0] if arms[0] == arms[1] else f"{arms[0]} / {arms[1]}"
    if arms[0] != arms[1]:
        unlike.append(Difference(what="arm", first=arms[0], second=arms[1]))
    sides = (first, second)
    parts = [
        ("metric", _metrics(first, second)),
        ("documents", [_documents(record) for record in sides]),
        (f"arm {name}", [_description(record, arm) for record, arm in zip(sides, arms, strict=True)]),
        ("config", [_settings(record) for record in sides]),
        ("environment", [_environment(record) for record in sides]),
    ]
    for part, (before, after) in parts:
        unlike += _unlike(part, before, after)
    return unlike


def _metrics(first: StudyRecord, second: StudyRecord) -> list[dict[str, str]]:
    """The keys of the metrics that both measured; records of before have none to compare."""
    first_keys, second_keys = first.get("metric_keys", {}), second.get("metric_keys", {})
    both = sorted(first_keys.keys() & second_keys.keys())
    return [{name: first_keys[name] for name in both}, {name: second_keys[name] for name in both}]


def _settings(record: StudyRecord) -> Json:
    # A judge comes after the study: no setting of it changes an answer or a score.
    return {section: values for section, values in record["config"].items() if section != "judge"}


def _documents(record: StudyRecord) -> Json:
    index = (record["retrieval"] or {}).get("index", {})
    return {key: index[key] for key in ("content", "version", "documents", "chunks", "fingerprint") if key in index}


def _description(record: StudyRecord, arm: str) -> Json:
    return record["arms"][arm]["description"] if arm in record["arms"] else {}


def _environment(record: StudyRecord) -> Json:
    machine = {key: record["environment"][key] for key in _MACHINE if key in record["environment"]}
    return {"twofold": record["twofold"], **machine}


def _unlike(part: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[Difference]:
    first, second = dict(_flat(before)), dict(_flat(after))
    for key in dict.fromkeys((*first, *second)):
        values = first.get(key, ""), second.get(key, "")
        if values[0] != values[1]:
            # Of long texts that begin alike, what is shown begins where they part.
            start = max(0, _shared(*values) - _BEFORE) if max(map(len, values)) > _LONGEST else 0
            yield Difference(what=f"{part} {key}", first=_part(values[0], start), second=_part(values[1], start))


def _flat(value: Mapping[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key → canonical JSON of its value; a text as it is."""
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{above}{key}.")
        else:
            yield f"{above}{key}", inner if isinstance(inner, str) else canonical_json(inner)


def _part(text: str, start: int) -> str:
    text = ("…" if start else "") + " ".join(text[start:].split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _shared(first: str, second: str) -> int:
    """Number of characters with which both texts begin."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))
