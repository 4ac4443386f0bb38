"""The route of `twofold ask`: for commands of whoever owns the project's directory on this machine.

No API key opens it, and its secret opens nothing else. Who has the secret can read the project's files, and may
therefore ask for any user, as the command without a server does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request  # noqa: TID253

from twofold.errors import BadKey
from twofold.hashing import plain
from twofold.serving import faults
from twofold.serving.answering import Events
from twofold.serving.arms import ServedArms
from twofold.serving.bodies import OwnerBody
from twofold.serving.entrance import Served, Token, service_of
from twofold.serving.exchange import request_id
from twofold.serving.question import LiveQuestion
from twofold.serving.streams import event
from twofold.serving.strict_json import StrictRoute
from twofold.types import Answer

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


async def _owned(request: Request, token: Token) -> AsyncIterator[ServedArms]:
    service = service_of(request)
    if service.presence is None or token is None or not service.presence.trusts(token.credentials):
        raise BadKey("only commands on the server's machine ask here", cure="Use POST /v1/chat/completions.")
    # Until the last event, as for every caller: an exchange meanwhile closes the arm after that.
    with service.arms.using() as arms:
        yield arms


OwnedArms = Annotated[ServedArms, Depends(_owned)]


@router.post("/local/ask")
async def ask(body: OwnerBody, arms: OwnedArms, *, service: Served) -> Any:
    """Answer as `Project.ask` does: events with pieces, then one with the answer and its report."""
    # In a thread: it reads records, catalogue and folders, while others' events go out.
    live = await asyncio.to_thread(LiveQuestion, service.project, arms, body)
    request = request_id()

    async def events() -> AsyncIterator[str]:
        try:
            async for piece in live.ticket.apieces():
                if isinstance(piece, Answer):
                    report = await asyncio.to_thread(live.report, piece)
                    service.witness(await asyncio.to_thread(live.exchange, piece, request=request))
                    yield event({"answer": plain(piece), "report": report})
                else:
                    yield event({"piece": piece})
        except Exception as error:
            # The status is sent: the command takes an event without piece and answer for the error.
            yield event(faults.of_error(error)[1])

    return Events(events(), ended=live.ticket.cancel)
