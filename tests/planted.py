"""A small world of facts in which faults are planted one at a time, and its diagnosis.

Everything is real but the weights: chunks in a real index, the pipeline with its stages, the one answering path, the
metric, and the store of answers. The generator reads what it is shown (`testing.fact_generator`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from twofold.answering.system import System, gold_chunks
from twofold.diagnosis.arm import ArmCases
from twofold.diagnosis.case import ArmFacts
from twofold.diagnosis.evidence import Shelves, cases
from twofold.diagnosis.rerunning import Reruns, Scorer
from twofold.hashing import digest
from twofold.metrics.overlap import ExactMatch
from twofold.plugins import loading, protocols
from twofold.plugins.protocols import Parts
from twofold.prompts import Template
from twofold.store.catalogue import Catalogue
from twofold.testing.fact_generator import FactGenerator, FactOptions
from twofold.types import Adapter, Answer, Arm, Chunk, Document, Example, Filter, Message, Retrieval, Span

PLACES = (
    "Norland",
    "Sudria",
    "Estmark",
    "Westfold",
    "Highmoor",
    "Lowfen",
    "Redvale",
    "Greyholm",
    "Blackwater",
    "Ashby",
)
THINGS = ("capital", "harbour", "founder", "emblem")
PARTS = ("Ostvik", "Brenna", "Tarn", "Quill", "Marsh", "Hollow", "Stone", "Lark", "Vane", "Moss", "Pike", "Crane")
FILLER = "Visitors praise the weather in spring and the food that is sold beside the road."
WORDY = Template(
    open="Explain at length and with courtesy what the passages tell. "
    "Begin with the number of the passage used, such as [1]. If no passage tells, say: {abstention}",
    closed="Explain at length and with courtesy.",
)
TUNED = Adapter(key="adapter", weights="weights", path="", template="")


class Backwards:
    """A re-ranker at fault: the best hit comes last."""

    version: ClassVar[int] = 1
    final: ClassVar[bool] = False

    class Options(protocols.Options):
        """None."""

    def __init__(self, options: Options, *, parts: Parts) -> None:
        pass

    def rerank(self, queries: Sequence[Any], retrievals: Sequence[Retrieval], k: int) -> list[Retrieval]:
        out = []
        for retrieved in retrievals:
            hits = tuple(replace(hit, rank=rank) for rank, hit in enumerate(reversed(retrieved.hits), 1))
            out.append(replace(retrieved, hits=hits[:k]))
        return out


class Strange:
    """A metric at fault: it refuses what begins with a letter of the first half of the alphabet."""

    version: ClassVar[int] = 1

    def score(self, example: Example, answer: Answer) -> float:
        return float(answer.text in example.references and answer.text[:1] > "N")


class Doubting:
    """A calibration at fault: it finds every search's evidence too thin."""

    threshold: ClassVar[float] = 0.5
    holds: ClassVar[float] = 0.5
    key: ClassVar[str] = "doubting"

    def probability(self, _query: Any, _retrieved: Retrieval) -> float:
        return 0.1


@dataclass
class World:
    """Documents, questions and the settings of one arm."""

    documents: list[Document]
    examples: list[Example]
    pieces: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Document → where it is cut; whole where it is not named."""
    k: int = 3
    arm: Arm = field(default_factory=lambda: Arm(name="rag", retrieval=True))
    generator: FactOptions = field(default_factory=FactOptions)
    template: Template = field(default_factory=Template)
    max_tokens: int = 24
    stages: dict[str, Any] = field(default_factory=dict)
    calibration: Any = None
    filter: Filter = field(default_factory=Filter)
    metric: Any = field(default_factory=lambda: ExactMatch(ExactMatch.Options()))


def world(seed: int = 0) -> World:
    """Forty facts in forty documents, all of which the arm reads right."""
    chance = random.Random(seed)
    documents, examples = [], []
    for place in PLACES:
        for thing in THINGS:
            name = f"{thing} of {place}"
            value = " ".join(chance.sample(PARTS, 3)) + f" {chance.randrange(100, 999)}"
            before = f"{FILLER} The {name} is "
            text = f"{before}{value}. {FILLER}"
            documents.append(Document(id=name, text=text, title=place))
            span = Span(document=name, start=len(before), end=len(before) + len(value))
            examples.append(
                Example(
                    id=name,
                    messages=(Message(role="user", content=f"What is the {name}?"),),
                    references=(value,),
                    sources=(name,),
                    spans=(span,),
                    group=place,
                )
            )
    return World(documents=documents, examples=examples)


def chunks(world: World) -> list[Chunk]:
    """The documents cut as the world says."""
    out = []
    for document in world.documents:
        for number, (start, end) in enumerate(world.pieces.get(document.id, [(0, len(document.text))])):
            text = document.text[start:end]
            span = Span(document=document.id, start=start, end=end)
            out.append(
                Chunk(
                    id=digest("c", [document.id, start, end]),
                    span=span,
                    text=text,
                    ordinal=number,
                    readers=document.readers,
                )
            )
    return out


def opened(world: World, directory: Path) -> tuple[ArmCases, Reruns]:
    """The world's arm measured, its wrong answers looked up, and what re-runs them."""
    embedder = loading.make("embedders", "hashing", {})
    index = loading.make(
        "indexes", "memory", {}, directory=directory, fingerprint=embedder.fingerprint, dimension=embedder.dimension
    )
    pieces = chunks(world)
    if pieces:
        index.upsert(pieces, embedder.embed([chunk.text for chunk in pieces]))
    parts = Parts(embedder=embedder, index=index)
    options = {"retriever": {"name": "hybrid", "options": {"lexical": 0.5}}, **world.stages}
    open_book = world.arm.retrieval
    by_id = {document.id: document for document in world.documents}

    def gold(examples: Sequence[Example]) -> list[list[Chunk]]:
        return [gold_chunks(example, index.chunks_of(list(example.sources))) for example in examples]

    def search(name: str, values: Any) -> Callable[..., list[Retrieval]]:
        retriever: Any = loading.make("retrievers", name, values, parts=parts)
        return retriever.retrieve  # type: ignore[no-any-return]

    def system(adapter: Adapter | None) -> System:
        generator = FactGenerator(world.generator, adapter=adapter)
        return System(
            arm=world.arm,
            template=world.template,
            max_tokens=world.max_tokens,
            retriever=loading.make("retrievers", "pipeline", options, parts=parts) if open_book else None,
            k=world.k,
            calibration=world.calibration,
            filter=world.filter,
            key=digest("system", [generator.key, world.template.digest, world.max_tokens, world.arm.name]),
            description={},
            generator=generator,
        )

    measured = system(TUNED if world.arm.tuning else None)
    scorer = Scorer(metric=world.metric, right=0.5)
    answers = measured.answer(world.examples)
    scored = [(e, a, scorer.score(e, a)) for e, a in zip(world.examples, answers, strict=True)]
    undone = {}
    if world.stages.get("rerankers"):
        undone["re-ranking"] = search("pipeline", {**options, "rerankers": []})
    shelves = Shelves(
        gold=gold,
        documents=lambda ids: [by_id[name] for name in ids if name in by_id],
        legs={leg: search(leg, {}) for leg in ("dense", "lexical")} if open_book else {},
        undone=undone,
        filter=world.filter,
    )
    facts = ArmFacts(
        retrieval=open_book,
        tuned=bool(world.arm.tuning),
        tokens=world.max_tokens,
        k=world.k,
        other_wording=world.template != Template(),
    )
    prepared = cases(scored, arm=facts, shelves=shelves, scorer=scorer, references=world.examples)
    subject = ArmCases(arm=world.arm.name, system=measured.key, cases=prepared, unscored=0)
    catalogue = Catalogue(None)
    reruns = Reruns(system=measured, untuned=lambda: system(None), answers=catalogue.answers, scorer=scorer)
    return subject, reruns


# ---------------------------------------------------------------- faults


def affected(world: World) -> list[int]:
    """The places of the examples that a fault is planted in: every other one."""
    return list(range(0, len(world.examples), 2))


def broken_chunker(world: World) -> None:
    """The chunker cuts in the middle of the answer."""
    for place in affected(world):
        example = world.examples[place]
        span, text = example.spans[0], world.documents[place].text
        middle = text.index(" ", span.start) + 1
        world.pieces[example.id] = [(0, middle), (middle, len(text))]


def dropped_documents(world: World) -> None:
    """The documents that hold the answer are not there."""
    doomed = {world.examples[place].id for place in affected(world)}
    world.documents = [document for document in world.documents if document.id not in doomed]


def hidden_documents(world: World) -> None:
    """The documents that hold the answer are closed to the arm's readers."""
    closed = {world.examples[place].id for place in affected(world)}
    readers = {True: ("board",), False: ("everyone",)}
    world.documents = [replace(document, readers=readers[document.id in closed]) for document in world.documents]
    world.filter = Filter(principal=("everyone",))


def distractors(world: World) -> None:
    """A passage that comes first states another answer."""
    for place in affected(world):
        name = world.examples[place].id
        text = f"The {name} is Wrongham Old Quay 7."
        world.documents.append(Document(id=f"rumour: {name}", text=text))


def flooded(world: World) -> None:
    """Passages with the question's words, and without an answer, fill the context."""
    for place in affected(world):
        name = world.examples[place].id
        for number in range(world.k + 1):
            text = f"What of the {name}? {name} {name} {number}"
            world.documents.append(Document(id=f"flood {number}: {name}", text=text.replace("? ", ": ")))


def backwards_reranker(world: World) -> None:
    """A re-ranker puts the best passage last; all answers are affected."""
    world.stages = {"rerankers": [{"name": "backwards", "options": {}}], "depth": 10}


def corrupt_adapter(world: World) -> None:
    """The adapter has learned other answers."""
    world.arm = Arm(name="ft+rag", retrieval=True, tuning="open-book")
    world.generator = FactOptions(learned=_false_facts(world))


def stubborn_weights(world: World) -> None:
    """The base weights know other answers, and give them whatever they are shown."""
    world.generator = FactOptions(knows=_false_facts(world))


def _false_facts(world: World) -> dict[str, str]:
    return {world.examples[place].question: f"Falseburg {place}" for place in affected(world)}


def spoiled_template(world: World) -> None:
    """The prompt asks for a long answer; all answers are affected."""
    world.template = WORDY


def shuffled_references(world: World) -> None:
    """References are dealt to other examples; spans and sources stay."""
    places = affected(world)
    references = [world.examples[place].references for place in places]
    for place, other in zip(places, references[1:] + references[:1], strict=True):
        world.examples[place] = replace(world.examples[place], references=other)


def lower_limit(world: World) -> None:
    """The token limit is below the answers' length; all answers are affected."""
    world.max_tokens = 3


def thin_evidence(world: World) -> None:
    """The calibration finds every evidence too thin; all answers are affected."""
    world.calibration = Doubting()


def unanswerable(world: World) -> None:
    """Examples say that nothing answers them, and a passage seems to."""
    for place in affected(world):
        example = replace(world.examples[place], answerable=False, references=(), sources=(), spans=())
        world.examples[place] = example


def closed_book(world: World) -> None:
    """The arm sees no passages; all answers are affected."""
    world.arm = Arm(name="base")


def strange_metric(world: World) -> None:
    """The metric refuses right answers, the reference among them."""
    world.metric = Strange()


FAULTS: dict[str, tuple[str, Callable[[World], None]]] = {
    "broken chunker": ("split", broken_chunker),
    "dropped documents": ("not-in-documents", dropped_documents),
    "hidden documents": ("hidden", hidden_documents),
    "distractors": ("ignored", distractors),
    "flooded search": ("not-retrieved", flooded),
    "backwards re-ranker": ("cut-out", backwards_reranker),
    "corrupt adapter": ("contradicted", corrupt_adapter),
    "stubborn weights": ("contradicted", stubborn_weights),
    "spoiled template": ("form", spoiled_template),
    "shuffled references": ("reference", shuffled_references),
    "strange metric": ("reference", strange_metric),
    "lower limit": ("cut", lower_limit),
    "thin evidence": ("false-abstention", thin_evidence),
    "unanswerable": ("should-have-abstained", unanswerable),
    "no passages": ("not-known", closed_book),
}
"""Fault → the cause that it makes, and how it is planted."""
