"""Interventions: the changes with which a wrong answer is asked again, and what came of each. Pure.

A `Change` names everything by which a re-run differs from the measured arm. Passages are always stated, also where they
are the measured ones: a search that has changed since must not pass for the effect of another change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from twofold.hashing import digest
from twofold.types import Chunk, Json, Usage

RAISED = 4
"""The token limit is raised to so many times its value: answers of a known form are seldom four times too short."""

UNCHANGED = "asked again"
LIMIT = "limit raised"
GOLD = "gold passage inserted"
GOLD_ALONE = "gold passages alone"
STATED = "answer stated in a passage"
UNCUT = "passage inserted uncut"
FIRST = "gold passage put first"
WITHOUT = "passage {number} removed"
CLOSED = "all passages removed"
OBLIGED = "abstention not offered"
WORDING = "default wording"
SHORT = "short answer demanded"
LABELS = "labels listed"
STRUCTURE = "JSON schema enforced"
UNTUNED = "adapter off"
UNGATED = "asked in spite of thin evidence"
UNDONE = "{stage} undone"

Form = Literal["", "wording", "short", "labels", "structure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a re-run changes; a field at its default leaves the arm as it was measured."""

    name: str
    """For people."""
    passages: tuple[Chunk, ...] = ()
    """Passages shown, in this order; empty: none, where the arm showed none."""
    closed: bool = False
    """Show no passages, and ask with the wording without passages."""
    tokens: int = 0
    """Token limit; 0: the arm's."""
    obliged: bool = False
    """Offer no abstention, neither in the prompt nor by the calibration."""
    form: Form = ""
    """Way to constrain the form."""
    labels: tuple[str, ...] = ()
    """Allowed answers, with the form ``labels``."""
    schema: str = ""
    """JSON schema as text, with the form ``structure``."""
    untuned: bool = False
    """Answer with the base weights."""

    @property
    def settings(self) -> Json:
        """Everything but name and passages: re-runs with equal settings are one batch of one system."""
        return {
            "closed": self.closed,
            "tokens": self.tokens,
            "obliged": self.obliged,
            "form": self.form,
            "labels": list(self.labels),
            "schema": self.schema,
            "untuned": self.untuned,
        }

    @property
    def batch(self) -> str:
        """Digest of `settings`."""
        return digest("change", self.settings)


def together(first: Change, second: Change) -> Change:
    """Both changes at once; the passages are those of the change that was made for them, which comes first."""
    return replace(
        first,
        name=f"{first.name} + {second.name}",
        closed=first.closed or second.closed,
        tokens=max(first.tokens, second.tokens),
        obliged=first.obliged or second.obliged,
        form=first.form or second.form,
        labels=first.labels or second.labels,
        schema=first.schema or second.schema,
        untuned=first.untuned or second.untuned,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The outcome of one re-run."""

    change: Change
    """What was changed."""
    right: bool
    """Does the metric count the new answer as right?"""
    score: float | None
    """Its score; None where it failed or the metric does not apply."""
    text: str = ""
    """The new answer."""
    abstained: bool = False
    """It declines."""
    cut: bool = False
    """It ended at the token limit."""
    failure: str = ""
    """Code of its failure, or empty."""
    usage: Usage = field(default_factory=Usage)
    """Tokens that it took."""


def moved_first(passages: Sequence[Chunk], holding: Sequence[Chunk]) -> tuple[Chunk, ...]:
    """The passages with those that hold the answer before the others."""
    names = {chunk.id for chunk in holding}
    return (*(c for c in passages if c.id in names), *(c for c in passages if c.id not in names))


def moved_last(change: Change, count: int) -> Change | None:
    """The same with its first `count` passages behind the others; None where there are no others."""
    if count >= len(change.passages):
        return None
    passages = (*change.passages[count:], *change.passages[:count])
    return replace(change, name=f"{change.name} last", passages=passages)


def inserted(passages: Sequence[Chunk], new: Sequence[Chunk], k: int) -> tuple[Chunk, ...]:
    """The new passages first, then as many of the others as fit into `k`: the context does not grow."""
    texts = {chunk.text for chunk in new}
    others = [chunk for chunk in passages if chunk.text not in texts]
    return tuple((*new, *others)[: max(k, len(new))])
