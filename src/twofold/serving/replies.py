"""Answers in the shapes of the OpenAI API. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from twofold.plugins.live import TokenChance
from twofold.types import Answer, IndexState, Json, Usage

_LEAST = -9999.0
"""Stands for the logarithm of 0, which is no JSON."""
EVENT_END = "data: [DONE]\n\n"
"""The last event of a stream."""


@dataclass(frozen=True, kw_only=True)
class Cited:
    """A citation as a client sees it."""

    marker: str
    """The mark in the text, such as ``[1]``."""
    document: str
    """Id of the document."""
    title: str
    place: str
    """Page, row or section; may be empty."""
    start: int
    end: int
    """Characters in the document: of the quoted words, else of the passage."""
    quote: str
    """The answer's own words in the document, else the whole passage."""
    exact: bool
    """`quote` has the answer's own words."""
    version: str
    """Digest of the document's text at the last sync; empty where the document has gone since."""
    age: float | None
    """Seconds since the document's file changed; None for a document that is no file of this machine."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer with its evidence."""

    answer: Answer
    citations: tuple[Cited, ...]
    origin: Json
    """Arm, model, whether it was measured, and why it answers."""
    index: IndexState | None = None
    """The index now; None where the arm reads no documents, and where it did not answer."""
    chances: tuple[TokenChance, ...] | None = None
    """How likely the tokens of the completion were, as the model wrote it; None where that was not requested."""

    @property
    def marks(self) -> str:
        """The citations' marks, as they follow the text."""
        # Each mark once, in the order of the citations: several quotes may be of one passage.
        markers = dict.fromkeys(citation.marker for citation in self.citations)
        return "".join(f" {marker}" for marker in markers)

    @property
    def text(self) -> str:
        """The text with its marks."""
        return self.answer.text + self.marks

    @property
    def finish(self) -> Literal["stop", "length"]:
        """Why the text ends."""
        return "length" if self.answer.cut else "stop"

    @property
    def cited(self) -> list[Json]:
        """The citations as JSON."""
        return [asdict(one) for one in self.citations]


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What all objects of one reply have in common."""

    id: str
    """For example ``chatcmpl-…``."""
    created: int
    """Seconds since 1970."""
    model: str
    """As the caller named it."""


def chat_logprobs(reply: Reply) -> Json | None:
    """The `logprobs` of a choice of a chat completion."""
    if reply.chances is None:
        return None
    content = []
    for chance in reply.chances:
        others = [_logprob(token, logprob) for token, logprob in chance.alternatives]
        content.append({**_logprob(chance.token, chance.logprob), "top_logprobs": others})
    return {"content": content, "refusal": None}


def _logprob(token: str, logprob: float) -> Json:
    # As the API has it, for tokens that are a part of a character.
    return {"token": token, "logprob": max(_LEAST, logprob), "bytes": list(token.encode("utf-8", "replace"))}


def _alternatives(chance: TokenChance) -> dict[str, float]:
    return {token: max(_LEAST, logprob) for token, logprob in chance.alternatives}


def completion_logprobs(reply: Reply) -> Json | None:
    """The `logprobs` of a choice of a text completion; offsets count in the completion as the model wrote it."""
    if reply.chances is None:
        return None
    lengths = [len(chance.token) for chance in reply.chances]
    return {
        "tokens": [chance.token for chance in reply.chances],
        "token_logprobs": [max(_LEAST, chance.logprob) for chance in reply.chances],
        "top_logprobs": [_alternatives(chance) for chance in reply.chances],
        "text_offset": [sum(lengths[:number]) for number in range(len(lengths))],
    }


def usage(answers: Sequence[Answer]) -> Json:
    """Tokens of all choices together."""
    spent = [answer.usage for answer in answers]
    prompt, completion = sum(u.prompt_tokens for u in spent), sum(u.completion_tokens for u in spent)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def chat(envelope: Envelope, replies: Sequence[Reply]) -> Json:
    """A `chat.completion` object; `twofold` says what answered."""
    choices = [
        {
            "index": number,
            "message": {
                "role": "assistant",
                "content": reply.text,
                # The API's description requires these, though they are empty here.
                "refusal": None,
                "annotations": [],
                "citations": reply.cited,
            },
            "logprobs": chat_logprobs(reply),
            "finish_reason": reply.finish,
        }
        for number, reply in enumerate(replies)
    ]
    return {
        **asdict(envelope),
        "object": "chat.completion",
        "choices": choices,
        "usage": usage([reply.answer for reply in replies]),
        "twofold": replies[0].origin,
    }


def chat_piece(
    envelope: Envelope, number: int, delta: Json, *, finish: str | None = None, logprobs: Json | None = None
) -> Json:
    """A `chat.completion.chunk` with one choice."""
    choice = {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return {**asdict(envelope), "object": "chat.completion.chunk", "choices": [choice]}


def chat_usage(envelope: Envelope, answers: Sequence[Answer]) -> Json:
    """The chunk without a choice that ends a stream which includes the usage."""
    return {**asdict(envelope), "object": "chat.completion.chunk", "choices": [], "usage": usage(answers)}


def completion(envelope: Envelope, replies: Sequence[Reply]) -> Json:
    """A `text_completion` object."""
    choices = [
        {
            "index": number,
            "text": reply.text,
            "logprobs": completion_logprobs(reply),
            "finish_reason": reply.finish,
            "citations": reply.cited,
        }
        for number, reply in enumerate(replies)
    ]
    return {
        **asdict(envelope),
        "object": "text_completion",
        "choices": choices,
        "usage": usage([reply.answer for reply in replies]),
        "twofold": replies[0].origin,
    }


def completion_piece(
    envelope: Envelope, number: int, text: str, *, finish: str | None = None, logprobs: Json | None = None
) -> Json:
    """A piece of a `text_completion` stream."""
    choice = {"index": number, "text": text, "logprobs": logprobs, "finish_reason": finish}
    return {**asdict(envelope), "object": "text_completion", "choices": [choice]}


def response_message(envelope: Envelope, text: str, *, citations: Sequence[Json] = (), done: bool = True) -> Json:
    """The one output item of a `response` object."""
    content = [{"type": "output_text", "text": text, "annotations": [], "citations": list(citations)}] if done else []
    return {
        "type": "message",
        # From the response's own id: every event of one item must name the same.
        "id": f"msg_{envelope.id.removeprefix('resp_')}",
        "status": "completed" if done else "in_progress",
        "role": "assistant",
        "content": content,
    }


def response(envelope: Envelope, reply: Reply | None) -> Json:
    """A `response` object; without a reply it is one in progress."""
    cut = reply is not None and reply.answer.cut
    spent = reply.answer.usage if reply else Usage()
    return {
        "id": envelope.id,
        "object": "response",
        "created_at": envelope.created,
        "status": "in_progress" if reply is None else "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None,
        "metadata": {},
        "model": envelope.model,
        "output": [response_message(envelope, reply.text, citations=reply.cited)] if reply else [],
        # From here on what the API requires of every response, used or not.
        "parallel_tool_calls": False,
        "temperature": None,
        "tool_choice": "none",
        "tools": [],
        "top_p": None,
        "usage": {
            "input_tokens": spent.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": spent.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": spent.prompt_tokens + spent.completion_tokens,
        }
        if reply
        else None,
        **({"twofold": reply.origin} if reply else {}),
    }
