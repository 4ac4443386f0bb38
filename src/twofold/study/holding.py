"""Does a study's verdict still hold? Its record beside the facts of today (`verdict.validity`). Reads nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from twofold.config import Config
from twofold.costs import metering
from twofold.costs.parts import scenario
from twofold.costs.prices import of_rows
from twofold.costs.totals import CostBook
from twofold.errors import TwofoldError
from twofold.examples.questions import conversation_digest
from twofold.hashing import plain
from twofold.settings.sections import StudySection
from twofold.study.standing import MONTH_DAYS, Stored, Today, document_key, questions_of, time_of
from twofold.text.arm_names import model_of
from twofold.text.masking import masked
from twofold.types import Example, Json
from twofold.verdict import cost_limits, validity
from twofold.verdict.certificate import Certificate, OutcomeRow, decided, facts_of
from twofold.verdict.flips import TRAINING
from twofold.verdict.record import AnswerRow, StudyRecord, counted, number_text
from twofold.verdict.repeats import names_of
from twofold.verdict.validity import Bound, EndReason, Question, Rival, Validity

_DECIDES = ("margin", "must_cite", "min_cited", "permissions", "max_latency_p95", "min_score", "max_failed")
"""Settings of [study] under which the same answers may be decided otherwise, as `verdict.flips` tries them."""
_DETAILS = frozenset({"adapter", "parity", "because"})
"""Parts of a generator's description that say nothing of what it answers, or are another arm's."""
_BY_RUNTIME = frozenset({"runtime", "package", "dtype"})
"""Parts that a tuned arm may have of its own, where an adapter cannot be merged."""
_READING = ("chunker", "encodings", "ocr", "max_mib", "ids_from")
"""Settings of [documents] that decide how texts become passages; `paths` only say which there are."""


def holding(stored: Stored, today: Today, *, moment: datetime) -> Validity:
    """Hold a study's verdict against the facts of today.

    Args:
        stored: The study.
        today: The facts.
        moment: The time now, UTC.
    """
    record = stored.record
    questions = questions_of(stored)
    against = validity.rivals(record, questions)
    findings = _Findings()
    region = validity.evidence_bounds(questions, against)
    _evidence(findings, stored, today, questions, against)
    region += _updates(findings, record, today, config=stored.config)
    region += _costs(findings, stored, today, [rival.name for rival in against if not rival.beaten])
    _models(findings, record, today)
    _settings(findings, stored, today)
    region += _age(findings, record, today, moment=moment)
    if "drift" in today.lacking:
        findings.unknown.append(_reason("drift", "as the test", "unknown", today.lacking["drift"]))
    for why in today.drift:
        findings.reasons.append(_reason("drift", "as the test", "moved", f"the questions have moved: {why}"))
    region += _undecided(findings, record, today)
    return validity.settled(
        record["study"],
        moment.astimezone(UTC).isoformat(timespec="seconds"),
        reasons=findings.reasons,
        unknown=findings.unknown,
        notes=findings.notes,
        region=region,
    )


@dataclass(frozen=True, slots=True)
class _Findings:
    """Lines as they come."""

    reasons: list[EndReason] = field(default_factory=list)
    unknown: list[EndReason] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _reason(dimension: validity.Dimension, then: str, now: str, why: str) -> EndReason:
    return {"dimension": dimension, "then": then, "now": now, "why": why}


# ---------------------------------------------------------------- documents and questions


def _evidence(
    findings: _Findings, stored: Stored, today: Today, questions: Sequence[Question], against: Sequence[Rival]
) -> None:
    """Documents and questions that changed, each alone and both together."""
    places = {question.id: place for place, question in enumerate(questions)}
    edited = _edited(findings, stored, today, questions)
    missing, altered, new = _asked_again(findings, stored, today)
    touched = {place for place, question in enumerate(questions) if edited & question.documents}
    # A question whose answers were taken out had to do with a document that is forgotten.
    remaining = {row["id"] for row in stored.rows}
    taken = {place for name, place in places.items() if name not in remaining} if stored.rows else set[int]()
    removed = {places[name] for name in missing if name in places}
    changed = {places[name] for name in altered if name in places}
    if not stored.record["verdict"]["arm"]:
        return
    if (touched or taken or removed or changed or new) and not any(rival.bears for rival in against) and against:
        why = "documents or questions changed, and the record does not tell how many answers the verdict bears"
        findings.unknown.append(_reason("questions", "", "", why))
        return
    at_worst = partial(_at_worst, stored, questions, against)
    by_documents = at_worst(changed=touched | taken)
    if by_documents:
        all_documents = len(frozenset().union(*(question.documents for question in questions)))
        why = (
            f"{counted(len(edited) or len(taken), 'document')} of {all_documents} that the study stands on changed or "
            f"went, which may change the answers to {len(touched | taken)} of {counted(len(questions), 'question')}: "
            f"at worst the verdict would be another: {by_documents}"
        )
        findings.reasons.append(_reason("documents", "0 changed", f"{len(edited)} changed", why))
    by_questions = at_worst(removed=removed, changed=changed, added=new)
    if by_questions:
        parts = [
            f"{len(removed)} of {counted(len(questions), 'question')} were removed" if removed else "",
            f"{len(changed)} have another text or another right answer" if changed else "",
            f"{new} would be test questions now and were not asked" if new else "",
        ]
        why = f"{', '.join(filter(None, parts))}: at worst the verdict would be another: {by_questions}"
        now = f"{len(removed)} removed, {len(changed)} changed, {new} new"
        findings.reasons.append(_reason("questions", counted(len(questions), "question"), now, why))
    together = at_worst(removed=removed, changed=touched | taken | changed, added=new)
    if together and not by_documents and not by_questions:
        why = (
            f"{len(touched | taken)} questions have to do with documents that changed, {len(removed | changed)} were "
            f"removed or changed and {new} are new: together they could turn the verdict: {together}"
        )
        findings.reasons.append(_reason("documents", "0 changed", f"{len(edited)} changed", why))


def _at_worst(
    stored: Stored,
    questions: Sequence[Question],
    against: Sequence[Rival],
    *,
    removed: Collection[int] = (),
    changed: Collection[int] = (),
    added: int = 0,
) -> str:
    """What the verdict would be at worst, in words; empty where it would be the same.

    The rule itself decides, on the certificate with these answers lost. Where there is none, or it decides otherwise
    than by the scores of single questions (a race, a confirmation), `validity.worst_interval` stands for it.
    """
    if not (removed or changed or added):
        return ""
    record, certificate = stored.record, stored.certificate
    if certificate is not None and certificate["race"] is None and certificate["hypothesis"] is None:
        out = {questions[place].id for place in removed}
        lost = {questions[place].id for place in changed}
        worst = _lost(certificate, chosen=record["verdict"]["arm"], out=out, lost=lost, added=added)
        try:
            verdict = decided(worst)[0]
        except (TwofoldError, ValueError, LookupError, ArithmeticError):
            return "no question is left to decide by"
        same = (verdict.outcome, verdict.arm) == (record["verdict"]["outcome"], record["verdict"]["arm"])
        return "" if same else f"{verdict.outcome} {verdict.arm}".strip()
    for rival in against:
        if not rival.bears:
            continue
        numbers = {place: number for number, place in enumerate(rival.places.tolist())}
        low, high = validity.worst_interval(
            rival,
            removed=[numbers[place] for place in removed if place in numbers],
            changed=[numbers[place] for place in changed if place in numbers],
            added=added,
        )
        if not rival.decides(low, high):
            ends = ", ".join(number_text(end) if math.isfinite(end) else "?" for end in (low, high))
            return f"the difference to {rival.name} may be [{ends}]"
    return ""


def _lost(
    certificate: Certificate, *, chosen: str, out: Collection[str], lost: Collection[str], added: int
) -> Certificate:
    """The certificate as it would be at worst: these questions left out, those lost, and further lost ones added."""
    metric = certificate["section"]["metric"]
    name = str(metric if isinstance(metric, str) else metric["name"])
    runs = facts_of(certificate["facts"]).runs
    scores: dict[str, dict[str, float | None]] = {}
    for arm in certificate["arms"]:
        for run in names_of(arm["name"], runs):
            scores[run] = {name: 0.0 if arm["name"] == chosen else 1.0}
    outcomes = [row for row in certificate["outcomes"] if row["id"] not in out]
    group = max((row["group"] for row in outcomes), default=0) + 1
    rows: list[OutcomeRow] = []
    for row in outcomes:
        rows.append({**row, "scores": scores, "failed": {}} if row["id"] in lost else row)
    for number in range(added):
        # A group of its own: whether new questions belong together is not known.
        rows.append(
            {
                "id": f"new {number}",
                "question": "",
                "group": group + number,
                "counts": True,
                "scores": scores,
                "failed": {},
                "answers": "",
            }
        )
    return {**certificate, "outcomes": rows}


def _edited(findings: _Findings, stored: Stored, today: Today, questions: Sequence[Question]) -> frozenset[str]:
    """Documents that the study stands on, and that are not what they were."""
    named = frozenset().union(*(question.documents for question in questions))
    if not named:
        return frozenset()
    if today.documents is None:
        why = today.lacking.get("documents", "the documents were not synced, so that none can be compared")
        findings.unknown.append(_reason("documents", counted(len(named), "document"), "unknown", why))
        return frozenset()
    now = today.documents
    missing = frozenset(name for name in named if name not in now)
    before = stored.record.get("documents")
    if before is not None:
        known = {name: before[document_key(name)] for name in named - missing if document_key(name) in before}
        changed = frozenset(name for name, content in known.items() if now[name][-16:] != content)
    else:
        changed = _reworded(stored.rows, today.texts(sorted(named - missing)))
        findings.notes.append(
            "the record was written before studies kept digests of their documents: only passages that were shown are "
            "compared"
        )
    index: Json = (stored.record["retrieval"] or {}).get("index", {})
    if index and len(now) > index["documents"]:
        more = len(now) - index["documents"]
        findings.notes.append(f"{counted(more, 'document')} more than the {index['documents']:,} that were searched")
    return missing | changed


def _reworded(rows: Sequence[AnswerRow], texts: Mapping[str, str]) -> frozenset[str]:
    """Documents in which a passage that was shown does not stand any more where it stood."""
    changed = set()
    for row in rows:
        for arm in row["arms"].values():
            for hit in arm["hits"]:
                text = texts.get(hit["document"])
                if text is not None and text[hit["start"] : hit["end"]] != hit["text"]:
                    changed.add(hit["document"])
    return frozenset(changed)


def _asked_again(findings: _Findings, stored: Stored, today: Today) -> tuple[set[str], set[str], int]:
    """Ids of questions that are no examples any more, of such as were changed, and how many are new."""
    if not stored.rows:
        why = "the study's answers cannot be read: restore answers.jsonl.gz, or run a new study"
        findings.unknown.append(_reason("questions", "", "unknown", why))
        return set(), set(), 0
    if today.examples is None:
        why = today.lacking.get("questions", "the examples cannot be read")
        findings.unknown.append(_reason("questions", counted(len(stored.rows), "question"), "unknown", why))
        return set(), set(), 0
    known = {example.id: example for example in today.examples}
    missing, altered = set(), set()
    for row in stored.rows:
        example = known.get(row["id"])
        if example is None:
            missing.add(row["id"])
        elif _words_of(example) != _words_of_row(row):
            altered.add(row["id"])
    policy = stored.record["policy"]
    asked_ids = {row["id"] for row in stored.rows}
    if stored.certificate is not None:
        asked_ids |= {row["id"] for row in stored.certificate["outcomes"]}
    if today.tested is None:
        why = "no catalogue, too many documents to compare, or too few examples"
        findings.notes.append(f"how many test questions are new was not worked out: {why}")
    if today.tested is None or "raced" in policy:
        # A race leaves questions of the test split out on purpose: they are not new.
        return missing, altered, 0
    return missing, altered, len(today.tested - asked_ids)


def _words_of(example: Example) -> Any:
    words = conversation_digest((turn.role, turn.content) for turn in example.messages)
    return words, sorted(example.references), example.answerable


def _words_of_row(row: AnswerRow) -> Any:
    words = conversation_digest((turn["role"], turn["content"]) for turn in row["messages"])
    return words, sorted(row["references"]), row["answerable"]


def _updates(findings: _Findings, record: StudyRecord, today: Today, *, config: Config | None) -> list[Bound]:
    """How often documents may change before weights that learned them by heart are always behind."""
    flips = [flip for flip in record["verdict"]["flips"] if TRAINING in flip["condition"]]
    trained = [arm["training"] for arm in record["arms"].values() if arm["training"] and not arm["diagnostic"]]
    seconds = max((training["seconds"] for training in trained), default=0.0)
    if not flips or not seconds:
        return []
    most = MONTH_DAYS * 86400 / seconds
    then = config.costs.updates if config else 0.0
    now = max(today.config.costs.updates, today.updates)
    if now > most >= then:
        why = (
            f"documents change {now:,.0f} times a month, and one training takes {seconds / 60:,.1f} minutes: "
            f"{flips[0]['condition']}, the verdict is {flips[0]['outcome']} {flips[0]['arm']}".rstrip()
        )
        findings.reasons.append(_reason("documents", f"{then:,.0f} updates a month", f"{now:,.0f}", why))
    bound: Bound = {
        "dimension": "documents",
        "what": "updates of the documents a month",
        "unit": "updates",
        "then": then,
        "low": None,
        "high": most,
        "why": flips[0]["condition"],
    }
    return [bound]


# ---------------------------------------------------------------- prices and volume


def books(stored: Stored, today: Today) -> tuple[CostBook, CostBook] | None:
    """The costs by prices and use of the study, and by those of today; None where the study had no prices."""
    metered, config = stored.record.get("metered"), stored.config
    rows = stored.record.get("prices")
    if not metered or not rows or config is None or today.prices is None:
        return None
    sides = []
    for side, prices, volume in ((config, of_rows(rows), None), (today.config, today.prices, today.volume)):
        use = scenario(side.costs, max_age_days=side.retraining.max_age_days)
        use = use if volume is None else replace(use, volume=volume)
        sides.append(CostBook(metering.opened(metered, batched=side.costs.batched), prices, use))
    return sides[0], sides[1]


def _costs(findings: _Findings, stored: Stored, today: Today, rivals: Sequence[str]) -> list[Bound]:
    record, chosen = stored.record, stored.record["verdict"]["arm"]
    if not chosen or not rivals or not any(row["amount"] is not None for row in record.get("prices", [])):
        return []
    pair = books(stored, today)
    if pair is None:
        why = today.lacking.get("price", "the record does not tell what its answers cost")
        findings.unknown.append(_reason("price", "priced", "unknown", why))
        return []
    then, now = pair
    metered_rivals = [name for name in rivals if name in then.arms and chosen in then.arms]
    if metered_rivals and "volume" in today.lacking:
        findings.unknown.append(_reason("volume", "", "unknown", today.lacking["volume"]))
    reasons, unknown = cost_limits.turned(then, now, chosen=chosen, rivals=metered_rivals)
    findings.reasons.extend(reasons)
    findings.unknown.extend(unknown)
    return cost_limits.bounds(then, chosen, metered_rivals)


# ---------------------------------------------------------------- models and settings


def _models(findings: _Findings, record: StudyRecord, today: Today) -> None:
    """Base weights, generator, arithmetic, and tuned weights as measured?"""
    if why := today.lacking.get("model"):
        findings.unknown.append(_reason("model", "", "unknown", why))
    named = set[str]()
    for name in [arm for arm, row in record["arms"].items() if not row["diagnostic"]]:
        then: Json = record["arms"][name]["description"].get("generator", {})
        now = today.generators.get(model_of(name))
        # A linear model is no generator of the configuration.
        if now is None or not then or (then.get("name") == "linear") != (now.get("name") == "linear"):
            continue
        left_out = _DETAILS | (_BY_RUNTIME if record["arms"][name]["training"] else frozenset())
        moved = [key for key in then if key in now and key not in left_out and plain(then[key]) != plain(now[key])]
        line = ", ".join(f"{key} {_brief(then[key])}, now {_brief(now[key])}" for key in moved)
        if line and line not in named:
            named.add(line)
            of = f" of {model_of(name)}" if model_of(name) else ""
            findings.reasons.append(_reason("model", "", "", f"the model{of} is another: {line}"))
    chosen = record["verdict"]["arm"]
    training = record["arms"][chosen]["training"] if chosen else None
    if training and today.tuned is not None and today.tuned != training["key"]:
        now_text = f"{_brief(today.tuned)} answers" if today.tuned else "its files are gone"
        why = f"the tuned model is another: {_brief(training['key'])} was measured, {now_text}"
        findings.reasons.append(_reason("model", training["key"], today.tuned, why))


def _brief(value: Any) -> str:
    text = str(value)
    # Digests differ from their beginning on.
    return text if len(text) <= 40 else f"{text[:32]}…"


def _settings(findings: _Findings, stored: Stored, today: Today) -> None:
    """Template, retrieval and constraints; what only moves a constraint is decided again by the rule."""
    then, now = stored.config, today.config
    if then is None:
        why = "the record's configuration is of a version that cannot be read any more"
        findings.unknown.append(_reason("settings", "", "", why))
        return
    if then.template.digest != now.template.digest:
        keys = _moved(then.prompt, now.prompt)
        findings.reasons.append(_reason("model", "", "", f"the prompt is worded otherwise: {', '.join(keys)}"))
    generation = {*_moved(then.generation, now.generation)} - {"generator", "batch"}
    if generation:
        moved = ", ".join(_from_to(then.generation, now.generation, key) for key in sorted(generation))
        findings.reasons.append(_reason("model", "", "", f"[generation] is another: {moved}"))
    record = stored.record
    if any(record["arms"][name]["description"].get("retrieval") for name in validity.in_order(record)):
        retrieval = [_from_to(then.retrieval, now.retrieval, key) for key in _moved(then.retrieval, now.retrieval)]
        reading = [
            f"[documents].{_from_to(then.documents, now.documents, key)}"
            for key in _moved(then.documents, now.documents)
            if key in _READING
        ]
        if moved_parts := [*retrieval, *reading]:
            why = f"documents are searched otherwise: {', '.join(moved_parts)}"
            findings.reasons.append(_reason("retrieval", "", "", why))
    _constraints(findings, stored, then.study, now.study)


def _constraints(findings: _Findings, stored: Stored, then: StudySection, now: StudySection) -> None:
    record = stored.record
    unmeasured = [name for name in now.arms if name not in record["arms"]]
    if unmeasured:
        why = f"[study].arms names {', '.join(unmeasured)}, which the study did not measure"
        # A record of before does not say whether its command named fewer arms than the file.
        if "overrides" in record:
            findings.reasons.append(_reason("settings", ", ".join(then.arms), ", ".join(now.arms), why))
        else:
            findings.notes.append(why)
    if then.metric != now.metric:
        why = f"[study].metric is {now.metric.name} now, and {then.metric.name} decided"
        if then.metric.name == now.metric.name:
            why = f"[study].metric {now.metric.name} has other options now"
        findings.reasons.append(_reason("settings", then.metric.name, now.metric.name, why))
    moved = [key for key in _moved(then, now) if key in _DECIDES]
    if not moved:
        return
    words = ", ".join(_from_to(then, now, key) for key in moved)
    if stored.certificate is None or record.get("confirmation"):
        why = f"[study] is another ({words}), and without the study's certificate it cannot be decided again"
        findings.unknown.append(_reason("settings", "", "", why))
        return
    values = now.model_dump(include=set(moved))
    section: Json = {**stored.certificate["section"], **plain(values)}
    again: Certificate = {**stored.certificate, "section": section}
    try:
        verdict = decided(again)[0]
    # A certificate that somebody changed decides nothing; `twofold verify` says what is wrong with it.
    except (TwofoldError, ValueError, LookupError, ArithmeticError) as error:
        why = f"[study] is another ({words}), and it cannot be decided again: {error}"
        findings.unknown.append(_reason("settings", "", "", why))
        return
    before = (record["verdict"]["outcome"], record["verdict"]["arm"])
    if (verdict.outcome, verdict.arm) != before:
        outcome = f"{verdict.outcome} {verdict.arm}".strip()
        why = f"the same answers are decided otherwise under [study] of now ({words}): {outcome}"
        findings.reasons.append(_reason("settings", " ".join(before).strip(), outcome, why))


def _moved(then: Any, now: Any) -> list[str]:
    """Names of the fields of a section that are not what they were, secrets as a record hides them."""
    sides = [masked(plain(section)) for section in (then, now)]
    return sorted(key for key in sides[0].keys() | sides[1].keys() if sides[0].get(key) != sides[1].get(key))


def _from_to(then: Any, now: Any, key: str) -> str:
    sides = [_brief(masked(plain(section)).get(key)) for section in (then, now)]
    return f"{key} {sides[0]}, now {sides[1]}"


# ---------------------------------------------------------------- time, and undecided studies


def _age(findings: _Findings, record: StudyRecord, today: Today, *, moment: datetime) -> list[Bound]:
    limit = today.config.validity.max_age_days
    if not limit:
        return []
    # A clock that was set back makes no verdict older than it is.
    days = max(0.0, (moment - time_of(record["created"])).total_seconds() / 86400)
    if days > limit:
        why = f"it is {days:,.0f} days old, and [validity].max_age_days is {limit:g}"
        findings.reasons.append(_reason("age", "0 days", f"{days:,.0f} days", why))
    return [
        {
            "dimension": "age",
            "what": "age of the study",
            "unit": "days",
            "then": 0.0,
            "low": None,
            "high": limit,
            "why": "[validity].max_age_days",
        }
    ]


def _undecided(findings: _Findings, record: StudyRecord, today: Today) -> list[Bound]:
    """An undecided study says how many examples would probably decide it: are they there?"""
    needed = record["verdict"]["more_examples"]
    if record["verdict"]["outcome"] != "undecided" or not needed or today.examples is None:
        return []
    policy = record["policy"]
    dropped = record["leaks"].get("dropped", 0)
    before = policy["train"] + policy["dev"] + policy["test"] + policy["reserve"] + int(dropped)
    more = len(today.examples) - before
    if more >= needed:
        why = f"there are {counted(more, 'further example')}, and it is undecided for want of {needed:,}"
        findings.reasons.append(_reason("examples", f"{before:,}", f"{len(today.examples):,}", why))
    return [
        {
            "dimension": "examples",
            "what": "further examples without deciding again",
            "unit": "examples",
            "then": 0.0,
            "low": None,
            "high": float(needed - 1),
            "why": f"{needed:,} further examples probably show a gain of twice the margin",
        }
    ]
