"""Routes that say what is served and how it does."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response  # noqa: TID253

from twofold.serving.entrance import Administers, Counted, JsonReply, Perhaps, Served, Visits

router = APIRouter(tags=["state"])


@router.get("/healthz", response_class=JsonReply)
async def healthz(service: Served, challenge: Annotated[str, Query(max_length=100)] = "") -> Any:
    """The process answers. To a challenge it proves to a command of this machine whose server it is."""
    proof = service.presence.proof(challenge) if challenge and service.presence else None
    return {"status": "ok", **({"proof": proof} if proof else {})}


@router.get("/readyz", response_class=JsonReply)
async def readyz(service: Served, caller: Perhaps) -> Any:
    """Requests are answered: 200; else 503. Who has a key, where one is needed, sees the reasons.

    `remarks` are of what still works, but less well.
    """
    state = await asyncio.to_thread(service.state)
    status = 200 if state["ready"] else 503
    return JsonReply(state if caller else {"ready": state["ready"]}, status_code=status)


@router.get("/v1/models", response_class=JsonReply)
async def models(visit: Visits) -> Any:
    """The served arms and tuned models, the default first: why each answers, was it measured, is it loaded?"""
    return {"object": "list", "data": await asyncio.to_thread(visit.arms.descriptions)}


@router.get("/v1/models/{model:path}", response_class=JsonReply)
async def model(model: str, visit: Visits) -> Any:
    """One served arm."""
    return await asyncio.to_thread(visit.arms.described, visit.arms.named(model))


@router.get("/metrics", response_class=Response)
async def metrics(counters: Counted, _caller: Administers) -> Any:
    """Numbers for Prometheus."""
    text = await asyncio.to_thread(counters.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
