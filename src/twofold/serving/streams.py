"""Streams of the OpenAI API: the events of pieces, of a choice's end, and of the whole stream's end. Pure."""

from __future__ import annotations

from typing import Any, Protocol

from twofold.serving import faults, replies
from twofold.serving.replies import Envelope, Reply
from twofold.types import Answer, Json


class Stream(Protocol):
    """The events of one reply."""

    def piece(self, number: int, text: str) -> list[str]:
        """Events of a piece of a choice."""
        ...

    def last(self, number: int, reply: Reply) -> list[str]:
        """Events of a choice that has ended."""
        ...

    def end(self) -> list[str]:
        """Events after all choices."""
        ...


def event(value: Any, name: str = "") -> str:
    """One server-sent event with a JSON value."""
    # The API names the events of `/v1/responses` alone.
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {faults.encoded(value).decode('utf-8')}\n\n"


class ChatStream:
    """The events of a chat completion.

    Args:
        envelope: Id, time and model.
        usage: End with the tokens spent.
    """

    def __init__(self, envelope: Envelope, *, usage: bool) -> None:
        self._envelope = envelope
        self._usage = usage
        self._begun: set[int] = set()
        self._answers: list[Answer] = []

    def piece(self, number: int, text: str) -> list[str]:
        """The piece, after the role where it is the first."""
        return [*self._start(number), event(self._chunk(number, {"content": text}))]

    def last(self, number: int, reply: Reply) -> list[str]:
        """The marks, then the citations with the reason of the end."""
        self._answers.append(reply.answer)
        marks = [event(self._chunk(number, {"content": reply.marks}))] if reply.marks else []
        logprobs = replies.chat_logprobs(reply)
        final = self._chunk(number, {"citations": reply.cited}, finish=reply.finish, logprobs=logprobs)
        # The text as it was read: pieces that were sent early may have been wrong (`Unwrapped.rest`).
        return [*self._start(number), *marks, event({**final, "twofold": {**reply.origin, "text": reply.text}})]

    def end(self) -> list[str]:
        """The usage where it is wanted, and the mark of the end."""
        usage = [event(replies.chat_usage(self._envelope, self._answers))] if self._usage else []
        return [*usage, replies.EVENT_END]

    def _start(self, number: int) -> list[str]:
        if number in self._begun:
            return []
        self._begun.add(number)
        return [event(self._chunk(number, {"role": "assistant", "content": ""}))]

    def _chunk(self, number: int, delta: Json, **end: Any) -> Json:
        return replies.chat_piece(self._envelope, number, delta, **end)


class CompletionStream:
    """The events of a text completion.

    Args:
        envelope: Id, time and model.
        usage: End with the tokens spent.
    """

    def __init__(self, envelope: Envelope, *, usage: bool) -> None:
        self._envelope = envelope
        self._usage = usage
        self._answers: list[Answer] = []

    def piece(self, number: int, text: str) -> list[str]:
        """The piece."""
        return [event(replies.completion_piece(self._envelope, number, text))]

    def last(self, number: int, reply: Reply) -> list[str]:
        """The marks with the reason of the end."""
        self._answers.append(reply.answer)
        logprobs = replies.completion_logprobs(reply)
        last = replies.completion_piece(self._envelope, number, reply.marks, finish=reply.finish, logprobs=logprobs)
        return [event(last)]

    def end(self) -> list[str]:
        """The usage where it is wanted, and the mark of the end."""
        # As the API sends it: the event with the usage has no choice.
        usage = {**replies.completion_piece(self._envelope, 0, ""), "choices": []}
        spent = [event({**usage, "usage": replies.usage(self._answers)})] if self._usage else []
        return [*spent, replies.EVENT_END]


class ResponseStream:
    """The events of a response.

    Args:
        envelope: Id, time and model.
    """

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        # One count over all events of the response, as the API has it.
        self._numbers = iter(range(1 << 60))
        self._begun = False
        self._streamed = ""

    def piece(self, number: int, text: str) -> list[str]:
        """A delta of the one text."""
        self._streamed += text
        return [*self._start(), self._delta(text, number)]

    def last(self, number: int, reply: Reply) -> list[str]:
        """The rest of the text, and the whole response.

        The done events repeat what the deltas said; the response itself has the text as it was read.
        """
        # Also before an answer of which no piece came: the done events are of an item that must have begun.
        start = self._start()
        marks = [self._delta(reply.marks, number)] if reply.marks else []
        text = self._streamed + reply.marks
        item = replies.response_message(self._envelope, text, citations=reply.cited)
        where = self._where(item)
        response = replies.response(self._envelope, reply)
        return [
            *start,
            *marks,
            self._event("response.output_text.done", **where, text=text, logprobs=[]),
            self._event("response.content_part.done", **where, part=item["content"][0]),
            self._event("response.output_item.done", output_index=number, item=item),
            self._event(f"response.{response['status']}", response=response),
        ]

    def end(self) -> list[str]:
        """Nothing: the response's own event is the last."""
        return []

    def _start(self) -> list[str]:
        if self._begun:
            return []
        self._begun = True
        response = replies.response(self._envelope, None)
        item = replies.response_message(self._envelope, "", done=False)
        part = replies.response_message(self._envelope, "")["content"][0]
        return [
            self._event("response.created", response=response),
            self._event("response.in_progress", response=response),
            self._event("response.output_item.added", output_index=0, item=item),
            self._event("response.content_part.added", **self._where(item), part=part),
        ]

    def _delta(self, text: str, number: int) -> str:
        item = replies.response_message(self._envelope, "")
        where = {**self._where(item), "output_index": number}
        return self._event("response.output_text.delta", **where, delta=text, logprobs=[])

    @staticmethod
    def _where(item: Json) -> Json:
        return {"item_id": item["id"], "output_index": 0, "content_index": 0}

    def _event(self, name: str, **fields: Any) -> str:
        return event({"type": name, "sequence_number": next(self._numbers), **fields}, name)
