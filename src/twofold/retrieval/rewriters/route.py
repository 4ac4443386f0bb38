"""Route a question to the sources to search: by the request, by rule, or by their descriptions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from pydantic import Field, field_validator

from twofold.errors import ConfigError
from twofold.plugins import protocols
from twofold.plugins.protocols import Parts
from twofold.types import Query, Rewritten


class Route:
    """Narrows a query to some of the collections that it may see; a filter is never widened.

    A request that names collections is left alone. Otherwise the first rule whose pattern occurs in the question
    decides; otherwise, with `most`, the collections whose descriptions (``[sources.NAME] description``) are nearest
    to the question. Collections without a description are always searched, and so is everything when no description
    is clearly nearer than the others.

    Args:
        options: See `Options`.
        parts: Embedder and collections.

    Raises:
        ConfigError: a rule names an unknown collection.
    """

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """Options of the rewriter ``route``."""

        rules: dict[str, tuple[str, ...]] = Field(default_factory=dict)
        """Regular expression (any case) → collections; ``""`` names the documents of ``[documents].paths``."""
        most: int = Field(default=0, ge=0)
        """Collections chosen by their descriptions where no rule fits; 0: search all."""
        margin: float = Field(default=0.05, ge=0)
        """Least difference in cosine between the chosen descriptions and the best one left out."""

        @field_validator("rules")
        @classmethod
        def _compiles(cls, rules: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
            for pattern in rules:
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
            return rules

    def __init__(self, options: Options, *, parts: Parts) -> None:
        self._options = options
        self._parts = parts
        known = set(parts.collections)
        for pattern, names in options.rules.items():
            # "" names the documents of [documents].paths
            if unknown := sorted(set(names) - known - {""}):
                raise ConfigError(
                    f"the routing rule {pattern!r} names the unknown source {unknown[0]!r}",
                    cure=f"Name a source in twofold.toml: {', '.join(sorted(known)) or 'none'}.",
                )
        self._rules = [(re.compile(pattern, re.IGNORECASE), names) for pattern, names in options.rules.items()]

    def rewrite(self, queries: Sequence[Query]) -> list[Rewritten]:
        """Each query, its collections narrowed where a rule or the descriptions decide."""
        near = self._nearest(queries)
        return [self._routed(query, near.get(number)) for number, query in enumerate(queries)]

    def _routed(self, query: Query, near: tuple[str, ...] | None) -> Rewritten:
        # the collections of the request stay as they are
        if query.filter.collections:
            return Rewritten(queries=(query,), trace=({"by": "request", "collections": [*query.filter.collections]},))
        for pattern, names in self._rules:
            if pattern.search(query.question or query.text):
                return _narrowed(query, names, "rule")
        if near is not None:
            return _narrowed(query, near, "description")
        return Rewritten(queries=(query,), trace=({"by": "none"},))

    def _nearest(self, queries: Sequence[Query]) -> Mapping[int, tuple[str, ...]]:
        """Query number → collections whose descriptions are clearly nearest."""
        names, vectors = self._described
        most = self._options.most
        if not most or len(names) <= most:
            return {}
        numbers = [number for number, query in enumerate(queries) if not query.filter.collections]
        if not numbers:
            return {}
        # collections without a description cannot be compared: they are always searched
        rest = tuple(name for name in ("", *self._parts.collections) if name not in names)
        cosines = self._parts.embedder.embed([queries[number].text for number in numbers]) @ vectors.T
        nearest = {}
        for number, row in zip(numbers, cosines, strict=True):
            order = sorted(range(len(names)), key=lambda n: -float(row[n]))
            # without a clear lead over the best one left out, everything is searched
            if row[order[most - 1]] - row[order[most]] >= self._options.margin:
                nearest[number] = (*(names[n] for n in order[:most]), *rest)
        return nearest

    @cached_property
    def _described(self) -> tuple[list[str], Any]:
        described = {name: text for name, text in self._parts.collections.items() if text}
        return list(described), self._parts.embedder.embed(list(described.values())) if described else None


def _narrowed(query: Query, names: tuple[str, ...], by: str) -> Rewritten:
    which = replace(query.filter, collections=names)
    return Rewritten(queries=(replace(query, filter=which),), trace=({"by": by, "collections": list(names)},))
