"""The parts of the record that are computed from the measured arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from twofold.answering.citing import whereabouts
from twofold.assembly.searching import Search
from twofold.config import Config
from twofold.examples.questions import Questions
from twofold.hashing import plain
from twofold.metrics.abstention import AbstentionF1
from twofold.plugins.protocols import Metric, Pools
from twofold.plugins.traits import MetricTraits
from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.store import weighing
from twofold.store.catalogue import Catalogue
from twofold.study import repeats
from twofold.study.cut_short import cut_kind
from twofold.study.measure import MeasuredArm
from twofold.types import Answer, Estimate, Example, Json
from twofold.verdict.evidence import rights
from twofold.verdict.latency_record import LatencyRecord, QuantileRecord
from twofold.verdict.record import AnswerRow, ArmAnswer, ArmRecord


def numbers(scores: Sequence[float | None]) -> Any:
    """Scores as a float array; None becomes NaN."""
    return np.array([np.nan if score is None else score for score in scores], dtype=float)


def arm_record(
    item: MeasuredArm,
    *,
    test: Sequence[Example],
    metrics: dict[str, tuple[Metric, str]],
    decided: Estimate | None,
    section: StudySection,
    counts: Any,
    latency: LatencyRecord | None,
    level: float,
) -> ArmRecord:
    """One arm's part of the record: estimates, latency, tokens, failures, training.

    Args:
        item: What was measured of the arm.
        test: The questions of the study; in a race the arm was asked some of them (`MeasuredArm.covers`).
        metrics: Name → metric and its key.
        decided: The estimate in the deciding metric, where the verdict has it.
        section: [study], with the level of this look.
        counts: Which questions count for the verdict (`verdict.applies`).
        latency: The arm's seconds, where they were measured (`latency.latency_record`).
        level: Of intervals of seconds, whatever the look.
    """
    test, counts = item.part_of(test), np.array(item.part_of(counts), dtype=bool)
    # shape (questions,): the group of each question; `scores` and `answers` align with it.
    groups = Questions.of(test).groups
    failed = [a.failure for a in item.answers if a.failure is not None]
    estimates: dict[str, Any] = {}
    for name, (metric, _) in metrics.items():
        if name == section.metric.name and decided is not None:
            estimates[name] = plain(decided)
        elif isinstance(metric, AbstentionF1) and all(example.answerable for example in test):
            continue  # nothing was to be declined, and 1 would be a lie
        elif item.runs:
            mean = repeats.mean_of(item.runs, name, metric, test=test, section=section)
            estimates |= {} if mean is None else {name: plain(mean)}
        elif MetricTraits.of(metric).pooled:
            items = [(e, a) for e, a in zip(test, item.answers, strict=True) if a.failure is None]
            answered = np.array([a.failure is None for a in item.answers])
            if all(metric.score(example, answer) is None for example, answer in items):
                continue  # every answer failed, or none has a score: there is no value, and 0 or 1 would be a lie
            estimates[name] = plain(
                intervals.pooled(
                    cast(Pools, metric).pool,
                    items,
                    groups[answered],
                    level=section.level,
                    seed=section.seed,
                    failed=len(failed),
                )
            )
        elif any(score is not None for score in item.scores[name]):
            estimates[name] = plain(
                intervals.estimate(
                    numbers(item.scores[name]),
                    groups,
                    level=section.level,
                    failed=len(failed),
                )
            )
    least = right_from(metrics[section.metric.name][0])
    right = rights({"": [numbers(run.scores[section.metric.name])[counts] for run in item.each]}, least)[""]
    kinds = Counter((f.code, f.message[:200]) for f in failed)
    measures = item.measures
    spent = float(measures.get("seconds", 0.0))
    # Tokens are means of the answers that did not fail; measures of before do not tell these from all.
    number = float(measures["answered"] if "answered" in measures else measures.get("n", 0))
    tokens = float(measures.get("prompt_tokens", 0.0)) + float(measures.get("completion_tokens", 0.0))
    training: Any = None
    if item.training is not None:
        training = {
            key: item.training[key]
            for key in (
                "key",
                "rows",
                "epochs",
                "steps",
                "best_step",
                "seconds",
                "tokens",
                "tokens_per_second",
                "peak_mib",
                "stopped",
                "loss",
                "dev",
                "cached",
            )
        }
        further = (
            "cut_prompts",
            "cut_answers",
            "max_length",
            "method",
            "trials",
            "gate",
            "merge_back",
            "methods",
            "runs",
            "effort",
            "model",
        )
        # Not every trainer reports these.
        training |= {key: item.training[key] for key in further if key in item.training}
    record: ArmRecord = {
        "key": item.system,
        "description": item.description,
        "metrics": estimates,
        "latency": latency,
        "timing": timing(item.answers, level=level),
        "cut": [cut_answers(item.answers), len(item.answers) - len(failed)],
        "uncited": uncited_answers(item.answers),
        "prompt_tokens": float(measures.get("prompt_tokens", 0.0)),
        "completion_tokens": float(measures.get("completion_tokens", 0.0)),
        "tokens_per_second": tokens * number / spent if spent else 0.0,
        "seconds": spent,
        "peak_mib": float(measures.get("peak_mib", 0.0)),
        "failures": [{"code": code, "message": message, "count": n} for (code, message), n in kinds.most_common()],
        "training": training,
        "acceptable": True,
        "objections": [],
        "diagnostic": item.diagnostic,
    }
    if "endpoints" in measures:
        record["endpoints"] = measures["endpoints"]
    if item.judged_by:
        record["judged_by"] = item.judged_by
    if item.runs:
        record["runs"] = repeats.record_of(item, section.metric.name, counts, level=section.level)
    if least is not None:
        record["right"] = [right.count, right.of]
    return record


def uncited(config: Config, *, schema: bool) -> str:
    """Why no answer can cite, whatever the arm (`VerdictFacts.uncited`); `schema`: answers are JSON of one."""
    if config.template.cite == "none":
        return 'the prompt asks for no citation ([prompt].cite = "none")'
    return "an answer in JSON carries no citation ([generation].schema)" if schema else ""


def right_from(metric: Metric) -> float | None:
    """Score from which an answer counts as right by this metric; None where it has none."""
    return MetricTraits.of(metric).right


def cited_share(answers: Sequence[Answer], test: Sequence[Example], *, level: float) -> Estimate | None:
    """Share of the answers that cite a right document; None where no answer can be judged.

    Of answers that are neither failed nor an abstention; only those to examples that name their sources count, unless
    none does: then any citation will do.
    """
    known = any(example.sources for example in test)

    def value(example: Example, answer: Answer) -> float | None:
        if answer.failure is not None or answer.abstained or (known and not example.sources):
            return None
        return float(any(not known or c.span.document in example.sources for c in answer.citations))

    values = [value(example, answer) for example, answer in zip(test, answers, strict=True)]
    if all(value is None for value in values):
        return None
    return intervals.estimate(numbers(values), Questions.of(test).groups, level=level)


def cut_answers(answers: Sequence[Answer]) -> int:
    """How many of the answers ended at the token limit."""
    return sum(1 for answer in answers if answer.cut and answer.failure is None)


def cut_kinds(test: Sequence[Example], answers: Sequence[Answer]) -> list[tuple[str, int]]:
    """Kinds of the answers that ended at the token limit, the most frequent first."""
    cut = [(e, a) for e, a in zip(test, answers, strict=True) if a.cut and a.failure is None]
    return Counter(cut_kind(example, answer) for example, answer in cut).most_common()


def letters(answers: Sequence[Answer]) -> float:
    """Characters of the median answer that says something; 0 where none does."""
    lengths = [len(answer.text) for answer in answers if answer.failure is None and not answer.abstained]
    return float(np.median(lengths)) if lengths else 0.0


def uncited_answers(answers: Sequence[Answer]) -> list[int]:
    """How many of the answers that say something cite no passage, and how many say something."""
    answered = [answer for answer in answers if answer.failure is None and not answer.abstained]
    return [sum(1 for answer in answered if not answer.citations), len(answered)]


def timing(answers: Sequence[Answer], *, level: float) -> dict[str, QuantileRecord]:
    """``retrieval`` and ``generation`` → median seconds of the answers made; without retrieval only the second.

    The answers of a batch share its seconds evenly, so the interval is over batches: a single batch has none.
    """
    spent = [answer.timing for answer in answers if answer.failure is None]
    parts = {"retrieval": [one.retrieval for one in spent], "generation": [one.generation for one in spent]}
    out: dict[str, QuantileRecord] = {}
    for name, seconds in parts.items():
        if any(seconds):
            # Equal seconds are shares of one batch, one measurement, however many answers it had.
            _, low, high = intervals.quantile_interval(sorted(set(seconds)), 0.5, level=level)
            value = float(np.median(seconds))
            # The median over answers may lie outside that over batches, which differ in size.
            low, high = low and min(low, value), high and max(high, value)
            out[name] = {"value": value, "low": low, "high": high, "n": len(seconds)}
    return out


def _gold_found(example: Example, answer: Answer) -> bool | None:
    if not example.sources or not example.answerable:
        return None
    return any(hit.chunk.span.document in example.sources for hit in answer.hits)


def retrieval_record(
    search: Search, measured: dict[str, MeasuredArm], test: Sequence[Example], *, section: StudySection
) -> Json:
    """Recall of a gold document among the hits, the index state, and on what the words' weight was chosen."""
    # All arms that retrieve share one search, so the first of them speaks for it.
    item = next((m for m in measured.values() if m.arm.retrieval and not m.arm.oracle and not m.arm.whole), None)
    if item is None:
        return {}
    test = item.part_of(test)
    # A failed answer has no hits to judge: counted as a miss it would blame the search for the endpoint.
    gold_found = []
    for example, answer in zip(test, item.answers, strict=True):
        gold_found.append(_gold_found(example, answer) if answer.failure is None else None)
    # shape (questions,): 1, 0, or NaN where no gold document is known.
    values = numbers([None if f is None else float(f) for f in gold_found])
    recall = None
    if not np.all(np.isnan(values)):
        recall = plain(intervals.estimate(values, Questions.of(test).groups, level=section.level))
    record: Json = {"k": search.config.retrieval.k, "recall": recall, "index": plain(search.index.state())}
    choice = weighing.last_choice(search.catalogue.notes) if weighing.searching(search.config) else None
    if choice is not None:
        record["words"] = {name: value for name, value in choice.items() if name != "sketch"}
    return record


def answer_rows(
    catalogue: Catalogue,
    measured: dict[str, MeasuredArm],
    *,
    test: Sequence[Example],
    judged: Sequence[Example],
) -> list[AnswerRow]:
    """The lines of ``answers.jsonl.gz``.

    Args:
        catalogue: Has the documents.
        measured: The arms.
        test: The questions, whose own sources are shown.
        judged: The same as their answers are judged (`Splits.judged`).
    """
    # Arm → place of each question among its own answers; None: a race did not ask it.
    at = {name: item.over_all(range(len(item.answers))) for name, item in measured.items()}
    rows: list[AnswerRow] = []
    for position, example in enumerate(test):
        arms: dict[str, ArmAnswer] = {}
        for name, item in measured.items():
            place = at[name][position]
            if place is None:
                continue
            places = [one.place for one in whereabouts(catalogue.documents, item.answers[place])]
            arms[name] = _arm_answer(item, judged[position], place, places=places)
        row: AnswerRow = {
            "id": example.id,
            "group": example.group,
            "question": example.question,
            "messages": [plain(m) for m in example.messages],
            "references": list(example.references),
            "sources": list(example.sources),
            "answerable": example.answerable,
            "arms": arms,
        }
        if beside := _judged(example, judged[position]):
            row["judged"] = beside
        rows.append(row)
    return rows


def _judged(example: Example, judged: Example) -> Json:
    """What scoring reads of an example beside the fields that its row has."""
    # Spans as lists: who forgets a document looks for records that name it as shown.
    spans = [[span.document, span.start, span.end] for span in judged.spans]
    read: Json = {"choices": judged.choices, "spans": spans, "grades": judged.grades}
    if judged.sources != example.sources:
        read["sources"] = judged.sources
    return {name: plain(value) for name, value in read.items() if value}


def _arm_answer(item: MeasuredArm, example: Example, position: int, *, places: Sequence[str]) -> ArmAnswer:
    answer = item.answers[position]
    reasons = {name: texts[position] for name, texts in item.reasons.items() if texts[position]}
    row: ArmAnswer = {
        "text": answer.text,
        "raw": answer.raw,
        "abstained": answer.abstained,
        "scores": {name: values[position] for name, values in item.scores.items()},
        "citations": [
            {
                "number": c.number,
                "document": c.span.document,
                "start": c.span.start,
                "end": c.span.end,
                "quote": None if c.quote is None else (c.quote.start, c.quote.end),
                "place": places[c.number - 1],  # markers count from 1
            }
            for c in answer.citations
        ],
        "invalid_citations": answer.invalid_citations,
        "unsupported_citations": answer.unsupported_citations,
        "repointed_citations": answer.repointed_citations,
        "hits": [
            {
                "number": number,
                "document": hit.chunk.span.document,
                "title": hit.chunk.title,
                "start": hit.chunk.span.start,
                "end": hit.chunk.span.end,
                "text": hit.chunk.text,
                "gold": hit.chunk.span.document in example.sources,
                "place": places[number - 1],
            }
            for number, hit in enumerate(answer.hits, 1)
        ],
        "failure": None if answer.failure is None else plain(answer.failure),
        "cut": answer.cut,
    }
    if reasons:
        row["reasons"] = reasons
    return row
