"""What a trainer gets, as data: it crosses the border to the process that trains."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from twofold.prompts import Template
from twofold.types import DevItem, Example, Json, Pair


class TrainerJob(BaseModel):
    """Everything a trainer gets, as data (it crosses a process border)."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    rows: tuple[tuple[Pair, ...], ...]
    """Training rows by epoch variant: epoch `e` uses ``rows[e % len(rows)]`` (open-book rows are reshuffled)."""
    dev: tuple[DevItem, ...]
    """Dev items for the task metric."""
    metric: str
    """Name of the metric that picks the best checkpoint."""
    metric_options: Json = Field(default_factory=dict)
    """Options of that metric."""
    model: str
    """Model name or source string of the base weights."""
    template: Template
    """Wording of the prompts; its digest is saved with the adapter."""
    seed: int = 0
    """Seed of order, dropout and initialisation."""
    general: tuple[Pair, ...] = ()
    """Rows on other things, never trained on: their loss is followed during training."""
    facts: tuple[Pair, ...] = ()
    """Known facts, each with a wrong answer as `Pair.rejected`: how often the right one is likelier is followed too."""
    replay: tuple[Pair, ...] = ()
    """Rows on other things that may be mixed in, so that less is forgotten."""
    without: tuple[str, ...] = ()
    """Ids of the documents that nothing was learned from; no trainer reads it."""


class DifficultyJob(BaseModel):
    """What is measured before tuning, as data (it crosses a process border)."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    rows: tuple[Pair, ...]
    """Rows as they would be trained on."""
    model: str
    """Model name or source string of the base weights."""


class SearchPair(BaseModel):
    """A question and the passage that answers it, for tuning an embedder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    """What is searched for."""
    passage: str
    """The right passage, as it is embedded."""
    document: str
    """Its document."""
    sources: tuple[str, ...]
    """All right documents: none of their passages is a negative of this question."""
    negatives: tuple[tuple[str, str], ...] = ()
    """(document, text) of wrong passages that look right, the most tempting first."""


class EmbedderJob(BaseModel):
    """Everything the trainer of an embedder gets, as data (it crosses a process border)."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    pairs: tuple[SearchPair, ...]
    """What to learn from."""
    dev: tuple[tuple[str, Example], ...]
    """(query, example) of the dev split."""
    pool: tuple[tuple[str, str], ...]
    """(document, text) of the passages in which the dev queries are searched."""
    model: str
    """Source string or name of the stock embedder."""
    seed: int = 0
    """Seed of order and negatives."""
