"""Access control: the principal of a request, the readers of a document, and the checks that compare them. Pure.

A reader is written ``group:staff``, ``user:ann``, just ``ann`` (a user or a group of that name), or ``everyone``. The
principal of a request holds every name of the user who asks; `types.Filter` compares principal and readers. The default
is to deny: nobody may read a document whose readers are unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar, Protocol

from twofold.errors import AccessDenied
from twofold.metadata.conditions import Condition
from twofold.types import Chunk, Document, Example, Filter, Problem

if TYPE_CHECKING:
    from twofold.plugins.protocols import Chunker

EVERYONE = "everyone"
"""A reader that is in every principal: a public document under access control."""


class Rule(Protocol):
    """A pattern on documents, and the readers of the documents that fit it."""

    @property
    def documents(self) -> str:
        """Shell pattern on a document's id or source; ``*`` crosses folders."""
        ...

    @property
    def readers(self) -> tuple[str, ...]:
        """Readers of the documents that fit the pattern."""
        ...


def principal(user: str = "", groups: Sequence[str] = ()) -> tuple[str, ...]:
    """All names by which a reader may mean this user with these groups, sorted.

    Raises:
        AccessDenied: neither user nor group is given, or a name is empty, holds a colon or is the word ``everyone``.
    """
    named = [*([("user", user)] if user else []), *(("group", group) for group in groups)]
    if not named:
        raise AccessDenied("access control is enabled, but the request names no user or group")
    for kind, name in named:
        # a colon would let a user called "group:board" pass for a member of that group
        if not name.strip() or ":" in name or name == EVERYONE:
            raise AccessDenied(
                f"invalid {kind} name {name!r}",
                cure=f"A name is not empty, holds no colon, and is not {EVERYONE!r}: --user ann --group staff",
            )
    return tuple(sorted({EVERYONE, *(name for _, name in named), *(f"{kind}:{name}" for kind, name in named)}))


def ruled(document: Document, rules: Sequence[Rule]) -> Document:
    """The document with the readers of the first rule that fits; a document that names its readers keeps them."""
    if document.readers is not None:
        return document
    for rule in rules:
        # fnmatchcase and not fnmatch: the same pattern must fit the same documents on Windows
        if fnmatchcase(document.id, rule.documents) or fnmatchcase(document.source, rule.documents):
            return replace(document, readers=tuple(rule.readers))
    return document


class RuledChunker:
    """A chunker that gives documents their readers by rule before it cuts them.

    Args:
        inner: The chunker that cuts the documents.
        rules: Rules, tried in order; the first that fits a document gives its readers.
    """

    version: ClassVar[int] = 1

    def __init__(self, inner: Chunker, rules: Sequence[Rule]) -> None:
        self._inner = inner
        self._rules = tuple(rules)

    def split(self, document: Document) -> list[Chunk]:
        """The document's chunks in order, each with the document's readers."""
        return self._inner.split(ruled(document, self._rules))


def granted(requested: Filter | None, default: Filter, *, enabled: bool, tuned: bool) -> Filter:
    """The filter in force for a request.

    Tuned weights hold the text they were trained on, and nothing can be filtered out of them. They were trained on
    everything that the study's principal may read, so they answer only a principal who may read all of that.

    Args:
        requested: The request's own filter, if any.
        default: The system's filter: under access control the study's principal, and the conditions of
            [retrieval].where, which every request must meet.
        enabled: Is access control enabled?
        tuned: Were the system's weights trained here?

    Raises:
        AccessDenied: access control is enabled, and the request names no principal, or one who may not ask these tuned
            weights.
    """
    which = default if requested is None else replace(requested, where=_both(default, requested))
    if not enabled:
        return which
    if which.principal is None:
        raise AccessDenied("access control is enabled, but the request names no principal")
    if tuned and not set(default.principal or ()) <= set(which.principal):
        raise AccessDenied(
            "the tuned weights were trained on documents that this principal may not read",
            cure="Ask an arm without tuning (--arm rag), or train as a group that every user belongs to "
            "([access].study_groups).",
        )
    return which


def _both(default: Filter, requested: Filter) -> tuple[Condition, ...]:
    """The project's conditions on metadata, then the request's: a request adds conditions and takes none away."""
    return tuple(dict.fromkeys((*default.conditions, *requested.conditions)))


def visible(document: Document, rules: Sequence[Rule], which: Filter | None) -> bool:
    """May the principal read this document, by its own readers or by rule? Without access control everybody may."""
    if which is None or which.principal is None:
        return True
    return any(reader in which.principal for reader in ruled(document, rules).readers or ())


def readable(example: Example, sources: Sequence[Chunk], which: Filter) -> bool:
    """May the principal read every document that the example was made from?

    The answer is no for an example that names no document, or names one that the index does not hold.

    Args:
        example: A training example, or one shown in prompts.
        sources: All chunks of the example's documents that the index holds.
        which: The principal's filter.
    """
    if which.principal is None:
        return True
    known_documents = {chunk.span.document for chunk in sources}
    return (
        bool(example.sources)
        and known_documents >= set(example.sources)
        # readers alone count here: collections and conditions say what a search wants, not what a principal may read
        and all(replace(which, collections=(), where=()).allows(chunk) for chunk in sources)
    )


def problems(documents: Sequence[Document], rules: Sequence[Rule], *, enabled: bool) -> list[Problem]:
    """The problems that `twofold check` shows of readers: documents nobody may read, readers that nothing enforces."""
    known = [ruled(document, rules) for document in documents]
    unknown = [document for document in known if document.readers is None]
    if enabled and unknown:
        names = ", ".join(document.id for document in unknown[:3]) + (", …" if len(unknown) > 3 else "")
        message = f"nobody can read {len(unknown)} of {len(known)} documents, for their readers are unknown: {names}"
        cure = 'Give the records a "readers" field, or add an [[access.rules]] entry.'
        return [Problem(severity="warning", code="data.nobody-may-read", message=message, cure=cure)]
    if not enabled and len(unknown) < len(known):
        message = f"{len(known) - len(unknown)} documents name readers, but access control is off: everybody sees them"
        cure = "Set [access].enabled = true."
        return [Problem(severity="warning", code="data.readers-unused", message=message, cure=cure)]
    return []


def checked(chunks: Sequence[Chunk], which: Filter, by: str) -> None:
    """Refuse a passage that the filter forbids, so that a fault of a plugin does not become a leak.

    Args:
        chunks: The passages that the plugin returned.
        which: The request's filter.
        by: Name of the plugin, for the message.

    Raises:
        AccessDenied: the filter forbids one of the passages; the message names the plugin.
    """
    if any(not which.allows(chunk) for chunk in chunks):
        raise AccessDenied(
            f"{by} returned a passage that the request's filter forbids; nothing was shown",
            cure="Report this to the plugin's author: the plugin fails its suite in `twofold.testing`.",
        )
