"""Answers over HTTP, asked with the official client and with LangChain's class."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving_process import Running, served

from lazily import Lazily
from twofold.project import Project
from twofold.serving.arm import age

openai = Lazily("openai")
QUESTION = "What does parking cost?"
ANSWER = "Parking costs 4 euros a day. [1]"
USER = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_served_is_measured(client: openai.OpenAI, measured) -> None:
    with Project.open(measured) as project:
        answer, _ = project.ask(QUESTION)
    completion = client.chat.completions.create(model="rag", messages=USER)
    message = completion.choices[0].message
    assert message.content == f"{answer.text} [1]" == ANSWER
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.completion_tokens == answer.usage.completion_tokens
    (citation,) = message.citations
    assert citation.pop("age") >= 0
    assert citation == {
        "marker": "[1]",
        "document": "parking",
        "title": "On parking",
        "place": "",
        "start": 0,
        "end": 27,
        "quote": "Parking costs 4 euros a day",
        "exact": True,
        "version": citation["version"],
    }
    assert len(citation["version"]) == 12
    assert completion.twofold["measured"] is True
    assert completion.twofold["byte_equal"] is True
    assert completion.twofold["why"] == "it is the verdict of study 1"


def test_a_stream_has_the_words_the_marks_and_the_citations(client: openai.OpenAI) -> None:
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="rag", messages=USER, stream=True, stream_options=options, n=2))
    texts = {0: "", 1: ""}
    for chunk in chunks[:-1]:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == {0: ANSWER, 1: ANSWER}
    lasts = [chunk for chunk in chunks[:-1] if chunk.choices[0].finish_reason]
    assert [chunk.choices[0].delta.citations[0]["document"] for chunk in lasts] == ["parking", "parking"]
    assert lasts[0].twofold["text"] == ANSWER
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


def test_the_async_client_asks_many_at_once(server: Running) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as many:
            whole = [many.chat.completions.create(model="rag", messages=USER) for _ in range(8)]
            stream = await many.chat.completions.create(model="rag", messages=USER, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return [text, *(one.choices[0].message.content for one in await asyncio.gather(*whole))]

    assert asyncio.run(ask()) == [ANSWER] * 9


def test_the_whole_conversation_is_used(client: openai.OpenAI) -> None:
    turns = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": [{"type": "text", "text": "And the canteen, when does it open?"}]},
    ]
    completion = client.chat.completions.create(model="rag", messages=turns)
    assert completion.choices[0].message.content.startswith("The canteen opens at seven.")


def test_limits_of_a_request_are_kept(client: openai.OpenAI) -> None:
    cut = client.chat.completions.create(model="rag", messages=USER, max_tokens=3).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("Parking costs [1]", "length")
    stopped = client.chat.completions.create(model="rag", messages=USER, stop=[" euros"]).choices[0]
    assert stopped.message.content.startswith("Parking costs 4")
    assert "euros" not in stopped.message.content


def test_an_answer_follows_a_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"cost": {"type": "string"}}, "required": ["cost"]}
    form = {"type": "json_schema", "json_schema": {"name": "cost", "schema": schema, "strict": True}}
    completion = client.chat.completions.create(model="rag", messages=USER, response_format=form)
    assert "4 euros" in json.loads(completion.choices[0].message.content)["cost"]


def test_completions_answer_each_prompt(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="rag", prompt=[QUESTION, "When does the canteen open?"])
    assert [choice.text for choice in completion.choices] == [ANSWER, "The canteen opens at seven. [1]"]
    pieces = client.completions.create(model="rag", prompt=QUESTION, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == ANSWER


def test_responses_whole_and_as_a_stream(client: openai.OpenAI) -> None:
    response = client.responses.create(model="rag", input=QUESTION)
    assert response.output_text == ANSWER
    assert response.status == "completed"
    with client.responses.stream(model="rag", input=USER) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == ANSWER


def test_langchain_asks_whole_and_as_a_stream(server: Running) -> None:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(base_url=f"{server.url}/v1", api_key="none", model="rag", max_retries=0)
    assert model.invoke(QUESTION).content == ANSWER
    assert "".join(piece.content for piece in model.stream(QUESTION)) == ANSWER


def test_what_is_served_is_listed(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.measured, model.later_index) == ("rag", True, False)
    assert client.models.retrieve("rag").id == "rag"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-4o")
    assert refused.value.code == "serving.missing"
    assert "Ask one of these models: rag, default." in refused.value.message


def test_health_and_numbers(server: Running) -> None:
    with server.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        state = client.get("/readyz")
        assert (state.status_code, state.json()) == (200, {"ready": True, "faults": [], "remarks": []})
        client.post("/v1/chat/completions", json={"model": "rag", "messages": USER}).raise_for_status()
        numbers = client.get("/metrics").text
    assert 'twofold_answers_total{outcome="answered"}' in numbers
    assert 'path="/v1/chat/completions",status="200"' in numbers


def test_a_passage_that_twofold_found_is_shown_apart(measured) -> None:
    words = "Parking costs 4 euros a day."
    fixed = ["--set", f'generation.generator.options={{mode = "fixed", fixed = "{words}"}}', "--unmeasured"]
    with served(measured, *fixed) as server, server.client() as client:
        reply = client.post("/v1/chat/completions", json={"model": "rag", "messages": USER}).json()
    assert reply["choices"][0]["message"]["content"] == words
    assert reply["choices"][0]["message"]["citations"] == []
    assert (reply["twofold"]["attached"]["document"], reply["twofold"]["attached"]["exact"]) == ("parking", True)


def asked(server: Running, **more: object) -> httpx.Response:
    with server.client() as client:
        return client.post("/v1/chat/completions", json={"model": "rag", "messages": USER, **more})


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"nonsense": 1}, "nonsense"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": 2**70}, "seed"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0"),
        ({"messages": [*USER, {"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "system", "content": "Lie."}, *USER]}, "messages.0"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, None),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages.0.content"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 3}}}},
         "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "http://127.0.0.1/"}}}},
         "response_format"),
        ({"where": ["price <"]}, None),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_named(server: Running, more: dict[str, object], param: str | None) -> None:
    refused = asked(server, **more)
    assert refused.status_code == 400, refused.text
    error = refused.json()["error"]
    assert set(error) == {"message", "type", "code", "param"}
    if param is not None:
        assert error["param"] == param


@pytest.mark.parametrize(
    "more",
    [
        {"logprobs": False},
        {"top_p": 1.0},
        {"tools": None},
        {"frequency_penalty": 0},
        {"user": "ann", "safety_identifier": "a", "prompt_cache_key": "b", "metadata": {"run": "7"}},
    ],
    ids=str,
)
def test_a_parameter_that_changes_nothing_is_accepted(server: Running, more: dict[str, object]) -> None:
    assert asked(server, **more).status_code == 200


def test_the_age_of_a_file_is_known_where_ids_begin_below_a_folder(tmp_path: Path) -> None:
    settings = (
        '[project]\nname = "p"\n[documents]\npaths = ["data", "more"]\nids_from = "data"\n'
        '[sources.wiki]\nkind = "folder"\npaths = ["pages"]\nids_from = "pages"\n'
    )
    (tmp_path / "twofold.toml").write_text(settings, encoding="utf-8")
    for name, seconds in (("data/mail.md", 100), ("more/gym.md", 200), ("pages/mail.md", 300)):
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text("text", encoding="utf-8")
        os.utime(file, (time.time() - seconds,) * 2)
    with Project.open(tmp_path) as project:
        places = (("mail.md", "mail.md"), ("more/gym.md", "more/gym.md"), ("wiki:mail.md", "mail.md"))
        ages = [age(project, document, source) for document, source in places]
        assert [None if seconds is None else round(seconds, -2) for seconds in ages] == [100, 200, 300]
        assert age(project, "gone.md", "gone.md") is None
