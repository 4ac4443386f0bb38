# ruff: noqa: PLR0917
"""Records of the shape a study writes, made from real questions and documents with made-up answers.

The verdict, intervals, causes and counts are computed by the study's own functions; only what the arms say is invented
(by seed), so that every state of a report can be shown in a second.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_sets import folder
from twofold.config import Config
from twofold.diagnosis.causes import CAUSES
from twofold.diagnosis.ledger import ledger
from twofold.hashing import plain
from twofold.metrics.overlap import ExactMatch, TokenF1
from twofold.settings.sections import StudySection
from twofold.stats import intervals
from twofold.study.compose import cut_answers, timing
from twofold.types import Answer, Chunk, Citation, Example, Failure, Hit, Message, Span, Timing
from twofold.verdict.evidence import rights
from twofold.verdict.record import FORMAT, AnswerRow, StudyRecord
from twofold.verdict.rule import VerdictFacts, constraint_objections, decide, whole

SKILL = {"base": 0.06, "prompt": 0.1, "rag": 0.42, "ft": 0.15, "ft+rag": 0.7, "oracle": 0.6}
SECONDS = {"base": 0.41, "prompt": 0.58, "rag": 1.12, "ft": 0.4, "ft+rag": 0.93, "oracle": 1.05}
EFFORT = {
    "planned": 180,
    "steps": 160,
    "epochs": 2.7,
    "stopped": "patience",
    "limit_minutes": 0.0,
    "moved": True,
    "rising": False,
    "dev_first": 0.23,
    "dev_best": 0.5,
    "chance": True,
    "minutes": 5.9,
    "minutes_needed": 6.6,
}
CUT_SHORT = EFFORT | {
    "planned": 60,
    "steps": 1,
    "epochs": 0.02,
    "stopped": "minutes",
    "limit_minutes": 9.0,
    "moved": False,
    "rising": None,
    "dev_best": 0.23,
    "chance": False,
    "minutes_needed": 40.0,
}
ABSTENTION = "The documents do not say."


def read(path: Path) -> list[dict[str, Any]]:
    """Lines of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def sample(
    *,
    arms: Sequence[str] = ("base", "prompt", "rag", "ft", "ft+rag", "oracle"),
    questions: int = 128,
    skill: dict[str, float] | None = None,
    failing: str = "",
    efforts: dict[str, Any] | None = None,
    **section: Any,
) -> tuple[StudyRecord, list[AnswerRow]]:
    """A study of AgXQA.

    Args:
        arms: Arms measured; ``oracle`` is diagnostic.
        questions: Test questions (repeated under new ids where there are not so many).
        skill: Arm → chance of a right answer.
        failing: An arm of which every fifth answer fails.
        efforts: Tuned arm → its effort, where it is not `EFFORT`.
        section: Settings of ``[study]``.
    """
    documents = {d["id"]: d for d in read(folder("agxqa") / "documents.jsonl")}
    found = read(folder("agxqa") / "examples.jsonl")
    examples = []
    for index in range(questions):
        row = found[index % len(found)]
        turn = index // len(found)
        examples.append(
            Example(
                id=row["id"] + (f"-{turn}" if turn else ""),
                messages=(Message(role="user", content=row["question"]),),
                references=tuple(row["answers"]),
                sources=tuple(row["doc_ids"]),
                group=row["doc_ids"][0],
            )
        )
    chance = random.Random(4)
    chances = {**SKILL, **(skill or {})}
    answers = {
        name: [
            _answer(name, number, example, documents, chance, chances[name], failing=name == failing)
            for number, example in enumerate(examples)
        ]
        for name in arms
    }
    return compose(examples, answers, diagnostics=("oracle",), efforts=efforts, **section)


def compose(
    examples: Sequence[Example],
    answers: dict[str, list[Answer]],
    *,
    diagnostics: Sequence[str] = (),
    metric: str = "token_f1",
    efforts: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[StudyRecord, list[AnswerRow]]:
    """The record and rows of given answers, scored and decided as a study does."""
    efforts = efforts or {}
    beside = ("exact_match" if metric == "token_f1" else "token_f1",)
    config = Config(study=StudySection(metric=metric, metrics=beside, resamples=500, **settings))
    groups = np.unique([e.group or e.id for e in examples], return_inverse=True)[1]
    scored = {"token_f1": TokenF1(TokenF1.Options()), "exact_match": ExactMatch(ExactMatch.Options())}
    scores = {
        arm: {name: [_score(m, e, a) for e, a in zip(examples, given, strict=True)] for name, m in scored.items()}
        for arm, given in answers.items()
    }
    chosen = [config.arm(name) for name in answers if name not in diagnostics]
    facts = VerdictFacts(
        policy="Split by document: every test question is about a document that no training question is about.",
        looks=2,
        failed_share={n: sum(1 for a in given if a.failure) / len(given) for n, given in answers.items()},
        latency_p95={arm.name: SECONDS[arm.name] * 1.6 for arm in chosen},
        training_minutes={arm.name: 6.0 for arm in chosen if arm.tuning},
        latency_answers={arm.name: 12 for arm in chosen},
        dev_trials={arm.name: 8 if arm.tuning else 0 for arm in chosen},
        dev_examples=40,
        effort={arm.name: efforts.get(arm.name, EFFORT) for arm in chosen if arm.tuning},
        cut_share={name: cut_answers(given) / len(given) for name, given in answers.items()},
        unanswerable=0,
    )
    numbers = {
        arm: {n: np.array([np.nan if s is None else s for s in v]) for n, v in by.items()} for arm, by in scores.items()
    }
    columns = {arm.name: numbers[arm.name][metric] for arm in chosen}
    verdict, effects, comparisons, _ = decide(
        arms=chosen,
        scores=columns,
        groups=groups,
        metric=metric,
        section=config.study,
        objections={},
        facts=facts,
    )
    objections = constraint_objections(
        chosen, config.study, facts=facts, whole=whole(columns, groups, level=config.study.level)
    )
    rows = [_row(examples, answers, scores, position) for position in range(len(examples))]
    seconds = {name: SECONDS[name] * len(examples) / 4 for name in answers}
    record: StudyRecord = {
        "format": FORMAT,
        "study": "0001-agxqa",
        "project": "agxqa",
        "about": "Extractive questions on irrigation.",
        "created": "2026-01-15T10:20:00+00:00",
        "twofold": "0.1.0",
        "policy": {
            "split_by": "document",
            "sentence": facts.policy,
            "seed": 7,
            "train": 170,
            "dev": 40,
            "test": len(examples),
            "reserve": 0,
            "groups": int(groups.max()) + 1,
            "final": False,
        },
        "metric": metric,
        "level": config.study.level,
        "margin": config.study.margin,
        "verdict": plain(verdict),
        "effects": [plain(e) for e in effects],
        "comparisons": [plain(e) for e in comparisons],
        "arms": {
            name: _arm_record(
                name, given, numbers[name], groups, objections.get(name, []), name in diagnostics, metric, efforts
            )
            for name, given in answers.items()
        },
        "retrieval": _retrieval(rows, groups) if any(r["arms"][n]["hits"] for r in rows for n in r["arms"]) else {},
        "self_test": [{"metric": n, "gold": 1.0, "shuffled": 0.021, "n": len(examples)} for n in scored],
        "leaks": {"exact": 0, "near": 2, "span": 1, "dropped": 3},
        "warnings": [
            "with 128 test questions only differences of about 0.16 or more can be seen; add questions for less"
        ],
        "bill": [
            {"step": f"answer {n}", "items": len(examples), "cached": 0, "seconds": s, "detail": "peak 1822 MiB"}
            for n, s in seconds.items()
        ],
        "seconds": sum(seconds.values()),
        "peak_mib": 3120.5,
        "environment": {
            "python": "3.11.7",
            "cores": 2,
            "memory_gib": 23.5,
            "packages": {"numpy": "2.4.6", "torch": ""},
        },
        "config": plain(config),
    }
    return json.loads(json.dumps(record)), json.loads(json.dumps(rows))


def diagnosed(record: StudyRecord, rows: Sequence[AnswerRow], arms: Sequence[str]) -> Any:
    """A diagnosis of these arms, its causes and re-runs invented, its ledger computed."""
    out = {}
    causes = [cause for cause in CAUSES if cause != "failure"]
    for arm in arms:
        lines: list[Any] = []
        for row in rows:
            answer = row["arms"][arm]
            if answer["failure"] or (answer["scores"][record["metric"]] or 0) < 0.5:
                cause = "failure" if answer["failure"] else causes[len(lines) % 5]
                trial = {"change": "gold passage inserted", "right": True, "score": 1.0, "text": "<b>corn</b>"}
                trial |= {"failure": "", "passages": [], "tokens": 120}
                line = {"id": row["id"], "group": row["group"], "cause": cause, "parts": [], "by": trial["change"]}
                lines.append({**line, "detail": "dense rank 7", "trials": [] if answer["failure"] else [trial]})
        lever = {"lever": "perfect retrieval", "action": "Improve the search.", "answers": 41, "harmed": 2}
        lever |= {
            "gain": {"mean": 0.12, "low": 0.03, "high": 0.2},
            "tokens": 12.4,
            "price": None,
            "effort": "a setting",
        }
        harm = {**lever, "lever": "perfect form", "gain": {"mean": -0.547, "low": -0.689, "high": -0.405}}
        out[arm] = {"arm": arm, "system": "x", "answers": len(rows), "wrong": len(lines) + 2, "diagnosed": len(lines)}
        out[arm] |= {"unscored": 0, "reruns": 99, "failed": 0, "rows": lines, "levers": [lever, harm]}
        out[arm] |= {"ledger": ledger(lines, level=record["level"])}
    head = {"format": 1, "study": record["study"], "created": record["created"], "twofold": "0.1.0"}
    notes = ["rag: 2 wrong answers were not diagnosed: raise --limit"]
    return {
        **head,
        "metric": record["metric"],
        "right_from": 0.5,
        "level": record["level"],
        "arms": out,
        "notes": notes,
    }


def _score(metric: Any, example: Example, answer: Answer) -> float | None:
    return None if answer.failure else metric.score(example, answer)


def _answer(
    arm: str,
    number: int,
    example: Example,
    documents: dict[str, Any],
    chance: random.Random,
    skill: float,
    *,
    failing: bool,
) -> Answer:
    if failing and number % 5 == 0:
        return Answer(text="", failure=Failure(code="generation.timeout", message="no answer within 60 s (3 tries)"))
    hits = _hits(example, documents, chance, sure=arm == "oracle") if arm in ("rag", "ft+rag", "oracle") else ()
    right = chance.random() < skill and (not hits or any(h.chunk.span.document in example.sources for h in hits))
    wrong = (
        hits[0].chunk.text.split(". ")[0][:90]
        if hits
        else chance.choice(("water", "yes, it depends on the soil", "corn"))
    )
    text = chance.choice(example.references) if right else wrong
    if not right and chance.random() < 0.3 and hits:
        return Answer(text=ABSTENTION, raw=ABSTENTION, hits=hits, abstained=True)
    if not right and chance.random() < 0.4:
        text = " ".join(example.references[0].split()[:1] + text.split()[:3])
    citations = []
    for place, hit in enumerate(hits, 1):
        at = hit.chunk.text.lower().find(text.lower())
        if at >= 0 and text:
            start = hit.chunk.span.start + at
            quote = Span(document=hit.chunk.span.document, start=start, end=start + len(text))
            citations.append(Citation(number=place, span=hit.chunk.span, quote=quote))
            break
    else:
        if hits:
            citations.append(Citation(number=1, span=hits[0].chunk.span))
    raw = f"[{citations[0].number}] {text}" if citations else text
    spent = Timing(retrieval=0.031 if hits else 0.0, generation=SECONDS[arm] / 4 + number % 7 / 100)
    cut = not right and len(text) > 85
    return Answer(text=text, raw=raw, citations=tuple(citations), hits=hits, timing=spent, cut=cut)


def _hits(example: Example, documents: dict[str, Any], chance: random.Random, *, sure: bool) -> tuple[Hit, ...]:
    steady = random.Random(example.id)
    names = steady.sample(sorted(documents), 3)
    if sure:
        names = list(example.sources)
    elif steady.random() < 0.85:
        names[steady.randrange(3)] = example.sources[0]
    return tuple(hit(name, documents[name]["text"], rank) for rank, name in enumerate(dict.fromkeys(names), 1))


def hit(document: str, text: str, rank: int, *, start: int = 0, title: str = "") -> Hit:
    """A hit whose passage is all of `text` from `start` on."""
    span = Span(document=document, start=start, end=len(text))
    chunk = Chunk(id=f"{document}:{start}", span=span, text=text[start:], title=title)
    return Hit(chunk=chunk, score=1.0 / rank, rank=rank)


def _row(
    examples: Sequence[Example],
    answers: dict[str, list[Answer]],
    scores: dict[str, dict[str, list[float | None]]],
    position: int,
) -> AnswerRow:
    example = examples[position]
    arms: Any = {}
    for name, given in answers.items():
        answer = given[position]
        arms[name] = {
            "text": answer.text,
            "raw": answer.raw,
            "abstained": answer.abstained,
            "scores": {key: values[position] for key, values in scores[name].items()},
            "citations": [
                {
                    "number": c.number,
                    "document": c.span.document,
                    "start": c.span.start,
                    "end": c.span.end,
                    "quote": None if c.quote is None else (c.quote.start, c.quote.end),
                }
                for c in answer.citations
            ],
            "hits": [
                {
                    "number": number,
                    "document": h.chunk.span.document,
                    "title": h.chunk.title,
                    "start": h.chunk.span.start,
                    "end": h.chunk.span.end,
                    "text": h.chunk.text,
                    "gold": h.chunk.span.document in example.sources,
                }
                for number, h in enumerate(answer.hits, 1)
            ],
            "failure": None if answer.failure is None else plain(answer.failure),
            "cut": answer.cut,
        }
    return {
        "id": example.id,
        "group": example.group or example.id,
        "question": example.question,
        "messages": [plain(m) for m in example.messages],
        "references": list(example.references),
        "sources": list(example.sources),
        "answerable": example.answerable,
        "arms": arms,
    }


def _arm_record(
    name: str,
    given: list[Answer],
    numbers: dict[str, Any],
    groups: Any,
    objections: list[str],
    diagnostic: bool,
    metric: str,
    efforts: dict[str, Any],
) -> Any:
    failed = [a.failure for a in given if a.failure]
    p50 = SECONDS[name]
    training = None
    if name.startswith("ft"):
        training = {
            "key": f"adapter:{name}",
            "rows": 170,
            "epochs": 3.0,
            "steps": 160,
            "best_step": 120,
            "seconds": 351.0,
            "tokens": 214_000,
            "tokens_per_second": 610.0,
            "peak_mib": 3120.5,
            "stopped": "patience",
            "loss": [(s, 2.9 / (1 + s / 30) + 0.1 * ((s // 10) % 3)) for s in range(10, 170, 10)],
            "dev": [(s, 0.2 + 0.3 * min(s, 120) / 120 - (0.02 if s > 120 else 0)) for s in range(20, 170, 20)],
            "cached": False,
            "effort": efforts.get(name, EFFORT),
        }
    right = rights({"": numbers[metric]})[""]
    return {
        "key": f"system:{name}",
        "description": {"arm": name, "generator": {"model": "smollm2-135m", "dtype": "bf16"}, "max_tokens": 48},
        "metrics": {n: plain(intervals.estimate(v, groups, failed=len(failed))) for n, v in numbers.items()},
        "latency": {
            "p50": p50,
            "p95": p50 * 1.6,
            "n": 12,
            "intervals": {"p50": [p50 * 0.8, p50 * 1.3], "p95": [p50 * 1.3, None]},
        },
        "timing": timing(given, level=0.95),
        "right": [right.count, right.of],
        "cut": [cut_answers(given), len(given) - len(failed)],
        "prompt_tokens": 410.0 if given[0].hits else 44.0,
        "completion_tokens": 9.5,
        "tokens_per_second": 780.0,
        "seconds": p50 * len(given) / 4,
        "peak_mib": 1822.0,
        "failures": [{"code": failed[0].code, "message": failed[0].message, "count": len(failed)}] if failed else [],
        "training": training,
        "acceptable": not objections,
        "objections": list(objections),
        "diagnostic": diagnostic,
    }


def _retrieval(rows: Sequence[AnswerRow], groups: Any) -> Any:
    name = next(
        n
        for n in ("rag", "ft+rag", *rows[0]["arms"])
        if n in rows[0]["arms"] and any(r["arms"][n]["hits"] for r in rows)
    )
    found = [float(any(h["gold"] for h in row["arms"][name]["hits"])) for row in rows]
    index = {"version": 4, "chunks": 171, "documents": 155, "content": "index:5a1f", "fingerprint": "embedder:77aa"}
    return {"k": 3, "recall": plain(intervals.estimate(np.array(found), groups)), "index": index}


HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'


def worldwide() -> tuple[StudyRecord, list[AnswerRow]]:
    """A few questions with hostile, Chinese, Arabic, emoji, JSON and long text, and with several turns."""
    story = "💧 Water rises 🌱 at night. " + HOSTILE + " The valve closes at 7 bar. "
    arabic = "يجب ري المحصول قبل شروق الشمس لتقليل التبخر. "
    chinese = "滴灌系统在夜间运行可以减少蒸发。根系因此更深。"
    texts = {"d-hostile": story, "d-ar": arabic, "d-zh": chinese, "d-long": "Long passage. " * 120}
    wanted = {"d-hostile": "7 bar", "d-ar": "قبل شروق الشمس", "d-zh": "减少蒸发", "d-long": "Long passage"}
    examples, answers = [], {"base": [], "rag": []}  # type: ignore[var-annotated]
    for number in range(24):
        document = list(texts)[number % 4]
        text, reference = texts[document], wanted[document]
        turns = (
            [Message(role="user", content="Hello"), Message(role="assistant", content=HOSTILE)] if number == 0 else []
        )
        name = 'odd id "<&' if number == 0 else f"w{number}"
        messages = (*turns, Message(role="user", content=f"{number}: {reference}? {HOSTILE if number == 0 else ''}"))
        examples.append(Example(id=name, messages=messages, references=(reference,), sources=(document,), group=name))
        said = {0: HOSTILE, 1: json.dumps({"answer": [1, 2], "so": None})}.get(number, "a long answer " * 80)
        answers["base"].append(Answer(text=said, raw=said))
        at = text.index(reference)
        quote = Span(document=document, start=at, end=at + len(reference))
        shown = hit(document, text, 1, title=HOSTILE if number == 0 else "Title")
        citation = Citation(number=1, span=shown.chunk.span, quote=quote)
        answers["rag"].append(Answer(text=reference, raw=f"[1] {reference}", citations=(citation,), hits=(shown,)))
    return compose(examples, answers)


def labels() -> tuple[StudyRecord, list[AnswerRow]]:
    """Classification without documents: banking77, no retrieval anywhere."""
    found = read(folder("samples/banking77") / "examples.jsonl")[:60]
    examples = [
        Example(
            id=r["id"], messages=(Message(role="user", content=r["input"]),), references=(r["output"],), group=r["id"]
        )
        for r in found
    ]
    right = [Answer(text=e.references[0], raw=e.references[0]) for e in examples]
    poor = [Answer(text="card arrival", raw="card arrival") for _ in examples]
    mixed = [r if i % 3 else p for i, (r, p) in enumerate(zip(right, poor, strict=True))]
    return compose(examples, {"base": poor, "prompt": poor[:40] + right[40:], "ft": mixed}, metric="exact_match")
