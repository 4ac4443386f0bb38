"""Rewriters that use the configured model: several wordings, a supposed answer, a wider question, its parts.

The question itself is searched as well (option `keep`), so that a weak model can add noise but take nothing away; the
model's queries are fused by rank. Where the model wrote nothing usable, the question is searched alone and the trace
says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from twofold.plugins import protocols
from twofold.plugins.protocols import Parts
from twofold.retrieval.rewriters.generated import written
from twofold.types import Query, Rewritten


class ModelOptions(protocols.Options):
    """Options of the rewriters that ask the model."""

    most: int = Field(default=3, ge=1, le=10)
    """Most queries added."""
    max_tokens: int = Field(default=96, ge=8)
    """Most tokens that the model writes for a query."""
    keep: bool = True
    """Search with the question itself, too. If false, only when the model wrote nothing usable."""


class MultiQuery:
    """The question in several wordings, each searched and fused (RAG-Fusion, Rackauckas 2024).

    Args:
        options: See `ModelOptions`.
        parts: The generator.
    """

    version: ClassVar[int] = 1
    Options: ClassVar[type[ModelOptions]] = ModelOptions
    task: ClassVar[str] = (
        "Write {most} search queries in other words that would find the answer to this question. One a line, no "
        "explanations.\nQuestion: {question}"
    )
    whole: ClassVar[bool] = False
    """The model's whole text is one query."""

    def __init__(self, options: ModelOptions, *, parts: Parts) -> None:
        self._options = options
        self._parts = parts

    def rewrite(self, queries: Sequence[Query]) -> list[Rewritten]:
        """The query, and the queries that the model wrote for it."""
        options = self._options
        tasks = [
            self.task.replace("{most}", str(options.most)).replace("{question}", " ".join(query.text.split()))
            for query in queries
        ]
        answers = written(tasks, self._parts, most=options.most, whole=self.whole, max_tokens=options.max_tokens)
        out = []
        for query, answer in zip(queries, answers, strict=True):
            new = [replace(query, text=line) for line in answer.lines]
            # the question itself stays: a weak model can add noise, but take nothing away
            searched = (query, *new) if options.keep or not new else tuple(new)
            note = {"useless": answer.why} if answer.why else {"written": len(new)}
            out.append(Rewritten(queries=searched, trace=(note,), usage=answer.usage))
        return out


class Hyde(MultiQuery):
    """A passage as it might answer the question, searched in its place (HyDE, Gao et al., ACL 2023).

    Args:
        options: See `ModelOptions`; one passage is written.
        parts: The generator.
    """

    task: ClassVar[str] = "Write a short passage of two sentences that answers this question.\nQuestion: {question}"
    whole: ClassVar[bool] = True


class StepBack(MultiQuery):
    """A more general question beside the one asked (Zheng et al., ICLR 2024, step-back prompting).

    Args:
        options: See `ModelOptions`.
        parts: The generator.
    """

    task: ClassVar[str] = (
        "Write one more general question whose answer helps to answer this question. Write the question only.\n"
        "Question: {question}"
    )


class Decompose(MultiQuery):
    """The parts of a question that asks several things (least-to-most prompting, Zhou et al., ICLR 2023).

    Args:
        options: See `ModelOptions`.
        parts: The generator.
    """

    task: ClassVar[str] = (
        "Split this question into at most {most} simple questions that can be answered one by one. One a line, no "
        "explanations.\nQuestion: {question}"
    )
