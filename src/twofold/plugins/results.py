"""Records that the methods of plugins return, beside those of `twofold.types`. Pure."""

from __future__ import annotations

from typing import TypedDict


class ErasedChunks(TypedDict):
    """What an index lost with erased documents."""

    chunks: int
    """Number of chunks removed now."""
    versions: int
    """Number of older versions dropped."""
    tags: dict[str, int]
    """Tag → version, of the dropped versions."""


class ModelOrigin(TypedDict):
    """The origin of a base model's weights."""

    model: str
    source: str
    revision: str
    weights: str
    """Identifies the weights: a digest of the files, or the model's address at an endpoint."""
    licence: str
    """Empty where it is not known."""


class CancelledJob(TypedDict):
    """The job of a trainer that runs elsewhere, after it was cancelled."""

    job: str
    """Id of the job; empty where there was none."""
    status: str
    """The service's word for the job's state, or ``none``."""


class Parity(TypedDict):
    """How far an exported model answers as the tuned model does."""

    prompts: int
    """Number of prompts compared."""
    greedy: int
    """Number of prompts that both continue alike."""
    logits: float
    """Largest difference of a logit over all places of the continuations."""
    moved: float
    """Largest change of a logit by the adapter, for comparison."""
    new_tokens: int
    """Tokens of each continuation."""
    reader: str
    """The library that read the exported files."""


class ExportedForm(TypedDict):
    """A tuned model written in one form."""

    format: str
    path: str
    """Directory of the files."""
    parity: Parity
