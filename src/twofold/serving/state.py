"""Routes that say what is served and how it does."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response  # noqa: TID253

from twofold.serving.entrance import Administers, Counted, JsonReply, Served, Visits

router = APIRouter(tags=["state"])


@router.get("/healthz", response_class=JsonReply)
async def healthz() -> Any:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_class=JsonReply)
async def readyz(service: Served) -> Any:
    """Requests are answered: 200; else 503, with the reasons. `remarks` are of what still works, but less well."""
    state = await asyncio.to_thread(service.state)
    return JsonReply(state, status_code=200 if state["ready"] else 503)


@router.get("/v1/models", response_class=JsonReply)
async def models(visit: Visits) -> Any:
    """The served arm, and whether a study measured it."""
    return {"object": "list", "data": [await asyncio.to_thread(visit.arm.description)]}


@router.get("/v1/models/{model}", response_class=JsonReply)
async def model(model: str, visit: Visits) -> Any:
    """One served arm."""
    visit.arm.require(model)
    return await asyncio.to_thread(visit.arm.description)


@router.get("/metrics", response_class=Response)
async def metrics(counters: Counted, _caller: Administers) -> Any:
    """Numbers for Prometheus."""
    text = await asyncio.to_thread(counters.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
