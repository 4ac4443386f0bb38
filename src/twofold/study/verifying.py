"""Verify a study's certificate: decide again from its outcomes, and compare with what stands beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np

from twofold import __version__
from twofold.errors import StudyError, TwofoldError
from twofold.hashing import digest, plain
from twofold.host.package import sources_digest
from twofold.plugins import loading
from twofold.plugins.protocols import Metric, Pools
from twofold.plugins.traits import MetricTraits
from twofold.reports import archive
from twofold.settings.sections import StudySection
from twofold.stats import intervals, pooling
from twofold.study import latency, looks, pooled
from twofold.study.admission import is_endpoint
from twofold.study.compose import cited_share, cut_answers, letters
from twofold.study.confirming import Hypothesis, restated
from twofold.study.race_looks import raced_again
from twofold.study.repeats import runs_unlike
from twofold.study.replaying import (
    answer_of,
    example_of,
    questions_digest,
    rescored,
    row_digest,
    row_question,
    system_row,
)
from twofold.study.shards import order_of, size_of
from twofold.types import Answer, Json
from twofold.verdict import repeats
from twofold.verdict.certificate import (
    FILE,
    FORMAT,
    LATER,
    REMOVED,
    SAME,
    SECRET,
    Certificate,
    MetricRow,
    OutcomeRow,
    arms_of,
    column,
    decided,
    facts_json,
    facts_of,
    record_digest,
    seal_of,
    spelt,
    unlike,
)
from twofold.verdict.evidence import VerdictFacts
from twofold.verdict.record import AnswerRow, StudyRecord, counted
from twofold.verdict.repeats import names_of
from twofold.verdict.rule import applies

_BROKEN = (TwofoldError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What working on a certificate raises that somebody changed: then it is not verified."""
_ORDER = "the order of the race's groups is taken as certified: to check it takes the record and all answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What verifying a certificate found."""

    study: str
    path: str
    """The certificate."""
    outcome: str
    """The verdict's outcome and arm."""
    faults: tuple[str, ...]
    """What does not agree; empty: verified."""
    agreed: tuple[str, ...]
    """What was worked out again or compared, and agrees."""
    open: tuple[str, ...]
    """What could not be checked here, and why."""

    @property
    def verified(self) -> bool:
        """Does everything that could be checked agree?"""
        return not self.faults

    def to_json(self) -> Json:
        """The same with ``verified``."""
        return {**plain(asdict(self)), "verified": self.verified}


@dataclass(frozen=True, slots=True)
class _Findings:
    """Lines as they come."""

    faults: list[str] = field(default_factory=list)
    agreed: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def check(self, what: str, faults: Callable[[], Sequence[str]]) -> None:
        """Note the faults of a check, or that what it compares agrees; a check that cannot be made is a fault."""
        try:
            lines = faults()
        except _BROKEN as error:
            lines = [f"{what}: cannot be worked out again ({type(error).__name__}: {error})"]
        if lines:
            self.faults.extend(lines)
        else:
            self.agreed.append(what)


def read_certificate(path: Path) -> Certificate:
    """Read a certificate.

    Raises:
        StudyError: there is none, it cannot be read, or it is of a format that is not known here.
    """
    try:
        # Of two values by one name Python takes the last, and a reader perhaps the first.
        stored = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_single)
    except FileNotFoundError as error:
        raise StudyError(
            "the study has no certificate",
            file=path,
            cure="A study writes one since Twofold knows certificates: run a new study.",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(
            f"the certificate cannot be read: {error}", file=path, cure="Restore the file from its author or a backup."
        ) from error
    number = stored.get("format") if isinstance(stored, dict) else None
    # 1.0 and true are equal to 1, and no format of a certificate.
    if number is not None and (type(number) is not int or number != FORMAT):
        raise StudyError(
            f"the certificate has the format {str(number)[:40]}, and this Twofold {__version__} verifies {FORMAT}",
            file=path,
            cure=f"Verify it with the Twofold that wrote it ({str(stored.get('twofold', 'unknown'))[:40]}).",
        )
    if number is None or not Certificate.__required_keys__ <= stored.keys():
        lacking = sorted(Certificate.__required_keys__ - (stored.keys() if isinstance(stored, dict) else set()))
        raise StudyError(
            f"this is no certificate: {', '.join(lacking)} missing",
            file=path,
            cure=f"Name a study, or its {FILE}.",
        )
    return cast("Certificate", stored)


def _single(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return value


def verify(path: Path) -> Verification:
    """Verify a certificate, and the record and answers beside it where they are there.

    Args:
        path: The certificate, or the study's directory.

    Raises:
        StudyError: there is none to verify; see `read_certificate`.
    """
    file = path / FILE if path.is_dir() else path
    certificate = read_certificate(file)
    findings = _Findings()
    findings.check("the seal", lambda: _sealed(certificate))
    findings.check("the verdict, its flips, effects and comparisons", lambda: _decision(certificate))
    if certificate["race"] is not None:
        findings.check("the race, run again from the outcomes", lambda: _race(certificate))
    # Facts that are no object are a fault of the decision, which is worked out from them.
    is_pooled = isinstance(certificate["facts"], dict) and bool(certificate["facts"].get("pooled"))
    if is_pooled:
        findings.check("statistics of all answers, from their stored columns", lambda: _columns(certificate))
    findings.check("the means of every arm and metric", lambda: _means(certificate))
    findings.check("facts that follow, and the keys of the metrics", lambda: _facts(certificate))
    record = _beside(findings, file.parent / "study.json", lambda: archive.read_record(file.parent))
    if record is not None:
        findings.check("the record study.json", lambda: _record(certificate, record))
    rows = _beside(findings, file.parent / "answers.jsonl.gz", lambda: archive.read_answers(file.parent))
    if rows is None:
        if certificate["race"] is not None:
            findings.open.append(_ORDER)
        if is_pooled:
            findings.open.append(
                f"{_decider(certificate)} is taken from its stored columns: its answers are not at hand"
            )
    else:
        try:
            _answers(findings, certificate, rows, record=record)
        except _BROKEN as error:
            findings.faults.append(f"the answers cannot be compared ({type(error).__name__}: {error})")
    if certificate["code"] != sources_digest():
        findings.open.append(
            f"decided by the code of Twofold {certificate['twofold']} ({certificate['code']}), replayed by that of "
            f"{__version__} ({sources_digest()})"
        )
    verdict = certificate["verdict"] if isinstance(certificate["verdict"], dict) else {}
    return Verification(
        study=str(certificate["study"]),
        path=str(file),
        outcome=" ".join(str(verdict.get(key, "")) for key in ("outcome", "arm")).strip(),
        faults=tuple(findings.faults),
        agreed=tuple(findings.agreed),
        open=tuple(findings.open),
    )


def _beside(findings: _Findings, path: Path, read: Callable[[], Any]) -> Any:
    """A file beside the certificate; None, and noted, where it is missing or damaged."""
    if not path.is_file():
        findings.open.append(f"{path.name} is not at hand")
        return None
    try:
        return read()
    except _BROKEN as error:
        findings.faults.append(f"{path.name} cannot be read: {error}")
        return None


# ---------------------------------------------------------------- the certificate alone


def _sealed(certificate: Certificate) -> list[str]:
    if certificate["seal"] == seal_of(certificate):
        return []
    return ["the seal is not that of the certificate: a value was changed after it was written"]


def _decision(certificate: Certificate) -> list[str]:
    verdict, effects, comparisons, estimates = decided(certificate)
    if certificate["hypothesis"] is not None:
        stated = Hypothesis(**certificate["hypothesis"])
        policy = facts_of(certificate["facts"]).policy
        verdict = restated(verdict, stated, comparisons, policy=policy, n=len(certificate["outcomes"]))
    name = _decider(certificate)
    lines = unlike(certificate["verdict"], plain(verdict), "verdict")
    lines += unlike(certificate["effects"], plain(effects), "effects")
    lines += unlike(certificate["comparisons"], plain(comparisons), "comparisons")
    for measured, estimate in estimates.items():
        lines += unlike(certificate["estimates"][measured].get(name), plain(estimate), f"estimates.{measured}.{name}")
    # Which questions count by a pooled metric follows from the answers alone (`_statistics`).
    if certificate["facts"].get("pooled"):
        return lines
    scores, lost, runs = {}, {}, facts_of(certificate["facts"]).runs
    for arm in chain.from_iterable(names_of(arm.name, runs) for arm in arms_of(certificate["arms"])):
        lost[arm] = [_lost(row, arm) for row in certificate["outcomes"]]
        scores[arm] = [row["scores"].get(arm, {}).get(name) for row in certificate["outcomes"]]
    if [row["counts"] for row in certificate["outcomes"]] != applies(scores, lost).tolist():
        lines.append("which questions count does not follow from the scores")
    return lines


def _decider(certificate: Certificate) -> str:
    metric: Any = certificate["section"]["metric"]
    return str(metric if isinstance(metric, str) else metric["name"])


def _lost(row: OutcomeRow, arm: str) -> bool:
    """Has the arm no answer to the question: did it fail, or did a race not ask it?"""
    if arm in row["failed"]:
        return True
    return arm not in row["scores"]


def _race(certificate: Certificate) -> list[str]:
    """Run the race again: who was asked what, every look, who won, and what it has shown."""
    row = certificate["race"]
    if row is None:
        return []
    again = raced_again(
        row,
        certificate["outcomes"],
        arms_of(certificate["arms"]),
        section=StudySection.model_validate(certificate["section"]),
        uncited=certificate["facts"]["uncited"],
    )
    lines = unlike(row["record"], plain(again.record), "race")
    shown = facts_json(VerdictFacts(race=again.evidence))["race"]
    return lines + unlike(certificate["facts"]["race"], shown, "facts.race")


def _columns(certificate: Certificate) -> list[str]:
    """The statistics of a pooled metric with their intervals, from what each group of questions adds to them."""
    section, lines = certificate["section"], list[str]()
    counted_rows = [row for row in certificate["outcomes"] if row["counts"]]
    folds = pooling.folds_of([row["group"] for row in counted_rows], seed=section["seed"])
    for arm, value in facts_of(certificate["facts"]).pooled.items():
        failed = sum(1 for row in certificate["outcomes"] if arm in row["failed"])
        for fold in range(int(folds.max()) + 1):
            if np.ptp(value.scores[folds == fold]) > SAME:
                lines.append(f"facts.pooled.{arm}: two questions of one fold add different amounts")
        again = pooling.whole_of(value.scores, folds, level=section["level"], failed=failed)
        lines += unlike(plain(value.whole), plain(again), f"facts.pooled.{arm}.whole")
    return lines


def _means(certificate: Certificate) -> list[str]:
    """Means that decide nothing: other metrics, and diagnostic arms; pooled ones need the answers."""
    outcomes, lines = certificate["outcomes"], list[str]()
    deciders = {arm["name"] for arm in certificate["arms"]}
    decider = _decider(certificate)
    groups = np.array([row["group"] for row in outcomes], dtype=np.intp)
    level, runs = certificate["section"]["level"], facts_of(certificate["facts"]).runs
    for arm, stored in certificate["estimates"].items():
        each = names_of(arm, runs)
        failed = sum(1 for row in outcomes if not row["failed"].keys().isdisjoint(each))
        for name, estimate in stored.items():
            scores = np.stack([column(outcomes, run, name) for run in each])
            # Those of the deciding metric are the verdict's own; a pooled metric scores no single question.
            if (arm in deciders and name == decider) or not np.isfinite(scores).all(axis=0).any():
                continue
            again = repeats.estimate(scores, groups, level=level, failed=failed)
            lines += unlike(estimate, plain(again), f"estimates.{arm}.{name}")
        for name in certificate["metrics"]:
            if name not in stored and np.isfinite(column(outcomes, arm, name)).any():
                lines.append(f"estimates.{arm} lacks {name}, which has scores")
    return lines


def _facts(certificate: Certificate) -> list[str]:
    """Facts that follow from the rest of the certificate."""
    facts, outcomes, section = certificate["facts"], certificate["outcomes"], certificate["section"]
    restored = facts_of(facts)
    # A fact that this version does not know would be left out in silence.
    stated = {key: value for key, value in facts_json(restored).items() if key in facts or key not in LATER}
    lines = unlike(facts, stated, "facts")
    if restored.race is not None and certificate["race"] is None:
        lines.append("facts.race is that of a race, and the certificate has none to run again")
    lines += runs_unlike(certificate, restored)
    names = [arm["name"] for arm in certificate["arms"]]
    again: Json = {"level": section["level"], "questions": len(outcomes), "failed_share": {}}
    for name in names:
        reached = [row for row in outcomes if name in row["scores"]]
        again["failed_share"][name] = sum(1 for row in reached if name in row["failed"]) / len(reached)
    if certificate["hypothesis"] is None:
        again["level"] = looks.level_of(restored.looks, certificate["timing_level"])
    timed = {name: {"seconds": dict(enumerate(seconds))} for name, seconds in certificate["seconds"].items()}
    again["latency_p95"] = {name: latency.p95(value) for name, value in timed.items()}
    ends = {name: latency.ends(value, level=certificate["timing_level"]) for name, value in timed.items()}
    again["latency_ends"] = spelt(ends)
    again["latency_wanted"] = intervals.least_for_upper_end(0.95, level=certificate["timing_level"])
    again["next_level"] = looks.level_of(restored.looks + 1, certificate["timing_level"])
    again["latency_answers"] = {name: len(seconds) for name, seconds in certificate["seconds"].items()}
    lines += unlike({key: facts[key] for key in again}, plain(again), "facts")
    for name, metric in certificate["metrics"].items():
        if metric["replay"] != SECRET and digest("metric", metric["spec"]) != metric["key"]:
            lines.append(f"metrics.{name}: its key is not that of its name, version and options")
    return lines + unlike(section["level"], plain(again["level"]), "section.level")


# ---------------------------------------------------------------- beside the record


def _record(certificate: Certificate, record: StudyRecord) -> list[str]:
    """Where the record says something else than the certificate."""
    stored: Json = dict(record)
    lines = []
    if record_digest(stored) != certificate["digests"]["record"]:
        lines.append("study.json is not the record that was certified: a value was changed after it was written")
    shared = ("study", "project", "created", "twofold", "verdict", "effects", "comparisons")
    for key in shared:
        lines += unlike(stored.get(key), certificate[key], f"study.json: {key}")  # type: ignore[literal-required]
    index = (stored["retrieval"] or {}).get("index", {})
    systems, estimates = {}, {}
    for name, arm in stored["arms"].items():
        systems[name] = system_row(arm)
        estimates[name] = arm["metrics"]
    section = {**stored["config"]["study"], "level": certificate["section"]["level"]}
    # An opening of the reserve is decided without the constraints of [study].
    expected = section if certificate["hypothesis"] is None else certificate["section"]
    race = certificate["race"]
    known = {
        "race": (stored.get("race"), None if race is None else race["record"]),
        "documents": (index.get("content", ""), certificate["digests"]["documents"]),
        "index version": (index.get("version"), certificate["index_version"]),
        "config": (digest("config", stored["config"]), certificate["digests"]["config"]),
        "level": (stored["level"], certificate["section"]["level"]),
        "timing level": (stored["config"]["study"]["level"], certificate["timing_level"]),
        "[study]": (expected, certificate["section"]),
        "metrics": (estimates, certificate["estimates"]),
        "metric_keys": (stored.get("metric_keys"), {name: row["key"] for name, row in certificate["metrics"].items()}),
        "systems": (systems, certificate["systems"]),
    }
    for what, (first, second) in known.items():
        lines += unlike(first, second, f"study.json: {what}")
    return lines


# ---------------------------------------------------------------- beside the answers


def _answers(
    findings: _Findings, certificate: Certificate, rows: Sequence[AnswerRow], *, record: StudyRecord | None
) -> None:
    """Compare the stored answers with the outcomes, score them again, and work out what else follows from them."""
    outcomes = {row["id"]: row for row in certificate["outcomes"]}
    findings.check(f"{counted(len(rows), 'line')} of answers", lambda: _lines(outcomes, rows))
    missing = len(outcomes) - len(rows)
    removed = _removed(record)
    if missing != removed:
        findings.faults.append(
            f"answers.jsonl.gz lacks {counted(missing, 'question')}, and the record says that {removed} were removed"
        )
    elif missing:
        findings.open.append(
            f"{counted(missing, 'answer line')} removed since, when a document was forgotten: taken as certified"
        )
    else:
        findings.check(
            "the digest of the questions",
            lambda: unlike(questions_digest(rows), certificate["digests"]["questions"], "questions"),
        )
        findings.check("facts read off the answers", lambda: _read_facts(certificate, rows))
    if certificate["race"] is not None:
        _order(findings, certificate, rows, record=record)
    decides = _decider(certificate)
    for name, row in certificate["metrics"].items():
        metric = row["replay"] or replayed_metric(name, row)
        if isinstance(metric, str):
            findings.open.append(f"{name} is not scored again: {metric}")
        elif not MetricTraits.of(metric).pooled:
            findings.check(f"the scores of {name}, from the answers", partial(_rescored, name, metric, rows))
        elif missing:
            columns = ", but for its stored columns" if name == decides else ""
            findings.open.append(f"{name} is not worked out again{columns}: it takes all answers, and some are missing")
        else:
            if name == decides and certificate["facts"]["pooled"]:
                findings.check(
                    f"{name}, its folds and what each adds, from all answers together",
                    partial(_statistics, certificate, rows, metric=metric),
                )
            findings.check(
                f"{name}, from all answers together", partial(_pooled, certificate, rows, name=name, metric=metric)
            )


def _order(
    findings: _Findings, certificate: Certificate, rows: Sequence[AnswerRow], *, record: StudyRecord | None
) -> None:
    """Are the shards of a race those that the hash of its groups' names gives?"""
    if record is None or len(rows) != len(certificate["outcomes"]):
        findings.open.append(_ORDER)
        return
    findings.check("the order of the race's groups", lambda: _shards(certificate, rows, record))


def _shards(certificate: Certificate, rows: Sequence[AnswerRow], record: StudyRecord) -> list[str]:
    race = certificate["race"]
    if race is None:
        return []
    numbers = {row["id"]: row["group"] for row in certificate["outcomes"]}
    members: dict[str, list[int]] = {}
    for row in rows:
        members.setdefault(row["group"], []).append(numbers[row["id"]])
    full = size_of(race["record"]["planned"], batch=record["config"]["generation"]["batch"])
    expected: list[list[int]] = []
    size = full
    for group in order_of(members, seed=certificate["section"]["seed"]):
        if size >= full:
            expected.append([])
            size = 0
        expected[-1].append(members[group][0])
        size += len(members[group])
    return unlike(race["shards"], expected, "race.shards")


def replayed_metric(name: str, row: MetricRow) -> Metric | str:
    """The metric as it was, or why it is not to be had here."""
    spec = row["spec"]
    try:
        kind = loading.find("metrics", name)
        # Whatever a certificate says: verifying a stranger's asks no model, runs no program, and opens no address.
        if not MetricTraits.of(kind).replayed or is_endpoint("metrics", name):
            return "its scores take a model or a program to work out"
        if kind.version != spec["version"]:
            return f"it was version {spec['version']}, and is {kind.version}"
        metric: Metric = loading.make("metrics", name, spec["options"])
    except _BROKEN as error:
        return str(error)
    return metric


def _removed(record: StudyRecord | None) -> int:
    """How many lines the record says were taken out."""
    numbers = [re.match(rf"{REMOVED}([\d,]+) answer", line) for line in (record["warnings"] if record else ())]
    return sum(int(number[1].replace(",", "")) for number in numbers if number)


def _lines(outcomes: Mapping[str, OutcomeRow], rows: Sequence[AnswerRow]) -> list[str]:
    lines = []
    groups: dict[str, set[int]] = {}
    for row in rows:
        outcome = outcomes.get(row["id"])
        if outcome is None:
            lines.append(f"question {row['id']!r} is not certified")
            continue
        if row_digest(row) != outcome["answers"]:
            lines.append(f"question {row['id']!r}: its answers are not those that were certified")
        if row_question(row) != outcome["question"]:
            lines.append(f"question {row['id']!r}: its words are not those that were certified")
        scores = {name: answer["scores"] for name, answer in row["arms"].items()}
        lines += unlike(scores, outcome["scores"], f"question {row['id']!r}: scores")
        failed = {name: answer["failure"]["code"] for name, answer in row["arms"].items() if answer["failure"]}
        lines += unlike(failed, outcome["failed"], f"question {row['id']!r}: failures")
        groups.setdefault(row["group"], set()).add(outcome["group"])
    numbers = [number for these in groups.values() for number in these]
    if any(len(these) > 1 for these in groups.values()) or len(numbers) != len(set(numbers)):
        lines.append("the groups of the questions are not those of the answers")
    if len({row["id"] for row in rows}) != len(rows):
        lines.append("a question stands twice among the answers")
    return lines


def _rescored(name: str, metric: Metric, rows: Sequence[AnswerRow]) -> list[str]:
    lines = []
    for row in rows:
        for arm, answer in row["arms"].items():
            if answer["failure"] is None:
                again = rescored(metric, row, arm)
                lines += unlike(answer["scores"].get(name), plain(again), f"question {row['id']!r}: {name} of {arm}")
    return lines


def _pooled(certificate: Certificate, rows: Sequence[AnswerRow], *, name: str, metric: Metric) -> list[str]:
    lines = []
    numbers = {row["id"]: row["group"] for row in certificate["outcomes"]}
    section, runs = certificate["section"], facts_of(certificate["facts"]).runs
    for arm, estimates in certificate["estimates"].items():
        reached, each = [row for row in rows if arm in row["arms"]], names_of(arm, runs)
        lost = [row["id"] for row in reached for run in each if row["arms"][run]["failure"] is not None]
        answered = [row for row in reached if row["id"] not in lost]
        # Of the candidates the deciding one is a statistic of its own (`_statistics`).
        if name not in estimates or (name == _decider(certificate) and arm in certificate["facts"]["pooled"]):
            continue
        items = []
        for run in each:
            items.append([(example_of(row), answer_of(row, run)) for row in answered])
        again = repeats.pooled(
            cast(Pools, metric).pool,
            items,
            np.array([numbers[row["id"]] for row in answered]),
            level=section["level"],
            seed=section["seed"],
            failed=len(reached) - len(answered),
        )
        lines += unlike(estimates[name], plain(again), f"estimates.{arm}.{name}")
    return lines


def _statistics(certificate: Certificate, rows: Sequence[AnswerRow], *, metric: Metric) -> list[str]:
    """The deciding pooled metric of every candidate, its folds, what each adds, and which questions count."""
    lines = {row["id"]: row for row in rows}
    # In the order of the outcomes, which the columns have.
    ordered = [lines[row["id"]] for row in certificate["outcomes"]]
    answers: dict[str, list[Answer]] = {}
    for arm in certificate["arms"]:
        answers[arm["name"]] = [answer_of(row, arm["name"]) for row in ordered]
    section = StudySection.model_validate(certificate["section"])
    again = pooled.compared(metric, [example_of(row) for row in ordered], answers, section=section)
    stored = facts_json(VerdictFacts(pooled=again.pooled))["pooled"]
    faults = unlike(certificate["facts"]["pooled"], stored, "facts.pooled")
    if [row["counts"] for row in certificate["outcomes"]] != again.counts.tolist():
        faults.append("which questions count does not follow from the answers")
    return faults


def _read_facts(certificate: Certificate, rows: Sequence[AnswerRow]) -> list[str]:
    """Facts on citations, lengths and cut answers."""
    facts = certificate["facts"]
    again: Json = {"letters": {}, "cut_share": {}, "citing": {}}
    for arm in certificate["arms"]:
        name = arm["name"]
        reached = [row for row in rows if name in row["arms"]]
        examples = [example_of(row) for row in reached]
        answers: list[Answer] = [answer_of(row, name) for row in reached]
        failed = sum(1 for answer in answers if answer.failure is not None)
        again["letters"][name] = letters(answers)
        again["cut_share"][name] = cut_answers(answers) / max(1, len(answers) - failed)
        share = cited_share(answers, examples, level=certificate["section"]["level"]) if arm["retrieval"] else None
        if share is not None:
            again["citing"][name] = asdict(share)
    return unlike({key: facts[key] for key in again}, plain(again), "facts")
