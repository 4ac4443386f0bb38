"""The protocols of plugins; Twofold's own parts implement them like anybody else's.

A plugin is a plain class with ``version: ClassVar[int]`` (raised when its results can change; part of every key it
touches) and a pydantic model ``Options`` (``extra="forbid"``). Twofold finds a plugin by its name in the entry-point
group of its protocol. Protocols are synchronous and batch-first.

A plugin's constructor takes ``options`` first, and then, keyword-only, the collaborators named in its protocol here.

A plugin may offer more than its protocol asks for. A further *ability* is a small protocol of its own here
(``Exports``, ``Cancels``), recognised by its method. Further *statements* in class variables (``pooled``, ``trusted``),
and the options that Twofold reads elsewhere (``model``, ``minutes``), are listed in `traits` with their defaults.
Twofold looks for no other member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

from pydantic import BaseModel, ConfigDict

from twofold.errors import BadRecord
from twofold.plugins.jobs import TrainerJob
from twofold.plugins.live import LiveBatch
from twofold.plugins.results import CancelledJob, ErasedChunks, ExportedForm, Item, ModelOrigin, ToolAnswer, Turn
from twofold.types import (
    Answer,
    Chunk,
    Completion,
    Document,
    Example,
    Failure,
    Filter,
    Hit,
    IndexState,
    IndexVersion,
    Json,
    Problem,
    Prompt,
    Query,
    Retrieval,
    Rewritten,
)

Kind = Literal[
    "sources",
    "readers",
    "chunkers",
    "embedders",
    "indexes",
    "retrievers",
    "rewriters",
    "rerankers",
    "tools",
    "generators",
    "trainers",
    "metrics",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``; called often, must be cheap. `total` 0 means unknown."""


def quiet(_stage: str, _done: int, _total: int) -> None:
    """A `Progress` that shows nothing."""


TokenOffsets = Callable[[str], Sequence[tuple[int, int]]]
"""Character ranges of a text's tokens, without special tokens and never cut."""

Embed = Callable[[Sequence[str]], Any]
"""Texts → their vectors, float32 of shape (len(texts), dimension), rows of length 1."""


class Options(BaseModel):
    """Parent of every plugin's options: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@runtime_checkable
class Source(Protocol):
    """A source of documents. Constructor: ``(options, *, root: Path, scratch: Path, limit: int)``.

    `root` is the project's folder, `scratch` a folder of the source's own for files kept between calls (not made yet),
    `limit` the most bytes that one item may have.
    """

    version: ClassVar[int]
    total: int
    """Number of items, known or guessed once `items` has begun; 0 for unknown."""

    def items(self, known: Mapping[str, str]) -> Iterator[Item]:
        """All items that the source has now, in an order that depends on nothing else.

        Documents of items that are no longer listed are deleted from the index, so a listing that cannot be completed
        must raise.

        Args:
            known: Item → the state it was last read in, with which a server can be asked whether the item changed.

        Raises:
            SourceError: the source is down or its listing is not usable; nothing is deleted then.
        """
        ...

    def watched(self) -> list[Path]:
        """Local files and folders in which a change may change an item; empty for remote sources."""
        ...


@runtime_checkable
class Reader(Protocol):
    """A kind of file → documents. Constructor: ``(options)``."""

    version: ClassVar[int]
    suffixes: ClassVar[tuple[str, ...]]
    """Lower-case endings of the file names it reads, without ``.gz``, for example ``(".md", ".markdown")``."""

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the documents in `data`, the (decompressed) bytes of `path`.

        Raises:
            BadRecord: a record cannot be used; the message names file and line.
            UnreadableFile: the whole file cannot be read.
        """
        ...


@runtime_checkable
class ReadsPlaces(Protocol):
    """A reader that gives each document's line in the file, and reads on after a record that it cannot use."""

    def places(self, path: Path, data: bytes) -> Iterator[tuple[int, Document | BadRecord | Problem]]:
        """Pairs of line and document (line 0 where there is none); called in place of `Reader.read`.

        In place of a record that cannot be used stands the error or the problem that says so.
        """
        ...


@runtime_checkable
class Chunker(Protocol):
    """Document → chunks. Constructor: ``(options, *, offsets: TokenOffsets, embed: Embed | None)``."""

    version: ClassVar[int]

    def split(self, document: Document) -> list[Chunk]:
        """Chunks in order; the text of each is the document's text at its span, within the token limit."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Texts → unit vectors. Constructor: ``(options)``."""

    version: ClassVar[int]

    @property
    def fingerprint(self) -> str:
        """Digest of model, pooling, precision and version: vectors with one fingerprint are comparable."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Character range of every token (see `TokenOffsets`)."""
        ...

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Any:
        """float32 array of shape (len(texts), dimension), rows of length 1, in the order of `texts`."""
        ...


@runtime_checkable
class TokenEmbedder(Embedder, Protocol):
    """An embedder that also gives the vectors of single tokens, for late interaction."""

    def tokens(self, texts: Sequence[str]) -> list[Any]:
        """For each text a float32 array of shape (its tokens, dimension), rows of length 1, in the order of `texts`."""
        ...


@runtime_checkable
class CountsUnknown(Protocol):
    """An embedder that can count the part of a text that it has no vectors for."""

    def unknown(self, text: str) -> int:
        """Number of letters and digits of `text` that stand in words the model does not know."""
        ...


@runtime_checkable
class Index(Protocol):
    """A living, versioned index. Constructor: ``(options, *, directory: Path, fingerprint: str, dimension: int)``.

    Raises `IndexMismatch` on opening when `directory` holds vectors of another fingerprint.
    """

    version: ClassVar[int]

    def state(self) -> IndexState:
        """The index's present version and the counts of its content."""
        ...

    def upsert(self, chunks: Sequence[Chunk], vectors: Any) -> None:
        """Replace ALL chunks of every document named in `chunks` by these, in one index version."""
        ...

    def delete(self, documents: Iterable[str]) -> int:
        """Remove documents; returns the number of chunks removed."""
        ...

    def documents(self) -> dict[str, int]:
        """Document id → number of its chunks."""
        ...

    def search(
        self,
        texts: Sequence[str],
        vectors: Any,
        k: int,
        *,
        leg: str = "hybrid",
        version: int | None = None,
        filter: Filter | None = None,
    ) -> list[list[Hit]]:
        """Top `k` per query. `leg`: ``dense``, ``lexical`` or ``hybrid``; `version` reads an older index version.

        `filter` is part of the search itself: the top `k` are the top `k` of the chunks it allows.
        """
        ...

    def tag(self, name: str) -> None:
        """Keep the present version under a name, so that a study's index stays readable after later edits."""
        ...

    def chunks_of(self, documents: Sequence[str]) -> list[Chunk]:
        """All chunks of these documents, in document order (for oracle context and for reports)."""
        ...

    def vectors_of(self, documents: Sequence[str]) -> tuple[list[Chunk], Any]:
        """`chunks_of`, and their vectors as float32 of shape (chunks, dimension): equal text is not embedded again."""
        ...

    def log(self) -> list[IndexVersion]:
        """The versions that can still be read, oldest first; an index without versions has the present one only."""
        ...

    def contents(self, version: int | None = None) -> dict[str, str]:
        """Document id → `types.sealed` of its chunks, at that version; None for the newest.

        Raises:
            IndexMismatch: the version is gone.
        """
        ...

    def restore(self, version: int) -> None:
        """Make a new version with the content of an older one; the versions in between stay.

        Raises:
            IndexMismatch: the version is gone, or the index keeps no versions.
        """
        ...

    def prune(self, *, keep_days: float | None = None) -> int:
        """Drop versions older than `keep_days` (None: the index's own option), tagged ones and the newest kept.

        Returns:
            Number of versions dropped.
        """
        ...

    def erase(self, documents: Iterable[str]) -> ErasedChunks:
        """Remove documents from every version, so that no byte of them is left: all older versions go, tags too."""
        ...


@runtime_checkable
class Discards(Protocol):
    """An index *class* whose content is kept elsewhere than in its directory, such as in a database."""

    def discard(self, options: Options, *, dimension: int) -> None:
        """A class method that removes the index named by these options, whoever made it. A rebuild starts with it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts that a retriever and its stages may use."""

    embedder: Embedder
    """The embedder of queries."""
    index: Index
    """The index to search."""
    generator: Callable[[], Generator] | None = None
    """The configured generator without an adapter, loaded at its first prompt; None where there is none."""
    collections: Mapping[str, str] = field(default_factory=dict)
    """Knowledge base → description of its content, for routing."""
    tools: Mapping[str, Tool] = field(default_factory=dict)
    """Live tools by name."""
    texts: Callable[[Sequence[str]], Sequence[Document]] | None = None
    """Returns the documents of these ids as of the last sync; None where they are not at hand."""
    words: Callable[[], float | None] | None = None
    """Returns the weight of the word leg that was chosen for the project, or None where none was chosen."""


@runtime_checkable
class Tool(Protocol):
    """A live source that is asked while a question is answered.

    Constructor: ``(options, *, name: str, description: str, readers: tuple[str, ...] | None, root: Path,
    scratch: Path)``; `root` is the project's folder, `scratch` a folder of the tool's own for answers it keeps (not
    made yet).
    """

    version: ClassVar[int]
    name: str
    description: str
    """Description of the tool's data, for routing and for a model that calls the tool."""

    @property
    def schema(self) -> Json:
        """JSON schema of the tool's arguments, for a model that calls the tool."""
        ...

    def allows(self, filter: Filter) -> bool:
        """Does the filter allow the tool's passages? They are in the collection of the tool's name."""
        ...

    def arguments(self, question: str) -> Json | None:
        """The tool's arguments, read from the question; None when the question is not for this tool."""
        ...

    def call(self, arguments: Mapping[str, Any], *, filter: Filter, seconds: float) -> ToolAnswer:
        """Ask the source, for at most `seconds`. A source that is down is a note, not an exception.

        Raises:
            AccessDenied: `filter` does not allow the tool's passages.
            DataError: an argument is missing, unknown, or of the wrong type.
        """
        ...


@runtime_checkable
class Rewriter(Protocol):
    """A query → the queries to search with. Constructor: ``(options, *, parts: Parts)``."""

    version: ClassVar[int]

    def rewrite(self, queries: Sequence[Query]) -> list[Rewritten]:
        """For each query one or more queries to search with, whose hits are fused.

        A rewriter keeps `asked` and `history`; it keeps `filter`, or narrows the filter's collections.
        """
        ...


@runtime_checkable
class Reranker(Protocol):
    """Hits → better hits. Constructor: ``(options, *, parts: Parts)``."""

    version: ClassVar[int]
    final: ClassVar[bool]
    """True: the stage makes the hits that are shown, at most `k`, from those of the stages before it."""

    def rerank(self, queries: Sequence[Query], retrievals: Sequence[Retrieval], k: int) -> list[Retrieval]:
        """Each query's hits in a new order, ranks from 1; none that the query's filter forbids.

        The stage adds its step to the trace, without a name, and its tokens to the usage.
        """
        ...


@runtime_checkable
class Retriever(Protocol):
    """Queries → hits; composes legs, fusion and further stages. Constructor: ``(options, *, parts: Parts)``."""

    version: ClassVar[int]

    def pin(self, version: int | None) -> None:
        """Search that index version from now on; None follows the living index."""
        ...

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Retrieval]:
        """Top `k` hits per query, best first, ranks from 1, with a trace of the steps that found them."""
        ...


@runtime_checkable
class Generator(Protocol):
    """Prompts → completions. Constructor: ``(options, *, adapter=None)``."""

    version: ClassVar[int]

    @property
    def key(self) -> str:
        """Digest of model weights, adapter, runtime, dtype and sampling: same key, same answers."""
        ...

    @property
    def description(self) -> Json:
        """The values that `key` is a digest of, readable: model, runtime, dtype, adapter; part of a study's record."""
        ...

    @property
    def follows_schema(self) -> bool:
        """Can the generator hold its completions to `Prompt.schema`?"""
        ...

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in order. One bad prompt is a `Failure` in its completion, not an exception.

        Raises:
            GenerationError: when the engine as a whole cannot work.
        """
        ...

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        """Pieces of the completion as they come, and at the end the whole `Completion`, which they add up to.

        Where `generate` gives a completion with a failure, so does the stream: its end says which.

        Raises:
            GenerationError: when the engine as a whole cannot work.
        """
        ...

    def close(self) -> None:
        """Free the generator's memory; the generator is unusable afterwards."""
        ...


@runtime_checkable
class Batches(Protocol):
    """A generator that answers live requests together, or with a temperature and a seed for each."""

    def live(self) -> LiveBatch:
        """Open a running batch.

        A greedy completion in it is that of `generate`, where arithmetic does not depend on the batch (decision 19).

        Raises:
            GenerationError: the engine does not start.
        """
        ...


@runtime_checkable
class Likelihoods(Protocol):
    """A generator that tells how likely an answer is after a prompt, whoever wrote the answer."""

    def likelihoods(self, answers: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...] | Failure]:
        """For each prompt and answer the log-probability of every token of the answer, each after all before it.

        The same answer has the same tokens after every prompt. One bad prompt is a `Failure`, not an exception.

        Raises:
            GenerationError: when the engine as a whole cannot work.
        """
        ...


@runtime_checkable
class Converses(Protocol):
    """A generator that can be given tools to call, so that it can plan the search of an agent."""

    def converse(self, messages: Sequence[Json], tools: Sequence[Json], *, max_tokens: int, seconds: float) -> Turn:
        """One turn of a conversation, messages and tools as OpenAI's chat completions have them.

        Raises:
            GenerationError: when the engine as a whole cannot work.
        """
        ...


@runtime_checkable
class Remembers(Protocol):
    """A generator that learns in use, such as which parameters an endpoint refuses, and saves later ones the trial."""

    def remember(self, directory: Path) -> None:
        """Load from `directory`, in the project's derived data, what was learned before, and save there from now on."""
        ...


@runtime_checkable
class Exports(Protocol):
    """A generator that owns its weights and writes them for other programs."""

    def export(
        self, target: Path, *, forms: Sequence[str], prompts: Sequence[Prompt], progress: Progress | None = None
    ) -> list[ExportedForm]:
        """Write the tuned model below `target`, each form compared with the model on `prompts`; a record per form.

        Raises:
            ModelError: there is no adapter, or a form cannot hold it.
        """
        ...


@runtime_checkable
class Trainer(Protocol):
    """Pairs → adapter directory. Constructor: ``(options)``. Trainers of embedders get an `EmbedderJob` instead."""

    version: ClassVar[int]

    def train(self, job: TrainerJob, directory: Path, *, progress: Progress | None = None) -> Json:
        """Train in a child process, resuming from checkpoints in `directory` if there are any.

        Leaves the adapter files in `directory`; returns the report (``steps``, ``epochs``, ``loss`` curve, ``dev``
        curve, ``best``, ``tokens``, ``tokens_per_second``, ``peak_mib``, ``seconds``, ``stopped``).

        Raises:
            NothingToLearn: a row is fully masked.
            TrainingError: the child died; the message holds the last lines of its log.
        """
        ...


@runtime_checkable
class Cancels(Protocol):
    """A trainer whose job runs elsewhere, and goes on costing money after this process has ended."""

    def cancel(self, directory: Path) -> CancelledJob:
        """Cancel the job under way for `directory`.

        Raises:
            TrainingError: the service that runs the job refuses, or is down.
        """
        ...


@runtime_checkable
class KnowsProvenance(Protocol):
    """A trainer whose base models are not files on this machine."""

    def provenance(self, model: str) -> ModelOrigin:
        """Origin of a base model, as `models.hub.provenance` gives it for files; ``weights`` identifies the model."""
        ...


@runtime_checkable
class Metric(Protocol):
    """Example and answer → score in [0, 1]. Constructor: ``(options)``. See `traits.MetricTraits`, too."""

    version: ClassVar[int]

    def score(self, example: Example, answer: Answer) -> float | None:
        """The score, or None where the metric does not apply to this example. Never called on a failed answer."""
        ...


@runtime_checkable
class Pools(Protocol):
    """A metric that is a statistic of all items together and not a mean of scores; see `MetricTraits.pooled`."""

    def pool(self, items: Sequence[tuple[Example, Answer]]) -> float:
        """The value in [0, 1] over all items, whatever their order."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A metric that says why an answer scores 0, such as the error of a program."""

    def reason(self, example: Example, answer: Answer) -> str:
        """Why the answer scores 0, in words; empty where the score says it all."""
        ...


@runtime_checkable
class Wants(Protocol):
    """A metric whose right answer is not the first reference, but a label or a document, for example."""

    def wants(self, example: Example) -> str:
        """The right answer of the example, as text: two examples with the same one may swap their references."""
        ...


@runtime_checkable
class Doubts(Protocol):
    """A metric that decides by a probability and a threshold, which a project's own right answers may move."""

    def doubt(self, example: Example, answer: Answer) -> float | None:
        """The probability in [0, 1] that the answer has the fault; None where the metric does not apply."""
        ...

    def calibrated(self, doubts: Sequence[float]) -> Options:
        """The metric's options with the threshold that the doubts about right answers suggest.

        Options that state a threshold stay as they are.
        """
        ...
