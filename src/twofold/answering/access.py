"""Who may read what: names of those who ask, readers of documents, and what is refused. Pure.

A reader is written ``group:staff``, ``user:ann``, just ``ann`` (a user or a group of that name), or ``everyone``. A
request's principal holds all names of who asks; `types.Filter` compares the two, and default is deny: a document whose
readers are unknown is read by nobody.
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
    """A pattern on documents, and who may read them."""

    @property
    def documents(self) -> str:
        """Shell pattern on a document's id or source; ``*`` crosses folders."""
        ...

    @property
    def readers(self) -> tuple[str, ...]:
        """Who may read them."""
        ...


def principal(user: str = "", groups: Sequence[str] = ()) -> tuple[str, ...]:
    """All names by which a reader may mean this user with these groups, sorted.

    Raises:
        AccessDenied: neither is given, or a name is empty, or poses as another kind of name.
    """
    named = [*([("user", user)] if user else []), *(("group", group) for group in groups)]
    if not named:
        raise AccessDenied("access control is on, and nobody is named who asks")
    for kind, name in named:
        if not name.strip() or ":" in name or name == EVERYONE:
            raise AccessDenied(
                f"invalid {kind} name {name!r}",
                cure=f"A name is not empty, holds no colon, and is not {EVERYONE!r}: --user ann --group staff",
            )
    return tuple(sorted({EVERYONE, *(name for _, name in named), *(f"{kind}:{name}" for kind, name in named)}))


def ruled(document: Document, rules: Sequence[Rule]) -> Document:
    """The document with the readers of the first rule that fits, where it does not name its own."""
    if document.readers is not None:
        return document
    for rule in rules:
        if fnmatchcase(document.id, rule.documents) or fnmatchcase(document.source, rule.documents):
            return replace(document, readers=tuple(rule.readers))
    return document


class RuledChunker:
    """A chunker that gives documents their readers by rule before it cuts them.

    Args:
        inner: What cuts.
        rules: Tried in order.
    """

    version: ClassVar[int] = 1

    def __init__(self, inner: Chunker, rules: Sequence[Rule]) -> None:
        self._inner = inner
        self._rules = tuple(rules)

    def split(self, document: Document) -> list[Chunk]:
        """Chunks in order, with readers."""
        return self._inner.split(ruled(document, self._rules))


def granted(requested: Filter | None, default: Filter, *, enabled: bool, tuned: bool) -> Filter:
    """The filter of a request.

    Tuned weights hold what they were trained on, and nothing can be filtered out of them: they saw what the study's
    principal may read, so they answer only who may read all that.

    Args:
        requested: The request's own filter, if any.
        default: The system's: the study's principal, where access control is on, and [retrieval].where, which holds of
            every request.
        enabled: Is access control on?
        tuned: Were the system's weights trained here?

    Raises:
        AccessDenied: access control is on and there is no principal, or not one who may ask tuned weights.
    """
    which = default if requested is None else replace(requested, where=_both(default, requested))
    if not enabled:
        return which
    if which.principal is None:
        raise AccessDenied("access control is on, and the request names no principal")
    if tuned and not set(default.principal or ()) <= set(which.principal):
        raise AccessDenied(
            "the tuned weights were trained on documents that this principal may not read",
            cure="Ask an arm without tuning (--arm rag), or train as a group that every user belongs to "
            "([access].study_groups).",
        )
    return which


def _both(default: Filter, requested: Filter) -> tuple[Condition, ...]:
    """A request adds conditions on metadata to the project's; it takes none away."""
    return tuple(dict.fromkeys((*default.conditions, *requested.conditions)))


def readable(example: Example, sources: Sequence[Chunk], which: Filter) -> bool:
    """May that principal read every document an example was made from? No, when it names none or one is unknown.

    Args:
        example: A training example, or one shown in prompts.
        sources: All chunks of its sources that the index has.
        which: The principal's filter.
    """
    if which.principal is None:
        return True
    known_documents = {chunk.span.document for chunk in sources}
    return (
        bool(example.sources)
        and known_documents >= set(example.sources)
        and all(replace(which, collections=(), where=()).allows(chunk) for chunk in sources)
    )


def problems(documents: Sequence[Document], rules: Sequence[Rule], *, enabled: bool) -> list[Problem]:
    """Report faults of readers for `twofold check`: documents that nobody may read, readers that nothing enforces."""
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
    """Refuse to go on with a passage that the filter forbids: a fault of a plugin must not become a leak.

    Raises:
        AccessDenied: naming the plugin.
    """
    if any(not which.allows(chunk) for chunk in chunks):
        raise AccessDenied(
            f"{by} returned a passage that the request's filter forbids; nothing was shown",
            cure="Report this to the plugin's author: the plugin fails its suite in `twofold.testing`.",
        )
