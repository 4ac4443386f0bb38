"""The official SDK's client over standard input and output, as an agent's program starts the command."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forked import Nursery
from twofold import __version__
from twofold.cli.main import main
from twofold.errors import GenerationError, PartDown
from twofold.project import Project
from twofold.serving import mcp
from twofold.serving.arms import ServedArms
from twofold.serving.batches import RunningBatches
from twofold.serving.mcp import Tools, built
from twofold.serving.served import Served

if TYPE_CHECKING:
    from mcp.client.client import Client

PARKING = "Parking costs 4 euros a day. It is free on Sunday."


COMMAND = Path(__file__).parents[1] / "forked_command.py"


def talk(
    directory: Path,
    words: list[str],
    work: Callable[[Client], Awaitable[Any]],
    *,
    named: str = "",
    nursery: Nursery | None = None,
) -> Any:
    """Have the work done by a client of the command, which is forked where there is a nursery."""
    from mcp import StdioServerParameters
    from mcp.client.client import Client

    program = ["-IS", str(COMMAND), str(nursery.address)] if nursery else ["-m", "twofold"]
    command = [*program, "mcp", "-C", named or str(directory), *words]
    server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ), cwd=directory)

    async def run() -> Any:
        async with Client(server, read_timeout_seconds=120) as client:
            return await work(client)

    return asyncio.run(run())


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    return result.content[0].text if result.is_error else result.structured_content  # type: ignore[union-attr]


def test_the_sdk_does_not_configure_the_log_of_the_process(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    # As in a process of its own: the SDK configures a log that has no handler.
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    with Project.open(measured) as project, RunningBatches(1) as batches:
        arms = Served(project, lambda: ServedArms(project, batches))
        try:
            assert built(Tools(project, arms, lambda: None), name="p").name == "p"
        finally:
            arms.close()
    assert (root.handlers, root.level) == ([], level)


def test_an_agent_searches_fetches_asks_and_lists(measured: Path) -> None:
    async def work(client: Client) -> None:
        listed = await client.list_tools()
        assert {tool.name for tool in listed.tools} == {"search", "fetch", "ask", "sources"}
        assert all(tool.description for tool in listed.tools)
        first = (await call(client, "search", query="What does parking cost?"))["results"][0]
        assert first["document"] == "parking"
        whole = await call(client, "fetch", document=first["document"])
        assert (whole["title"], whole["text"]) == ("On parking", PARKING)
        assert whole["text"][first["start"] : first["end"]] == first["text"]
        answers = await asyncio.gather(
            *(call(client, "ask", question="What does parking cost?") for _ in range(4)),
            call(client, "ask", question="When does the canteen open?"),
        )
        assert all("4 euros" in one["answer"] and one["origin"]["measured"] for one in answers[:4])
        assert [one["document"] for one in answers[0]["citations"]] == ["parking"]
        assert "seven" in answers[4]["answer"]
        listed_sources = (await call(client, "sources"))["sources"]
        assert sum(one["documents"] for one in listed_sources) == 2
        assert all(one["name"] for one in listed_sources)

    talk(measured, [], work)


def test_its_name_is_the_project_s_also_from_the_project_s_own_directory(measured: Path, nursery: Nursery) -> None:
    async def work(client: Client) -> None:
        assert (client.server_info.name, client.server_info.version) == ("twofold project", __version__)

    talk(measured, [], work, named=".", nursery=nursery)


def test_what_cannot_be_done_is_an_error_with_its_cure(measured: Path, nursery: Nursery) -> None:
    async def work(client: Client) -> None:
        assert "no document 'nowhere'" in await call(client, "fetch", document="nowhere")
        told = await call(client, "search", query="parking", where=["colour ~~ red"])
        assert "config.filter" in told
        assert "Write what is asked" in await call(client, "search", query=" ")
        assert "Write what is asked" in await call(client, "ask", question="")
        assert "at most 20" in await call(client, "ask", question="parking", where=["a = 1"] * 21)
        assert await call(client, "search") == "query: it is missing, and required. Send it."
        assert await call(client, "search", query=["a"]) == "query: it is no string. Send a string in quotes."
        assert (
            await call(client, "search", query="a", k=1.5)
            == "k: it is no whole number. Send a whole number without quotes."
        )
        assert "where.0: it is no string" in await call(client, "ask", question="a", where=[1])
        assert await call(client, "ask", question="a", filter=["a = 1"]) == (
            "filter: unknown argument. ask takes these: question, where."
        )
        assert await call(client, "sources", all=True) == "all: unknown argument. sources takes these: none."
        assert await call(client, "delete", document="a") == (
            "there is no tool 'delete'. Call one of these: search, fetch, ask, sources."
        )
        assert (await call(client, "search", query="parking"))["results"], "the server goes on"

    talk(measured, [], work, nursery=nursery)


def test_an_agent_is_told_when_to_come_back_for_it_sees_no_headers(measured: Path, nursery: Nursery) -> None:
    async def work(client: Client) -> None:
        answers = await asyncio.gather(*(call(client, "ask", question="What does parking cost?") for _ in range(2)))
        (refused,) = (answer for answer in answers if isinstance(answer, str))
        assert refused.endswith("(serving.busy). Call it again after 1 s.")

    words = ["--set", "serving.queue=1", "--set", "generation.generator.options.word_seconds=0.1", "--unmeasured"]
    talk(measured, words, work, nursery=nursery)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([KeyboardInterrupt()], (130, "stopped: ")),
        ([GenerationError("no memory"), KeyboardInterrupt()], (130, "error: no memory", "stopped: ")),
        ([PartDown("the index is down"), GenerationError("no memory")], (3, "error: no memory", "error: the index is")),
        ([OSError(28, "No space left")], (3, "error: the system refuses: No space left", "help: ")),
    ],
    ids=["signal", "signal and error", "two errors", "error"],
)
def test_a_signal_in_a_task_of_the_protocol_is_no_fault_and_no_error_is_lost(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], errors: Any, expected: Any
) -> None:
    class Raising:
        def run(self) -> None:
            raise BaseExceptionGroup("unhandled errors", [BaseExceptionGroup("", errors[:1]), *errors[1:]])

    code, *lines = expected
    monkeypatch.setattr(mcp, "built", lambda *_, **__: Raising())
    assert main(["mcp", "-C", str(measured)]) == code
    printed = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert [line[: len(start)] for line, start in zip(printed, lines, strict=False)] == lines, printed


def test_an_agent_sees_what_its_principal_may_see(closed: Path, nursery: Nursery) -> None:
    async def stranger(client: Client) -> None:
        secret = await call(client, "fetch", document="secret")
        assert secret == (await call(client, "fetch", document="secre")).replace("'secre'", "'secret'")
        assert {one["document"] for one in (await call(client, "search", query="Ann is paid coins"))["results"]} <= {
            "open"
        }
        assert sum(one["documents"] for one in (await call(client, "sources"))["sources"]) == 1
        assert "900" not in str(await call(client, "ask", question="What is Ann paid?"))

    async def ann(client: Client) -> None:
        assert "900" in (await call(client, "fetch", document="secret"))["text"]
        assert "900" in str(await call(client, "ask", question="What is Ann paid?"))

    talk(closed, ["--arm", "rag", "--unmeasured", "--user", "bob", "--group", "staff"], stranger, nursery=nursery)
    talk(closed, ["--arm", "rag", "--unmeasured", "--user", "ann", "--group", "staff"], ann, nursery=nursery)
