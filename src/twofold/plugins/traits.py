"""Traits and settings that a plugin may state beyond its protocol, with the defaults where it states none. Pure.

A plugin states a trait by a class variable and a setting by an option of that name; none is required. The records below
are the only list of names that Twofold looks for::

    MetricTraits.of(metric).pooled
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

RIGHT = 0.5
"""Score from which an answer counts as right, where a metric states none."""

Place = Literal["in this process", "endpoint on this machine", "endpoint on the network"]
"""Where a model answers."""
_OF_THIS_MACHINE = re.compile(r"^[a-z]+://(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(/|$)")


def place_of(generator: Mapping[str, Any]) -> Place:
    """Where a generator answers, by its description: every one that calls an address names it ``base_url``."""
    address = str(generator.get("base_url", ""))
    if _OF_THIS_MACHINE.match(address):
        return "endpoint on this machine"
    return "endpoint on the network" if address or generator.get("remote") else "in this process"


def hosted(generator: Mapping[str, Any]) -> bool:
    """Is a generator paid by tokens: on the network, or with a price of its tokens among its options?"""
    return place_of(generator) == "endpoint on the network" or "price" in generator


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stated:
    @classmethod
    def of(cls, plugin: object) -> Self:
        """The traits that a plugin, its class or its options state, with the defaults for the rest."""
        return cls(**{field.name: getattr(plugin, field.name, field.default) for field in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderTraits(_Stated):
    """Class variables of a `Reader`."""

    pictures: bool = False
    """The reader reads pictures by character recognition: it is used only where ``[documents] ocr`` is on."""
    trusted: bool = False
    """No file can lead the reader astray: it reads in this process, the others in a process with limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriterTraits(_Stated):
    """Class variables of a `Rewriter`."""

    whole: bool = False
    """The text that a model writes is one query, whatever its lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTraits(_Stated):
    """Class variables of a `Metric`.

    One that is `conditional` or `lower_is_better` cannot decide a study, nor one that is `pooled` and not
    `decides_pooled`.
    """

    pooled: bool = False
    """The metric's value is not a mean of scores, but `protocols.Pools.pool` of all items."""
    decides_pooled: bool = False
    """A pooled metric that can decide a study: leaving one group out moves its value smoothly, so that the jackknife's
    interval of a difference of two values has its coverage. An answer without a score counts as no answer."""
    conditional: bool = False
    """Whether an answer has a score depends on the answer itself."""
    reference_free: bool = False
    """The metric does not compare with the references, so shuffled gold answers may score high."""
    lower_is_better: bool = False
    """A gold answer scores 0 instead of 1: the metric measures a fault. Such a metric cannot decide a study."""
    judges_passages: bool = False
    """The metric compares an answer with its passages: in a study the answers of an arm that saw none are judged by the
    best passages of the corpus."""
    judges_citations: bool = False
    """The metric looks at what an answer cites: in a study an arm that is shown no passages has no score."""
    beside: tuple[str, ...] = ()
    """Names of metrics without which the value misleads: a study reports them, too."""
    replayed: bool = True
    """Can `twofold verify` work out a score again from the stored answer, in milliseconds? False where a model
    judges or a program runs: scores are then taken as they are recorded, and this is said."""
    files: tuple[str, ...] = ()
    """Names of the options that are files, given relative to the project."""
    executes: bool = False
    """The metric runs an answer: what differs in its text may be as right, and no pair of references shows a fault."""
    takes_labels: bool = False
    """The metric has an option ``labels``, which Twofold fills with the examples' labels."""
    right: float | None = RIGHT
    """Score from which an answer counts as right; None where no score means that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderSettings(_Stated):
    """Options of an `Embedder` that Twofold reads elsewhere."""

    model: str = ""
    """Source string or name of the model, which tuning the embedder starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings(_Stated):
    """Options of a `Generator` that Twofold reads elsewhere: for plans, prices and the measurement of latency."""

    model: str = ""
    """Source string or name of the model, which tuning starts from where there are no `weights`."""
    weights: str = ""
    """Source string or name, on this machine, of the weights that an endpoint serves: tuning starts from them."""
    timeout: float = 0.0
    """Seconds that one answer may take; 0 for no limit."""
    concurrency: int = 1
    """Requests that an endpoint gets at once."""
    price_per_million_prompt: float = 0.0
    """Price of a million tokens read."""
    price_per_million_completion: float = 0.0
    """Price of a million tokens written."""

    @property
    def base(self) -> str:
        """What tuning starts from."""
        return self.weights or self.model


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSettings(_Stated):
    """Options of a `Trainer` that Twofold reads elsewhere: for the job's data and for plans."""

    model: str = ""
    """The model to start from; empty for the generator's."""
    dtype: str = ""
    """Number format of the computation."""
    objective: str = ""
    """``preference``: the trainer learns from pairs of a better and a worse answer."""
    replay: float = 0.0
    """Above 0 the trainer gets rows of general ability to mix in (`TrainerJob.replay`)."""
    epochs: float = 1.0
    """Number of times that every row is read."""
    evaluations: int = 1
    """How often the dev split is scored at most."""
    minutes: float = 0.0
    """Limit of the training, in minutes; 0 for none."""
    price_per_million: float = 0.0
    """Price of a million tokens trained on."""
    mined: int = 0
    """For an embedder's trainer: number of wrong passages with each question (`SearchPair.negatives`)."""
    pool: int = 600
    """For an embedder's trainer: number of passages in which the dev questions are searched (`EmbedderJob.pool`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriterSettings(_Stated):
    """Options of a `Rewriter` that Twofold reads elsewhere: for counts of calls and prices."""

    by: str = ""
    """``model``: the rewriter calls the generator."""
    most: int = 0
    """Above 0: the rewriter calls the generator, which writes so many queries at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieverSettings(_Stated):
    """Options of a `Retriever` that Twofold reads elsewhere: where a project's own weight of the word leg is used."""

    search: Any = None
    """For a retriever around another: the `Part` of the inner retriever."""
    lexical: float | str = 0.0
    """Weight of the word leg, or ``auto``."""
    fusion: str = ""
    """``scores`` where both legs' scores are blended."""
