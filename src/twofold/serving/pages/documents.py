"""Page: the documents, their sources, how each is cut, and a search taken apart."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request  # noqa: TID253

from twofold.errors import SourceEndless, SourceUnreachable
from twofold.indexing.feeds import PUSHED
from twofold.serving import holdings, stages
from twofold.serving.entrance import Asks, Curates, Served
from twofold.serving.identity import Caller
from twofold.serving.pages.layout import page
from twofold.serving.pages.studies import writer_seen
from twofold.serving.service import Service
from twofold.types import Json
from twofold.verdict.record import number_text

router = APIRouter(include_in_schema=False)
Words = Annotated[str, Query(max_length=1000)]
Number = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]
_UNREACHED = (SourceUnreachable.code, SourceEndless.code)
"""Codes of files whose content is not known now: a sync keeps what it read of them before (`indexing.sync`)."""


@router.get("/documents")
async def documents(
    request: Request, service: Served, caller: Asks, *, words: Words = "", source: Words = "", number: Number = 1
) -> Any:
    """The list of documents."""
    search = service.project.workspace.search
    listing = await asyncio.to_thread(holdings.listed, search, caller.filter, words=words, source=source, page=number)
    onward = f"/documents?{urlencode({'words': words, 'source': source})}&page="
    context: Json = {"listing": listing, "words": words, "source": source, "onward": onward}
    return page(request, "documents", caller, **context, **_frame(service, caller, "list"))


@router.get("/documents/sources")
async def sources(request: Request, service: Served, caller: Asks) -> Any:
    """Every source with what was read of it, what failed, and what helps."""
    project = service.project
    # Names of files and numbers of chunks would tell of documents that the caller may not see.
    closed = project.config.access.enabled
    state = None if closed else await asyncio.to_thread(holdings.state, project.workspace.search, project.directory)
    # So that nobody wonders why a change is not there yet.
    writer = writer_seen(service, caller)
    frame = _frame(service, caller, "sources")
    return page(request, "documents/sources", caller, state=state, writer=writer, unreached=_UNREACHED, **frame)


@router.get("/documents/search")
async def bench(request: Request, service: Served, caller: Asks, *, question: Words = "") -> Any:
    """What each leg and stage of the search says of every passage."""
    table = None
    if question.strip():
        search = service.project.workspace.search
        table = await asyncio.to_thread(stages.staged, search, question, caller.filter)
    context: Json = {"question": question, "table": table, "score": number_text}
    return page(request, "documents/bench", caller, **context, **_frame(service, caller, "search"))


@router.get("/documents/view")
async def document(
    request: Request,
    service: Served,
    caller: Asks,
    *,
    name: Annotated[str, Query(alias="id")] = "",
    number: Number = 1,
    stored: bool = False,
) -> Any:
    """One document with its chunks as they are cut; after it was sent with what that means."""
    shown = await asyncio.to_thread(holdings.cut, service.project.workspace.search, caller.filter, name, page=number)
    onward = f"/documents/view?{urlencode({'id': name})}&page="
    # The API's own id, by which a document that was sent is changed.
    sent = name.removeprefix(f"{PUSHED}:") if shown.document.collection == PUSHED else ""
    context: Json = {"cut": shown, "onward": onward, "sent": sent, "stored": stored}
    return page(request, "documents/document", caller, **context, **_frame(service, caller, "list"))


@router.get("/documents/edit")
async def edit(
    request: Request, service: Served, caller: Curates, *, name: Annotated[str, Query(alias="id")] = ""
) -> Any:
    """The form that adds a document, or replaces one that was sent."""
    row: Json = {"id": "", "title": "", "text": "", "version": "", "readers": None, "metadata": {}}
    if name:
        row = await asyncio.to_thread(service.pushed.get, name, caller.filter)
    return page(request, "documents/edit", caller, row=row, **_frame(service, caller, "edit"))


def _frame(service: Service, caller: Caller, tab: str) -> Json:
    closed = service.project.config.access.enabled
    return {"tab": tab, "closed": closed, "curates": caller.covers("curate")}
