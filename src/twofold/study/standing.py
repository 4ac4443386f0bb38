"""The facts that a verdict is held against: a study as it is stored, and what is there today."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from twofold.config import Config
from twofold.costs.prices import Prices
from twofold.hashing import digest
from twofold.types import Example, Json
from twofold.verdict import validity
from twofold.verdict.certificate import Certificate, facts_of
from twofold.verdict.record import AnswerRow, StudyRecord
from twofold.verdict.repeats import names_of
from twofold.verdict.validity import Question

MONTH_DAYS = 30.4375
"""Days of a mean month."""
VOLUME_DAYS = timedelta(days=30)
"""The last days of a traffic log, by which its volume is told."""
_LEAST_DAYS = 7.0
"""A log of fewer days tells no volume of a month: weekdays and weekends differ."""


@dataclass(frozen=True, kw_only=True)
class Today:
    """The facts that a verdict is held against."""

    config: Config
    """The configuration in force."""
    documents: Mapping[str, str] | None = None
    """Document id → digest of its content, as of the last sync; None: there is no catalogue."""
    texts: Callable[[Sequence[str]], Mapping[str, str]] = lambda _: {}
    """Texts of documents, for records that lack the digests; unknown ids are left out."""
    examples: Sequence[Example] | None = None
    """All examples; None: they cannot be read, `lacking` says why."""
    tested: frozenset[str] | None = None
    """Ids of the examples that would be test questions now, or reserve questions of a study that opened the reserve."""
    generators: Mapping[str, Json] = field(default_factory=dict)
    """Model → description of its generator without an adapter; the project's own has the empty name."""
    tuned: str | None = None
    """Key of the tuned model with which the chosen arm answers now; empty: its files are gone; None: not tuned."""
    prices: Prices | None = None
    """The table of prices now; None: it cannot be read."""
    volume: float | None = None
    """Answers a month by the traffic log; None: as ``[costs].volume`` says."""
    updates: float = 0.0
    """Changes of the index in the last month, by the catalogue."""
    drift: Sequence[str] = ()
    """Alarms on how the questions have moved, in words."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """Dimension → why its facts are not to be had."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A study as it is stored."""

    record: StudyRecord
    rows: Sequence[AnswerRow] = ()
    """Its answers; fewer than questions where a document was forgotten."""
    certificate: Certificate | None = None
    """None: it has none that can be read."""
    config: Config | None = None
    """Its configuration, read back; None: this version cannot read it."""


def document_key(name: str) -> str:
    """The key of a document in `StudyRecord.documents`: no id, so that a forgotten document is not named there."""
    return digest("document", name)[-16:]


def contents_of(rows: Sequence[AnswerRow], known: Mapping[str, str]) -> dict[str, str]:
    """What a study stores of the documents that it stands on: those that hold an answer or were shown.

    Args:
        rows: Its answers.
        known: Document id → digest of its content.
    """
    names = {name for row in rows for name in documents_of(row, row["arms"])}
    return {document_key(name): known[name][-16:] for name in sorted(names & known.keys())}


def documents_of(row: AnswerRow, arms: Iterable[str]) -> set[str]:
    """Ids of the documents that hold the answer to a question, or of which one of these arms was shown a passage."""
    shown = {hit["document"] for arm in arms if arm in row["arms"] for hit in row["arms"][arm]["hits"]}
    return {*row["sources"], *shown}


def monthly_volume(answers: int, first: str, moment: datetime) -> float | None:
    """Answers a month by those of the last days of a traffic log; None where it has less than a week of them.

    Args:
        answers: Number of answers in `VOLUME_DAYS` before the moment.
        first: Time of the first of them; empty without answers.
        moment: The time now, UTC.
    """
    days = (moment - time_of(first)).total_seconds() / 86400 if first else 0.0
    return answers / days * MONTH_DAYS if days >= _LEAST_DAYS else None


def time_of(text: str) -> datetime:
    """A stored time, UTC where it names no zone."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# ---------------------------------------------------------------- what the study stands on


def questions_of(stored: Stored) -> list[Question]:
    """The questions that counted, from the certificate where there is one, else from the answers; pooled ones: none."""
    record, metric = stored.record, stored.record["metric"]
    order, chosen = validity.in_order(record), record["verdict"]["arm"]
    rows = {row["id"]: row for row in stored.rows}
    runs = {name: record["arms"][name]["runs"]["names"] for name in order if "runs" in record["arms"][name]}
    listed: list[Question] = []
    if stored.certificate is not None:
        facts = facts_of(stored.certificate["facts"])
        if facts.pooled:
            return []
        for outcome in stored.certificate["outcomes"]:
            scores = {}
            for name in order:
                each = [outcome["scores"].get(run, {}).get(metric, -1.0) for run in names_of(name, facts.runs)]
                # −1: a race did not ask it. A failed answer has None.
                if -1.0 not in each:
                    scores[name] = sum(score or 0.0 for score in each) / len(each)
            if outcome["counts"]:
                question = _question(outcome["id"], scores, rows.get(outcome["id"]), order=order, chosen=chosen)
                listed.append(replace(question, group=str(outcome["group"])))
        return listed
    for name, row in rows.items():
        scores = {}
        for arm in order:
            answers = [row["arms"].get(run) for run in runs.get(arm, [arm])]
            values = [0.0 if one and one["failure"] else one and one["scores"].get(metric) for one in answers]
            known = [value for value in values if value is not None]
            if len(known) == len(values):
                scores[arm] = sum(known) / len(known)
        if scores:
            listed.append(_question(name, scores, row, order=order, chosen=chosen))
    return listed


def _question(
    name: str, scores: Mapping[str, float], row: AnswerRow | None, *, order: Sequence[str], chosen: str
) -> Question:
    if row is None:
        return Question(id=name, scores=scores)
    hits = row["arms"][chosen]["hits"] if chosen in row["arms"] else []
    shown = any(hit["gold"] for hit in hits) if hits and row["sources"] else None
    return Question(
        id=name, scores=scores, group=row["group"], documents=frozenset(documents_of(row, order)), shown=shown
    )
