"""Judge by words, without a model, whether passages answer a question, and what to search for next. Pure.

A question's salient terms are its words without stop words and words of asking; names and numbers weigh double. A
single passage with most of the weight answers a simple question. For a question over several documents the passages
must form a chain: each passage contains a name that the previous one introduced, and a term still open (the iterative
retrieval of IRCoT, Trivedi et al. 2023, with terms instead of a model's thoughts).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from twofold.retrieval.analysis import terms
from twofold.types import Chunk

_ASKING = frozenset(
    terms(
        """many much name named call called tell give list explain describe please know there any some long often
        kind type mean does did happen happened about also one main"""
    )
)
# small words such as "of" belong to a name only before another word with a capital
_NAME = re.compile(r"\b[A-Z][\w'’-]*(?:\s+(?:of|the|de|von|van|du|la)(?=\s+[A-Z])|\s+[A-Z0-9][\w'’-]*)*")
# possessive: a long run of blanks is read once, not again from each of its places
_COMPOUND = re.compile(
    r"\?\s++(?=\S)|;\s*|(?:,|(?<![\s,]))\s++(?:and|but|or)\s+(?=(?:who|what|when|where|which|why|how|whose|is|are|was|were|does|do|did)\b)",
    re.IGNORECASE,
)
_NAMED = 2.0
"""Weight of a name or number; other words have 1."""


def salient(question: str) -> dict[str, float]:
    """Term → weight, in the question's order."""
    named: set[str] = set()
    for name in names(question, inner=True):
        named.update(terms(name))
    weights = {}
    for term in terms(question):
        if term not in _ASKING:
            weights[term] = _NAMED if term in named or any(map(str.isdigit, term)) else 1.0
    return weights


def names(text: str, *, inner: bool = False) -> list[str]:
    """Capitalised names in order, each once; a single word that begins a sentence is no name.

    Args:
        text: The text to search.
        inner: Leave out the first word, which is capitalised in any sentence.
    """
    first = re.match(r"\W*\w+", text)
    begin = first.end() if inner and first else 0
    capitalised = (
        match.group()
        for match in _NAME.finditer(text, begin)
        # a single word with a capital that begins a sentence may be any word
        if " " in match.group() or not _begins(text, match.start())
    )
    return list(dict.fromkeys(name for name in capitalised if len(name) > 2 and terms(name)))


def _begins(text: str, at: int) -> bool:
    """Does a sentence begin at this place? The function looks back to the previous word only."""
    # no further back: a long text without punctuation would be read again for each of its names
    for character in reversed(text[max(0, at - 200) : at]):
        if character in ".!?:\n":
            return True
        if character.isalnum() or character == "_":
            return False
    return True


def words_of(chunk: Chunk) -> set[str]:
    """Terms of a passage with its title and headings."""
    return set(terms(" ".join((chunk.title, *chunk.headings, chunk.text))))


def covered(weights: dict[str, float], present: set[str]) -> float:
    """Share of the weight whose terms are present; 1 for a question without salient terms."""
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in present) / total if total else 1.0


def parts(question: str) -> list[str]:
    """The parts of a compound question; a part without a name gets that of the first. Empty for a simple question."""
    pieces = [piece.strip(" ?.,") for piece in _COMPOUND.split(question) if len(terms(piece)) > 0]
    if len(pieces) < 2:
        return []
    first = names(pieces[0], inner=True)
    questions = [pieces[0]]
    for piece in pieces[1:]:
        questions.append(piece if names(piece, inner=True) or not first else f"{piece} {first[0]}")
    return questions


class EvidenceChain:
    """The evidence for a question: a chain of passages, and the share of the question that it covers.

    Args:
        question: The question.
    """

    def __init__(self, question: str) -> None:
        self.weights = salient(question)
        self.chain: list[Chunk] = []
        self._present: set[str] = set()
        self._question = question.casefold()

    @property
    def coverage(self) -> float:
        """Share of the question that the chain covers."""
        return covered(self.weights, self._present) if self.chain else 0.0

    @property
    def open(self) -> list[str]:
        """Terms of the question that the chain does not contain."""
        return [term for term in self.weights if term not in self._present]

    def begin(self, chunks: Sequence[Chunk], *, least: float = 0.0) -> bool:
        """Start the chain, or start again, with the best passage, the first of equals.

        Args:
            chunks: Passages, best first.
            least: Share of the question that the passage must cover.

        Returns:
            True when the passage covers more than the chain did.
        """
        scored = [(covered(self.weights, words_of(chunk)), -rank, chunk) for rank, chunk in enumerate(chunks)]
        best = max(scored, key=lambda scores: scores[:2], default=None)
        # 1e-9: sums in another order are no gain
        # a beginning that is no better than the chain would throw its other passages away
        if best is None or best[0] < least or (self.chain and best[0] <= self.coverage + 1e-9):
            return False
        self.chain, self._present = [best[2]], words_of(best[2])
        return True

    def extend(self, chunks: Sequence[Chunk], link: str = "") -> bool:
        """Add the passage with most of the open terms and all of `link`; return False when there is none."""
        linked = set(terms(link))
        known = {chunk.id for chunk in self.chain}
        best, gain = None, 0.0
        for chunk in chunks:
            present = words_of(chunk)
            more = sum(self.weights[term] for term in self.open if term in present)
            if chunk.id not in known and linked <= present and more > gain:
                best, gain = chunk, more
        if best is None:
            return False
        self.chain.append(best)
        self._present |= words_of(best)
        return True

    def leads(self) -> list[str]:
        """Names that the chain's last passage introduces and the question lacks, in order."""
        if not self.chain:
            return []
        last = self.chain[-1]
        known = set(self.weights).union(*map(words_of, self.chain[:-1]))
        leads = []
        for name in names(f"{last.title}\n{last.text}"):
            name_terms = set(terms(name))
            if not name_terms <= known and name.casefold() not in self._question:
                leads.append(name)
        return leads
