"""Is the verdict of a rerun the same byte for byte? What must be, and where two records part. Pure.

Everything must that follows from documents, questions, weights and settings: verdict, intervals, scores, and every
answer with its passages and citations. Left out is what a clock, a calendar or a counter of runs says, for it differs
between two runs of one command: dates, seconds and what is worked out from them, memory, the study's number, the
number of the index's version, the bill, and what became of the answers since an earlier study.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from twofold.hashing import canonical_json, plain
from twofold.types import Json
from twofold.verdict.flips import COSTS, SECONDS, TRAINING
from twofold.verdict.record import AnswerRow, StudyRecord

_RUN = frozenset({"study", "created", "bill", "environment", "metered", "reproof", "forecast"})
"""Fields of a record that tell of the run, or of what lies beside it."""
_CLOCKS = frozenset(
    {
        "seconds",
        "minutes",
        "minutes_needed",
        "latency",
        "timing",
        "tokens_per_second",
        "peak_mib",
        "cached",
        "version",
        "index_version",
    }
)
"""Fields, however deep, that a clock, a gauge or a counter of runs has filled; of the versions see `_VERSIONED`."""
_VERSIONED = frozenset({"chunks", "content"})
"""Fields of the index's state: beside these `version` counts edits. Elsewhere it names code, and must be the same."""


def repeated(record: StudyRecord, rows: Sequence[AnswerRow]) -> Json:
    """What a rerun must repeat byte for byte, as one JSON value."""
    whole: Json = {name: value for name, value in plain(record).items() if name not in _RUN}
    flips = [flip for flip in whole["verdict"]["flips"] if not _timed(flip["condition"])]
    whole["verdict"] = {**whole["verdict"], "flips": flips}
    # In words, where answers are judged by the best passages of an index.
    text = re.sub(r"index version \d+", "index version", canonical_json(_without_clocks(whole)))
    # The configuration has limits of time, which are no clocks.
    return {"record": {**json.loads(text), "config": whole.get("config")}, "answers": plain(rows)}


def differing(first: Json, second: Json) -> list[str]:
    """Dotted places at which two values of `repeated` part; empty where they are the same byte for byte."""
    if canonical_json(first) == canonical_json(second):
        return []
    return list(_places(first, second, ""))


def _timed(condition: str) -> bool:
    return condition.startswith((SECONDS, COSTS)) or TRAINING in condition


def _without_clocks(value: object) -> object:
    if isinstance(value, list):
        return [_without_clocks(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    counts_edits = value.keys() >= _VERSIONED
    remaining = {}
    for name, item in value.items():
        if name not in _CLOCKS or (name == "version" and not counts_edits):
            remaining[name] = _without_clocks(item)
    return remaining


def _places(first: object, second: object, at: str) -> Iterator[str]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in dict.fromkeys((*first, *second)):
            yield from _places(first.get(name), second.get(name), f"{at}.{name}" if at else str(name))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for place, (left, right) in enumerate(zip(first, second, strict=True)):
            yield from _places(left, right, f"{at}.{place}")
    elif canonical_json(first) != canonical_json(second):
        yield at
