"""Routes that take something in: documents and feedback."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query  # noqa: TID253

from twofold.serving.bodies import DocumentBody, FeedbackBody
from twofold.serving.conversation import bad
from twofold.serving.entrance import Asks, Curates, JsonReply, Served
from twofold.serving.exchange import note
from twofold.serving.strict_json import StrictRoute

router = APIRouter(route_class=StrictRoute, tags=["curation"])
Page = Annotated[int, Query(ge=1, le=1000)]


@router.get("/v1/documents", response_class=JsonReply)
async def documents(
    service: Served, caller: Curates, *, after: Annotated[str, Query(max_length=1000)] = "", limit: Page = 100
) -> Any:
    """List the documents that were sent, by id; `after` is the last id of the page before."""
    rows, more = await asyncio.to_thread(service.pushed.listed, caller.filter, after=after, limit=limit)
    return JsonReply({"object": "list", "data": rows, "has_more": more})


@router.post("/v1/documents", response_class=JsonReply, status_code=201)
async def add(body: DocumentBody, service: Served, caller: Curates) -> Any:
    """Add a document; the next request finds it."""
    if body.version:
        raise bad("a new document has no version", "version", cure="Replace a document with PUT.")
    row = await asyncio.wrap_future(service.pushed.put(body, caller.filter, replace=False))
    note(document=row["id"], version=row["version"])
    return JsonReply(row, status_code=201)


@router.get("/v1/documents/{name:path}", response_class=JsonReply)
async def document(name: str, service: Served, caller: Curates) -> Any:
    """One document that was sent, with its text."""
    return JsonReply(await asyncio.to_thread(service.pushed.get, name, caller.filter))


@router.put("/v1/documents", response_class=JsonReply)
async def replace(body: DocumentBody, service: Served, caller: Curates) -> Any:
    """Replace a document, or add it; with `version` only that version is replaced."""
    row = await asyncio.wrap_future(service.pushed.put(body, caller.filter, replace=True))
    note(document=row["id"], version=row["version"])
    return JsonReply(row)


@router.delete("/v1/documents/{name:path}", response_class=JsonReply)
async def remove(name: str, service: Served, caller: Curates) -> Any:
    """Remove a document that was sent; the next request does not find it."""
    await asyncio.wrap_future(service.pushed.delete(name, caller.filter))
    return JsonReply({"id": name, "object": "document.deleted", "deleted": True})


@router.post("/v1/feedback", response_class=JsonReply)
async def feedback(body: FeedbackBody, service: Served, _caller: Asks) -> Any:
    """Take what a person says of an answer; it is on the disk before the reply."""
    if body.messages[-1].role != "user":
        raise bad("the last message must be the user's", "messages", cure="Send the answer as `answer`.")
    stored = await asyncio.to_thread(service.feedback.add, body)
    note(feedback=stored["id"], rating=body.rating)
    return JsonReply(stored)
