"""From alarms to their causes, by a table of rules that a person can read. Pure.

Some signals state a fact (a fingerprint, a missing folder): their alarm is a cause by itself. Others are symptoms (hit
rate, abstentions, seconds) that many causes have. Rules are tried in the order of the table. A fact that alarms makes
its cause, which explains the symptoms listed beside it; a symptom that no fact explains is named by the rules of the
second half, and what is left is ``unknown``. Where two facts alarm both causes stand, the first rule's first: what lies
deeper (vectors) explains more than what lies above it (answers).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from twofold.monitoring.record import AlarmCause, CauseName, Reading
from twofold.types import Json

_ANSWERS = ("answers.abstained", "answers.unsupported", "answers.uncited", "answers.failed", "answers.cut")
_SIZES = ("answers.length", "tokens.prompt", "tokens.completion", "costs.answer")
_FINDING = ("probes.hit", "retrieval.exact", "retrieval.legs")
RECENT = 3
"""Looks before this one in which a fact that is seen by a sample counts still: the next sample may miss it."""
_SAMPLED = ("index.vectors", "index.chunks", "documents.duplicates")


@dataclass(frozen=True, kw_only=True)
class CauseRule:
    """One row of the table."""

    cause: CauseName
    tells: tuple[str, ...]
    """Signals of which one alarm names the cause."""
    explains: tuple[str, ...] = ()
    """Further signals that the cause makes alarm."""
    symptom: bool = False
    """Does it hold only for alarms that no fact explains?"""


RULES: tuple[CauseRule, ...] = (
    CauseRule(
        cause="embedder changed",
        tells=("fingerprints.embedder", "index.vectors"),
        explains=(*_FINDING, *_ANSWERS, *_SIZES, "latency.retrieval", "documents.duplicates"),
    ),
    CauseRule(
        cause="chunking changed",
        tells=("fingerprints.chunker", "index.chunks"),
        explains=(*_FINDING, *_ANSWERS, *_SIZES, "latency.retrieval", "latency.generation", "documents.duplicates"),
    ),
    CauseRule(
        cause="model changed",
        tells=(
            "fingerprints.adapter",
            "fingerprints.model",
            "fingerprints.prompt",
            "served.system",
        ),
        explains=(*_ANSWERS, *_SIZES, "latency.generation"),
    ),
    # What answers is not what was measured, and other settings of the search find other passages, too.
    CauseRule(
        cause="model changed",
        tells=("fingerprints.search",),
        explains=(*_FINDING, *_ANSWERS, *_SIZES, "latency.retrieval", "latency.generation"),
    ),
    CauseRule(
        cause="source missing",
        tells=("staleness.source",),
        # The next sync leaves the documents of a missing source; one whose files are all gone loses them.
        explains=("documents.sources", "documents.removed", "staleness.behind", "staleness.cited"),
    ),
    CauseRule(
        cause="near duplicates",
        tells=("documents.duplicates",),
        explains=(*_FINDING, *_ANSWERS, *_SIZES, "latency.retrieval"),
    ),
    CauseRule(
        cause="documents removed",
        tells=("documents.removed", "documents.sources"),
        explains=(*_FINDING, *_ANSWERS, *_SIZES),
    ),
    CauseRule(cause="stale documents", tells=("staleness.behind", "staleness.cited")),
    CauseRule(
        cause="questions moved",
        tells=("questions.drift",),
        explains=(*_ANSWERS, *_SIZES, "latency.retrieval", "latency.generation", "retrieval.legs"),
    ),
    CauseRule(cause="cost moved", tells=("costs.prices",), explains=("costs.answer",)),
    CauseRule(cause="slow part", tells=("latency.retrieval", "latency.generation"), symptom=True),
    CauseRule(cause="answers degraded", tells=_ANSWERS, explains=("answers.length",), symptom=True),
    CauseRule(cause="cost moved", tells=("tokens.prompt", "tokens.completion", "costs.answer"), symptom=True),
)
"""In the order in which they are tried."""


def causes(readings: Sequence[Reading], history: Iterable[Sequence[Reading]] = ()) -> tuple[AlarmCause, ...]:
    """The causes of a look's alarms, most telling first.

    Args:
        readings: Of this look, every signal's.
        history: Readings of the looks before, newest first.
    """
    alarms = {row["signal"]: row for row in readings if row["state"] == "alarm"}
    if not alarms:
        return ()
    facts = {**_recent(history, present=alarms), **alarms}
    unexplained = set(alarms)
    causes: list[AlarmCause] = []
    for rule in RULES:
        telling = [name for name in rule.tells if name in facts]
        if rule.symptom:
            telling = [name for name in telling if name in unexplained]
        explained = [name for name in (*rule.tells, *rule.explains) if name in alarms]
        # A fact of an earlier look names a cause only where something alarms now that it would explain.
        if not telling or not explained:
            continue
        unexplained -= set(explained)
        rows = [facts[name] for name in telling]
        symptoms = [alarms[name] for name in explained if name not in telling]
        causes.append(
            {
                "cause": rule.cause,
                "signals": explained,
                "evidence": [_sentence(row) for row in (*rows, *symptoms)],
                "detail": _details(rows),
            }
        )
    left = sorted(unexplained)
    if left:
        causes.append(
            {
                "cause": "unknown",
                "signals": left,
                "evidence": [_sentence(alarms[name]) for name in left],
                "detail": _details([alarms[name] for name in left]),
            }
        )
    return tuple(causes)


def _recent(history: Iterable[Sequence[Reading]], *, present: Iterable[str]) -> dict[str, Reading]:
    """Alarms of the last looks by signals that see a sample, where the signal is quiet now."""
    seen: dict[str, Reading] = {}
    for number, readings in enumerate(history):
        if number >= RECENT:
            break
        for row in readings:
            if row["state"] == "alarm" and row["signal"] in _SAMPLED:
                seen.setdefault(row["signal"], row)
    return {name: row for name, row in seen.items() if name not in set(present)}


def _sentence(row: Reading) -> str:
    return f"{row['signal']}: {row['why']}"


def _details(rows: Iterable[Reading]) -> Json:
    return {row["signal"]: row["detail"] for row in rows if row["detail"]}
