"""Turn a follow-up question into a query that stands alone: by words of earlier turns, or by the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from twofold.plugins import protocols
from twofold.plugins.protocols import Parts
from twofold.retrieval.analysis import terms
from twofold.retrieval.rewriters.generated import written
from twofold.types import Query, Rewritten

_POINTING = frozenset(terms("its them those these there one ones same also else about tell more please thanks"))
_NAME = 2.0
"""Weight of a capitalised word within a sentence, likely a name; other words have 1."""
_TASK = (
    "Rewrite the last question so that it can be understood without the conversation. Put the names that it refers to "
    "into it. Write the question only."
)


class ConversationRewriter:
    """Adds the subject of earlier turns to a query within a conversation; a query without a history stays as it is.

    Args:
        options: See `Options`.
        parts: The generator, for ``by = "model"``.
    """

    version: ClassVar[int] = 2

    class Options(protocols.Options):
        """Options of the rewriter ``conversation``."""

        by: Literal["words", "model"] = "words"
        """``words``: words of the user's earlier turns are added; ``model``: the generator writes the question anew."""
        words: int = Field(default=4, ge=0)
        """Most words added; names, the last turn, and words said often come first."""
        turns: int = Field(default=2, ge=1)
        """Earlier turns that count."""
        replies: bool = True
        """Do the assistant's replies count? They name what "it" and "there" mean (docs/notebook.md)."""

    def __init__(self, options: Options, *, parts: Parts) -> None:
        self._options = options
        self._parts = parts

    def rewrite(self, queries: Sequence[Query]) -> list[Rewritten]:
        """One query for each."""
        by_words = [self._by_words(query) for query in queries]
        if self._options.by == "words":
            return by_words
        talks = [number for number, query in enumerate(queries) if _turns(query)]
        answers = written([_TASK + "\n\n" + _talk(queries[number]) for number in talks], self._parts, most=1)
        for number, answer in zip(talks, answers, strict=True):
            if answer.lines:
                query = replace(queries[number], text=answer.lines[0])
                by_words[number] = Rewritten(queries=(query,), trace=({"by": "model"},), usage=answer.usage)
            else:  # the model wrote nothing usable: fall back to the words
                note = {**by_words[number].trace[0], "by": "words", "useless": answer.why}
                by_words[number] = replace(by_words[number], trace=(note,), usage=answer.usage)
        return by_words

    def _by_words(self, query: Query) -> Rewritten:
        earlier = _turns(query, replies=self._options.replies)[-self._options.turns :]
        if not earlier:
            return Rewritten(queries=(query,))
        question = query.question or query.text
        known = set(terms(question))
        worth: dict[str, float] = {}
        first: dict[str, str] = {}
        for age, turn in enumerate(reversed(earlier)):  # the last turn first: it counts most
            words = turn.split()
            # as if after a full stop: the first word begins a sentence, too
            for before, word in zip([".", *words], words, strict=False):
                opens = before[-1] in ".!?:"  # a capital that begins a sentence makes no name
                for term in terms(word)[:1]:
                    if term not in known and term not in _POINTING:
                        named = word[:1].isupper() and not opens
                        worth[term] = worth.get(term, 0.0) + 0.5**age * (_NAME if named else 1.0)
                        first.setdefault(term, word.strip(".,;:!?()\"'"))
        best = sorted(worth, key=lambda term: -worth[term])[: self._options.words]
        added = [first[term] for term in best]
        text = f"{question}\n{' '.join(added)}" if added else question
        return Rewritten(queries=(replace(query, text=text),), trace=({"added": added},))


def _turns(query: Query, *, replies: bool = True) -> list[str]:
    roles = ("user", "assistant") if replies else ("user",)
    return [message.content for message in query.history if message.role in roles]


def _talk(query: Query) -> str:
    turns = [f"{m.role}: {m.content[:400]}" for m in query.history[-6:] if m.role != "system"]
    return "\n".join([*turns, f"Last question: {query.question or query.text}"])
