"""The jobs of trainers, as data that crosses the border to the process that trains."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from twofold.prompts import Template
from twofold.types import DevItem, Example, Json, Pair


class TrainerJob(BaseModel):
    """The whole job of a trainer, as data that crosses a process border."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    rows: tuple[tuple[Pair, ...], ...]
    """Training rows by epoch variant: epoch `e` uses ``rows[e % len(rows)]`` (open-book rows are reshuffled)."""
    dev: tuple[DevItem, ...]
    """Dev items for the task metric."""
    metric: str
    """Name of the metric that picks the best checkpoint."""
    metric_options: Json = Field(default_factory=dict)
    """Options of the metric."""
    model: str
    """Model name or source string of the base weights."""
    template: Template
    """Wording of the prompts; its digest is saved with the adapter."""
    seed: int = 0
    """Seed of order, dropout and initialisation."""
    general: tuple[Pair, ...] = ()
    """Rows of general ability, never trained on: the trainer reports their loss during training."""
    facts: tuple[Pair, ...] = ()
    """Known facts, each with a wrong answer as `Pair.rejected`: the trainer reports how often the right is likelier."""
    replay: tuple[Pair, ...] = ()
    """Rows of general ability that may be mixed in, so that the model forgets less."""
    without: tuple[str, ...] = ()
    """Ids of the documents that no row was made from; no trainer reads them, but they are part of the job's key."""


class DifficultyJob(BaseModel):
    """The job of measuring difficulty before tuning, as data that crosses a process border."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    rows: tuple[Pair, ...]
    """Rows as they would be trained on."""
    model: str
    """Model name or source string of the base weights."""


class SearchPair(BaseModel):
    """A question and the passage that answers it, for tuning an embedder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    """The text searched for."""
    passage: str
    """The right passage, as it is embedded."""
    document: str
    """Id of the passage's document."""
    sources: tuple[str, ...]
    """Ids of all right documents: none of their passages is a negative of this question."""
    negatives: tuple[tuple[str, str], ...] = ()
    """(document, text) of wrong passages that look right, the most tempting first."""


class EmbedderJob(BaseModel):
    """The whole job of an embedder's trainer, as data that crosses a process border."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    pairs: tuple[SearchPair, ...]
    """Questions and passages to learn from."""
    dev: tuple[tuple[str, Example], ...]
    """(query, example) of the dev split."""
    pool: tuple[tuple[str, str], ...]
    """(document, text) of the passages in which the dev queries are searched."""
    model: str
    """Source string or name of the stock embedder."""
    seed: int = 0
    """Seed of order and negatives."""
