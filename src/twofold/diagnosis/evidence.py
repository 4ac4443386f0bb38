"""Where the answer to a question stands: in documents, in passages, in the legs and stages of the search. Pure.

Everything here reads and searches; nothing is generated. A passage holds an answer when it covers a marked span whole
or contains a reference word for word; where neither can be told, all passages of the example's sources count.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twofold.answering.system import query
from twofold.diagnosis.case import ArmFacts, Case, FormFacts, PassageFacts
from twofold.diagnosis.content import content
from twofold.diagnosis.rerunning import Scorer
from twofold.metrics.formal import found_json, parse
from twofold.text import grounding
from twofold.types import Answer, Chunk, Document, Example, Filter, Hit, Json, Query, Retrieval, Span

DEPTH = 50
"""Hits of each leg that are looked through for the passage: `fusion.fetch_size` takes as many for a small k."""
AROUND = 300
"""Characters of the document on either side of the answer that are inserted uncut: about a passage's length."""
UNSUPPORTED = 0.5
"""A reference of whose words the sources hold less does not stand in them. On data with answers in words of their own
(PubMedQA's long answers) sources hold more than half of them."""
CLOSED_SET = 30
"""Different answers that a closed set has at most."""
REPEATED = 3
"""Times that each answer of a closed set is wanted at least, on average: as many names or dates never are."""


_ENDS = re.compile(r"[.!?]\s|[。！？।]|\n")
"""Ends of sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelves:
    """How documents are looked up and searched."""

    gold: Callable[[Sequence[Example]], list[list[Chunk]]]
    """Passages of each example's sources, the best evidence first."""
    documents: Callable[[Sequence[str]], Sequence[Document]]
    """Documents by id, as last synced."""
    legs: Mapping[str, Callable[[Sequence[Query], int], list[Retrieval]]]
    """Leg of the search → its search."""
    undone: Mapping[str, Callable[[Sequence[Query], int], list[Retrieval]]]
    """Stage of the pipeline → the search without it."""
    filter: Filter
    """The arm's filter."""
    untried: tuple[str, ...] = ()
    """Stages of the pipeline without which nothing is searched, because a search may be paid for: each of them may have
    lost the passage."""


def holds(example: Example, chunk: Chunk) -> bool:
    """Does the passage hold the example's answer whole?"""
    here = chunk.span
    if any(s.document == here.document and here.start <= s.start and s.end <= here.end for s in example.spans):
        return True
    text = _flat(chunk.text)
    return any(_stands_in(_flat(reference), text) for reference in example.references if reference)


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())


def _stands_in(reference: str, text: str) -> bool:
    """Does the text contain the words, not within other words?"""
    start = text.find(reference)
    while start >= 0:
        end = start + len(reference)
        before, after = text[start - 1 : start], text[end : end + 1]
        if not (before.isalnum() and reference[0].isalnum()) and not (after.isalnum() and reference[-1].isalnum()):
            return True
        start = text.find(reference, start + 1)
    return False


def cases(
    questions: Sequence[tuple[Example, Answer, float | None]],
    *,
    arm: ArmFacts,
    shelves: Shelves,
    scorer: Scorer,
    references: Sequence[Example],
    spend: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Case]:
    """The cases of answers.

    Args:
        questions: Example as judged, answer and score of each.
        arm: What is known of the arm.
        shelves: Documents and searches.
        scorer: The metric.
        references: All examples, which tell whether the answers are a closed set.
        spend: Ask the metric whether it accepts the references of wrong answers; False where that would be paid for.
        progress: Called with cases looked up, and all.
    """
    examples = [example for example, _, _ in questions]
    golds = shelves.gold(examples)
    ranks = _ranks(examples, golds, shelves) if arm.retrieval else [{} for _ in examples]
    without = _without_stages(examples, shelves, k=arm.k) if arm.retrieval else [{} for _ in examples]
    forms = forms_of(references)
    twins = _twins(references)
    prepared = []
    for place, (example, answer, score) in enumerate(questions):
        gold = _likeliest_first(example, [chunk for chunk in golds[place] if shelves.filter.allows(chunk)])
        facts = _passages(example, answer, gold, shelves=shelves)
        right = scorer.is_right(score)
        # Of right answers nobody asks: a judge that is paid has nothing to say of their references.
        doubted = spend and not right
        undone = {stage: chunks for stage, chunks in without[place].items() if _shows(example, chunks, facts)}
        undone |= dict.fromkeys(shelves.untried, facts.holding)
        lost = "the re-ranking or the budget" if "re-ranking" in undone else ""
        # Among the first k of a leg, and yet not shown: the fusion of the legs preferred others.
        if not lost and not facts.shown and any(rank is not None and rank <= arm.k for rank in ranks[place].values()):
            lost = "the fusion of the legs"
        prepared.append(
            Case(
                example=example,
                answer=answer,
                score=score,
                right=right,
                arm=arm,
                passages=PassageFacts(
                    sourced=bool(example.sources),
                    gold=tuple(gold),
                    missing=_missing(example, golds[place]) if gold else (),
                    hidden="" if gold else _hidden(golds[place], shelves.filter),
                    holding=facts.holding,
                    whole=facts.whole,
                    uncut=facts.uncut,
                    shown=facts.shown,
                    ranks=ranks[place],
                    lost=lost,
                    undone={} if facts.shown else undone,
                    supported=facts.supported,
                ),
                form=_form(example, answer, forms),
                accepted=_accepted(example, scorer) if doubted else True,
                contradicted_by=_contradicting(example, answer, twins, scorer) if doubted else "",
            )
        )
        progress(place + 1, len(questions))
    return prepared


def _passages(example: Example, answer: Answer, gold: Sequence[Chunk], *, shelves: Shelves) -> PassageFacts:
    """What is known without any search."""
    whole = [chunk for chunk in gold if holds(example, chunk)]
    documents = shelves.documents(list(example.sources)) if example.sources else []
    place = _place(example, documents)
    shown = any(_holding(example, hit.chunk, bool(whole)) for hit in answer.hits)
    return PassageFacts(
        holding=tuple(whole or gold),
        # Cut apart only where the documents hold it whole: a reference in other words stands nowhere whole.
        whole=bool(whole) or place is None,
        uncut=place,
        shown=shown,
        supported=_supported(example, documents),
    )


def _missing(example: Example, gold: Sequence[Chunk]) -> tuple[str, ...]:
    indexed = {chunk.span.document for chunk in gold}
    return tuple(source for source in example.sources if source not in indexed)


def _likeliest_first(example: Example, gold: Sequence[Chunk]) -> list[Chunk]:
    """Passages of which nothing tells the one that holds the answer, by the words of question and reference in them.

    Of a long page only the first ones are inserted: in the order of the page they would hardly ever hold the answer.
    """
    if len(gold) < 2 or example.spans or any(holds(example, chunk) for chunk in gold):
        return list(gold)
    words = _keys(" ".join([example.question, *map(content, example.references)]))
    # Stable: passages with as many words stay in the order of the page.
    return sorted(gold, key=lambda chunk: -len(words & _keys(chunk.text)))


def _keys(text: str) -> set[str]:
    return {term.key for term in grounding.terms(text)}


def _hidden(gold: Sequence[Chunk], filter: Filter) -> str:
    """What keeps indexed passages from the arm, in words; empty where there are none."""
    if not gold:
        return ""
    # Closed to the principal alone: whatever their metadata, nobody else's filter would matter.
    if not any(Filter(principal=filter.principal).allows(chunk) for chunk in gold):
        return "its sources are indexed, and closed to the readers that the arm answers for"
    return "its sources are indexed, and [retrieval].where leaves them out"


def _holding(example: Example, chunk: Chunk, whole: bool) -> bool:
    """Does a passage of the context hold the answer, as far as that can be told of the example's passages?"""
    return (
        holds(example, chunk) and chunk.span.document in example.sources
        if whole
        else (chunk.span.document in example.sources)
    )


def _shows(example: Example, chunks: Sequence[Chunk], facts: PassageFacts) -> bool:
    whole = any(holds(example, chunk) for chunk in facts.holding)
    return any(_holding(example, chunk, whole) for chunk in chunks)


def _place(example: Example, documents: Sequence[Document]) -> Chunk | None:
    """The place of the answer in its document with what stands around it; None where it is unknown."""
    by_id = {document.id: document for document in documents}
    for span in example.spans:
        if span.document in by_id:
            return _window(by_id[span.document], span.start, span.end)
    for document in documents:
        text = document.text.casefold()
        for reference in example.references:
            start = text.find(reference.casefold()) if reference else -1
            # Folding changes the length of few texts; where it does, places would be wrong.
            if start >= 0 and len(text) == len(document.text):
                return _window(document, start, start + len(reference))
    return None


def _window(document: Document, start: int, end: int) -> Chunk:
    low, high = max(0, start - AROUND), min(len(document.text), end + AROUND)
    return Chunk(
        id=f"uncut:{document.id}:{low}:{high}",
        span=Span(document=document.id, start=low, end=high),
        text=document.text[low:high],
        title=document.title,
        collection=document.collection,
        readers=document.readers,
        metadata=document.metadata,
    )


def _supported(example: Example, documents: Sequence[Document]) -> bool | None:
    """Do the words of a reference stand in its own sources, or where the answer is marked in them?"""
    if not documents:
        return None
    by_id = {document.id: document for document in documents}
    # A page of many facts holds the words of references to all of them: what is marked tells them apart.
    marked = [_sentence(by_id[s.document].text, s.start, s.end) for s in example.spans if s.document in by_id]
    texts = marked or [document.text for document in documents]
    if example.choices:
        return _label_stands(example, texts)
    references = [content(reference) for reference in example.references]
    checkable = [reference for reference in references if grounding.checkable(reference)]
    return max(grounding.share(r, texts) for r in checkable) >= UNSUPPORTED if checkable else None


def _sentence(text: str, start: int, end: int) -> str:
    """The sentences that a marked place stands in."""
    # A point within a number ends none; letters have no fixed length of a sentence, so none is looked for by length.
    before = [match.end() for match in _ENDS.finditer(text, 0, start)]
    after = _ENDS.search(text, end)
    return text[before[-1] if before else 0 : after.start() if after else len(text)]


def _label_stands(example: Example, texts: Sequence[str]) -> bool | None:
    """Does the label of a reference stand in its sources? None where no label does: they name none of the choices."""
    # A letter, a yes or a no stands in every text or in none.
    labels = [label for label in example.choices if grounding.checkable(label)]
    flat = [_flat(text) for text in texts]
    standing = [label for label in labels if _anywhere(_flat(label), flat)]
    if not standing or not all(reference in labels for reference in example.references):
        return None
    return any(reference in standing for reference in example.references)


def _anywhere(words: str, texts: Sequence[str]) -> bool:
    return any(_stands_in(words, text) for text in texts)


def _ranks(
    examples: Sequence[Example], golds: Sequence[Sequence[Chunk]], shelves: Shelves
) -> list[dict[str, int | None]]:
    """Rank of the first passage that holds the answer, in each leg of the search."""
    queries = [query(example, shelves.filter) for example in examples]
    ranks: list[dict[str, int | None]] = [{} for _ in examples]
    for leg, search in shelves.legs.items():
        for place, retrieved in enumerate(search(queries, DEPTH)):
            whole = any(holds(examples[place], chunk) for chunk in golds[place])
            ranks[place][leg] = _first(examples[place], retrieved.hits, whole)
    return ranks


def _first(example: Example, hits: Sequence[Hit], whole: bool) -> int | None:
    for rank, hit in enumerate(hits, 1):
        if _holding(example, hit.chunk, whole):
            return rank
    return None


def _without_stages(examples: Sequence[Example], shelves: Shelves, *, k: int) -> list[dict[str, tuple[Chunk, ...]]]:
    """The passages that the pipeline shows without each of its stages."""
    queries = [query(example, shelves.filter) for example in examples]
    shown: list[dict[str, tuple[Chunk, ...]]] = [{} for _ in examples]
    for stage, search in shelves.undone.items():
        for place, retrieved in enumerate(search(queries, k)):
            shown[place][stage] = tuple(hit.chunk for hit in retrieved.hits)
    return shown


# ---------------------------------------------------------------- the form


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """The form that the references of all examples have in common."""

    labels: tuple[str, ...] = ()
    """The closed set that all answers come from."""
    structured: bool = False
    """They are JSON."""


def forms_of(examples: Sequence[Example]) -> Forms:
    """The form of the references: JSON, a closed set of labels, or neither."""
    references = [example.references[0] for example in examples if example.references]
    if references and all(parse(reference) is not None for reference in references):
        return Forms(structured=True)
    counts = Counter(references)
    closed = 1 < len(counts) <= CLOSED_SET and len(references) >= REPEATED * len(counts)
    return Forms(labels=tuple(sorted(counts)) if closed else ())


def _form(example: Example, answer: Answer, forms: Forms) -> FormFacts:
    labels = example.choices or forms.labels
    schema = json.dumps(_schema_of(parse(example.references[0]))) if forms.structured and example.references else ""
    other_kind = bool(schema) and found_json(answer.text) is None and answer.failure is None
    return FormFacts(
        contained=not answer.abstained and not schema and _contains(example, answer.text, labels),
        other_kind=other_kind,
        labels=tuple(labels),
        schema=schema,
    )


def _contains(example: Example, text: str, labels: Sequence[str]) -> bool:
    """Does the answer hold a whole reference that is not the question's own words, with more around it?"""
    answer, asked_words = _flat(text), _flat(example.question)
    if labels:
        named = [label for label in labels if _stands_in(_flat(label), answer)]
        # An answer that names two labels has not chosen.
        return len(named) == 1 and named[0] in example.references and answer != _flat(named[0])
    for reference in map(_flat, example.references):
        # What the question says already is no content of the answer; nor is a single small word.
        says = bool(reference) and grounding.checkable(reference) and not _stands_in(reference, asked_words)
        if says and answer != reference and _stands_in(reference, answer):
            return True
    return False


def _schema_of(value: Any) -> Json:
    """A JSON schema with the keys and kinds of a value, and none of its content."""
    if isinstance(value, dict):
        properties = {name: _schema_of(inner) for name, inner in value.items()}
        return {"type": "object", "properties": properties, "required": list(value), "additionalProperties": False}
    if isinstance(value, list):
        return {"type": "array", "items": _schema_of(value[0])} if value else {"type": "array"}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, (int, float)):
        return {"type": "number"}
    return {"type": ["string", "null"]} if value is None else {"type": "string"}


# ---------------------------------------------------------------- references and scorer


def _accepted(example: Example, scorer: Scorer) -> bool:
    """Does the metric count the reference itself as right?"""
    if not example.answerable or not example.references:
        return True
    reference = example.references[0]
    score = scorer.score(example, Answer(text=reference, raw=reference))
    # None: the metric does not judge words (a metric of citations, say), so its refusal cannot be seen here.
    return score is None or scorer.is_right(score)


def _twins(examples: Sequence[Example]) -> dict[tuple[str, ...], list[Example]]:
    twins: dict[tuple[str, ...], list[Example]] = {}
    for example in examples:
        twins.setdefault(tuple(_flat(message.content) for message in example.messages), []).append(example)
    return twins


def contradictions(examples: Sequence[Example], scorer: Scorer) -> list[tuple[str, str]]:
    """Pairs of examples that ask the same and want answers that the metric tells apart."""
    pairs = []
    for same in _twins(examples).values():
        for place, example in enumerate(same):
            for other in same[place + 1 :]:
                if _differ(example, other, scorer):
                    pairs.append((example.id, other.id))
    return pairs


def _differ(example: Example, other: Example, scorer: Scorer) -> bool:
    if example.answerable != other.answerable:
        return True
    if not example.references or not other.references:
        return False
    text = other.references[0]
    score = scorer.score(example, Answer(text=text, raw=text))
    return score is not None and not scorer.is_right(score)


def _contradicting(
    example: Example, answer: Answer, twins: Mapping[tuple[str, ...], Sequence[Example]], scorer: Scorer
) -> str:
    """Id of another example that asks the same and counts this answer as right; empty where none does."""
    if answer.failure is not None:
        return ""
    for other in twins.get(tuple(_flat(message.content) for message in example.messages), ()):
        if other.id != example.id and scorer.is_right(scorer.score(other, answer)):
            return other.id
    return ""
