"""The certificate of a study, `verdict.json`: everything that the verdict follows from, and the verdict. Pure.

The outcomes of single questions, the facts and the settings are enough to decide once more (`decided`), offline and
in seconds. Digests say which questions, documents, weights, prompts and code they come from. The seal is a digest of
all the rest: whoever changes a value without it is found out at once, and whoever seals anew must have changed
everything that follows from the value, too. A digest is no signature: it does not say who wrote the certificate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypedDict

import numpy as np
from pydantic import TypeAdapter

from twofold.hashing import digest, plain
from twofold.settings.sections import StudySection
from twofold.stats import pooling
from twofold.types import Arm, Effect, Estimate, Json
from twofold.verdict.evidence import VerdictFacts
from twofold.verdict.outcome import Verdict
from twofold.verdict.record import RaceRecord
from twofold.verdict.repeats import names_of
from twofold.verdict.rule import decide

FORMAT = 1
"""Rises when a reader of the old shape would be wrong."""
FILE = "verdict.json"
"""The certificate's name beside `study.json`."""
LATER = frozenset({"latency_others", "unheld"})
"""Fields of `VerdictFacts` that certificates of before lack, which had the field's default."""
USUAL: dict[str, Any] = {"runs": {}, "documents": True, "same_weights": {}}
"""Later fields of `VerdictFacts`, left out at these values: most certificates stay what they were before the fields."""
SAME = 1e-9
"""Numbers this close are equal: sums of another processor differ in their last digits."""
SECRET = "an option of it is a secret"
"""Why a metric is not replayed whose options are recorded without a secret: their digest is then not its key."""
REMOVED = "removed: "
"""How a warning of the record begins that counts answers taken out for a forgotten document."""


class OutcomeRow(TypedDict):
    """What came of one question."""

    id: str
    """Of the example."""
    question: str
    """Digest of its words (`conversation_digest`)."""
    group: int
    """Number of its group: questions of one group count together."""
    counts: bool
    """Does it count for the verdict (`rule.applies`)?"""
    scores: dict[str, dict[str, float | None]]
    """Arm → metric → score; None: failed, or the metric does not apply. An arm that a race did not ask is left out."""
    failed: dict[str, str]
    """Arm → code of the failure, for arms whose answer failed."""
    answers: str
    """Digest of the question's line in ``answers.jsonl.gz``."""


class SystemRow(TypedDict):
    """What an arm answered with, as digests."""

    key: str
    """System key: same key, same answers."""
    description: str
    """Digest of the description in the record."""
    weights: str
    """Of the base model; empty where an endpoint keeps them."""
    adapter: str
    """Id of the tuned model, made from its weights' content; where it has none the adapter's key; empty: untuned."""
    prompt: str
    """Of the prompt template."""


class MetricRow(TypedDict):
    """A metric that scored the answers."""

    key: str
    """Digest of name, version and options."""
    spec: Json
    """``{"name", "version", "options"}``."""
    replay: str
    """Empty where `twofold verify` scores the stored answers again by it, else why it does not."""


class RaceRow(TypedDict):
    """A race, so that it can be run again from the outcomes."""

    shards: list[list[int]]
    """Numbers of the groups of each shard that was asked, in the order of the race."""
    record: RaceRecord
    """Its looks, as they are in the record."""


class Certificate(TypedDict):
    """`verdict.json`."""

    format: int
    study: str
    project: str
    created: str
    """ISO time, UTC."""
    twofold: str
    """Version of Twofold."""
    code: str
    """Digest of the sources that decided (`package.sources_digest`)."""
    digests: dict[str, str]
    """``questions`` (words, right answers, whether they can be answered), ``documents`` (content of the index; empty
    without retrieval), ``config``, ``record`` (`study.json` without warnings of removed answers)."""
    index_version: int | None
    """Version of the index that was searched."""
    systems: dict[str, SystemRow]
    metrics: dict[str, MetricRow]
    arms: list[Json]
    """The candidates (`types.Arm`), in the order of the study; diagnostic arms are none."""
    section: Json
    """[study] as it decided, with the level of this look."""
    timing_level: float
    """Of the intervals of seconds, whatever the look."""
    facts: Json
    """`evidence.VerdictFacts`."""
    seconds: dict[str, list[float]]
    """Arm → seconds of the answers that were timed."""
    outcomes: list[OutcomeRow]
    race: RaceRow | None
    """Where the study was a race."""
    hypothesis: Json | None
    """What an opening of the reserve tests (`confirming.Hypothesis`); None: an ordinary study."""
    verdict: Json
    effects: list[Json]
    comparisons: list[Json]
    estimates: dict[str, dict[str, Json]]
    """Arm → metric → mean with its interval."""
    seal: str
    """Digest of all the rest."""


def seal_of(certificate: Mapping[str, Any]) -> str:
    """The seal that a certificate must have."""
    return digest("certificate", {key: value for key, value in certificate.items() if key != "seal"})


def record_digest(record: Mapping[str, Any]) -> str:
    """Digest of a study's record, without the warnings of answers that were removed since."""
    warnings = [line for line in record["warnings"] if not line.startswith(REMOVED)]
    return digest("record", {**record, "warnings": warnings})


def facts_json(facts: VerdictFacts) -> Json:
    """Facts as JSON, infinite numbers as `spelt` has them."""
    stored: Json = plain(spelt(asdict(facts)))
    return {name: value for name, value in stored.items() if name not in USUAL or value != USUAL[name]}


def spelt(value: Any) -> Any:
    """A value with each number that JSON does not have as ``{"number": "inf"}``, and arrays as lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    if isinstance(value, Mapping):
        return {key: spelt(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelt(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return spelt(value.tolist())
    return value


def _read(value: Any) -> Any:
    """The reverse of `spelt`, but for arrays."""
    if isinstance(value, Mapping):
        if value.keys() == {"number"} and value["number"] in ("inf", "-inf", "nan"):
            return float(value["number"])
        return {key: _read(inner) for key, inner in value.items()}
    return [_read(inner) for inner in value] if isinstance(value, list) else value


def facts_of(stored: Json) -> VerdictFacts:
    """The facts of a certificate.

    Raises:
        ValueError: they are none.
    """
    facts = TypeAdapter(VerdictFacts).validate_python(_read(stored))
    # JSON has no arrays of numpy, which the rule works with.
    statistics = {
        arm: replace(value, scores=np.asarray(value.scores, dtype=np.float64)) for arm, value in facts.pooled.items()
    }
    race = facts.race
    if race is not None:
        race = replace(race, covers={arm: np.asarray(marks, dtype=np.bool_) for arm, marks in race.covers.items()})
    return replace(facts, pooled=statistics, race=race)


def arms_json(arms: Sequence[Arm]) -> list[Json]:
    """The arms as JSON; the number of a training run only where it names one."""
    stored: list[Json] = plain(list(arms))
    for arm in stored:
        if not arm["run"]:
            del arm["run"]
    return stored


def arms_of(stored: Sequence[Json]) -> tuple[Arm, ...]:
    """The arms of a certificate.

    Raises:
        ValueError: they are none.
    """
    return TypeAdapter(tuple[Arm, ...]).validate_python(stored)


def column(outcomes: Sequence[OutcomeRow], arm: str, metric: str) -> Any:
    """An arm's scores in a metric, shape (questions,), NaN where there is none or it was not asked."""
    scores = [row["scores"].get(arm, {}).get(metric) for row in outcomes]
    return np.array([math.nan if score is None else score for score in scores], dtype=float)


def decided(
    certificate: Certificate,
) -> tuple[Verdict, list[Effect], list[Effect], dict[str, Estimate]]:
    """Decide once more, from nothing but the certificate; see `rule.decide`.

    Raises:
        StudyError, ValueError, LookupError: what the certificate holds cannot be decided.
    """
    section = StudySection.model_validate(certificate["section"])
    arms = arms_of(certificate["arms"])
    outcomes = [row for row in certificate["outcomes"] if row["counts"]]
    metric = section.metric.name
    facts = facts_of(certificate["facts"])
    scores: dict[str, Any] = {}
    for arm in arms:
        rows = [column(outcomes, name, metric) for name in names_of(arm.name, facts.runs)]
        scores[arm.name] = np.stack(rows) if arm.name in facts.runs else rows[0]
    groups: Any = np.array([row["group"] for row in outcomes], dtype=np.intp)
    if facts.pooled:
        scores |= {name: value.scores for name, value in facts.pooled.items()}
        groups = pooling.folds_of(groups, seed=section.seed)
    return decide(
        arms=arms,
        scores=scores,
        groups=groups,
        metric=metric,
        section=section,
        objections={},
        facts=facts,
    )


def unlike(stored: Any, again: Any, what: str) -> list[str]:
    """Where two JSON values differ, a line each; numbers as close as `SAME` are equal."""
    if isinstance(stored, Mapping) and isinstance(again, Mapping):
        lines: list[str] = []
        for key in dict.fromkeys((*stored, *again)):
            inner = f"{what}.{key}"
            if key in stored and key in again:
                lines += unlike(stored[key], again[key], inner)
            else:
                lines.append(f"{inner} is {'missing' if key in again else 'not what follows'}")
        return lines
    if isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        lines = []
        for place, (first, second) in enumerate(zip(stored, again, strict=True)):
            lines += unlike(first, second, f"{what}[{place}]")
        return lines
    if _number(stored) and _number(again):
        close = math.isclose(stored, again, rel_tol=SAME, abs_tol=SAME)
        return [] if close else [f"{what} is {stored:.6g}, and {again:.6g} follows"]
    if stored == again and type(stored) is type(again):
        return []
    return [f"{what} is {_brief(stored)}, and {_brief(again)} follows"]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
