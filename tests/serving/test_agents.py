"""The official SDK's client over HTTP: the tools, with the server's keys, for each caller what they may see."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from serving_process import Running, served

from twofold.serving.agents import Agents
from twofold.serving.keys import KEYS, Keys
from twofold.serving.limits import USE, UseLedger

if TYPE_CHECKING:
    from mcp.client.client import Client

PARKING = "Parking costs 4 euros a day. It is free on Sunday."
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "fetch", "arguments": {"document": "secret"}},
}
ACCEPT = {"accept": "application/json, text/event-stream"}


@asynccontextmanager
async def agent(server: Running, key: str = "", *, mode: Any = "auto", **headers: str) -> AsyncIterator[Client]:
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    if key:
        headers["authorization"] = f"Bearer {key}"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as web,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=web), mode=mode) as client,
    ):
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    return result.content[0].text if result.is_error else result.structured_content  # type: ignore[union-attr]


def within(server: Running, work: Callable[[Client], Awaitable[Any]], key: str = "", *, mode: Any = "auto") -> Any:
    async def run() -> Any:
        async with agent(server, key, mode=mode) as client:
            return await work(client)

    return asyncio.run(run())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_searches_fetches_asks_and_lists(server: Running, mode: str) -> None:
    async def work(client: Client) -> None:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"search", "fetch", "ask", "sources"}
        first = (await call(client, "search", query="What does parking cost?"))["results"][0]
        assert first["document"] == "parking"
        assert (await call(client, "fetch", document="parking"))["text"] == PARKING
        parking, canteen = await asyncio.gather(
            call(client, "ask", question="What does parking cost?"),
            call(client, "ask", question="When does the canteen open?"),
        )
        assert "4 euros" in parking["answer"]
        assert [(one["document"], one["quote"]) for one in parking["citations"]] == [
            ("parking", "Parking costs 4 euros a day")
        ]
        assert "seven" in canteen["answer"]
        assert sum(one["documents"] for one in (await call(client, "sources"))["sources"]) == 2
        assert "no document 'nowhere'" in await call(client, "fetch", document="nowhere")
        assert "config.filter" in await call(client, "search", query="parking", where=["colour ~~ red"])

    within(server, work, mode=mode)


def test_a_server_that_no_agent_asks_does_not_import_the_protocol() -> None:
    program = (
        "import sys, twofold.serving.app, twofold.serving.running; print(sorted({'mcp', 'fastapi'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['fastapi']"


def test_a_protocol_that_does_not_start_is_an_error_of_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else requests would wait for it for ever."""
    service: Any = SimpleNamespace(project=SimpleNamespace(config=SimpleNamespace(project=SimpleNamespace(name="p"))))
    service.arms = None

    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        raise OSError("no more tasks")
        yield

    agents = Agents(service, most=1000)
    monkeypatch.setattr(agents, "_new_manager", lambda: SimpleNamespace(run=run))

    async def requests() -> None:
        app: Any = None
        async with agents.running(app):
            for _ in range(2):
                with pytest.raises(OSError, match="no more tasks"):
                    await asyncio.wait_for(agents.manager(), 5)

    asyncio.run(requests())


def test_its_answers_are_counted(server: Running) -> None:
    def answers() -> float:
        with server.client() as client:
            rows = client.get("/metrics").text.splitlines()
        return sum(float(row.rpartition(" ")[2]) for row in rows if row.startswith("twofold_answers_total"))

    before = answers()
    within(server, lambda client: call(client, "ask", question="What does parking cost?"))
    assert answers() == before + 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_each_call_sees_what_its_own_key_may_see(closed: Path, mode: str, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(closed, tmp_path / "p"))
    keys = Keys(directory / KEYS)
    ann, bob = (keys.add(name, user=name, groups=["staff"]) for name in ("ann", "bob"))

    async def work() -> None:
        async with agent(server, ann[1], mode=mode) as first, agent(server, bob[1], mode=mode) as second:
            for _ in range(3):  # by turns and at once
                hers, his = await asyncio.gather(
                    call(first, "fetch", document="secret"), call(second, "fetch", document="secret")
                )
                assert "900" in hers["text"]
                assert his.endswith("there is no document 'secret'. Name one that search or ask gave.")
            assert "900" in str(await call(first, "ask", question="What is Ann paid?"))
            for tool, asked in (("ask", "question"), ("search", "query")):
                assert "900" not in str(await call(second, tool, **{asked: "What is Ann paid?"}))
            counts = [(await call(one, "sources"))["sources"][0]["documents"] for one in (first, second)]
            assert counts == [2, 1]
            keys.revoke(ann[0].id)
            with pytest.raises(Exception, match="Server returned an error response"):
                await call(first, "fetch", document="secret")
            assert "Tea" in (await call(second, "fetch", document="open"))["text"]

    with served(directory, "--arm", "rag", "--unmeasured") as server:
        asyncio.run(work())
        with server.client(bob[1]) as client:
            # There is no session to take over: none is named, and the name of one changes nothing.
            client.headers.update(ACCEPT)
            reply = client.post("/mcp", json=CALL)
            assert "mcp-session-id" not in reply.headers
            taken = client.post("/mcp", json=CALL, headers={"mcp-session-id": "0" * 32})
            assert "900" not in reply.text + taken.text
            assert "there is no document" in taken.text
        with server.client() as client:
            client.headers.update(ACCEPT)
            missing = client.post("/mcp", json=CALL)
            assert (missing.status_code, missing.headers["www-authenticate"]) == (401, "Bearer")
            assert client.post("/mcp", json=CALL, headers={"authorization": f"Bearer {ann[1]}"}).status_code == 401


@pytest.mark.parametrize(
    ("status", "method", "options"),
    [
        (403, "POST", {"json": CALL, "headers": {**ACCEPT, "origin": "https://elsewhere.example"}}),
        (403, "POST", {"json": CALL, "headers": {**ACCEPT, "host": "elsewhere.example"}}),
        (405, "GET", {"headers": ACCEPT}),
        (405, "DELETE", {}),
        (406, "POST", {"json": CALL, "headers": {"accept": "text/plain"}}),
        (400, "POST", {"content": b"{", "headers": {**ACCEPT, "content-type": "application/json"}}),
        (400, "POST", {"json": [CALL] * 3, "headers": ACCEPT}),
        (413, "POST", {"content": b" " * (20 * 1024 * 1024), "headers": ACCEPT}),
    ],
)
def test_what_is_no_message_of_an_agent_is_refused(
    server: Running, status: int, method: str, options: dict[str, Any]
) -> None:
    with server.client() as client:
        assert client.request(method, "/mcp", **options).status_code == status


def test_an_agent_that_leaves_frees_its_place(project_copy: Path) -> None:
    slow = ("--set", "generation.generator.options.word_seconds=0.5", "--unmeasured")
    ask = {**CALL, "params": {"name": "ask", "arguments": {"question": "What does parking cost?"}}}
    with served(project_copy, *slow) as server, server.client() as client:
        client.headers.update(ACCEPT)
        client.post("/mcp", json=CALL)  # the first request imports the protocol's package, which nobody can leave
        with pytest.raises(httpx.ReadTimeout):
            client.post("/mcp", json=ask, timeout=1)
        begun = time.monotonic()
        while "twofold_requests_running 1.0" not in client.get("/metrics").text:  # that of the metrics themselves
            assert time.monotonic() - begun < 2, "the answer goes on though nobody waits"
            time.sleep(0.05)


def test_an_agent_that_leaves_has_used_what_was_read(project_copy: Path) -> None:
    slow = ("--set", "generation.generator.options.word_seconds=1.0", "--unmeasured")
    ask = {**CALL, "params": {"name": "ask", "arguments": {"question": "What does parking cost?"}}}
    key, token = Keys(project_copy / KEYS).add("leaving")
    with served(project_copy, *slow) as server, server.client(token) as client:
        client.headers.update(ACCEPT)
        client.post("/mcp", json=CALL)  # imports the protocol's package, which takes longer on a busy machine
        with pytest.raises(httpx.ReadTimeout):
            client.post("/mcp", json=ask, timeout=3)  # on a busy machine nothing is written in the first second
        used, ledger = f"key:{key.id}", UseLedger(project_copy / USE)
        end = time.monotonic() + 10
        while "tokens" not in ledger.used().get(used, {}):
            assert time.monotonic() < end, "who leaves pays nothing"
            time.sleep(0.05)
        assert ledger.used()[used]["tokens"].spent > 20
