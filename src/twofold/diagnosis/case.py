"""An answer with all that is known of it before anything is run again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from twofold.diagnosis.changes import (
    CLOSED,
    FIRST,
    GOLD,
    GOLD_ALONE,
    LABELS,
    LIMIT,
    OBLIGED,
    RAISED,
    SHORT,
    STATED,
    STRUCTURE,
    UNCHANGED,
    UNCUT,
    UNDONE,
    UNGATED,
    UNTUNED,
    WITHOUT,
    WORDING,
    Change,
    inserted,
    moved_first,
)
from twofold.types import Answer, Chunk, Example, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFacts:
    """What is known of the arm, whatever the question."""

    retrieval: bool
    """It shows passages."""
    tuned: bool
    """It answers with an adapter."""
    tokens: int
    """Its token limit."""
    k: int
    """Passages that it shows."""
    other_wording: bool = False
    """Its prompt is not worded by default."""
    rounding: bool = False
    """The same prompt may be answered otherwise beside other prompts: each answer is asked again unchanged first."""
    schemas: bool = False
    """Its generator can be held to a JSON schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageFacts:
    """What is known of the passages that hold an example's answer."""

    sourced: bool = False
    """The example names its sources, or a passage was found that holds its answer word for word."""
    gold: tuple[Chunk, ...] = ()
    """Indexed passages of its sources that the arm may see, the best evidence first."""
    missing: tuple[str, ...] = ()
    """Its sources of which no passage is indexed, where others of its sources are."""
    hidden: str = ""
    """What keeps all indexed passages of its sources from the arm; empty where it may see some, or none is indexed."""
    holding: tuple[Chunk, ...] = ()
    """Those of them that hold the answer, as far as that can be told; else all."""
    whole: bool = True
    """A passage holds the answer whole, or nobody can tell."""
    uncut: Chunk | None = None
    """The place of the answer in its document, cut by no chunker; None where it is unknown."""
    shown: bool = False
    """A passage that holds the answer was in the context."""
    ranks: Mapping[str, int | None] = field(default_factory=dict)
    """Leg of the search → rank of the first passage that holds the answer; None: not among the first ones."""
    lost: str = ""
    """The stage that left the passage out after a leg had found it; empty where none had."""
    undone: Mapping[str, tuple[Chunk, ...]] = field(default_factory=dict)
    """Stage of the pipeline → the passages shown without it, where these hold the answer."""
    supported: bool | None = None
    """The reference's words stand in its own sources; None where that cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFacts:
    """What is known of the form of the answer wanted."""

    contained: bool = False
    """The answer holds the whole reference, with more around it."""
    other_kind: bool = False
    """The reference is JSON and the answer is not."""
    labels: tuple[str, ...] = ()
    """The closed set of answers, where there is one."""
    schema: str = ""
    """JSON schema of the references, where these are JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An answer, wrong unless `right` says otherwise."""

    example: Example
    """What was asked, as its answers are judged."""
    answer: Answer
    """What came."""
    score: float | None
    """Score in the study's metric; None where it failed."""
    arm: ArmFacts
    """Of the arm."""
    passages: PassageFacts
    """Of the evidence."""
    form: FormFacts
    """Of the form."""
    right: bool = False
    """It is right: asked again only to see what a change would spoil."""
    accepted: bool = True
    """The metric counts the reference itself as right."""
    contradicted_by: str = ""
    """Id of an example that asks the same and wants another answer, which this answer gives; or empty."""

    @property
    def context(self) -> tuple[Chunk, ...]:
        """The passages that were shown, in order."""
        return tuple(hit.chunk for hit in self.answer.hits)

    @property
    def gated(self) -> bool:
        """The arm declined for thin evidence, before the model was asked: any re-run with passages passes that gate."""
        return self.answer.abstained and any(step.get("abstains") for step in self.answer.trace)

    # ------------------------------------------------------------ the changes that make sense for this answer

    @property
    def unchanged(self) -> Change:
        """No change at all."""
        return Change(name=UNCHANGED, passages=self.context)

    @property
    def longer(self) -> Change:
        """A higher token limit."""
        return Change(name=LIMIT, passages=self.context, tokens=RAISED * self.arm.tokens)

    @property
    def gold(self) -> Change:
        """The passages that hold the answer, before as many of the others as fit."""
        holding = self.passages.holding[: self.arm.k]
        return Change(name=GOLD, passages=inserted(self.context, holding, self.arm.k))

    @property
    def gold_alone(self) -> Change:
        """The sources' passages and no others, as the oracle arm shows them."""
        return Change(name=GOLD_ALONE, passages=self.passages.gold[: self.arm.k])

    @property
    def stated(self) -> Change:
        """A passage that states the reference: what the documents would have to say."""
        return Change(name=STATED, passages=inserted(self.context, [statement(self.example)], self.arm.k))

    @property
    def uncut(self) -> Change | None:
        """The place of the answer as one passage; None where that place is unknown."""
        place = self.passages.uncut
        if place is None:
            return None
        return Change(name=UNCUT, passages=inserted(self.context, [place], self.arm.k))

    @property
    def undone(self) -> list[tuple[str, Change]]:
        """A stage of the pipeline left out, for each stage without which the passage would have been shown."""
        changes = []
        for stage, passages in self.passages.undone.items():
            changes.append((stage, Change(name=UNDONE.format(stage=stage), passages=passages)))
        return changes

    @property
    def first(self) -> Change | None:
        """Another order; None where the passage that holds the answer comes first already."""
        names = {chunk.id for chunk in self.passages.holding}
        # Shown under another id (an expanded passage): told by its text.
        texts = [chunk.text for chunk in self.passages.holding]
        holding: list[Chunk] = []
        for chunk in self.context:
            if chunk.id in names or any(text in chunk.text for text in texts):
                holding.append(chunk)
        order = moved_first(self.context, holding)
        return Change(name=FIRST, passages=order) if holding and order != self.context else None

    @property
    def without_each(self) -> list[Change]:
        """The context without one of its passages, for each that does not hold the answer; or for each."""
        names = {chunk.id for chunk in self.passages.holding}
        if names.issuperset(chunk.id for chunk in self.context):
            # Passages of one page, say: any of them may be the one that is misread.
            names = set()
        changes: list[Change] = []
        for place, chunk in enumerate(self.context):
            rest = (*self.context[:place], *self.context[place + 1 :])
            # Without any passage left it would be another intervention: `closed`.
            if chunk.id not in names and rest:
                changes.append(Change(name=WITHOUT.format(number=place + 1), passages=rest))
        return changes

    @property
    def closed(self) -> Change:
        """No passages."""
        return Change(name=CLOSED, closed=True)

    @property
    def obliged(self) -> Change:
        """No way to decline."""
        return Change(name=OBLIGED, passages=self.context, obliged=True)

    @property
    def ungated(self) -> Change:
        """Asked all the same, with nothing else changed; where the arm declined before the model was asked."""
        return Change(name=UNGATED, passages=self.context)

    @property
    def place(self) -> Change | None:
        """The place of the answer and nothing else; None where that place is unknown."""
        place = self.passages.uncut
        return None if place is None else Change(name=UNCUT, passages=(place,))

    @property
    def forms(self) -> list[Change]:
        """The form constrained, in each way that fits the references."""
        changes = [Change(name=WORDING, passages=self.context, form="wording")] if self.arm.other_wording else []
        if self.form.schema and self.arm.schemas:
            schema = self.form.schema
            changes.append(Change(name=STRUCTURE, passages=self.context, form="structure", schema=schema))
        elif self.form.labels:
            changes.append(Change(name=LABELS, passages=self.context, form="labels", labels=self.form.labels))
        elif not self.form.schema:
            changes.append(Change(name=SHORT, passages=self.context, form="short"))
        return changes

    @property
    def untuned(self) -> Change:
        """The base weights."""
        return Change(name=UNTUNED, passages=self.context, untuned=True)


def statement(example: Example) -> Chunk:
    """A passage that says the reference, in the example's own words."""
    reference = example.references[0] if example.references else ""
    text = f"{example.question} {reference}"
    return Chunk(id=f"stated:{example.id}", span=Span(document="", start=0, end=len(text)), text=text)
