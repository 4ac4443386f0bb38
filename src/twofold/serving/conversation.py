"""A request's messages → the example that is answered, and its overrides. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from twofold.assembly import schemas
from twofold.errors import BadRequest, ConfigError
from twofold.serving.bodies import ChatBody, ChatMessage, CompletionBody, ResponseBody
from twofold.serving.dispatch import Overrides
from twofold.types import Example, Json, Message, Role

_MARKS = re.compile(r"(?: \[[0-9]+\])+\Z")
"""The marks that follow an answer's text; see `replies.Reply.marks`."""
ANY_OBJECT: Json = {"type": "object"}
"""The schema of the response format ``json_object``."""


def bad(message: str, param: str, *, cure: str | None = None) -> BadRequest:
    """A `BadRequest` about a parameter."""
    error = BadRequest(message, cure=cure)
    error.param = param
    return error


def system_refused(param: str) -> BadRequest:
    """A `BadRequest` about a system message where none is allowed."""
    return bad(
        "a system message would change the prompt that was measured, and is refused",
        param,
        cure="Leave the system message out, or set [serving].system_prompt = true in twofold.toml.",
    )


def example(messages: Sequence[ChatMessage], *, system_prompt: bool, param: str = "messages") -> Example:
    """The whole conversation as an example.

    Args:
        messages: As the caller sent them.
        system_prompt: A system message is allowed.
        param: Name of the parameter, for errors.

    Raises:
        BadRequest: a system message is not allowed or not the first, or the last message is not the user's.
    """
    turns: list[Message] = []
    for number, message in enumerate(messages):
        role: Role = "system" if message.role in ("system", "developer") else message.role  # type: ignore[assignment]
        if role == "system" and not system_prompt:
            raise system_refused(f"{param}.{number}")
        if role == "system" and number:
            raise bad("a system message must be the first", f"{param}.{number}", cure="Put it before all others.")
        turns.append(Message(role=role, content=text_of(message)))
    if not turns or turns[-1].role != "user":
        raise bad("the last message must be the user's", param, cure="End the conversation with the question.")
    if not turns[-1].content.strip():
        raise bad("the question is empty", f"{param}.{len(turns) - 1}.content", cure="Write a question.")
    return Example(id="live", messages=tuple(turns), references=(), group="live")


def text_of(message: ChatMessage) -> str:
    """The text of a message, its parts joined; of an earlier answer without the marks that it ends with."""
    parts = message.content if isinstance(message.content, str) else "\n".join(part.text for part in message.content)
    # They number the passages of that answer, and would be read as numbers of this question's passages.
    return _MARKS.sub("", parts) if message.role == "assistant" else parts


def overrides(body: ChatBody | CompletionBody) -> Overrides:
    """The overrides of a request.

    Raises:
        BadRequest: the response format's schema is not a JSON schema.
    """
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    chat = body if isinstance(body, ChatBody) else None
    return Overrides(
        max_tokens=chat.limit if chat else body.max_tokens,
        temperature=body.temperature,
        seed=body.seed,
        stop=stop,
        logprobs=((chat.top_logprobs or 0) if chat.logprobs else None) if chat else body.logprobs,
        schema=_schema(chat.response_format.type, _inner(chat), "response_format")
        if chat and chat.response_format
        else "",
    )


def response_overrides(body: ResponseBody) -> Overrides:
    """The overrides of a request to `/v1/responses`.

    Raises:
        BadRequest: the format's schema is not a JSON schema.
    """
    form = body.text.format if body.text else None
    return Overrides(
        max_tokens=body.max_output_tokens,
        temperature=body.temperature,
        schema=_schema(form.type, form.schema_, "text.format") if form else "",
    )


def _inner(body: ChatBody) -> Json | None:
    schema = body.response_format.json_schema if body.response_format else None
    return schema.schema_ if schema else None


def _schema(kind: str, schema: Json | None, param: str) -> str:
    if kind == "text":
        return ""
    if schema is None:
        return json.dumps(ANY_OBJECT)
    try:
        schemas.require_valid(schema, "the schema", cure="Correct the schema.")
    except ConfigError as error:
        # Cut: the message quotes the caller's schema.
        raise bad(error.message[:300], param, cure=error.cure) from None
    # Python compiles each pattern to check it, and its counts have 32 bits.
    except OverflowError:
        raise bad(
            "a pattern of the schema repeats something too often", param, cure="Write smaller counts into it."
        ) from None
    # Few parts can be nested deep too, and the checker of schemas is recursive.
    except RecursionError:
        raise bad("the schema is nested too deeply", param, cure="Send a flatter schema.") from None
    return json.dumps(schema)
