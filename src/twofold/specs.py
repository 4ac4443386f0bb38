"""What decides results, as data for keys: names, versions and options of the parts that a configuration names."""

from __future__ import annotations

from twofold import plugins
from twofold.config import Config, Part
from twofold.types import Json

_INNER: dict[str, plugins.Kind] = {
    "search": "retrievers",
    "retriever": "retrievers",
    "rewriters": "rewriters",
    "rerankers": "rerankers",
}
"""Options that name parts, and of which kind."""


def of_part(kind: plugins.Kind, part: Part) -> Json:
    """Name, version and options of a part, and the same of the parts that its options name.

    Raises:
        UnknownName, ConfigError: as `plugins.options`.
    """
    options = plugins.options(kind, part.name, part.options)
    named = {name: getattr(options, name) for name in _INNER if name in type(options).model_fields}
    inner = {
        name: [of_part(_INNER[name], one) for one in ((held,) if isinstance(held, Part) else held)]
        for name, held in named.items()
    }
    return {
        "name": part.name,
        "version": plugins.find(kind, part.name).version,
        "options": options.model_dump(mode="json"),
        **({"inner": inner} if inner else {}),
    }


def of_retrieval(config: Config, *, embedder: str, content: str) -> Json:
    """Everything that decides what is found: stages, index, embedder, content and k.

    Args:
        config: The configuration in force.
        embedder: The embedder's fingerprint.
        content: Digest of what the index holds.
    """
    retrieval = config.retrieval
    return {
        "rewriters": [of_part("rewriters", part) for part in retrieval.rewriters],
        "retriever": of_part("retrievers", retrieval.retriever),
        "rerankers": [of_part("rerankers", part) for part in retrieval.rerankers],
        **({"depth": retrieval.depth} if retrieval.rerankers else {}),
        "budget": retrieval.budget,
        "pipeline": plugins.find("retrievers", "pipeline").version,
        **({"tools": _of_tools(config)} if config.tools else {}),
        "index": of_part("indexes", retrieval.index),
        "embedder": embedder,
        "content": content,
        "k": retrieval.k,
    }


def _of_tools(config: Config) -> Json:
    return {
        name: {
            **of_part("tools", Part(name=tool.kind, options=tool.options)),
            "description": tool.description,
            "readers": tool.readers,
        }
        for name, tool in config.tools.items()
    }
