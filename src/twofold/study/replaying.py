"""Work out again, from a study's stored answers alone, what its certificate says of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.examples.questions import conversation_digest
from twofold.hashing import digest
from twofold.plugins.protocols import Metric
from twofold.types import Answer, Chunk, Citation, Example, Failure, Hit, Message, Span
from twofold.verdict.certificate import SystemRow
from twofold.verdict.record import AnswerRow, ArmRecord


def row_digest(row: AnswerRow) -> str:
    """Digest of a question's line in ``answers.jsonl.gz``, whatever its spelling as JSON."""
    return digest("answers", row)


def row_question(row: AnswerRow) -> str:
    """Digest of the words of its conversation."""
    return conversation_digest((turn["role"], turn["content"]) for turn in row["messages"])


def questions_digest(rows: Sequence[AnswerRow]) -> str:
    """Digest of the questions with their right answers, whatever their order and ids."""
    asked_rows = [[row_question(row), sorted(row["references"]), row["answerable"]] for row in rows]
    return digest("questions", sorted(asked_rows, key=repr))


def example_of(row: AnswerRow) -> Example:
    """The question as its answers were scored."""
    judged = row.get("judged", {})
    return Example(
        id=row["id"],
        messages=tuple(Message(role=turn["role"], content=turn["content"]) for turn in row["messages"]),
        references=tuple(row["references"]),
        sources=tuple(judged.get("sources", row["sources"])),
        spans=tuple(Span(document=name, start=start, end=end) for name, start, end in judged.get("spans", ())),
        grades=judged.get("grades", {}),
        answerable=row["answerable"],
        choices=tuple(judged.get("choices", ())),
        group=row["group"],
    )


def answer_of(row: AnswerRow, arm: str) -> Answer:
    """An arm's answer, as far as it is stored."""
    stored = row["arms"][arm]
    hits = []
    for hit in stored["hits"]:
        span = Span(document=hit["document"], start=hit["start"], end=hit["end"])
        chunk = Chunk(id="", span=span, text=hit["text"], title=hit["title"], place=hit.get("place", ""))
        hits.append(Hit(chunk=chunk, score=0.0, rank=hit["number"]))
    citations = []
    for citation in stored["citations"]:
        document, quote = citation["document"], citation["quote"]
        citations.append(
            Citation(
                number=citation["number"],
                span=Span(document=document, start=citation["start"], end=citation["end"]),
                quote=None if quote is None else Span(document=document, start=quote[0], end=quote[1]),
            )
        )
    return Answer(
        text=stored["text"],
        raw=stored["raw"],
        citations=tuple(citations),
        hits=tuple(hits),
        abstained=stored["abstained"],
        cut=stored.get("cut", False),
        invalid_citations=stored.get("invalid_citations", 0),
        unsupported_citations=stored.get("unsupported_citations", 0),
        repointed_citations=stored.get("repointed_citations", 0),
        failure=_failure(stored["failure"]),
    )


def _failure(stored: Mapping[str, Any] | None) -> Failure | None:
    return None if stored is None else Failure(code=stored["code"], message=stored["message"])


def rescored(metric: Metric, row: AnswerRow, arm: str) -> float | None:
    """The score of an arm's stored answer, which did not fail."""
    return metric.score(example_of(row), answer_of(row, arm))


def system_row(arm: ArmRecord) -> SystemRow:
    """What an arm answered with, as digests, from its part of the record."""
    description = arm["description"]
    generator = description.get("generator", {})
    training = arm["training"]
    tuned = training.get("model", "") if training else ""
    return {
        "key": arm["key"],
        "description": digest("description", description),
        "weights": str(generator.get("weights", "")),
        "adapter": tuned or str(generator.get("adapter", "")),
        "prompt": str(description.get("template", "")),
    }
