"""What a plugin says of itself beyond its protocol, with what is taken for granted where it says nothing. Pure.

A plugin states a trait by a class variable, a setting by an option of that name; no plugin must have any of them. These
records are the only list of the names that are looked for::

    MetricTraits.of(metric).pooled
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

RIGHT = 0.5
"""Score from which an answer counts as right, where a metric does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stated:
    @classmethod
    def of(cls, plugin: object) -> Self:
        """What a plugin, its class or its options state; the defaults for the rest."""
        return cls(**{field.name: getattr(plugin, field.name, field.default) for field in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderTraits(_Stated):
    """Class variables of a `Reader`."""

    pictures: bool = False
    """It reads pictures by character recognition: used only where ``[documents] ocr`` is on."""
    trusted: bool = False
    """It cannot be led astray by a file, and reads in this process; others read in a process with limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriterTraits(_Stated):
    """Class variables of a `Rewriter`."""

    whole: bool = False
    """The text that a model writes is one query, whatever its lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTraits(_Stated):
    """Class variables of a `Metric`. `pooled` and `conditional` keep it from deciding a study."""

    pooled: bool = False
    """It is no mean of scores: its value is `protocols.Pools.pool` of all items."""
    conditional: bool = False
    """The answer decides whether it has a score."""
    reference_free: bool = False
    """It does not compare with the references, so shuffled gold answers may score high."""
    takes_labels: bool = False
    """It has an option ``labels``, filled with the labels that the examples have."""
    right: float | None = RIGHT
    """Score from which an answer counts as right; None where no score says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderSettings(_Stated):
    """Options of an `Embedder` that are read elsewhere."""

    model: str = ""
    """Source string or name of the model, which tuning the embedder starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings(_Stated):
    """Options of a `Generator` that are read elsewhere: for plans, prices and the latency's clock."""

    model: str = ""
    """Source string or name of the model, which tuning starts from."""
    timeout: float = 0.0
    """Seconds that one answer may take; 0 for no limit."""
    concurrency: int = 1
    """Requests that an endpoint gets at once."""
    price_per_million_prompt: float = 0.0
    """Of a million tokens read."""
    price_per_million_completion: float = 0.0
    """Of a million tokens written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSettings(_Stated):
    """Options of a `Trainer` that are read elsewhere: for its job's data and for plans."""

    model: str = ""
    """The model to start from; empty for the generator's."""
    dtype: str = ""
    """Number format that it computes in."""
    objective: str = ""
    """``preference``: it learns from better and worse answers."""
    replay: float = 0.0
    """Above 0 it gets rows on other things to mix in (`TrainerJob.replay`)."""
    epochs: float = 1.0
    """Times that every row is read."""
    minutes: float = 0.0
    """Limit of the training; 0 for none."""
    price_per_million: float = 0.0
    """Of a million tokens trained on."""
    mined: int = 0
    """Of an embedder's trainer: wrong passages for each question that it gets (`SearchPair.negatives`)."""
    pool: int = 600
    """Of an embedder's trainer: passages in which the dev questions are searched (`EmbedderJob.pool`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriterSettings(_Stated):
    """Options of a `Rewriter` that are read elsewhere: for calls and prices."""

    by: str = ""
    """``model``: the generator is asked."""
    most: int = 0
    """Above 0: the generator is asked, and writes so many queries at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieverSettings(_Stated):
    """Options of a `Retriever` that are read elsewhere: where a project's own weight of the words is used."""

    search: Any = None
    """The `Part` that it searches with, for a retriever around another."""
    lexical: float | str = 0.0
    """Weight of the word leg, or ``auto``."""
    fusion: str = ""
    """``scores`` where both legs' scores are blended."""
