"""The frozen records that every part speaks; pydantic stays at the borders. An error is never a number: `Failure`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from twofold.hashing import digest
from twofold.metadata.conditions import Condition, Where, conditions
from twofold.metadata.facets import allowed

Json = dict[str, Any]
"""A JSON object at a border."""
Role = Literal["system", "user", "assistant"]
SplitName = Literal["train", "dev", "test", "reserve"]
Origin = Literal["human", "log", "synthetic"]
Outcome = Literal["choose", "undecided", "none acceptable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A page, sheet, slide or message part of a document: where a citation opens."""

    start: int
    """First character of it in the document's text; it ends where the next one starts."""
    label: str
    """For people, for example ``page 3``; empty for a file that has none."""
    lines: str = ""
    """Unit that each line of the text is in the file: ``line`` of a text, ``row`` of a sheet; empty: nothing that
    counts."""
    first: int = 1
    """The number of its first line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One source text, as read."""

    id: str
    """Stable identity within the corpus; unique."""
    text: str
    """The whole text; all offsets refer to it."""
    title: str = ""
    """Shown with citations; may be empty."""
    source: str = ""
    """Origin of the text (path, URL)."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Further fields of the source record, as strings; filters compare with them."""
    collection: str = ""
    """Knowledge base: the name of its source in `twofold.toml`; empty for ``[documents].paths``."""
    readers: tuple[str, ...] | None = None
    """Users and groups that may read it; None: unknown, which under access control means nobody."""
    places: tuple[Place, ...] = ()
    """Pages, sheets or slides, by `start`; empty for a text without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A range of characters in one document."""

    document: str
    """Document id."""
    start: int
    """First character, 0-based."""
    end: int
    """One past the last character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage that is indexed and shown. ``text == document.text[span.start:span.end]``, always."""

    id: str
    """Digest of document id, span and text."""
    span: Span
    """Place in the document."""
    text: str
    """Exactly the document's characters at `span`."""
    title: str = ""
    """The document's title."""
    headings: tuple[str, ...] = ()
    """Heading path above the passage, outermost first."""
    ordinal: int = 0
    """Position among the document's chunks, from 0."""
    place: str = ""
    """Label of the page, sheet or slide on which it starts."""
    collection: str = ""
    """The document's knowledge base."""
    readers: tuple[str, ...] | None = None
    """The document's readers; None: unknown."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The document's metadata."""

    @property
    def seal(self) -> str:
        """Digest of everything that an index holds of it, its vector apart: `id` stands for document, span, text."""
        named = (self.id, self.title, self.headings, self.place, self.collection, self.readers, dict(self.metadata))
        return digest("seal", named)


def sealed(seals: Iterable[str]) -> str:
    """Digest of a set of chunks by their seals, whatever their order: of a document's, or of a whole index's."""
    return digest("content", sorted(seals))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter on the chunks that a query may see, applied in the index's own query on every leg, never after."""

    collections: tuple[str, ...] = ()
    """Knowledge bases; empty for all."""
    where: Where = ()
    """Conditions on the metadata that must all hold, as texts or records (`conditions`), kept as records; or field →
    values of which it has one."""
    without: frozenset[str] = frozenset()
    """Document ids of which nothing is seen: while something is learned, what only the test is about."""
    principal: tuple[str, ...] | None = None
    """The asking user and their groups; only a chunk with one of them as reader is seen. None: no access control."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", conditions(self.where))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """`where` as records."""
        return cast(tuple[Condition, ...], self.where)

    def allows(self, chunk: Chunk) -> bool:
        """Decide whether a chunk passes; every index's own filter must agree with this function."""
        return (
            chunk.span.document not in self.without
            and (not self.collections or chunk.collection in self.collections)
            and allowed(chunk.metadata, self.conditions)
            and (self.principal is None or any(one in self.principal for one in chunk.readers or ()))
        )

    @property
    def empty(self) -> bool:
        """True when it allows every chunk."""
        return not self.collections and not self.where and not self.without and self.principal is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk found for a query."""

    chunk: Chunk
    """The passage found."""
    score: float
    """Higher is better; comparable within one query only."""
    rank: int
    """From 1."""
    legs: Mapping[str, int] = field(default_factory=dict)
    """Rank in each index leg that found it, for example ``{"dense": 2, "lexical": 1}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens spent on one answer."""

    prompt_tokens: int = 0
    """Tokens read."""
    completion_tokens: int = 0
    """Tokens written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search query: text, embedding and filter."""

    text: str
    """The words searched with; what the user said last, until a rewriter changes it."""
    question: str = ""
    """The user's last message; the same as `text` when empty."""
    history: tuple[Message, ...] = ()
    """Turns before it."""
    filter: Filter = field(default_factory=Filter)
    """The chunks that may be seen, in every leg, stage and tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """The queries that a rewriter makes of one query."""

    queries: tuple[Query, ...]
    """To be searched and fused; at least one."""
    trace: tuple[Json, ...] = ()
    """Remarks of the stage, without its name: useless queries, passages left out."""
    usage: Usage = field(default_factory=Usage)
    """Tokens spent by models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """The hits of a retriever for one query."""

    hits: tuple[Hit, ...]
    """Best first, ranks from 1."""
    trace: tuple[Json, ...] = ()
    """The steps of the search: each has ``step`` and what that step knows (query, source, hits, seconds)."""
    insufficient: bool = False
    """The retriever judges that the passages do not hold the answer: the system abstains."""
    usage: Usage = field(default_factory=Usage)
    """Tokens spent by models within retrieval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """The content of an index at one moment; a study pins it."""

    version: int
    """The index's own version number (rises with every change)."""
    chunks: int
    documents: int
    """Numbers of both."""
    content: str
    """`sealed` of all chunks, independent of the order of edits: same content, same digest."""
    fingerprint: str
    """Fingerprint of the embedder that made the vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexVersion:
    """A version of an index that can still be read."""

    version: int
    """Its number."""
    at: str
    """ISO time at which it was made; empty when the index does not keep it."""
    chunks: int
    """Number of chunks."""
    tags: tuple[str, ...] = ()
    """Names under which it is kept, for example studies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The loaded content of a source's item: a file for a reader, or documents as they are."""

    name: str = ""
    """File name whose ending chooses the reader; empty when `documents` are given."""
    path: str = ""
    """The file, where it lies on this machine; or its address in an object store (``s3://``)."""
    data: bytes = b""
    """Its content, where it does not."""
    documents: tuple[Document, ...] = ()
    """Documents that need no reader, their ids unique within the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    """Who speaks."""
    content: str
    """The text of the turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question (or input) with the behaviour wanted."""

    id: str
    """Unique in the project."""
    messages: tuple[Message, ...]
    """The conversation; the last message is the user's and is to be answered."""
    references: tuple[str, ...]
    """Right answers, any of them; empty only where `answerable` is false."""
    sources: tuple[str, ...] = ()
    """Ids of documents that hold the answer; empty when unknown or not applicable."""
    spans: tuple[Span, ...] = ()
    """The exact places of the answer, if known."""
    grades: Mapping[str, float] = field(default_factory=dict)
    """Document id → relevance above 0, where some sources are better than others; a source without one counts 1."""
    answerable: bool = True
    """False: the right behaviour is to say that the documents do not tell."""
    choices: tuple[str, ...] = ()
    """Allowed answers of a closed question."""
    group: str = ""
    """Unit of splitting and resampling (a document, a conversation); the example's own id when alone."""
    origin: Origin = "human"
    """Who wrote it."""
    maker: str = ""
    """The program that wrote the example, where no person did (a model, ``templates``); one maker never writes for
    training and test."""
    parent: str = ""
    """Id of the example it was made from; both are always on one side of a split."""
    at: str = ""
    """ISO date, for splits by time; may be empty."""
    tests: str = ""
    """Code that raises where an answer, which is code too, is wrong; for metrics that run both."""
    split: SplitName | None = None
    """Split wished by the data's author, if any."""
    file: str = ""
    """File it was read from."""
    line: int = 0
    """1-based line in `file`."""

    @property
    def question(self) -> str:
        """The last user message: what is retrieved for and shown in reports."""
        return self.messages[-1].content


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding of `twofold check` or `twofold examples check`."""

    severity: Literal["error", "warning"]
    """An error stops a study; a warning is printed."""
    code: str
    """Stable code, for example ``data.bad-record``."""
    message: str
    """The problem."""
    cure: str
    """The cure, an imperative."""
    file: str = ""
    """File at fault."""
    line: int = 0
    """1-based line, 0 when it is about the whole file."""
    example: str = ""
    """Id of the example at fault, if it is about one."""
    action: Literal["", "drop", "repair", "mask", "merge", "look"] = ""
    """The action of `twofold examples clean`; ``look`` and none are left to a person."""
    other: str = ""
    """``file:line`` of what it repeats or contradicts, if anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The input of a generator: rendered messages and limits."""

    messages: tuple[Message, ...]
    """System, earlier turns, final user message (passages already inside)."""
    max_tokens: int = 64
    """Upper limit of the completion."""
    stop: tuple[str, ...] = ()
    """Strings that end the completion (not returned)."""
    schema: str = ""
    """JSON schema (as JSON text) the completion must satisfy; empty: free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds spent on one answer. In a batched run these are shares of the batch; latency is measured apart."""

    retrieval: float = 0.0
    """Searching."""
    generation: float = 0.0
    """Generating."""
    first: float | None = None
    """Of `generation`, up to the first token; None: nothing tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that went wrong with one item: counted, shown, never averaged."""

    code: str
    """Stable code, for example ``generation.timeout``."""
    message: str
    """The failure in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The output of a generator for one prompt."""

    text: str
    """Decoded completion without special tokens."""
    usage: Usage = field(default_factory=Usage)
    """Tokens."""
    seconds: float = 0.0
    """Wall time (share of the batch when batched)."""
    first: float | None = None
    """Of `seconds`, up to the first token: the reading of the prompt. None where the generator does not tell."""
    finish: Literal["stop", "length"] = "stop"
    """Why it ended."""
    failure: Failure | None = None
    """Set when there is no usable text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A claim's evidence: a passage, and the quoted place in it when the answer stands there word for word."""

    number: int
    """The number shown in the prompt and in the answer, from 1."""
    span: Span
    """The passage cited."""
    quote: Span | None = None
    """The answer's own words within the passage, when found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of one system to one example or question."""

    text: str
    """The text that is shown and scored: citation markers removed."""
    raw: str = ""
    """The completion as generated."""
    citations: tuple[Citation, ...] = ()
    """Evidence; only passages that were in the prompt."""
    hits: tuple[Hit, ...] = ()
    """Passages in the prompt, in the order shown."""
    abstained: bool = False
    """True when the system said that the documents do not tell."""
    cut: bool = False
    """The completion ended at the token limit."""
    invalid_citations: int = 0
    """Markers that named no passage of the prompt."""
    unsupported_citations: int = 0
    """Citations taken out because the passage does not support the answer."""
    repointed_citations: int = 0
    """Citations that name another shown passage than the model did, because that one holds the answer."""
    trace: tuple[Json, ...] = ()
    """The steps of retrieval; empty for a plain search."""
    usage: Usage = field(default_factory=Usage)
    """Tokens."""
    timing: Timing = field(default_factory=Timing)
    """Seconds."""
    failure: Failure | None = None
    """Set when there is no answer; then nothing else is meaningful."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One training row: a prompt exactly as a live request renders it, and the completion wanted."""

    messages: tuple[Message, ...]
    """Rendered prompt messages."""
    completion: str
    """Text to learn (the end-of-turn token is added by the trainer)."""
    example: str = ""
    """Id of the example it was made from."""
    choices: tuple[str, ...] = ()
    """Completions it is chosen among, where the question is closed; `completion` is one of them."""
    rejected: str = ""
    """A completion that people liked less; empty where none is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevItem:
    """One dev-set item for scoring checkpoints by the task metric: a prompt and the example to score against."""

    prompt: Prompt
    """Rendered exactly as in the study."""
    example: Example
    """The example that the answer is scored against."""
    hits: tuple[Hit, ...] = ()
    """Passages inside the prompt (for reading citations back)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A finished training artifact in the store."""

    key: str
    """Artifact key: digest of everything that made it. Two runs of one job need not give the same weights."""
    weights: str
    """Digest of the files that change answers: what a generator's key and every copy made of it go by."""
    path: str
    """Directory with `adapter_config.json`, `adapter_model.safetensors`, `training.json`."""
    template: str
    """Digest of the prompt template it was trained with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A cell of the 2×2 table (or a further arm): one value with optional parts; `arm_names` reads it from its name."""

    name: str
    """For example ``ft+rag``."""
    retrieval: bool = False
    """Are passages retrieved and shown?"""
    tuning: Literal["", "closed-book", "open-book"] = ""
    """The kind of adapter, if any."""
    shots: int = 0
    """Few-shot examples from train put into the prompt; where it is optimised, as many as it starts from."""
    optimised: bool = False
    """Are instruction and shots chosen on dev among several?"""
    oracle: bool = False
    """Diagnostic: the gold documents are shown instead of retrieved ones."""
    schema: bool = False
    """Is each answer held to a JSON schema, or to the labels, while it is written?"""
    whole: bool = False
    """Are all documents shown, whole, in place of passages that are searched for?"""
    linear: bool = False
    """Does a linear model of the labels answer, without a language model?"""
    model: str = ""
    """Name of the further model, ``[models.NAME]``, that answers; empty: the project's own."""
    run: int = 0
    """Number of the training run whose weights answer, from 1, as in ``ft@2``; 0: the run that is carried on."""

    @property
    def complexity(self) -> int:
        """Order of simplicity for ties: linear -1, base 0, schema 1, prompt 2, optimised 6, whole 8, rag 16, ft 32.

        Powers of two, by what a part takes to keep: a schema is a file, shots and whole documents are tokens of every
        answer, an optimised prompt is searched for again when the model changes, an index is kept up to date, weights
        are trained and served again. So an arm without another's costliest part is simpler, and no two arms tie.
        Simplest is what needs no language model, and answers in milliseconds.
        """
        searches = self.retrieval and not self.whole
        parts = {1: self.schema, 2: self.shots, 4: self.optimised, 8: self.whole, 16: searches, 32: self.tuning}
        return -1 if self.linear else sum(cost for cost, part in parts.items() if part)

    @property
    def cell(self) -> bool:
        """Is it a cell of the 2×2 table, which differs from the others in retrieval and tuning alone?"""
        return not (self.shots or self.oracle or self.schema or self.whole or self.linear)

    @property
    def learns(self) -> bool:
        """Does it take anything from the training examples, which it then answers better than others?"""
        return bool(self.tuning or self.shots or self.schema or self.linear)

    @property
    def learner(self) -> Arm:
        """The arm whose adapter answers here: neither examples in the prompt nor a schema change a training row.

        Of all training runs it is the same arm; which run answers, `run` of the arm itself says.
        """
        if not self.shots and not self.schema and not self.run:
            return self
        model, slash, parts = self.name.partition("@")[0].rpartition("/")
        left = [part for part in parts.split("+") if part not in ("prompt", "schema")]
        return replace(self, name=model + slash + ("+".join(left) or "base"), shots=0, schema=False, run=0)

    def of_run(self, number: int) -> Arm:
        """The arm that answers with the weights of this training run, from 1."""
        return replace(self, name=f"{self.name.partition('@')[0]}@{number}", run=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its interval. No bare mean is printable anywhere."""

    mean: float
    """Point estimate."""
    low: float
    """Lower end of the interval (95 % unless stated)."""
    high: float
    """Upper end."""
    n: int
    """Number of scored items."""
    failed: int = 0
    """Items that failed and are in no mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A paired difference; intervals of pairs are simultaneous over all pairs, those of effects are not."""

    name: str
    """``retrieval``, ``tuning``, ``interaction``, or ``A - B`` for two arms."""
    estimate: Estimate
    """Difference in the study's metric."""
    p: float | None = None
    """p-value of the test of that interval."""
    test: str = ""
    """Name of that test."""
    decides: Estimate | None = None
    """Of a pair: the same difference with the interval of its own that the verdict is decided by."""
