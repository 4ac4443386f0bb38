"""Conversations over HTTP: what may come, what comes back from the official client, and what is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_process import Running, served

from lazily import Lazily
from twofold.errors import BadRequest
from twofold.serving import conversation
from twofold.serving.bodies import ChatMessage

openai = Lazily("openai")
PARKING, SUNDAY = "What does parking cost?", "and on Sunday?"
FREE = "It is free on Sunday. [1]"
ASKED = {"role": "user", "content": PARKING}
AGAIN = {"role": "user", "content": SUNDAY}
COST = {"role": "assistant", "content": "4 euros a day"}
TWO_PARTS = [{"type": "text", "text": "What does"}, {"type": "text", "text": "parking cost?"}]
SYSTEM = {"role": "system", "content": "Be kind."}
PICTURE = {"type": "image_url", "image_url": {"url": "http://elsewhere.example/x.png"}}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.mark.parametrize(
    "messages",
    [
        [ASKED, COST, AGAIN],
        [COST, ASKED, AGAIN],
        [ASKED, AGAIN],
        [ASKED, COST, COST, AGAIN],
        [ASKED, {**COST, "content": ""}, AGAIN],
        [{"role": "user", "content": TWO_PARTS}, COST, {**AGAIN, "name": "ann"}],
        [ASKED, {**COST, "refusal": None, "tool_calls": None, "audio": None, "function_call": None}, AGAIN],
    ],
)
def test_every_order_of_turns_that_ends_with_a_question_is_answered(client: openai.OpenAI, messages: Any) -> None:
    assert client.chat.completions.create(model="rag", messages=messages).choices[0].message.content == FREE


@pytest.mark.parametrize(
    ("messages", "param", "words"),
    [
        ([], "messages", "it is empty. Send at least one."),
        ([ASKED, COST], "messages", "the last message must be the user's"),
        ([{"role": "user", "content": " \n"}], "messages.0.content", "empty"),
        ([{"role": "user", "content": []}], "messages.0.content", "empty"),
        ([SYSTEM, ASKED], "messages.0", "system message would change the prompt"),
        ([{**SYSTEM, "role": "developer"}, ASKED], "messages.0", "system message would change the prompt"),
        ([ASKED, COST, SYSTEM, AGAIN], "messages.2", "system message would change the prompt"),
        ([{"role": "root", "content": "x"}], "messages.0.role", "'system', 'developer', 'user' or 'assistant'"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}, PICTURE]}], "messages.0.content.1", "pictures"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages.0.content.0", "sound is not supported"),
        ([{"role": "user", "content": [{"type": "file"}]}], "messages.0.content.0", "files are not supported"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages.0.content.0.text", "required"),
        ([ASKED, {"role": "assistant", "content": None, "tool_calls": [CALL]}, AGAIN], "messages.1", "tools are not"),
        ([ASKED, {"role": "tool", "tool_call_id": "a", "content": "5"}, AGAIN], "messages.1", "tools are not"),
        ([ASKED, {**COST, "reasoning_content": "hm"}, AGAIN], "messages.1.reasoning_content", "unsupported"),
        ([ASKED, {"role": "assistant"}, AGAIN], "messages.1.content", "required"),
        (["hello"], "messages.0", "it is no object. Send an object"),
        ([ASKED, COST] * 500 + [AGAIN], "messages", "Send at most 1000 at once."),
    ],
)
def test_what_cannot_be_taken_is_named(client: openai.OpenAI, messages: Any, param: str, words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as refusal:
        client.chat.completions.create(model="rag", messages=messages)
    assert refusal.value.param == param


def test_an_answer_comes_back_as_the_client_has_it(client: openai.OpenAI) -> None:
    messages: list[Any] = [ASKED]
    messages += [client.chat.completions.create(model="rag", messages=messages).choices[0].message, AGAIN]
    assert client.chat.completions.create(model="rag", messages=messages).choices[0].message.content == FREE
    items: list[Any] = [ASKED]
    items += [*client.responses.create(model="rag", input=items).output, AGAIN]
    assert client.responses.create(model="rag", input=items).output_text == FREE
    items[1] = items[1].model_dump()
    assert client.responses.create(model="rag", input=items).output_text == FREE
    with client.responses.stream(model="rag", input=items) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == FREE


def test_the_marks_of_an_earlier_answer_are_no_part_of_the_conversation() -> None:
    turns = [
        ChatMessage(role="user", content="Is [1] a mark? [1]"),
        ChatMessage(role="assistant", content="See [2] there. [1] [3]"),
        ChatMessage(role="user", content="And [3]? [3]"),
    ]
    example = conversation.example(turns, system_prompt=False)
    assert [turn.content for turn in example.messages] == ["Is [1] a mark? [1]", "See [2] there.", "And [3]? [3]"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"instructions": "Be kind."}, "instructions"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "5"}]}, "input.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input.0.content.0"),
        ({"input": ""}, "input.0.content"),
        ({"input": []}, "input"),
    ],
)
def test_what_a_response_cannot_have_is_named(client: openai.OpenAI, more: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.create(**{"model": "rag", "input": PARKING, **more})
    assert refusal.value.param == param


def test_models_and_vectors_by_the_official_client(client: openai.OpenAI) -> None:
    assert client.models.retrieve("rag").id == "rag"
    for name in ("gpt-4", "a/b"):
        with pytest.raises(openai.NotFoundError, match="is not served"):
            client.models.retrieve(name)
    size = len(client.embeddings.create(model="hashing", input=PARKING).data[0].embedding)
    for form in ("float", "base64"):
        made = client.embeddings.create(model="hashing", input=[PARKING, SUNDAY], encoding_format=form, dimensions=size)
        assert [row.index for row in made.data] == [0, 1]
    faults: list[tuple[dict[str, Any], str]] = [
        ({"dimensions": size + 1}, "dimensions"),
        ({"input": [1, 2]}, "input.0"),
        ({"input": []}, "input"),
        ({"input": ["x", " "]}, "input.1"),
    ]
    for more, param in faults:
        with pytest.raises(openai.BadRequestError) as refusal:
            client.embeddings.create(**{"model": "hashing", "input": PARKING, **more})
        assert refusal.value.param == param


def test_a_system_prompt_is_taken_where_the_settings_allow_it(project_copy: Path) -> None:
    allowed = ("--set", "serving.system_prompt=true", "--unmeasured")
    with served(project_copy, *allowed) as server, openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        for first in (SYSTEM, {**SYSTEM, "role": "developer"}):
            messages: Any = [first, ASKED]
            reply = client.chat.completions.create(model="rag", messages=messages)
            assert reply.choices[0].message.content == "Parking costs 4 euros a day. [1]"
        late: Any = [ASKED, COST, SYSTEM, AGAIN]
        with pytest.raises(openai.BadRequestError, match="a system message must be the first"):
            client.chat.completions.create(model="rag", messages=late)
        assert client.responses.create(model="rag", input=PARKING, instructions="Be kind.").output_text


def test_an_example_needs_a_question() -> None:
    with pytest.raises(BadRequest, match="the last message must be the user's"):
        conversation.example([ChatMessage(role="assistant", content="x")], system_prompt=False)
