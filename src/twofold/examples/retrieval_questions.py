"""Questions for retrieval made from the documents themselves, without a model and without labels. Pure.

Three kinds, each with the place that answers it: a document's title, a heading within its document, and a key sentence
with its rarest stretch of words taken out (the inverse cloze task of Lee, Chang & Toutanova 2019). They are marked
``synthetic``: made of the documents' own words, they flatter every search by words, and they say nothing about what
people will ask. Use them to see that retrieval works and to find what it never finds, not to choose between legs.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from twofold.types import Document, Example, Message, Span

WARNING = (
    "the questions were made from the documents' own words (synthetic): they favour search by words, and a stage that "
    "wins on them may lose on real questions"
)
_SENTENCE = re.compile(r"[^\s.!?][^.!?\n]*(?:[.!?](?=\S)[^.!?\n]+)*[.!?]?")
_WORD = re.compile(r"\w[\w'’-]*")
_HEADING = re.compile(r"^#{1,6}[ \t]++(\S[^\n]*)$", re.MULTILINE)
_FEWEST, _MOST = 8, 45
"""Words of a key sentence."""


def self_questions(documents: Sequence[Document], count: int, *, seed: int = 0) -> list[Example]:
    """At most `count` questions, spread over documents and kinds; the same for any order of `documents`.

    Two documents with the same title, heading or sentence get no question from it: its answer would be ambiguous.

    Args:
        documents: The corpus.
        count: Questions wanted.
        seed: Draws documents, kinds and sentences.
    """
    ordered = sorted(documents, key=lambda document: document.id)
    random.Random(f"{seed}/documents").shuffle(ordered)
    spread = Counter(chain.from_iterable(set(_words(document.text)) for document in ordered))
    titles = Counter(_flat(document.title) for document in ordered)
    makers = [(d, _candidates(d, spread, titles, random.Random(f"{seed}/{d.id}"))) for d in ordered]
    questions: list[Example] = []
    first_document: dict[str, str] = {}
    while makers and len(questions) < count:
        left = []
        for document, maker in makers:
            candidate = next(maker, None)
            if candidate is None:
                continue
            left.append((document, maker))
            kind, text, span, answer = candidate
            # Two documents with one heading or sentence: its answer would be ambiguous.
            other = first_document.setdefault(_flat(text), document.id)
            if other == document.id and len(questions) < count:
                questions.append(_example(document, len(questions), kind=kind, text=text, span=span, answer=answer))
        makers = left
    return questions


def _example(document: Document, number: int, *, kind: str, text: str, span: Span | None, answer: str) -> Example:
    return Example(
        id=f"self/{kind}/{document.id}/{number}",
        messages=(Message(role="user", content=text),),
        references=(answer,) if answer else (),
        sources=(document.id,),
        spans=(span,) if span else (),
        group=document.id,
        origin="synthetic",
    )


_Candidate = tuple[str, str, Span | None, str]


def _candidates(
    document: Document, spread: Counter[str], titles: Counter[str], chance: random.Random
) -> Iterator[_Candidate]:
    """Questions of one document, the kinds taking turns in an order of chance."""
    kinds: list[Iterator[_Candidate]] = [_sentences(document, spread, chance), _headings(document, chance)]
    title = document.title.strip()
    if len(title.split()) > 1 and titles[_flat(title)] == 1:
        kinds.append(iter([("title", title, None, "")]))
    chance.shuffle(kinds)
    while kinds:
        for kind in list(kinds):
            candidate = next(kind, None)
            if candidate is None:
                kinds.remove(kind)
            else:
                yield candidate


def _headings(document: Document, chance: random.Random) -> Iterator[_Candidate]:
    headings = list(_HEADING.finditer(document.text))
    ends = [*(heading.start() for heading in headings[1:]), len(document.text)][: len(headings)]
    sections = [(h.group(1).rstrip(" \t#"), h.end(), end) for h, end in zip(headings, ends, strict=True)]
    names = Counter(_flat(name) for name, _, _ in sections)
    chance.shuffle(sections)
    for name, start, end in sections:
        body = document.text[start:end]
        if body.strip() and names[_flat(name)] == 1:
            first = start + len(body) - len(body.lstrip())
            text = f"{document.title.strip()}: {name}" if document.title.strip() else name
            yield "heading", text, Span(document=document.id, start=first, end=start + len(body.rstrip())), ""


def _sentences(document: Document, spread: Counter[str], chance: random.Random) -> Iterator[_Candidate]:
    """Sentences by how telling their words are, each with the rarest stretch of words taken out."""
    rated: list[tuple[float, re.Match[str]]] = []
    for match in _SENTENCE.finditer(document.text):
        words = _words(match.group())
        if _FEWEST <= len(words) <= _MOST:
            rated.append((sum(1 / math.log2(1 + spread[word]) for word in words if spread[word]), match))
    rated.sort(key=lambda item: (-item[0], item[1].start()))
    best = [match for _, match in rated[:12]]
    chance.shuffle(best)
    for match in best:
        sentence = match.group().rstrip()
        words_at = list(_WORD.finditer(sentence))
        # A third at most: enough words must be left to search by.
        size = min(chance.randint(2, 5), len(words_at) // 3)
        start = min(
            range(len(words_at) - size + 1),
            key=lambda place: sum(math.log2(1 + spread[w.group().casefold()]) for w in words_at[place : place + size]),
        )
        taken = (words_at[start].start(), words_at[start + size - 1].end())
        text = " ".join(f"{sentence[: taken[0]]} {sentence[taken[1] :]}".split())
        span = Span(document=document.id, start=match.start(), end=match.start() + len(sentence))
        yield "sentence", text, span, sentence[taken[0] : taken[1]]


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())
