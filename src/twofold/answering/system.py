"""The one path from a question to its answer: study, command line and library all call `System.answer`.

    retriever.retrieve → prompts.render → generator.generate → prompts.read

A `Renderer` is an arm's way from an example to its prompt: search and wording, which need no model. A `System` adds the
model that answers: every part is chosen, every weight in place. Its `key` names all of them, so that the system served
is the one that was measured. This module knows the parts only as protocols.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from twofold import prompts
from twofold.answering import access
from twofold.answering.sufficiency import Calibration
from twofold.plugins.protocols import Generator, Progress, Retriever
from twofold.prompts import Shot, Template
from twofold.text import sanitise
from twofold.text.wrapping import Unwrapped, unquoted
from twofold.types import (
    Answer,
    Arm,
    Chunk,
    Completion,
    Example,
    Filter,
    Hit,
    Json,
    Message,
    Prompt,
    Query,
    Retrieval,
    Timing,
    Usage,
)


def question(text: str, history: Sequence[Message] = ()) -> Example:
    """An example without a reference, made of a live question and the turns before the question."""
    messages = (*history, Message(role="user", content=text))
    return Example(id="live", messages=messages, references=(), group="live")


def query(example: Example, filter: Filter | None = None) -> Query:
    """The search query of an example: its last two user messages, or the one there is.

    A follow-up ("and at night?") means little alone. Rewriting a follow-up with a model is a stage of the retriever.
    """
    user_turns = [m.content for m in example.messages if m.role == "user"]
    return Query(
        text="\n".join(user_turns[-2:]),
        question=user_turns[-1],
        history=example.messages[:-1],
        filter=filter or Filter(),
    )


def choice_schema(choices: Sequence[str]) -> str:
    """The JSON schema, as JSON text, of an answer that is one of these texts."""
    return json.dumps({"type": "string", "enum": list(dict.fromkeys(choices))}, ensure_ascii=False)


def gold_chunks(example: Example, chunks: Sequence[Chunk]) -> list[Chunk]:
    """Chunks of the example's documents, the best evidence first.

    First come chunks that overlap a marked span, then chunks that contain a reference word for word, then the
    documents' other chunks in order.
    """

    def grade(chunk: Chunk) -> int:
        # on the marked words, else with the words of a reference, else only of the same document
        here = chunk.span
        if any(s.document == here.document and s.start < here.end and here.start < s.end for s in example.spans):
            return 0
        text = chunk.text.casefold()
        return 1 if any(r.casefold() in text for r in example.references if r) else 2

    source_chunks = [chunk for chunk in chunks if chunk.span.document in example.sources]
    return sorted(
        source_chunks, key=lambda chunk: (grade(chunk), example.sources.index(chunk.span.document), chunk.ordinal)
    )


@dataclass(frozen=True, kw_only=True)
class Renderer:
    """An arm's way from an example to its prompt, the same for training rows, dev items and live requests."""

    arm: Arm
    """The arm: base or tuned weights, with or without retrieval."""
    template: Template
    """Wording of the prompt."""
    max_tokens: int
    """Upper limit of a completion."""
    schema: str = ""
    """JSON schema, as JSON text, that every answer satisfies; empty for free text."""
    retriever: Retriever | None = None
    """The retriever that finds passages; None without retrieval."""
    k: int = 3
    """Number of passages shown."""
    gold: Callable[[Sequence[Example]], list[list[Chunk]]] | None = None
    """Returns the gold passages of examples; for the oracle arm only."""
    shots: tuple[Example, ...] = ()
    """Few-shot examples."""
    filter: Filter = field(default_factory=Filter)
    """Filter of requests that bring none: under access control it allows what the study's principal may read."""
    guarded: bool = False
    """Access control is enabled: a request without a principal is refused."""
    sources: Callable[[Sequence[Example]], list[list[Chunk]]] | None = None
    """Returns all chunks of each example's documents: under access control, only their readers may see the example."""
    calibration: Calibration | None = None
    """The calibration that decides when to abstain for want of evidence; None: never for that reason."""

    def retrieve(self, examples: Sequence[Example], filter: Filter | None = None) -> list[Retrieval | None]:
        """Retrieve passages for each example; None for an arm without retrieval."""
        filter = self.granted(filter)
        if self.gold is not None:
            gold_lists = []
            for chunks in self.gold(examples):
                gold_lists.append([chunk for chunk in chunks if filter.allows(chunk)])
            # without gold passages an example is searched for as in any arm: the oracle arm answers every question
            searched = self._retrieve([e for e, chunks in zip(examples, gold_lists, strict=True) if not chunks], filter)
            retrievals: list[Retrieval | None] = []
            for gold in gold_lists:
                if gold:
                    retrievals.append(Retrieval(hits=tuple(as_hits(gold[: self.k]))))
                else:
                    retrievals.append(searched.pop(0))
            return retrievals
        if self.retriever is None:
            return [None] * len(examples)
        return list(self._retrieve(examples, filter))

    def hits(self, examples: Sequence[Example]) -> list[list[Hit] | None]:
        """The passages to show for each example; None for an arm without retrieval."""
        return [_shown(retrieved) for retrieved in self.retrieve(examples)]

    def prompt(self, example: Example, hits: Sequence[Hit] | None, *, shots: Sequence[Shot] | None = None) -> Prompt:
        """The prompt for one example; training rows and dev items come from this method too."""
        return prompts.render(
            example.messages,
            template=self.template,
            hits=hits,
            shots=self.shown_shots(self.granted(None)) if shots is None else shots,
            choices=example.choices,
            max_tokens=self.max_tokens,
            schema=self.schema_of(example),
        )

    @property
    def constrained(self) -> bool:
        """Are answers held to a form while they are written, in which no marker of a citation can stand?"""
        return bool(self.schema) or self.arm.schema

    def schema_of(self, example: Example) -> str:
        """The JSON schema of one answer: of an arm with the part ``schema`` the example's own choices, if any."""
        return choice_schema(example.choices) if self.arm.schema and example.choices else self.schema

    def granted(self, filter: Filter | None) -> Filter:
        """The filter in force for a request; see `access.granted`."""
        # A linear model, an inferred schema and an instruction made from examples hold what those say, as weights do.
        learned = bool(self.arm.tuning) or self.arm.linear or self.arm.schema or self.arm.optimised
        return access.granted(filter, self.filter, enabled=self.guarded, tuned=learned)

    def shown_shots(self, filter: Filter) -> list[Shot]:
        """The few-shot examples that the principal may see, which are those made from documents they may read.

        An arm with retrieval shows each with one passage, the best of its documents (`gold_chunks`).
        """
        if not self.shots:
            return []
        closed = filter.principal is not None
        source_lists = self.sources(self.shots) if self.sources and (closed or self.arm.retrieval) else []
        pairs = list(zip(self.shots, source_lists or [[] for _ in self.shots], strict=True))
        if closed:
            pairs = [(shot, chunks) for shot, chunks in pairs if access.readable(shot, chunks, filter)]
        golds = [chunks for _, chunks in pairs] if self.arm.retrieval else None
        return shots_of([shot for shot, _ in pairs], golds)

    def _retrieve(self, examples: Sequence[Example], filter: Filter) -> list[Retrieval | None]:
        if not examples or self.retriever is None:
            return []
        retrievals = self.retriever.retrieve([query(example, filter) for example in examples], self.k)
        # before anything is judged or shown: a plugin that ignores the filter must not leak
        for retrieved in retrievals:
            access.checked([hit.chunk for hit in retrieved.hits], filter, type(self.retriever).__name__)
        out: list[Retrieval | None] = []
        for example, retrieved in zip(examples, retrievals, strict=True):
            judged = self._judged(query(example, filter), retrieved)
            out.append(self._unfound(example, judged))
        return out

    def _unfound(self, example: Example, retrieved: Retrieval) -> Retrieval:
        """Mark a retrieval without any hit as insufficient: the model would answer from memory, as if it had read.

        A retrieval stays as it is where the answer has a form that an abstention lacks (a choice, a schema), or where
        the template words no abstention.
        """
        if retrieved.hits or example.choices or self.constrained or not self.template.abstention:
            return retrieved
        return replace(
            retrieved, insufficient=True, trace=(*retrieved.trace, {"step": "nothing found", "abstains": True})
        )

    def _judged(self, search_query: Query, retrieved: Retrieval) -> Retrieval:
        """Mark a retrieval as insufficient where the evidence says that its passages do not hold the answer."""
        if self.calibration is None:
            return retrieved
        probability = self.calibration.probability(search_query, retrieved)
        short = probability < self.calibration.threshold
        step = {
            "step": "evidence",
            "sufficient": probability,
            "threshold": self.calibration.threshold,
            "holds": self.calibration.holds,
            "abstains": short,
        }
        return replace(retrieved, insufficient=retrieved.insufficient or short, trace=(*retrieved.trace, step))


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A question with what was found for it, before anything is generated."""

    example: Example
    """The question."""
    retrieved: Retrieval | None
    """The passages; None for an arm without retrieval."""
    prompt: Prompt | None
    """The prompt; None where the search says that the passages do not hold the answer: an abstention costs nothing."""
    seconds: float
    """Seconds of searching; a share where several were searched for together."""


@dataclass(frozen=True, kw_only=True)
class System(Renderer):
    """An arm made ready to answer, with its generator."""

    key: str
    """Digest of everything that can change an answer."""
    description: Json
    """The values that `key` is a digest of, readable."""
    generator: Generator
    """The generator that writes the answers."""
    keyed: Callable[[str], str] | None = None
    """Returns the system's key for a key of its generator; None: the system has one key only."""

    def answer(
        self, examples: Sequence[Example], *, filter: Filter | None = None, progress: Progress | None = None
    ) -> list[Answer]:
        """Answer a batch, in order. A failed answer carries a `Failure`; only a generator that cannot work raises.

        Args:
            examples: The questions.
            filter: Filter on the chunks that may be seen, for the whole batch.
            progress: Called with the number of answers generated.

        Raises:
            GenerationError: the generator as a whole cannot work.
            AccessDenied: access control is enabled, and `filter` has no principal, or one who may not ask these
                weights.
        """
        prepared = self.prepare(examples, filter=filter)
        prompt_batch = [one.prompt for one in prepared if one.prompt is not None]
        completions = iter(self.generator.generate(prompt_batch, progress=progress) if prompt_batch else [])
        return [self.read(one, None if one.prompt is None else next(completions)) for one in prepared]

    def prepare(self, examples: Sequence[Example], *, filter: Filter | None = None) -> list[Prepared]:
        """The first half of an answer: retrieve passages for each example, and render its prompt.

        Args:
            examples: The questions.
            filter: Filter on the chunks that may be seen, for the whole batch.

        Raises:
            AccessDenied: as in `answer`.
        """
        if not examples:
            return []
        filter = self.granted(filter)
        shots = self.shown_shots(filter)
        started = time.perf_counter()
        retrievals = self.retrieve(examples, filter)
        seconds = (time.perf_counter() - started) / len(examples) if self.retriever else 0.0
        return [
            Prepared(
                example=example,
                retrieved=one,
                prompt=None if one is not None and one.insufficient else self.prompt(example, _shown(one), shots=shots),
                seconds=seconds,
            )
            for example, one in zip(examples, retrievals, strict=True)
        ]

    def read(self, prepared: Prepared, completion: Completion | None) -> Answer:
        """The second half of an answer: read the completion of its prompt; None where there is no prompt."""
        example, retrieved = prepared.example, prepared.retrieved
        completion = completion or Completion(text=self.template.abstention)
        follows = any(message.role == "user" for message in example.messages[:-1])
        shown = _shown(retrieved)
        written = completion.text
        if self.arm.schema:
            # A label is written as a JSON string, and is the answer without its quotes.
            completion = replace(completion, text=unquoted(written))
        answer = prompts.read(
            completion,
            template=replace(self.template, about=0.0) if follows else self.template,  # "and at night?" names little
            hits=None if self.constrained else shown,  # in JSON, [1] is an array and not a citation
            question=example.question,
            choices=example.choices,
        )
        answer = replace(answer, hits=tuple(shown or ()), raw=written)
        timing = Timing(retrieval=prepared.seconds, generation=completion.seconds, first=completion.first)
        if retrieved is None:
            return replace(answer, timing=timing)
        spent = Usage(
            prompt_tokens=answer.usage.prompt_tokens + retrieved.usage.prompt_tokens,
            completion_tokens=answer.usage.completion_tokens + retrieved.usage.completion_tokens,
        )
        return replace(
            answer, timing=timing, trace=(*retrieved.trace, *_suspicious(retrieved.hits), *answer.trace), usage=spent
        )

    def stream(self, example: Example, *, filter: Filter | None = None) -> Iterator[str | Answer]:
        """Pieces of the answer as they come, without reasoning and citation markers, and at the end the `Answer`.

        The pieces hold the text that the model wrote; the `Answer` is read from that text and may differ: an
        abstention, for example, is always in the template's words.

        Raises:
            GenerationError: the generator failed.
            AccessDenied: as in `answer`.
        """
        prepared = self.prepare([example], filter=filter)[0]
        completion = None
        if prepared.prompt is None:
            yield self.template.abstention
        else:
            coming = self.shown(prepared)
            begun, arrivals = time.perf_counter(), list[float]()
            for piece in self.generator.stream(prepared.prompt):
                # the generator yields pieces of text, and the completion last
                if isinstance(piece, Completion):
                    completion = piece
                    continue
                arrivals.append(time.perf_counter() - begun)
                if text := coming.passed(piece):
                    yield text
            # Where the generator does not tell: a single piece that is the whole shows no beginning.
            if completion is not None and completion.first is None and len(arrivals) > 1:
                seconds = max(completion.seconds, time.perf_counter() - begun)
                completion = replace(completion, seconds=seconds, first=arrivals[0])
            if text := coming.rest():
                yield text
        yield self.read(prepared, completion)

    def shown(self, prepared: Prepared) -> Unwrapped:
        """A filter of the completion's pieces, which shows them on their way as `read` will read them."""
        hits = None if self.constrained else _shown(prepared.retrieved)
        return prompts.stream(self.template, hits, quoted=self.arm.schema)

    def as_sent(self) -> System:
        """This system, under another key where the generator now sends other parameters than it was configured with.

        An endpoint that refuses `temperature` samples at its default: such answers are not those of temperature 0.
        """
        key = self.keyed(self.generator.key) if self.keyed else self.key
        if key == self.key:
            return self
        return replace(self, key=key, description={**self.description, "generator": self.generator.description})

    def close(self) -> None:
        """Free the generator's memory."""
        self.generator.close()


def _shown(retrieved: Retrieval | None) -> list[Hit] | None:
    return None if retrieved is None else list(retrieved.hits)


def _suspicious(hits: Sequence[Hit]) -> list[Json]:
    """A trace step that names the passages in which text looks like an attack; no step where no passage does."""
    kinds_by_number = {str(number): list(sanitise.kinds(hit.chunk.text)) for number, hit in enumerate(hits, 1)}
    flagged = {number: kinds for number, kinds in kinds_by_number.items() if kinds}
    return [{"step": "hostile text", "passages": flagged}] if flagged else []


def shots_of(examples: Sequence[Example], golds: Sequence[Sequence[Chunk]] | None) -> list[Shot]:
    """Examples to show in a prompt, each with one passage where the arm retrieves.

    Args:
        examples: The examples.
        golds: Passages of each example's documents, best evidence first (`gold_chunks`); None without retrieval.
    """
    shots = []
    for example, chunks in zip(examples, golds or [()] * len(examples), strict=True):
        # One and not k: the answer is to be found in it, and the question's own passages need the room.
        shots.append(Shot(example=example, hits=tuple(as_hits(chunks[:1] if example.answerable else ()))))
    return shots


def as_hits(chunks: Sequence[Chunk]) -> list[Hit]:
    """Chunks in the order given as hits, ranks from 1."""
    return [Hit(chunk=chunk, score=1.0 / rank, rank=rank) for rank, chunk in enumerate(chunks, 1)]
