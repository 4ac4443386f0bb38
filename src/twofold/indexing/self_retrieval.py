"""Questions whose passage is known, made of the documents themselves: does retrieval still find what it should?

Of a document its title, a heading, and sentences with the words that give them away left out (the inverse cloze task of
Lee, Chang & Toutanova 2019, ACL). They say nothing of how good answers are, and are easier than people's questions; but
they are there for every document, cost no label and no model, and a retrieval that loses them loses people's too.

Pure: the same document and passages give the same questions, so that a question keeps its id as long as its text stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from twofold.hashing import digest
from twofold.types import Chunk, Document

Kind = Literal["title", "heading", "sentence"]
LIMIT = 10_000
"""Questions of a project that are stored: those with the lowest ids, a sample that edits change little."""
VERSION = 1
"""Raised when other questions are made: the next sync then makes them all again."""
_SENTENCES = 2
"""Sentences of a document, of different passages."""
_SENTENCE = re.compile(r"[^\n.!?。！？؟।|]{40,300}(?:[.!?؟।](?=\s|$)|[。！？])")
_WORD = re.compile(r"[^\W_]{2,}")
_REMAINING = 4
"""Words that a sentence must have left without the one that gives it away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfQuestion:
    """A question whose passage is known."""

    id: str
    """Digest of kind, text, document and place."""
    document: str
    """The document that has the passage."""
    kind: Kind
    text: str
    """What is searched for."""
    start: int
    end: int
    """Characters of the passage in the document; of a title the whole document."""


def questions_of(document: Document, chunks: Sequence[Chunk]) -> list[SelfQuestion]:
    """The questions of one document.

    Args:
        document: With its text.
        chunks: Its passages, as they are indexed.
    """
    if not chunks:
        return []
    questions = []
    title = " ".join(document.title.split())
    if len(_WORD.findall(title)) >= 2:
        questions.append(_question(document, "title", title, 0, len(document.text)))
    # By digest, not by place: the first passages of documents are often alike.
    drawn = sorted(chunks, key=lambda chunk: chunk.id)
    for chunk in drawn:
        heading = " ".join(chunk.headings[-1].split()) if chunk.headings else ""
        if heading and heading != title and len(_WORD.findall(heading)) >= 2:
            text = f"{title}: {heading}" if title else heading
            questions.append(_question(document, "heading", text, chunk.span.start, chunk.span.end))
            break
    counts = Counter(word.lower() for word in _WORD.findall(document.text))
    sentences = 0
    for chunk in drawn:
        best = _sentence(chunk.text, counts)
        if best is not None and sentences < _SENTENCES:
            start, end, text = best
            at = chunk.span.start
            questions.append(_question(document, "sentence", text, at + start, at + end))
            sentences += 1
    return list({question.id: question for question in questions}.values())


def _question(document: Document, kind: Kind, text: str, start: int, end: int) -> SelfQuestion:
    named = {"document": document.id, "kind": kind, "text": text, "start": start, "end": end}
    name = digest("self-question", named).partition(":")[2][:24]
    return SelfQuestion(id=name, document=document.id, kind=kind, text=text, start=start, end=end)


def _sentence(text: str, counts: Counter[str]) -> tuple[int, int, str] | None:
    """The sentence with most words that stand nowhere else in its document, without the one that gives it away."""
    best: tuple[int, re.Match[str]] | None = None
    for match in _SENTENCE.finditer(text):
        distinct = {word.lower() for word in _WORD.findall(match[0])}
        unique = sum(counts[word] == 1 for word in distinct)
        if len(distinct) > _REMAINING and (best is None or unique > best[0]):
            best = unique, match
    if best is None:
        return None
    match = best[1]
    words = list(_WORD.finditer(match[0]))
    # A number or else the rarest long word: by it alone the word search would find the passage.
    given_away = min(
        words, key=lambda word: (not any(c.isdigit() for c in word[0]), counts[word[0].lower()], -len(word[0]))
    )
    masked = " ".join(f"{match[0][: given_away.start()]} {match[0][given_away.end() :]}".split())
    return match.start(), match.end(), masked
