"""The state of a server while its index hangs."""

from __future__ import annotations

import asyncio
import threading

from twofold.serving.state import SharedState
from twofold.types import Json


def test_a_look_that_hangs_is_not_ready_holds_one_thread_and_ends() -> None:
    """Else a few calls of /readyz, which needs no key, would hold all threads of the server."""
    released, looks = threading.Event(), []

    def state() -> Json:
        looks.append(1)
        released.wait(30)
        return {"ready": True, "faults": [], "remarks": []}

    async def asked() -> None:
        shared = SharedState(state, seconds=0.05)
        for hanging in await asyncio.gather(*(shared.state() for _ in range(20))):
            assert (hanging["ready"], hanging["faults"][0]["code"]) == (False, "serving.down")
        assert len(looks) == 1
        released.set()
        while not (await shared.state())["ready"]:
            await asyncio.sleep(0.01)
        # Every later call looks again: the state of before is not repeated.
        before = len(looks)
        assert (await shared.state())["ready"]
        assert len(looks) == before + 1

    asyncio.run(asked())
