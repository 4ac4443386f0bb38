"""One server answers with several arms and tuned models, each by its name, and follows aliases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving_process import Running, served
from test_exchange import steady

from lazily import Lazily
from twofold.project import Project

openai = Lazily("openai")
CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "What does parking cost?"}]


@pytest.fixture(scope="module")
def both(measured: Path) -> Iterator[Running]:
    """A server of the verdict's arm and of another."""
    with served(measured, "--set", 'serving.arms=["base"]') as running:
        yield running


def answer(client: httpx.Client, model: str) -> dict[str, Any]:
    reply = client.post(CHAT, json={"model": model, "messages": USER})
    assert reply.status_code == 200, reply.text
    return {**reply.json()["twofold"], "text": reply.json()["choices"][0]["message"]["content"]}


def waited(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_default_is_the_verdicts_and_each_arm_answers_by_its_name(both: Running) -> None:
    with openai.OpenAI(base_url=f"{both.url}/v1", api_key="none", max_retries=0) as client:
        rows = [row.model_dump() for row in client.models.list()]
        shown = [(row["id"], row["default"], row["measured"], row["loaded"]) for row in rows]
        # The echo generator is the same for both arms: so is its batch.
        assert shown == [("rag", True, True, True), ("base", False, True, True)]
        assert both.ready["model"]["id"] == "rag"
        arms = {}
        for name in ("rag", "base", "default"):
            completion = client.chat.completions.create(model=name, messages=USER)
            assert completion.model == name
            arms[name] = completion.twofold["arm"], bool(completion.choices[0].message.citations)
        assert arms == {"rag": ("rag", True), "base": ("base", False), "default": ("rag", True)}
        with pytest.raises(openai.NotFoundError) as refused:
            client.chat.completions.create(model="ft", messages=USER)
    assert refused.value.code == "serving.missing"
    assert "Ask one of these models: rag, base, default." in refused.value.message


def test_an_arm_of_a_further_model_is_served_by_its_whole_name(measured: Path) -> None:
    further = ("--set", 'models.big.generator={name="echo", options={mode="fixed", fixed="from big"}}')
    with (
        served(measured, *further, "--set", 'serving.arms=["big/base"]', "--unmeasured") as running,
        running.client() as client,
    ):
        assert [row["id"] for row in client.get("/v1/models").json()["data"]] == ["rag", "big/base"]
        assert client.get("/v1/models/big/base").json()["arm"] == "big/base"
        replies = {name: answer(client, name) for name in ("rag", "big/base")}
    assert replies["big/base"]["text"] == "from big"
    assert replies["big/base"]["arm"] == "big/base"
    assert replies["rag"]["text"].startswith("Parking costs 4 euros")


@pytest.mark.parametrize(
    ("address", "body"),
    [
        (CHAT, {"messages": USER}),
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/responses", {"input": "x"}),
        ("/v1/retrieve", {"query": "x"}),
    ],
)
def test_an_unknown_model_is_a_404_that_lists_what_is_served(both: Running, address: str, body: dict[str, Any]) -> None:
    with both.client() as client:
        refused = client.post(address, json={**body, "model": "gpt-4o"})
        assert (refused.status_code, refused.json()["error"]["type"]) == (404, "not_found_error")
        assert "rag, base, default" in refused.json()["error"]["message"]


def test_a_search_is_an_arms_own(both: Running) -> None:
    with both.client() as client:
        rows = client.post("/v1/retrieve", json={"query": "What does parking cost?", "model": "rag"}).json()["data"]
        assert rows[0]["document"] == "parking"
        refused = client.post("/v1/retrieve", json={"query": "What does parking cost?", "model": "base"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "serving.missing")


def test_only_what_is_named_is_served_and_all_of_it_must_be_measured(tuned: tuple[Path, str, str]) -> None:
    directory, _, second = tuned
    with pytest.raises(AssertionError, match="not measured"), served(directory, "--arm", "rag", "--model", second):
        pass
    with served(directory, "--arm", "base", "--model", second, "--unmeasured") as server, server.client() as client:
        rows = client.get("/v1/models").json()["data"]
        assert [(row["id"], row["arm"], row["measured"]) for row in rows] == [
            ("base", "base", True),
            (second, "ft+rag", False),
        ]
        assert answer(client, second[6:18])["model"] == second  # the short id
        assert second in client.get("/readyz").json()["remarks"][0]


def test_an_alias_is_followed_and_rolled_back_while_requests_run(tuned: tuple[Path, str, str]) -> None:
    directory, first, second = tuned
    with served(directory, "--unmeasured") as server, server.client() as client:
        rows = {row["id"]: row for row in client.get("/v1/models").json()["data"]}
        assert [(row["id"], row["arm"], row["model"], row["loaded"]) for row in rows.values()] == [
            ("rag", "rag", "", True),
            ("champion", "ft+rag", first, False),
        ]
        with steady(server, "champion") as statuses, Project.open(directory) as project:
            assert answer(client, "champion")["model"] == first
            project.models.registry.promote(second)
            waited(lambda: answer(client, "champion")["model"] == second)
            project.models.registry.rollback()
            waited(lambda: answer(client, "champion")["model"] == first)
        assert answer(client, first)["text"] == answer(client, "champion")["text"]
    assert set(statuses) == {200}
    assert len(statuses) > 4


def test_an_alias_that_was_not_measured_is_not_served_and_readyz_says_so(tuned: tuple[Path, str, str]) -> None:
    directory, first, second = tuned
    with served(directory) as server, server.client() as client:
        assert answer(client, "champion")["measured"] is True
        with Project.open(directory) as project:
            project.models.registry.promote(second)
            waited(lambda: len(client.get("/v1/models").json()["data"]) == 1)
            (remark,) = client.get("/readyz").json()["remarks"]
            assert remark.startswith("the model champion is not served: champion is not measured")
            project.models.registry.rollback()
            waited(lambda: len(client.get("/v1/models").json()["data"]) == 2)
        assert answer(client, "champion")["model"] == first


def test_the_index_changes_while_requests_run(project_copy: Path) -> None:
    with served(project_copy) as server, server.client() as client, steady(server, "rag") as statuses:
        for number in range(5):
            document = {"id": "sauna", "text": f"The sauna is heated to {80 + number} degrees."}
            client.put("/v1/documents", json=document).raise_for_status()
            (row,) = client.post("/v1/retrieve", json={"query": "sauna degrees", "k": 1}).json()["data"]
            assert row["text"] == document["text"]
        client.delete("/v1/documents/sauna").raise_for_status()
        assert client.get("/v1/models/rag").json()["later_index"] is False  # its content is as measured again
    assert set(statuses) == {200}
