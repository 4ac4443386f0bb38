"""The protocols, and the one door through which their implementations come.

A plugin is a plain class with ``version: ClassVar[int]`` (raised when its results can change; part of every key it
touches) and a pydantic model ``Options`` (``extra="forbid"``). It is found by name in the entry-point group of its
protocol; Twofold's own parts use the same door. Protocols are synchronous and batch-first.

A plugin's constructor takes ``options`` first, and then, keyword-only, the collaborators named in its protocol here.

A plugin may offer more than its protocol asks for. What it *does* beyond it is a small protocol of its own here
(``Exports``, ``Cancels``), recognised by its method; what it *says* of itself in class variables (``pooled``,
``trusted``) and which of its options are read elsewhere (``model``, ``minutes``) stands in `traits`, with what a plugin
that says nothing is taken for. No other member is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

from pydantic import BaseModel, ConfigDict

from twofold.errors import BadRecord
from twofold.plugins.jobs import TrainerJob
from twofold.types import (
    Answer,
    Chunk,
    Completion,
    Document,
    Example,
    Filter,
    Hit,
    IndexState,
    IndexVersion,
    Json,
    Loaded,
    Problem,
    Prompt,
    Query,
    Retrieval,
    Rewritten,
    Turn,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that a source has: a file, a page, a row."""

    id: str
    """Identity within the source: what stays the same when its content changes."""
    state: str
    """Cheap token (size and time, ETag, blob, column): the same token means the same content. Empty: not known, load it
    and compare."""
    load: Callable[[], Loaded]
    """Gets its content; called at most once, before the next item is asked for. Raises `SourceUnreachable` when it
    cannot be had now (what the index holds of it stays), another `SourceError` or `DataError` when it is not usable
    (what the index holds of it goes)."""


@runtime_checkable
class Source(Protocol):
    """Where documents come from. Constructor: ``(options, *, root: Path, scratch: Path, limit: int)``.

    `root` is the project, `scratch` a directory of the source's own for what it keeps between calls (not made yet),
    `limit` the most bytes that one item may have.
    """

    version: ClassVar[int]
    total: int
    """Number of items, known or guessed once `items` has begun; 0 for unknown."""

    def items(self, known: Mapping[str, str]) -> Iterator[Item]:
        """Everything it has now, in an order that depends on nothing else.

        What is not named any more is deleted from the index, so a listing that cannot be completed must raise.

        Args:
            known: Item → the state it was last read in, for asking a server whether it is still that.

        Raises:
            SourceError: the source is down or its listing is not usable; nothing is deleted then.
        """
        ...

    def watched(self) -> list[Path]:
        """Local files and folders in which a change means that something may have changed; empty for remote sources."""
        ...


@runtime_checkable
class Reader(Protocol):
    """A kind of file → documents. Constructor: ``(options)``."""

    version: ClassVar[int]
    suffixes: ClassVar[tuple[str, ...]]
    """Lower-case file name endings it reads, ``.gz`` apart, for example ``(".md", ".markdown")``."""

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the documents in `data`, the (decompressed) bytes of `path`.

        Raises:
            BadRecord: naming file and line.
            UnreadableFile: when the whole file cannot be read.
        """
        ...


@runtime_checkable
class ReadsPlaces(Protocol):
    """A reader that tells where in the file each document stands, and reads on after a record it cannot use."""

    def places(self, path: Path, data: bytes) -> Iterator[tuple[int, Document | BadRecord | Problem]]:
        """``(line, document)`` as `Reader.read` gives them, line 0 for none; called in its stead.

        A record that cannot be used is given in its place, as the error or the finding that says so.
        """
        ...


@runtime_checkable
class Chunker(Protocol):
    """Document → chunks. Constructor: ``(options, *, offsets: TokenOffsets, embed: Embed | None)``."""

    version: ClassVar[int]

    def split(self, document: Document) -> list[Chunk]:
        """Chunks in order; each one's text is the document's text at its span, within the token limit."""
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
    """An embedder that gives the vectors of single tokens too, for late interaction."""

    def tokens(self, texts: Sequence[str]) -> list[Any]:
        """For each text a float32 array of shape (its tokens, dimension), rows of length 1, in the order of `texts`."""
        ...


@runtime_checkable
class CountsUnknown(Protocol):
    """An embedder that can tell which part of a text it has no vectors for."""

    def unknown(self, text: str) -> int:
        """How many letters and digits of `text` stand in words that the model does not know."""
        ...


@runtime_checkable
class Index(Protocol):
    """A living, versioned index. Constructor: ``(options, *, directory: Path, fingerprint: str, dimension: int)``.

    Raises `IndexMismatch` on opening when `directory` holds vectors of another fingerprint.
    """

    version: ClassVar[int]

    def state(self) -> IndexState:
        """What it holds now."""
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
        """Keep the present version under that name: a study's index stays readable after later edits."""
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
        """Make what that version held the newest version; nothing in between is lost.

        Raises:
            IndexMismatch: the version is gone, or the index keeps none.
        """
        ...

    def prune(self, *, keep_days: float | None = None) -> int:
        """Drop versions older than `keep_days` (None: the index's own option), tagged ones and the newest kept.

        Returns:
            How many versions went.
        """
        ...

    def erase(self, documents: Iterable[str]) -> Json:
        """Remove documents from every version, so that no byte of them is left: all older versions go, tags too.

        Returns:
            ``{"chunks": removed now, "versions": dropped, "tags": {name: version} lost}``.
        """
        ...


@runtime_checkable
class Discards(Protocol):
    """An index *class* whose content is kept elsewhere than in its directory, such as in a database."""

    def discard(self, options: Options, *, dimension: int) -> None:
        """A class method: remove the index that these options name, whoever made it. A rebuild starts with it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a retriever and its stages may use."""

    embedder: Embedder
    """Makes the queries' vectors."""
    index: Index
    """Where to search."""
    generator: Callable[[], Generator] | None = None
    """The configured generator without an adapter, loaded at its first prompt; None where there is none."""
    collections: Mapping[str, str] = field(default_factory=dict)
    """Knowledge base → what it holds, in words, for routing."""
    tools: Mapping[str, Tool] = field(default_factory=dict)
    """Live tools by name."""
    texts: Callable[[Sequence[str]], Sequence[Document]] | None = None
    """The documents of these ids, as they were synced last; None where they are not at hand."""
    words: Callable[[], float | None] | None = None
    """The weight of the word leg chosen for the project; None where none was chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a live tool gave."""

    chunks: tuple[Chunk, ...] = ()
    """Passages, their text exactly as it is shown; empty when nothing is to be had."""
    note: str = ""
    """For people: why there is nothing, or that what there is may be out of date."""
    cached: bool = False
    """It was kept from an earlier call."""
    stale: bool = False
    """The source is down, and what was kept is older than it may be."""


@runtime_checkable
class Tool(Protocol):
    """A live source that is asked while a question is answered.

    Constructor: ``(options, *, name: str, description: str, readers: tuple[str, ...] | None, root: Path,
    scratch: Path)``; `root` is the project, `scratch` a directory of the tool's own for what it keeps (not made yet).
    """

    version: ClassVar[int]
    name: str
    description: str
    """What it tells, in words."""

    @property
    def schema(self) -> Json:
        """JSON schema of its arguments, for a model that calls it."""
        ...

    def allows(self, filter: Filter) -> bool:
        """Whether who asks may see what it tells; its passages are in the collection of its name."""
        ...

    def arguments(self, question: str) -> Json | None:
        """Its arguments as the question has them; None when the question is not for it."""
        ...

    def call(self, arguments: Mapping[str, Any], *, filter: Filter, seconds: float) -> ToolAnswer:
        """Ask the source, for at most `seconds`. A source that is down is a note, not an exception.

        Raises:
            AccessDenied: `filter` does not allow its passages.
            DataError: an argument is missing, unknown, or not of its type.
        """
        ...


@runtime_checkable
class Rewriter(Protocol):
    """A query → the queries to search with. Constructor: ``(options, *, parts: Parts)``."""

    version: ClassVar[int]

    def rewrite(self, queries: Sequence[Query]) -> list[Rewritten]:
        """For each query one or more to be searched and fused.

        `asked` and `history` are kept; `filter` is kept, or its collections are narrowed.
        """
        ...


@runtime_checkable
class Reranker(Protocol):
    """Hits → better hits. Constructor: ``(options, *, parts: Parts)``."""

    version: ClassVar[int]
    final: ClassVar[bool]
    """True: it makes the hits that are shown, at most `k`, of what the stages before it left."""

    def rerank(self, queries: Sequence[Query], retrievals: Sequence[Retrieval], k: int) -> list[Retrieval]:
        """Each query's hits in a new order, ranks from 1; none that its filter forbids.

        What the stage has to tell is added to the trace without a name, tokens to the usage.
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
        """Top `k` hits per query, best first, ranks from 1, and what was done to find them."""
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
        """What is inside `key`, readable: model, runtime, dtype, adapter; goes into the study's record."""
        ...

    @property
    def follows_schema(self) -> bool:
        """Whether completions can be held to `Prompt.schema`."""
        ...

    def generate(self, prompts: Sequence[Prompt], *, progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in order. One bad prompt is a `Failure` in its completion, not an exception.

        Raises:
            GenerationError: when the engine as a whole cannot work.
        """
        ...

    def stream(self, prompt: Prompt) -> Iterator[str | Completion]:
        """Pieces of the completion as they come, and at the end the whole `Completion` that they join to.

        Raises:
            GenerationError: there is no completion.
        """
        ...

    def close(self) -> None:
        """Give memory back; the generator is unusable afterwards."""
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
    """A generator that learns in use what later ones of the same options need not try again."""

    def remember(self, directory: Path) -> None:
        """Use what is kept in `directory`, the project's derived data, and keep there what is learned from now on."""
        ...


@runtime_checkable
class Exports(Protocol):
    """A generator that owns its weights and writes them for other programs."""

    def export(
        self, target: Path, *, forms: Sequence[str], prompts: Sequence[Prompt], progress: Progress | None = None
    ) -> list[Json]:
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
    """A trainer whose work goes on elsewhere, and costs, after this process has ended."""

    def cancel(self, directory: Path) -> Json:
        """Cancel the job under way for `directory`: ``{"job", "status"}``, the job empty where there is none.

        Raises:
            TrainingError: the place it runs at refuses, or is down.
        """
        ...


@runtime_checkable
class KnowsProvenance(Protocol):
    """A trainer whose base models are no files of this machine."""

    def provenance(self, model: str) -> Json:
        """Where a base model comes from, as `models.hub.provenance` says of files; ``weights`` is its identity."""
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
    """A metric that is a statistic of all items together, no mean of scores; it says so by `MetricTraits.pooled`."""

    def pool(self, items: Sequence[tuple[Example, Answer]]) -> float:
        """The value in [0, 1] over all items, whatever their order."""
        ...


@runtime_checkable
class Wants(Protocol):
    """A metric that is met by something else than the first reference, such as by a label or a document."""

    def wants(self, example: Example) -> str:
        """What the example wants, as text: two examples that want the same may swap their right answers."""
        ...
