"""Routes that search: passages, and vectors of texts."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from fastapi import APIRouter, Request  # noqa: TID253

from twofold.serving import conversation
from twofold.serving.bodies import ChatMessage, EmbeddingBody, RetrieveBody
from twofold.serving.conversation import bad
from twofold.serving.entrance import Asks, JsonReply, Served, Visits
from twofold.serving.exchange import note
from twofold.serving.strict_json import StrictRoute
from twofold.types import Json

router = APIRouter(route_class=StrictRoute, tags=["search"])


@router.post("/v1/retrieve", response_class=JsonReply)
async def retrieve(body: RetrieveBody, visit: Visits) -> Any:
    """Find the passages that an answer would be given with, best first."""
    messages = [*body.messages, ChatMessage(role="user", content=body.query)]
    example = conversation.example(messages, system_prompt=visit.system_prompt)
    arm = visit.arms.named(body.model)
    which = arm.narrowed(visit.caller.filter, body.where)

    def search() -> Json:
        hits, insufficient = arm.retrieve(example, filter=which, k=body.k, spent=visit.charge)
        note(arm=arm.name, documents=[hit.chunk.span.document for hit in hits])
        passages = arm.passages(hits, scores=visit.caller.filter is None)
        return {"object": "list", "data": passages, "insufficient": insufficient}

    return JsonReply(await asyncio.to_thread(search))


@router.post("/v1/embeddings", response_class=JsonReply)
async def embed(body: EmbeddingBody, request: Request, *, service: Served, caller: Asks) -> Any:
    """Embed texts by the project's embedder, as vectors of length 1."""
    service.require_embedder(body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    for number, text in enumerate(texts):
        if not text.strip():
            raise bad("the text is empty", f"input.{number}", cure="Leave empty texts out.")

    def spent(tokens: int) -> None:
        if caller.id:
            service.ledger.add(caller.id, "tokens", tokens)

    vectors, tokens = await service.embedding.vectors(texts, left=request.is_disconnected, spent=spent)
    if body.dimensions not in (None, vectors.shape[1]):
        raise bad(f"the vectors have {vectors.shape[1]} dimensions and no other number", "dimensions")

    def written(row: Any) -> Any:
        # float32, little-endian: the bytes that OpenAI's client unpacks, which asks for base64 by default.
        return base64.b64encode(row.tobytes()).decode() if body.encoding_format == "base64" else row.tolist()

    data = [{"object": "embedding", "index": number, "embedding": written(row)} for number, row in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JsonReply({"object": "list", "data": data, "model": body.model, "usage": usage})
