"""Routes that say what is served and how it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response  # noqa: TID253

from twofold.errors import PartDown
from twofold.serving.counters import OPEN_METRICS, PLAIN
from twofold.serving.entrance import Administers, Counted, JsonReply, Perhaps, Served, Visits
from twofold.types import Json

router = APIRouter(tags=["state"])
SECONDS = 2.0
"""Time in which the state must be known; a database that hangs would keep whoever looks for half a minute."""


class SharedState:
    """The state of a server as it is looked at: once at a time, whoever asks meanwhile shares it.

    /readyz needs no key: if each call looked for itself, a few would hold all threads while a database hangs.

    Args:
        state: Tells the state; may block.
        seconds: Time to wait for it.
    """

    def __init__(self, state: Callable[[], Json], *, seconds: float = SECONDS) -> None:
        self._state, self._seconds = state, seconds
        self._task: asyncio.Task[Json] | None = None

    async def state(self) -> Json:
        """The state; not ready where it is not known in time."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(asyncio.to_thread(self._state))
        try:
            # shielded: the look goes on for those who ask next
            return await asyncio.wait_for(asyncio.shield(self._task), self._seconds)
        except TimeoutError:
            message = f"the index has not answered for {self._seconds:g} s"
            return {
                "ready": False,
                "faults": [{"code": PartDown.code, "message": message, "cure": PartDown.cure}],
                "remarks": [],
            }


@router.get("/healthz", response_class=JsonReply)
async def healthz(service: Served, challenge: Annotated[str, Query(max_length=100)] = "") -> Any:
    """The process answers. To a challenge it proves to a command of this machine whose server it is."""
    proof = service.presence.proof(challenge) if challenge and service.presence else None
    return {"status": "ok", **({"proof": proof} if proof else {})}


@router.get("/readyz", response_class=JsonReply)
async def readyz(request: Request, caller: Perhaps) -> Any:
    """Requests are answered: 200; else 503. Who has a key, where one is needed, sees the reasons.

    `remarks` are of what still works, but less well.
    """
    shared: SharedState = request.app.state.shared
    state = await shared.state()
    status = 200 if state["ready"] else 503
    return JsonReply(state if caller else {"ready": state["ready"]}, status_code=status)


@router.get("/v1/models", response_class=JsonReply)
async def models(service: Served, visit: Visits) -> Any:
    """The served arms and tuned models, the default first: why each answers, was it measured, is it loaded?

    `validity` says of an arm that the verdict chose, or stands beside, whether that verdict still holds.
    """

    def described() -> list[Json]:
        return [service.verdicts.described(model) for model in visit.arms.descriptions()]

    return {"object": "list", "data": await asyncio.to_thread(described)}


@router.get("/v1/models/{model:path}", response_class=JsonReply)
async def model(model: str, service: Served, visit: Visits) -> Any:
    """One served arm."""
    arm = visit.arms.named(model)
    return await asyncio.to_thread(lambda: service.verdicts.described(visit.arms.described(arm)))


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, counters: Counted, _caller: Administers) -> Any:
    """Numbers for Prometheus; in the form of OpenMetrics, with exemplars, where the header Accept names that."""
    exemplars = "application/openmetrics-text" in request.headers.get("accept", "")
    text = await asyncio.to_thread(counters.text, exemplars=exemplars)
    return Response(text, headers={"content-type": OPEN_METRICS if exemplars else PLAIN})
