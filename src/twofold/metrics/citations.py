"""Citations: do they name a document known to hold the right answer, and does what they name hold the answer given?

The first (`CitationPrecision`, `CitationRecall`) needs `Example.sources`, and blames a citation for a wrong answer that
stands, word for word, in the passage cited. The second (`CitationSupport`) needs no labels, and praises a wrong answer
that is cited faithfully (precision in the sense of ALCE, Gao et al. 2023). Read them together. None applies to an
abstention: it has nothing to cite.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from twofold.plugins import protocols
from twofold.text import grounding
from twofold.types import Answer, Example


class CitationPrecision:
    """Share of an answer's citations that name a right document; None for an answer without citations."""

    version: ClassVar[int] = 1
    conditional: ClassVar[bool] = True
    """Whether an example is scored depends on the answer: no arms can be compared by it."""
    judges_citations: ClassVar[bool] = True
    Options: ClassVar[type[protocols.Options]] = protocols.Options

    def __init__(self, options: protocols.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """A share in [0, 1], or None. A marker that names no passage of the prompt counts as a wrong citation."""
        markers = len(answer.citations) + answer.invalid_citations
        if not example.sources or answer.abstained or not markers:
            return None
        return sum(citation.span.document in example.sources for citation in answer.citations) / markers

    def wants(self, example: Example) -> str:
        """The documents that may be cited."""
        return repr(sorted(example.sources))


class CitationRecall(CitationPrecision):
    """1 when at least one right document is cited, 0 when none is (also for an answer without citations)."""

    def score(self, example: Example, answer: Answer) -> float | None:
        """1, 0, or None."""
        if not example.sources or answer.abstained:
            return None
        return float(any(citation.span.document in example.sources for citation in answer.citations))


class CitationSupport:
    """Share of an answer's citations whose passage holds the answer's words and numbers; None where none was made.

    Answers are read by the same rule (`grounding.verify`), so a system that verifies scores near 1: the metric tells
    what is left where the check is off or looser.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """Options of the metric ``citation_support``."""

        least: float = Field(default=0.6, gt=0, le=1)
        """Share of the answer's words that must stand in the passage."""

    reference_free: ClassVar[bool] = True
    conditional: ClassVar[bool] = True
    judges_citations: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """A share in [0, 1], or None. A marker that names no passage of the prompt counts as unsupported."""
        markers = len(answer.citations) + answer.invalid_citations
        if answer.abstained or not markers or not answer.hits or not grounding.checkable(answer.text, example.choices):
            return None
        texts = {hit.chunk.span: hit.chunk.text for hit in answer.hits}
        cited = [texts[c.span] for c in answer.citations if c.span in texts]
        # An answer may be put together from two passages: each then has only a part of its words.
        together = len(cited) > 1 and grounding.share(answer.text, cited) >= self.options.least
        supported = sum(
            grounding.share(answer.text, [text]) >= self.options.least
            or (together and grounding.share(answer.text, [text]) > 0)
            for text in cited
        )
        return supported / markers
