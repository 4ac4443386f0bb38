"""Records that the methods of plugins return, beside those of `twofold.types`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypedDict

from twofold.types import Chunk, Completion, Json, Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model asks for a tool."""

    id: str
    """Names the call in the reply to it."""
    name: str
    """The tool, as the model wrote it."""
    arguments: str
    """JSON, as the model wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A model's turn in a conversation with tools."""

    completion: Completion
    """Its words, and what they cost."""
    calls: tuple[ToolCall, ...] = ()
    """Tools it asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenBatch:
    """The completions of a batch of prompts, with what they took where they were made."""

    completions: tuple[Completion, ...]
    """One a prompt, in order."""
    seconds: float
    """Seconds of the process that made them, which waited for nobody else."""
    peak_mib: float
    """Its peak memory."""
    description: Json = field(default_factory=dict)
    """What its generator said of itself afterwards; empty where the asker has the generator."""


class EndpointState(TypedDict):
    """An endpoint of a generator, and what came of the requests that it got from this process."""

    address: str
    """Without logins and keys."""
    state: str
    """``up``; ``down``: it failed and is tried again later; ``out``: it serves another model, or refuses the key."""
    reason: str
    """Why it is not up; empty where it is."""
    serves: str
    """Engine and version, where the endpoint says them."""
    at_once: int
    """Requests that it is sent at the same time, as the adaptive limit stands now."""
    under_way: int
    """Requests without an answer so far."""
    answered: int
    """Requests with an answer that was used."""
    refused: int
    """Requests that it refused for its load (429, 503, 529)."""
    failed: int
    """Requests that it broke off, or answered by an error of its own or by nothing that can be read."""
    lost: int
    """Requests of which nobody knows whether they were computed: no answer in time. They may be on its bill."""
    wasted_tokens: int
    """Tokens of answers that came but could not be used."""
    seconds: float
    """Seconds of an answer, a moving average."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """The answer of a live tool."""

    chunks: tuple[Chunk, ...] = ()
    """Passages, their text exactly as it is shown; empty when the tool has none."""
    note: str = ""
    """For people: the reason that there are no passages, or a warning that they may be out of date."""
    cached: bool = False
    """The answer was kept from an earlier call."""
    stale: bool = False
    """The source is down, and the answer kept is older than the tool's limit."""
    down: bool = False
    """The source cannot be had now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a source: a file, a page, a row."""

    id: str
    """Identity within the source, which stays the same when the item's content changes."""
    state: str
    """Cheap token (size and time, ETag, blob, column): the same token means the same content. Empty: the source has no
    token, and the content is loaded and compared."""
    load: Callable[[], Loaded]
    """Loads the content; called at most once, before the next item is requested. Raises `SourceUnreachable` when the
    content is out of reach now (the index keeps the item's documents), another `SourceError` or `DataError` when the
    content is not usable (the index drops them)."""
