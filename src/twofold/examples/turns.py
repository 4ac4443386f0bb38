"""Conversations as the project reads them, in its own files and in imported ones. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twofold.errors import BadRecord
from twofold.examples.spelling import cell
from twofold.files.reading import excerpt, kind
from twofold.types import Message, Role

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
}
_TOOLS = ("tool", "function", "ipython", "observation", "function_call", "tool_call", "function_response")
_NOTHING = ("0", "0.0", "False", "false")
_CURE = "Correct that message, or take the record out."


def turns_of(value: Any, wrong: Callable[..., BadRecord], *, field: str = "messages") -> tuple[Message, ...]:
    """The messages of a list of ``role`` and ``content``, or of ShareGPT's ``from`` and ``value``.

    At most one system message, the first; then user and assistant in turns, the user first. A system message without
    text is left out. A last message of the assistant's with OpenAI's ``weight`` 0, or with ``train`` false, is one that
    is not to be learned.

    Args:
        value: The list, or its JSON text from a table's cell.
        wrong: Makes the error from a message and a cure.
        field: How the list is called in errors.

    Raises:
        BadRecord: naming the message and what is wrong with it.
    """
    turns = cell(value)
    if not isinstance(turns, list):
        raise wrong(f'"{field}" must be a list, not {kind(turns)}', "Write the messages as a JSON list.")
    messages: list[Message] = []
    for number, turn in enumerate(turns, 1):
        role = _role(turn, number, wrong)
        content = _content(turn, f"message {number} ({role})", wrong)
        if role == "system" and number > 1:
            raise wrong(f"message {number} is a system message; only the first may be", _CURE)
        if not content.strip():
            if role == "system":
                continue
            raise wrong(f"message {number} ({role}) is empty", _CURE)
        before = messages[-1].role if messages else ""
        # Many chat templates refuse two turns of one role.
        if role == before:
            raise wrong(f"messages {number - 1} and {number} are both the {role}'s", "Join them into one message.")
        if role == "assistant" and before != "user":
            raise wrong(f"message {number} is the assistant's, but no user has spoken before it", _CURE)
        messages.append(Message(role=role, content=content))
    unwanted = next((key for key in ("weight", "train") if turns and str(turns[-1].get(key)).strip() in _NOTHING), "")
    if messages and messages[-1].role == "assistant" and unwanted:
        nothing = "0" if unwanted == "weight" else "false"
        raise wrong(
            f'message {len(turns)} (assistant) has "{unwanted}" {nothing}: such an answer must not be learned',
            f"Take out the turns after the last answer whose {unwanted} says to learn it, or take the record out.",
        )
    return tuple(messages)


def is_conversation(value: Any) -> bool:
    """Is this a list of messages (or its JSON text), not text or a list of answers?"""
    turns = cell(value)
    return isinstance(turns, list) and bool(turns) and all(map(_is_turn, turns))


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and ({"role", "content"} <= set(turn) or {"from", "value"} <= set(turn))


def _role(turn: Any, number: int, wrong: Callable[..., BadRecord]) -> Role:
    name = (turn.get("role") or turn.get("from")) if isinstance(turn, dict) else None
    if isinstance(name, str) and (name.strip().lower() in _TOOLS or _calls(turn)):
        raise wrong(
            f"message {number} ({name}) is a call of a tool or its result, which examples cannot contain",
            "Take the record out.",
        )
    role = _ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise wrong(
            f'message {number} must be an object with "role" (system, user or assistant) and "content", not '
            + (f"the role {excerpt(str(name), 30)!r}" if name else excerpt(str(turn), 60)),
            _CURE,
        )
    return role


def _calls(turn: Any) -> bool:
    return bool(turn.get("tool_calls") or turn.get("function_call"))


def _content(turn: Any, which: str, wrong: Callable[..., BadRecord]) -> str:
    """A message's text; text in parts, as OpenAI writes it, is joined."""
    content = turn.get("content") if "content" in turn else turn.get("value")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts: list[str] = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            called = part.get("type", "object") if isinstance(part, dict) else kind(part)
            raise wrong(f'"content" of {which} must be text, not {excerpt(str(called), 30)}', _CURE)
        texts.append(text)
    return "".join(texts)
