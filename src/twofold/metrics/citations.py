"""Citations against the documents known to hold the answer (`Example.sources`).

Neither applies to an abstention (it has nothing to cite) nor to an example whose sources are unknown.
"""

from __future__ import annotations

from typing import ClassVar

from twofold import plugins
from twofold.types import Answer, Example


class CitationPrecision:
    """Share of an answer's citations that name a right document; None for an answer without citations."""

    version: ClassVar[int] = 1
    Options: ClassVar[type[plugins.Options]] = plugins.Options

    def __init__(self, options: plugins.Options) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        """A share in [0, 1], or None. A marker that names no passage of the prompt counts as a wrong citation."""
        made = len(answer.citations) + answer.invalid_citations
        if not example.sources or answer.abstained or not made:
            return None
        return sum(citation.span.document in example.sources for citation in answer.citations) / made

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
