"""Certify a study: put everything that its verdict follows from into one file (`verdict.certificate`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from twofold.hashing import digest, plain
from twofold.host.package import sources_digest
from twofold.plugins.protocols import Metric
from twofold.plugins.traits import MetricTraits
from twofold.settings.sections import StudySection
from twofold.study.admission import is_endpoint
from twofold.study.confirming import Hypothesis
from twofold.study.replaying import questions_digest, rescored, row_digest, row_question, system_row
from twofold.text.masking import masked
from twofold.types import Arm, Json
from twofold.verdict.certificate import (
    FORMAT,
    SECRET,
    Certificate,
    MetricRow,
    OutcomeRow,
    RaceRow,
    arms_json,
    facts_json,
    record_digest,
    seal_of,
)
from twofold.verdict.evidence import VerdictFacts
from twofold.verdict.record import AnswerRow, RaceRecord, StudyRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was handed to `rule.decide`, and what the record does not say of it."""

    arms: Sequence[Arm]
    """The candidates."""
    section: StudySection
    """[study] with the level of this look."""
    facts: VerdictFacts
    groups: Any
    """Group number of every question, shape (questions,)."""
    counts: Any
    """Does the question count? Shape (questions,)."""
    seconds: Mapping[str, Sequence[float]]
    """Arm → seconds of the answers that were timed."""
    hypothesis: Hypothesis | None
    """What an opening of the reserve tests."""
    blocks: Sequence[Sequence[int]] = ()
    """Of a race the places of the questions of each shard that was asked; empty: it was none."""


def certify(
    record: StudyRecord,
    rows: Sequence[AnswerRow],
    decided: Decided,
    *,
    metrics: Mapping[str, tuple[Metric, str]],
    specs: Mapping[str, Json],
) -> Certificate:
    """The certificate of a finished study.

    Args:
        record: Its record, complete.
        rows: Its answers, as they are stored.
        decided: What it was decided from.
        metrics: Name → the metric, and its key.
        specs: Name → what that key is a digest of.
    """
    stored_rows: list[AnswerRow] = plain(rows)
    outcomes = []
    for row, group, counts in zip(stored_rows, decided.groups, decided.counts, strict=True):
        outcomes.append(_outcome(row, int(group), counts=bool(counts)))
    stored: Json = plain(record)
    index = (stored["retrieval"] or {}).get("index", {})
    certificate: Json = {
        "format": FORMAT,
        **{key: stored[key] for key in ("study", "project", "created", "twofold")},
        "code": sources_digest(),
        "digests": {
            "questions": questions_digest(stored_rows),
            "documents": index.get("content", ""),
            "config": digest("config", stored["config"]),
            "record": record_digest(stored),
        },
        "index_version": index.get("version"),
        "systems": {name: system_row(arm) for name, arm in record["arms"].items()},
        "metrics": {
            name: _metric(name, metric, key, spec=specs[name], rows=stored_rows)
            for name, (metric, key) in metrics.items()
        },
        "arms": arms_json(decided.arms),
        "section": masked(plain(decided.section)),
        "timing_level": stored["config"]["study"]["level"],
        "facts": facts_json(decided.facts),
        "seconds": {name: list(seconds) for name, seconds in decided.seconds.items()},
        "outcomes": outcomes,
        "race": _race(stored["race"], decided) if decided.blocks else None,
        "hypothesis": None if decided.hypothesis is None else plain(asdict(decided.hypothesis)),
        **{key: stored[key] for key in ("verdict", "effects", "comparisons")},
        "estimates": {name: arm["metrics"] for name, arm in stored["arms"].items()},
    }
    certificate = plain(certificate)
    sealed: Any = {**certificate, "seal": seal_of(certificate)}
    return sealed  # type: ignore[no-any-return]


def _race(record: RaceRecord, decided: Decided) -> RaceRow:
    shards = []
    for block in decided.blocks:
        numbers = [int(decided.groups[place]) for place in block]
        shards.append(list(dict.fromkeys(numbers)))
    return {"shards": shards, "record": record}


def _outcome(row: AnswerRow, group: int, *, counts: bool) -> OutcomeRow:
    failures = {name: answer["failure"] for name, answer in row["arms"].items()}
    return {
        "id": row["id"],
        "question": row_question(row),
        "group": group,
        "counts": counts,
        "scores": {name: dict(answer["scores"]) for name, answer in row["arms"].items()},
        "failed": {name: failure["code"] for name, failure in failures.items() if failure},
        "answers": row_digest(row),
    }


def _metric(name: str, metric: Metric, key: str, *, spec: Json, rows: Sequence[AnswerRow]) -> MetricRow:
    shown = plain(masked(spec))
    # Another digest than the key's: an option was a secret, and without it the metric is another.
    closed = "" if digest("metric", shown) == key else SECRET
    return {"key": key, "spec": shown, "replay": closed or _obstacle(name, metric, rows)}


def _obstacle(name: str, metric: Metric, rows: Sequence[AnswerRow]) -> str:
    """Why the stored answers cannot be scored again by a metric; empty where they can, which is tried here."""
    traits = MetricTraits.of(metric)
    if not traits.replayed or is_endpoint("metrics", name):
        return "its scores take a model or a program to work out"
    if traits.judges_passages:
        return "it judges by passages, of which some are the corpus's"
    if traits.pooled:
        return ""
    for row in rows:
        for arm, answer in row["arms"].items():
            stored = answer["scores"].get(name)
            if answer["failure"] is None and rescored(metric, row, arm) != stored:
                return "it reads more than the record holds"
    return ""
