"""Page: ask, and read the answer beside its sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request  # noqa: TID253
from pydantic import Field

from twofold.answering.citing import place_at
from twofold.errors import NotServed
from twofold.labelling.labels import LabelledAnswer
from twofold.metadata.facets import allowed
from twofold.project import Project
from twofold.serving.arm import age
from twofold.serving.bodies import Body, Name, Text
from twofold.serving.entrance import Asks, JsonReply, Served
from twofold.serving.exchange import note
from twofold.serving.holdings import readable
from twofold.serving.pages.layout import fragment, page
from twofold.types import Document, Filter

router = APIRouter(include_in_schema=False)
ROOM = 200_000
"""Characters of a document that are shown before and after the quoted words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePart:
    """A page, slide or row of a document, or all of it where it has none."""

    label: str
    """For example ``page 3``; may be empty."""
    before: str
    marked: str
    """The part of the quoted words that stands here; may be empty."""
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceView:
    """A document with the quoted words marked."""

    document: str
    """Its id."""
    title: str
    place: str
    """Where the quoted words stand, for example ``page 3``."""
    version: str
    """Digest of the text at the last sync."""
    age: float | None
    """Seconds since its file changed; None where it is no file of this machine."""
    parts: tuple[SourcePart, ...]
    cut_before: bool
    """Its beginning is left out."""
    cut_after: bool
    """Its end is left out."""


class PreferenceAnswer(Body):
    """One of two answers, as it was shown."""

    arm: Name
    text: Text


class PreferenceBody(Body):
    """`POST /ask/preference`: which of two answers is better, said by somebody who did not know whose they are."""

    question: Text = Field(min_length=1)
    answers: list[PreferenceAnswer] = Field(min_length=2, max_length=2)
    """In the order in which they were shown."""
    choice: Literal["first", "second", "same", "neither"]


@router.get("/ask")
def ask(request: Request, service: Served, caller: Asks) -> Any:
    """The conversation."""
    config = service.project.config
    reads = bool(config.documents.paths or config.sources)
    expired = service.verdicts.remark()
    return page(request, "ask", caller, about=config.project.about, reads=reads, expired=expired)


@router.get("/ask/source")
def source(
    request: Request,
    service: Served,
    caller: Asks,
    *,
    document: Annotated[str, Query(max_length=2000)],
    start: Annotated[int, Query(ge=0)] = 0,
    end: Annotated[int, Query(ge=0)] = 0,
) -> Any:
    """A document with the quoted words marked: a part of the page Ask, or a page of its own."""
    view = viewed(service.project, caller.filter, document, start=start, end=end)
    if "hx-request" in request.headers:
        return fragment("ask/source.html", view=view, heading="h2")
    return page(request, "ask/passage", caller, view=view, heading="h1")


@router.post("/ask/preference")
def preference(body: PreferenceBody, service: Served, caller: Asks) -> Any:
    """Store which of two answers somebody prefers."""
    answers = [LabelledAnswer(arm=answer.arm, text=answer.text) for answer in body.answers]
    # By the same log as labels of a study: pairs of a chat are told by their empty study.
    label = service.labels.add("pair", answers, body.choice, by=caller.name, question=body.question)
    note(label=label.id)
    return JsonReply({"id": label.id, "object": "label"})


def viewed(project: Project, seen: Filter | None, name: str, *, start: int, end: int) -> SourceView:
    """A document with some of its words marked.

    Args:
        project: Whose document it is.
        seen: What the caller may see; None where access control is off.
        name: The document's id.
        start: Begin of the words, in characters of the document.
        end: Their end.

    Raises:
        NotServed: there is no such document, or the caller may not see it: the words are the same.
    """
    documents, search = project.catalogue.documents, project.workspace.search
    document = readable(search, seen, name)
    # Also by the project's own conditions: what no search finds, no page shows.
    if document is None or not allowed(document.metadata, search.filter.conditions):
        raise NotServed("there is no such document", cure="Ask again: it may have been removed.")
    # The numbers are the address's: anybody may write others, and a document may have shrunk since.
    start, end = min(start, len(document.text)), min(max(start, end), len(document.text))
    low, high = max(0, start - ROOM), min(len(document.text), end + ROOM)
    content, origin = documents.versions([name])[name]
    return SourceView(
        document=name,
        title=document.title,
        place=place_at(document, start),
        version=content.partition(":")[2][:12] or content[:12],
        age=age(project, name, origin),
        parts=tuple(_parts(document, (low, high), (start, end))),
        cut_before=low > 0,
        cut_after=high < len(document.text),
    )


def _parts(document: Document, shown: tuple[int, int], words: tuple[int, int]) -> Iterator[SourcePart]:
    """The text from `shown[0]` to `shown[1]`, cut where pages begin, with `words` marked."""
    low, high = shown
    labels = {place.start: place.label for place in document.places if place.start < high}
    # The last place that begins before the cut names the first part.
    before = [place for place in labels if place <= low]
    edges = sorted({low, *(place for place in labels if place > low), high})
    first = labels[max(before)] if before else ""
    for begin, stop in pairwise(edges):
        # Cut to this part: quoted words may go on over the end of a page.
        inside = [min(max(edge, begin), stop) for edge in words]
        yield SourcePart(
            label=first if begin == low else labels[begin],
            before=document.text[begin : inside[0]],
            marked=document.text[inside[0] : inside[1]],
            after=document.text[inside[1] : stop],
        )
